//! What is known while pipelines run over one document.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::rule::{Logsource, Value};
use crate::yaml::Node;

/// Why a document cannot be used under a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// The document that pipelines run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A rule, with the filters that reach it.
    Rule,
    Correlation,
}

/// What the transformations so far have left behind.
#[derive(Debug, Clone)]
pub(crate) struct Run<'a> {
    pub(crate) kind: Kind,
    /// The document as written.
    pub(crate) document: &'a Node,
    /// The variables of all pipelines.
    pub(crate) vars: &'a BTreeMap<String, Vec<String>>,
    /// The values in the files of the pipeline at work.
    pub(crate) file_values: Option<&'a BTreeMap<String, Vec<String>>>,
    /// Of a correlation: the log sources of the rules it builds on, before and after their pipelines.
    pub(crate) logsources: &'a [Logsource],
    /// Ids of the items that were applied to the document.
    pub(crate) applied: BTreeSet<Arc<str>>,
    /// Ids of the items that were applied to a name outside of detection items.
    pub(crate) applied_to_names: BTreeMap<String, BTreeSet<Arc<str>>>,
    pub(crate) state: BTreeMap<String, Value>,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// Fields that were mapped, and what they were mapped to.
    pub(crate) mapped: BTreeSet<String>,
    /// Whether a condition was added because of the log source.
    pub(crate) has_logsource_condition: bool,
    /// Whether the item at work is inside one for a certain log source.
    pub(crate) is_for_logsource: bool,
}

impl Run<'_> {
    /// Notes that a name outside of detection items became others.
    pub(crate) fn track(&mut self, name: &str, targets: &[String], id: Option<&Arc<str>>) {
        if targets == [name] {
            return;
        }
        let mut ids = self.applied_to_names.remove(name).unwrap_or_default();
        ids.extend(id.cloned());
        for target in targets {
            self.applied_to_names.entry(target.clone()).or_default().extend(ids.iter().cloned());
        }
    }

    /// Notes that a field was mapped.
    pub(crate) fn note_mapping(&mut self, field: Option<&str>, targets: &[String]) {
        self.mapped.extend(field.map(str::to_owned));
        self.mapped.extend(targets.iter().cloned());
    }

    /// Takes over what one of several alternatives has left behind.
    pub(crate) fn join(&mut self, other: Self) {
        self.applied.extend(other.applied);
        self.mapped.extend(other.mapped);
        self.state.extend(other.state);
        self.attributes.extend(other.attributes);
        for (name, ids) in other.applied_to_names {
            self.applied_to_names.entry(name).or_default().extend(ids);
        }
        self.has_logsource_condition &= other.has_logsource_condition;
    }
}
