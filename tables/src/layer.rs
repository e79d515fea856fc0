//! Rows in one piece of memory, found by the hash of their key.
//!
//! A row is its key and its columns, one after the other; what a column says is either there, or a number
//! of the layer's dictionary if the layer says it often. Slots are words of 32 bits: where the row is, and in the bits left
//! over a part of the hash, so that a key that is not there costs one look into memory.

use foldhash::HashMap;
use std::hash::{BuildHasher, Hasher as _};

use crate::value;
use crate::writer::Duplicates;

/// The hash of keys: seeded, so that nobody can aim at slots, and the same for all versions of a table.
pub(crate) type KeyHasher = foldhash::quality::RandomState;

pub(crate) fn hash_of(hasher: &KeyHasher, key: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Longest part of a slot that says where a row is.
const OFFSET_BITS_MAX: u32 = 31;
/// Entries of a dictionary, and bytes of one.
const DICTIONARY_MAX: usize = 4096;
const ENTRY_BYTES_MAX: usize = 1024;
/// Values after which a column is judged: if fewer than a quarter were known, it gets no more entries.
const JUDGED_AFTER: u32 = 256;

/// Some rows, for ever.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    /// Where a row is and one, with a part of its hash above; 0 is free.
    slots: Box<[u32]>,
    offset_bits: u32,
    len: usize,
    columns: usize,
    rows: Box<[u8]>,
    values: Box<[u8]>,
    /// Where the dictionary's entries end.
    value_ends: Box<[u32]>,
}

/// A row of a table.
#[derive(Debug, Clone, Copy)]
pub struct Row<'t> {
    layer: &'t Layer,
    /// Behind the head.
    at: usize,
    key_len: usize,
    pub(crate) is_gone: bool,
}

impl Layer {
    /// How many rows it has, those that say that a row is gone included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * 4 + self.rows.len() + self.values.len() + self.value_ends.len() * 4
    }

    /// The row of a key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<Row<'_>> {
        let slot = self.slot(hash, key).ok()?;
        Some(self.row(offset_of(self.slots[slot], self.offset_bits)))
    }

    /// All rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let slots = self.slots.iter().filter(|slot| **slot != 0);
        slots.map(|slot| self.row(offset_of(*slot, self.offset_bits)))
    }

    /// The slot that leads to the row of a key, or the free one where it would be.
    #[inline]
    fn slot(&self, hash: u64, key: &[u8]) -> Result<usize, usize> {
        if self.slots.is_empty() {
            return Err(0);
        }
        let mut at = home(hash, self.slots.len());
        let tag = tag(hash, self.offset_bits);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Err(at);
            }
            if slot >> self.offset_bits == tag
                && self.row(offset_of(slot, self.offset_bits)).key() == key
            {
                return Ok(at);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    fn row(&self, offset: usize) -> Row<'_> {
        let mut at = offset;
        let head = read_number(&self.rows, &mut at);
        Row { layer: self, at, key_len: (head >> 1) as usize, is_gone: head & 1 == 1 }
    }
}

impl<'t> Row<'t> {
    /// The key as the table stores it: [`Table::show_key`](crate::Table::show_key) says it to people.
    pub fn stored_key(&self) -> &'t [u8] {
        self.key()
    }

    pub(crate) fn key(&self) -> &'t [u8] {
        &self.layer.rows[self.at..self.at + self.key_len]
    }

    /// The columns in the order of the table: each a JSON scalar, an array of them, or empty.
    pub fn columns(&self) -> impl Iterator<Item = &'t [u8]> + use<'t> {
        let layer = self.layer;
        let mut at = self.at + self.key_len;
        let count = if self.is_gone { 0 } else { layer.columns };
        (0..count).map(move |_| read_column(layer, &mut at))
    }

    fn end(&self) -> usize {
        let mut at = self.at + self.key_len;
        if !self.is_gone {
            for _ in 0..self.layer.columns {
                read_column(self.layer, &mut at);
            }
        }
        at
    }
}

