//! The counters in Prometheus' text format.

use std::fmt::Write as _;

use crate::metrics::Metric;
use crate::view::View;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the processor did so far, and how it stands.
pub(super) fn text(view: &View) -> String {
    let snapshot = view.snapshot();
    let mut out = String::new();
    // Writing to a text cannot fail.
    let mut put = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    for metric in Metric::ALL {
        put(metric.name(), "counter", metric.help(), snapshot.counts.get(*metric));
    }
    for (name, help, value) in [
        ("sigmill_rules", "Rules in force.", snapshot.rule_count as u64),
        ("sigmill_rules_failed", "Rules with a problem.", snapshot.problems.len() as u64),
        ("sigmill_rules_generation", "Rises with every rule set.", snapshot.generation),
        ("sigmill_workers", "Workers that run.", snapshot.worker_count as u64),
        ("sigmill_partitions", "Partitions that they read.", snapshot.partition_count as u64),
    ] {
        put(name, "gauge", help, value);
    }
    for (name, help, summary) in [
        (
            "sigmill_batch_latency_microseconds",
            "Matching and sending a batch.",
            snapshot.batch_latency,
        ),
        (
            "sigmill_detection_latency_microseconds",
            "From a record's timestamp to the acknowledgement of its detection.",
            snapshot.detection_latency,
        ),
    ] {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} summary\n");
        for (quantile, value) in [
            ("0.5", summary.p50_us),
            ("0.9", summary.p90_us),
            ("0.99", summary.p99_us),
            ("0.999", summary.p999_us),
            ("1", summary.max_us),
        ] {
            let _ = writeln!(out, "{name}{{quantile=\"{quantile}\"}} {value}");
        }
        let _ = writeln!(out, "{name}_count {}", summary.count);
    }
    out
}
