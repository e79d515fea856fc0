//! Where a rule means something else to the JVM processor than it means here.
//!
//! In: a rule as written. Out: the differences, each with what it does to the number of detections when
//! Sigmill takes over. Judged by the text alone: how often a difference shows depends on the events.

use sigmill_parser::yaml::{Node, Resolved};
use sigmill_parser::{FieldMapping, Rule};

use crate::jvm_rules;

/// Which way the number of detections can go when Sigmill takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// There will be more.
    More,
    /// There will be fewer.
    Fewer,
    /// It depends on the events.
    Either,
}

impl Effect {
    /// The word in a report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::More => "more",
            Self::Fewer => "fewer",
            Self::Either => "either",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// A short name, the same for all rules.
    pub kind: &'static str,
    /// What the JVM processor makes of it.
    pub message: String,
    /// What changes.
    pub effect: Effect,
}

/// Modifiers that the JVM processor knows; it passes over others.
const KNOWN: [&str; 8] =
    ["all", "beginswith", "contains", "endswith", "greater_than", "less_than", "re", "startswith"];

/// The differences of a rule, each kind once.
pub fn differences(rule: &Rule, mapping: &FieldMapping) -> Vec<Difference> {
    let mut found = Found { mapping, all: Vec::new() };
    for fault in jvm_rules::faults(rule) {
        found.add("stops", Effect::More, format!("it stops at the rule: {fault}"));
    }
    let Some(detection) = rule.document.get("detection").and_then(Node::as_mapping) else {
        return found.all;
    };
    for (name, value) in detection {
        match name.key().unwrap_or_default() {
            "fields" | "timeframe" => {}
            "condition" => found.condition(value),
            _ => found.selection(value),
        }
    }
    found.all.sort_by_key(|difference| difference.kind);
    found.all
}

struct Found<'a> {
    mapping: &'a FieldMapping,
    all: Vec<Difference>,
}

