//! Wildcards where they say nothing, or something else than they seem to.

use crate::Modifier;
use crate::diagnostic::{Code, Diagnostic};
use crate::escape;
use crate::predicate::Part;
use crate::rule::{Block, DetectionItem, DetectionSection, Value};
use crate::span::Span;

/// Looks at every value of the selections.
pub(super) fn check(detection: &DetectionSection, found: &mut Vec<Diagnostic>) {
    let mut open: Vec<&Block> = detection.selections.iter().map(|one| &one.body).collect();
    while let Some(block) = open.pop() {
        match block {
            Block::AllOf(parts) | Block::AnyOf(parts) => open.extend(parts),
            Block::Item(item) => item_values(item, found),
        }
    }
}

fn item_values(item: &DetectionItem, found: &mut Vec<Diagnostic>) {
    let modifier = |wanted: &[Modifier]| {
        item.modifiers.iter().map(|one| one.node).find(|one| wanted.contains(one))
    };
    let relation = modifier(&[Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith]);
    let is_regex = modifier(&[Modifier::Re]).is_some();
    let is_field_ref = modifier(&[Modifier::FieldRef]).is_some();
    for value in &item.values {
        let Value::Text(text) = &value.node else { continue };
        match relation {
            Some(relation) if !is_field_ref => {
                found.extend(of_relation(relation, text, value.span));
            }
            _ if is_regex => found.extend(of_regex(text, value.span)),
            _ => {}
        }
    }
}

/// A run of any characters on a side that the modifier leaves open anyway.
fn of_relation(relation: Modifier, text: &str, span: Span) -> Option<Diagnostic> {
    // Most values have none.
    if !text.starts_with('*') && !text.ends_with('*') {
        return None;
    }
    let parts = escape::pattern(text).parts;
    let is_open =
        |edge: Option<&Part>, closed: Modifier| relation != closed && edge == Some(&Part::AnyRun);
    let at_start = is_open(parts.first(), Modifier::StartsWith);
    let at_end = is_open(parts.last(), Modifier::EndsWith);
    let (name, text) = (relation.as_str(), super::shorten(text));
    let side = match (at_start, at_end) {
        (true, true) if parts.len() == 1 => {
            let message = format!("`{name}` with `{text}` holds for any text");
            let help = "to ask for the field itself, write `|exists: true`";
            return Some(Diagnostic::warning(Code::Wildcard, span).message(message).help(help));
        }
        (true, true) => "around",
        (true, false) => "before",
        (false, true) => "behind",
        (false, false) => return None,
    };
    let message =
        format!("the `*` in `{text}` has no effect: `{name}` leaves open what stands {side} it");
    let help = r"leave it out; for the character itself write `\*`";
    Some(Diagnostic::warning(Code::Wildcard, span).message(message).help(help))
}

/// A `*` that repeats a letter, digit or separator: in a regular expression `cmd*` is `cmddd`.
fn of_regex(text: &str, span: Span) -> Option<Diagnostic> {
    let repeated = repeated_literal(text)?;
    let text = super::shorten(text);
    let message = format!("in the regular expression `{text}`, `{repeated}*` repeats `{repeated}`");
    let help = "any characters are `.*`; `*` alone is a wildcard in plain values only";
    Some(Diagnostic::warning(Code::Wildcard, span).message(message).help(help))
}

/// The first letter, digit or separator with a `*` behind it.
fn repeated_literal(text: &str) -> Option<String> {
    let mut chars = text.chars().peekable();
    // A literal that a `*` behind it would repeat.
    let mut literal: Option<String> = None;
    let mut is_class = false;
    while let Some(c) = chars.next() {
        let before = literal.take();
        match c {
            '\\' => match chars.next() {
                Some('\\') if !is_class => literal = Some(r"\\".to_owned()),
                _ => {}
            },
            '[' => is_class = true,
            ']' => is_class = false,
            _ if is_class => {}
            '*' if before.is_some() => return before,
            c if c.is_alphanumeric() || c == '/' => literal = Some(c.to_string()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_on_an_open_side_have_no_effect() {
        for (relation, text, expected) in [
            (Modifier::Contains, "*a", Some("before")),
            (Modifier::Contains, "a*", Some("behind")),
            (Modifier::Contains, "*a*", Some("around")),
            (Modifier::Contains, "*", Some("any text")),
            (Modifier::Contains, "a*b", None),
            (Modifier::Contains, r"a\*", None),
            (Modifier::Contains, r"a\\*", Some("behind")),
            (Modifier::StartsWith, "a*", Some("behind")),
            (Modifier::StartsWith, "*a", None),
            (Modifier::EndsWith, "*a", Some("before")),
            (Modifier::EndsWith, "a*", None),
        ] {
            let found = of_relation(relation, text, Span::default()).map(|found| found.message);
            match expected {
                Some(part) => assert!(
                    found.as_ref().is_some_and(|found| found.contains(part)),
                    "{text} {found:?}"
                ),
                None => assert_eq!(found, None, "{text}"),
            }
        }
    }

    #[test]
    fn a_star_repeats_what_stands_before_it() {
        for (text, expected) in [
            ("cmd*", Some("d")),
            ("/tmp/*", Some("/")),
            (r"C:\\temp\\*", Some(r"\\")),
            ("a.*b", None),
            (r"a\s*b", None),
            (r"a\*b", None),
            ("[a-z]*", None),
            ("[*a*]", None),
            ("(ab)*", None),
            (r"\d*x", None),
        ] {
            assert_eq!(repeated_literal(text).as_deref(), expected, "{text}");
        }
    }
}
