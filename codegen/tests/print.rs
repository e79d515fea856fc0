//! Printing and parsing is the identity: correlations and filters, with all their attributes and with
//! values that YAML spells in odd ways. Rules are held to it by `plan_is_reference`.
//!
//! `SIGMILL_PROPTEST_CASES` sets the number of cases (256 by default).

use std::sync::Arc;

use proptest::prelude::*;
use sigmill_parser::{Document, ParseOptions};

fn cases() -> u32 {
    std::env::var("SIGMILL_PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// A text as YAML may spell it: plain, in either kind of quotes, as a block.
fn text() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "word",
        "two words",
        "yes",
        "No",
        "null",
        "~",
        "2024-01-02",
        "0o17",
        "017",
        "0x1F",
        "1e3",
        "1.50",
        "-0",
        ".5",
        "true",
        "a#b",
        "a: b",
        "ä",
        "\u{1f600}",
        "'",
        "\"",
        "\\",
        "\\*",
        "a\\\\b",
        "*",
        "?",
        "%a",
        "[x",
        "{",
        "- a",
        " lead",
        "trail ",
        "<<",
        "=",
        "1:20",
        "\u{85}",
        "\u{feff}x",
    ]);
    let any = prop_oneof![3 => plain.prop_map(str::to_owned), 1 => "[ -~äß€]{0,8}"];
    (any, 0..3).prop_map(|(text, style)| match style {
        // Plain only where it stays one scalar.
        0 if text.chars().all(|c| c.is_alphanumeric() || "-.".contains(c)) && !text.is_empty() => {
            text
        }
        1 => format!("'{}'", text.replace('\'', "''")),
        _ => serde_json_text(&text),
    })
}

/// In double quotes.
fn serde_json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            c if c.is_control() || c == '\u{feff}' => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

/// `key: value` lines, each there or not.
fn attributes() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["informational", "low", "medium", "high", "critical"]);
    let status = prop::sample::select(vec!["stable", "test", "experimental"]);
    let some = |name: &'static str, value: BoxedStrategy<String>| {
        prop::option::of(value)
            .prop_map(move |value| value.map_or(String::new(), |v| format!("{name}: {v}\n")))
    };
    let list =
        || prop::collection::vec(text(), 0..3).prop_map(|all| format!("[{}]", all.join(", ")));
    let topic = prop::sample::select(vec!["own", "a.b"]).prop_map(str::to_owned);
    let fields = prop::collection::vec(text(), 0..3).prop_map(|values| {
        let members = values.iter().enumerate().map(|(at, value)| format!("f{at}: {value}"));
        members.collect::<Vec<_>>().join(", ")
    });
    let kafka = (topic, fields).prop_map(|(topic, fields)| {
        format!("{{outputTopic: {topic}, customFields: {{{fields}}}}}")
    });
    (
        some("description", text().boxed()),
        some("author", text().boxed()),
        some("level", level.prop_map(str::to_owned).boxed()),
        some("status", status.prop_map(str::to_owned).boxed()),
        some("references", list().boxed()),
        some("date", Just("2024-01-02".to_owned()).boxed()),
        some("kafka", kafka.boxed()),
        some("own", list().boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].concat())
}

fn correlation() -> impl Strategy<Value = String> {
    let bound = || {
        let relation = prop::sample::select(vec!["gt", "gte", "lt", "lte", "eq", "neq"]);
        let number = prop::sample::select(vec!["1", "0", "2.50", "1e2", "100", "-3"]);
        (relation, number).prop_map(|(relation, number)| format!("{relation}: {number}"))
    };
    let bounds = prop::collection::vec(bound(), 1..3).prop_map(|mut bounds| {
        bounds.sort();
        bounds.dedup_by_key(|bound| bound.split(':').next().map(str::to_owned));
        bounds.join(", ")
    });
    let field = prop::sample::select(vec!["F", "[F, G.h]", "$.a"]);
    let expr =
        prop::sample::select(vec!["r1 and r2", "not r1 or (r2 and r1)", "1 of them", "all of r*"]);
    let computation = prop_oneof![
        bounds.clone().prop_map(|bounds| format!("type: event_count, condition: {{{bounds}}}")),
        (field, bounds.clone()).prop_map(|(f, bounds)| format!(
            "type: value_count, condition: {{field: {f}, {bounds}}}"
        )),
        bounds.clone().prop_map(|bounds| format!(
            "type: value_percentile, condition: {{field: F, percentile: 99.5, {bounds}}}"
        )),
        prop::sample::select(vec!["temporal", "temporal_ordered"])
            .prop_map(|kind| format!("type: {kind}")),
        (prop::sample::select(vec!["temporal", "temporal_ordered"]), bounds)
            .prop_map(|(kind, bounds)| format!("type: {kind}, condition: {{{bounds}}}")),
        expr.prop_map(|expr| format!("type: temporal, condition: {expr}")),
    ];
    let group = prop::sample::select(vec!["[U]", "[U, H.i]", "[]", "U"]);
    let timespan = prop::sample::select(vec!["90s", "5m", "1h", "7d", "0015m"]);
    let alias = prop::sample::select(vec!["", ", aliases: {U: {r1: src, r2: $.dst}}"]);
    let generate = prop::sample::select(vec!["", ", generate: true", ", generate: false"]);
    (text(), attributes(), computation, group, timespan, alias, generate).prop_map(
        |(title, attributes, computation, group, timespan, alias, generate)| {
            format!(
                "title: {title}\nname: c\n{attributes}correlation: {{{computation}, rules: [r1, r2], \
                 group-by: {group}, timespan: {timespan}{alias}{generate}}}\n"
            )
        },
    )
}

