//! Windows = reference: random rules, correlations, aggregations and filters over random sequences of
//! events, with equal, late and out-of-order times, in all ways of emitting.
//!
//! Documents are generated as text and go through the parser. `SIGMILL_PROPTEST_CASES` sets the number
//! of cases (256 by default).

#![allow(clippy::unwrap_used)] // A test may stop at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sigmill_codegen::{CompileOptions, Compiled, RuleDocument, compile_set};
use sigmill_engine::window::{
    Emit, FeedCounters, Measure, Occurrence, Position, Window, WindowConfig, WindowDetection,
    WindowMatch, WindowPlan, WindowSet, Windows, collect,
};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::{Document, FieldMapping, ParseOptions};
use sigmill_reference::{Detection, Json, Settings, correlate};

fn cases() -> u32 {
    std::env::var("SIGMILL_PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// What a case exercises for certain; all else in it is random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Focus {
    Events,
    DistinctValues,
    Inputs,
    InputsInOrder,
    Sum,
    Average,
    Percentile,
    Min,
    Max,
    Near,
}

const FOCI: [Focus; 10] = [
    Focus::Events,
    Focus::DistinctValues,
    Focus::Inputs,
    Focus::InputsInOrder,
    Focus::Sum,
    Focus::Average,
    Focus::Percentile,
    Focus::Min,
    Focus::Max,
    Focus::Near,
];
const EMITS: [Emit; 3] = [Emit::Early, Emit::Final, Emit::Every];

impl Focus {
    /// What a window is an example of.
    fn of(window: &Window, documents: &[Document]) -> Self {
        let is_rule = matches!(documents[window.source as usize], Document::Rule(_));
        match window.measure {
            Measure::Events => Self::Events,
            Measure::DistinctValues => Self::DistinctValues,
            Measure::Inputs if is_rule => Self::Near,
            Measure::Inputs => Self::Inputs,
            Measure::InputsInOrder => Self::InputsInOrder,
            Measure::Sum => Self::Sum,
            Measure::Average => Self::Average,
            Measure::Percentile(_) => Self::Percentile,
            Measure::Min => Self::Min,
            Measure::Max => Self::Max,
        }
    }
}

/// Rules that share events: one of them has two conditions, one may aggregate.
fn base_rules(focus: Option<Focus>) -> impl Strategy<Value = String> {
    let functions = match focus {
        Some(Focus::Min) => vec!["min(N)"],
        Some(Focus::Max) => vec!["max(N)"],
        _ => vec!["count()", "count(V)", "min(N)", "max(N)", "avg(N)", "sum(N)"],
    };
    let group = prop::sample::select(vec!["", " by U", " by U, H"]);
    let relation = prop::sample::select(vec![">", ">=", "<", "<=", "==", "!="]);
    let number = (prop::sample::select(functions), group.clone(), relation, 0u32..5)
        .prop_map(|(function, group, relation, n)| format!("a | {function}{group} {relation} {n}"));
    let beside =
        prop::sample::select(vec!["b", "n", "n and b", "n and not b", "not b", "(b or n) and n"]);
    let near = (beside, group).prop_map(|(beside, group)| format!("a | near {beside}{group}"));
    let aggregation = match focus {
        Some(Focus::Near) => near.boxed(),
        Some(Focus::Min | Focus::Max) => number.boxed(),
        _ => prop_oneof![3 => number, 1 => near].boxed(),
    };
    let is_sure = matches!(focus, Some(Focus::Near | Focus::Min | Focus::Max));
    let conditions = prop_oneof![
        if is_sure { 0 } else { 3 } => Just("[a, b]".to_owned()),
        1 => aggregation.clone().prop_map(|aggregation| format!("'{aggregation}'")),
        1 => aggregation.prop_map(|aggregation| format!("[b, '{aggregation}']")),
    ];
    (conditions, prop::bool::weighted(0.3)).prop_map(|(conditions, is_filtered)| {
        let logsource = "logsource: {category: test}";
        let mut text = format!(
            "title: r0\nname: r0\n{logsource}\ndetection: {{s: {{Ev: [a, d]}}, condition: s}}\n---\n\
             title: r1\nid: 6f3e2987-db24-4c78-a860-b4f4095a7095\n{logsource}\n\
             detection: {{s: {{Ev: [b, d]}}, condition: s}}\n---\n\
             title: r2\nname: r2\n{logsource}\n\
             detection: {{a: {{Ev: [c, d]}}, b: {{Ev: e}}, n: {{Ev: [a, b, d]}}, timeframe: 4s, \
             condition: {conditions}}}\n",
        );
        if is_filtered {
            text.push_str(&format!(
                "---\ntitle: f\n{logsource}\nfilter: {{rules: [r0, r2], s: {{H: y}}, \
                 condition: not s}}\n"
            ));
        }
        text
    })
}

/// What the correlation `at` may refer to.
fn reference(at: usize) -> impl Strategy<Value = String> {
    let base = prop::sample::select(vec!["r0", "r1", "r2", "r0"]).prop_map(|name| match name {
        "r1" => "6F3E2987-db24-4c78-a860-b4f4095a7095".to_owned(),
        name => name.to_owned(),
    });
    match at {
        0 => base.boxed(),
        _ => prop_oneof![2 => base, 1 => (0..at).prop_map(|inner| format!("c{inner}"))].boxed(),
    }
}

fn bounds() -> impl Strategy<Value = String> {
    let bound = |low: i32, high: i32| (low..high).prop_map(|n| n.to_string());
    prop_oneof![
        5 => bound(1, 4).prop_map(|n| format!("gte: {n}")),
        2 => bound(0, 3).prop_map(|n| format!("gt: {n}")),
        1 => bound(1, 5).prop_map(|n| format!("lt: {n}")),
        1 => bound(1, 4).prop_map(|n| format!("lte: {n}")),
        1 => bound(1, 4).prop_map(|n| format!("eq: {n}")),
        1 => bound(1, 4).prop_map(|n| format!("neq: {n}")),
        1 => bound(0, 3).prop_map(|n| format!("gt: {n}, lte: 3.5")),
    ]
}

/// The type and condition of a correlation over these rules.
fn computation(
    rules: Vec<String>,
    focus: Option<Focus>,
) -> impl Strategy<Value = (Vec<String>, String)> {
    let counts = bounds().prop_map(|bounds| format!("type: event_count, condition: {{{bounds}}}"));
    let field = prop::sample::select(vec!["field: V", "field: [V, H]", "field: N"]);
    let values = (field, bounds())
        .prop_map(|(field, bounds)| format!("type: value_count, condition: {{{field}, {bounds}}}"));
    let kinds = prop::sample::select(match focus {
        Some(Focus::Sum) => vec!["value_sum"],
        Some(Focus::Average) => vec!["value_avg"],
        Some(Focus::Percentile) => vec!["value_median", "value_percentile"],
        _ => vec!["value_sum", "value_avg", "value_median", "value_percentile"],
    });
    let numbers = (kinds, bounds(), 0..=100).prop_map(|(kind, bounds, percent)| {
        let percentile = if kind == "value_percentile" {
            format!("percentile: {percent}, ")
        } else {
            String::new()
        };
        format!("type: {kind}, condition: {{field: N, {percentile}{bounds}}}")
    });
    let order = prop::sample::select(match focus {
        Some(Focus::Inputs) => vec!["temporal"],
        Some(Focus::InputsInOrder) => vec!["temporal_ordered"],
        _ => vec!["temporal", "temporal_ordered"],
    });
    let name = {
        let rules = rules.clone();
        prop::sample::select(rules)
    };
    let expr = name.prop_recursive(2, 5, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            Just("1 of them".to_owned()),
        ]
    });
    let negated = (expr.clone(), prop::bool::ANY)
        .prop_map(|(expr, is_not)| if is_not { format!("not {expr}") } else { expr });
    let temporal = prop_oneof![
        2 => order.clone().prop_map(|kind| format!("type: {kind}")),
        1 => (order.clone(), bounds())
            .prop_map(|(kind, bounds)| format!("type: {kind}, condition: {{{bounds}}}")),
        if focus == Some(Focus::Inputs) { 0 } else { 1 } =>
            expr.prop_map(|expr| format!("type: temporal_ordered, condition: {expr}")),
        if focus == Some(Focus::InputsInOrder) { 0 } else { 1 } =>
            negated.prop_map(|expr| format!("type: temporal, condition: {expr}")),
    ];
    let weights: [u32; 4] = match focus {
        Some(Focus::Events) => [1, 0, 0, 0],
        Some(Focus::DistinctValues) => [0, 1, 0, 0],
        Some(Focus::Sum | Focus::Average | Focus::Percentile) => [0, 0, 1, 0],
        Some(Focus::Inputs | Focus::InputsInOrder) => [0, 0, 0, 1],
        _ => [3, 2, 2, 3],
    };
    prop_oneof![
        weights[0] => counts,
        weights[1] => values,
        weights[2] => numbers,
        weights[3] => temporal,
    ]
    .prop_map(move |computation| (rules.clone(), computation))
}

