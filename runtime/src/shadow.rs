//! Beside a JVM processor: what Sigmill would have told, held against what the JVM processor tells.
//!
//! In: the data topics, the rules topic, and the topics that the JVM processor writes. Out: one record for each
//! difference, on a topic of its own, and a [`Report`]. Nothing else is written; the consumer group is its own.
//!
//! A detection has no place of its record in it, so the two sides are paired by rule and event ([`judge`]). That one
//! side did not tell is settled when it must have: the JVM processor when its committed offset is behind the record
//! and its topics are read to their end; this side when it has read all there was when the other's detection came.
//! Without commits a time-out settles. Why they differ is asked of a model of the JVM processor
//! ([`crate::jvm_emulation`]), with the event at hand.
//!
//! One thread does all of this. Windows tell of every event at which they hold, as the JVM processor does.

mod difference;
mod event_digest;
mod judge;
mod jvm_side;
mod report;
mod sigmill_side;
mod start;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use sigmill_codegen::Overlays;
use tracing::{error, info, warn};

use crate::admin::{Admin, TopicSpec};
use crate::client::{self, ClientLog, LogContext};
use crate::metrics::SharedCounts;
use crate::rate_limit::RateLimit;
use crate::rule_store::RuleSet;
use crate::rules_reader::{RulesReader, RulesReaderContext};
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::shutdown::Shutdown;
pub use difference::{Difference, Side};
use judge::Judge;
use jvm_side::JvmSide;
pub use report::Report;
use sigmill_side::SigmillSide;

/// Partition of a topic → an offset.
type Offsets = HashMap<(String, i32), i64>;

const REQUEST: Duration = Duration::from_secs(10);
/// How often it is asked how far everybody is.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Behind an end that is no record (the marker of a transaction) nothing comes; so long it is waited for.
const QUIET: Duration = Duration::from_secs(2);
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// Records of one side at a turn.
const TURN_RECORDS: usize = 500;

/// A comparison that runs.
pub struct Shadow {
    thread: JoinHandle<Result<(), RunError>>,
    report: Arc<Mutex<Report>>,
    shutdown: Shutdown,
}

impl Shadow {
    /// Starts it; when this returns, the rules are loaded and records are read.
    ///
    /// # Errors
    /// No broker answers, a topic is missing, or a client refuses its settings.
    pub fn start(settings: Settings, shutdown: Shutdown) -> Result<Self, RunError> {
        if settings.streams.are_named() {
            return Err(RunError::ShadowOfStreams);
        }
        let settings = Arc::new(settings);
        for warning in &settings.warnings {
            warn!("{warning}");
        }
        let rules = Arc::new(ArcSwap::from_pointee(RuleSet::default()));
        let watcher = Watcher::new(&settings, &rules, &shutdown);
        let mut watcher = watcher.inspect_err(|_| shutdown.ask())?;
        let report = Arc::new(Mutex::new(Report::default()));
        let told = Arc::clone(&report);
        let run = move || watcher.run(&told);
        let thread = thread::Builder::new().name("sigmill-shadow".into()).spawn(run)?;
        info!(
            application_id = settings.application_id,
            differences = settings.shadow.topic,
            "The comparison with the JVM processor runs."
        );
        Ok(Self { thread, report, shutdown })
    }

    /// What was found so far.
    pub fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has ended by itself, which it only does when it cannot go on.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops. What is not settled stays open in the report.
    ///
    /// # Errors
    /// It could not go on.
    pub fn stop(self) -> Result<Report, RunError> {
        self.shutdown.ask();
        let ended = self.thread.join();
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match ended {
            Ok(Ok(())) => Ok(report),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RunError::Fatal("the comparison panicked".into())),
        }
    }
}

/// How far everybody has to be for what is open to be settled.
struct Checkpoint {
    at: Instant,
    /// The JVM processor's.
    committed: Offsets,
    data_ends: Offsets,
    output_ends: Offsets,
}

/// Tells of differences that could not be written; the report has them all the same.
struct DifferenceContext {
    log: ClientLog,
    limit: Mutex<RateLimit>,
}

impl ClientContext for DifferenceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.log.line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}

impl ProducerContext for DifferenceContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left_out) = limit.allow(Instant::now()) {
            error!(topic = message.topic(), %error, left_out, "A difference was not written.");
        }
    }
}

struct Watcher {
    settings: Arc<Settings>,
    shutdown: Shutdown,
    rules: Arc<ArcSwap<RuleSet>>,
    reader: Option<RulesReader>,
    data: BaseConsumer<LogContext>,
    /// Asks for the JVM processor's offsets; it never joins its group.
    group: BaseConsumer<LogContext>,
    producer: BaseProducer<DifferenceContext>,
    ours: SigmillSide,
    theirs: JvmSide,
    judge: Judge,
    positions: Offsets,
    checkpoint: Option<Checkpoint>,
    checked_at: Instant,
    committed_at: Instant,
    heard_data: Instant,
    limit: RateLimit,
    /// Differences that the producer had no room for.
    unsent: Vec<Difference>,
}

