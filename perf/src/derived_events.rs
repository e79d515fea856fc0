//! Events made of given ones, for questions that real events do not ask.
//!
//! Small records in the manner of network monitors; records in which no value repeats; and records
//! that somebody who means harm might send. Nothing is random: the same events give the same ones.

use serde_json::{Map, Value, json};
use sigmill_engine::{Plan, Test};

use crate::input::Events;

/// How values are made distinct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Prefix,
    Suffix,
}

/// The events with a number at one end of every text, another in each event.
pub(crate) fn distinct(events: &Events, place: Place) -> Events {
    let mut out = Events::default();
    for (at, record) in events.iter().enumerate() {
        let Ok(mut event) = serde_json::from_slice::<Value>(record) else { continue };
        let mark = format!("{at:x}");
        let mut number = |value: &mut Value| {
            if let Value::String(text) = value {
                match place {
                    Place::Prefix => text.insert_str(0, &mark),
                    Place::Suffix => text.push_str(&mark),
                }
            }
        };
        visit(&mut event, &mut number);
        out.push(event.to_string().as_bytes());
    }
    out
}

/// What says which kind of event it is stays: else no rule could be reached.
const KEPT_FIELDS: &[&str] = &["EventID", "Channel", "Provider_Name", "ProviderName", "SourceName"];

fn visit(value: &mut Value, each: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(members) => {
            let members = members.iter_mut();
            members
                .filter(|(key, _)| !KEPT_FIELDS.contains(&key.as_str()))
                .for_each(|(_, value)| visit(value, each));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|value| visit(value, each)),
        value => each(value),
    }
}

