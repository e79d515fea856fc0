//! `/api/v1/latency`: the histograms of all workers, merged.

use serde_json::{Map, Value, json};

use crate::clock;
use crate::latency::Stage;

use super::super::Routes;
use super::super::http::{Request, Response};
use super::{error, whole, workers};

/// The figures of every stage; with `counts=true` also how often each value came.
pub(super) fn latency(routes: &Routes, request: &Request) -> Response {
    let has_counts = match request.query("counts") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let message = format!("counts = `{other}`: expected true or false");
            return error(400, "bad_parameter", &message);
        }
    };
    let latencies = routes.view.latencies();
    let stages: Map<String, Value> = Stage::ALL
        .into_iter()
        .map(|stage| {
            let mut figures = workers::figures(&latencies, stage);
            figures["help"] = stage.help().into();
            if has_counts {
                figures["unit_ns"] = stage.unit_ns().into();
                let recorded = latencies.histogram(stage).iter_recorded();
                let pair = |step: hdrhistogram::iterators::IterationValue<u64>| {
                    json!([step.value_iterated_to(), step.count_at_value()])
                };
                figures["counts"] = recorded.map(pair).collect::<Vec<_>>().into();
            }
            (stage.name().to_owned(), figures)
        })
        .collect();
    whole(&json!({"now_ms": clock::now_ms(), "stages": stages}))
}
