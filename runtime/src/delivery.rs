//! What becomes of a record after it was given to the producer.
//!
//! The producer's callbacks run inside its `poll`, on the worker's thread; they only gather reports,
//! which the emitter takes in. A failure comes with a copy of all that was sent, so that it can be
//! sent again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message, OwnedHeaders};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::ClientLog;
use crate::commit::FlightId;

/// How long a delivery that failed waits before it is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// What a producer reports of one delivery.
pub(crate) struct Report {
    pub(crate) id: FlightId,
    /// Why it failed, and what it was.
    pub(crate) failure: Option<(RDKafkaErrorCode, Outgoing)>,
}

/// The producer's callbacks: they run inside its `poll`, on the worker's thread.
pub(crate) struct DeliveryContext {
    log: ClientLog,
    reports: Mutex<Vec<Report>>,
}

impl DeliveryContext {
    pub(crate) fn new(worker: usize) -> Self {
        Self { log: ClientLog::new(format!("producer {worker}")), reports: Mutex::default() }
    }

    /// Moves what was reported since the last call into `reports`, which is empty.
    pub(crate) fn take(&self, reports: &mut Vec<Report>) {
        debug_assert!(reports.is_empty());
        std::mem::swap(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner), reports);
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.log.line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, id: usize) {
        let id = FlightId(id);
        let failure = match result {
            Ok(_) => None,
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                let outgoing = Outgoing {
                    topic: message.topic().to_owned(),
                    key: message.key().map(<[u8]>::to_vec),
                    payload: message.payload().unwrap_or_default().to_vec(),
                    timestamp: message.timestamp().to_millis(),
                    headers: message.headers().map(|headers| headers.detach()),
                    id,
                    due: Instant::now() + RETRY_PAUSE,
                };
                Some((code, outgoing))
            }
        };
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push(Report { id, failure });
    }
}

/// Something to send, with a copy of all its bytes.
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Option<OwnedHeaders>,
    pub(crate) id: FlightId,
    /// Not before.
    pub(crate) due: Instant,
}

/// What a failed delivery means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It may work the next time.
    Passing,
    /// The topic does not take records.
    Topic,
    /// Nobody will ever take this record.
    Record,
    /// The producer itself is at its end.
    Fatal,
}

/// What that error means for what was sent.
pub(crate) fn cause(code: RDKafkaErrorCode) -> Cause {
    use RDKafkaErrorCode as Code;
    match code {
        Code::MessageSizeTooLarge
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::InvalidArgument => Cause::Record,
        Code::TopicAuthorizationFailed
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::InvalidTopic
        | Code::PolicyViolation => Cause::Topic,
        Code::Fatal
        | Code::InvalidProducerEpoch
        | Code::ProducerFenced
        | Code::UnknownProducerId
        | Code::ClusterAuthorizationFailed => Cause::Fatal,
        _ => Cause::Passing,
    }
}

/// Whether the whole batch may be meant, and not this record.
pub(crate) fn is_about_batch(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidTimestamp
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_works_is_told_from_what_may() {
        use RDKafkaErrorCode as Code;
        for (code, expected) in [
            (Code::MessageSizeTooLarge, Cause::Record),
            (Code::TopicAuthorizationFailed, Cause::Topic),
            (Code::UnknownTopicOrPartition, Cause::Topic),
            (Code::MessageTimedOut, Cause::Passing),
            (Code::NotEnoughReplicas, Cause::Passing),
            (Code::BrokerTransportFailure, Cause::Passing),
            (Code::PurgeQueue, Cause::Passing),
            (Code::Fatal, Cause::Fatal),
        ] {
            assert_eq!(cause(code), expected, "{code:?}");
        }
    }
}
