//! What the conditions of pipeline items ask.

use std::cmp::Ordering;

use super::condition::{FieldTest, ItemTest, LogsourceTest, Names, Relation, RuleTest, StateTest};
use super::items::PipelineItem;
use super::plain;
use super::run::{Failure, Kind, Run};
use super::work::{Work, WorkItem};
use crate::escape;
use crate::predicate::{Part, Test};
use crate::reader::transform;
use crate::rule::{Level, Logsource, Value};
use crate::yaml::{Node, NodeKind};
use regex_automata::{Anchored, Input, meta::Regex};

/// Whether the item is to be applied to the document at all. `work` is absent for correlations.
pub(super) fn rule_holds(
    item: &PipelineItem,
    run: &Run<'_>,
    work: Option<&Work>,
) -> Result<bool, Failure> {
    let failure = std::cell::RefCell::new(None);
    let holds = item.rule_conditions.hold(|test| {
        rule_test(test, run, work).unwrap_or_else(|error| {
            failure.replace(Some(error));
            false
        })
    });
    failure.into_inner().map_or(Ok(holds), Err)
}

fn rule_test(test: &RuleTest, run: &Run<'_>, work: Option<&Work>) -> Result<bool, Failure> {
    Ok(match test {
        RuleTest::Logsource(test) => match work {
            Some(work) => logsource(test, work.logsource.as_ref()),
            None => run.logsources.iter().any(|source| logsource(test, Some(source))),
        },
        RuleTest::ContainsField(field) => contains(work, |item| has_field(item, field)),
        RuleTest::ContainsDetectionItem { field, value } => contains(work, |item| {
            has_field(item, field) && tests(item).any(|test| equals(test, value))
        }),
        RuleTest::ItemApplied(id) => run.applied.contains(id),
        RuleTest::State(test) => state(test, run),
        RuleTest::IsRule => run.kind == Kind::Rule,
        RuleTest::IsCorrelation => run.kind == Kind::Correlation,
        RuleTest::Attribute { attribute, value, relation } => {
            rule_attribute(run, attribute, value, *relation)?
        }
        RuleTest::Tag(tag) => {
            let tags = run.document.get("tags").and_then(Node::as_sequence).unwrap_or(&[]);
            tags.iter().filter_map(Node::key).any(|other| other.eq_ignore_ascii_case(tag))
        }
    })
}

/// Whether a log source has the parts that are wanted, in any letter case.
fn logsource(test: &LogsourceTest, source: Option<&Logsource>) -> bool {
    let part = |wanted: &[Option<String>], part: Option<&str>| {
        wanted.is_empty()
            || wanted.iter().any(|wanted| match (wanted, part) {
                (Some(wanted), Some(part)) => wanted.eq_ignore_ascii_case(part),
                (wanted, part) => wanted.is_none() && part.is_none(),
            })
    };
    let text = |part: &'static str| {
        let source = source?;
        let part = match part {
            "category" => &source.category,
            "product" => &source.product,
            _ => &source.service,
        };
        part.as_ref().map(|part| part.node.as_str())
    };
    part(&test.category, text("category"))
        && part(&test.product, text("product"))
        && part(&test.service, text("service"))
}

fn contains(work: Option<&Work>, holds: impl Fn(&WorkItem) -> bool) -> bool {
    let mut found = false;
    if let Some(work) = work {
        work.visit(|item| found |= holds(item));
    }
    found
}

fn has_field(item: &WorkItem, name: &str) -> bool {
    item.item.field.as_ref().is_some_and(|field| field.node == name)
}

fn tests(item: &WorkItem) -> impl Iterator<Item = &Test> {
    item.item.predicate.values.iter().flatten()
}

/// Whether a test looks for just this value.
fn equals(test: &Test, value: &Value) -> bool {
    match (test, value) {
        (Test::Text { pattern, .. }, Value::Text(text)) => *pattern == escape::pattern(text),
        (Test::Number(number), Value::Number(text)) => {
            number.text == *text || order_of_numbers(&number.text, text) == Some(Ordering::Equal)
        }
        (Test::Bool(a), Value::Bool(b)) => a == b,
        (Test::Null, Value::Null) => true,
        _ => false,
    }
}

fn order_of_numbers(a: &str, b: &str) -> Option<Ordering> {
    let (a, b): (f64, f64) = (a.parse().ok()?, b.parse().ok()?);
    a.partial_cmp(&b)
}

/// The order of two values of one type.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => order_of_numbers(a, b),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => None,
    }
}

/// A key that was never set holds for nothing; values of two types are only unequal.
fn state(test: &StateTest, run: &Run<'_>) -> bool {
    let Some(value) = run.state.get(&test.key) else { return false };
    match order(value, &test.value) {
        Some(order) => test.relation.of(order),
        None => test.relation == Relation::NotEqual,
    }
}

/// Statuses, in rising order.
const STATUSES: [&str; 5] = ["unsupported", "deprecated", "experimental", "test", "stable"];

