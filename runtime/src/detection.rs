//! The record that is written for a match.
//!
//! In: a rule, where its match was found, and the record's bytes. Out: one compact JSON object. All
//! that a rule contributes is rendered once, when it is loaded; for a match the worker only
//! joins bytes in a buffer that it uses again. The record's own bytes go in as they are: they passed
//! the engine, so they are a JSON object.

mod attack;
mod avro;
mod confluent;
mod ecs;
mod extract;
mod json_text;
mod native;
mod ocsf;
mod rule_facts;
mod window_part;

use sigmill_parser::{Correlation, KafkaBlock, Level, Rule};

use avro::Avro;
pub use avro::{OutputSchemas, SCHEMA as AVRO_SCHEMA};
use confluent::Confluent;
use ecs::Ecs;
pub use extract::Extract;
use json_text::put;
pub use json_text::write_text;
use ocsf::Ocsf;
use rule_facts::RuleFacts;
pub(crate) use rule_facts::version_hash;
pub use window_part::WindowPart;

/// The shape of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As Confluent Sigma 1.3 writes it: the event as an object under `sourceData`.
    #[default]
    Confluent13,
    /// As Confluent Sigma's unreleased head writes it: the event as a text under `sourceData`.
    ConfluentHead,
    /// Sigmill's own: with everything that is known.
    Native,
    /// A detection finding of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// An alert of the Elastic Common Schema.
    Ecs,
    /// As Confluent Sigma's unreleased head writes it where `output.topic.format` is Avro.
    ConfluentAvro,
}

impl Format {
    /// Every format of JSON.
    pub const ALL: [Self; 5] =
        [Self::Confluent13, Self::ConfluentHead, Self::Native, Self::Ocsf, Self::Ecs];

    /// Its name in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confluent13 => "confluent-1.3",
            Self::ConfluentHead => "confluent-head",
            Self::Native => "native",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
            Self::ConfluentAvro => "confluent-avro",
        }
    }

    /// Whether detections show the fields that their rule looks at.
    pub fn shows_fields(self) -> bool {
        matches!(self, Self::Native | Self::Ocsf | Self::Ecs)
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
    form: Form,
    /// By level in rising order: the same at that level, where levels may change.
    leveled: Vec<Form>,
    level: Option<Level>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Confluent(Confluent),
    /// The beginning.
    Native(Vec<u8>),
    Ocsf(Box<Ocsf>),
    Ecs(Box<Ecs>),
    Avro(Avro),
}

/// The custom fields of a rule that a Confluent format cannot show, since a field of that name is
/// there already.
pub fn shadowed_custom_fields(kafka: Option<&KafkaBlock>) -> Vec<&str> {
    let fields = kafka.into_iter().flat_map(|kafka| &kafka.custom_fields);
    let names = fields.map(|(name, _)| name.as_str());
    names.filter(|name| confluent::RESERVED.contains(name)).collect()
}

impl Template {
    /// Renders a rule's part. `output_topic` is where its detections go.
    pub fn new(format: Format, rule: &Rule, position: &RulePosition, output_topic: &str) -> Self {
        Self::of_facts(format, &RuleFacts::of_rule(rule, position, output_topic))
    }

    /// As [`Self::new`], for a rule whose detections may have another level than the rule.
    pub fn with_levels(
        format: Format,
        rule: &Rule,
        position: &RulePosition,
        output_topic: &str,
    ) -> Self {
        let mut facts = RuleFacts::of_rule(rule, position, output_topic);
        let own = Self::of_facts(format, &facts);
        let mut leveled = |level| {
            facts.level = Some(level);
            Self::of_facts(format, &facts).form
        };
        let leveled = Level::ALL.into_iter().map(&mut leveled).collect();
        Self { leveled, ..own }
    }

    /// Renders a correlation rule's part.
    pub fn for_correlation(
        format: Format,
        correlation: &Correlation,
        position: &RulePosition,
        output_topic: &str,
    ) -> Self {
        let facts = RuleFacts::of_correlation(correlation, position, output_topic);
        Self::of_facts(format, &facts)
    }

    /// The rule's own level.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// The form at the level that a detection has.
    fn form(&self, extract: &Extract) -> &Form {
        let at = extract.level.and_then(|(level, _)| Level::ALL.iter().position(|l| *l == level));
        at.and_then(|at| self.leveled.get(at)).unwrap_or(&self.form)
    }

