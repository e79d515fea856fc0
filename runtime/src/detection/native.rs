//! Sigmill's own detections: everything that is known of the rule, the match and the event.

use super::extract::Extract;
use super::json_text::{field, field_if, list_if, name_of, put, write_text};
use super::rule_facts::RuleFacts;
use super::{Event, EventPosition, RulePosition};

/// A rule's part: the whole beginning, up to what the event adds.
pub(super) fn head(facts: &RuleFacts<'_>) -> Vec<u8> {
    let mut head = b"{".to_vec();
    field(&mut head, "title", facts.title);
    field_if(&mut head, "id", facts.id);
    field_if(&mut head, "level", facts.level.map(|level| level.as_str()));
    field_if(&mut head, "status", facts.status);
    list_if(&mut head, "tags", &facts.tags);
    if !facts.attack.is_empty() {
        name_of(&mut head, "attack");
        head.push(b'{');
        let ids: Vec<&str> = facts.attack.tactics.iter().map(|tactic| tactic.id).collect();
        list_if(&mut head, "tactics", &ids);
        list_if(&mut head, "techniques", &facts.attack.techniques);
        head.push(b'}');
    }
    field_if(&mut head, "author", facts.author);
    if let Some(logsource) = facts.logsource {
        name_of(&mut head, "logsource");
        head.push(b'{');
        let parts = [
            ("category", &logsource.category),
            ("product", &logsource.product),
            ("service", &logsource.service),
        ];
        for (name, part) in parts {
            field_if(&mut head, name, part.as_ref().map(|part| part.node.as_str()));
        }
        head.push(b'}');
    }
    name_of(&mut head, "rule");
    head.push(b'{');
    match facts.position {
        RulePosition::Record { topic, partition, offset } => {
            field(&mut head, "topic", topic);
            put(&mut head, format_args!(",\"partition\":{partition},\"offset\":{offset}"));
        }
        RulePosition::File { path, line } => {
            field(&mut head, "file", path);
            put(&mut head, format_args!(",\"line\":{line}"));
        }
    }
    field(&mut head, "hash", &facts.hash);
    head.push(b'}');
    // A replay over files has no topic unless the rule names one.
    field_if(&mut head, "outputTopic", Some(facts.output_topic).filter(|topic| !topic.is_empty()));
    if !facts.custom_fields.is_empty() {
        name_of(&mut head, "customFields");
        head.push(b'{');
        facts.custom_fields.iter().for_each(|(name, value)| field(&mut head, name, value));
        head.push(b'}');
    }
    head
}

/// Writes what was taken from the event.
pub(super) fn write_extract(out: &mut Vec<u8>, extract: &Extract) {
    if !extract.captures.is_empty() {
        name_of(out, "captures");
        out.push(b'{');
        for (name, value) in &extract.captures {
            name_of(out, name);
            match value {
                Some(value) => write_text(out, value),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
    }
    write_fields(out, extract);
    write_joined(out, extract);
    write_correlation(out, extract);
}

/// Writes what was joined to the event, and the rule's own level where that changed it.
pub(super) fn write_joined(out: &mut Vec<u8>, extract: &Extract) {
    if let Some((_, own)) = extract.level {
        field(out, "ruleLevel", own.map_or("none", |level| level.as_str()));
    }
    if !extract.joined.is_empty() {
        name_of(out, "joined");
        out.push(b'[');
        out.extend_from_slice(&extract.joined);
        out.push(b']');
    }
}

/// Writes the fields that the rule looks at.
pub(super) fn write_fields(out: &mut Vec<u8>, extract: &Extract) {
    if !extract.fields.is_empty() {
        name_of(out, "fields");
        out.push(b'{');
        out.extend_from_slice(&extract.fields);
        out.push(b'}');
    }
}

/// Writes what a window found.
pub(super) fn write_correlation(out: &mut Vec<u8>, extract: &Extract) {
    if !extract.correlation.is_empty() {
        name_of(out, "correlation");
        out.extend_from_slice(&extract.correlation);
    }
}

/// Writes where an event was read, and its record's timestamp.
pub(super) fn write_position(out: &mut Vec<u8>, event: &Event<'_>) {
    name_of(out, "source");
    out.push(b'{');
    match event.position {
        EventPosition::Record { topic, partition, offset } => {
            field(out, "topic", topic);
            put(out, format_args!(",\"partition\":{partition},\"offset\":{offset}}}"));
        }
        EventPosition::Line { file, line } => {
            field(out, "file", file);
            put(out, format_args!(",\"line\":{line}}}"));
        }
    }
    if let Some(timestamp) = event.timestamp {
        put(out, format_args!(",\"timestamp\":{timestamp}"));
    }
}

/// Writes the event itself, byte for byte.
pub(super) fn write_event(out: &mut Vec<u8>, event: &Event<'_>) {
    name_of(out, "event");
    out.extend_from_slice(event.bytes.trim_ascii());
}
