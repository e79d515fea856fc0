//! Step 3, index: from the entries of a record to the values of the fields that rules name.
//!
//! In: a [`Tape`]. Out: for each field that the record has, the list of its values, as
//! [`FieldIndex`] defines it: a key of the field's whole name wins over nested objects, arrays stand for
//! their elements, the last of several equal keys counts. Fields no rule names are skipped.
//!
//! Equal keys are rare, so they are only looked for (the shapes know them for nothing); when a
//! record has some, all its objects are gone through once to mark what is superseded, and the record
//! is indexed again.

use std::collections::HashMap;

use crate::field_index::{ActionId, FieldId, FieldIndex, KEYWORDS, NodeId, ROOT};
use crate::path::PathWalk;
use crate::shape::{ShapeId, Shapes};
use crate::tape::{Entry, Kind, Tape, Value};
use crate::text;

/// A value of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldValue {
    /// Where it stands.
    pub(crate) value: Value,
    /// The field's next value, as an index, or [`END`].
    pub(crate) next: u32,
    /// Where its texts are, once somebody asked (see [`crate::value`]).
    pub(crate) text: Option<u32>,
}

/// Ends a list of values.
pub(crate) const END: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    epoch: u32,
    first: u32,
    last: u32,
}

/// The fields of one record; its buffers are kept from record to record.
#[derive(Debug)]
pub(crate) struct RecordFields {
    epoch: u32,
    slots: Vec<Slot>,
    /// The fields the record has, in the order found.
    pub(crate) present: Vec<FieldId>,
    pub(crate) values: Vec<FieldValue>,
    /// Dotted fields that an object around us holds by a key of their whole name.
    shadows: Vec<FieldId>,
    /// Every text and number that counts, in the order of the record; filled if `lists_leaves`.
    pub(crate) leaves: Vec<Value>,
    /// Some atom looks at every value.
    pub(crate) lists_leaves: bool,
    /// A key was met that its object had before: the entries have to be marked.
    met_repeated: bool,
    /// Superseded members are marked on the tape.
    is_marked: bool,
    seen: HashMap<Vec<u8>, u32>,
    walk: PathWalk,
}

/// What had been collected when an object began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    values: usize,
    shadows: usize,
}

/// What indexing reads.
struct Source<'a> {
    record: &'a [u8],
    tape: &'a Tape,
    index: &'a FieldIndex,
    /// Marks are set: no key can be repeated.
    is_marked: bool,
}

impl RecordFields {
    pub(crate) fn new(index: &FieldIndex, lists_leaves: bool) -> Self {
        Self {
            epoch: 0,
            leaves: Vec::new(),
            lists_leaves,
            slots: vec![Slot::default(); index.len()],
            present: Vec::new(),
            values: Vec::new(),
            shadows: Vec::new(),
            met_repeated: false,
            is_marked: false,
            seen: HashMap::default(),
            walk: PathWalk::default(),
        }
    }

    /// Indexes a record.
    #[inline(never)]
    pub(crate) fn index(
        &mut self,
        record: &[u8],
        tape: &mut Tape,
        index: &FieldIndex,
        shapes: &mut Shapes,
    ) {
        let source = Source { record, tape, index, is_marked: false };
        self.begin();
        self.object(&source, shapes, 0, Some(ROOT));
        if self.met_repeated {
            self.mark_superseded(record, tape);
            let source = Source { record, tape, index, is_marked: true };
            self.begin();
            self.object(&source, shapes, 0, Some(ROOT));
            self.is_marked = true;
        }
        if self.lists_leaves || !index.walks().is_empty() {
            self.mark_all(record, tape, index, shapes);
        }
        if self.lists_leaves {
            self.list_leaves(tape);
        }
        let mut walk = std::mem::take(&mut self.walk);
        for (field, steps) in index.walks() {
            for value in walk.run(record, tape, steps) {
                self.end(tape, *field, *value);
            }
        }
        self.walk = walk;
    }

    /// Lists every text and number of the record under [`KEYWORDS`], unless that was done before.
    pub(crate) fn list_keywords(&mut self) {
        if self.has(KEYWORDS) {
            return;
        }
        self.slots[KEYWORDS.0 as usize] = Slot { epoch: self.epoch, first: END, last: END };
        for i in 0..self.leaves.len() {
            self.push(KEYWORDS, self.leaves[i]);
        }
    }

