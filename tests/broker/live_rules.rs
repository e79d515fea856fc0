//! Rules are loaded, changed and removed while records flow, and exactly the expected detections
//! come out.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;

use rdkafka::message::{Header, OwnedHeaders};
use sigmill_runtime::metrics::Metric;
use sigmill_runtime::rule_store::Outcome;

use crate::bed::{Bed, DEADLINE, put_rule, until_in_force};
use crate::{on_both_brokers, rule, titles_and_numbers};

const PARTITIONS: i32 = 4;

fn event(n: i64, user: &str) -> String {
    format!(r#"{{"n":{n},"user":"{user}","flow":"yes"}}"#)
}

on_both_brokers!(rules_change_while_records_flow);

fn rules_change_while_records_flow(bed: &Bed) {
    bed.create_topic("data", PARTITIONS, &[]);
    bed.create_topic("out", 2, &[]);
    bed.create_topic("own", 1, &[]);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    bed.create_topic("dead", 1, &[]);
    let sender = bed.sender();
    let data = bed.topic("data");
    put_rule(bed, &sender, "Alice", Some(&rule("Alice", "user", "alice")));
    put_rule(bed, &sender, "Bob", Some(&rule("Bob", "user", "b*")));
    put_rule(bed, &sender, "Flow", Some(&rule("Flow", "flow", "yes")));
    sender.flush();

    let processor = bed.start(&[("num.stream.threads", "2")]);
    assert_eq!(processor.snapshot().rule_count, 3, "the rules are in when the start is done");

    // Every event from here on matches the rule Flow, through every change.
    let next = AtomicI64::new(0);
    let is_done = AtomicBool::new(false);
    let mut expected: Vec<(String, i64)> = Vec::new();
    std::thread::scope(|scope| {
        let flow = || {
            let sender = bed.sender();
            let deadline = Instant::now() + DEADLINE;
            while !is_done.load(Ordering::Relaxed) {
                let n = next.fetch_add(1, Ordering::Relaxed);
                sender.send(&data, (n % i64::from(PARTITIONS)) as i32, event(n, "eve").as_bytes());
                if n % 50 == 0 {
                    sender.flush();
                }
                assert!(Instant::now() < deadline, "the scenario does not end");
            }
            sender.flush();
        };
        let flowing = scope.spawn(flow);
        let mut send = |user: &str, titles: &[&str]| {
            let n = next.fetch_add(1, Ordering::Relaxed);
            sender.send(&data, (n % i64::from(PARTITIONS)) as i32, event(n, user).as_bytes());
            sender.flush();
            expected.extend(titles.iter().map(|title| ((*title).to_owned(), n)));
            expected.len()
        };
        // Detections are awaited before each change: records on their way meet the set of their time.
        let until_seen = |count: usize| {
            let (mut looked_at, mut others) = (0, 0);
            bed.read_until(&["out", "own"], |records| {
                let new = &records[looked_at..];
                others += new.iter().filter(|record| record.json()["title"] != "Flow").count();
                looked_at = records.len();
                others >= count
            });
        };
        send("alice", &["Alice"]);
        let count = send("bob", &["Bob"]);
        until_seen(count);

        // Changed: Bob asks for another value. New: Carol, with a topic of its own. Removed: Alice.
        let own = bed.topic("own");
        put_rule(bed, &sender, "Bob", Some(&rule("Bob", "user", "robert")));
        let carol = rule("Carol", "user", "carol");
        let carol =
            format!("{carol}kafka: {{outputTopic: {own}, customFields: {{where: edge}}}}\n");
        put_rule(bed, &sender, "Carol", Some(&carol));
        put_rule(bed, &sender, "Alice", None);
        until_in_force(bed, &sender, &processor);
        send("alice", &[]);
        send("bob", &[]);
        send("robert", &["Bob"]);
        let count = send("carol", &["Carol"]);
        until_seen(count);

        // Bad versions leave the last good ones in force, and are told.
        put_rule(bed, &sender, "Bob", Some("title: [not yaml"));
        put_rule(bed, &sender, "Carol", Some("title: Carol\nlogsource: {product: test}\n"));
        put_rule(bed, &sender, "Nobody", Some("logsource: {product: test}\n"));
        until_in_force(bed, &sender, &processor);
        let snapshot = processor.snapshot();
        let problems: Vec<_> =
            snapshot.problems.iter().map(|p| (p.key.as_str(), p.outcome)).collect();
        assert_eq!(
            problems,
            [
                ("Bob", Outcome::LastGoodKept),
                ("Carol", Outcome::LastGoodKept),
                ("Nobody", Outcome::NotLoaded)
            ]
        );
        assert_eq!(snapshot.counts.get(Metric::RuleProblems), 3);
        assert_eq!(snapshot.rule_count, 3);
        send("robert", &["Bob"]);
        let count = send("carol", &["Carol"]);
        until_seen(count);

        // A tombstone for a rule whose last version was bad removes the good one too.
        put_rule(bed, &sender, "Bob", None);
        put_rule(bed, &sender, "Nobody", None);
        put_rule(bed, &sender, "Carol", Some(&carol));
        until_in_force(bed, &sender, &processor);
        assert!(processor.snapshot().problems.is_empty());
        send("robert", &[]);
        let count = send("carol", &["Carol"]);
        until_seen(count);
        is_done.store(true, Ordering::Relaxed);
        flowing.join().unwrap();
    });

    let total = next.load(Ordering::Relaxed);
    expected.extend((0..total).map(|n| ("Flow".to_owned(), n)));
    expected.sort();
    let stopped = processor.stop();
    // The group may have given a partition to the second worker while records flowed.
    assert!(stopped.is_clean);
    let records = bed.read_until(&["out", "own"], |records| records.len() >= expected.len());
    assert_eq!(titles_and_numbers(&records), expected);
    let counts = &stopped.snapshot.counts;
    assert_eq!(counts.get(Metric::Records), total as u64);
    assert_eq!(counts.get(Metric::Detections), expected.len() as u64);
    assert_eq!(stopped.snapshot.detection_latency.count, expected.len() as u64);
    let carol = bed.read_until(&["own"], |records| records.len() >= 3);
    assert!(carol.iter().all(|record| record.json()["where"] == "edge"));
    if bed.is_real() {
        // The embedded broker takes no commits while one of the two workers has just left.
        for partition in 0..PARTITIONS {
            assert_eq!(bed.committed("data", partition), Some(bed.end("data", partition)));
        }
    }
}

on_both_brokers!(a_detection_carries_key_timestamp_and_headers_of_its_record);

fn a_detection_carries_key_timestamp_and_headers_of_its_record(bed: &Bed) {
    bed.create_topic("data", 1, &[]);
    bed.create_topic("out", 1, &[]);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    bed.create_topic("dead", 1, &[]);
    let sender = bed.sender();
    put_rule(bed, &sender, "B", Some(&rule("B", "user", "alice")));
    put_rule(bed, &sender, "A", Some(&rule("A", "user", "al*")));
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("1") })
        .insert(Header { key: "empty", value: None::<&str> });
    let value = br#"{"n": 1, "user": "alice", "x": 1.50}"#;
    sender.put(&bed.topic("data"), 0, Some("key"), Some(value), Some(headers));
    sender.flush();
    let processor = bed.start(&[("sigma.rule.first.match", "true")]);
    let detection = bed.read_until(&["out"], |records| !records.is_empty()).remove(0);
    let source = bed.read_until(&["data"], |records| !records.is_empty()).remove(0);
    assert_eq!(detection.key.as_deref(), Some("key"));
    assert_eq!(detection.timestamp, source.timestamp);
    assert_eq!(detection.headers, source.headers);
    assert_eq!(detection.headers["empty"], "-");
    let text = String::from_utf8(detection.value.clone()).unwrap();
    assert!(text.ends_with(r#""sourceData":{"n": 1, "user": "alice", "x": 1.50}}"#), "{text}");
    // First match: the lowest title, although both match.
    let stopped = processor.stop();
    assert_eq!(detection.json()["title"], "A");
    assert_eq!(stopped.snapshot.counts.get(Metric::Matches), 2);
    assert_eq!(stopped.snapshot.counts.get(Metric::Detections), 1);
}
