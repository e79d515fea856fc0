//! What a worker has for the owners of groups: a batch of matches for each partition of the matches topic.
//!
//! A record with a match in a batch that is not acknowledged yet is not done, and neither is anything
//! behind it: the first record of each source partition in a batch is pinned in the ledger.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sigmill_engine::window::WindowMatch;

use super::match_batch::{BatchHead, BatchOwner, BatchSource, BatchWriter, Openings, SourceTime};
use super::rules::Fnv;
use crate::commit::{FlightId, FlightKind, Ledger, Slot};

/// A batch this long goes out at once: well below what a broker takes.
const BYTES_MAX: usize = 256 << 10;

/// A batch that is ready.
pub(crate) struct Ready {
    pub(crate) partition: i32,
    pub(crate) bytes: Vec<u8>,
    /// What is done when it is acknowledged.
    pub(crate) pins: Vec<FlightId>,
}

#[derive(Default)]
struct Waiting {
    writer: BatchWriter,
    pins: Vec<(Slot, FlightId)>,
}

/// Where an event was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In a partition of this worker.
    Own(Slot),
    /// Elsewhere: an owner hands on what it found.
    Named(String, i32),
}

/// The record that a match belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) slot: Slot,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
}

/// The batches of a worker.
pub(crate) struct Outbox {
    pub(crate) topic: String,
    waiting: Vec<Waiting>,
    /// The source of a match is an index into these, until the next flush.
    sources: Vec<Source>,
    /// How many partitions the data topics have, as far as that is known.
    pub(crate) topics: Vec<(String, u32)>,
    /// What the plan was built from.
    pub(crate) rules: Vec<(i32, i64)>,
    /// How far the owners of this worker have come, where windows feed others.
    pub(crate) owners: Vec<BatchOwner>,
    told: Vec<(Slot, i64, bool)>,
    /// After how long without a record a partition is idle.
    idle_after: Duration,
    /// By partition: how far it was read, and since when.
    heard: HashMap<Slot, (Option<i64>, Instant)>,
    owners_told: Vec<BatchOwner>,
}

impl Outbox {
    /// For a topic with so many partitions.
    pub(crate) fn new(topic: String, partition_count: usize, idle_after: Duration) -> Self {
        let waiting = (0..partition_count.max(1)).map(|_| Waiting::default()).collect();
        Self {
            topic,
            waiting,
            sources: Vec::new(),
            topics: Vec::new(),
            rules: Vec::new(),
            owners: Vec::new(),
            told: Vec::new(),
            idle_after,
            heard: HashMap::new(),
            owners_told: Vec::new(),
        }
    }

    /// Adds a match for a version of a window. True: flush.
    pub(crate) fn add(
        &mut self,
        ledger: &mut Ledger,
        origin: Origin,
        source: Source,
        version: u64,
        fed: &WindowMatch,
    ) -> bool {
        let mut hash = Fnv::new();
        hash.number(version);
        hash.bytes(fed.group.as_bytes());
        // The low bits of this hash alone are not even.
        let place = (hash.0 ^ hash.0 >> 32) % self.waiting.len() as u64;
        let waiting = &mut self.waiting[place as usize];
        if !waiting.pins.iter().any(|(pinned, _)| *pinned == origin.slot) {
            let Origin { slot, offset, timestamp } = origin;
            let pin = ledger.sent(slot, offset, timestamp, 0, FlightKind::Pin);
            waiting.pins.push((slot, pin));
        }
        let known = self.sources.iter().position(|known| *known == source);
        let source = known.unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        });
        waiting.writer.add(version, source as u32, fed);
        waiting.writer.bytes() >= BYTES_MAX
    }

    /// Adds windows that are open for who comes after their owner. True: flush.
    pub(crate) fn add_openings(&mut self, partition: i32, openings: Openings) -> bool {
        let waiting = usize::try_from(partition).ok().and_then(|at| self.waiting.get_mut(at));
        waiting.is_some_and(|waiting| {
            waiting.writer.add_openings(openings);
            waiting.writer.bytes() >= BYTES_MAX
        })
    }

    /// All batches with matches. With `is_heartbeat` also those without, if time has moved since they
    /// last went out.
    pub(crate) fn flush(&mut self, ledger: &Ledger, is_heartbeat: bool) -> Vec<Ready> {
        let is_waiting = |waiting: &Waiting| !waiting.writer.is_empty();
        if !is_heartbeat && !self.waiting.iter().any(is_waiting) {
            return Vec::new();
        }
        for (slot, topic, _) in ledger.partitions() {
            let source = Source::Own(slot);
            if topic != self.topic && !self.sources.contains(&source) {
                self.sources.push(source);
            }
        }
        let now = Instant::now();
        self.heard.retain(|slot, _| ledger.name(*slot).is_some());
        let mut sources = Vec::with_capacity(self.sources.len());
        let mut told = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let (topic, partition, time, is_idle) = match source {
                Source::Named(topic, partition) => {
                    (topic.as_str(), *partition, SourceTime::Unknown, false)
                }
                Source::Own(slot) => {
                    // A partition that was given up has no matches here: they went out before.
                    let (topic, partition) = ledger.name(*slot).unwrap_or(("", -1));
                    let time = ledger.mark(*slot).map_or(i64::MIN, |mark| mark.time);
                    let position = ledger.position(*slot);
                    let heard = self.heard.entry(*slot).or_insert((position, now));
                    if heard.0 != position {
                        *heard = (position, now);
                    }
                    let is_idle = now.duration_since(heard.1) >= self.idle_after;
                    told.push((*slot, time, is_idle));
                    (topic, partition, SourceTime::of(time), is_idle)
                }
            };
            let count = self.topics.iter().find(|(known, _)| known == topic);
            let partition_count = count.map_or(0, |(_, count)| *count);
            sources.push(BatchSource { topic, partition_count, partition, time, is_idle });
        }
        let is_news = is_heartbeat && (told != self.told || self.owners != self.owners_told);
        let head = BatchHead {
            rules: self.rules.clone(),
            sources,
            owner_count: self.waiting.len() as u32,
            owners: self.owners.clone(),
        };
        let mut ready = Vec::new();
        for (partition, waiting) in self.waiting.iter_mut().enumerate() {
            if waiting.writer.is_empty() && !is_news {
                continue;
            }
            let mut bytes = Vec::with_capacity(waiting.writer.bytes() + 256);
            waiting.writer.finish(&head, &mut bytes);
            ready.push(Ready {
                partition: partition as i32,
                bytes,
                pins: waiting.pins.drain(..).map(|(_, pin)| pin).collect(),
            });
        }
        if is_heartbeat {
            self.told = told;
            self.owners_told.clone_from(&self.owners);
        }
        self.sources.clear();
        ready
    }

    /// Partitions that are not read for a reason of this worker's are not idle.
    pub(crate) fn keep_awake(&mut self) {
        let now = Instant::now();
        self.heard.values_mut().for_each(|heard| heard.1 = now);
    }

    /// Gives up what was not sent.
    pub(crate) fn clear(&mut self, ledger: &mut Ledger) {
        for waiting in &mut self.waiting {
            for (_, pin) in std::mem::take(waiting).pins {
                ledger.acknowledged(pin);
            }
        }
        self.sources.clear();
        self.told.clear();
        self.owners_told.clear();
    }
}
