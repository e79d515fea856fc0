//! Forgets what no owner needs any more of the matches topic.
//!
//! The committed offsets of its partitions say from where each would be restored. Everything before can go,
//! whoever asks for it: every processor does, now and then. Without the right to delete records the topic
//! grows until its retention, if it has one, takes them.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::exchange::Exchange;
use crate::admin::Admin;
use crate::client::{self, ClientLog, LogContext};
use crate::commit::Mark;
use crate::metrics::{Metric, SharedCounts};
use crate::rate_limit::RateLimit;
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::shutdown::Shutdown;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// The thread that does it.
pub(crate) struct Purge(JoinHandle<()>);

impl Purge {
    /// Starts the thread; it does nothing until there is a topic.
    ///
    /// # Errors
    /// There is no thread.
    pub(crate) fn start(
        settings: &Arc<Settings>,
        exchange: &Arc<Exchange>,
        counts: &Arc<SharedCounts>,
        shutdown: &Shutdown,
    ) -> Result<Self, RunError> {
        let (settings, exchange) = (Arc::clone(settings), Arc::clone(exchange));
        let (counts, shutdown) = (Arc::clone(counts), shutdown.clone());
        let run = move || run(&settings, &exchange, &counts, &shutdown);
        Ok(Self(thread::Builder::new().name("sigmill-purge".into()).spawn(run)?))
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    pub(crate) fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("The purge of the matches topic ended by a panic.");
        }
    }
}

fn run(settings: &Settings, exchange: &Exchange, counts: &SharedCounts, shutdown: &Shutdown) {
    let mut limit = RateLimit::new(Duration::from_secs(3600));
    let mut purged: Vec<i64> = Vec::new();
    let mut last = Instant::now();
    while !shutdown.is_asked() {
        thread::sleep(POLL);
        if last.elapsed() < settings.window.purge_interval {
            continue;
        }
        last = Instant::now();
        let Some(partition_count) = exchange.partition_count() else { continue };
        purged.resize(partition_count, 0);
        match purge(settings, &mut purged) {
            Ok(0) => {}
            Ok(count) => {
                debug!(count, "Forgot records of matches that nobody needs.");
                counts.add(Metric::WindowRecordsPurged, count);
            }
            Err(error) => {
                let topic = settings.matches_topic();
                if let Some(left_out) = limit.allow(Instant::now()) {
                    warn!(
                        %topic, %error, left_out,
                        "What nobody needs stays in the topic of matches; allow this user to delete \
                         its records, or give the topic a retention."
                    );
                }
            }
        }
    }
}

/// Asks what is committed and deletes what lies before it; how many records that were, at most.
fn purge(settings: &Settings, purged: &mut [i64]) -> Result<u64, String> {
    let topic = settings.matches_topic();
    // A client that takes no part in the group: it only asks.
    let consumer: BaseConsumer<LogContext> =
        client::reader_config(&settings.kafka, &settings.application_id)
            .create_with_context(LogContext(ClientLog::new("purge")))
            .map_err(|error| error.to_string())?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&topic, 0, purged.len() as i32 - 1);
    let committed =
        consumer.committed_offsets(asked, REQUEST_TIMEOUT).map_err(|error| error.to_string())?;
    let mut needless = TopicPartitionList::new();
    let mut count = 0;
    for partition in committed.elements() {
        let bound = Mark::from_metadata(partition.metadata()).replay.unwrap_or(0);
        let Some(before) = purged.get_mut(partition.partition() as usize) else { continue };
        if bound > *before {
            count += (bound - *before) as u64;
            *before = bound;
            needless
                .add_partition_offset(&topic, partition.partition(), Offset::Offset(bound))
                .map_err(|error| error.to_string())?;
        }
    }
    if count > 0 {
        let admin = Admin::new(&settings.kafka, settings.replication_factor);
        admin.map_err(|error| error.to_string())?.delete_records(&needless)?;
    }
    Ok(count)
}