/// Records of about 300 bytes, half of them connections and half name look-ups, whose addresses and
/// names come from what the events hold.
pub(crate) fn network_records(events: &Events, count: usize) -> Events {
    let mut out = Events::default();
    let sources = events.iter().cycle().take(count);
    for (at, record) in sources.enumerate() {
        let mix = record.iter().step_by(37).fold(at as u64 + 1, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let host = |shift: u32| {
            format!(
                "10.{}.{}.{}",
                mix >> shift & 3,
                mix >> (shift + 8) & 7,
                mix >> (shift + 3) & 255
            )
        };
        let uid = format!("C{:017x}", mix.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let time = 1_600_000_000.0 + at as f64 * 0.0137;
        let ports = [53, 80, 443, 445, 3389, 8080, 5985, 88];
        let event = if at % 2 == 0 {
            json!({
                "ts": time, "uid": uid, "id.orig_h": host(0), "id.orig_p": 1024 + mix % 60_000,
                "id.resp_h": host(16), "id.resp_p": ports[(mix >> 7) as usize % ports.len()],
                "proto": "tcp", "service": "ssl", "duration": 0.25 + (mix % 977) as f64 / 64.0,
                "orig_bytes": mix % 4096, "resp_bytes": mix >> 9 & 0xffff, "conn_state": "SF",
                "local_orig": true, "missed_bytes": 0, "history": "ShADadFf", "orig_pkts": mix % 31,
            })
        } else {
            json!({
                "ts": time, "uid": uid, "id.orig_h": host(0), "id.orig_p": 1024 + mix % 60_000,
                "id.resp_h": "10.0.0.53", "id.resp_p": 53, "proto": "udp", "trans_id": mix & 0xffff,
                "query": format!("host{}.zone{}.example.com", mix % 211, mix >> 11 & 7),
                "qclass_name": "C_INTERNET", "qtype_name": "A", "rcode_name": "NOERROR",
                "AA": false, "RD": true, "answers": [host(24)], "TTLs": [300.0],
            })
        };
        out.push(event.to_string().as_bytes());
    }
    out
}

/// Records that mean harm, by name. `bytes` is about how much of each there is.
pub(crate) fn hostile(plan: &Plan, bytes: usize) -> Vec<(&'static str, Events)> {
    let patterns = command_line_patterns(plan);
    let near: Vec<String> = patterns.iter().map(|pattern| near_miss(pattern)).collect();
    let mut all = vec![
        ("near misses, one of thousands of patterns after the other", values(&near, 4_000, bytes)),
        ("true hits, dense", values(&patterns, 4_000, bytes)),
    ];
    let words: Vec<String> = (0..4096).map(|n| format!("w{:x} ", n * 2_654_435_761_u64)).collect();
    all.push(("all values new: none is remembered", values(&words, 400, bytes)));
    let mut long = Events::default();
    long.push(&event(&fill(&near, 10_000_000, 0)));
    all.push(("one value of 10 MB", long));
    let mut many = Map::new();
    (0..10_000).for_each(|n| drop(many.insert(format!("unknown key {n}"), json!(n))));
    all.push(("10,000 keys", repeated(Value::Object(many).to_string().as_bytes(), bytes)));
    let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
    all.push(("nested 500 deep", repeated(deep.as_bytes(), bytes)));
    let escapes = |escape: &str| {
        let value = escape.repeat(4_000 / escape.len());
        let text = format!("{{\"EventID\":1,\"CommandLine\":\"{value}\",\"Image\":\"{value}\"}}");
        repeated(text.as_bytes(), bytes)
    };
    all.push(("texts of \\u0061 alone", escapes("\\u0061")));
    all.push(("texts of \\\\ alone", escapes("\\\\")));
    all
}

fn command_line_patterns(plan: &Plan) -> Vec<String> {
    let mut patterns = Vec::new();
    plan.dump_eager(|field, test| {
        if let (true, Test::Contains(text)) = (field == "CommandLine", test) {
            patterns.push(String::from_utf8_lossy(&text.bytes).into_owned());
        }
    });
    if patterns.is_empty() {
        patterns = ["mimikatz", "sekurlsa::", "powershell -enc"].map(str::to_owned).to_vec();
    }
    patterns
}

/// The pattern but for its last letter.
fn near_miss(pattern: &str) -> String {
    let mut chars: Vec<char> = pattern.chars().collect();
    if let Some(last) = chars.last_mut() {
        *last = if *last == 'q' { 'z' } else { 'q' };
    }
    chars.into_iter().collect()
}

/// A text of at least `len` bytes, of pieces from one on.
fn fill(pieces: &[String], len: usize, from: usize) -> String {
    let mut text = String::with_capacity(len + 100);
    let mut at = from;
    while text.len() < len {
        text.push_str(&pieces[at % pieces.len()]);
        at += 1;
    }
    text
}

fn event(command_line: &str) -> Vec<u8> {
    let event = json!({
        "EventID": 1,
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "Image": "C:\\Windows\\System32\\cmd.exe",
        "CommandLine": command_line,
    });
    event.to_string().into_bytes()
}

/// Events whose command lines are made of pieces, each another one.
fn values(pieces: &[String], len: usize, bytes: usize) -> Events {
    let mut out = Events::default();
    let mut from = 0;
    while out.byte_count() < bytes {
        let mut text = fill(pieces, len, from);
        text.push_str(&format!(" {from}"));
        out.push(&event(&text));
        from += 17;
    }
    out
}

fn repeated(record: &[u8], bytes: usize) -> Events {
    (0..(bytes / record.len()).max(1)).map(|_| record).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn one(text: &str) -> Events {
        std::iter::once(text.as_bytes()).collect()
    }

    #[test]
    fn distinct_texts_keep_what_routes_an_event() {
        let events: Events = [r#"{"EventID":"1","Image":"a","n":[1,"b"]}"#; 2]
            .map(str::as_bytes)
            .into_iter()
            .collect();
        let made = distinct(&events, Place::Suffix);
        let lines: Vec<&[u8]> = made.iter().collect();
        assert_eq!(lines[1], br#"{"EventID":"1","Image":"a1","n":[1,"b1"]}"#);
        let made = distinct(&events, Place::Prefix);
        assert_eq!(made.iter().next().unwrap(), br#"{"EventID":"1","Image":"0a","n":[1,"0b"]}"#);
    }

    #[test]
    fn network_records_are_small_objects() {
        let made = network_records(&one(r#"{"a":"some event"}"#), 1000);
        let size = made.byte_count() / made.len();
        assert!((250..350).contains(&size), "{size}");
        let hosts: HashSet<String> = made
            .iter()
            .map(|record| serde_json::from_slice::<Value>(record).unwrap())
            .map(|event| event["id.orig_h"].to_string())
            .collect();
        assert!(hosts.len() > 10);
    }

    #[test]
    fn hostile_records_are_json() {
        for (name, events) in hostile(&Plan::default(), 10_000) {
            assert!(events.len() > 0, "{name}");
            let mut matcher = sigmill_engine::Matcher::new(
                std::sync::Arc::default(),
                sigmill_engine::MatcherConfig::default(),
            );
            for record in events.iter() {
                assert!(matcher.matches(record).is_ok(), "{name}");
            }
        }
    }
}
