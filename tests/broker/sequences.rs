//! Sequences of events over a real Kafka, with `sigmill.window.emit=every`: what is told at the end of each.
//!
//! The material is that of `tests/compat`, which holds the steps one by one without a broker.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sigmill_runtime::metrics::Metric;

use crate::bed::{Bed, until};
use crate::takeover::compat_folder;

const BASE: i64 = 1_700_000_000_000;

/// What ends differently here; `docs/MIGRATION.md` names each.
fn deviation(case: &str) -> Option<Value> {
    match case {
        // Distinct values are counted: more than two from the third event on.
        "count_field_is_not_distinct_count" => Some(json!(["D", "D", "D", "D"])),
        // One detection for an event, not one for each window that holds it.
        "burst_emits_once_per_overlapping_window" => Some(json!(["W", "W", "W"])),
        _ => None,
    }
}

/// The titles that a case ends with, each as often as it is told.
fn expected(case: &Value) -> Vec<String> {
    let name = case["name"].as_str().unwrap();
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        list.iter().map(|title| title.as_str().unwrap().to_owned()).collect()
    };
    let mut titles = Vec::new();
    let steps = case["steps"].as_array().unwrap();
    for (at, step) in steps.iter().enumerate() {
        if at + 1 == steps.len() && case.get("spec_expect_titles").is_some() {
            titles.extend(texts(&case["spec_expect_titles"]));
        } else if let Some(by_topic) = step.get("expect_by_topic") {
            by_topic.as_object().unwrap().values().for_each(|list| titles.extend(texts(list)));
        } else if step.get("expect_count").is_some() {
            // The lowest title is first.
            titles.extend(texts(&step["expect_titles_one_of"]).into_iter().min());
        } else {
            titles.extend(texts(&step["expect_titles"]));
        }
    }
    let mut titles = deviation(name).map_or(titles, |deviating| texts(&deviating));
    titles.sort();
    titles
}

#[test]
fn every_sequence_ends_as_it_has_to() {
    let Some(folder) = compat_folder() else { return };
    let Some(first) = Bed::real() else { return };
    let text = std::fs::read_to_string(folder.join("confluent-sigma-data/sequence-cases.json"));
    let cases: Vec<Value> = serde_json::from_str(&text.unwrap()).unwrap();
    assert!(cases.len() >= 14, "{} cases", cases.len());
    for case in &cases {
        run(&Bed::real().unwrap(), case);
    }
    drop(first);
}

fn run(bed: &Bed, case: &Value) {
    let name = case["name"].as_str().unwrap();
    bed.create_topic("data", 1, &[]);
    for topic in ["out", "dead", "my-test-results"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    for (at, rule) in case["rules"].as_array().unwrap().iter().enumerate() {
        let own = bed.topic("my-test-results");
        let text = rule.as_str().unwrap().replace("my-test-results", &own);
        let key = format!("rule {at}");
        sender.put(&bed.topic("rules"), 0, Some(&key), Some(text.as_bytes()), None);
    }
    sender.flush();
    let mapping = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(mapping.path(), case["field_mapping"].as_str().unwrap_or("fieldmappings:\n"))
        .unwrap();
    let first_match = case["properties"]["sigma.rule.first.match"].as_str().unwrap_or("false");
    let processor = bed.start(&[
        ("sigmill.window.emit", "every"),
        ("sigma.rule.first.match", first_match),
        ("field.mapping.file", mapping.path().to_str().unwrap()),
    ]);
    let steps = case["steps"].as_array().unwrap();
    for step in steps {
        let at = BASE + step["at_ms"].as_i64().unwrap();
        sender.send_at(&bed.topic("data"), 0, step["event"].to_string().as_bytes(), at);
    }
    sender.flush();
    let expected = expected(case);
    until(&processor, |snapshot| {
        snapshot.counts.get(Metric::Records) == steps.len() as u64
            && snapshot.counts.get(Metric::Detections) >= expected.len() as u64
    });
    // A stop waits for all that is on its way: what would be one too many comes with it.
    assert!(processor.stop().is_clean, "{name}");
    let count = usize::try_from(bed.end("out", 0) + bed.end("my-test-results", 0)).unwrap();
    let told = bed.read_until(&["out", "my-test-results"], |records| records.len() >= count);
    let mut titles = BTreeMap::new();
    for record in &told {
        *titles.entry(record.json()["title"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    let mut wanted = BTreeMap::new();
    expected.into_iter().for_each(|title| *wanted.entry(title).or_insert(0) += 1);
    assert_eq!(titles, wanted, "{name}");
}
