//! Plan = reference: random rules over random records, compiled together and run with the memo on,
//! off and warm, against the plain interpreter.
//!
//! Rules are generated as text and go through the parser, so that what is compared is what users
//! write. Records re-spell their texts with escapes, repeat keys, nest objects and arrays, and mix
//! kinds. `SIGMILL_PROPTEST_CASES` sets the number of cases (256 by default).

use std::sync::Arc;

use proptest::prelude::*;
use sigmill_codegen::{CompileOptions, Compiled, Compiler, RuleDocument, compile, compile_set};
use sigmill_engine::{Matcher, MatcherConfig, RuleId};
use sigmill_parser::{Document, FieldMapping, ParseOptions, Rule};
use sigmill_reference::Json;

#[path = "differential/records.rs"]
mod records;
#[path = "differential/rules.rs"]
mod rules;
#[path = "differential/texts.rs"]
mod texts;

/// What a name of the rules is mapped to: a plain name, which leaves all records to the reader, or a path that is
/// walked.
const WALKED: &[&str] = &[
    "B",
    "$['a.b']",
    "a.b.c",
    r"$.a.b\.c",
    "$['a']['b','x y']",
    "$..b",
    "$.a..['b','C']",
    "$.*",
    "$..*.c",
    "$.a[0]",
    "$.a.b[-1,0]",
    "$..a[0:-1:2]",
    "$.a[?(@.b)].c",
    "$..[?(@.b != 'ab' && !(@.c > 1 || @.C == null))].*",
    "$.a[?(@ == 'ab' || @ <= 10 || @ == true || @ == '1')]",
    "$[*].a[*]",
];

/// One name that stands for two fields, one of them nested, and one that may be a path.
fn mapping(walked: &str) -> FieldMapping {
    let walked = walked.replace('\'', "''");
    FieldMapping::parse(&format!("fieldmappings: {{mapped: [C, a.b, $.a.b], walked: '{walked}'}}"))
        .expect("the mapping can be read")
}

