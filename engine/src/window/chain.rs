//! Windows that feed windows: shards driven in step.
//!
//! A step is an event: first its watermark settles what lies behind it, level by level, so that a window
//! is settled only when it has all that lower windows detected up to there; then its matches go in,
//! again level by level. What reaches a window in one step from others has an order of its own,
//! by time, rule and group, so that the number of shards does not show.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::sync::Arc;

use super::detection::WindowDetection;
use super::feed::{self, FeedCounters, WindowMatch};
use super::key::GroupKey;
use super::plan::{WindowId, WindowPlan};
use super::shard::{WindowConfig, WindowCounters, Windows};

/// All shards of the windows of a plan, in one process, in step.
#[derive(Debug)]
pub struct WindowSet {
    plan: Arc<WindowPlan>,
    shards: Vec<Windows>,
    feed_counters: FeedCounters,
}

/// A match for a window that another feeds, and what it is ordered by.
struct Chained {
    arrived: WindowMatch,
    from: WindowId,
    group: GroupKey,
}

impl WindowSet {
    /// So many shards, at least one, without a group yet.
    pub fn new(plan: Arc<WindowPlan>, config: &WindowConfig, shards: usize) -> Self {
        let shard = |_| Windows::new(Arc::clone(&plan), config.clone());
        let shards = (0..shards.max(1)).map(shard).collect();
        Self { plan, shards, feed_counters: FeedCounters::default() }
    }

    /// An event's matches, by window, and how far time has come with it.
    pub fn push(
        &mut self,
        watermark: i64,
        matches: &[WindowMatch],
        out: &mut Vec<WindowDetection>,
    ) {
        self.settle(watermark, out);
        let plan = Arc::clone(&self.plan);
        let mut waiting = Vec::new();
        for level in 0..plan.level_count() {
            let mut detections = Vec::new();
            for arrived in matches.iter().filter(|m| plan.level(m.window) == level) {
                self.push_one(arrived, &mut detections);
            }
            self.push_waiting(level, &mut waiting, &mut detections);
            self.hand_on(detections, &mut waiting, out);
        }
    }

    /// No event will come any more: decides all that is open.
    pub fn close(&mut self, out: &mut Vec<WindowDetection>) {
        self.settle(i64::MAX, out);
    }

    /// What all shards did.
    pub fn counters(&self) -> WindowCounters {
        let mut total = WindowCounters::default();
        self.shards.iter().for_each(|shard| total.add(&shard.counters()));
        total
    }

    /// Why detections fed no window.
    pub fn feed_counters(&self) -> FeedCounters {
        self.feed_counters
    }

    fn settle(&mut self, watermark: i64, out: &mut Vec<WindowDetection>) {
        let mut waiting = Vec::new();
        for level in 0..self.plan.level_count() {
            let mut detections = Vec::new();
            self.push_waiting(level, &mut waiting, &mut detections);
            for shard in &mut self.shards {
                shard.advance(level, watermark, &mut detections);
            }
            self.hand_on(detections, &mut waiting, out);
        }
    }

    fn push_one(&mut self, arrived: &WindowMatch, out: &mut Vec<WindowDetection>) {
        // A fixed key, so that every process finds the same shard.
        let mut hasher = DefaultHasher::new();
        hasher.write(arrived.group.as_bytes());
        let shard = hasher.finish() % self.shards.len() as u64;
        self.shards[shard as usize].push(arrived, out);
    }

    /// Pushes what waits for the windows of a level.
    fn push_waiting(
        &mut self,
        level: u32,
        waiting: &mut Vec<Chained>,
        out: &mut Vec<WindowDetection>,
    ) {
        let is_due = |chained: &mut Chained| self.plan.level(chained.arrived.window) == level;
        let mut due: Vec<Chained> = waiting.extract_if(.., is_due).collect();
        due.sort_by(|a, b| {
            let rank = |c: &Chained| {
                let from = self.plan.window(c.from);
                (c.arrived.time, from.source, from.condition_index)
            };
            rank(a).cmp(&rank(b)).then_with(|| a.group.values().cmp(b.group.values()))
        });
        for chained in due {
            self.push_one(&chained.arrived, out);
        }
    }

    /// Gives detections out, and to the windows that theirs feed.
    fn hand_on(
        &mut self,
        detections: Vec<WindowDetection>,
        waiting: &mut Vec<Chained>,
        out: &mut Vec<WindowDetection>,
    ) {
        for detection in detections {
            let mut matches = Vec::new();
            feed::chain(&self.plan, &detection, &mut self.feed_counters, &mut matches);
            waiting.extend(matches.into_iter().map(|arrived| Chained {
                arrived,
                from: detection.window,
                group: detection.group.clone(),
            }));
            out.push(detection);
        }
    }
}
