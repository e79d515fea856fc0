//! The placeholders of `expand`: kept when a rule is read, given values by pipelines.
//!
//! Under [`ParseOptions::keeps_placeholders`] a value whose placeholders have no values becomes a test
//! that still holds them: a pattern with [`Part::Placeholder`], or an expression with `%name%` in it.
//! Where nothing but `contains` and its like is said, other transformations can work on such a pattern,
//! and the placeholders can be filled one by one. Under `windash`, an encoding, `re` or `cidr` the value
//! is read anew from what was written, once all its placeholders have values.

use std::collections::BTreeMap;

use super::items::PipelineItem;
use super::run::{Failure, Run};
use super::tests_of::item_holds;
use super::transformation::Transformation;
use super::work::{Change, Work, WorkItem};
use crate::diagnostic::{Code, Diagnostic};
use crate::modifier::Modifier;
use crate::predicate::{Part, Pattern, Regex, Relation, Test};
use crate::reader::Reader;
use crate::reader::chain::{Chain, Kind};
use crate::reader::transform::{self, ALTERNATIVES_MAX};
use crate::rule::{Block, DetectionItem, DetectionSection, Value};
use crate::span::{Span, Spanned};
use crate::yaml::{Node, NodeKind, Scalar, Style};
use crate::{ParseOptions, escape};

/// The test that a value with placeholders is until they have values; nothing if all have.
pub(crate) fn kept(
    options: &ParseOptions,
    chain: &Chain,
    value: &Value,
    has_field: bool,
) -> Option<Test> {
    let Value::Text(text) = value else { return None };
    if !options.keeps_placeholders || !chain.has_placeholders {
        return None;
    }
    if let Kind::Regex { ignore_case, multi_line, dot_all } = chain.kind {
        let is_filled = |name: &String| options.placeholders.contains_key(name);
        if names_in_text(text).iter().all(is_filled) {
            return None;
        }
        // Whether it may need backtracking is known only when it is read, and remembered by that.
        let pattern = text.clone();
        return Some(match options.allows_backtracking {
            true => Test::Backtracking(pattern),
            false => Test::Regex(Regex { pattern, ignore_case, multi_line, dot_all }),
        });
    }
    let pattern = escape::pattern_with_placeholders(text);
    let is_filled = |part: &Part| match part {
        Part::Placeholder(name) => options.placeholders.contains_key(name),
        _ => true,
    };
    if pattern.parts.iter().all(is_filled) {
        return None;
    }
    let pattern = if is_simple(chain) {
        let is_keyword = chain.relation == Relation::Equal && !has_field;
        let relation = if is_keyword { Relation::Contains } else { chain.relation };
        transform::surround(pattern, relation)
    } else {
        pattern
    };
    Some(Test::Text { pattern, cased: chain.is_cased })
}

/// Whether the value is its text with wildcards around it, and nothing else.
fn is_simple(chain: &Chain) -> bool {
    let is_encoded = chain.has_windash || chain.utf16.is_some() || chain.base64.is_some();
    chain.kind == Kind::Text && !is_encoded
}

/// The names in a text without escapes.
fn names_in_text(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        match escape::placeholder(rest) {
            Some(name) => {
                names.push(name.to_owned());
                rest = &rest[name.len() + 2..];
            }
            None => rest = &rest[1..],
        }
    }
    names
}

/// The values of a placeholder; nothing if it is to stay.
type Values<'a> = dyn Fn(&str) -> Option<Vec<String>> + 'a;

/// Applies `value_placeholders`, `wildcard_placeholders` or `file_placeholders`.
pub(super) fn apply(item: &PipelineItem, run: &Run<'_>, work: &mut Work) -> Result<(), Failure> {
    let any = || Some(vec!["*".to_owned()]);
    let var = |name: &str| run.vars.get(name).filter(|values| !values.is_empty()).cloned();
    let failure = std::cell::RefCell::new(None);
    work.change(item.id.as_ref(), |work| {
        if !has_any(&work.item) || !item_holds(item, run, work) {
            return Ok(Change::Keep);
        }
        let values = |name: &str| match &item.transformation {
            Transformation::WildcardPlaceholders(names) => names.contains(name).then(any).flatten(),
            Transformation::FilePlaceholders { path, names } => {
                let file = || run.file_values.and_then(|files| files.get(path)).cloned();
                let values = names.contains(name).then(file)?;
                if values.as_ref().is_none_or(Vec::is_empty) {
                    failure
                        .replace(Some(format!("the file `{path}` has no values for `%{name}%`")));
                }
                values
            }
            Transformation::ValuePlaceholders(names) if names.contains(name) => {
                let values = var(name);
                if values.is_none() {
                    let message = format!("the placeholder `%{name}%` has no value in `vars`");
                    failure.replace(Some(message));
                }
                values
            }
            _ => None,
        };
        let has_filled = fill(work, &values)?;
        match failure.take() {
            Some(message) => Err(Failure::new(message)),
            None if has_filled => Ok(Change::Changed),
            None => Ok(Change::Keep),
        }
    })
}

/// Gives what is left the values that `vars` has for it.
pub(super) fn fill_from_vars(
    vars: &BTreeMap<String, Vec<String>>,
    work: &mut Work,
) -> Result<(), Failure> {
    let values = |name: &str| vars.get(name).filter(|values| !values.is_empty()).cloned();
    work.change(None, |work| {
        if has_any(&work.item) {
            fill(work, &values)?;
        }
        Ok(Change::Keep)
    })
}

/// Whether an item may still hold placeholders.
fn has_any(item: &DetectionItem) -> bool {
    item.modifiers.iter().any(|modifier| modifier.node == Modifier::Expand)
}

