//! The windows of one shard: the state of the groups that one worker owns.
//!
//! Groups stand in a queue ([`super::due_queue`]) by the watermark beyond which there is something to do
//! for them, so that a watermark costs only what it settles. The queue may name a group too early or twice, never too late.

use std::sync::Arc;

use super::contents::Contents;
use super::detection::{EventRef, WindowDetection};
use super::due_queue::DueQueue;
use super::feed::WindowMatch;
use super::group::{Frame, Way, parts};
use super::group_table::GroupTable;
use super::packed;
use super::plan::{Deciding, Measure, Source, Window, WindowId, WindowPlan};
use super::saved::{MAGIC, Unsound};
use super::varint::{Checked, put, zigzag};

/// The grace of a window of an hour.
const GRACE_MS_MAX: i64 = 300_000;

/// When detections go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emit {
    /// At once, at least one for each run of instants at which the condition holds. Conditions that more
    /// events can falsify wait, as `Final` does; a sum waits while a negative number could falsify it.
    #[default]
    Early,
    /// When no event can change it any more: just one for each run, whatever the order of the events.
    Final,
    /// For each event at which the condition holds. Conditions that more events can falsify wait, and
    /// sums are among them.
    Every,
}

/// Limits and switches of windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowConfig {
    /// When detections go out.
    pub emit: Emit,
    /// How far behind the watermark an event may be, in milliseconds. `None`: the lesser of the timespan
    /// and five minutes.
    pub grace_ms: Option<i64>,
    /// Groups that a window holds at most. The one whose state would end first makes room.
    pub groups_per_window_max: usize,
    /// Entries that a group holds at most. The oldest makes room.
    pub entries_per_group_max: usize,
    /// Groups of a window that stand ready to be worked on; the others, but for those with many entries,
    /// are packed.
    pub open_groups_max: usize,
    /// Events of which a group keeps the bytes.
    pub contents_per_group_max: usize,
    /// Bytes of events that a window keeps for all of its groups. The oldest make room.
    pub contents_bytes_max: usize,
    /// Events that a detection names at most, the last ones.
    pub event_refs_max: usize,
}

impl WindowConfig {
    /// How far behind the watermark an event of a window may be, in milliseconds.
    pub fn grace_of(&self, window: &Window) -> i64 {
        self.grace_ms.unwrap_or(window.timespan_ms.min(GRACE_MS_MAX)).max(0)
    }
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self {
            emit: Emit::Early,
            grace_ms: None,
            groups_per_window_max: 100_000,
            entries_per_group_max: 65_536,
            open_groups_max: 1_024,
            contents_per_group_max: 8,
            contents_bytes_max: 32 << 20,
            event_refs_max: 1_000,
        }
    }
}

/// What windows did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WindowCounters {
    /// Matches taken in.
    pub matches: u64,
    /// Matches older than the watermark less the grace.
    pub matches_late: u64,
    /// Matches that a group had already.
    pub matches_repeated: u64,
    /// Detections, also those that only feed other windows.
    pub detections: u64,
    /// Groups that made room for others.
    pub groups_evicted: u64,
    /// Entries that made room for others in their group.
    pub entries_evicted: u64,
}

impl WindowCounters {
    /// Adds what another shard did.
    pub fn add(&mut self, other: &Self) {
        self.matches += other.matches;
        self.matches_late += other.matches_late;
        self.matches_repeated += other.matches_repeated;
        self.detections += other.detections;
        self.groups_evicted += other.groups_evicted;
        self.entries_evicted += other.entries_evicted;
    }
}

/// The windows of one shard.
#[derive(Debug)]
pub struct Windows {
    plan: Arc<WindowPlan>,
    config: WindowConfig,
    /// By window.
    states: Vec<WindowState>,
    counters: WindowCounters,
}

#[derive(Debug)]
struct WindowState {
    way: Way,
    grace: i64,
    hold: i64,
    quiet_max: usize,
    watermark: i64,
    groups: GroupTable,
    queue: DueQueue,
    contents: Contents,
}

