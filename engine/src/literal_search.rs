//! Finds which of many literals are in a text as JSON spells it, without unescaping or folding it.
//!
//! A literal is searched in its own spelling (`a\b` as `a\\b`), without ASCII case. Long ones are
//! found by grams, a few short ones by Teddy, many short ones by an automaton.
//!
//! # Soundness
//! A text of ASCII characters has one spelling, up to the escapes `\u` and `\/`, which the scanner
//! marks. In such a text every literal, folded, stands in its spelling, without case. The search may
//! also find a spelling that is none (the `n` of `\n`): whoever uses it verifies on the value. Texts
//! with other spellings, or with characters beyond ASCII (whose folding is more than ASCII's: `K`
//! U+212A folds to `k`), are brought into the plain spelling by [`respell`] first.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::grams::Grams;
use crate::teddy::Teddy;

/// Stride of the search for long literals.
const LONG_STRIDE: usize = 4;

/// So many literals are few.
const FEW: usize = 40;

/// A set of spelled literals.
#[derive(Debug, Default)]
pub(crate) struct LiteralSearch {
    long: Option<Tier<Grams>>,
    middle: Option<Tier<Grams>>,
    few: Option<Tier<Teddy>>,
    short: Option<Tier<AhoCorasick>>,
}

/// A search over some of the literals, and which these are.
#[derive(Debug)]
struct Tier<S> {
    search: S,
    /// The literal's index in the whole set, and its length as spelled.
    literals: Vec<(u32, u32)>,
}

impl LiteralSearch {
    /// A search for these folded, non-empty texts.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut tiers: [Vec<(u32, Box<[u8]>)>; 3] = Default::default();
        for (id, text) in texts.into_iter().enumerate() {
            let spelled = spelled(text);
            let tier = match spelled.len() {
                len if len >= Grams::len_min(LONG_STRIDE) => 0,
                len if len >= Grams::len_min(1) => 1,
                _ => 2,
            };
            tiers[tier].push((id as u32, spelled));
        }
        let [mut long, mut middle, mut short] = tiers;
        let mut search = Self::default();
        // One vector pass for all that are not long, or for all if they are few.
        let count = long.len() + middle.len() + short.len();
        let mut few = middle.clone();
        few.extend(short.iter().filter(|(_, literal)| literal.len() > 1).cloned());
        if count <= FEW {
            few.append(&mut long);
        }
        search.few = Tier::new(&few, |literals| Teddy::new(&literals));
        if search.few.is_some() {
            middle.clear();
            short.retain(|(_, literal)| literal.len() == 1);
        }
        search.long = Tier::grams(&long, LONG_STRIDE);
        let shortest = middle.iter().map(|(_, literal)| literal.len()).min();
        let stride = if shortest.is_some_and(|len| len >= Grams::len_min(2)) { 2 } else { 1 };
        search.middle = Tier::grams(&middle, stride);
        search.short = Tier::new(&short, |literals| {
            let mut builder = AhoCorasick::builder();
            builder.match_kind(MatchKind::Standard).ascii_case_insensitive(true);
            (!literals.is_empty())
                .then(|| builder.build(&literals).expect("short literals fit an automaton"))
        });
        search
    }

    /// Calls `found` with the index of each literal that is in the spelled text, and its place; says
    /// whether the text is ASCII if it saw all of it.
    #[inline]
    pub(crate) fn find(
        &self,
        text: &[u8],
        mut found: impl FnMut(u32, usize, usize),
    ) -> Option<bool> {
        let few = self
            .few
            .as_ref()
            .map(|tier| tier.search.find(text, |id, at| tier.hit(id, at, &mut found)));
        for tier in [&self.long, &self.middle].into_iter().flatten() {
            tier.search.find(text, |id, at| tier.hit(id, at, &mut found));
        }
        if let Some(tier) = &self.short {
            for hit in tier.search.find_overlapping_iter(text) {
                tier.hit(hit.pattern().as_u32(), hit.start(), &mut found);
            }
        }
        few
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.long.is_none() && self.middle.is_none() && self.few.is_none() && self.short.is_none()
    }

    /// Bytes of memory held, about.
    pub(crate) fn bytes(&self) -> usize {
        let grams = [&self.long, &self.middle].into_iter().flatten();
        grams.map(|tier| tier.search.bytes()).sum::<usize>()
            + self.short.as_ref().map_or(0, |tier| tier.search.memory_usage())
    }
}

impl<S> Tier<S> {
    fn new(
        literals: &[(u32, Box<[u8]>)],
        make: impl FnOnce(Vec<Box<[u8]>>) -> Option<S>,
    ) -> Option<Self> {
        let search = make(literals.iter().map(|(_, literal)| literal.clone()).collect())?;
        let literals = literals.iter().map(|(id, literal)| (*id, literal.len() as u32)).collect();
        Some(Self { search, literals })
    }

    #[inline]
    fn hit(&self, id: u32, at: usize, found: &mut impl FnMut(u32, usize, usize)) {
        let (literal, len) = self.literals[id as usize];
        found(literal, at, at + len as usize);
    }
}

impl Tier<Grams> {
    fn grams(literals: &[(u32, Box<[u8]>)], stride: usize) -> Option<Self> {
        Self::new(literals, |literals| Grams::new(&literals, stride))
    }
}

fn spelled(text: &[u8]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(text.len());
    respell(text, &mut out);
    out.into()
}

/// Appends a text as JSON has to spell it. Control characters without a short form stand for
/// themselves: a raw text cannot hold them, so whoever spells one is marked as odd.
pub(crate) fn respell(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0x08 => out.extend(b"\\b"),
            0x0c => out.extend(b"\\f"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            byte => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_every_literal_of_a_respelled_text(
            literals in prop::collection::vec("[ab\\\\\"\nk]{1,12}", 1..100),
            text in "[abAB\\\\\"\nkK]{0,60}",
        ) {
            let search = LiteralSearch::new(literals.iter().map(String::as_bytes));
            let mut raw = Vec::new();
            respell(text.as_bytes(), &mut raw);
            let mut found = vec![false; literals.len()];
            search.find(&raw, |id, start, end| {
                let there = raw[start..end].to_ascii_lowercase();
                assert_eq!(there, spelled(literals[id as usize].as_bytes()).to_vec());
                found[id as usize] = true;
            });
            let text = text.to_ascii_lowercase();
            for (literal, found) in literals.iter().zip(found) {
                prop_assert!(found || !text.contains(literal.as_str()), "{literal:?} in {text:?}");
            }
        }
    }
}
