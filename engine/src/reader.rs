//! Steps 2 and 3 at once, for the records that most are: one pass over the bytes, no tape.
//!
//! In: a record's bytes. Out: the values of the fields that rules name, put straight into
//! [`RecordFields`]. A key is compared with the one that followed last time (see [`crate::shape`]);
//! a string's end is found by vectors, its escapes by arithmetic on their bits; values that no rule
//! names are checked and skipped.
//!
//! # Soundness
//! The reader may give up (`None`) on any record, and does on everything unusual: wrong JSON, repeated
//! or escaped keys, shapes that are full, arrays of objects that hold fields, and,
//! where leaves are listed, objects in which no field can be (their keys may repeat). The caller then takes
//! the way by the tape, which decides alone what is refused. What the reader does accept, the scanner
//! accepts, and the fields are the same: `tests/reader.rs` and the differential test compare both.

use crate::arch::{Baseline, Isa, ReadKernel, StringEnd, Task};
use crate::field_index::{FieldIndex, NodeId, ROOT};
use crate::index::{Marks, RecordFields};
use crate::scan::{number_end, space_end};
use crate::shape::{ShapeId, Shapes, Step};
use crate::tape::{Kind, Range, Value};

/// Reads records; keeps its buffers.
#[derive(Debug)]
pub(crate) struct Reader {
    isa: Isa,
    depth_max: usize,
    /// The objects around the one being read.
    frames: Vec<Frame>,
    /// Kinds of the containers being skipped: true for objects.
    skipped: Vec<bool>,
}

/// An object being read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    node: NodeId,
    shape: ShapeId,
    marks: Marks,
}

impl Reader {
    pub(crate) fn new(depth_max: usize) -> Self {
        Self { isa: Isa::best(), depth_max, frames: Vec::new(), skipped: Vec::new() }
    }

    #[cfg(test)]
    pub(crate) fn with_isa(depth_max: usize, isa: Isa) -> Self {
        Self { isa, ..Self::new(depth_max) }
    }

    /// Reads a record that is at most 2^32 - 2 bytes long, UTF-8 or not; says whether some text is oddly
    /// spelled. `None`: take the way by the tape.
    pub(crate) fn read(
        &mut self,
        record: &[u8],
        fields: &mut RecordFields,
        shapes: &mut Shapes,
        index: &FieldIndex,
    ) -> Option<bool> {
        fields.begin();
        self.frames.clear();
        let isa = self.isa;
        isa.run(Pass { reader: self, record, fields, shapes, index, has_odd_text: false })
    }
}

/// One pass over one record.
struct Pass<'a> {
    reader: &'a mut Reader,
    record: &'a [u8],
    fields: &'a mut RecordFields,
    shapes: &'a mut Shapes,
    index: &'a FieldIndex,
    has_odd_text: bool,
}

impl Task for Pass<'_> {
    type Output = Option<bool>;

    #[inline(always)]
    fn run<K: ReadKernel>(mut self) -> Option<bool> {
        let record = self.record;
        let mut at = space_end(record, 0);
        if record.get(at) != Some(&b'{') {
            return None;
        }
        let mut object = self.enter(ROOT);
        at = space_end(record, at + 1);
        let mut is_empty = record.get(at) == Some(&b'}');
        loop {
            if !is_empty {
                let (step, value_at) = self.key::<K>(at, &object)?;
                object.shape = step.shape;
                let descend;
                (at, descend) = self.member::<K>(value_at, &step, &object)?;
                if let Some(node) = descend {
                    if self.reader.frames.len() + 2 > self.reader.depth_max {
                        return None;
                    }
                    self.reader.frames.push(object);
                    object = self.enter(node);
                    at = space_end(record, at + 1);
                    is_empty = record.get(at) == Some(&b'}');
                    continue;
                }
            }
            // Behind a value: on to the next key, or out of the object.
            loop {
                match record.get(at) {
                    Some(b',') if !is_empty => {
                        at += 1;
                        if record.get(at) != Some(&b'"') {
                            at = space_end(record, at);
                        }
                        break;
                    }
                    Some(b'}') => {
                        self.fields.leave(&object.marks);
                        at += 1;
                        is_empty = false;
                        let Some(outer) = self.reader.frames.pop() else {
                            let end = space_end(record, at);
                            return (end == record.len()).then_some(self.has_odd_text);
                        };
                        object = outer;
                    }
                    Some(b' ' | b'\t' | b'\n' | b'\r') => at = space_end(record, at),
                    _ => return None,
                }
            }
        }
    }
}

