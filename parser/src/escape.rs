//! Sigma's escapes: the text of a value as a [`Pattern`].
//!
//! `*` and `?` are wildcards. A backslash takes their meaning from them, and from another backslash;
//! before anything else it is a plain backslash. So `\\*` is a backslash and a wildcard, `\\\*` a
//! backslash and an asterisk, and `C:\Windows` needs no escapes at all.

use crate::predicate::{Part, Pattern};

/// The pattern that a value's text means.
pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::new(parts(text, false))
}

/// The same under `expand`: `%name%` is a placeholder, and `\%` a plain percent sign.
pub(crate) fn pattern_with_placeholders(text: &str) -> Pattern {
    Pattern::new(parts(text, true))
}

fn parts(text: &str, has_placeholders: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        let special = match c {
            '*' => Some(Part::AnyRun),
            '?' => Some(Part::AnyChar),
            '%' if has_placeholders => placeholder(rest).map(|name| {
                taken += name.len() + 1;
                Part::Placeholder(name.to_owned())
            }),
            _ => None,
        };
        match special {
            Some(part) => {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                parts.push(part);
            }
            None if c == '\\' => match rest[1..].chars().next() {
                Some(next @ ('*' | '?' | '\\')) => {
                    taken += 1;
                    literal.push(next);
                }
                Some('%') if has_placeholders => {
                    taken += 1;
                    literal.push('%');
                }
                _ => literal.push('\\'),
            },
            None => literal.push(c),
        }
        rest = &rest[taken..];
    }
    parts.push(Part::Literal(literal));
    parts
}

/// The name in `%name%` at the start of the text: letters, digits, `_`, `-` and `.`.
pub(crate) fn placeholder(text: &str) -> Option<&str> {
    let name = text.strip_prefix('%')?;
    let end = name.find(|c: char| !c.is_alphanumeric() && !"_-.".contains(c))?;
    (end > 0 && name[end..].starts_with('%')).then(|| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern as text in which `*`, `?` and `<name>` can only be special parts.
    fn shown(pattern: &Pattern) -> String {
        let show = |part: &Part| match part {
            Part::Literal(text) => format!("[{text}]"),
            Part::AnyChar => "?".to_owned(),
            Part::AnyRun => "*".to_owned(),
            Part::Placeholder(name) => format!("<{name}>"),
        };
        pattern.parts.iter().map(show).collect()
    }

    #[test]
    fn backslashes_escape_only_what_has_a_meaning() {
        for (text, expected) in [
            ("", ""),
            ("prog*", "[prog]*"),
            (r"a\*b", "[a*b]"),
            (r"what\?", "[what?]"),
            (r"C:\dir\*", r"[C:\dir*]"),
            (r"C:\\dir\\*", r"[C:\dir\]*"),
            (r"x\\\*", r"[x\*]"),
            (r"C:\Win\\Sys", r"[C:\Win\Sys]"),
            (r"a\\\\b", r"[a\\b]"),
            (r"a\\\b", r"[a\\b]"),
            (r"dir\", r"[dir\]"),
            (r"dir\\", r"[dir\]"),
            ("a**b", "[a]*[b]"),
            ("??", "??"),
            ("%name%", "[%name%]"),
            (r"\%", r"[\%]"),
            ("prö*中", "[prö]*[中]"),
        ] {
            assert_eq!(shown(&pattern(text)), expected, "{text}");
        }
    }

    #[test]
    fn percent_signs_make_placeholders_under_expand() {
        for (text, expected) in [
            ("%name%", "<name>"),
            (r"\%plain%name%", "[%plain]<name>"),
            (r"C:\\Users\\%who%\\x", r"[C:\Users\]<who>[\x]"),
            ("%DC-NAME.x%", "<DC-NAME.x>"),
            ("100%", "[100%]"),
            ("%a b%", "[%a b%]"),
            ("%%", "[%%]"),
            ("%a%%b%", "<a><b>"),
            ("*%a%?", "*<a>?"),
        ] {
            assert_eq!(shown(&pattern_with_placeholders(text)), expected, "{text}");
        }
    }
}
