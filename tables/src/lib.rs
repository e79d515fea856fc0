//! Look-up tables for enrichment: from a value of a record to the row that tells more of it.
//!
//! In: rows, a key and columns, from wherever the caller has them. Out: [`Table`]s, each one version,
//! which never changes and can be read by any number of threads; a [`TableWriter`] makes the next
//! version by copying no more than what an update touches. How keys and values meet is the table's
//! [`MatchKind`]: equal texts, addresses in networks, domains and their parents, hashes in a list.
//!
//! A version is 256 shards by the hash of the key, each a large [`layer`] and a small one over it. Columns
//! are kept as JSON, so that a record takes them over byte for byte; texts that repeat are kept once.
//! No I/O, no clock, no threads, no locks. `tests/naive.rs` holds every match kind to a plain model.

#![forbid(unsafe_code)]

mod kind;
mod layer;
mod table;
mod value;
mod writer;

pub use kind::{DOMAIN_LABELS_MAX, HASHES_MAX, MatchKind};
pub use layer::Row;
pub use table::{LookUpBuffer, Table, TableSpec};
pub use value::{Elements, elements, write_text};
pub use writer::{Duplicates, PutError, TableWriter};
