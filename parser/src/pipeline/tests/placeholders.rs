//! Placeholders: kept while a rule is read, filled by pipelines.

use super::{changed, documents, outcomes, rule, show_section};
use crate::{Code, Document, Outcome};

fn filled(pipeline: &str, item: &str) -> String {
    let text = rule(&format!("  s:\n    {item}\n  condition: s\n"));
    match changed(pipeline, &text) {
        Ok(rule) => show_section(&rule.detection),
        Err(message) => message.trim_start_matches("pipeline `without a name`: ").to_owned(),
    }
}

#[test]
fn values_come_from_vars() {
    let pipeline = "vars: {a: [x, 'y*'], b: 5, net: [10.0.0.0/8], empty: []}\ntransformations:\n- {type: value_placeholders}\n";
    for (item, expected) in [
        ("F|expand: '%a%'", "F=x/y*"),
        (r"F|expand: 'C:\\%a%\\%b%'", r"F=C:\x\5/C:\y*\5"),
        ("F|contains|expand: '%a%'", "F=*x*/*y*"),
        (r"F|expand: '\%plain%b%'", "F=%plain5"),
        ("F|expand: [plain, '%b%']", "F=plain,5"),
        ("F|contains|all|expand: ['%a%', '%b%']", "F=*x*/*y*+*5*"),
        ("F|expand|base64: '%b%'", "F=NQ=="),
        ("F|expand|windash: '-%b%'", "F=-5//5/–5/—5/―5"),
        ("F|re|expand: 'a%a%$'", "F=/ax$///ay.*$/"),
        ("F|cidr|expand: '%net%'", "F=10.0.0.0/8"),
        ("'|expand': '%b%'", "keywords=*5*"),
        ("F|expand: '%missing%'", "the placeholder `%missing%` has no value in `vars`"),
        ("F|expand: '%empty%'", "the placeholder `%empty%` has no value in `vars`"),
        ("F|re|expand: '%missing%'", "the placeholder `%missing%` has no value in `vars`"),
        ("F: '%missing%'", "F=%missing%"),
    ] {
        assert_eq!(filled(pipeline, item), expected, "{item}");
    }
}

#[test]
fn expressions_that_need_backtracking_are_filled_where_they_are_allowed() {
    let text = rule("  s:\n    F|re|expand: '%a%(?=x)'\n  condition: s\n");
    let pipeline = crate::Pipeline::parse("vars: {a: [b, c]}\n").pipeline.unwrap();
    let pipelines = crate::Pipelines::new([pipeline]);
    for (is_allowed, expected) in [(true, 2), (false, 0)] {
        let options = crate::ParseOptions {
            keeps_placeholders: true,
            allows_backtracking: is_allowed,
            ..crate::ParseOptions::default()
        };
        let parsed = crate::parse_with(&text, &options);
        let outcomes = pipelines.apply(&parsed.documents.iter().collect::<Vec<_>>());
        let count = match &outcomes[0] {
            Outcome::Active(Document::Rule(rule)) => {
                let crate::Block::AllOf(parts) = &rule.detection.selections[0].body else {
                    panic!("a map")
                };
                let crate::Block::Item(item) = &parts[0] else { panic!("an item") };
                let tests = item.predicate.values.iter().flatten();
                tests.filter(|test| matches!(test, crate::Test::Backtracking(_))).count()
            }
            Outcome::Refused(_) => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(count, expected, "{is_allowed}");
    }
}

#[test]
fn wildcards_and_parts_of_the_names() {
    let item = "F|expand: 'x%a%y%b%'";
    let any = "transformations:\n- {type: wildcard_placeholders}\n";
    assert_eq!(filled(any, item), "F=x*y*");
    let some = "vars: {a: 1, b: 2}\ntransformations:\n- {type: value_placeholders, include: [a]}\n- {type: wildcard_placeholders, exclude: [a]}\n";
    assert_eq!(filled(some, item), "F=x1y*");
    let left = "vars: {a: 1, b: 2}\ntransformations:\n- {type: value_placeholders, include: [a]}\n";
    assert_eq!(filled(left, item), "placeholder `%b%` has no value");
    // Other transformations work on values that still have placeholders.
    let early = "vars: {a: 1, b: 2}\ntransformations:\n- {type: replace_string, regex: x, replacement: z}\n- {type: value_placeholders}\n";
    assert_eq!(filled(early, item), "F=z1y2");
}

#[test]
fn variables_alone_fill_placeholders() {
    let item = "F|expand: '%a%'";
    assert_eq!(filled("vars: {a: [x]}\n", item), "F=x");
    assert_eq!(filled("vars: {b: [x]}\n", item), "placeholder `%a%` has no value");
    // With transformations of its own, a pipeline says itself what is done with them.
    let other = "vars: {a: [x]}\ntransformations:\n- {type: field_name_prefix, prefix: e.}\n";
    assert_eq!(filled(other, item), "placeholder `%a%` has no value");
    // A value that looks like a placeholder is none.
    assert_eq!(filled("vars: {a: ['%b%']}\n", item), "F=%b%");
    assert_eq!(filled("vars: {a: ['%b%']}\n", "F|re|expand: '%a%'"), "F=/%b%/");
}

#[test]
fn files_have_a_value_a_line() {
    let text =
        "transformations:\n- {type: file_placeholders, path: lists/admins.txt, include: [a]}\n";
    let mut pipeline = super::pipeline(text);
    assert_eq!(pipeline.files(), ["lists/admins.txt"]);
    let item = rule("  s: {F|expand: '%a%'}\n  condition: s\n");
    let refused = changed(text, &item).unwrap_err();
    assert!(refused.contains("lists/admins.txt"), "{refused}");
    pipeline.supply_file("lists/admins.txt", "ann\n\n b*\r\n");
    let documents = documents(&item);
    let outcomes = crate::Pipelines::new([pipeline]).apply(&[&documents[0]]);
    let Outcome::Active(Document::Rule(rule)) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(show_section(&rule.detection), "F=ann/b*");
}

#[test]
fn nothing_reaches_beyond_the_pipeline() {
    for transformation in [
        "type: http_placeholders, url: 'http://x'",
        "type: command_placeholders, command: id",
        "type: file_placeholders, path: /etc/passwd",
        "type: file_placeholders, path: ../x",
        r"type: file_placeholders, path: 'a\b'",
        "type: file_placeholders, path: x, format: json",
    ] {
        let parsed = crate::Pipeline::parse(&format!("transformations:\n- {{{transformation}}}\n"));
        assert!(parsed.pipeline.is_none(), "{transformation}");
        assert_eq!(parsed.diagnostics[0].code, Code::PipelineRefused, "{transformation}");
    }
}

#[test]
fn a_rule_with_placeholders_is_refused_at_its_place() {
    let text = rule("  s: {F|expand: '%a%'}\n  condition: s\n");
    let outcomes = outcomes(&[], &documents(&text));
    let Outcome::Refused(diagnostic) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(diagnostic.code, Code::PlaceholderUnresolved);
    assert_eq!(&text[diagnostic.span.range()], "'%a%'");
    assert!(crate::parse(&text).documents.is_empty());
}