    /// The part of what makes no detections.
    pub fn empty() -> Self {
        Self { form: Form::Native(Vec::new()), leveled: Vec::new(), level: None }
    }

    fn of_facts(format: Format, facts: &RuleFacts<'_>) -> Self {
        let form = match format {
            Format::Confluent13 | Format::ConfluentHead => {
                Form::Confluent(Confluent::new(format, facts))
            }
            Format::Native => Form::Native(native::head(facts)),
            Format::Ocsf => Form::Ocsf(Box::new(Ocsf::new(facts))),
            Format::Ecs => Form::Ecs(Box::new(Ecs::new(facts))),
            Format::ConfluentAvro => Form::Avro(Avro::new(facts)),
        };
        Self { form, leveled: Vec::new(), level: facts.level }
    }

    /// Writes the detection for `event` behind what `out` holds. `now` is the wall clock in
    /// milliseconds.
    pub fn write(&self, out: &mut Vec<u8>, now: i64, event: &Event<'_>, extract: &Extract) {
        match self.form(extract) {
            Form::Confluent(confluent) => confluent.write(out, now, event, extract),
            Form::Ocsf(ocsf) => ocsf.write(out, now, event, extract),
            Form::Ecs(ecs) => ecs.write(out, now, event, extract),
            Form::Avro(avro) => avro.write(out, now, event, extract),
            Form::Native(head) => {
                out.extend_from_slice(head);
                put(out, format_args!(",\"detected\":{now}"));
                native::write_extract(out, extract);
                native::write_position(out, event);
                native::write_event(out, event);
                out.push(b'}');
            }
        }
    }

    /// Writes the detection of a replay over files behind what `out` holds, in the native format: without
    /// a wall clock, so that the same input gives the same bytes. Of the extract, it tells what was joined.
    pub fn write_replayed(&self, out: &mut Vec<u8>, event: &Event<'_>, extract: &Extract) {
        match self.form(extract) {
            Form::Native(head) => out.extend_from_slice(head),
            _ => out.extend_from_slice(self.native_head()),
        }
        native::write_joined(out, extract);
        native::write_position(out, event);
        native::write_event(out, event);
        out.push(b'}');
    }

    /// The beginning in the native format; nothing for others.
    fn native_head(&self) -> &[u8] {
        match &self.form {
            Form::Native(head) => head,
            _ => b"{\"title\":null",
        }
    }
}

