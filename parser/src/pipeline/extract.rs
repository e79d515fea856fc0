//! `extract_fields`: the named groups of an expression as items of their own.

use super::items::PipelineItem;
use super::plain;
use super::run::{Failure, Run};
use super::tests_of::item_holds;
use super::transformation::ExtractFields;
use super::value_changes::test_of_value;
use super::work::{Change, Tree, Work, WorkItem};
use crate::predicate::{Predicate, Test};
use crate::rule::Value;
use crate::span::{Span, Spanned};
use crate::yaml;
use regex_automata::{Anchored, Input, PatternID};

/// Changes the values in a rule.
pub(super) fn apply(
    item: &PipelineItem,
    options: &ExtractFields,
    run: &Run<'_>,
    work: &mut Work,
) -> Result<(), Failure> {
    work.change(item.id.as_ref(), |work| {
        Ok(if item_holds(item, run, work) { change(options, work) } else { Change::Keep })
    })
}

fn change(options: &ExtractFields, work: &WorkItem) -> Change {
    let predicate = &work.item.predicate;
    let mut values = Vec::new();
    for (at, tests) in predicate.values.iter().enumerate() {
        let mut alternatives = Vec::new();
        for test in tests {
            let Test::Text { pattern, .. } = test else { return Change::Keep };
            let items = groups(options, work, &plain::text(pattern));
            if !items.is_empty() {
                alternatives.push(if predicate.negated {
                    Tree::AnyOf(items)
                } else {
                    Tree::AllOf(items)
                });
            } else if options.preserves_unmatched {
                let mut item = work.item.clone();
                item.values = item.values.get(at).cloned().into_iter().collect();
                item.predicate =
                    Predicate { values: vec![vec![test.clone()]], ..predicate.clone() };
                alternatives.push(Tree::item(item, &work.applied));
            }
        }
        match alternatives.len() {
            0 => {}
            1 => values.append(&mut alternatives),
            _ if predicate.negated => values.push(Tree::AllOf(alternatives)),
            _ => values.push(Tree::AnyOf(alternatives)),
        }
    }
    match values.len() {
        0 => Change::Keep,
        1 => Change::Replace(values.remove(0)),
        _ if predicate.all != predicate.negated => Change::Replace(Tree::AllOf(values)),
        _ => Change::Replace(Tree::AnyOf(values)),
    }
}

/// An item for each named group that took part in the match.
fn groups(options: &ExtractFields, work: &WorkItem, plain: &str) -> Vec<Tree> {
    let mut captures = options.regex.create_captures();
    options.regex.captures(Input::new(plain).anchored(Anchored::Yes), &mut captures);
    let span = work.item.field.as_ref().map_or(Span::default(), |field| field.span);
    let names = options.regex.group_info().pattern_names(PatternID::ZERO);
    let mut items = Vec::new();
    for (at, name) in names.enumerate() {
        let (Some(name), Some(found)) = (name, captures.get_group(at)) else { continue };
        let text = &plain[found];
        if text.is_empty() {
            continue;
        }
        let field = match &options.field_prefix {
            Some(prefix) => format!("{prefix}.{name}"),
            None => name.to_owned(),
        };
        let value = value(text);
        let mut item = work.item.clone();
        item.field = Some(Spanned::new(field, span));
        item.modifiers.clear();
        item.predicate = Predicate {
            negated: work.item.predicate.negated,
            all: false,
            values: vec![vec![test_of_value(&value)]],
        };
        item.values = vec![Spanned::new(value, span)];
        items.push(Tree::item(item, &work.applied));
    }
    items
}

/// The type that a captured text looks like; leading zeros make it a text.
fn value(text: &str) -> Value {
    if ["null", "none"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Value::Null;
    }
    let is_padded = text != "0" && text.starts_with('0');
    let looks_decimal = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match yaml::number(text).filter(|_| looks_decimal && !is_padded) {
        Some(number) => Value::Number(number),
        None => Value::Text(text.to_owned()),
    }
}
