//! What is refused and what is warned of when rules, correlations and filters are compiled together, and
//! which of them report.

#![allow(clippy::unwrap_used)] // A test may stop at once.

use sigmill_codegen::{CompileOptions, Compiled, RuleDocument, compile_set};
use sigmill_engine::RuleId;

const BASE: &str = "title: a\nname: a\nid: 6f3e2987-db24-4c78-a860-b4f4095a7095\n\
                    logsource: {category: test}\ndetection: {s: {Ev: a}, condition: s}\n---\n\
                    title: b\nname: b\nlogsource: {category: test}\n\
                    detection: {s: {Ev: b}, condition: s}\n";

/// Reads each text on its own, as files are, so that the parser does not judge references.
fn compiled(texts: &[&str]) -> (Compiled, Vec<RuleDocument>) {
    let mut options = sigmill_parser::ParseOptions::default();
    options.is_whole_set = false;
    let documents: Vec<RuleDocument> = texts
        .iter()
        .flat_map(|text| {
            let parsed = sigmill_parser::parse_with(text, &options);
            assert!(!parsed.documents.is_empty(), "{text}: {:?}", parsed.diagnostics);
            parsed.documents.into_iter().map(RuleDocument::from)
        })
        .collect();
    (compile_set(&documents, &CompileOptions::default(), &[]), documents)
}

fn correlation(name: &str, body: &str) -> String {
    format!("title: {name}\nname: {name}\ncorrelation: {{group-by: [U], timespan: 1m, {body}}}\n")
}

#[test]
fn what_no_window_can_do_is_refused_with_a_reason() {
    let rules = |count: usize| vec!["a"; count].join(", ");
    for (body, reason) in [
        (
            "type: event_count, rules: [nobody], condition: {gte: 1}".to_owned(),
            "there is no rule with the name or id `nobody`",
        ),
        (
            "type: event_count, rules: [c], condition: {gte: 1}".to_owned(),
            "it stands in a circle of references, or refers to one",
        ),
        (
            "type: value_sum, rules: [a], condition: {field: [x, y], gte: 1}".to_owned(),
            "it computes over one field, and several are named",
        ),
        (
            "type: event_count, rules: [a], condition: {gte: 1e30}".to_owned(),
            "`1e30` is more than can be computed with",
        ),
        (
            "type: temporal_ordered, rules: [a, b], condition: a and not b".to_owned(),
            "which of its rules come in order cannot be said with `not`",
        ),
        (
            format!("type: event_count, rules: [{}], condition: {{gte: 1}}", rules(1001)),
            "it names more than 1000 rules",
        ),
    ] {
        let (compiled, _) = compiled(&[BASE, &correlation("c", &body)]);
        let messages: Vec<String> =
            compiled.refused.iter().map(|refused| refused.error.to_string()).collect();
        assert_eq!(messages, [reason], "{body}");
        assert_eq!(compiled.refused[0].index, 2);
        assert_eq!(compiled.plan.rules().len(), 2, "the others go on");
    }
}

#[test]
fn a_correlation_of_a_refused_one_is_refused_too() {
    let inner = correlation("inner", "type: event_count, rules: [nobody], condition: {gte: 1}");
    let outer = correlation("outer", "type: event_count, rules: [inner], condition: {gte: 1}");
    let (compiled, _) = compiled(&[BASE, &outer, &inner]);
    let messages: Vec<String> =
        compiled.refused.iter().map(|refused| refused.error.to_string()).collect();
    assert_eq!(
        messages,
        [
            "it refers to `inner`, which does not compile",
            "there is no rule with the name or id `nobody`"
        ]
    );
}

