//! Turns Sigma rules into a plan: atoms, covers, conditions.
//!
//! In: rules as `sigmill-parser` reads them. Out: a [`Plan`] of all that compile, and the others with
//! their reasons. The way: [`lower`] makes each condition a tree over shared atoms, [`cover`] picks
//! for each tree the atoms of which one must hold, [`emit`] writes it as a program.

#![forbid(unsafe_code)]

mod cover;
mod emit;
mod frequency;
mod lower;
mod regex_literals;
mod tree;

use std::collections::HashSet;
use std::sync::Arc;

use sigmill_engine::{Cover, Op, Plan, PlanBuilder, PlanRule};
use sigmill_parser::{FieldMapping, Rule};

use crate::tree::Tree;

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
    /// A regular expression does not compile within its limit.
    #[error("the regular expression `{pattern}` is refused: {reason}")]
    Regex {
        /// The expression.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A field name has too many steps.
    #[error("the field name `{field}` has more than {max} dots")]
    FieldSteps {
        /// The name.
        field: String,
        /// The limit.
        max: usize,
    },
    /// A value still has a placeholder.
    #[error("the placeholder `%{name}%` has no value")]
    Placeholder {
        /// Its name.
        name: String,
    },
    /// Conditions are nested too deep.
    #[error("the condition is nested deeper than {max} levels")]
    Depth {
        /// The limit.
        max: usize,
    },
}

/// Compiles all rules together. A rule that does not compile never stops the others.
pub fn compile(rules: &[Arc<Rule>], options: &CompileOptions) -> Compiled {
    let mut builder = PlanBuilder::default();
    let mut refused = Vec::new();
    let mut lowered: Vec<(PlanRule, Tree)> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        match lower::rule(rule, &options.field_mapping, &mut builder) {
            Ok(trees) => lowered.extend(trees.into_iter().enumerate().map(|(condition, tree)| {
                (PlanRule { source: index as u32, condition: condition as u32 }, tree)
            })),
            Err(error) => refused.push(Refused { index, error }),
        }
    }
    let covers: Vec<_> = lowered.iter().map(|(_, tree)| cover::choose(tree, &builder)).collect();
    let eager: HashSet<_> = covers.iter().flat_map(cover::atoms).collect();
    for ((rule, tree), cover) in lowered.into_iter().zip(covers) {
        let program = emit::program(&tree, &eager, &builder);
        builder.rule(rule, &program, cover);
    }
    Compiled { plan: builder.build(), refused }
}

/// A plan in which every findable atom of the rules is a rule of its own, and the atoms' names by
/// [`RuleId`](sigmill_engine::RuleId): to measure how often each holds.
pub fn atom_plan(rules: &[Arc<Rule>], options: &CompileOptions) -> (Plan, Vec<String>) {
    let mut builder = PlanBuilder::default();
    for rule in rules {
        // A rule that does not compile has no atoms to measure.
        let _ = lower::rule(rule, &options.field_mapping, &mut builder);
    }
    let atoms: Vec<_> = builder.atom_ids().collect();
    let mut names = Vec::new();
    for atom in atoms {
        let (field, test) = builder.test(atom);
        let Some(name) = frequency::name(builder.field_name(field), test) else { continue };
        let rule = PlanRule { source: names.len() as u32, condition: 0 };
        builder.rule(rule, &[Op::Test(atom)], Cover::AnyOf(vec![atom]));
        names.push(name);
    }
    (builder.build(), names)
}
