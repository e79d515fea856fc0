//! What a worker knows while it matches a record, and the steps it takes.
//!
//! Read the bytes and index the fields, find the route, match the values of fields with eager atoms (by
//! memo, or by the field's matcher), wake the rules of the atoms that hold, decide those. Nothing is
//! shared with other workers; after warm-up nothing is allocated.
//!
//! # Soundness
//! A rule is decided if one of its cover's atoms holds and its guard does; only then can it match:
//! codegen chose both so. `codegen/tests/differential.rs` compares the result with the reference
//! interpreter over random rules and records.

use crate::arch::Isa;
use crate::atom::{AtomId, FieldProbe, Probe};
use crate::atom_states::{AtomStates, Candidates, Woken};
use crate::decide::{self, GroupId, Record};
use crate::field_index::{FieldId, KEYWORDS};
use crate::field_matcher::{FieldMatcher, Found, KeywordHit};
use crate::field_ref;
use crate::hidden::Hidden;
use crate::index::{END, FieldValue, RecordFields};
use crate::matcher::{Counters, MatcherConfig};
use crate::memo::{Key, Memo};
use crate::overlay::Overlay;
use crate::reader::Reader;
use crate::route::{self, Route, Routes};
use crate::scan::{Scanner, check_text, check_utf8};
use crate::shape::Shapes;
use crate::tape::{Kind, Spelling, Tape, Value};
use crate::value::{LazyValue, Texts};
use crate::{Plan, Rejection, RuleId};

/// A worker's state for one plan.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) counters: Counters,
    isa: Isa,
    uses_memo: bool,
    uses_reader: bool,
    reader: Reader,
    scanner: Scanner,
    tape: Tape,
    spelling: Spelling,
    shapes: Shapes,
    pub(crate) fields: RecordFields,
    pub(crate) texts: Texts,
    memo: Memo,
    /// The values to be matched.
    pending: Vec<Pending>,
    found: Found,
    routes: Routes,
    /// The route of the record at hand, if it has one.
    route: Option<u32>,
    atoms: AtomStates,
    pub(crate) woken: Woken,
    keyword_hits: KeywordHits,
    candidates: Candidates,
    /// The rules that match the record at hand.
    pub(crate) matches: Vec<RuleId>,
}

/// The literals of keywords that were found in a record before it was read.
#[derive(Debug, Default)]
struct KeywordHits {
    hits: Vec<KeywordHit>,
    /// They are all in `hits`.
    is_complete: bool,
    /// The last record needed them: so will the next one, most likely.
    are_needed: bool,
}

/// So many hits are kept; of a record with more they are looked for again.
const KEYWORD_HITS_MAX: usize = 1024;

/// A value to be matched.
#[derive(Debug, Clone, Copy)]
struct Pending {
    field: FieldId,
    /// Its index among the record's values.
    value: u32,
    /// What the memo is to be asked.
    key: Option<Key>,
}

/// The parts of a matcher that conditions ask.
macro_rules! asked {
    ($matcher:expr, $plan:expr, $record:expr) => {
        Asked {
            plan: $plan,
            record: $record,
            fields: &mut $matcher.fields,
            texts: &mut $matcher.texts,
            atoms: &mut $matcher.atoms,
            lazy: 0,
        }
    };
}

impl State {
    pub(crate) fn new(plan: &Plan, config: &MatcherConfig) -> Self {
        Self::with_memo(plan, config, Memo::new(plan.fields.len()))
    }

    /// Goes on with another plan: what is known of the old one is forgotten, its memory kept.
    pub(crate) fn restart(&mut self, plan: &Plan, config: &MatcherConfig) {
        let mut memo = std::mem::take(&mut self.memo);
        memo.restart(plan.fields.len());
        let counters = self.counters;
        *self = Self::with_memo(plan, config, memo);
        self.counters = counters;
    }

    fn with_memo(plan: &Plan, config: &MatcherConfig, memo: Memo) -> Self {
        let matchers = plan.matchers.iter().flatten().chain(&plan.keywords);
        let patterns = matchers.map(FieldMatcher::patterns_max).max();
        Self {
            reader: Reader::new(config.depth_max),
            scanner: Scanner::new(config.depth_max, config.record_bytes_max),
            tape: Tape::default(),
            spelling: Spelling::default(),
            shapes: Shapes::new(&plan.fields),
            fields: RecordFields::new(&plan.fields, plan.has_keywords),
            texts: Texts::default(),
            memo,
            pending: Vec::new(),
            found: Found::new(plan.atoms.len(), patterns.unwrap_or(0)),
            atoms: AtomStates::new(plan.atoms.len(), plan.group_count),
            woken: Woken::new(plan.rules().len()),
            keyword_hits: KeywordHits::default(),
            candidates: Candidates::new(plan.atoms.len()),
            routes: Routes::default(),
            route: None,
            counters: Counters::default(),
            matches: Vec::new(),
            isa: Isa::best(),
            uses_memo: config.memo,
            // The reader leaves no tape to walk.
            uses_reader: config.reader && plan.fields.walks().is_empty(),
        }
    }

