//! Groups by the time at which there is something to do for them.
//!
//! Times lie ahead by about a timespan, so they stand in buckets, in no order, at eight bytes each; only
//! the bucket whose time has come is put in order. Given back in the order of times and numbers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::slab::reserve;

/// Into how many buckets a timespan is cut.
const BUCKETS: i64 = 128;

/// Numbers by times.
#[derive(Debug)]
pub(super) struct DueQueue {
    /// In milliseconds, at most 2^32.
    width: i64,
    /// All that lies before the end of the bucket begun last.
    current: BinaryHeap<Reverse<(i64, u32)>>,
    current_bucket: i64,
    /// By bucket: the time within it and the number.
    later: BTreeMap<i64, Vec<(u32, u32)>>,
}

impl DueQueue {
    /// For times that lie about so far ahead.
    pub(super) fn new(timespan_ms: i64) -> Self {
        Self {
            width: (timespan_ms / BUCKETS).clamp(1, i64::from(u32::MAX)),
            current: BinaryHeap::new(),
            current_bucket: i64::MIN,
            later: BTreeMap::new(),
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let later: usize = self.later.values().map(Vec::capacity).sum();
        self.current.capacity() * size_of::<(i64, u32)>() + later * size_of::<(u32, u32)>()
    }

    pub(super) fn push(&mut self, due_at: i64, slot: u32) {
        let bucket = due_at.div_euclid(self.width);
        if bucket <= self.current_bucket {
            self.current.push(Reverse((due_at, slot)));
        } else {
            let within = due_at.rem_euclid(self.width) as u32;
            let times = self.later.entry(bucket).or_default();
            reserve(times, 1);
            times.push((within, slot));
        }
    }

    /// Takes out the first, if it lies before `before`.
    pub(super) fn pop_before(&mut self, before: i64) -> Option<(i64, u32)> {
        self.pop_if(|due_at| due_at < before)
    }

    /// Takes out the first.
    pub(super) fn pop(&mut self) -> Option<(i64, u32)> {
        self.pop_if(|_| true)
    }

    fn pop_if(&mut self, is_due: impl Fn(i64) -> bool) -> Option<(i64, u32)> {
        loop {
            if let Some(Reverse((due_at, slot))) = self.current.peek().copied() {
                if !is_due(due_at) {
                    return None;
                }
                self.current.pop();
                return Some((due_at, slot));
            }
            let first = self.later.first_entry()?;
            let bucket = *first.key();
            if !is_due(bucket.saturating_mul(self.width)) {
                return None;
            }
            self.current_bucket = bucket;
            let times = first.remove();
            // The first bucket may begin before the first number, none of its times does.
            let start = bucket.wrapping_mul(self.width);
            let ordered = times
                .iter()
                .map(|(within, slot)| Reverse((start.wrapping_add(i64::from(*within)), *slot)));
            self.current = ordered.collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_heap(
            steps in prop::collection::vec((-500i64..5_000, prop::option::of(-600i64..6_000)), 1..300),
            timespan in prop::sample::select(vec![0, 1, 1_000, 100_000]),
        ) {
            let mut queue = DueQueue::new(timespan);
            let mut heap = BinaryHeap::new();
            for (at, (due_at, before)) in steps.into_iter().enumerate() {
                queue.push(due_at, at as u32);
                heap.push(Reverse((due_at, at as u32)));
                let Some(before) = before else { continue };
                while heap.peek().is_some_and(|Reverse((due_at, _))| *due_at < before) {
                    let first = heap.pop().map(|Reverse(first)| first);
                    prop_assert_eq!(queue.pop_before(before), first);
                }
                prop_assert_eq!(queue.pop_before(before), None);
            }
        }

        #[test]
        fn the_ends_of_time_are_times(times in prop::collection::vec(any::<i64>(), 1..20)) {
            let mut queue = DueQueue::new(1_000);
            let mut times: Vec<i64> = times.into_iter().chain([i64::MIN, i64::MAX - 1]).collect();
            times.iter().for_each(|time| queue.push(*time, 0));
            times.sort_unstable();
            for time in times {
                let wanted = (time < i64::MAX).then_some((time, 0));
                prop_assert_eq!(queue.pop_before(i64::MAX), wanted);
            }
        }
    }
}
