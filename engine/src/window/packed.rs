//! A group in few bytes, while nothing is done with it.
//!
//! A block holds a head of fixed size, the key, the state and the entries, each but the last as the
//! difference to the next:
//!
//! ```text
//! head: queued_at, the last entry, how far back the first one lies, lengths      44 bytes
//! key                                                                            as long as it is
//! state: what is settled, runs, marks, strings; empty if there is none           0 and more
//! entries: differences in time and position, what else an entry has              about 5 bytes each
//! ```
//!
//! A group without a state is *plain*: nothing was decided for it that still matters. Where no decision
//! is needed either, because its entries are too few for the condition to hold at any instant, a match
//! is added in place ([`append`]). For all else a group is unpacked, and packed again later.
//!
//! # Soundness
//!
//! Unpacking gives the group that was packed, but for the sweep, which finds its span again, and for
//! what a plain group's window does not look at. Entries that an unpacked group would have forgotten may
//! stand in a plain one until it is unpacked: with them it is still too small for its condition. The
//! tests below and `codegen/tests/windows.rs`, which runs with all groups packed too, hold this.

use super::detection::Position;
use super::entries::{Entry, Parts};
use super::group::{Frame, Group, parts};
use super::key::GroupKey;
use super::plan::{Measure, Window};
use super::runs::Runs;
use super::saved::{is_sound_payload, sound_time};
use super::slab::BLOCK_BYTES_MAX;
use super::varint::{
    Checked, put, put_bytes, put_long, take, take_bytes, take_long, unzigzag, zigzag,
};

/// A longer key is not packed.
const KEY_BYTES_MAX: usize = 1024;

/// More entries are not packed: they have blocks of their own, which are as small.
pub(super) const ENTRIES_MAX: usize = 128;

const HEAD_BYTES: usize = 44;

/// What a packed group says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// As [`Group::queued_at`].
    pub(super) queued_at: i64,
    pub(super) last_time: i64,
    last_position: Position,
    /// How long before the last entry the first one was.
    span: u32,
    used: u16,
    key_len: u16,
    state_len: u16,
    pub(super) entries: u16,
    /// The number of the group.
    pub(super) slot: u32,
}

impl Head {
    pub(super) fn of(block: &[u8]) -> Self {
        let block: &[u8; HEAD_BYTES] = block.first_chunk().expect("a block begins with a head");
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| block[at + i]));
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| block[at + i]));
        let short = |at: usize| u16::from_le_bytes(std::array::from_fn(|i| block[at + i]));
        Self {
            queued_at: long(0) as i64,
            last_time: long(8) as i64,
            last_position: Position { offset: long(16), source: word(24) },
            span: word(28),
            used: short(32),
            key_len: short(34),
            state_len: short(36),
            entries: short(38),
            slot: word(40),
        }
    }

    pub(super) fn write(&self, block: &mut [u8]) {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&self.queued_at.to_le_bytes());
        head[8..16].copy_from_slice(&self.last_time.to_le_bytes());
        head[16..24].copy_from_slice(&self.last_position.offset.to_le_bytes());
        head[24..28].copy_from_slice(&self.last_position.source.to_le_bytes());
        head[28..32].copy_from_slice(&self.span.to_le_bytes());
        head[32..34].copy_from_slice(&self.used.to_le_bytes());
        head[34..36].copy_from_slice(&self.key_len.to_le_bytes());
        head[36..38].copy_from_slice(&self.state_len.to_le_bytes());
        head[38..40].copy_from_slice(&self.entries.to_le_bytes());
        head[40..].copy_from_slice(&self.slot.to_le_bytes());
        block[..HEAD_BYTES].copy_from_slice(&head);
    }

    /// Nothing was decided for the group that still matters.
    pub(super) fn is_plain(&self) -> bool {
        self.state_len == 0
    }

    /// The time of the first entry.
    pub(super) fn first_time(&self) -> Option<i64> {
        (self.entries > 0).then(|| self.last_time - i64::from(self.span))
    }

    /// The bytes that are in use.
    pub(super) fn used(&self) -> usize {
        usize::from(self.used)
    }
}

/// The key of a packed group.
pub(super) fn key(block: &[u8]) -> &[u8] {
    let len = u16::from_le_bytes([block[34], block[35]]);
    &block[HEAD_BYTES..][..usize::from(len)]
}

