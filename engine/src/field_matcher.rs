//! Step 4, match: which eager atoms of one field hold for one value.
//!
//! All eager atoms of a field share one set of searches, each chosen by what the patterns are: a hash
//! set for whole texts and for numbers, hashed ends for prefixes and suffixes, grams for literals of
//! four bytes and more, an automaton for shorter ones. What none of these can find is tried one by one.
//!
//! # Soundness
//! A wildcard or regular expression is found by a literal that every match must contain, then
//! verified on the value. Texts are folded before they are searched; a cased atom is searched by its
//! folded text and verified. No value that matches lacks the literal, so none is lost.

use crate::hash::HashMap;
use aho_corasick::{AhoCorasick, MatchKind};

use crate::atom::{AtomId, Probe, Test};
use crate::decimal::Decimal;
use crate::grams::Grams;
use crate::tails::{Edge, Tails};
use crate::text;
use crate::value::ValueView;
use crate::wildcard::WildcardPart;

/// What a found pattern says.
#[derive(Debug, Clone, Copy)]
struct Fire {
    atom: AtomId,
    /// The atom's own test has to be asked.
    verify: bool,
}

/// Patterns of one kind and the atoms each one fires.
#[derive(Debug, Default)]
struct PatternSet {
    ids: HashMap<Box<[u8]>, u32>,
    fires: Vec<Vec<Fire>>,
}

impl PatternSet {
    fn add(&mut self, pattern: Box<[u8]>, fire: Fire) {
        let next = self.fires.len() as u32;
        let id = *self.ids.entry(pattern).or_insert(next);
        if id == next {
            self.fires.push(Vec::new());
        }
        self.fires[id as usize].push(fire);
    }

    fn patterns(&mut self) -> Vec<Box<[u8]>> {
        let mut patterns: Vec<_> = std::mem::take(&mut self.ids).into_iter().collect();
        patterns.sort_unstable_by_key(|(_, id)| *id);
        patterns.into_iter().map(|(pattern, _)| pattern).collect()
    }
}

/// A search and what its patterns fire.
#[derive(Debug)]
struct Search<S> {
    search: S,
    fires: Vec<Vec<Fire>>,
}

impl<S> Search<S> {
    fn new(mut set: PatternSet, make: impl FnOnce(Vec<Box<[u8]>>) -> Option<S>) -> Option<Self> {
        let search = make(set.patterns())?;
        Some(Self { search, fires: set.fires })
    }
}

/// The shared searches of one field's eager atoms.
#[derive(Debug)]
pub(crate) struct FieldMatcher {
    /// Hold whenever the field is there.
    pub(crate) present: Vec<AtomId>,
    exact: HashMap<Box<[u8]>, Vec<Fire>>,
    numbers: HashMap<Decimal, Vec<AtomId>>,
    starts: Option<Search<Tails>>,
    ends: Option<Search<Tails>>,
    long: Option<Search<Grams>>,
    middle: Option<Search<Grams>>,
    short: Option<Search<AhoCorasick>>,
    /// Found by no search: asked of every value.
    each: Vec<AtomId>,
    /// Most patterns in one of the searches.
    patterns_max: usize,
}

/// Stride of the search for long literals.
const LONG_STRIDE: usize = 4;

/// Marks what was found for the value at hand; one per worker.
#[derive(Debug, Default)]
pub(crate) struct Found {
    epoch: u32,
    atoms: Vec<u32>,
    pattern_epoch: u32,
    patterns: Vec<u32>,
    /// The atoms that hold, each once.
    pub(crate) holding: Vec<AtomId>,
}

impl Found {
    pub(crate) fn new(atoms: usize, patterns: usize) -> Self {
        Self { atoms: vec![0; atoms], patterns: vec![0; patterns], ..Self::default() }
    }

