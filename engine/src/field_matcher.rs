//! Step 4, match: which eager atoms of one field hold for one value.
//!
//! All eager atoms of a field share one set of searches, each chosen by what the patterns are: a hash
//! set for whole texts and for numbers, hashed ends for prefixes and suffixes, [`LiteralSearch`] for
//! what may stand anywhere. What none of these can find is tried one by one.
//!
//! # Soundness
//! A wildcard or regular expression is found by a literal that every match must contain, then
//! verified on the value; a cased atom is found by its folded text and verified. Literals are
//! searched in the raw value unless it hides (see [`crate::hidden`]) a character that one of them has,
//! else in its folded text spelled anew; a hit in the middle of an escape is none, and where odd escapes
//! are about every hit is verified. No value that matches lacks the literal, so none is lost.

use std::sync::Arc;

use crate::atom::{AtomId, Probe, Test};
use crate::decimal::Decimal;
use crate::hash::HashMap;
use crate::hidden::{Hidden, characters};
use crate::literal_search::{LiteralSearch, respell};
use crate::reuse::Searches;
use crate::tails::{Edge, Tails};
use crate::tape::Kind;
use crate::text;
use crate::value::LazyValue;
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
    search: Arc<S>,
    fires: Vec<Vec<Fire>>,
}

impl<S> Search<S> {
    fn new(
        mut set: PatternSet,
        make: impl FnOnce(Vec<Box<[u8]>>) -> Option<Arc<S>>,
    ) -> Option<Self> {
        let search = make(set.patterns())?;
        Some(Self { search, fires: set.fires })
    }
}

/// Literals that may stand anywhere.
#[derive(Debug, Default)]
struct Literals {
    search: Arc<LiteralSearch>,
    fires: Vec<Vec<Fire>>,
    /// The ASCII characters that they have, folded.
    characters: u128,
    /// Where the marks of their patterns begin in [`Found`].
    marks_start: u32,
}

impl Literals {
    fn new(mut set: PatternSet, marks_start: u32, searches: &mut Searches) -> Self {
        let patterns = set.patterns();
        Self {
            search: searches.literals(&patterns),
            fires: set.fires,
            characters: patterns.iter().fold(0, |set, pattern| set | characters(pattern)),
            marks_start,
        }
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
    literals: Literals,
    /// Those with characters beyond ASCII.
    foreign: Literals,
    /// Longest text in `exact`.
    exact_len_max: usize,
    /// Found by no search: asked of every value.
    each: Vec<AtomId>,
}

/// A literal of a keyword in a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeywordHit {
    pub(crate) atom: AtomId,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The atom holds, if it is a value that stands there.
    pub(crate) is_sure: bool,
}

/// Marks what was found for the value at hand; one per worker.
#[derive(Debug, Default)]
pub(crate) struct Found {
    epoch: u32,
    atoms: Vec<u32>,
    pattern_epoch: u32,
    patterns: Vec<u32>,
    /// Patterns found at a text's ends.
    hits: Vec<u32>,
    /// A text spelled anew.
    respelled: Vec<u8>,
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

    fn is_done(&self, pattern: u32) -> bool {
        self.patterns[pattern as usize] == self.pattern_epoch
    }

    /// The pattern has been decided for this value.
    fn done(&mut self, pattern: u32) {
        self.patterns[pattern as usize] = self.pattern_epoch;
    }

    fn set(&mut self, atom: AtomId) {
        let seen = &mut self.atoms[atom.0 as usize];
        if *seen != self.epoch {
            *seen = self.epoch;
            self.holding.push(atom);
        }
    }

    /// Sets the atoms that a pattern fires. `is_sure`: the pattern is in the value, without doubt.
    fn fire(&mut self, fires: &[Fire], is_sure: bool, value: &mut LazyValue<'_>, probes: &[Probe]) {
        for fire in fires {
            if self.atoms[fire.atom.0 as usize] == self.epoch {
                continue;
            }
            let is_known = is_sure && !fire.verify;
            if is_known || probes[fire.atom.0 as usize].holds(&value.view()) {
                self.set(fire.atom);
            }
        }
    }
}

impl FieldMatcher {
    /// The matcher of these atoms, all of one field.
    pub(crate) fn new<'a>(
        atoms: impl IntoIterator<Item = (AtomId, &'a Test)>,
        searches: &mut Searches,
    ) -> Self {
        Self::of(atoms, false, searches)
    }

