//! Several rules and several events: which titles are told after each event.
//!
//! Windows emit as the JVM processor's do, for every event at which they hold
//! (`sigmill.window.emit=every`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sigmill_codegen::RuleDocument;
use sigmill_engine::window::{
    self, Emit, FeedCounters, Occurrence, Position, WindowConfig, WindowSet,
};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::Rule;

/// Steps that end differently here, with the reason; `docs/MIGRATION.md` names each.
fn deviation(case: &str, step: usize) -> Option<Value> {
    let titles = |count: usize, title: &str| Some(json!(vec![title; count]));
    match case {
        // Distinct values are counted: more than two from the third event on.
        "count_field_is_not_distinct_count" => titles(usize::from(step >= 2), "D"),
        // One detection for an event, not one for each window that holds it.
        "burst_emits_once_per_overlapping_window" => titles(usize::from(step >= 2), "W"),
        _ => None,
    }
}

#[test]
fn every_sequence_has_its_detections() {
    let Some(folder) = crate::folder() else { return };
    let text = crate::read(&folder.join("confluent-sigma-data/sequence-cases.json"));
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 14, "{} cases", cases.len());
    let wrong: Vec<String> = cases.iter().flat_map(differences).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn differences(case: &Value) -> Vec<String> {
    let name = case["name"].as_str().unwrap();
    let rules: Vec<Arc<Rule>> = case["rules"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|text| crate::rules(text.as_str().unwrap()))
        .collect();
    let steps = case["steps"].as_array().unwrap();
    let told = run(case, rules, steps);
    let mut wrong = Vec::new();
    for (at, (step, told)) in steps.iter().zip(&told).enumerate() {
        let mut titles: Vec<&str> = told.iter().map(|(_, title)| title.as_str()).collect();
        titles.sort_unstable();
        let is_last = at + 1 == steps.len();
        let expected = deviation(name, at)
            .or_else(|| case.get("spec_expect_titles").filter(|_| is_last).cloned())
            .or_else(|| step.get("expect_titles").cloned());
        if let Some(expected) = expected {
            let mut expected: Vec<&str> =
                expected.as_array().unwrap().iter().map(|title| title.as_str().unwrap()).collect();
            expected.sort_unstable();
            if titles != expected {
                wrong.push(format!("{name}, step {at}: {titles:?}, expected {expected:?}"));
            }
        }
        if let Some(count) = step.get("expect_count")
            && *count != titles.len()
        {
            wrong.push(format!("{name}, step {at}: {titles:?}, expected {count}"));
        }
        if let Some(by_topic) = step.get("expect_by_topic") {
            let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (topic, title) in told {
                found.entry(topic).or_default().push(title);
            }
            if json!(found) != *by_topic {
                wrong.push(format!("{name}, step {at}: {found:?}, expected {by_topic}"));
            }
        }
    }
    wrong
}

/// For each step: topic and title of what is told.
fn run(case: &Value, mut rules: Vec<Arc<Rule>>, steps: &[Value]) -> Vec<Vec<(String, String)>> {
    // As the rule store has them: first match means lowest title.
    rules.sort_by(|a, b| a.title.node.cmp(&b.title.node));
    let property = |name: &str| case["properties"][name].as_str();
    let documents: Vec<RuleDocument> = rules.iter().cloned().map(RuleDocument::Rule).collect();
    let options = crate::options(case["field_mapping"].as_str());
    let compiled = sigmill_codegen::compile_set(&documents, &options, &[]);
    assert!(compiled.refused.is_empty(), "{}: {:?}", case["name"], compiled.refused);
    let windows = Arc::new(compiled.windows);
    let config = WindowConfig { emit: Emit::Every, ..WindowConfig::default() };
    let mut set = WindowSet::new(Arc::clone(&windows), &config, 1);
    let plan = Arc::new(compiled.plan);
    let mut matcher = Matcher::new(Arc::clone(&plan), MatcherConfig::default());
    let told = |source: u32| {
        let rule = &rules[source as usize];
        let own = rule.kafka.as_ref().and_then(|kafka| kafka.output_topic.as_ref());
        let topic = own.map(|topic| topic.node.as_str()).or(property("output.topic"));
        (topic.unwrap_or_default().to_owned(), rule.title.node.clone())
    };
    let mut all = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let event = step["event"].to_string();
        let time = 1_700_000_000_000 + step["at_ms"].as_i64().unwrap();
        let found = matcher.matches(event.as_bytes()).unwrap().to_vec();
        let occurrence = Occurrence {
            time,
            position: Position { source: 0, offset: at as u64 },
            watermark: time,
            content: None,
            may_repeat: false,
        };
        let mut fed = Vec::new();
        let mut counters = FeedCounters::default();
        window::collect(
            &windows,
            &mut matcher,
            event.as_bytes(),
            &found,
            &occurrence,
            &mut counters,
            &mut fed,
        );
        let mut detections = Vec::new();
        set.push(time, &fed, &mut detections);
        let simple = found.iter().filter(|rule| windows.is_emitting(**rule));
        let mut sources: Vec<u32> = simple.map(|rule| plan.rule(*rule).source).collect();
        if property("sigma.rule.first.match") == Some("true") {
            sources.sort_unstable();
            sources.truncate(1);
        }
        sources.extend(detections.iter().map(|found| windows.window(found.window).source));
        all.push(sources.into_iter().map(told).collect());
    }
    all
}