    fn begin(&mut self) {
        self.holding.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.atoms.fill(0);
            self.epoch = 1;
        }
    }

    fn begin_search(&mut self) {
        self.pattern_epoch = self.pattern_epoch.wrapping_add(1);
        if self.pattern_epoch == 0 {
            self.patterns.fill(0);
            self.pattern_epoch = 1;
        }
    }

    fn set(&mut self, atom: AtomId) {
        let seen = &mut self.atoms[atom.0 as usize];
        if *seen != self.epoch {
            *seen = self.epoch;
            self.holding.push(atom);
        }
    }

    fn fire(&mut self, fires: &[Fire], value: &ValueView<'_>, probes: &[Probe]) {
        for fire in fires {
            if self.atoms[fire.atom.0 as usize] == self.epoch {
                continue;
            }
            if !fire.verify || probes[fire.atom.0 as usize].holds(value) {
                self.set(fire.atom);
            }
        }
    }
}

impl FieldMatcher {
    /// The matcher of these atoms, all of one field.
    pub(crate) fn new<'a>(atoms: impl IntoIterator<Item = (AtomId, &'a Test)>) -> Self {
        let mut builder = Builder::default();
        for (atom, test) in atoms {
            builder.add(atom, test);
        }
        builder.build()
    }

    /// Collects in `found` the atoms that hold for `value`.
    pub(crate) fn run(&self, value: &ValueView<'_>, probes: &[Probe], found: &mut Found) {
        found.begin();
        if value.has_text() {
            self.run_text(value, probes, found);
        }
        if value.kind == crate::tape::Kind::Number && !self.numbers.is_empty() {
            if let Some(number) = value.decimal() {
                for atom in self.numbers.get(&number).into_iter().flatten() {
                    found.set(*atom);
                }
            }
        }
        for atom in &self.each {
            if probes[atom.0 as usize].holds(value) {
                found.set(*atom);
            }
        }
    }

    fn run_text(&self, value: &ValueView<'_>, probes: &[Probe], found: &mut Found) {
        let text = value.folded;
        if let Some(fires) = self.exact.get(text) {
            found.fire(fires, value, probes);
        }
        for tails in [&self.starts, &self.ends].into_iter().flatten() {
            tails.search.find(text, |id| found.fire(&tails.fires[id as usize], value, probes));
        }
        for grams in [&self.long, &self.middle].into_iter().flatten() {
            found.begin_search();
            let found = std::cell::RefCell::new(&mut *found);
            grams.search.find(
                text,
                |id| {
                    let found = found.borrow();
                    found.patterns[id as usize] != found.pattern_epoch
                },
                |id| {
                    let mut found = found.borrow_mut();
                    let epoch = found.pattern_epoch;
                    found.patterns[id as usize] = epoch;
                    found.fire(&grams.fires[id as usize], value, probes);
                },
            );
        }
        if let Some(short) = &self.short {
            found.begin_search();
            for hit in short.search.find_overlapping_iter(text) {
                let id = hit.pattern().as_usize();
                if found.patterns[id] != found.pattern_epoch {
                    found.patterns[id] = found.pattern_epoch;
                    found.fire(&short.fires[id], value, probes);
                }
            }
        }
    }

    /// See [`Found::new`].
    pub(crate) fn patterns_max(&self) -> usize {
        self.patterns_max
    }

    /// Whether a value can make an atom hold at all.
    pub(crate) fn reads_values(&self) -> bool {
        !self.exact.is_empty()
            || !self.numbers.is_empty()
            || self.starts.is_some()
            || self.ends.is_some()
            || self.long.is_some()
            || self.middle.is_some()
            || self.short.is_some()
            || !self.each.is_empty()
    }

    /// Bytes of memory held, about.
    pub(crate) fn bytes(&self) -> usize {
        let exact: usize = self.exact.iter().map(|(key, _)| key.len() + 64).sum();
        let tails = [&self.starts, &self.ends].into_iter().flatten();
        let grams = [&self.long, &self.middle].into_iter().flatten();
        exact
            + self.numbers.len() * 80
            + tails.map(|tails| tails.search.bytes()).sum::<usize>()
            + grams.map(|grams| grams.search.bytes()).sum::<usize>()
            + self.short.as_ref().map_or(0, |short| short.search.memory_usage())
    }
}

