//! Follows the rules topic and puts rule sets in force.
//!
//! One thread reads the whole compacted topic from its start, all partitions, without a group; when
//! everything that was there at the start is in, the first set is put in force and the workers may
//! begin. From then on changes that come close together are compiled as one, on this thread, and the
//! new set is swapped in; a worker picks it up between two batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use sigmill_codegen::Overlays;
use tracing::{debug, error, info, warn};

use crate::admin::{Admin, TopicSpec};
use crate::client::{self, ClientLog, LogContext};
use crate::given_up::GivenUp;
use crate::metrics::{Metric, SharedCounts};
use crate::rate_limit::RateLimit;
use crate::rule_store::{Dropped, RuleRecord, RuleSet, RuleStores};
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::shutdown::Shutdown;

const POLL: Duration = Duration::from_millis(50);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A burst of changes that does not end is compiled after this many times the debounce.
const BURST_MAX: u32 = 20;

/// So many rules that the pipelines leave out are named one by one; of more, their log sources are.
const DROPPED_NAMED_MAX: usize = 20;
/// How often searches that were given up are looked for.
const GIVEN_UP_INTERVAL: Duration = Duration::from_secs(10);

/// What the reader shares with the processor.
#[derive(Clone)]
pub(crate) struct RulesReaderContext {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Where the rules in force stand.
    pub rules: Arc<ArcSwap<RuleSet>>,
    /// Where it counts.
    pub counts: Arc<SharedCounts>,
    /// When it ends.
    pub shutdown: Shutdown,
    /// Whether the topics that rules name as their own are made.
    pub makes_topics: bool,
    /// What is joined to records.
    pub overlays: Overlays,
}

/// The reader's thread.
pub(crate) struct RulesReader {
    thread: JoinHandle<()>,
    ready: Receiver<()>,
    settings: Arc<Settings>,
    counts: Arc<SharedCounts>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl RulesReader {
    /// Starts the thread.
    ///
    /// # Errors
    /// The client's settings are refused, or there is no thread.
    pub(crate) fn start(context: RulesReaderContext) -> Result<Self, RunError> {
        let (sender, ready) = bounded(1);
        let (settings, counts) = (Arc::clone(&context.settings), Arc::clone(&context.counts));
        let mut follower = Follower::new(context, sender)?;
        let trouble = Arc::clone(&follower.trouble);
        let thread =
            thread::Builder::new().name("sigmill-rules".into()).spawn(move || follower.run())?;
        Ok(Self { thread, ready, settings, counts, trouble })
    }

    /// Waits until the rules that were there at the start are in force.
    ///
    /// # Errors
    /// Nothing was read for the start's time-out, or a stop was asked for.
    pub(crate) fn wait_ready(&self, shutdown: &Shutdown) -> Result<(), RunError> {
        let mut progress = (Instant::now(), 0);
        loop {
            if self.ready.recv_timeout(POLL).is_ok() {
                return Ok(());
            }
            if shutdown.is_asked() || self.thread.is_finished() {
                return Err(RunError::Stopped);
            }
            let records = self.counts.read().get(Metric::RuleRecords);
            if records != progress.1 {
                progress = (Instant::now(), records);
            }
            if progress.0.elapsed() >= self.settings.start_timeout {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
                let within = self.settings.start_timeout;
                return Err(RunError::Topic {
                    topic: self.settings.rules_topic.clone(),
                    reason: trouble.unwrap_or_else(|| format!("nothing was read in {within:?}")),
                });
            }
        }
    }

    /// Waits for the thread's end, which the shutdown brings about.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            error!("The reader of the rules topic ended by a panic.");
        }
    }

    /// Whether the thread has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

struct Follower {
    context: RulesReaderContext,
    consumer: BaseConsumer<LogContext>,
    admin: Admin,
    stores: RuleStores,
    /// What has to be read before the first set, by partition: the offset behind the last record.
    barrier: BTreeMap<i32, i64>,
    partitions: BTreeSet<i32>,
    /// Own topics of rules that were looked after.
    topics_made: BTreeSet<String>,
    /// The first and the last change that is not compiled yet.
    burst: Option<(Instant, Instant)>,
    ready: Option<Sender<()>>,
    /// Rules that the pipelines leave out, as they were told last.
    dropped: Vec<Dropped>,
    given_up: GivenUp,
    /// What went wrong last, for the error of a start that fails.
    trouble: Arc<Mutex<Option<String>>>,
    limit: RateLimit,
}

