//! Remembers, for a field and a value as it stands in the record, which eager atoms hold.
//!
//! Values repeat: a process name or a call trace comes thousands of times. The memo is asked with the
//! raw bytes, before anything is unescaped or folded. Fields whose values rarely repeat switch their
//! memo off by what they measure, and try again later.
//!
//! A table of slots, each a word, leads to entries in a ring of bytes: what is asked, the atoms and
//! the value, side by side. The ring overwrites its oldest entries. All memory is there and touched
//! from the start, so that the first records do not pay for it. A caller that knows several values asks
//! [`Memo::key`], [`Memo::fetch`] and [`Memo::get`] of all of them in turn: what one waits for, the
//! others do not.
//!
//! # Soundness
//! An entry answers only if field, kind and every byte of the value are the same: nobody can craft a
//! value that is mistaken for another. A slot leads to where an entry begins or, by its position, is
//! known to lead to one overwritten: bytes of values are never read as an entry. The hash is seeded
//! per process, so that nobody can aim at slots either; a collision only costs a miss. Which atoms hold
//! for a value depends on nothing else: tests that look at other fields are not eager.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

use crate::arch::prefetch;
use crate::atom::AtomId;
use crate::field_index::FieldId;
use crate::tape::Kind;

/// Slots of a memo.
const SLOTS: usize = 1 << 16;
/// Longer values are not remembered.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// Values for which more atoms hold are not remembered.
const ATOMS_MAX: usize = 4096;
/// Bytes of the ring.
const RING_BYTES: usize = 16 << 20;
/// Entries begin at multiples of so many bytes.
const UNIT: usize = 8;
const RING_UNITS: u32 = (RING_BYTES / UNIT) as u32;
/// Bytes of an entry before its atoms: the question and how many atoms follow.
const HEAD_BYTES: usize = 12;

/// Look-ups after which a field's hits are judged.
const JUDGED_AFTER: u32 = 1024;
/// A field whose hits are rarer than one in so many is switched off …
const HIT_RATE_MIN: u32 = 8;
/// … for so many values.
const SKIPPED: u32 = 64 * JUDGED_AFTER;

/// How well the memo serves a field.
#[derive(Debug, Clone, Copy, Default)]
struct Service {
    asked: u32,
    hits: u32,
    skip: u32,
}

/// Where an entry is: its position among all that were ever written, in units.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    position: u32,
}

/// Long overwritten.
const EMPTY: Slot = Slot { tag: 0, position: 0 };
/// The first position; everything before it is further back than the ring is long.
const FIRST: u32 = 2 * RING_UNITS;

/// The table, one per worker.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    slots: Box<[Slot]>,
    ring: Box<[u8]>,
    /// Where the next entry goes. The ring has what stands in the `RING_UNITS` before it.
    next: u32,
    services: Box<[Service]>,
    hasher: RandomState,
}

/// What is asked of a memo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    hash: u64,
    /// Field, kind and length of the value.
    question: u64,
}

impl Key {
    fn slot(&self) -> usize {
        self.hash as usize % SLOTS
    }

    fn tag(&self) -> u32 {
        (self.hash >> 32) as u32
    }

    fn field(&self) -> usize {
        (self.question >> 32) as usize
    }
}

impl Memo {
    pub(crate) fn new(fields: usize) -> Self {
        Self {
            slots: vec![EMPTY; SLOTS].into(),
            // Not zero: memory of zeros is given by the system only when it is first touched.
            ring: vec![0xff; RING_BYTES].into(),
            next: FIRST,
            services: vec![Service::default(); fields].into(),
            hasher: RandomState::default(),
        }
    }

    /// Forgets everything, and goes on with the fields of another plan.
    pub(crate) fn restart(&mut self, fields: usize) {
        self.slots.fill(EMPTY);
        self.next = FIRST;
        self.services = vec![Service::default(); fields].into();
    }

