//! The `sigmill` command as a user runs it: arguments, output, exit status.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking too.

mod bench;
mod demo;
mod documents;
mod enrich;
mod explain;
mod explain_event;
#[cfg(unix)]
mod launchers;
mod lint;
mod match_inputs;
mod match_output;
mod match_rules;
mod migrate;
mod pipelines;
mod rules;
mod run;
mod sandbox;
mod usage;
