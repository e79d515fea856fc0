//! Sigma documents as typed trees with source positions.
//!
//! In: the text of a rule document (YAML or JSON, several documents in one text). Out: a typed tree
//! per document and a list of diagnostics. Nothing here reads files or knows how rules are matched.
//!
//! ```
//! let parsed = sigmill_parser::parse(
//!     "title: Whoami\nlogsource: {category: process_creation}\n\
//!      detection: {sel: {Image|endswith: '\\whoami.exe'}, condition: sel}\n",
//! );
//! assert!(parsed.diagnostics.is_empty());
//! let sigmill_parser::Document::Rule(rule) = &parsed.documents[0] else { panic!("a rule") };
//! assert_eq!(rule.title.node, "Whoami");
//! ```

#![forbid(unsafe_code)]

mod backtracking;
mod checks;
mod cidr;
mod collection;
mod condition;
mod correlation;
mod diagnostic;
mod encode;
mod encoding;
mod escape;
mod field_mapping;
mod json_path;
mod modifier;
mod pipeline;
mod predicate;
mod reader;
mod regex;
mod rule;
mod span;
mod suggest;
mod time_part;
mod windash;
pub mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use checks::{DocumentRef, check};
pub use condition::{
    Aggregation, AggregationFunction, AggregationKind, AggregationRelation, Expr, Neighbour,
    Quantifier,
};
pub use correlation::{
    Alias, Correlation, CorrelationCondition, CorrelationType, Filter, FilterRules, Threshold,
};
pub use diagnostic::{Code, Diagnostic, Severity};
pub use field_mapping::FieldMapping;
pub use json_path::{JsonPath, PathFilter, PathLiteral, PathRelation, PathStep};
pub use modifier::Modifier;
pub use pipeline::{Outcome, ParsedPipeline, Pipeline, Pipelines, UnmappedLogsource};
pub use predicate::{
    Comparison, Number, Part, Pattern, Predicate, Regex, Relation, SEARCH_BYTES_MAX,
    SEARCH_STEPS_MAX, Test,
};
pub use rule::{
    Block, Condition, DetectionItem, DetectionSection, KafkaBlock, Level, Logsource, Rule,
    Selection, Value,
};
pub use span::{LineIndex, Position, Span, Spanned};
pub use time_part::TimePart;

use reader::Reader;
use yaml::Node;

/// What a text holds: the rules that can be loaded, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The documents that can be loaded, in order.
    pub documents: Vec<Document>,
    /// All findings, in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
    /// The names and ids of documents that are there and cannot be loaded.
    pub broken: Vec<String>,
}

/// A document of a rules text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Document {
    /// A detection rule.
    Rule(Box<Rule>),
    /// A correlation rule.
    Correlation(Box<Correlation>),
    /// A filter.
    Filter(Box<Filter>),
}

/// How a text is read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseOptions {
    /// The values of `%name%` under `expand`; they may hold wildcards. A rule with a placeholder that
    /// has no value here cannot be loaded.
    pub placeholders: BTreeMap<String, Vec<String>>,
    /// Whether the text is all there is, so that a rule which a correlation names has to be in it. For
    /// one of several files or records this is `false`; [`check_references`] then looks at the whole.
    pub is_whole_set: bool,
    /// Whether a rule with a placeholder that has no value here is read all the same, because
    /// [`Pipelines`] are to be applied to it; they refuse it if none of them has a value either.
    pub keeps_placeholders: bool,
    /// Whether look-around, back references and what else has no linear-time meaning is taken, to be
    /// searched for by backtracking within bounds.
    pub allows_backtracking: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            placeholders: BTreeMap::new(),
            is_whole_set: true,
            keeps_placeholders: false,
            allows_backtracking: false,
        }
    }
}

/// Reads every document of a text.
pub fn parse(text: &str) -> Parsed {
    parse_with(text, &ParseOptions::default())
}