#[derive(Default)]
struct Builder {
    present: Vec<AtomId>,
    exact: HashMap<Box<[u8]>, Vec<Fire>>,
    numbers: HashMap<Decimal, Vec<AtomId>>,
    starts: PatternSet,
    ends: PatternSet,
    contains: PatternSet,
    each: Vec<AtomId>,
}

impl Builder {
    fn add(&mut self, atom: AtomId, test: &Test) {
        let fire = |verify| Fire { atom, verify };
        let fold = |bytes: &[u8]| -> Box<[u8]> {
            let mut folded = Vec::new();
            text::fold(bytes, &mut folded);
            folded.into()
        };
        match test {
            Test::Exists => self.present.push(atom),
            Test::Equals(text) => {
                self.exact.entry(fold(&text.bytes)).or_default().push(fire(text.cased));
            }
            Test::StartsWith(text) if !text.bytes.is_empty() => {
                self.starts.add(fold(&text.bytes), fire(text.cased));
            }
            Test::EndsWith(text) if !text.bytes.is_empty() => {
                self.ends.add(fold(&text.bytes), fire(text.cased));
            }
            Test::Contains(text) if !text.bytes.is_empty() => {
                self.contains.add(fold(&text.bytes), fire(text.cased));
            }
            Test::Number { value, text } => {
                self.numbers.entry(value.clone()).or_default().push(atom);
                self.exact.entry(text.clone()).or_default().push(fire(true));
            }
            Test::Wildcard { parts, .. } => match longest_literal(parts) {
                Some((0, literal)) => self.starts.add(fold(literal), fire(true)),
                Some((at, literal)) if at + 1 == parts.len() => {
                    self.ends.add(fold(literal), fire(true));
                }
                Some((_, literal)) => self.contains.add(fold(literal), fire(true)),
                None => self.each.push(atom),
            },
            Test::Regex(pattern) if !pattern.required.is_empty() => {
                for literal in &pattern.required {
                    self.contains.add(literal.clone(), fire(true));
                }
            }
            _ => self.each.push(atom),
        }
    }

    fn build(self) -> FieldMatcher {
        let (mut long, mut middle, mut short) =
            (PatternSet::default(), PatternSet::default(), PatternSet::default());
        let middle_min = Grams::len_min(1);
        for (pattern, id) in self.contains.ids {
            let set = match pattern.len() {
                len if len >= Grams::len_min(LONG_STRIDE) => &mut long,
                len if len >= middle_min => &mut middle,
                _ => &mut short,
            };
            for fire in &self.contains.fires[id as usize] {
                set.add(pattern.clone(), *fire);
            }
        }
        let stride =
            middle.ids.keys().map(|p| p.len()).min().unwrap_or(middle_min) - middle_min + 1;
        let patterns_max = [&long, &middle, &short].iter().map(|set| set.fires.len()).max();
        FieldMatcher {
            present: self.present,
            exact: self.exact,
            numbers: self.numbers,
            starts: Search::new(self.starts, |patterns| Tails::new(patterns, Edge::Start)),
            ends: Search::new(self.ends, |patterns| Tails::new(patterns, Edge::End)),
            long: Search::new(long, |patterns| Grams::new(patterns, LONG_STRIDE)),
            middle: Search::new(middle, |patterns| Grams::new(patterns, stride)),
            short: Search::new(short, |patterns| {
                if patterns.is_empty() {
                    return None;
                }
                let mut builder = AhoCorasick::builder();
                builder.match_kind(MatchKind::Standard);
                Some(builder.build(&patterns).expect("patterns of three bytes fit an automaton"))
            }),
            each: self.each,
            patterns_max: patterns_max.unwrap_or(0),
        }
    }
}

/// The longest literal of a pattern and its index among the parts.
fn longest_literal(parts: &[WildcardPart]) -> Option<(usize, &[u8])> {
    parts
        .iter()
        .enumerate()
        .filter_map(|(at, part)| match part {
            WildcardPart::Literal(literal) => Some((at, &**literal)),
            _ => None,
        })
        .max_by_key(|(_, literal)| literal.len())
}