    /// Matches a record: the result is in `matches`.
    pub(crate) fn run(&mut self, plan: &Plan, record: &[u8]) -> Result<(), Rejection> {
        self.begin(plan, record)?;
        self.finish(plan, record);
        Ok(())
    }

    /// Reads a record: its fields are known then.
    pub(crate) fn begin(&mut self, plan: &Plan, record: &[u8]) -> Result<(), Rejection> {
        self.matches.clear();
        self.read(plan, record)?;
        self.counters.records += 1;
        self.counters.bytes += record.len() as u64;
        self.texts.clear();
        Ok(())
    }

    /// Matches the record that was read, and what was laid over it.
    pub(crate) fn finish(&mut self, plan: &Plan, record: &[u8]) {
        self.atoms.begin();
        self.woken.begin();
        self.find_route(plan, record);
        self.match_fields(plan, record);
        if let Some(keywords) = &plan.keywords {
            let route = self.route.map(|route| self.routes.get(route));
            self.keyword_hits.are_needed = route.is_none_or(Route::needs_keywords);
            if self.keyword_hits.are_needed {
                self.match_keywords(plan, record, keywords);
            }
        }
        for rule in &plan.always {
            self.woken.wake(*rule);
        }
        self.decide(plan, record);
    }

    /// The fields of the record that was read, to lay others over them.
    pub(crate) fn overlay<'a>(
        &'a mut self,
        record: &'a [u8],
        laid: &'a mut Vec<u8>,
    ) -> Overlay<'a> {
        let Self { fields, texts, spelling, .. } = self;
        Overlay { record, laid, fields, texts, spelling }
    }

    /// Whether a record is ASCII, and UTF-8 at all. This is the first pass over its bytes, and waits
    /// for memory: if keywords will be wanted, they are looked for on the way.
    fn check_text(&mut self, plan: &Plan, record: &[u8]) -> Result<bool, Rejection> {
        let KeywordHits { hits, is_complete, are_needed } = &mut self.keyword_hits;
        hits.clear();
        *is_complete = false;
        let Some(keywords) = plan.keywords.as_ref().filter(|_| *are_needed) else {
            return check_text(self.isa, record);
        };
        *is_complete = true;
        let is_ascii = keywords.find_literals(record, |hit| {
            *is_complete &= hits.len() < KEYWORD_HITS_MAX;
            if *is_complete {
                hits.push(hit);
            }
        });
        match is_ascii {
            Some(true) => Ok(true),
            Some(false) => check_utf8(record).map(|()| false),
            None => check_text(self.isa, record),
        }
    }

    /// Steps 2 and 3: by the reader, which knows the records that most are, or by scanning to a tape.
    fn read(&mut self, plan: &Plan, record: &[u8]) -> Result<(), Rejection> {
        self.scanner.check_size(record)?;
        let is_ascii = self.check_text(plan, record)?;
        self.shapes.begin_record();
        if self.uses_reader {
            let fields = &mut self.fields;
            if let Some(odd) = self.reader.read(record, fields, &mut self.shapes, &plan.fields) {
                self.spelling = Spelling { is_ascii, has_odd_text: odd };
                return Ok(());
            }
        }
        self.scanner.scan(record, &mut self.tape)?;
        self.spelling = self.tape.spelling;
        self.fields.index(record, &mut self.tape, &plan.fields, &mut self.shapes);
        Ok(())
    }

    /// Which rules can hold for a record of this kind.
    fn find_route(&mut self, plan: &Plan, record: &[u8]) {
        self.route = match self.routes.find(plan, record, &self.fields) {
            route::Found::Known(route) => {
                self.routes.get(route).fire(&mut self.atoms, &mut self.woken);
                Some(route)
            }
            route::Found::None => None,
            route::Found::New => {
                for field in &plan.routing.fields {
                    if self.fields.has(*field) {
                        self.list_field(plan, record, *field);
                    }
                }
                self.match_pending(plan, record);
                let mut asked = asked!(self, plan, record);
                Some(self.routes.add(plan, &mut asked))
            }
        };
    }

    /// Step 4: finds the eager atoms that hold and wakes their rules.
    #[inline(never)]
    fn match_fields(&mut self, plan: &Plan, record: &[u8]) {
        for i in 0..self.fields.present.len() {
            let field = self.fields.present[i];
            if self.route.is_none_or(|route| self.routes.get(route).needs(field)) {
                self.list_field(plan, record, field);
            }
        }
        self.match_pending(plan, record);
    }

    /// Fires what only asks for the field to be there, and lists its values.
    fn list_field(&mut self, plan: &Plan, record: &[u8], field: FieldId) {
        let work = plan.work[field.0 as usize];
        if work.fires_presence
            && let Some(matcher) = &plan.matchers[field.0 as usize]
        {
            fire(plan, matcher.present.iter().copied(), &mut self.atoms, &mut self.woken);
        }
        if !work.reads_values {
            return;
        }
        let mut at = self.fields.first(field);
        while at != END {
            at = self.list_value(record, field, at);
        }
    }

    /// Lists a value to be matched; the field's next one.
    fn list_value(&mut self, record: &[u8], field: FieldId, at: u32) -> u32 {
        let FieldValue { value: Value { range, kind, .. }, next, .. } =
            self.fields.values[at as usize];
        if !matches!(kind, Kind::Null | Kind::Object) {
            let key =
                self.uses_memo.then(|| self.memo.key(field, kind, range.of(record))).flatten();
            self.pending.push(Pending { field, value: at, key });
        }
        next
    }

    /// Matches the values listed.
    fn match_pending(&mut self, plan: &Plan, record: &[u8]) {
        self.counters.values += self.pending.len() as u64;
        for Pending { key, .. } in &self.pending {
            key.iter().for_each(|key| self.memo.fetch(key));
        }
        for i in 0..self.pending.len() {
            let Pending { field, value, key } = self.pending[i];
            let raw = self.fields.values[value as usize].value.range.of(record);
            if let Some(key) = &key
                && let Some(atoms) = self.memo.get(key, raw)
            {
                fire(plan, atoms, &mut self.atoms, &mut self.woken);
            } else {
                self.match_value(plan, record, field, value, key);
            }
        }
        self.pending.clear();
    }

    /// Matches a value that the memo does not know.
    #[inline(never)]
    fn match_value(
        &mut self,
        plan: &Plan,
        record: &[u8],
        field: FieldId,
        value: u32,
        key: Option<Key>,
    ) {
        let matcher = match field {
            KEYWORDS => &plan.keywords,
            _ => &plan.matchers[field.0 as usize],
        };
        let Some(matcher) = matcher else { return };
        self.counters.memo_misses += 1;
        let value = &mut self.fields.values[value as usize];
        let raw = value.value.range.of(record);
        let hidden = Hidden::of(value.value, record, self.spelling.is_ascii);
        let mut value = LazyValue { record, value, texts: &mut self.texts };
        matcher.run(&mut value, hidden, &plan.probes, &mut self.found);
        let holding = &self.found.holding;
        fire(plan, holding.iter().copied(), &mut self.atoms, &mut self.woken);
        if let Some(key) = &key {
            self.memo.insert(key, raw, holding);
        }
    }

    /// Step 4 for keywords: finds those that hold and wakes their rules.
    #[inline(never)]
    fn match_keywords(&mut self, plan: &Plan, record: &[u8], keywords: &FieldMatcher) {
        fire(plan, keywords.present.iter().copied(), &mut self.atoms, &mut self.woken);
        let (fields, candidates) = (&self.fields, &mut self.candidates);
        let (atoms, woken) = (&mut self.atoms, &mut self.woken);
        candidates.begin();
        let mut take = |hit: KeywordHit| {
            if atoms.get(hit.atom) == Some(true) {
                return;
            }
            let Some(leaf) = fields.leaf_at(hit.start, hit.end) else { return };
            if hit.is_sure && !fields.leaves[leaf as usize].is_oddly_spelled {
                fire(plan, [hit.atom], atoms, woken);
            } else {
                candidates.add(hit.atom, leaf);
            }
        };
        if self.keyword_hits.is_complete {
            self.keyword_hits.hits.iter().copied().for_each(&mut take);
        } else {
            keywords.find_literals(record, take);
        }
        for i in 0..self.candidates.pairs.len() {
            let (atom, leaf) = self.candidates.pairs[i];
            if self.atoms.get(atom) == Some(true) {
                continue;
            }
            let mut value =
                FieldValue { value: self.fields.leaves[leaf as usize], next: END, text: None };
            if plan.probes[atom.0 as usize].holds(&self.texts.view(record, &mut value)) {
                fire(plan, [atom], &mut self.atoms, &mut self.woken);
            }
        }
        let hides = self.spelling.has_odd_text
            || (!self.spelling.is_ascii && keywords.may_be_in(Hidden::of_text(record)));
        if hides || keywords.asks_every_value() {
            self.match_keywords_by_value(plan, record, keywords);
        }
    }

    fn match_keywords_by_value(&mut self, plan: &Plan, record: &[u8], keywords: &FieldMatcher) {
        for i in 0..self.fields.leaves.len() {
            let leaf = self.fields.leaves[i];
            if keywords.asks_every_value()
                || keywords.may_be_in(Hidden::of(leaf, record, self.spelling.is_ascii))
            {
                let value = self.fields.add_value(leaf);
                self.list_value(record, KEYWORDS, value);
            }
        }
        self.match_pending(plan, record);
    }

    /// Step 5: runs the conditions of the rules that were woken.
    #[inline(never)]
    fn decide(&mut self, plan: &Plan, record: &[u8]) {
        let mut decided = 0;
        let mut asked = asked!(self, plan, record);
        let route = self.route.map(|route| self.routes.get(route));
        for rule in &self.woken.rules {
            if route.is_some_and(|route| !route.is_alive(*rule)) {
                continue;
            }
            self.woken.counts[rule.0 as usize] += 1;
            decided += 1;
            if decide::run(plan.programs.get(rule.0), &mut asked) {
                self.matches.push(*rule);
            }
        }
        self.counters.rules_woken += decided;
        self.counters.atoms_lazy += asked.lazy;
        self.counters.matches += self.matches.len() as u64;
        self.matches.sort_unstable();
    }
}

