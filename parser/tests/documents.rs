//! Whole documents: several in a text, several findings in one, and every type of document.

#![allow(clippy::unwrap_used)] // A test may stop at once.

use std::time::Duration;

use sigmill_parser::{
    AggregationFunction, AggregationKind, AggregationRelation, Block, Code, Correlation,
    CorrelationCondition, CorrelationType, Document, Expr, FilterRules, Level, ParseOptions,
    Parsed, Quantifier, Rule, Severity, check_references, parse, parse_bytes, parse_with,
};

fn rule(parsed: &Parsed, at: usize) -> &Rule {
    match &parsed.documents[at] {
        Document::Rule(rule) => rule,
        other => panic!("{other:?}"),
    }
}

fn codes(text: &str) -> Vec<Code> {
    parse(text).diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

const RULE: &str = "title: one\nname: one\nlogsource: {category: test}\n\
                    detection: {sel: {A: 1}, condition: sel}\n";

#[test]
fn a_rule_has_its_attributes() {
    let parsed = parse(
        "title: Whoami\nid: 929a690e-bef0-4204-a928-ef5e620d6fcc\nstatus: test\nlevel: high\n\
         description: d\nauthor: A, B\nreferences: [r]\ntags: [attack.t1033]\nfields: [f]\n\
         date: 2023-06-14\nlogsource:\n  category: process_creation\n  product: windows\n\
         detection:\n  sel: {F: x}\n  condition: sel\n\
         kafka:\n  outputTopic: out\n  customFields: {location: edge, rank: 1, live: True}\n",
    );
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let rule = rule(&parsed, 0);
    assert_eq!(rule.level.as_ref().unwrap().node, Level::High);
    assert_eq!(rule.author.as_ref().unwrap().node, "A, B");
    assert_eq!(rule.tags[0].node, "attack.t1033");
    let logsource = rule.logsource.as_ref().unwrap();
    assert_eq!(logsource.product.as_ref().unwrap().node, "windows");
    assert!(logsource.service.is_none());
    let kafka = rule.kafka.as_ref().unwrap();
    assert_eq!(kafka.output_topic.as_ref().unwrap().node, "out");
    let text = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let expected = [text("location", "edge"), text("rank", "1"), text("live", "true")];
    assert_eq!(kafka.custom_fields, expected);
    assert!(rule.to_json().contains(r#""date":"2023-06-14""#), "{}", rule.to_json());
}

#[test]
fn a_console_producers_json_loads() {
    let parsed = parse(
        "{title: Simple Http,id: null,\"description\":\"d\",\"logsource\":{\"product\":\"zeek\"},\
         \"detection\":{\"sel\":[{\"uri\":\"*mike*\"}],\"condition\":\"sel\"},\"kafka\":null}",
    );
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    assert_eq!(rule(&parsed, 0).title.node, "Simple Http");
    assert!(rule(&parsed, 0).id.is_none());
}

#[test]
fn selections_keep_their_shape() {
    let parsed = parse(
        "title: t\nlogsource: {category: c}\ndetection:\n  map: {A: 1, B: [2, 3]}\n  \
         maps: [{A: 1}, {B: 2}]\n  words: [a, b]\n  word: a\n  mixed: [a, {B: 2}, [c, d]]\n  \
         condition: 1 of them\n",
    );
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    fn shape(block: &Block) -> String {
        let join = |blocks: &[Block]| blocks.iter().map(shape).collect::<Vec<_>>().join(" ");
        match block {
            Block::AllOf(blocks) => format!("all({})", join(blocks)),
            Block::AnyOf(blocks) => format!("any({})", join(blocks)),
            Block::Item(item) => {
                let field = item.field.as_ref().map_or("*", |field| field.node.as_str());
                format!("{field}:{}", item.predicate.values.len())
            }
        }
    }
    let selections = &rule(&parsed, 0).detection.selections;
    let shapes: Vec<String> = selections.iter().map(|selection| shape(&selection.body)).collect();
    let expected =
        ["all(A:1 B:2)", "any(all(A:1) all(B:1))", "*:2", "*:1", "any(*:1 all(B:1) *:2)"];
    assert_eq!(shapes, expected);
    let Expr::Of(Quantifier::Any, names, _) = &rule(&parsed, 0).detection.conditions[0].expr else {
        panic!("{:?}", rule(&parsed, 0).detection.conditions)
    };
    assert_eq!(names, &[0, 1, 2, 3, 4]);
}

#[test]
fn one_rule_can_have_many_findings() {
    let found = codes(
        "title: t\nid: x\nstatus: good\nlevel: hot\ndate: today\ntags: [X]\nlogsource: {category: c}\n\
         detection:\n  a: {F|contans: x, G|re: '(', H: {I: 1}}\n  b: {}\n  condition: a and c\n",
    );
    use Code::*;
    let expected = [
        BadId,
        BadEnum,
        BadEnum,
        BadDate,
        BadTag,
        UnknownModifier,
        BadRegex,
        TypeError,
        EmptyDetection,
        ConditionUnknownIdentifier,
    ];
    assert_eq!(found, expected);
}

#[test]
fn bad_rules_do_not_stop_good_ones() {
    let text = format!("{RULE}---\ntitle: two\ndetection: 5\n---\na: [\n---\n{RULE}");
    let parsed = parse(&text);
    assert_eq!(parsed.documents.len(), 2);
    assert!(parsed.diagnostics.iter().any(|diagnostic| diagnostic.code == Code::YamlSyntax));
    let duplicate = format!("{RULE}---\n{RULE}title: again\n");
    let parsed = parse(&duplicate);
    assert_eq!(parsed.documents.len(), 1);
    assert_eq!(parsed.diagnostics[0].code, Code::DuplicateKey);
}

#[test]
fn a_rule_without_log_source_loads_and_is_an_error() {
    let parsed = parse("title: t\nlogsuorce: {a: b}\ndetection: {s: {A: 1}, condition: s}\n");
    assert_eq!(parsed.documents.len(), 1);
    let [diagnostic] = parsed.diagnostics.as_slice() else { panic!("{:?}", parsed.diagnostics) };
    assert_eq!((diagnostic.code, diagnostic.severity), (Code::MissingField, Severity::Error));
    assert!(diagnostic.is_loadable);
    assert!(diagnostic.help.as_ref().unwrap().contains("logsuorce"));
}

#[test]
fn conditions_show_where_they_are_wrong() {
    for condition in [
        "sel and bad",
        "'sel and bad'",
        "\"sel and bad\"",
        ">\n    sel\n    and bad\n",
        "[sel, bad]",
    ] {
        let text = format!(
            "title: t\nlogsource: {{category: c}}\ndetection:\n  sel: {{A: 1}}\n  condition: \
             {condition}\n"
        );
        let parsed = parse(&text);
        let [diagnostic] = parsed.diagnostics.as_slice() else { panic!("{condition}") };
        assert_eq!(&text[diagnostic.span.range()], "bad", "{condition}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    for (bytes, start) in [
        (&b"title: \xff\n"[..], 7),
        (b"\xff\xfet\0i\0", 0),
        (b"\xfe\xff\0t\0i", 0),
        (b"title: a\0b\n", 8),
    ] {
        let parsed = parse_bytes(bytes);
        assert!(parsed.documents.is_empty());
        assert_eq!(parsed.diagnostics[0].code, Code::Encoding);
        assert_eq!(parsed.diagnostics[0].span.start, start);
    }
    let with_mark = format!("\u{feff}{RULE}");
    assert_eq!(parse_bytes(with_mark.as_bytes()).documents.len(), 1);
    let with_returns = RULE.replace('\n', "\r\n");
    assert_eq!(parse_bytes(with_returns.as_bytes()).documents.len(), 1);
}

#[test]
fn old_aggregations_are_typed_and_need_a_timeframe() {
    let text = |timeframe: &str| {
        format!(
            "title: t\nlogsource: {{category: c}}\ndetection:\n  sel: {{A: 1}}\n  {timeframe}\n  \
             condition: sel | count(User) by Host, Dom >= 5\n"
        )
    };
    let parsed = parse(&text("timeframe: 90m"));
    assert_eq!(parsed.diagnostics[0].code, Code::ConditionObsolete);
    let condition = &rule(&parsed, 0).detection.conditions[0];
    assert_eq!(rule(&parsed, 0).detection.timeframe.as_ref().unwrap().node, "90m");
    let aggregation = condition.aggregation.as_ref().unwrap();
    assert_eq!(aggregation.field().unwrap().node, "User");
    assert_eq!(aggregation.group_by[1].node, "Dom");
    let AggregationKind::Number { function, relation, threshold, .. } = &aggregation.wanted else {
        panic!()
    };
    assert_eq!(*function, AggregationFunction::Count);
    assert_eq!(*relation, AggregationRelation::GreaterOrEqual);
    assert_eq!(threshold.text, "5");
    assert!(parse(&text("other: {B: 1}")).documents.is_empty());
    assert!(parse(&text("timeframe: soon")).documents.is_empty());
}

#[test]
fn near_is_obsolete_and_loads_with_a_timeframe() {
    let text = "title: t\nlogsource: {category: c}\ndetection:\n  a: {A: 1}\n  b: {B: 1}\n  timeframe: 1m\n  \
                condition: a | near b by C\n";
    let parsed = parse(text);
    // Nothing else is said: `b` is used.
    assert_eq!(codes(text), [Code::ConditionObsolete]);
    assert!(parsed.diagnostics[0].help.as_ref().unwrap().contains("`type: temporal`"));
    let condition = &rule(&parsed, 0).detection.conditions[0];
    assert_eq!(condition.expressions().count(), 2);
    assert!(parse(&text.replace("timeframe: 1m", "c: {C: 1}")).documents.is_empty());
}

#[test]
fn collections_give_and_take() {
    let parsed = parse(
        "action: global\ntitle: g\nlogsource: {category: test}\ndetection:\n  common: {K: v}\n  \
         condition: common and own\n---\ntitle: first\ndetection: {own: {A: 1}}\n---\n\
         detection: {own: {B: 1}}\n---\naction: repeat\ntitle: again\ndetection: {own: {C: 1}}\n\
         ---\naction: reset\n---\ntitle: last\nlogsource: {category: test}\n\
         detection: {own: {B: 1}, condition: own}\n",
    );
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let shown: Vec<(String, Vec<String>)> = (0..parsed.documents.len())
        .map(|at| {
            let rule = rule(&parsed, at);
            let names = rule.detection.selections.iter().map(|s| s.name.node.clone()).collect();
            (rule.title.node.clone(), names)
        })
        .collect();
    let both = vec!["common".to_owned(), "own".to_owned()];
    let expected = [
        ("first".to_owned(), both.clone()),
        ("g".to_owned(), both.clone()),
        ("again".to_owned(), both),
        ("last".to_owned(), vec!["own".to_owned()]),
    ];
    assert_eq!(shown, expected);
}

fn correlation(body: &str) -> Result<Correlation, Vec<Code>> {
    let text = format!("title: c\ncorrelation:\n  {}\n---\n{RULE}", body.replace('\n', "\n  "));
    let parsed = parse(&text);
    match parsed.documents.first() {
        Some(Document::Correlation(correlation)) => Ok(*correlation.clone()),
        _ => Err(parsed.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()),
    }
}

#[test]
fn correlations_have_their_parts() {
    let count = correlation(
        "type: value_count\nrules: [one]\ngroup-by: [U, ip]\ntimespan: 1h\ngenerate: true\n\
         aliases: {ip: {one: src.ip}}\ncondition: {field: User, gt: 1, lte: 30}",
    )
    .unwrap();
    assert_eq!(count.kind.node, CorrelationType::ValueCount);
    assert_eq!(count.timespan.node, Duration::from_secs(3_600));
    assert!(count.generate);
    assert_eq!(count.aliases[0].fields[0].1.node, "src.ip");
    let CorrelationCondition::Threshold(threshold) = &count.condition else { panic!("{count:?}") };
    assert_eq!(threshold.fields[0].node, "User");
    let bounds: Vec<_> = threshold.bounds.iter().map(|(r, n)| (*r, n.text.as_str())).collect();
    let expected = [(AggregationRelation::Greater, "1"), (AggregationRelation::LessOrEqual, "30")];
    assert_eq!(bounds, expected);

    let temporal = "type: temporal\nrules: [one]\ngroup-by: [U]\ntimespan: 5m";
    assert_eq!(correlation(temporal).unwrap().condition, CorrelationCondition::AllRules);
    let extended = correlation(&format!("{temporal}\ncondition: not one")).unwrap();
    assert!(matches!(extended.condition, CorrelationCondition::Rules(Expr::Not(_))));
    let percentile = correlation(
        "type: value_percentile\nrules: [one]\ngroup-by: [U]\ntimespan: 1h\n\
         condition: {field: ms, percentile: 90, gt: 100}",
    )
    .unwrap();
    let CorrelationCondition::Threshold(threshold) = percentile.condition else { panic!() };
    assert_eq!(threshold.percentile.unwrap().text, "90");
}

#[test]
fn wrong_correlations_have_their_code() {
    let base = "type: event_count\nrules: [one]\ngroup-by: [U]\ntimespan: 1m\ncondition: {gte: 2}";
    assert!(correlation(base).is_ok());
    for (from, to, code) in [
        ("event_count", "event_cuont", Code::CorrelationType),
        ("type: event_count\n", "", Code::MissingField),
        ("rules: [one]", "rules: []", Code::MissingField),
        ("timespan: 1m\n", "", Code::MissingField),
        ("1m", "1x", Code::CorrelationTimespan),
        ("{gte: 2}", "{}", Code::CorrelationCondition),
        ("{gte: 2}", "{gte: many}", Code::CorrelationCondition),
        ("{gte: 2}", "one and one", Code::CorrelationCondition),
        ("event_count", "value_sum", Code::MissingField),
        ("[U]\n", "[U]\naliases: [x]\n", Code::TypeError),
        ("{gte: 2}", "{gte: 2}\ngenerate: maybe", Code::TypeError),
    ] {
        let found = correlation(&base.replacen(from, to, 1)).unwrap_err();
        assert_eq!(found, [code], "{from} -> {to}");
    }
}

#[test]
fn references_are_checked_within_a_text_or_across_texts() {
    let reference = "title: c\nname: c\ncorrelation: {type: event_count, rules: [one], \
                     group-by: [U], timespan: 1m, condition: {gte: 2}}\n";
    let alone = parse(reference);
    assert_eq!(alone.documents.len(), 1);
    assert_eq!(alone.diagnostics[0].code, Code::CorrelationReference);
    let mut options = ParseOptions::default();
    options.is_whole_set = false;
    let alone = parse_with(reference, &options);
    assert!(alone.diagnostics.is_empty());
    let other = parse(RULE);
    assert!(check_references(&[&alone.documents[0], &other.documents[0]], &[]).is_empty());
    assert_eq!(check_references(&[&alone.documents[0]], &[]).len(), 1);
    // A rule that exists but cannot be loaded is not missing, and of no use all the same.
    let broken = format!("{reference}---\n{}", RULE.replace("A: 1", "A|foo: 1"));
    assert_eq!(codes(&broken), [Code::CorrelationReference, Code::UnknownModifier]);
    let circle = format!("{reference}---\n{}", reference.replace("name: c", "name: one"));
    let circle = circle.replacen("rules: [one]", "rules: [one, c]", 1);
    let parsed = parse(&circle);
    assert!(parsed.diagnostics.iter().any(|d| d.code == Code::CorrelationCycle));
    assert!(parsed.documents.is_empty());
}

#[test]
fn filters_have_their_parts() {
    let filter = "title: f\nlogsource: {category: test}\nfilter:\n  rules: [one]\n  \
                  selection: {User|startswith: adm_}\n  condition: not selection\n---\n";
    let parsed = parse(&format!("{filter}{RULE}"));
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let Document::Filter(filter_read) = &parsed.documents[0] else { panic!() };
    let FilterRules::Named(names) = &filter_read.rules else { panic!() };
    assert_eq!(names[0].node, "one");
    assert_eq!(filter_read.detection.selections.len(), 1);
    assert!(matches!(filter_read.detection.conditions[0].expr, Expr::Not(_)));
    let any = parse(&filter.replace("[one]", "any"));
    let Document::Filter(any) = &any.documents[0] else { panic!() };
    assert_eq!(any.rules, FilterRules::Any);
    assert_eq!(codes(&filter.replace("  rules: [one]\n", "")), [Code::MissingField]);
    assert_eq!(codes(filter), [Code::CorrelationReference]);
}

#[test]
fn a_rule_that_is_there_and_wrong_is_not_called_missing() {
    let correlation = "title: C\ncorrelation:\n  type: event_count\n  rules: [%s]\n  \
                       group-by: [u]\n  timespan: 1m\n  condition: {gte: 3}\n";
    let wrong = "title: R\nname: r\nid: 6F3E2987-db24-4c78-a860-b4f4095a7095\n\
                 logsource: {product: x}\ndetection: {s: {a|re: '('}, condition: s}\n";
    for (name, part) in [
        ("r", "has errors and does not load"),
        ("6f3e2987-DB24-4c78-a860-b4f4095a7095", "has errors and does not load"),
        ("q", "there is no rule"),
    ] {
        let parsed =
            sigmill_parser::parse(&format!("{wrong}---\n{}", correlation.replace("%s", name)));
        let found =
            parsed.diagnostics.iter().find(|found| found.code == Code::CorrelationReference);
        let found = found.expect("it cannot be used");
        assert!(found.message.contains(part), "{name}: {}", found.message);
        assert_eq!(parsed.broken, ["6F3E2987-db24-4c78-a860-b4f4095a7095", "r"]);
    }
    // The letter case of an id does not matter, that of a name does.
    let right = wrong.replace("a|re: '('", "a: b");
    for (name, is_found) in [("6f3e2987-DB24-4c78-a860-b4f4095a7095", true), ("R", false)] {
        let parsed =
            sigmill_parser::parse(&format!("{right}---\n{}", correlation.replace("%s", name)));
        let found = parsed.diagnostics.iter().any(|one| one.code == Code::CorrelationReference);
        assert_eq!(!found, is_found, "{name}");
    }
}
