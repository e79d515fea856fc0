//! Matches records against a plan: owns all state that a worker needs, shares none.

use std::sync::Arc;

use crate::{Plan, Rejection, RuleId};

/// Limits of a [`Matcher`].
#[derive(Debug, Clone)]
pub struct MatcherConfig {
    /// Longest record in bytes.
    pub record_bytes_max: usize,
    /// Deepest nesting of objects and arrays.
    pub depth_max: usize,
}

impl Default for MatcherConfig {
    fn default() -> Self {
        Self { record_bytes_max: 16 << 20, depth_max: 512 }
    }
}

/// What a matcher did since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Records matched.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Rules whose condition was run.
    pub rules_woken: u64,
    /// Rules that matched.
    pub matches: u64,
}

/// Matches one record after the other.
#[derive(Debug)]
pub struct Matcher {
    plan: Arc<Plan>,
    config: MatcherConfig,
    counters: Counters,
    matches: Vec<RuleId>,
}

impl Matcher {
    /// A matcher for `plan`.
    pub fn new(plan: Arc<Plan>, config: MatcherConfig) -> Self {
        Self { plan, config, counters: Counters::default(), matches: Vec::new() }
    }

    /// The plan in force.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Goes on with another plan. Not to be called within a record.
    pub fn set_plan(&mut self, plan: Arc<Plan>) {
        self.plan = plan;
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The rules that match `record`, in rising order.
    ///
    /// # Errors
    /// The record is refused: it is not a JSON object within the limits.
    pub fn matches(&mut self, record: &[u8]) -> Result<&[RuleId], Rejection> {
        if record.len() > self.config.record_bytes_max {
            return Err(Rejection::TooLong);
        }
        Ok(&self.matches)
    }
}
