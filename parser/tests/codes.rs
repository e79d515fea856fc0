//! Every code: a small rule that produces it, and a line in the reference.
//!
//! `data/<class>.yml` is the rule, or the pipeline; what has to be large is made here.

#![allow(clippy::unwrap_used)] // A test may stop at once.

use std::collections::BTreeSet;
use std::path::Path;

use sigmill_parser::{Code, Diagnostic, Outcome, Pipeline, Pipelines, Severity};

/// The findings about the example of a code.
fn findings(code: Code) -> Vec<Diagnostic> {
    let bytes = match code {
        Code::LimitNodes => format!("a: [{}]\n", "0,".repeat(1_000_001)).into_bytes(),
        _ => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
            std::fs::read(folder.join(format!("{}.yml", code.class()))).unwrap()
        }
    };
    if code.class().starts_with("pipeline_") {
        return pipeline_findings(std::str::from_utf8(&bytes).unwrap());
    }
    let parsed = sigmill_parser::parse_bytes(&bytes);
    let mut findings = parsed.diagnostics;
    findings.extend(sigmill_parser::check(&parsed.documents));
    findings
}

/// What a pipeline's text says, and what its pipeline says of a rule.
fn pipeline_findings(text: &str) -> Vec<Diagnostic> {
    let parsed = Pipeline::parse(text);
    let mut findings = parsed.diagnostics;
    let rule = "title: T\nlogsource: {product: p}\ndetection: {s: {F: x}, condition: s}\n";
    let rules = sigmill_parser::parse(rule).documents;
    for outcome in Pipelines::new(parsed.pipeline).apply(&[&rules[0]]) {
        if let Outcome::Refused(diagnostic) = outcome {
            findings.push(diagnostic);
        }
    }
    findings
}

#[test]
fn every_code_has_a_rule_that_produces_it() {
    for code in Code::ALL {
        let findings = findings(*code);
        let found = findings.iter().find(|finding| finding.code == *code);
        let Some(found) = found else { panic!("{}: {findings:?}", code.class()) };
        assert!(!found.message.is_empty() && !found.message.ends_with('.'), "{}", found.message);
        assert!(!found.message.starts_with(char::is_uppercase), "{}", found.message);
    }
}

#[test]
fn warnings_never_keep_a_rule_from_being_loaded() {
    for code in Code::ALL {
        for finding in findings(*code) {
            assert!(finding.severity == Severity::Error || finding.is_loadable, "{finding:?}");
        }
    }
}

#[test]
fn codes_and_classes_are_unique() {
    let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let classes: BTreeSet<_> = Code::ALL.iter().map(|code| code.class()).collect();
    assert_eq!(codes.len(), Code::ALL.len());
    assert_eq!(classes.len(), Code::ALL.len());
}

#[test]
fn the_reference_lists_every_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/diagnostics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let listed: BTreeSet<(String, String)> = text
        .lines()
        .filter(|line| line.starts_with("| SM"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].to_owned(), cells[2].trim_matches('`').to_owned())
        })
        .collect();
    let known: BTreeSet<(String, String)> =
        Code::ALL.iter().map(|c| (c.as_str().to_owned(), c.class().to_owned())).collect();
    assert_eq!(listed, known);
}
