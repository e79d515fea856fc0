//! Pipelines over rules: what comes out, printed.

mod conditions;
mod placeholders;
mod shipped;
mod transformations;

use crate::condition::Expr;
use crate::predicate::{Predicate, Test};
use crate::rule::{Block, DetectionSection};
use crate::{Document, Outcome, ParseOptions, Pipeline, Pipelines, Rule, parse_with};

/// The documents of a text, read as for pipelines.
pub(super) fn documents(text: &str) -> Vec<Document> {
    let options = ParseOptions { keeps_placeholders: true, ..ParseOptions::default() };
    let parsed = parse_with(text, &options);
    assert!(!parsed.documents.is_empty(), "{:?}", parsed.diagnostics);
    parsed.documents
}

/// A pipeline that must be without errors.
pub(super) fn pipeline(text: &str) -> Pipeline {
    let parsed = Pipeline::parse(text);
    parsed.pipeline.unwrap_or_else(|| panic!("{text}: {:?}", parsed.diagnostics))
}

/// A rule of a Windows log source with this detection section.
pub(super) fn rule(detection: &str) -> String {
    format!(
        "title: T\nid: 11111111-1111-4111-8111-111111111111\nlevel: high\nstatus: test\n\
         date: 2024-01-02\ntags: [attack.t1059]\nfields: [Image, User]\n\
         logsource: {{product: windows, category: process_creation}}\ndetection:\n{detection}"
    )
}

pub(super) fn outcomes(pipelines: &[&str], documents: &[Document]) -> Vec<Outcome> {
    let pipelines = Pipelines::new(pipelines.iter().map(|text| pipeline(text)));
    pipelines.apply(&documents.iter().collect::<Vec<_>>())
}

/// The rule that comes out, or why none does.
pub(super) fn changed(pipeline: &str, text: &str) -> Result<Rule, String> {
    let mut outcomes = outcomes(&[pipeline], &documents(text));
    match outcomes.remove(0) {
        Outcome::Active(Document::Rule(rule)) => Ok(*rule),
        Outcome::Refused(diagnostic) => Err(diagnostic.message),
        other => Err(format!("{other:?}")),
    }
}

/// The condition that comes out of a rule with this detection section, with its items in place.
pub(super) fn shown(transformations: &str, detection: &str) -> String {
    match changed(&format!("transformations:\n{transformations}"), &rule(detection)) {
        Ok(rule) => show_section(&rule.detection),
        Err(message) => message,
    }
}

pub(super) fn show_section(section: &DetectionSection) -> String {
    let conditions = section.conditions.iter().map(|one| show_expr(section, &one.expr));
    conditions.collect::<Vec<_>>().join(" ; ")
}

fn show_expr(section: &DetectionSection, expr: &Expr) -> String {
    let all = |parts: &[Expr], word: &str| {
        let parts: Vec<String> = parts.iter().map(|part| show_expr(section, part)).collect();
        format!("({})", parts.join(word))
    };
    match expr {
        Expr::And(parts) => all(parts, " and "),
        Expr::Or(parts) => all(parts, " or "),
        Expr::Not(part) => format!("not {}", show_expr(section, part)),
        Expr::Selection(at, _) => show_block(&section.selections[*at].body),
        Expr::Of(quantifier, indices, _) => {
            let blocks: Vec<String> =
                indices.iter().map(|at| show_block(&section.selections[*at].body)).collect();
            format!("{quantifier:?} of ({})", blocks.join(", "))
        }
    }
}

fn show_block(block: &Block) -> String {
    let all = |blocks: &[Block], mark: &str| {
        let blocks: Vec<String> = blocks.iter().map(show_block).collect();
        if blocks.len() == 1 { blocks[0].clone() } else { format!("[{}]", blocks.join(mark)) }
    };
    match block {
        Block::AllOf(blocks) => all(blocks, " & "),
        Block::AnyOf(blocks) => all(blocks, " | "),
        Block::Item(item) => {
            let field = item.field.as_ref().map_or("keywords", |field| &field.node);
            format!("{field}{}", show_predicate(&item.predicate))
        }
    }
}

fn show_predicate(predicate: &Predicate) -> String {
    let values: Vec<String> = predicate
        .values
        .iter()
        .map(|tests| tests.iter().map(show_test).collect::<Vec<_>>().join("/"))
        .collect();
    let sign = if predicate.negated { "!=" } else { "=" };
    format!("{sign}{}", values.join(if predicate.all { "+" } else { "," }))
}

fn show_test(test: &Test) -> String {
    match test {
        Test::Text { pattern, .. } => super::plain::text(pattern),
        Test::Number(number) => format!("#{}", number.text),
        Test::Bool(value) => value.to_string(),
        Test::Null => "null".to_owned(),
        Test::Exists(is_there) => format!("exists:{is_there}"),
        Test::Regex(regex) => {
            format!("/{}/{}", regex.pattern, if regex.ignore_case { "i" } else { "" })
        }
        Test::FieldRef { field, .. } => format!("field:{field}"),
        Test::Cidr(network) => network.to_string(),
        other => format!("{other:?}"),
    }
}
