//! Places in the log that a restoration can begin at.

use std::collections::VecDeque;

/// Places to begin a restoration at that are kept, at most.
const PLACES_MAX: usize = 1024;
/// A place is kept for each so-manieth part of the longest span.
const PLACES_PER_SPAN: i64 = 16;

/// An offset, and the latest time of all events before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: i64,
    pub(super) time: i64,
}

/// Some of them, in order.
#[derive(Debug, Default)]
pub(super) struct Places(VecDeque<Place>);

impl Places {
    /// The one that a restoration begins at.
    pub(super) fn first(&self) -> Option<Place> {
        self.0.front().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.0.iter()
    }

    /// Takes one behind the others, as it was kept before.
    pub(super) fn push(&mut self, place: Place) {
        if self.0.len() < PLACES_MAX {
            self.0.push_back(place);
        }
    }

    /// Keeps an offset, before which no event is later than `time`, if the last one kept is long ago.
    pub(super) fn note(&mut self, offset: i64, time: i64, span: i64) {
        let step = (span / PLACES_PER_SPAN).max(1);
        let is_due = |place: &Place| time.saturating_sub(place.time) >= step;
        if self.0.back().is_none_or(is_due) {
            self.0.push_back(Place { offset, time });
        }
        if self.0.len() > PLACES_MAX {
            // Time does not come on: every second place will do.
            let mut is_kept = false;
            self.0.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
    }

    /// Places before which everything is too old are of use but for the last of them.
    pub(super) fn forget_before(&mut self, horizon: i64) {
        while self.0.get(1).is_some_and(|place| place.time < horizon) {
            self.0.pop_front();
        }
    }
}
