//! JSONPaths as Jayway's library walks them: arrays do not stand for their elements.

use serde_json::Value;
use sigmill_parser::{PathFilter, PathLiteral, PathRelation, PathStep};

/// Whether a path can lead to several values.
pub(super) fn is_indefinite(steps: &[PathStep]) -> bool {
    steps.iter().any(|step| match step {
        PathStep::Key(_) => false,
        PathStep::Indices(indices) => indices.len() > 1,
        _ => true,
    })
}

/// The values to which it leads.
pub(super) fn ends<'a>(start: &'a Value, path: &[PathStep]) -> Vec<&'a Value> {
    path.iter().fold(vec![start], |values, step| {
        values.into_iter().flat_map(|value| take(value, step)).collect()
    })
}

fn inside(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => vec![],
    }
}

fn take<'a>(value: &'a Value, step: &PathStep) -> Vec<&'a Value> {
    let len = value.as_array().map_or(0, Vec::len) as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    match step {
        PathStep::Key(key) => value.get(key).into_iter().collect(),
        PathStep::Keys(keys) => keys.iter().filter_map(|key| value.get(key)).collect(),
        PathStep::Elements | PathStep::Wildcard => inside(value),
        PathStep::Indices(indices) => {
            let at = |at: &i64| usize::try_from(place(*at)).ok();
            indices.iter().filter_map(|index| value.as_array()?.get(at(index)?)).collect()
        }
        PathStep::Slice { from, to, stride } => {
            let from = from.map_or(0, place).clamp(0, len) as usize;
            let to = to.map_or(len, place).clamp(0, len) as usize;
            let elements = value.as_array().map_or(&[][..], Vec::as_slice);
            let stride = usize::try_from(*stride).unwrap_or(usize::MAX).max(1);
            elements.iter().take(to).skip(from).step_by(stride).collect()
        }
        PathStep::Descend => {
            let mut all = vec![value];
            let mut at = 0;
            while let Some(value) = all.get(at).copied() {
                all.extend(inside(value));
                at += 1;
            }
            all
        }
        PathStep::Filter(filter) => match value {
            Value::Array(elements) => elements.iter().filter(|one| holds(one, filter)).collect(),
            Value::Object(_) if holds(value, filter) => vec![value],
            _ => vec![],
        },
    }
}

fn holds(value: &Value, filter: &PathFilter) -> bool {
    match filter {
        PathFilter::Exists(path) => !ends(value, path).is_empty(),
        PathFilter::Compare { path, relation, literal } => {
            ends(value, path).into_iter().any(|end| relates(end, *relation, literal))
        }
        PathFilter::Not(inner) => !holds(value, inner),
        PathFilter::All(parts) => parts.iter().all(|part| holds(value, part)),
        PathFilter::Any(parts) => parts.iter().any(|part| holds(value, part)),
    }
}

fn relates(value: &Value, relation: PathRelation, literal: &PathLiteral) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse::<f64>().ok(),
        _ => None,
    };
    let order = match (value, literal) {
        (Value::String(text), PathLiteral::Text(literal)) => Some(text.as_str().cmp(literal)),
        (value, PathLiteral::Number(literal)) => {
            number(value).zip(literal.parse().ok()).and_then(|(a, b)| a.partial_cmp(&b))
        }
        (Value::Bool(value), PathLiteral::Bool(literal)) => Some(value.cmp(literal)),
        (Value::Null, PathLiteral::Null) => Some(Equal),
        _ => None,
    };
    match relation {
        PathRelation::Equal => order == Some(Equal),
        PathRelation::NotEqual => order != Some(Equal),
        PathRelation::Less => order == Some(Less),
        PathRelation::LessOrEqual => matches!(order, Some(Less | Equal)),
        PathRelation::Greater => order == Some(Greater),
        PathRelation::GreaterOrEqual => matches!(order, Some(Greater | Equal)),
    }
}
