//! Plan = reference: random rules over random records, compiled together and run with the memo on,
//! off and warm, against the plain interpreter.
//!
//! Rules are generated as text and go through the parser, so that what is compared is what users
//! write. Records re-spell their texts with escapes, repeat keys, nest objects and arrays, and mix
//! kinds. `SIGMILL_PROPTEST_CASES` sets the number of cases (256 by default).

use std::sync::Arc;

use proptest::prelude::*;
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::{Document, FieldMapping, Rule};
use sigmill_reference::Json;

fn cases() -> u32 {
    std::env::var("SIGMILL_PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// Field names: flat, dotted (also ambiguous), paths.
fn field() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["A", "B", "C", "a.b", "a.b.c", "a", "b.c", "$.a.b", "x y"])
        .prop_map(str::to_owned)
}

/// Texts over a small alphabet, so that they meet; long ones to reach every search.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abAB]{0,3}",
        2 => "[abAB]{4,9}",
        1 => prop::sample::select(vec![
            "K", "k", "\u{212a}", "ſ", "S", "s", "ß", "É", "é", "1", "10", "1.0", "01", "-1", "true",
            "FALSE", "null", "10.0.0.1", "10.0.1.9", "fe80::1", "a\\b", "C:\\x\\ab.exe", "é😀b",
            "power  shell", "aPowerShellb", "xabababx", "\"q\"", "tab\tb", "-enc", "/enc",
        ]).prop_map(str::to_owned),
    ]
}

fn quote(text: &str) -> String {
    Json::Text(text.to_owned()).to_text()
}

/// Just enough JSON writing for the tests.
trait ToText {
    fn to_text(&self) -> String;
}

impl ToText for Json {
    fn to_text(&self) -> String {
        match self {
            Json::Null => "null".into(),
            Json::Bool(value) => value.to_string(),
            Json::Number(number) => number.clone(),
            Json::Text(text) => {
                let mut out = String::from("\"");
                for c in text.chars() {
                    match c {
                        '"' => out.push_str("\\\""),
                        '\\' => out.push_str("\\\\"),
                        c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
                        c => out.push(c),
                    }
                }
                out + "\""
            }
            Json::Array(_) | Json::Object(_) => unreachable!("only scalars are written"),
        }
    }
}

/// A rule's text value: plain or with wildcards and escapes.
fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => word().prop_map(|w| w.replace('\\', "\\\\").replace('*', "\\*")),
        2 => (word(), "[*?]{1,2}", word()).prop_map(|(a, w, b)| format!("{a}{w}{b}")),
        1 => (word(), word(), word()).prop_map(|(a, b, c)| format!("*{a}*{b}?{c}*")),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "0",
        "1",
        "10",
        "-1",
        "1.0",
        "1.5",
        "10.00",
        "100",
        "1e1",
        "123456789012345678901",
        "-0",
    ])
    .prop_map(str::to_owned)
}

fn regex() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a+b",
        "^ab",
        "ab$",
        "^[ab]{2,4}$",
        "(ab|ba)b",
        "abab",
        "(?i)power *shell",
        "a.b",
        ".{6,}",
        "\\\\x\\\\",
        "k",
        "[0-9]+\\.",
        "(aab|bba)+",
        "^$",
        "bab?a",
        "\\bab\\b",
        "a{3}",
        "é",
    ])
    .prop_map(str::to_owned)
}

/// One line of a map: key with modifiers, and its value.
fn item() -> impl Strategy<Value = String> {
    let texts = prop::collection::vec(pattern(), 1..4).boxed();
    let many = |values: Vec<String>| {
        format!("[{}]", values.iter().map(|v| quote(v)).collect::<Vec<_>>().join(","))
    };
    let modifiers = prop::sample::select(vec![
        "",
        "|contains",
        "|startswith",
        "|endswith",
        "|cased",
        "|contains|cased",
        "|neq",
        "|endswith|cased",
        "|startswith|windash",
        "|contains|windash",
    ]);
    let all = prop::sample::select(vec!["|contains|all", "|all", "|startswith|all"]);
    let scalar = prop_oneof![
        number(),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("''".to_owned()),
    ];
    let regexes = prop::sample::select(vec!["|re", "|re|i", "|re|s"]);
    let compare = prop::sample::select(vec!["|lt", "|lte", "|gt", "|gte"]);
    let cidr = prop::sample::select(vec!["10.0.0.0/8", "10.0.0.0/24", "fe80::/10", "0.0.0.0/0"]);
    let fieldref = prop::sample::select(vec![
        "|fieldref",
        "|fieldref|startswith",
        "|fieldref|endswith",
        "|fieldref|contains",
    ]);
    prop_oneof![
        6 => (field(), modifiers, texts.clone())
            .prop_map(move |(f, m, t)| format!("{}: {}", quote(&format!("{f}{m}")), many(t))),
        2 => (field(), all, prop::collection::vec(pattern(), 2..4))
            .prop_map(move |(f, m, t)| format!("{}: {}", quote(&format!("{f}{m}")), many(t))),
        3 => (field(), scalar).prop_map(|(f, v)| format!("{}: {v}", quote(&f))),
        1 => (field(), number()).prop_map(|(f, v)| format!("{}: {v}", quote(&format!("{f}|neq")))),
        2 => (field(), regexes, regex())
            .prop_map(|(f, m, r)| format!("{}: {}", quote(&format!("{f}{m}")), quote(&r))),
        1 => (field(), compare, number())
            .prop_map(|(f, m, n)| format!("{}: {n}", quote(&format!("{f}{m}")))),
        1 => (field(), any::<bool>())
            .prop_map(|(f, b)| format!("{}: {b}", quote(&format!("{f}|exists")))),
        1 => (field(), cidr).prop_map(|(f, c)| format!("{}: {c}", quote(&format!("{f}|cidr")))),
        1 => (field(), fieldref, field())
            .prop_map(|(f, m, o)| format!("{}: {}", quote(&format!("{f}{m}")), quote(&o))),
    ]
}

