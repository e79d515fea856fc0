//! The record that is written for a match.
//!
//! In: a rule, where its match was found, and the record's bytes. Out: one compact JSON object. All
//! that a rule contributes is rendered once, when it is loaded; for a match the worker only
//! joins bytes in a buffer that it uses again. The record's own bytes go in as they are: they passed
//! the engine, so they are a JSON object.

use std::io::Write;

use sigmill_engine::window::{Fixed, Measure, Position, Window, WindowDetection};
use sigmill_parser::{Correlation, DetectionSection, Rule};

/// The shape of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As Confluent Sigma 1.3 writes it: the event as an object under `sourceData`.
    #[default]
    Confluent13,
    /// As Confluent Sigma's unreleased head writes it: the event as a text under `sourceData`.
    ConfluentHead,
    /// Sigmill's own: with level, tags, and where rule and event come from.
    Native,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Confluent13, Self::ConfluentHead, Self::Native];

    /// Its name in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confluent13 => "confluent-1.3",
            Self::ConfluentHead => "confluent-head",
            Self::Native => "native",
        }
    }
}

/// Where a rule was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulePosition {
    /// In a record of the rules topic.
    Record {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// In a file.
    File {
        /// The file as the user named it.
        path: String,
        /// The line its title stands on.
        line: usize,
    },
}

/// Where an event was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventPosition<'a> {
    /// In a record of a data topic.
    Record {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// On a line of a file.
    Line {
        /// The file as the user named it.
        file: &'a str,
        /// The line, from 0.
        line: u64,
    },
}

/// An event as a detection shows it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its bytes: a JSON object.
    pub bytes: &'a [u8],
    /// Where it was read.
    pub position: EventPosition<'a>,
    /// Its record's timestamp in milliseconds, if it has one.
    pub timestamp: Option<i64>,
}

/// What a rule contributes to its detections, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    format: Format,
    /// Behind the wall clock or position, up to the event.
    head: Vec<u8>,
}

/// Names that a custom field cannot take in the Confluent formats.
const RESERVED: &[&str] = &[
    "timeStamp",
    "title",
    "id",
    "outputTopic",
    "sourceData",
    "isAggregateCondition",
    "aggregateCondition",
];

/// The custom fields of a rule that a Confluent format cannot show, since a field of that name is
/// there already.
pub fn shadowed_custom_fields(rule: &Rule) -> Vec<&str> {
    let fields = rule.kafka.iter().flat_map(|kafka| &kafka.custom_fields);
    fields.map(|(name, _)| name.as_str()).filter(|name| RESERVED.contains(name)).collect()
}

impl Template {
    /// Renders a rule's part. `output_topic` is where its detections go.
    pub fn new(format: Format, rule: &Rule, position: &RulePosition, output_topic: &str) -> Self {
        let head = match format {
            Format::Native => native_head(rule, position, output_topic),
            Format::Confluent13 | Format::ConfluentHead => {
                confluent_head(format, rule, output_topic)
            }
        };
        Self { format, head }
    }

    /// Renders a correlation rule's part, in the native format.
    pub fn for_correlation(
        correlation: &Correlation,
        position: &RulePosition,
        output_topic: &str,
    ) -> Self {
        // What a detection shows of a correlation, a rule has as well.
        let rule = Rule {
            title: correlation.title.clone(),
            id: correlation.id.clone(),
            name: None,
            status: None,
            level: correlation.level.clone(),
            description: None,
            author: correlation.author.clone(),
            references: Vec::new(),
            tags: correlation.tags.clone(),
            fields: Vec::new(),
            logsource: None,
            detection: DetectionSection {
                selections: Vec::new(),
                conditions: Vec::new(),
                timeframe: None,
            },
            kafka: correlation.kafka.clone(),
            document: std::sync::Arc::clone(&correlation.document),
        };
        Self::new(Format::Native, &rule, position, output_topic)
    }