    /// The matcher of atoms that look at every value: all that have a literal are found by it.
    pub(crate) fn of_keywords<'a>(
        atoms: impl IntoIterator<Item = (AtomId, &'a Test)>,
        searches: &mut Searches,
    ) -> Self {
        Self::of(atoms, true, searches)
    }

    fn of<'a>(
        atoms: impl IntoIterator<Item = (AtomId, &'a Test)>,
        literals_only: bool,
        searches: &mut Searches,
    ) -> Self {
        let mut builder = Builder { literals_only, ..Builder::default() };
        for (atom, test) in atoms {
            builder.add(atom, test);
        }
        builder.build(searches)
    }

    /// Collects in `found` the atoms that hold for `value`, which hides so much.
    pub(crate) fn run(
        &self,
        value: &mut LazyValue<'_>,
        hidden: Hidden,
        probes: &[Probe],
        found: &mut Found,
    ) {
        found.begin();
        let kind = value.kind();
        if !matches!(kind, Kind::Null | Kind::Array | Kind::Object) {
            self.run_ends(value, probes, found);
            found.begin_search();
            let is_respelled = hidden.ascii & self.literals.characters != 0;
            self.run_literals(&self.literals, value, hidden, is_respelled, probes, found);
            if hidden.beyond_ascii {
                self.run_literals(&self.foreign, value, hidden, true, probes, found);
            }
        }
        if kind == Kind::Number
            && !self.numbers.is_empty()
            && let Some(number) = Decimal::parse(value.raw())
        {
            for atom in self.numbers.get(&number).into_iter().flatten() {
                found.set(*atom);
            }
        }
        for atom in &self.each {
            if probes[atom.0 as usize].holds(&value.view()) {
                found.set(*atom);
            }
        }
    }

    /// Whole texts, prefixes and suffixes.
    fn run_ends(&self, value: &mut LazyValue<'_>, probes: &[Probe], found: &mut Found) {
        // Six raw bytes (an escape) make at least one of text.
        if !self.exact.is_empty()
            && value.raw().len() <= self.exact_len_max * 6
            && let Some(fires) = self.exact.get(value.view().folded)
        {
            found.fire(fires, true, value, probes);
        }
        for tails in [&self.starts, &self.ends].into_iter().flatten() {
            let mut hits = std::mem::take(&mut found.hits);
            hits.clear();
            tails.search.find(value.view().folded, |id| hits.push(id));
            for id in &hits {
                found.fire(&tails.fires[*id as usize], true, value, probes);
            }
            found.hits = hits;
        }
    }

    fn run_literals(
        &self,
        literals: &Literals,
        value: &mut LazyValue<'_>,
        hidden: Hidden,
        is_respelled: bool,
        probes: &[Probe],
        found: &mut Found,
    ) {
        if literals.search.is_empty() {
            return;
        }
        let mut respelled = std::mem::take(&mut found.respelled);
        let text = if is_respelled {
            respelled.clear();
            respell(value.view().folded, &mut respelled);
            &respelled[..]
        } else {
            value.raw()
        };
        let has_escapes = is_respelled || value.kind() == Kind::EscapedText;
        let is_raw_odd = hidden.has_odd_escapes && !is_respelled;
        literals.search.find(text, |id, start, _| {
            let mark = literals.marks_start + id;
            if found.is_done(mark) {
                return;
            }
            let is_sure = match has_escapes {
                false => true,
                true => match is_escape_boundary(text, start) {
                    Some(false) => return,
                    Some(true) => !is_raw_odd,
                    None => false,
                },
            };
            found.done(mark);
            found.fire(&literals.fires[id as usize], is_sure, value, probes);
        });
        found.respelled = respelled;
    }

    /// Calls `hit` with each atom that may hold for the value that stands at the place given; says
    /// whether the record is ASCII if that was seen on the way. Only for a matcher made by
    /// [`FieldMatcher::of_keywords`].
    pub(crate) fn find_literals(
        &self,
        record: &[u8],
        mut hit: impl FnMut(KeywordHit),
    ) -> Option<bool> {
        self.literals.search.find(record, |id, start, end| {
            let boundary = is_escape_boundary(record, start);
            if boundary == Some(false) {
                return;
            }
            for fire in &self.literals.fires[id as usize] {
                let is_sure = boundary == Some(true) && !fire.verify;
                hit(KeywordHit { atom: fire.atom, start: start as u32, end: end as u32, is_sure });
            }
        })
    }

