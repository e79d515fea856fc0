//! Runs a plan over the bytes of records.
//!
//! In: a [`Plan`] (plain data, made by `sigmill-codegen`) and records as bytes. Out: the rules that
//! match. No YAML, no I/O, no threads, no clock.

mod matcher;
mod plan;
mod rejection;

pub use matcher::{Counters, Matcher, MatcherConfig};
pub use plan::{Plan, PlanRule, RuleId};
pub use rejection::Rejection;
