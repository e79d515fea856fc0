//! The typed trees of correlation rules and of Sigma filters.

use std::sync::Arc;
use std::time::Duration;

use crate::condition::{AggregationRelation, Expr};
use crate::predicate::Number;
use crate::rule::{DetectionSection, KafkaBlock, Level, Logsource, document_json};
use crate::span::Spanned;
use crate::yaml::Node;

/// A correlation rule that can be loaded, as far as itself goes: the rules it names may be missing.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// `title`.
    pub title: Spanned<String>,
    /// `id`.
    pub id: Option<Spanned<String>>,
    /// `name`, by which other correlations refer to this one.
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
    /// `correlation.type`.
    pub kind: Spanned<CorrelationType>,
    /// `correlation.rules`: ids or names, in the order written.
    pub rules: Vec<Spanned<String>>,
    /// `correlation.aliases`.
    pub aliases: Vec<Alias>,
    /// `correlation.group-by`: fields or aliases.
    pub group_by: Vec<Spanned<String>>,
    /// `correlation.timespan`.
    pub timespan: Spanned<Duration>,
    /// `correlation.condition`.
    pub condition: CorrelationCondition,
    /// `correlation.generate`: whether the rules named here also make detections of their own.
    pub generate: bool,
    /// `kafka`, Confluent Sigma's extension.
    pub kafka: Option<KafkaBlock>,
    /// The document it was read from, whole.
    pub document: Arc<Node>,
}

impl Correlation {
    /// The whole document as one JSON object.
    pub fn to_json(&self) -> String {
        document_json(&self.document)
    }
}

/// What a correlation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CorrelationType {
    /// Events.
    EventCount,
    /// Distinct values of a field.
    ValueCount,
    /// Which of the rules matched.
    Temporal,
    /// Which of the rules matched, in their order.
    TemporalOrdered,
    /// The sum of a field's values.
    ValueSum,
    /// Their mean.
    ValueAvg,
    /// A percentile of them.
    ValuePercentile,
    /// Their median.
    ValueMedian,
}

impl CorrelationType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::EventCount,
        Self::ValueCount,
        Self::Temporal,
        Self::TemporalOrdered,
        Self::ValueSum,
        Self::ValueAvg,
        Self::ValuePercentile,
        Self::ValueMedian,
    ];

    /// The word in a rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventCount => "event_count",
            Self::ValueCount => "value_count",
            Self::Temporal => "temporal",
            Self::TemporalOrdered => "temporal_ordered",
            Self::ValueSum => "value_sum",
            Self::ValueAvg => "value_avg",
            Self::ValuePercentile => "value_percentile",
            Self::ValueMedian => "value_median",
        }
    }

    /// Whether the order or presence of rules counts, and not a number.
    pub fn is_temporal(self) -> bool {
        matches!(self, Self::Temporal | Self::TemporalOrdered)
    }

    /// Whether a field's values are looked at.
    pub fn needs_field(self) -> bool {
        !self.is_temporal() && self != Self::EventCount
    }
}

/// A name for a field that is called differently in the events of different rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name, as `group-by` uses it.
    pub name: Spanned<String>,
    /// Rule and field.
    pub fields: Vec<(Spanned<String>, Spanned<String>)>,
}

/// When a correlation holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorrelationCondition {
    /// A temporal correlation without a condition: every rule has matched.
    AllRules,
    /// A number in certain bounds.
    Threshold(Threshold),
    /// An expression over the rules; a selection in it is an index into [`Correlation::rules`].
    Rules(Expr),
}

/// A condition on a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    /// `field`: the fields whose values count, none for `event_count`.
    pub fields: Vec<Spanned<String>>,
    /// `percentile`, from 0 to 100.
    pub percentile: Option<Number>,
    /// The bounds, all of which have to hold; never empty.
    pub bounds: Vec<(AggregationRelation, Number)>,
}

/// A Sigma filter: a condition that is added to other rules.
#[derive(Debug, Clone)]
pub struct Filter {
    /// `title`.
    pub title: Spanned<String>,
    /// `id`.
    pub id: Option<Spanned<String>>,
    /// `name`.
    pub name: Option<Spanned<String>>,
    /// `description`.
    pub description: Option<Spanned<String>>,
    /// `logsource`; absent only with a diagnostic.
    pub logsource: Option<Logsource>,
    /// `filter.rules`.
    pub rules: FilterRules,
    /// The selections and the condition of `filter`.
    pub detection: DetectionSection,
    /// The document it was read from, whole.
    pub document: Arc<Node>,
}

impl Filter {
    /// The whole document as one JSON object.
    pub fn to_json(&self) -> String {
        document_json(&self.document)
    }
}

/// Which rules a filter is added to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterRules {
    /// `any`: every rule of the filter's log source.
    Any,
    /// Those with one of these ids or names.
    Named(Vec<Spanned<String>>),
}
