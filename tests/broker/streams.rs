//! Streams: topics with pipelines, field mapping and rule filter of their own, in one processor.

use std::fs;

use serde_json::Value;
use sigmill_runtime::metrics::Metric;
use sigmill_runtime::processor::Processor;
use sigmill_runtime::rule_store::Outcome;

use crate::bed::{Bed, put_rule, until, until_in_force};
use crate::control::{eventually, json_of};
use crate::{on_both_brokers, titles_and_numbers};

const PARTITIONS: i32 = 2;
const START: i64 = 1_700_000_000_000;

/// A rule that looks at `User`, which every stream calls otherwise.
fn rule(title: &str, level: &str, user: &str) -> String {
    format!(
        "title: {title}\nid: 00000000-0000-4000-8000-{:012x}\nstatus: test\nlevel: {level}\n\
         logsource: {{product: test}}\ndetection: {{s: {{User: {user}}}, condition: s}}\n",
        title.bytes().fold(0_u64, |all, byte| all * 31 % 0xffff_ffff + u64::from(byte)),
    )
}

struct Files {
    _folder: tempfile::TempDir,
    pipeline: String,
    mapping: String,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let pipeline = file(
        "p.yml",
        "name: p\ntransformations:\n- {type: field_name_mapping, mapping: {User: src.user}}\n",
    );
    let mapping = file("m.yml", "fieldmappings:\n  User: account\n");
    Files { pipeline, mapping, _folder: folder }
}

fn make_topics(bed: &Bed, data: &[&str]) {
    for topic in data {
        bed.create_topic(topic, PARTITIONS, &[]);
    }
    bed.create_topic("out", 2, &[]);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    bed.create_topic("dead", 1, &[]);
}

on_both_brokers!(each_stream_has_its_own_rules_and_a_change_reaches_all);

fn each_stream_has_its_own_rules_and_a_change_reaches_all(bed: &Bed) {
    make_topics(bed, &["data", "dns-a", "dns-b", "win", "same"]);
    let files = files();
    let sender = bed.sender();
    put_rule(bed, &sender, "High", Some(&rule("High", "high", "eve")));
    put_rule(bed, &sender, "Low", Some(&rule("Low", "low", "eve")));
    sender.flush();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token").display().to_string();
    let dns = format!("^{}.*", bed.topic("dns-"));
    let (win, same) = (bed.topic("win"), bed.topic("same"));
    let processor = bed.start(&[
        ("sigmill.stream.dns.topic", &dns),
        ("sigmill.stream.dns.pipeline", &files.pipeline),
        ("sigmill.stream.win.topic", &win),
        ("sigmill.stream.win.field.mapping.file", &files.mapping),
        ("sigmill.stream.win.rule.filter.level", "high"),
        ("sigmill.stream.same.topic", &same),
        ("num.stream.threads", "2"),
        ("metadata.max.age.ms", "500"),
        ("sigmill.admin.listen", "127.0.0.1:0"),
        ("sigmill.admin.token.file", &token),
    ]);
    assert_eq!(processor.snapshot().rule_count, 2, "each rule counts once");

    // Each record has the names of all streams: only that of its own may count.
    let fields =
        [("data", "User"), ("dns-a", "src.user"), ("dns-b", "src.user"), ("win", "account")];
    let fields: Vec<_> = fields.into_iter().chain([("same", "User")]).collect();
    let mut n = 0_i64;
    let mut expected: Vec<(String, i64)> = Vec::new();
    let mut send = |user: &str, rules: &dyn Fn(&str) -> Vec<&'static str>| {
        for round in 0..40 {
            for (topic, field) in &fields {
                let mut event = serde_json::json!({
                    "n": n, "User": "x", "account": "x", "src": {"user": "x"},
                });
                // Every second record hides the name in a field of another stream.
                let own = match round % 2 == 0 {
                    true => *field,
                    false if *field == "account" => "User",
                    false => "account",
                };
                match own.split_once('.') {
                    Some((outer, inner)) => event[outer][inner] = user.into(),
                    None => event[own] = user.into(),
                }
                let partition = (n % i64::from(PARTITIONS)) as i32;
                sender.send(&bed.topic(topic), partition, event.to_string().as_bytes());
                if round % 2 == 0 {
                    expected.extend(rules(topic).into_iter().map(|title| (title.to_owned(), n)));
                }
                n += 1;
            }
        }
        sender.flush();
        n
    };
    let read =
        send("eve", &|topic| if topic == "win" { vec!["High"] } else { vec!["High", "Low"] });
    until(&processor, |snapshot| snapshot.counts.get(Metric::Records) == read as u64);

    told(bed, &processor);

    // One record of the rules topic changes all plans.
    put_rule(bed, &sender, "High", Some(&rule("High", "high", "bob")));
    put_rule(bed, &sender, "Low", None);
    until_in_force(bed, &sender, &processor);
    assert_eq!(processor.snapshot().rule_count, 1);
    send("eve", &|_| Vec::new());
    let read = send("bob", &|_| vec!["High"]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Records) == read as u64);
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert_eq!(stopped.snapshot.counts.get(Metric::EventsEvaluated), read as u64);

    assert_eq!(stopped.snapshot.counts.get(Metric::Detections), expected.len() as u64);
    expected.sort();
    let records = bed.read_until(&["out"], |records| records.len() >= expected.len());
    assert_eq!(titles_and_numbers(&records), expected);
}