/// The bytes of a group that has a key and nothing else; false if the key is too long.
pub(super) fn begin(slot: u32, key: &[u8], bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    if key.len() > KEY_BYTES_MAX {
        return false;
    }
    bytes.resize(HEAD_BYTES, 0);
    bytes.extend_from_slice(key);
    let head = Head {
        queued_at: i64::MAX,
        last_time: 0,
        last_position: Position { source: 0, offset: 0 },
        span: 0,
        used: bytes.len() as u16,
        key_len: key.len() as u16,
        state_len: 0,
        entries: 0,
        slot,
    };
    head.write(bytes);
    true
}

/// Adds an entry that is not before the last one: changes the head, and writes what stands behind what
/// is in use into `bytes`. False if the group would have to be unpacked.
pub(super) fn append(head: &mut Head, parts: Parts, entry: &Entry, bytes: &mut Vec<u8>) -> bool {
    let before = bytes.len();
    if head.entries > 0 {
        let later =
            entry.time.checked_sub(head.last_time).and_then(|later| u32::try_from(later).ok());
        let Some(span) = later.and_then(|later| head.span.checked_add(later)) else { return false };
        put_step(bytes, (head.last_time, head.last_position), entry);
        head.span = span;
    }
    put_parts(bytes, parts, entry);
    let used = head.used() + bytes.len() - before;
    if used > BLOCK_BYTES_MAX || usize::from(head.entries) >= ENTRIES_MAX {
        return false;
    }
    head.used = used as u16;
    head.entries += 1;
    (head.last_time, head.last_position) = (entry.time, entry.position);
    true
}

/// The way from one entry to the next: the time, with a bit for another source, and the position.
fn put_step(bytes: &mut Vec<u8>, (time, position): (i64, Position), next: &Entry) {
    let is_elsewhere = position.source != next.position.source;
    put(bytes, (next.time.wrapping_sub(time) as u64) << 1 | u64::from(is_elsewhere));
    if is_elsewhere {
        put(bytes, u64::from(position.source ^ next.position.source));
    }
    put(bytes, zigzag(next.position.offset.wrapping_sub(position.offset) as i64));
}

fn put_parts(bytes: &mut Vec<u8>, parts: Parts, entry: &Entry) {
    if parts.payload {
        put_long(bytes, entry.payload);
    }
    if parts.carried {
        put(bytes, u64::from(entry.carried));
    }
}

/// Writes a group; false if it is better left as it is.
pub(super) fn pack(slot: u32, group: &Group, frame: &Frame<'_>, bytes: &mut Vec<u8>) -> bool {
    let count = group.entries.len();
    if !(1..=ENTRIES_MAX).contains(&count) || !begin(slot, group.key.as_bytes(), bytes) {
        return false;
    }
    let mut strings = Renumbered::default();
    let mut carried = Renumbered::default();
    let entries = group.entries.iter().map(|mut entry| {
        if frame.window.measure == Measure::DistinctValues {
            entry.payload = i128::from(strings.number(entry.payload as u32));
        }
        entry.carried = carried.number(entry.carried);
        entry
    });
    let entries: Vec<Entry> = entries.collect();
    let mut head = Head::of(bytes);
    if !is_plain(group, frame) {
        put_state(group, (&strings, &carried), bytes);
        let state_len = bytes.len() - head.used();
        if bytes.len() > BLOCK_BYTES_MAX {
            return false;
        }
        head.state_len = state_len as u16;
        head.used = bytes.len() as u16;
    }
    let parts = group.entries.parts();
    if !entries.iter().all(|entry| append(&mut head, parts, entry, bytes)) {
        return false;
    }
    head.queued_at = group.queued_at;
    head.write(bytes);
    true
}

fn is_plain(group: &Group, frame: &Frame<'_>) -> bool {
    let has_state = group.last.is_some() || group.negative_last.is_some() || group.is_truncated;
    frame.quiet_max > 0 && group.runs.is_empty() && !has_state
}

fn put_state(group: &Group, (values, carried): (&Renumbered, &Renumbered), bytes: &mut Vec<u8>) {
    let flags = u64::from(group.is_truncated)
        | u64::from(group.negative_last.is_some()) << 1
        | u64::from(group.last.is_some()) << 2
        | u64::from(group.last.is_some_and(|(_, was_holding)| was_holding)) << 3;
    let base = group.entries.last_time().unwrap_or(0);
    let put_time = |bytes: &mut Vec<u8>, time: i64| put(bytes, zigzag(time.wrapping_sub(base)));
    put(bytes, flags);
    put_time(bytes, group.settled);
    if let Some(time) = group.negative_last {
        put_time(bytes, time);
    }
    if let Some((time, _)) = group.last {
        put_time(bytes, time);
    }
    group.runs.pack(base, bytes);
    for (numbers, strings) in [(values, &group.values), (carried, &group.carried)] {
        put(bytes, numbers.old.len() as u64);
        for number in &numbers.old {
            put_bytes(bytes, strings.get(*number).map_or(&[], |string| string));
        }
    }
}