    /// Adds a value that is in no field's list; its index.
    pub(crate) fn add_value(&mut self, value: Value) -> u32 {
        let at = self.values.len() as u32;
        self.values.push(FieldValue { value, next: END, text: None });
        at
    }

    /// The leaf that holds the bytes `start..end` of the record, if one does.
    pub(crate) fn leaf_at(&self, start: u32, end: u32) -> Option<u32> {
        let behind = self.leaves.partition_point(|leaf| leaf.range.start <= start);
        let at = behind.checked_sub(1)?;
        (end <= self.leaves[at].range.end).then_some(at as u32)
    }

    fn list_leaves(&mut self, tape: &Tape) {
        let mut at = 0;
        while let Some(entry) = tape.entries.get(at as usize) {
            if entry.is_superseded {
                at = entry.next;
                continue;
            }
            if matches!(entry.kind, Kind::Text | Kind::EscapedText | Kind::Number) {
                self.leaves.push(entry.value());
            }
            at += 1;
        }
    }

    /// Sees to it that superseded members are marked in every object, also where no field can be.
    fn mark_all(
        &mut self,
        record: &[u8],
        tape: &mut Tape,
        index: &FieldIndex,
        shapes: &mut Shapes,
    ) {
        if self.is_marked {
            return;
        }
        self.is_marked = true;
        let source = Source { record, tape, index, is_marked: false };
        self.look_for_repeated_keys(&source, shapes);
        if std::mem::take(&mut self.met_repeated) {
            self.mark_superseded(record, tape);
        }
    }

