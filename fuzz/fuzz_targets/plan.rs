//! Rules and records: the plan decides what the reference says, cold and warm, by both ways of reading.
//!
//! The input is a stream of YAML documents, a line of `%%`, and a record on each line behind it.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig, Rejection};
use sigmill_parser::{Document, FieldMapping, Rule};
use sigmill_reference::Json;

fuzz_target!(|text: &str| {
    let Some((rules, records)) = text.split_once("\n%%\n") else { return };
    let rules: Vec<Arc<Rule>> = sigmill_parser::parse(rules)
        .documents
        .into_iter()
        .filter_map(|document| match document {
            Document::Rule(rule) => Some(Arc::from(rule)),
            _ => None,
        })
        .take(8)
        .collect();
    let options = CompileOptions { routing_rules_min: 2, ..CompileOptions::default() };
    let compiled = compile(&rules, &options);
    let is_in_plan = |source: usize| !compiled.refused.iter().any(|one| one.index == source);
    let aggregates = |rule: &Rule| {
        rule.detection.conditions.iter().any(|condition| condition.aggregation.is_some())
    };
    if rules.iter().any(|rule| aggregates(rule)) {
        return;
    }
    let active: Vec<bool> = (0..rules.len()).map(is_in_plan).collect();
    let plan = Arc::new(compiled.plan);
    let mut matchers = [(true, true), (true, false), (false, true)].map(|(memo, reader)| {
        let config = MatcherConfig { memo, reader, ..MatcherConfig::default() };
        Matcher::new(Arc::clone(&plan), config)
    });
    for record in records.lines().take(16).chain(records.lines().take(16)) {
        let event = Json::parse(record);
        let mut wanted = Vec::new();
        if let Ok(event @ Json::Object(_)) = &event {
            for (source, rule) in rules.iter().enumerate().filter(|(source, _)| active[*source]) {
                let held = sigmill_reference::conditions(rule, event, &FieldMapping::default());
                wanted.extend((0..held.len()).filter(|at| held[*at]).map(|at| (source, at)));
            }
        }
        for matcher in &mut matchers {
            match matcher.matches(record.as_bytes()) {
                Ok(found) => {
                    let found: Vec<(usize, usize)> = found
                        .iter()
                        .map(|id| plan.rule(*id))
                        .map(|rule| (rule.source as usize, rule.condition as usize))
                        .collect();
                    assert_eq!(found, wanted, "{record}");
                }
                Err(Rejection::TooDeep) => {}
                Err(_) => assert!(!matches!(event, Ok(Json::Object(_))), "{record}"),
            }
        }
    }
});