/// New numbers for strings, in the order in which entries have them.
#[derive(Default)]
struct Renumbered {
    old: Vec<u32>,
}

impl Renumbered {
    fn number(&mut self, number: u32) -> u32 {
        if number == 0 {
            return 0;
        }
        let known = self.old.iter().position(|old| *old == number);
        let at = known.unwrap_or_else(|| {
            self.old.push(number);
            self.old.len() - 1
        });
        at as u32 + 1
    }
}

/// The group that a block holds.
pub(super) fn unpack(block: &[u8], window: &Window) -> Group {
    let head = Head::of(block);
    let key = key(block);
    let mut group = Group::new(GroupKey::of(&key.into()), window, i64::MIN);
    group.queued_at = head.queued_at;
    let mut rest = &block[HEAD_BYTES + key.len()..head.used()];
    let (mut values, mut carried) = (Vec::new(), Vec::new());
    if !head.is_plain() {
        let base = head.last_time;
        let take_time = |bytes: &mut &[u8]| base.wrapping_add(unzigzag(take(bytes)));
        let flags = take(&mut rest);
        group.is_truncated = flags & 1 != 0;
        group.settled = take_time(&mut rest);
        group.negative_last = (flags & 2 != 0).then(|| take_time(&mut rest));
        group.last = (flags & 4 != 0).then(|| (take_time(&mut rest), flags & 8 != 0));
        group.runs = Runs::unpack(base, &mut rest);
        for strings in [&mut values, &mut carried] {
            let count = take(&mut rest);
            strings.extend((0..count).map(|_| take_bytes(&mut rest)));
        }
    }
    for mut entry in entries(&head, parts(window), rest) {
        if window.measure == Measure::DistinctValues {
            let string = values.get((entry.payload as usize).wrapping_sub(1));
            entry.payload = i128::from(group.values.take(string.copied().unwrap_or_default()));
        }
        if let Some(string) = carried.get((entry.carried as usize).wrapping_sub(1)) {
            entry.carried = group.carried.take(string);
        }
        group.entries.insert(&entry);
    }
    group
}

/// Whether bytes that may be anything are a group that can be unpacked.
pub(super) fn is_sound(block: &[u8], frame: &Frame<'_>) -> bool {
    check(block, frame).is_some()
}

fn check(block: &[u8], frame: &Frame<'_>) -> Option<()> {
    if !(HEAD_BYTES..=BLOCK_BYTES_MAX).contains(&block.len()) {
        return None;
    }
    let head = Head::of(block);
    let (_, rest) = block.split_at(HEAD_BYTES);
    let (key, rest) = rest.split_at_checked(usize::from(head.key_len))?;
    let (state, rest) = rest.split_at_checked(usize::from(head.state_len))?;
    let is_whole = head.used() == block.len()
        && key.len() <= KEY_BYTES_MAX
        && usize::from(head.entries) <= ENTRIES_MAX
        && (frame.quiet_max > 0 || !head.is_plain());
    if !is_whole {
        return None;
    }
    GroupKey::from_bytes(key)?;
    sound_time(head.last_time)?;
    let (mut values, mut carried) = (0, 0);
    if !head.is_plain() {
        let from = &mut Checked(state);
        let base = head.last_time;
        let flags = from.number()?;
        from.signed()?;
        for flag in [2, 4] {
            if flags & flag != 0 {
                sound_time(base.wrapping_add(from.signed()?))?;
            }
        }
        Runs::unpack_checked(base, from)?;
        values = from.number()?;
        for _ in 0..values {
            from.bytes()?;
        }
        carried = from.number()?;
        for _ in 0..carried {
            GroupKey::from_bytes(from.bytes()?)?;
        }
        from.is_at_end().then_some(())?;
    }
    let from = &mut Checked(rest);
    let parts = parts(frame.window);
    let mut span = 0u64;
    for at in 0..head.entries {
        if at > 0 {
            let time = from.number()?;
            span = span.checked_add(time >> 1)?;
            if time & 1 != 0 {
                u32::try_from(from.number()?).ok()?;
            }
            from.number()?;
        }
        if parts.payload && !is_sound_payload(frame.window, from.long()?, values) {
            return None;
        }
        if parts.carried && from.number()? > carried {
            return None;
        }
    }
    (from.is_at_end() && span == u64::from(head.span)).then_some(())
}

