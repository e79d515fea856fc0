//! One rule and one event each: whether the rule matches. Where the specification differs from what the JVM
//! processor does, the specification counts.

use std::sync::Arc;

use serde_json::Value;
use sigmill_engine::{Matcher, MatcherConfig};

#[test]
fn every_case_has_its_outcome() {
    let Some(folder) = crate::folder() else { return };
    let text = crate::read(&folder.join("confluent-sigma-cases.json"));
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 160, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let stated = case.get("spec_expected").unwrap_or(&case["expected_match"]);
        let expected = stated.as_bool().unwrap();
        let found = matches(case);
        if found != expected {
            wrong.push(format!("{}: {found}, expected {expected}", case["name"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A rule that does not load matches nothing.
fn matches(case: &Value) -> bool {
    let rules = crate::rules(case["rule"].as_str().unwrap());
    let options = crate::options(case["field_mapping"].as_str());
    let plan = Arc::new(sigmill_codegen::compile(&rules, &options).plan);
    let mut matcher = Matcher::new(plan, MatcherConfig::default());
    let event = case["event"].to_string();
    let found = matcher.matches(event.as_bytes()).unwrap();
    !found.is_empty()
}