/// Matches whose groups are looked up together.
const BATCH: usize = 32;

impl Windows {
    /// No group yet.
    pub fn new(plan: Arc<WindowPlan>, config: WindowConfig) -> Self {
        let mut states: Vec<WindowState> = Vec::new();
        for window in plan.windows() {
            let grace = config.grace_of(window);
            // What another window detects comes as late as it may wait.
            let hold = window.edges.iter().fold(grace, |hold, edge| match edge.from {
                Source::Window(from) => hold.max(states[from.0 as usize].hold),
                Source::Rule(_) => hold,
            });
            let way = match (window.deciding(), config.emit) {
                (Deciding::Closing, _) => Way::Closing,
                (Deciding::Falsifiable, _) | (_, Emit::Final) => Way::Final,
                (Deciding::Rising, Emit::Early) => Way::Early,
                // A negative number could falsify a sum that has been reported.
                (Deciding::Rising, Emit::Every) if window.measure == Measure::Sum => Way::Final,
                (Deciding::Rising, Emit::Every) => Way::Every,
            };
            states.push(WindowState {
                way,
                grace,
                hold,
                quiet_max: quiet_max(window, way, &config),
                watermark: i64::MIN,
                groups: GroupTable::default(),
                queue: DueQueue::new(window.timespan_ms),
                contents: Contents::default(),
            });
        }
        Self { plan, config, states, counters: WindowCounters::default() }
    }

    /// The plan in force.
    pub fn plan(&self) -> &Arc<WindowPlan> {
        &self.plan
    }

    /// What was done so far.
    pub fn counters(&self) -> WindowCounters {
        self.counters
    }

    /// How long after an instant of a window events may still come to it, by what feeds it too.
    pub fn hold_ms(&self, id: WindowId) -> i64 {
        self.states[id.0 as usize].hold
    }

    /// Whether a window is decided when it closes: it is opened by its first event, and so depends on all
    /// windows of its group before.
    pub fn is_closing(&self, id: WindowId) -> bool {
        self.states[id.0 as usize].way == Way::Closing
    }

    /// Calls `each` for every group that has a window that is decided when it closes and is not decided yet:
    /// with the time from which on the first event begins it, whatever comes.
    pub fn openings(&self, id: WindowId, mut each: impl FnMut(&[u8], i64)) {
        let state = &self.states[id.0 as usize];
        if state.way == Way::Closing {
            let settled = state.watermark.saturating_sub(state.hold);
            state.groups.each_first_time(|key, first| each(key, first.min(settled)));
        }
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.states.iter().map(|state| state.groups.len()).sum()
    }

    /// The memory that groups and their entries take, without events' bytes and without the strings and
    /// runs of the few groups that are not packed.
    pub fn held_bytes(&self) -> usize {
        let held = |state: &WindowState| state.groups.held_bytes() + state.queue.held_bytes();
        self.states.iter().map(held).sum()
    }

    /// Takes a match in; a late or repeated one is counted and has no effect.
    pub fn push(&mut self, arrived: &WindowMatch, out: &mut Vec<WindowDetection>) {
        let hash = self.hash(arrived);
        self.push_hashed(hash, arrived, out);
    }

    /// Takes matches in, in their order, as [`Self::push`] does: faster where there are many groups,
    /// because the memory that they need is asked for before it is needed.
    pub fn push_all(&mut self, matches: &[WindowMatch], out: &mut Vec<WindowDetection>) {
        for batch in matches.chunks(BATCH) {
            let mut hashes = [0; BATCH];
            self.glance(batch, &mut hashes);
            for (hash, arrived) in hashes.into_iter().zip(batch) {
                self.push_hashed(hash, arrived, out);
            }
        }
    }

    fn hash(&self, arrived: &WindowMatch) -> u32 {
        self.states[arrived.window.0 as usize].groups.hash(arrived.group.as_bytes())
    }

