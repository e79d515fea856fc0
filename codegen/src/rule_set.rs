//! Rules, correlations and filters together: who refers to whom, and what that makes of each.
//!
//! In: the documents of a rule set. Out: for each document the documents that its names mean, whether
//! its matches are detections of their own, and an order in which correlations stand behind what they
//! refer to. A rule that a correlation names makes no detections of its own, unless one of those that
//! name it says `generate: true`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sigmill_parser::{Correlation, Document, Filter, Level, Rule};

use crate::{CompileError, CompileOptions, filter};

/// A document of a rule set, shared with whoever else needs it.
#[derive(Debug, Clone)]
pub enum RuleDocument {
    /// A detection rule.
    Rule(Arc<Rule>),
    /// A correlation rule.
    Correlation(Arc<Correlation>),
    /// A filter.
    Filter(Arc<Filter>),
}

impl RuleDocument {
    /// `title`.
    pub fn title(&self) -> &str {
        match self {
            Self::Rule(rule) => &rule.title.node,
            Self::Correlation(correlation) => &correlation.title.node,
            Self::Filter(filter) => &filter.title.node,
        }
    }

    /// `id`.
    pub fn id(&self) -> Option<&str> {
        let id = match self {
            Self::Rule(rule) => &rule.id,
            Self::Correlation(correlation) => &correlation.id,
            Self::Filter(filter) => &filter.id,
        };
        id.as_ref().map(|id| id.node.as_str())
    }

    /// The whole document as one JSON object.
    pub fn to_json(&self) -> String {
        match self {
            Self::Rule(rule) => rule.to_json(),
            Self::Correlation(correlation) => correlation.to_json(),
            Self::Filter(filter) => filter.to_json(),
        }
    }

    /// `level`.
    pub fn level(&self) -> Option<Level> {
        let level = match self {
            Self::Rule(rule) => &rule.level,
            Self::Correlation(correlation) => &correlation.level,
            Self::Filter(_) => return None,
        };
        level.as_ref().map(|level| level.node)
    }

    /// `name`.
    pub fn name(&self) -> Option<&str> {
        let name = match self {
            Self::Rule(rule) => &rule.name,
            Self::Correlation(correlation) => &correlation.name,
            Self::Filter(filter) => &filter.name,
        };
        name.as_ref().map(|name| name.node.as_str())
    }
}

impl From<Document> for RuleDocument {
    fn from(document: Document) -> Self {
        match document {
            Document::Rule(rule) => Self::Rule(Arc::from(rule)),
            Document::Correlation(correlation) => Self::Correlation(Arc::from(correlation)),
            Document::Filter(filter) => Self::Filter(Arc::from(filter)),
            other => unreachable!("a document of no known type: {other:?}"),
        }
    }
}

impl From<RuleDocument> for Document {
    fn from(document: RuleDocument) -> Self {
        match document {
            RuleDocument::Rule(rule) => Self::Rule(Box::new(Arc::unwrap_or_clone(rule))),
            RuleDocument::Correlation(correlation) => {
                Self::Correlation(Box::new(Arc::unwrap_or_clone(correlation)))
            }
            RuleDocument::Filter(filter) => Self::Filter(Box::new(Arc::unwrap_or_clone(filter))),
        }
    }
}

/// Who depends on whom in a list of documents, by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// By document: what a correlation builds on.
    pub names: Vec<Vec<usize>>,
    /// By document: the filters that are added to a rule.
    pub filters: Vec<Vec<usize>>,
}

impl Links {
    /// Finds them.
    pub fn of(documents: &[RuleDocument]) -> Self {
        let references = References::new(documents, &CompileOptions::default());
        let mut links = Self { names: Vec::new(), filters: vec![Vec::new(); documents.len()] };
        for (at, document) in documents.iter().enumerate() {
            let mut names = Vec::new();
            match document {
                RuleDocument::Correlation(correlation) => {
                    names = correlation
                        .rules
                        .iter()
                        .flat_map(|rule| references.find(&rule.node))
                        .collect();
                }
                RuleDocument::Filter(filter) => {
                    let reach = filter::reach(filter, documents, &references);
                    reach.rules.iter().for_each(|rule| links.filters[*rule].push(at));
                }
                RuleDocument::Rule(_) => {}
            }
            links.names.push(names);
        }
        links
    }
}

