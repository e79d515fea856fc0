//! Step 4: values before they are searched: remembered or not, unescaped, folded.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sigmill_benches::COMMAND_LINE;
use sigmill_engine::AtomId;
use sigmill_engine::bench_api::{Memo, unescape_and_fold};

/// Values that were seen before, and values that were not.
fn memo(c: &mut Criterion) {
    const VALUES: usize = 1_000;
    let atoms = [AtomId(1), AtomId(2)];
    let mut group = c.benchmark_group("memo");
    group.throughput(Throughput::Elements(VALUES as u64));
    for len in [16, 128] {
        let values: Vec<String> = (0..VALUES).map(|n| format!("{n:0len$}")).collect();
        let mut known = Memo::default();
        for value in &values {
            // Twice: a memo that answers too rarely switches itself off.
            known.get_or_insert(value.as_bytes(), &atoms);
            known.get_or_insert(value.as_bytes(), &atoms);
        }
        let hits = |memo: &mut Memo| -> usize {
            let values = black_box(&values).iter();
            values.filter_map(|value| memo.get_or_insert(value.as_bytes(), &atoms)).sum()
        };
        // Values that meet in a slot displace each other, so not quite all are known.
        assert!(hits(&mut known) > VALUES * 2 * 9 / 10);
        group.bench_function(format!("known, {len} bytes"), |b| {
            b.iter(|| assert!(hits(&mut known) > VALUES * 2 * 9 / 10));
        });
        group.bench_function(format!("new, {len} bytes"), |b| {
            b.iter_batched(
                Memo::default,
                |mut memo| {
                    assert_eq!(hits(&mut memo), 0);
                    memo
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// Spellings: plain, with backslashes, all escaped, beyond ASCII.
fn texts(c: &mut Criterion) {
    let mut group = c.benchmark_group("texts");
    let (mut plain, mut folded) = (Vec::new(), Vec::new());
    let escaped: String = (0..100).map(|_| "\\u004b").collect();
    let foreign = "Überprüfung ΑΒΓ ".repeat(20);
    for (name, raw, expected) in [
        ("without escapes", "C:/Windows/System32/".repeat(20), 400),
        ("with backslashes", COMMAND_LINE.to_owned(), spoken_len(COMMAND_LINE)),
        ("of escapes alone", escaped, 100),
        ("beyond ASCII", foreign.clone(), sigmill_engine::folded(&foreign).len()),
    ] {
        group.throughput(Throughput::Bytes(raw.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let len = unescape_and_fold(black_box(raw.as_bytes()), &mut plain, &mut folded);
                assert_eq!(len, expected);
            });
        });
    }
    group.finish();
}

/// Bytes of a text as another parser reads it; ASCII keeps its length when it is folded.
fn spoken_len(raw: &str) -> usize {
    serde_json::from_str::<String>(&format!("\"{raw}\"")).expect("it is a text").len()
}

criterion_group!(benches, memo, texts);
criterion_main!(benches);