/// An id that a detection keeps when it is sent again: rule and place of the record.
fn detection_uid(rule_key: &str, event: &Event<'_>) -> String {
    match event.position {
        EventPosition::Record { topic, partition, offset } => {
            format!("{topic}-{partition}-{offset}-{rule_key}")
        }
        EventPosition::Line { file, line } => format!("{file}-{line}-{rule_key}"),
    }
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
        extracted(format, text, event, &Extract::default())
    }

    fn extracted(format: Format, text: &str, event: &str, extract: &Extract) -> String {
        let position = RulePosition::Record { topic: "rules".into(), partition: 0, offset: 41 };
        let template = Template::new(format, &rule(text), &position, "firewalls");
        let event = Event {
            bytes: event.as_bytes(),
            position: EventPosition::Record { topic: "data", partition: 3, offset: 17 },
            timestamp: Some(1_695_490_000_000),
        };
        let mut out = Vec::new();
        template.write(&mut out, 1_695_490_398_577, &event, extract);
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).expect(&text);
        text
    }

    /// Groups: one plain, one without a part in the match, two of names that are taken.
    fn groups() -> Extract {
        Extract {
            captures: vec![
                ("src".into(), Some("10.0.0.1".into())),
                ("none".into(), None),
                ("location".into(), Some("lost".into())),
                ("sourceData".into(), Some("lost".into())),
            ],
            fields: br#""foo":["a",1]"#.to_vec(),
            ..Extract::default()
        }
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
        assert_eq!(shadowed_custom_fields(rule(RULE).kafka.as_ref()), ["title"]);
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
    fn captured_groups_stand_beside_custom_fields_which_win() {
        for format in [Format::Confluent13, Format::ConfluentHead] {
            let text = extracted(format, RULE, "{}", &groups());
            let expected =
                r#""src":"10.0.0.1","none":null,"location":"edge","index":"main","sourceData":"#;
            assert!(text.contains(expected), "{text}");
            assert_eq!(text.matches("sourceData").count(), 1, "{text}");
        }
    }

    #[test]
    fn the_native_form() {
        let hash = version_hash(&rule(RULE).to_json());
        assert_eq!(
            extracted(Format::Native, RULE, "{}", &groups()),
            [
                r#"{"title":"Say \"no\"","id":"c4b890e5","level":"high","tags":["attack.t1","cve.1"],"#,
                r#""attack":{"techniques":["T1"]},"author":"Ada","logsource":{"product":"zeek"},"#,
                r#""rule":{"topic":"rules","partition":0,"offset":41,"hash":""#,
                &hash,
                r#""},"outputTopic":"firewalls","#,
                r#""customFields":{"location":"edge","index":"main","title":"shadowed"},"#,
                r#""detected":1695490398577,"#,
                r#""captures":{"src":"10.0.0.1","none":null,"location":"lost","sourceData":"lost"},"#,
                r#""fields":{"foo":["a",1]},"#,
                r#""source":{"topic":"data","partition":3,"offset":17},"#,
                r#""timestamp":1695490000000,"event":{}}"#
            ]
            .concat()
        );
    }

    const TAGGED: &str = r#"
title: T
id: x
level: critical
description: What it is.
author: Ada, Bob
references: [https://example.org/a]
tags: [attack.t1059.001, attack.t1003, attack.execution]
logsource: {product: windows, category: process_creation}
detection: {sel: {foo: abc}, condition: sel}
kafka: {customFields: {site: a}}
"#;

    #[test]
    fn the_form_of_ocsf() {
        let text = extracted(Format::Ocsf, TAGGED, r#" {"n":1.50} "#, &groups());
        assert!(text.contains(r#""evidences":[{"data":{"n":1.50}}]"#), "{text}");
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["class_uid"], 2004);
        assert_eq!(found["type_uid"], 200_401);
        assert_eq!((&found["severity_id"], &found["severity"]), (&5.into(), &"Critical".into()));
        assert_eq!(found["time"], 1_695_490_000_000_i64);
        assert_eq!(found["finding_info"]["uid"], "data-3-17-x");
        assert_eq!(found["finding_info"]["title"], "T");
        assert_eq!(found["finding_info"]["created_time"], 1_695_490_398_577_i64);
        assert_eq!(found["finding_info"]["analytic"]["type_id"], 1);
        let attacks = &found["finding_info"]["attacks"];
        assert_eq!(attacks[0]["tactic"]["uid"], "TA0002");
        assert_eq!(attacks[1]["technique"]["uid"], "T1059");
        assert_eq!(attacks[1]["sub_technique"]["uid"], "T1059.001");
        assert_eq!(attacks[2]["technique"]["uid"], "T1003");
        assert_eq!(found["metadata"]["product"]["name"], "Sigmill");
        assert_eq!(found["unmapped"]["source"]["offset"], 17);
        assert_eq!(found["unmapped"]["custom_fields"]["site"], "a");
        assert_eq!(found["unmapped"]["fields"]["foo"][1], 1);
    }

    #[test]
    fn the_form_of_ecs() {
        let text = extracted(Format::Ecs, TAGGED, r#"{"n":1.50}"#, &groups());
        assert!(text.contains(r#""event":{"n":1.50}}}"#), "{text}");
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["@timestamp"], "2023-09-23T17:26:40.000Z");
        assert_eq!(found["event"]["kind"], "alert");
        assert_eq!(found["event"]["severity"], 99);
        assert_eq!(found["event"]["created"], "2023-09-23T17:33:18.577Z");
        assert_eq!(found["rule"]["name"], "T");
        assert_eq!(found["rule"]["author"], serde_json::json!(["Ada", "Bob"]));
        assert_eq!(found["rule"]["category"], "process_creation");
        assert_eq!(found["threat"]["tactic"]["name"][0], "Execution");
        assert_eq!(found["threat"]["technique"]["id"], serde_json::json!(["T1059", "T1003"]));
        assert_eq!(found["threat"]["technique"]["subtechnique"]["id"][0], "T1059.001");
        let labels = serde_json::json!({
            "src": "10.0.0.1", "location": "lost", "sourceData": "lost", "site": "a"
        });
        assert_eq!(found["labels"], labels);
        assert_eq!(found["sigmill"]["source"]["partition"], 3);
        let bare = detection(Format::Ecs, TAGGED, "{}");
        assert!(bare.contains(r#""labels":{"site":"a"}"#), "{bare}");
        let none = "title: T\nlogsource: {product: x}\ndetection: {s: {a: b}, condition: s}\n";
        let found: serde_json::Value =
            serde_json::from_str(&detection(Format::Ecs, none, "{}")).unwrap();
        assert_eq!((found.get("labels"), found.get("threat")), (None, None));
    }

    #[test]
    fn a_level_by_context_stands_beside_the_rules_own() {
        let position = RulePosition::Record { topic: "rules".into(), partition: 0, offset: 41 };
        let event = Event {
            bytes: b"{}",
            position: EventPosition::Record { topic: "data", partition: 3, offset: 17 },
            timestamp: None,
        };
        let told = |format, level: Option<Level>| {
            let template = Template::with_levels(format, &rule(TAGGED), &position, "out");
            let own = template.level();
            let joined = br#"{"table":"t"}"#.to_vec();
            let level = level.map(|level| (level, own));
            let extract = Extract { level, joined, ..Extract::default() };
            let mut out = Vec::new();
            template.write(&mut out, 1, &event, &extract);
            serde_json::from_slice::<serde_json::Value>(&out).unwrap()
        };
        let low = Some(Level::Low);
        let native = told(Format::Native, low);
        assert_eq!((&native["level"], &native["ruleLevel"]), (&"low".into(), &"critical".into()));
        assert_eq!(native["joined"][0]["table"], "t");
        assert_eq!(told(Format::Native, None)["level"], "critical");
        assert_eq!(told(Format::Native, None).get("ruleLevel"), None);
        let ocsf = told(Format::Ocsf, low);
        assert_eq!((&ocsf["severity"], &ocsf["severity_id"]), (&"Low".into(), &2.into()));
        assert_eq!(ocsf["unmapped"]["ruleLevel"], "critical");
        assert_eq!(ocsf["unmapped"]["joined"][0]["table"], "t");
        let ecs = told(Format::Ecs, low);
        assert_eq!(ecs["event"]["severity"], 21);
        assert_eq!(ecs["sigmill"]["ruleLevel"], "critical");
        assert_eq!(ecs["sigmill"]["joined"][0]["table"], "t");
    }

    #[test]
    fn the_form_of_avro() {
        let position = RulePosition::Record { topic: "rules".into(), partition: 0, offset: 41 };
        let event = Event {
            bytes: br#" { "a" : [1, "x y"] } "#,
            position: EventPosition::Record { topic: "data", partition: 3, offset: 17 },
            timestamp: None,
        };
        let read = |text: &str, extract: &Extract| {
            let template =
                Template::new(Format::ConfluentAvro, &rule(text), &position, "firewalls");
            let mut out = Vec::new();
            template.write(&mut out, 1_695_490_398_577, &event, extract);
            assert_eq!(out[0], 0);
            let schema = apache_avro::Schema::parse_str(AVRO_SCHEMA).unwrap();
            let mut rest = &out[5..];
            let value = apache_avro::from_avro_datum(&schema, &mut rest, None).unwrap();
            assert!(rest.is_empty());
            serde_json::Value::try_from(value).unwrap()
        };
        let expected = serde_json::json!({
            "timeStamp": 1_695_490_398_577_i64,
            "title": "Say \"no\"",
            "id": "c4b890e5",
            "outputTopic": "firewalls",
            "sourceData": r#"{"a":[1,"x y"]}"#,
            // Custom fields win; a group without a part in the match has no text.
            "customFields": {
                "src": "10.0.0.1", "sourceData": "lost", "location": "edge", "index": "main",
                "title": "shadowed"
            },
        });
        assert_eq!(read(RULE, &groups()), expected);
        let bare = "title: T\nlogsource: {product: x}\ndetection: {s: {a: b}, condition: s}\n";
        let told = read(bare, &Extract::default());
        assert_eq!((&told["id"], &told["customFields"]), (&().into(), &().into()));
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
}
