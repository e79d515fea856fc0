//! The comparison with a JVM processor, on a real Kafka: beside an imitation that makes its detections from what is
//! known of it, and beside a Kafka Streams application.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sigmill_parser::{Document, FieldMapping, Rule};
use sigmill_runtime::jvm_emulation::{JvmRule, Mended};
use sigmill_runtime::shadow::{Report, Shadow, Side};
use sigmill_runtime::shutdown::Shutdown;

use crate::bed::{Bed, DEADLINE, Sender};
use crate::rule;
use crate::takeover::compat_folder;

/// Settings without what a comparison has no use for.
fn start(bed: &Bed, changes: &[(&str, &str)]) -> Shadow {
    let topic = bed.topic("differences");
    let mut all = vec![("sigmill.shadow.topic", topic.as_str())];
    all.extend_from_slice(changes);
    Shadow::start(bed.settings(&all), Shutdown::new()).unwrap()
}

fn until(shadow: &Shadow, is_so: impl Fn(&Report) -> bool) -> Report {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let report = shadow.report();
        if is_so(&report) {
            return report;
        }
        assert!(!shadow.is_finished(), "it ended by itself");
        assert!(Instant::now() < deadline, "waited in vain: {}", report.to_text());
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

fn topics(bed: &Bed) {
    bed.create_topic("data", 2, &[]);
    bed.create_topic("out", 2, &[]);
    bed.create_topic("own", 1, &[]);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
}

fn load(bed: &Bed, rules: &[(&str, String)]) {
    let sender = bed.sender();
    for (title, text) in rules {
        sender.put(&bed.topic("rules"), 0, Some(title), Some(text.as_bytes()), None);
    }
    sender.flush();
}

/// As the JVM processor commits.
fn commit(bed: &Bed, offsets: &[(i32, i64)]) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &bed.kafka_settings().bootstrap_servers)
        .set("group.id", bed.group())
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        let offset = Offset::Offset(*offset);
        list.add_partition_offset(&bed.topic("data"), *partition, offset).unwrap();
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

/// A detection of release 1.3, or of the head with the source as a text.
fn tell(
    bed: &Bed,
    sender: &Sender,
    topic: &str,
    title: &str,
    source: &str,
    more: &[(&str, &str)],
    at: i64,
) {
    let mut detection = json!({
        "timeStamp": 1, "title": title, "id": format!("id-{title}"), "isAggregateCondition": false,
        "outputTopic": bed.topic(topic), "aggregateCondition": false,
    });
    for (name, value) in more {
        detection[*name] = json!(value);
    }
    detection["sourceData"] = serde_json::from_str(source).unwrap();
    sender.send_at(&bed.topic(topic), 0, detection.to_string().as_bytes(), at);
}

fn conditional(title: &str, detection: &str) -> String {
    format!(
        "title: {title}\nid: id-{title}\nlogsource: {{product: test}}\ndetection:\n{detection}\n"
    )
}

