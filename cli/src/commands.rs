//! One module per command. Each has its arguments and a `run` that returns the exit status.

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod explain_event;
pub(crate) mod fields;
pub(crate) mod latency;
pub(crate) mod lint;
pub(crate) mod match_events;
pub(crate) mod migrate;
pub(crate) mod rules;
pub(crate) mod run;
