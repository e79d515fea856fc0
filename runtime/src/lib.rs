//! Sources and sinks, workers, the rule store and hot swap, delivery.
//!
//! ```text
//! settings ─► processor ─┬─► rules_reader ─► rule_store ─► codegen ─► rule set, swapped in
//!                        └─► worker × n: batch ─► engine ─► detection ─► emit ─► commit
//! ```
//! The way of a record is in [`worker`]; what may be committed is in [`commit`]. Files and stdin go
//! through [`match_files`].

#![deny(unsafe_code)]

mod account;
pub mod admin;
pub mod avro;
mod batch;
mod budget;
mod calendar;
pub mod client;
mod clock;
pub mod commit;
mod control;
mod delivery;
pub mod demo;
pub mod detection;
pub mod embedded_broker;
pub mod emit;
pub mod enrich;
mod exposition;
pub mod extraction;
mod given_up;
pub mod group_offsets;
mod instances;
pub mod jvm_emulation;
pub mod jvm_meaning;
pub mod jvm_rules;
pub mod latency;
pub mod match_files;
pub mod metrics;
pub mod pipeline_files;
pub mod plan_report;
pub mod process;
pub mod processor;
pub mod properties;
mod rate_limit;
mod recent;
#[cfg(test)]
mod reference_page;
mod report;
pub mod rule_files;
pub mod rule_store;
mod rules_reader;
pub mod rules_topic;
pub mod run_error;
pub mod settings;
pub mod shadow;
mod show;
pub mod shutdown;
mod sys;
mod transaction;
mod view;
mod windows;
pub mod worker;
