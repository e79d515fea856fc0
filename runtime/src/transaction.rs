//! Exactly once: what a worker sends between two commits, and the offsets of what it worked on, are one
//! transaction.
//!
//! ```text
//! begin ─► send … send ─► all acknowledged ─► offsets ─► commit ─► begin …
//!             └─ a delivery, the offsets or the commit fail ─► abort ─► rewind to what is committed
//! ```
//! A transaction begins with the first thing sent. Once there is a *doubt* it is aborted whatever else
//! happens; the worker then goes back to the committed offsets and does the same work again. What can
//! never be delivered would fail each time: a *remedy* says what is done with it instead, and is forgotten
//! when its record is committed.
//!
//! The brokers fence a worker that was taken for dead: its producer by the transactional id of its
//! successor, its offsets by the generation of its group.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{Producer, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, warn};

use crate::emit::Emitter;
use crate::metrics::Metric;
use crate::run_error::RunError;
use crate::shutdown::Shutdown;

/// How long one request to the coordinator may take before it is asked again.
const REQUEST: Duration = Duration::from_secs(5);
/// How long a commit waits for acknowledgements: less than a transaction may take.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(8);
/// How long an abort may take before the worker begins anew.
const ABORTED_WITHIN: Duration = Duration::from_secs(30);
/// How long a transaction may stay open with the coordinator away.
const COMMITTED_WITHIN: Duration = Duration::from_secs(30);

/// What is known of a detection whenever its record is worked on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) rule: u64,
}

/// What is done with something that failed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// It may have been in a batch with others: it is sent alone.
    Alone,
    /// Its own topic does not take it.
    DefaultTopic,
    /// Nobody will ever take it.
    GiveUp(RDKafkaErrorCode),
}

/// The transaction of a worker.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    is_open: bool,
    doubt: Option<String>,
    remedies: HashMap<Identity, Remedy>,
}

impl Transaction {
    /// Why it has to be aborted: the first reason stands.
    pub(crate) fn doubt(&mut self, reason: String) {
        self.doubt.get_or_insert(reason);
    }

    pub(crate) fn has_remedies(&self) -> bool {
        !self.remedies.is_empty()
    }

    pub(crate) fn remedy(&self, identity: &Identity) -> Option<Remedy> {
        self.remedies.get(identity).copied()
    }

    pub(crate) fn learn(&mut self, identity: Identity, remedy: Remedy) {
        self.remedies.insert(identity, remedy);
    }

    /// What is committed is not worked on again.
    fn forget_remedies(&mut self, offsets: &TopicPartitionList) {
        self.remedies.retain(|identity, _| {
            let committed = offsets.find_partition(&identity.topic, identity.partition);
            let offset = committed.and_then(|committed| committed.offset().to_raw());
            offset.is_none_or(|offset| identity.offset >= offset)
        });
    }
}

impl Emitter {
    /// Why the transaction cannot be committed.
    pub(crate) fn doubt(&self) -> Option<&str> {
        self.transaction.as_ref().and_then(|transaction| transaction.doubt.as_deref())
    }

    /// Takes this worker's place among the producers: a former one of its name is fenced, and what it
    /// left open is aborted. Does nothing where delivery is at least once.
    ///
    /// # Errors
    /// A stop was asked for, or the brokers refuse.
    pub(crate) fn init_transactions(&self, shutdown: &Shutdown) -> Result<(), RunError> {
        if self.transaction.is_none() {
            return Ok(());
        }
        loop {
            match self.producer.init_transactions(REQUEST) {
                Ok(()) => return Ok(()),
                Err(_) if shutdown.is_asked() => return Err(RunError::Stopped),
                Err(error) if is_retriable(&error) => {
                    debug!(%error, "The transaction coordinator does not answer yet.");
                }
                Err(error) => return Err(RunError::Fatal(format!("init_transactions: {error}"))),
            }
        }
    }

    /// Begins a transaction if there is none. False: it could not be, or the one there is does not hold.
    pub(crate) fn begin_transaction(&mut self) -> bool {
        let Some(transaction) = &mut self.transaction else { return true };
        if transaction.is_open {
            return transaction.doubt.is_none();
        }
        match self.producer.begin_transaction() {
            Ok(()) => {
                transaction.is_open = true;
                true
            }
            Err(error) => {
                self.refused(&error, "begin");
                false
            }
        }
    }

