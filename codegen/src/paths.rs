//! Paths of field names as the engine walks them.

use sigmill_engine::{self as engine, Decimal, PathOrders};
use sigmill_parser::{PathFilter, PathLiteral, PathRelation, PathStep};

/// The engine's form of steps.
pub(crate) fn walk(steps: &[PathStep]) -> Vec<engine::PathStep> {
    steps.iter().map(step).collect()
}

fn step(step: &PathStep) -> engine::PathStep {
    match step {
        PathStep::Key(key) => engine::PathStep::Keys(vec![key.clone()]),
        PathStep::Keys(keys) => engine::PathStep::Keys(keys.clone()),
        PathStep::Elements => engine::PathStep::Elements,
        PathStep::Wildcard => engine::PathStep::Wildcard,
        PathStep::Indices(indices) => engine::PathStep::Indices(indices.clone()),
        PathStep::Slice { from, to, stride } => {
            engine::PathStep::Slice { from: *from, to: *to, stride: *stride }
        }
        PathStep::Descend => engine::PathStep::Descend,
        PathStep::Filter(condition) => engine::PathStep::Filter(filter(condition)),
    }
}

fn filter(condition: &PathFilter) -> engine::PathFilter {
    let many = |parts: &[PathFilter]| parts.iter().map(filter).collect();
    match condition {
        PathFilter::Exists(path) => engine::PathFilter::Exists(walk(path)),
        PathFilter::Compare { path, relation, literal } => engine::PathFilter::Compare {
            path: walk(path),
            orders: orders(*relation),
            literal: self::literal(literal),
        },
        PathFilter::Not(inner) => engine::PathFilter::Not(Box::new(filter(inner))),
        PathFilter::All(parts) => engine::PathFilter::All(many(parts)),
        PathFilter::Any(parts) => engine::PathFilter::Any(many(parts)),
    }
}

fn orders(relation: PathRelation) -> PathOrders {
    let of = |less, equal, greater, unlike| PathOrders { less, equal, greater, unlike };
    match relation {
        PathRelation::Equal => of(false, true, false, false),
        PathRelation::NotEqual => of(true, false, true, true),
        PathRelation::Less => of(true, false, false, false),
        PathRelation::LessOrEqual => of(true, true, false, false),
        PathRelation::Greater => of(false, false, true, false),
        PathRelation::GreaterOrEqual => of(false, true, true, false),
    }
}

fn literal(literal: &PathLiteral) -> engine::PathLiteral {
    match literal {
        PathLiteral::Text(text) => engine::PathLiteral::Text(text.clone()),
        // What has no decimal form is compared as it is spelled.
        PathLiteral::Number(text) => match Decimal::parse(text.as_bytes()) {
            Some(number) => engine::PathLiteral::Number(number),
            None => engine::PathLiteral::Text(text.clone()),
        },
        PathLiteral::Bool(value) => engine::PathLiteral::Bool(*value),
        PathLiteral::Null => engine::PathLiteral::Null,
    }
}