impl Found<'_> {
    fn add(&mut self, kind: &'static str, effect: Effect, message: impl Into<String>) {
        if !self.all.iter().any(|known| known.kind == kind) {
            self.all.push(Difference { kind, message: message.into(), effect });
        }
    }

    fn condition(&mut self, value: &Node) {
        let Some(text) = value.key() else {
            return self.add("condition-list", Effect::More, "a list of conditions never holds");
        };
        let (simple, aggregation) = match text.split_once('|') {
            Some((simple, aggregation)) => (simple, Some(aggregation)),
            None => (text, None),
        };
        let spaced = simple.replace(['(', ')'], " ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let has = |word: &str| words.iter().any(|one| one.eq_ignore_ascii_case(word));
        if has("not") {
            self.add("not", Effect::Either, "what is negated is never true there");
        }
        if has("of") {
            self.add(
                "of",
                Effect::More,
                "`1 of` and `all of` are taken for selections; never true",
            );
        }
        if words.iter().any(|word| word.eq_ignore_ascii_case("or") && *word != "OR") {
            self.add("lower-or", Effect::More, "only `OR` in capitals is an or; others are an and");
        }
        if has("and") && has("or") {
            let message = "parentheses mean nothing, and operators bind from the right";
            self.add("precedence", Effect::Either, message);
        }
        if let Some(aggregation) = aggregation {
            self.aggregation(aggregation);
        }
    }

    fn aggregation(&mut self, text: &str) {
        let (function, rest) = text.trim().split_once('(').unwrap_or((text, ""));
        let (field, rest) = rest.split_once(')').unwrap_or((rest, ""));
        if function.trim() != "count" {
            self.add("function", Effect::Either, "every function counts events");
        } else if !field.trim().is_empty() {
            let message = "events with an equal value are counted, not distinct values";
            self.add("distinct", Effect::Either, message);
        }
        let group = rest.split_once(" by ").map_or("", |(_, group)| group);
        let group: Vec<&str> =
            group.split(['<', '>', '=']).next().unwrap_or("").split(',').collect();
        let is_mapped = |name: &&str| self.mapping.fields.contains_key(name.trim());
        if group.iter().any(is_mapped) {
            self.add("group-mapping", Effect::Either, "the group's field is not mapped");
        }
        if group.len() > 1 {
            self.add("groups", Effect::Either, "several fields to group by are taken for one");
        }
        let message = "each further event above the bound, and each window, is told again";
        self.add("repeats", Effect::Fewer, message);
    }

    fn selection(&mut self, value: &Node) {
        if let Some(items) = value.as_sequence() {
            let maps = items.iter().filter_map(Node::as_mapping);
            if items.len() > 1 && items.iter().all(|item| item.as_mapping().is_some()) {
                self.add("list", Effect::Either, "a list of maps is one selection, not an or");
            }
            maps.for_each(|fields| self.fields(fields));
        }
        self.fields(value.as_mapping().unwrap_or_default());
    }

    fn fields(&mut self, fields: &[(Node, Node)]) {
        if fields.len() > 1 {
            let message = "of several fields in a selection the last one decides";
            self.add("last-field", Effect::Fewer, message);
        }
        for (name, value) in fields {
            let name = name.key().unwrap_or_default();
            let mut parts = name.split('|');
            let field = parts.next().unwrap_or_default();
            let modifiers: Vec<&str> = parts.collect();
            if let Some(unknown) = modifiers.iter().find(|modifier| !KNOWN.contains(modifier)) {
                let message = format!("the modifier `{unknown}` is passed over");
                self.add("modifier", Effect::Either, message);
            }
            if self.mapping.fields.get(field).is_some_and(|targets| targets.len() > 1) {
                let message =
                    format!("of the names of `{field}` in the mapping only the first is used");
                self.add("mapping-list", Effect::More, message);
            }
            let values = value.as_sequence().unwrap_or(std::slice::from_ref(value));
            values.iter().for_each(|value| self.value(&modifiers, value));
        }
    }

    fn value(&mut self, modifiers: &[&str], value: &Node) {
        let Some(scalar) = value.as_scalar() else { return };
        if modifiers.contains(&"re") {
            let has_name = |text: &str| text.contains("(?P<");
            if has_name(&scalar.text) {
                self.add(
                    "groups-names",
                    Effect::More,
                    "a group `(?P<…>)` makes it refuse the rule",
                );
            }
            return;
        }
        if !matches!(scalar.resolve(), Resolved::Text) {
            return;
        }
        if scalar.text.chars().any(char::is_alphabetic) {
            self.add("case", Effect::More, "texts are compared with regard to case");
        }
        if scalar.text.contains(['(', ')', '[', ']', '{', '}', '+', '^', '$', '|']) {
            let message =
                "characters such as `(` and `+` in a value have the meaning of an expression";
            self.add("characters", Effect::Either, message);
        }
        if scalar.text.contains("\\*") || scalar.text.contains("\\?") {
            self.add("escapes", Effect::Either, "a backslash before `*` or `?` is a backslash");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigmill_parser::Document;

    fn kinds(detection: &str) -> Vec<(&'static str, &'static str)> {
        let text = format!("title: T\nlogsource: {{product: x}}\ndetection:\n{detection}\n");
        let parsed = sigmill_parser::parse(&text);
        let Some(Document::Rule(rule)) = parsed.documents.into_iter().next() else {
            panic!("{text}: {:?}", parsed.diagnostics)
        };
        let mapping = FieldMapping::parse("fieldmappings: {m: [a, b], g: h}").unwrap();
        let found = differences(&rule, &mapping);
        found.iter().map(|one| (one.kind, one.effect.as_str())).collect()
    }

    #[test]
    fn differences_have_their_kind_and_effect() {
        for (detection, expected) in [
            ("  s: {a: 1}\n  condition: s", &[][..]),
            ("  s: {a: x}\n  condition: s", &[("case", "more")]),
            ("  s: {a: 1, b: 2}\n  condition: s", &[("last-field", "fewer")]),
            ("  s: [{a: 1}, {b: 2}]\n  condition: s", &[("list", "either")]),
            ("  s: {a: 1}\n  t: {b: 1}\n  condition: s and not t", &[("not", "either")]),
            ("  s: {a: 1}\n  t: {b: 1}\n  condition: s or t", &[("lower-or", "more")]),
            ("  s: {a: 1}\n  t: {b: 1}\n  condition: (s OR t) AND s", &[("precedence", "either")]),
            ("  s1: {a: 1}\n  condition: 1 of s*", &[("of", "more")]),
            ("  s: {a|cidr: 10.0.0.0/8}\n  condition: s", &[("modifier", "either")]),
            ("  s: {m: 1}\n  condition: s", &[("mapping-list", "more")]),
            ("  s: {a: '1 + 1'}\n  condition: s", &[("characters", "either")]),
            ("  s: {a: '1\\*'}\n  condition: s", &[("escapes", "either")]),
            (
                "  s: {a: 1}\n  timeframe: 1m\n  condition: s | count(b) by g > 5",
                &[("distinct", "either"), ("group-mapping", "either"), ("repeats", "fewer")],
            ),
        ] {
            assert_eq!(kinds(detection), expected, "{detection}");
        }
        let keywords = kinds("  k: [error]\n  condition: k");
        assert!(keywords.contains(&("stops", "more")), "{keywords:?}");
    }
}