/// Says of atoms that they hold, and wakes their rules.
fn fire(
    plan: &Plan,
    holding: impl IntoIterator<Item = AtomId>,
    atoms: &mut AtomStates,
    woken: &mut Woken,
) {
    for atom in holding {
        if atoms.get(atom) != Some(true) {
            atoms.set(atom, true);
            plan.groups_of.get(atom.0).iter().for_each(|group| atoms.set_group(*group));
            plan.wakes.get(atom.0).iter().for_each(|rule| woken.wake(*rule));
        }
    }
}

/// What conditions ask of the record at hand.
struct Asked<'a> {
    plan: &'a Plan,
    record: &'a [u8],
    fields: &'a mut RecordFields,
    texts: &'a mut Texts,
    atoms: &'a mut AtomStates,
    lazy: u64,
}

impl Record for Asked<'_> {
    fn group_holds(&self, group: GroupId) -> bool {
        self.atoms.group_holds(group)
    }

    fn has(&self, field: FieldId) -> bool {
        self.fields.has(field)
    }

    fn holds(&mut self, id: AtomId) -> bool {
        if let Some(known) = self.atoms.get(id) {
            return known;
        }
        if self.plan.is_eager[id.0 as usize] {
            return false;
        }
        let atom = &self.plan.atoms[id.0 as usize];
        self.lazy += 1;
        if atom.field == KEYWORDS {
            self.fields.list_keywords();
        }
        let holds = match &self.plan.probes[id.0 as usize] {
            Probe::Field(probe) => self.field_holds(atom.field, *probe),
            probe => self.value_holds(atom.field, probe),
        };
        self.atoms.set(id, holds);
        holds
    }
}

