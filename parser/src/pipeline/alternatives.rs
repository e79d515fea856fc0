//! `alternatives`, an extension of ours: a rule once for each way in which its events come.
//!
//! A generic log source such as `process_creation` has several sources of events with fields of their
//! own. Each alternative is a list of items that is applied to the rule as it is at this point; the
//! rule that comes out holds if one of them holds:
//!
//! - if they differ only in the conditions that they add, those become one guard (`a or b`) and the rule
//!   is there once;
//! - otherwise the condition is `(a and rule) or (b and rule')`, where selections that are the same in
//!   both are shared.
//!
//! An alternative that refuses the rule is left out; if all do, the first refusal stands.

use super::apply;
use super::run::{Failure, Run};
use super::transformation::Alternative;
use super::work::{Tree, Work, conjunction, moved};
use crate::condition::Expr;
use crate::rule::Condition;

/// So many selections may a rule have in all its alternatives: one set of them after the other multiplies.
const SELECTIONS_MAX: usize = 4_096;

/// Replaces the rule by all its alternatives.
pub(super) fn apply<'a>(
    alternatives: &[Alternative],
    run: &mut Run<'a>,
    work: &mut Work,
) -> Result<(), Failure> {
    let base = work.clone();
    let mut variants = Vec::new();
    let mut refusal = None;
    for alternative in alternatives {
        let mut variant = base.clone();
        variant.guards.clear();
        let mut variant_run = run.clone();
        match apply::items(&alternative.items, &mut variant_run, &mut variant) {
            Ok(()) => variants.push((alternative.name.as_str(), variant, variant_run)),
            Err(failure) => refusal = refusal.or(Some(failure)),
        }
    }
    let mut variants = variants.into_iter();
    let Some((_, first, first_run)) = variants.next() else {
        return refusal.map_or(Ok(()), Err);
    };
    *run = first_run;
    // Old aggregations have one list of fields: the first alternative's.
    let others: Vec<_> =
        variants.filter(|(_, other, _)| same_aggregations(&first, other)).collect();
    *work = Joining::new(&base, first).join(others, run);
    if work.selections.len() > SELECTIONS_MAX {
        let message =
            format!("the rule has more than {SELECTIONS_MAX} selections in all alternatives");
        return Err(Failure::new(message));
    }
    Ok(())
}

fn same_aggregations(a: &Work, b: &Work) -> bool {
    let fields = |condition: &Condition| {
        condition.aggregation.as_ref().map(|one| {
            let group: Vec<String> = one.group_by.iter().map(|field| field.node.clone()).collect();
            (one.field().map(|field| field.node.clone()), group)
        })
    };
    a.conditions.iter().map(fields).eq(b.conditions.iter().map(fields))
}

/// A rule that takes over what its alternatives add.
struct Joining {
    /// How many selections the rule had before.
    selections: usize,
    guards: Vec<Expr>,
    work: Work,
}

impl Joining {
    fn new(base: &Work, first: Work) -> Self {
        Self { selections: base.selections.len(), guards: base.guards.clone(), work: first }
    }

    fn join<'a>(mut self, others: Vec<(&str, Work, Run<'a>)>, run: &mut Run<'a>) -> Work {
        let mut ways = vec![Way::new(&self.work, |at| at)];
        for (name, other, other_run) in others {
            let indices = self.take_over(name, &other);
            ways.push(Way::new(&other, |at| indices[at]));
            for field in other.fields {
                if !self.work.fields.iter().any(|known| known.node == field.node) {
                    self.work.fields.push(field);
                }
            }
            run.join(other_run);
        }
        let is_same = ways.iter().all(|way| way.conditions == ways[0].conditions);
        self.work.guards = self.guards;
        if is_same {
            let guards = ways.into_iter().map(|way| way.guards);
            // Without a guard in one of the ways, the rule holds whatever the others ask.
            let guards: Vec<Vec<Expr>> = guards.collect();
            if guards.iter().all(|guards| !guards.is_empty()) {
                self.work.guards.push(disjunction(guards.into_iter().map(conjunction)));
            }
        } else {
            let conditions = self.work.conditions.iter_mut();
            for (at, expr) in conditions.flat_map(Condition::expressions_mut).enumerate() {
                *expr = disjunction(ways.iter().map(|way| way.whole(at)));
            }
        }
        self.work
    }

    /// Adds the selections of another that this one does not have; returns where each of them is.
    fn take_over(&mut self, name: &str, other: &Work) -> Vec<usize> {
        let mut indices = Vec::with_capacity(other.selections.len());
        for (at, selection) in other.selections.iter().enumerate() {
            let is_same = |mine: Option<&Tree>| match (mine, &selection.body) {
                (Some(mine), Some(theirs)) => mine.is_same(theirs),
                (mine, theirs) => mine.is_none() && theirs.is_none(),
            };
            let own = self.work.selections.get(at).filter(|_| at < self.selections);
            if own.is_some_and(|own| is_same(own.body.as_ref())) {
                indices.push(at);
                continue;
            }
            let span = selection.name.span;
            let unique = format!("{}@{name}", selection.name.node);
            let gone = Tree::AnyOf(Vec::new());
            let body = selection.body.clone();
            let is_gone = body.is_none();
            let index = self.work.add_selection(&unique, span, body.unwrap_or(gone));
            if is_gone {
                self.work.selections[index].body = None;
            }
            indices.push(index);
        }
        indices
    }
}

/// The conditions of one alternative, in terms of the joined selections.
struct Way {
    guards: Vec<Expr>,
    conditions: Vec<Expr>,
}

impl Way {
    fn new(work: &Work, index: impl Fn(usize) -> usize) -> Self {
        let moved = |expr: &Expr| moved(expr, &index);
        Self {
            guards: work.guards.iter().map(moved).collect(),
            conditions: work
                .conditions
                .iter()
                .flat_map(Condition::expressions)
                .map(moved)
                .collect(),
        }
    }

    fn whole(&self, at: usize) -> Expr {
        conjunction(self.guards.iter().chain(self.conditions.get(at)).cloned())
    }
}

fn disjunction(parts: impl IntoIterator<Item = Expr>) -> Expr {
    let mut flat: Vec<Expr> = Vec::new();
    for part in parts {
        match part {
            Expr::Or(inner) => flat.extend(inner),
            part => flat.push(part),
        }
    }
    flat.dedup();
    if flat.len() == 1 { flat.remove(0) } else { Expr::Or(flat) }
}
