//! A worker: one thread with its own consumer, producer and matcher that shares no state with others.
//!
//! It polls a batch, matches each record, sends detections, and commits what is safe. Rule sets come
//! in between two batches. While too much waits for acknowledgement its partitions are paused and
//! polling goes on, so the group keeps it. When partitions are taken away it waits, within a limit,
//! for their acknowledgements and commits before it lets go.
//!
//! The rebalance callbacks run on this thread inside the consumer's `poll` and lock the emitter: so
//! the emitter is never held locked over a `poll`.

mod callbacks;
mod ending;
mod joining;
mod pausing;
mod plans;
mod records;
mod rewinding;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use core_affinity::CoreId;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use sigmill_engine::{Matcher, MatcherConfig, RuleId};
use tracing::{debug, info, warn};

pub(crate) use self::callbacks::WorkerContext;
use self::joining::Joining;
use self::plans::Plans;
use crate::account::{Account, Telling};
use crate::avro::Decoder;
use crate::batch::{BatchRecord, Poller};
use crate::client;
use crate::clock;
use crate::detection::Extract;
use crate::emit::Emitter;
use crate::enrich::Enrichment;
use crate::latency::Stage;
use crate::metrics::Metric;
use crate::rate_limit::RateLimit;
use crate::rule_store::RuleSet;
use crate::run_error::RunError;
use crate::settings::{ExchangeMode, Settings};
use crate::shutdown::Shutdown;
use crate::view::WorkerView;
use crate::windows::exchange::Exchange;
use crate::windows::feed::WindowFeed;
use crate::windows::outbox::Outbox;
use crate::windows::rules::{self, WindowRules};
use crate::windows::shard::Shard;

/// How long a poll waits when nothing is in flight.
const POLL_IDLE: Duration = Duration::from_millis(50);
/// The same while acknowledgements are awaited: they are only seen between two polls.
const POLL_BUSY: Duration = Duration::from_millis(1);
/// The work between two transactions takes so many times as long as a commit, within a second.
const COMMIT_SHARE: u32 = 15;
const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How often what is missing for windows is looked for.
const EXCHANGE_INTERVAL: Duration = Duration::from_secs(1);

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
    /// What is joined to records.
    pub(crate) enrichment: Option<Arc<Enrichment>>,
}

/// Runs a worker on this thread until a stop is asked for.
///
/// # Errors
/// A client cannot be made or cannot go on. What was read and not acknowledged is not committed, so
/// another worker can take over from there.
pub fn run(index: usize, core: Option<CoreId>, shared: &WorkerShared) -> Result<(), RunError> {
    let settings = &*shared.settings;
    let context = WorkerContext::new(index, settings, &shared.view)?;
    context.emitter().offers = Some(shared.view.recent.offers());
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

fn matcher_config(settings: &Settings) -> MatcherConfig {
    MatcherConfig { record_bytes_max: settings.record_bytes_max, ..MatcherConfig::default() }
}

struct Worker<'a> {
    index: usize,
    shared: &'a WorkerShared,
    consumer: &'a BaseConsumer<WorkerContext>,
    context: &'a WorkerContext,
    /// The rules of all plans.
    all_rules: Arc<RuleSet>,
    /// The other plans, and which records are for them; `rules`, `matcher` and `joining` are those of the plan
    /// of the record at hand.
    plans: Plans<'a>,
    rules: Arc<RuleSet>,
    matcher: Matcher,
    /// Where something is joined to records.
    joining: Option<Joining<'a>>,
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
    account: Account,
}

impl<'a> Worker<'a> {
    fn new(
        index: usize,
        shared: &'a WorkerShared,
        consumer: &'a BaseConsumer<WorkerContext>,
        context: &'a WorkerContext,
    ) -> Self {
        let rules = shared.rules.load_full();
        Self {
            index,
            shared,
            consumer,
            context,
            plans: Plans::new(shared),
            matcher: Matcher::new(Arc::clone(&rules.plan), matcher_config(&shared.settings)),
            all_rules: Arc::clone(&rules),
            rules,
            joining: shared.enrichment.as_deref().map(Joining::new),
            avro: shared.settings.data_registry.as_ref().map(|registry| {
                Box::new(Decoder::new(Arc::clone(registry), shared.settings.record_bytes_max))
            }),
            poller: Poller::new(),
            batch: Vec::with_capacity(shared.settings.batch_records_max),
            carry: Vec::new(),
            matches: Vec::new(),
            window_rules: Arc::default(),
            feed: WindowFeed::new(&shared.settings.window),
            shard: Shard::new(&shared.settings, context.checkpoints.clone()),
            exchanged_at: None,
            now: 0,
            abort_pause: Duration::ZERO,
            extract: Extract::default(),
            committed_at: Instant::now(),
            commit_interval: shared.settings.commit_interval,
            limit: RateLimit::new(Duration::from_secs(10)),
            account: Account::new(),
        }
    }

    /// Takes part in the group, for the data topics and, if there are windows, that of matches.
    fn join_group(&mut self) -> Result<(), RunError> {
        let rules = Arc::clone(&self.all_rules);
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
        self.turn_to(0);
        self.plans.take_rules(&rules);
        self.matcher.set_plan(Arc::clone(&rules.plan));
        if let Some(joining) = &mut self.joining {
            joining.take_rules(&rules);
        }
        self.window_rules =
            Arc::new(WindowRules::new(&rules, &rules::config(&self.shared.settings)));
        self.account.settle(&self.all_rules);
        self.all_rules = Arc::clone(&rules);
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
            self.replay_without_checkpoints()?;
            // Behind the fill: a record that came after a swap is matched by the new set.
            self.take_rules();
            self.work()?;
            self.serve()?;
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
        if rules.generation != self.all_rules.generation {
            self.put_in_force(Arc::clone(&rules));
            debug!(worker = self.index, generation = rules.generation, "Took a rule set.");
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
        self.poller.fill(self.consumer, self.context, &mut self.batch, records_max, timeout)?;
        self.account.wait(self.poller.waited);
        Ok(())
    }

    fn work(&mut self) -> Result<(), RunError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let begin = Instant::now();
        self.now = clock::now_ms();
        if let Some(joining) = &mut self.joining {
            joining.take_tables();
        }
        self.plans.take_tables();
        let batch = std::mem::take(&mut self.batch);
        self.account.begin_batch(batch.len());
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
        emitter.latencies.record(Stage::Batch, begin.elapsed());
        if let Some(joining) = &mut self.joining {
            joining.count(&mut emitter.counts);
        }
        self.plans.count(&mut emitter.counts);
        Ok(())
    }

    /// What is at hand will come again.
    fn is_rewinding(&self) -> bool {
        self.context.is_rewinding.load(Ordering::Relaxed)
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
        self.tell(&mut emitter, false);
        Ok(())
    }

    /// Tells how this worker stands.
    fn tell(&mut self, emitter: &mut Emitter, is_last: bool) {
        let shard = &self.shard;
        let telling = Telling {
            view: &self.shared.view,
            rules: &self.all_rules,
            counters: self.plans.counters(&self.matcher),
            consumer: self.consumer,
            context: self.context,
            is_waiting: &|slot| shard.is_waiting(slot),
            is_last,
        };
        self.account.tell(emitter, &telling);
        self.shared.view.counts.take(&mut emitter.counts);
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
}