fn cases() -> u32 {
    std::env::var("SIGMILL_PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// What a rule detects, without the places, in which a rule and its printed form differ.
fn without_places(rule: &Rule) -> String {
    let text = format!("{:?}", rule.detection);
    let mut parts = text.split("Span {");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shown, part| shown + part.split_once('}').map_or(part, |(_, rest)| rest))
}

/// Reads a rule, and reads it again as it is printed.
fn load(text: &str) -> Option<Arc<Rule>> {
    let mut options = ParseOptions::default();
    for (name, values) in rules::PLACEHOLDERS {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        options.placeholders.insert((*name).to_owned(), values);
    }
    options.allows_backtracking = true;
    let parsed = sigmill_parser::parse_with(text, &options);
    for document in &parsed.documents {
        let Document::Rule(rule) = document else { panic!("not a rule: {document:?}") };
        let again = sigmill_parser::parse_with(&rule.to_json(), &options);
        let Some(Document::Rule(copy)) = again.documents.first() else {
            panic!("what was written does not load: {:?}\n{text}", again.diagnostics)
        };
        assert_eq!(without_places(copy), without_places(rule), "{text}");
    }
    let rule = parsed.documents.into_iter().next().map(|document| match document {
        Document::Rule(rule) => Arc::new(*rule),
        other => panic!("not a rule: {other:?}"),
    });
    if rule.is_none() {
        let errors: Vec<_> = parsed.diagnostics.iter().map(|d| d.message.as_str()).collect();
        // What the generator may make that the specification forbids.
        let allowed = [
            "twice",
            "duplicate",
            "no selection",
            "empty",
            "wildcard",
            "`windash`",
            "write a number from",
            " is no ",
        ];
        assert!(
            errors.iter().any(|e| allowed.iter().any(|a| e.contains(a))),
            "a generated rule does not load: {errors:?}\n{text}"
        );
    }
    rule
}

/// What the cases exercised, so that a generator that makes nothing match does not pass.
#[derive(Default)]
struct Exercised {
    decided: u64,
    matched: u64,
    refused: u64,
}

static EXERCISED: std::sync::Mutex<Exercised> =
    std::sync::Mutex::new(Exercised { decided: 0, matched: 0, refused: 0 });

#[test]
fn plan_is_reference() {
    agree();
    let exercised = EXERCISED.lock().expect("nothing panics under the lock");
    let share = exercised.matched as f64 / exercised.decided as f64;
    println!(
        "{} decisions, {:.1} % matches, {} rules refused",
        exercised.decided,
        share * 100.0,
        exercised.refused
    );
    assert!(exercised.decided > 1000 && (0.1..0.9).contains(&share));
    assert!(exercised.refused * 20 < exercised.decided);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    fn agree(
        rules in prop::collection::vec(rules::rule(), 1..12),
        records in prop::collection::vec(records::record(), 1..12),
        routing_rules_min in prop::sample::select(vec![1usize, 2, 100]),
        walked in prop_oneof![2 => Just(WALKED[0]), 1 => prop::sample::select(WALKED)],
    ) {
        let generated = rules.len();
        let rules: Vec<Arc<Rule>> = rules.iter().filter_map(|text| load(text)).collect();
        EXERCISED.lock().expect("nothing panics under the lock").refused += (generated - rules.len()) as u64;
        let mapping = mapping(walked);
        let compiled = compile(
            &rules,
            &CompileOptions {
                field_mapping: mapping.clone(),
                routing_rules_min,
                ..CompileOptions::default()
            },
        );
        prop_assert_eq!(&compiled.refused, &vec![]);
        let plan = Arc::new(compiled.plan);
        let mut with_memo = Matcher::new(Arc::clone(&plan), MatcherConfig::default());
        let without = MatcherConfig { memo: false, ..MatcherConfig::default() };
        let mut without_memo = Matcher::new(Arc::clone(&plan), without);
        let by_tape = MatcherConfig { reader: false, ..MatcherConfig::default() };
        let mut by_tape = Matcher::new(Arc::clone(&plan), by_tape);
        for round in ["cold", "warm"] {
            for record in &records {
                let event = Json::parse(record).expect("generated records are JSON");
                let mut wanted = Vec::new();
                for (source, rule) in rules.iter().enumerate() {
                    let held = sigmill_reference::conditions(rule, &event, &mapping);
                    for condition in (0..held.len()).filter(|i| held[*i]) {
                        wanted.push((source as u32, condition as u32));
                    }
                }
                let mut exercised = EXERCISED.lock().expect("nothing panics under the lock");
                exercised.decided += rules.len() as u64;
                exercised.matched += wanted.len() as u64;
                drop(exercised);
                for matcher in [&mut with_memo, &mut without_memo, &mut by_tape] {
                    let got: Vec<_> = matcher
                        .matches(record.as_bytes())
                        .expect("generated records are not refused")
                        .iter()
                        .map(|id| (plan.rule(*id).source, plan.rule(*id).condition))
                        .collect();
                    prop_assert_eq!(
                        &got, &wanted, "{} record {}\nrules {:#?}", round, record,
                        rules.iter().map(|r| format!("{:?}\n{:?}", r.detection.conditions, r.detection.selections)).collect::<Vec<_>>()
                    );
                }
            }
        }
    }
}

/// Everything about what was compiled that can be seen.
fn shown(compiled: &Compiled) -> String {
    let plan = &compiled.plan;
    let fields: Vec<_> =
        plan.fields().map(|id| (plan.field_name(id), plan.matcher_bytes(id))).collect();
    let atoms: Vec<_> = plan.atoms().collect();
    let rules: Vec<_> = (0..plan.rules().len() as u32)
        .map(|id| (plan.rule(RuleId(id)), plan.program(RuleId(id))))
        .collect();
    let rest = (plan.always(), plan.group_sizes(), plan.size(), &compiled.windows);
    let problems = (&compiled.refused, &compiled.warnings);
    format!("{fields:?}\n{atoms:?}\n{rules:?}\n{rest:?}\n{problems:?}")
}

/// Filters: one that every rule has, one that is refused for its field.
fn filters() -> Vec<RuleDocument> {
    let text = format!(
        "title: one\nlogsource: {{category: test}}\n\
         filter: {{rules: any, s: {{B: ab}}, condition: not s}}\n---\n\
         title: two\nlogsource: {{category: test}}\n\
         filter: {{rules: any, s: {{{}: ab}}, condition: not s}}\n",
        ["a"; 70].join(".")
    );
    let documents = sigmill_parser::parse(&text).documents;
    assert_eq!(documents.len(), 2);
    documents.into_iter().map(RuleDocument::from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn compiling_again_is_compiling(
        rules in prop::collection::vec(rules::rule(), 1..12),
        records in prop::collection::vec(records::record(), 1..6),
        // Which rules are in the set, in which order; a rule may be in it twice.
        edits in prop::collection::vec(
            (prop::collection::vec(any::<prop::sample::Index>(), 0..10), 0usize..4, any::<bool>()),
            1..6,
        ),
    ) {
        let rules: Vec<Arc<Rule>> = rules.iter().filter_map(|text| load(text)).collect();
        prop_assume!(!rules.is_empty());
        let filters = filters();
        let mut compiler = Compiler::default();
        for (chosen, with_filters, is_mapped) in edits {
            let chosen = chosen.iter().map(|at| RuleDocument::Rule(Arc::clone(at.get(&rules))));
            let mut documents: Vec<RuleDocument> = chosen.collect();
            documents.extend(filters.iter().take(with_filters).cloned());
            let field_mapping = if is_mapped { mapping("$.*") } else { mapping("B") };
            let options =
                CompileOptions { field_mapping, routing_rules_min: 2, ..CompileOptions::default() };
            let again = compiler.compile(&documents, &options, &["read"]);
            let fresh = compile_set(&documents, &options, &["read"]);
            prop_assert_eq!(shown(&again), shown(&fresh));
            let mut again = Matcher::new(Arc::new(again.plan), MatcherConfig::default());
            let mut fresh = Matcher::new(Arc::new(fresh.plan), MatcherConfig::default());
            for record in &records {
                let verdicts = [&mut again, &mut fresh]
                    .map(|matcher| matcher.matches(record.as_bytes()).expect("it is JSON").to_vec());
                prop_assert_eq!(&verdicts[0], &verdicts[1], "{}", record);
            }
        }
    }
}
