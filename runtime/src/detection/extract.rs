//! What an event adds to a detection besides itself: captured groups and the fields the rule looks at.

use std::sync::Arc;

use sigmill_parser::Level;

/// What was taken from one event for one rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extract {
    /// Named groups of the rule's expressions; `None`: the group took no part in the match.
    pub captures: Vec<(Arc<str>, Option<String>)>,
    /// The members of a JSON object: the fields that the rule looks at, with their values in the event.
    pub fields: Vec<u8>,
    /// A JSON object: what a window found, for the detections of correlations and aggregations.
    pub correlation: Vec<u8>,
    /// The members of a JSON array: what was joined to the event.
    pub joined: Vec<u8>,
    /// The level of this detection, where its context changes it, and the rule's own.
    pub level: Option<(Level, Option<Level>)>,
}

impl Extract {
    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.captures.clear();
        self.fields.clear();
        self.correlation.clear();
        self.joined.clear();
        self.level = None;
    }
}
