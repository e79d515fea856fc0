//! Latency histograms: a worker records into its own, and now and then adds it to the shared one.
//!
//! A histogram knows values to three digits; its sum is exact. Values of a stage are whole numbers of
//! that stage's unit, so that the time of one record, a few microseconds, has digits too.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::exposition::Buckets;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Matching one record; of one record in many.
    Record,
    /// From the poll that brought a record to its matches; of one record in many.
    Polled,
    /// Matching and sending one batch.
    Batch,
    /// From a record's timestamp to the acknowledgement of its detection.
    Detection,
}

const STAGES: usize = Stage::ALL.len();
/// An hour: what takes longer is recorded as this.
const LONGEST: Duration = Duration::from_secs(3600);

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Record, Self::Polled, Self::Batch, Self::Detection];

    /// Its name over HTTP and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Polled => "poll",
            Self::Batch => "batch",
            Self::Detection => "detection",
        }
    }

    /// What it measures.
    pub fn help(self) -> &'static str {
        match self {
            Self::Record => "Matching one record, of one record in many.",
            Self::Polled => {
                "From the poll that brought a record to its matches, of one record in many."
            }
            Self::Batch => "Matching and sending a batch.",
            Self::Detection => "From a record's timestamp to the acknowledgement of its detection.",
        }
    }

    /// How many nanoseconds the values count.
    pub fn unit_ns(self) -> u64 {
        match self {
            Self::Record => 1,
            Self::Polled | Self::Batch | Self::Detection => 1000,
        }
    }

    fn longest(self) -> u64 {
        u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX) / self.unit_ns()
    }
}

#[derive(Debug, Clone)]
struct Values {
    histogram: Histogram<u64>,
    sum: u64,
}

/// One histogram per stage.
#[derive(Debug, Clone)]
pub struct Latencies([Values; STAGES]);

impl Default for Latencies {
    fn default() -> Self {
        Self(Stage::ALL.map(|stage| {
            let histogram =
                Histogram::new_with_bounds(1, stage.longest(), 3).expect("the bounds are in order");
            Values { histogram, sum: 0 }
        }))
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
    pub fn record(&mut self, stage: Stage, elapsed: Duration) {
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let value = (nanoseconds / stage.unit_ns()).clamp(1, stage.longest());
        let values = &mut self.0[stage as usize];
        values.histogram.saturating_record(value);
        values.sum = values.sum.saturating_add(value);
    }

    /// The figures of a stage.
    pub fn summary(&self, stage: Stage) -> Summary {
        let histogram = self.histogram(stage);
        let in_us = |value: u64| value * stage.unit_ns() / 1000;
        let at = |percentile| in_us(histogram.value_at_quantile(percentile));
        Summary {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: in_us(histogram.max()),
        }
    }

    /// All values of a stage, in its unit.
    pub fn histogram(&self, stage: Stage) -> &Histogram<u64> {
        &self.0[stage as usize].histogram
    }

    /// The sum of all values of a stage, in its unit.
    pub fn sum(&self, stage: Stage) -> u64 {
        self.0[stage as usize].sum
    }

    /// The values of a stage by bucket, in seconds.
    pub(crate) fn buckets(&self, stage: Stage, bounds: &[f64]) -> Buckets {
        let in_seconds = |value: u64| value as f64 * stage.unit_ns() as f64 / 1e9;
        let histogram = self.histogram(stage);
        let mut counts: Vec<(f64, u64)> = bounds.iter().map(|bound| (*bound, 0)).collect();
        for step in histogram.iter_recorded() {
            // The least of what the histogram cannot tell apart: a value at a bound is not above it.
            let value = in_seconds(histogram.lowest_equivalent(step.value_iterated_to()));
            let at = bounds.partition_point(|bound| *bound < value);
            if let Some((_, count)) = counts.get_mut(at) {
                *count += step.count_at_value();
            }
        }
        let mut below = 0;
        for (_, count) in &mut counts {
            below += *count;
            *count = below;
        }
        Buckets { counts, sum: in_seconds(self.sum(stage)), count: histogram.len() }
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        for (all, more) in self.0.iter_mut().zip(&other.0) {
            all.histogram.add(&more.histogram).expect("all histograms have the same bounds");
            all.sum = all.sum.saturating_add(more.sum);
        }
    }

    fn clear(&mut self) {
        for values in &mut self.0 {
            values.histogram.reset();
            values.sum = 0;
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|values| values.histogram.is_empty())
    }
}

/// A worker's values as others may read them.
#[derive(Debug, Default)]
pub struct SharedLatencies(Mutex<Latencies>);

impl SharedLatencies {
    /// Moves what was recorded since the last call from `local` here, unless somebody reads just now:
    /// a worker does not wait. That goes through all buckets: ten times a second, not after every batch.
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
        let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
            local.record(Stage::Detection, Duration::from_micros(value));
        }
        shared.take(&mut local);
        shared.take(&mut local);
        local.record(Stage::Batch, Duration::MAX);
        local.record(Stage::Record, Duration::from_nanos(1500));
        shared.take(&mut local);
        let mut sum = Latencies::default();
        shared.add_to(&mut sum);
        let summary = sum.summary(Stage::Detection);
        assert_eq!((summary.count, summary.p50_us, summary.max_us), (1000, 500, 1000));
        assert_eq!(sum.sum(Stage::Detection), 500_500);
        assert!(sum.summary(Stage::Batch).max_us >= 3_600_000_000);
        assert_eq!((sum.sum(Stage::Record), sum.summary(Stage::Record).max_us), (1500, 1));
    }

    #[test]
    fn buckets_count_what_is_not_above_them() {
        let mut values = Latencies::default();
        for value in [1, 10, 100, 1000, 10_000] {
            values.record(Stage::Batch, Duration::from_millis(value));
        }
        let buckets = values.buckets(Stage::Batch, &[0.0005, 0.001, 0.5, 1.0, 5.0]);
        let counts: Vec<u64> = buckets.counts.iter().map(|(_, count)| *count).collect();
        assert_eq!((counts, buckets.count), (vec![0, 1, 3, 4, 4], 5));
        assert!((buckets.sum - 11.111).abs() < 1e-9, "{}", buckets.sum);
    }
}
