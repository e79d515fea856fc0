//! Any text as the condition of a rule that has three selections: what the plan decides is what the
//! reference says, for every way in which the selections can hold.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::{Document, FieldMapping};
use sigmill_reference::Json;

fuzz_target!(|condition: &str| {
    if condition.len() > 2_000 {
        return;
    }
    let quoted = serde_json::to_string(condition).expect("a text can be spelled");
    let text = format!(
        "title: t\nlogsource: {{category: c}}\ndetection:\n  s1: {{A: x}}\n  s2: {{B: x}}\n  other: {{C: \
         x}}\n  condition: {quoted}\n"
    );
    let rules: Vec<_> = sigmill_parser::parse(&text)
        .documents
        .into_iter()
        .filter_map(|document| match document {
            Document::Rule(rule) => Some(Arc::from(rule)),
            _ => None,
        })
        .collect();
    let compiled = compile(&rules, &CompileOptions::default());
    if rules.is_empty() || !compiled.refused.is_empty() {
        return;
    }
    let mut matcher = Matcher::new(Arc::new(compiled.plan), MatcherConfig::default());
    for holding in 0..8u32 {
        let value = |bit: u32| if holding & bit == bit { "x" } else { "y" };
        let event = format!(r#"{{"A":"{}","B":"{}","C":"{}"}}"#, value(1), value(2), value(4));
        let json = Json::parse(&event).expect("it is JSON");
        let wanted = sigmill_reference::conditions(&rules[0], &json, &FieldMapping::default());
        let wanted = wanted.into_iter().filter(|holds| *holds).count();
        let found = matcher.matches(event.as_bytes()).expect("it is a record").len();
        assert_eq!(found, wanted, "{condition} over {event}");
    }
});
