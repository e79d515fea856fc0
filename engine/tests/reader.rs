//! Two ways to read a record, the same fields: by predicted keys, and by a tape.
//!
//! Sequences of records go through two matchers that differ in nothing else. One refuses what the other
//! refuses, with the same reason, and every field has the same values in the same order. Records share a
//! few keys, so that predictions are made, met and missed: repeated, escaped and nested keys, dotted
//! names that can be met as one key or as several, arrays of objects.
//!
//! `SIGMILL_PROPTEST_CASES` sets the number of cases (1,000 by default).

use std::sync::Arc;

use proptest::prelude::*;
use sigmill_engine::{
    Cover, Matcher, MatcherConfig, Op, Plan, PlanBuilder, PlanRule, Rejection, Test, Text,
    ValueKind,
};

const FIELDS: &[&str] =
    &["a", "b", "a.b", "a.b.c", "b.c", "$.a.b", "long key of many words, over 32 bytes", "é"];

fn cases() -> u32 {
    std::env::var("SIGMILL_PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

/// A rule for each field, and one for any value if `with_keywords`: that lists all values.
fn plan(with_keywords: bool) -> Arc<Plan> {
    let mut builder = PlanBuilder::default();
    let add = |builder: &mut PlanBuilder, field, text: &str| {
        let test = Test::Contains(Text::new(text, false));
        let atom = builder.atom(field, test).expect("it is no expression");
        let rule = PlanRule { source: atom.0, condition: 0 };
        builder.rule(rule, &[Op::Test(atom)], Cover::AnyOf(vec![atom]));
    };
    for name in FIELDS {
        let field = builder.field(name).expect("it has few steps");
        add(&mut builder, field, "xy");
    }
    if with_keywords {
        add(&mut builder, sigmill_engine::KEYWORDS, "xyz");
    }
    Arc::new(builder.build())
}

fn key() -> impl Strategy<Value = String> {
    let plain = vec![
        "a",
        "b",
        "c",
        "a.b",
        "b.c",
        "a.b.c",
        "d",
        "e",
        "é",
        "long key of many words, over 32 bytes",
        "another key that no rule names at all",
        "\\u0061",
        "a\\u002eb",
        "b\\u0062",
        "\\/",
        "",
    ];
    prop::sample::select(plain).prop_map(|key| format!("\"{key}\""))
}

fn value() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        4 => "[a-z ]{0,20}(xy|xyz|XY)?",
        1 => prop::sample::select(vec![
            "x\\u0079", "\\\\xy", "\\\"xyz", "xYé", "ſxy", "\\ud800xy", "x\\/y", "\\n", "x\u{7f}y",
            "xyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxy",
        ]).prop_map(str::to_owned),
    ];
    let scalar = prop_oneof![
        6 => text.prop_map(|text| format!("\"{text}\"")),
        1 => "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,3})?",
        1 => prop::sample::select(vec!["null", "true", "false", "nul", "01", "1e", "\"", "\"\t\""])
            .prop_map(str::to_owned),
    ];
    scalar.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            3 => prop::collection::vec((key(), inner.clone()), 0..5).prop_map(|members| object(&members, "")),
            1 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

fn object(members: &[(String, String)], space: &str) -> String {
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("{key}{space}:{space}{value}")).collect();
    format!("{{{space}{}{space}}}", members.join(&format!(",{space}")))
}

fn record() -> impl Strategy<Value = String> {
    let space = prop_oneof![3 => Just(""), 1 => Just(" "), 1 => Just("\n  ")];
    (prop::collection::vec((key(), value()), 0..9), space)
        .prop_map(|(members, space)| object(&members, space))
}

/// A field's values, with their kinds.
type Values = Vec<(ValueKind, Vec<u8>)>;

/// The rules that match and the values of all fields, or why the record is refused.
fn read(matcher: &mut Matcher, record: &[u8]) -> Result<(Vec<u32>, Vec<Values>), Rejection> {
    let rules = matcher.matches(record)?.iter().map(|rule| rule.0).collect();
    let plan = Arc::clone(matcher.plan());
    let values = FIELDS.iter().map(|name| {
        let mut values = Vec::new();
        let field = plan.field(name).expect("the plan has all of them");
        matcher.read_field(record, field, |value| values.push((value.kind, value.text.to_vec())));
        values
    });
    Ok((rules, values.collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn both_ways_read_the_same(
        records in prop::collection::vec(record(), 1..12),
        with_keywords in any::<bool>(),
        memo in any::<bool>(),
    ) {
        let plan = plan(with_keywords);
        let matcher = |reader| {
            let config = MatcherConfig { reader, memo, ..MatcherConfig::default() };
            Matcher::new(Arc::clone(&plan), config)
        };
        let (mut by_reader, mut by_tape) = (matcher(true), matcher(false));
        // Twice, so that what was learned is used.
        for record in records.iter().chain(&records) {
            let wanted = read(&mut by_tape, record.as_bytes());
            prop_assert_eq!(read(&mut by_reader, record.as_bytes()), wanted, "{}", record);
        }
    }
}
