//! The state of windows as bytes that outlive the process.
//!
//! ```text
//! "SW" 1, n × window:
//!   watermark, n × group, n × (group, event, bytes)
//! group: 0, the bytes of a packed group    (see `packed`)
//!        1, an open one: key, state, strings, entries
//! ```
//! Reading takes bytes as if somebody had made them up: every number is checked before it becomes a place, a
//! length or a time to compute with, and lists grow with what was read, not with what was announced.

use super::detection::Position;
use super::entries::Entry;
use super::group::Group;
use super::key::GroupKey;
use super::plan::{Measure, Window};
use super::runs::Runs;
use super::varint::{Checked, put, put_bytes, put_long, zigzag};

/// What saved windows begin with.
pub(super) const MAGIC: &[u8] = b"SW\x01";

/// Times are computed with; no event is farther from 1970 than this.
const TIME_MAX: u64 = 1 << 61;
/// A number of an event is less than 10¹⁸, in billionths.
const NUMBER_BITS: u32 = 91;

/// Why saved windows cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsound;

impl std::fmt::Display for Unsound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not the saved state of these windows")
    }
}

impl std::error::Error for Unsound {}

/// A time that can be computed with.
pub(super) fn sound_time(time: i64) -> Option<i64> {
    (time.unsigned_abs() <= TIME_MAX).then_some(time)
}

/// Whether a window can have an entry with this payload, where it has so many strings.
pub(super) fn is_sound_payload(window: &Window, payload: i128, strings: u64) -> bool {
    match window.measure {
        Measure::Events => true,
        Measure::DistinctValues => (1..=i128::from(strings)).contains(&payload),
        Measure::Inputs | Measure::InputsInOrder => {
            (0..i128::from(window.inputs)).contains(&payload)
        }
        _ => payload.unsigned_abs() >> NUMBER_BITS == 0,
    }
}

/// The strings that entries refer to, in the order in which they are first referred to.
#[derive(Default)]
struct Strings {
    numbers: std::collections::HashMap<u32, u32>,
    order: Vec<u32>,
}

impl Strings {
    fn number(&mut self, number: u32) -> u32 {
        if number == 0 {
            return 0;
        }
        *self.numbers.entry(number).or_insert_with(|| {
            self.order.push(number);
            self.order.len() as u32
        })
    }
}

pub(super) fn put_group(group: &Group, out: &mut Vec<u8>) {
    put_bytes(out, group.key.as_bytes());
    put(out, zigzag(group.queued_at));
    put(out, zigzag(group.settled));
    put(out, u64::from(group.is_truncated));
    for time in [group.negative_last, group.last.map(|(time, _)| time)] {
        put(out, u64::from(time.is_some()));
        put(out, zigzag(time.unwrap_or_default()));
    }
    put(out, u64::from(group.last.is_some_and(|(_, was_holding)| was_holding)));
    group.runs.pack(0, out);
    let has_strings = group.values.get(1).is_some();
    let (mut values, mut carried) = (Strings::default(), Strings::default());
    let mut entries: Vec<Entry> = Vec::with_capacity(group.entries.len());
    for mut entry in group.entries.iter() {
        if has_strings {
            entry.payload = i128::from(values.number(entry.payload as u32));
        }
        entry.carried = carried.number(entry.carried);
        entries.push(entry);
    }
    for (strings, of_group) in [(&values, &group.values), (&carried, &group.carried)] {
        put(out, strings.order.len() as u64);
        for number in &strings.order {
            put_bytes(out, of_group.get(*number).map_or(&[], |string| string));
        }
    }
    put(out, entries.len() as u64);
    let (mut time, mut offset) = (0i64, 0u64);
    for entry in entries {
        put(out, zigzag(entry.time.wrapping_sub(time)));
        put(out, u64::from(entry.position.source));
        put(out, zigzag(entry.position.offset.wrapping_sub(offset) as i64));
        put_long(out, entry.payload);
        put(out, u64::from(entry.carried));
        (time, offset) = (entry.time, entry.position.offset);
    }
}

pub(super) fn take_group(from: &mut Checked<'_>, window: &Window) -> Option<Group> {
    let flag = |from: &mut Checked<'_>| from.number().filter(|flag| *flag <= 1).map(|f| f == 1);
    let key = GroupKey::from_bytes(from.bytes()?)?;
    let queued_at = from.signed()?;
    let mut group = Group::new(key, window, 0);
    group.queued_at = queued_at;
    group.settled = from.signed()?;
    group.is_truncated = flag(from)?;
    let time = |from: &mut Checked<'_>| {
        let (is_there, time) = (flag(from)?, sound_time(from.signed()?)?);
        Some(is_there.then_some(time))
    };
    group.negative_last = time(from)?;
    let last = time(from)?;
    let was_holding = flag(from)?;
    group.last = last.map(|time| (time, was_holding));
    group.runs = Runs::unpack_checked(0, from)?;
    let (mut values, mut carried) = (Vec::new(), Vec::new());
    for _ in 0..from.number()? {
        values.push(from.bytes()?);
    }
    for _ in 0..from.number()? {
        carried.push(from.bytes().filter(|bytes| GroupKey::from_bytes(bytes).is_some())?);
    }
    let (mut last, mut offset) = (i64::MIN, 0u64);
    let mut time = 0i64;
    for _ in 0..from.number()? {
        time = sound_time(time.wrapping_add(from.signed()?)).filter(|time| *time >= last)?;
        last = time;
        let source = u32::try_from(from.number()?).ok()?;
        offset = offset.wrapping_add(from.signed()? as u64);
        let payload = from.long()?;
        if !is_sound_payload(window, payload, values.len() as u64) {
            return None;
        }
        let payload = match window.measure {
            Measure::DistinctValues => {
                i128::from(group.values.take(values.get(payload as usize - 1)?))
            }
            _ => payload,
        };
        let carried = match usize::try_from(from.number()?).ok()? {
            0 => 0,
            number => group.carried.take(carried.get(number - 1)?),
        };
        group.entries.insert(&Entry {
            time,
            position: Position { source, offset },
            payload,
            carried,
        });
    }
    Some(group)
}

#[cfg(test)]
mod tests;
