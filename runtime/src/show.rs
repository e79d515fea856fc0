//! What a part of the processor shows of itself over HTTP, without the port knowing the part.
//!
//! A part implements [`Show`] and is given to [`crate::view::View`] at the start; its metrics are then on
//! `/metrics`, its section in `/api/v1/status`, and what it knows of rules in `/api/v1/rules`. A plain
//! counter of a worker needs none of this: it is one line in [`crate::metrics`].
//!
//! All of it is asked on the port's threads. It must not wait for a worker: read atomics, or locks that
//! workers only ever try.

use serde_json::Value;

use crate::exposition::Exposition;
use crate::rule_store::ActiveRule;

/// What keeps a rule that is in force from doing what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleTrouble {
    /// It makes more detections than it may: so many were left out so far.
    Throttled { suppressed: u64 },
    /// Something else is wrong with it, in a sentence.
    Failing(String),
}

/// A part of the processor that shows itself.
pub(crate) trait Show: Send + Sync + std::fmt::Debug {
    /// The name of its section in `/api/v1/status`, in snake case.
    fn name(&self) -> &'static str;

    /// The section: an object.
    fn section(&self) -> Value;

    /// Its metrics; names begin with `sigmill_`, values are in base units.
    fn metrics(&self, _out: &mut Exposition) {}

    /// What it knows of a rule in force.
    fn trouble(&self, _rule: &ActiveRule) -> Option<RuleTrouble> {
        None
    }
}
