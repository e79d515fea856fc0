//! A worker: one thread with its own consumer, producer and matcher that shares no state with others.
//!
//! It polls a batch, matches each record, sends detections, and commits what is safe. Rule sets come
//! in between two batches. While too much waits for acknowledgement its partitions are paused and
//! polling goes on, so the group keeps it. When partitions are taken away it waits, within a limit,
//! for their acknowledgements and commits before it lets go.
//!
//! The rebalance callbacks run on this thread inside the consumer's `poll` and lock the emitter: so
//! the emitter is never held locked over a `poll`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use core_affinity::CoreId;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use sigmill_engine::{Matcher, MatcherConfig, RuleId};
use tracing::{debug, info, warn};

use crate::avro::Decoder;
use crate::batch::{BatchRecord, Poller};
use crate::client::{self, ClientLog};
use crate::clock;
use crate::commit::{Commit, Mark, Slot, Start};
use crate::detection::{Event, EventPosition, Extract};
use crate::emit::{Emitter, SourceRecord};
use crate::latency::Stage;
use crate::metrics::{Counts, Metric};
use crate::rate_limit::RateLimit;
use crate::rule_store::RuleSet;
use crate::run_error::RunError;
use crate::settings::{ExchangeMode, Settings};
use crate::shutdown::Shutdown;
use crate::view::WorkerView;
use crate::windows::exchange::Exchange;
use crate::windows::feed::{Times, WindowFeed};
use crate::windows::match_batch::{BatchSource, SourceTime};
use crate::windows::outbox::{Origin, Outbox, Source};
use crate::windows::rules::{self, WindowRules};
use crate::windows::shard::Shard;

/// How long a poll waits when nothing is in flight.
const POLL_IDLE: Duration = Duration::from_millis(50);
/// The same while acknowledgements are awaited: they are only seen between two polls.
const POLL_BUSY: Duration = Duration::from_millis(1);
/// How long a full producer is waited for before the partitions are paused: a pause throws away what
/// was fetched ahead.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a rebalance waits for acknowledgements.
const REVOKE_WAIT: Duration = Duration::from_secs(5);
/// How long a rebalance waits for the group to tell what was committed.
const COMMITTED_WAIT: Duration = Duration::from_secs(60);
/// How long a rewind waits before the work goes on, doubled each time without a commit between.
const ABORT_PAUSE: Duration = Duration::from_millis(50);
const ABORT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// The work between two transactions takes so many times as long as a commit, within a second.
const COMMIT_SHARE: u32 = 15;
const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How often what is missing for windows is looked for.
const EXCHANGE_INTERVAL: Duration = Duration::from_secs(1);
/// After how long a schema registry that does not answer is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_secs(1);

/// What a worker shares with the processor.
#[derive(Clone)]
pub struct WorkerShared {
    /// The settings.
    pub settings: Arc<Settings>,
    /// The rules in force.
    pub rules: Arc<ArcSwap<RuleSet>>,
    /// Where it counts and measures.
    pub(crate) view: WorkerView,
    /// When it ends.
    pub shutdown: Shutdown,
    /// The topic of matches that feed windows.
    pub(crate) exchange: Arc<Exchange>,
}

/// The consumer's callbacks, and what they share with the worker's loop.
pub(crate) struct WorkerContext {
    log: ClientLog,
    emitter: Mutex<Emitter>,
    /// Partitions came or went since the flag was last taken.
    is_rebalanced: AtomicBool,
    has_commit_failed: AtomicBool,
    /// The worker has waited already; the close need not.
    is_closing: AtomicBool,
    limit: Mutex<RateLimit>,
    partition_count: Arc<AtomicUsize>,
    matches_topic: String,
    /// Data partitions have windows of their own.
    has_own_windows: bool,
    /// There are windows: where a partition's work begins has to be known.
    tracks_windows: AtomicBool,
    /// Why the worker cannot go on.
    failure: Mutex<Option<String>>,
    /// A transaction was aborted: the partitions have to go back to what is committed.
    is_rewinding: AtomicBool,
}

impl WorkerContext {
    /// Whether a topic is that of matches, which has no other records.
    pub(crate) fn is_matches(&self, topic: &str) -> bool {
        self.tracks_windows.load(Ordering::Relaxed) && topic == self.matches_topic
    }

