//! The bytes of events that groups hold, apart from the groups.
//!
//! Few detections show them and they are far longer than all that is counted, so they have a limit of
//! their own: each group keeps its last ones, and over all groups of a window the oldest make room.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::detection::{EventRef, Position, WindowDetection};
use super::varint::{Checked, put, put_bytes, zigzag};

#[derive(Debug)]
struct Content {
    serial: u64,
    event: EventRef,
    bytes: Arc<[u8]>,
}

/// Events' bytes by the number of their group.
#[derive(Debug, Default)]
pub(super) struct Contents {
    by_slot: HashMap<u32, VecDeque<Content>>,
    /// In the order in which they came; some may have gone.
    order: VecDeque<(u64, u32)>,
    count: usize,
    bytes: usize,
    serial_last: u64,
}

impl Contents {
    /// Keeps one more, and as many as the limits allow: so many of a group, so many bytes in all.
    pub(super) fn push(
        &mut self,
        slot: u32,
        (event, bytes): (EventRef, &Arc<[u8]>),
        (count_max, bytes_max): (usize, usize),
    ) {
        if count_max == 0 || bytes.len() > bytes_max {
            return;
        }
        self.serial_last += 1;
        self.bytes += bytes.len();
        self.count += 1;
        self.order.push_back((self.serial_last, slot));
        let content = Content { serial: self.serial_last, event, bytes: Arc::clone(bytes) };
        let of_group = self.by_slot.entry(slot).or_default();
        of_group.push_back(content);
        if of_group.len() > count_max {
            self.remove_where(slot, 1, |_| true);
        }
        while self.bytes > bytes_max {
            let Some((serial, slot)) = self.order.pop_front() else { return };
            self.remove_where(slot, 1, |content| content.serial == serial);
        }
        if self.order.len() > 2 * self.count + 64 {
            self.forget_order();
        }
    }

    /// Shows a group's in its detections, each those of its span.
    pub(super) fn show(&self, slot: u32, detections: &mut [WindowDetection]) {
        for detection in detections {
            detection.contents = self.within(slot, (detection.start, detection.end));
        }
    }

    fn within(&self, slot: u32, (start, end): (i64, i64)) -> Vec<(EventRef, Arc<[u8]>)> {
        let of_group = self.by_slot.get(&slot).into_iter().flatten();
        of_group
            .filter(|content| (start..=end).contains(&content.event.time))
            .map(|content| (content.event, Arc::clone(&content.bytes)))
            .collect()
    }

    /// Gives up a group's of events before a time.
    pub(super) fn forget_before(&mut self, slot: u32, horizon: i64) {
        if self.count > 0 {
            self.remove_where(slot, usize::MAX, |content| content.event.time < horizon);
        }
    }

    /// Gives up a group's.
    pub(super) fn forget(&mut self, slot: u32) {
        if self.count > 0 {
            self.remove_where(slot, usize::MAX, |_| true);
        }
    }

    /// Removes a group's first ones that are meant, at most so many.
    fn remove_where(&mut self, slot: u32, limit: usize, is_meant: impl Fn(&Content) -> bool) {
        let Some(of_group) = self.by_slot.get_mut(&slot) else { return };
        let (mut removed, mut bytes) = (0, 0);
        of_group.retain(|content| {
            let is_removed = removed < limit && is_meant(content);
            if is_removed {
                removed += 1;
                bytes += content.bytes.len();
            }
            !is_removed
        });
        if of_group.is_empty() {
            self.by_slot.remove(&slot);
        }
        self.count -= removed;
        self.bytes -= bytes;
    }

    /// Writes them in the order in which they came, with the numbers that their groups will have.
    pub(super) fn save(&self, numbers: &[u32], out: &mut Vec<u8>) {
        put(out, self.count as u64);
        for (serial, slot) in &self.order {
            let of_group = self.by_slot.get(slot).into_iter().flatten();
            let Some(content) = of_group.into_iter().find(|content| content.serial == *serial)
            else {
                continue;
            };
            put(out, u64::from(numbers.get(*slot as usize).copied().unwrap_or_default()));
            put(out, zigzag(content.event.time));
            put(out, u64::from(content.event.position.source));
            put(out, content.event.position.offset);
            put_bytes(out, &content.bytes);
        }
    }

    /// Reads what was saved, of so many groups, from bytes that may be anything.
    pub(super) fn load(
        from: &mut Checked<'_>,
        groups: usize,
        limits: (usize, usize),
    ) -> Option<Self> {
        let mut contents = Self::default();
        for _ in 0..from.number()? {
            let slot =
                u32::try_from(from.number()?).ok().filter(|slot| (*slot as usize) < groups)?;
            let time = from.signed()?;
            let position =
                Position { source: u32::try_from(from.number()?).ok()?, offset: from.number()? };
            let bytes = Arc::from(from.bytes()?);
            contents.push(slot, (EventRef { time, position }, &bytes), limits);
        }
        Some(contents)
    }

    fn forget_order(&mut self) {
        let by_slot = &self.by_slot;
        self.order.retain(|(serial, slot)| {
            let of_group = by_slot.get(slot).into_iter().flatten();
            of_group.into_iter().any(|content| content.serial == *serial)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(contents: &mut Contents, slot: u32, time: i64, limits: (usize, usize)) {
        let position = Position { source: 0, offset: time as u64 };
        contents.push(slot, (EventRef { time, position }, &Arc::from(&[0; 10][..])), limits);
    }

    fn times(contents: &Contents, slot: u32) -> Vec<i64> {
        let all = contents.within(slot, (i64::MIN, i64::MAX));
        all.iter().map(|(event, _)| event.time).collect()
    }

    #[test]
    fn the_oldest_make_room() {
        let mut contents = Contents::default();
        for (slot, time) in [(1, 1), (2, 2), (1, 3), (1, 4), (2, 5)] {
            push(&mut contents, slot, time, (2, 30));
        }
        // The third of group 1 made its first go, then the fifth of all the next one.
        assert_eq!((times(&contents, 1), times(&contents, 2)), (vec![3, 4], vec![5]));
        contents.forget_before(1, 4);
        assert_eq!(times(&contents, 1), [4]);
        push(&mut contents, 3, 6, (2, 9));
        assert!(times(&contents, 3).is_empty(), "longer than all may be");
        contents.forget(1);
        contents.forget(2);
        assert_eq!((contents.count, contents.bytes, contents.by_slot.len()), (0, 0, 0));
    }

    #[test]
    fn the_order_does_not_outgrow_what_is_kept() {
        let mut contents = Contents::default();
        for time in 0..10_000 {
            push(&mut contents, 7, time, (2, 1_000));
        }
        assert!(contents.order.len() <= 2 * contents.count + 64);
        assert_eq!(times(&contents, 7), [9_998, 9_999]);
    }
}
