//! Remembers, for a field and a value as it stands in the record, which eager atoms hold.
//!
//! Fields whose values rarely repeat switch their memo off by what they measure, and try again later.
//!
//! Values repeat: a process name or a call trace comes thousands of times. The memo is asked with the
//! raw bytes, before anything is unescaped or folded.
//!
//! # Soundness
//! A slot answers only if field, kind and every byte of the value are the same: nobody can craft a
//! value that is mistaken for another. The hash is seeded per process, so that nobody can aim at slots
//! either; a collision only costs a miss. Which atoms hold for a value depends on nothing else:
//! tests that look at other fields are not eager.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

use crate::atom::AtomId;
use crate::field_index::FieldId;
use crate::tape::Kind;

/// Slots of a memo.
const SLOTS: usize = 1 << 16;
/// Longer values are not remembered.
const VALUE_BYTES_MAX: usize = 4096;
/// Bytes of values that a memo keeps before it starts anew.
const BYTES_MAX: usize = 16 << 20;
/// Atoms that a memo keeps before it starts anew.
const ATOMS_MAX: usize = 1 << 20;

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

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u64,
    field: FieldId,
    kind: u8,
    value_start: u32,
    value_len: u32,
    atoms_start: u32,
    atoms_len: u32,
}

const EMPTY: Slot = Slot {
    hash: 0,
    field: FieldId(u32::MAX),
    kind: 0,
    value_start: 0,
    value_len: 0,
    atoms_start: 0,
    atoms_len: 0,
};

/// The table, one per worker and plan.
#[derive(Debug)]
pub(crate) struct Memo {
    slots: Box<[Slot]>,
    values: Vec<u8>,
    atoms: Vec<AtomId>,
    services: Box<[Service]>,
    hasher: RandomState,
}

/// What is asked of a memo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) field: FieldId,
    pub(crate) kind: Kind,
    pub(crate) raw: &'a [u8],
    hash: u64,
}

impl Memo {
    pub(crate) fn new(fields: usize) -> Self {
        Self {
            slots: vec![EMPTY; SLOTS].into(),
            values: Vec::new(),
            atoms: Vec::new(),
            services: vec![Service::default(); fields].into(),
            hasher: RandomState::default(),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.values.clear();
        self.atoms.clear();
    }

    /// The key of a value; `None` if it is too long to be remembered, or the field is switched off.
    #[inline]
    pub(crate) fn key<'a>(&mut self, field: FieldId, kind: Kind, raw: &'a [u8]) -> Option<Key<'a>> {
        if raw.len() > VALUE_BYTES_MAX {
            return None;
        }
        let service = &mut self.services[field.0 as usize];
        if service.skip > 0 {
            service.skip -= 1;
            return None;
        }
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(u64::from(field.0) << 8 | kind as u64);
        hasher.write(raw);
        Some(Key { field, kind, raw, hash: hasher.finish() })
    }

    /// The atoms that hold for a value, if it is remembered.
    #[inline]
    pub(crate) fn get(&mut self, key: &Key<'_>) -> Option<&[AtomId]> {
        let slot = &self.slots[key.hash as usize % SLOTS];
        let is_same = slot.hash == key.hash
            && slot.field == key.field
            && slot.kind == key.kind as u8
            && self.values[slot.value_start as usize..][..slot.value_len as usize] == *key.raw;
        let service = &mut self.services[key.field.0 as usize];
        service.asked += 1;
        service.hits += u32::from(is_same);
        if service.asked == JUDGED_AFTER {
            let is_useful = service.hits >= JUDGED_AFTER / HIT_RATE_MIN;
            *service = Service { skip: if is_useful { 0 } else { SKIPPED }, ..Service::default() };
        }
        is_same.then(|| &self.atoms[slot.atoms_start as usize..][..slot.atoms_len as usize])
    }

    /// Remembers the atoms that hold for a value.
    pub(crate) fn insert(&mut self, key: &Key<'_>, atoms: &[AtomId]) {
        if self.values.len() + key.raw.len() > BYTES_MAX
            || self.atoms.len() + atoms.len() > ATOMS_MAX
        {
            self.clear();
        }
        if atoms.len() > ATOMS_MAX {
            return;
        }
        self.slots[key.hash as usize % SLOTS] = Slot {
            hash: key.hash,
            field: key.field,
            kind: key.kind as u8,
            value_start: self.values.len() as u32,
            value_len: key.raw.len() as u32,
            atoms_start: self.atoms.len() as u32,
            atoms_len: atoms.len() as u32,
        };
        self.values.extend_from_slice(key.raw);
        self.atoms.extend_from_slice(atoms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_only_under_its_own_field_and_kind() {
        let mut memo = Memo::new(8);
        let key = |memo: &mut Memo, field, kind, raw: &'static [u8]| {
            memo.key(FieldId(field), kind, raw).unwrap()
        };
        let stored = key(&mut memo, 1, Kind::Text, b"4624");
        memo.insert(&stored, &[AtomId(7)]);
        assert_eq!(memo.get(&stored), Some(&[AtomId(7)][..]));
        for (field, kind, raw) in
            [(2, Kind::Text, &b"4624"[..]), (1, Kind::Number, b"4624"), (1, Kind::Text, b"4625")]
        {
            let other = key(&mut memo, field, kind, raw);
            assert_eq!(memo.get(&other), None);
        }
        assert!(memo.key(FieldId(1), Kind::Text, &[b'x'; 5000]).is_none());
    }

    #[test]
    fn a_field_that_never_repeats_is_switched_off_and_tried_again() {
        let mut memo = Memo::new(8);
        let mut asked = 0;
        for i in 0..3 * SKIPPED {
            let raw = i.to_string();
            if let Some(key) = memo.key(FieldId(1), Kind::Text, raw.as_bytes()) {
                asked += 1;
                assert_eq!(memo.get(&key), None);
            }
        }
        assert_eq!(asked, 3 * JUDGED_AFTER);
        assert!(memo.key(FieldId(2), Kind::Text, b"x").is_some());
    }

    #[test]
    fn memory_stays_bounded() {
        let mut memo = Memo::new(8);
        for i in 0..20_000u32 {
            let raw = format!("{i:04000}");
            let key = memo.key(FieldId(1), Kind::Text, raw.as_bytes()).unwrap();
            memo.insert(&key, &[AtomId(i)]);
            assert_eq!(memo.get(&key), Some(&[AtomId(i)][..]));
        }
        assert!(memo.values.len() <= BYTES_MAX);
    }
}
