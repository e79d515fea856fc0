//! Pipelines over a correlation: its field names, and what does not depend on a detection section.
//!
//! Of `alternatives` the first is taken: a group has one key.

use std::collections::BTreeSet;

use super::apply::leaves_rule;
use super::field_names;
use super::items::PipelineItem;
use super::run::{Failure, Run};
use super::tests_of::rule_holds;
use super::transformation::Transformation;
use crate::correlation::{Correlation, CorrelationCondition};

/// Applies every item whose conditions hold.
pub(super) fn items(
    items: &[PipelineItem],
    run: &mut Run<'_>,
    correlation: &mut Correlation,
) -> Result<(), Failure> {
    for item in items {
        if !rule_holds(item, run, None)? {
            continue;
        }
        match &item.transformation {
            transformation if field_names::is_one(transformation) => {
                rename(item, run, correlation);
            }
            Transformation::Nest(inner) => self::items(inner, run, correlation)?,
            Transformation::Alternatives(alternatives) => {
                if let Some(first) = alternatives.first() {
                    self::items(&first.items, run, correlation)?;
                }
            }
            transformation => {
                leaves_rule(transformation, run)?;
            }
        }
        run.applied.extend(item.id.clone());
    }
    Ok(())
}

/// Renames the fields of aliases, of `group-by` unless they are aliases, and of the condition.
fn rename(item: &PipelineItem, run: &mut Run<'_>, correlation: &mut Correlation) {
    let mut aliases = BTreeSet::new();
    for alias in &mut correlation.aliases {
        aliases.insert(alias.name.node.clone());
        alias.fields.iter_mut().for_each(|(_, field)| field_names::rename_one(item, run, field));
    }
    for field in &mut correlation.group_by {
        if !aliases.contains(&field.node) {
            field_names::rename_one(item, run, field);
        }
    }
    if let CorrelationCondition::Threshold(threshold) = &mut correlation.condition {
        for field in &mut threshold.fields {
            field_names::rename_one(item, run, field);
        }
    }
}