fn read_column<'t>(layer: &'t Layer, at: &mut usize) -> &'t [u8] {
    let head = read_number(&layer.rows, at) as usize;
    if head & 1 == 1 {
        let start = *at;
        *at += head >> 1;
        return &layer.rows[start..*at];
    }
    let id = head >> 1;
    let start = id.checked_sub(1).map_or(0, |before| layer.value_ends[before] as usize);
    &layer.values[start..layer.value_ends[id] as usize]
}

fn home(hash: u64, slots: usize) -> usize {
    (((hash & 0xffff_ffff) * slots as u64) >> 32) as usize
}

fn tag(hash: u64, offset_bits: u32) -> u32 {
    (hash >> 32) as u32 & (u32::MAX >> offset_bits)
}

fn offset_of(slot: u32, offset_bits: u32) -> usize {
    (slot & !(u32::MAX << offset_bits)) as usize - 1
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline]
fn read_number(bytes: &[u8], at: &mut usize) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

/// A shard has more bytes than slots can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// A layer that is being filled.
#[derive(Debug)]
pub(crate) struct LayerBuilder {
    rows: Vec<u8>,
    count: usize,
    values: Vec<u8>,
    value_ends: Vec<u32>,
    /// By hash of an entry: its number.
    ids: HashMap<u64, u32>,
    columns: Vec<Column>,
}

/// How well the dictionary serves a column.
#[derive(Debug, Clone, Copy, Default)]
struct Column {
    asked: u32,
    known: u32,
    is_odd: bool,
}

impl LayerBuilder {
    pub(crate) fn new(columns: usize) -> Self {
        Self {
            rows: Vec::new(),
            count: 0,
            values: Vec::new(),
            value_ends: Vec::new(),
            ids: HashMap::default(),
            columns: vec![Column::default(); columns],
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.len() + self.values.len() + self.value_ends.len() * 4 + self.ids.len() * 24
    }

    /// Adds a row that says that there is none of this key.
    pub(crate) fn push_gone(&mut self, key: &[u8]) {
        self.count += 1;
        put_number(&mut self.rows, (key.len() as u64) << 1 | 1);
        self.rows.extend_from_slice(key);
    }

    /// Adds a row; of columns that are missing it has none.
    pub(crate) fn push<'c>(
        &mut self,
        hasher: &KeyHasher,
        key: &[u8],
        mut columns: impl Iterator<Item = &'c [u8]>,
    ) {
        self.count += 1;
        // By quarters rather than by doubling: what is free behind large tables counts.
        if self.rows.capacity() - self.rows.len() < 512 {
            self.rows.reserve_exact(512 + self.rows.len() / 4);
        }
        put_number(&mut self.rows, (key.len() as u64) << 1);
        self.rows.extend_from_slice(key);
        for at in 0..self.columns.len() {
            let column = columns.next().unwrap_or_default();
            match self.entry(hasher, at, column) {
                Some(id) => put_number(&mut self.rows, u64::from(id) << 1),
                None => {
                    put_number(&mut self.rows, (column.len() as u64) << 1 | 1);
                    self.rows.extend_from_slice(column);
                }
            }
        }
    }

    /// The dictionary's number of a value, if it is to be there.
    fn entry(&mut self, hasher: &KeyHasher, at: usize, value: &[u8]) -> Option<u32> {
        let column = &mut self.columns[at];
        if column.is_odd || value.len() < 2 || value.len() > ENTRY_BYTES_MAX {
            return None;
        }
        column.asked += 1;
        let hash = hash_of(hasher, value);
        if let Some(id) = self.ids.get(&hash).copied() {
            let start = id.checked_sub(1).map_or(0, |id| self.value_ends[id as usize] as usize);
            column.known += 1;
            let entry = &self.values[start..self.value_ends[id as usize] as usize];
            return (entry == value).then_some(id);
        }
        column.is_odd = column.asked >= JUDGED_AFTER && column.known < column.asked / 4;
        if column.is_odd || self.ids.len() >= DICTIONARY_MAX {
            return None;
        }
        let id = self.value_ends.len() as u32;
        self.values.extend_from_slice(value);
        self.value_ends.push(self.values.len() as u32);
        self.ids.insert(hash, id);
        Some(id)
    }

