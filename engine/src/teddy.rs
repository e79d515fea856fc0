//! Finds a few dozen short literals in a raw text, without ASCII case, at vector speed.
//!
//! Four bytes of every literal, the rarest that stand together, are its fingerprint. For each position the nibbles of four
//! bytes are looked up in small tables of buckets, thirty-two positions at once; where a bucket
//! survives all eight look-ups its literals are compared. This is the Teddy of Hyperscan (Wang
//! et al., NSDI 2019), with both cases of a letter in the tables.
//!
//! # Soundness
//! A literal is in the bucket of each of its fingerprint's spellings, so no occurrence is lost; a
//! shorter literal accepts any byte behind it, and positions too near the end for four bytes are
//! compared one by one. The property test below compares with a plain search.

use crate::arch::{FINGERPRINT, Isa, TeddyMasks};
use crate::rarity;

/// Most literals of a set: beyond that every position has a candidate.
pub(crate) const LITERALS_MAX: usize = 64;
const BUCKETS: usize = 8;
/// More literals than this fill two banks of buckets.
const ONE_BANK_MAX: usize = 32;

/// A set of literals of at least two bytes.
#[derive(Debug)]
pub(crate) struct Teddy {
    isa: Isa,
    /// One or two, for all the text; the second one halves what every bucket holds.
    masks: Box<[TeddyMasks]>,
    /// By bank.
    buckets: Box<[Buckets]>,
    literals: Box<[Box<[u8]>]>,
}

/// What a bank looks for.
type Buckets = [Vec<Literal>; BUCKETS];

/// A literal's fingerprint as one word, with the case bit set where compared.
#[derive(Debug, Clone, Copy)]
struct Literal {
    id: u32,
    /// Bytes of the literal before its fingerprint.
    offset: u32,
    word: u32,
    mask: u32,
}

/// The case bit of four bytes.
const CASE: u32 = 0x2020_2020;

impl Teddy {
    /// `None` if there is no literal, too many, or one of a single byte.
    pub(crate) fn new(literals: &[Box<[u8]>]) -> Option<Self> {
        let is_fit = !literals.is_empty()
            && literals.len() <= LITERALS_MAX
            && literals.iter().all(|literal| literal.len() >= 2);
        if !is_fit {
            return None;
        }
        let mut order: Vec<u32> = (0..literals.len() as u32).collect();
        // Short ones first: they accept the most and want buckets of their own.
        order.sort_by_key(|id| (literals[*id as usize].len().min(FINGERPRINT), *id));
        let bank_count = if literals.len() > ONE_BANK_MAX { 2 } else { 1 };
        let mut masks = vec![TeddyMasks::default(); bank_count];
        let mut buckets: Vec<Buckets> = (0..bank_count).map(|_| Buckets::default()).collect();
        let mut loads = vec![Load::default(); bank_count * BUCKETS];
        for id in order {
            let literal = &literals[id as usize];
            let offset = rarest_window(literal);
            let fingerprint = &literal[offset..literal.len().min(offset + FINGERPRINT)];
            let best = best_bucket(&loads, fingerprint);
            loads[best].add(fingerprint);
            add_fingerprint(&mut masks[best / BUCKETS], best % BUCKETS, fingerprint);
            buckets[best / BUCKETS][best % BUCKETS].push(Literal::new(id, offset, fingerprint));
        }
        Some(Self {
            isa: Isa::best(),
            masks: masks.into(),
            buckets: buckets.into(),
            literals: literals.into(),
        })
    }

    /// Calls `found` with each literal that is in the text and its place; says whether the text is
    /// ASCII.
    #[inline]
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(u32, usize)) -> bool {
        let mut candidate = |bank: usize, at: usize, buckets: u8| {
            self.confirm(&self.buckets[bank], text, at, buckets, &mut found);
        };
        let pass = self.isa.teddy(&self.masks, text, &mut candidate);
        for bank in 0..self.buckets.len() {
            (pass.done..text.len()).for_each(|at| candidate(bank, at, u8::MAX));
        }
        pass.is_ascii
    }

    #[inline]
    fn confirm(
        &self,
        bank: &Buckets,
        text: &[u8],
        at: usize,
        mut buckets: u8,
        found: &mut impl FnMut(u32, usize),
    ) {
        let word = match text.get(at..at + 4) {
            Some(bytes) => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) | CASE,
            None => {
                let mut bytes = [0; 4];
                let rest = text.get(at..).unwrap_or(&[]);
                bytes[..rest.len()].copy_from_slice(rest);
                u32::from_le_bytes(bytes) | CASE
            }
        };
        while buckets != 0 {
            for literal in &bank[buckets.trailing_zeros() as usize] {
                if word & literal.mask == literal.word {
                    self.compare(text, at, literal, found);
                }
            }
            buckets &= buckets - 1;
        }
    }

    fn compare(
        &self,
        text: &[u8],
        at: usize,
        candidate: &Literal,
        found: &mut impl FnMut(u32, usize),
    ) {
        let Some(start) = at.checked_sub(candidate.offset as usize) else { return };
        let literal = &self.literals[candidate.id as usize];
        let window = text.get(start..start + literal.len());
        if window.is_some_and(|window| window.eq_ignore_ascii_case(literal)) {
            found(candidate.id, start);
        }
    }
}

