//! Detections as Confluent Sigma writes them, in the form of its release 1.3 and of its unreleased head.

use super::extract::Extract;
use super::json_text::{field, field_if, name_of, put, write_compact_as_text, write_text};
use super::rule_facts::RuleFacts;
use super::{Event, Format};

/// Names that a custom field or a captured group cannot take: a field of that name is there already.
pub(super) const RESERVED: [&str; 7] = [
    "timeStamp",
    "title",
    "id",
    "outputTopic",
    "sourceData",
    "isAggregateCondition",
    "aggregateCondition",
];

/// A rule's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Confluent {
    is_release: bool,
    head: Vec<u8>,
    custom_fields: Vec<u8>,
    /// Custom fields win over groups of their name.
    custom_names: Vec<String>,
}

impl Confluent {
    pub(super) fn new(format: Format, facts: &RuleFacts<'_>) -> Self {
        let is_release = format == Format::Confluent13;
        // Behind the wall clock.
        let mut head = b",".to_vec();
        field(&mut head, "title", facts.title);
        field_if(&mut head, "id", facts.id);
        if is_release {
            head.extend_from_slice(b",\"isAggregateCondition\":false");
        }
        field(&mut head, "outputTopic", facts.output_topic);
        if is_release {
            head.extend_from_slice(b",\"aggregateCondition\":false");
        }
        let mut custom_fields = Vec::new();
        let mut custom_names = Vec::new();
        for (name, value) in &facts.custom_fields {
            if !RESERVED.contains(name) {
                custom_fields.push(b',');
                field(&mut custom_fields, name, value);
                custom_names.push((*name).to_owned());
            }
        }
        Self { is_release, head, custom_fields, custom_names }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, now: i64, event: &Event<'_>, extract: &Extract) {
        put(out, format_args!("{{\"timeStamp\":{now}"));
        out.extend_from_slice(&self.head);
        for (name, value) in &extract.captures {
            if RESERVED.contains(&&**name) || self.custom_names.iter().any(|own| **own == **name) {
                continue;
            }
            name_of(out, name);
            match value {
                Some(value) => write_text(out, value),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(&self.custom_fields);
        name_of(out, "sourceData");
        if self.is_release {
            out.extend_from_slice(event.bytes.trim_ascii());
        } else {
            write_compact_as_text(out, event.bytes);
        }
        out.push(b'}');
    }
}
