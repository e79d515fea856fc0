//! Step 1, batch: raw records from a worker's partitions.
//!
//! Records stay in the client's memory; a batch only refers to them, together with the place of their
//! partition in the ledger at the time they came. A partition that is given up while a batch fills or
//! waits makes those places stale, and its records are left out when their turn comes.

use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use tracing::{debug, warn};

use crate::commit::Slot;
use crate::rate_limit::RateLimit;
use crate::run_error::RunError;
use crate::worker::WorkerContext;

/// Bytes after which a batch is full, whatever its number of records.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// A record that waits to be worked on.
pub(crate) struct BatchRecord<'a> {
    pub(crate) message: BorrowedMessage<'a>,
    pub(crate) slot: Slot,
    /// Of the topic of matches.
    pub(crate) is_matches: bool,
}

/// What the polls of one worker's consumer need to remember.
pub(crate) struct Poller {
    limit: RateLimit,
    /// When the first record of the last batch came.
    pub(crate) polled_at: Instant,
    /// How long it was waited for.
    pub(crate) waited: Duration,
}

impl Poller {
    pub(crate) fn new() -> Self {
        Self {
            limit: RateLimit::new(Duration::from_secs(10)),
            polled_at: Instant::now(),
            waited: Duration::ZERO,
        }
    }

    /// Adds records to `batch` until it has `records_max`, or no more are there. Waits up to `timeout`
    /// for the first.
    ///
    /// # Errors
    /// The consumer cannot go on.
    pub(crate) fn fill<'a>(
        &mut self,
        consumer: &'a BaseConsumer<WorkerContext>,
        context: &WorkerContext,
        batch: &mut Vec<BatchRecord<'a>>,
        records_max: usize,
        timeout: Duration,
    ) -> Result<(), RunError> {
        let mut bytes = 0;
        let mut timeout = timeout;
        let begin = Instant::now();
        self.polled_at = begin;
        self.waited = Duration::ZERO;
        while batch.len() < records_max && bytes < BATCH_BYTES_MAX {
            match self.poll(consumer, context, timeout)? {
                Some(record) => {
                    if !timeout.is_zero() {
                        self.polled_at = Instant::now();
                        self.waited = self.polled_at.duration_since(begin);
                    }
                    bytes += record.message.payload_len();
                    batch.push(record);
                }
                None => {
                    if !timeout.is_zero() {
                        self.waited = begin.elapsed();
                    }
                    break;
                }
            }
            timeout = Duration::ZERO;
        }
        Ok(())
    }

    /// The next record, if there is one within `timeout`.
    ///
    /// # Errors
    /// The consumer cannot go on.
    pub(crate) fn poll<'a>(
        &mut self,
        consumer: &'a BaseConsumer<WorkerContext>,
        context: &WorkerContext,
        timeout: Duration,
    ) -> Result<Option<BatchRecord<'a>>, RunError> {
        match consumer.poll(timeout) {
            None => Ok(None),
            Some(Ok(message)) => {
                let slot = context.emitter().ledger.slot(message.topic(), message.partition());
                // A partition that is not ours any more: its new owner reads the record.
                let is_matches = context.is_matches(message.topic());
                Ok(slot.map(|slot| BatchRecord { message, slot, is_matches }))
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                Err(RunError::Fatal(format!("consumer: {code}")))
            }
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(None),
            Some(Err(error)) => {
                self.say(&error);
                Ok(None)
            }
        }
    }

    /// Most errors of a consumer are news: the client goes on by itself.
    fn say(&mut self, error: &KafkaError) {
        let Some(left_out) = self.limit.allow(Instant::now()) else { return };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PollExceeded) => {
                warn!(%error, "The worker was too slow and lost its partitions; it joins again.");
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                warn!(%error, left_out, "A data topic does not exist (yet); waiting for it.");
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
                debug!(%error, "The connection is down.");
            }
            _ => warn!(%error, left_out, "The consumer reports an error and goes on."),
        }
    }
}