impl Asked<'_> {
    fn value_holds(&mut self, field: FieldId, probe: &Probe) -> bool {
        let mut at = self.fields.first(field);
        while at != END {
            let value = &mut self.fields.values[at as usize];
            if probe.holds(&self.texts.view(self.record, value)) {
                return true;
            }
            at = self.fields.values[at as usize].next;
        }
        false
    }

    fn field_holds(&mut self, field: FieldId, probe: FieldProbe) -> bool {
        match probe {
            FieldProbe::Exists => self.fields.has(field),
            FieldProbe::Null => {
                !self.fields.has(field) || self.has_kind(field, |kind| kind == Kind::Null)
            }
            FieldProbe::Something => self.has_kind(field, |kind| kind != Kind::Null),
            FieldProbe::FieldRef { other, relation, cased } => {
                let own = self.collect(field);
                let others = self.collect(other);
                field_ref::holds(&own, &others, relation, cased)
            }
        }
    }

    /// Whether a value of the field is of such a kind.
    fn has_kind(&self, field: FieldId, is_wanted: impl Fn(Kind) -> bool) -> bool {
        let mut at = self.fields.first(field);
        while at != END {
            let value = &self.fields.values[at as usize];
            if is_wanted(value.value.kind) {
                return true;
            }
            at = value.next;
        }
        false
    }

    /// Copies of a field's values that have a text.
    fn collect(&mut self, field: FieldId) -> Vec<field_ref::Element> {
        let mut elements = Vec::new();
        let mut at = self.fields.first(field);
        while at != END {
            let value = &mut self.fields.values[at as usize];
            let view = self.texts.view(self.record, value);
            if view.has_text() {
                elements.push(field_ref::Element::new(&view));
            }
            at = self.fields.values[at as usize].next;
        }
        elements
    }
}
