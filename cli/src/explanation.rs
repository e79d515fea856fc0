//! How an explanation is shown: as a tree of lines, or as JSON.
//!
//! In: what `sigmill_codegen::Explainer` says of a rule. Out: text. A line begins with `yes` or `no`; below
//! a field stand the values that hold, each with the values of the event that it holds for, or what the
//! event has there if none does.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sigmill_codegen::{EventValue, Explanation, Part};
use sigmill_engine::ValueKind;
use sigmill_parser::Quantifier;

/// Longest text of a value that is shown, in characters.
const SHOWN_MAX: usize = 200;
/// So many values of an event are shown on a line.
const VALUES_SHOWN_MAX: usize = 5;

/// A rule and its conditions.
#[derive(Debug)]
pub(crate) struct ExplainedRule<'a> {
    pub(crate) title: &'a str,
    pub(crate) id: Option<&'a str>,
    pub(crate) conditions: Vec<Explanation>,
}

/// The trees of a rule; with `is_all`, values that do not hold too.
pub(crate) fn text(rule: &ExplainedRule<'_>, is_all: bool) -> String {
    let mut text = shown(rule.title);
    if let Some(id) = rule.id {
        // Writing to a `String` does not fail, here and below.
        let _ = write!(text, " ({})", shown(id));
    }
    let is_match = rule.conditions.iter().any(|condition| condition.holds);
    text += if is_match { ": matches\n" } else { ": does not match\n" };
    let mut tree = Tree { text, is_all };
    rule.conditions.iter().for_each(|condition| tree.part(condition, 0));
    tree.text
}

struct Tree {
    text: String,
    is_all: bool,
}

impl Tree {
    fn line(&mut self, holds: bool, depth: usize, line: &str) {
        let word = if holds { "yes" } else { "no " };
        let _ = writeln!(self.text, "{word} {}{line}", "  ".repeat(depth));
    }

    fn part(&mut self, one: &Explanation, depth: usize) {
        match &one.part {
            Part::Field { name, modifiers, .. } => {
                self.field(one, name.as_deref(), modifiers, depth);
                return;
            }
            // A map of one key, or a list of one map, is that.
            Part::All | Part::Any if one.parts.len() == 1 => {
                self.part(&one.parts[0], depth);
                return;
            }
            part => self.line(one.holds, depth, &words(part)),
        }
        one.parts.iter().for_each(|part| self.part(part, depth + 1));
    }

    fn field(&mut self, one: &Explanation, name: Option<&str>, modifiers: &[&str], depth: usize) {
        let mut line = name.map_or_else(|| "keywords".to_owned(), shown);
        for modifier in modifiers {
            let _ = write!(line, "|{modifier}");
        }
        let count = one.parts.len();
        match one.parts.as_slice() {
            [Explanation { part: Part::Value { text }, .. }] => {
                let _ = write!(line, ": {}", shown(text));
            }
            _ => {
                let word = if modifiers.contains(&"all") { "all" } else { "one" };
                let _ = write!(line, ": {word} of {count} values");
            }
        }
        self.line(one.holds, depth, &line);
        let is_listed = |value: &&Explanation| value.holds || self.is_all;
        let listed: Vec<&Explanation> =
            one.parts.iter().filter(|_| count > 1).filter(is_listed).collect();
        for value in &listed {
            self.line(value.holds, depth + 1, &words(&value.part));
            self.because(&value.matched, depth + 2);
        }
        if let [value] = one.parts.as_slice() {
            self.because(&value.matched, depth + 1);
        }
        let is_shown = one.parts.iter().any(|value| !value.matched.is_empty());
        match &one.found {
            None if name.is_some() => self.note(depth + 1, "the event has no such field"),
            Some(found) if !is_shown => {
                self.note(depth + 1, &format!("the event has {}", values(found)));
            }
            _ => {}
        }
        let others = count - listed.len();
        if count > 1 && others > 0 && !listed.is_empty() {
            self.note(depth + 1, &format!("{others} more do not hold"));
        }
    }

    fn because(&mut self, matched: &[EventValue], depth: usize) {
        if !matched.is_empty() {
            self.note(depth, &format!("for {}", values(matched)));
        }
    }

