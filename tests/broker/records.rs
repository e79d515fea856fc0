//! Records that are odd or bad: each has a defined outcome and a counter, and the processor goes on.

use sigmill_runtime::metrics::Metric;

use crate::bed::{Bed, until};
use crate::{on_both_brokers, rule, titles_and_numbers};

fn padded(n: i64, bytes: usize) -> Vec<u8> {
    format!(r#"{{"n":{n},"user":"alice","pad":"{}"}}"#, "x".repeat(bytes)).into_bytes()
}

on_both_brokers!(bad_records_are_counted_and_put_aside);

fn bad_records_are_counted_and_put_aside(bed: &Bed) {
    let large = [("max.message.bytes", "30000000")];
    // A partition for each: the embedded broker keeps little more than one record of 10 MB.
    bed.create_topic("data", 16, &large);
    bed.create_topic("out", 1, &large);
    bed.create_topic("dead", 1, &large);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    sender.put(
        &bed.topic("rules"),
        0,
        Some("A"),
        Some(rule("A", "user", "alice").as_bytes()),
        None,
    );
    sender.flush();
    let processor = bed.start(&[("sigmill.record.max.bytes", "11000000")]);

    let deep = [b"{\"n\":".as_slice(), &b"[".repeat(10_000), &b"]".repeat(10_000), b"}"].concat();
    let bad: &[(&[u8], &str, Metric)] = &[
        (b"", "empty", Metric::RejectedEmpty),
        (b" \n", "empty", Metric::RejectedEmpty),
        (br#"[{"user":"alice"}]"#, "not_an_object", Metric::RejectedNotAnObject),
        (b"user=alice", "not_json", Metric::RejectedNotJson),
        (br#"{"user":"alice""#, "not_json", Metric::RejectedNotJson),
        (b"{\"user\":\"alice\",\"x\":\"\xff\"}", "not_utf8", Metric::RejectedNotUtf8),
        (&deep, "too_deep", Metric::RejectedTooDeep),
        (&padded(0, 11_000_000), "too_long", Metric::RejectedTooLong),
    ];
    let data = bed.topic("data");
    for (partition, (value, ..)) in (0..).zip(bad) {
        sender.put(&data, partition, Some("k"), Some(value), None);
    }
    sender.put(&data, 8, Some("k"), None, None);
    // These are good: the last of repeated keys counts, and 10 MB are within the limit.
    sender.send(&data, 9, br#"{"n":1,"user":"eve","user":"alice"}"#);
    sender.send(&data, 10, br#"{"n":2,"user":"alice","user":"eve"}"#);
    sender.send(&data, 11, &padded(3, 10_000_000));
    sender.send(&data, 12, br#"{"n":4,"user":"alice"}"#);
    sender.flush();

    // The one of 10 MB may push others out of the embedded broker's only partition: count it there.
    let snapshot = until(&processor, |snapshot| {
        snapshot.counts.get(Metric::Detections) == 3
            && snapshot.counts.get(Metric::DeadLetters) == bad.len() as u64
            && snapshot.counts.get(Metric::Records) == 13
    });
    assert_eq!(snapshot.counts.get(Metric::Tombstones), 1);
    assert_eq!(snapshot.counts.rejected(), bad.len() as u64);
    for metric in bad.iter().map(|(_, _, metric)| *metric) {
        let expected = bad.iter().filter(|(_, _, other)| *other == metric).count();
        assert_eq!(snapshot.counts.get(metric), expected as u64, "{metric:?}");
    }
    if bed.is_real() {
        let records = bed.read_until(&["out"], |records| records.len() >= 3);
        let expected = [1, 3, 4].map(|n| ("A".to_owned(), n));
        assert_eq!(titles_and_numbers(&records), expected);
        let dead = bed.read_until(&["dead"], |records| records.len() >= bad.len());
        for (partition, (value, reason, _)) in bad.iter().enumerate() {
            let record = dead
                .iter()
                .find(|record| record.headers["sigmill.partition"] == partition.to_string())
                .unwrap();
            assert_eq!(record.headers["sigmill.reason"], *reason);
            assert_eq!(record.headers["sigmill.topic"], data);
            assert_eq!(record.headers["sigmill.offset"], "0");
            assert_eq!(record.key.as_deref(), Some("k"));
            assert!(record.value == *value, "the record is put aside as it came");
        }
    }
    assert!(processor.stop().is_clean);
    for partition in 0..13 {
        assert_eq!(bed.committed("data", partition), Some(1));
    }
}

/// Only a real broker has a limit on sizes.
#[test]
fn a_detection_that_is_too_large_goes_to_the_dead_letter_topic() {
    let Some(bed) = Bed::real() else { return };
    let large = [("max.message.bytes", "30000000")];
    bed.create_topic("data", 1, &large);
    bed.create_topic("out", 1, &[]);
    bed.create_topic("dead", 1, &large);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    sender.put(
        &bed.topic("rules"),
        0,
        Some("A"),
        Some(rule("A", "user", "alice").as_bytes()),
        None,
    );
    let data = bed.topic("data");
    sender.send(&data, 0, br#"{"n":1,"user":"alice"}"#);
    sender.send(&data, 0, &padded(2, 2_000_000));
    sender.send(&data, 0, br#"{"n":3,"user":"alice"}"#);
    sender.flush();
    let processor = bed.start(&[]);
    let dead = bed.read_until(&["dead"], |records| !records.is_empty());
    assert_eq!(titles_and_numbers(&dead), [("A".to_owned(), 2)]);
    assert!(dead[0].headers["sigmill.reason"].contains("too large"), "{:?}", dead[0].headers);
    assert_eq!(dead[0].headers["sigmill.output.topic"], bed.topic("out"));
    let records = bed.read_until(&["out"], |records| records.len() >= 2);
    assert_eq!(titles_and_numbers(&records), [1, 3].map(|n| ("A".to_owned(), n)));
    let stopped = processor.stop();
    assert_eq!(stopped.snapshot.counts.get(Metric::DetectionsFailed), 1);
    assert_eq!(bed.committed("data", 0), Some(3));

    // Without a dead-letter topic it is counted and passed.
    sender.send(&data, 0, &padded(4, 2_000_000));
    sender.flush();
    let processor = bed.start(&[("sigmill.deadletter.topic", "")]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::DetectionsFailed) == 1);
    assert!(processor.stop().is_clean);
    assert_eq!(bed.committed("data", 0), Some(4));
}

/// A broker refuses a batch as a whole, even if each of its records alone is small enough.
#[test]
fn small_detections_are_not_lost_with_a_batch_that_is_too_large() {
    let Some(bed) = Bed::real() else { return };
    bed.create_topic("data", 1, &[]);
    bed.create_topic("out", 1, &[("max.message.bytes", "20000")]);
    bed.create_topic("dead", 1, &[]);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    sender.put(
        &bed.topic("rules"),
        0,
        Some("A"),
        Some(rule("A", "user", "alice").as_bytes()),
        None,
    );
    let data = bed.topic("data");
    for n in 0..100 {
        let bytes = if n == 50 { 30_000 } else { 3_000 };
        sender.send(&data, 0, &padded(n, bytes));
    }
    sender.flush();
    let processor = bed.start(&[("linger.ms", "100")]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 99);
    let records = bed.read_until(&["out"], |records| records.len() >= 99);
    let small = (0..100).filter(|n| *n != 50).map(|n| ("A".to_owned(), n));
    assert_eq!(titles_and_numbers(&records), small.collect::<Vec<_>>());
    let dead = bed.read_until(&["dead"], |records| !records.is_empty());
    assert_eq!(titles_and_numbers(&dead), [("A".to_owned(), 50)]);
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert_eq!(stopped.snapshot.counts.get(Metric::DetectionsFailed), 1);
    assert_eq!(bed.committed("data", 0), Some(100));
}