fn correlation(at: usize, focus: Option<Focus>) -> impl Strategy<Value = String> {
    let rules = prop::collection::vec(reference(at), 1..4).prop_map(|mut rules| {
        rules.sort();
        rules.dedup();
        rules
    });
    let group = prop::sample::select(vec!["U", "U, H", "ip", "H", ""]);
    let timespan = prop::sample::select(vec![1u32, 2, 5, 10, 10]);
    let generate = prop::bool::weighted(0.2);
    (rules.prop_flat_map(move |rules| computation(rules, focus)), group, timespan, generate)
        .prop_map(move |((rules, computation), group, timespan, generate)| {
            format!(
                "---\ntitle: c{at}\nname: c{at}\ncorrelation: {{{computation}, \
                 rules: [{}], group-by: [{group}], timespan: {timespan}s, generate: {generate}, \
                 aliases: {{ip: {{r0: U, r2: H, c0: U}}}}}}\n",
                rules.join(", ")
            )
        })
}

/// The first correlation is that of the focus, where it is one of correlations.
fn documents(focus: Option<Focus>) -> impl Strategy<Value = String> {
    let correlations = (1usize..4).prop_flat_map(move |count| {
        let focus_of = |at: usize| focus.filter(|_| at == 0);
        (0..count).map(|at| correlation(at, focus_of(at)).boxed()).collect::<Vec<_>>()
    });
    (base_rules(focus), correlations).prop_map(|(base, correlations)| base + &correlations.concat())
}