/// What the interface says of streams.
fn told(bed: &Bed, processor: &Processor) {
    let address = processor.control_address().unwrap();
    eventually(|| {
        let told = json_of(address, "/api/v1/partitions");
        let partitions = told["partitions"].as_array().unwrap();
        let stream = |topic: &str| {
            let topic = bed.topic(topic);
            let found = partitions.iter().find(|one| one["topic"] == topic.as_str());
            found.map(|found| found["stream"].as_str().unwrap().to_owned())
        };
        ["data", "dns-a", "dns-b", "win", "same"].map(stream)
            == ["data.topic", "dns", "dns", "win", "same"].map(|name| Some(name.to_owned()))
    });
    let rules = json_of(address, "/api/v1/rules")["rules"].as_array().unwrap().clone();
    let mut streams: Vec<(String, String)> = rules
        .iter()
        .map(|rule| (rule["title"].as_str().unwrap().to_owned(), rule["streams"].to_string()))
        .collect();
    streams.sort();
    // Each combination has a version of its own, as pipelines and mappings change what a rule means.
    let expected = [
        ("High", r#"["data.topic","same"]"#),
        ("High", r#"["dns"]"#),
        ("High", r#"["win"]"#),
        ("Low", r#"["data.topic","same"]"#),
        ("Low", r#"["dns"]"#),
    ];
    assert_eq!(streams, expected.map(|(title, names)| (title.to_owned(), names.to_owned())));
}

on_both_brokers!(a_correlation_counts_within_its_combination);

fn a_correlation_counts_within_its_combination(bed: &Bed) {
    make_topics(bed, &["data", "one", "two", "three"]);
    let files = files();
    let sender = bed.sender();
    let text = format!(
        "{}---\ntitle: Often\nid: 00000000-0000-4000-8000-aaaaaaaaaaaa\nlevel: high\n\
         correlation: {{type: event_count, rules: [base], group-by: [host], timespan: 1h, condition: {{gte: 3}}}}\n",
        rule("Base", "high", "eve").replace("title: Base", "title: Base\nname: base"),
    );
    put_rule(bed, &sender, "Often", Some(&text));
    sender.flush();
    let (one, two, three) = (bed.topic("one"), bed.topic("two"), bed.topic("three"));
    let processor = bed.start(&[
        ("sigmill.stream.one.topic", &one),
        ("sigmill.stream.one.pipeline", &files.pipeline),
        ("sigmill.stream.two.topic", &two),
        ("sigmill.stream.two.pipeline", &files.pipeline),
        ("sigmill.stream.three.topic", &three),
        ("sigmill.stream.three.rule.filter.level", "medium"),
    ]);
    let mut sent = 0;
    let mut send = |topic: &str, host: &str| {
        let event =
            format!(r#"{{"n":{sent},"host":"{host}","User":"eve","src":{{"user":"eve"}}}}"#);
        sender.send_at(&bed.topic(topic), 0, event.as_bytes(), START + sent);
        sent += 1;
    };
    // Two streams of one combination make three together.
    ["one", "two", "one"].iter().for_each(|topic| send(topic, "together"));
    // Others do not add up: another pipeline, another filter.
    ["one", "two", "data", "data", "three", "three"].iter().for_each(|topic| send(topic, "apart"));
    // By themselves they do.
    (0..3).for_each(|_| send("data", "plain"));
    (0..3).for_each(|_| send("three", "filtered"));
    sender.flush();
    until(&processor, |snapshot| snapshot.counts.get(Metric::WindowDetections) == 3);
    // Every record is counted somewhere by now.
    until(&processor, |snapshot| snapshot.counts.get(Metric::WindowMatches) == sent as u64);
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert_eq!(stopped.snapshot.counts.get(Metric::Detections), 3);
    let records = bed.read_until(&["out"], |records| records.len() >= 3);
    let mut hosts: Vec<String> = records.iter().map(|record| host_of(&record.json())).collect();
    hosts.sort();
    assert_eq!(hosts, ["filtered", "plain", "together"]);
}

/// The one of the hosts that a detection speaks of.
fn host_of(found: &Value) -> String {
    let text = found.to_string();
    let hosts = ["together", "apart", "plain", "filtered"];
    hosts.into_iter().find(|host| text.contains(host)).unwrap_or_default().to_owned()
}

on_both_brokers!(a_rule_that_one_pipeline_refuses_is_in_force_for_the_others);

fn a_rule_that_one_pipeline_refuses_is_in_force_for_the_others(bed: &Bed) {
    make_topics(bed, &["data", "strict"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strict.yml");
    let text = "name: s\ntransformations:\n- {type: detection_item_failure, message: no users here, \
                field_name_conditions: [{type: include_fields, fields: [User]}]}\n";
    fs::write(&path, text).unwrap();
    let sender = bed.sender();
    put_rule(bed, &sender, "A", Some(&rule("A", "high", "eve")));
    put_rule(bed, &sender, "Broken", Some("title: Broken\ndetection: 1\n"));
    sender.flush();
    let (topic, path) = (bed.topic("strict"), path.display().to_string());
    let processor = bed.start(&[
        ("sigmill.stream.strict.topic", &topic),
        ("sigmill.stream.strict.pipeline", &path),
    ]);
    let snapshot = processor.snapshot();
    assert_eq!(snapshot.rule_count, 1);
    let problem = |key: &str| -> Vec<_> {
        snapshot.problems.iter().filter(|problem| problem.key == key).collect()
    };
    let refused = problem("A");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].outcome, Outcome::NotLoaded);
    let said = &refused[0].findings[0];
    assert!(said.starts_with("for strict: ") && said.contains("no users here"), "{said}");
    let broken = problem("Broken");
    assert_eq!(broken.len(), 1, "what is wrong everywhere is said once: {broken:?}");
    assert!(!broken[0].findings[0].contains("for "), "{broken:?}");
    for (n, topic) in ["strict", "data"].into_iter().enumerate() {
        let event = format!(r#"{{"n":{n},"User":"eve"}}"#);
        sender.send(&bed.topic(topic), 0, event.as_bytes());
    }
    sender.flush();
    until(&processor, |snapshot| snapshot.counts.get(Metric::Records) == 2);
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert_eq!(stopped.snapshot.counts.get(Metric::Detections), 1);
    let records = bed.read_until(&["out"], |records| !records.is_empty());
    assert_eq!(titles_and_numbers(&records), [("A".to_owned(), 1)]);
}

on_both_brokers!(a_topic_that_two_patterns_meet_is_refused_at_the_start);

fn a_topic_that_two_patterns_meet_is_refused_at_the_start(bed: &Bed) {
    make_topics(bed, &["data", "both"]);
    let (both, rest) = (format!("^{}$", bed.topic("bot.")), format!("^{}$", bed.topic(".oth")));
    let settings =
        bed.settings(&[("sigmill.stream.a.topic", &both), ("sigmill.stream.b.topic", &rest)]);
    let shutdown = sigmill_runtime::shutdown::Shutdown::new();
    let error = Processor::start(settings, shutdown).err().unwrap().to_string();
    for part in [bed.topic("both").as_str(), "sigmill.stream.a.topic", "sigmill.stream.b.topic"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
