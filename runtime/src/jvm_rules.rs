//! What a JVM processor on the same rules topic would not survive.
//!
//! Sigmill and the JVM processor can follow one topic while people change over. Some rules that are
//! fine here end the other's main thread at its next start, whatever its filters say, or one of its
//! threads at the first record that gets as far. [`faults`] names them; nothing else is judged here.

use std::time::Duration;

use regex_automata::meta;
use sigmill_codegen::RuleDocument;
use sigmill_parser::Rule;
use sigmill_parser::yaml::{Node, Resolved};

use crate::clock;
use crate::rules_topic::RulesTopic;
use crate::settings::Settings;
use crate::settings::kafka::KafkaSettings;

/// The JVM processor tells its state every five seconds; an older one is that of a dead process.
const ALIVE_MS: i64 = 60_000;

/// Whether a JVM processor told its state on the settings' instances topic lately.
pub fn is_jvm_alive(settings: &Settings, timeout: Duration) -> bool {
    let topic = settings.instances_topic.as_deref();
    topic.is_some_and(|topic| is_jvm_alive_on(&settings.kafka, topic, timeout))
}

/// Whether a JVM processor told its state on `topic` lately. One that cannot be read tells nothing.
pub fn is_jvm_alive_on(kafka: &KafkaSettings, topic: &str, timeout: Duration) -> bool {
    let records = RulesTopic::new(kafka.clone(), topic, timeout).list().unwrap_or_default();
    let now = clock::now_ms();
    records.iter().any(|record| is_alive(&record.value, now))
}

fn is_alive(state: &[u8], now: i64) -> bool {
    let Ok(state) = serde_json::from_slice::<serde_json::Value>(state) else { return false };
    let is_ours = state.get("processor").is_some_and(|name| name == "sigmill");
    let told = state.get("sampleTimestamp").and_then(serde_json::Value::as_i64);
    !is_ours && told.is_some_and(|told| now.saturating_sub(told) < ALIVE_MS)
}

/// What in a rule a JVM processor would stop at; none: it goes on, whatever it makes of the rule.
pub fn faults(rule: &Rule) -> Vec<String> {
    let title = &rule.title.node;
    let mut faults = Faults { title, found: Vec::new() };
    faults.document(&rule.document);
    faults.found
}

/// As [`faults`], of a document of any kind.
pub fn faults_of(document: &RuleDocument) -> Vec<String> {
    match document {
        RuleDocument::Rule(rule) => faults(rule),
        // It reads every record as a rule.
        other => vec![format!("`{}`: it has no `detection`", other.title())],
    }
}

struct Faults<'a> {
    title: &'a str,
    found: Vec<String>,
}

impl Faults<'_> {
    fn add(&mut self, what: &str) {
        self.found.push(format!("`{}`: {what}", self.title));
    }

    fn document(&mut self, document: &Node) {
        if let Some(kafka) = document.get("kafka")
            && kafka.get("customFields").is_some_and(Node::is_null)
        {
            self.add("`customFields` is empty");
        }
        let Some(detection) = document.get("detection").and_then(Node::as_mapping) else {
            self.add("it has no `detection`");
            return;
        };
        for (name, value) in detection {
            match name.key().unwrap_or_default() {
                "fields" => {}
                "condition" => self.condition(value),
                "timeframe" => self.timeframe(value),
                name => self.selection(name, value),
            }
        }
    }

    fn condition(&mut self, value: &Node) {
        let Some(text) = value.key() else { return };
        let Some((_, aggregation)) = text.split_once('|') else { return };
        if !aggregation.starts_with(' ') {
            self.add("the condition has no blank behind its `|`");
        }
        let has_operator = ["==", ">", "<"].iter().any(|sign| aggregation.contains(sign));
        let is_unknown = [">=", "<="].iter().any(|sign| aggregation.contains(sign));
        if !has_operator || is_unknown {
            self.add("the aggregation's operator is none of `==`, `<` and `>`");
        }
    }

    fn timeframe(&mut self, value: &Node) {
        let text = value.key().unwrap_or_default();
        let number = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
        if number.parse::<i64>().is_err() {
            self.add(&format!("the timeframe `{text}` is no whole number with a unit"));
        }
    }

    fn selection(&mut self, name: &str, value: &Node) {
        if value.is_null() {
            self.add(&format!("the selection `{name}` is empty"));
        }
        for item in value.as_sequence().unwrap_or_default() {
            match item.as_mapping() {
                Some(fields) => self.fields(fields),
                None => return self.add(&format!("`{name}` is a list of keywords")),
            }
        }
        self.fields(value.as_mapping().unwrap_or_default());
    }

    fn fields(&mut self, fields: &[(Node, Node)]) {
        for (name, value) in fields {
            let name = name.key().unwrap_or_default();
            let mut modifiers = name.split('|');
            let field = modifiers.next().unwrap_or_default();
            let modifiers: Vec<&str> = modifiers.collect();
            if field.is_empty() {
                self.add("a field has no name");
            }
            // A map under a field is read as if it stood a level higher.
            self.fields(value.as_mapping().unwrap_or_default());
            let values = value.as_sequence().unwrap_or(std::slice::from_ref(value));
            for value in values {
                self.value(field, &modifiers, value);
            }
        }
    }

    fn value(&mut self, field: &str, modifiers: &[&str], value: &Node) {
        let Some(scalar) = value.as_scalar() else { return };
        if value.is_null() {
            return self.add(&format!("`{field}` has a null among its values"));
        }
        let text = match scalar.resolve() {
            Resolved::Bool(value) => value.to_string(),
            _ => scalar.text.clone(),
        };
        if modifiers.contains(&"re") {
            if let Some(name) = false_group(&text) {
                self.add(&format!("`{field}`: `<{name}>` in the expression is no group"));
            }
        } else if modifiers.contains(&"greater_than") || modifiers.contains(&"less_than") {
            if text.parse::<i64>().is_err() {
                self.add(&format!("`{field}` is compared with `{text}`, which is no whole number"));
            }
        } else if meta::Regex::new(&as_expression(&text)).is_err() {
            self.add(&format!(
                "`{field}`: the value `{text}` is taken for an expression, a wrong one"
            ));
        }
    }
}

