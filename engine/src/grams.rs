//! Finds many literals in a text by looking at every few bytes only.
//!
//! Each pattern contributes a few consecutive 4-byte grams, as many as the text is read with a
//! stride: wherever the pattern stands, one of these grams is at a place that is looked at. A bitmap
//! answers most places; what it lets through is looked up in a table and compared with the whole
//! pattern. The idea is Wu and Manber's (1994); of a pattern's grams the run is taken that is rarest in
//! logs (see [`crate::rarity`]) and among the patterns, so that `.exe` does not fire for everybody.
//!
//! # Soundness
//! A pattern of n bytes has n − 3 grams; with stride s it must give s of them, so patterns shorter
//! than s + 3 are not taken. The bitmap may let through what is no gram; it never drops one.
//! Grams are compared with the case bit of every byte set, patterns without ASCII case, so that a raw
//! text is searched as it is. The property test below compares with a plain search.

/// Bytes of a gram.
const GRAM: usize = 4;
/// Bits of the bitmap for each gram in it.
const BITS_A_GRAM: u32 = 128;
const BITMAP_BITS_MIN: u32 = 10;
const BITMAP_BITS_MAX: u32 = 18;

use crate::arch::{GramFilter, Isa};
use crate::caseless::Literals;
use crate::rarity;

/// What a gram that is let through costs, in comparisons with a place of that gram.
const CANDIDATE_COST: f32 = 4.0;

/// A set of literals, all of at least `stride + 3` bytes.
#[derive(Debug)]
pub(crate) struct Grams {
    isa: Isa,
    stride: usize,
    filter: GramFilter,
    /// For each bucket of the hash, where its places begin; one more at the end.
    starts: Box<[u32]>,
    bucket_shift: u32,
    places: Box<[Place]>,
    patterns: Literals,
}

/// A gram of a pattern.
#[derive(Debug, Clone, Copy)]
struct Place {
    gram: u32,
    pattern: u32,
    /// Bytes of the pattern before the gram.
    offset: u32,
    /// Another gram of the pattern, and where it is from this one: most places are wrong, and this
    /// tells it without going to the pattern.
    second: u32,
    second_at: i32,
}

impl Place {
    fn new(id: u32, pattern: &[u8], at: usize) -> Self {
        // Apart from the first as far as the pattern allows, behind it if that is as far.
        let last = pattern.len() - GRAM;
        let second = if last - at >= at { last.min(at + GRAM) } else { at.saturating_sub(GRAM) };
        Self {
            gram: gram_at(pattern, at),
            pattern: id,
            offset: at as u32,
            second: gram_at(pattern, second),
            second_at: second as i32 - at as i32,
        }
    }
}

#[inline]
fn gram_at(bytes: &[u8], at: usize) -> u32 {
    GramFilter::gram([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Grams {
    /// Shortest pattern for a stride.
    pub(crate) fn len_min(stride: usize) -> usize {
        stride + GRAM - 1
    }

    /// A search with stride 1, 2 or 4; `None` if there is no pattern.
    pub(crate) fn new(patterns: &[Box<[u8]>], stride: usize) -> Option<Self> {
        if patterns.is_empty() {
            return None;
        }
        let mut counts = std::collections::HashMap::new();
        for pattern in patterns {
            for at in 0..=pattern.len() - GRAM {
                let count: &mut u16 = counts.entry(gram_at(pattern, at)).or_default();
                *count = count.saturating_add(1);
            }
        }
        let mut places = Vec::with_capacity(patterns.len() * stride);
        for (id, pattern) in patterns.iter().enumerate() {
            let starts = pattern.len() + 2 - GRAM - stride;
            let costs: Vec<f32> = (0..=pattern.len() - GRAM)
                .map(|at| {
                    let others = f32::from(counts[&gram_at(pattern, at)]);
                    rarity::share(&pattern[at..at + GRAM]) * (CANDIDATE_COST + others)
                })
                .collect();
            let cost = |from: usize| -> f32 { costs[from..from + stride].iter().sum() };
            let from = (0..starts).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(0);
            places.extend((from..from + stride).map(|at| Place::new(id as u32, pattern, at)));
        }
        let bits = (places.len() as u32 * BITS_A_GRAM)
            .next_power_of_two()
            .ilog2()
            .clamp(BITMAP_BITS_MIN, BITMAP_BITS_MAX);
        let filter = GramFilter::new(bits, places.iter().map(|place| place.gram));
        let bucket_bits = (places.len() as u32 * 2).next_power_of_two().ilog2().clamp(4, 20);
        let bucket_shift = 32 - bucket_bits;
        places.sort_by_key(|place| {
            (GramFilter::hash(place.gram) >> bucket_shift, place.gram, place.pattern)
        });
        let mut starts = vec![0u32; (1 << bucket_bits) + 1];
        for place in &places {
            starts[(GramFilter::hash(place.gram) >> bucket_shift) as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        Some(Self {
            isa: Isa::best(),
            stride,
            filter,
            starts: starts.into(),
            bucket_shift,
            places: places.into(),
            patterns: Literals::new(patterns),
        })
    }

    /// Calls `found` with the index and the place of each pattern that is in the text, without ASCII
    /// case.
    #[inline]
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(u32, usize)) {
        self.isa.grams(&self.filter, self.stride, text, &mut |at| {
            self.confirm(text, at, gram_at(text, at), &mut found);
        });
    }

    #[inline(never)]
    fn confirm(&self, text: &[u8], at: usize, gram: u32, found: &mut impl FnMut(u32, usize)) {
        let bucket = (GramFilter::hash(gram) >> self.bucket_shift) as usize;
        let places = &self.places[self.starts[bucket] as usize..self.starts[bucket + 1] as usize];
        for place in places.iter().filter(|place| place.gram == gram) {
            let second = at.checked_add_signed(place.second_at as isize);
            let window = second.and_then(|second| text.get(second..)?.first_chunk());
            if window.is_none_or(|window| GramFilter::gram(*window) != place.second) {
                continue;
            }
            let Some(start) = at.checked_sub(place.offset as usize) else { continue };
            if self.patterns.is_at(place.pattern, &text[start..]) {
                found(place.pattern, start);
            }
        }
    }

    /// Bytes of memory held.
    pub(crate) fn bytes(&self) -> usize {
        self.filter.bytes()
            + self.starts.len() * 4
            + self.places.len() * size_of::<Place>()
            + self.patterns.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(
            patterns in prop::collection::vec("[ab]{7,12}", 1..20),
            text in "[abAB]{0,60}",
            stride in prop::sample::select(vec![1usize, 2, 4]),
        ) {
            let grams = Grams::new(
                &patterns.iter().map(|p| p.as_bytes().into()).collect::<Vec<_>>(), stride).unwrap();
            let mut found = Vec::new();
            grams.find(text.as_bytes(), |pattern, at| found.push((pattern, at)));
            found.sort_unstable();
            let text = text.to_ascii_lowercase();
            let mut wanted = Vec::new();
            for (id, pattern) in patterns.iter().enumerate() {
                let there = (0..text.len()).filter(|at| text[*at..].starts_with(pattern.as_str()));
                wanted.extend(there.map(|at| (id as u32, at)));
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
