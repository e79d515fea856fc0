//! The windows of one shard: the state of the groups that one worker owns.
//!
//! Groups stand in a queue by the watermark beyond which there is something to do for them, so that a
//! watermark costs only what it settles. The queue may name a group too early or twice, never too late.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::detection::WindowDetection;
use super::feed::WindowMatch;
use super::group::{Frame, Group, Way};
use super::key::GroupKey;
use super::plan::{Deciding, Source, WindowId, WindowPlan};

/// The grace of a window of an hour.
const GRACE_MS_MAX: i64 = 300_000;

/// When detections go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emit {
    /// At once, at least one for each run of instants at which the condition holds. Conditions that more
    /// events can falsify wait, as `Final` does.
    #[default]
    Early,
    /// When no event can change it any more: just one for each run, whatever the order of the events.
    Final,
    /// For each event at which the condition holds. Conditions that more events can falsify wait.
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
    /// Events of which a group keeps the bytes.
    pub contents_per_group_max: usize,
    /// Events that a detection names at most, the last ones.
    pub event_refs_max: usize,
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self {
            emit: Emit::Early,
            grace_ms: None,
            groups_per_window_max: 100_000,
            entries_per_group_max: 65_536,
            contents_per_group_max: 8,
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
    watermark: i64,
    slots: HashMap<GroupKey, u32>,
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    queue: BinaryHeap<Reverse<(i64, u32)>>,
}

impl Windows {
    /// No group yet.
    pub fn new(plan: Arc<WindowPlan>, config: WindowConfig) -> Self {
        let mut states: Vec<WindowState> = Vec::new();
        for window in plan.windows() {
            let grace = config.grace_ms.unwrap_or(window.timespan_ms.min(GRACE_MS_MAX)).max(0);
            // What another window detects comes as late as it may wait.
            let hold = window.edges.iter().fold(grace, |hold, edge| match edge.from {
                Source::Window(from) => hold.max(states[from.0 as usize].hold),
                Source::Rule(_) => hold,
            });
            let way = match (window.deciding(), config.emit) {
                (Deciding::Closing, _) => Way::Closing,
                (Deciding::Falsifiable, _) | (_, Emit::Final) => Way::Final,
                (Deciding::Rising, Emit::Early) => Way::Early,
                (Deciding::Rising, Emit::Every) => Way::Every,
            };
            states.push(WindowState {
                way,
                grace,
                hold,
                watermark: i64::MIN,
                slots: HashMap::new(),
                groups: Vec::new(),
                free: Vec::new(),
                queue: BinaryHeap::new(),
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

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.states.iter().map(|state| state.slots.len()).sum()
    }

    /// Takes a match in; a late or repeated one is counted and has no effect.
    pub fn push(&mut self, arrived: &WindowMatch, out: &mut Vec<WindowDetection>) {
        let before = out.len();
        let plan = Arc::clone(&self.plan);
        let state = &mut self.states[arrived.window.0 as usize];
        let frame = state.frame(&plan, arrived.window, &self.config);
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
            self.counters.matches_late += 1;
            return;
        }
        self.counters.matches += 1;
        let slot = match state.slots.get(&arrived.group) {
            Some(slot) => *slot,
            None => {
                while state.slots.len() >= self.config.groups_per_window_max.max(1) {
                    self.counters.groups_evicted += 1;
                    state.evict(&frame);
                }
                state.add(Group::new(
                    arrived.group.clone(),
                    frame.window,
                    watermark.saturating_sub(frame.hold),
                ))
            }
        };
        let Some(group) = &mut state.groups[slot as usize] else { return };
        group.settle(&frame, watermark, out);
        let inserted = group.insert(&frame, arrived, out);
        self.counters.matches_repeated += u64::from(inserted.is_duplicate);
        self.counters.entries_evicted += inserted.entries_evicted;
        let due_at = group.event_due_at(&frame, arrived.time);
        if due_at < group.queued_at {
            group.queued_at = due_at;
            state.queue.push(Reverse((due_at, slot)));
        }
        self.counters.detections += (out.len() - before) as u64;
    }

    /// Time has come to `watermark` for the windows of a level: settles what lies behind it. All matches
    /// that other windows make of what came before the watermark have been pushed.
    pub fn advance(&mut self, level: u32, watermark: i64, out: &mut Vec<WindowDetection>) {
        let before = out.len();
        let plan = Arc::clone(&self.plan);
        for (at, state) in self.states.iter_mut().enumerate() {
            let id = WindowId(at as u32);
            if plan.level(id) == level && state.watermark < watermark {
                state.watermark = watermark;
                let frame = state.frame(&plan, id, &self.config);
                state.settle_due(&frame, out);
            }
        }
        self.counters.detections += (out.len() - before) as u64;
    }
}

impl WindowState {
    fn frame<'a>(&self, plan: &'a WindowPlan, id: WindowId, config: &'a WindowConfig) -> Frame<'a> {
        Frame { id, window: plan.window(id), way: self.way, hold: self.hold, config }
    }

    fn add(&mut self, group: Group) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            self.groups.len() as u32 - 1
        });
        self.slots.insert(group.key.clone(), slot);
        self.groups[slot as usize] = Some(group);
        slot
    }

    fn remove(&mut self, slot: u32) {
        if let Some(group) = self.groups[slot as usize].take() {
            self.slots.remove(&group.key);
            self.free.push(slot);
        }
    }

    fn settle_due(&mut self, frame: &Frame<'_>, out: &mut Vec<WindowDetection>) {
        while let Some(Reverse((due_at, slot))) = self.queue.peek().copied() {
            if due_at >= self.watermark {
                return;
            }
            self.queue.pop();
            let Some(group) = &mut self.groups[slot as usize] else { continue };
            // Another place in the queue stands for it.
            if group.queued_at != due_at {
                continue;
            }
            group.settle(frame, self.watermark, out);
            self.queue_again(frame, slot);
        }
    }

    fn queue_again(&mut self, frame: &Frame<'_>, slot: u32) {
        let Some(group) = &mut self.groups[slot as usize] else { return };
        match group.due_at(frame).filter(|_| !group.is_empty()) {
            Some(due_at) => {
                group.queued_at = due_at;
                self.queue.push(Reverse((due_at, slot)));
            }
            None => self.remove(slot),
        }
    }

    /// Gives up the group whose state would end first.
    fn evict(&mut self, frame: &Frame<'_>) {
        while let Some(Reverse((due_at, slot))) = self.queue.pop() {
            let Some(group) = &mut self.groups[slot as usize] else { continue };
            if group.queued_at != due_at {
                continue;
            }
            let actual = group.due_at(frame).unwrap_or(i64::MIN);
            if actual <= due_at {
                return self.remove(slot);
            }
            group.queued_at = actual;
            self.queue.push(Reverse((actual, slot)));
        }
        // Every group stands in the queue, so there is none left.
        self.slots.clear();
        self.groups.clear();
        self.free.clear();
    }
}
