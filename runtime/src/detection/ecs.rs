//! Detections as documents of the Elastic Common Schema: an alert of a rule.
//!
//! What the schema has no place for stands under `sigmill`; the record is there as an object, byte for
//! byte, and custom fields and captured groups are `labels`.

use sigmill_parser::Level;

use super::extract::Extract;
use super::json_text::{field, field_if, list, list_if, name_of, put, write_text};
use super::native;
use super::rule_facts::RuleFacts;
use super::{Event, EventPosition};
use crate::calendar::Utc;

const VERSION: &str = "8.17.0";

/// A rule's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ecs {
    /// Members behind the times.
    head: Vec<u8>,
    labels: Vec<u8>,
    label_names: Vec<String>,
    output_topic: String,
    /// Begins the id of every detection.
    rule_key: String,
}

impl Ecs {
    pub(super) fn new(facts: &RuleFacts<'_>) -> Self {
        let mut head = b",".to_vec();
        name_of(&mut head, "ecs");
        head.push(b'{');
        field(&mut head, "version", VERSION);
        head.push(b'}');
        field(&mut head, "message", facts.title);
        list_if(&mut head, "tags", &facts.tags);
        write_rule(&mut head, facts);
        write_threat(&mut head, facts);
        name_of(&mut head, "event");
        head.push(b'{');
        field(&mut head, "kind", "alert");
        name_of(&mut head, "category");
        list(&mut head, &["intrusion_detection"]);
        name_of(&mut head, "type");
        list(&mut head, &["info"]);
        field(&mut head, "module", "sigmill");
        field(&mut head, "dataset", "sigmill.detection");
        if let Some(level) = facts.level {
            put(&mut head, format_args!(",\"severity\":{}", severity(level)));
        }
        let mut labels = Vec::new();
        facts.custom_fields.iter().for_each(|(name, value)| {
            labels.push(b',');
            field(&mut labels, name, value);
        });
        Self {
            head,
            labels,
            label_names: facts.custom_fields.iter().map(|(name, _)| (*name).to_owned()).collect(),
            output_topic: facts.output_topic.to_owned(),
            rule_key: facts.id.unwrap_or(facts.title).to_owned(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, now: i64, event: &Event<'_>, extract: &Extract) {
        let time = Utc(event.timestamp.unwrap_or(now));
        put(out, format_args!("{{\"@timestamp\":\"{time}\""));
        out.extend_from_slice(&self.head);
        field(out, "id", &super::detection_uid(&self.rule_key, event));
        put(out, format_args!(",\"created\":\"{}\"}}", Utc(now)));
        self.write_labels(out, extract);
        name_of(out, "sigmill");
        out.push(b'{');
        field(out, "output_topic", &self.output_topic);
        if let EventPosition::Record { topic, partition, offset } = event.position {
            name_of(out, "source");
            out.push(b'{');
            field(out, "topic", topic);
            put(out, format_args!(",\"partition\":{partition},\"offset\":{offset}}}"));
        }
        native::write_fields(out, extract);
        native::write_joined(out, extract);
        native::write_correlation(out, extract);
        native::write_event(out, event);
        out.extend_from_slice(b"}}");
    }

    fn write_labels(&self, out: &mut Vec<u8>, extract: &Extract) {
        let is_own = |name: &str| self.label_names.iter().any(|own| own == name);
        let groups: Vec<_> = extract
            .captures
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .filter(|(name, _)| !is_own(name))
            .collect();
        if groups.is_empty() && self.labels.is_empty() {
            return;
        }
        name_of(out, "labels");
        out.push(b'{');
        for (name, value) in groups {
            name_of(out, name);
            write_text(out, value);
        }
        // What is rendered begins with a comma.
        let is_first = out.last() == Some(&b'{');
        out.extend_from_slice(self.labels.get(usize::from(is_first)..).unwrap_or_default());
        out.push(b'}');
    }
}

fn write_rule(out: &mut Vec<u8>, facts: &RuleFacts<'_>) {
    name_of(out, "rule");
    out.push(b'{');
    field(out, "name", facts.title);
    field_if(out, "id", facts.id);
    field_if(out, "uuid", facts.id);
    field_if(out, "description", facts.description);
    if let Some(author) = facts.author {
        let authors: Vec<&str> = author.split(',').map(str::trim).collect();
        list_if(out, "author", &authors);
    }
    field_if(out, "reference", facts.references.first().copied());
    let category = facts.logsource.and_then(|logsource| logsource.category.as_ref());
    field_if(out, "category", category.map(|category| category.node.as_str()));
    field(out, "ruleset", "sigma");
    field(out, "version", &facts.hash);
    out.push(b'}');
}

fn write_threat(out: &mut Vec<u8>, facts: &RuleFacts<'_>) {
    let attack = &facts.attack;
    if attack.is_empty() {
        return;
    }
    name_of(out, "threat");
    out.push(b'{');
    field(out, "framework", "MITRE ATT&CK");
    if !attack.tactics.is_empty() {
        name_of(out, "tactic");
        out.push(b'{');
        let ids: Vec<&str> = attack.tactics.iter().map(|tactic| tactic.id).collect();
        let names: Vec<&str> = attack.tactics.iter().map(|tactic| tactic.name).collect();
        list_if(out, "id", &ids);
        list_if(out, "name", &names);
        out.push(b'}');
    }
    if !attack.techniques.is_empty() {
        let mut main: Vec<&str> = Vec::new();
        for technique in &attack.techniques {
            let id = technique.split('.').next().unwrap_or_default();
            if !main.contains(&id) {
                main.push(id);
            }
        }
        let sub: Vec<&String> = attack.techniques.iter().filter(|id| id.contains('.')).collect();
        name_of(out, "technique");
        out.push(b'{');
        list_if(out, "id", &main);
        if !sub.is_empty() {
            name_of(out, "subtechnique");
            out.push(b'{');
            list_if(out, "id", &sub);
            out.push(b'}');
        }
        out.push(b'}');
    }
    out.push(b'}');
}

/// Elastic's own numbers for the levels of its rules.
fn severity(level: Level) -> u8 {
    match level {
        Level::Informational => 1,
        Level::Low => 21,
        Level::Medium => 47,
        Level::High => 73,
        Level::Critical => 99,
    }
}