    /// Looks at the groups of these matches. The steps of one match depend on each other and those of
    /// different ones do not, so that a processor waits for the memory of all of them at once.
    fn glance(&self, matches: &[WindowMatch], hashes: &mut [u32; BATCH]) {
        let groups = |at: usize| &self.states[matches[at].window.0 as usize].groups;
        let mut slots = [None; BATCH];
        let mut places = [u32::MAX; BATCH];
        let mut seen = 0;
        for (at, hash) in hashes.iter_mut().enumerate().take(matches.len()) {
            *hash = self.hash(&matches[at]);
            slots[at] = groups(at).glance_at_index(*hash);
        }
        for at in 0..matches.len() {
            if let Some(slot) = slots[at] {
                places[at] = groups(at).glance_at_place(slot);
            }
        }
        for (at, place) in places.iter().enumerate().take(matches.len()) {
            seen |= groups(at).glance_at_block(*place);
        }
        std::hint::black_box(seen);
    }

    fn push_hashed(&mut self, hash: u32, arrived: &WindowMatch, out: &mut Vec<WindowDetection>) {
        let before = out.len();
        let Self { plan, config, states, counters } = self;
        let state = &mut states[arrived.window.0 as usize];
        let frame = state.frame(plan, arrived.window, config);
        // What feeds a window from other windows is complete only up to the watermark of its level.
        let is_fed_by_rules = plan.level(arrived.window) == 0;
        let watermark =
            if is_fed_by_rules { state.watermark.max(arrived.watermark) } else { state.watermark };
        let (limit, since) = if arrived.is_chained {
            (frame.hold, watermark)
        } else {
            (state.grace, watermark.max(arrived.watermark))
        };
        if arrived.time < since.saturating_sub(limit) {
            counters.matches_late += 1;
            return;
        }
        counters.matches += 1;
        let slot = match state.groups.find(hash, arrived.group.as_bytes()) {
            Some(slot) => slot,
            None => {
                while state.groups.len() >= config.groups_per_window_max.max(1) {
                    counters.groups_evicted += 1;
                    state.evict(&frame);
                }
                let settled = watermark.saturating_sub(frame.hold);
                state.groups.add((hash, &arrived.group), &frame, settled)
            }
        };
        if let Some(appended) = state.groups.append(slot, &frame, arrived) {
            if let Some(due_at) = appended.queue_at {
                state.queue.push(due_at, slot);
            }
            state.keep_content(slot, arrived, config);
            return;
        }
        let Some(group) = state.groups.open(slot, &frame) else { return };
        group.settle(&frame, watermark, out);
        state.contents.show(slot, &mut out[before..]);
        let settled = out.len();
        let Some(group) = state.groups.open(slot, &frame) else { return };
        let inserted = group.insert(&frame, arrived, out);
        let due_at = group.event_due_at(&frame, arrived.time);
        if due_at < group.queued_at {
            group.queued_at = due_at;
            state.queue.push(due_at, slot);
        }
        if !inserted.is_duplicate {
            state.keep_content(slot, arrived, config);
        }
        state.contents.show(slot, &mut out[settled..]);
        state.groups.tidy(&frame);
        counters.matches_repeated += u64::from(inserted.is_duplicate);
        counters.entries_evicted += inserted.entries_evicted;
        counters.detections += (out.len() - before) as u64;
    }