fn rule_attribute(
    run: &Run<'_>,
    attribute: &str,
    wanted: &Value,
    relation: Relation,
) -> Result<bool, Failure> {
    if let Some(value) = run.attributes.get(attribute) {
        let order = order(value, wanted);
        return Ok(order.map_or(relation == Relation::NotEqual, |order| relation.of(order)));
    }
    let Some(node) = run.document.get(attribute).filter(|node| !node.is_null()) else {
        return Ok(false);
    };
    let text = |value: &Value| match value {
        Value::Text(text) | Value::Number(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Null => String::new(),
    };
    let wanted_text = text(wanted);
    let scalar = match &node.kind {
        NodeKind::Scalar(scalar) => scalar,
        NodeKind::Sequence(items) => {
            let is_in = items.iter().filter_map(Node::key).any(|item| item == wanted_text);
            return Ok(match relation {
                Relation::In => is_in,
                Relation::NotIn => !is_in,
                // A list is no single value.
                relation => relation == Relation::NotEqual,
            });
        }
        NodeKind::Mapping(_) => {
            let message = format!("`rule_attribute` cannot look at `{attribute}`, which is a map");
            return Err(Failure::new(message));
        }
    };
    let rank = |words: &[&str], word: &str| {
        words.iter().position(|known| known.eq_ignore_ascii_case(word))
    };
    let order = match attribute {
        "level" => {
            let words = Level::ALL.map(Level::as_str);
            rank(&words, &scalar.text).zip(rank(&words, &wanted_text)).map(|(a, b)| a.cmp(&b))
        }
        "status" => {
            rank(&STATUSES, &scalar.text).zip(rank(&STATUSES, &wanted_text)).map(|(a, b)| a.cmp(&b))
        }
        // Dates are written so that their text has their order.
        "date" | "modified" => Some(scalar.text.cmp(&wanted_text)),
        _ => match (transform::value(node), wanted) {
            (Some(Value::Number(a)), Value::Number(b)) => order_of_numbers(&a, b),
            _ => {
                let is_equal = scalar.text == wanted_text;
                return Ok(match relation {
                    Relation::Equal | Relation::In => is_equal,
                    Relation::NotEqual | Relation::NotIn => !is_equal,
                    _ => false,
                });
            }
        },
    };
    Ok(order.map_or(relation == Relation::NotEqual, |order| relation.of(order)))
}

/// Whether the item is to be applied to a detection item.
pub(super) fn item_holds(item: &PipelineItem, run: &Run<'_>, work: &WorkItem) -> bool {
    item.item_conditions.hold(|test| item_test(test, run, work))
        && item.field_conditions.hold(|test| {
            let name = work.item.field.as_ref().map(|field| field.node.as_str());
            own_name_test(test, run, work, name)
                || tests(work).any(|value| match value {
                    Test::FieldRef { field, .. } => name_test(test, run, Some(field)),
                    _ => false,
                })
        })
}

fn item_test(test: &ItemTest, run: &Run<'_>, work: &WorkItem) -> bool {
    let values = |is_all: bool, holds: &dyn Fn(&Test) -> bool| {
        if is_all { tests(work).all(holds) } else { tests(work).any(holds) }
    };
    match test {
        ItemTest::MatchString { regex, is_negated, is_all } => values(*is_all, &|test| {
            let is_found = match test {
                Test::Text { pattern, .. } => starts(regex, &plain::text(pattern)),
                _ => false,
            };
            is_found != *is_negated
        }),
        ItemTest::MatchValue { value, is_all } => values(*is_all, &|test| equals(test, value)),
        ItemTest::ContainsWildcard { is_all } => values(*is_all, &|test| match test {
            Test::Text { pattern, .. } => {
                pattern.parts.iter().any(|part| matches!(part, Part::AnyRun | Part::AnyChar))
            }
            _ => false,
        }),
        ItemTest::IsNull { is_all } => values(*is_all, &|test| *test == Test::Null),
        ItemTest::ItemApplied(id) => work.applied.contains(id),
        ItemTest::State(test) => state(test, run),
    }
}

/// Whether the item is to be applied to the name of a detection item's own field.
pub(super) fn own_name_holds(item: &PipelineItem, run: &Run<'_>, work: &WorkItem) -> bool {
    let name = work.item.field.as_ref().map(|field| field.node.as_str());
    item.field_conditions.hold(|test| own_name_test(test, run, work, name))
}

/// Whether the item is to be applied to a name outside of a detection item's own field.
pub(super) fn name_holds(item: &PipelineItem, run: &Run<'_>, name: &str) -> bool {
    item.field_conditions.hold(|test| name_test(test, run, Some(name)))
}

fn own_name_test(test: &FieldTest, run: &Run<'_>, work: &WorkItem, name: Option<&str>) -> bool {
    match test {
        FieldTest::ItemApplied(id) => work.applied.contains(id),
        test => name_test(test, run, name),
    }
}

fn name_test(test: &FieldTest, run: &Run<'_>, name: Option<&str>) -> bool {
    match test {
        FieldTest::Include(names) => is_among(names, name),
        FieldTest::Exclude(names) => !is_among(names, name),
        FieldTest::ItemApplied(id) => {
            name.and_then(|name| run.applied_to_names.get(name)).is_some_and(|ids| ids.contains(id))
        }
        FieldTest::State(test) => state(test, run),
    }
}

fn is_among(names: &Names, name: Option<&str>) -> bool {
    let Some(name) = name else { return false };
    match names {
        Names::Plain(names) => names.iter().any(|other| other == name),
        Names::Regex(regexes) => regexes.iter().any(|regex| starts(regex, name)),
    }
}

/// Whether the text begins with a match.
pub(super) fn starts(regex: &Regex, text: &str) -> bool {
    regex.is_match(Input::new(text).anchored(Anchored::Yes))
}
