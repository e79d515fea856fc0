//! The state on the instances topic, as the JVM processor's page reads it.

use serde_json::Value;

use crate::bed::{Bed, Record, until};
use crate::{on_both_brokers, rule};

on_both_brokers!(the_state_is_told_without_secrets_and_ends_with_a_tombstone);

fn the_state_is_told_without_secrets_and_ends_with_a_tombstone(bed: &Bed) {
    bed.create_topic("data", 3, &[]);
    for topic in ["out", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    if !bed.is_real() {
        // A real broker is asked to make it.
        bed.create_topic("apps", 1, &[]);
    }
    let sender = bed.sender();
    let text = rule("A", "user", "alice");
    sender.put(&bed.topic("rules"), 0, Some("A"), Some(text.as_bytes()), None);
    sender.send(&bed.topic("data"), 0, br#"{"n":1,"user":"alice"}"#);
    sender.flush();
    let processor = bed.start(&[
        ("skip.app.registration", ""),
        ("sigma.app.topic", &bed.topic("apps")),
        ("sigma.app.state.poll.sleep", "100"),
        ("sigma.rule.filter.product", "test"),
        ("num.stream.threads", "2"),
        ("ssl.key.password", "geheim"),
        ("sasl.password", "geheim"),
    ]);
    let tasks = |state: &Value| -> i32 {
        let threads = state["threadMetadata"].as_array().unwrap().iter();
        threads.map(|thread| thread["numTasks"].as_str().unwrap().parse::<i32>().unwrap()).sum()
    };
    // In the middle of a rebalance a partition may be nobody's.
    let counted = |record: &Record| {
        let state = record.json();
        state["numMatches"] == 1 && state["recordsProcessed"] == 1 && tasks(&state) == 3
    };
    let records = bed.read_until(&["apps"], |records| records.iter().any(counted));
    let last = records.iter().rev().find(|record| counted(record)).unwrap();
    assert_eq!(last.key.as_deref(), Some(bed.group()));
    let state = last.json();
    for (name, expected) in [
        ("applicationId", Value::from(bed.group())),
        ("key", bed.group().into()),
        ("kafkaStreamsState", "RUNNING".into()),
        ("numRules", 1.into()),
        ("recordsProcessed", 1.into()),
        ("numMatches", 1.into()),
        ("processor", "sigmill".into()),
    ] {
        assert_eq!(state[name], expected, "{name}: {state}");
    }
    let properties = state["appProperties"].as_object().unwrap();
    assert_eq!(properties["data_topic"], bed.topic("data"));
    assert_eq!(properties["output_topic"], bed.topic("out"));
    assert_eq!(properties["sigma_rule_filter_product"], "test");
    let threads = state["threadMetadata"].as_array().unwrap();
    assert_eq!(threads.len(), 2);
    assert_eq!(state["sampleTimestampHr"].as_str().unwrap().len(), "2023-06-21 03:55:49".len());
    assert!(state["applicationInstanceId"].as_str().unwrap().starts_with(bed.group()));
    for record in &records {
        assert!(!String::from_utf8_lossy(&record.value).contains("geheim"));
    }
    assert!(processor.stop().is_clean);
    let records =
        bed.read_until(&["apps"], |records| records.iter().any(|record| record.value.is_empty()));
    let end = records.iter().position(|record| record.value.is_empty()).unwrap();
    assert_eq!(records[end - 1].json()["kafkaStreamsState"], "PENDING_SHUTDOWN");
    assert_eq!(records.len(), end + 1);
}

#[test]
fn without_a_topic_the_processor_runs_all_the_same() {
    // The embedded broker makes no topics on request.
    let bed = Bed::embedded(1);
    for topic in ["data", "out", "dead", "rules"] {
        bed.create_topic(topic, 1, &[]);
    }
    let processor =
        bed.start(&[("skip.app.registration", ""), ("sigma.app.topic", &bed.topic("apps"))]);
    until(&processor, |snapshot| snapshot.partition_count == 1);
    assert!(processor.stop().is_clean);
}
