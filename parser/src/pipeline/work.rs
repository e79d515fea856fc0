//! A rule's detection section taken apart, so that transformations can change it.
//!
//! Items remember which transformations touched them. Conditions that pipelines add are kept beside the
//! rule's own as guards, and stand at the top of the conjunction when the section is put together again.
//! A selection that lost all its items is taken out of the conditions.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::run::Failure;
use crate::condition::Expr;
use crate::rule::{Block, Condition, DetectionItem, DetectionSection, Logsource, Selection};
use crate::span::{Span, Spanned};

/// What a pipeline changes of a rule or filter.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) logsource: Option<Logsource>,
    /// `fields`
    pub(crate) fields: Vec<Spanned<String>>,
    pub(crate) selections: Vec<WorkSelection>,
    pub(crate) conditions: Vec<Condition>,
    /// What has to hold besides each condition.
    pub(crate) guards: Vec<Expr>,
    pub(crate) timeframe: Option<Spanned<String>>,
}

/// A selection; without a body if nothing of it is left.
#[derive(Debug, Clone)]
pub(crate) struct WorkSelection {
    pub(crate) name: Spanned<String>,
    pub(crate) body: Option<Tree>,
}

/// A [`Block`] whose items have a history.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    AllOf(Vec<Tree>),
    AnyOf(Vec<Tree>),
    Item(Box<WorkItem>),
}

/// An item and the transformations that touched it.
#[derive(Debug, Clone)]
pub(crate) struct WorkItem {
    pub(crate) item: DetectionItem,
    pub(crate) applied: BTreeSet<Arc<str>>,
}

/// What becomes of an item.
#[derive(Debug)]
pub(crate) enum Change {
    /// It was not touched.
    Keep,
    /// It was changed in its place.
    Changed,
    /// It goes.
    Drop,
    /// These stand in for it.
    Replace(Tree),
}

impl Tree {
    /// An item of its own, with the history of another.
    pub(crate) fn item(item: DetectionItem, applied: &BTreeSet<Arc<str>>) -> Self {
        Self::Item(Box::new(WorkItem { item, applied: applied.clone() }))
    }

    pub(crate) fn from_block(block: &Block) -> Self {
        let trees = |blocks: &[Block]| blocks.iter().map(Self::from_block).collect();
        match block {
            Block::AllOf(blocks) => Self::AllOf(trees(blocks)),
            Block::AnyOf(blocks) => Self::AnyOf(trees(blocks)),
            Block::Item(item) => Self::item(item.clone(), &BTreeSet::new()),
        }
    }

    fn into_block(self) -> Block {
        let blocks = |trees: Vec<Self>| trees.into_iter().map(Self::into_block).collect();
        match self {
            Self::AllOf(trees) => Block::AllOf(blocks(trees)),
            Self::AnyOf(trees) => Block::AnyOf(blocks(trees)),
            Self::Item(item) => Block::Item(item.item),
        }
    }

    /// Calls `visit` for every item.
    pub(crate) fn visit(&self, visit: &mut impl FnMut(&WorkItem)) {
        match self {
            Self::AllOf(trees) | Self::AnyOf(trees) => {
                trees.iter().for_each(|tree| tree.visit(visit));
            }
            Self::Item(item) => visit(item),
        }
    }

    /// Changes every item; returns nothing if nothing is left.
    pub(crate) fn change(
        self,
        id: Option<&Arc<str>>,
        change: &mut impl FnMut(&mut WorkItem) -> Result<Change, Failure>,
    ) -> Result<Option<Self>, Failure> {
        let mut parts = |trees: Vec<Self>| -> Result<Option<Vec<Self>>, Failure> {
            let mut left = Vec::new();
            for tree in trees {
                left.extend(tree.change(id, change)?);
            }
            Ok((!left.is_empty()).then_some(left))
        };
        Ok(match self {
            Self::AllOf(trees) => parts(trees)?.map(Self::AllOf),
            Self::AnyOf(trees) => parts(trees)?.map(Self::AnyOf),
            Self::Item(mut item) => match change(&mut item)? {
                Change::Keep => Some(Self::Item(item)),
                Change::Drop => None,
                Change::Changed => {
                    item.applied.extend(id.cloned());
                    Some(Self::Item(item))
                }
                Change::Replace(mut tree) => {
                    tree.mark(id);
                    Some(tree)
                }
            },
        })
    }

    fn mark(&mut self, id: Option<&Arc<str>>) {
        match self {
            Self::AllOf(trees) | Self::AnyOf(trees) => {
                trees.iter_mut().for_each(|tree| tree.mark(id));
            }
            Self::Item(item) => item.applied.extend(id.cloned()),
        }
    }

    /// Whether the two ask for the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = |a: &[Self], b: &[Self]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
        };
        match (self, other) {
            (Self::AllOf(a), Self::AllOf(b)) | (Self::AnyOf(a), Self::AnyOf(b)) => same(a, b),
            (Self::Item(a), Self::Item(b)) => {
                let name = |item: &WorkItem| item.item.field.as_ref().map(|f| f.node.clone());
                name(a) == name(b) && a.item.predicate == b.item.predicate
            }
            _ => false,
        }
    }
}