impl Follower {
    fn new(context: RulesReaderContext, ready: Sender<()>) -> Result<Self, RunError> {
        let settings = &context.settings;
        let group = format!("{}-sigmill-rules", settings.application_id);
        let consumer = client::reader_config(&settings.kafka, &group)
            .create_with_context(LogContext(ClientLog::new("rules")))
            .map_err(|error| RunError::Client { client: "rules", error })?;
        let admin = Admin::new(&settings.kafka, settings.replication_factor)?;
        let stores = RuleStores::new(settings, &context.overlays);
        Ok(Self {
            consumer,
            admin,
            stores,
            barrier: BTreeMap::new(),
            partitions: BTreeSet::new(),
            topics_made: BTreeSet::new(),
            burst: None,
            ready: Some(ready),
            dropped: Vec::new(),
            given_up: GivenUp::default(),
            trouble: Arc::default(),
            limit: RateLimit::new(Duration::from_secs(10)),
            context,
        })
    }

    fn run(&mut self) {
        while !self.context.shutdown.is_asked() && !self.take_partitions() {
            thread::sleep(POLL);
        }
        let mut looked_at = Instant::now();
        let mut counted_at = Instant::now();
        while !self.context.shutdown.is_asked() {
            if looked_at.elapsed() >= self.context.settings.metadata_age_max {
                looked_at = Instant::now();
                self.take_partitions();
            }
            if counted_at.elapsed() >= GIVEN_UP_INTERVAL {
                counted_at = Instant::now();
                self.tell_given_up();
            }
            self.poll();
            if self.ready.is_some() {
                if self.barrier.is_empty() {
                    self.put_in_force();
                    self.ready = None;
                }
            } else if self.is_due() {
                self.put_in_force();
            }
        }
        self.tell_given_up();
        debug!("The reader of the rules topic ends.");
    }

    fn tell_given_up(&mut self) {
        for one in self.given_up.look(&self.context.rules.load_full()) {
            self.context.counts.add(Metric::RegexSearchesGivenUp, one.count);
            warn!(
                rule = one.title,
                expression = one.expression,
                count = one.count,
                "Searches for a regular expression reached their bound, and found nothing."
            );
        }
    }

