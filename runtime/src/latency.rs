//! Latency histograms: a worker records into its own, and now and then adds it to the shared one.

use std::sync::Mutex;

use hdrhistogram::Histogram;

/// What is measured, each in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Matching and sending one batch.
    Batch,
    /// From a record's timestamp to the acknowledgement of its detection.
    Detection,
}

const STAGES: usize = 2;
/// An hour: what takes longer is recorded as this.
const MICROSECONDS_MAX: u64 = 3_600_000_000;

/// One histogram per stage.
#[derive(Debug, Clone)]
pub struct Latencies([Histogram<u64>; STAGES]);

impl Default for Latencies {
    fn default() -> Self {
        let empty =
            || Histogram::new_with_bounds(1, MICROSECONDS_MAX, 3).expect("the bounds are in order");
        Self(std::array::from_fn(|_| empty()))
    }
}

/// The figures of a histogram, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each field is the percentile of its name")]
pub struct Summary {
    /// How many values there are.
    pub count: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    /// The greatest value.
    pub max_us: u64,
}

impl Latencies {
    /// Records one value.
    pub fn record(&mut self, stage: Stage, microseconds: u64) {
        self.0[stage as usize].saturating_record(microseconds.clamp(1, MICROSECONDS_MAX));
    }

    /// The figures of a stage.
    pub fn summary(&self, stage: Stage) -> Summary {
        let histogram = &self.0[stage as usize];
        let at = |percentile| histogram.value_at_quantile(percentile);
        Summary {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
        }
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        for (sum, values) in self.0.iter_mut().zip(&other.0) {
            sum.add(values).expect("all histograms have the same bounds");
        }
    }

    fn clear(&mut self) {
        self.0.iter_mut().for_each(Histogram::reset);
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Histogram::is_empty)
    }
}

/// A worker's values as others may read them.
#[derive(Debug, Default)]
pub struct SharedLatencies(Mutex<Latencies>);

impl SharedLatencies {
    /// Moves what was recorded since the last call from `local` here, unless somebody reads just now:
    /// a worker does not wait.
    pub fn take(&self, local: &mut Latencies) {
        if local.is_empty() {
            return;
        }
        if let Ok(mut shared) = self.0.try_lock() {
            shared.merge(local);
            local.clear();
        }
    }

    /// Adds what was recorded so far to `sum`.
    pub fn add_to(&self, sum: &mut Latencies) {
        // A panic of a reader leaves the values as they were.
        let shared = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.merge(&shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_move_once_and_percentiles_are_those_of_all() {
        let shared = SharedLatencies::default();
        let mut local = Latencies::default();
        for value in 1..=1000 {
            local.record(Stage::Detection, value);
        }
        shared.take(&mut local);
        shared.take(&mut local);
        local.record(Stage::Batch, u64::MAX);
        shared.take(&mut local);
        let mut sum = Latencies::default();
        shared.add_to(&mut sum);
        let summary = sum.summary(Stage::Detection);
        assert_eq!((summary.count, summary.p50_us, summary.max_us), (1000, 500, 1000));
        assert!(sum.summary(Stage::Batch).max_us >= MICROSECONDS_MAX);
    }
}
