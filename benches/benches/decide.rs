//! Step 5: waking rules by their covers, and running their conditions; with the reading of a small
//! record each time.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sigmill_engine::{
    AtomId, Cover, Matcher, MatcherConfig, Op, PlanBuilder, PlanRule, Test, Text,
};

/// Rules that one value of a record wakes: what is paid for each.
fn waking(c: &mut Criterion) {
    let mut group = c.benchmark_group("wake");
    let record = br#"{"EventID":"1","Image":"C:\\Windows\\cmd.exe"}"#;
    for count in [0u32, 100, 1_000] {
        let mut builder = PlanBuilder::default();
        let event = builder.field("EventID").expect("it has few steps");
        let image = builder.field("Image").expect("it has few steps");
        let mut test = |field, test| builder.atom(field, test).expect("it compiles");
        let is_one = test(event, Test::Equals(Text::new("1", false)));
        let ends = |text: &str| Test::EndsWith(Text::new(text, false));
        // Half of the rules match.
        let tails = [test(image, ends("cmd.exe")), test(image, ends("other.exe"))];
        for source in 0..count {
            let tail = tails[source as usize % 2];
            let program = [Op::Test(is_one), Op::JumpIfFalse(3), Op::Test(tail)];
            let rule = PlanRule { source, condition: 0 };
            builder.rule(rule, &program, Cover::AnyOf(vec![is_one]));
        }
        let mut matcher = Matcher::new(Arc::new(builder.build()), MatcherConfig::default());
        group.throughput(Throughput::Elements(u64::from(count.max(1))));
        group.bench_function(format!("{count} rules by one value"), |b| {
            b.iter(|| {
                let rules = matcher.matches(black_box(record)).expect("it is a record");
                assert_eq!(rules.len(), count as usize / 2);
            });
        });
    }
    // Rules that nothing wakes cost nothing, however many there are.
    let mut builder = PlanBuilder::default();
    let image = builder.field("Image").expect("it has few steps");
    for source in 0..20_000u32 {
        let test = Test::EndsWith(Text::new(&format!("\\tool{source:05}.exe"), false));
        let atom = builder.atom(image, test).expect("it compiles");
        let rule = PlanRule { source, condition: 0 };
        builder.rule(rule, &[Op::Test(atom)], Cover::AnyOf(vec![atom]));
    }
    let config = MatcherConfig { memo: false, ..MatcherConfig::default() };
    let mut matcher = Matcher::new(Arc::new(builder.build()), config);
    group.throughput(Throughput::Elements(1));
    group.bench_function("none of 20,000 rules", |b| {
        b.iter(|| assert!(matcher.matches(black_box(record)).is_ok_and(<[_]>::is_empty)));
    });
    group.finish();
}

/// Makes a jump to a place.
type Jump = fn(u32) -> Op;

/// Long conditions over atoms that are known: conjunctions that fail late, alternatives that hold late.
fn conditions(c: &mut Criterion) {
    const PARTS: usize = 32;
    const RULES: u32 = 200;
    let value: String = (0..PARTS).map(|part| char::from(b'a' + (part % 26) as u8)).collect();
    let record = format!("{{\"EventID\":\"1\",\"Image\":\"{value}\"}}");
    let mut group = c.benchmark_group("condition");
    group.throughput(Throughput::Elements(u64::from(RULES) * PARTS as u64));
    let cases: [(&str, Jump, bool, usize); 2] = [
        ("all of 32, the last fails", Op::JumpIfFalse, true, 0),
        ("any of 32, the last holds", Op::JumpIfTrue, false, RULES as usize),
    ];
    for (name, jump, first_hold, expected) in cases {
        let mut builder = PlanBuilder::default();
        let event = builder.field("EventID").expect("it has few steps");
        let image = builder.field("Image").expect("it has few steps");
        let is_one = Test::Equals(Text::new("1", false));
        let is_one = builder.atom(event, is_one).expect("it compiles");
        let atoms: Vec<AtomId> = (0..PARTS)
            .map(|part| {
                let holds = first_hold == (part + 1 < PARTS);
                let text = if holds { value[..=part].to_owned() } else { format!("no {part}") };
                let test = Test::StartsWith(Text::new(&text, false));
                builder.atom(image, test).expect("it compiles")
            })
            .collect();
        atoms.iter().for_each(|atom| builder.promote(*atom));
        let end = 2 * PARTS - 1;
        let parts = atoms.iter().flat_map(|atom| [Op::Test(*atom), jump(end as u32)]);
        let program: Vec<Op> = parts.take(end).collect();
        for source in 0..RULES {
            let rule = PlanRule { source, condition: 0 };
            builder.rule(rule, &program, Cover::AnyOf(vec![is_one]));
        }
        let mut matcher = Matcher::new(Arc::new(builder.build()), MatcherConfig::default());
        group.bench_function(name, |b| {
            b.iter(|| {
                let rules = matcher.matches(black_box(record.as_bytes())).expect("it is a record");
                assert_eq!(rules.len(), expected);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, waking, conditions);
criterion_main!(benches);
