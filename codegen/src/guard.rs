//! What conditions say of the fields that tell kinds of records apart, and which fields these are.
//!
//! # Soundness
//! A condition implies its guard: of a conjunction any parts may be left out, of a disjunction every
//! part has to have a guard, of a negation nothing may be left out.

use std::collections::{HashMap, HashSet};

use sigmill_engine::{FieldId, KEYWORDS, PlanBuilder, Test};

use crate::tree::Tree;

/// Most routing fields.
const FIELDS_MAX: usize = 4;
/// A field is worth routing by if it guards one rule in so many.
const SHARE_MIN: usize = 20;

/// The fields that guard many of the conditions.
pub(crate) fn routing_fields<'a>(
    trees: impl Iterator<Item = &'a Tree>,
    rules_min: usize,
    builder: &PlanBuilder,
) -> Vec<FieldId> {
    let mut counts: HashMap<FieldId, usize> = HashMap::new();
    let mut total = 0;
    for tree in trees {
        total += 1;
        for field in guarding_fields(tree, builder) {
            *counts.entry(field).or_default() += 1;
        }
    }
    let min = rules_min.max(total / SHARE_MIN);
    let mut fields: Vec<_> = counts.into_iter().filter(|(_, count)| *count >= min).collect();
    fields.sort_by_key(|(field, count)| (std::cmp::Reverse(*count), *field));
    fields.into_iter().take(FIELDS_MAX).map(|(field, _)| field).collect()
}

/// The fields of which the condition demands one of some values.
fn guarding_fields(tree: &Tree, builder: &PlanBuilder) -> HashSet<FieldId> {
    match tree {
        Tree::Atom(atom) => {
            let (field, test) = builder.test(*atom);
            let is_value = matches!(test, Test::Equals(_) | Test::Number { .. });
            if is_value && field != KEYWORDS { HashSet::from([field]) } else { HashSet::new() }
        }
        Tree::All(parts) => parts.iter().flat_map(|part| guarding_fields(part, builder)).collect(),
        Tree::Any(parts) => parts
            .iter()
            .map(|part| guarding_fields(part, builder))
            .reduce(|a, b| a.intersection(&b).copied().collect())
            .unwrap_or_default(),
        Tree::Const(_) | Tree::Not(_) | Tree::AtLeast(..) => HashSet::new(),
    }
}

/// What the condition says of these fields alone; `None` if it says nothing.
pub(crate) fn of(tree: &Tree, fields: &[FieldId], builder: &PlanBuilder) -> Option<Tree> {
    match tree {
        Tree::Const(_) => Some(tree.clone()),
        Tree::Atom(atom) => {
            let (field, test) = builder.test(*atom);
            let is_theirs = fields.contains(&field) && !matches!(test, Test::FieldRef { .. });
            is_theirs.then(|| tree.clone())
        }
        Tree::All(parts) => {
            let guards: Vec<Tree> =
                parts.iter().filter_map(|part| of(part, fields, builder)).collect();
            (!guards.is_empty()).then(|| Tree::all(guards))
        }
        Tree::Any(parts) => {
            let guards: Option<Vec<Tree>> =
                parts.iter().map(|part| of(part, fields, builder)).collect();
            guards.map(Tree::any)
        }
        Tree::Not(_) | Tree::AtLeast(..) => {
            let is_theirs = |atom| {
                let (field, test) = builder.test(atom);
                fields.contains(&field) && !matches!(test, Test::FieldRef { .. })
            };
            tree.atoms().into_iter().all(is_theirs).then(|| tree.clone())
        }
    }
}
