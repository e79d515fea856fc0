//! The owners that a worker is: one for each partition whose windows it counts.
//!
//! It gives them their records, sends their detections, and holds back the records of a partition whose
//! matches were found by rules that this processor has not read yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message, OwnedMessage};
use sigmill_engine::window::{Position, WindowConfig, WindowMatch};
use tracing::{debug, info, warn};

use super::checkpoint::{Anchor, Checkpoints};
use super::match_batch::BatchOwner;
use super::match_batch::{BatchSource, MatchBatch};
use super::outbox::{Origin, Source};
use super::owner::{Found, Output, Owner, place};
use super::rules::{self, WindowRules};
use crate::commit::{Ledger, Mark, Slot, Start};
use crate::detection::{Event, EventPosition, Extract};
use crate::emit::{Emitter, SourceRecord};
use crate::metrics::{Counts, Metric};
use crate::rate_limit::RateLimit;
use crate::settings::Settings;
use crate::worker::WorkerContext;

/// Records of a partition that wait for rules.
struct Waiting {
    since: Instant,
    records: VecDeque<OwnedMessage>,
    is_paused: bool,
}

/// The owners of one worker.
pub(crate) struct Shard {
    config: WindowConfig,
    rules_wait: Duration,
    owners: HashMap<Slot, Owner>,
    waiting: HashMap<Slot, Waiting>,
    out: Output,
    limit: RateLimit,
    checkpoints: Option<Arc<Checkpoints>>,
    checkpoint_interval: Duration,
    /// When a checkpoint was made of a partition last, or its work began.
    checkpointed: HashMap<Slot, Instant>,
    /// Partitions that began at a checkpoint that is of no use.
    unfounded: HashMap<Slot, i32>,
}

/// What became of a record.
enum Outcome {
    Done,
    /// It was found by rules that are not in force here yet.
    Early,
}

impl Shard {
    pub(crate) fn new(settings: &Settings, checkpoints: Option<Arc<Checkpoints>>) -> Self {
        Self {
            config: rules::config(settings),
            rules_wait: settings.window.rules_wait,
            owners: HashMap::new(),
            waiting: HashMap::new(),
            out: Output::default(),
            limit: RateLimit::new(Duration::from_secs(1)),
            checkpoints,
            checkpoint_interval: settings.window.checkpoint_interval,
            checkpointed: HashMap::new(),
            unfounded: HashMap::new(),
        }
    }

    pub(crate) fn take_rules(&mut self, rules: &WindowRules) {
        self.owners.values_mut().for_each(|owner| owner.take_rules(rules));
    }

    /// The state to commit for a partition.
    pub(crate) fn mark(&mut self, slot: Slot) -> Mark {
        self.owners.get_mut(&slot).map_or_else(Mark::default, Owner::mark)
    }

    /// Has the next heartbeat say how far the owners have come, if windows feed others.
    pub(crate) fn tell_owners(&mut self, emitter: &mut Emitter, rules: &WindowRules) {
        let Some(outbox) = &mut emitter.outbox else { return };
        let levels = rules.level_count().saturating_sub(1);
        let told = |(slot, owner): (&Slot, &Owner)| {
            let (_, partition) = emitter.ledger.name(*slot).filter(|_| owner.is_at_work())?;
            let times = (0..levels).map(|level| owner.watermark(level)).collect();
            Some(BatchOwner { partition, times })
        };
        outbox.owners.clear();
        if levels > 0 {
            outbox.owners.extend(self.owners.iter().filter_map(told));
            outbox.owners.sort_unstable_by_key(|owner| owner.partition);
        }
    }

    /// How far time had come in a data partition when a record that restores was read.
    pub(crate) fn time(&mut self, slot: Slot, start: &Start) -> i64 {
        self.owner(slot, start).time()
    }

    fn owner(&mut self, slot: Slot, start: &Start) -> &mut Owner {
        let config = &self.config;
        self.owners.entry(slot).or_insert_with(|| Owner::new(config.clone(), start))
    }

