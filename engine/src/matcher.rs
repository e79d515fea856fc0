//! Matches records against a plan: drives the steps and owns all state that a worker needs.
//!
//! Scan the bytes, index the fields, match the values of fields with eager atoms (by memo, or by
//! the field's matcher), wake the rules of the atoms that hold, decide those. Nothing is shared with
//! other workers; after warm-up nothing is allocated.
//!
//! # Soundness
//! A rule is decided if one of its cover's atoms holds, and only then can it match: codegen chose
//! the cover so. `codegen/tests/differential.rs` compares the result with the reference interpreter
//! over random rules and records.

use std::sync::Arc;

use crate::atom::{AtomId, FieldProbe, Probe};
use crate::condition::{self, Record};
use crate::field_index::{FieldId, KEYWORDS};
use crate::field_matcher::{FieldMatcher, Found};
use crate::field_ref;
use crate::index::{END, FieldValue, RecordFields};
use crate::memo::Memo;
use crate::reader::Reader;
use crate::route::{self, Routes};
use crate::scan::{Scanner, check_text};
use crate::shape::Shapes;
use crate::tape::{Kind, Spelling, Tape, Value};
use crate::value::{LazyValue, Texts};
use crate::{Plan, Rejection, RuleId};

/// Limits and switches of a [`Matcher`].
#[derive(Debug, Clone)]
pub struct MatcherConfig {
    /// Longest record in bytes.
    pub record_bytes_max: usize,
    /// Deepest nesting of objects and arrays.
    pub depth_max: usize,
    /// Remember which atoms hold for a value.
    pub memo: bool,
    /// Read records by predicted keys; else every record takes the way by the tape.
    pub reader: bool,
}

impl Default for MatcherConfig {
    fn default() -> Self {
        Self { record_bytes_max: 16 << 20, depth_max: 512, memo: true, reader: true }
    }
}

/// What a matcher did since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Records matched.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Values looked up, in the memo first.
    pub values: u64,
    /// Values that the memo did not know.
    pub memo_misses: u64,
    /// Atoms evaluated because a woken rule asked.
    pub atoms_lazy: u64,
    /// Rules whose condition was run.
    pub rules_woken: u64,
    /// Rules that matched.
    pub matches: u64,
}

/// Matches one record after the other.
#[derive(Debug)]
pub struct Matcher {
    plan: Arc<Plan>,
    config: MatcherConfig,
    counters: Counters,
    reader: Reader,
    scanner: Scanner,
    tape: Tape,
    spelling: Spelling,
    shapes: Shapes,
    fields: RecordFields,
    texts: Texts,
    memo: Memo,
    found: Found,
    routes: Routes,
    /// The route of the record at hand, if it has one.
    route: Option<u32>,
    atoms: AtomStates,
    woken: Woken,
    candidates: Candidates,
    matches: Vec<RuleId>,
}

/// A value of a field, as [`Matcher::read_field`] gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldText<'a> {
    /// What it is in the record.
    pub kind: ValueKind,
    /// Its text, unescaped; of a number as spelled.
    pub text: &'a [u8],
}

/// What a value is in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ValueKind {
    Null,
    Bool,
    Number,
    Text,
    Object,
}

/// Which atoms are known to hold, or not to, for the record at hand.
#[derive(Debug)]
struct AtomStates {
    epoch: u32,
    /// `epoch * 2 + holds`
    states: Vec<u32>,
}

impl AtomStates {
    fn begin(&mut self) {
        self.epoch += 1;
        if self.epoch >= u32::MAX / 2 {
            self.states.fill(0);
            self.epoch = 1;
        }
    }

    fn set(&mut self, atom: AtomId, holds: bool) {
        self.states[atom.0 as usize] = self.epoch * 2 + u32::from(holds);
    }

    fn get(&self, atom: AtomId) -> Option<bool> {
        let state = self.states[atom.0 as usize];
        (state / 2 == self.epoch).then_some(state % 2 == 1)
    }
}

/// Step 5, first half: the rules worth deciding, each once.
#[derive(Debug)]
struct Woken {
    epoch: u32,
    seen: Vec<u32>,
    rules: Vec<RuleId>,
    /// By rule: how often it was woken since the plan is in force.
    counts: Vec<u64>,
}

impl Woken {
    fn begin(&mut self) {
        self.rules.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.seen.fill(0);
            self.epoch = 1;
        }
    }

    fn wake(&mut self, rule: RuleId) {
        let seen = &mut self.seen[rule.0 as usize];
        if *seen != self.epoch {
            *seen = self.epoch;
            self.rules.push(rule);
        }
    }
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

