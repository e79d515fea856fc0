//! Sigma filters under pipelines: they become parts of the rules that they reach, and are then changed
//! with them.
//!
//! A filter's fields have to be renamed as those of the rule are, alternative by alternative, so it cannot
//! be changed by itself. Its condition is joined with `and`, as it is written.

use super::add_condition::place;
use super::work::{Tree, Work, conjunction, moved};
use crate::condition::Expr;
use crate::correlation::{Filter, FilterRules};
use crate::rule::{Condition, Logsource, Rule};
use crate::span::Spanned;

/// Whether a filter is added to a rule: it names it, and the rule has each part of its log source.
pub(super) fn reaches(filter: &Filter, rule: &Rule) -> bool {
    // What cannot be joined is for whoever compiles it to name.
    if filter.detection.conditions.iter().any(|condition| condition.aggregation.is_some()) {
        return false;
    }
    let is_named = match &filter.rules {
        FilterRules::Any => true,
        FilterRules::Named(names) => names.iter().any(|name| {
            let is_id = |id: &Spanned<String>| id.node.eq_ignore_ascii_case(&name.node);
            rule.id.as_ref().is_some_and(is_id)
                || rule.name.as_ref().is_some_and(|own| own.node == name.node)
        }),
    };
    is_named && covers(filter.logsource.as_ref(), rule.logsource.as_ref())
}

fn covers(filter: Option<&Logsource>, rule: Option<&Logsource>) -> bool {
    let Some(filter) = filter else { return true };
    let none = Logsource::default();
    let rule = rule.unwrap_or(&none);
    [
        (&filter.category, &rule.category),
        (&filter.product, &rule.product),
        (&filter.service, &rule.service),
    ]
    .into_iter()
    .all(|(filter, rule)| {
        let is_same = |filter: &Spanned<String>| {
            rule.as_ref().is_some_and(|rule| rule.node.eq_ignore_ascii_case(&filter.node))
        };
        filter.as_ref().is_none_or(is_same)
    })
}

/// Adds a filter to a rule.
pub(super) fn merge(filter: &Filter, work: &mut Work) {
    // Places in the filter's text mean nothing in the rule's.
    let span = work.conditions.first().map(|condition| condition.text.span).unwrap_or_default();
    let indices: Vec<usize> = filter
        .detection
        .selections
        .iter()
        .map(|selection| {
            let mut body = Tree::from_block(&selection.body);
            place(&mut body, span);
            work.add_selection(&format!("{}@filter", selection.name.node), span, body)
        })
        .collect();
    let added: Vec<Expr> = filter
        .detection
        .conditions
        .iter()
        .map(|condition| moved(&condition.expr, &|at| indices[at]))
        .collect();
    for expr in work.conditions.iter_mut().flat_map(Condition::expressions_mut) {
        let own = std::mem::replace(expr, Expr::And(Vec::new()));
        *expr = conjunction([own].into_iter().chain(added.iter().cloned()));
    }
}
