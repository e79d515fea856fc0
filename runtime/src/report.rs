//! What was done lately: a look at every worker each second, rates over the last ten of them, and a line in
//! the log now and then.
//!
//! Throughput per core is bytes of record values by seconds in which the worker did not wait: what a core
//! gets done when there is enough to do. A target for it is judged once there was work to judge.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::info;

use crate::latency::Stage;
use crate::metrics::Metric;
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::view::View;

const LOOK: Duration = Duration::from_secs(1);
const LOOKS: usize = 10;
/// Less work than this says nothing about how fast it goes.
const BUSY_MIN: Duration = Duration::from_millis(200);

/// What was done within some seconds.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) seconds: f64,
    pub(crate) busy: Duration,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) detections: u64,
}

impl Rates {
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        if self.seconds > 0.0 { count as f64 / self.seconds } else { 0.0 }
    }

    /// The share of time in which it did not wait.
    pub(crate) fn busy_ratio(&self) -> f64 {
        if self.seconds > 0.0 { (self.busy.as_secs_f64() / self.seconds).min(1.0) } else { 0.0 }
    }

    /// Megabytes (10⁶) that a core gets done in a second; none: there was too little to do.
    pub(crate) fn mb_per_busy_second(&self) -> Option<f64> {
        (self.busy >= BUSY_MIN).then(|| self.bytes as f64 / 1e6 / self.busy.as_secs_f64())
    }

    /// Whether a target is met; none: there is none, or nothing to judge.
    pub(crate) fn meets(&self, target: Option<f64>) -> Option<bool> {
        Some(self.mb_per_busy_second()? >= target?)
    }

    fn merge(&mut self, other: &Self) {
        self.seconds = self.seconds.max(other.seconds);
        self.busy += other.busy;
        self.records += other.records;
        self.bytes += other.bytes;
        self.detections += other.detections;
    }
}

/// What a worker had done at some time.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    busy: Duration,
    records: u64,
    bytes: u64,
    detections: u64,
}

impl Look {
    fn since(&self, first: &Self) -> Rates {
        Rates {
            seconds: self.at.duration_since(first.at).as_secs_f64(),
            busy: self.busy.saturating_sub(first.busy),
            records: self.records.saturating_sub(first.records),
            bytes: self.bytes.saturating_sub(first.bytes),
            detections: self.detections.saturating_sub(first.detections),
        }
    }
}

/// The looks of the last seconds, by worker.
#[derive(Debug, Default)]
pub(crate) struct SharedRates(Mutex<Vec<VecDeque<Look>>>);

impl SharedRates {
    /// What a worker did lately; none before the second look.
    pub(crate) fn worker(&self, index: usize) -> Option<Rates> {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = looks.get(index)?;
        let (first, last) = (looks.front()?, looks.back()?);
        (looks.len() > 1).then(|| last.since(first))
    }

    /// What all workers did.
    pub(crate) fn all(&self) -> Option<Rates> {
        let count = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        let mut all = None;
        for rates in (0..count).filter_map(|index| self.worker(index)) {
            all.get_or_insert_with(Rates::default).merge(&rates);
        }
        all
    }

    fn look(&self, view: &View) {
        let now = Instant::now();
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.resize_with(view.workers.len(), VecDeque::new);
        for (looks, worker) in looks.iter_mut().zip(&view.workers) {
            let counts = worker.counts.read();
            if looks.len() > LOOKS {
                looks.pop_front();
            }
            looks.push_back(Look {
                at: now,
                busy: worker.told.read().busy,
                records: counts.get(Metric::Records),
                bytes: counts.get(Metric::RecordBytes),
                detections: counts.get(Metric::Detections),
            });
        }
    }
}

/// The thread that looks.
pub(crate) struct Reporter {
    thread: JoinHandle<()>,
}

impl Reporter {
    pub(crate) fn start(
        settings: &Arc<Settings>,
        view: View,
        shutdown: &Shutdown,
    ) -> Result<Self, RunError> {
        let (settings, shutdown) = (Arc::clone(settings), shutdown.clone());
        let run = move || {
            let interval = settings.report_interval;
            let mut report_at = Instant::now() + interval;
            let mut look_at = Instant::now();
            while !shutdown.is_asked() {
                let now = Instant::now();
                if now >= look_at {
                    look_at = now + LOOK;
                    view.rates.look(&view);
                }
                if !interval.is_zero() && now >= report_at {
                    report_at = now + interval;
                    report(&settings, &view);
                }
                view.recent.gather();
                thread::sleep(Duration::from_millis(50));
            }
        };
        let thread = thread::Builder::new().name("sigmill-report".into()).spawn(run)?;
        Ok(Self { thread })
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn join(self) {
        // It has nothing to lose.
        let _ = self.thread.join();
    }
}

fn report(settings: &Settings, view: &View) {
    let snapshot = view.snapshot();
    let rates = view.rates.all().unwrap_or_default();
    let workers = view.workers.len().max(1) as f64;
    let mb_per_core = rates.mb_per_busy_second().map(|speed| format!("{speed:.1}"));
    let lag: i64 = view
        .workers
        .iter()
        .map(|worker| worker.told.read().partitions.iter().filter_map(|one| one.lag()).sum::<i64>())
        .sum();
    info!(
        rules = snapshot.rule_count,
        rules_failed = snapshot.problems.len(),
        records = snapshot.counts.get(Metric::Records),
        refused = snapshot.counts.rejected(),
        detections = snapshot.counts.get(Metric::Detections),
        records_per_second = rates.per_second(rates.records).round(),
        mb_per_second = format!("{:.1}", rates.per_second(rates.bytes) / 1e6),
        busy = format!("{:.2}", rates.busy_ratio_of(workers)),
        mb_per_core,
        target_mb_per_core = settings.target_mb_per_core,
        target_met = rates.meets(settings.target_mb_per_core),
        lag,
        latency_us_p50 = view.latencies().summary(Stage::Detection).p50_us,
        latency_us_p99 = snapshot.detection_latency.p99_us,
        "The processor runs."
    );
}

impl Rates {
    /// The share of time in which so many workers did not wait.
    pub(crate) fn busy_ratio_of(&self, workers: f64) -> f64 {
        if self.seconds > 0.0 { self.busy.as_secs_f64() / self.seconds / workers } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_judged_once_there_was_work() {
        let rates = |busy_ms, bytes| Rates {
            seconds: 10.0,
            busy: Duration::from_millis(busy_ms),
            records: 10,
            bytes,
            detections: 0,
        };
        assert_eq!(rates(1000, 500_000_000).mb_per_busy_second(), Some(500.0));
        assert_eq!(rates(1000, 500_000_000).meets(Some(500.0)), Some(true));
        assert_eq!(rates(1000, 499_000_000).meets(Some(500.0)), Some(false));
        assert_eq!(rates(100, 1).meets(Some(500.0)), None);
        assert_eq!(rates(1000, 1).meets(None), None);
        assert!((rates(1000, 1).busy_ratio() - 0.1).abs() < 1e-9);
    }
}
