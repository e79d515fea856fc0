//! The groups of a window: found by key, packed while nothing is done with them.
//!
//! A group has a number. It is either *open*, as a [`Group`], or packed into a block of a slab
//! ([`super::packed`]). So many groups as `open_groups_max` says stay open, those last touched; a group
//! too large to be packed stays open beyond them. A hand goes round over the open ones, a few steps for
//! each group that is touched, and packs those that were not touched since it came by last.

use std::hash::{BuildHasher as _, RandomState};

use super::entries::Entry;
use super::feed::WindowMatch;
use super::group::{Frame, Group, parts};
use super::key::GroupKey;
use super::key_index::KeyIndex;
use super::packed::{self, Head};
use super::plan::Measure;
use super::saved;
use super::slab::{BlockId, Slab, reserve};
use super::varint::{Checked, put, put_bytes};

/// Groups that the hand looks at at once.
const HAND_STEPS: usize = 4;

const OPEN: u32 = 1 << 31;
const NOWHERE: u32 = u32::MAX;

const SAVED_PACKED: u64 = 0;
const SAVED_OPEN: u64 = 1;

/// Groups by number and by key.
#[derive(Debug, Default)]
pub(super) struct GroupTable {
    hasher: RandomState,
    index: KeyIndex,
    /// By number: a block, or a place among the open ones.
    places: Vec<u32>,
    free: Vec<u32>,
    slab: Slab,
    open: Vec<OpenGroup>,
    hand: usize,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct OpenGroup {
    slot: u32,
    is_touched: bool,
    is_large: bool,
    group: Box<Group>,
}

/// A match was added to a packed group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appended {
    /// The group has to stand in the queue for this time.
    pub(super) queue_at: Option<i64>,
}

impl GroupTable {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The memory that is held, but for the strings and the long keys of open groups.
    pub(super) fn held_bytes(&self) -> usize {
        let open: usize = self
            .open
            .iter()
            .map(|open| {
                size_of::<Group>() + open.group.key.as_bytes().len() + open.group.entries.bytes()
            })
            .sum();
        let numbers = (self.places.capacity() + self.free.capacity()) * size_of::<u32>();
        let open_places = self.open.capacity() * size_of::<OpenGroup>();
        self.index.held_bytes() + self.slab.held_bytes() + numbers + open_places + open
    }

    pub(super) fn hash(&self, key: &[u8]) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    /// Looks at what a search will look at, a step further each time: says what to look at next.
    pub(super) fn glance_at_index(&self, hash: u32) -> Option<u32> {
        self.index.glance(hash)
    }

    pub(super) fn glance_at_place(&self, slot: u32) -> u32 {
        self.places[slot as usize]
    }

    pub(super) fn glance_at_block(&self, place: u32) -> u8 {
        if place & OPEN == 0 { self.slab.get(BlockId(place))[0] } else { 0 }
    }

