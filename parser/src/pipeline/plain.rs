//! Patterns as plain text, the form on which expressions of a pipeline work, and back.
//!
//! In plain text `*` and `?` are wildcards and an asterisk itself is `\*`. The form is ambiguous (a
//! backslash before a wildcard looks like an escaped one), so a replacement takes over the parts that
//! it does not touch as they are, and only reads the replaced text anew.

use regex_automata::meta::Regex;

use super::replacement::Replacement;
use crate::escape;
use crate::predicate::{Part, Pattern};

/// The pattern as plain text.
pub(super) fn text(pattern: &Pattern) -> String {
    pieces(pattern).into_iter().map(|(text, _)| text).collect()
}

/// The pattern with every match of the expression in its plain text replaced.
pub(super) fn replace(pattern: &Pattern, regex: &Regex, replacement: &Replacement) -> Pattern {
    let pieces = pieces(pattern);
    let plain = text(pattern);
    let has_placeholders = pattern.parts.iter().any(|part| matches!(part, Part::Placeholder(_)));
    let mut parts: Vec<Part> = Vec::new();
    // Replaced text that has not been read yet, with the halves of pieces at its ends.
    let mut pending = String::new();
    let keep = |parts: &mut Vec<Part>, pending: &mut String, start: usize, end: usize| {
        let mut at = 0;
        for (text, part) in &pieces {
            let (from, to) = (at, at + text.len());
            at = to;
            if to <= start || from >= end {
                continue;
            }
            if from >= start && to <= end {
                parts.extend(read(&std::mem::take(pending), has_placeholders));
                parts.push(part.clone());
            } else {
                pending.push_str(&plain[from.max(start)..to.min(end)]);
            }
        }
    };
    let mut at = 0;
    for found in regex.captures_iter(&plain) {
        let Some(span) = found.get_match() else { continue };
        keep(&mut parts, &mut pending, at, span.start());
        pending.push_str(&replacement.expand(&found, &plain));
        at = span.end();
    }
    keep(&mut parts, &mut pending, at, plain.len());
    parts.extend(read(&pending, has_placeholders));
    Pattern::new(parts)
}

/// The pattern with every match of the expression replaced in its literal parts alone.
pub(super) fn replace_in_literals(
    pattern: &Pattern,
    regex: &Regex,
    replacement: &Replacement,
    interprets_special: bool,
) -> Pattern {
    let replace = |text: &str| {
        let mut replaced = String::new();
        let mut at = 0;
        for found in regex.captures_iter(text) {
            let Some(span) = found.get_match() else { continue };
            replaced.push_str(&text[at..span.start()]);
            replaced.push_str(&replacement.expand(&found, text));
            at = span.end();
        }
        replaced + &text[at..]
    };
    let parts = pattern.parts.iter().flat_map(|part| match part {
        Part::Literal(text) if interprets_special => read(&replace(text), false),
        Part::Literal(text) => vec![Part::Literal(replace(text))],
        part => vec![part.clone()],
    });
    Pattern::new(parts)
}

/// The pattern with its literal parts changed.
pub(super) fn map_literals(pattern: &Pattern, change: impl Fn(&str) -> String) -> Pattern {
    Pattern::new(pattern.parts.iter().map(|part| match part {
        Part::Literal(text) => Part::Literal(change(text)),
        part => part.clone(),
    }))
}

/// Each character or special part with its plain text.
fn pieces(pattern: &Pattern) -> Vec<(String, Part)> {
    let mut pieces = Vec::new();
    for part in &pattern.parts {
        match part {
            Part::Literal(text) => pieces.extend(text.chars().map(|c| {
                let plain = if matches!(c, '*' | '?') { format!("\\{c}") } else { c.to_string() };
                (plain, Part::Literal(c.to_string()))
            })),
            Part::AnyChar => pieces.push(("?".to_owned(), Part::AnyChar)),
            Part::AnyRun => pieces.push(("*".to_owned(), Part::AnyRun)),
            Part::Placeholder(name) => pieces.push((format!("%{name}%"), part.clone())),
        }
    }
    pieces
}

/// Plain text as parts: backslashes escape wildcards only.
fn read(plain: &str, has_placeholders: bool) -> Vec<Part> {
    let mut escaped = String::with_capacity(plain.len());
    let mut chars = plain.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' && !matches!(chars.peek(), Some('*' | '?')) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    let pattern = match has_placeholders {
        true => escape::pattern_with_placeholders(&escaped),
        false => escape::pattern(&escaped),
    };
    pattern.parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, regex: &str, by: &str) -> String {
        let regex = Regex::new(regex).unwrap();
        let replacement = Replacement::parse(by, &regex).unwrap();
        text(&replace(&escape::pattern(pattern), &regex, &replacement))
    }

    #[test]
    fn what_is_not_replaced_stays_as_it_was() {
        // A backslash before a wildcard is not taken for an escape.
        assert_eq!(replaced(r"C:\Windows\\*", "Windows", "Win"), r"C:\Win\*");
        let kept = replace(
            &escape::pattern(r"C:\Windows\\*"),
            &Regex::new("Windows").unwrap(),
            &Replacement::parse("Win", &Regex::new("Windows").unwrap()).unwrap(),
        );
        assert_eq!(kept.parts, [Part::Literal(r"C:\Win\".into()), Part::AnyRun]);
    }

    #[test]
    fn replacements_may_bring_and_take_wildcards() {
        assert_eq!(replaced("a*b", r"\*", "x"), "axb");
        assert_eq!(replaced("axb", "x", "*"), "a*b");
        assert_eq!(replaced(r"a\*b", r"\\\*", "?"), "a?b");
        assert_eq!(replaced("ab", "(a)(b)", r"\2\1"), "ba");
        assert_eq!(replaced("", "^$", "x"), "x");
    }

    #[test]
    fn wildcards_are_left_alone_in_literals() {
        let regex = Regex::new(".").unwrap();
        let star = Replacement::parse("*", &regex).unwrap();
        let pattern = escape::pattern("a?b");
        let plain = |interprets| text(&replace_in_literals(&pattern, &regex, &star, interprets));
        assert_eq!(plain(false), r"\*?\*");
        assert_eq!(plain(true), "*?*");
    }
}