    /// Writes the detection for `event` behind what `out` holds. `now` is the wall clock in
    /// milliseconds.
    pub fn write(&self, out: &mut Vec<u8>, now: i64, event: &Event<'_>) {
        match self.format {
            Format::Confluent13 => {
                put(out, format_args!("{{\"timeStamp\":{now}"));
                out.extend_from_slice(&self.head);
                out.extend_from_slice(event.bytes.trim_ascii());
            }
            Format::ConfluentHead => {
                put(out, format_args!("{{\"timeStamp\":{now}"));
                out.extend_from_slice(&self.head);
                write_compact_as_text(out, event.bytes);
            }
            Format::Native => {
                out.extend_from_slice(&self.head);
                put(out, format_args!(",\"detected\":{now}"));
                write_event_position(out, event);
                out.extend_from_slice(b",\"event\":");
                out.extend_from_slice(event.bytes.trim_ascii());
            }
        }
        out.push(b'}');
    }

    /// Writes the detection of a replay over files behind what `out` holds, in the native format: without
    /// a wall clock, so that the same input gives the same bytes.
    pub fn write_replayed(&self, out: &mut Vec<u8>, event: &Event<'_>) {
        out.extend_from_slice(&self.head);
        write_event_position(out, event);
        out.extend_from_slice(b",\"event\":");
        out.extend_from_slice(event.bytes.trim_ascii());
        out.push(b'}');
    }
}

/// What a window's detection shows, besides its rule.
#[derive(Debug, Clone, Copy)]
pub struct WindowPart<'a> {
    /// The detection.
    pub detection: &'a WindowDetection,
    /// Its window.
    pub window: &'a Window,
    /// By source: its name.
    pub sources: &'a [String],
}

impl Template {
    /// Writes the detection of a window over files behind what `out` holds, in the native format. Its
    /// timestamp is the time at which the condition began to hold.
    pub fn write_window(&self, out: &mut Vec<u8>, part: &WindowPart<'_>) {
        let detection = part.detection;
        out.extend_from_slice(&self.head);
        write_correlation(out, part);
        let place = |position: Position| EventPosition::Line {
            file: part.sources.get(position.source as usize).map_or("", String::as_str),
            line: position.offset,
        };
        let completing = Event {
            bytes: b"",
            position: place(detection.completed_by),
            timestamp: Some(detection.at),
        };
        write_event_position(out, &completing);
        out.extend_from_slice(b",\"events\":[");
        for (at, event) in detection.events.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let mut shown = Vec::new();
            let position = place(event.position);
            let known = Event { bytes: b"", position, timestamp: Some(event.time) };
            write_event_position(&mut shown, &known);
            out.push(b'{');
            // Behind the comma that a detection needs there.
            out.extend_from_slice(&shown[1..]);
            if let Some((_, bytes)) = detection.contents.iter().find(|(known, _)| known == event) {
                out.extend_from_slice(b",\"event\":");
                out.extend_from_slice(bytes.trim_ascii());
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
}

fn write_correlation(out: &mut Vec<u8>, part: &WindowPart<'_>) {
    let WindowPart { detection, window, .. } = part;
    out.extend_from_slice(b",\"correlation\":{\"type\":");
    write_text(out, measure_name(window.measure));
    out.extend_from_slice(b",\"group\":{");
    for (at, (name, value)) in window.group_by.iter().zip(detection.group.values()).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(out, name);
        out.push(b':');
        write_text(out, &String::from_utf8_lossy(value.unwrap_or_default()));
    }
    let number = if window.measure.is_numeric() { "value" } else { "count" };
    put(out, format_args!("}},\"{number}\":{}", detection.reading));
    put(
        out,
        format_args!(",\"window\":{{\"start\":{},\"end\":{}}}", detection.start, detection.end),
    );
    put(out, format_args!(",\"eventCount\":{}", detection.events_total));
    if detection.is_truncated {
        out.extend_from_slice(b",\"truncated\":true");
    }
    out.push(b'}');
}

/// Sigma's word where it has one.
fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::Events => "event_count",
        Measure::DistinctValues => "value_count",
        Measure::Inputs => "temporal",
        Measure::InputsInOrder => "temporal_ordered",
        Measure::Sum => "value_sum",
        Measure::Average => "value_avg",
        Measure::Percentile(percent) if percent == Fixed::from_count(50) => "value_median",
        Measure::Percentile(_) => "value_percentile",
        Measure::Min => "value_min",
        Measure::Max => "value_max",
    }
}

