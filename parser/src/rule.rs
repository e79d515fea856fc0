//! The typed tree of a Sigma rule: what the reader makes of a document and all other crates read.
//!
//! Every node keeps its place in the source. A [`DetectionItem`] carries both what was written
//! (field, modifiers, values) and what the modifiers make of it (its [`Predicate`]); the predicate
//! alone decides what matches.

use std::sync::Arc;

use crate::condition::{Aggregation, AggregationKind, Expr, Neighbour};
use crate::modifier::Modifier;
use crate::predicate::Predicate;
use crate::span::{Span, Spanned};
use crate::yaml::Node;

/// A Sigma rule that can be loaded.
#[derive(Debug, Clone)]
pub struct Rule {
    /// `title`.
    pub title: Spanned<String>,
    /// `id`.
    pub id: Option<Spanned<String>>,
    /// `name`, by which correlations and filters refer to the rule.
    pub name: Option<Spanned<String>>,
    /// `status`.
    pub status: Option<Spanned<String>>,
    /// `level`.
    pub level: Option<Spanned<Level>>,
    /// `description`.
    pub description: Option<Spanned<String>>,
    /// `author`.
    pub author: Option<Spanned<String>>,
    /// `references`.
    pub references: Vec<Spanned<String>>,
    /// `tags`.
    pub tags: Vec<Spanned<String>>,
    /// `fields`.
    pub fields: Vec<Spanned<String>>,
    /// `logsource`; absent only with a diagnostic.
    pub logsource: Option<Logsource>,
    /// `detection`.
    pub detection: DetectionSection,
    /// `kafka`, Confluent Sigma's extension.
    pub kafka: Option<KafkaBlock>,
    /// The document it was read from, whole: to write the rule to a topic again without loss.
    pub document: Arc<Node>,
}

impl Rule {
    /// The whole document as one JSON object: every attribute, also those that nothing here reads.
    /// Reading it again gives the same rule.
    pub fn to_json(&self) -> String {
        document_json(&self.document)
    }
}

/// A document as JSON. Scalars have their types where types have a meaning; elsewhere a spelling that
/// JSON does not have stays a text.
pub(crate) fn document_json(document: &Node) -> String {
    let is_typed = |key: &str| matches!(key, "detection" | "correlation" | "filter");
    crate::yaml::to_json_with(document, &is_typed)
}

/// `level`, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `informational`
    Informational,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `critical`
    Critical,
}

impl Level {
    /// Every level, in rising order.
    pub const ALL: [Self; 5] =
        [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word in a rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// `logsource`.
#[derive(Debug, Clone, Default)]
pub struct Logsource {
    /// `category`
    pub category: Option<Spanned<String>>,
    /// `product`
    pub product: Option<Spanned<String>>,
    /// `service`
    pub service: Option<Spanned<String>>,
    /// Where the block stands.
    pub span: Span,
}

impl Logsource {
    /// In words: `product windows, category process_creation`.
    pub fn describe(&self) -> String {
        let parts =
            [("product", &self.product), ("category", &self.category), ("service", &self.service)];
        let parts = parts
            .iter()
            .filter_map(|(name, part)| part.as_ref().map(|part| format!("{name} {}", part.node)));
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { "an empty log source".to_owned() } else { parts.join(", ") }
    }
}

/// Confluent Sigma's `kafka` block.
#[derive(Debug, Clone, Default)]
pub struct KafkaBlock {
    /// `outputTopic`: where this rule's detections go.
    pub output_topic: Option<Spanned<String>>,
    /// `customFields`: added to every detection, in the order written.
    pub custom_fields: Vec<(String, String)>,
}

/// The `detection` part of a rule.
#[derive(Debug, Clone)]
pub struct DetectionSection {
    /// The named selections, in the order written.
    pub selections: Vec<Selection>,
    /// `condition`: one, or a list of which each is a detection of its own.
    pub conditions: Vec<Condition>,
    /// `timeframe`, of the older aggregation conditions.
    pub timeframe: Option<Spanned<String>>,
}

impl DetectionSection {
    /// The selection of that name.
    pub fn selection(&self, name: &str) -> Option<&Selection> {
        self.selections.iter().find(|selection| selection.name.node == name)
    }
}

/// A named selection.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Its search identifier.
    pub name: Spanned<String>,
    /// What it asks for.
    pub body: Block,
}

/// The inside of a selection. Maps are conjunctions, lists are disjunctions.
#[derive(Debug, Clone)]
pub enum Block {
    /// Holds if every part holds: a map.
    AllOf(Vec<Block>),
    /// Holds if one part holds: a list.
    AnyOf(Vec<Block>),
    /// One line of a map, or a list of keywords.
    Item(DetectionItem),
}

/// One field with its modifiers and values, or keywords.
#[derive(Debug, Clone)]
pub struct DetectionItem {
    /// The field; absent for keywords, which look at every value of the event.
    pub field: Option<Spanned<String>>,
    /// The modifiers, in the order written.
    pub modifiers: Vec<Spanned<Modifier>>,
    /// The values as written.
    pub values: Vec<Spanned<Value>>,
    /// What the modifiers make of the values.
    pub predicate: Predicate,
    /// Where the item stands: key and values.
    pub span: Span,
}

/// A value as written in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, unescaped by YAML but not by Sigma.
    Text(String),
    /// A number, as spelled.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// One condition of a rule.
#[derive(Debug, Clone)]
pub struct Condition {
    /// As written.
    pub text: Spanned<String>,
    /// Its tree, with every name resolved to selections that exist.
    pub expr: Expr,
    /// The obsolete part behind a pipe; only in rules with a `timeframe`.
    pub aggregation: Option<Aggregation>,
}

impl Condition {
    /// Every expression over selections: its own, and those that `near` names.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let near = self.aggregation.iter().flat_map(|one| one.neighbours());
        std::iter::once(&self.expr).chain(near.map(|neighbour| &neighbour.expr))
    }

    pub(crate) fn expressions_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        let near: &mut [Neighbour] = match &mut self.aggregation {
            Some(Aggregation { wanted: AggregationKind::Near(neighbours), .. }) => neighbours,
            _ => &mut [],
        };
        std::iter::once(&mut self.expr).chain(near.iter_mut().map(|one| &mut one.expr))
    }
}
