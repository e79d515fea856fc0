//! `/api/v1/detections`: those that were made lately, at once or as they come.
//!
//! A reader that is slower than the detections finds a gap in their numbers and is told how many it does not
//! see. Nobody waits for it: the ring goes on, and who takes nothing for long is cut off.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::recent::{Made, Recent};
use crate::shutdown::Shutdown;

use super::super::Routes;
use super::super::http::{Answer, Request, Response};
use super::{error, number, whole};

pub(super) const CONTENT_TYPE: &str = "text/event-stream";

/// Detections in an answer that asks for no number, and the most there may be.
const LISTED: usize = 100;
const LISTED_MAX: usize = 1000;
/// Who may follow at the same time: others have to get through too.
const FOLLOWERS_MAX: usize = 16;
/// Detections that are written at once.
const WRITTEN_MAX: usize = 50;
/// How often something is said to who sees nothing, so that both sides know of each other.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a reader may take nothing.
const STALL_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(250);

/// Which detections are meant.
struct Filter {
    rule: Option<String>,
    level: Option<String>,
}

impl Filter {
    fn of(request: &Request) -> Self {
        let text = |name| request.query(name).map(str::to_owned);
        Self { rule: text("rule"), level: text("level") }
    }

    fn takes(&self, made: &Made) -> bool {
        let is_rule = |rule: &String| made.key == *rule || made.id.as_ref() == Some(rule);
        self.rule.as_ref().is_none_or(is_rule)
            && self.level.as_deref().is_none_or(|level| made.level == Some(level))
    }
}

/// The latest ones, or those after a number; the oldest first.
pub(super) fn list(routes: &Routes, request: &Request) -> Response {
    let limit = match number(request, "limit", LISTED, LISTED_MAX) {
        Ok(limit) => limit,
        Err(refusal) => return refusal,
    };
    let after = match after(request) {
        Ok(after) => after,
        Err(refusal) => return refusal,
    };
    let filter = Filter::of(request);
    let from = after.unwrap_or(0);
    let read = routes.view.recent.read(from, usize::MAX, Duration::ZERO);
    let taken = || read.detections.iter().filter(|(_, made)| filter.takes(made));
    let Some(from) = after else {
        let skipped = taken().count().saturating_sub(limit);
        let found: Vec<Value> = taken().skip(skipped).map(|(n, made)| shown(*n, made)).collect();
        return whole(&json!({"next": read.next, "lost": 0, "detections": found}));
    };
    let found: Vec<Value> = taken().take(limit).map(|(n, made)| shown(*n, made)).collect();
    // Behind the last one that is shown, or behind all if there are no more.
    let next = match taken().nth(limit) {
        Some(_) => taken().take(limit).last().map_or(from, |(number, _)| number + 1),
        None => read.next,
    };
    let passed = read.detections.iter().filter(|(number, _)| *number < next).count() as u64;
    whole(&json!({"next": next, "lost": next - from - passed, "detections": found}))
}

/// The number to go on from.
fn after(request: &Request) -> Result<Option<u64>, Response> {
    let given = request.query("from").map(|text| (text, 0));
    let Some((text, more)) = given.or(request.header("last-event-id").map(|text| (text, 1))) else {
        return Ok(None);
    };
    match text.trim().parse::<u64>() {
        Ok(number) => Ok(Some(number.saturating_add(more))),
        Err(_) => {
            let message = format!("from = `{text}`: expected the number of a detection");
            Err(error(400, "bad_parameter", &message))
        }
    }
}

fn shown(number: u64, made: &Made) -> Value {
    let bytes = made.bytes.as_deref();
    let detection = bytes.and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let base64 = match (&detection, bytes) {
        (None, Some(bytes)) => Some(base64::engine::general_purpose::STANDARD.encode(bytes)),
        _ => None,
    };
    json!({
        "number": number,
        "made_at_ms": made.made_at,
        "rule": {
            "key": made.key,
            "title": made.title,
            "id": made.id,
            "level": made.level,
        },
        "output_topic": made.output_topic,
        "bytes": made.len,
        "detection": detection,
        "detection_base64": base64,
    })
}

/// One more follower, until it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(count));
        // The place is given back by its drop.
        (count.fetch_add(1, Ordering::Relaxed) < FOLLOWERS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Detections as they are made, as server-sent events.
pub(super) fn follow(routes: &Routes, request: &Request) -> Answer {
    let from = match after(request) {
        Ok(after) => after,
        Err(refusal) => return refusal.into(),
    };
    let Some(place) = Place::take(&routes.follower_count) else {
        let message = format!("{FOLLOWERS_MAX} follow the detections already");
        return error(503, "too_many", &message).with("Retry-After", "10").into();
    };
    let filter = Filter::of(request);
    let recent = Arc::clone(&routes.view.recent);
    let shutdown = routes.shutdown.clone();
    Answer::Stream(Box::new(move |stream| {
        let _place = place;
        tell(stream, &recent, from.unwrap_or_else(|| recent.next()), &filter, &shutdown)
    }))
}

fn tell(
    stream: &mut TcpStream,
    recent: &Recent,
    from: u64,
    filter: &Filter,
    shutdown: &Shutdown,
) -> io::Result<()> {
    stream.set_write_timeout(Some(LOOK))?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n: the next is {from}\n\n"
    );
    send(stream, head.as_bytes(), shutdown)?;
    // A number ahead of all is of a former process.
    let mut expected = from.min(recent.next());
    let mut said_at = Instant::now();
    while !shutdown.is_asked() {
        let read = recent.read(expected, WRITTEN_MAX, LOOK);
        let mut text = String::new();
        for (number, made) in &read.detections {
            if *number > expected {
                let lost = json!({"count": number - expected});
                // Writing to a text cannot fail.
                let _ = write!(text, "event: lost\ndata: {lost}\n\n");
            }
            expected = number + 1;
            if filter.takes(made) {
                let data = shown(*number, made);
                let _ = write!(text, "id: {number}\nevent: detection\ndata: {data}\n\n");
            }
        }
        if text.is_empty() && said_at.elapsed() >= ALIVE_INTERVAL {
            text.push_str(": nothing new\n\n");
        }
        if !text.is_empty() {
            send(stream, text.as_bytes(), shutdown)?;
            said_at = Instant::now();
        }
    }
    Ok(())
}

/// Writes all of it, for as long as the reader takes some of it now and then.
fn send(stream: &mut TcpStream, mut bytes: &[u8], shutdown: &Shutdown) -> io::Result<()> {
    let mut taken_at = Instant::now();
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                taken_at = Instant::now();
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                if shutdown.is_asked() || taken_at.elapsed() >= STALL_MAX {
                    return Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
