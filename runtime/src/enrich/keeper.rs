//! Keeps the tables of a processor: loads them before the workers begin, and puts new versions in force while
//! they run.
//!
//! One thread looks at files and reads topics. At the start, topics are read to where they ended then: no record is
//! matched before. Later what has come is put in force some times a second, all tables as one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{error, info, warn};

use super::settings::EnrichSettings;
use super::tables::{TableSet, Tables};
use crate::client::{self, ClientLog, LogContext};
use crate::metrics::{Metric, SharedCounts};
use crate::rate_limit::RateLimit;
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::shutdown::Shutdown;

/// How long nothing is done if nothing has come.
const PAUSE: Duration = Duration::from_millis(20);
/// So many records of a topic are taken before the next one is looked at.
const RECORDS_MAX: usize = 10_000;
/// How often files are looked at.
const FILES_INTERVAL: Duration = Duration::from_millis(400);
/// How often what topics say is put in force.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// What workers need to join.
#[derive(Debug)]
pub(crate) struct Enrichment {
    pub(crate) settings: Arc<EnrichSettings>,
    /// By table: its columns, which do not change.
    pub(crate) columns: Vec<Vec<String>>,
    /// The versions in force.
    pub(crate) tables: ArcSwap<Tables>,
}

/// The thread.
pub(crate) struct TableKeeper {
    pub(crate) enrichment: Arc<Enrichment>,
    thread: JoinHandle<()>,
}

impl TableKeeper {
    /// Loads every table, and goes on in a thread. None if there is nothing to join.
    ///
    /// # Errors
    /// A table cannot be loaded, a topic is not usable, or a stop was asked for.
    pub(crate) fn start(
        settings: &Arc<Settings>,
        counts: &Arc<SharedCounts>,
        shutdown: &Shutdown,
    ) -> Result<Option<Self>, RunError> {
        let enrich = Arc::new(settings.enrich.clone());
        if enrich.is_empty() {
            return Ok(None);
        }
        let set = TableSet::load(&enrich, |said| info!("{said}"))?;
        let mut work = Work {
            set,
            readers: Vec::new(),
            counts: Arc::clone(counts),
            shutdown: shutdown.clone(),
            limit: RateLimit::new(Duration::from_secs(10)),
        };
        if work.set.topics().next().is_some() {
            work.read_to_end(settings)?;
        }
        let enrichment = Arc::new(Enrichment {
            settings: enrich,
            columns: work.set.tables().columns(),
            tables: ArcSwap::from_pointee(work.set.tables()),
        });
        let shared = Arc::clone(&enrichment);
        let thread = thread::Builder::new().name("sigmill-tables".into());
        let thread = thread.spawn(move || work.run(&shared))?;
        Ok(Some(Self { enrichment, thread }))
    }

    /// Waits for the thread's end, which the shutdown brings about.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            error!("The keeper of tables ended by a panic.");
        }
    }

    /// Whether the thread has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

struct Work {
    set: TableSet,
    readers: Vec<TopicReader>,
    counts: Arc<SharedCounts>,
    shutdown: Shutdown,
    limit: RateLimit,
}