    pub(super) fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| self.key(slot) == Some(key))
    }

    /// Calls `each` with the key of every group and the time of its first entry.
    pub(super) fn each_first_time(&self, mut each: impl FnMut(&[u8], i64)) {
        for slot in 0..self.places.len() as u32 {
            let first = match self.place(slot) {
                NOWHERE => None,
                place if place & OPEN != 0 => {
                    self.open[(place & !OPEN) as usize].group.first_time()
                }
                place => Head::of(self.slab.get(BlockId(place))).first_time(),
            };
            if let (Some(first), Some(key)) = (first, self.key(slot)) {
                each(key, first);
            }
        }
    }

    /// The queue may name groups that are gone.
    fn place(&self, slot: u32) -> u32 {
        self.places.get(slot as usize).copied().unwrap_or(NOWHERE)
    }

    fn key(&self, slot: u32) -> Option<&[u8]> {
        Some(match self.place(slot) {
            NOWHERE => return None,
            place if place & OPEN != 0 => self.open[(place & !OPEN) as usize].group.key.as_bytes(),
            place => packed::key(self.slab.get(BlockId(place))),
        })
    }

    /// Adds a group that is not there, without entries.
    pub(super) fn add(
        &mut self,
        (hash, key): (u32, &GroupKey),
        frame: &Frame<'_>,
        settled: i64,
    ) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            reserve(&mut self.places, 1);
            self.places.push(NOWHERE);
            self.places.len() as u32 - 1
        });
        self.index.insert(hash, slot);
        let is_packed = frame.quiet_max > 0 && packed::begin(slot, key.as_bytes(), &mut self.bytes);
        if !(is_packed && self.store(slot)) {
            let group = Group::new(key.clone(), frame.window, settled);
            self.put_open(slot, group);
        }
        slot
    }

    /// Puts the bytes at hand into a block.
    fn store(&mut self, slot: u32) -> bool {
        let Some(block) = self.slab.take(self.bytes.len()) else { return false };
        self.slab.get_mut(block)[..self.bytes.len()].copy_from_slice(&self.bytes);
        self.places[slot as usize] = block.0;
        true
    }

    fn give_back(&mut self, id: BlockId) {
        if self.slab.give_back(id) {
            let moved = Head::of(self.slab.get(id)).slot;
            self.places[moved as usize] = id.0;
        }
    }

    fn put_open(&mut self, slot: u32, group: Group) {
        self.places[slot as usize] = OPEN | self.open.len() as u32;
        let group = Box::new(group);
        self.open.push(OpenGroup { slot, is_touched: true, is_large: false, group });
    }

    /// Adds a match that needs no decision to a packed group. None if the group has to be opened.
    pub(super) fn append(
        &mut self,
        slot: u32,
        frame: &Frame<'_>,
        arrived: &WindowMatch,
    ) -> Option<Appended> {
        let place = self.places[slot as usize];
        if place & OPEN != 0 || frame.quiet_max == 0 {
            return None;
        }
        let id = BlockId(place);
        let mut head = Head::of(self.slab.get(id));
        let is_first = head.entries == 0;
        // Repeated ones are among those of the same time.
        let is_next = is_first
            || head.last_time < arrived.time
            || (head.last_time == arrived.time && !arrived.may_repeat);
        if !is_next || !head.is_plain() {
            return None;
        }
        self.bytes.clear();
        let used = head.used();
        let (time, position) = (arrived.time, arrived.position);
        let mut add = |payload: i128| {
            let entry = Entry { time, position, payload, carried: 0 };
            let is_quiet = usize::from(head.entries) < frame.quiet_max;
            is_quiet && packed::append(&mut head, parts(frame.window), &entry, &mut self.bytes)
        };
        let is_added = match frame.window.measure {
            Measure::Events => add(0),
            _ => arrived.inputs.iter().all(|input| add(i128::from(*input))),
        };
        if !is_added {
            return None;
        }
        let due_at = frame.matters_until(time);
        let queue_at = (due_at < head.queued_at).then_some(due_at);
        head.queued_at = head.queued_at.min(due_at);
        let mut block = self.slab.get_mut(id);
        if head.used() > block.len() {
            let larger = self.slab.take(head.used())?;
            self.slab.copy(id, larger);
            self.places[slot as usize] = larger.0;
            self.give_back(id);
            block = self.slab.get_mut(larger);
        }
        block[used..head.used()].copy_from_slice(&self.bytes);
        head.write(block);
        Some(Appended { queue_at })
    }

    /// The time of the last entry, and under which time the group is queued, if it is packed and plain.
    pub(super) fn plain(&self, slot: u32) -> Option<Head> {
        let place = self.place(slot);
        if place & OPEN != 0 {
            return None;
        }
        Some(Head::of(self.slab.get(BlockId(place)))).filter(Head::is_plain)
    }

    /// The least time under which a group stands in the queue, if there is a group.
    pub(super) fn queued_at(&self, slot: u32) -> Option<i64> {
        match self.place(slot) {
            NOWHERE => None,
            place if place & OPEN != 0 => Some(self.open[(place & !OPEN) as usize].group.queued_at),
            place => Some(Head::of(self.slab.get(BlockId(place))).queued_at),
        }
    }

    pub(super) fn set_queued_at(&mut self, slot: u32, queued_at: i64) {
        match self.place(slot) {
            NOWHERE => {}
            place if place & OPEN != 0 => {
                self.open[(place & !OPEN) as usize].group.queued_at = queued_at;
            }
            place => {
                let block = self.slab.get_mut(BlockId(place));
                let mut head = Head::of(block);
                head.queued_at = queued_at;
                head.write(block);
            }
        }
    }

    /// A group, to do something with it.
    pub(super) fn open(&mut self, slot: u32, frame: &Frame<'_>) -> Option<&mut Group> {
        let mut place = self.place(slot);
        if place == NOWHERE {
            return None;
        }
        if place & OPEN == 0 {
            let id = BlockId(place);
            let group = packed::unpack(self.slab.get(id), frame.window);
            self.give_back(id);
            self.put_open(slot, group);
            place = self.places[slot as usize];
        }
        let open = &mut self.open[(place & !OPEN) as usize];
        open.is_touched = true;
        Some(&mut open.group)
    }

    /// Packs some of the open groups if there are too many.
    pub(super) fn tidy(&mut self, frame: &Frame<'_>) {
        for _ in 0..HAND_STEPS {
            if self.open.len() <= frame.config.open_groups_max {
                return;
            }
            if self.hand >= self.open.len() {
                self.hand = 0;
            }
            let open = &mut self.open[self.hand];
            if std::mem::take(&mut open.is_touched) && frame.config.open_groups_max > 0 {
                open.is_large = open.group.len() > packed::ENTRIES_MAX;
                self.hand += 1;
                continue;
            }
            let slot = open.slot;
            if !open.is_large
                && packed::pack(slot, &open.group, frame, &mut self.bytes)
                && self.store_open(slot)
            {
                continue;
            }
            self.hand += 1;
        }
    }

    /// Puts the bytes at hand, those of an open group, into a block.
    fn store_open(&mut self, slot: u32) -> bool {
        let place = self.places[slot as usize];
        let is_stored = self.store(slot);
        if is_stored {
            self.close(place);
        }
        is_stored
    }

    /// Takes away what stands in a place among the open ones.
    fn close(&mut self, place: u32) {
        let at = (place & !OPEN) as usize;
        self.open.swap_remove(at);
        if let Some(moved) = self.open.get(at) {
            self.places[moved.slot as usize] = place;
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let Some(key) = self.key(slot) else { return };
        let hash = self.hash(key);
        self.index.remove(hash, slot);
        match std::mem::replace(&mut self.places[slot as usize], NOWHERE) {
            place if place & OPEN != 0 => self.close(place),
            place => self.give_back(BlockId(place)),
        }
        self.free.push(slot);
        if self.index.len() == 0 {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// Writes all groups, in the order of their numbers.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put(out, self.len() as u64);
        for slot in 0..self.places.len() as u32 {
            match self.place(slot) {
                NOWHERE => {}
                place if place & OPEN != 0 => {
                    put(out, SAVED_OPEN);
                    saved::put_group(&self.open[(place & !OPEN) as usize].group, out);
                }
                place => {
                    let block = self.slab.get(BlockId(place));
                    put(out, SAVED_PACKED);
                    put_bytes(out, &block[..Head::of(block).used()]);
                }
            }
        }
    }

    /// Reads what was saved, from bytes that may be anything; the groups get the numbers from 0 on. Calls
    /// `each` with every group that has to stand in the queue.
    pub(super) fn load(
        from: &mut Checked<'_>,
        frame: &Frame<'_>,
        mut each: impl FnMut(i64, u32),
    ) -> Option<Self> {
        let mut table = Self::default();
        let count = from.number()?;
        if count > frame.config.groups_per_window_max.max(1) as u64 {
            return None;
        }
        for slot in 0..u32::try_from(count).ok()? {
            reserve(&mut table.places, 1);
            table.places.push(NOWHERE);
            let queued_at = match from.number()? {
                SAVED_OPEN => {
                    let group = saved::take_group(from, frame.window)?;
                    let hash = table.hash(group.key.as_bytes());
                    let queued_at = group.queued_at;
                    table.index.insert(hash, slot);
                    table.put_open(slot, group);
                    queued_at
                }
                SAVED_PACKED => {
                    let block = from.bytes().filter(|block| packed::is_sound(block, frame))?;
                    let hash = table.hash(packed::key(block));
                    let queued_at = packed::renumber(block, slot, &mut table.bytes);
                    table.index.insert(hash, slot);
                    table.store(slot).then_some(queued_at)?
                }
                _ => return None,
            };
            if queued_at != i64::MAX {
                each(queued_at, slot);
            }
        }
        Some(table)
    }

    /// By number: the number that a group will have once it was saved and loaded.
    pub(super) fn saved_numbers(&self) -> Vec<u32> {
        let mut next = 0;
        let number = |place: &u32| {
            let number = next;
            next += u32::from(*place != NOWHERE);
            number
        };
        self.places.iter().map(number).collect()
    }
}
