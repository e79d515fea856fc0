//! Documents as typed trees: the shared part of the readers of rules, correlations and filters.
//!
//! A reader never fails. It takes what it understands from a node and reports the rest, so that one bad
//! key still yields the findings about all the others.

pub(crate) mod chain;
pub(crate) mod correlation;
pub(crate) mod detection;
pub(crate) mod filter;
pub(crate) mod header;
pub(crate) mod item;
pub(crate) mod references;
pub(crate) mod rule;
pub(crate) mod timespan;
pub(crate) mod transform;

use crate::ParseOptions;
use crate::diagnostic::{Code, Diagnostic};
use crate::span::{Span, Spanned};
use crate::suggest::nearest;
use crate::yaml::{Node, NodeKind, Resolved, place_in_scalar};

/// What the readers share: the source, the options, and the findings so far.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a str,
    pub(crate) options: &'a ParseOptions,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error(code, span).message(message));
    }

    /// The place of a part of a scalar node's text.
    pub(crate) fn place(&self, node: &Node, start: usize, end: usize) -> Span {
        match node.as_scalar() {
            Some(scalar) => place_in_scalar(scalar, node.span, self.source, start, end),
            None => node.span,
        }
    }

    /// A scalar's text; anything else is a finding that `loadable` says how to weigh.
    pub(crate) fn text(
        &mut self,
        key: &str,
        node: &Node,
        weight: Weight,
    ) -> Option<Spanned<String>> {
        match node.as_scalar() {
            Some(scalar) if scalar.resolve() != Resolved::Null => {
                Some(Spanned::new(scalar.text.clone(), node.span))
            }
            _ => {
                let message = format!("`{key}` has to be a text, not {}", node.describe());
                self.report(
                    weight.apply(Diagnostic::error(Code::TypeError, node.span).message(message)),
                );
                None
            }
        }
    }

    /// A list of texts. One text alone is taken as a list of one, with a finding.
    pub(crate) fn texts(&mut self, key: &str, node: &Node, weight: Weight) -> Vec<Spanned<String>> {
        match &node.kind {
            NodeKind::Sequence(items) => {
                items.iter().filter_map(|item| self.text(key, item, weight)).collect()
            }
            NodeKind::Scalar(_) if node.is_null() => Vec::new(),
            _ => {
                let message = format!("`{key}` has to be a list, not {}", node.describe());
                self.report(
                    weight.apply(Diagnostic::error(Code::TypeError, node.span).message(message)),
                );
                self.text(key, node, weight).into_iter().collect()
            }
        }
    }

    /// Reports that a mandatory key is not there, and the key that was probably meant to be it.
    pub(crate) fn missing(&mut self, key: &str, parent: &Node, span: Span, weight: Weight) {
        let names = parent.as_mapping().unwrap_or(&[]).iter().filter_map(|(name, _)| name.key());
        let near = nearest(key, names);
        let mut diagnostic =
            Diagnostic::error(Code::MissingField, span).message(format!("`{key}` is missing"));
        if let Some((name, _)) = near.and_then(|near| parent.entry(near)) {
            let name_text = name.key().unwrap_or_default();
            diagnostic = diagnostic
                .related(name.span, "this key has no meaning")
                .help(format!("did you mean `{key}` where it says `{name_text}`?"));
        }
        self.report(weight.apply(diagnostic));
    }
}

/// Whether a finding keeps the document from being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Blocking,
    Loadable,
}

impl Weight {
    pub(crate) fn apply(self, diagnostic: Diagnostic) -> Diagnostic {
        match self {
            Self::Blocking => diagnostic,
            Self::Loadable => diagnostic.loadable(),
        }
    }
}

/// The place of a document as a whole: its first key.
pub(crate) fn head(root: &Node) -> Span {
    root.as_mapping().and_then(|entries| entries.first()).map_or(root.span, |(key, _)| key.span)
}
