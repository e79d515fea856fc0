//! `/api/v1/status`: the processor as a whole.

use serde_json::{Map, Value, json};

use crate::clock;
use crate::metrics::Metric;
use crate::process;

use super::super::Routes;
use super::workers;

pub(super) fn status(routes: &Routes) -> Value {
    let (view, settings) = (&routes.view, &routes.settings);
    let snapshot = view.snapshot();
    let rules = view.rules.load();
    let counter = |metric: &Metric| {
        let label = metric.label().map(|(_, value)| format!("/{value}")).unwrap_or_default();
        (format!("{}{label}", metric.name()), snapshot.counts.get(*metric).into())
    };
    let counters: Map<String, Value> = Metric::ALL.iter().map(counter).collect();
    let section =
        |part: &std::sync::Arc<dyn crate::show::Show>| (part.name().to_owned(), part.section());
    let sections: Map<String, Value> = view.parts.iter().map(section).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "application_id": settings.application_id,
        "instance_id": settings.instance_id,
        "is_ready": snapshot.generation > 0 && snapshot.worker_count == view.workers.len(),
        "processing_guarantee":
            if settings.is_exactly_once { "exactly_once_v2" } else { "at_least_once" },
        "now_ms": clock::now_ms(),
        "process": {
            "cpu_seconds": process::cpu_time().as_secs_f64(),
            "resident_bytes": process::resident_bytes(),
        },
        "rates": workers::shown_rates(view.rates.all(), settings.target_mb_per_core),
        "workers": {"running": snapshot.worker_count, "configured": view.workers.len()},
        "partitions": snapshot.partition_count,
        "rules": {
            "in_force": rules.active_count,
            "problems": rules.problems.len(),
            "dropped": rules.dropped.len(),
            "generation": rules.generation,
            "hash": rules.hash,
            "build_seconds": rules.build_time.as_secs_f64(),
        },
        "topics": {
            "data": settings.data_topics,
            "output": settings.output_topic,
            "rules": settings.rules_topic,
            "dead_letter": settings.deadletter_topic,
        },
        "settings": settings.shown.iter().cloned().map(|(name, value)| (name, value.into()))
            .collect::<Map<String, Value>>(),
        "warnings": settings.warnings,
        "counters": counters,
        "sections": sections,
    })
}