    /// Takes on all partitions that are new. False if the brokers do not tell.
    fn take_partitions(&mut self) -> bool {
        let topic = self.context.settings.rules_topic.clone();
        let metadata = match self.consumer.fetch_metadata(Some(&topic), REQUEST_TIMEOUT) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.warn(&error, "cannot read the partitions of the rules topic");
                return false;
            }
        };
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return false;
        };
        if let Some(error) = found.error() {
            let error = KafkaError::MetadataFetch(error.into());
            self.warn(&error, "the rules topic is not usable");
            return false;
        }
        let mut list = TopicPartitionList::new();
        let mut new = BTreeMap::new();
        for partition in found.partitions() {
            if self.partitions.contains(&partition.id()) {
                continue;
            }
            match self.consumer.fetch_watermarks(&topic, partition.id(), REQUEST_TIMEOUT) {
                Ok((low, high)) => {
                    new.insert(partition.id(), (low, high));
                    let at = list.add_partition_offset(&topic, partition.id(), Offset::Beginning);
                    debug_assert!(at.is_ok());
                }
                Err(error) => {
                    self.warn(&error, "cannot read the extent of the rules topic");
                    return false;
                }
            }
        }
        if new.is_empty() {
            return !self.partitions.is_empty();
        }
        if let Err(error) = self.consumer.incremental_assign(&list) {
            self.warn(&error, "cannot read the rules topic");
            return false;
        }
        for (partition, (low, high)) in new {
            self.partitions.insert(partition);
            if self.ready.is_some() && low < high {
                self.barrier.insert(partition, high);
            }
        }
        true
    }

    fn warn(&mut self, error: &KafkaError, what: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = Some(format!("{what}: {error}"));
        drop(trouble);
        if let Some(left_out) = self.limit.allow(Instant::now()) {
            let topic = &self.context.settings.rules_topic;
            warn!(%topic, %error, left_out, "{what}; trying again");
        }
    }

    fn poll(&mut self) {
        let (problems, partition, next) = match self.consumer.poll(POLL) {
            None => return,
            // Behind the last record, however many were compacted away before it.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.barrier.remove(&partition);
                return;
            }
            Some(Err(error)) => {
                self.warn(&error, "cannot read the rules topic");
                return;
            }
            Some(Ok(message)) => {
                let record = RuleRecord {
                    key: message.key(),
                    value: message.payload(),
                    partition: message.partition(),
                    offset: message.offset(),
                };
                let problems = self.stores.apply(&record);
                (problems, message.partition(), message.offset() + 1)
            }
        };
        self.context.counts.add(Metric::RuleRecords, 1);
        for problem in problems {
            self.context.counts.add(Metric::RuleProblems, 1);
            warn!("{problem}");
        }
        if self.barrier.get(&partition).is_some_and(|high| next >= *high) {
            self.barrier.remove(&partition);
        }
        let now = Instant::now();
        self.burst = Some((self.burst.map_or(now, |(first, _)| first), now));
    }

    fn is_due(&self) -> bool {
        let debounce = self.context.settings.rules_debounce;
        self.burst.is_some_and(|(first, last)| {
            last.elapsed() >= debounce || first.elapsed() >= debounce * BURST_MAX
        })
    }

    fn put_in_force(&mut self) {
        self.burst = None;
        let begin = Instant::now();
        self.make_output_topics();
        let (mut set, problems) = self.stores.build();
        set.build_time = begin.elapsed();
        for problem in &problems {
            self.context.counts.add(Metric::RuleProblems, 1);
            warn!("{problem}");
        }
        self.tell_dropped(&set.dropped);
        self.tell_aggregations(&set);
        info!(
            rules = set.active_count,
            dropped = set.dropped.len(),
            problems = set.problems.len(),
            generation = set.generation,
            elapsed_ms = begin.elapsed().as_millis(),
            "Put a rule set in force."
        );
        self.context.rules.store(Arc::new(set));
        self.context.counts.add(Metric::RuleSets, 1);
        if let Some(ready) = &self.ready {
            // The receiver is gone if the start was given up.
            let _ = ready.send(());
        }
    }

    /// In the words of the JVM processor's log, which people look for.
    fn tell_aggregations(&self, set: &RuleSet) {
        let before = self.context.rules.load();
        let known: BTreeSet<&str> =
            before.sets().flat_map(|set| &set.rules).map(|rule| rule.key.as_str()).collect();
        let mut told = BTreeSet::new();
        for rule in set.sets().flat_map(|set| &set.rules) {
            if rule.threshold().is_some()
                && !known.contains(rule.key.as_str())
                && told.insert(&rule.key)
            {
                info!("New aggregate rule: {}", rule.title());
            }
        }
    }

    /// Rules that the pipelines leave out are never so in silence; the same ones are named once.
    fn tell_dropped(&mut self, dropped: &[Dropped]) {
        if dropped == self.dropped {
            return;
        }
        self.dropped = dropped.to_vec();
        if dropped.len() <= DROPPED_NAMED_MAX {
            for Dropped { title, logsource } in dropped {
                info!(%title, %logsource, "No pipeline has a condition for the log source of a rule: left out.");
            }
            return;
        }
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for rule in dropped {
            *counts.entry(&rule.logsource).or_default() += 1;
        }
        for (logsource, rules) in counts {
            info!(%logsource, rules, "No pipeline has a condition for this log source: its rules are left out.");
        }
    }

    /// A rule's own topic is made before its first detection. One that cannot be made is no reason to
    /// hold the rule back: its detections then go to the default topic.
    fn make_output_topics(&mut self) {
        let new: BTreeSet<String> = self
            .stores
            .output_topics()
            .filter(|topic| !self.topics_made.contains(*topic))
            .map(str::to_owned)
            .collect();
        if new.is_empty() || !self.context.makes_topics {
            return;
        }
        let existing = match self.admin.topics(REQUEST_TIMEOUT, &self.context.shutdown) {
            Ok(existing) => existing,
            Err(error) => {
                warn!(%error, "Cannot look for the output topics of rules.");
                return;
            }
        };
        for name in new {
            let spec = TopicSpec { name: name.clone(), partition_count: -1, is_compacted: false };
            if let Err(error) = self.admin.create_missing(&existing, &[spec]) {
                warn!(%error, "Cannot create a rule's output topic.");
            }
            if let Some(schemas) = &self.context.settings.output_schemas
                && let Err(error) = schemas.register(&name)
            {
                // Ids go by content: that of the default topic is the same one.
                warn!(topic = name, %error, "Cannot register the schema for a rule's topic.");
            }
            self.topics_made.insert(name);
        }
    }
}
