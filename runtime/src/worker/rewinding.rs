//! After an aborted transaction: back to what is committed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::Worker;
use crate::run_error::RunError;

/// How long a rewind waits before the work goes on, doubled each time without a commit between.
const ABORT_PAUSE: Duration = Duration::from_millis(50);
const ABORT_PAUSE_MAX: Duration = Duration::from_secs(5);

impl Worker<'_> {
    /// After an abort: goes back to what is committed, with every partition.
    pub(super) fn rewind_if_aborted(&mut self) -> Result<(), RunError> {
        if !self.context.is_rewinding.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.fail()?;
        let assigned = self.consumer.assignment().map_err(|error| fatal(&error))?;
        self.begin_anew(&assigned)?;
        // The reason may be there for a while.
        self.abort_pause = (self.abort_pause * 2).clamp(ABORT_PAUSE, ABORT_PAUSE_MAX);
        let until = Instant::now() + self.abort_pause;
        while Instant::now() < until && !self.shared.shutdown.is_asked() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Partitions whose checkpoint is of no use begin again, from the log alone.
    pub(super) fn replay_without_checkpoints(&mut self) -> Result<(), RunError> {
        let partitions = self.shard.take_unfounded(&self.context.emitter().ledger);
        if partitions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.context.matches_topic, partition);
        }
        self.begin_anew(&list)
    }

    /// Goes back to what is committed, with these partitions.
    fn begin_anew(&mut self, assigned: &TopicPartitionList) -> Result<(), RunError> {
        self.consumer.incremental_unassign(assigned).map_err(|error| fatal(&error))?;
        let starts = self.context.starts(self.consumer, assigned);
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
        self.consumer.incremental_assign(assigned).map_err(|error| fatal(&error))?;
        self.consumer.resume(assigned).map_err(|error| fatal(&error))?;
        Ok(())
    }
}

fn fatal(error: &KafkaError) -> RunError {
    RunError::Fatal(format!("cannot rewind: {error}"))
}
