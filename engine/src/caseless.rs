//! Literals in one piece of memory, compared with a text without ASCII case, eight bytes at a time.
//!
//! Each literal stands in lower case, and behind it a mask with the case bit of every letter: a text has
//! the literal if its bytes with the mask's bits set are the literal's.
//!
//! # Soundness
//! A letter in lower case has the case bit, so `byte | 0x20` is that letter if and only if `byte` is it
//! in one of its two cases. Where the mask is zero bytes are compared as they are.

/// Bytes compared at once.
const WORD: usize = 8;
/// Bytes compared at once of shorter literals.
const HALF: usize = 4;

/// The literals, each at least four bytes long.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    /// Literal and mask, by turns.
    bytes: Box<[u8]>,
    /// Where each literal begins; one more at the end.
    starts: Box<[u32]>,
}

impl Literals {
    pub(crate) fn new(literals: &[Box<[u8]>]) -> Self {
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        for literal in literals {
            debug_assert!(literal.len() >= HALF, "too short: {literal:?}");
            bytes.extend(literal.iter().map(u8::to_ascii_lowercase));
            bytes.extend(literal.iter().map(|byte| u8::from(byte.is_ascii_alphabetic()) << 5));
            starts.push(bytes.len() as u32);
        }
        Self { bytes: bytes.into(), starts: starts.into() }
    }

    /// Whether the text begins with a literal.
    #[inline]
    pub(crate) fn is_at(&self, literal: u32, text: &[u8]) -> bool {
        let range =
            self.starts[literal as usize] as usize..self.starts[literal as usize + 1] as usize;
        let both = &self.bytes[range];
        let (literal, mask) = both.split_at(both.len() / 2);
        let Some(text) = text.get(..literal.len()) else { return false };
        if literal.len() < WORD {
            return is_same_half(text, literal, mask, 0)
                && is_same_half(text, literal, mask, literal.len() - HALF);
        }
        let last = literal.len() - WORD;
        (0..last).step_by(WORD).chain([last]).all(|at| is_same(text, literal, mask, at))
    }

    /// Bytes of memory held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.starts.len() * 4
    }
}

#[inline]
fn is_same(text: &[u8], literal: &[u8], mask: &[u8], at: usize) -> bool {
    let word = |bytes: &[u8]| bytes[at..].first_chunk().map(|chunk| u64::from_le_bytes(*chunk));
    match (word(text), word(literal), word(mask)) {
        (Some(text), Some(literal), Some(mask)) => text | mask == literal,
        _ => false,
    }
}

#[inline]
fn is_same_half(text: &[u8], literal: &[u8], mask: &[u8], at: usize) -> bool {
    let half = |bytes: &[u8]| bytes[at..].first_chunk().map(|chunk| u32::from_le_bytes(*chunk));
    match (half(text), half(literal), half(mask)) {
        (Some(text), Some(literal), Some(mask)) => text | mask == literal,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn says_what_a_comparison_of_bytes_says(
            literals in prop::collection::vec(prop::collection::vec(any::<u8>(), 4..40), 1..6),
            text in prop::collection::vec(any::<u8>(), 0..40),
            flip in any::<u64>(),
            change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let boxed: Vec<Box<[u8]>> = literals.iter().map(|l| l.as_slice().into()).collect();
            let set = Literals::new(&boxed);
            for (id, literal) in literals.iter().enumerate() {
                // The literal with some of its case bits turned over, letters or not.
                let mut near = literal.clone();
                for (at, byte) in near.iter_mut().enumerate() {
                    *byte ^= u8::from(flip >> (at % 64) & 1 == 1) << 5;
                }
                if let Some((at, byte)) = change {
                    near[at.index(literal.len())] = byte;
                }
                let long = [near.as_slice(), &text].concat();
                for text in [&text, &near, &long, literal] {
                    let is_there = text
                        .get(..literal.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(literal));
                    prop_assert_eq!(set.is_at(id as u32, text), is_there);
                }
            }
        }
    }
}
