//! The engine's inner parts, for the benchmarks in `benches/` and for nobody else.
//!
//! A benchmark of one stage must not pay for the stages before it, yet the modules are private so that
//! they can change. Each type here wraps one of them behind the same three words: made of patterns,
//! asked with bytes, answers with a number that the benchmark checks. No promise is made of any of it.

#![allow(missing_docs, reason = "hidden, and each name is that of the module that it wraps")]

pub use crate::rarity::{class as bigram_class, table as bigram_table};

use crate::atom::AtomId;
use crate::field_index::FieldId;
use crate::literal_search;
use crate::scan;
use crate::tails::{self, Edge};
use crate::tape::{Kind, Tape};
use crate::{Rejection, memo, text};

/// Step 2 alone, by the tape.
#[derive(Debug)]
pub struct Scanner {
    scanner: scan::Scanner,
    tape: Tape,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { scanner: scan::Scanner::new(512, 16 << 20), tape: Tape::default() }
    }
}

impl Scanner {
    /// How many values the record has, containers included.
    pub fn scan(&mut self, record: &[u8]) -> Result<usize, Rejection> {
        self.scanner.scan(record, &mut self.tape)?;
        Ok(self.tape.entries.len())
    }
}

/// The search for literals anywhere in a text.
#[derive(Debug)]
pub struct LiteralSearch(literal_search::LiteralSearch);

impl LiteralSearch {
    pub fn new(literals: &[&str]) -> Self {
        Self(literal_search::LiteralSearch::new(literals.iter().map(|literal| literal.as_bytes())))
    }

    /// How many times a literal is found in the text.
    pub fn count(&self, text: &[u8]) -> usize {
        let mut count = 0;
        self.0.find(text, |_, _, _| count += 1);
        count
    }
}

/// The search for prefixes or suffixes.
#[derive(Debug)]
pub struct Tails(tails::Tails);

impl Tails {
    pub fn prefixes(patterns: &[&str]) -> Option<Self> {
        Self::new(patterns, Edge::Start)
    }

    pub fn suffixes(patterns: &[&str]) -> Option<Self> {
        Self::new(patterns, Edge::End)
    }

    fn new(patterns: &[&str], edge: Edge) -> Option<Self> {
        let patterns = patterns.iter().map(|pattern| pattern.as_bytes().into()).collect();
        tails::Tails::new(patterns, edge).map(Self)
    }

    /// How many of the patterns the text begins, or ends, with.
    pub fn count(&self, text: &[u8]) -> usize {
        let mut count = 0;
        self.0.find(text, |_| count += 1);
        count
    }
}

/// What is remembered of values.
#[derive(Debug)]
pub struct Memo(memo::Memo);

impl Default for Memo {
    fn default() -> Self {
        Self(memo::Memo::new(2))
    }
}

impl Memo {
    /// How many atoms are remembered for the text; if none are known, `atoms` are from now on.
    pub fn get_or_insert(&mut self, text: &[u8], atoms: &[AtomId]) -> Option<usize> {
        let key = self.0.key(FieldId(1), Kind::Text, text)?;
        if let Some(known) = self.0.get(&key, text) {
            return Some(known.count());
        }
        self.0.insert(&key, text, atoms);
        None
    }
}

/// Unescapes and folds a text as it stands in a record; the length of what comes out.
pub fn unescape_and_fold(raw: &[u8], plain: &mut Vec<u8>, folded: &mut Vec<u8>) -> usize {
    plain.clear();
    folded.clear();
    text::unescape(raw, plain);
    text::fold(plain, folded);
    folded.len()
}