/// The bytes of a group that was sound, as group `slot`.
pub(super) fn renumber(block: &[u8], slot: u32, bytes: &mut Vec<u8>) -> i64 {
    bytes.clear();
    bytes.extend_from_slice(block);
    let head = Head { slot, ..Head::of(block) };
    head.write(bytes);
    head.queued_at
}

fn entries(head: &Head, parts: Parts, mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(usize::from(head.entries));
    let position = Position { source: 0, offset: 0 };
    let mut entry = Entry { time: 0, position, payload: 0, carried: 0 };
    for at in 0..head.entries {
        if at > 0 {
            let time = take(&mut bytes);
            entry.time += (time >> 1) as i64;
            if time & 1 != 0 {
                entry.position.source ^= take(&mut bytes) as u32;
            }
            let offset = unzigzag(take(&mut bytes)) as u64;
            entry.position.offset = entry.position.offset.wrapping_add(offset);
        }
        if parts.payload {
            entry.payload = take_long(&mut bytes);
        }
        if parts.carried {
            entry.carried = take(&mut bytes) as u32;
        }
        entries.push(entry);
    }
    debug_assert!(bytes.is_empty());
    // All of this was counted from the first entry; what is known is the last one.
    let later = head.last_time.wrapping_sub(entry.time);
    let source = head.last_position.source ^ entry.position.source;
    let offset = head.last_position.offset.wrapping_sub(entry.position.offset);
    for entry in &mut entries {
        entry.time = entry.time.wrapping_add(later);
        entry.position.source ^= source;
        entry.position.offset = entry.position.offset.wrapping_add(offset);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::super::feed::{WindowMatch, WindowValue};
    use super::super::fixed::Fixed;
    use super::super::group::Way;
    use super::super::plan::{Bound, Edge, FieldSource, Source, WindowCondition, WindowId};
    use super::super::shard::WindowConfig;
    use super::*;
    use crate::RuleId;
    use proptest::prelude::*;

    fn window(measure: Measure, is_carrying: bool) -> Window {
        let edge = Edge {
            from: Source::Rule(RuleId(0)),
            input: 0,
            group: Vec::new(),
            values: Vec::new(),
            carried: if is_carrying { vec![FieldSource::Group(0)] } else { Vec::new() },
        };
        Window {
            source: 0,
            condition_index: 0,
            measure,
            condition: WindowCondition::Bounds(vec![(Bound::GreaterOrEqual, Fixed::from_count(2))]),
            timespan_ms: 100,
            group_by: Vec::new(),
            inputs: 3,
            is_emitting: true,
            edges: vec![edge],
        }
    }

    fn arrived(time: i64, number: u8, is_carrying: bool) -> WindowMatch {
        let text = |number: u8| GroupKey::new([Some(&[number][..])]);
        WindowMatch {
            window: WindowId(0),
            group: text(0),
            time,
            position: Position {
                source: u32::from(number % 2) * 7,
                offset: u64::from(number) << 40,
            },
            watermark: i64::MIN,
            inputs: vec![u16::from(number % 3)],
            values: vec![WindowValue::Text(text(number % 5))],
            carried: is_carrying.then(|| text(number % 4)),
            content: None,
            may_repeat: false,
            is_chained: false,
        }
    }

    /// All that a group holds, with strings for their numbers.
    fn shown(group: &Group, window: &Window) -> String {
        let string = |entry: &Entry| match window.measure {
            Measure::DistinctValues => group.values.get(entry.payload as u32),
            _ => None,
        };
        let entry = |entry: Entry| {
            let strings = (string(&entry), group.carried.get(entry.carried));
            let payload = if strings.0.is_some() { 0 } else { entry.payload };
            format!("{:?} {strings:?}", Entry { payload, carried: 0, ..entry })
        };
        let entries: Vec<String> = group.entries.iter().map(entry).collect();
        let state = (&group.runs, group.settled, group.last, group.negative_last);
        format!(
            "{:?}\n{entries:?}\n{state:?}\n{:?}",
            group.key,
            (group.queued_at, group.is_truncated)
        )
    }

    proptest! {
        #[test]
        fn a_group_comes_back(
            events in prop::collection::vec((-300i64..300, any::<u8>()), 1..100),
            measure in prop::sample::select(vec![
                Measure::Events, Measure::DistinctValues, Measure::InputsInOrder,
            ]),
            way in prop::sample::select(vec![Way::Early, Way::Final]),
            is_carrying in any::<bool>(),
            queued_at in any::<i64>(),
        ) {
            let window = window(measure, is_carrying);
            let config = WindowConfig::default();
            let frame =
                Frame { id: WindowId(0), window: &window, way, hold: 50, config: &config, quiet_max: 0 };
            let mut group = Group::new(GroupKey::new([Some(&b"key"[..])]), &window, i64::MIN);
            let mut out = Vec::new();
            for (at, (time, number)) in events.iter().enumerate() {
                group.insert(&frame, &arrived(*time, *number, is_carrying), &mut out);
                if at == events.len() / 2 {
                    group.settle(&frame, 0, &mut out);
                }
            }
            group.queued_at = queued_at;
            let mut bytes = Vec::new();
            prop_assume!(group.len() > 0);
            prop_assert!(pack(3, &group, &frame, &mut bytes));
            prop_assert_eq!(key(&bytes), group.key.as_bytes());
            let mut back = unpack(&bytes, &window);
            prop_assert_eq!(shown(&back, &window), shown(&group, &window));
            // It goes on in the same way.
            let (mut wanted, mut got) = (Vec::new(), Vec::new());
            for (group, out) in [(&mut group, &mut wanted), (&mut back, &mut got)] {
                group.insert(&frame, &arrived(310, 1, is_carrying), out);
                group.insert(&frame, &arrived(305, 2, is_carrying), out);
                group.settle(&frame, 1_000, out);
            }
            prop_assert_eq!(got, wanted);
        }

        #[test]
        fn adding_is_as_packing_the_longer_group(
            steps in prop::collection::vec((0i64..50, any::<u8>()), 1..100),
        ) {
            let window = window(Measure::InputsInOrder, false);
            let config = WindowConfig::default();
            let frame = Frame {
                id: WindowId(0), window: &window, way: Way::Early, hold: 50, config: &config, quiet_max: 128,
            };
            let mut group = Group::new(GroupKey::new([Some(&b"key"[..])]), &window, i64::MIN);
            let mut bytes = Vec::new();
            prop_assert!(begin(3, group.key.as_bytes(), &mut bytes));
            let mut head = Head::of(&bytes);
            let mut time = 0;
            for (later, number) in steps {
                time += later;
                let position = Position { source: u32::from(number), offset: u64::from(number) };
                let entry = Entry { time, position, payload: i128::from(number % 3), carried: 0 };
                group.entries.insert(&entry);
                prop_assert!(append(&mut head, parts(&window), &entry, &mut bytes));
            }
            head.write(&mut bytes);
            let mut packed = Vec::new();
            prop_assert!(pack(3, &group, &frame, &mut packed));
            prop_assert_eq!(bytes, packed);
        }
    }

    #[test]
    fn what_is_too_large_stays_as_it_is() {
        let window = window(Measure::Events, false);
        let config = WindowConfig::default();
        let frame = Frame {
            id: WindowId(0),
            window: &window,
            way: Way::Early,
            hold: 50,
            config: &config,
            quiet_max: 1,
        };
        let mut bytes = Vec::new();
        for (key_len, entries, is_packed) in
            [(10, 1, true), (10, 0, false), (10, 128, true), (10, 129, false), (1_021, 1, false)]
        {
            let key = vec![b'k'; key_len];
            let mut group = Group::new(GroupKey::new([Some(&key[..])]), &window, i64::MIN);
            for time in 0..entries {
                let position = Position { source: 0, offset: time as u64 };
                group.entries.insert(&Entry { time, position, payload: 0, carried: 0 });
            }
            assert_eq!(pack(3, &group, &frame, &mut bytes), is_packed, "{key_len} {entries}");
        }
        // Times further apart than a head can say.
        let mut group = Group::new(GroupKey::new([Some(&b"key"[..])]), &window, i64::MIN);
        for time in [i64::MIN, i64::MAX] {
            let position = Position { source: 0, offset: 0 };
            group.entries.insert(&Entry { time, position, payload: 0, carried: 0 });
        }
        assert!(!pack(3, &group, &frame, &mut bytes));
    }
}