    /// Commits what was sent together with these offsets; all of it is acknowledged by then. False: it is
    /// to be aborted.
    pub(crate) fn commit_transaction(
        &mut self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> bool {
        let is_open = self.transaction.as_ref().is_some_and(|transaction| transaction.is_open);
        if !is_open && offsets.count() == 0 {
            return self.doubt().is_none();
        }
        if !self.begin_transaction() {
            return false;
        }
        let deadline = Instant::now() + COMMITTED_WITHIN;
        if offsets.count() > 0 {
            let send = |emitter: &Self| {
                emitter.producer.send_offsets_to_transaction(offsets, group, REQUEST)
            };
            if !self.insist("send offsets", deadline, send) {
                return false;
            }
        }
        if !self.insist("commit", deadline, |emitter| emitter.producer.commit_transaction(REQUEST))
        {
            return false;
        }
        self.counts.add(Metric::TransactionsCommitted, 1);
        if let Some(transaction) = &mut self.transaction {
            transaction.is_open = false;
            transaction.forget_remedies(offsets);
            self.budget.commit();
        }
        true
    }

    /// Waits until all that was sent is acknowledged, however long its producer would gather.
    pub(crate) fn finish_in_flight(&mut self) {
        let deadline = Instant::now() + ACKNOWLEDGED_WITHIN;
        while self.in_flight_count() > 0 && self.doubt().is_none() && self.fatal.is_none() {
            if Instant::now() > deadline {
                let reason = format!("not acknowledged within {ACKNOWLEDGED_WITHIN:?}");
                if let Some(transaction) = &mut self.transaction {
                    transaction.doubt(reason);
                }
                return;
            }
            // What is not acknowledged in this time is asked for again.
            let _ = self.producer.flush(Duration::from_millis(10));
            self.poll(Duration::ZERO);
        }
    }

    /// Aborts: nothing of what was sent since the last commit is there for who reads what is committed.
    ///
    /// # Errors
    /// The producer cannot go on.
    pub(crate) fn abort_transaction(&mut self) -> Result<(), RunError> {
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        let reason = transaction.doubt.get_or_insert_with(|| "its partitions are gone".into());
        warn!(reason, "A transaction is aborted, its work is done again.");
        let is_open = transaction.is_open;
        self.budget.abort();
        self.counts.add(Metric::TransactionsAborted, 1);
        if let Some(outbox) = &mut self.outbox {
            outbox.clear(&mut self.ledger);
        }
        let waiting: Vec<_> = self.retries.drain(..).chain(self.alone.drain(..)).collect();
        waiting.into_iter().for_each(|outgoing| self.drop_flight(outgoing.id));
        self.producer.purge(PurgeConfig::default().queue());
        let deadline = Instant::now() + ABORTED_WITHIN;
        while self.in_flight_count() > 0 && Instant::now() < deadline {
            self.poll(Duration::from_millis(10));
        }
        if let Some(reason) = &self.fatal {
            return Err(RunError::Fatal(format!("producer: {reason}")));
        }
        if is_open {
            while let Err(error) = self.producer.abort_transaction(REQUEST) {
                self.poll(Duration::ZERO);
                if !is_retriable(&error) || Instant::now() > deadline {
                    return Err(RunError::Fatal(format!("abort: {error}")));
                }
            }
        }
        if self.in_flight_count() > 0 {
            return Err(RunError::Fatal("what was sent neither arrives nor fails".into()));
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.is_open = false;
            transaction.doubt = None;
        }
        Ok(())
    }

    fn insist(
        &mut self,
        what: &str,
        deadline: Instant,
        call: impl Fn(&Self) -> KafkaResult<()>,
    ) -> bool {
        loop {
            match call(self) {
                Ok(()) => return true,
                Err(error) if is_retriable(&error) && Instant::now() < deadline => {
                    debug!(%error, "The transaction coordinator is asked again.");
                    self.poll(Duration::from_millis(20));
                }
                Err(error) => {
                    self.refused(&error, what);
                    return false;
                }
            }
        }
    }

    fn refused(&mut self, error: &KafkaError, what: &str) {
        let reason = format!("{what}: {error}");
        if matches!(error, KafkaError::Transaction(error) if error.is_fatal()) {
            self.fatal.get_or_insert(reason.clone());
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.doubt(reason);
        }
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
}
