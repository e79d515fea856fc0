//! Turns Sigma rules into a plan: atoms, covers, conditions, windows.
//!
//! In: rules as `sigmill-parser` reads them. Out: a [`Plan`] of all that compile, and the others with
//! their reasons. The way: [`lower`] makes each condition a tree over shared atoms, [`filter`] adds
//! those of filters, [`cover`] picks for each tree the atoms of which one must hold, [`emit`] writes it
//! as a program; [`compiler`] does all that, and keeps what can be used again when the set changes. [`rule_set`] finds out who refers to whom, and [`correlation`] makes the windows.

#![forbid(unsafe_code)]

mod compiler;
mod correlation;
mod cover;
mod emit;
mod filter;
mod frequency;
mod guard;
mod lower;
mod overlay;
mod paths;
mod regex_literals;
mod rule_set;
mod tree;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sigmill_engine::window::WindowPlan;
use sigmill_engine::{Cover, FIELD_STEPS_MAX, FieldId, Op, Plan, PlanBuilder, PlanRule, Test};
use sigmill_parser::{FieldMapping, JsonPath, Rule};

pub use crate::compiler::Compiler;
pub use crate::lower::explain::{EventValue, Explainer, Explanation, Part, filters_of};
pub use crate::overlay::{OverlayFields, OverlayUse, Overlays};
pub use crate::rule_set::{Links, RuleDocument};

/// What shapes a plan besides the rules.
#[derive(Debug, Clone)]
pub struct CompileOptions {
    /// Names that rules use → names that events have.
    pub field_mapping: FieldMapping,
    /// A field that guards at least so many rules, and one in twenty, tells kinds of records apart.
    pub routing_rules_min: usize,
    /// Documents, by index, that are there for correlations alone: their matches are no detections.
    pub silent: BTreeSet<usize>,
    /// Names and ids of rules that exist and are not in the list → why, as in "… which {why}".
    pub absent: BTreeMap<String, String>,
    /// Fields that are laid over records.
    pub overlays: Overlays,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self {
            field_mapping: FieldMapping::default(),
            routing_rules_min: 16,
            silent: BTreeSet::new(),
            absent: BTreeMap::new(),
            overlays: Overlays::default(),
        }
    }
}

/// A plan and the rules that are not in it.
#[derive(Debug)]
pub struct Compiled {
    /// The plan of all rules that compile.
    pub plan: Plan,
    /// The windows that their matches feed, and which of them only do that.
    pub windows: WindowPlan,
    /// When each overlay is to be done.
    pub overlays: Vec<OverlayUse>,
    /// The others.
    pub refused: Vec<Refused>,
    /// What compiles and is odd.
    pub warnings: Vec<Warning>,
}

/// Something odd about a document that compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its index in the list.
    pub index: usize,
    /// What it is.
    pub message: String,
}

/// A document that does not compile.
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
    /// A field name is a path that no plan can follow.
    #[error("{reason}")]
    Path {
        /// What it is.
        reason: String,
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
    /// A correlation names a rule that is not there.
    #[error("there is no rule with the name or id `{name}`")]
    UnknownReference {
        /// The name or id.
        name: String,
    },
    /// A correlation names a rule that does not compile.
    #[error("it refers to `{name}`, which does not compile")]
    RefusedReference {
        /// The name or id.
        name: String,
    },
    /// A correlation names a rule that exists and is not in the list.
    #[error("it refers to `{name}`, which {why}")]
    AbsentReference {
        /// The name or id.
        name: String,
        /// What became of the rule.
        why: String,
    },
    /// A correlation refers to itself, maybe through others, or to one that does.
    #[error("it stands in a circle of references, or refers to one")]
    Circle,
    /// A correlation or an aggregation asks for what no window can compute.
    #[error("{reason}")]
    Correlation {
        /// What it is.
        reason: String,
    },
    /// A filter asks for what a filter cannot do.
    #[error("{reason}")]
    Filter {
        /// What it is.
        reason: String,
    },
}

impl CompileError {
    /// Whether other documents are to blame: with others the same document compiles.
    pub fn is_of_the_set(&self) -> bool {
        matches!(
            self,
            Self::UnknownReference { .. }
                | Self::RefusedReference { .. }
                | Self::AbsentReference { .. }
                | Self::Circle
        )
    }
}

/// Compiles all rules together. A rule that does not compile never stops the others.
pub fn compile(rules: &[Arc<Rule>], options: &CompileOptions) -> Compiled {
    let documents: Vec<RuleDocument> = rules.iter().cloned().map(RuleDocument::Rule).collect();
    compile_set(&documents, options, &[])
}

/// Compiles rules, correlations and filters together. `read_fields` are fields that the caller means to
/// read from records itself, and that the plan is to know. Who compiles again and again has a [`Compiler`].
pub fn compile_set(
    documents: &[RuleDocument],
    options: &CompileOptions,
    read_fields: &[&str],
) -> Compiled {
    Compiler::default().compile(documents, options, read_fields)
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

/// The share of records in which a test holds, as covers are chosen by: measured or guessed.
pub fn atom_rate(field: &str, test: &Test) -> f64 {
    frequency::rate(field, test)
}

/// The names by which a plan knows a rule's field: its targets in the mapping, paths in their plain
/// spelling. Those that have no meaning are left out.
pub fn plan_fields(mapping: &FieldMapping, field: &str) -> Vec<String> {
    let targets = mapping.targets(field).into_iter();
    targets.filter_map(|target| plan_name(target).ok()).map(Cow::into_owned).collect()
}

/// The name by which a plan knows an event's field.
fn plan_name(name: &str) -> Result<Cow<'_, str>, CompileError> {
    match JsonPath::parse(name) {
        None => Ok(name.into()),
        Some(path) => match path {
            // Paths with other steps than keys keep their spelling.
            Ok(path) => Ok(path.to_text().map_or(name.into(), Cow::from)),
            Err(reason) => Err(CompileError::Path { reason }),
        },
    }
}

/// The number of a field.
fn field(builder: &mut PlanBuilder, name: &str) -> Result<FieldId, CompileError> {
    if let Some(Ok(path)) = JsonPath::parse(name)
        && path.keys().is_none()
        && let Some(id) = builder.field_walk(name, paths::walk(&path.steps))
    {
        return Ok(id);
    }
    builder.field(&plan_name(name)?).ok_or_else(|| CompileError::FieldSteps {
        field: name.chars().take(80).collect(),
        max: FIELD_STEPS_MAX,
    })
}
