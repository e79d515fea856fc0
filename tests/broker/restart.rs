//! A processor that stops and starts again loses nothing, and repeats nothing if the stop was clean.

use std::collections::BTreeSet;

use sigmill_runtime::metrics::Metric;

use crate::bed::{Bed, until};
use crate::{on_both_brokers, rule, titles_and_numbers};

fn prepare(bed: &Bed, partitions: i32) {
    bed.create_topic("data", partitions, &[]);
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

fn send(bed: &Bed, partitions: i32, numbers: std::ops::Range<i64>) {
    let sender = bed.sender();
    let data = bed.topic("data");
    for n in numbers {
        let event = format!(r#"{{"n":{n},"user":"alice"}}"#);
        sender.send(&data, (n % i64::from(partitions)) as i32, event.as_bytes());
    }
    sender.flush();
}

fn numbers(range: std::ops::Range<i64>) -> Vec<(String, i64)> {
    range.map(|n| ("A".to_owned(), n)).collect()
}

on_both_brokers!(a_clean_restart_goes_on_where_it_stopped);

fn a_clean_restart_goes_on_where_it_stopped(bed: &Bed) {
    prepare(bed, 3);
    send(bed, 3, 0..300);
    for round in 0..3 {
        let processor = bed.start(&[]);
        let stop_at = 300 * (round + 1);
        // In the middle of the work, in the second round.
        let wanted = if round == 1 { 1 } else { 300 };
        until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) >= wanted);
        let stopped = processor.stop();
        assert!(stopped.is_clean);
        assert_eq!(
            stopped.snapshot.counts.get(Metric::Detections),
            stopped.snapshot.counts.get(Metric::Records),
            "a clean stop leaves nothing in flight"
        );
        send(bed, 3, stop_at..stop_at + 300);
    }
    let processor = bed.start(&[]);
    let records = bed.read_until(&["out"], |records| records.len() >= 1200);
    assert!(processor.stop().is_clean);
    assert_eq!(titles_and_numbers(&records), numbers(0..1200));
}

on_both_brokers!(workers_share_the_partitions_and_take_over_from_each_other);

/// Two processors of one group: one joins while the other works, and leaves again.
fn workers_share_the_partitions_and_take_over_from_each_other(bed: &Bed) {
    prepare(bed, 4);
    let first = bed.start(&[]);
    send(bed, 4, 0..400);
    until(&first, |snapshot| snapshot.counts.get(Metric::Detections) >= 1);
    let second = bed.start(&[("num.stream.threads", "2")]);
    let mut sent = 400;
    let deadline = std::time::Instant::now() + crate::bed::DEADLINE;
    while second.snapshot().counts.get(Metric::Records) == 0 {
        send(bed, 4, sent..sent + 40);
        sent += 40;
        assert!(std::time::Instant::now() < deadline, "the second gets no partition");
    }
    assert!(second.stop().is_clean);
    send(bed, 4, sent..sent + 40);
    sent += 40;
    let expected: BTreeSet<_> = numbers(0..sent).into_iter().collect();
    let records = bed.read_until(&["out"], |records| {
        records.len() as i64 >= sent
            && titles_and_numbers(records).into_iter().collect::<BTreeSet<_>>() == expected
    });
    assert!(first.stop().is_clean);
    // Partitions change hands only after their detections are acknowledged and committed.
    if bed.is_real() {
        assert_eq!(titles_and_numbers(&records), numbers(0..sent));
    }
}