#[test]
fn differences_have_their_rule_and_cause() {
    let Some(bed) = Bed::real() else { return };
    topics(&bed);
    let own = format!("{}\nkafka: {{outputTopic: {}}}", rule("Own", "own", "x"), bed.topic("own"));
    load(
        &bed,
        &[
            ("Same", rule("Same", "same", "x")),
            ("Own", own),
            ("Not", conditional("Not", "  s: {a: 1}\n  f: {b: 1}\n  condition: s and not f")),
            ("Last", conditional("Last", "  s: {c: 1, d: 2}\n  condition: s")),
            ("Case", rule("Case", "e", "SHOUT")),
            ("Groups", conditional("Groups", "  s: {g|re: '(?<who>x)'}\n  condition: s")),
            (
                "Count",
                conditional("Count", "  s: {w: 1}\n  timeframe: 10s\n  condition: s | count() > 1"),
            ),
        ],
    );
    let at = i64::try_from(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis(),
    )
    .unwrap();
    let sender = bed.sender();
    let event = |partition: i32, text: &str, at: i64| {
        sender.send_at(&bed.topic("data"), partition, text.as_bytes(), at);
    };
    // Before the comparison begins; the JVM processor has committed it.
    event(0, r#"{"same":"x","n":0}"#, at);
    sender.flush();
    commit(&bed, &[(0, 1)]);
    event(0, r#"{"same": "x", "n": 1, "f": 1672686740.343989}"#, at + 1);
    event(1, r#"{"same":"x","n":2}"#, at + 2);
    event(0, r#"{"own":"x"}"#, at + 3);
    event(0, r#"{"a":1}"#, at + 4);
    event(0, r#"{"c":9,"d":2}"#, at + 5);
    event(1, r#"{"e":"shout"}"#, at + 6);
    event(0, r#"{"g":"x"}"#, at + 7);
    for n in 0..3 {
        event(0, &format!(r#"{{"w":1,"n":{n}}}"#), at + 10 + n);
    }
    sender.flush();
    let shadow = start(&bed, &[]);
    // What the JVM processor makes of them: fractions are written anew, `not` is never true, the last field decides.
    let tell = |topic: &str, title: &str, source: &str, more: &[(&str, &str)], at: i64| {
        tell(&bed, &sender, topic, title, source, more, at);
    };
    tell("out", "Same", r#"{"same":"x","n":0}"#, &[], at);
    tell("out", "Same", r#"{"same":"x","n":1,"f":1.672686740343989E9}"#, &[], at + 1);
    tell("out", "Same", r#"{"n":2,"same":"x"}"#, &[], at + 2);
    tell("own", "Own", r#"{"own":"x"}"#, &[], at + 3);
    tell("out", "Last", r#"{"c":9,"d":2}"#, &[], at + 5);
    tell("out", "Groups", r#"{"g":"x"}"#, &[("who", "y")], at + 7);
    tell("out", "Gone", r#"{"z":1}"#, &[], at + 8);
    // Two windows of one event, and none of another.
    tell("out", "Count", r#"{"w":1,"n":2}"#, &[], at + 12);
    tell("out", "Count", r#"{"w":1,"n":2}"#, &[], at + 12);
    sender.send(&bed.topic("out"), 1, b"no detection");
    sender.flush();
    // It has told of all before it commits them.
    let ends: Vec<(i32, i64)> = (0..2).map(|at| (at, bed.end("data", at))).collect();
    commit(&bed, &ends);
    let report = until(&shadow, |report| report.jvm == 9 && report.open == 0);
    let text = report.to_text();
    assert_eq!((report.records, report.sigmill, report.unreadable), (10, 8, 1), "{text}");
    // Both of Same, Own, and one of Count.
    assert_eq!(report.agreed, 4, "{text}");
    for (title, side, cause) in [
        ("Not", Side::Sigmill, "not"),
        ("Case", Side::Sigmill, "case"),
        ("Last", Side::Jvm, "last-field"),
        ("Groups", Side::Both, "captures"),
        ("Gone", Side::Jvm, "not-loaded"),
        ("Same", Side::Jvm, "not-read"),
        ("Count", Side::Jvm, "repeats"),
        ("Count", Side::Sigmill, "repeats"),
    ] {
        assert_eq!(report.count(title, side, cause), 1, "{title} {cause}\n{text}");
        assert!(text.contains(title) && text.contains(&format!("  {cause}: ")), "{text}");
    }
    assert_eq!(report.differences(), 8, "{text}");
    assert_eq!(shadow.stop().unwrap(), report);
    let told = bed.read_until(&["differences"], |records| records.len() >= 8);
    let negated =
        told.iter().map(crate::bed::Record::json).find(|one| one["title"] == "Not").unwrap();
    assert_eq!((&negated["toldBy"], &negated["causes"]), (&"sigmill".into(), &json!(["not"])));
    assert_eq!(negated["event"], json!({"a": 1}));
    assert_eq!(negated["source"], json!({"topic": bed.topic("data"), "partition": 0, "offset": 3}));
    assert_eq!(negated["id"], "id-Not");
    // Nothing else was written, and the JVM processor's offsets are its own.
    assert_eq!(
        (bed.committed("data", 0), bed.committed("data", 1)),
        (Some(ends[0].1), Some(ends[1].1))
    );
    assert_eq!(bed.end("out", 0) + bed.end("out", 1), 9);
    // It goes on where it was: nothing is told twice.
    let shadow = start(&bed, &[]);
    event(0, r#"{"a":1,"n":2}"#, at + 20);
    sender.flush();
    commit(&bed, &[(0, ends[0].1 + 1)]);
    let report = until(&shadow, |report| report.differences() == 1 && report.open == 0);
    assert_eq!((report.records, report.count("Not", Side::Sigmill, "not")), (1, 1));
    shadow.stop().unwrap();
}

#[test]
fn what_the_jvm_processor_tells_too_late_is_no_loss() {
    let Some(bed) = Bed::real() else { return };
    topics(&bed);
    load(&bed, &[("A", rule("A", "user", "alice"))]);
    let sender = bed.sender();
    sender.send_at(&bed.topic("data"), 0, br#"{"user":"alice"}"#, 1_700_000_000_000);
    sender.flush();
    // Without commits the time-out settles.
    let shadow = start(&bed, &[("sigmill.shadow.wait.ms", "300")]);
    let report = until(&shadow, |report| report.differences() == 1);
    assert_eq!(report.count("A", Side::Sigmill, "state"), 1, "{}", report.to_text());
    tell(&bed, &sender, "out", "A", r#"{"user":"alice"}"#, &[], 1_700_000_000_000);
    sender.flush();
    let report = until(&shadow, |report| report.jvm == 1);
    assert_eq!(report.count("A", Side::Both, "late"), 1, "{}", report.to_text());
    assert_eq!(report.differences(), 1);
    shadow.stop().unwrap();
}

/// Every known case as rule and event, each event against every rule: no difference without a cause.
#[test]
fn every_known_case_has_a_known_cause() {
    let Some(folder) = compat_folder() else { return };
    let Some(bed) = Bed::real() else { return };
    let text = std::fs::read_to_string(folder.join("confluent-sigma-cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    topics(&bed);
    let mut models: Vec<(String, JvmRule)> = Vec::new();
    let mut events: Vec<Value> = Vec::new();
    let mut rules = Vec::new();
    for (at, case) in cases.iter().enumerate().filter(|(_, case)| case["field_mapping"].is_null()) {
        let parsed = sigmill_parser::parse(case["rule"].as_str().unwrap());
        let Some(Document::Rule(rule)) = parsed.documents.into_iter().next() else { continue };
        let title = format!("{at} {}", case["name"].as_str().unwrap());
        let mut value: Value = serde_json::from_str(&rule.to_json()).unwrap();
        value["title"] = json!(title);
        value["kafka"] = Value::Null;
        let text = value.to_string();
        let parsed = sigmill_parser::parse(&text).documents.into_iter().next();
        let Some(Document::Rule(rule)) = parsed else { panic!("{text}") };
        let rule: Arc<Rule> = Arc::new(*rule);
        models.push((title.clone(), JvmRule::new(&rule, &FieldMapping::default())));
        rules.push((title, text));
        let mut event = case["event"].clone();
        event["case"] = json!(at);
        events.push(event);
    }
    assert!(models.len() > 100, "{} rules", models.len());
    let keys: Vec<(&str, String)> =
        rules.iter().map(|(title, text)| (title.as_str(), text.clone())).collect();
    load(&bed, &keys);
    let sender = bed.sender();
    let mut jvm = 0;
    for (at, event) in events.iter().enumerate() {
        let time = 1_700_000_000_000 + at as i64;
        sender.send_at(&bed.topic("data"), 0, event.to_string().as_bytes(), time);
        for (title, model) in &models {
            if model.holds(event, Mended::default()) {
                let id = model.rule().id.as_ref().map(|id| id.node.clone());
                let mut detection =
                    json!({"timeStamp": 1, "title": title, "outputTopic": bed.topic("out")});
                if let Some(id) = id {
                    detection["id"] = json!(id);
                }
                // As the head writes it.
                detection["sourceData"] = json!(event.to_string());
                sender.send_at(&bed.topic("out"), 0, detection.to_string().as_bytes(), time);
                jvm += 1;
            }
        }
    }
    sender.flush();
    let shadow = start(&bed, &[]);
    commit(&bed, &[(0, bed.end("data", 0))]);
    let report = until(&shadow, |report| {
        report.records == events.len() as u64 && report.jvm == jvm && report.open == 0
    });
    shadow.stop().unwrap();
    let told =
        bed.read_until(&["differences"], |records| records.len() as u64 >= report.differences());
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for one in told.iter().map(crate::bed::Record::json) {
        // What the imitation does not write is no matter of matching.
        if one["toldBy"] != "both" {
            *causes.entry(one["causes"].to_string()).or_default() += 1;
        }
    }
    assert!(
        !causes.keys().any(|cause| cause.contains("state") || cause.contains("other")),
        "{causes:?}"
    );
    for cause in ["not", "case", "last-field", "list", "lower-or", "precedence", "of", "characters"]
    {
        assert!(causes.contains_key(&json!([cause]).to_string()), "no {cause} in {causes:?}");
    }
    assert!(report.agreed > 50, "{}", report.to_text());
}

/// A real Kafka Streams application beside a comparison.
#[test]
fn a_streams_application_is_compared_while_it_runs() {
    let Some(bed) = Bed::real() else { return };
    topics(&bed);
    load(&bed, &[("A", rule("A", "user", "ALICE"))]);
    let sender = bed.sender();
    for n in 0..20 {
        let user = if n % 4 == 0 { "ALICE" } else { "alice" };
        sender.send(
            &bed.topic("data"),
            n % 2,
            format!(r#"{{"n": {n}, "user": "{user}"}}"#).as_bytes(),
        );
    }
    sender.flush();
    let shadow = start(&bed, &[]);
    let status = bed.imitate_jvm("A", "ALICE", 20);
    assert!(status.success());
    let report =
        until(&shadow, |report| report.sigmill == 20 && report.jvm == 5 && report.open == 0);
    let text = report.to_text();
    assert_eq!((report.agreed, report.count("A", Side::Sigmill, "case")), (0, 15), "{text}");
    // The imitation's detections lack the rule's id.
    assert_eq!(report.count("A", Side::Both, "fields"), 5, "{text}");
    shadow.stop().unwrap();
}

/// As a user runs it: the file of the JVM processor, and a stop.
#[test]
fn the_command_prints_its_report_at_the_end() {
    let Some(bed) = Bed::real() else { return };
    topics(&bed);
    load(
        &bed,
        &[("Not", conditional("Not", "  s: {a: 1}\n  f: {b: 1}\n  condition: s and not f"))],
    );
    let sender = bed.sender();
    sender.send(&bed.topic("data"), 0, br#"{"a":1}"#);
    sender.flush();
    commit(&bed, &[(0, 0)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sigma.properties");
    let text = format!(
        "bootstrap.servers={}\napplication.id={}\ndata.topic={}\noutput.topic={}\nsigma.rules.topic={}\n\
         sigmill.shadow.topic={}\nsigmill.shadow.wait.ms=500\n",
        bed.kafka_settings().bootstrap_servers,
        bed.group(),
        bed.topic("data"),
        bed.topic("out"),
        bed.topic("rules"),
        bed.topic("differences"),
    );
    std::fs::write(&path, text).unwrap();
    bed.create_topic("differences", 1, &[]);
    for report in [None, Some(folder.path().join("report"))] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sigmill"));
        command.args(["run", "--shadow"]).arg(&path).stdin(Stdio::null());
        if let Some(report) = &report {
            command.arg("--shadow-report").arg(report);
        }
        let process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let before = bed.end("differences", 0);
        if report.is_some() {
            sender.send(&bed.topic("data"), 0, br#"{"a":1,"n":2}"#);
            sender.flush();
        }
        let deadline = Instant::now() + DEADLINE;
        while bed.end("differences", 0) == before {
            assert!(Instant::now() < deadline, "no difference is written");
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
        let stop = Command::new("kill").arg(process.id().to_string()).status().unwrap();
        assert!(stop.success());
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success());
        let printed = String::from_utf8(output.stdout).unwrap();
        let text = match report {
            Some(report) => {
                assert_eq!(printed, "");
                std::fs::read_to_string(report).unwrap()
            }
            None => printed,
        };
        assert!(text.contains("1 by Sigmill, 0 the same. Differences: 1."), "{text}");
        assert!(text.contains("not: what is negated is never true there"), "{text}");
    }
    // The group of the JVM processor is where it was.
    assert_eq!(bed.committed("data", 0), Some(0));
}