/// What is off the usual way is compiled once, for [`Baseline`].
impl Pass<'_> {
    fn enter(&self, node: NodeId) -> Frame {
        Frame { node, shape: self.shapes.root(Some(node)), marks: self.fields.marks() }
    }

    /// Reads a key and its colon: what the key means, and where its value begins.
    #[inline(always)]
    fn key<K: ReadKernel>(&mut self, at: usize, object: &Frame) -> Option<(Step, usize)> {
        let record = self.record;
        if let Some((token, step)) = self.shapes.guess(object.shape)
            && K::has_token(record, at, token)
        {
            let mut value_at = at + usize::from(token.len);
            if let Some(b' ' | b'\t' | b'\n' | b'\r') = record.get(value_at) {
                value_at = space_end(record, value_at);
            }
            return (!step.is_repeated).then_some((step, value_at));
        }
        self.new_key(at, object)
    }

    /// As [`Self::key`], for a key that was not guessed.
    #[inline(never)]
    fn new_key(&mut self, at: usize, object: &Frame) -> Option<(Step, usize)> {
        if self.record.get(at) != Some(&b'"') {
            return None;
        }
        let end = Baseline::string_end(self.record, at + 1)?;
        if end.has_escapes {
            return None;
        }
        let colon = space_end(self.record, end.quote + 1);
        if self.record.get(colon) != Some(&b':') {
            return None;
        }
        let key = &self.record[at + 1..end.quote];
        let step = self.shapes.step(object.shape, key, false, self.index, Some(object.node))?;
        (!step.is_repeated).then_some((step, space_end(self.record, colon + 1)))
    }

    #[inline(always)]
    fn leaf(&mut self, value: Value) {
        if self.fields.lists_leaves {
            self.fields.leaves.push(value);
        }
    }

    /// Reads a value; of an object to go into, only its bracket. Where it ends, and the node to go on
    /// from.
    #[inline(always)]
    fn member<K: ReadKernel>(
        &mut self,
        at: usize,
        step: &Step,
        object: &Frame,
    ) -> Option<(usize, Option<NodeId>)> {
        let (value, end) = match self.record.get(at)? {
            b'"' => self.string::<K>(at)?,
            b'-' | b'0'..=b'9' => self.number(at)?,
            b'{' => return self.nested_object(at, step, object),
            b'[' => return Some((self.array(at, step, object)?, None)),
            _ => self.word(at)?,
        };
        if let Some(action) = step.action {
            for (field, is_dotted) in &self.index.key_action(action).fields {
                if self.fields.takes(*field, *is_dotted, &object.marks) {
                    self.fields.set_present(*field);
                    self.fields.push(*field, value);
                }
            }
        }
        Some((end, None))
    }

    #[inline(always)]
    fn string<K: ReadKernel>(&mut self, at: usize) -> Option<(Value, usize)> {
        let StringEnd { quote, has_escapes, is_odd } = K::string_end(self.record, at + 1)?;
        self.has_odd_text |= is_odd;
        let kind = if has_escapes { Kind::EscapedText } else { Kind::Text };
        let range = Range { start: at as u32 + 1, end: quote as u32 };
        let value = Value { range, kind, is_oddly_spelled: is_odd };
        self.leaf(value);
        Some((value, quote + 1))
    }

    #[inline(always)]
    fn number(&mut self, at: usize) -> Option<(Value, usize)> {
        let end = number_end(self.record, at).ok()?;
        let range = Range { start: at as u32, end: end as u32 };
        let value = Value { range, kind: Kind::Number, is_oddly_spelled: false };
        self.leaf(value);
        Some((value, end))
    }

    #[inline]
    fn word(&mut self, at: usize) -> Option<(Value, usize)> {
        let words = [(&b"true"[..], Kind::True), (b"false", Kind::False), (b"null", Kind::Null)];
        let (word, kind) = words.into_iter().find(|(w, _)| self.record[at..].starts_with(w))?;
        let range = Range { start: at as u32, end: (at + word.len()) as u32 };
        Some((Value { range, kind, is_oddly_spelled: false }, at + word.len()))
    }

    #[inline(never)]
    fn nested_object(
        &mut self,
        at: usize,
        step: &Step,
        object: &Frame,
    ) -> Option<(usize, Option<NodeId>)> {
        let index = self.index;
        let Some(action) = step.action.map(|action| index.key_action(action)) else {
            return Some((self.skip(at)?, None));
        };
        let range = Range { start: at as u32, end: at as u32 + 1 };
        let value = Value { range, kind: Kind::Object, is_oddly_spelled: false };
        for (field, is_dotted) in &action.fields {
            if self.fields.takes(*field, *is_dotted, &object.marks) {
                self.fields.set_present(*field);
                self.fields.push(*field, value);
            }
        }
        match action.descend.as_slice() {
            [] => Some((self.skip(at)?, None)),
            [node] => Some((at, Some(*node))),
            _ => None,
        }
    }

    /// An array: of a field, its elements count; others are skipped.
    #[inline(never)]
    fn array(&mut self, at: usize, step: &Step, object: &Frame) -> Option<usize> {
        let index = self.index;
        let Some(action) = step.action.map(|action| index.key_action(action)) else {
            return self.skip(at);
        };
        if !action.descend.is_empty() {
            return None;
        }
        let mut taken = Vec::new();
        for (field, is_dotted) in &action.fields {
            if self.fields.takes(*field, *is_dotted, &object.marks) {
                self.fields.set_present(*field);
                taken.push(*field);
            }
        }
        let mut at = space_end(self.record, at + 1);
        if self.record.get(at) == Some(&b']') {
            return Some(at + 1);
        }
        loop {
            let (value, end) = match self.record.get(at)? {
                b'"' => self.string::<Baseline>(at)?,
                b'-' | b'0'..=b'9' => self.number(at)?,
                b'{' | b'[' => return None,
                _ => self.word(at)?,
            };
            taken.iter().for_each(|field| self.fields.push(*field, value));
            at = space_end(self.record, end);
            match self.record.get(at)? {
                b',' => at = space_end(self.record, at + 1),
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Checks a container in which no field can be; where it ends.
    fn skip(&mut self, at: usize) -> Option<usize> {
        let mut open = std::mem::take(&mut self.reader.skipped);
        open.clear();
        let end = self.skip_into(at, &mut open);
        self.reader.skipped = open;
        end
    }

    fn skip_into(&mut self, mut at: usize, open: &mut Vec<bool>) -> Option<usize> {
        let record = self.record;
        let room = self.reader.depth_max.checked_sub(self.reader.frames.len() + 1)?;
        'value: loop {
            match record.get(at)? {
                b'{' | b'[' => {
                    if open.len() == room {
                        return None;
                    }
                    let is_object = record[at] == b'{';
                    if is_object && self.fields.lists_leaves {
                        return None;
                    }
                    open.push(is_object);
                    at = space_end(record, at + 1);
                    let close = if is_object { b'}' } else { b']' };
                    if record.get(at) != Some(&close) {
                        if is_object {
                            at = self.skipped_key(at)?;
                        }
                        continue 'value;
                    }
                }
                b'"' => at = self.string::<Baseline>(at)?.1,
                b'-' | b'0'..=b'9' => at = self.number(at)?.1,
                _ => at = self.word(at)?.1,
            }
            // Behind a value, or at the bracket of an empty container.
            loop {
                let Some(is_object) = open.last().copied() else { return Some(at) };
                at = space_end(record, at);
                match record.get(at)? {
                    b',' => {
                        at = space_end(record, at + 1);
                        if is_object {
                            at = self.skipped_key(at)?;
                        }
                        continue 'value;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                open.pop();
                at += 1;
            }
        }
    }

    fn skipped_key(&mut self, at: usize) -> Option<usize> {
        if self.record.get(at) != Some(&b'"') {
            return None;
        }
        let end = Baseline::string_end(self.record, at + 1)?;
        let colon = space_end(self.record, end.quote + 1);
        if self.record.get(colon) != Some(&b':') {
            return None;
        }
        Some(space_end(self.record, colon + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Scanner;
    use crate::tape::Tape;

    /// What the reader says of a record, with each ISA; the field `f.g` and the array `l` are named.
    fn read(record: &[u8]) -> Vec<Option<bool>> {
        let mut index = FieldIndex::default();
        for name in ["a", "f.g", "l"] {
            index.intern(name);
        }
        let read = |isa| {
            let mut fields = RecordFields::new(&index, false);
            let mut shapes = Shapes::new(&index);
            let mut reader = Reader::with_isa(512, isa);
            // Twice: by new keys, then by predicted ones.
            let first = reader.read(record, &mut fields, &mut shapes, &index);
            let second = reader.read(record, &mut fields, &mut shapes, &index);
            assert_eq!(first, second);
            first
        };
        Isa::all().into_iter().map(read).collect()
    }

    #[test]
    fn nothing_is_read_that_the_scanner_refuses() {
        let texts = [
            "",
            "{",
            "{}",
            " {} ",
            "{}x",
            "[]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":1 \"b\":2}",
            "{,\"a\":1}",
            "{\"a\":tru}",
            "{\"a\":\"x}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"f\":{}}",
            "{\"f\":{\"g\":1}}",
            "{\"f\":{\"g\":1}",
            "{\"f\":{\"g\":1}}}",
            "{\"l\":[]}",
            "{\"l\":[1,]}",
            "{\"l\":[1 2]}",
            "{\"z\":[1,{\"y\":2},[]]}",
            "{\"z\":[1,{\"y\" 2}]}",
            "{\"z\":[}",
            "{\"z\":{]}",
            "{\"z\":{\"y\":1,}}",
            "{ \"a\" : 1 , \"b\" : [ ] }",
            "{\"a\":1,\"a\":2}",
        ];
        for text in texts {
            let mut tape = Tape::default();
            let scanned = Scanner::new(512, 1 << 20).scan(text.as_bytes(), &mut tape);
            for odd in read(text.as_bytes()) {
                assert!(odd.is_none() || scanned.is_ok(), "{text}");
            }
        }
    }
}
