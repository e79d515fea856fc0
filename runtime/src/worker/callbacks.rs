//! What happens to a worker's partitions inside the consumer's `poll`: they come, go, and are committed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tracing::{debug, warn};

use crate::client::ClientLog;
use crate::commit::{Commit, Mark, Start};
use crate::emit::Emitter;
use crate::metrics::Metric;
use crate::rate_limit::RateLimit;
use crate::run_error::RunError;
use crate::settings::{ExchangeMode, Settings};
use crate::view::WorkerView;
use crate::windows::checkpoint::Checkpoints;

/// How long a rebalance waits for acknowledgements.
const REVOKE_WAIT: Duration = Duration::from_secs(5);
/// How long a rebalance waits for the group to tell what was committed.
const COMMITTED_WAIT: Duration = Duration::from_secs(60);

/// The consumer's callbacks, and what they share with the worker's loop.
pub(crate) struct WorkerContext {
    log: ClientLog,
    emitter: Mutex<Emitter>,
    /// Partitions came or went since the flag was last taken.
    pub(super) is_rebalanced: AtomicBool,
    has_commit_failed: AtomicBool,
    /// The worker has waited already; the close need not.
    pub(super) is_closing: AtomicBool,
    limit: Mutex<RateLimit>,
    partition_count: Arc<AtomicUsize>,
    pub(super) matches_topic: String,
    /// Data partitions have windows of their own.
    pub(super) has_own_windows: bool,
    /// There are windows: where a partition's work begins has to be known.
    pub(super) tracks_windows: AtomicBool,
    /// Why the worker cannot go on.
    pub(super) failure: Mutex<Option<String>>,
    /// Where windows are kept, if anywhere.
    pub(super) checkpoints: Option<Arc<Checkpoints>>,
    /// A transaction was aborted: the partitions have to go back to what is committed.
    pub(super) is_rewinding: AtomicBool,
}

impl WorkerContext {
    /// With a producer that is ready to be used.
    pub(super) fn new(
        index: usize,
        settings: &Settings,
        view: &WorkerView,
    ) -> Result<Self, RunError> {
        Ok(Self {
            log: ClientLog::new(format!("consumer {index}")),
            emitter: Mutex::new(Emitter::new(settings, index, &view.rule_states)?),
            is_rebalanced: AtomicBool::new(false),
            has_commit_failed: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            limit: Mutex::new(RateLimit::new(Duration::from_secs(10))),
            partition_count: Arc::clone(&view.partition_count),
            matches_topic: settings.matches_topic(),
            has_own_windows: settings.window.exchange == ExchangeMode::None,
            tracks_windows: AtomicBool::new(false),
            failure: Mutex::default(),
            checkpoints: Checkpoints::new(settings)?.map(Arc::new),
            is_rewinding: AtomicBool::new(false),
        })
    }

    /// Whether a topic is that of matches, which has no other records.
    pub(crate) fn is_matches(&self, topic: &str) -> bool {
        self.tracks_windows.load(Ordering::Relaxed) && topic == self.matches_topic
    }

