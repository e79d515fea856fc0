//! Paths that are walked step by step, plainly: from a list of values to the next.

use std::cmp::Ordering;

use sigmill_parser::{PathFilter, PathLiteral, PathRelation, PathStep};

use crate::json::Json;
use crate::number;

/// The values to which a path leads.
pub(crate) fn ends<'a>(start: &'a Json, path: &[PathStep]) -> Vec<&'a Json> {
    path.iter().fold(vec![start], |values, step| {
        values.into_iter().flat_map(|value| take(value, step)).collect()
    })
}

fn inside(value: &Json) -> Vec<&Json> {
    match value {
        Json::Array(elements) => elements.iter().collect(),
        Json::Object(members) => members.iter().map(|(_, value)| value).collect(),
        _ => vec![],
    }
}

fn take<'a>(value: &'a Json, step: &PathStep) -> Vec<&'a Json> {
    let place = |at: i64, count: usize| if at < 0 { at + count as i64 } else { at };
    match (step, value) {
        (PathStep::Key(_) | PathStep::Keys(_), Json::Array(elements)) => {
            elements.iter().flat_map(|element| take(element, step)).collect()
        }
        (PathStep::Key(key), value) => value.get(key).into_iter().collect(),
        (PathStep::Keys(keys), value) => keys.iter().filter_map(|key| value.get(key)).collect(),
        (PathStep::Elements, Json::Array(_)) | (PathStep::Wildcard, _) => inside(value),
        (PathStep::Elements, _) => vec![value],
        (PathStep::Indices(indices), Json::Array(elements)) => indices
            .iter()
            .filter_map(|at| elements.get(usize::try_from(place(*at, elements.len())).ok()?))
            .collect(),
        (PathStep::Slice { from, to, stride }, Json::Array(elements)) => {
            let from = from.map_or(0, |at| place(at, elements.len()));
            let to = to.map_or(elements.len() as i64, |at| place(at, elements.len()));
            // The first that counts is the first that is there.
            let first = from.max(0);
            let is_taken = |at: i64| {
                at >= first && at < to && (at - first).unsigned_abs().is_multiple_of(*stride)
            };
            let all = elements.iter().enumerate();
            all.filter(|(at, _)| is_taken(*at as i64)).map(|(_, element)| element).collect()
        }
        (PathStep::Descend, value) => {
            let deeper = inside(value).into_iter().flat_map(|inner| take(inner, step));
            [value].into_iter().chain(deeper).collect()
        }
        (PathStep::Filter(filter), Json::Array(elements)) => {
            elements.iter().filter(|element| holds(element, filter)).collect()
        }
        (PathStep::Filter(filter), Json::Object(_)) if holds(value, filter) => vec![value],
        _ => vec![],
    }
}

fn holds(value: &Json, filter: &PathFilter) -> bool {
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

fn relates(value: &Json, relation: PathRelation, literal: &PathLiteral) -> bool {
    let order = match (value, literal) {
        (Json::Text(value), PathLiteral::Text(literal)) => Some(value.cmp(literal)),
        (Json::Number(value), PathLiteral::Text(literal) | PathLiteral::Number(literal))
        | (Json::Text(value), PathLiteral::Number(literal)) => {
            number::parse(value).zip(number::parse(literal)).and_then(|(a, b)| a.partial_cmp(&b))
        }
        (Json::Bool(value), PathLiteral::Bool(literal)) => Some(value.cmp(literal)),
        (Json::Null, PathLiteral::Null) => Some(Ordering::Equal),
        _ => None,
    };
    match relation {
        PathRelation::Equal => order == Some(Ordering::Equal),
        PathRelation::NotEqual => order != Some(Ordering::Equal),
        PathRelation::Less => order == Some(Ordering::Less),
        PathRelation::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        PathRelation::Greater => order == Some(Ordering::Greater),
        PathRelation::GreaterOrEqual => {
            matches!(order, Some(Ordering::Greater | Ordering::Equal))
        }
    }
}
