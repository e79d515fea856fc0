//! What is laid over a record is as if it stood there: random rules over random records, with random fields
//! laid over them, against the plain interpreter over the record with the fields inserted.

#![allow(clippy::unwrap_used)] // A test may stop at once.

use std::sync::Arc;

use proptest::prelude::*;
use sigmill_codegen::{
    CompileOptions, OverlayFields, OverlayUse, Overlays, RuleDocument, compile, compile_set,
};
use sigmill_engine::{Matcher, MatcherConfig, Overlay, Plan};
use sigmill_parser::{Document, FieldMapping, ParseOptions, Rule};
use sigmill_reference::Json;

#[path = "differential/records.rs"]
mod records;
#[path = "differential/rules.rs"]
mod rules;
#[path = "differential/texts.rs"]
mod texts;

fn load(text: &str) -> Option<Arc<Rule>> {
    let mut options = ParseOptions::default();
    for (name, values) in rules::PLACEHOLDERS {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        options.placeholders.insert((*name).to_owned(), values);
    }
    let parsed = sigmill_parser::parse_with(text, &options);
    match parsed.documents.into_iter().next()? {
        Document::Rule(rule) => Some(Arc::from(rule)),
        _ => None,
    }
}

/// A field and the scalars that it is to have. No other field that rules name lies below one of these.
fn laid() -> impl Strategy<Value = (String, Vec<String>)> {
    let name = prop::sample::select(vec!["A", "B", "C", "x y", "a.b.c", "b.c"]);
    let scalar = prop_oneof![
        6 => records::spelled_word(),
        2 => texts::number(),
        1 => prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ];
    (name.prop_map(str::to_owned), prop::collection::vec(scalar, 0..4))
}

fn lay(overlay: &mut Overlay<'_>, plan: &Plan, laid: &[(String, Vec<String>)]) {
    for (name, scalars) in laid {
        if let Some(field) = plan.field(name) {
            assert!(overlay.lay(field, scalars.iter().map(String::as_bytes)));
            assert!(overlay.has(field));
            let mut count = 0;
            overlay.read(field, |_| count += 1);
            assert_eq!(count, scalars.len());
        }
    }
}

/// The record with the fields inserted.
fn inserted(event: &Json, laid: &[(String, Vec<String>)]) -> Json {
    let Json::Object(mut members) = event.clone() else { panic!("records are objects") };
    for (name, scalars) in laid {
        let scalars = scalars.iter().map(|one| Json::parse(one).expect("scalars are JSON"));
        members.retain(|(key, _)| key != name);
        members.push((name.clone(), Json::Array(scalars.collect())));
    }
    Json::Object(members)
}

/// Decisions, and those that the overlay changed.
static EXERCISED: std::sync::Mutex<(usize, usize)> = std::sync::Mutex::new((0, 0));

#[test]
fn what_is_laid_over_is_as_if_it_stood_there() {
    agree();
    let (decided, changed) = *EXERCISED.lock().expect("nothing panics under the lock");
    assert!(decided > 1000 && changed * 200 > decided, "{changed} of {decided}");
}

proptest! {
    fn agree(
        rules in prop::collection::vec(rules::rule(), 1..10),
        records in prop::collection::vec((records::record(), prop::collection::vec(laid(), 1..5)), 1..10),
    ) {
        let rules: Vec<Arc<Rule>> = rules.iter().filter_map(|text| load(text)).collect();
        let mapping =
            FieldMapping::parse("fieldmappings: {mapped: [C, a.b, $.a.b], walked: B}").unwrap();
        let options = CompileOptions {
            field_mapping: mapping.clone(),
            routing_rules_min: 2,
            ..CompileOptions::default()
        };
        let compiled = compile(&rules, &options);
        let plan = Arc::new(compiled.plan);
        let by_tape = MatcherConfig { reader: false, memo: false, ..MatcherConfig::default() };
        let mut matchers = [MatcherConfig::default(), by_tape]
            .map(|config| Matcher::new(Arc::clone(&plan), config));
        for (record, laid) in &records {
            let event = Json::parse(record).expect("generated records are JSON");
            let inserted = inserted(&event, laid);
            let (mut wanted, mut changed) = (Vec::new(), 0);
            for (source, rule) in rules.iter().enumerate() {
                let bare = sigmill_reference::conditions(rule, &event, &mapping);
                let held = sigmill_reference::conditions_laid(rule, &event, &inserted, &mapping);
                changed += usize::from(bare != held);
                for condition in (0..held.len()).filter(|i| held[*i]) {
                    wanted.push((source as u32, condition as u32));
                }
            }
            let mut exercised = EXERCISED.lock().expect("nothing panics under the lock");
            exercised.0 += rules.len();
            exercised.1 += changed;
            drop(exercised);
            for matcher in &mut matchers {
                for is_laid in [true, false, true] {
                    let found = match is_laid {
                        true => matcher.matches_with(record.as_bytes(), |overlay| lay(overlay, &plan, laid)),
                        // What was laid over one record is not there for the next.
                        false => matcher.matches(record.as_bytes()),
                    };
                    let found = found.expect("generated records are not refused");
                    let got: Vec<_> = found
                        .iter()
                        .map(|id| (plan.rule(*id).source, plan.rule(*id).condition))
                        .collect();
                    if is_laid {
                        prop_assert_eq!(&got, &wanted, "record {} laid {:?}", record, laid);
                    }
                }
            }
        }
    }
}

#[test]
fn an_overlay_that_nobody_asks_for_is_not_done() {
    let overlay = |reads: &[&str], lays: &[&str]| OverlayFields {
        reads: reads.iter().map(|name| (*name).to_owned()).collect(),
        lays: lays.iter().map(|name| (*name).to_owned()).collect(),
    };
    let uses = |detection: &str, wanted: &[&str]| {
        let text = format!(
            "title: T\nlogsource: {{product: x}}\ndetection: {{s: {{{detection}}}, condition: s}}\n"
        );
        let documents: Vec<RuleDocument> =
            sigmill_parser::parse(&text).documents.into_iter().map(RuleDocument::from).collect();
        let overlays = Overlays {
            all: vec![
                overlay(&["host"], &["asset.owner", "asset.site"]),
                overlay(&["asset.owner"], &["user.department"]),
                overlay(&["ip"], &["ti.feed"]),
            ],
            wanted: wanted.iter().map(|name| (*name).to_owned()).collect(),
        };
        let options = CompileOptions { overlays, ..CompileOptions::default() };
        let compiled = compile_set(&documents, &options, &[]);
        let fields: Vec<bool> =
            ["host", "asset.owner", "ip"].map(|name| compiled.plan.field(name).is_some()).to_vec();
        (compiled.overlays, fields)
    };
    use OverlayUse::{Matched, Matching, None};
    assert_eq!(uses("a: b", &[]), (vec![None, None, None], vec![false, false, false]));
    assert_eq!(uses("ti.feed: b", &[]).0, [None, None, Matching]);
    // One feeds another.
    let chained = uses("user.department: b", &[]);
    assert_eq!(chained, (vec![Matching, Matching, None], vec![true, true, false]));
    let afterwards = uses("ti.feed: b", &["user.department"]);
    assert_eq!(afterwards, (vec![Matched, Matched, Matching], vec![true, true, true]));
}
