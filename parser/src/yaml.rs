//! Placeholder for the YAML reader.

/// A node of a YAML document.
#[derive(Debug, Clone)]
pub struct Node;
