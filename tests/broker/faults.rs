//! Detections that cannot be delivered for a while hold the offsets of their records.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCoordinator;
use sigmill_runtime::metrics::Metric;

use crate::bed::{Bed, Broker, DEADLINE, until};
use crate::{rule, titles_and_numbers};

fn prepare(bed: &Bed) {
    bed.create_topic("data", 1, &[]);
    bed.create_topic("out", 1, &[]);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    bed.create_topic("dead", 1, &[]);
    let sender = bed.sender();
    sender.put(
        &bed.topic("rules"),
        0,
        Some("A"),
        Some(rule("A", "user", "alice").as_bytes()),
        None,
    );
    sender.flush();
}

/// Every second record matches.
fn send(bed: &Bed, numbers: std::ops::Range<i64>) {
    let sender = bed.sender();
    for n in numbers {
        let user = if n % 2 == 0 { "eve" } else { "alice" };
        let event = format!(r#"{{"n":{n},"user":"{user}"}}"#);
        sender.send(&bed.topic("data"), 0, event.as_bytes());
    }
    sender.flush();
}

fn odd(range: std::ops::Range<i64>) -> BTreeSet<(String, i64)> {
    range.filter(|n| n % 2 == 1).map(|n| ("A".to_owned(), n)).collect()
}

/// Two embedded brokers: one has the output topic and goes away, the other has all the rest.
#[test]
fn offsets_wait_for_an_output_broker_that_is_away() {
    let bed = Bed::embedded(2);
    prepare(&bed);
    let Broker::Embedded(broker) = &bed.broker else { unreachable!("asked for above") };
    let cluster = broker.cluster();
    for name in ["data", "rules", "dead"] {
        cluster.partition_leader(&bed.topic(name), 0, Some(1)).unwrap();
    }
    cluster.partition_leader(&bed.topic("out"), 0, Some(2)).unwrap();
    let settings = bed.settings(&[]);
    let group = MockCoordinator::Group(settings.application_id);
    cluster.coordinator(group, 1).unwrap();

    let changes = [
        ("sigmill.inflight.max.records", "100"),
        ("sigmill.stop.timeout.ms", "1000"),
        ("reconnect.backoff.max.ms", "200"),
    ];
    send(&bed, 0..100);
    let processor = bed.start(&changes);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 50);
    wait_for_commit(&bed, 100);
    cluster.broker_down(2).unwrap();
    send(&bed, 100..1000);
    // A full worker pauses and goes on polling; nothing of it is committed.
    until(&processor, |snapshot| snapshot.counts.get(Metric::Pauses) >= 1);
    let snapshot = processor.snapshot();
    assert!(snapshot.counts.get(Metric::Records) < 1000, "back-pressure holds the records");
    assert_eq!(snapshot.counts.get(Metric::Detections), 50);
    processor.stop();
    let committed = bed.committed("data", 0).unwrap();
    // 100 is even and has no detection; 101 has one that nobody acknowledged.
    assert!((100..=101).contains(&committed), "committed {committed}");

    cluster.broker_up(2).unwrap();
    let processor = bed.start(&changes);
    let records = bed.read_until(&["out"], |records| {
        titles_and_numbers(records).into_iter().collect::<BTreeSet<_>>() == odd(0..1000)
    });
    assert!(records.len() >= 500);
    wait_for_commit(&bed, 1000);
    assert!(processor.stop().is_clean);
}

/// The output topic is deleted under a running processor and comes back.
#[test]
fn offsets_wait_for_an_output_topic_that_is_gone() {
    let Some(bed) = Bed::real() else { return };
    prepare(&bed);
    send(&bed, 0..100);
    let processor = bed.start(&[("topic.metadata.propagation.max.ms", "500")]);
    wait_for_commit(&bed, 100);
    bed.delete_topic("out");
    send(&bed, 100..200);
    until(&processor, |snapshot| snapshot.counts.get(Metric::DetectionsRetried) >= 1);
    assert!(bed.committed("data", 0).unwrap() <= 101);
    bed.create_topic("out", 1, &[]);
    let records = bed.read_until(&["out"], |records| {
        titles_and_numbers(records).into_iter().collect::<BTreeSet<_>>() == odd(100..200)
    });
    assert!(records.len() >= 50);
    wait_for_commit(&bed, 200);
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert_eq!(stopped.snapshot.counts.get(Metric::DetectionsFailed), 0);
}

/// A rule whose own topic is missing sends to the default topic, and says so in a header.
#[test]
fn a_rule_with_an_unusable_topic_uses_the_default() {
    let Some(bed) = Bed::real() else { return };
    prepare(&bed);
    let own = bed.topic("own");
    let text = format!("{}kafka: {{outputTopic: {own}}}\n", rule("B", "user", "eve"));
    let sender = bed.sender();
    sender.put(&bed.topic("rules"), 0, Some("B"), Some(text.as_bytes()), None);
    sender.flush();
    let processor = bed.start(&[("topic.metadata.propagation.max.ms", "500")]);
    // The processor made the topic when it loaded the rule; then somebody takes it away.
    send(&bed, 0..1);
    bed.read_until(&["own"], |records| records.len() == 1);
    bed.delete_topic("own");
    send(&bed, 2..3);
    let records = bed.read_until(&["out"], |records| records.len() == 1);
    assert_eq!(titles_and_numbers(&records), [("B".to_owned(), 2)]);
    assert_eq!(records[0].headers["sigmill.output.topic"], own);
    let stopped = processor.stop();
    assert_eq!(stopped.snapshot.counts.get(Metric::DetectionsRerouted), 1);
}

fn wait_for_commit(bed: &Bed, offset: i64) {
    let deadline = Instant::now() + DEADLINE;
    while bed.committed("data", 0) != Some(offset) {
        assert!(Instant::now() < deadline, "{:?} is committed", bed.committed("data", 0));
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
