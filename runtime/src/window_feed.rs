//! Step 6, window, the worker's side: which matches count in which window, and how far time has come.
//!
//! A record's time is its timestamp, as for the JVM processor. Each partition has a time of its own, the
//! greatest timestamp read from it; one that runs ahead of the wall clock does not move it, so that
//! nobody can make all that follows late. Matches go to the stage ([`crate::window_stage`]), with the
//! time of their partition; so does the time alone, now and then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;
use rdkafka::message::{BorrowedMessage, Message};
use sigmill_engine::window::{self, FeedCounters, Occurrence, Position, WindowMatch};
use sigmill_engine::{Matcher, RuleId};

use crate::clock;
use crate::commit::Slot;
use crate::rule_store::RuleSet;
use crate::settings::WindowSettings;

/// What workers tell the stage.
pub(crate) enum WindowNews {
    /// Matches of one record.
    Matches {
        /// The rule set that found them.
        rules: Arc<RuleSet>,
        /// The matches, with the time of their partition.
        matches: Vec<WindowMatch>,
    },
    /// The times of partitions that moved: source and time.
    Times(Vec<(u32, i64)>),
}

/// Numbers for partitions, the same for all workers.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<Vec<(Arc<str>, i32)>>);

impl Sources {
    fn number(&self, topic: &str, partition: i32) -> u32 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|(t, p)| &**t == topic && *p == partition);
        let at = at.unwrap_or_else(|| {
            known.push((topic.into(), partition));
            known.len() - 1
        });
        u32::try_from(at).expect("there are fewer than 2^32 partitions")
    }

    /// The partition of that number.
    pub(crate) fn get(&self, source: u32) -> Option<(Arc<str>, i32)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(source as usize).cloned()
    }
}

/// A partition as its worker sees it.
struct PartitionTime {
    slot: Slot,
    source: u32,
    time: i64,
    is_moved: bool,
}

/// What a worker prepares for windows.
pub(crate) struct WindowFeed {
    settings: WindowSettings,
    sources: Arc<Sources>,
    news: Sender<WindowNews>,
    partitions: Vec<PartitionTime>,
    by_slot: HashMap<Slot, usize>,
    /// Why matches fed no window.
    pub(crate) counters: FeedCounters,
}

impl WindowFeed {
    pub(crate) fn new(
        settings: WindowSettings,
        sources: Arc<Sources>,
        news: Sender<WindowNews>,
    ) -> Self {
        Self {
            settings,
            sources,
            news,
            partitions: Vec::new(),
            by_slot: HashMap::new(),
            counters: FeedCounters::default(),
        }
    }

    /// A record was read and matched; `rules` are those that it matches.
    pub(crate) fn take(
        &mut self,
        slot: Slot,
        message: &BorrowedMessage<'_>,
        (matcher, record): (&mut Matcher, &[u8]),
        rules: &[RuleId],
        set: &Arc<RuleSet>,
    ) {
        let plan = &set.windows;
        if plan.is_empty() {
            return;
        }
        let now = clock::now_ms();
        let time = message.timestamp().to_millis().filter(|time| *time > 0).unwrap_or(now);
        let ahead_max = i64::try_from(self.settings.time_ahead_max.as_millis()).unwrap_or(i64::MAX);
        let at = self.partition(slot, message);
        let partition = &mut self.partitions[at];
        if time > partition.time && time <= now.saturating_add(ahead_max) {
            partition.time = time;
            partition.is_moved = true;
        }
        if !rules.iter().any(|rule| plan.is_feeding(*rule)) {
            return;
        }
        let is_shown = record.len() <= self.settings.event_bytes_max;
        let occurrence = Occurrence {
            time,
            position: Position {
                source: partition.source,
                offset: u64::try_from(message.offset()).unwrap_or(0),
            },
            watermark: partition.time,
            content: is_shown.then(|| Arc::from(record)),
            // The stage knows what it has seen.
            may_repeat: false,
        };
        let mut matches = Vec::new();
        let counters = &mut self.counters;
        window::collect(plan, matcher, record, rules, &occurrence, counters, &mut matches);
        if !matches.is_empty() {
            // Where nobody listens any more the processor is about to end.
            let _ = self.news.send(WindowNews::Matches { rules: Arc::clone(set), matches });
        }
    }

    fn partition(&mut self, slot: Slot, message: &BorrowedMessage<'_>) -> usize {
        if let Some(at) = self.by_slot.get(&slot) {
            return *at;
        }
        let source = self.sources.number(message.topic(), message.partition());
        let time = PartitionTime { slot, source, time: i64::MIN, is_moved: false };
        // A partition that came back has another slot; its former one is of no use.
        let at = match self.partitions.iter().position(|known| known.source == source) {
            Some(at) => {
                self.by_slot.remove(&self.partitions[at].slot);
                self.partitions[at] = time;
                at
            }
            None => {
                self.partitions.push(time);
                self.partitions.len() - 1
            }
        };
        self.by_slot.insert(slot, at);
        at
    }

    /// Tells how far time has come, where it has.
    pub(crate) fn tell_times(&mut self) {
        let moved: Vec<(u32, i64)> = self
            .partitions
            .iter_mut()
            .filter_map(|partition| {
                std::mem::take(&mut partition.is_moved)
                    .then_some((partition.source, partition.time))
            })
            .collect();
        if !moved.is_empty() {
            let _ = self.news.send(WindowNews::Times(moved));
        }
    }
}
