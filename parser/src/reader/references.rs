//! References between documents: rules that correlations and filters name, and circles among them.

use std::collections::HashMap;

use super::header::shorten;
use crate::Document;
use crate::correlation::{Correlation, FilterRules};
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Spanned;
use crate::suggest::nearest;

/// The findings about a set of documents, each with the index of its document. `known` are the names
/// and ids of documents that exist beside them.
///
/// A name that nothing has does not keep a document from being loaded, since the rule may come later; a
/// circle does.
pub(crate) fn check(documents: &[&Document], known: &[&str]) -> Vec<(usize, Diagnostic)> {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (at, document) in documents.iter().enumerate() {
        for name in names(document) {
            owners.entry(name).or_insert(at);
        }
    }
    let mut findings = Vec::new();
    for (at, document) in documents.iter().enumerate() {
        let references: &[Spanned<String>] = match document {
            Document::Correlation(correlation) => &correlation.rules,
            Document::Filter(filter) => match &filter.rules {
                FilterRules::Any => &[],
                FilterRules::Named(names) => names,
            },
            Document::Rule(_) => &[],
        };
        for reference in references {
            let name = reference.node.as_str();
            if !owners.contains_key(name) && !known.contains(&name) {
                let names = owners.keys().copied().chain(known.iter().copied());
                findings.push((at, unknown(document, reference, nearest(name, names))));
            }
        }
    }
    findings.extend(circles(documents, &owners));
    findings
}

/// The names by which a document can be referred to.
fn names(document: &Document) -> Vec<&str> {
    let (id, name) = match document {
        Document::Rule(rule) => (&rule.id, &rule.name),
        Document::Correlation(correlation) => (&correlation.id, &correlation.name),
        // Nothing refers to a filter.
        Document::Filter(_) => return Vec::new(),
    };
    [id, name].into_iter().flatten().map(|name| name.node.as_str()).collect()
}

fn unknown(document: &Document, reference: &Spanned<String>, near: Option<&str>) -> Diagnostic {
    let message = format!("there is no rule with the name or id `{}`", shorten(&reference.node));
    let diagnostic = match document {
        // A filter without its rule is without effect; a correlation without it never holds.
        Document::Filter(_) => Diagnostic::warning(Code::CorrelationReference, reference.span),
        _ => Diagnostic::error(Code::CorrelationReference, reference.span).loadable(),
    };
    match near {
        Some(near) => diagnostic.message(message).help(format!("did you mean `{near}`?")),
        None => diagnostic.message(message).help("give the rule this `name`, or use its `id`"),
    }
}

/// Correlations that lead back to themselves.
fn circles(documents: &[&Document], owners: &HashMap<&str, usize>) -> Vec<(usize, Diagnostic)> {
    let correlation = |at: usize| match documents[at] {
        Document::Correlation(correlation) => Some(correlation.as_ref()),
        _ => None,
    };
    let targets = |correlation: &Correlation| -> Vec<usize> {
        correlation
            .rules
            .iter()
            .filter_map(|rule| owners.get(rule.node.as_str()).copied())
            .collect()
    };
    let mut findings = Vec::new();
    for start in 0..documents.len() {
        let Some(first) = correlation(start) else { continue };
        for reference in &first.rules {
            let Some(&next) = owners.get(reference.node.as_str()) else { continue };
            // Everything that the reference leads to; the search ends where it comes back.
            let mut seen = vec![false; documents.len()];
            let mut open = vec![next];
            while let Some(at) = open.pop() {
                if !std::mem::replace(&mut seen[at], true) {
                    open.extend(correlation(at).map_or_else(Vec::new, targets));
                }
            }
            if seen[start] {
                let diagnostic = Diagnostic::error(Code::CorrelationCycle, reference.span)
                    .message(format!("`{}` refers back to this correlation", reference.node))
                    .help("a correlation can only build on rules that do not build on it");
                findings.push((start, diagnostic));
            }
        }
    }
    findings
}
