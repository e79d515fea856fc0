//! Enrichment: what tables know of a record's values, laid over the record before rules see it.
//!
//! ```text
//! settings ─► table files ─► rows ─► tables::Table ─┐ swapped in as one
//!                  (watched)                        ├─► Tables ─► Joiner (each worker's) ─► overlay
//! settings ─► joins, bound to the plan in force ────┘
//! ```
//! A [`Joiner`] takes the tables in force between two batches, so a record sees one version of all of
//! them. A join that no rule in force needs is not done, and one that only detections show is done for records
//! that match.

mod files;
mod joins;
mod keeper;
mod levels;
mod rows;
mod settings;
mod tables;
mod topics;

pub use files::{FileTable, LoadError, Loaded};
pub use joins::{JoinCounts, JoinPlan, Joiner};
pub(crate) use keeper::{Enrichment, TableKeeper};
pub use levels::{LevelChange, LevelEffect, LevelMap};
pub use rows::{ReadError, RowCounts, RowFormat, RowProblem};
pub use settings::{
    ENRICH_KEYS, EnrichKey, EnrichSettings, JoinSettings, TableSettings, TableSource, is_own,
};
pub use tables::{TableSet, TableView, Tables};
