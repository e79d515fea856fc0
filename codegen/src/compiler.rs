//! Compiles a set, and compiles it again when a little of it has changed.
//!
//! In: the documents of a set. Out: a plan. What a rule or a filter comes to by itself, its trees and the
//! covers of these, is kept as a [`Part`] with numbers of its own for fields and atoms, as long as the
//! document is in the set; so are the searches of the plan's fields. The rest is done anew each time: the
//! parts are put together in the order of the documents, which gives every field and atom the number that
//! it gets when all is compiled for the first time. There is no other way of compiling, so a plan does not
//! depend on what was compiled before. `tests/differential.rs` holds that.

use std::collections::HashMap;
use std::sync::Arc;

use sigmill_engine::{AtomId, PlanBuilder, PlanPart, PlanRule, RuleId, Searches, Tests};
use sigmill_parser::{FieldMapping, Filter, Rule};

use crate::correlation::Windows;
use crate::cover::{self, Chosen};
use crate::emit::{self, AtomSet};
use crate::rule_set::{References, RuleDocument};
use crate::tree::Tree;
use crate::{
    CompileError, CompileOptions, Compiled, Refused, Warning, filter, guard, lower, overlay,
};

/// Compiles sets of rules; fast where most of them were in the set before, as the same `Arc`s.
#[derive(Debug, Default)]
pub struct Compiler {
    mapping: FieldMapping,
    rules: Kept<Rule, Result<Part<Vec<Condition>>, CompileError>>,
    filters: Kept<Filter, Result<Part<Tree>, CompileError>>,
    tests: Tests,
    searches: Searches,
}

/// What documents come to by themselves. A document is kept beside it, so that its address stays its own.
#[derive(Debug)]
struct Kept<D, T>(HashMap<usize, KeptOne<D, T>>);

#[derive(Debug)]
struct KeptOne<D, T> {
    _document: Arc<D>,
    made: T,
    is_used: bool,
}

impl<D, T> Default for Kept<D, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<D, T> Kept<D, T> {
    fn get(&mut self, document: &Arc<D>, make: impl FnOnce() -> T) -> &T {
        let make = || KeptOne { _document: Arc::clone(document), made: make(), is_used: true };
        let one = self.0.entry(Arc::as_ptr(document) as usize).or_insert_with(make);
        one.is_used = true;
        &one.made
    }

    /// Forgets what was not asked for since this was called last.
    fn forget_others(&mut self) {
        self.0.retain(|_, one| std::mem::take(&mut one.is_used));
    }
}

/// A document by itself, with numbers of its own.
#[derive(Debug)]
struct Part<T> {
    atoms: PlanPart,
    content: T,
}

/// One condition of a rule.
#[derive(Debug)]
struct Condition {
    tree: Tree,
    cover: Chosen,
    /// Worth searching for in every record.
    promoted: Vec<AtomId>,
}

impl Condition {
    fn new(tree: Tree, builder: &mut PlanBuilder) -> Self {
        let cover = cover::choose(&tree, builder);
        let promoted = match cover.wakes_often() {
            true => cover::worth_promoting(&tree, builder),
            false => Vec::new(),
        };
        Self { tree, cover, promoted }
    }

    /// With the numbers of another plan, and what filters add.
    fn placed(&self, atoms: &[AtomId], filters: &[Tree], builder: &mut PlanBuilder) -> Self {
        let tree = self.tree.with_atoms(atoms);
        if !filters.is_empty() {
            return Self::new(
                Tree::all(std::iter::once(tree).chain(filters.iter().cloned())),
                builder,
            );
        }
        let promoted = self.promoted.iter().map(|atom| atoms[atom.0 as usize]).collect();
        Self { tree, cover: self.cover.with_atoms(atoms), promoted }
    }
}

/// A part of a plan that `make` fills.
fn part<T>(
    tests: &mut Tests,
    make: impl FnOnce(&mut PlanBuilder) -> Result<T, CompileError>,
) -> Result<Part<T>, CompileError> {
    let mut builder = PlanBuilder::for_part(std::mem::take(tests));
    let content = make(&mut builder);
    let (atoms, made) = builder.into_part();
    *tests = made;
    Ok(Part { atoms, content: content? })
}