/// An event: how long after the one before (mostly), its kind, and its fields.
fn events() -> impl Strategy<Value = Vec<(Option<i64>, String)>> {
    let pause = prop_oneof![
        3 => Just(0i64),
        6 => 1i64..1_500,
        2 => 1_500i64..6_000,
        2 => -3_000i64..0,
        1 => -15_000i64..20_000,
    ];
    let kind = prop::sample::select(vec!["a", "a", "b", "b", "c", "c", "d", "d", "e", "z"]);
    let user = prop::sample::select(vec![
        r#""U":"a""#,
        r#""U":"a""#,
        r#""U":"a""#,
        r#""U":"b""#,
        r#""U":["a","b"]"#,
        r#""U":null"#,
        r#""x":0"#,
    ]);
    let host = prop::sample::select(vec![
        r#""H":"x""#,
        r#""H":"x""#,
        r#""H":"a""#,
        r#""H":"y""#,
        r#""H":["x",1,"x"]"#,
        r#""y":0"#,
    ]);
    let number = prop::sample::select(vec![
        "0", "1", "2", "3", "4", "-2", "0.5", "\"2\"", "[1,-1]", "\"n\"",
    ]);
    let value =
        prop::sample::select(vec!["\"p\"", "\"q\"", "\"r\"", "1", "true", "[\"p\",\"s\"]", "null"]);
    let event = (pause, kind, user, host, number, value, prop::bool::weighted(0.03));
    prop::collection::vec(event, 1..40).prop_map(|events| {
        let mut time = 1_700_000_000_000;
        events
            .into_iter()
            .map(|(pause, kind, user, host, number, value, is_timeless)| {
                // An event out of order does not turn the clock back for those behind it.
                let own = time + pause;
                time = time.max(own);
                let json = format!(r#"{{"Ev":"{kind}",{user},{host},"N":{number},"V":{value}}}"#);
                ((!is_timeless).then_some(own), json)
            })
            .collect()
    })
}

fn load(text: &str) -> Vec<Document> {
    let mut options = ParseOptions::default();
    options.is_whole_set = true;
    let parsed = sigmill_parser::parse_with(text, &options);
    let blocking: Vec<_> = parsed.diagnostics.iter().filter(|found| !found.is_loadable).collect();
    assert!(
        blocking.iter().all(|found| found.severity != sigmill_parser::Severity::Error),
        "{text}\n{blocking:?}"
    );
    parsed.documents
}

/// What the generator made of it, over all cases.
#[derive(Default)]
struct Exercised {
    cases: u64,
    late: u64,
    /// Detections by what they are an example of, and way of emitting.
    detections: BTreeMap<(Focus, String), u64>,
}

impl Exercised {
    fn of(&self, focus: Focus, emit: Emit) -> u64 {
        self.detections.get(&(focus, format!("{emit:?}"))).copied().unwrap_or_default()
    }
}

/// Every kind of window in every way of emitting has its share of the cases, and is tried again until it
/// has made its detections: so that a short run exercises all of them, and does not fail by chance.
#[test]
fn windows_agree_with_the_reference() {
    let exercised = Mutex::new(Exercised::default());
    let share = cases().div_ceil((FOCI.len() * EMITS.len()) as u32);
    for (focus, emit) in FOCI.into_iter().flat_map(|focus| EMITS.map(|emit| (focus, emit))) {
        for _ in 0..50 {
            let config = ProptestConfig {
                cases: share,
                source_file: Some(file!()),
                ..ProptestConfig::default()
            };
            TestRunner::new(config)
                .run(&case(focus), |case| agree(&case, emit, &exercised))
                .unwrap_or_else(|error| panic!("{focus:?} {emit:?}: {error}"));
            if exercised.lock().unwrap().of(focus, emit) > u64::from(share) {
                break;
            }
        }
    }
    let exercised = exercised.into_inner().unwrap();
    println!("{} cases, {} late, {:#?}", exercised.cases, exercised.late, exercised.detections);
    for (focus, emit) in FOCI.into_iter().flat_map(|focus| EMITS.map(|emit| (focus, emit))) {
        let count = exercised.of(focus, emit);
        assert!(count > u64::from(share), "{focus:?} {emit:?}: {count} detections");
    }
    assert!(exercised.late > 0);
}

#[test]
fn final_detections_do_not_depend_on_the_order_of_arrival() {
    order_does_not_matter();
}

#[test]
fn in_order_each_run_is_reported_early_once_and_else_at_least_once() {
    early_covers_final();
}

/// Each event's matches, with the watermark as of it.
fn feed(
    compiled: Compiled,
    events: &[(Option<i64>, String)],
) -> (Arc<WindowPlan>, Vec<(i64, Vec<WindowMatch>)>) {
    let plan = Arc::new(compiled.windows);
    let mut matcher = Matcher::new(Arc::new(compiled.plan), MatcherConfig::default());
    let mut latest = i64::MIN;
    let mut fed = Vec::new();
    for (at, (time, event)) in events.iter().enumerate() {
        let Some(time) = *time else { continue };
        latest = latest.max(time);
        let rules = matcher.matches(event.as_bytes()).unwrap().to_vec();
        let occurrence = Occurrence {
            time,
            position: Position { source: 0, offset: at as u64 },
            watermark: latest,
            content: None,
            may_repeat: false,
        };
        let mut matches = Vec::new();
        let counters = &mut FeedCounters::default();
        collect(&plan, &mut matcher, event.as_bytes(), &rules, &occurrence, counters, &mut matches);
        if !matches.is_empty() {
            fed.push((latest, matches));
        }
    }
    (plan, fed)
}

fn run(
    plan: &Arc<WindowPlan>,
    config: &WindowConfig,
    shards: usize,
    fed: &[(i64, Vec<WindowMatch>)],
) -> (Vec<WindowDetection>, u64) {
    let mut windows = WindowSet::new(Arc::clone(plan), config, shards);
    let mut out = Vec::new();
    for (watermark, matches) in fed {
        windows.push(*watermark, matches, &mut out);
    }
    windows.close(&mut out);
    (out, windows.counters().matches_late)
}

/// In the reference's words, in a fixed order.
fn shown(plan: &WindowPlan, detections: &[WindowDetection]) -> Vec<Detection> {
    let mut shown: Vec<Detection> = detections
        .iter()
        .map(|detection| {
            let window = plan.window(detection.window);
            let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
            let mut events: Vec<usize> =
                detection.events.iter().map(|event| event.position.offset as usize).collect();
            events.sort_unstable();
            events.dedup();
            Detection {
                document: window.source as usize,
                condition: window.condition_index as usize,
                group: detection.group.values().map(text).collect(),
                at: detection.at,
                start: detection.start,
                end: detection.end,
                number: detection.reading.billionths(),
                events,
                completed_by: detection.completed_by.offset as usize,
            }
        })
        .collect();
    shown.sort();
    shown
}

#[derive(Debug, Clone)]
struct Case {
    text: String,
    events: Vec<(Option<i64>, String)>,
    grace_ms: Option<i64>,
    batch: usize,
    open_groups_max: usize,
}

fn case(focus: Focus) -> impl Strategy<Value = Case> {
    let grace = prop_oneof![Just(None), (0i64..15_000).prop_map(Some)];
    // Most cases have so few groups that all of them would stay open.
    let open = prop::sample::select(vec![0usize, 1, 2, 1_000]);
    (documents(Some(focus)), events(), grace, 1usize..8, open).prop_map(
        |(text, events, grace_ms, batch, open_groups_max)| Case {
            text,
            events,
            grace_ms,
            batch,
            open_groups_max,
        },
    )
}

fn agree(case: &Case, emit: Emit, exercised: &Mutex<Exercised>) -> Result<(), TestCaseError> {
    let Case { text, events, grace_ms, batch, open_groups_max } = case;
    let parsed = load(text);
    let documents: Vec<RuleDocument> = parsed.iter().cloned().map(RuleDocument::from).collect();
    let compiled = compile_set(&documents, &CompileOptions::default(), &[]);
    prop_assert_eq!(&compiled.refused, &vec![]);
    let (plan, fed) = feed(compiled, events);
    let config = WindowConfig {
        emit,
        grace_ms: *grace_ms,
        open_groups_max: *open_groups_max,
        ..WindowConfig::default()
    };
    let (got, late) = run(&plan, &config, 1, &fed);

    let json: Vec<(Option<i64>, Json)> = events
        .iter()
        .map(|(time, event)| (*time, Json::parse(event).expect("generated events are JSON")))
        .collect();
    let emit_wanted = match emit {
        Emit::Early => sigmill_reference::Emit::Early,
        Emit::Final => sigmill_reference::Emit::Final,
        Emit::Every => sigmill_reference::Emit::Every,
    };
    let settings = Settings { emit: emit_wanted, grace_ms: *grace_ms };
    let mapping = FieldMapping::default();
    let mut wanted = correlate(&parsed, &json, &mapping, settings);
    wanted.detections.sort();
    prop_assert_eq!(&shown(&plan, &got), &wanted.detections, "{}\n{:#?}", text, events);
    prop_assert_eq!(late, wanted.late as u64);

    let (sharded, _) = run(&plan, &config, 3, &fed);
    prop_assert_eq!(&shown(&plan, &sharded), &wanted.detections, "shards\n{}\n{:#?}", text, events);
    if plan.level_count() < 2 {
        // No more often than once a batch does anybody say how far time has come.
        let mut windows = Windows::new(Arc::clone(&plan), config);
        let mut batched = Vec::new();
        for fed in fed.chunks(*batch) {
            let matches: Vec<WindowMatch> =
                fed.iter().flat_map(|(_, matches)| matches).cloned().collect();
            windows.push_all(&matches, &mut batched);
            windows.advance(
                0,
                fed.last().map_or(i64::MIN, |(watermark, _)| *watermark),
                &mut batched,
            );
        }
        windows.advance(0, i64::MAX, &mut batched);
        prop_assert_eq!(
            &shown(&plan, &batched),
            &wanted.detections,
            "batches\n{}\n{:#?}",
            text,
            events
        );
        prop_assert_eq!(windows.group_count(), 0);
    }

    let mut exercised = exercised.lock().unwrap();
    exercised.cases += 1;
    exercised.late += late;
    for detection in &got {
        let focus = Focus::of(plan.window(detection.window), &parsed);
        *exercised.detections.entry((focus, format!("{emit:?}"))).or_default() += 1;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    fn order_does_not_matter(
        text in documents(None),
        (events, shuffled) in events().prop_flat_map(|events| {
            let order: Vec<usize> = (0..events.len()).collect();
            (Just(events), Just(order).prop_shuffle())
        }),
    ) {
        let documents: Vec<RuleDocument> = load(&text).into_iter().map(RuleDocument::from).collect();
        let compiled = compile_set(&documents, &CompileOptions::default(), &[]);
        let (plan, fed) = feed(compiled, &events);
        // Nothing is late, in whatever order.
        let grace_ms = Some(1_000_000);
        let config = WindowConfig { emit: Emit::Final, grace_ms, ..WindowConfig::default() };
        let (wanted, _) = run(&plan, &config, 1, &fed);
        let by_event = |at: &usize| {
            let is_of = |fed: &&(i64, Vec<WindowMatch>)| fed.1[0].position.offset == *at as u64;
            fed.iter().find(is_of).cloned()
        };
        let mut latest = i64::MIN;
        let mut reordered: Vec<(i64, Vec<WindowMatch>)> =
            shuffled.iter().filter_map(by_event).collect();
        for (watermark, matches) in &mut reordered {
            latest = latest.max(matches[0].time);
            *watermark = latest;
            matches.iter_mut().for_each(|arrived| arrived.watermark = latest);
        }
        let (got, _) = run(&plan, &config, 1, &reordered);
        prop_assert_eq!(shown(&plan, &got), shown(&plan, &wanted), "{}\n{:#?}", text, events);
    }

    fn early_covers_final(text in documents(None), events in events(), is_sorted in any::<bool>()) {
        let mut events = events;
        if is_sorted {
            events.sort_by_key(|(time, _)| *time);
        }
        let documents: Vec<RuleDocument> = load(&text).into_iter().map(RuleDocument::from).collect();
        let compiled = compile_set(&documents, &CompileOptions::default(), &[]);
        let (plan, fed) = feed(compiled, &events);
        let reports = |emit: Emit| {
            let config = WindowConfig { emit, ..WindowConfig::default() };
            let (detections, _) = run(&plan, &config, 1, &fed);
            let mut reports = BTreeMap::new();
            for detection in shown(&plan, &detections) {
                let window = detections
                    .iter()
                    .map(|d| d.window)
                    .find(|id| plan.window(*id).source as usize == detection.document)
                    .unwrap();
                // What is fed by others hears of what those report, which may be more than once.
                if plan.level(window) == 0 {
                    let key = (detection.document, detection.condition, detection.group);
                    reports.entry(key).or_insert_with(Vec::new).push(detection.at);
                }
            }
            reports
        };
        let (early, wanted) = (reports(Emit::Early), reports(Emit::Final));
        // A negative number can come at the very instant that was reported.
        let is_sum = |window: &Window| window.measure == Measure::Sum;
        if is_sorted && !plan.windows().iter().any(is_sum) {
            prop_assert_eq!(early, wanted, "{}\n{:#?}", text, events);
        } else {
            for (key, runs) in wanted {
                let count = early.get(&key).map_or(0, Vec::len);
                prop_assert!(count >= runs.len(), "{:?}: {} of {:?}\n{}", key, count, runs, text);
            }
        }
    }
}