/// Reads every document of a file's bytes; what is not UTF-8 is a diagnostic.
pub fn parse_bytes(bytes: &[u8]) -> Parsed {
    parse_bytes_with(bytes, &ParseOptions::default())
}

/// As [`parse_bytes`], with options.
pub fn parse_bytes_with(bytes: &[u8], options: &ParseOptions) -> Parsed {
    match encoding::decode(bytes) {
        Ok(text) => parse_with(text, options),
        Err(diagnostic) => Parsed { diagnostics: vec![diagnostic], ..Parsed::default() },
    }
}

/// Reads every document of a text, with options.
pub fn parse_with(text: &str, options: &ParseOptions) -> Parsed {
    if let Err(diagnostic) = encoding::check(text) {
        return Parsed { diagnostics: vec![diagnostic], ..Parsed::default() };
    }
    let (nodes, diagnostics) = yaml::load(text);
    if nodes.is_empty() && diagnostics.is_empty() {
        let diagnostic = Diagnostic::error(Code::EmptyDocument, Span::default())
            .message("the text holds no document");
        return Parsed { diagnostics: vec![diagnostic], ..Parsed::default() };
    }
    let mut reader = Reader { source: text, options, diagnostics };
    let roots = collection::flatten(&mut reader, nodes);
    let (mut documents, mut broken) = (Vec::new(), Vec::new());
    for root in roots {
        let names = names(&root);
        match document(&mut reader, root) {
            Some(document) => documents.push(document),
            None => broken.extend(names),
        }
    }
    if options.is_whole_set {
        let broken: Vec<&str> = broken.iter().map(String::as_str).collect();
        let mut circular = Vec::new();
        let all: Vec<&Document> = documents.iter().collect();
        for (at, diagnostic) in reader::references::check(&all, &broken) {
            circular.extend(diagnostic.is_blocking().then_some(at));
            reader.report(diagnostic);
        }
        let mut at = 0..;
        documents.retain(|_| at.next().is_some_and(|at| !circular.contains(&at)));
    }
    let mut diagnostics = reader.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    Parsed { documents, diagnostics, broken }
}

/// What is wrong with the references between documents that were read from several texts: each finding
/// with the index of its document. `broken` are the names of documents that are there and cannot be
/// loaded.
pub fn check_references(documents: &[&Document], broken: &[&str]) -> Vec<(usize, Diagnostic)> {
    reader::references::check(documents, broken)
}

/// The names by which a document can be referred to, even if it cannot be loaded.
fn names(root: &Node) -> Vec<String> {
    let name = |key| root.get(key).and_then(Node::key).map(str::to_owned);
    ["id", "name"].into_iter().filter_map(name).collect()
}

/// Reads one document, of whatever type it is.
fn document(reader: &mut Reader<'_>, root: Node) -> Option<Document> {
    let range = root.span.range();
    // What the YAML reader found, such as a repeated key.
    let was_broken = reader.diagnostics.iter().any(|diagnostic| {
        diagnostic.is_blocking() && range.contains(&(diagnostic.span.start as usize))
    });
    let before = reader.diagnostics.len();
    if root.as_mapping().is_none() {
        let diagnostic = Diagnostic::error(Code::TypeError, root.span)
            .message(format!("a rule has to be a map, not {}", root.describe()));
        reader.report(diagnostic);
        return None;
    }
    let root = Arc::new(root);
    let document = if let Some((key, section)) = root.entry("correlation") {
        let correlation = reader::correlation::read(reader, &root, key, section);
        correlation.map(|correlation| Document::Correlation(Box::new(correlation)))
    } else if let Some((key, section)) = root.entry("filter") {
        let filter = reader::filter::read(reader, &root, key, section);
        filter.map(|filter| Document::Filter(Box::new(filter)))
    } else {
        reader::rule::read(reader, &root).map(|rule| Document::Rule(Box::new(rule)))
    };
    let is_broken = was_broken || reader.diagnostics[before..].iter().any(Diagnostic::is_blocking);
    document.filter(|_| !is_broken)
}
