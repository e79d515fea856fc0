//! Step 3: keys to fields, where they come in the order of the last record and where they do not.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sigmill_benches::byte_count;
use sigmill_engine::{FieldId, Matcher, MatcherConfig, PlanBuilder};

const KEYS: usize = 30;
/// So many of the keys are fields that rules name.
const WANTED: usize = 10;

/// A matcher that looks for fields and for nothing in them.
fn matcher(names: impl Iterator<Item = String>) -> (Matcher, Vec<FieldId>) {
    let mut builder = PlanBuilder::default();
    let fields = names.map(|name| builder.field(&name).expect("it has few steps")).collect();
    (Matcher::new(Arc::new(builder.build()), MatcherConfig::default()), fields)
}

/// Values of the wanted fields in the last of the records; all have to be read for that.
fn read(matcher: &mut Matcher, records: &[Vec<u8>], fields: &[FieldId]) -> usize {
    for record in records {
        matcher.matches(record).expect("it is a record");
    }
    let mut count = 0;
    if let Some(last) = records.last() {
        fields.iter().for_each(|field| matcher.read_field(last, *field, |_| count += 1));
    }
    count
}

fn record(keys: impl Iterator<Item = usize>) -> Vec<u8> {
    let members: Vec<String> = keys.map(|key| format!("\"Key{key:03}\":\"v\"")).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn keys(c: &mut Criterion) {
    let mut group = c.benchmark_group("keys");
    let wanted = || (0..WANTED).map(|at| format!("Key{:03}", at * 3));
    let same: Vec<Vec<u8>> = (0..100).map(|_| record(0..KEYS)).collect();
    let alternating: Vec<Vec<u8>> = (0..100)
        .map(|at| if at % 2 == 0 { record(0..KEYS) } else { record((0..KEYS).rev()) })
        .collect();
    let turned: Vec<Vec<u8>> =
        (0..100).map(|at| record((0..KEYS).map(|key| (key + at) % KEYS))).collect();
    for (name, records) in [
        ("in the order of the last record", same),
        ("two orders in turn", alternating),
        ("thirty orders in turn", turned),
    ] {
        let (mut matcher, fields) = matcher(wanted());
        group.throughput(Throughput::Elements((records.len() * KEYS) as u64));
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(read(&mut matcher, black_box(&records), &fields), WANTED));
        });
    }

    // Keys that were never seen: nothing can be predicted, and shapes fill up.
    let fresh: Vec<Vec<u8>> = (0..100)
        .map(|at| record((0..KEYS).map(|key| if key == 0 { 0 } else { at * KEYS + key + 999 })))
        .collect();
    group.throughput(Throughput::Elements((fresh.len() * KEYS) as u64));
    group.bench_function("never seen before", |b| {
        b.iter_batched(
            || matcher(wanted()),
            |(mut matcher, fields)| assert_eq!(read(&mut matcher, black_box(&fresh), &fields), 1),
            criterion::BatchSize::LargeInput,
        );
    });

    // A dotted name is looked for in nested objects.
    let nested: Vec<Vec<u8>> = (0..100)
        .map(|at| {
            format!("{{\"winlog\":{{\"event_data\":{{\"a\":\"{at}\",\"b\":1}}}}}}").into_bytes()
        })
        .collect();
    let (mut matcher, fields) = matcher(["winlog.event_data.a".to_owned()].into_iter());
    group.throughput(Throughput::Bytes(byte_count(&nested)));
    group.bench_function("nested objects", |b| {
        b.iter(|| assert_eq!(read(&mut matcher, black_box(&nested), &fields), 1));
    });
    group.finish();
}

criterion_group!(benches, keys);
criterion_main!(benches);
