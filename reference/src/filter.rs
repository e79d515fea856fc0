//! What Sigma filters mean: further conditions of the rules they name.

use sigmill_parser::{Document, FieldMapping, Filter, FilterRules, Logsource, Rule, Spanned};

use crate::{Json, Reading, conditions, detection_conditions};

/// Whether each condition of a rule holds for `event`, with the filters among `documents` that reach it.
pub fn filtered_conditions(
    rule: &Rule,
    documents: &[Document],
    event: &Json,
    mapping: &FieldMapping,
) -> Vec<bool> {
    let is_let_through = is_let_through(rule, documents, event, mapping);
    conditions(rule, event, mapping).into_iter().map(|holds| holds && is_let_through).collect()
}

/// Whether each part that `near` names in a condition holds for `event`, with the same filters.
pub(crate) fn filtered_neighbours(
    rule: &Rule,
    condition: usize,
    documents: &[Document],
    event: &Json,
    mapping: &FieldMapping,
) -> Vec<bool> {
    let reading = Reading { detection: &rule.detection, event, laid: event, mapping };
    let is_let_through = is_let_through(rule, documents, event, mapping);
    let near = rule.detection.conditions[condition].expressions().skip(1);
    near.map(|expr| reading.expr(expr) && is_let_through).collect()
}

fn is_let_through(
    rule: &Rule,
    documents: &[Document],
    event: &Json,
    mapping: &FieldMapping,
) -> bool {
    let filters = documents.iter().filter_map(|document| match document {
        Document::Filter(filter) if is_reached(rule, filter) => Some(filter),
        _ => None,
    });
    filters
        .flat_map(|filter| detection_conditions(&filter.detection, event, mapping))
        .all(|holds| holds)
}

fn is_reached(rule: &Rule, filter: &Filter) -> bool {
    let is_named = match &filter.rules {
        FilterRules::Any => true,
        FilterRules::Named(names) => names.iter().any(|name| is_called(rule, &name.node)),
    };
    let none = Logsource::default();
    let wanted = filter.logsource.as_ref().unwrap_or(&none);
    let own = rule.logsource.as_ref().unwrap_or(&none);
    let fits = |wanted: &Option<Spanned<String>>, own: &Option<Spanned<String>>| match (wanted, own)
    {
        (None, _) => true,
        (Some(wanted), Some(own)) => wanted.node.eq_ignore_ascii_case(&own.node),
        (Some(_), None) => false,
    };
    is_named
        && fits(&wanted.category, &own.category)
        && fits(&wanted.product, &own.product)
        && fits(&wanted.service, &own.service)
}

/// Whether a rule has this name or id.
fn is_called(rule: &Rule, name: &str) -> bool {
    rule.name.as_ref().is_some_and(|own| own.node == name)
        || rule.id.as_ref().is_some_and(|id| id.node.eq_ignore_ascii_case(name))
}
