//! The conditions of a pipeline item and how several are put together.
//!
//! What each test asks is in `tests_of`.

use std::sync::Arc;

use regex_automata::meta::Regex;

use crate::condition::Expr;
use crate::rule::Value;

/// Conditions of one kind, and how they are linked.
#[derive(Debug, Clone)]
pub(crate) struct Conditions<T> {
    pub(crate) tests: Vec<T>,
    pub(crate) linking: Linking,
    pub(crate) is_negated: bool,
}

/// How conditions are linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Linking {
    All,
    Any,
    /// An expression in which a selection is an index into the tests.
    Expr(Expr),
}

impl<T> Default for Conditions<T> {
    fn default() -> Self {
        Self { tests: Vec::new(), linking: Linking::All, is_negated: false }
    }
}

impl<T> Conditions<T> {
    /// Whether the conditions hold; none at all always do.
    pub(crate) fn hold(&self, holds: impl Fn(&T) -> bool) -> bool {
        if self.tests.is_empty() {
            return true;
        }
        let linked = match &self.linking {
            Linking::All => self.tests.iter().all(&holds),
            Linking::Any => self.tests.iter().any(&holds),
            Linking::Expr(expr) => expression(expr, &|at| self.tests.get(at).is_some_and(&holds)),
        };
        linked != self.is_negated
    }
}

fn expression(expr: &Expr, holds: &dyn Fn(usize) -> bool) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(|part| expression(part, holds)),
        Expr::Or(parts) => parts.iter().any(|part| expression(part, holds)),
        Expr::Not(part) => !expression(part, holds),
        Expr::Selection(at, _) => holds(*at),
        Expr::Of(quantifier, indices, _) => {
            let held = indices.iter().filter(|at| holds(**at)).count();
            match quantifier {
                crate::Quantifier::Any => held > 0,
                crate::Quantifier::All => held == indices.len(),
                crate::Quantifier::AtLeast(wanted) => held >= *wanted as usize,
            }
        }
    }
}

/// A condition on a rule.
#[derive(Debug, Clone)]
pub(crate) enum RuleTest {
    Logsource(LogsourceTest),
    ContainsDetectionItem { field: String, value: Value },
    ContainsField(String),
    ItemApplied(Arc<str>),
    State(StateTest),
    IsRule,
    IsCorrelation,
    Attribute { attribute: String, value: Value, relation: Relation },
    Tag(String),
}

/// A condition on a detection item.
#[derive(Debug, Clone)]
pub(crate) enum ItemTest {
    MatchString { regex: Regex, is_negated: bool, is_all: bool },
    MatchValue { value: Value, is_all: bool },
    ContainsWildcard { is_all: bool },
    IsNull { is_all: bool },
    ItemApplied(Arc<str>),
    State(StateTest),
}

/// A condition on the name of a field.
#[derive(Debug, Clone)]
pub(crate) enum FieldTest {
    Include(Names),
    Exclude(Names),
    ItemApplied(Arc<str>),
    State(StateTest),
}

/// Names of fields, in full or as expressions that match from the start.
#[derive(Debug, Clone)]
pub(crate) enum Names {
    Plain(Vec<String>),
    Regex(Vec<Regex>),
}

/// `logsource`: for each part the values of which one is wanted; `None` among them means that the
/// rule does not give the part. An empty list asks for nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogsourceTest {
    pub(crate) category: Vec<Option<String>>,
    pub(crate) product: Vec<Option<String>>,
    pub(crate) service: Vec<Option<String>>,
}

/// `processing_state`
#[derive(Debug, Clone)]
pub(crate) struct StateTest {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) relation: Relation,
}

/// `op`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
    In,
    NotIn,
}

impl Relation {
    /// Every relation and its word.
    pub(crate) const ALL: [(&'static str, Self); 8] = [
        ("eq", Self::Equal),
        ("ne", Self::NotEqual),
        ("gte", Self::GreaterOrEqual),
        ("gt", Self::Greater),
        ("lte", Self::LessOrEqual),
        ("lt", Self::Less),
        ("in", Self::In),
        ("not_in", Self::NotIn),
    ];

    /// Whether two things in this order stand in the relation.
    pub(crate) fn of(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal | Self::In => order.is_eq(),
            Self::NotEqual | Self::NotIn => order.is_ne(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
            Self::LessOrEqual => order.is_le(),
            Self::Less => order.is_lt(),
        }
    }
}

/// Every type of condition and its options, by kind.
pub(crate) const RULE_CONDITIONS: &[(&str, &[&str])] = &[
    ("logsource", &["category", "product", "service"]),
    ("contains_detection_item", &["field", "value"]),
    ("contains_field", &["field"]),
    ("processing_item_applied", &["processing_item_id"]),
    ("processing_state", &["key", "val", "op"]),
    ("is_sigma_rule", &[]),
    ("is_sigma_correlation_rule", &[]),
    ("rule_attribute", &["attribute", "value", "op"]),
    ("tag", &["tag"]),
];
pub(crate) const ITEM_CONDITIONS: &[(&str, &[&str])] = &[
    ("match_string", &["cond", "pattern", "negate"]),
    ("match_value", &["cond", "value"]),
    ("contains_wildcard", &["cond"]),
    ("is_null", &["cond"]),
    ("processing_item_applied", &["processing_item_id"]),
    ("processing_state", &["key", "val", "op"]),
];
pub(crate) const FIELD_CONDITIONS: &[(&str, &[&str])] = &[
    ("include_fields", &["fields", "mode"]),
    ("exclude_fields", &["fields", "mode"]),
    ("processing_item_applied", &["processing_item_id"]),
    ("processing_state", &["key", "val", "op"]),
];
