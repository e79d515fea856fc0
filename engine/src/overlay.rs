//! Lays fields over a record, between reading and matching it.
//!
//! In: a record whose fields are read, and for some fields the values that they are to have, as JSON
//! spells them. From then on the record has these fields, whatever it said of them itself: rules, windows and
//! those who read fields see no difference. Keywords and paths go on looking at the record alone.
//!
//! The values are appended to a copy of the record's bytes, so that a value is a range of one piece of memory, as
//! everywhere in the engine. Without a field that is laid over nothing is copied.
//!
//! # Soundness
//! What is laid over is one field's list of values, made anew. `codegen/tests/overlay.rs` compares it with
//! the reference interpreter over the record with the fields inserted.

use crate::field_index::FieldId;
use crate::index::{END, RecordFields};
use crate::matcher::{FieldText, ValueKind};
use crate::tape::{Kind, Range, Spelling, Value};
use crate::value::Texts;

/// So many bytes are laid over one record at most.
const LAID_BYTES_MAX: usize = 1 << 20;

/// A record that was read, and to which fields may be added.
#[derive(Debug)]
pub struct Overlay<'a> {
    pub(crate) record: &'a [u8],
    /// The record with the values behind it; empty as long as there are none.
    pub(crate) laid: &'a mut Vec<u8>,
    pub(crate) fields: &'a mut RecordFields,
    pub(crate) texts: &'a mut Texts,
    pub(crate) spelling: &'a mut Spelling,
}

impl Overlay<'_> {
    /// Whether the record has the field.
    pub fn has(&self, field: FieldId) -> bool {
        self.fields.has(field)
    }

    /// Calls `each` with every value of a field, laid over or not. Objects have an empty text.
    pub fn read(&mut self, field: FieldId, mut each: impl FnMut(FieldText<'_>)) {
        let record = if self.laid.is_empty() { self.record } else { &self.laid[..] };
        let mut at = self.fields.first(field);
        while at != END {
            let value = &mut self.fields.values[at as usize];
            at = value.next;
            let kind = ValueKind::from(value.value.kind);
            // Only what is escaped has to be made.
            let text = match value.value.kind {
                Kind::EscapedText => self.texts.view(record, value).plain,
                Kind::Null | Kind::Array | Kind::Object => &[],
                _ => value.value.range.of(record),
            };
            each(FieldText { kind, text });
        }
    }

    /// The field has these values from now on: JSON scalars without white space. False if there is no
    /// room for them: then it is as it was.
    pub fn lay<'v>(
        &mut self,
        field: FieldId,
        scalars: impl Iterator<Item = &'v [u8]> + Clone,
    ) -> bool {
        let bytes: usize = scalars.clone().map(<[u8]>::len).sum();
        let taken = self.laid.len().saturating_sub(self.record.len());
        if taken + bytes > LAID_BYTES_MAX || self.record.len() > u32::MAX as usize / 2 {
            return false;
        }
        if self.laid.is_empty() {
            self.laid.extend_from_slice(self.record);
        }
        self.fields.set_present(field);
        self.fields.cut(field, 0);
        for scalar in scalars {
            let start = self.laid.len() as u32;
            self.laid.extend_from_slice(scalar);
            self.fields.push(field, value(scalar, start));
            self.spelling.is_ascii &= scalar.is_ascii();
        }
        true
    }
}

/// A scalar that stands at `start`.
fn value(scalar: &[u8], start: u32) -> Value {
    let end = start + scalar.len() as u32;
    let (kind, range) = match scalar.first() {
        Some(b'"') => {
            let is_escaped = scalar.contains(&b'\\');
            let kind = if is_escaped { Kind::EscapedText } else { Kind::Text };
            (kind, Range { start: start + 1, end: end - 1 })
        }
        Some(b't') => (Kind::True, Range { start, end }),
        Some(b'f') => (Kind::False, Range { start, end }),
        Some(b'n') | None => (Kind::Null, Range { start, end }),
        Some(_) => (Kind::Number, Range { start, end }),
    };
    let is_odd = |pair: &[u8]| matches!(pair, b"\\u" | b"\\/");
    let is_oddly_spelled = kind == Kind::EscapedText && scalar.windows(2).any(is_odd);
    Value { range, kind, is_oddly_spelled }
}