    /// Where the work on partitions begins, asked for until somebody answers.
    fn starts(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> Vec<Start> {
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
            })
        };
        let elements = partitions.elements();
        elements.iter().map(|element| start(element.topic(), element.partition())).collect()
    }

    /// Takes a partition on: from what was committed, or else from `first`.
    fn begin_partition(
        &self,
        emitter: &mut Emitter,
        partition: &mut TopicPartitionListElem<'_>,
        start: Start,
        first: Option<i64>,
    ) {
        let (topic, number) = (partition.topic().to_owned(), partition.partition());
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
    fn commit(
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
    fn commit_exactly(&self, consumer: &BaseConsumer<Self>, emitter: &mut Emitter) -> bool {
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
    fn abort(&self, emitter: &mut Emitter) {
        self.is_rewinding.store(true, Ordering::Relaxed);
        if let Err(error) = emitter.abort_transaction() {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }

    /// Commits everything that is safe, also what an earlier commit holds that may yet fail.
    fn commit_all(&self, consumer: &BaseConsumer<Self>, emitter: &mut Emitter) -> bool {
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

/// Runs a worker on this thread until a stop is asked for.
///
/// # Errors
/// A client cannot be made or cannot go on. What was read and not acknowledged is not committed, so
/// another worker can take over from there.
pub fn run(index: usize, core: Option<CoreId>, shared: &WorkerShared) -> Result<(), RunError> {
    let settings = &*shared.settings;
    let context = WorkerContext {
        log: ClientLog::new(format!("consumer {index}")),
        emitter: Mutex::new(Emitter::new(settings, index)?),
        is_rebalanced: AtomicBool::new(false),
        has_commit_failed: AtomicBool::new(false),
        is_closing: AtomicBool::new(false),
        limit: Mutex::new(RateLimit::new(Duration::from_secs(10))),
        partition_count: Arc::clone(&shared.view.partition_count),
        matches_topic: settings.matches_topic(),
        has_own_windows: settings.window.exchange == ExchangeMode::None,
        tracks_windows: AtomicBool::new(false),
        failure: Mutex::default(),
        is_rewinding: AtomicBool::new(false),
    };
    context.emitter().init_transactions(&shared.shutdown)?;
    let consumer: BaseConsumer<WorkerContext> = client::consumer_config(settings, index)
        .create_with_context(context)
        .map_err(|error| RunError::Client { client: "consumer", error })?;
    // The clients' own threads are there by now and keep all processors to themselves.
    if let Some(core) = core
        && !core_affinity::set_for_current(core)
    {
        warn!(worker = index, "Cannot pin the worker to a processor.");
    }
    info!(worker = index, "A worker begins.");
    let context = Arc::clone(consumer.context());
    let result = {
        let mut worker = Worker::new(index, shared, &consumer, &context);
        let result = worker.join_group().and_then(|()| worker.run());
        worker.end();
        result
    };
    // No record refers to the client's memory any more; leaving the group takes a moment.
    drop(consumer);
    let mut emitter = context.emitter();
    shared.view.counts.take(&mut emitter.counts);
    info!(worker = index, "A worker ends.");
    result
}

struct Worker<'a> {
    index: usize,
    shared: &'a WorkerShared,
    consumer: &'a BaseConsumer<WorkerContext>,
    context: &'a WorkerContext,
    rules: Arc<RuleSet>,
    matcher: Matcher,
    /// Where records are Avro.
    avro: Option<Box<Decoder>>,
    poller: Poller,
    batch: Vec<BatchRecord<'a>>,
    /// Records that came while a batch was being worked on.
    carry: Vec<BatchRecord<'a>>,
    matches: Vec<RuleId>,
    window_rules: Arc<WindowRules>,
    feed: WindowFeed,
    shard: Shard,
    /// When the exchange was last looked after.
    exchanged_at: Option<Instant>,
    /// The wall clock at the batch, in milliseconds.
    now: i64,
    /// How long the last rewind waited before the work went on.
    abort_pause: Duration,
    extract: Extract,
    committed_at: Instant,
    commit_interval: Duration,
    limit: RateLimit,
}

impl<'a> Worker<'a> {
    fn new(
        index: usize,
        shared: &'a WorkerShared,
        consumer: &'a BaseConsumer<WorkerContext>,
        context: &'a WorkerContext,
    ) -> Self {
        let rules = shared.rules.load_full();
        let config = MatcherConfig {
            record_bytes_max: shared.settings.record_bytes_max,
            ..MatcherConfig::default()
        };
        Self {
            index,
            shared,
            consumer,
            context,
            matcher: Matcher::new(Arc::clone(&rules.plan), config),
            rules,
            avro: shared.settings.data_registry.as_ref().map(|registry| {
                Box::new(Decoder::new(Arc::clone(registry), shared.settings.record_bytes_max))
            }),
            poller: Poller::new(),
            batch: Vec::with_capacity(shared.settings.batch_records_max),
            carry: Vec::new(),
            matches: Vec::new(),
            window_rules: Arc::default(),
            feed: WindowFeed::new(&shared.settings.window),
            shard: Shard::new(&shared.settings),
            exchanged_at: None,
            now: 0,
            abort_pause: Duration::ZERO,
            extract: Extract::default(),
            committed_at: Instant::now(),
            commit_interval: shared.settings.commit_interval,
            limit: RateLimit::new(Duration::from_secs(10)),
        }
    }

    /// Takes part in the group, for the data topics and, if there are windows, that of matches.
    fn join_group(&mut self) -> Result<(), RunError> {
        let rules = Arc::clone(&self.rules);
        self.put_in_force(rules);
        if self.context.emitter().outbox.is_none() {
            self.subscribe()?;
        }
        Ok(())
    }

    fn subscribe(&self) -> Result<(), RunError> {
        let mut topics: Vec<&str> =
            self.shared.settings.data_topics.iter().map(String::as_str).collect();
        if self.context.emitter().outbox.is_some() {
            topics.push(&self.context.matches_topic);
        }
        self.consumer.subscribe(&topics).map_err(|error| RunError::Fatal(error.to_string()))
    }

    fn put_in_force(&mut self, rules: Arc<RuleSet>) {
        self.matcher.set_plan(Arc::clone(&rules.plan));
        self.window_rules =
            Arc::new(WindowRules::new(&rules, &rules::config(&self.shared.settings)));
        self.rules = rules;
        self.shard.take_rules(&self.window_rules);
        let mut emitter = self.context.emitter();
        // What was found by the former rules goes out as theirs.
        emitter.flush_matches(false);
        if let Some(outbox) = &mut emitter.outbox {
            outbox.rules.clone_from(&self.window_rules.offsets);
        }
        drop(emitter);
        if !self.window_rules.is_empty() {
            self.context.tracks_windows.store(true, Ordering::Relaxed);
            self.look_after_exchange();
        }
    }

    /// Has the topic of matches made and joins its readers, once; tells how many partitions data has.
    fn look_after_exchange(&mut self) {
        let settings = &*self.shared.settings;
        if settings.window.exchange == ExchangeMode::None
            || self.exchanged_at.is_some_and(|at| at.elapsed() < EXCHANGE_INTERVAL)
        {
            return;
        }
        self.exchanged_at = Some(Instant::now());
        if self.context.emitter().outbox.is_none() {
            let Some(count) = self.shared.exchange.ready(settings, self.window_rules.span) else {
                return;
            };
            let mut outbox =
                Outbox::new(self.context.matches_topic.clone(), count, settings.window.idle);
            outbox.rules.clone_from(&self.window_rules.offsets);
            self.context.emitter().outbox = Some(outbox);
            if let Err(error) = self.subscribe() {
                warn!(%error, "Cannot read the topic of matches.");
                self.context.emitter().outbox = None;
                return;
            }
        }
        let unknown: Vec<String> = {
            let emitter = self.context.emitter();
            let Some(outbox) = &emitter.outbox else { return };
            let known = |topic: &str| outbox.topics.iter().any(|(known, _)| known == topic);
            let topics = emitter.ledger.partitions().map(|(_, topic, _)| topic);
            let mut topics: Vec<_> = topics
                .filter(|topic| *topic != self.context.matches_topic && !known(topic))
                .map(str::to_owned)
                .collect();
            topics.sort_unstable();
            topics.dedup();
            topics
        };
        for topic in unknown {
            let metadata = self.consumer.fetch_metadata(Some(&topic), Duration::from_secs(2));
            let Ok(metadata) = metadata else { continue };
            let count = metadata.topics().first().map_or(0, |found| found.partitions().len());
            if let Some(outbox) = &mut self.context.emitter().outbox {
                outbox.topics.push((topic, u32::try_from(count).unwrap_or(0)));
            }
        }
    }

    fn run(&mut self) -> Result<(), RunError> {
        while !self.shared.shutdown.is_asked() {
            self.fill()?;
            self.rewind_if_aborted()?;
            // Behind the fill: a record that came after a swap is matched by the new set.
            self.take_rules();
            self.work()?;
            self.serve()?;
        }
        Ok(())
    }

    /// After an abort: goes back to what is committed, with every partition.
    fn rewind_if_aborted(&mut self) -> Result<(), RunError> {
        if !self.context.is_rewinding.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.fail()?;
        let fatal = |error: KafkaError| RunError::Fatal(format!("cannot rewind: {error}"));
        let assigned = self.consumer.assignment().map_err(fatal)?;
        self.consumer.incremental_unassign(&assigned).map_err(fatal)?;
        let starts = self.context.starts(self.consumer, &assigned);
        self.fail()?;
        let mut emitter = self.context.emitter();
        for (partition, start) in assigned.elements().iter_mut().zip(starts) {
            let (topic, number) = (partition.topic().to_owned(), partition.partition());
            let slot = emitter.ledger.slot(&topic, number);
            let first = slot.and_then(|slot| emitter.ledger.first(slot));
            // What was read before is of another life of the partition, and is left out.
            emitter.ledger.revoke(&topic, number);
            let unset = partition.set_offset(Offset::Invalid);
            debug_assert!(unset.is_ok(), "the client knows this offset");
            self.context.begin_partition(&mut emitter, partition, start, first);
        }
        drop(emitter);
        self.consumer.incremental_assign(&assigned).map_err(fatal)?;
        self.consumer.resume(&assigned).map_err(fatal)?;
        // The reason may be there for a while.
        self.abort_pause = (self.abort_pause * 2).clamp(ABORT_PAUSE, ABORT_PAUSE_MAX);
        let until = Instant::now() + self.abort_pause;
        while Instant::now() < until && !self.shared.shutdown.is_asked() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends with what went wrong in a callback.
    fn fail(&self) -> Result<(), RunError> {
        let failure = self.context.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), |reason| Err(RunError::Fatal(reason)))
    }

    fn take_rules(&mut self) {
        let rules = self.shared.rules.load();
        if rules.generation != self.rules.generation {
            self.put_in_force(Arc::clone(&rules));
            debug!(worker = self.index, generation = self.rules.generation, "Took a rule set.");
        }
    }

    fn fill(&mut self) -> Result<(), RunError> {
        let timeout = match self.context.emitter().in_flight_count() {
            _ if !self.carry.is_empty() => Duration::ZERO,
            0 => POLL_IDLE,
            _ => POLL_BUSY,
        };
        self.batch.append(&mut self.carry);
        let records_max = self.shared.settings.batch_records_max;
        self.poller.fill(self.consumer, self.context, &mut self.batch, records_max, timeout)
    }

    fn work(&mut self) -> Result<(), RunError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let begin = Instant::now();
        self.now = clock::now_ms();
        let batch = std::mem::take(&mut self.batch);
        for record in &batch {
            if !self.context.emitter().is_ready() {
                self.hold()?;
                if self.shared.shutdown.is_asked() || self.is_rewinding() {
                    break;
                }
            }
            if !self.has_schema(record)? {
                break;
            }
            self.work_on(record);
        }
        self.batch = batch;
        self.batch.clear();
        let mut emitter = self.context.emitter();
        emitter.flush_matches(false);
        emitter.counts.add(Metric::Batches, 1);
        let elapsed = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        emitter.latencies.record(Stage::Batch, elapsed);
        Ok(())
    }

    fn work_on(&mut self, record: &BatchRecord<'a>) {
        // Apart from the rest, which works on what it holds.
        let mut avro = self.avro.take();
        self.work_with(record, avro.as_deref_mut());
        self.avro = avro;
    }

    fn work_with(&mut self, record: &BatchRecord<'a>, avro: Option<&mut Decoder>) {
        let message = &record.message;
        let mut emitter = self.context.emitter();
        if record.is_matches {
            let record = (record.slot, message);
            self.shard.take(&mut emitter, &self.window_rules, record, &mut self.extract);
            return;
        }
        if self.context.has_own_windows && emitter.ledger.is_replay(record.slot, message.offset()) {
            self.restore(&emitter, record, avro);
            return;
        }
        let Some(slot) = emitter.ledger.begin(record.slot, message.offset()) else { return };
        let source = SourceRecord { message, slot };
        emitter.counts.add(Metric::Records, 1);
        match message.payload() {
            None => emitter.counts.add(Metric::Tombstones, 1),
            Some(payload) => {
                emitter.counts.add(Metric::RecordBytes, payload.len() as u64);
                let payload = match avro.map(|avro| avro.to_json(payload)) {
                    None => payload,
                    Some(Ok(json)) => json,
                    Some(Err(refusal)) => {
                        emitter.counts.add(Metric::RejectedAvro, 1);
                        emitter.send_dead_letter(&source, &refusal.to_string());
                        say_refused(&mut self.limit, message, &refusal);
                        emitter.ledger.read(slot, message.offset());
                        return;
                    }
                };
                match self.matcher.matches(payload) {
                    Ok(matches) => {
                        self.matches.clear();
                        self.matches.extend_from_slice(matches);
                        if !self.window_rules.is_empty() {
                            self.feed_windows(&mut emitter, slot, message, payload);
                        }
                        emitter.counts.add(Metric::Matches, self.matches.len() as u64);
                        // What only feeds windows is no detection, and first match leaves it alone.
                        let windows = &self.rules.windows;
                        self.matches.retain(|id| windows.is_emitting(*id));
                        if self.shared.settings.is_first_match {
                            keep_first(&mut self.matches, &self.rules);
                        }
                        let event = Event {
                            bytes: payload,
                            position: EventPosition::Record {
                                topic: message.topic(),
                                partition: message.partition(),
                                offset: message.offset(),
                            },
                            timestamp: message.timestamp().to_millis(),
                        };
                        for id in &self.matches {
                            self.extract.clear();
                            let reads = self.rules.reads(*id);
                            if !reads.is_empty() {
                                reads.take(&mut self.matcher, payload, &mut self.extract);
                            }
                            let rule = self.rules.rule(*id);
                            emitter.send_detection(&source, rule, &event, &self.extract);
                        }
                    }
                    Err(rejection) => {
                        emitter.counts.add(Metric::from(rejection), 1);
                        emitter.send_dead_letter(&source, rejection.as_str());
                        say_refused(&mut self.limit, message, &rejection);
                    }
                }
            }
        }
        emitter.ledger.read(slot, message.offset());
    }

    /// What a record's matches are for windows, and how far time comes with it.
    fn feed_windows(
        &mut self,
        emitter: &mut Emitter,
        slot: Slot,
        message: &BorrowedMessage<'_>,
        payload: &[u8],
    ) {
        let rules = &*self.window_rules;
        let before = emitter.ledger.mark(slot).map_or(i64::MIN, |mark| mark.time);
        let times = self.feed.times(message.timestamp().to_millis(), before, self.now);
        let record = (times, message.offset());
        let matcher = (&mut self.matcher, payload);
        let sets = (&*self.rules, rules);
        self.feed.take(sets, matcher, &self.matches, record, &mut emitter.counts);
        let mut mark = Mark { time: times.partition, ..Mark::default() };
        if self.context.has_own_windows {
            let place = (slot, message.offset());
            let (source, matches) = (source(message, times), &mut self.feed.matches);
            self.shard.take_own(emitter, rules, place, (source, matches), &mut self.extract);
            let own = self.shard.mark(slot);
            mark = Mark { replay: own.replay, replay_time: own.replay_time, ..mark };
        } else {
            let timestamp = times.event.unwrap_or(0);
            let origin = Origin { slot, offset: message.offset(), timestamp };
            for fed in self.feed.matches.drain(..) {
                let version = rules.by_window[fed.window.0 as usize].version;
                emitter.add_match(origin, Source::Own(slot), version, &fed);
            }
        }
        emitter.ledger.set_mark(slot, mark);
    }

    /// Takes a record that was done with before into the windows of its partition.
    fn restore(&mut self, emitter: &Emitter, record: &BatchRecord<'a>, avro: Option<&mut Decoder>) {
        let (slot, message) = (record.slot, &record.message);
        let Some(payload) = message.payload() else { return };
        let payload = match avro.map(|avro| avro.to_json(payload)) {
            None => payload,
            Some(Ok(json)) => json,
            // It was refused when it was done.
            Some(Err(_)) => return,
        };
        let Ok(matches) = self.matcher.matches(payload) else { return };
        self.matches.clear();
        self.matches.extend_from_slice(matches);
        let Some(start) = emitter.ledger.start(slot) else { return };
        let before = self.shard.time(slot, start);
        let times = self.feed.times(message.timestamp().to_millis(), before, self.now);
        let sets = (&*self.rules, &*self.window_rules);
        let matcher = (&mut self.matcher, payload);
        // It was counted when it was done.
        let mut counts = Counts::default();
        self.feed.take(sets, matcher, &self.matches, (times, message.offset()), &mut counts);
        let place = (slot, message.offset());
        let fed = (source(message, times), &mut self.feed.matches);
        self.shard.restore_own(&self.window_rules, start, place, fed);
    }

    /// What is at hand will come again.
    fn is_rewinding(&self) -> bool {
        self.context.is_rewinding.load(Ordering::Relaxed)
    }

    /// Waits until enough is acknowledged: patiently first, then with the partitions paused.
    fn hold(&mut self) -> Result<(), RunError> {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            let mut emitter = self.context.emitter();
            emitter.poll(Duration::from_millis(2));
            if emitter.is_ready() {
                return Ok(());
            }
            if emitter.doubt().is_some() {
                break;
            }
        }
        if self.context.emitter().doubt().is_some() {
            return self.serve();
        }
        self.context.emitter().counts.add(Metric::Pauses, 1);
        debug!(worker = self.index, "Paused: too much waits for acknowledgement.");
        self.pause_until(|context| context.emitter().is_relieved())
    }

    /// Sees to it that the schema of an Avro record is known. Without it nothing can go on, as nothing may be left
    /// out; the worker stays in its group meanwhile. False if a stop was asked for.
    fn has_schema(&mut self, record: &BatchRecord<'a>) -> Result<bool, RunError> {
        let Some(payload) = record.message.payload().filter(|_| !record.is_matches) else {
            return Ok(true);
        };
        while let Some(Err(error)) = self.avro.as_mut().map(|avro| avro.prepare(payload)) {
            if let Some(left_out) = self.limit.allow(Instant::now()) {
                warn!(%error, left_out, "Paused: the schema of a record is not known; asking again.");
            }
            self.context.emitter().counts.add(Metric::Pauses, 1);
            let due = Instant::now() + REGISTRY_PAUSE;
            self.pause_until(|_| Instant::now() >= due)?;
            if self.is_rewinding() || self.shared.shutdown.is_asked() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pauses the partitions and goes on polling, so that the group keeps this worker.
    fn pause_until(&mut self, is_over: impl Fn(&WorkerContext) -> bool) -> Result<(), RunError> {
        self.pause();
        loop {
            if let Some(record) =
                self.poller.poll(self.consumer, self.context, Duration::from_millis(5))?
            {
                self.carry.push(record);
            }
            // Partitions that just came are not paused yet.
            if self.context.is_rebalanced.swap(false, Ordering::Relaxed) {
                self.pause();
            }
            if let Some(outbox) = &mut self.context.emitter().outbox {
                outbox.keep_awake();
            }
            self.serve()?;
            if self.is_rewinding() || is_over(self.context) || self.shared.shutdown.is_asked() {
                break;
            }
        }
        if let Ok(assignment) = self.consumer.assignment()
            && let Err(error) = self.consumer.resume(&assignment)
        {
            return Err(RunError::Fatal(format!("cannot resume after a pause: {error}")));
        }
        self.shard.pause_waiting(self.consumer, &self.context.emitter());
        Ok(())
    }

    fn pause(&self) {
        let paused = self.consumer.assignment().and_then(|list| self.consumer.pause(&list));
        if let Err(error) = paused {
            // Nothing is lost by that: records go on coming in, and wait.
            debug!(%error, "Cannot pause.");
        }
    }

    /// What has to be done now and then: acknowledgements, commits, counters.
    fn serve(&mut self) -> Result<(), RunError> {
        self.fail()?;
        if !self.window_rules.is_empty() {
            self.look_after_exchange();
        }
        let mut emitter = self.context.emitter();
        let rules = &self.window_rules;
        self.shard.serve(self.consumer, &mut emitter, rules, &mut self.extract);
        emitter.poll(Duration::ZERO);
        if let Some(reason) = emitter.fatal() {
            return Err(RunError::Fatal(format!("producer: {reason}")));
        }
        if self.committed_at.elapsed() >= self.commit_interval {
            self.committed_at = Instant::now();
            if !self.window_rules.is_empty() {
                self.shard.tell_owners(&mut emitter, &self.window_rules);
                emitter.flush_matches(true);
            }
            if emitter.transaction.is_none() {
                self.context.commit(self.consumer, &mut emitter, CommitMode::Async);
            } else if emitter.doubt().is_none()
                && self.context.commit_exactly(self.consumer, &mut emitter)
            {
                self.abort_pause = Duration::ZERO;
                self.stretch_commit_interval();
            }
        }
        if let Some(reason) = emitter.fatal() {
            return Err(RunError::Fatal(format!("producer: {reason}")));
        }
        if emitter.doubt().is_some() {
            self.context.abort(&mut emitter);
        }
        self.shared.view.counts.take(&mut emitter.counts);
        self.shared.view.latencies.take(&mut emitter.latencies);
        Ok(())
    }

    /// A commit waits for acknowledgements and for the coordinator, and nothing is matched meanwhile: where
    /// that takes long there are fewer of them, unless somebody said how many there have to be.
    fn stretch_commit_interval(&mut self) {
        let settings = &self.shared.settings;
        if !settings.is_commit_interval_given {
            let taken = self.committed_at.elapsed();
            self.committed_at = Instant::now();
            let longest = COMMIT_INTERVAL_MAX.max(settings.commit_interval);
            self.commit_interval = (taken * COMMIT_SHARE).clamp(settings.commit_interval, longest);
        }
    }

    /// Waits for what is in flight, within a limit, and commits.
    fn end(&mut self) {
        self.batch.clear();
        self.carry.clear();
        let mut emitter = self.context.emitter();
        emitter.flush_matches(false);
        if emitter.transaction.is_some() {
            if !self.context.commit_exactly(self.consumer, &mut emitter)
                && emitter.fatal().is_none()
            {
                self.context.abort(&mut emitter);
            }
            self.shared.view.latencies.take(&mut emitter.latencies);
            self.context.is_closing.store(true, Ordering::Relaxed);
            return;
        }
        let deadline = Instant::now() + self.shared.settings.stop_timeout.mul_f32(0.7);
        while emitter.in_flight_count() > 0
            && emitter.fatal().is_none()
            && Instant::now() < deadline
        {
            emitter.poll(Duration::from_millis(5));
        }
        let left = emitter.in_flight_count();
        if left > 0 {
            warn!(
                worker = self.index,
                left, "Not everything was acknowledged; those records are read again next time."
            );
        }
        self.shared.view.latencies.take(&mut emitter.latencies);
        drop(emitter);
        self.context.is_closing.store(true, Ordering::Relaxed);
        self.commit_finally(deadline.max(Instant::now() + Duration::from_secs(1)));
    }

    /// The last commit. A group in the middle of a rebalance may refuse it, and then takes it when
    /// the rebalance is over, which goes on only while the consumer is polled.
    fn commit_finally(&mut self, deadline: Instant) {
        let is_done = || self.context.commit_all(self.consumer, &mut self.context.emitter());
        if is_done() {
            return;
        }
        self.pause();
        while Instant::now() < deadline && !is_done() {
            // A record that comes all the same is not marked as read, so it is not committed.
            let _ = self.consumer.poll(Duration::from_millis(50));
        }
    }
}

/// A data partition as its windows see it.
fn source<'m>(message: &'m BorrowedMessage<'_>, times: Times) -> BatchSource<'m> {
    let time = SourceTime::of(times.partition);
    let (topic, partition) = (message.topic(), message.partition());
    BatchSource { topic, partition_count: 0, partition, time, is_idle: false }
}

/// First match means lowest title, which is the lowest index.
fn keep_first(matches: &mut Vec<RuleId>, rules: &RuleSet) {
    if let Some(first) = matches.iter().copied().min_by_key(|id| rules.plan.rule(*id).source) {
        matches.clear();
        matches.push(first);
    }
}

fn say_refused(
    limit: &mut RateLimit,
    message: &BorrowedMessage<'_>,
    rejection: &dyn std::fmt::Display,
) {
    if let Some(left_out) = limit.allow(Instant::now()) {
        warn!(
            topic = message.topic(),
            partition = message.partition(),
            offset = message.offset(),
            %rejection,
            left_out,
            "Refused a record."
        );
    }
}