    /// The layer. Of rows with one key one is left, as `duplicates` says; those that say that a row is gone
    /// are left out unless `keeps_gone`.
    pub(crate) fn finish(
        self,
        hasher: &KeyHasher,
        duplicates: Duplicates,
        keeps_gone: bool,
    ) -> Result<Layer, TooLarge> {
        let columns = self.columns.len();
        let has_merged = duplicates == Duplicates::All;
        let mut layer = Layer { columns, len: self.count, ..Layer::default() };
        drop(self.ids);
        layer.values = self.values.into();
        layer.value_ends = self.value_ends.into();
        layer.rows = self.rows.into();
        let mut live = index(&mut layer, hasher, duplicates)?;
        if !keeps_gone {
            live.retain(|offset| !layer.row(*offset).is_gone);
        }
        if live.len() == layer.len {
            return Ok(layer);
        }
        // Some rows are not needed: put the others together, and merged ones too.
        let mut merged: HashMap<&[u8], Vec<Vec<u8>>> = HashMap::default();
        if has_merged {
            merge(&layer, &live, &mut merged);
        }
        let mut rows = Vec::with_capacity(layer.rows.len());
        for offset in &live {
            let row = layer.row(*offset);
            match merged.get(row.key()) {
                None => rows.extend_from_slice(&layer.rows[*offset..row.end()]),
                Some(columns) => {
                    put_number(&mut rows, (row.key_len as u64) << 1);
                    rows.extend_from_slice(row.key());
                    for column in columns {
                        put_number(&mut rows, (column.len() as u64) << 1 | 1);
                        rows.extend_from_slice(column);
                    }
                }
            }
        }
        drop(merged);
        layer.len = live.len();
        layer.rows = rows.into();
        index(&mut layer, hasher, Duplicates::Last)?;
        Ok(layer)
    }
}

/// Fills the slots of a layer from its rows: the offsets of the rows that are left, in their order.
fn index(
    layer: &mut Layer,
    hasher: &KeyHasher,
    duplicates: Duplicates,
) -> Result<Vec<usize>, TooLarge> {
    layer.offset_bits = (layer.rows.len() as u64 + 1).ilog2() + 1;
    if layer.offset_bits > OFFSET_BITS_MAX {
        return Err(TooLarge);
    }
    layer.slots =
        if layer.len == 0 { Box::default() } else { vec![0; layer.len * 4 / 3 + 1].into() };
    let mut at = 0;
    while at < layer.rows.len() {
        let row = layer.row(at);
        let (end, hash) = (row.end(), hash_of(hasher, row.key()));
        let slot = layer.slot(hash, row.key());
        let place = tag(hash, layer.offset_bits) << layer.offset_bits | (at as u32 + 1);
        match slot {
            Err(free) => layer.slots[free] = place,
            Ok(taken) if duplicates == Duplicates::Last => layer.slots[taken] = place,
            Ok(_) => {}
        }
        at = end;
    }
    let bits = layer.offset_bits;
    let taken = layer.slots.iter().filter(|slot| **slot != 0);
    let mut live: Vec<usize> = taken.map(|slot| offset_of(*slot, bits)).collect();
    live.sort_unstable();
    Ok(live)
}

/// What the rows with a key of several rows come to together.
fn merge<'l>(layer: &'l Layer, live: &[usize], merged: &mut HashMap<&'l [u8], Vec<Vec<u8>>>) {
    let is_live = |offset: usize| live.binary_search(&offset).is_ok();
    let mut at = 0;
    while at < layer.rows.len() {
        let row = layer.row(at);
        if !is_live(at) {
            merged.entry(row.key()).or_default();
        }
        at = row.end();
    }
    at = 0;
    while at < layer.rows.len() {
        let row = layer.row(at);
        if let Some(columns) = merged.get_mut(row.key()) {
            columns.resize(layer.columns, Vec::new());
            for (all, one) in columns.iter_mut().zip(row.columns()) {
                *all = value::union(all, one);
            }
        }
        at = row.end();
    }
}
