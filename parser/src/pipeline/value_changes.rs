//! Transformations of values.
//!
//! They work on what the modifiers made of a value. Each value keeps its place: what it becomes are its
//! alternatives, so `all` still means every value.

use super::field_names::snake;
use super::items::PipelineItem;
use super::plain;
use super::replacement::Replacement;
use super::run::{Failure, Run};
use super::tests_of::item_holds;
use super::transformation::{CaseMethod, RegexMethod, ReplaceString, Transformation, ValueType};
use super::work::{Change, Work, WorkItem};
use crate::escape;
use crate::predicate::{Number, Part, Pattern, Regex, Test};
use crate::regex;
use crate::rule::Value;
use crate::yaml;

/// Changes the values in a rule.
pub(super) fn apply(item: &PipelineItem, run: &Run<'_>, work: &mut Work) -> Result<(), Failure> {
    work.change(item.id.as_ref(), |work| {
        if item_holds(item, run, work) {
            change(&item.transformation, work)
        } else {
            Ok(Change::Keep)
        }
    })
}

fn change(transformation: &Transformation, work: &mut WorkItem) -> Result<Change, Failure> {
    let mut has_changed = false;
    for tests in &mut work.item.predicate.values {
        let mut changed = Vec::with_capacity(tests.len());
        for test in std::mem::take(tests) {
            match changed_test(transformation, &test)? {
                Some(tests) => {
                    has_changed = true;
                    changed.extend(tests);
                }
                None => changed.push(test),
            }
        }
        *tests = changed;
    }
    Ok(if has_changed { Change::Changed } else { Change::Keep })
}

/// What a test becomes; nothing if the transformation leaves it alone.
fn changed_test(
    transformation: &Transformation,
    test: &Test,
) -> Result<Option<Vec<Test>>, Failure> {
    use Transformation as T;
    if let T::SetValue(value) = transformation {
        return Ok(Some(vec![value.clone()]));
    }
    if let (T::ReplaceString(replace), Test::Number(number)) = (transformation, test) {
        let pattern = Pattern::new([Part::Literal(number.text.clone())]);
        let pattern = replaced(replace, &pattern);
        return Ok(Some(vec![Test::Text { pattern, cased: false }]));
    }
    if let (T::ConvertType(ValueType::Text), Test::Number(number)) = (transformation, test) {
        let pattern = Pattern::new([Part::Literal(number.text.clone())]);
        return Ok(Some(vec![Test::Text { pattern, cased: false }]));
    }
    if let (T::ConvertType(ValueType::Text), Test::Bool(value)) = (transformation, test) {
        let pattern = Pattern::new([Part::Literal(value.to_string())]);
        return Ok(Some(vec![Test::Text { pattern, cased: false }]));
    }
    let Test::Text { pattern, cased } = test else { return Ok(None) };
    let text = |pattern| Ok(Some(vec![Test::Text { pattern, cased: *cased }]));
    match transformation {
        T::ReplaceString(replace) => text(replaced(replace, pattern)),
        T::Case(method) => text(plain::map_literals(pattern, |text| match method {
            CaseMethod::Lower => text.to_lowercase(),
            CaseMethod::Upper => text.to_uppercase(),
            CaseMethod::Snake => snake(text),
        })),
        T::MapString(mapping) => Ok(mapping.get(&plain::text(pattern)).map(|targets| {
            let test =
                |target: &String| Test::Text { pattern: escape::pattern(target), cased: *cased };
            targets.iter().map(test).collect()
        })),
        T::Regex(method) => as_regex(pattern, *method, *cased).map(Some),
        T::ConvertType(ValueType::Number) => {
            let plain = plain::text(pattern);
            match yaml::number(&plain) {
                Some(text) => Ok(Some(vec![Test::Number(Number { text })])),
                None => Err(Failure::new(format!("the value `{plain}` cannot become a number"))),
            }
        }
        _ => Ok(None),
    }
}

fn replaced(replace: &ReplaceString, pattern: &Pattern) -> Pattern {
    let ReplaceString { regex, replacement, .. } = replace;
    let replacement: &Replacement = replacement;
    if replace.skips_special {
        plain::replace_in_literals(pattern, regex, replacement, replace.interprets_special)
    } else {
        plain::replace(pattern, regex, replacement)
    }
}

/// The expression that matches just what the pattern does. An empty text stays one.
fn as_regex(pattern: &Pattern, method: RegexMethod, cased: bool) -> Result<Vec<Test>, Failure> {
    if pattern.parts.is_empty() {
        return Ok(vec![Test::Text { pattern: pattern.clone(), cased }]);
    }
    let mut expression = String::new();
    for part in &pattern.parts {
        match part {
            Part::Literal(text) => expression.push_str(&regex_syntax::escape(text)),
            Part::AnyChar => expression.push('.'),
            Part::AnyRun => expression.push_str(".*"),
            Part::Placeholder(name) => {
                let message = format!("the placeholder `%{name}%` cannot become an expression");
                return Err(Failure::new(message));
            }
        }
    }
    let written = Regex {
        // A rule's expression is searched for; the value was the whole text.
        pattern: format!(r"\A(?:{expression})\z"),
        ignore_case: method == RegexMethod::IgnoreCase && !cased,
        multi_line: false,
        dot_all: true,
    };
    match regex::check(&written) {
        Ok(checked) => Ok(vec![Test::Regex(checked)]),
        Err(fault) => Err(Failure::new(fault.message)),
    }
}

/// The test for a value as written in a pipeline.
pub(super) fn test_of_value(value: &Value) -> Test {
    match value {
        Value::Text(text) => Test::Text { pattern: escape::pattern(text), cased: false },
        Value::Number(text) => Test::Number(Number { text: text.clone() }),
        Value::Bool(value) => Test::Bool(*value),
        Value::Null => Test::Null,
    }
}
