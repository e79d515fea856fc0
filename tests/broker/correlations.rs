//! Correlations and filters on the rules topic: each in a record of its own, in any order.

use sigmill_runtime::metrics::Metric;

use crate::bed::{Bed, Record, Sender, until};
use crate::{on_both_brokers, rule};

/// Some time in the past, so that no clock has a say.
const BASE: i64 = 1_700_000_000_000;

fn named(title: &str, field: &str, value: &str) -> String {
    rule(title, field, value).replacen(
        "title",
        &format!("name: {}\ntitle", title.to_lowercase()),
        1,
    )
}

fn correlation(title: &str, rules: &str, rest: &str) -> String {
    format!(
        "title: {title}\nname: {}\nlevel: high\nauthor: Ada\ncorrelation:\n  rules: [{rules}]\n  \
         group-by: [user]\n  timespan: 1m\n  {rest}\n",
        title.to_lowercase()
    )
}

fn load(bed: &Bed, sender: &Sender, rules: &[(&str, String)]) {
    for (key, text) in rules {
        sender.put(&bed.topic("rules"), 0, Some(key), Some(text.as_bytes()), None);
    }
    sender.flush();
}

fn topics(bed: &Bed) {
    for topic in ["data", "out", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
}

fn send(bed: &Bed, sender: &Sender, n: i64, fields: &str) {
    let event = format!(r#"{{{fields},"n":{n}}}"#);
    sender.send_at(&bed.topic("data"), 0, event.as_bytes(), BASE + n);
    sender.flush();
}

/// Title, group and number of each detection.
fn told(records: &[Record]) -> Vec<String> {
    let mut told: Vec<String> = records
        .iter()
        .map(|record| {
            let json = record.json();
            let title = json["title"].as_str().unwrap_or_default();
            let correlation = &json["correlation"];
            format!("{title} {} {}", correlation["group"]["user"], correlation["count"])
        })
        .collect();
    told.sort();
    told
}

on_both_brokers!(correlations_chains_and_filters_come_over_the_topic);

fn correlations_chains_and_filters_come_over_the_topic(bed: &Bed) {
    topics(bed);
    let rules = bed.sender();
    // The outermost first: nothing that it builds on is there yet.
    load(
        bed,
        &rules,
        &[
            ("Chain", correlation("Chain", "many, done", "type: temporal_ordered")),
            ("Many", correlation("Many", "fail", "type: event_count\n  condition: {gte: 2}")),
            ("Done", named("Done", "op", "done")),
            ("Fail", named("Fail", "op", "fail")),
            (
                "Known",
                "title: Known\nlogsource: {product: test}\nfilter:\n  rules: [fail]\n  \
                 s: {host: lab}\n  condition: not s\n"
                    .to_owned(),
            ),
        ],
    );
    let processor = bed.start(&[("sigmill.output.format", "native")]);
    let snapshot = processor.snapshot();
    assert_eq!((snapshot.rule_count, snapshot.problems.len()), (4, 0), "{:?}", snapshot.problems);
    let sender = bed.sender();
    for (n, fields) in [
        (1, r#""op":"fail","user":"a","host":"lab""#),
        (2, r#""op":"fail","user":"a","host":"x""#),
        (3, r#""op":"done","user":"a""#),
        (4, r#""op":"fail","user":"b","host":"x""#),
        (5, r#""op":"fail","user":"b","host":"x""#),
        (6, r#""op":"done","user":"b""#),
    ] {
        send(bed, &sender, n, fields);
    }
    let records = bed.read_until(&["out"], |records| !records.is_empty());
    // The rules and the correlation that others name report nothing themselves.
    assert_eq!(told(&records), [r#"Chain "b" 2"#]);
    assert_eq!(records[0].headers["sigmill-rule-author"], "Ada");

    // A rule that something builds on changes: what stands on it is another version, and begins anew.
    load(bed, &rules, &[("Fail", named("Fail", "op", "denied"))]);
    until(&processor, |snapshot| snapshot.counts.get(Metric::RuleSets) >= 2);
    send(bed, &sender, 7, r#""op":"fail","user":"c""#);
    send(bed, &sender, 8, r#""op":"denied","user":"c""#);
    send(bed, &sender, 9, r#""op":"denied","user":"c""#);
    send(bed, &sender, 10, r#""op":"done","user":"c""#);
    let records = bed.read_until(&["out"], |records| records.len() >= 2);
    assert_eq!(told(&records), [r#"Chain "b" 2"#, r#"Chain "c" 2"#]);

    // Without the rule the correlations stand still, and say why; the others go on.
    rules.put(&bed.topic("rules"), 0, Some("Fail"), None, None);
    rules.flush();
    until(&processor, |snapshot| snapshot.problems.len() == 3);
    let problems = processor.snapshot().problems;
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        said.iter().any(|text| text.contains("no rule with the name or id `fail`")),
        "{said:?}"
    );
    assert!(said.iter().any(|text| text.contains("refers to `many`")), "{said:?}");
    assert!(said.iter().any(|text| text.contains("the filter names `fail`")), "{said:?}");
    assert_eq!(processor.snapshot().rule_count, 1);
    assert!(processor.stop().is_clean);
}

#[test]
fn pipelines_decide_which_records_a_rule_is_for() {
    let bed = Bed::embedded(1);
    topics(&bed);
    let sender = bed.sender();
    let windows = "title: W\nlogsource: {product: windows, category: process_creation}\n\
                   detection:\n  s: {Image|endswith: x.exe}\n  condition: s\n";
    load(&bed, &sender, &[("W", windows.to_owned()), ("T", rule("T", "op", "x"))]);
    let processor = bed.start(&[("sigmill.pipelines", "windows")]);
    assert_eq!(processor.snapshot().rule_count, 1, "the other has no condition");
    send(&bed, &sender, 1, r#""Image":"x.exe","op":"x""#);
    let sysmon = r#""Image":"x.exe","EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational""#;
    send(&bed, &sender, 2, sysmon);
    until(&processor, |snapshot| snapshot.counts.get(Metric::Records) == 2);
    let records = bed.read_until(&["out"], |records| !records.is_empty());
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].json()["sourceData"]["n"], 2);
    assert!(processor.stop().is_clean);
}

#[test]
fn searches_that_are_given_up_are_counted() {
    let bed = Bed::embedded(1);
    topics(&bed);
    let sender = bed.sender();
    let slow = "title: Slow\nlogsource: {product: test}\n\
                detection:\n  s: {text|re: '^(a|aa)+(?!b)c$'}\n  condition: s\n";
    load(&bed, &sender, &[("Slow", slow.to_owned())]);
    let processor = bed.start(&[("sigmill.regex.backtracking", "true")]);
    assert_eq!(processor.snapshot().rule_count, 1, "{:?}", processor.snapshot().problems);
    send(&bed, &sender, 1, &format!(r#""text":"{}""#, "a".repeat(60)));
    until(&processor, |snapshot| snapshot.counts.get(Metric::Records) == 1);
    // The reader looks now and then, and at its end.
    let stopped = processor.stop();
    assert_eq!(stopped.snapshot.counts.get(Metric::RegexSearchesGivenUp), 1);
}
