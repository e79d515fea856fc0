//! Sources and sinks, workers, the rule store and hot swap, delivery.

#![forbid(unsafe_code)]

pub mod detection;
pub mod match_files;
pub mod rule_files;
