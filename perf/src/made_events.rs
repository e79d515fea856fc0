//! `sigmill-perf make-events`: an event set of any size out of a small one that the project carries.
//!
//! The events are repeated, and in each round a share of their values is varied as it varies in real
//! logs: process ids and other numbers, times, hexadecimal identifiers. Names of programs, users and
//! hosts repeat. So values repeat about as they do in a real stream, and whoever has the repository can
//! make the same set.

use std::io::Write;

use serde_json::Value;

use crate::input::Events;

/// Writes about `bytes` of events as NDJSON.
///
/// # Errors
/// Writing fails, or there is no event to vary.
pub(crate) fn write(events: &Events, bytes: usize, out: &mut impl Write) -> anyhow::Result<usize> {
    let originals: Vec<Value> =
        events.iter().filter_map(|record| serde_json::from_slice(record).ok()).collect();
    anyhow::ensure!(!originals.is_empty(), "there are no events to vary");
    let (mut written, mut count) = (0, 0);
    for round in 0.. {
        for (at, original) in originals.iter().enumerate() {
            let mut event = original.clone();
            let mut state = (round as u64) << 32 | at as u64;
            if round > 0 {
                vary(&mut event, &mut state);
            }
            let line = event.to_string();
            writeln!(out, "{line}")?;
            written += line.len() + 1;
            count += 1;
            if written >= bytes {
                return Ok(count);
            }
        }
    }
    Ok(count)
}

/// Fields whose values say what kind of event it is.
const KEPT: &[&str] = &["EventID", "Channel", "Version", "Level", "Task", "Opcode", "Keywords"];

fn vary(value: &mut Value, state: &mut u64) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if !KEPT.contains(&key.as_str()) {
                    vary(value, state);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|value| vary(value, state)),
        Value::Number(number) => {
            if let Some(n) = number.as_u64().filter(|n| *n > 99) {
                *number = (n ^ (step(state) % 64)).into();
            }
        }
        Value::String(text) if is_identifier(text) => *text = varied(text, state),
        _ => {}
    }
}

/// Digits, signs and hexadecimal letters alone: an id, a time, an address; no name.
fn is_identifier(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_hexdigit() || b" -:.{}xXTZ".contains(&b);
    text.len() > 3 && text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().all(is_part)
}

/// The text with a few of its last digits changed.
fn varied(text: &str, state: &mut u64) -> String {
    let mut left = 3;
    let mut bytes = text.as_bytes().to_vec();
    for byte in bytes.iter_mut().rev().filter(|byte| byte.is_ascii_digit()) {
        *byte = b'0' + (step(state) % 10) as u8;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    // Only digits were replaced by digits.
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// A generator with 64 bits of state (splitmix64).
fn step(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_events_vary_in_identifiers_and_keep_names() {
        let text = r#"{"EventID":4688,"ProcessId":"0x3e7","Pid":48120,"Image":"C:\\a1.exe"}"#;
        let events: Events = std::iter::once(text.as_bytes()).collect();
        let make = || {
            let mut out = Vec::new();
            let count = write(&events, 5_000, &mut out).unwrap();
            assert_eq!(count, out.iter().filter(|byte| **byte == b'\n').count());
            out
        };
        let made = make();
        assert_eq!(made, make());
        let text = String::from_utf8(made).unwrap();
        let ids: std::collections::HashSet<&str> =
            text.lines().map(|line| &line[line.find("ProcessId").unwrap()..][..20]).collect();
        assert!(ids.len() > 10);
        assert!(text.lines().all(|line| line.contains("4688") && line.contains("a1.exe")));
    }
}
