//! Step 6: windows. What correlation rules and the older aggregations make of the matches of other
//! rules.
//!
//! In: a [`WindowPlan`] (plain data, made by `sigmill-codegen`) and matches that feed windows
//! ([`WindowMatch`]), in the order of arrival. Out: [`WindowDetection`]s. No clock: the time of an event
//! comes with it, and how far time has come is said by a watermark.
//!
//! The events of a group are ordered by time; equal times are one *instant*. With W the timespan, `c(t)`
//! is the condition over the events in [t−W, t], and a detection is *due* at instant tᵢ if c(tᵢ) and
//! (tᵢ − tᵢ₋₁ > W or not c(tᵢ₋₁)): at the start of each run of instants at which the condition holds.
//! Conditions that only bound from above (`lt`, `lte`, `neq`) are decided once for each window [t, t+W],
//! when it closes; its first event opens it. When a detection goes out is [`Emit`]'s matter.
//!
//! The way of a match: [`feed`] makes it from a record and the rules that matched it, [`shard`] finds
//! the state of its group in a [`group_table`], [`group`] puts it among the group's [`entries`] and
//! decides, keeping the condition's number in a [`tally`]; [`chain`] hands detections on to the windows
//! that other windows feed. A million groups fit because most are [`packed`], and because a match that
//! cannot make its group's condition hold is added to the packed bytes. A group's outcome depends on nothing but the order of its own matches and the watermarks, so it
//! does not matter how many shards there are or where one batch ends and the next begins. What a shard
//! knows can be [`saved`] and loaded in another process.
//! `codegen/tests/windows.rs` holds all of this to the reference.

mod chain;
mod contents;
mod detection;
mod due_queue;
mod entries;
mod feed;
mod fixed;
mod group;
mod group_table;
mod interned;
mod key;
mod key_index;
mod packed;
mod plan;
mod runs;
mod saved;
mod shard;
mod slab;
mod sweep;
mod tally;
mod varint;

pub use chain::WindowSet;
pub use detection::{EventRef, Position, WindowDetection};
pub use feed::{
    COMBINATIONS_MAX, FeedCounters, Occurrence, WindowMatch, WindowValue, chain, collect,
};
pub use fixed::{Fixed, Reading};
pub use key::{GroupKey, VALUE_BYTES_MAX};
pub use plan::{
    Bound, Edge, FieldSource, Measure, Source, Window, WindowCondition, WindowExpr, WindowId,
    WindowPlan,
};
pub use saved::Unsound;
pub use shard::{Emit, WindowConfig, WindowCounters, Windows};
