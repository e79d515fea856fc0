//! Sigma filters: conditions that are added to the conditions of other rules.
//!
//! A filter's condition is joined with `and`, as it is written: one that is to take matches away says
//! `not`. It reaches the rules that it names, or all with `any`, as far as their log source is one of the
//! filter's: each part that the filter's log source has, the rule's has too.

use std::sync::Arc;

use sigmill_engine::PlanBuilder;
use sigmill_parser::{FieldMapping, Filter, FilterRules, Logsource, Rule, Spanned};

use crate::rule_set::{References, RuleDocument};
use crate::tree::Tree;
use crate::{CompileError, lower};

/// The rules that a filter is added to, and what is odd about it.
pub(crate) struct Reach {
    pub(crate) rules: Vec<usize>,
    pub(crate) warnings: Vec<String>,
}

pub(crate) fn reach(filter: &Filter, documents: &[RuleDocument], names: &References) -> Reach {
    let mut reach = Reach { rules: Vec::new(), warnings: Vec::new() };
    let rule = |at: &usize| match &documents[*at] {
        RuleDocument::Rule(rule) => Some(rule),
        _ => None,
    };
    let is_reached = |rule: &Rule| covers(filter.logsource.as_ref(), rule.logsource.as_ref());
    match &filter.rules {
        FilterRules::Any => {
            let all = 0..documents.len();
            reach.rules = all.filter(|at| rule(at).is_some_and(|rule| is_reached(rule))).collect();
        }
        FilterRules::Named(references) => {
            for Spanned { node: name, .. } in references {
                let found = names.find(name);
                if found.is_empty() {
                    reach.warnings.push(match names.missing(name) {
                        CompileError::AbsentReference { name, why } => {
                            format!("the filter names `{name}`, which {why}")
                        }
                        _ => format!("the filter names `{name}`, and there is no such rule"),
                    });
                }
                for at in found {
                    match rule(&at) {
                        None => reach.warnings.push(format!(
                            "the filter names `{name}`, a correlation, which has no events of its own \
                             to filter"
                        )),
                        Some(rule) if is_reached(rule) => reach.rules.push(at),
                        Some(_) => reach.warnings.push(format!(
                            "the filter names `{name}`, whose log source is another than the filter's"
                        )),
                    }
                }
            }
        }
    }
    reach.rules.sort_unstable();
    reach.rules.dedup();
    reach
}

/// Whether the rule's log source has each part that the filter's has.
fn covers(filter: Option<&Logsource>, rule: Option<&Logsource>) -> bool {
    let Some(filter) = filter else { return true };
    let none = Logsource::default();
    let rule = rule.unwrap_or(&none);
    let part = |filter: &Option<Spanned<String>>, rule: &Option<Spanned<String>>| {
        filter.as_ref().is_none_or(|filter| {
            rule.as_ref().is_some_and(|rule| rule.node.eq_ignore_ascii_case(&filter.node))
        })
    };
    part(&filter.category, &rule.category)
        && part(&filter.product, &rule.product)
        && part(&filter.service, &rule.service)
}

/// What a filter adds to a condition. Several conditions are all added.
pub(crate) fn lower(
    filter: &Filter,
    mapping: &FieldMapping,
    builder: &mut PlanBuilder,
) -> Result<Tree, CompileError> {
    let conditions = &filter.detection.conditions;
    if conditions.iter().any(|condition| condition.aggregation.is_some()) {
        let reason = "a filter cannot aggregate".to_owned();
        return Err(CompileError::Filter { reason });
    }
    Ok(Tree::all(lower::rule(&as_rule(filter), mapping, builder)?))
}

/// A filter's selections and conditions as a rule's: they are read as those are.
pub(crate) fn as_rule(filter: &Filter) -> Rule {
    Rule {
        title: filter.title.clone(),
        id: None,
        name: None,
        status: None,
        level: None,
        description: None,
        author: None,
        references: Vec::new(),
        tags: Vec::new(),
        fields: Vec::new(),
        logsource: None,
        detection: filter.detection.clone(),
        kafka: None,
        document: Arc::clone(&filter.document),
    }
}
