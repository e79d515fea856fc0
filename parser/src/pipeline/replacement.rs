//! The replacement of `replace_string`, in Python's notation: `\1`, `\g<1>`, `\g<name>`, `\\`.

use regex_automata::PatternID;
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

/// A replacement, its groups resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replacement {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Reads a replacement for matches of `regex`.
    ///
    /// # Errors
    /// It names a group that the expression does not have.
    pub(super) fn parse(text: &str, regex: &Regex) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c != '\\' {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let (taken, group) = escape(&rest[1..], regex, &mut literal)?;
            if let Some(group) = group {
                parts.push(Part::Text(std::mem::take(&mut literal)));
                parts.push(Part::Group(group));
            }
            rest = &rest[1 + taken..];
        }
        parts.push(Part::Text(literal));
        Ok(Self { parts })
    }

    /// The text that stands in for a match.
    pub(super) fn expand(&self, captures: &Captures, text: &str) -> String {
        let expand = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Group(group) => {
                captures.get_group(*group).map_or(String::new(), |span| text[span].to_owned())
            }
        };
        self.parts.iter().map(expand).collect()
    }
}

/// What stands behind a backslash: how long it is, and the group that it names if it names one.
fn escape(
    rest: &str,
    regex: &Regex,
    literal: &mut String,
) -> Result<(usize, Option<usize>), String> {
    let group = |name: &str| {
        let named = || regex.group_info().to_index(PatternID::ZERO, name);
        let number: Option<usize> = name.parse().ok().or_else(named);
        match number.filter(|number| *number < regex.captures_len()) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("the expression has no group `{name}`")),
        }
    };
    let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if digits > 0 {
        return Ok((digits, group(&rest[..digits])?));
    }
    if let Some((name, _)) = rest.strip_prefix("g<").and_then(|rest| rest.split_once('>')) {
        return Ok((name.len() + 3, group(name)?));
    }
    let (taken, c) = match rest.chars().next() {
        Some('n') => (1, '\n'),
        Some('t') => (1, '\t'),
        Some('r') => (1, '\r'),
        Some('\\') => (1, '\\'),
        // A backslash before anything else is itself, as Windows paths need it.
        _ => (0, '\\'),
    };
    literal.push(c);
    Ok((taken, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(regex: &str, replacement: &str, text: &str) -> Result<String, String> {
        let regex = Regex::new(regex).unwrap();
        let replacement = Replacement::parse(replacement, &regex)?;
        let mut captures = regex.create_captures();
        regex.captures(text, &mut captures);
        Ok(replacement.expand(&captures, text))
    }

    #[test]
    fn groups_are_named_as_in_python() {
        for (regex, replacement, expected) in [
            ("a(b)(c)?", r"<\1\2>", Ok("<b>")),
            ("a(?P<x>b)", r"\g<x>\g<1>\g<0>", Ok("bbab")),
            ("ab", r"C:\\dir\t", Ok("C:\\dir\t")),
            ("ab", r"\path", Ok(r"\path")),
            ("ab", r"\1", Err("the expression has no group `1`")),
            ("ab", r"\g<x>", Err("the expression has no group `x`")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(replaced(regex, replacement, "ab"), expected, "{replacement}");
        }
    }
}