impl Work {
    /// Reads the topics to where they end now.
    fn read_to_end(&mut self, settings: &Settings) -> Result<(), RunError> {
        let mut topics: Vec<String> = self.set.topics().map(str::to_owned).collect();
        // A topic that two tables read is read once.
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            self.readers.push(TopicReader::new(topic, settings)?);
        }
        let mut progress = Instant::now();
        while let Some(behind) = self.readers.iter().find(|reader| !reader.barrier.is_empty()) {
            if self.shutdown.is_asked() {
                return Err(RunError::Stopped);
            }
            if progress.elapsed() >= settings.start_timeout {
                let reason = format!("nothing was read in {:?}", settings.start_timeout);
                return Err(RunError::Topic { topic: behind.topic.clone(), reason });
            }
            match self.poll() {
                true => progress = Instant::now(),
                false => thread::sleep(PAUSE),
            }
        }
        self.set.commit_topics(|said| info!("{said}"), |said| warn!("{said}"));
        Ok(())
    }

    fn run(mut self, shared: &Enrichment) {
        let mut looked_at = Instant::now();
        let mut committed_at = Instant::now();
        while !self.shutdown.is_asked() {
            if !self.poll() {
                thread::sleep(PAUSE);
            }
            let mut has_changed = false;
            if looked_at.elapsed() >= FILES_INTERVAL {
                has_changed |= self.set.refresh(|said| info!("{said}"), |said| warn!("{said}"));
                looked_at = Instant::now();
            }
            if committed_at.elapsed() >= COMMIT_INTERVAL {
                // Every change of a topic would be a line.
                has_changed |= self.set.commit_topics(|_| (), |said| warn!("{said}"));
                committed_at = Instant::now();
            }
            if has_changed {
                shared.tables.store(Arc::new(self.set.tables()));
                self.counts.add(Metric::TableVersions, 1);
            }
        }
    }

    /// Takes what has come from the topics in; false if nothing has.
    fn poll(&mut self) -> bool {
        let Self { set, readers, counts, limit, .. } = self;
        let mut has_read = false;
        for reader in readers {
            let TopicReader { topic, consumer, barrier } = reader;
            for _ in 0..RECORDS_MAX {
                let message = match consumer.poll(Duration::ZERO) {
                    None => break,
                    Some(Ok(message)) => message,
                    // Behind the last record, however many were compacted away before it.
                    Some(Err(KafkaError::PartitionEOF(partition))) => {
                        barrier.remove(&partition);
                        continue;
                    }
                    Some(Err(error)) => {
                        if let Some(left_out) = limit.allow(Instant::now()) {
                            warn!(%topic, %error, left_out, "Cannot read a table; trying again.");
                        }
                        break;
                    }
                };
                has_read = true;
                counts.add(Metric::TableRecords, 1);
                let (partition, offset) = (message.partition(), message.offset());
                let fail = |table: &str, why: String| {
                    counts.add(Metric::TableRowsBad, 1);
                    if let Some(left_out) = limit.allow(Instant::now()) {
                        warn!(
                            table, %topic, partition, offset, left_out,
                            "A row of a table does not load, what was there before stays: {why}"
                        );
                    }
                };
                set.apply(topic, (partition, offset), message.key(), message.payload(), fail);
                if barrier.get(&partition).is_some_and(|high| offset + 1 >= *high) {
                    barrier.remove(&partition);
                }
            }
        }
        has_read
    }
}

/// The reader of one topic.
struct TopicReader {
    topic: String,
    consumer: BaseConsumer<LogContext>,
    /// What has to be read before the start is done, by partition: the offset behind the last record.
    barrier: BTreeMap<i32, i64>,
}

impl TopicReader {
    fn new(topic: String, settings: &Settings) -> Result<Self, RunError> {
        let group = format!("{}-sigmill-tables", settings.application_id);
        let consumer: BaseConsumer<LogContext> = client::reader_config(&settings.kafka, &group)
            .create_with_context(LogContext(ClientLog::new("tables")))
            .map_err(|error| RunError::Client { client: "tables", error })?;
        let not_usable = |reason: String| RunError::Topic { topic: topic.clone(), reason };
        let metadata = consumer
            .fetch_metadata(Some(&topic), settings.start_timeout)
            .map_err(|error| not_usable(error.to_string()))?;
        let found = metadata.topics().first().filter(|found| found.error().is_none());
        let partitions = found.map_or(&[][..], |found| found.partitions());
        if partitions.is_empty() {
            return Err(not_usable("it does not exist".to_owned()));
        }
        let (mut list, mut barrier) = (TopicPartitionList::new(), BTreeMap::new());
        for partition in partitions.iter().map(|partition| partition.id()) {
            let (low, high) = consumer
                .fetch_watermarks(&topic, partition, settings.start_timeout)
                .map_err(|error| not_usable(error.to_string()))?;
            let added = list.add_partition_offset(&topic, partition, Offset::Beginning);
            debug_assert!(added.is_ok());
            if low < high {
                barrier.insert(partition, high);
            }
        }
        consumer.assign(&list).map_err(|error| RunError::Fatal(error.to_string()))?;
        Ok(Self { topic, consumer, barrier })
    }
}