    /// Whether literals may be in a value that [`FieldMatcher::find_literals`] does not find.
    pub(crate) fn may_be_in(&self, hidden: Hidden) -> bool {
        hidden.ascii & self.literals.characters != 0
            || (hidden.beyond_ascii && !self.foreign.search.is_empty())
    }

    /// Whether some atom can only be decided by asking every value.
    pub(crate) fn asks_every_value(&self) -> bool {
        !self.each.is_empty() || !self.numbers.is_empty()
    }

    /// See [`Found::new`].
    pub(crate) fn patterns_max(&self) -> usize {
        self.literals.fires.len() + self.foreign.fires.len()
    }

    /// Whether a value can make an atom hold at all.
    pub(crate) fn reads_values(&self) -> bool {
        !self.exact.is_empty()
            || !self.numbers.is_empty()
            || self.starts.is_some()
            || self.ends.is_some()
            || !self.literals.search.is_empty()
            || !self.foreign.search.is_empty()
            || !self.each.is_empty()
    }

    /// Bytes of memory held, about.
    pub(crate) fn bytes(&self) -> usize {
        let exact: usize = self.exact.keys().map(|key| key.len() + 64).sum();
        let tails = [&self.starts, &self.ends].into_iter().flatten();
        exact
            + self.numbers.len() * 80
            + tails.map(|tails| tails.search.bytes()).sum::<usize>()
            + self.literals.search.bytes()
            + self.foreign.search.bytes()
    }
}

/// Whether `at` is where a character begins in a text as JSON spells it; `None` if so many
/// backslashes stand before it that telling would take long.
fn is_escape_boundary(text: &[u8], at: usize) -> Option<bool> {
    let slashes = text[..at].iter().rev().take(64).take_while(|byte| **byte == b'\\').count();
    (slashes < 64).then_some(slashes % 2 == 0)
}

#[derive(Default)]
struct Builder {
    present: Vec<AtomId>,
    exact: HashMap<Box<[u8]>, Vec<Fire>>,
    numbers: HashMap<Decimal, Vec<AtomId>>,
    starts: PatternSet,
    ends: PatternSet,
    contains: PatternSet,
    contains_foreign: PatternSet,
    each: Vec<AtomId>,
    literals_only: bool,
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
            Test::Equals(text) | Test::StartsWith(text) | Test::EndsWith(text)
                if self.literals_only && !text.bytes.is_empty() =>
            {
                self.add_literal(fold(&text.bytes), fire(true));
            }
            Test::Equals(_) if self.literals_only => self.each.push(atom),
            Test::Number { .. } if self.literals_only => self.each.push(atom),
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
                self.add_literal(fold(&text.bytes), fire(text.cased));
            }
            Test::Number { value, text } => {
                self.numbers.entry(value.clone()).or_default().push(atom);
                self.exact.entry(text.clone()).or_default().push(fire(true));
            }
            Test::Wildcard { parts, .. } => match longest_literal(parts) {
                Some((_, literal)) if self.literals_only => {
                    self.add_literal(fold(literal), fire(true));
                }
                Some((0, literal)) => self.starts.add(fold(literal), fire(true)),
                Some((at, literal)) if at + 1 == parts.len() => {
                    self.ends.add(fold(literal), fire(true));
                }
                Some((_, literal)) => self.add_literal(fold(literal), fire(true)),
                None => self.each.push(atom),
            },
            Test::Regex(pattern) if !pattern.required.is_empty() => {
                for literal in &pattern.required {
                    self.add_literal(literal.clone(), fire(true));
                }
            }
            _ => self.each.push(atom),
        }
    }

    fn add_literal(&mut self, folded: Box<[u8]>, fire: Fire) {
        match folded.is_ascii() {
            true => self.contains.add(folded, fire),
            false => self.contains_foreign.add(folded, fire),
        }
    }

    fn build(self, searches: &mut Searches) -> FieldMatcher {
        let literals = Literals::new(self.contains, 0, searches);
        let foreign = Literals::new(self.contains_foreign, literals.fires.len() as u32, searches);
        FieldMatcher {
            present: self.present,
            exact_len_max: self.exact.keys().map(|text| text.len()).max().unwrap_or(0),
            exact: self.exact,
            numbers: self.numbers,
            starts: Search::new(self.starts, |patterns| searches.tails(patterns, Edge::Start)),
            ends: Search::new(self.ends, |patterns| searches.tails(patterns, Edge::End)),
            literals,
            foreign,
            each: self.each,
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
