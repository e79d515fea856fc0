//! Step 4: each kind of search over one value, by how many patterns there are.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sigmill_benches::{COMMAND_LINE, literals};
use sigmill_engine::bench_api::{LiteralSearch, Tails};
use sigmill_engine::{
    Cover, Matcher, MatcherConfig, Op, Pattern, PlanBuilder, PlanRule, Test, Text,
};

/// Literals that are nowhere in the command line, but for one that is there twice.
fn with_hit(count: usize, len: usize, hit: &str) -> Vec<String> {
    let mut all = literals(count - 1, len);
    all.retain(|literal| !COMMAND_LINE.to_lowercase().contains(literal.as_str()));
    all.push(hit.to_owned());
    all
}

fn refs(literals: &[String]) -> Vec<&str> {
    literals.iter().map(String::as_str).collect()
}

/// Literals anywhere: a few short ones, more of them, long ones by the hundred and by the thousand.
fn anywhere(c: &mut Criterion) {
    let mut group = c.benchmark_group("literals");
    group.throughput(Throughput::Bytes(COMMAND_LINE.len() as u64));
    for (name, count, len, hit) in [
        ("8 of 4 bytes", 8, 4, "path"),
        ("40 of 4 bytes", 40, 4, "path"),
        ("200 of 4 bytes", 200, 4, "path"),
        ("100 of 12 bytes", 100, 12, "-path c:"),
        ("5,000 of 12 bytes", 5_000, 12, "-path c:"),
    ] {
        let search = LiteralSearch::new(&refs(&with_hit(count, len, hit)));
        let expected = COMMAND_LINE.to_lowercase().matches(hit).count();
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(search.count(black_box(COMMAND_LINE.as_bytes())), expected));
        });
    }
    // The worst that a text can do: the beginning of every literal again and again.
    let literals = with_hit(1_000, 12, "-path c:");
    let near: String = literals.iter().map(|literal| &literal[..literal.len() - 1]).collect();
    let near = &near[..4_000];
    let search = LiteralSearch::new(&refs(&literals));
    let expected: usize =
        literals.iter().map(|literal| near.matches(literal.as_str()).count()).sum();
    group.throughput(Throughput::Bytes(near.len() as u64));
    group.bench_function("near misses of 1,000", |b| {
        b.iter(|| assert_eq!(search.count(black_box(near.as_bytes())), expected));
    });
    group.finish();
}

/// Prefixes and suffixes: their number should not matter.
fn ends(c: &mut Criterion) {
    let image = "c:\\windows\\system32\\windowspowershell\\v1.0\\powershell.exe";
    let mut group = c.benchmark_group("ends");
    for count in [10, 1_000] {
        let mut suffixes = literals(count - 1, 14);
        suffixes.push("\\powershell.exe".to_owned());
        let search = Tails::suffixes(&refs(&suffixes)).expect("there are some");
        group.bench_function(format!("{count} suffixes"), |b| {
            b.iter(|| assert_eq!(search.count(black_box(image.as_bytes())), 1));
        });
    }
    let mut prefixes = literals(99, 10);
    prefixes.push("c:\\windows\\".to_owned());
    let search = Tails::prefixes(&refs(&prefixes)).expect("there are some");
    group.bench_function("100 prefixes", |b| {
        b.iter(|| assert_eq!(search.count(black_box(image.as_bytes())), 1));
    });
    group.finish();
}

/// A rule for each test of one field, without memo.
fn matcher(tests: Vec<Test>) -> Matcher {
    let mut builder = PlanBuilder::default();
    let field = builder.field("F").expect("it has few steps");
    for (source, test) in tests.into_iter().enumerate() {
        let atom = builder.atom(field, test).expect("it compiles");
        let rule = PlanRule { source: source as u32, condition: 0 };
        builder.rule(rule, &[Op::Test(atom)], Cover::AnyOf(vec![atom]));
    }
    let config = MatcherConfig { memo: false, ..MatcherConfig::default() };
    Matcher::new(Arc::new(builder.build()), config)
}

/// What only a whole matcher has: whole texts, numbers, expressions; with the reading of a small record.
fn by_matcher(c: &mut Criterion) {
    let mut group = c.benchmark_group("one field");
    let whole = literals(1_000, 12).into_iter().map(|text| Test::Equals(Text::new(&text, false)));
    let regex = |pattern: &str, required: &str| {
        Test::Regex(Pattern {
            pattern: pattern.into(),
            ignore_case: true,
            multi_line: false,
            dot_all: false,
            required: [required.as_bytes().into()].into(),
        })
    };
    let command_line = format!("{{\"F\":\"{COMMAND_LINE}\"}}");
    let one_word = format!("{{\"F\":\"{}\"}}", literals(1_000, 12)[500].to_uppercase());
    for (name, mut matcher, record) in [
        ("1,000 whole texts", matcher(whole.collect()), &one_word),
        (
            "an expression with a literal that is there",
            matcher(vec![regex("get-child[a-z]+ +-path", "get-child")]),
            &command_line,
        ),
        (
            "an expression with a literal that is not there, and a text that is",
            matcher(vec![
                regex("invoke-[a-z]+ +-path", "invoke-"),
                Test::Contains(Text::new("sort-object", false)),
            ]),
            &command_line,
        ),
    ] {
        group.throughput(Throughput::Bytes(record.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let rules = matcher.matches(black_box(record.as_bytes())).expect("it is a record");
                assert_eq!(rules.len(), 1);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, anywhere, ends, by_matcher);
criterion_main!(benches);