    /// Where the work on partitions begins, asked for until somebody answers.
    pub(super) fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Vec<Start> {
        let deadline = Instant::now() + COMMITTED_WAIT;
        let committed = loop {
            match consumer.committed_offsets(partitions.clone(), Duration::from_secs(5)) {
                Ok(committed) => break committed,
                Err(error) if Instant::now() < deadline => {
                    debug!(%error, "The committed offsets are not known yet.");
                }
                Err(error) => {
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    *failure = Some(format!("cannot learn the committed offsets: {error}"));
                    break TopicPartitionList::new();
                }
            }
        };
        let start = |topic: &str, partition: i32| {
            let found = committed.find_partition(topic, partition);
            found.map_or_else(Start::default, |found| Start {
                committed: match found.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                },
                mark: Mark::from_metadata(found.metadata()),
                checkpoint: None,
            })
        };
        let elements = partitions.elements();
        elements.iter().map(|element| start(element.topic(), element.partition())).collect()
    }

    /// Takes a partition on: from what was committed, or else from `first`.
    pub(super) fn begin_partition(
        &self,
        emitter: &mut Emitter,
        partition: &mut TopicPartitionListElem<'_>,
        mut start: Start,
        first: Option<i64>,
    ) {
        let (topic, number) = (partition.topic().to_owned(), partition.partition());
        if let (Some(checkpoints), true) = (&self.checkpoints, topic == self.matches_topic)
            && let (Some(replay), Some(committed)) = (start.mark.replay, start.committed)
        {
            start.checkpoint = checkpoints.find(number, replay, committed);
        }
        let first = self.first_offset(&topic, &start).or(first.map(Offset::Offset));
        if let Some(first) = first
            && let Err(error) = partition.set_offset(first)
        {
            debug!(%error, "The client does not take an offset.");
        }
        emitter.ledger.assign_at(&topic, number, start);
    }

    /// The offset to read from, if that is not for the client to find.
    fn first_offset(&self, topic: &str, start: &Start) -> Option<Offset> {
        if let Some(checkpoint) = start.checkpoint {
            return Some(Offset::Offset(checkpoint.offset));
        }
        let has_windows = self.has_own_windows || topic == self.matches_topic;
        match (start.committed, start.mark.replay) {
            (Some(committed), Some(replay)) if has_windows => {
                Some(Offset::Offset(replay.min(committed)))
            }
            (Some(committed), _) => Some(Offset::Offset(committed)),
            // Whatever is said of data topics: every match counts.
            (None, _) if topic == self.matches_topic => Some(Offset::Beginning),
            (None, _) => None,
        }
    }

    pub(crate) fn emitter(&self) -> MutexGuard<'_, Emitter> {
        self.emitter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the acknowledgements of partitions that are about to go, and commits them.
    fn let_go(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let partitions: Vec<(String, i32)> = partitions
            .elements()
            .iter()
            .map(|partition| (partition.topic().to_owned(), partition.partition()))
            .collect();
        let mut emitter = self.emitter();
        emitter.flush_matches(false);
        // Lost partitions have another owner already: a commit would be refused.
        let is_lost = consumer.assignment_lost();
        if emitter.transaction.is_some() {
            let is_committed = !is_lost && self.commit_exactly(consumer, &mut emitter);
            let is_over = self.is_closing.load(Ordering::Relaxed)
                || self.is_rewinding.load(Ordering::Relaxed);
            if !is_committed && !is_over {
                self.abort(&mut emitter);
            }
        } else if !is_lost {
            let deadline = Instant::now() + REVOKE_WAIT;
            let is_waiting = |emitter: &Emitter| {
                partitions.iter().any(|(topic, partition)| {
                    emitter.ledger.partition_in_flight_count(topic, *partition) > 0
                })
            };
            while !self.is_closing.load(Ordering::Relaxed)
                && emitter.fatal().is_none()
                && is_waiting(&emitter)
                && Instant::now() < deadline
            {
                emitter.poll(Duration::from_millis(10));
            }
            self.commit_all(consumer, &mut emitter);
        }
        for (topic, partition) in &partitions {
            emitter.ledger.revoke(topic, *partition);
        }
    }

    /// Commits what is safe and was not committed yet. False if that is known to have failed.
    pub(super) fn commit(
        &self,
        consumer: &BaseConsumer<Self>,
        emitter: &mut Emitter,
        mode: CommitMode,
    ) -> bool {
        if self.has_commit_failed.swap(false, Ordering::Relaxed) {
            emitter.ledger.forget_commits();
        }
        let commits = emitter.ledger.take_commits();
        if commits.is_empty() {
            return true;
        }
        let list = list_of(&commits);
        emitter.counts.add(Metric::Commits, 1);
        if let Err(error) = consumer.commit(&list, mode) {
            emitter.counts.add(Metric::CommitFailures, 1);
            emitter.ledger.forget_commits();
            self.say_commit_failed(&error);
            return false;
        }
        true
    }

    /// Commits what was sent, and the offsets of what was worked on, as one. False: it has to be aborted.
    pub(super) fn commit_exactly(
        &self,
        consumer: &BaseConsumer<Self>,
        emitter: &mut Emitter,
    ) -> bool {
        if self.is_rewinding.load(Ordering::Relaxed) {
            // What was aborted is not done.
            return false;
        }
        emitter.finish_in_flight();
        if emitter.doubt().is_some() || emitter.fatal().is_some() {
            return false;
        }
        let list = list_of(&emitter.ledger.take_commits());
        let Some(group) = consumer.group_metadata() else { return false };
        emitter.commit_transaction(&list, &group)
    }

    /// Aborts the open transaction; the worker rewinds what is left to it as soon as it can.
    pub(super) fn abort(&self, emitter: &mut Emitter) {
        self.is_rewinding.store(true, Ordering::Relaxed);
        if let Err(error) = emitter.abort_transaction() {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }

    /// Commits everything that is safe, also what an earlier commit holds that may yet fail.
    pub(super) fn commit_all(&self, consumer: &BaseConsumer<Self>, emitter: &mut Emitter) -> bool {
        emitter.ledger.forget_commits();
        self.commit(consumer, emitter, CommitMode::Sync)
    }

    /// Around a rebalance this is normal; the offsets are committed by the next commit or owner.
    fn say_commit_failed(&self, error: &KafkaError) {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left_out) = limit.allow(Instant::now()) {
            warn!(%error, left_out, "A commit failed; its offsets are committed again.");
        }
    }
}

fn list_of(commits: &[Commit]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for commit in commits {
        let mut element = list.add_partition(&commit.topic, commit.partition);
        let added = element.set_offset(Offset::Offset(commit.offset));
        debug_assert!(added.is_ok(), "an offset that is not negative is taken");
        let metadata = commit.mark.to_metadata();
        if !metadata.is_empty() {
            element.set_metadata(metadata);
        }
    }
    list
}

impl ClientContext for WorkerContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.log.line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}

impl ConsumerContext for WorkerContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.is_rebalanced.store(true, Ordering::Relaxed);
        match rebalance {
            Rebalance::Assign(partitions) => {
                let mut elements = partitions.elements();
                let is_exactly_once = self.emitter().transaction.is_some();
                let starts = match is_exactly_once || self.tracks_windows.load(Ordering::Relaxed) {
                    true => self.starts(consumer, partitions),
                    false => vec![Start::default(); elements.len()],
                };
                let mut emitter = self.emitter();
                for (partition, start) in elements.iter_mut().zip(starts) {
                    self.begin_partition(&mut emitter, partition, start, None);
                }
                emitter.counts.add(Metric::Rebalances, 1);
                self.partition_count.fetch_add(partitions.count(), Ordering::Relaxed);
                debug!(count = partitions.count(), "Partitions are assigned.");
            }
            Rebalance::Revoke(partitions) => {
                debug!(count = partitions.count(), "Partitions are taken away.");
                self.let_go(consumer, partitions);
                self.partition_count.fetch_sub(
                    partitions.count().min(self.partition_count.load(Ordering::Relaxed)),
                    Ordering::Relaxed,
                );
                self.emitter().counts.add(Metric::Rebalances, 1);
            }
            Rebalance::Error(error) => warn!(%error, "A rebalance failed."),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                self.has_commit_failed.store(true, Ordering::Relaxed);
                self.say_commit_failed(&error);
            }
        }
    }
}
