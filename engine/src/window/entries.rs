//! The entries of a group, ordered by time, small.
//!
//! An entry is a time, a position and, where the window needs it, a number and the number of a carried
//! value. Entries stand in blocks, each coded as differences from the one before: about six bytes for
//! a count of events. Appending looks at the last block only; an entry that comes out of order rewrites
//! one block. Entries of equal time stand in the order in which they came.

use std::collections::VecDeque;

use super::detection::Position;
use super::varint::{put, put_long, take, take_long, unzigzag, zigzag};

/// Entries of a full block.
const BLOCK_ENTRIES: usize = 64;

/// What a window keeps of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) time: i64,
    pub(crate) position: Position,
    /// By measure: the number of a value, a number in billionths, the index of an input.
    pub(crate) payload: i128,
    /// The number of the carried values.
    pub(crate) carried: u32,
}

/// Which parts of an entry are kept; the others read as 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts {
    pub(crate) payload: bool,
    pub(crate) carried: bool,
}

#[derive(Debug)]
struct Block {
    first_time: i64,
    last: Entry,
    count: u32,
    bytes: Vec<u8>,
}

/// The entries of a group.
#[derive(Debug)]
pub(crate) struct Entries {
    /// None is empty.
    blocks: VecDeque<Block>,
    len: usize,
    parts: Parts,
}

const ORIGIN: Entry =
    Entry { time: 0, position: Position { source: 0, offset: 0 }, payload: 0, carried: 0 };

impl Block {
    fn new(entry: &Entry, parts: Parts) -> Self {
        let mut block = Self { first_time: entry.time, last: ORIGIN, count: 0, bytes: Vec::new() };
        block.push(entry, parts);
        block
    }

    fn push(&mut self, entry: &Entry, parts: Parts) {
        let last = &self.last;
        let bytes = &mut self.bytes;
        // Differences wrap, and so does adding them again.
        put(bytes, zigzag(entry.time.wrapping_sub(last.time)));
        let source = i64::from(entry.position.source) - i64::from(last.position.source);
        put(bytes, zigzag(source));
        put(bytes, zigzag(entry.position.offset.wrapping_sub(last.position.offset) as i64));
        if parts.payload {
            put_long(bytes, entry.payload);
        }
        if parts.carried {
            put(bytes, u64::from(entry.carried));
        }
        self.last = *entry;
        self.count += 1;
    }

    fn iter(&self, parts: Parts) -> BlockIter<'_> {
        BlockIter { bytes: &self.bytes, last: ORIGIN, parts }
    }
}

struct BlockIter<'a> {
    bytes: &'a [u8],
    last: Entry,
    parts: Parts,
}

impl Iterator for BlockIter<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.bytes.is_empty() {
            return None;
        }
        let last = &mut self.last;
        last.time = last.time.wrapping_add(unzigzag(take(&mut self.bytes)));
        let source = i64::from(last.position.source) + unzigzag(take(&mut self.bytes));
        let offset = unzigzag(take(&mut self.bytes)) as u64;
        let offset = last.position.offset.wrapping_add(offset);
        last.position = Position { source: source as u32, offset };
        if self.parts.payload {
            last.payload = take_long(&mut self.bytes);
        }
        if self.parts.carried {
            last.carried = take(&mut self.bytes) as u32;
        }
        Some(*last)
    }
}

