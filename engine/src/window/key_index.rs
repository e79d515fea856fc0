//! From the hash of a group's key to its number, in about twelve bytes a group.
//!
//! Open addressing with linear probing over 32 bits of the hash and the number; removal moves what
//! follows back, so that no marks of removed ones are left. The keys stand with the groups.

/// Full at four fifths.
const LOAD: (usize, usize) = (4, 5);

/// Numbers of groups by their hashes.
#[derive(Debug, Default)]
pub(super) struct KeyIndex {
    /// The hash in the upper half, one more than the number in the lower one; 0 is free.
    cells: Vec<u64>,
    len: usize,
}

impl KeyIndex {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u64>()
    }

    /// Where a hash is looked for first. In the order of the hashes, for any number of cells.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.cells.len() as u64) >> 32) as usize
    }

    /// The number under this hash for which `is_meant` holds.
    pub(super) fn find(&self, hash: u32, is_meant: impl FnMut(u32) -> bool) -> Option<u32> {
        let at = self.place(hash, is_meant)?;
        Some(self.cells[at] as u32 - 1)
    }

    fn place(&self, hash: u32, mut is_meant: impl FnMut(u32) -> bool) -> Option<usize> {
        if self.cells.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let cell = self.cells[at];
            if cell == 0 {
                return None;
            }
            if (cell >> 32) as u32 == hash && is_meant(cell as u32 - 1) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.cells.len() { 0 } else { at + 1 }
    }

    /// Looks at the cell where the search for a hash begins, and says what stands there: enough to have
    /// it at hand when the search comes, and the number to look at next.
    pub(super) fn glance(&self, hash: u32) -> Option<u32> {
        if self.cells.is_empty() {
            return None;
        }
        (self.cells[self.home(hash)] as u32).checked_sub(1)
    }

    /// Adds a number that is not there.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        if (self.len + 1) * LOAD.1 > self.cells.len() * LOAD.0 {
            self.grow();
        }
        self.len += 1;
        self.put(u64::from(hash) << 32 | u64::from(slot + 1));
    }

    fn put(&mut self, cell: u64) {
        let mut at = self.home((cell >> 32) as u32);
        while self.cells[at] != 0 {
            at = self.after(at);
        }
        self.cells[at] = cell;
    }

    fn grow(&mut self) {
        let len = (self.cells.len() + self.cells.len() / 4).max(16);
        let cells = std::mem::replace(&mut self.cells, vec![0; len]);
        cells.into_iter().filter(|cell| *cell != 0).for_each(|cell| self.put(cell));
    }

    pub(super) fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mut free) = self.place(hash, |known| known == slot) else { return };
        self.len -= 1;
        let mut at = free;
        loop {
            at = self.after(at);
            let cell = self.cells[at];
            if cell == 0 {
                break;
            }
            // A cell moves back unless its home lies behind the free place.
            let home = self.home((cell >> 32) as u32);
            let cells = self.cells.len();
            if (at + cells - home) % cells >= (at + cells - free) % cells {
                self.cells[free] = cell;
                free = at;
            }
        }
        self.cells[free] = 0;
        if self.len == 0 {
            self.cells = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0u32..80, any::<bool>()), 1..400), spread in 0u32..3) {
            // Few hashes, and hashes at both ends, so that rows wrap and mix.
            let hash = |slot: u32| match spread {
                0 => u32::MAX - slot % 3,
                1 => slot.wrapping_mul(0x9E37_79B9),
                _ => (slot % 7).wrapping_mul(0x2492_4924),
            };
            let mut index = KeyIndex::default();
            let mut map: HashMap<u32, u32> = HashMap::new();
            for (slot, is_new) in steps {
                if is_new {
                    if map.insert(slot, hash(slot)).is_none() {
                        index.insert(hash(slot), slot);
                    }
                } else {
                    map.remove(&slot);
                    index.remove(hash(slot), slot);
                }
                prop_assert_eq!(index.len(), map.len());
                for slot in 0..80 {
                    let found = index.find(hash(slot), |known| known == slot);
                    prop_assert_eq!(found, map.contains_key(&slot).then_some(slot));
                }
            }
        }
    }
}