/// A selection: a map, a list of maps, keywords.
fn selection() -> impl Strategy<Value = String> {
    let map = prop::collection::vec(item(), 1..3)
        .prop_map(|mut items| {
            items.sort();
            items.dedup_by_key(|item| item.split(": ").next().map(str::to_owned));
            format!("{{{}}}", items.join(", "))
        })
        .boxed();
    let keywords =
        prop::collection::vec(pattern().prop_filter("not empty", |p| !p.is_empty()), 1..4)
            .prop_map(|words| words.iter().map(|w| quote(w)).collect::<Vec<_>>())
            .boxed();
    prop_oneof![
        5 => map.clone(),
        1 => prop::collection::vec(map, 1..3).prop_map(|maps| format!("[{}]", maps.join(", "))),
        1 => keywords.clone().prop_map(|words| format!("[{}]", words.join(", "))),
        1 => keywords.prop_filter("all wants two", |words| words.len() > 1)
            .prop_map(|words| format!("{{'|all': [{}]}}", words.join(", "))),
    ]
}

fn condition(selections: usize) -> impl Strategy<Value = String> {
    let name = (0..selections).prop_map(|i| format!("sel{i}"));
    let of = prop::sample::select(vec!["1 of sel*", "all of sel*", "1 of them", "all of them"])
        .prop_map(str::to_owned);
    let leaf = prop_oneof![4 => name, 1 => of];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not {a}")),
        ]
    })
}

fn rule() -> impl Strategy<Value = String> {
    prop::collection::vec(selection(), 1..4)
        .prop_flat_map(|selections| {
            let conditions = condition(selections.len());
            (Just(selections), conditions)
        })
        .prop_map(|(selections, condition)| {
            let mut text =
                String::from("title: random\nlogsource:\n  category: test\ndetection:\n");
            for (i, selection) in selections.iter().enumerate() {
                text.push_str(&format!("  sel{i}: {selection}\n"));
            }
            text + &format!("  condition: {condition}\n")
        })
}

/// A text as JSON, some characters spelled by escapes.
fn spelled(text: &str, choice: u64) -> String {
    let mut out = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        let escape = choice >> (i % 64) & 1 == 1;
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' if escape => out.push_str("\\/"),
            c if c < ' ' || escape => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
            c => out.push(c),
        }
    }
    out + "\""
}

fn spelled_word() -> impl Strategy<Value = String> {
    (word(), prop_oneof![2 => Just(0u64), 1 => any::<u64>()])
        .prop_map(|(text, choice)| spelled(&text, choice))
}

fn key() -> impl Strategy<Value = String> {
    let names =
        prop::sample::select(vec!["A", "B", "C", "a", "b", "c", "a.b", "b.c", "a.b.c", "x y", "z"]);
    (names, prop_oneof![5 => Just(0u64), 1 => any::<u64>()])
        .prop_map(|(name, choice)| spelled(name, choice))
}

fn object(value: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = String> + Clone {
    let key = key().boxed();
    prop::collection::vec((key, value), 0..6).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn record() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        6 => spelled_word(),
        2 => number(),
        1 => prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ]
    .boxed();
    let value = scalar
        .prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|values| format!("[{}]", values.join(" , "))),
                object(inner),
            ]
        })
        .boxed();
    object(value)
}

fn load(text: &str) -> Option<Arc<Rule>> {
    let parsed = sigmill_parser::parse(text);
    let rule = parsed.documents.into_iter().next().map(|document| match document {
        Document::Rule(rule) => Arc::new(*rule),
        other => panic!("not a rule: {other:?}"),
    });
    if rule.is_none() {
        let errors: Vec<_> = parsed.diagnostics.iter().map(|d| d.message.as_str()).collect();
        // What the generator may make that the specification forbids.
        let allowed = ["twice", "duplicate", "no selection", "empty", "wildcard", "`windash`"];
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
    let exercised = EXERCISED.lock().unwrap();
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
        rules in prop::collection::vec(rule(), 1..12),
        records in prop::collection::vec(record(), 1..12),
        routing_rules_min in prop::sample::select(vec![1usize, 2, 100]),
    ) {
        let generated = rules.len();
        let rules: Vec<Arc<Rule>> = rules.iter().filter_map(|text| load(text)).collect();
        EXERCISED.lock().unwrap().refused += (generated - rules.len()) as u64;
        let mapping = FieldMapping::default();
        let compiled = compile(
            &rules,
            &CompileOptions { field_mapping: mapping.clone(), routing_rules_min },
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
                let mut exercised = EXERCISED.lock().unwrap();
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