impl Compiler {
    /// As [`compile_set`](crate::compile_set).
    pub fn compile(
        &mut self,
        documents: &[RuleDocument],
        options: &CompileOptions,
        read_fields: &[&str],
    ) -> Compiled {
        if self.mapping != options.field_mapping {
            *self = Self { mapping: options.field_mapping.clone(), ..Self::default() };
        }
        let names = References::new(documents, options);
        let mut builder = PlanBuilder::default();
        let mut refused = Vec::new();
        let mut warnings = Vec::new();
        let filters = self.filters(documents, &names, &mut builder, (&mut refused, &mut warnings));
        let mut windows = Windows::new(&options.field_mapping);
        let mut lowered: Vec<(PlanRule, Condition)> = Vec::new();
        let mut is_emitting = Vec::new();
        let mut atoms_count = 0;
        for (index, document) in documents.iter().enumerate() {
            let RuleDocument::Rule(rule) = document else { continue };
            let part = match self.rule(rule) {
                Ok(part) => part,
                Err(error) => {
                    refused.push(Refused { index, error: error.clone() });
                    continue;
                }
            };
            let (_, atoms) = builder.add_part(&part.atoms);
            atoms_count += atoms.len();
            let first = lowered.len();
            let ids = (first..first + part.content.len()).map(|id| RuleId(id as u32));
            let ids: Vec<RuleId> = ids.collect();
            let is_own = names.is_emitting(index);
            match windows.add_rule((index, rule), &ids, is_own, &mut builder) {
                Ok(emits) => is_emitting.extend(emits),
                Err(error) => {
                    refused.push(Refused { index, error });
                    continue;
                }
            }
            for (condition, made) in plan_conditions(rule).into_iter().zip(&part.content) {
                let rule = PlanRule { source: index as u32, condition };
                lowered.push((rule, made.placed(&atoms, &filters[index], &mut builder)));
            }
        }
        let (order, circular) = names.order(documents);
        let circle = |index: &usize| Refused { index: *index, error: CompileError::Circle };
        refused.extend(circular.iter().map(circle));
        for index in order {
            let RuleDocument::Correlation(correlation) = &documents[index] else { continue };
            let correlation = (index, &**correlation);
            let added = windows.add_correlation(correlation, documents, &names, &mut builder);
            refused.extend(added.err().map(|error| Refused { index, error }));
        }
        let windows = windows.build(is_emitting, &mut builder);
        let overlays = overlay::place(&options.overlays, &mut builder);
        for name in read_fields {
            // A name with too many steps is found in no record.
            builder.field(name);
        }
        add_rules(lowered, options, &mut builder);
        let plan = builder.build_with(&mut self.searches);
        self.rules.forget_others();
        self.filters.forget_others();
        self.tests.forget_others(atoms_count);
        refused.sort_by_key(|refused| refused.index);
        Compiled { plan, windows, overlays, refused, warnings }
    }

    /// By document: what filters add to it.
    fn filters(
        &mut self,
        documents: &[RuleDocument],
        names: &References,
        builder: &mut PlanBuilder,
        (refused, warnings): (&mut Vec<Refused>, &mut Vec<Warning>),
    ) -> Vec<Vec<Tree>> {
        let Self { mapping, filters: kept, tests, .. } = self;
        let mut filters: Vec<Vec<Tree>> = vec![Vec::new(); documents.len()];
        for (index, document) in documents.iter().enumerate() {
            let RuleDocument::Filter(filter) = document else { continue };
            let lower = |builder: &mut PlanBuilder| filter::lower(filter, mapping, builder);
            match kept.get(filter, || part(tests, lower)) {
                Ok(part) => {
                    let (_, atoms) = builder.add_part(&part.atoms);
                    let tree = part.content.with_atoms(&atoms);
                    let reach = filter::reach(filter, documents, names);
                    reach.rules.iter().for_each(|rule| filters[*rule].push(tree.clone()));
                    let warning = |message| Warning { index, message };
                    warnings.extend(reach.warnings.into_iter().map(warning));
                }
                Err(error) => refused.push(Refused { index, error: error.clone() }),
            }
        }
        filters
    }

    fn rule(&mut self, rule: &Arc<Rule>) -> &Result<Part<Vec<Condition>>, CompileError> {
        let Self { mapping, rules, tests, .. } = self;
        rules.get(rule, || {
            part(tests, |builder| {
                let trees = lower::rule(rule, mapping, builder)?;
                Ok(trees.into_iter().map(|tree| Condition::new(tree, builder)).collect())
            })
        })
    }
}

/// The programs of the conditions, and by which fields records are told apart.
fn add_rules(
    lowered: Vec<(PlanRule, Condition)>,
    options: &CompileOptions,
    builder: &mut PlanBuilder,
) {
    let mut eager = AtomSet::default();
    for (_, condition) in &lowered {
        condition.cover.atoms().for_each(|atom| eager.insert(atom));
        for atom in &condition.promoted {
            builder.promote(*atom);
            eager.insert(*atom);
        }
    }
    let trees = lowered.iter().map(|(_, condition)| &condition.tree);
    let routing = guard::routing_fields(trees, options.routing_rules_min, builder);
    for (rule, Condition { tree, cover, .. }) in lowered {
        let program = emit::program(&tree, &eager, builder);
        let id = builder.rule(rule, &program, cover.into_cover());
        if let Some(guard) = guard::of(&tree, &routing, builder) {
            let guard = emit::program(&guard, &eager, builder);
            builder.guard(id, guard);
        }
    }
    builder.route_by(routing);
}

/// The conditions that the trees of a rule belong to: each has one of its own, and one for each part that
/// its `near` names.
fn plan_conditions(rule: &Rule) -> Vec<u32> {
    let conditions = 0..rule.detection.conditions.len() as u32;
    let near = conditions
        .clone()
        .zip(&rule.detection.conditions)
        .flat_map(|(at, condition)| condition.expressions().skip(1).map(move |_| at));
    conditions.clone().chain(near).collect()
}
