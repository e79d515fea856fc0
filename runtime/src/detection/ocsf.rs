//! Detections as events of the Open Cybersecurity Schema Framework: class 2004, Detection Finding.
//!
//! The record is the data of the finding's evidence, byte for byte; custom fields and captured groups
//! stand under `unmapped`.

use sigmill_parser::Level;

use super::extract::Extract;
use super::json_text::{field, field_if, list_if, name_of, put, write_text};
use super::rule_facts::RuleFacts;
use super::{Event, EventPosition};

const VERSION: &str = "1.4.0";

/// A rule's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ocsf {
    /// The beginning, up to the times.
    head: Vec<u8>,
    /// The members of `finding_info` that the rule gives.
    finding: Vec<u8>,
    custom_fields: Vec<(String, String)>,
    /// Begins the id of every finding.
    rule_key: String,
}

impl Ocsf {
    pub(super) fn new(facts: &RuleFacts<'_>) -> Self {
        let (severity_id, severity) = severity(facts.level);
        let mut head = b"{\"activity_id\":1,\"activity_name\":\"Create\",\"category_uid\":2,\
            \"category_name\":\"Findings\",\"class_uid\":2004,\"class_name\":\"Detection Finding\",\
            \"type_uid\":200401,\"type_name\":\"Detection Finding: Create\",\"status_id\":1,\
            \"status\":\"New\",\"is_alert\":true"
            .to_vec();
        put(&mut head, format_args!(",\"severity_id\":{severity_id}"));
        field(&mut head, "severity", severity);
        field(&mut head, "message", facts.title);
        name_of(&mut head, "metadata");
        head.push(b'{');
        field(&mut head, "version", VERSION);
        list_if(&mut head, "labels", &facts.tags);
        name_of(&mut head, "product");
        head.push(b'{');
        field(&mut head, "name", "Sigmill");
        field(&mut head, "vendor_name", "Sigmill");
        field(&mut head, "version", env!("CARGO_PKG_VERSION"));
        head.push(b'}');
        let mut finding = b",".to_vec();
        field(&mut finding, "title", facts.title);
        field_if(&mut finding, "desc", facts.description);
        field_if(&mut finding, "src_url", facts.references.first().copied());
        name_of(&mut finding, "analytic");
        finding.push(b'{');
        field(&mut finding, "name", facts.title);
        field_if(&mut finding, "uid", facts.id);
        finding.extend_from_slice(b",\"type_id\":1,\"type\":\"Rule\"");
        field(&mut finding, "version", &facts.hash);
        let category = facts.logsource.and_then(|logsource| logsource.category.as_ref());
        field_if(&mut finding, "category", category.map(|category| category.node.as_str()));
        finding.push(b'}');
        write_attacks(&mut finding, facts);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            head,
            finding,
            custom_fields: facts.custom_fields.iter().map(owned).collect(),
            rule_key: facts.id.unwrap_or(facts.title).to_owned(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, now: i64, event: &Event<'_>, extract: &Extract) {
        let uid = super::detection_uid(&self.rule_key, event);
        out.extend_from_slice(&self.head);
        // Still inside of `metadata`.
        field(out, "uid", &uid);
        put(out, format_args!(",\"logged_time\":{now}}}"));
        put(out, format_args!(",\"time\":{}", event.timestamp.unwrap_or(now)));
        name_of(out, "finding_info");
        out.push(b'{');
        field(out, "uid", &uid);
        out.extend_from_slice(&self.finding);
        put(out, format_args!(",\"created_time\":{now}}}"));
        name_of(out, "evidences");
        out.extend_from_slice(b"[{\"data\":");
        out.extend_from_slice(event.bytes.trim_ascii());
        out.extend_from_slice(b"}]");
        name_of(out, "unmapped");
        out.push(b'{');
        if let EventPosition::Record { topic, partition, offset } = event.position {
            name_of(out, "source");
            out.push(b'{');
            field(out, "topic", topic);
            put(out, format_args!(",\"partition\":{partition},\"offset\":{offset}}}"));
        }
        super::native::write_extract(out, extract);
        if !self.custom_fields.is_empty() {
            name_of(out, "custom_fields");
            out.push(b'{');
            self.custom_fields.iter().for_each(|(name, value)| field(out, name, value));
            out.push(b'}');
        }
        out.extend_from_slice(b"}}");
    }
}

fn write_attacks(out: &mut Vec<u8>, facts: &RuleFacts<'_>) {
    let attack = &facts.attack;
    if attack.is_empty() {
        return;
    }
    name_of(out, "attacks");
    out.push(b'[');
    // Which tactic a technique belongs to is not in the tags, so each stands for itself.
    for tactic in &attack.tactics {
        begin_item(out);
        name_of(out, "tactic");
        out.push(b'{');
        field(out, "uid", tactic.id);
        field(out, "name", tactic.name);
        out.extend_from_slice(b"}}");
    }
    for technique in &attack.techniques {
        begin_item(out);
        name_of(out, "technique");
        out.extend_from_slice(b"{\"uid\":");
        write_text(out, technique.split('.').next().unwrap_or_default());
        out.push(b'}');
        if technique.contains('.') {
            name_of(out, "sub_technique");
            out.extend_from_slice(b"{\"uid\":");
            write_text(out, technique);
            out.push(b'}');
        }
        out.push(b'}');
    }
    out.push(b']');
}

fn begin_item(out: &mut Vec<u8>) {
    if out.last() != Some(&b'[') {
        out.push(b',');
    }
    out.push(b'{');
}

fn severity(level: Option<Level>) -> (u8, &'static str) {
    match level {
        None => (0, "Unknown"),
        Some(Level::Informational) => (1, "Informational"),
        Some(Level::Low) => (2, "Low"),
        Some(Level::Medium) => (3, "Medium"),
        Some(Level::High) => (4, "High"),
        Some(Level::Critical) => (5, "Critical"),
    }
}
