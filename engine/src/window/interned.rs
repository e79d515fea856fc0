//! Byte strings with numbers, as long as an entry of a group has them.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

/// Byte strings by number. 0 is no string.
#[derive(Debug, Default)]
pub(crate) struct Interned(Option<Box<Strings>>);

#[derive(Debug, Default)]
struct Strings {
    numbers: HashMap<Arc<[u8]>, u32>,
    /// By number less one: the bytes and how many entries have them.
    slots: Vec<(Arc<[u8]>, u32)>,
    free: Vec<u32>,
}

impl Interned {
    /// The number of a string for one more entry.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> u32 {
        self.0.get_or_insert_default().take(bytes)
    }

    /// The string of a number.
    pub(crate) fn get(&self, number: u32) -> Option<&Arc<[u8]>> {
        Some(&self.0.as_ref()?.slots.get((number as usize).checked_sub(1)?)?.0)
    }

    /// An entry that had this number has gone.
    pub(crate) fn give_back(&mut self, number: u32) {
        if let Some(strings) = &mut self.0 {
            strings.give_back(number);
        }
    }
}

impl Strings {
    fn take(&mut self, bytes: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(bytes) {
            self.slots[*number as usize - 1].1 += 1;
            return *number;
        }
        let bytes: Arc<[u8]> = bytes.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push((Arc::clone(&bytes), 0));
            self.slots.len() as u32
        });
        self.slots[number as usize - 1] = (Arc::clone(&bytes), 1);
        self.numbers.insert(bytes, number);
        number
    }

    fn give_back(&mut self, number: u32) {
        let Some(at) = (number as usize).checked_sub(1) else { return };
        let (bytes, count) = &mut self.slots[at];
        *count -= 1;
        if *count == 0 {
            let bytes = std::mem::take(bytes);
            if let Slot::Occupied(slot) = self.numbers.entry(bytes) {
                slot.remove();
            }
            self.free.push(number);
        }
    }
}
