//! Matches records against a plan: the engine's front door.
//!
//! One [`Matcher`] a worker; what it does with a record is told in [`crate::state`].

use std::sync::Arc;

use crate::field_index::{FieldId, KEYWORDS};
use crate::index::END;
use crate::state::State;
use crate::tape::Kind;
use crate::{Overlay, Plan, Rejection, RuleId};

/// Limits and switches of a [`Matcher`].
#[derive(Debug, Clone)]
pub struct MatcherConfig {
    /// Longest record in bytes.
    pub record_bytes_max: usize,
    /// Deepest nesting of objects and arrays.
    pub depth_max: usize,
    /// Remember which atoms hold for a value.
    pub memo: bool,
    /// Read records by predicted keys; else every record takes the way by the tape.
    pub reader: bool,
}

impl Default for MatcherConfig {
    fn default() -> Self {
        Self { record_bytes_max: 16 << 20, depth_max: 512, memo: true, reader: true }
    }
}

/// What a matcher did since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Records matched.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Values looked up, in the memo first.
    pub values: u64,
    /// Values that the memo did not know.
    pub memo_misses: u64,
    /// Atoms evaluated because a woken rule asked.
    pub atoms_lazy: u64,
    /// Rules whose condition was run.
    pub rules_woken: u64,
    /// Rules that matched.
    pub matches: u64,
}

impl Counters {
    /// Adds what another matcher did.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.values += other.values;
        self.memo_misses += other.memo_misses;
        self.atoms_lazy += other.atoms_lazy;
        self.rules_woken += other.rules_woken;
        self.matches += other.matches;
    }
}

/// Matches one record after the other.
#[derive(Debug)]
pub struct Matcher {
    plan: Arc<Plan>,
    config: MatcherConfig,
    state: State,
    /// The last record with what was laid over it; empty if nothing was.
    laid: Vec<u8>,
}

/// A value of a field, as [`Matcher::read_field`] gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldText<'a> {
    /// What it is in the record.
    pub kind: ValueKind,
    /// Its text, unescaped; of a number as spelled.
    pub text: &'a [u8],
}

/// What a value is in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ValueKind {
    Null,
    Bool,
    Number,
    Text,
    Object,
}

impl Matcher {
    /// A matcher for `plan`.
    pub fn new(plan: Arc<Plan>, config: MatcherConfig) -> Self {
        let state = State::new(&plan, &config);
        Self { plan, config, state, laid: Vec::new() }
    }

    /// The plan in force.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Goes on with another plan, from the next record on.
    pub fn set_plan(&mut self, plan: Arc<Plan>) {
        self.state.restart(&plan, &self.config);
        self.plan = plan;
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.state.counters
    }

    /// The rules that match `record`, in rising order.
    ///
    /// # Errors
    /// The record is refused: it is not a JSON object within the limits.
    pub fn matches(&mut self, record: &[u8]) -> Result<&[RuleId], Rejection> {
        self.laid.clear();
        self.state.run(&self.plan, record)?;
        Ok(&self.state.matches)
    }

    /// As [`Self::matches`]; `lay` may lay fields over the record before it is matched.
    ///
    /// # Errors
    /// The record is refused: it is not a JSON object within the limits.
    pub fn matches_with(
        &mut self,
        record: &[u8],
        lay: impl FnOnce(&mut Overlay<'_>),
    ) -> Result<&[RuleId], Rejection> {
        self.laid.clear();
        self.state.begin(&self.plan, record)?;
        lay(&mut self.state.overlay(record, &mut self.laid));
        let record = if self.laid.is_empty() { record } else { &self.laid[..] };
        self.state.finish(&self.plan, record);
        Ok(&self.state.matches)
    }

    /// The record that was matched last, to lay more fields over it: for those who read fields afterwards.
    /// `record` has to be that record.
    pub fn lay_afterwards(&mut self, record: &[u8], lay: impl FnOnce(&mut Overlay<'_>)) {
        lay(&mut self.state.overlay(record, &mut self.laid));
    }

    /// By rule: how often its condition was run since the plan is in force.
    pub fn wake_counts(&self) -> &[u64] {
        &self.state.woken.counts
    }

    /// Calls `each` with every value of a field of the record that was matched last. `record` has to
    /// be that record. Objects have an empty text.
    pub fn read_field(
        &mut self,
        record: &[u8],
        field: FieldId,
        mut each: impl FnMut(FieldText<'_>),
    ) {
        if field == KEYWORDS {
            self.state.fields.list_keywords();
        }
        let record = if self.laid.is_empty() { record } else { &self.laid[..] };
        let mut at = self.state.fields.first(field);
        while at != END {
            let value = &mut self.state.fields.values[at as usize];
            at = value.next;
            let view = self.state.texts.view(record, value);
            each(FieldText { kind: view.kind.into(), text: view.plain });
        }
    }
}

impl From<Kind> for ValueKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Null => Self::Null,
            Kind::True | Kind::False => Self::Bool,
            Kind::Number => Self::Number,
            Kind::Text | Kind::EscapedText => Self::Text,
            Kind::Array | Kind::Object => Self::Object,
        }
    }
}
