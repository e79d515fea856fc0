//! What `/metrics` says: counters, gauges and histograms of the processor and of its parts.

use crate::exposition::Exposition;
use crate::latency::{Latencies, Stage};
use crate::metrics::Metric;
use crate::view::View;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds for the time of one record, in seconds.
const RECORD_BOUNDS: &[f64] =
    &[5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 1e-1];
/// The same for what takes longer.
const BOUNDS: &[f64] = &[
    1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2.5e-1, 5e-1, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
];

/// What the processor did so far, and how it stands.
pub(super) fn text(view: &View) -> String {
    let mut out = Exposition::default();
    let snapshot = view.snapshot();
    for metric in Metric::ALL {
        let label = metric.label();
        out.counter(metric.name(), metric.help(), label.as_slice(), snapshot.counts.get(*metric));
    }
    for (name, help, value) in [
        ("sigmill_rules", "Rules in force.", snapshot.rule_count as u64),
        ("sigmill_rules_failed", "Rules with a problem.", snapshot.problems.len() as u64),
        ("sigmill_rules_generation", "Rises with every rule set.", snapshot.generation),
        ("sigmill_workers", "Workers that run.", snapshot.worker_count as u64),
        ("sigmill_partitions", "Partitions that they read.", snapshot.partition_count as u64),
    ] {
        out.gauge(name, help, &[], value);
    }
    latencies(&mut out, &view.latencies());
    view.parts.iter().for_each(|part| part.metrics(&mut out));
    out.finish()
}

fn latencies(out: &mut Exposition, latencies: &Latencies) {
    for stage in Stage::ALL {
        let (name, bounds) = match stage {
            Stage::Record => ("sigmill_record_match_duration_seconds", RECORD_BOUNDS),
            Stage::Polled => ("sigmill_poll_latency_seconds", BOUNDS),
            Stage::Batch => ("sigmill_batch_duration_seconds", BOUNDS),
            Stage::Detection => ("sigmill_event_latency_seconds", BOUNDS),
        };
        out.histogram(name, stage.help(), &[], &latencies.buckets(stage, bounds));
    }
}
