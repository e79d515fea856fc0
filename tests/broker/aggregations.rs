//! Aggregations: counted over all workers and partitions of a process, and told as the JVM processor does.

use sigmill_runtime::metrics::Metric;

use crate::bed::{Bed, until};
use crate::{on_both_brokers, rule};

/// Some time in the past, so that no clock has a say.
const BASE: i64 = 1_700_000_000_000;

fn counting(title: &str, condition: &str) -> String {
    format!(
        "title: {title}\nauthor: Ada\nlogsource: {{product: test}}\ndetection:\n  s: {{op: w}}\n  \
         timeframe: 10s\n  condition: s | {condition}\n"
    )
}

fn load(bed: &Bed, rules: &[(&str, String)]) {
    let sender = bed.sender();
    for (key, text) in rules {
        sender.put(&bed.topic("rules"), 0, Some(key), Some(text.as_bytes()), None);
    }
    sender.flush();
}

on_both_brokers!(groups_are_counted_over_all_partitions);

fn groups_are_counted_over_all_partitions(bed: &Bed) {
    bed.create_topic("data", 4, &[]);
    for topic in ["out", "dead"] {
        bed.create_topic(topic, 2, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    load(
        bed,
        &[
            ("G", counting("G", "count() by host > 3")),
            ("D", counting("D", "count(port) by host >= 3")),
            ("Simple", rule("Simple", "op", "x")),
        ],
    );
    let processor = bed.start(&[("num.stream.threads", "2"), ("sigma.rule.first.match", "true")]);
    let data = bed.topic("data");
    let sender = bed.sender();
    // Four of host a, each in another partition; three of host b, of which two have the same port.
    for n in 0..4_i32 {
        let event = format!(r#"{{"op":"w","host":"a","port":1,"n":{n}}}"#);
        sender.send_at(&data, n, event.as_bytes(), BASE + i64::from(n));
    }
    for (n, port) in [(10, 1), (11, 2), (12, 2), (13, 3)] {
        let event = format!(r#"{{"op":"w","host":"b","port":{port},"n":{n}}}"#);
        // The windows of those before are over when it comes to 13.
        sender.send_at(&data, 0, event.as_bytes(), BASE + i64::from(n));
    }
    sender.send_at(&data, 1, br#"{"op":"x","n":20}"#, BASE + 20);
    sender.flush();
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 4);
    let mut records = bed.read_until(&["out"], |records| records.len() >= 4);
    records.sort_by_key(|record| record.json()["title"].to_string());
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let json = record.json();
            (json["title"].as_str().unwrap().to_owned(), json["sourceData"]["host"].clone())
        })
        .collect();
    assert_eq!(told[0], ("D".into(), "b".into()));
    // Four of each host: more than three.
    assert_eq!((&told[1].0, &told[2].0), (&"G".to_owned(), &"G".to_owned()));
    assert_eq!(told[3].0, "Simple");
    let distinct = &records[0];
    assert_eq!(distinct.key.as_deref(), Some(""), "the key is an empty text");
    assert_eq!(distinct.json()["sourceData"]["n"], 13, "the latest record is shown");
    assert_eq!(distinct.json()["isAggregateCondition"], false);
    assert_eq!(distinct.timestamp, Some(BASE + 13));
    assert_eq!(distinct.headers["sigmill-rule-author"], "Ada");
    let partitions: Vec<_> = records[..3].iter().map(|record| record.partition).collect();
    assert!(partitions.iter().all(|partition| *partition == partitions[0]), "{partitions:?}");
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert_eq!(stopped.snapshot.counts.get(Metric::WindowMatchesLate), 0);
}

on_both_brokers!(a_window_lives_on_when_other_rules_change);

fn a_window_lives_on_when_other_rules_change(bed: &Bed) {
    for topic in ["data", "out", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    load(bed, &[("G", counting("G", "count() > 2"))]);
    let native = [("sigmill.output.format", "native"), ("sigmill.window.emit", "every")];
    let processor = bed.start(&native);
    let data = bed.topic("data");
    let sender = bed.sender();
    let send = |n: i64| {
        sender.send_at(&data, 0, format!(r#"{{"op":"w","n":{n}}}"#).as_bytes(), BASE + n);
        sender.flush();
    };
    send(1);
    send(2);
    until(&processor, |snapshot| snapshot.counts.get(Metric::WindowMatches) == 2);
    load(bed, &[("Other", rule("Other", "user", "eve"))]);
    until(&processor, |snapshot| snapshot.rule_count == 2);
    send(3);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 1);
    // Another version of the rule itself begins with nothing.
    load(bed, &[("G", counting("G", "count() > 1"))]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::RuleSets) >= 3);
    send(4);
    until(&processor, |snapshot| snapshot.counts.get(Metric::WindowMatches) == 4);
    send(5);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 2);
    let records = bed.read_until(&["out"], |records| records.len() >= 2);
    let told = records.iter().map(crate::bed::Record::json).collect::<Vec<_>>();
    let numbers = |n: usize| {
        let events = told[n]["correlation"]["events"].as_array().unwrap();
        events.iter().map(|event| event["event"]["n"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((numbers(0), numbers(1)), (vec![1, 2, 3], vec![4, 5]));
    assert_eq!(told[0]["correlation"]["count"], 3);
    assert_eq!(told[0]["correlation"]["type"], "event_count");
    assert_eq!(told[0]["source"]["topic"], data);
    assert!(processor.stop().is_clean);
}