    /// The key of a value; `None` if it is too long to be remembered, or the field is switched off.
    #[inline]
    pub(crate) fn key(&mut self, field: FieldId, kind: Kind, raw: &[u8]) -> Option<Key> {
        if raw.len() > VALUE_BYTES_MAX {
            return None;
        }
        let service = &mut self.services[field.0 as usize];
        if service.skip > 0 {
            service.skip -= 1;
            return None;
        }
        let question = u64::from(field.0) << 32 | (kind as u64) << 24 | raw.len() as u64;
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(question);
        hasher.write(raw);
        let key = Key { hash: hasher.finish(), question };
        prefetch(&self.slots, key.slot());
        Some(key)
    }

    /// Sees to it that the entry is near when [`Memo::get`] wants it.
    #[inline]
    pub(crate) fn fetch(&self, key: &Key) {
        let slot = self.slots[key.slot()];
        if slot.tag == key.tag() {
            let start = index(slot.position);
            prefetch(&self.ring, start);
            prefetch(&self.ring, start + 64);
        }
    }

    /// The atoms that hold for a value, if it is remembered.
    #[inline]
    pub(crate) fn get(&mut self, key: &Key, raw: &[u8]) -> Option<impl Iterator<Item = AtomId>> {
        let atoms = self.entry(key, raw);
        let service = &mut self.services[key.field()];
        service.asked += 1;
        service.hits += u32::from(atoms.is_some());
        if service.asked == JUDGED_AFTER {
            let is_useful = service.hits >= JUDGED_AFTER / HIT_RATE_MIN;
            *service = Service { skip: if is_useful { 0 } else { SKIPPED }, ..Service::default() };
        }
        let (atoms, _) = self.ring[atoms?].as_chunks::<4>();
        Some(atoms.iter().map(|atom| AtomId(u32::from_le_bytes(*atom))))
    }

    /// Where the atoms of a value are in the ring, if it is remembered.
    #[inline]
    fn entry(&self, key: &Key, raw: &[u8]) -> Option<std::ops::Range<usize>> {
        let slot = self.slots[key.slot()];
        if slot.tag != key.tag() || self.next - slot.position > RING_UNITS {
            return None;
        }
        let start = index(slot.position);
        let (question, entry) = self.ring[start..].split_first_chunk()?;
        let (count, entry) = entry.split_first_chunk()?;
        let atoms = u32::from_le_bytes(*count) as usize * size_of::<AtomId>();
        let is_same = u64::from_le_bytes(*question) == key.question
            && entry.get(atoms..atoms + raw.len())? == raw;
        let start = start + HEAD_BYTES;
        is_same.then_some(start..start + atoms)
    }

    /// Remembers the atoms that hold for a value.
    pub(crate) fn insert(&mut self, key: &Key, raw: &[u8], atoms: &[AtomId]) {
        if atoms.len() > ATOMS_MAX {
            return;
        }
        let atoms_end = HEAD_BYTES + size_of_val(atoms);
        let len = atoms_end + raw.len();
        let units = len.div_ceil(UNIT) as u32;
        if self.next > u32::MAX - RING_UNITS {
            self.slots.fill(EMPTY);
            self.next = FIRST;
        }
        // An entry is in one piece: what is left before the end of the ring is skipped.
        if index(self.next) + len > RING_BYTES {
            self.next = self.next.next_multiple_of(RING_UNITS);
        }
        self.slots[key.slot()] = Slot { tag: key.tag(), position: self.next };
        let start = index(self.next);
        self.next += units;
        let entry = &mut self.ring[start..start + len];
        entry[..8].copy_from_slice(&key.question.to_le_bytes());
        entry[8..HEAD_BYTES].copy_from_slice(&(atoms.len() as u32).to_le_bytes());
        let (places, _) = entry[HEAD_BYTES..atoms_end].as_chunks_mut::<4>();
        for (place, atom) in places.iter_mut().zip(atoms) {
            *place = atom.0.to_le_bytes();
        }
        entry[atoms_end..].copy_from_slice(raw);
    }
}

