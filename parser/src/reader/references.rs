//! References between documents: rules that correlations and filters name, and circles among them.

use std::collections::{HashMap, HashSet};

use super::header::shorten;
use crate::Document;
use crate::correlation::FilterRules;
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Spanned;
use crate::suggest::nearest;

/// The findings about a set of documents, each with the index of its document. `broken` are the names
/// and ids of documents that exist beside them and cannot be loaded.
///
/// A name that nothing has does not keep a document from being loaded, since the rule may come later; a
/// circle does. The letter case of an id does not matter.
pub(crate) fn check(documents: &[&Document], broken: &[&str]) -> Vec<(usize, Diagnostic)> {
    let mut owners = Owners::default();
    for (at, document) in documents.iter().enumerate() {
        let (id, name) = names(document);
        owners.add(id, name, at);
    }
    let broken: HashSet<String> = broken.iter().map(|name| name.to_ascii_lowercase()).collect();
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
            if owners.find(name).is_some() {
                continue;
            }
            let diagnostic = match broken.contains(&name.to_ascii_lowercase()) {
                true => unloadable(document, reference),
                false => unknown(document, reference, nearest(name, owners.spellings())),
            };
            findings.push((at, diagnostic));
        }
    }
    findings.extend(circles(documents, &owners));
    findings
}

/// Documents by what others call them.
#[derive(Default)]
struct Owners<'a> {
    /// In lower case.
    by_id: HashMap<String, usize>,
    by_name: HashMap<&'a str, usize>,
    spellings: Vec<&'a str>,
}

impl<'a> Owners<'a> {
    fn add(&mut self, id: Option<&'a str>, name: Option<&'a str>, at: usize) {
        if let Some(id) = id {
            self.by_id.entry(id.to_ascii_lowercase()).or_insert(at);
        }
        if let Some(name) = name {
            self.by_name.entry(name).or_insert(at);
        }
        self.spellings.extend([id, name].into_iter().flatten());
    }

    fn find(&self, name: &str) -> Option<usize> {
        let by_name = self.by_name.get(name).copied();
        by_name.or_else(|| self.by_id.get(&name.to_ascii_lowercase()).copied())
    }

    fn spellings(&self) -> impl Iterator<Item = &'a str> {
        self.spellings.iter().copied()
    }
}

/// The id and the name by which a document can be referred to.
fn names(document: &Document) -> (Option<&str>, Option<&str>) {
    let (id, name) = match document {
        Document::Rule(rule) => (&rule.id, &rule.name),
        Document::Correlation(correlation) => (&correlation.id, &correlation.name),
        // Nothing refers to a filter.
        Document::Filter(_) => return (None, None),
    };
    (id.as_ref().map(|id| id.node.as_str()), name.as_ref().map(|name| name.node.as_str()))
}

fn finding(document: &Document, reference: &Spanned<String>) -> Diagnostic {
    match document {
        // A filter without its rule is without effect; a correlation without it never holds.
        Document::Filter(_) => Diagnostic::warning(Code::CorrelationReference, reference.span),
        _ => Diagnostic::error(Code::CorrelationReference, reference.span).loadable(),
    }
}

fn unloadable(document: &Document, reference: &Spanned<String>) -> Diagnostic {
    finding(document, reference)
        .message(format!("the rule `{}` has errors and does not load", shorten(&reference.node)))
        .help("what is wrong with it is reported at its own place")
}

fn unknown(document: &Document, reference: &Spanned<String>, near: Option<&str>) -> Diagnostic {
    let message = format!("there is no rule with the name or id `{}`", shorten(&reference.node));
    let diagnostic = finding(document, reference);
    match near {
        Some(near) => diagnostic.message(message).help(format!("did you mean `{near}`?")),
        None => diagnostic.message(message).help("give the rule this `name`, or use its `id`"),
    }
}

/// Correlations that lead back to themselves, or from one circle into another.
///
/// What refers to no correlation, or is referred to by none, is in no circle; taking such documents away
/// until none is left leaves the circles.
fn circles(documents: &[&Document], owners: &Owners<'_>) -> Vec<(usize, Diagnostic)> {
    let references = |at: usize| -> &[Spanned<String>] {
        match documents[at] {
            Document::Correlation(correlation) => &correlation.rules,
            _ => &[],
        }
    };
    let target = |reference: &Spanned<String>| owners.find(&reference.node);
    let mut targets: Vec<Vec<usize>> = Vec::with_capacity(documents.len());
    let mut sources: Vec<Vec<usize>> = vec![Vec::new(); documents.len()];
    for at in 0..documents.len() {
        targets.push(references(at).iter().filter_map(target).collect());
        targets[at].iter().for_each(|target| sources[*target].push(at));
    }
    let mut is_left = vec![true; documents.len()];
    take_away(&targets, &sources, &mut is_left);
    take_away(&sources, &targets, &mut is_left);
    let mut findings = Vec::new();
    for at in (0..documents.len()).filter(|at| is_left[*at]) {
        for reference in references(at) {
            if target(reference).is_some_and(|target| is_left[target]) {
                let diagnostic = Diagnostic::error(Code::CorrelationCycle, reference.span)
                    .message(format!("`{}` refers back to this correlation", reference.node))
                    .help("a correlation can only build on rules that do not build on it");
                findings.push((at, diagnostic));
            }
        }
    }
    findings
}

/// Takes away, again and again, what has no edge to anything that is left.
fn take_away(edges: &[Vec<usize>], back: &[Vec<usize>], is_left: &mut [bool]) {
    let count = |at: usize| edges[at].iter().filter(|target| is_left[**target]).count();
    let mut counts: Vec<usize> = (0..edges.len()).map(count).collect();
    let mut ready: Vec<usize> =
        (0..edges.len()).filter(|at| is_left[*at] && counts[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        is_left[at] = false;
        for source in &back[at] {
            counts[*source] -= 1;
            if counts[*source] == 0 && is_left[*source] {
                ready.push(*source);
            }
        }
    }
}
