//! In the place of the JVM processor: its consumer group goes on where it stopped, and its demonstration
//! runs on its own files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sigmill_parser::Document;
use sigmill_runtime::metrics::Metric;
use sigmill_runtime::rules_topic::{NewRule, RulesTopic};

use crate::bed::{Bed, Sender, until};
use crate::{on_both_brokers, rule, titles_and_numbers};

on_both_brokers!(a_group_goes_on_where_another_client_stopped);

fn a_group_goes_on_where_another_client_stopped(bed: &Bed) {
    bed.create_topic("data", 2, &[]);
    for topic in ["out", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    let text = rule("A", "user", "alice");
    sender.put(&bed.topic("rules"), 0, Some("A"), Some(text.as_bytes()), None);
    for n in 0..20 {
        let event = format!(r#"{{"n":{n},"user":"alice"}}"#);
        sender.send(&bed.topic("data"), n % 2, event.as_bytes());
    }
    sender.flush();
    // As a Streams application commits: 6 records of partition 0, 9 of partition 1.
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &bed.kafka_settings().bootstrap_servers)
        .set("group.id", bed.group())
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in [(0, 6), (1, 9)] {
        let offset = Offset::Offset(offset);
        offsets.add_partition_offset(&bed.topic("data"), partition, offset).unwrap();
    }
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
    drop(consumer);
    let processor = bed.start(&[]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 5);
    let records = bed.read_until(&["out"], |records| records.len() >= 5);
    let expected = [12, 14, 16, 18, 19].map(|n| ("A".to_owned(), n));
    assert_eq!(titles_and_numbers(&records), expected);
    assert!(processor.stop().is_clean);
}

/// Kafka Streams keeps the time of a partition beside its offset.
const STREAMS_METADATA: &str = "AgAAAYvP5WgAAAAAAA==";

on_both_brokers!(the_metadata_of_a_commit_is_no_hindrance);

fn the_metadata_of_a_commit_is_no_hindrance(bed: &Bed) {
    bed.create_topic("data", 1, &[]);
    for topic in ["out", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    let text = rule("A", "user", "alice");
    sender.put(&bed.topic("rules"), 0, Some("A"), Some(text.as_bytes()), None);
    for n in 0..5 {
        sender.send(&bed.topic("data"), 0, format!(r#"{{"n":{n},"user":"alice"}}"#).as_bytes());
    }
    sender.flush();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &bed.kafka_settings().bootstrap_servers)
        .set("group.id", bed.group())
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    let mut element = offsets.add_partition(&bed.topic("data"), 0);
    element.set_offset(Offset::Offset(3)).unwrap();
    element.set_metadata(STREAMS_METADATA);
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
    drop(consumer);
    let processor = bed.start(&[]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 2);
    assert!(processor.stop().is_clean);
    let records = bed.read_until(&["out"], |records| records.len() >= 2);
    assert_eq!(titles_and_numbers(&records), [3, 4].map(|n| ("A".to_owned(), n)));
    assert_eq!(bed.committed("data", 0), Some(5));
}

/// There and back: a Kafka Streams application, Sigmill, and the application again, under one `application.id`.
#[test]
fn a_streams_application_and_sigmill_take_turns() {
    let Some(bed) = Bed::real() else { return };
    bed.create_topic("data", 2, &[]);
    for topic in ["out", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    let text = rule("Here", "user", "alice");
    sender.put(&bed.topic("rules"), 0, Some("Here"), Some(text.as_bytes()), None);
    let send = |range: std::ops::Range<i32>| {
        for n in range {
            let event = format!(r#"{{"n":{n},"user":"alice"}}"#);
            sender.send(&bed.topic("data"), n % 2, event.as_bytes());
        }
        sender.flush();
    };
    send(0..10);
    assert!(bed.imitate_jvm("There", "alice", 10).success());
    send(10..20);
    let processor = bed.start(&[]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 10);
    assert!(processor.stop().is_clean);
    send(20..30);
    assert!(bed.imitate_jvm("There", "alice", 10).success());
    let records = bed.read_until(&["out"], |records| records.len() >= 30);
    let title = |n: i64| if (10..20).contains(&n) { "Here" } else { "There" };
    let mut expected: Vec<_> = (0..30).map(|n| (title(n).to_owned(), n)).collect();
    expected.sort();
    assert_eq!(titles_and_numbers(&records), expected);
}

/// The folder of the material of Confluent Sigma's users, if it is there: see `tests/compat`.
pub(crate) fn compat_folder() -> Option<PathBuf> {
    demo_folder().and_then(|demo| Some(demo.parent()?.parent()?.to_owned()))
}

/// The files of the JVM processor's demonstration, if they are there: see `tests/compat`.
fn demo_folder() -> Option<PathBuf> {
    let named = std::env::var_os("SIGMILL_COMPAT").map(PathBuf::from);
    let beside =
        || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("../shared/compat");
    let folder = named.unwrap_or_else(beside).join("confluent-sigma-data/demo");
    if !folder.is_dir() {
        eprintln!(
            "\n*** SKIPPED: no demonstration of Confluent Sigma in {} ***\n",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

fn send_lines(sender: &Sender, topic: &str, path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    for line in text.lines().filter(|line| !line.is_empty()) {
        sender.send(topic, 0, line.as_bytes());
    }
    sender.flush();
}

#[test]
fn the_demonstration_runs_unchanged() {
    let Some(demo) = demo_folder() else { return };
    let Some(bed) = Bed::real() else { return };
    let rules_folder = demo.join("config/rules");
    let mut rules = Vec::new();
    for name in ["regex_rule.yml", "zeek_dns_exfiltration.yaml", "zeek_dns_exfiltration_time.yaml"]
    {
        let text = std::fs::read_to_string(rules_folder.join(name)).unwrap();
        // The Cisco rule names a topic of its own; each bed has its own name for it.
        let text = text.replace("firewalls", &bed.topic("firewalls"));
        for document in sigmill_parser::parse(&text).documents {
            let Document::Rule(rule) = document else { panic!("{name}") };
            rules.push(NewRule::of(&rule));
        }
    }
    let topic = RulesTopic::new(bed.kafka_settings(), &bed.topic("rules"), Duration::from_secs(30));
    assert_eq!(topic.load(&rules).unwrap(), 3);
    let mapping = demo.join("config/zeek.yml").display().to_string();
    // As the compose file sets the two processors up.
    let dns = bed.start(&[
        ("application.id", &bed.topic("zeek-dns-rules-streams-app")),
        ("data.topic", &bed.topic("dns")),
        ("output.topic", &bed.topic("dns-detection")),
        ("field.mapping.file", &mapping),
        ("sigma.rule.filter.product", "zeek"),
        ("sigma.rule.filter.service", "dns"),
    ]);
    let cisco = bed.start(&[
        ("application.id", &bed.topic("splunk-cisco-asa-rules-streams-app")),
        ("data.topic", &bed.topic("splunk-s2s-events")),
        ("output.topic", &bed.topic("splunk-cisco-asa-detection")),
        ("field.mapping.file", &mapping),
        ("sigma.rule.filter.product", "splunk"),
        ("sigma.rule.filter.service", "cisco:asa"),
    ]);
    assert_eq!((dns.snapshot().rule_count, cisco.snapshot().rule_count), (2, 1));
    let sender = bed.sender();
    send_lines(&sender, &bed.topic("dns"), &demo.join("data/dns_demo.txt"));
    send_lines(&sender, &bed.topic("splunk-s2s-events"), &demo.join("data/splunk-s2s-demo.txt"));
    let dns_snapshot = until(&dns, |snapshot| {
        snapshot.counts.get(Metric::WindowMatches) == 44
            && snapshot.counts.get(Metric::Detections)
                == snapshot.counts.get(Metric::WindowDetections)
    });
    // More than ten within ten seconds hold once, from the eleventh on, if all came within the ten.
    assert!(dns_snapshot.counts.get(Metric::Detections) >= 1);
    until(&cisco, |snapshot| snapshot.counts.get(Metric::Records) == 200);
    until(&cisco, |snapshot| snapshot.counts.get(Metric::Detections) == 5);
    let told = bed.read_until(&["firewalls"], |records| records.len() >= 5);
    assert_eq!(told.len(), 5);
    for record in &told {
        let told = record.json();
        assert_eq!(told["title"], "Cisco Firewalls Extraction");
        for name in ["src", "srcport", "dest", "destport", "hostname", "messageID", "timestamp"] {
            assert!(told[name].is_string(), "no {name} in {told}");
        }
        assert_eq!((&told["location"], &told["index"]), (&"edge".into(), &"main".into()));
        assert!(told["sourceData"].is_object());
        assert_eq!(record.headers["sigmill-rule-author"], "Mike Peacock");
    }
    for partition in 0..2 {
        assert_eq!(bed.end("splunk-cisco-asa-detection", partition), 0, "none goes there");
    }
    let told = bed.read_until(&["dns-detection"], |records| !records.is_empty());
    assert!(told.iter().all(|one| one.json()["title"] == "Possible DNS exfiltration Time"));
    assert!(dns.stop().is_clean);
    assert!(cisco.stop().is_clean);
}
