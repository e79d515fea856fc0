//! What the scanner says of a record: its values in order, as ranges of the record's bytes.

/// A range of the record's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Range {
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// What kind of value an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A text without escapes: its bytes are its value.
    Text,
    /// A text with escapes.
    EscapedText,
    Array,
    Object,
}

/// A value where it stands in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    /// A text between its quotes, all else as it stands; of containers at least the bracket.
    pub(crate) range: Range,
    pub(crate) kind: Kind,
    /// See [`Entry::is_oddly_spelled`].
    pub(crate) is_oddly_spelled: bool,
}

impl Entry {
    pub(crate) fn value(&self) -> Value {
        let is_oddly_spelled = self.is_oddly_spelled;
        Value { range: self.value, kind: self.kind, is_oddly_spelled }
    }
}

/// One value, with its key if it is a member of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The key between its quotes; empty for elements of arrays.
    pub(crate) key: Range,
    /// The value: a text between its quotes, all else as it stands.
    pub(crate) value: Range,
    /// Index of the entry behind this value and all inside it.
    pub(crate) next: u32,
    pub(crate) kind: Kind,
    pub(crate) key_is_escaped: bool,
    /// A text in which a character is spelled as nobody must: by `\\u` or `\\/`.
    pub(crate) is_oddly_spelled: bool,
    /// A later member of the same object has the same key.
    pub(crate) is_superseded: bool,
}

/// How a record's texts are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spelling {
    /// Every byte of the record is ASCII.
    pub(crate) is_ascii: bool,
    /// Some text is oddly spelled.
    pub(crate) has_odd_text: bool,
}

/// The entries of a record, depth first. The first is the record itself.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) entries: Vec<Entry>,
    pub(crate) spelling: Spelling,
}

impl Tape {
    /// The indices of the values directly inside the container at `parent`.
    pub(crate) fn children(&self, parent: u32) -> Children<'_> {
        Children { tape: self, at: parent + 1, end: self.entries[parent as usize].next }
    }
}

/// See [`Tape::children`].
pub(crate) struct Children<'a> {
    tape: &'a Tape,
    at: u32,
    end: u32,
}

impl Iterator for Children<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.at >= self.end {
            return None;
        }
        let at = self.at;
        self.at = self.tape.entries[at as usize].next;
        Some(at)
    }
}
