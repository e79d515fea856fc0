//! How often an atom holds: measured where it was measured, guessed elsewhere.
//!
//! `frequencies.tsv` lists the atoms of public rules that hold in more than two of a thousand sample
//! events of Windows and cloud logs (`perf` makes it). An atom that is not listed is taken for rare,
//! the rarer the longer its text.

use std::collections::HashMap;
use std::sync::LazyLock;

use sigmill_engine::{Test, WildcardPart};

static MEASURED: LazyLock<HashMap<&'static str, f64>> = LazyLock::new(|| {
    include_str!("frequencies.tsv")
        .lines()
        .filter_map(|line| {
            let (rate, name) = line.split_once('\t')?;
            Some((name, rate.parse().ok()?))
        })
        .collect()
});

/// The share of records in which the atom holds, about.
pub(crate) fn rate(field: &str, test: &Test) -> f64 {
    let measured = name(field, test).and_then(|name| MEASURED.get(name.as_str()).copied());
    measured.unwrap_or_else(|| guess(field, test))
}

/// The name of an atom in the table; `None` for tests that no cover can have.
pub(crate) fn name(field: &str, test: &Test) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
    let (kind, text) = match test {
        Test::Equals(t) => ("equals", text(&t.bytes)),
        Test::Number { text: t, .. } => ("equals", text(t)),
        Test::StartsWith(t) => ("startswith", text(&t.bytes)),
        Test::EndsWith(t) => ("endswith", text(&t.bytes)),
        Test::Contains(t) => ("contains", text(&t.bytes)),
        Test::Wildcard { parts, .. } => {
            let parts = parts.iter().map(|part| match part {
                WildcardPart::Literal(literal) => text(literal),
                WildcardPart::AnyChar => "\u{1}".to_owned(),
                WildcardPart::AnyRun => "\u{2}".to_owned(),
            });
            ("wildcard", parts.collect::<String>().escape_debug().to_string())
        }
        Test::Regex(regex) => ("re", regex.pattern.escape_debug().to_string()),
        Test::Backtracking(expression) => ("re", expression.escape_debug().to_string()),
        Test::Exists => ("exists", String::new()),
        Test::Compare { order, bound } => ("compare", format!("{order:?} {bound:?}")),
        Test::TimePart { part, order, bound } => ("time", format!("{part:?} {order:?} {bound}")),
        Test::Cidr { address, prefix } => ("cidr", format!("{address}/{prefix}")),
        Test::Null | Test::Something | Test::FieldRef { .. } => return None,
    };
    Some(format!("{field}\t{kind}\t{text}"))
}

fn guess(field: &str, test: &Test) -> f64 {
    match test {
        Test::Null | Test::FieldRef { .. } => 1.0,
        Test::Equals(text) => equals(&text.bytes, field),
        Test::Number { text, .. } => equals(text, field),
        Test::StartsWith(text) | Test::EndsWith(text) => literal(&text.bytes, 0.25),
        Test::Contains(text) => literal(&text.bytes, 0.5),
        Test::Wildcard { parts, .. } => literal(longest(parts), 0.5),
        Test::Regex(regex) if regex.required.is_empty() => 0.3,
        Test::Backtracking(_) => 0.3,
        Test::Regex(regex) => regex.required.iter().map(|text| literal(text, 0.5)).sum(),
        Test::Cidr { prefix, .. } => 0.2 / f64::from(*prefix + 1),
        Test::Compare { .. } | Test::TimePart { .. } | Test::Exists | Test::Something => 0.3,
    }
}

fn longest(parts: &[WildcardPart]) -> &[u8] {
    let literals = parts.iter().filter_map(|part| match part {
        WildcardPart::Literal(literal) => Some(&**literal),
        _ => None,
    });
    literals.max_by_key(|literal| literal.len()).unwrap_or(&[])
}

/// Whole values: event numbers are common, long texts are not.
fn equals(text: &[u8], field: &str) -> f64 {
    let is_event_number = matches!(field, "EventID" | "EventCode" | "event.code");
    let rate = 0.02 * 0.8f64.powi(text.len().min(30) as i32);
    if is_event_number { 0.02 } else { rate.max(1e-5) }
}

fn literal(text: &[u8], top: f64) -> f64 {
    (top * 0.6f64.powi(text.len().min(30) as i32)).max(1e-5)
}