impl Matcher {
    /// A matcher for `plan`.
    pub fn new(plan: Arc<Plan>, config: MatcherConfig) -> Self {
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
            memo: Memo::new(plan.fields.len()),
            found: Found::new(plan.atoms.len(), patterns.unwrap_or(0)),
            atoms: AtomStates { epoch: 0, states: vec![0; plan.atoms.len()] },
            woken: Woken {
                epoch: 0,
                seen: vec![0; plan.rules().len()],
                rules: Vec::new(),
                counts: vec![0; plan.rules().len()],
            },
            candidates: Candidates {
                epoch: 0,
                last: vec![(0, 0); plan.atoms.len()],
                pairs: Vec::new(),
            },
            routes: Routes::default(),
            route: None,
            counters: Counters::default(),
            matches: Vec::new(),
            config,
            plan,
        }
    }

    /// The plan in force.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Goes on with another plan, from the next record on.
    pub fn set_plan(&mut self, plan: Arc<Plan>) {
        let counters = self.counters;
        *self = Self::new(plan, self.config.clone());
        self.counters = counters;
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The rules that match `record`, in rising order.
    ///
    /// # Errors
    /// The record is refused: it is not a JSON object within the limits.
    pub fn matches(&mut self, record: &[u8]) -> Result<&[RuleId], Rejection> {
        self.matches.clear();
        let plan = Arc::clone(&self.plan);
        self.read(&plan, record)?;
        self.counters.records += 1;
        self.counters.bytes += record.len() as u64;
        self.texts.clear();
        self.atoms.begin();
        self.woken.begin();
        self.find_route(&plan, record);
        self.match_fields(&plan, record);
        if let Some(keywords) = &plan.keywords {
            if self.route.is_none_or(|route| self.routes.get(route).needs_keywords()) {
                self.match_keywords(&plan, record, keywords);
            }
        }
        for rule in &plan.always {
            self.woken.wake(*rule);
        }
        self.decide(&plan, record);
        Ok(&self.matches)
    }

    /// By rule: how often its condition was run since the plan is in force.
    pub fn wake_counts(&self) -> &[u64] {
        &self.woken.counts
    }

    /// Calls `each` with every value of a field of the record that was matched last. `record` has to
    /// be that record. Objects have an empty text.
    pub fn read_field(
        &mut self,
        record: &[u8],
        field: FieldId,
        mut each: impl FnMut(FieldText<'_>),
    ) {
        let mut at = self.fields.first(field);
        while at != END {
            let value = &mut self.fields.values[at as usize];
            at = value.next;
            let view = self.texts.view(record, value);
            let kind = match view.kind {
                Kind::Null => ValueKind::Null,
                Kind::True | Kind::False => ValueKind::Bool,
                Kind::Number => ValueKind::Number,
                Kind::Text | Kind::EscapedText => ValueKind::Text,
                Kind::Array | Kind::Object => ValueKind::Object,
            };
            each(FieldText { kind, text: view.plain });
        }
    }

    /// Steps 2 and 3: by the reader, which knows the records that most are, or by scanning to a tape.
    fn read(&mut self, plan: &Plan, record: &[u8]) -> Result<(), Rejection> {
        self.scanner.check_size(record)?;
        self.spelling.is_ascii = check_text(record)?;
        self.shapes.begin_record();
        if self.config.reader {
            let fields = &mut self.fields;
            if let Some(odd) = self.reader.read(record, fields, &mut self.shapes, &plan.fields) {
                self.spelling.has_odd_text = odd;
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
            route::Found::Known(route) => Some(route),
            route::Found::None => None,
            route::Found::New => {
                for field in &plan.routing.fields {
                    if self.fields.has(*field) {
                        self.match_field(plan, record, *field);
                    }
                }
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
                self.match_field(plan, record, field);
            }
        }
    }

    fn match_field(&mut self, plan: &Plan, record: &[u8], field: FieldId) {
        let Some(matcher) = &plan.matchers[field.0 as usize] else { return };
        for atom in &matcher.present {
            fire(plan, &[*atom], &mut self.atoms, &mut self.woken);
        }
        if !matcher.reads_values() {
            return;
        }
        let mut at = self.fields.first(field);
        while at != END {
            self.match_value(plan, record, field, matcher, at);
            at = self.fields.values[at as usize].next;
        }
    }

    fn match_value(
        &mut self,
        plan: &Plan,
        record: &[u8],
        field: FieldId,
        matcher: &FieldMatcher,
        value: u32,
    ) {
        let value = &mut self.fields.values[value as usize];
        let Value { range, kind, .. } = value.value;
        if matches!(kind, Kind::Null | Kind::Object) {
            return;
        }
        self.counters.values += 1;
        let key = match self.config.memo {
            true => self.memo.key(field, kind, range.of(record)),
            false => None,
        };
        let memo = &mut self.memo;
        if let Some(atoms) = key.as_ref().and_then(|key| memo.get(key)) {
            fire(plan, atoms, &mut self.atoms, &mut self.woken);
            return;
        }
        self.counters.memo_misses += 1;
        let is_odd = is_oddly_spelled(value.value, self.spelling, record);
        let mut value = LazyValue { record, value, texts: &mut self.texts };
        matcher.run(&mut value, is_odd, &plan.probes, &mut self.found);
        fire(plan, &self.found.holding, &mut self.atoms, &mut self.woken);
        if let Some(key) = &key {
            self.memo.insert(key, &self.found.holding);
        }
    }

    /// Step 4 for keywords: finds those that hold and wakes their rules.

    #[inline(never)]
    fn match_keywords(&mut self, plan: &Plan, record: &[u8], keywords: &FieldMatcher) {
        for atom in &keywords.present {
            fire(plan, &[*atom], &mut self.atoms, &mut self.woken);
        }
        let (fields, candidates) = (&self.fields, &mut self.candidates);
        let (atoms, woken) = (&mut self.atoms, &mut self.woken);
        candidates.begin();
        keywords.find_literals(record, |atom, start, end, is_sure| {
            if atoms.get(atom) == Some(true) {
                return;
            }
            let Some(leaf) = fields.leaf_at(start, end) else { return };
            if is_sure && !fields.leaves[leaf as usize].is_oddly_spelled {
                fire(plan, &[atom], atoms, woken);
            } else {
                candidates.add(atom, leaf);
            }
        });
        for i in 0..self.candidates.pairs.len() {
            let (atom, leaf) = self.candidates.pairs[i];
            if self.atoms.get(atom) == Some(true) {
                continue;
            }
            let mut value =
                FieldValue { value: self.fields.leaves[leaf as usize], next: END, text: None };
            if plan.probes[atom.0 as usize].holds(&self.texts.view(record, &mut value)) {
                fire(plan, &[atom], &mut self.atoms, &mut self.woken);
            }
        }
        let some_odd = self.spelling.has_odd_text || !self.spelling.is_ascii;
        if some_odd || keywords.asks_every_value() {
            self.match_keywords_by_value(plan, record, keywords);
        }
    }

    fn match_keywords_by_value(&mut self, plan: &Plan, record: &[u8], keywords: &FieldMatcher) {
        self.fields.list_keywords();
        let mut at = self.fields.first(KEYWORDS);
        while at != END {
            let value = self.fields.values[at as usize];
            if is_oddly_spelled(value.value, self.spelling, record) || keywords.asks_every_value() {
                self.match_value(plan, record, KEYWORDS, keywords, at);
            }
            at = value.next;
        }
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
            if condition::run(plan.programs.get(rule.0), &mut asked) {
                self.matches.push(*rule);
            }
        }
        self.counters.rules_woken += decided;
        self.counters.atoms_lazy += asked.lazy;
        self.counters.matches += self.matches.len() as u64;
        self.matches.sort_unstable();
    }
}

/// Whether a value's raw bytes do not tell which literals it has.
fn is_oddly_spelled(value: Value, spelling: Spelling, record: &[u8]) -> bool {
    value.is_oddly_spelled || (!spelling.is_ascii && !value.range.of(record).is_ascii())
}

fn fire(plan: &Plan, holding: &[AtomId], atoms: &mut AtomStates, woken: &mut Woken) {
    for atom in holding {
        if atoms.get(*atom) != Some(true) {
            atoms.set(*atom, true);
            plan.wakes.get(atom.0).iter().for_each(|rule| woken.wake(*rule));
        }
    }
}

/// The keyword atoms to verify, each once for each value.
#[derive(Debug)]
struct Candidates {
    epoch: u32,
    /// By atom: the record and the leaf it was last added for.
    last: Vec<(u32, u32)>,
    pairs: Vec<(AtomId, u32)>,
}

impl Candidates {
    fn begin(&mut self) {
        self.pairs.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.last.fill((0, 0));
            self.epoch = 1;
        }
    }

    fn add(&mut self, atom: AtomId, leaf: u32) {
        let last = &mut self.last[atom.0 as usize];
        if *last != (self.epoch, leaf) {
            *last = (self.epoch, leaf);
            self.pairs.push((atom, leaf));
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
    fn has(&self, field: FieldId) -> bool {
        self.fields.has(field)
    }

    fn holds(&mut self, id: AtomId) -> bool {
        if let Some(known) = self.atoms.get(id) {
            return known;
        }
        let atom = &self.plan.atoms[id.0 as usize];
        if atom.is_eager {
            return false;
        }
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
                if !self.fields.has(field) {
                    return true;
                }
                let mut at = self.fields.first(field);
                while at != END {
                    let value = self.fields.values[at as usize];
                    if value.value.kind == Kind::Null {
                        return true;
                    }
                    at = value.next;
                }
                false
            }
            FieldProbe::FieldRef { other, relation, cased } => {
                let own = self.collect(field);
                let others = self.collect(other);
                field_ref::holds(&own, &others, relation, cased)
            }
        }
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