impl Work {
    /// Takes a section apart.
    pub(crate) fn new(
        logsource: Option<&Logsource>,
        fields: &[Spanned<String>],
        section: &DetectionSection,
    ) -> Self {
        let selection = |selection: &Selection| WorkSelection {
            name: selection.name.clone(),
            body: Some(Tree::from_block(&selection.body)),
        };
        Self {
            logsource: logsource.cloned(),
            fields: fields.to_vec(),
            selections: section.selections.iter().map(selection).collect(),
            conditions: section.conditions.clone(),
            guards: Vec::new(),
            timeframe: section.timeframe.clone(),
        }
    }

    /// Adds a selection under a name that no other has; returns its index.
    pub(crate) fn add_selection(&mut self, name: &str, span: Span, body: Tree) -> usize {
        let is_taken = |name: &str| self.selections.iter().any(|other| other.name.node == name);
        let mut unique = name.to_owned();
        for number in 2.. {
            if !is_taken(&unique) {
                break;
            }
            unique = format!("{name}_{number}");
        }
        self.selections.push(WorkSelection { name: Spanned::new(unique, span), body: Some(body) });
        self.selections.len() - 1
    }

    /// Changes every item of every selection.
    pub(crate) fn change(
        &mut self,
        id: Option<&Arc<str>>,
        mut change: impl FnMut(&mut WorkItem) -> Result<Change, Failure>,
    ) -> Result<(), Failure> {
        for selection in &mut self.selections {
            if let Some(body) = selection.body.take() {
                selection.body = body.change(id, &mut change)?;
            }
        }
        Ok(())
    }

    /// Calls `visit` for every item of every selection.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&WorkItem)) {
        for body in self.selections.iter().filter_map(|selection| selection.body.as_ref()) {
            body.visit(&mut visit);
        }
    }

    /// The section put together again: what was added stands at the top of each condition.
    pub(crate) fn into_section(self) -> Result<DetectionSection, Failure> {
        let is_left = |at: usize| self.selections[at].body.is_some();
        let guards: Vec<Expr> =
            self.guards.into_iter().filter_map(|guard| without(guard, &is_left)).collect();
        let mut conditions = Vec::new();
        for condition in self.conditions {
            let mut condition = condition;
            for expr in condition.expressions_mut() {
                let own = std::mem::replace(expr, Expr::And(Vec::new()));
                let Some(own) = without(own, &is_left) else {
                    return Err(Failure::new("the pipeline leaves nothing of the condition"));
                };
                *expr = conjunction(guards.iter().cloned().chain([own]));
            }
            conditions.push(condition);
        }
        let selections = self.selections.into_iter().map(|selection| Selection {
            name: selection.name,
            // Nothing refers to it any more; it stays so that the indices of the others hold.
            body: selection.body.map_or(Block::AllOf(Vec::new()), Tree::into_block),
        });
        let selections = selections.collect();
        Ok(DetectionSection { selections, conditions, timeframe: self.timeframe })
    }
}

/// All of these, flat.
pub(super) fn conjunction(parts: impl IntoIterator<Item = Expr>) -> Expr {
    let mut flat = Vec::new();
    for part in parts {
        match part {
            Expr::And(inner) => flat.extend(inner),
            part => flat.push(part),
        }
    }
    if flat.len() == 1 { flat.remove(0) } else { Expr::And(flat) }
}

/// The expression with other indices of selections.
pub(super) fn moved(expr: &Expr, index: &dyn Fn(usize) -> usize) -> Expr {
    let all = |parts: &[Expr]| parts.iter().map(|part| moved(part, index)).collect();
    match expr {
        Expr::And(parts) => Expr::And(all(parts)),
        Expr::Or(parts) => Expr::Or(all(parts)),
        Expr::Not(part) => Expr::Not(Box::new(moved(part, index))),
        Expr::Selection(at, span) => Expr::Selection(index(*at), *span),
        Expr::Of(quantifier, indices, span) => {
            Expr::Of(*quantifier, indices.iter().map(|at| index(*at)).collect(), *span)
        }
    }
}

/// The expression without the selections that are gone; nothing if nothing is left.
fn without(expr: Expr, is_left: &dyn Fn(usize) -> bool) -> Option<Expr> {
    let parts = |parts: Vec<Expr>| -> Vec<Expr> {
        parts.into_iter().filter_map(|part| without(part, is_left)).collect()
    };
    match expr {
        Expr::And(inner) => unless_empty(parts(inner), Expr::And),
        Expr::Or(inner) => unless_empty(parts(inner), Expr::Or),
        Expr::Not(inner) => without(*inner, is_left).map(|inner| Expr::Not(Box::new(inner))),
        Expr::Selection(at, span) => is_left(at).then_some(Expr::Selection(at, span)),
        Expr::Of(quantifier, mut indices, span) => {
            indices.retain(|at| is_left(*at));
            (!indices.is_empty()).then_some(Expr::Of(quantifier, indices, span))
        }
    }
}

fn unless_empty(mut parts: Vec<Expr>, link: impl Fn(Vec<Expr>) -> Expr) -> Option<Expr> {
    match parts.len() {
        0 => None,
        1 => Some(parts.remove(0)),
        _ => Some(link(parts)),
    }
}