impl Watcher {
    fn new(
        settings: &Arc<Settings>,
        rules: &Arc<ArcSwap<RuleSet>>,
        shutdown: &Shutdown,
    ) -> Result<Self, RunError> {
        let admin = Admin::new(&settings.kafka, settings.replication_factor)?;
        let existing = admin.topics(settings.start_timeout, shutdown)?;
        for topic in [&settings.rules_topic, &settings.output_topic] {
            if !existing.contains(topic) {
                let reason = "the JVM processor's topic is not there".into();
                return Err(RunError::Topic { topic: topic.clone(), reason });
            }
        }
        let topic = settings.shadow.topic.clone();
        let spec = TopicSpec { name: topic, partition_count: 1, is_compacted: false };
        admin.create_missing(&existing, &[spec])?;
        let reader = RulesReader::start(RulesReaderContext {
            settings: Arc::clone(settings),
            rules: Arc::clone(rules),
            counts: Arc::<SharedCounts>::default(),
            shutdown: shutdown.clone(),
            makes_topics: false,
            // What the JVM processor does not know of is not compared.
            overlays: Overlays::default(),
        })?;
        if let Err(error) = reader.wait_ready(shutdown) {
            shutdown.ask();
            reader.join();
            return Err(error);
        }
        let consumer = |name: &'static str, group: &str| {
            client::reader_config(&settings.kafka, group)
                .set("enable.partition.eof", "false")
                .create_with_context::<_, BaseConsumer<LogContext>>(LogContext(ClientLog::new(
                    name,
                )))
                .map_err(|error| RunError::Client { client: name, error })
        };
        let data = consumer("shadow", &settings.shadow.group)?;
        let group = consumer("group", &settings.application_id)?;
        let theirs = JvmSide::new(settings, consumer("outputs", &settings.shadow.group)?);
        let producer = client::producer_config(&settings.kafka)
            .create_with_context(DifferenceContext {
                log: ClientLog::new("differences"),
                limit: Mutex::new(RateLimit::new(Duration::from_secs(10))),
            })
            .map_err(|error| RunError::Client { client: "differences", error })?;
        let mut watcher = Self {
            ours: SigmillSide::new(settings),
            judge: Judge::new(settings),
            settings: Arc::clone(settings),
            shutdown: shutdown.clone(),
            rules: Arc::clone(rules),
            reader: Some(reader),
            data,
            group,
            producer,
            theirs,
            positions: Offsets::new(),
            checkpoint: None,
            checked_at: Instant::now(),
            committed_at: Instant::now(),
            heard_data: Instant::now(),
            limit: RateLimit::new(Duration::from_secs(10)),
            unsent: Vec::new(),
        };
        watcher.begin(&existing)?;
        Ok(watcher)
    }

    /// Where both sides begin: the data where the JVM processor is, its topics where those records' detections can be.
    fn begin(&mut self, existing: &[String]) -> Result<(), RunError> {
        self.positions = start::data_positions(&self.settings, &self.data, &self.group, existing)?;
        let since = start::first_timestamp(&self.data, &self.positions)?;
        self.theirs.follow(&self.rules.load(), since)?;
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in &self.positions {
            let added = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
            debug_assert!(added.is_ok(), "an offset that is not negative is taken");
        }
        self.data.assign(&list).map_err(|error| RunError::Fatal(error.to_string()))
    }

    fn run(&mut self, report: &Mutex<Report>) -> Result<(), RunError> {
        let result = self.watch(report);
        self.shutdown.ask();
        self.serve(report);
        // What was found is worth some seconds.
        if let Err(error) = self.producer.flush(Duration::from_secs(10)) {
            error!(%error, "Not every difference was written.");
        }
        self.commit(CommitMode::Sync);
        if let Some(reader) = self.reader.take() {
            reader.join();
        }
        result
    }

    fn watch(&mut self, report: &Mutex<Report>) -> Result<(), RunError> {
        while !self.shutdown.is_asked() {
            let rules = self.rules.load_full();
            if self.ours.take_rules(&rules) {
                self.judge.take_rules(&rules);
                self.theirs.follow(&rules, None)?;
            }
            let heard = self.read_data()? + self.read_outputs()?;
            self.settle();
            self.serve(report);
            if heard == 0 {
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn read_data(&mut self) -> Result<usize, RunError> {
        let mut count = 0;
        while count < TURN_RECORDS && self.judge.has_room_for_ours() {
            let message = match self.data.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    self.limit.allow(Instant::now()).inspect(|left_out| {
                        warn!(%error, left_out, "Cannot read the data topics; trying again.");
                    });
                    break;
                }
            };
            self.heard_data = Instant::now();
            let place = (message.topic().to_owned(), message.partition());
            match self.ours.take(&message) {
                Ok(told) => {
                    self.judge.count_record();
                    told.into_iter().for_each(|own| self.judge.told_by_us(own));
                }
                Err(error) => {
                    // The registry is away: the record is read again.
                    self.limit.allow(Instant::now()).inspect(|left_out| {
                        warn!(%error, left_out, "The schema of a record is not known; asking again.");
                    });
                    let offset = Offset::Offset(message.offset());
                    self.data
                        .seek(&place.0, place.1, offset, REQUEST)
                        .map_err(|error| RunError::Fatal(error.to_string()))?;
                    break;
                }
            }
            self.positions.insert(place, message.offset() + 1);
            count += 1;
        }
        Ok(count)
    }

    fn read_outputs(&mut self) -> Result<usize, RunError> {
        let mut count = 0;
        while count < TURN_RECORDS && self.judge.has_room_for_theirs() {
            let Some(told) = self.theirs.next()? else { break };
            self.judge.told_by_jvm(told);
            count += 1;
        }
        Ok(count)
    }

    fn settle(&mut self) {
        if self.checked_at.elapsed() >= CHECK_INTERVAL {
            self.checked_at = Instant::now();
            self.judge.settle(None);
            if self.checkpoint.is_none() {
                self.checkpoint = self.check();
            }
        }
        let is_reached = self.checkpoint.as_ref().is_some_and(|checkpoint| {
            let has = |positions: &Offsets, ends: &Offsets| {
                ends.iter().all(|(place, end)| positions.get(place).is_some_and(|at| at >= end))
            };
            let is_quiet =
                |heard: Instant| checkpoint.at.elapsed() > QUIET && heard.elapsed() > QUIET;
            let reads_all = self.judge.has_room_for_ours() && self.judge.has_room_for_theirs();
            (has(&self.positions, &checkpoint.data_ends) || reads_all && is_quiet(self.heard_data))
                && (has(&self.theirs.positions, &checkpoint.output_ends)
                    || reads_all && is_quiet(self.theirs.heard))
        });
        if is_reached && let Some(checkpoint) = self.checkpoint.take() {
            self.judge.settle(Some((checkpoint.at, &checkpoint.committed)));
        }
    }

    /// The order matters: what the JVM processor has committed it has written before.
    fn check(&mut self) -> Option<Checkpoint> {
        let at = Instant::now();
        let found = start::committed(&self.group, &self.positions)
            .and_then(|committed| Ok((committed, start::ends(&self.data, &self.positions)?)))
            .and_then(|(committed, data_ends)| Ok((committed, data_ends, self.theirs.ends()?)));
        match found {
            Ok((committed, data_ends, output_ends)) => {
                Some(Checkpoint { at, committed, data_ends, output_ends })
            }
            Err(error) => {
                if let Some(left_out) = self.limit.allow(Instant::now()) {
                    warn!(%error, left_out, "Cannot ask how far the JVM processor is.");
                }
                None
            }
        }
    }

    /// Writes differences, commits, and tells.
    fn serve(&mut self, report: &Mutex<Report>) {
        self.unsent.extend(self.judge.take_differences());
        let mut sent = 0;
        for difference in &self.unsent {
            let value = difference.to_json();
            let record = BaseRecord::to(&self.settings.shadow.topic)
                .key(difference.title.as_str())
                .payload(value.as_str());
            match self.producer.send(record) {
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                Err((error, _)) => {
                    if let Some(left_out) = self.limit.allow(Instant::now()) {
                        error!(%error, left_out, "A difference cannot be written.");
                    }
                }
                Ok(()) => {}
            }
            sent += 1;
        }
        self.unsent.drain(..sent);
        self.producer.poll(Duration::ZERO);
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.committed_at = Instant::now();
            self.commit(CommitMode::Async);
        }
        self.judge.count_unreadable(self.theirs.unreadable);
        *report.lock().unwrap_or_else(PoisonError::into_inner) = self.judge.report();
    }

    /// As far as everything is settled: what is open is read again at the next start.
    fn commit(&mut self, mode: CommitMode) {
        let open = self.judge.first_open();
        let mut list = TopicPartitionList::new();
        for (place, position) in &self.positions {
            let offset = open.get(place).map_or(*position, |open| (*open).min(*position));
            let added = list.add_partition_offset(&place.0, place.1, Offset::Offset(offset));
            debug_assert!(added.is_ok(), "an offset that is not negative is taken");
        }
        if list.count() > 0
            && let Err(error) = self.data.commit(&list, mode)
            && let Some(left_out) = self.limit.allow(Instant::now())
        {
            warn!(%error, left_out, "The comparison cannot commit how far it is.");
        }
    }
}