/// Fills what can be filled; whether anything was.
fn fill(work: &mut WorkItem, values: &Values<'_>) -> Result<bool, Failure> {
    let item = &mut work.item;
    let modifiers: Vec<Modifier> = item.modifiers.iter().map(|modifier| modifier.node).collect();
    let chain = Chain::of(&modifiers);
    let has_field = item.field.is_some();
    let (mut has_filled, mut is_open) = (false, false);
    for (at, tests) in item.predicate.values.iter_mut().enumerate() {
        let names: Vec<String> = tests.iter().flat_map(names_in_test).collect();
        if names.is_empty() {
            continue;
        }
        if is_simple(&chain) {
            let mut filled = Vec::new();
            for test in std::mem::take(tests) {
                filled.extend(fill_test(test, values)?);
            }
            *tests = filled;
            let left = tests.iter().flat_map(names_in_test).next();
            is_open |= left.is_some();
            has_filled |= names.iter().any(|name| values(name).is_some());
        } else if let Some(found) = all_values(&names, values)
            && let Some(written) = item.values.get(at)
        {
            let mut options = ParseOptions { placeholders: found, ..ParseOptions::default() };
            options.allows_backtracking =
                tests.iter().any(|test| matches!(test, Test::Backtracking(_)));
            *tests = read_anew(&chain, written, has_field, &options)?;
            has_filled = true;
        } else {
            is_open = true;
        }
    }
    if !is_open {
        // Values may look like placeholders, and are none.
        item.modifiers.retain(|modifier| modifier.node != Modifier::Expand);
    }
    Ok(has_filled)
}

fn names_in_test(test: &Test) -> Vec<String> {
    match test {
        Test::Text { pattern, .. } => {
            let names = pattern.parts.iter().filter_map(|part| match part {
                Part::Placeholder(name) => Some(name.clone()),
                _ => None,
            });
            names.collect()
        }
        Test::Regex(regex) => names_in_text(&regex.pattern),
        Test::Backtracking(expression) => names_in_text(expression),
        _ => Vec::new(),
    }
}

fn all_values(names: &[String], values: &Values<'_>) -> Option<BTreeMap<String, Vec<String>>> {
    // Every name is asked for, so that each that has no values can be reported.
    let found: Vec<_> = names.iter().map(|name| Some((name.clone(), values(name)?))).collect();
    found.into_iter().collect()
}

/// A pattern with every combination of the values.
fn fill_test(test: Test, values: &Values<'_>) -> Result<Vec<Test>, Failure> {
    let Test::Text { pattern, cased } = test else { return Ok(vec![test]) };
    let mut filled: Vec<Vec<Part>> = vec![Vec::new()];
    for part in pattern.parts {
        let found = match &part {
            Part::Placeholder(name) => values(name),
            _ => None,
        };
        let Some(found) = found else {
            filled.iter_mut().for_each(|parts| parts.push(part.clone()));
            continue;
        };
        if filled.len() * found.len() > ALTERNATIVES_MAX {
            let message = format!("placeholders make more than {ALTERNATIVES_MAX} values of one");
            return Err(Failure::new(message));
        }
        let forms: Vec<Pattern> = found.iter().map(|value| escape::pattern(value)).collect();
        let with = |parts: &Vec<Part>, form: &Pattern| -> Vec<Part> {
            parts.iter().chain(&form.parts).cloned().collect()
        };
        filled =
            filled.iter().flat_map(|parts| forms.iter().map(|form| with(parts, form))).collect();
    }
    Ok(filled.into_iter().map(|parts| Test::Text { pattern: Pattern::new(parts), cased }).collect())
}

/// Reads a value as written, its placeholders now with values.
fn read_anew(
    chain: &Chain,
    written: &Spanned<Value>,
    has_field: bool,
    options: &ParseOptions,
) -> Result<Vec<Test>, Failure> {
    let Value::Text(text) = &written.node else { return Ok(Vec::new()) };
    let scalar = Scalar { text: text.clone(), style: Style::SingleQuoted, tag: None };
    let node = Node { kind: NodeKind::Scalar(scalar), span: written.span };
    let mut reader = Reader { source: "", options, diagnostics: Vec::new() };
    let tests = transform::tests(&mut reader, chain, &node, &written.node, has_field);
    tests.ok_or_else(|| {
        let message = reader.diagnostics.into_iter().map(|found| found.message).next();
        Failure::new(message.unwrap_or_else(|| "the placeholders cannot be filled".to_owned()))
    })
}

/// The first placeholder that is left without a value, as the finding that a rule without pipelines
/// would get.
pub(super) fn unresolved(section: &DetectionSection) -> Option<Diagnostic> {
    let blocks = section.selections.iter().map(|selection| &selection.body);
    let (name, span) = blocks.filter_map(unresolved_in).next()?;
    Some(
        Diagnostic::error(Code::PlaceholderUnresolved, span)
            .message(format!("placeholder `%{name}%` has no value"))
            .help("give it values in the `vars` of a pipeline, or leave `expand` out"),
    )
}

fn unresolved_in(block: &Block) -> Option<(String, Span)> {
    match block {
        Block::AllOf(blocks) | Block::AnyOf(blocks) => blocks.iter().find_map(unresolved_in),
        Block::Item(item) if !has_any(item) => None,
        Block::Item(item) => item.predicate.values.iter().enumerate().find_map(|(at, tests)| {
            let name = tests.iter().flat_map(names_in_test).next()?;
            Some((name, item.values.get(at).map_or(item.span, |value| value.span)))
        }),
    }
}