#[test]
fn chains_and_ways_to_be_true_have_limits() {
    let mut texts = vec![BASE.to_owned()];
    for at in 0..20 {
        let inner = if at == 0 { "a".to_owned() } else { format!("c{}", at - 1) };
        let body = format!("type: event_count, rules: [{inner}], condition: {{gte: 1}}");
        texts.push(correlation(&format!("c{at}"), &body));
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (limited, _) = compiled(&texts);
    assert_eq!(limited.windows.windows().len(), 16);
    assert_eq!(limited.refused[0].error.to_string(), "it stands on more than 16 correlations");

    let base: String = (0..9)
        .map(|at| {
            format!(
                "title: r{at}\nname: r{at}\nlogsource: {{category: test}}\n\
                 detection: {{s: {{Ev: {at}}}, condition: s}}\n---\n"
            )
        })
        .collect();
    let names: Vec<String> = (0..9).map(|at| format!("r{at}")).collect();
    let rules = names.join(", ");
    let body = format!("type: temporal_ordered, rules: [{rules}], condition: 4 of them");
    let (limited, _) = compiled(&[base.trim_end_matches("---\n"), &correlation("c", &body)]);
    assert_eq!(
        limited.refused[0].error.to_string(),
        "its condition has more than 64 ways to be true"
    );
}

#[test]
fn filters_warn_of_what_they_do_not_reach() {
    let filter = |rules: &str, logsource: &str| {
        format!(
            "title: f\nlogsource: {logsource}\nfilter: {{rules: {rules}, s: {{H: x}}, \
             condition: not s}}\n"
        )
    };
    let count = correlation("c", "type: event_count, rules: [a], condition: {gte: 1}");
    for (filter, warning) in [
        (filter("[a]", "{category: test}"), None),
        (filter("any", "{product: windows}"), None),
        (filter("[nobody]", "{category: test}"), Some("there is no such rule")),
        (filter("[a]", "{category: other}"), Some("whose log source is another")),
        (filter("[a]", "{category: test, product: windows}"), Some("whose log source is another")),
        (filter("[c]", "{category: test}"), Some("a correlation, which has no events")),
    ] {
        let (compiled, _) = compiled(&[BASE, &count, &filter]);
        assert!(compiled.refused.is_empty(), "{:?}", compiled.refused);
        match warning {
            None => assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings),
            Some(part) => {
                assert_eq!(compiled.warnings.len(), 1);
                assert_eq!(compiled.warnings[0].index, 3);
                assert!(compiled.warnings[0].message.contains(part), "{:?}", compiled.warnings);
            }
        }
    }
}

#[test]
fn a_rule_that_a_correlation_names_reports_only_if_one_generates() {
    let plain = correlation("c", "type: event_count, rules: [a], condition: {gte: 1}");
    let generating =
        correlation("d", "type: event_count, generate: true, rules: [a], condition: {gte: 1}");
    for (texts, reports) in [
        (vec![BASE], [true, true]),
        (vec![BASE, plain.as_str()], [false, true]),
        (vec![BASE, plain.as_str(), generating.as_str()], [true, true]),
    ] {
        let (compiled, _) = compiled(&texts);
        let windows = &compiled.windows;
        assert_eq!([0, 1].map(|rule| windows.is_emitting(RuleId(rule))), reports, "{texts:?}");
        assert_eq!(windows.is_all_emitting(), reports == [true, true]);
        assert!(!windows.is_feeding(RuleId(1)));
    }
}

#[test]
fn an_aggregation_feeds_a_window_and_does_not_match_by_itself() {
    let text = "title: r\nlogsource: {category: test}\ndetection:\n  s: {Ev: a}\n  timeframe: 5m\n  \
                condition: ['s', 's | count() by U > 3']\n";
    let (compiled, _) = compiled(&[text]);
    let windows = &compiled.windows;
    assert!(compiled.refused.is_empty(), "{:?}", compiled.refused);
    assert_eq!([0, 1].map(|rule| windows.is_emitting(RuleId(rule))), [true, false]);
    assert_eq!([0, 1].map(|rule| windows.is_feeding(RuleId(rule))), [false, true]);
    let window = &windows.windows()[0];
    assert_eq!((window.source, window.condition_index, window.timespan_ms), (0, 1, 300_000));
    assert!(window.is_emitting);
}
