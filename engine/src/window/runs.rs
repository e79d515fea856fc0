//! Runs of instants at which a group's condition holds, and which of them have been reported.
//!
//! A run is a row of neighbouring instants, none more than the timespan after the one before, at all
//! of which the condition holds. Every run is to be reported once at least, at its first instant. An
//! event out of order may lengthen a run, join two, or split one; a report is pinned to an instant (a
//! *mark*), and a run without a mark, however it came to be, is reported.

use super::entries::Entries;
use super::saved::sound_time;
use super::varint::{Checked, put, take, unzigzag, zigzag};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: i64,
    end: i64,
}

/// Which runs are to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreported {
    /// Those without a mark.
    Run,
    /// Those that begin among the instants decided, without a mark at their first: what was reported at
    /// a later one was reported before it was certain.
    Start,
}

/// The runs of a group.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// By time; they do not overlap.
    runs: Vec<Run>,
    /// Rising.
    marks: Vec<i64>,
}

impl Runs {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.marks.is_empty()
    }

    /// Writes them behind `bytes`, as differences to a time that is near.
    pub(crate) fn pack(&self, mut last: i64, bytes: &mut Vec<u8>) {
        let mut put_time = |bytes: &mut Vec<u8>, time: i64| {
            put(bytes, zigzag(time.wrapping_sub(last)));
            last = time;
        };
        put(bytes, self.runs.len() as u64);
        for run in &self.runs {
            put_time(bytes, run.start);
            put_time(bytes, run.end);
        }
        put(bytes, self.marks.len() as u64);
        self.marks.iter().for_each(|mark| put_time(bytes, *mark));
    }

    /// Reads what was packed.
    pub(crate) fn unpack(mut last: i64, bytes: &mut &[u8]) -> Self {
        let mut take_time = |bytes: &mut &[u8]| {
            last = last.wrapping_add(unzigzag(take(bytes)));
            last
        };
        let count = take(bytes);
        let runs =
            (0..count).map(|_| Run { start: take_time(bytes), end: take_time(bytes) }).collect();
        let count = take(bytes);
        let marks = (0..count).map(|_| take_time(bytes)).collect();
        Self { runs, marks }
    }

    /// Reads what was packed, from bytes that may be anything.
    pub(crate) fn unpack_checked(mut last: i64, from: &mut Checked<'_>) -> Option<Self> {
        let mut take_time = |from: &mut Checked<'_>| {
            last = sound_time(last.wrapping_add(from.signed()?))?;
            Some(last)
        };
        let mut read = Self::default();
        for _ in 0..from.number()? {
            let run = Run { start: take_time(from)?, end: take_time(from)? };
            if run.end < run.start || read.runs.last().is_some_and(|last| run.start <= last.end) {
                return None;
            }
            read.runs.push(run);
        }
        for _ in 0..from.number()? {
            let mark = take_time(from)?;
            if read.marks.last().is_some_and(|last| mark <= *last) {
                return None;
            }
            read.marks.push(mark);
        }
        Some(read)
    }

    /// Decides the instants from one time to another anew. Gives the first instants of the runs that are
    /// to be reported, and marks them.
    pub(crate) fn decide(
        &mut self,
        entries: &Entries,
        (from, to): (i64, i64),
        timespan: i64,
        unreported: Unreported,
        mut holds: impl FnMut(i64) -> bool,
    ) -> Vec<i64> {
        let tail = self.runs.split_off(self.runs.partition_point(|run| run.end < from));
        let mut last = entries.instant_before(from);
        let mut later: Vec<Run> = Vec::new();
        for run in tail {
            if let Some(end) = last.filter(|last| run.start <= *last) {
                self.runs.push(Run { start: run.start, end });
            }
            if run.end > to {
                let start =
                    if run.start > to { Some(run.start) } else { entries.instant_from(to + 1) };
                later.extend(start.map(|start| Run { start, end: run.end }));
            }
        }
        // The run before may have been split off its mark.
        let first_touched = self.runs.len().saturating_sub(1);
        let mut next = entries.instant_from(from);
        while let Some(at) = next.filter(|at| *at <= to) {
            if holds(at) {
                match self.runs.last_mut() {
                    Some(run)
                        if Some(run.end) == last && at.saturating_sub(run.end) <= timespan =>
                    {
                        run.end = at;
                    }
                    _ => self.runs.push(Run { start: at, end: at }),
                }
            }
            last = Some(at);
            next = entries.instant_from(at + 1);
        }
        let mut touched_end = self.runs.len();
        if let Some(first) = later.first().copied() {
            let before = entries.instant_before(first.start);
            match self.runs.last_mut() {
                Some(run)
                    if Some(run.end) == before
                        && first.start.saturating_sub(run.end) <= timespan =>
                {
                    run.end = first.end;
                    self.runs.extend_from_slice(&later[1..]);
                }
                _ => {
                    self.runs.append(&mut later);
                    touched_end += 1;
                }
            }
        }
        let mut reported = Vec::new();
        for run in &self.runs[first_touched..touched_end] {
            let place = self.marks.partition_point(|mark| *mark < run.start);
            let first_mark = self.marks.get(place).copied().unwrap_or(i64::MAX);
            let is_reported = match unreported {
                Unreported::Run => first_mark <= run.end,
                Unreported::Start => first_mark == run.start || run.start < from,
            };
            if !is_reported {
                self.marks.insert(place, run.start);
                reported.push(run.start);
            }
        }
        reported
    }

    /// Forgets what lies before `horizon`. A run that goes on keeps its mark.
    pub(crate) fn forget_before(&mut self, entries: &Entries, horizon: i64) {
        if self.runs.first().is_none_or(|run| run.start >= horizon) {
            let kept = self.marks.partition_point(|mark| *mark < horizon);
            self.marks.drain(..kept);
            return;
        }
        let gone = self.runs.partition_point(|run| run.end < horizon);
        self.runs.drain(..gone);
        let mut moved = None;
        if let Some(run) = self.runs.first_mut().filter(|run| run.start < horizon) {
            let is_marked = self.marks.iter().any(|mark| (run.start..horizon).contains(mark));
            match entries.instant_from(horizon) {
                Some(start) if start <= run.end => {
                    run.start = start;
                    moved = is_marked.then_some(start);
                }
                _ => {
                    self.runs.remove(0);
                }
            }
        }
        let kept = self.marks.partition_point(|mark| *mark < horizon);
        self.marks.drain(..kept);
        if let Some(start) = moved.filter(|start| self.marks.first() != Some(start)) {
            self.marks.insert(0, start);
        }
    }
}
