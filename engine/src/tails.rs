//! Finds which of many prefixes, or suffixes, a text has, by hashing its ends.
//!
//! Patterns are put into tiers by length; a tier's key is the pattern's outermost bytes. A text costs
//! one look-up for each tier in use, however many patterns there are.

use crate::hash::HashMap;

/// Key lengths, longest first; a pattern belongs to the first that it fills.
const TIERS: [usize; 6] = [16, 8, 4, 3, 2, 1];

/// Which end of the text the patterns belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Start,
    End,
}

/// Key length, and the patterns by key.
type Tier = (usize, HashMap<Box<[u8]>, Vec<u32>>);

/// A set of non-empty prefixes or suffixes.
#[derive(Debug)]
pub(crate) struct Tails {
    edge: Edge,
    tiers: Vec<Tier>,
    patterns: Box<[Box<[u8]>]>,
}

impl Tails {
    /// `None` if there is no pattern.
    pub(crate) fn new(patterns: Vec<Box<[u8]>>, edge: Edge) -> Option<Self> {
        if patterns.is_empty() {
            return None;
        }
        let mut tiers: Vec<Tier> = Vec::new();
        for len in TIERS {
            let mut tier: HashMap<Box<[u8]>, Vec<u32>> = HashMap::default();
            for (id, pattern) in patterns.iter().enumerate() {
                if TIERS.iter().find(|tier| **tier <= pattern.len()) == Some(&len) {
                    tier.entry(edge.of(pattern, len).into()).or_default().push(id as u32);
                }
            }
            if !tier.is_empty() {
                tiers.push((len, tier));
            }
        }
        Some(Self { edge, tiers, patterns: patterns.into() })
    }

    /// Calls `found` with the index of each pattern that the text begins, or ends, with.
    #[inline]
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(u32)) {
        for (len, tier) in &self.tiers {
            if text.len() < *len {
                continue;
            }
            for id in tier.get(self.edge.of(text, *len)).into_iter().flatten() {
                let pattern = &self.patterns[*id as usize];
                let is_there = match self.edge {
                    Edge::Start => text.starts_with(pattern),
                    Edge::End => text.ends_with(pattern),
                };
                if is_there {
                    found(*id);
                }
            }
        }
    }

    /// Bytes of memory held, about.
    pub(crate) fn bytes(&self) -> usize {
        self.patterns.iter().map(|p| 2 * p.len() + 64).sum()
    }
}

impl Edge {
    #[inline]
    fn of(self, text: &[u8], len: usize) -> &[u8] {
        match self {
            Self::Start => &text[..len],
            Self::End => &text[text.len() - len..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_comparing_finds(
            patterns in prop::collection::vec("[ab]{1,20}", 1..20),
            text in "[ab]{0,24}",
        ) {
            for edge in [Edge::Start, Edge::End] {
                let tails = Tails::new(
                    patterns.iter().map(|p| p.as_bytes().into()).collect(), edge).unwrap();
                let mut found = vec![false; patterns.len()];
                tails.find(text.as_bytes(), |pattern| found[pattern as usize] = true);
                let wanted: Vec<bool> = patterns.iter().map(|p| match edge {
                    Edge::Start => text.starts_with(p.as_str()),
                    Edge::End => text.ends_with(p.as_str()),
                }).collect();
                prop_assert_eq!(found, wanted);
            }
        }
    }
}
