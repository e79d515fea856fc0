//! Turns Sigma rules into a plan: atoms, matchers, covers, conditions.

#![forbid(unsafe_code)]

use std::sync::Arc;

use sigmill_engine::Plan;
use sigmill_parser::{FieldMapping, Rule};

/// What shapes a plan besides the rules.
#[derive(Debug, Clone, Default)]
pub struct CompileOptions {
    /// Names that rules use → names that events have.
    pub field_mapping: FieldMapping,
}

/// A plan and the rules that are not in it.
#[derive(Debug)]
pub struct Compiled {
    /// The plan of all rules that compile.
    pub plan: Plan,
    /// The others.
    pub refused: Vec<Refused>,
}

/// A rule that does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its index in the list.
    pub index: usize,
    /// Why.
    pub error: CompileError,
}

/// Why a rule does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A regular expression is too large.
    #[error("the regular expression `{pattern}` is refused: {reason}")]
    Regex {
        /// The expression.
        pattern: String,
        /// Why.
        reason: String,
    },
}

/// Compiles all rules together. A rule that does not compile never stops the others.
pub fn compile(_rules: &[Arc<Rule>], _options: &CompileOptions) -> Compiled {
    Compiled { plan: Plan::default(), refused: Vec::new() }
}
