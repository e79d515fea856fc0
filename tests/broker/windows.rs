//! Windows over restarts: what is restored, what is forgotten, and what is put aside.

use sigmill_runtime::metrics::Metric;

use crate::bed::{Bed, Record, Sender, until};
use crate::{on_both_brokers, rule};

/// Some time in the past, so that no clock has a say.
const BASE: i64 = 1_700_000_000_000;

fn prepare(bed: &Bed, rules: &[(&str, String)]) {
    let kept = [("retention.ms", "-1")];
    bed.create_topic("data", 2, &kept);
    bed.create_topic("out", 1, &kept);
    bed.create_topic("dead", 1, &kept);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    for (key, text) in rules {
        sender.put(&bed.topic("rules"), 0, Some(key), Some(text.as_bytes()), None);
    }
    sender.flush();
}

fn counting<'a>(title: &'a str, condition: &str) -> (&'a str, String) {
    let text = format!(
        "title: {title}\nlogsource: {{product: test}}\ndetection:\n  s: {{op: w}}\n  \
         timeframe: 10s\n  condition: s | {condition}\n"
    );
    (title, text)
}

fn send(bed: &Bed, sender: &Sender, partition: i32, host: &str, n: i64) {
    let event = format!(r#"{{"op":"w","host":"{host}","n":{n}}}"#);
    sender.send_at(&bed.topic("data"), partition, event.as_bytes(), BASE + n);
    sender.flush();
}

fn numbers(record: &Record) -> Vec<i64> {
    let json = record.json();
    let events = json["correlation"]["events"].as_array().unwrap();
    events.iter().map(|event| event["event"]["n"].as_i64().unwrap()).collect()
}

/// Two events before a stop, one after the next start: three of the same host.
fn check_restart(bed: &Bed, changes: &[(&str, &str)]) {
    prepare(bed, &[counting("G", "count() by host >= 3")]);
    let sender = bed.sender();
    let native = [("sigmill.output.format", "native")];
    let changes: Vec<_> = native.iter().chain(changes).copied().collect();
    let processor = bed.start(&changes);
    send(bed, &sender, 0, "a", 1);
    send(bed, &sender, 0, "a", 2);
    until(&processor, |snapshot| snapshot.counts.get(Metric::WindowMatches) == 2);
    assert!(processor.stop().is_clean);
    let processor = bed.start(&changes);
    send(bed, &sender, 0, "a", 3);
    let records = bed.read_until(&["out"], |records| !records.is_empty());
    assert_eq!(numbers(&records[0]), [1, 2, 3]);
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    let counts = stopped.snapshot.counts;
    assert_eq!(counts.get(Metric::WindowMatches), 1, "those before are only restored");
    assert_eq!(counts.get(Metric::WindowDetections), 1);
}

on_both_brokers!(windows_go_on_after_a_restart);

fn windows_go_on_after_a_restart(bed: &Bed) {
    check_restart(bed, &[]);
}

on_both_brokers!(windows_without_an_exchange_go_on_too);

fn windows_without_an_exchange_go_on_too(bed: &Bed) {
    check_restart(bed, &[("sigmill.window.exchange", "none")]);
    assert_eq!((0..4).map(|at| bed.end_or("sigmill-matches", at)).sum::<i64>(), 0);
}

#[test]
fn windows_go_on_exactly_once() {
    let Some(bed) = Bed::real() else { return };
    check_restart(&bed, &[("processing.guarantee", "exactly_once_v2")]);
}

#[test]
fn what_no_window_needs_is_deleted() {
    let Some(bed) = Bed::real() else { return };
    prepare(&bed, &[counting("G", "count() by host >= 3")]);
    let sender = bed.sender();
    let changes =
        [("sigmill.output.format", "native"), ("sigmill.window.purge.interval.ms", "100")];
    let processor = bed.start(&changes);
    let mut n = 0;
    let first = |bed: &Bed| (0..2).map(|at| bed.begin("sigmill-matches", at)).min().unwrap();
    let deadline = std::time::Instant::now() + crate::bed::DEADLINE;
    while first(&bed) == 0 {
        assert!(std::time::Instant::now() < deadline, "nothing is deleted");
        // Far from each other: no three of them are of one window.
        n += 8_000;
        for partition in 0..2 {
            send(&bed, &sender, partition, &format!("h{}", n % 7), n);
        }
    }
    until(&processor, |snapshot| snapshot.counts.get(Metric::WindowRecordsPurged) > 0);
    // Two more, a stop, and the third: what is needed is still there.
    n += 8_000;
    for _ in 0..2 {
        n += 1;
        send(&bed, &sender, 0, "last", n);
        send(&bed, &sender, 1, "other", n);
    }
    let before = processor.snapshot().counts.get(Metric::WindowRecordsPurged);
    assert!(before > 0);
    assert!(processor.stop().is_clean);
    let processor = bed.start(&changes);
    send(&bed, &sender, 1, "last", n + 1);
    let records = bed.read_until(&["out"], |records| !records.is_empty());
    assert_eq!(numbers(&records[0]), [n - 1, n, n + 1]);
    assert!(processor.stop().is_clean);
}

#[test]
fn matches_of_rules_that_do_not_come_are_put_aside() {
    let bed = Bed::embedded(1);
    prepare(&bed, &[counting("G", "count() by host >= 3")]);
    let sender = bed.sender();
    let changes = [("sigmill.output.format", "native"), ("sigmill.window.rules.wait.ms", "100")];
    let processor = bed.start(&changes);
    // A heartbeat of a plan that was built from far more of the rules topic.
    let early = [b'S', b'M', 1, 1, 0, 0x9e, 0x9c, 0x01, 0, 0, 0, 0, 0, 0, 0];
    for partition in 0..4 {
        sender.put(&bed.topic("sigmill-matches"), partition, None, Some(&early), None);
        sender.put(&bed.topic("sigmill-matches"), partition, None, Some(b"something else"), None);
    }
    sender.flush();
    until(&processor, |snapshot| {
        snapshot.counts.get(Metric::WindowMatchesUnruled) == 4
            && snapshot.counts.get(Metric::WindowMatchesMalformed) == 4
    });
    for n in 1..4 {
        send(&bed, &sender, 0, "a", n);
    }
    let records = bed.read_until(&["out"], |records| !records.is_empty());
    assert_eq!(numbers(&records[0]), [1, 2, 3]);
    let dead = bed.read_until(&["dead"], |records| records.len() >= 8);
    let reasons = |reason: &str| {
        dead.iter().filter(|record| record.headers["sigmill.reason"] == reason).count()
    };
    assert_eq!((reasons("its rules did not come"), reasons("malformed matches")), (4, 4));
    assert!(processor.stop().is_clean);
}

/// A broker that refuses a detection refuses its transaction: the second time it is put aside.
#[test]
fn a_detection_that_is_too_large_does_not_stop_transactions() {
    let Some(bed) = Bed::real() else { return };
    let kept = [("retention.ms", "-1")];
    bed.create_topic("data", 1, &kept);
    bed.create_topic("out", 1, &[("max.message.bytes", "3000"), ("retention.ms", "-1")]);
    bed.create_topic("dead", 1, &kept);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    let text = rule("A", "user", "eve");
    sender.put(&bed.topic("rules"), 0, Some("A"), Some(text.as_bytes()), None);
    for n in 0..20 {
        let filler = if n == 7 { "x".repeat(5_000) } else { String::new() };
        let event = format!(r#"{{"n":{n},"user":"eve","filler":"{filler}"}}"#);
        sender.send(&bed.topic("data"), 0, event.as_bytes());
    }
    sender.flush();
    let processor = bed.start(&[("processing.guarantee", "exactly_once_v2")]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::TransactionsCommitted) >= 1);
    let records = bed.read_until(&["out"], |records| records.len() >= 19);
    let expected: Vec<_> = (0..20).filter(|n| *n != 7).map(|n| ("A".to_owned(), n)).collect();
    assert_eq!(crate::titles_and_numbers(&records), expected);
    let dead = bed.read_until(&["dead"], |records| !records.is_empty());
    assert_eq!(dead.len(), 1);
    assert_eq!(crate::title_and_number(&dead[0]), ("A".to_owned(), 7));
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert!(stopped.snapshot.counts.get(Metric::TransactionsAborted) >= 1);
}
