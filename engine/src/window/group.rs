//! The state of one group of one window, and its decisions.
//!
//! In: matches, in the order of arrival, and watermarks. Out: detections. *Settled* instants lie so far
//! behind the watermark that no event can come to them or before them any more. Four ways to decide:
//!
//! - early: every event re-decides the instants in [t, t+W], and what is new is reported at once;
//! - every: each event reports if the condition holds at one of those instants;
//! - final: an instant is decided when it is settled;
//! - closing: the window that the first event opens is decided when its end is settled.
//!
//! A negative number could still falsify a sum. While a group has one that windows of instants to come
//! can hold, it decides settled instants only.

use std::collections::VecDeque;

use super::detection::{EventRef, Position, WindowDetection};
use super::entries::{Entries, Entry, Parts};
use super::feed::{WindowMatch, WindowValue};
use super::interned::Interned;
use super::key::GroupKey;
use super::plan::{Measure, Window, WindowId};
use super::runs::{Runs, Unreported};
use super::shard::WindowConfig;
use super::sweep::Sweep;

/// When a window's detections go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Early,
    Every,
    Final,
    Closing,
}

/// What the groups of a window have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) id: WindowId,
    pub(crate) window: &'a Window,
    pub(crate) way: Way,
    /// How long after an instant events may still come to it.
    pub(crate) hold: i64,
    pub(crate) config: &'a WindowConfig,
    /// So many entries of a group need no decision, and can be added to a packed group; 0 for none.
    pub(crate) quiet_max: usize,
}

impl Frame<'_> {
    fn timespan(&self) -> i64 {
        self.window.timespan_ms
    }

    /// Where detections go out at once: until when an event at that time can matter.
    pub(super) fn matters_until(&self, time: i64) -> i64 {
        time.saturating_add(self.hold).saturating_add(self.timespan()).saturating_add(self.hold)
    }
}

/// The event that made a condition hold and what it carries; none where time did.
type Completing<'a> = Option<(Position, Option<&'a GroupKey>)>;

/// What became of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Inserted {
    pub(crate) is_duplicate: bool,
    pub(crate) entries_evicted: u64,
}

/// What a window keeps of an entry.
pub(super) fn parts(window: &Window) -> Parts {
    Parts {
        payload: window.measure != Measure::Events,
        carried: window.edges.iter().any(|edge| !edge.carried.is_empty()),
    }
}

/// The state of a group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    /// The least time under which the group stands in its shard's queue.
    pub(crate) queued_at: i64,
    pub(super) entries: Entries,
    sweep: Sweep,
    pub(super) runs: Runs,
    /// Instants before it are settled.
    pub(super) settled: i64,
    /// The last instant that was decided for good, and whether the condition held.
    pub(super) last: Option<(i64, bool)>,
    /// The time of the latest negative number of a sum.
    pub(super) negative_last: Option<i64>,
    pub(super) values: Interned,
    pub(super) carried: Interned,
    pub(super) is_truncated: bool,
}

impl Group {
    pub(crate) fn new(key: GroupKey, window: &Window, settled: i64) -> Self {
        Self {
            key,
            queued_at: i64::MAX,
            entries: Entries::new(parts(window)),
            sweep: Sweep::new(window),
            runs: Runs::default(),
            settled,
            last: None,
            negative_last: None,
            values: Interned::default(),
            carried: Interned::default(),
            is_truncated: false,
        }
    }

