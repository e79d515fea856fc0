//! Which characters of a text do not stand in its raw bytes as they are.
//!
//! Literals are searched in raw bytes (see [`crate::literal_search`]). There an ASCII literal is missed
//! only if one of its characters is spelled as an escape, or is what another character folds to: `K`
//! (U+212A) folds to `k`, `ſ` (U+017F) to `s`. Few texts have such places, and most of these hide
//! characters that no literal of the field has: an apostrophe as `\u0027`.

use crate::tape::Value;

/// What a text hides. Characters are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Hidden {
    /// ASCII characters, one bit each.
    pub(crate) ascii: u128,
    /// Characters beyond ASCII: their folding is not that of single bytes.
    pub(crate) beyond_ascii: bool,
    /// It has escapes, other than those that every spelling of the text has: what seems to stand in
    /// the raw bytes may be a part of one.
    pub(crate) has_odd_escapes: bool,
}

impl Hidden {
    /// What a value of a record hides; `record_is_ascii` saves looking.
    pub(crate) fn of(value: Value, record: &[u8], record_is_ascii: bool) -> Self {
        let raw = value.range.of(record);
        let mut hidden = match record_is_ascii || raw.is_ascii() {
            true => Self::default(),
            false => Self::of_text(raw),
        };
        hidden.has_odd_escapes = value.is_oddly_spelled;
        if value.is_oddly_spelled {
            hidden.add_escapes(raw);
        }
        hidden
    }

    /// What a text that is not ASCII hides beside its escapes.
    pub(crate) fn of_text(raw: &[u8]) -> Self {
        let mut hidden = Self { beyond_ascii: true, ..Self::default() };
        for at in memchr::memchr2_iter(0xc5, 0xe2, raw) {
            if raw[at..].starts_with("\u{17f}".as_bytes()) {
                hidden.add('\u{17f}');
            } else if raw[at..].starts_with("\u{212a}".as_bytes()) {
                hidden.add('\u{212a}');
            }
        }
        hidden
    }

    fn add_escapes(&mut self, raw: &[u8]) {
        let mut at = 0;
        while let Some(offset) = memchr::memchr(b'\\', &raw[at..]) {
            at += offset + 2;
            match raw.get(at - 1) {
                Some(b'/') => self.add('/'),
                Some(b'u') => {
                    let (c, end) = crate::text::unicode_escape(raw, at);
                    self.add(c);
                    at = end;
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, c: char) {
        match crate::text::fold_char(c) {
            folded if folded.is_ascii() => self.ascii |= 1 << folded as u32,
            _ => self.beyond_ascii = true,
        }
    }
}

/// The characters of an ASCII literal, as [`Hidden::ascii`] has them.
pub(crate) fn characters(literal: &[u8]) -> u128 {
    literal.iter().fold(0, |set, byte| set | 1 << (byte.to_ascii_lowercase() & 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Kind, Range};

    fn hidden(raw: &str) -> Hidden {
        let range = Range { start: 0, end: raw.len() as u32 };
        let is_odd = raw.contains("\\u") || raw.contains("\\/");
        let value = Value { range, kind: Kind::EscapedText, is_oddly_spelled: is_odd };
        Hidden::of(value, raw.as_bytes(), raw.is_ascii())
    }

    #[test]
    fn what_is_spelled_otherwise_is_hidden() {
        for (raw, ascii, beyond_ascii) in [
            ("plain \\\\ \\n \\\"", "", false),
            ("\\u0027 \\u003C", "'<", false),
            ("\\u004B\\u006b", "k", false),
            ("a\\/b", "/", false),
            ("\u{212a} and \u{17f}", "ks", true),
            ("\\u212A \\u017f", "ks", false),
            ("®", "", true),
            ("\\u00ae", "", true),
            ("\\\\u0027 \\/", "/", false),
            ("\\ud83d\\ude00", "", true),
        ] {
            let found = hidden(raw);
            assert_eq!(found.ascii, characters(ascii.as_bytes()), "{raw}");
            assert_eq!(found.beyond_ascii, beyond_ascii, "{raw}");
        }
    }
}
