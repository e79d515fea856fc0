//! `/api/v1/…`: the processor as JSON. `docs/reference/http-api.md` has the shapes.
//!
//! Names end with their unit, times are milliseconds since 1970, what is not known is null. Every error is
//! an object too: `{"error": {"status": 404, "code": "not_found", "message": "…"}}`.

mod detections;
mod latency;
mod rules;
mod status;
mod workers;

use serde_json::{Value, json};

use super::Routes;
use super::http::{Answer, Request, Response};

/// Where all paths of the interface begin.
pub(super) const PREFIX: &str = "/api/";
const ROOT: &str = "/api/v1";
const STREAM: &str = "/api/v1/detections/stream";

/// Answers a request that may pass.
pub(super) fn answer(routes: &Routes, request: &Request) -> Answer {
    if request.path == STREAM && request.method == "GET" {
        return detections::follow(routes, request);
    }
    known(routes, request).into()
}

fn known(routes: &Routes, request: &Request) -> Response {
    let path = request.path.strip_prefix(ROOT).unwrap_or("/?").trim_end_matches('/');
    let is_known = path.is_empty()
        || matches!(
            path,
            "/detections"
                | "/detections/stream"
                | "/status"
                | "/workers"
                | "/partitions"
                | "/latency"
                | "/rules"
        )
        || path.strip_prefix("/rules/").is_some_and(|name| !name.is_empty());
    if !is_known {
        return error(404, "not_found", "there is nothing here; GET /api/v1 lists what there is");
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return error(405, "method_not_allowed", "use GET").with("Allow", "GET, HEAD");
    }
    match path {
        "" => whole(&index()),
        "/status" => whole(&status::status(routes)),
        "/workers" => whole(&workers::workers(routes)),
        "/partitions" => whole(&workers::partitions(routes)),
        "/detections" => detections::list(routes, request),
        // Asked for the head alone.
        "/detections/stream" => Response::new(200, detections::CONTENT_TYPE, ""),
        "/latency" => latency::latency(routes, request),
        "/rules" => rules::list(routes, request),
        path => {
            let name = path.trim_start_matches("/rules/");
            match name.strip_suffix("/explain") {
                Some(name) => rules::explain(routes, name),
                None => rules::one(routes, name),
            }
        }
    }
}

fn index() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "paths": [
            "/api/v1/status",
            "/api/v1/workers",
            "/api/v1/partitions",
            "/api/v1/latency",
            "/api/v1/detections",
            "/api/v1/detections/stream",
            "/api/v1/rules",
            "/api/v1/rules/{id or key}",
            "/api/v1/rules/{id or key}/explain",
        ],
    })
}

fn whole(value: &Value) -> Response {
    Response::json(200, value.to_string())
}

/// An error object.
pub(super) fn error(status: u16, code: &str, message: &str) -> Response {
    let object = json!({"error": {"status": status, "code": code, "message": message}});
    Response::json(status, object.to_string())
}

/// A whole number in the query. `Err`: it is there and is none, or out of bounds.
fn number(request: &Request, name: &str, default: usize, max: usize) -> Result<usize, Response> {
    let Some(value) = request.query(name) else { return Ok(default) };
    match value.parse::<usize>() {
        Ok(number) if number <= max => Ok(number),
        _ => Err(error(
            400,
            "bad_parameter",
            &format!("{name} = `{value}`: expected a whole number from 0 to {max}"),
        )),
    }
}
