//! A span of a group's time and the tally of the entries in it.
//!
//! Moving the span costs what crosses its ends, in either direction, so that deciding the newest instant
//! costs a step and going back a little for an event out of order costs a little.

use super::entries::{Entries, Entry};
use super::plan::Window;
use super::tally::Tally;

/// A tally over the entries from one time to another, both included.
#[derive(Debug)]
pub(crate) struct Sweep {
    from: i64,
    to: i64,
    pub(crate) tally: Tally,
}

impl Sweep {
    /// Over no time.
    pub(crate) fn new(window: &Window) -> Self {
        Self { from: i64::MAX, to: i64::MIN, tally: Tally::new(window) }
    }

    /// An entry was put among the entries.
    pub(crate) fn inserted(&mut self, entry: &Entry) {
        if (self.from..=self.to).contains(&entry.time) {
            self.tally.add(entry);
        }
    }

    /// An entry was taken out.
    pub(crate) fn removed(&mut self, entry: &Entry) {
        if (self.from..=self.to).contains(&entry.time) {
            self.tally.remove(entry);
        }
    }

    /// Goes to another span.
    pub(crate) fn go_to(&mut self, entries: &Entries, from: i64, to: i64) {
        if from > self.to || to < self.from {
            self.tally.clear();
            entries.range(from, to).for_each(|entry| self.tally.add(&entry));
        } else {
            let tally = &mut self.tally;
            if self.from < from {
                entries.range(self.from, from - 1).for_each(|entry| tally.remove(&entry));
            } else if from < self.from {
                entries.range(from, self.from - 1).for_each(|entry| tally.add(&entry));
            }
            if to < self.to {
                entries.range(to + 1, self.to).for_each(|entry| tally.remove(&entry));
            } else if self.to < to {
                entries.range(self.to + 1, to).for_each(|entry| tally.add(&entry));
            }
        }
        (self.from, self.to) = (from, to);
    }
}
