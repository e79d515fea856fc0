//! A rule cannot stop the others: budgets of detections, topics of rules that fail, loops.

use std::cell::Cell;

use sigmill_runtime::metrics::Metric;
use sigmill_runtime::properties::Properties;
use sigmill_runtime::settings::Settings;

use crate::bed::{Bed, Record, until};
use crate::{on_both_brokers, rule, title_and_number};

fn prepare(bed: &Bed, rules: &[(&str, String)]) {
    for topic in ["data", "out", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    for (key, text) in rules {
        sender.put(&bed.topic("rules"), 0, Some(key), Some(text.as_bytes()), None);
    }
    sender.flush();
}

fn suppressed(record: &Record) -> u64 {
    record.headers.get("sigmill.suppressed_count").map_or(0, |count| count.parse().unwrap())
}

on_both_brokers!(a_rule_beyond_its_budget_is_sampled_and_others_are_whole);

fn a_rule_beyond_its_budget_is_sampled_and_others_are_whole(bed: &Bed) {
    prepare(bed, &[("A", rule("A", "user", "alice")), ("B", rule("B", "user", "bob"))]);
    let processor = bed.start(&[("sigmill.rule.detections.per.second", "20")]);
    let sender = bed.sender();
    let send = |n: i64, user: &str| {
        let event = format!(r#"{{"n":{n},"user":"{user}"}}"#);
        sender.send(&bed.topic("data"), 0, event.as_bytes());
    };
    // Far more of A than a second's budget, and of B less.
    for n in 0..5000 {
        send(n, if n % 1000 == 0 { "bob" } else { "alice" });
    }
    sender.flush();
    until(&processor, |snapshot| snapshot.counts.get(Metric::Records) == 5000);
    // More come until one tells of those that were left out before.
    let next = Cell::new(5000);
    let records = bed.read_until(&["out"], |records| {
        let is_told = records.iter().any(|record| suppressed(record) > 0);
        if !is_told {
            send(next.replace(next.get() + 1), "alice");
            sender.flush();
        }
        is_told
    });
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    let counts = &stopped.snapshot.counts;
    assert_eq!(counts.get(Metric::Matches), next.get() as u64);
    let (sent, left_out) =
        (counts.get(Metric::Detections), counts.get(Metric::DetectionsSuppressed));
    assert!(left_out > 0);
    assert_eq!(sent + left_out, next.get() as u64, "each was sent or counted");
    let told: u64 = records.iter().map(suppressed).sum();
    assert!(told <= left_out, "{told} of {left_out}");
    let bobs = bed.read_until(&["out"], |records| records.len() as u64 == sent);
    let bobs: Vec<i64> = bobs
        .iter()
        .map(title_and_number)
        .filter(|(title, _)| title == "B")
        .map(|(_, n)| n)
        .collect();
    assert_eq!(bobs, [0, 1000, 2000, 3000, 4000], "the other rule lost nothing");
    assert_eq!(bed.committed("data", 0), Some(next.get()), "what is left out is done");
}

/// What the rule's own topic refuses as too large is not too large for the default topic.
#[test]
fn a_detection_too_large_for_its_own_topic_goes_to_the_default_topic() {
    let Some(bed) = Bed::real() else { return };
    let own = bed.topic("own");
    let text = format!("{}kafka: {{outputTopic: {own}}}\n", rule("A", "user", "alice"));
    prepare(&bed, &[("A", text)]);
    bed.create_topic("own", 1, &[("max.message.bytes", "2000")]);
    let processor = bed.start(&[]);
    let sender = bed.sender();
    for (n, length) in [(1, 10), (2, 5000), (3, 10)] {
        let event = format!(r#"{{"n":{n},"user":"alice","text":"{}"}}"#, "x".repeat(length));
        sender.send(&bed.topic("data"), 0, event.as_bytes());
    }
    sender.flush();
    let rerouted = bed.read_until(&["out"], |records| records.len() == 1);
    assert_eq!(title_and_number(&rerouted[0]), ("A".to_owned(), 2));
    assert_eq!(rerouted[0].headers["sigmill.output.topic"], own);
    let kept = bed.read_until(&["own"], |records| records.len() == 2);
    let mut numbers: Vec<i64> = kept.iter().map(|record| title_and_number(record).1).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 3]);
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert_eq!(stopped.snapshot.counts.get(Metric::DetectionsFailed), 0);
}

/// A rule that names a topic which is read by pattern would feed on itself.
#[test]
fn a_topic_of_a_data_pattern_is_refused_as_an_output() {
    let Some(bed) = Bed::real() else { return };
    let looping = bed.topic("win-alerts");
    let text = format!("{}kafka: {{outputTopic: {looping}}}\n", rule("A", "user", "alice"));
    prepare(&bed, &[("A", text)]);
    bed.create_topic("win-1", 1, &[]);
    let pattern = format!("^{}", bed.topic("win-.*"));
    let processor = bed.start(&[("data.topic", &pattern), ("metadata.max.age.ms", "200")]);
    let snapshot = until(&processor, |snapshot| snapshot.partition_count == 1);
    let findings = &snapshot.problems[0].findings;
    assert!(findings[0].contains("is refused, the processor reads it"), "{findings:?}");
    let sender = bed.sender();
    sender.send(&bed.topic("win-1"), 0, br#"{"n":1,"user":"alice"}"#);
    sender.flush();
    let records = bed.read_until(&["out"], |records| records.len() == 1);
    assert_eq!(title_and_number(&records[0]), ("A".to_owned(), 1));
    assert!(processor.stop().is_clean);
}

#[test]
fn outputs_that_a_data_pattern_covers_are_refused_at_the_start() {
    let refused = |changes: &[(&str, &str)]| {
        let mut properties = Properties::default();
        let settings = [
            ("bootstrap.servers", "127.0.0.1:1"),
            ("application.id", "a"),
            ("data.topic", "^win-.*"),
            ("output.topic", "out"),
            ("sigma.rules.topic", "rules"),
        ];
        for (name, value) in settings.iter().chain(changes) {
            properties.set(name, value, "test");
        }
        Settings::from_properties(&properties).map_or_else(|error| error.to_string(), |_| "".into())
    };
    assert_eq!(refused(&[]), "");
    let said = refused(&[("output.topic", "win-alerts")]);
    assert!(said.contains("output.topic = `win-alerts`"), "{said}");
    assert!(said.contains("data.topic names the same topic"), "{said}");
    let said = refused(&[("sigmill.deadletter.topic", "win-dead")]);
    assert!(said.contains("the processor reads this topic"), "{said}");
    let said = refused(&[("data.topic", "^win-(")]);
    assert!(said.contains("is not a regular expression"), "{said}");
}