fn confluent_head(format: Format, rule: &Rule, output_topic: &str) -> Vec<u8> {
    let has_flags = format == Format::Confluent13;
    let mut head = Vec::new();
    field(&mut head, "title", &rule.title.node);
    if let Some(id) = &rule.id {
        field(&mut head, "id", &id.node);
    }
    if has_flags {
        head.extend_from_slice(b",\"isAggregateCondition\":false");
    }
    field(&mut head, "outputTopic", output_topic);
    if has_flags {
        head.extend_from_slice(b",\"aggregateCondition\":false");
    }
    for (name, value) in custom_fields(rule) {
        if !RESERVED.contains(&name) {
            field(&mut head, name, value);
        }
    }
    head.extend_from_slice(b",\"sourceData\":");
    head
}

fn native_head(rule: &Rule, position: &RulePosition, output_topic: &str) -> Vec<u8> {
    let mut head = b"{\"title\":".to_vec();
    write_text(&mut head, &rule.title.node);
    if let Some(id) = &rule.id {
        field(&mut head, "id", &id.node);
    }
    if let Some(level) = &rule.level {
        field(&mut head, "level", level.node.as_str());
    }
    if !rule.tags.is_empty() {
        head.extend_from_slice(b",\"tags\":[");
        for (at, tag) in rule.tags.iter().enumerate() {
            if at > 0 {
                head.push(b',');
            }
            write_text(&mut head, &tag.node);
        }
        head.push(b']');
    }
    if let Some(author) = &rule.author {
        field(&mut head, "author", &author.node);
    }
    match position {
        RulePosition::Record { topic, partition, offset } => {
            head.extend_from_slice(b",\"rule\":{\"topic\":");
            write_text(&mut head, topic);
            put(&mut head, format_args!(",\"partition\":{partition},\"offset\":{offset}}}"));
        }
        RulePosition::File { path, line } => {
            head.extend_from_slice(b",\"rule\":{\"file\":");
            write_text(&mut head, path);
            put(&mut head, format_args!(",\"line\":{line}}}"));
        }
    }
    // A replay over files has no topic unless the rule names one.
    if !output_topic.is_empty() {
        field(&mut head, "outputTopic", output_topic);
    }
    let custom = custom_fields(rule);
    if !custom.is_empty() {
        head.extend_from_slice(b",\"customFields\":{");
        for (at, (name, value)) in custom.into_iter().enumerate() {
            if at > 0 {
                head.push(b',');
            }
            write_text(&mut head, name);
            head.push(b':');
            write_text(&mut head, value);
        }
        head.push(b'}');
    }
    head
}

/// A rule's custom fields, each name once: the last value counts.
fn custom_fields(rule: &Rule) -> Vec<(&str, &str)> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    for (name, value) in rule.kafka.iter().flat_map(|kafka| &kafka.custom_fields) {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => fields.push((name, value)),
        }
    }
    fields
}

fn write_event_position(out: &mut Vec<u8>, event: &Event<'_>) {
    match event.position {
        EventPosition::Record { topic, partition, offset } => {
            out.extend_from_slice(b",\"source\":{\"topic\":");
            write_text(out, topic);
            put(out, format_args!(",\"partition\":{partition},\"offset\":{offset}}}"));
        }
        EventPosition::Line { file, line } => {
            out.extend_from_slice(b",\"source\":{\"file\":");
            write_text(out, file);
            put(out, format_args!(",\"line\":{line}}}"));
        }
    }
    if let Some(timestamp) = event.timestamp {
        put(out, format_args!(",\"timestamp\":{timestamp}"));
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes all bytes");
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b',');
    write_text(out, name);
    out.push(b':');
    write_text(out, value);
}

