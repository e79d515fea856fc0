//! What a running processor shows of itself: to the command, to the port for people and machines, and on
//! the instances topic. Reading it disturbs no worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use crate::account::SharedTold;
use crate::budget::RuleStates;
use crate::latency::{Latencies, SharedLatencies, Stage, Summary};
use crate::metrics::{Counts, SharedCounts};
use crate::recent::Recent;
use crate::report::SharedRates;
use crate::rule_store::{RuleProblem, RuleSet};
use crate::show::Show;

/// What the processor did so far.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What it counted, over all workers and the reader.
    pub counts: Counts,
    /// Matching and sending a batch.
    pub batch_latency: Summary,
    /// From a record's timestamp to the acknowledgement of its detection.
    pub detection_latency: Summary,
    /// Rules in force.
    pub rule_count: usize,
    /// Rises with every rule set.
    pub generation: u64,
    /// How far the rules in force go in the rules topic: partition → the offset behind the last.
    pub rule_offsets: BTreeMap<i32, i64>,
    /// What does not load at the moment.
    pub problems: Vec<RuleProblem>,
    /// Workers that run.
    pub worker_count: usize,
    /// Partitions that they read.
    pub partition_count: usize,
}

/// A worker as others see it.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerView {
    pub(crate) counts: Arc<SharedCounts>,
    pub(crate) latencies: Arc<SharedLatencies>,
    pub(crate) told: Arc<SharedTold>,
    pub(crate) recent: Arc<Recent>,
    /// The processor that it is pinned to.
    pub(crate) core: Option<usize>,
    pub(crate) partition_count: Arc<AtomicUsize>,
    /// How rules stand, over all workers.
    pub(crate) rule_states: Arc<RuleStates>,
    /// It reads records, or will once its group lets it.
    pub(crate) is_alive: Arc<AtomicBool>,
}

/// Everything that a snapshot is made of.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) rules: Arc<ArcSwap<RuleSet>>,
    pub(crate) workers: Vec<WorkerView>,
    /// Of the reader of rules.
    pub(crate) other_counts: Vec<Arc<SharedCounts>>,
    /// Detections that were made lately.
    pub(crate) recent: Arc<Recent>,
    /// What was done lately.
    pub(crate) rates: Arc<SharedRates>,
    /// Parts that show themselves.
    pub(crate) parts: Vec<Arc<dyn Show>>,
}

impl View {
    /// The values of all workers.
    pub(crate) fn latencies(&self) -> Latencies {
        let mut latencies = Latencies::default();
        self.workers.iter().for_each(|worker| worker.latencies.add_to(&mut latencies));
        latencies
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut counts = Counts::default();
        self.workers.iter().for_each(|worker| counts.merge(&worker.counts.read()));
        self.other_counts.iter().for_each(|other| counts.merge(&other.read()));
        let latencies = self.latencies();
        let rules = self.rules.load();
        let partitions = |worker: &WorkerView| worker.partition_count.load(Ordering::Relaxed);
        Snapshot {
            counts,
            batch_latency: latencies.summary(Stage::Batch),
            detection_latency: latencies.summary(Stage::Detection),
            rule_count: rules.active_count,
            generation: rules.generation,
            rule_offsets: rules.offsets.clone(),
            problems: rules.problems.clone(),
            worker_count: self.workers.iter().filter(|worker| worker.is_alive()).count(),
            partition_count: self.workers.iter().map(partitions).sum(),
        }
    }
}

impl WorkerView {
    pub(crate) fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::Relaxed)
    }
}
