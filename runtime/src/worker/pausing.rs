//! Waiting for what is slow, without leaving the group.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use tracing::{debug, warn};

use super::Worker;
use super::callbacks::WorkerContext;
use crate::batch::BatchRecord;
use crate::metrics::Metric;
use crate::run_error::RunError;

/// How long a full producer is waited for before the partitions are paused: a pause throws away what
/// was fetched ahead.
const PATIENCE: Duration = Duration::from_millis(200);
/// After how long a schema registry that does not answer is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_secs(1);

impl<'a> Worker<'a> {
    /// Waits until enough is acknowledged: patiently first, then with the partitions paused.
    pub(super) fn hold(&mut self) -> Result<(), RunError> {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            let mut emitter = self.context.emitter();
            let begin = Instant::now();
            emitter.poll(Duration::from_millis(2));
            self.account.wait(begin.elapsed());
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
    pub(super) fn has_schema(&mut self, record: &BatchRecord<'a>) -> Result<bool, RunError> {
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
        self.account.is_paused = true;
        loop {
            let begin = Instant::now();
            let wait = Duration::from_millis(5);
            let record = self.poller.poll(self.consumer, self.context, wait)?;
            self.account.wait(begin.elapsed());
            self.carry.extend(record);
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
        self.account.is_paused = false;
        if let Ok(assignment) = self.consumer.assignment()
            && let Err(error) = self.consumer.resume(&assignment)
        {
            return Err(RunError::Fatal(format!("cannot resume after a pause: {error}")));
        }
        self.shard.pause_waiting(self.consumer, &self.context.emitter());
        Ok(())
    }

    pub(super) fn pause(&self) {
        let paused = self.consumer.assignment().and_then(|list| self.consumer.pause(&list));
        if let Err(error) = paused {
            // Nothing is lost by that: records go on coming in, and wait.
            debug!(%error, "Cannot pause.");
        }
    }
}