/// Where a position is in the ring.
fn index(position: u32) -> usize {
    (position % RING_UNITS) as usize * UNIT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(memo: &mut Memo, key: &Key, raw: &[u8]) -> Option<Vec<AtomId>> {
        memo.get(key, raw).map(Iterator::collect)
    }

    #[test]
    fn a_value_is_found_only_under_its_own_field_and_kind() {
        let mut memo = Memo::new(8);
        let key =
            |memo: &mut Memo, field, kind, raw: &[u8]| memo.key(FieldId(field), kind, raw).unwrap();
        let stored = key(&mut memo, 1, Kind::Text, b"4624");
        memo.insert(&stored, b"4624", &[AtomId(7), AtomId(9)]);
        assert_eq!(get(&mut memo, &stored, b"4624"), Some(vec![AtomId(7), AtomId(9)]));
        for (field, kind, raw) in
            [(2, Kind::Text, &b"4624"[..]), (1, Kind::Number, b"4624"), (1, Kind::Text, b"4625")]
        {
            let other = key(&mut memo, field, kind, raw);
            assert_eq!(get(&mut memo, &other, raw), None);
            // A hash that is the same says nothing.
            let forged = Key { hash: stored.hash, ..other };
            assert_eq!(get(&mut memo, &forged, raw), None);
        }
        assert!(memo.key(FieldId(1), Kind::Text, &vec![b'x'; VALUE_BYTES_MAX + 1]).is_none());
        memo.restart(8);
        assert_eq!(get(&mut memo, &stored, b"4624"), None);
    }

    #[test]
    fn a_field_that_never_repeats_is_switched_off_and_tried_again() {
        let mut memo = Memo::new(8);
        let mut asked = 0;
        for i in 0..3 * SKIPPED {
            let raw = i.to_string();
            if let Some(key) = memo.key(FieldId(1), Kind::Text, raw.as_bytes()) {
                asked += 1;
                assert_eq!(get(&mut memo, &key, raw.as_bytes()), None);
            }
        }
        assert_eq!(asked, 3 * JUDGED_AFTER);
        assert!(memo.key(FieldId(2), Kind::Text, b"x").is_some());
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_never_mixes_entries() {
        let mut memo = Memo::new(8);
        let mut keys = Vec::new();
        let raw_of = |i: u32| format!("{i}").repeat(1 + i as usize % 2000).into_bytes();
        for i in 0..30_000u32 {
            let raw = raw_of(i);
            let Some(key) = memo.key(FieldId(1), Kind::Text, &raw) else { continue };
            let atoms: Vec<AtomId> = (i..i + i % 5).map(AtomId).collect();
            memo.insert(&key, &raw, &atoms);
            assert_eq!(get(&mut memo, &key, &raw), Some(atoms));
            keys.push((i, key));
        }
        let mut known = 0;
        for (i, key) in &keys {
            if let Some(atoms) = get(&mut memo, key, &raw_of(*i)) {
                known += 1;
                assert_eq!(atoms, (*i..i + i % 5).map(AtomId).collect::<Vec<_>>());
            }
        }
        assert!(known > 100 && known < keys.len(), "{known} of {}", keys.len());
    }

    #[test]
    fn positions_that_run_out_begin_anew() {
        let mut memo = Memo::new(8);
        memo.next = u32::MAX - RING_UNITS - 1;
        for i in 0..10u32 {
            let raw = [b'v'; 100];
            let key = memo.key(FieldId(i % 8), Kind::Text, &raw).unwrap();
            memo.insert(&key, &raw, &[AtomId(i)]);
            assert_eq!(get(&mut memo, &key, &raw), Some(vec![AtomId(i)]));
        }
        assert!(memo.next < FIRST + RING_UNITS);
    }
}
