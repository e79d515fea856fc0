//! All steps together, with the rules and events that the repository carries: a small set, so that this
//! shows changes and not what the product reaches (`perf/` does).

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sigmill_benches::{byte_count, events, rules};
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig};

fn count(matcher: &mut Matcher, records: &[Vec<u8>]) -> usize {
    records.iter().map(|record| matcher.matches(record).expect("it is a record").len()).sum()
}

fn whole(c: &mut Criterion) {
    let (records, rules) = (events(), rules());
    let plan = Arc::new(compile(&rules, &CompileOptions::default()).plan);
    let matcher = |config: MatcherConfig| Matcher::new(Arc::clone(&plan), config);
    // Without shortcuts: what every other way has to find.
    let plain = MatcherConfig { memo: false, reader: false, ..MatcherConfig::default() };
    let expected = count(&mut matcher(plain), &records);
    assert!(expected > 0, "the carried events make the carried rules match");
    let mut group = c.benchmark_group("whole");
    group.throughput(Throughput::Bytes(byte_count(&records)));
    group.bench_function("cold", |b| {
        b.iter_batched(
            || matcher(MatcherConfig::default()),
            |mut matcher| {
                assert_eq!(count(&mut matcher, black_box(&records)), expected);
                matcher
            },
            BatchSize::LargeInput,
        );
    });
    for (name, memo) in [("warm", true), ("without memo", false)] {
        let mut matcher = matcher(MatcherConfig { memo, ..MatcherConfig::default() });
        assert_eq!(count(&mut matcher, &records), expected);
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(count(&mut matcher, black_box(&records)), expected));
        });
    }
    group.finish();
    c.bench_function("compile the carried rules", |b| {
        b.iter(|| {
            let compiled = compile(black_box(&rules), &CompileOptions::default());
            assert_eq!(compiled.plan.rules().len(), plan.rules().len());
        });
    });
}

criterion_group!(benches, whole);
criterion_main!(benches);
