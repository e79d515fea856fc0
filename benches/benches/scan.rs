//! Step 2: bytes to values, by every way that there is, beside other parsers.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sigmill_benches::{byte_count, events};
use sigmill_engine::bench_api::Scanner;
use sigmill_engine::{Matcher, MatcherConfig, Plan};

fn scan(c: &mut Criterion) {
    let records = events();
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Bytes(byte_count(&records)));

    // Our tape: validates and finds every value.
    let mut scanner = Scanner::default();
    let mut values = |records: &[Vec<u8>]| -> usize {
        records.iter().map(|record| scanner.scan(record).expect("it is a record")).sum()
    };
    let expected: usize = records.iter().map(|record| value_count(record)).sum();
    assert_eq!(values(&records), expected);
    group.bench_function("tape", |b| b.iter(|| assert_eq!(values(black_box(&records)), expected)));

    // A plan without rules: only what decides whether a record is refused.
    for (name, reader) in [("read, no field wanted", true), ("tape, no field wanted", false)] {
        let config = MatcherConfig { reader, ..MatcherConfig::default() };
        let mut matcher = Matcher::new(Arc::new(Plan::default()), config);
        let mut accepted = |records: &[Vec<u8>]| {
            records.iter().filter(|record| matcher.matches(record).is_ok()).count()
        };
        assert_eq!(accepted(&records), records.len());
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(accepted(black_box(&records)), records.len()));
        });
    }

    // The yardstick: its tape, with buffers reused and the copy that parsing in place needs.
    let (mut buffers, mut copy) = (simd_json::Buffers::default(), Vec::new());
    group.bench_function("simd-json, tape", |b| {
        b.iter(|| {
            for record in black_box(&records) {
                copy.clear();
                copy.extend_from_slice(record);
                let mut tape = simd_json::Tape::null();
                simd_json::fill_tape(&mut copy, &mut buffers, &mut tape).expect("it is a record");
                black_box(tape.0.len());
            }
        });
    });
    group.finish();
}

/// Values of a record, containers included, as another parser counts them.
fn value_count(record: &[u8]) -> usize {
    fn count(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
            serde_json::Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
            _ => 1,
        }
    }
    count(&serde_json::from_slice(record).expect("it is a record"))
}

criterion_group!(benches, scan);
criterion_main!(benches);