fn filter() -> impl Strategy<Value = String> {
    let rules = prop::sample::select(vec!["any", "[r1]", "[r1, r2]", "r1"]);
    let field = prop::sample::select(vec![
        "A",
        "A|contains",
        "A|startswith",
        "a.b|cased|endswith",
        "A|contains|all",
        "A|windash",
        "A|base64offset|contains",
        "A|neq",
        "'$.a'",
        "A|wide|base64",
    ]);
    let item = (field, prop::collection::vec(text(), 2..4))
        .prop_map(|(field, values)| format!("{{{field}: [{}]}}", values.join(", ")))
        .boxed();
    let odd = prop::sample::select(vec![
        "{A: null}",
        "{A: 007}",
        "{A: yes}",
        "{A|exists: no}",
        "{A|gte: 1_0}",
        "{A|cidr: 10.0.0.0/8}",
        "{A|re|i: 'a.*b'}",
        "{A: 2024-01-02}",
        "{A: [1, true, 1.50]}",
        "[a, b]",
        "{A|fieldref: B}",
    ])
    .prop_map(str::to_owned);
    let selection = || prop_oneof![2 => item.clone(), 1 => odd.clone()];
    let condition = prop::sample::select(vec![
        "not s",
        "s and not t",
        "1 of them",
        "[not s, not t]",
        "all of *",
    ]);
    (text(), attributes(), rules, selection(), selection(), condition).prop_map(
        |(title, attributes, rules, s, t, condition)| {
            format!(
                "title: {title}\n{attributes}logsource: {{product: windows, category: yes}}\n\
                 filter: {{rules: {rules}, s: {s}, t: {t}, condition: {condition}}}\n"
            )
        },
    )
}

/// The documents of a text.
fn load(text: &str) -> Vec<Document> {
    let mut options = ParseOptions::default();
    options.is_whole_set = false;
    sigmill_parser::parse_with(text, &options).documents
}

fn print(document: &Document) -> String {
    match document {
        Document::Correlation(correlation) => correlation.to_json(),
        Document::Filter(filter) => filter.to_json(),
        other => panic!("{other:?}"),
    }
}

/// All of a document but the places, and the text that it was read from.
fn meaning(document: &Document) -> String {
    let empty = Arc::new(sigmill_parser::yaml::load("a").0.remove(0));
    let shown = match document {
        Document::Correlation(correlation) => {
            let mut correlation = correlation.clone();
            correlation.document = empty;
            format!("{correlation:?}")
        }
        Document::Filter(filter) => {
            let mut filter = filter.clone();
            filter.document = empty;
            format!("{filter:?}")
        }
        other => panic!("{other:?}"),
    };
    let mut parts = shown.split("Span {");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shown, part| shown + part.split_once('}').map_or(part, |(_, rest)| rest))
}

#[test]
fn correlations_and_filters_survive_being_printed() {
    static LOADED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    proptest!(ProptestConfig { cases: cases(), ..ProptestConfig::default() }, |(
        text in prop_oneof![correlation(), filter()],
    )| {
        // What the generator may make that does not load is no matter here.
        for document in load(&text) {
            let printed = print(&document);
            let again = load(&printed);
            prop_assert_eq!(again.len(), 1, "{}\n{}", text, printed);
            prop_assert_eq!(meaning(&again[0]), meaning(&document), "{}\n{}", text, printed);
            prop_assert_eq!(print(&again[0]), printed, "{}", text);
            LOADED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    // An empty title, say, does not load.
    assert!(LOADED.load(std::sync::atomic::Ordering::Relaxed) > cases() / 2);
}
