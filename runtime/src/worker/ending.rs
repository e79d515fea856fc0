//! The end of a worker: what is in flight is waited for, and committed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::warn;

use super::Worker;

impl Worker<'_> {
    /// Waits for what is in flight, within a limit, and commits.
    pub(super) fn end(&mut self) {
        self.batch.clear();
        self.carry.clear();
        let mut emitter = self.context.emitter();
        emitter.flush_matches(false);
        if emitter.transaction.is_some() {
            if !self.context.commit_exactly(self.consumer, &mut emitter)
                && emitter.fatal().is_none()
            {
                self.context.abort(&mut emitter);
            }
            self.tell(&mut emitter, true);
            self.context.is_closing.store(true, Ordering::Relaxed);
            return;
        }
        let deadline = Instant::now() + self.shared.settings.stop_timeout.mul_f32(0.7);
        while emitter.in_flight_count() > 0
            && emitter.fatal().is_none()
            && Instant::now() < deadline
        {
            emitter.poll(Duration::from_millis(5));
        }
        let left = emitter.in_flight_count();
        if left > 0 {
            warn!(
                worker = self.index,
                left, "Not everything was acknowledged; those records are read again next time."
            );
        }
        self.tell(&mut emitter, true);
        drop(emitter);
        self.context.is_closing.store(true, Ordering::Relaxed);
        self.commit_finally(deadline.max(Instant::now() + Duration::from_secs(1)));
    }

    /// The last commit. A group in the middle of a rebalance may refuse it, and then takes it when
    /// the rebalance is over, which goes on only while the consumer is polled.
    fn commit_finally(&mut self, deadline: Instant) {
        let is_done = || self.context.commit_all(self.consumer, &mut self.context.emitter());
        if is_done() {
            return;
        }
        self.pause();
        while Instant::now() < deadline && !is_done() {
            // A record that comes all the same is not marked as read, so it is not committed.
            let _ = self.consumer.poll(Duration::from_millis(50));
        }
    }
}