    fn note(&mut self, depth: usize, note: &str) {
        let _ = writeln!(self.text, "    {}{note}", "  ".repeat(depth));
    }
}

/// What stands on the line of a part.
fn words(part: &Part) -> String {
    match part {
        Part::Condition { text, has_aggregation } => {
            let aggregation = " (what is counted behind the pipe is decided over several events)";
            let aggregation = if *has_aggregation { aggregation } else { "" };
            format!("condition: {}{aggregation}", shown(text))
        }
        Part::Filter { title } => format!("filter: {}", shown(title)),
        Part::All => "all of".to_owned(),
        Part::Any => "one of".to_owned(),
        Part::Not => "not".to_owned(),
        Part::Of(Quantifier::Any) => "1 of these selections".to_owned(),
        Part::Of(Quantifier::All) => "all of these selections".to_owned(),
        Part::Of(Quantifier::AtLeast(count)) => format!("{count} of these selections"),
        Part::Selection { name } => format!("selection {}", shown(name)),
        Part::Value { text } => shown(text),
        _ => String::new(),
    }
}

fn values(values: &[EventValue]) -> String {
    let mut texts: Vec<String> = values.iter().take(VALUES_SHOWN_MAX).map(value).collect();
    if values.len() > VALUES_SHOWN_MAX {
        texts.push(format!("{} more", values.len() - VALUES_SHOWN_MAX));
    }
    texts.join(", ")
}

fn value(value: &EventValue) -> String {
    match value.kind {
        ValueKind::Null => "null".to_owned(),
        ValueKind::Bool | ValueKind::Number => shown(&value.text),
        ValueKind::Text => format!("'{}'", shown(&value.text)),
        ValueKind::Object => "an object".to_owned(),
    }
}

/// A text of a rule or event may hold anything, and a line must stay one.
fn shown(text: &str) -> String {
    let text = text.replace(|c: char| c.is_control(), " ");
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A rule as an object, all values in it.
pub(crate) fn json(rule: &ExplainedRule<'_>) -> Value {
    json!({
        "title": rule.title,
        "id": rule.id,
        "matches": rule.conditions.iter().any(|condition| condition.holds),
        "conditions": rule.conditions.iter().map(part).collect::<Vec<_>>(),
    })
}

fn part(one: &Explanation) -> Value {
    let mut object = match &one.part {
        Part::Condition { text, .. } => json!({"part": "condition", "text": text}),
        Part::Filter { title } => json!({"part": "filter", "title": title}),
        Part::All => json!({"part": "all"}),
        Part::Any => json!({"part": "any"}),
        Part::Not => json!({"part": "not"}),
        Part::Of(Quantifier::Any) => json!({"part": "of", "count": 1}),
        Part::Of(Quantifier::All) => json!({"part": "of", "count": "all"}),
        Part::Of(Quantifier::AtLeast(count)) => json!({"part": "of", "count": count}),
        Part::Selection { name } => json!({"part": "selection", "name": name}),
        Part::Field { name, modifiers, .. } => {
            let found = one.found.as_ref().map(|found| found.iter().map(event_value).collect());
            json!({
                "part": if name.is_some() { "field" } else { "keywords" },
                "field": name,
                "modifiers": modifiers,
                "event_values": found.map_or(Value::Null, Value::Array),
            })
        }
        Part::Value { text } => json!({
            "part": "value",
            "text": text,
            "matched": one.matched.iter().map(event_value).collect::<Vec<_>>(),
        }),
        _ => json!({"part": "other"}),
    };
    object["holds"] = json!(one.holds);
    if !one.parts.is_empty() {
        object["parts"] = one.parts.iter().map(part).collect();
    }
    object
}

/// Numbers as spelled, since JSON readers differ in what they make of them.
fn event_value(value: &EventValue) -> Value {
    let kind = match value.kind {
        ValueKind::Null => "null",
        ValueKind::Bool => "bool",
        ValueKind::Number => "number",
        ValueKind::Text => "text",
        ValueKind::Object => "object",
    };
    json!({"kind": kind, "text": value.text})
}