impl Entries {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { blocks: VecDeque::new(), len: 0, parts }
    }

    pub(crate) fn parts(&self) -> Parts {
        self.parts
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn first_time(&self) -> Option<i64> {
        self.blocks.front().map(|block| block.first_time)
    }

    pub(crate) fn last_time(&self) -> Option<i64> {
        self.blocks.back().map(|block| block.last.time)
    }

    /// Puts an entry behind all that are not later.
    pub(crate) fn insert(&mut self, entry: &Entry) {
        self.len += 1;
        let parts = self.parts;
        let is_last = self.blocks.back().is_none_or(|block| block.last.time <= entry.time);
        if is_last {
            match self.blocks.back_mut() {
                Some(block) if (block.count as usize) < BLOCK_ENTRIES => block.push(entry, parts),
                _ => {
                    if let Some(block) = self.blocks.back_mut() {
                        block.bytes.shrink_to_fit();
                    }
                    self.blocks.push_back(Block::new(entry, parts));
                }
            }
            return;
        }
        // The last block that begins at or before the entry, or the first one.
        let after = self.blocks.partition_point(|block| block.first_time <= entry.time);
        let at = after.saturating_sub(1);
        let mut entries: Vec<Entry> = self.blocks[at].iter(parts).collect();
        let place = entries.partition_point(|known| known.time <= entry.time);
        entries.insert(place, *entry);
        let half = if entries.len() > BLOCK_ENTRIES { entries.len() / 2 } else { entries.len() };
        let rebuilt = |entries: &[Entry]| {
            let mut block = Block::new(&entries[0], parts);
            entries[1..].iter().for_each(|entry| block.push(entry, parts));
            block
        };
        self.blocks[at] = rebuilt(&entries[..half]);
        if half < entries.len() {
            self.blocks.insert(at + 1, rebuilt(&entries[half..]));
        }
    }

    /// All entries, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.blocks.iter().flat_map(|block| block.iter(self.parts))
    }

    /// The entries from one time to another, both included, in order.
    pub(crate) fn range(&self, from: i64, to: i64) -> impl Iterator<Item = Entry> {
        // Blocks whose last entry is earlier have none of them.
        let first = self.blocks.partition_point(|block| block.last.time < from);
        let blocks = self.blocks.range(first.min(self.blocks.len())..);
        let parts = self.parts;
        blocks
            .take_while(move |block| block.first_time <= to)
            .flat_map(move |block| block.iter(parts))
            .skip_while(move |entry| entry.time < from)
            .take_while(move |entry| entry.time <= to)
    }

    /// The earliest time from `from` on.
    pub(crate) fn instant_from(&self, from: i64) -> Option<i64> {
        self.range(from, i64::MAX).next().map(|entry| entry.time)
    }

    /// The latest time before `before`.
    pub(crate) fn instant_before(&self, before: i64) -> Option<i64> {
        let after = self.blocks.partition_point(|block| block.first_time < before);
        let block = &self.blocks[after.checked_sub(1)?];
        if block.last.time < before {
            return Some(block.last.time);
        }
        block.iter(self.parts).map(|entry| entry.time).take_while(|time| *time < before).last()
    }

    /// Takes the entries before `before` out, in order.
    pub(crate) fn remove_before(&mut self, before: i64, mut each: impl FnMut(&Entry)) {
        let parts = self.parts;
        while let Some(block) = self.blocks.front() {
            if block.first_time >= before {
                return;
            }
            let is_whole = block.last.time < before;
            block.iter(parts).take_while(|entry| entry.time < before).for_each(|e| each(&e));
            if is_whole {
                self.len -= block.count as usize;
                self.blocks.pop_front();
                continue;
            }
            self.cut_front(|entry| entry.time < before);
        }
    }

    /// Takes the first entry out.
    pub(crate) fn remove_first(&mut self) -> Option<Entry> {
        let first = self.blocks.front()?.iter(self.parts).next()?;
        let mut is_taken = false;
        self.cut_front(|_| !std::mem::replace(&mut is_taken, true));
        Some(first)
    }

    /// Takes entries out of the first block as long as they are meant.
    fn cut_front(&mut self, mut is_meant: impl FnMut(&Entry) -> bool) {
        let parts = self.parts;
        let Some(block) = self.blocks.pop_front() else { return };
        let mut kept = block.iter(parts).skip_while(|entry| is_meant(entry));
        let mut count = 0;
        if let Some(first) = kept.next() {
            let mut rebuilt = Block::new(&first, parts);
            kept.for_each(|entry| rebuilt.push(&entry, parts));
            count = rebuilt.count;
            self.blocks.push_front(rebuilt);
        }
        self.len -= (block.count - count) as usize;
    }

    /// The memory that is held.
    pub(crate) fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| block.bytes.capacity()).sum();
        blocks + self.blocks.capacity() * size_of::<Block>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(time: i64, offset: u64) -> Entry {
        let position = Position { source: (offset % 3) as u32, offset };
        Entry { time, position, payload: -i128::from(offset), carried: offset as u32 }
    }

    const ALL: Parts = Parts { payload: true, carried: true };

    #[test]
    fn a_counted_event_takes_at_most_twelve_bytes() {
        let mut entries = Entries::new(Parts::default());
        let count = 10_000;
        for at in 0..count {
            let position = Position { source: 0, offset: at * 37 };
            let time = 1_700_000_000_000 + at as i64 * 450;
            entries.insert(&Entry { time, position, payload: 0, carried: 0 });
        }
        assert!(entries.bytes() <= 12 * count as usize, "{} bytes", entries.bytes());
    }

    proptest! {
        #[test]
        fn entries_are_a_sorted_list(
            times in prop::collection::vec(-500i64..500, 1..400),
            cuts in prop::collection::vec(0usize..400, 0..6),
            from in -600i64..600, len in 0i64..300,
        ) {
            let mut entries = Entries::new(ALL);
            let mut list: Vec<Entry> = Vec::new();
            for (at, time) in times.iter().enumerate() {
                let new = entry(*time, at as u64);
                entries.insert(&new);
                let place = list.partition_point(|known| known.time <= *time);
                list.insert(place, new);
                if cuts.contains(&at) {
                    let before = list[list.len() / 3].time;
                    let mut removed = Vec::new();
                    entries.remove_before(before, |entry| removed.push(*entry));
                    let rest = list.split_off(list.partition_point(|known| known.time < before));
                    prop_assert_eq!(&removed, &list);
                    list = rest;
                    prop_assert_eq!(entries.remove_first(), Some(list.remove(0)));
                }
            }
            prop_assert_eq!(entries.len(), list.len());
            prop_assert_eq!(entries.first_time(), list.first().map(|e| e.time));
            prop_assert_eq!(entries.last_time(), list.last().map(|e| e.time));
            let all: Vec<Entry> = entries.range(i64::MIN, i64::MAX).collect();
            prop_assert_eq!(&all, &list);
            let to = from + len;
            let found: Vec<Entry> = entries.range(from, to).collect();
            let within = |e: &&Entry| (from..=to).contains(&e.time);
            prop_assert_eq!(found, list.iter().filter(within).copied().collect::<Vec<_>>());
            let next = list.iter().map(|e| e.time).find(|time| *time >= from);
            prop_assert_eq!(entries.instant_from(from), next);
            let previous = list.iter().map(|e| e.time).rfind(|time| *time < from);
            prop_assert_eq!(entries.instant_before(from), previous);
        }
    }
}
