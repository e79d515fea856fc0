//! What is legal and likely not meant: looked for on request, in the documents of one text.
//!
//! In: documents that can be loaded. Out: warnings. Nothing here changes what a rule means, so only those
//! who write rules ask for it. Every check names certain cases only: a rule that does what its author
//! wants has to stay without warnings.

mod attack;
mod attack_techniques;
mod contradiction;
mod logsource;
mod logsource_table;
mod tag;
mod wildcard;

use std::collections::HashSet;

use crate::Document;
use crate::condition::Expr;
use crate::correlation::{Correlation, Filter};
use crate::diagnostic::{Code, Diagnostic};
pub(crate) use crate::reader::header::shorten;
use crate::rule::{DetectionSection, Logsource, Rule};
use crate::span::{Span, Spanned};

/// A document, wherever it is kept.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum DocumentRef<'a> {
    /// A detection rule.
    Rule(&'a Rule),
    /// A correlation rule.
    Correlation(&'a Correlation),
    /// A filter.
    Filter(&'a Filter),
}

impl<'a> From<&'a Document> for DocumentRef<'a> {
    fn from(document: &'a Document) -> Self {
        match document {
            Document::Rule(rule) => Self::Rule(rule),
            Document::Correlation(correlation) => Self::Correlation(correlation),
            Document::Filter(filter) => Self::Filter(filter),
        }
    }
}

/// The warnings about the documents of one text, in the order of their places.
pub fn check<'a, D: Into<DocumentRef<'a>>>(
    documents: impl IntoIterator<Item = D>,
) -> Vec<Diagnostic> {
    let documents: Vec<Parts<'_>> =
        documents.into_iter().map(|document| Parts::of(document.into())).collect();
    let mut found = Vec::new();
    let mut used: HashSet<Span> = HashSet::new();
    for parts in &documents {
        for tag in parts.tags {
            found.extend(tag::check(tag));
        }
        found.extend(parts.logsource.and_then(logsource::check));
        if let Some(detection) = parts.detection {
            wildcard::check(detection, &mut found);
            contradiction::check(detection, &mut found);
            used.extend(used_selections(detection));
        }
    }
    // Documents of a collection share selections, of which each may use its own.
    for detection in documents.iter().filter_map(|parts| parts.detection) {
        found.extend(unused(detection, &used));
    }
    found.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.code));
    // What documents of a collection share was looked at for each.
    found.dedup();
    found
}

/// What is looked at, whatever the document is.
struct Parts<'a> {
    tags: &'a [Spanned<String>],
    logsource: Option<&'a Logsource>,
    detection: Option<&'a DetectionSection>,
}

impl<'a> Parts<'a> {
    fn of(document: DocumentRef<'a>) -> Self {
        match document {
            DocumentRef::Rule(rule) => Self {
                tags: &rule.tags,
                logsource: rule.logsource.as_ref(),
                detection: Some(&rule.detection),
            },
            DocumentRef::Correlation(correlation) => {
                Self { tags: &correlation.tags, logsource: None, detection: None }
            }
            DocumentRef::Filter(filter) => Self {
                tags: &[],
                logsource: filter.logsource.as_ref(),
                detection: Some(&filter.detection),
            },
        }
    }
}

/// The places of the selections that conditions name.
fn used_selections(detection: &DetectionSection) -> HashSet<Span> {
    let mut used = HashSet::new();
    let mut open: Vec<&Expr> =
        detection.conditions.iter().flat_map(|one| one.expressions()).collect();
    let mut take = |index: usize| {
        used.extend(detection.selections.get(index).map(|selection| selection.name.span));
    };
    while let Some(expr) = open.pop() {
        match expr {
            Expr::And(parts) | Expr::Or(parts) => open.extend(parts),
            Expr::Not(part) => open.push(part),
            Expr::Selection(index, _) => take(*index),
            Expr::Of(_, indices, _) => indices.iter().for_each(|index| take(*index)),
        }
    }
    used
}

fn unused(detection: &DetectionSection, used: &HashSet<Span>) -> Vec<Diagnostic> {
    let names = detection.selections.iter().map(|selection| &selection.name);
    let unused = names.filter(|name| !used.contains(&name.span));
    let warning = |name: &Spanned<String>| {
        Diagnostic::warning(Code::UnreferencedSelection, name.span)
            .message(format!("no condition uses the selection `{}`", name.node))
            .help("use it, or take it out: it has no effect")
    };
    unused.map(warning).collect()
}