    /// Takes a record of the matches topic.
    pub(crate) fn take(
        &mut self,
        emitter: &mut Emitter,
        rules: &WindowRules,
        (slot, message): (Slot, &BorrowedMessage<'_>),
        extract: &mut Extract,
    ) {
        if let Some(waiting) = self.waiting.get_mut(&slot) {
            waiting.records.push_back(message.detach());
            return;
        }
        match self.count(emitter, rules, (slot, message), false, extract) {
            Outcome::Done => {}
            Outcome::Early => {
                debug!(
                    partition = message.partition(),
                    offset = message.offset(),
                    "Matches wait for rules that are not read yet."
                );
                emitter.counts.add(Metric::WindowMatchesWaiting, 1);
                let records = VecDeque::from([message.detach()]);
                let waiting = Waiting { since: Instant::now(), records, is_paused: false };
                self.waiting.insert(slot, waiting);
            }
        }
    }

    fn count<M: Message>(
        &mut self,
        emitter: &mut Emitter,
        rules: &WindowRules,
        (slot, message): (Slot, &M),
        is_forced: bool,
        extract: &mut Extract,
    ) -> Outcome {
        let offset = message.offset();
        let Some(start) = emitter.ledger.start(slot).cloned() else { return Outcome::Done };
        let is_replay = emitter.ledger.is_replay(slot, offset);
        let payload = message.payload().unwrap_or_default();
        let batch = MatchBatch::read(payload);
        if let Ok(batch) = &batch
            && !is_forced
            && !rules.covers(&batch.head.rules)
        {
            return Outcome::Early;
        }
        if let (Some(anchor), false) = (&start.checkpoint, self.owners.contains_key(&slot)) {
            self.begin_from((anchor, &start), rules, (slot, message));
            return Outcome::Done;
        }
        let slot = match is_replay {
            true => slot,
            false => match emitter.ledger.begin(slot, offset) {
                Some(slot) => slot,
                None => return Outcome::Done,
            },
        };
        let mut out = std::mem::take(&mut self.out);
        let timestamp = message.timestamp().to_millis().unwrap_or(0);
        let owner = self.owner(slot, &start);
        // It was counted when it was done.
        let mut counted = Counts::default();
        let counts = if is_replay { &mut counted } else { &mut emitter.counts };
        let result = match &batch {
            Ok(_) if is_forced => Err("its rules did not come"),
            Ok(batch) => {
                owner.take(rules, batch, offset, counts, &mut out).map_err(|_| "malformed matches")
            }
            Err(_) => Err("malformed matches"),
        };
        emitter.counts.add(
            match is_replay {
                true => Metric::WindowRecordsRestored,
                false => Metric::WindowRecords,
            },
            1,
        );
        if is_replay {
            // So was what it led to.
            self.out = Output::default();
            return Outcome::Done;
        }
        if let Err(reason) = result {
            emitter.counts.add(
                match is_forced {
                    true => Metric::WindowMatchesUnruled,
                    false => Metric::WindowMatchesMalformed,
                },
                1,
            );
            emitter.send_dead_letter(&SourceRecord { message, slot }, reason);
            if let Some(left_out) = self.limit.allow(Instant::now()) {
                let (topic, partition) = (message.topic(), message.partition());
                warn!(topic, partition, offset, left_out, "Matches do not count: {reason}.");
            }
        }
        let origin = Origin { slot, offset, timestamp };
        self.send_chained(emitter, rules, origin, &mut out.chained);
        for openings in out.openings.drain(..) {
            emitter.add_openings(message.partition(), &openings);
        }
        self.send(emitter, (slot, offset), &mut out.found, extract);
        self.out = out;
        emitter.ledger.set_mark(slot, self.mark(slot));
        emitter.ledger.read(slot, offset);
        self.keep(slot, message);
        Outcome::Done
    }

    /// Begins with what a checkpoint says, if this is the record that it was made at.
    fn begin_from<M: Message>(
        &mut self,
        (anchor, start): (&Anchor, &Start),
        rules: &WindowRules,
        (slot, message): (Slot, &M),
    ) {
        let Some(checkpoints) = &self.checkpoints else { return };
        let partition = message.partition();
        if self.unfounded.contains_key(&slot) {
            return;
        }
        if !anchor.is(message.offset(), message.payload().unwrap_or_default()) {
            checkpoints.give_up(partition, anchor, "it was not made of this log");
            self.unfounded.insert(slot, partition);
            return;
        }
        let Some(bytes) = checkpoints.read(partition, anchor) else {
            self.unfounded.insert(slot, partition);
            return;
        };
        match Owner::load(self.config.clone(), rules, start, &bytes) {
            Ok(owner) => {
                info!(partition, offset = anchor.offset, "Windows go on from a checkpoint.");
                self.owners.insert(slot, owner);
            }
            Err(_) => {
                checkpoints.give_up(partition, anchor, "it cannot be read");
                self.unfounded.insert(slot, partition);
            }
        }
    }

    /// Partitions that have to begin again, from the log.
    pub(crate) fn take_unfounded(&mut self, ledger: &Ledger) -> Vec<i32> {
        let unfounded = self.unfounded.drain();
        unfounded.filter(|(slot, _)| ledger.start(*slot).is_some()).map(|(_, at)| at).collect()
    }

    /// Makes a checkpoint of a partition, if it is time for one: of the state behind this record.
    fn keep<M: Message>(&mut self, slot: Slot, message: &M) {
        let (Some(checkpoints), Some(owner)) = (&self.checkpoints, self.owners.get(&slot)) else {
            return;
        };
        let made = self.checkpointed.entry(slot).or_insert_with(Instant::now);
        if made.elapsed() < self.checkpoint_interval || !owner.is_at_work() {
            return;
        }
        let at = (message.offset(), message.payload().unwrap_or_default());
        if checkpoints.write(message.partition(), at, |out| owner.save(out)) {
            *made = Instant::now();
        }
    }

    /// Takes what a record of a data partition is for windows that are counted where it is read.
    pub(crate) fn take_own(
        &mut self,
        emitter: &mut Emitter,
        rules: &WindowRules,
        (slot, offset): (Slot, i64),
        (source, matches): (BatchSource<'_>, &mut Vec<WindowMatch>),
        extract: &mut Extract,
    ) {
        let start = emitter.ledger.start(slot).cloned().unwrap_or_default();
        let mut out = std::mem::take(&mut self.out);
        let owner = self.owner(slot, &start);
        owner.take_own(rules, (source, offset), matches, &mut emitter.counts, &mut out);
        self.send(emitter, (slot, offset), &mut out.found, extract);
        self.out = out;
    }

    /// As [`Self::take_own`], for a record that was done with before.
    pub(crate) fn restore_own(
        &mut self,
        rules: &WindowRules,
        start: &Start,
        (slot, offset): (Slot, i64),
        (source, matches): (BatchSource<'_>, &mut Vec<WindowMatch>),
    ) {
        let (mut counts, mut out) = (Counts::default(), Output::default());
        let owner = self.owner(slot, start);
        owner.take_own(rules, (source, offset), matches, &mut counts, &mut out);
        debug_assert!(out.found.is_empty(), "who restores says nothing");
    }

    /// Hands what windows found on to the owners of those that they feed.
    fn send_chained(
        &mut self,
        emitter: &mut Emitter,
        rules: &WindowRules,
        origin: Origin,
        chained: &mut Vec<WindowMatch>,
    ) {
        let Some(owner) = self.owners.get(&origin.slot) else { return };
        for fed in chained.drain(..) {
            let (topic, partition) = owner.source(fed.position.source);
            let source = Source::Named(topic.to_owned(), partition);
            let version = rules.by_window[fed.window.0 as usize].version;
            emitter.add_match(origin, source, version, &fed);
        }
    }

    fn send(
        &mut self,
        emitter: &mut Emitter,
        (slot, offset): (Slot, i64),
        found: &mut Vec<Found>,
        extract: &mut Extract,
    ) {
        if found.is_empty() {
            return;
        }
        let Some(owner) = self.owners.get(&slot) else { return };
        let position = |position: Position| {
            let (topic, partition, offset) = place(owner, position);
            EventPosition::Record { topic, partition, offset }
        };
        for Found { rule, detection } in found.drain(..) {
            if self.limit.allow(Instant::now()).is_some() {
                let title = rule.rule.title();
                let threshold = rule.rule.threshold().map(|text| format!(" {text}"));
                let threshold = threshold.unwrap_or_default();
                info!("Found a match Title: {title} ({}{threshold})", detection.reading);
            }
            extract.clear();
            extract.take_window(&detection, &rule.window, &position);
            let latest = detection.events.last().map_or(detection.at, |event| event.time);
            let event = Event {
                // The latest whose bytes were kept.
                bytes: detection.contents.last().map_or(&b"{}"[..], |(_, bytes)| bytes),
                position: position(detection.completed_by),
                timestamp: Some(latest),
            };
            emitter.send_window_detection((slot, offset), &rule.rule, &event, extract);
            extract.clear();
        }
    }

    /// Goes on with records whose rules have come, or have not come in time; forgets partitions that
    /// were given up.
    pub(crate) fn serve(
        &mut self,
        consumer: &BaseConsumer<WorkerContext>,
        emitter: &mut Emitter,
        rules: &WindowRules,
        extract: &mut Extract,
    ) {
        let is_there = |slot: &Slot| emitter.ledger.start(*slot).is_some();
        self.owners.retain(|slot, _| is_there(slot));
        self.checkpointed.retain(|slot, _| is_there(slot));
        self.unfounded.retain(|slot, _| is_there(slot));
        if self.waiting.is_empty() {
            return;
        }
        let slots: Vec<Slot> = self.waiting.keys().copied().collect();
        for slot in slots {
            let Some(mut waiting) = self.waiting.remove(&slot) else { continue };
            if emitter.ledger.start(slot).is_none() {
                continue;
            }
            let is_over = waiting.since.elapsed() >= self.rules_wait;
            while let Some(record) = waiting.records.pop_front() {
                let outcome = self.count(emitter, rules, (slot, &record), false, extract);
                if matches!(outcome, Outcome::Done) {
                    continue;
                }
                if is_over {
                    self.count(emitter, rules, (slot, &record), true, extract);
                    continue;
                }
                waiting.records.push_front(record);
                break;
            }
            if !waiting.records.is_empty() {
                if !waiting.is_paused {
                    waiting.is_paused = pause(consumer, emitter, slot);
                }
                self.waiting.insert(slot, waiting);
            } else if waiting.is_paused {
                resume(consumer, emitter, slot);
            }
        }
    }

    /// Whether the records of a partition wait for rules.
    pub(crate) fn is_waiting(&self, slot: Slot) -> bool {
        self.waiting.contains_key(&slot)
    }

    /// Pauses partitions that wait for rules, after all were resumed.
    pub(crate) fn pause_waiting(
        &mut self,
        consumer: &BaseConsumer<WorkerContext>,
        emitter: &Emitter,
    ) {
        for (slot, waiting) in &mut self.waiting {
            waiting.is_paused = pause(consumer, emitter, *slot);
        }
    }
}

fn list(emitter: &Emitter, slot: Slot) -> Option<TopicPartitionList> {
    let (topic, partition) = emitter.ledger.name(slot)?;
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    Some(list)
}

fn pause(consumer: &BaseConsumer<WorkerContext>, emitter: &Emitter, slot: Slot) -> bool {
    list(emitter, slot).is_some_and(|list| consumer.pause(&list).is_ok())
}

fn resume(consumer: &BaseConsumer<WorkerContext>, emitter: &Emitter, slot: Slot) {
    if let Some(list) = list(emitter, slot)
        && let Err(error) = consumer.resume(&list)
    {
        warn!(%error, "A partition of matches stays paused.");
    }
}