    /// Writes all that is known of the groups behind `out`, for [`Self::load`].
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        put(out, self.states.len() as u64);
        for state in &self.states {
            put(out, zigzag(state.watermark));
            state.groups.save(out);
            state.contents.save(&state.groups.saved_numbers(), out);
        }
    }

    /// The windows that were saved, under the plan and the configuration that they had then; counters
    /// begin anew. The bytes may be anything: they take no more memory than the configuration allows and
    /// their length is worth, and what comes of them is a state that windows can be in.
    ///
    /// # Errors
    /// The bytes are not such windows.
    pub fn load(
        plan: Arc<WindowPlan>,
        config: WindowConfig,
        bytes: &[u8],
    ) -> Result<Self, Unsound> {
        let mut windows = Self::new(plan, config);
        windows.fill(bytes).ok_or(Unsound)?;
        Ok(windows)
    }

    fn fill(&mut self, bytes: &[u8]) -> Option<()> {
        let Self { plan, config, states, .. } = self;
        let from = &mut Checked(bytes.strip_prefix(MAGIC)?);
        if from.number()? != states.len() as u64 {
            return None;
        }
        for (at, state) in states.iter_mut().enumerate() {
            state.watermark = from.signed()?;
            let frame = state.frame(plan, WindowId(at as u32), config);
            let queue = &mut state.queue;
            state.groups = GroupTable::load(from, &frame, |due_at, slot| queue.push(due_at, slot))?;
            let limits = (config.contents_per_group_max, config.contents_bytes_max);
            state.contents = Contents::load(from, state.groups.len(), limits)?;
        }
        from.is_at_end().then_some(())
    }

    /// Time has come to `watermark` for the windows of a level: settles what lies behind it. All matches
    /// that other windows make of what came before the watermark have been pushed.
    pub fn advance(&mut self, level: u32, watermark: i64, out: &mut Vec<WindowDetection>) {
        let before = out.len();
        let Self { plan, config, states, counters } = self;
        for (at, state) in states.iter_mut().enumerate() {
            let id = WindowId(at as u32);
            if plan.level(id) == level && state.watermark < watermark {
                state.watermark = watermark;
                let frame = state.frame(plan, id, config);
                state.settle_due(&frame, out);
            }
        }
        counters.detections += (out.len() - before) as u64;
    }
}

/// How many entries of a group cannot make the condition hold, whatever they are and in whatever order
/// they came. Only where a decision that was not made would have left nothing behind: detections go out
/// at once, and an entry has no strings.
fn quiet_max(window: &Window, way: Way, config: &WindowConfig) -> usize {
    let is_at_once = matches!(way, Way::Early | Way::Every);
    let has_numbers =
        matches!(window.measure, Measure::Events | Measure::Inputs | Measure::InputsInOrder);
    if !is_at_once || !has_numbers || parts(window).carried {
        return 0;
    }
    let limit = packed::ENTRIES_MAX.min(config.entries_per_group_max);
    limit.min(window.entries_needed().saturating_sub(1))
}

impl WindowState {
    fn frame<'a>(&self, plan: &'a WindowPlan, id: WindowId, config: &'a WindowConfig) -> Frame<'a> {
        let (way, hold, quiet_max) = (self.way, self.hold, self.quiet_max);
        Frame { id, window: plan.window(id), way, hold, config, quiet_max }
    }

    fn keep_content(&mut self, slot: u32, arrived: &WindowMatch, config: &WindowConfig) {
        if let Some(content) = &arrived.content {
            let event = EventRef { time: arrived.time, position: arrived.position };
            let limits = (config.contents_per_group_max, config.contents_bytes_max);
            self.contents.push(slot, (event, content), limits);
        }
    }

    fn remove(&mut self, slot: u32) {
        self.groups.remove(slot);
        self.contents.forget(slot);
    }

    fn settle_due(&mut self, frame: &Frame<'_>, out: &mut Vec<WindowDetection>) {
        while let Some((due_at, slot)) = self.queue.pop_before(self.watermark) {
            // Otherwise the group is gone, or another place in the queue stands for it.
            if self.groups.queued_at(slot) != Some(due_at) {
                continue;
            }
            let before = out.len();
            // A plain group has nothing to settle, so it is not opened for it.
            let next = match self.groups.plain(slot) {
                Some(plain) => Some(frame.matters_until(plain.last_time))
                    .filter(|due_at| *due_at >= self.watermark),
                None => {
                    let Some(group) = self.groups.open(slot, frame) else { continue };
                    group.settle(frame, self.watermark, out);
                    let (first, due_at) = (group.first_time(), group.due_at(frame));
                    self.contents.show(slot, &mut out[before..]);
                    self.contents.forget_before(slot, first.unwrap_or(i64::MAX));
                    due_at
                }
            };
            match next {
                // What is settled is behind it: only a state that somebody made up could be due again.
                Some(due_at) => self.queue_at(slot, due_at.max(self.watermark)),
                None => self.remove(slot),
            }
            self.groups.tidy(frame);
        }
    }