/// The rules and correlations of a set by what others call them.
pub(crate) struct References {
    by_name: HashMap<String, Vec<usize>>,
    /// By document: whether a correlation names it, and whether one of those has `generate`.
    named: HashMap<usize, bool>,
    /// Those that are never detections.
    silent: BTreeSet<usize>,
    /// Why rules are not in the list, by name or id.
    absent: HashMap<String, String>,
}

/// Names are exact; the letter case of an id does not matter.
fn id_key(id: &str) -> String {
    id.to_ascii_lowercase()
}

impl References {
    pub(crate) fn new(documents: &[RuleDocument], options: &CompileOptions) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, document) in documents.iter().enumerate() {
            if matches!(document, RuleDocument::Filter(_)) {
                continue;
            }
            let id = document.id().map(id_key);
            let name = document.name().map(str::to_owned).filter(|name| Some(name) != id.as_ref());
            for name in id.into_iter().chain(name) {
                by_name.entry(name).or_default().push(at);
            }
        }
        let absent = options.absent.iter();
        let mut references = Self {
            by_name,
            named: HashMap::new(),
            silent: options.silent.clone(),
            absent: absent.map(|(name, why)| (id_key(name), why.clone())).collect(),
        };
        for (at, document) in documents.iter().enumerate() {
            let RuleDocument::Correlation(correlation) = document else { continue };
            // One that makes no detections has no say in who does.
            if options.silent.contains(&at) {
                continue;
            }
            for rule in &correlation.rules {
                for at in references.find(&rule.node) {
                    *references.named.entry(at).or_default() |= correlation.generate;
                }
            }
        }
        references
    }

    /// The documents that a name or id means, in order.
    pub(crate) fn find(&self, name: &str) -> Vec<usize> {
        let id = id_key(name);
        let mut found: Vec<usize> = self.by_name.get(name).cloned().unwrap_or_default();
        if id != name {
            found.extend(self.by_name.get(&id).into_iter().flatten());
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a document's matches are detections of their own.
    pub(crate) fn is_emitting(&self, document: usize) -> bool {
        !self.silent.contains(&document) && self.named.get(&document).copied().unwrap_or(true)
    }

    /// Why a name means nothing in the list.
    pub(crate) fn missing(&self, name: &str) -> CompileError {
        let name_owned = name.to_owned();
        match self.absent.get(&id_key(name)) {
            Some(why) => CompileError::AbsentReference { name: name_owned, why: why.clone() },
            None => CompileError::UnknownReference { name: name_owned },
        }
    }

    /// The correlations, each behind those it refers to, and those that stand in a circle or refer to
    /// one.
    pub(crate) fn order(&self, documents: &[RuleDocument]) -> (Vec<usize>, Vec<usize>) {
        let mut referred_by: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut waiting_for: HashMap<usize, usize> = HashMap::new();
        let mut ready = Vec::new();
        for (at, document) in documents.iter().enumerate() {
            let RuleDocument::Correlation(correlation) = document else { continue };
            let inner: HashSet<usize> = correlation
                .rules
                .iter()
                .flat_map(|rule| self.find(&rule.node))
                .filter(|inner| matches!(documents[*inner], RuleDocument::Correlation(_)))
                .collect();
            if inner.is_empty() {
                ready.push(at);
            } else {
                waiting_for.insert(at, inner.len());
            }
            inner.into_iter().for_each(|inner| referred_by.entry(inner).or_default().push(at));
        }
        let mut order = Vec::new();
        while let Some(at) = ready.get(order.len()).copied() {
            order.push(at);
            let mut outer = referred_by.remove(&at).unwrap_or_default();
            outer.sort_unstable();
            for outer in outer {
                if let Some(count) = waiting_for.get_mut(&outer) {
                    *count -= 1;
                    if *count == 0 {
                        waiting_for.remove(&outer);
                        ready.push(outer);
                    }
                }
            }
        }
        let mut circular: Vec<usize> = waiting_for.into_keys().collect();
        circular.sort_unstable();
        (order, circular)
    }
}