    pub(crate) fn first_time(&self) -> Option<i64> {
        self.entries.first_time()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes a match in that is not late.
    pub(crate) fn insert(
        &mut self,
        frame: &Frame<'_>,
        arrived: &WindowMatch,
        out: &mut Vec<WindowDetection>,
    ) -> Inserted {
        let mut inserted = Inserted::default();
        let time = arrived.time;
        if arrived.may_repeat {
            let mut same = self.entries.range(time, time);
            if same.any(|entry| entry.position == arrived.position) {
                inserted.is_duplicate = true;
                return inserted;
            }
        }
        self.for_each_payload(frame.window, arrived, |group, payload| {
            let carried = arrived.carried.as_ref();
            let carried = carried.map_or(0, |key| group.carried.take(key.as_bytes()));
            let entry = Entry { time, position: arrived.position, payload, carried };
            if frame.window.measure == Measure::Sum && payload < 0 {
                group.negative_last = group.negative_last.max(Some(time));
            }
            group.entries.insert(&entry);
            group.sweep.inserted(&entry);
        });
        while self.entries.len() > frame.config.entries_per_group_max {
            inserted.entries_evicted += 1;
            self.is_truncated = true;
            self.evict_first(frame.window);
        }
        let mut span = (time, time.saturating_add(frame.timespan()));
        if self.is_waiting(frame, self.settled) {
            // What was decided at once may be undecided again.
            span = (self.settled.min(time), i64::MAX);
        }
        let completing = Some((arrived.position, arrived.carried.as_ref()));
        match frame.way {
            Way::Early => self.report_runs(frame, span, Unreported::Run, completing, out),
            Way::Every => {
                let mut next = self.entries.instant_from(span.0);
                while let Some(at) = next.filter(|at| *at <= span.1) {
                    if self.holds(frame, at) {
                        self.report(frame, at, completing, out);
                        break;
                    }
                    next = self.entries.instant_from(at + 1);
                }
            }
            Way::Final | Way::Closing => {}
        }
        inserted
    }

    /// Decides what the watermark has settled, and forgets what nothing depends on any more.
    pub(crate) fn settle(
        &mut self,
        frame: &Frame<'_>,
        watermark: i64,
        out: &mut Vec<WindowDetection>,
    ) {
        let settled_before = self.settled;
        let settled = watermark.saturating_sub(frame.hold);
        if settled <= settled_before {
            return;
        }
        self.settled = settled;
        let horizon = match frame.way {
            Way::Final => {
                self.decide_instants(frame, out);
                settled.saturating_sub(frame.timespan())
            }
            Way::Closing => {
                self.decide_closed(frame, out);
                i64::MIN
            }
            Way::Early | Way::Every => {
                if self.is_waiting(frame, settled_before) {
                    let is_over = !self.is_waiting(frame, settled);
                    let end = if is_over { i64::MAX } else { settled - 1 };
                    self.report_runs(frame, (settled_before, end), Unreported::Start, None, out);
                }
                // A run that has begun may still be split, and its first part be reported.
                settled.saturating_sub(frame.hold).saturating_sub(frame.timespan())
            }
        };
        self.forget_before(frame.window, horizon);
    }

    /// The watermark beyond which there is something to settle or to forget.
    pub(crate) fn due_at(&self, frame: &Frame<'_>) -> Option<i64> {
        let (first, last) = (self.entries.first_time()?, self.entries.last_time()?);
        let (timespan, hold) = (frame.timespan(), frame.hold);
        let expiry = last.saturating_add(timespan).saturating_add(hold);
        Some(match frame.way {
            Way::Final => {
                let undecided = self.last.map_or(i64::MIN, |(at, _)| at + 1);
                let undecided = self.entries.instant_from(undecided);
                undecided.map_or(expiry, |at| at.saturating_add(hold))
            }
            Way::Closing => first.saturating_add(timespan).saturating_add(hold),
            Way::Early | Way::Every if self.is_waiting(frame, self.settled) => {
                let undecided = self.entries.instant_from(self.settled).unwrap_or(i64::MAX);
                let over = self.negative_last.unwrap_or(i64::MAX).saturating_add(timespan);
                undecided.min(over).saturating_add(hold)
            }
            Way::Early | Way::Every => frame.matters_until(last),
        })
    }

    /// As [`Self::due_at`] for an event just inserted, without looking at the others.
    pub(crate) fn event_due_at(&self, frame: &Frame<'_>, time: i64) -> i64 {
        let settled_at = time.saturating_add(frame.hold);
        match frame.way {
            Way::Final => settled_at,
            Way::Closing => settled_at.saturating_add(frame.timespan()),
            Way::Early | Way::Every if self.is_waiting(frame, self.settled) => {
                self.due_at(frame).unwrap_or(settled_at)
            }
            Way::Early | Way::Every => frame.matters_until(time),
        }
    }

    /// Calls `each` with what is to be kept of every value or input of a match.
    fn for_each_payload(
        &mut self,
        window: &Window,
        arrived: &WindowMatch,
        mut each: impl FnMut(&mut Self, i128),
    ) {
        match window.measure {
            Measure::Events => each(self, 0),
            Measure::Inputs | Measure::InputsInOrder => {
                arrived.inputs.iter().for_each(|input| each(self, i128::from(*input)));
            }
            _ => {
                for value in &arrived.values {
                    let payload = match value {
                        WindowValue::Number(number) => number.0,
                        WindowValue::Text(text) => i128::from(self.values.take(text.as_bytes())),
                    };
                    each(self, payload);
                }
            }
        }
    }

    /// Whether a negative number keeps instants from `settled` on undecided.
    fn is_waiting(&self, frame: &Frame<'_>, settled: i64) -> bool {
        self.negative_last.is_some_and(|last| last >= settled.saturating_sub(frame.timespan()))
    }

    fn holds(&mut self, frame: &Frame<'_>, at: i64) -> bool {
        self.sweep.go_to(&self.entries, at.saturating_sub(frame.timespan()), at);
        self.sweep.tally.holds(frame.window).is_some()
    }

    fn report_runs(
        &mut self,
        frame: &Frame<'_>,
        span: (i64, i64),
        unreported: Unreported,
        completing: Completing<'_>,
        out: &mut Vec<WindowDetection>,
    ) {
        let is_waiting = self.is_waiting(frame, self.settled);
        let (entries, sweep, settled) = (&self.entries, &mut self.sweep, self.settled);
        let reported = self.runs.decide(entries, span, frame.timespan(), unreported, |at| {
            sweep.go_to(entries, at.saturating_sub(frame.timespan()), at);
            (at < settled || !is_waiting) && sweep.tally.holds(frame.window).is_some()
        });
        for at in reported {
            self.report(frame, at, completing, out);
        }
    }

    /// Final: each settled instant, in order.
    fn decide_instants(&mut self, frame: &Frame<'_>, out: &mut Vec<WindowDetection>) {
        let first = self.last.map_or(i64::MIN, |(at, _)| at + 1);
        let mut next = self.entries.instant_from(first);
        while let Some(at) = next.filter(|at| *at < self.settled) {
            let is_holding = self.holds(frame, at);
            let is_going_on = self.last.is_some_and(|(last, was_holding)| {
                was_holding && at.saturating_sub(last) <= frame.timespan()
            });
            if is_holding && !is_going_on {
                self.report(frame, at, None, out);
            }
            self.last = Some((at, is_holding));
            next = self.entries.instant_from(at + 1);
        }
    }

    /// Closing: each window whose end is settled, in order.
    fn decide_closed(&mut self, frame: &Frame<'_>, out: &mut Vec<WindowDetection>) {
        while let Some(start) = self.entries.first_time() {
            let end = start.saturating_add(frame.timespan());
            if end >= self.settled {
                return;
            }
            self.sweep.go_to(&self.entries, start, end);
            self.report_span(frame, (start, end), end, None, out);
            self.forget_before(frame.window, end + 1);
        }
    }

    fn report(
        &mut self,
        frame: &Frame<'_>,
        at: i64,
        completing: Completing<'_>,
        out: &mut Vec<WindowDetection>,
    ) {
        let span = (at.saturating_sub(frame.timespan()), at);
        self.sweep.go_to(&self.entries, span.0, span.1);
        self.report_span(frame, span, at, completing, out);
    }

    /// Reports the span of the sweep, if its condition holds.
    fn report_span(
        &self,
        frame: &Frame<'_>,
        (start, end): (i64, i64),
        at: i64,
        completing: Completing<'_>,
        out: &mut Vec<WindowDetection>,
    ) {
        let Some(reading) = self.sweep.tally.holds(frame.window) else { return };
        let mut events: VecDeque<EventRef> = VecDeque::new();
        let mut events_total = 0;
        let mut last: Option<Entry> = None;
        let mut previous: Option<EventRef> = None;
        for entry in self.entries.range(start, end) {
            let event = EventRef { time: entry.time, position: entry.position };
            let rank = |entry: &Entry| (entry.time, entry.position);
            if last.as_ref().is_none_or(|last| rank(last) <= rank(&entry)) {
                last = Some(entry);
            }
            // Several values of one event stand side by side.
            if previous != Some(event) {
                events_total += 1;
                events.push_back(event);
                if events.len() > frame.config.event_refs_max {
                    events.pop_front();
                }
            }
            previous = Some(event);
        }
        let Some(last) = last else { return };
        let (completed_by, carried) = match completing {
            Some((position, carried)) => (position, carried.cloned()),
            None => (last.position, self.carried.get(last.carried).map(GroupKey::of)),
        };
        out.push(WindowDetection {
            window: frame.id,
            group: self.key.clone(),
            at,
            start,
            end,
            reading,
            events: events.into(),
            events_total,
            // They are kept apart from the groups.
            contents: Vec::new(),
            completed_by,
            is_truncated: self.is_truncated,
            carried,
        });
    }

    fn forget_before(&mut self, window: &Window, horizon: i64) {
        if self.entries.first_time().is_none_or(|first| first >= horizon) {
            return;
        }
        self.runs.forget_before(&self.entries, horizon);
        let mut removed = Vec::new();
        self.entries.remove_before(horizon, |entry| removed.push(*entry));
        removed.iter().for_each(|entry| self.release(window, entry));
    }

    fn evict_first(&mut self, window: &Window) {
        let Some(entry) = self.entries.remove_first() else { return };
        self.release(window, &entry);
        if let Some(first) = self.entries.first_time() {
            self.runs.forget_before(&self.entries, first);
        }
    }

    /// An entry has gone.
    fn release(&mut self, window: &Window, entry: &Entry) {
        self.sweep.removed(entry);
        if window.measure == Measure::DistinctValues {
            self.values.give_back(entry.payload as u32);
        }
        self.carried.give_back(entry.carried);
    }
}
