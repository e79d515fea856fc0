//! `/api/v1/workers` and `/api/v1/partitions`: who works on what, and how far it has come.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::clock;
use crate::latency::{Latencies, Stage};
use crate::metrics::Metric;
use crate::report::Rates;
use crate::settings::streams::Stream;

use super::super::Routes;

pub(super) fn workers(routes: &Routes) -> Value {
    let view = &routes.view;
    let generation = view.rules.load().generation;
    let target = routes.settings.target_mb_per_core;
    let workers: Vec<Value> = view
        .workers
        .iter()
        .enumerate()
        .map(|(index, worker)| {
            let counts = worker.counts.read();
            let mut latencies = Latencies::default();
            worker.latencies.add_to(&mut latencies);
            let rates = view.rates.worker(index);
            let told = worker.told.read();
            json!({
                "worker": index,
                "is_running": worker.is_alive(),
                "core": worker.core,
                "is_paused": told.is_paused,
                "partitions": told.partitions.len(),
                "generation": told.generation,
                "is_current": told.generation == generation,
                "records": counts.get(Metric::Records),
                "bytes": counts.get(Metric::RecordBytes),
                "batches": counts.get(Metric::Batches),
                "matches": counts.get(Metric::Matches),
                "detections": counts.get(Metric::Detections),
                "busy_seconds": told.busy.as_secs_f64(),
                "cpu_seconds": told.cpu.as_secs_f64(),
                "rates": shown_rates(rates, target),
                "latency": latency(&latencies),
                "told_at_ms": (told.told_at > 0).then_some(told.told_at),
            })
        })
        .collect();
    json!({"now_ms": clock::now_ms(), "generation": generation, "workers": workers})
}

/// What was done a second, lately.
pub(super) fn shown_rates(rates: Option<Rates>, target: Option<f64>) -> Value {
    let Some(rates) = rates else { return Value::Null };
    let speed = rates.mb_per_busy_second();
    json!({
        "seconds": rates.seconds,
        "busy_ratio": rates.busy_ratio(),
        "records_per_second": rates.per_second(rates.records),
        "bytes_per_second": rates.per_second(rates.bytes),
        "detections_per_second": rates.per_second(rates.detections),
        "mb_per_core": speed,
        "target_mb_per_core": target,
        "is_target_met": rates.meets(target),
    })
}

/// The figures of every stage, in microseconds.
pub(super) fn latency(latencies: &Latencies) -> Value {
    let stage = |stage: Stage| (stage.name().to_owned(), figures(latencies, stage));
    Stage::ALL.into_iter().map(stage).collect::<Map<_, _>>().into()
}

pub(super) fn figures(latencies: &Latencies, stage: Stage) -> Value {
    let histogram = latencies.histogram(stage);
    if histogram.is_empty() {
        return json!({"count": 0});
    }
    let us = |value: f64| value * stage.unit_ns() as f64 / 1000.0;
    let at = |quantile: f64| us(histogram.value_at_quantile(quantile) as f64);
    json!({
        "count": histogram.len(),
        "mean_us": us(latencies.sum(stage) as f64 / histogram.len() as f64),
        "min_us": us(histogram.min() as f64),
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "p9999_us": at(0.9999),
        "max_us": us(histogram.max() as f64),
    })
}

pub(super) fn partitions(routes: &Routes) -> Value {
    let (view, streams) = (&routes.view, &routes.settings.streams);
    let mut partitions = Vec::new();
    let mut lags: BTreeMap<String, i64> = BTreeMap::new();
    let mut known: BTreeMap<String, Option<&str>> = BTreeMap::new();
    let mut stream = |topic: &str| {
        // Without streams there is nothing to tell.
        let found = || streams.of(topic).filter(|_| streams.are_named()).map(Stream::name);
        *known.entry(topic.to_owned()).or_insert_with(found)
    };
    for (index, worker) in view.workers.iter().enumerate() {
        for one in &worker.told.read().partitions {
            if let Some(lag) = one.lag() {
                *lags.entry(one.topic.clone()).or_default() += lag;
            }
            partitions.push(json!({
                "topic": one.topic,
                "partition": one.partition,
                "kind": if one.is_matches { "matches" } else { "data" },
                "stream": stream(&one.topic).filter(|_| !one.is_matches),
                "worker": index,
                "position": one.position,
                "committed": one.committed,
                "end": one.end,
                "lag": one.lag(),
                "stream_time_ms": one.stream_time,
                "is_paused": one.is_paused,
            }));
        }
    }
    let place = |one: &Value| {
        (one["topic"].as_str().unwrap_or_default().to_owned(), one["partition"].as_i64())
    };
    partitions.sort_by_key(place);
    json!({"now_ms": clock::now_ms(), "lag_by_topic": lags, "partitions": partitions})
}
