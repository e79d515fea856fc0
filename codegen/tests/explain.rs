//! Explanations agree with the plan: random rules over random records.
//!
//! The root of each explanation is what the matcher says of the whole rule, each part is what its own parts
//! make of it, and a value that holds names values of the event for which it does.
//! `SIGMILL_PROPTEST_CASES` sets the number of cases (256 by default).

#![allow(clippy::unwrap_used)] // A test may stop at once.

use std::sync::Arc;

use proptest::prelude::*;
use sigmill_codegen::{
    CompileOptions, Explainer, Explanation, Part, RuleDocument, compile, compile_set, filters_of,
};
use sigmill_engine::{Matcher, MatcherConfig, ValueKind};
use sigmill_parser::{Document, FieldMapping, ParseOptions, Quantifier, Rule};

#[path = "differential/records.rs"]
mod records;
#[path = "differential/rules.rs"]
mod rules;
#[path = "differential/texts.rs"]
mod texts;

/// One name that stands for two fields, one of them nested.
const MAPPING: &str = "fieldmappings: {mapped: [C, a.b]}";

fn cases() -> u32 {
    std::env::var("SIGMILL_PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// The rule, unless the generator made what the specification forbids.
fn load(text: &str) -> Option<Arc<Rule>> {
    let mut options = ParseOptions::default();
    for (name, values) in rules::PLACEHOLDERS {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        options.placeholders.insert((*name).to_owned(), values);
    }
    match sigmill_parser::parse_with(text, &options).documents.into_iter().next() {
        Some(Document::Rule(rule)) => Some(Arc::new(*rule)),
        _ => None,
    }
}

/// Whether a part is what its parts make of it.
fn is_consistent(explanation: &Explanation) -> bool {
    let parts = &explanation.parts;
    let held = parts.iter().filter(|part| part.holds).count();
    let expected = match &explanation.part {
        Part::Condition { .. } | Part::Filter { .. } | Part::All | Part::Selection { .. } => {
            held == parts.len()
        }
        Part::Any => held > 0,
        Part::Not => held == 0,
        Part::Of(Quantifier::Any) => held > 0,
        Part::Of(Quantifier::All) => held == parts.len(),
        Part::Of(Quantifier::AtLeast(count)) => held >= *count as usize,
        Part::Field { is_all, is_negated, .. } => {
            (if *is_all { held == parts.len() } else { held > 0 }) != *is_negated
        }
        Part::Value { .. } => explanation.holds,
        other => panic!("{other:?}"),
    };
    expected == explanation.holds && parts.iter().all(is_consistent)
}

/// The values that hold below a part, with the field they stand under.
fn values<'a>(
    explanation: &'a Explanation,
    field: Option<&'a Explanation>,
    found: &mut Vec<(&'a Explanation, &'a Explanation)>,
) {
    let field = match explanation.part {
        Part::Field { .. } => Some(explanation),
        _ => field,
    };
    if matches!(explanation.part, Part::Value { .. }) && explanation.holds {
        found.push((field.unwrap(), explanation));
    }
    explanation.parts.iter().for_each(|part| values(part, field, found));
}

static EXERCISED: std::sync::Mutex<[u64; 3]> = std::sync::Mutex::new([0; 3]);

#[test]
fn explanations_agree_with_the_plan() {
    agree();
    let [conditions, held, evidence] = *EXERCISED.lock().unwrap();
    assert!(
        conditions > 1000 && held > conditions / 10 && evidence > held / 4,
        "{conditions} {held} {evidence}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    fn agree(
        rule in rules::rule(),
        records in prop::collection::vec(records::record(), 1..12),
    ) {
        let Some(rule) = load(&rule) else { return Ok(()) };
        let mapping = FieldMapping::parse(MAPPING).unwrap();
        let options = CompileOptions { field_mapping: mapping.clone(), ..CompileOptions::default() };
        let plan = Arc::new(compile(&[Arc::clone(&rule)], &options).plan);
        let mut matcher = Matcher::new(Arc::clone(&plan), MatcherConfig::default());
        let mut explainer = Explainer::new(&rule, &[], &mapping).unwrap();
        for record in &records {
            let explained = explainer.explain(record.as_bytes()).unwrap();
            let matched = matcher.matches(record.as_bytes()).unwrap();
            let wanted: Vec<u32> = matched.iter().map(|id| plan.rule(*id).condition).collect();
            let held = (0..explained.len() as u32).filter(|at| explained[*at as usize].holds);
            let held: Vec<u32> = held.collect();
            prop_assert_eq!(&held, &wanted, "{} {:#?}", record, explained);
            let mut evidence = Vec::new();
            for one in &explained {
                prop_assert!(is_consistent(one), "{} {:#?}", record, one);
                values(one, None, &mut evidence);
            }
            for (field, value) in &evidence {
                let Part::Field { modifiers, .. } = &field.part else { panic!("{field:?}") };
                let Part::Value { text } = &value.part else { panic!("{value:?}") };
                // What holds where nothing is, and a field that is compared with itself.
                let needs_none = modifiers.contains(&"exists")
                    || modifiers.contains(&"fieldref")
                    || text == "null";
                prop_assert!(needs_none || !value.matched.is_empty(), "{} {:#?}", record, field);
                if let Some(found) = &field.found {
                    prop_assert!(value.matched.iter().all(|one| found.contains(one)));
                }
            }
            let mut exercised = EXERCISED.lock().unwrap();
            exercised[0] += explained.len() as u64;
            exercised[1] += held.len() as u64;
            exercised[2] += evidence.len() as u64;
        }
    }
}

fn documents(text: &str) -> Vec<RuleDocument> {
    let parsed = sigmill_parser::parse(text);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    parsed.documents.into_iter().map(RuleDocument::from).collect()
}

#[test]
fn values_and_filters_are_named() {
    let documents = documents(
        "title: R\nid: 11111111-1111-4111-8111-111111111111\nlogsource: {category: c}\ndetection:\n  \
         sel: {'$.a.b|contains': [x, y], F|fieldref: G}\n  words: [needle]\n  condition: sel and words\n---\n\
         title: Unless\nlogsource: {category: c}\nfilter:\n  rules: any\n  sel: {U: root}\n  \
         condition: not sel\n",
    );
    let RuleDocument::Rule(rule) = &documents[0] else { panic!("a rule") };
    let filters = filters_of(&documents, 0);
    assert_eq!(filters.len(), 1);
    let mapping = FieldMapping::default();
    let mut explainer = Explainer::new(rule, &filters, &mapping).unwrap();
    let plan = Arc::new(compile_set(&documents, &CompileOptions::default(), &[]).plan);
    let mut matcher = Matcher::new(plan, MatcherConfig::default());
    for (user, holds) in [("root", false), ("other", true)] {
        let record = format!(
            r#"{{"a":{{"b":["1","xx",3]}},"F":["p","q"],"G":"q","n":"a needle","U":"{user}"}}"#
        );
        let explained = explainer.explain(record.as_bytes()).unwrap();
        assert_eq!(matcher.matches(record.as_bytes()).unwrap().len(), usize::from(holds));
        assert_eq!(explained[0].holds, holds);
        assert!(is_consistent(&explained[0]));
        let mut found = Vec::new();
        values(&explained[0], None, &mut found);
        let matched: Vec<(&str, Vec<&str>)> = found
            .iter()
            .filter_map(|(_, value)| match &value.part {
                Part::Value { text } => {
                    let texts = value.matched.iter().map(|one| one.text.as_str()).collect();
                    Some((text.as_str(), texts))
                }
                _ => None,
            })
            .collect();
        let mut wanted =
            vec![("'x'", vec!["xx"]), ("'G'", vec!["q"]), ("'needle'", vec!["a needle"])];
        if !holds {
            wanted.push(("'root'", vec!["root"]));
        }
        assert_eq!(matched, wanted);
    }
    let missing = explainer.explain(b"{\"a\":{\"b\":null}}").unwrap();
    let Part::Condition { text, .. } = &missing[0].part else { panic!("a condition") };
    assert_eq!(text, "sel and words");
    let map = &missing[0].parts[0].parts[0].parts[0];
    assert_eq!(map.parts[0].found.as_ref().unwrap()[0].kind, ValueKind::Null);
    assert_eq!(map.parts[1].found, None);
    assert!(explainer.explain(b"[]").is_err());
}
