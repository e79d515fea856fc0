//! YAML and JSON text as trees of nodes with their places.
//!
//! In: a text. Out: one [`Node`] per document of the stream, and diagnostics. This is the only module
//! that knows the YAML library. Nothing here knows Sigma.
//!
//! Whatever the text holds, the work is bounded: nesting by [`DEPTH_MAX`], values by [`NODES_MAX`],
//! values repeated through aliases by [`ALIAS_NODES_MAX`]. A document that is not YAML does not stop
//! the ones behind the next `---`.
//!
//! Types are resolved here and not by the YAML library, since Sigma tools read YAML 1.1 while the
//! specification names YAML 1.2: see [`Scalar::resolve`].

mod json;
mod load;
mod place;
mod scalar;

pub use json::{to_json, to_json_with, write_text};
pub use load::load;
pub(crate) use place::place_in_scalar;
pub(crate) use scalar::number;
pub use scalar::{Resolved, Scalar, Style};

use crate::span::Span;

/// The deepest nesting of collections that is read.
pub const DEPTH_MAX: usize = 100;
/// The most values that a text may hold, aliases expanded.
pub const NODES_MAX: usize = 1_000_000;
/// The most values that the aliases of a text may repeat.
pub const ALIAS_NODES_MAX: usize = 20_000;

/// A node of a YAML document and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Where it stands. A node that an alias repeats stands where its anchor is.
    pub span: Span,
}

/// The three kinds of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A text, number, boolean or null.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// A map, in the order written.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key and its value, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&(Node, Node)> {
        self.as_mapping()?.iter().find(|(name, _)| name.key() == Some(key))
    }

    /// The entries, if this is a map.
    pub fn as_mapping(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            NodeKind::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.kind {
            NodeKind::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The scalar, if this is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            NodeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text of a scalar that serves as a key: keys are texts, whatever they look like.
    pub fn key(&self) -> Option<&str> {
        self.as_scalar().map(|scalar| scalar.text.as_str())
    }

    /// Whether this is a null.
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|scalar| scalar.resolve() == Resolved::Null)
    }

    /// The kind in words, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a map",
            NodeKind::Scalar(scalar) => match scalar.resolve() {
                Resolved::Null => "null",
                Resolved::Bool(_) => "a boolean",
                Resolved::Number(_) => "a number",
                Resolved::Text => "a text",
            },
        }
    }

    /// The node as JSON text, scalars typed as [`Scalar::resolve`] says.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}