/// What the JVM processor makes of a plain value.
fn as_expression(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        match c {
            '.' => out.push_str("\\."),
            '\\' => out.push_str("\\\\"),
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            c => out.push(c),
        }
    }
    out
}

/// The first text between `<` and `>` that the JVM processor takes for a group's name though it is none,
/// in an expression with groups.
fn false_group(expression: &str) -> Option<&str> {
    let has_groups = expression
        .match_indices('(')
        .any(|(at, _)| !expression[at..].starts_with("(?") || expression[at..].starts_with("(?<"));
    if !has_groups {
        return None;
    }
    let mut rest = expression;
    while let Some(open) = rest.find('<') {
        let behind = &rest[open + 1..];
        let close = behind.find('>')?;
        let name = &behind[..close];
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name || !rest[..open].ends_with("(?") {
            return Some(name);
        }
        rest = &behind[close + 1..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigmill_parser::Document;

    fn of(detection: &str) -> Vec<String> {
        let text = format!("title: T\nlogsource: {{product: x}}\ndetection:\n{detection}\n");
        let parsed = sigmill_parser::parse(&text);
        let Some(Document::Rule(rule)) = parsed.documents.into_iter().next() else {
            panic!("{text}: {:?}", parsed.diagnostics)
        };
        faults(&rule)
    }

    #[test]
    fn what_stops_it_is_named() {
        for (detection, said) in [
            ("  k: [error, denied]\n  condition: k", "list of keywords"),
            ("  s: {a: null}\n  condition: s", "null among"),
            ("  s: {a: [x, null]}\n  condition: s", "null among"),
            ("  s: {a: 'foo('}\n  condition: s", "`foo(` is taken for an expression"),
            ("  s: {a|contains: ['ok', '+x']}\n  condition: s", "`+x`"),
            ("  s: {a|gt: 1}\n  t: {b|less_than: 1.5}\n  condition: s and t", "1.5"),
            ("  s: {a: x}\n  timeframe: 10s\n  condition: s |count() > 5", "no blank"),
            ("  s: {a: x}\n  timeframe: 10s\n  condition: s | count() >= 5", "operator"),
            ("  s: {a|re: '(x)<a b>'}\n  condition: s", "`<a b>`"),
            ("  s: {a|re: '(?<a_b>x)'}\n  condition: s", "`<a_b>`"),
            ("  s: {a: x}\n  condition: s\nkafka:\n  customFields:", "customFields"),
        ] {
            let found = of(detection);
            assert_eq!(found.len(), 1, "{detection}: {found:?}");
            assert!(found[0].contains(said) && found[0].contains("`T`"), "{found:?}");
        }
    }

    #[test]
    fn what_it_only_misunderstands_is_not_named() {
        for detection in [
            "  s: {a: 'Program Files (x86)', b|contains: 'x*y?.z'}\n  condition: not s",
            "  s: [{a: x}, {b: 1}]\n  condition: 1 of s*",
            "  s: {a|re: '(?<ab>x)|a(?:<b)'}\n  condition: s",
            "  s: {a|cidr: 10.0.0.0/8, b|greater_than: 5}\n  condition: s",
            "  s: {a: x}\n  timeframe: 10s\n  condition: s | count(b) by c > 5",
        ] {
            assert_eq!(of(detection), Vec::<String>::new(), "{detection}");
        }
    }

    #[test]
    fn a_live_jvm_processor_is_known_by_its_state() {
        let state = |more: &str| format!(r#"{{"applicationId":"a","sampleTimestamp":1000{more}}}"#);
        assert!(is_alive(state("").as_bytes(), 30_000));
        assert!(!is_alive(state("").as_bytes(), 100_000));
        assert!(!is_alive(state(r#","processor":"sigmill""#).as_bytes(), 2_000));
        assert!(!is_alive(b"{}", 0));
        assert!(!is_alive(b"x", 0));
    }
}