    /// Forgets the record before.
    pub(crate) fn begin(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.slots.fill(Slot::default());
            self.epoch = 1;
        }
        self.present.clear();
        self.values.clear();
        self.shadows.clear();
        self.leaves.clear();
        self.met_repeated = false;
        self.is_marked = false;
    }

    /// Whether the record has the field.
    #[inline]
    pub(crate) fn has(&self, field: FieldId) -> bool {
        self.slots[field.0 as usize].epoch == self.epoch
    }

    /// The index of the field's first value, or [`END`].
    #[inline]
    pub(crate) fn first(&self, field: FieldId) -> u32 {
        let slot = &self.slots[field.0 as usize];
        if slot.epoch == self.epoch { slot.first } else { END }
    }

    fn object(
        &mut self,
        source: &Source<'_>,
        shapes: &mut Shapes,
        object: u32,
        node: Option<NodeId>,
    ) {
        let mark = self.values.len();
        let shadow_mark = self.shadows.len();
        let mut at = Some(shapes.root(node));
        for child in source.tape.children(object) {
            let entry = &source.tape.entries[child as usize];
            if entry.is_superseded {
                continue;
            }
            let action = match self.step(source, shapes, &mut at, entry, node) {
                Ok(Some(action)) => source.index.key_action(action),
                Ok(None) => continue,
                Err(Repeated) => {
                    self.met_repeated = true;
                    return;
                }
            };
            for (field, is_dotted) in &action.fields {
                if self.takes(*field, *is_dotted, &Marks { values: mark, shadows: shadow_mark }) {
                    self.end(source.tape, *field, child);
                }
            }
            for next in &action.descend {
                self.descend(source, shapes, child, *next);
            }
            if self.met_repeated {
                return;
            }
        }
        self.shadows.truncate(shadow_mark);
    }

    /// What the key of `entry` means; `at` is the shape so far, `None` when shapes gave up.
    #[inline]
    fn step(
        &mut self,
        source: &Source<'_>,
        shapes: &mut Shapes,
        at: &mut Option<ShapeId>,
        entry: &Entry,
        node: Option<NodeId>,
    ) -> Result<Option<ActionId>, Repeated> {
        let key = entry.key.of(source.record);
        if let Some(from) = *at {
            if let Some(step) = shapes.step(from, key, entry.key_is_escaped, source.index, node) {
                *at = Some(step.shape);
                let is_repeated = step.is_repeated && !source.is_marked;
                return if is_repeated { Err(Repeated) } else { Ok(step.action) };
            }
            // From here on nobody knows whether keys repeat: mark first.
            if !source.is_marked {
                return Err(Repeated);
            }
            *at = None;
        }
        let Some(node) = node else { return Ok(None) };
        if !entry.key_is_escaped {
            return Ok(source.index.look_up(node, key));
        }
        let mut plain = Vec::new();
        text::unescape(key, &mut plain);
        Ok(source.index.look_up(node, &plain))
    }

    fn descend(&mut self, source: &Source<'_>, shapes: &mut Shapes, value: u32, node: NodeId) {
        match source.tape.entries[value as usize].kind {
            Kind::Object => self.object(source, shapes, value, Some(node)),
            Kind::Array => {
                for element in source.tape.children(value) {
                    self.descend(source, shapes, element, node);
                }
            }
            _ => {}
        }
    }

    /// An object further out has the field by a key of its whole name.
    #[inline]
    fn is_shadowed(&self, field: FieldId, own: usize) -> bool {
        own > 0 && self.shadows[..own].contains(&field)
    }

    /// An object with these marks has a key that ends a field's way: whether its value counts. A key
    /// of a dotted name takes the place of what nested objects said.
    #[inline]
    pub(crate) fn takes(&mut self, field: FieldId, is_dotted: bool, object: &Marks) -> bool {
        if is_dotted {
            self.cut(field, object.values);
            self.shadows.push(field);
        }
        !self.is_shadowed(field, object.shadows)
    }

    /// The marks of an object that begins now.
    pub(crate) fn marks(&self) -> Marks {
        Marks { values: self.values.len(), shadows: self.shadows.len() }
    }

    /// To be called when an object ends.
    pub(crate) fn leave(&mut self, object: &Marks) {
        self.shadows.truncate(object.shadows);
    }

    /// The record has the field.
    #[inline]
    pub(crate) fn set_present(&mut self, field: FieldId) {
        let slot = &mut self.slots[field.0 as usize];
        if slot.epoch != self.epoch {
            *slot = Slot { epoch: self.epoch, first: END, last: END };
            self.present.push(field);
        }
    }

    /// The value at the end of a field's way.
    fn end(&mut self, tape: &Tape, field: FieldId, value: u32) {
        self.set_present(field);
        if tape.entries[value as usize].kind == Kind::Array {
            for element in tape.children(value) {
                self.end(tape, field, element);
            }
            return;
        }
        self.push(field, tape.entries[value as usize].value());
    }

    pub(crate) fn push(&mut self, field: FieldId, value: Value) {
        let at = self.values.len() as u32;
        self.values.push(FieldValue { value, next: END, text: None });
        let slot = &mut self.slots[field.0 as usize];
        match slot.last {
            END => slot.first = at,
            last => self.values[last as usize].next = at,
        }
        slot.last = at;
    }

    /// Forgets the field's values from `mark` on.
    pub(crate) fn cut(&mut self, field: FieldId, mark: usize) {
        if !self.has(field) {
            return;
        }
        let slot = &mut self.slots[field.0 as usize];
        let (mut at, mut last) = (slot.first, END);
        while at != END && (at as usize) < mark {
            last = at;
            at = self.values[at as usize].next;
        }
        match last {
            END => slot.first = END,
            last => self.values[last as usize].next = END,
        }
        slot.last = last;
    }

    /// Sets `met_repeated` if any object of the record has a key twice.
    fn look_for_repeated_keys(&mut self, source: &Source<'_>, shapes: &mut Shapes) {
        for object in 1..source.tape.entries.len() as u32 {
            if source.tape.entries[object as usize].kind == Kind::Object {
                self.object(source, shapes, object, None);
                if self.met_repeated {
                    return;
                }
            }
        }
    }

    /// Marks every member that a later one of the same object supersedes.
    fn mark_superseded(&mut self, record: &[u8], tape: &mut Tape) {
        for object in 0..tape.entries.len() as u32 {
            if tape.entries[object as usize].kind != Kind::Object {
                continue;
            }
            self.seen.clear();
            let mut at = object + 1;
            while at < tape.entries[object as usize].next {
                let mut key = Vec::new();
                text::unescape(tape.entries[at as usize].key.of(record), &mut key);
                if let Some(earlier) = self.seen.insert(key, at) {
                    tape.entries[earlier as usize].is_superseded = true;
                }
                at = tape.entries[at as usize].next;
            }
        }
        self.seen.clear();
    }
}

/// A key that its object had before, or might have had.
struct Repeated;
