//! Step 6: matches into windows, by how many groups there are and what is measured.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sigmill_codegen::{CompileOptions, RuleDocument, compile_set};
use sigmill_engine::window::{
    GroupKey, Position, WindowConfig, WindowId, WindowMatch, WindowPlan, WindowValue, Windows,
};

const MATCHES: u64 = 10_000;

/// A window over the matches of one rule, reached at the tenth of a group.
fn plan(kind: &str) -> Arc<WindowPlan> {
    let condition = match kind {
        "event_count" => "{gte: 10}",
        _ => "{gte: 10, field: Host}",
    };
    let text = format!(
        "title: Logon\nname: logon\nlogsource: {{product: windows}}\ndetection: {{s: {{EventID: 4625}}, \
         condition: s}}\n---\ntitle: Many\ncorrelation:\n  type: {kind}\n  rules: [logon]\n  group-by: \
         [User]\n  timespan: 1h\n  condition: {condition}\n"
    );
    let documents: Vec<RuleDocument> =
        sigmill_parser::parse(&text).documents.into_iter().map(RuleDocument::from).collect();
    let plan = compile_set(&documents, &CompileOptions::default(), &[]).windows;
    assert_eq!(plan.windows().len(), 1, "the correlation compiles");
    Arc::new(plan)
}

fn matches(groups: u64, with_value: bool) -> Vec<WindowMatch> {
    let key = |text: String| GroupKey::new([Some(text.as_bytes())]);
    let made = (0..MATCHES).map(|at| WindowMatch {
        window: WindowId(0),
        group: key(format!("user-{}", at % groups)),
        time: at as i64,
        position: Position { source: 0, offset: at },
        watermark: at as i64,
        inputs: vec![0],
        values: if with_value {
            vec![WindowValue::Text(key(format!("host-{}", at / groups)))]
        } else {
            Vec::new()
        },
        carried: None,
        content: None,
        may_repeat: false,
        is_chained: false,
    });
    made.collect()
}

fn windows(c: &mut Criterion) {
    let mut group = c.benchmark_group("windows");
    group.throughput(Throughput::Elements(MATCHES));
    for (kind, groups) in
        [("event_count", 1), ("event_count", 100), ("event_count", 10_000), ("value_count", 100)]
    {
        let plan = plan(kind);
        let matches = matches(groups, kind == "value_count");
        // Each group that gets ten matches is detected once.
        let expected = if MATCHES / groups >= 10 { groups as usize } else { 0 };
        group.bench_function(format!("{kind}, {groups} groups"), |b| {
            b.iter_batched(
                || (Windows::new(Arc::clone(&plan), WindowConfig::default()), Vec::new()),
                |(mut windows, mut detections)| {
                    windows.push_all(&matches, &mut detections);
                    assert_eq!(detections.len(), expected);
                    windows
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, windows);
criterion_main!(benches);
