//! Blocks of bytes of a few sizes, without an allocation each.
//!
//! A size is a multiple of 8 up to 128, of 16 up to 256, of 64 up to 1,024, of 256 up to 4,096. Blocks of one size stand
//! in pages, without a gap: the last one moves to the place of one that is given back, and its owner has
//! to be told. So blocks that grow leave nothing behind in the sizes that they had, and no long list has
//! to be copied to become longer.

use std::ops::Range;

/// The longest block.
pub(super) const BLOCK_BYTES_MAX: usize = 4096;

const CLASSES: usize = 48;
const INDEX_BITS: u32 = 25;

/// The longest block fills a page.
const PAGE_BYTES: usize = BLOCK_BYTES_MAX;

/// Where a block is: its size and its place among those of its size. The highest bit is free for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockId(pub(super) u32);

impl BlockId {
    fn new(class: usize, index: u32) -> Self {
        Self((class as u32) << INDEX_BITS | index)
    }

    fn class(self) -> usize {
        (self.0 >> INDEX_BITS) as usize
    }

    fn index(self) -> u32 {
        self.0 & ((1 << INDEX_BITS) - 1)
    }
}

/// Blocks by their sizes.
#[derive(Debug)]
pub(super) struct Slab {
    classes: [Class; CLASSES],
}

#[derive(Debug, Default)]
struct Class {
    pages: Vec<Box<[u8; PAGE_BYTES]>>,
    len: usize,
}

impl Default for Slab {
    fn default() -> Self {
        Self { classes: std::array::from_fn(|_| Class::default()) }
    }
}

fn class_of(len: usize) -> usize {
    match len {
        0..=128 => len.div_ceil(8).max(1) - 1,
        129..=256 => 8 + len.div_ceil(16) - 1,
        257..=1024 => 20 + len.div_ceil(64) - 1,
        _ => 32 + len.div_ceil(256) - 1,
    }
}

fn class_bytes(class: usize) -> usize {
    match class {
        0..16 => (class + 1) * 8,
        16..24 => (class - 7) * 16,
        24..36 => (class - 19) * 64,
        _ => (class - 31) * 256,
    }
}

/// Room for more in a list that may become long: an eighth instead of as much again.
pub(super) fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() < list.len() + more {
        list.reserve_exact(more.max(list.len() / 8));
    }
}

impl Slab {
    pub(super) fn held_bytes(&self) -> usize {
        let held = |class: &Class| {
            class.pages.len() * PAGE_BYTES + class.pages.capacity() * size_of::<Box<[u8; 1]>>()
        };
        self.classes.iter().map(held).sum()
    }

    /// A block of at least so many bytes, with anything in it. None if it would be too long, or if there
    /// are too many.
    pub(super) fn take(&mut self, len: usize) -> Option<BlockId> {
        if len > BLOCK_BYTES_MAX {
            return None;
        }
        let at = class_of(len);
        let class = &mut self.classes[at];
        let index = class.len;
        if index >= 1 << INDEX_BITS {
            return None;
        }
        if index == class.pages.len() * (PAGE_BYTES / class_bytes(at)) {
            class.pages.push(Box::new([0; PAGE_BYTES]));
        }
        class.len += 1;
        Some(BlockId::new(at, index as u32))
    }

    /// Gives a block back. Says if the block that is now in its place was in another one before.
    #[must_use]
    pub(super) fn give_back(&mut self, id: BlockId) -> bool {
        let at = id.class();
        let last = BlockId::new(at, self.classes[at].len as u32 - 1);
        if last != id {
            self.copy(last, id);
        }
        let per_page = PAGE_BYTES / class_bytes(at);
        let class = &mut self.classes[at];
        class.len -= 1;
        // A page is kept for the next block, so that none comes and goes with each.
        class.pages.truncate(class.len.div_ceil(per_page) + usize::from(class.len > 0));
        last != id
    }

    /// Copies a block's bytes to another block, as far as there is room.
    pub(super) fn copy(&mut self, from: BlockId, to: BlockId) {
        const STEP: usize = 64;
        let len = class_bytes(from.class()).min(class_bytes(to.class()));
        for start in (0..len).step_by(STEP) {
            let part = start..len.min(start + STEP);
            let mut bytes = [0; STEP];
            let bytes = &mut bytes[..part.len()];
            bytes.copy_from_slice(&self.get(from)[part.clone()]);
            self.get_mut(to)[part].copy_from_slice(bytes);
        }
    }

    pub(super) fn get(&self, id: BlockId) -> &[u8] {
        let (page, range) = place(id);
        &self.classes[id.class()].pages[page][range]
    }

    pub(super) fn get_mut(&mut self, id: BlockId) -> &mut [u8] {
        let (page, range) = place(id);
        &mut self.classes[id.class()].pages[page][range]
    }
}

/// The page of a block among those of its size, and where in it the block is.
fn place(id: BlockId) -> (usize, Range<usize>) {
    let size = class_bytes(id.class());
    let per_page = (PAGE_BYTES / size) as u32;
    let start = (id.index() % per_page) as usize * size;
    ((id.index() / per_page) as usize, start..start + size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_length_has_the_least_size_that_holds_it() {
        for len in 0..=BLOCK_BYTES_MAX {
            let class = class_of(len);
            assert!(class < CLASSES);
            assert!(class_bytes(class) >= len, "{len}");
            assert!(class == 0 || class_bytes(class - 1) < len, "{len}");
        }
    }

    proptest! {
        #[test]
        fn blocks_do_not_touch_each_other(
            steps in prop::collection::vec((0usize..600, any::<bool>()), 1..200),
        ) {
            let mut slab = Slab::default();
            // Each block begins with its number among these.
            let mut held: Vec<Option<BlockId>> = Vec::new();
            let is_whole = |block: &[u8]| block.iter().all(|byte| *byte == block[0]);
            for (len, is_new) in steps {
                if is_new || held.is_empty() {
                    let id = slab.take(len).unwrap();
                    prop_assert!(slab.get(id).len() >= len);
                    slab.get_mut(id).fill(held.len() as u8);
                    held.push(Some(id));
                } else {
                    let at = len % held.len();
                    let Some(id) = held[at].take() else { continue };
                    prop_assert_eq!(slab.get(id)[0], at as u8);
                    prop_assert!(is_whole(slab.get(id)));
                    if slab.give_back(id) {
                        held[usize::from(slab.get(id)[0])] = Some(id);
                    }
                }
            }
            for (at, id) in held.into_iter().enumerate() {
                let Some(id) = id else { continue };
                prop_assert_eq!(slab.get(id)[0], at as u8);
                prop_assert!(is_whole(slab.get(id)));
            }
        }
    }
}
