//! What a window reports.

use std::sync::Arc;

use super::fixed::Reading;
use super::key::GroupKey;
use super::plan::WindowId;

/// Where an event was read: a number for its source (a file, a partition) and its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The source.
    pub source: u32,
    /// The place: a line, an offset.
    pub offset: u64,
}

/// An event that a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRef {
    /// Its time, in milliseconds.
    pub time: i64,
    /// Where it was read. Where a detection of another window was counted: the event that completed it.
    pub position: Position,
}

/// A condition that held.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WindowDetection {
    /// Of which window of the plan.
    pub window: WindowId,
    /// For which group.
    pub group: GroupKey,
    /// The instant for which it is: the time at which the condition began to hold, or the end of a
    /// window that is decided when it closes.
    pub at: i64,
    /// The first millisecond that was looked at.
    pub start: i64,
    /// The last one.
    pub end: i64,
    /// The number that the condition bounds.
    pub reading: Reading,
    /// The events in the window, by time: the last of them if there are more than the limit.
    pub events: Vec<EventRef>,
    /// How many there are.
    pub events_total: u64,
    /// The bytes of some of them, as far as they were kept.
    pub contents: Vec<(EventRef, Arc<[u8]>)>,
    /// The event that made the condition hold.
    pub completed_by: Position,
    /// The group had more entries than the limit: the number counts the last ones only.
    pub is_truncated: bool,
    /// Fields of the completing event that windows fed by this one ask for.
    pub(crate) carried: Option<GroupKey>,
}
