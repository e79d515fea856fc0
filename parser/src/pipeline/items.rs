//! One item of a pipeline: a transformation and the conditions under which it is applied.

use std::sync::Arc;

use super::condition::{Conditions, FieldTest, ItemTest, RuleTest};
use super::transformation::Transformation;

/// A transformation with its conditions.
#[derive(Debug, Clone)]
pub(crate) struct PipelineItem {
    /// `id`, by which later conditions ask whether the item was applied.
    pub(crate) id: Option<Arc<str>>,
    pub(crate) transformation: Transformation,
    pub(crate) rule_conditions: Conditions<RuleTest>,
    pub(crate) item_conditions: Conditions<ItemTest>,
    pub(crate) field_conditions: Conditions<FieldTest>,
}

impl PipelineItem {
    /// An item without conditions.
    pub(crate) fn new(id: Option<Arc<str>>, transformation: Transformation) -> Self {
        Self {
            id,
            transformation,
            rule_conditions: Conditions::default(),
            item_conditions: Conditions::default(),
            field_conditions: Conditions::default(),
        }
    }

    /// Whether the item is only applied to rules of a certain log source.
    pub(crate) fn is_for_logsource(&self) -> bool {
        self.rule_conditions.tests.iter().any(|test| matches!(test, RuleTest::Logsource(_)))
    }
}

/// Adds the files that items name.
pub(crate) fn files<'a>(items: &'a [PipelineItem], files: &mut Vec<&'a str>) {
    for item in items {
        match &item.transformation {
            Transformation::FilePlaceholders { path, .. } => files.push(path),
            Transformation::Nest(inner) => self::files(inner, files),
            Transformation::Alternatives(alternatives) => {
                alternatives.iter().for_each(|alternative| self::files(&alternative.items, files));
            }
            _ => {}
        }
    }
}
