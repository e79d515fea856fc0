//! Conditions: `selection and not 1 of filter_*` as a tree.
//!
//! Identifiers are resolved when the tree is built: a tree that exists names selections that exist.
//! Trees are shallow whatever was written: `and` and `or` chains are flat, and brackets and `not` may
//! be nested [`DEPTH_MAX`] deep.

mod aggregation;
mod lexer;
mod parse;

pub use aggregation::{
    Aggregation, AggregationFunction, AggregationKind, AggregationRelation, Neighbour,
};
pub(crate) use parse::{Context, read};

use crate::span::Span;

/// The deepest nesting of brackets and `not`.
pub(crate) const DEPTH_MAX: usize = 100;

/// A condition. Precedence, from weak to strong: `or`, `and`, `not`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Every part holds.
    And(Vec<Expr>),
    /// One part holds.
    Or(Vec<Expr>),
    /// The part does not hold.
    Not(Box<Expr>),
    /// A selection, by its index in [`DetectionSection::selections`](crate::DetectionSection).
    Selection(usize, Span),
    /// `1 of …`, `all of …`: the selections that the pattern names.
    Of(Quantifier, Vec<usize>, Span),
}

/// How many of the named selections have to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// `1 of`, `any of`.
    Any,
    /// `all of`.
    All,
    /// `N of`, N ≥ 2.
    AtLeast(u32),
}
