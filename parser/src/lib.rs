//! Sigma documents as typed trees with source positions.
//!
//! In: the text of a rule document (YAML or JSON, several documents in one text). Out: a typed tree
//! per document and a list of diagnostics. Nothing here reads files or knows how rules are matched.

#![forbid(unsafe_code)]

mod condition;
mod diagnostic;
mod field_mapping;
mod modifier;
mod predicate;
mod rule;
mod span;
pub mod yaml;

pub use condition::{Expr, Quantifier};
pub use diagnostic::{Code, Diagnostic, Severity};
pub use field_mapping::FieldMapping;
pub use modifier::Modifier;
pub use predicate::{Comparison, Number, Part, Pattern, Predicate, Regex, Relation, Test};
pub use rule::{
    Block, Condition, DetectionItem, DetectionSection, KafkaBlock, Level, Logsource, Rule,
    Selection, Value,
};
pub use span::{LineIndex, Position, Span, Spanned};

/// What a text holds: the rules that can be loaded, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The documents that can be loaded, in order.
    pub documents: Vec<Document>,
    /// All findings, in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
}

/// A document of a rules text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Document {
    /// A detection rule.
    Rule(Box<Rule>),
}

/// Reads every document of a text.
pub fn parse(_text: &str) -> Parsed {
    Parsed::default()
}

/// Reads every document of a file's bytes; what is not UTF-8 is a diagnostic.
pub fn parse_bytes(_bytes: &[u8]) -> Parsed {
    Parsed::default()
}