/// What a bucket accepts: for each place the sets of low and of high nibbles.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    nibbles: [(u16, u16); FINGERPRINT],
}

impl Load {
    fn add(&mut self, literal: &[u8]) {
        for (place, (low, high)) in self.nibbles.iter_mut().enumerate() {
            match literal.get(place) {
                Some(byte) => {
                    for byte in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
                        *low |= 1 << (byte & 15);
                        *high |= 1 << (byte >> 4);
                    }
                }
                None => (*low, *high) = (u16::MAX, u16::MAX),
            }
        }
    }

    /// The share of random texts that pass; letters are most of a text, so high nibbles tell little.
    fn cost(&self) -> f64 {
        let share = |set: u16| f64::from(set.count_ones()) / 16.0;
        self.nibbles.iter().map(|(low, high)| share(*low) * share(*high).sqrt()).product()
    }
}

/// Where the fingerprint of a literal begins: where its bytes are rarest in logs.
fn rarest_window(literal: &[u8]) -> usize {
    let windows = literal.windows(FINGERPRINT).enumerate();
    let shares = windows.map(|(at, window)| (at, rarity::share(window)));
    shares.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at)
}

/// The bucket whose candidates grow least.
fn best_bucket(loads: &[Load], literal: &[u8]) -> usize {
    let growth = |load: &Load| {
        let mut grown = *load;
        grown.add(literal);
        grown.cost() - load.cost()
    };
    (0..loads.len()).min_by(|a, b| growth(&loads[*a]).total_cmp(&growth(&loads[*b]))).unwrap_or(0)
}

fn add_fingerprint(masks: &mut TeddyMasks, bucket: usize, fingerprint: &[u8]) {
    for place in 0..FINGERPRINT {
        match fingerprint.get(place) {
            Some(byte) => {
                masks.add(place, byte.to_ascii_lowercase(), bucket);
                masks.add(place, byte.to_ascii_uppercase(), bucket);
            }
            None => masks.add_all(place, bucket),
        }
    }
}

impl Literal {
    fn new(id: u32, offset: usize, bytes: &[u8]) -> Self {
        let (mut word, mut mask) = ([0; 4], [0; 4]);
        for (place, byte) in bytes.iter().take(4).enumerate() {
            word[place] = byte | 0x20;
            mask[place] = 0xff;
        }
        Self {
            id,
            offset: offset as u32,
            word: u32::from_le_bytes(word),
            mask: u32::from_le_bytes(mask),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(
            literals in prop::collection::vec("[ab\\\\.]{2,5}", 1..40),
            text in "[abAB\\\\.x]{0,100}é?[ab]{0,70}",
        ) {
            let boxed: Vec<Box<[u8]>> = literals.iter().map(|l| l.as_bytes().into()).collect();
            let mut teddy = Teddy::new(&boxed).unwrap();
            let lower = text.to_ascii_lowercase();
            let mut wanted = Vec::new();
            for (id, literal) in literals.iter().enumerate() {
                for at in 0..text.len() {
                    if lower.as_bytes()[at..].starts_with(literal.as_bytes()) {
                        wanted.push((id as u32, at));
                    }
                }
            }
            for isa in Isa::all() {
                teddy.isa = isa;
                let mut got = Vec::new();
                let is_ascii = teddy.find(text.as_bytes(), |id, at| got.push((id, at)));
                prop_assert_eq!(is_ascii, text.is_ascii());
                got.sort_unstable();
                prop_assert_eq!(&got, &wanted, "{:?}", isa);
            }
        }
    }
}