/// Writes a text as a JSON string.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => put(out, format_args!("\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Writes valid JSON, without the white space between its tokens, as a JSON string.
fn write_compact_as_text(out: &mut Vec<u8>, json: &[u8]) {
    out.push(b'"');
    let mut is_in_text = false;
    let mut is_escaped = false;
    for byte in json {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' if !is_in_text => continue,
            b'"' | b'\\' => out.push(b'\\'),
            _ => {}
        }
        out.push(*byte);
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_in_text = !is_in_text,
            _ => {}
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigmill_parser::Document;

    const RULE: &str = r#"
title: Say "no"
id: c4b890e5
level: high
tags: [attack.t1, cve.1]
author: Ada
logsource: {product: zeek}
detection: {sel: {foo: abc}, condition: sel}
kafka:
  outputTopic: firewalls
  customFields: {location: edge, index: main, title: shadowed}
"#;

    fn rule(text: &str) -> Rule {
        let parsed = sigmill_parser::parse(text);
        let Some(Document::Rule(rule)) = parsed.documents.into_iter().next() else {
            panic!("{:?}", parsed.diagnostics)
        };
        *rule
    }

    fn detection(format: Format, text: &str, event: &str) -> String {
        let position = RulePosition::Record { topic: "rules".into(), partition: 0, offset: 41 };
        let template = Template::new(format, &rule(text), &position, "firewalls");
        let event = Event {
            bytes: event.as_bytes(),
            position: EventPosition::Record { topic: "data", partition: 3, offset: 17 },
            timestamp: Some(5),
        };
        let mut out = Vec::new();
        template.write(&mut out, 1_695_490_398_577, &event);
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        text
    }

    #[test]
    fn the_form_of_1_3() {
        assert_eq!(
            detection(Format::Confluent13, RULE, " {\"foo\": \"a b\", \"x\":1.50}\n"),
            concat!(
                r#"{"timeStamp":1695490398577,"title":"Say \"no\"","id":"c4b890e5","#,
                r#""isAggregateCondition":false,"outputTopic":"firewalls","aggregateCondition":false,"#,
                r#""location":"edge","index":"main","sourceData":{"foo": "a b", "x":1.50}}"#
            )
        );
        assert_eq!(shadowed_custom_fields(&rule(RULE)), ["title"]);
    }

    #[test]
    fn the_form_of_the_head() {
        let bare = "title: T\nlogsource: {product: zeek}\n\
                    detection: {s: {foo: abc}, condition: s}\n";
        assert_eq!(
            detection(Format::ConfluentHead, bare, r#"{ "foo" : "a \"b\\" , "n":[1, 2]}"#),
            concat!(
                r#"{"timeStamp":1695490398577,"title":"T","outputTopic":"firewalls","#,
                r#""sourceData":"{\"foo\":\"a \\\"b\\\\\",\"n\":[1,2]}"}"#
            )
        );
    }

    #[test]
    fn the_native_form() {
        assert_eq!(
            detection(Format::Native, RULE, "{}"),
            concat!(
                r#"{"title":"Say \"no\"","id":"c4b890e5","level":"high","tags":["attack.t1","cve.1"],"#,
                r#""author":"Ada","rule":{"topic":"rules","partition":0,"offset":41},"#,
                r#""outputTopic":"firewalls","#,
                r#""customFields":{"location":"edge","index":"main","title":"shadowed"},"#,
                r#""detected":1695490398577,"source":{"topic":"data","partition":3,"offset":17},"#,
                r#""timestamp":5,"event":{}}"#
            )
        );
    }

    #[test]
    fn the_text_under_source_data_reads_back_as_the_event() {
        let event = "{\"a\": \"\\u0001\\n ä\", \"b\" : {\"c\":\t[null , true]}}";
        let text = detection(Format::ConfluentHead, RULE, event);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let inner: serde_json::Value =
            serde_json::from_str(value["sourceData"].as_str().unwrap()).unwrap();
        assert_eq!(inner, serde_json::from_str::<serde_json::Value>(event).unwrap());
    }

    #[test]
    fn texts_are_escaped() {
        let mut out = Vec::new();
        write_text(&mut out, "a\"\\\n\r\t\u{1}ä");
        assert_eq!(String::from_utf8(out).unwrap(), r#""a\"\\\n\r\t\u0001ä""#);
    }
}