    fn queue_at(&mut self, slot: u32, due_at: i64) {
        self.groups.set_queued_at(slot, due_at);
        self.queue.push(due_at, slot);
    }

    /// Gives up the group whose state would end first.
    fn evict(&mut self, frame: &Frame<'_>) {
        while let Some((due_at, slot)) = self.queue.pop() {
            if self.groups.queued_at(slot) != Some(due_at) {
                continue;
            }
            let actual = match self.groups.plain(slot) {
                Some(plain) => Some(frame.matters_until(plain.last_time)),
                None => self.groups.open(slot, frame).and_then(|group| group.due_at(frame)),
            };
            match actual {
                Some(actual) if actual > due_at => self.queue_at(slot, actual),
                _ => return self.remove(slot),
            }
        }
        // Every group stands in the queue, so there is none left.
        self.groups = GroupTable::default();
        self.contents = Contents::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed::Fixed;
    use super::super::plan::{Bound, Edge, WindowCondition};
    use super::super::{EventRef, GroupKey, Position};
    use super::*;
    use crate::RuleId;

    /// Three events of a group within ten seconds.
    fn plan() -> Arc<WindowPlan> {
        let edge = Edge {
            from: Source::Rule(RuleId(0)),
            input: 0,
            group: Vec::new(),
            values: Vec::new(),
            carried: Vec::new(),
        };
        let window = Window {
            source: 0,
            condition_index: 0,
            measure: Measure::Events,
            condition: WindowCondition::Bounds(vec![(Bound::GreaterOrEqual, Fixed::from_count(3))]),
            timespan_ms: 10_000,
            group_by: vec!["U".to_owned()],
            inputs: 1,
            is_emitting: true,
            edges: vec![edge],
        };
        Arc::new(WindowPlan::new(vec![window], vec![false]))
    }

    fn event(group: &str, time: i64, offset: u64) -> WindowMatch {
        WindowMatch {
            window: WindowId(0),
            group: GroupKey::new([Some(group.as_bytes())]),
            time,
            position: Position { source: 0, offset },
            watermark: time,
            inputs: vec![0],
            values: Vec::new(),
            carried: None,
            content: Some(Arc::from(format!("{{\"n\":{offset}}}").as_bytes())),
            may_repeat: false,
            is_chained: false,
        }
    }

    fn run(windows: &mut Windows, events: &[WindowMatch]) -> Vec<WindowDetection> {
        let mut out = Vec::new();
        events.iter().for_each(|event| windows.push(event, &mut out));
        out
    }

    #[test]
    fn the_group_that_would_end_first_makes_room() {
        let config = WindowConfig { groups_per_window_max: 2, ..WindowConfig::default() };
        let mut windows = Windows::new(plan(), config);
        let mut events = vec![event("a", 0, 0), event("b", 1, 1), event("a", 2, 2)];
        // `b` goes, and what it had is forgotten.
        events.extend([event("c", 3, 3), event("a", 4, 4), event("b", 5, 5), event("b", 6, 6)]);
        let detections = run(&mut windows, &events);
        assert_eq!(detections.iter().map(|d| d.at).collect::<Vec<_>>(), [4]);
        assert_eq!(windows.counters().groups_evicted, 2);
        assert_eq!(windows.group_count(), 2);
    }

    #[test]
    fn a_group_at_its_limit_forgets_the_oldest_and_says_so() {
        let config = WindowConfig { entries_per_group_max: 4, ..WindowConfig::default() };
        let mut windows = Windows::new(plan(), config);
        let mut events: Vec<WindowMatch> =
            (0..6).map(|at| event("a", at * 1_000, at as u64)).collect();
        events.extend((0..6).map(|at| event("a", 100_000 + at, 10 + at as u64)));
        let detections = run(&mut windows, &events);
        assert_eq!(detections.len(), 2);
        assert!(!detections[0].is_truncated);
        assert!(detections[1].is_truncated);
        assert_eq!(windows.counters().entries_evicted, 4);
    }

    #[test]
    fn a_detection_names_the_last_events_and_shows_those_that_were_kept() {
        let config = WindowConfig {
            event_refs_max: 2,
            contents_per_group_max: 1,
            ..WindowConfig::default()
        };
        let mut windows = Windows::new(plan(), config);
        let events: Vec<WindowMatch> = (0..3).map(|at| event("a", at, at as u64)).collect();
        let detection = run(&mut windows, &events).pop().unwrap();
        let named =
            |at: u64| EventRef { time: at as i64, position: Position { source: 0, offset: at } };
        assert_eq!(detection.events, [named(1), named(2)]);
        assert_eq!(detection.events_total, 3);
        assert_eq!(detection.contents.len(), 1);
        assert_eq!(detection.contents[0].0, named(2));
        assert_eq!(&*detection.contents[0].1, b"{\"n\":2}");
        assert_eq!((detection.start, detection.end), (2 - 10_000, 2));
        assert_eq!(detection.reading.to_string(), "3");
    }

    #[test]
    fn an_event_that_is_pushed_again_counts_once() {
        let mut windows = Windows::new(plan(), WindowConfig::default());
        let again = |event: WindowMatch| WindowMatch { may_repeat: true, ..event };
        let events = [
            event("a", 0, 0),
            event("a", 1, 1),
            again(event("a", 1, 1)),
            again(event("a", 0, 0)),
            // Another event at the same time.
            again(event("a", 1, 2)),
        ];
        let detections = run(&mut windows, &events);
        assert_eq!(detections.len(), 1);
        assert_eq!(detections[0].completed_by.offset, 2);
        assert_eq!(windows.counters().matches_repeated, 2);
    }

    #[test]
    fn groups_go_when_nothing_depends_on_them() {
        let mut windows = Windows::new(plan(), WindowConfig::default());
        let mut out = run(&mut windows, &[event("a", 0, 0), event("b", 5_000, 1)]);
        for (watermark, count) in [(30_000, 2), (30_001, 1), (35_000, 1), (35_001, 0)] {
            windows.advance(0, watermark, &mut out);
            assert_eq!(windows.group_count(), count, "{watermark}");
        }
        assert!(out.is_empty());
    }

    /// Of many groups, with so many entries each that no group holds its condition, or one more.
    fn bytes_a_group(groups: usize, entries: usize) -> (usize, usize) {
        let config = WindowConfig {
            groups_per_window_max: groups,
            open_groups_max: 10,
            ..WindowConfig::default()
        };
        let mut windows = Windows::new(plan(), config);
        let mut detections = Vec::new();
        for at in 0..groups * entries {
            // Entries of a group lie a second apart at least, so that none of three is forgotten.
            let group = format!("user-{:08}", at % groups);
            let time = (at / groups * 1_000) as i64;
            let arrived = WindowMatch { content: None, ..event(&group, time, at as u64 * 37) };
            windows.push(&arrived, &mut detections);
        }
        assert_eq!(windows.group_count(), groups);
        (windows.held_bytes() / groups, detections.len())
    }

    #[test]
    fn a_group_takes_its_key_and_sixty_four_bytes_and_an_entry_twelve() {
        for (entries, detected) in [(1, false), (2, false), (3, true), (10, true)] {
            let (bytes, detections) = bytes_a_group(50_000, entries);
            assert!(bytes <= 64 + 17 + 12 * entries, "{entries} entries: {bytes} bytes");
            assert_eq!(detections, if detected { 50_000 } else { 0 });
        }
    }
}
