//! Step 2, scan: one pass over a record's bytes.
//!
//! In: the bytes of a record. Out: a [`Tape`] of ranges into them, or the reason why the record is
//! refused. Nothing is copied, unescaped or converted: numbers keep their spelling, so that decimals
//! of any size compare exactly. The grammar is RFC 8259's, to the letter: no leading zeros, no byte
//! order mark, no control characters in strings. Lone surrogate escapes are accepted.
//!
//! Nesting costs a stack entry, not a call, so that depth is bounded by the limit alone.
//! `tests/scan.rs` compares it with serde_json and simd-json on generated and mutated documents.

use crate::Rejection;
use crate::arch::{Isa, StringKernel, scalar::Scalar};
use crate::tape::{Entry, Kind, Range, Spelling, Tape};

/// Scans records; keeps its buffers.
#[derive(Debug)]
pub(crate) struct Scanner {
    isa: Isa,
    depth_max: usize,
    bytes_max: usize,
    /// The open containers, as indices of their entries.
    open: Vec<u32>,
}

/// Where the first byte is that cannot be.
pub(crate) struct Wrong {
    at: usize,
    is_depth: bool,
}

impl Wrong {
    fn at(at: usize) -> Self {
        Self { at, is_depth: false }
    }
}

impl Scanner {
    pub(crate) fn new(depth_max: usize, bytes_max: usize) -> Self {
        // Offsets are 32 bits wide.
        let bytes_max = bytes_max.min(u32::MAX as usize - 1);
        Self { isa: Isa::best(), depth_max, bytes_max, open: Vec::new() }
    }

    /// Refuses a record that is too long.
    pub(crate) fn check_size(&self, record: &[u8]) -> Result<(), Rejection> {
        if record.len() > self.bytes_max { Err(Rejection::TooLong) } else { Ok(()) }
    }

    /// Scans one record into `tape`.
    pub(crate) fn scan(&mut self, record: &[u8], tape: &mut Tape) -> Result<(), Rejection> {
        tape.entries.clear();
        self.open.clear();
        self.check_size(record)?;
        tape.spelling = Spelling { is_ascii: check_text(self.isa, record)?, has_odd_text: false };
        if space_end(record, 0) == record.len() {
            return Err(Rejection::Empty);
        }
        let mut pass =
            Pass { bytes: record, tape, open: &mut self.open, depth_max: self.depth_max };
        let result = match self.isa {
            Isa::Scalar => pass.run::<Scalar>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Sse2 | Isa::Avx2(_) | Isa::Avx512(_) => pass.run::<crate::arch::x86_64::Sse2>(),
        };
        match result {
            Err(wrong) if wrong.is_depth => Err(Rejection::TooDeep),
            Err(wrong) => Err(Rejection::NotJson { offset: offset(wrong.at) }),
            Ok(()) if tape.entries[0].kind != Kind::Object => Err(Rejection::NotAnObject),
            Ok(()) => Ok(()),
        }
    }
}

/// Refuses what is not UTF-8; says whether all is ASCII.
pub(crate) fn check_text(isa: Isa, record: &[u8]) -> Result<bool, Rejection> {
    if isa.is_ascii(record) { Ok(true) } else { check_utf8(record).map(|()| false) }
}

/// Refuses what is not UTF-8.
pub(crate) fn check_utf8(record: &[u8]) -> Result<(), Rejection> {
    match std::str::from_utf8(record) {
        Ok(_) => Ok(()),
        Err(error) => Err(Rejection::NotUtf8 { offset: offset(error.valid_up_to()) }),
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[inline]
pub(crate) fn space_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// One pass over one record.
struct Pass<'a> {
    bytes: &'a [u8],
    tape: &'a mut Tape,
    open: &'a mut Vec<u32>,
    depth_max: usize,
}

impl Pass<'_> {
    #[inline(never)]
    fn run<S: StringKernel>(&mut self) -> Result<(), Wrong> {
        let mut at = space_end(self.bytes, 0);
        let mut key = (Range::default(), false);
        'value: loop {
            // A value begins at `at`.
            at = self.value::<S>(at, key)?;
            key = (Range::default(), false);
            // Behind a value, or just inside an opened container.
            loop {
                let Some(parent) = self.open.last() else {
                    let end = space_end(self.bytes, at);
                    return if end == self.bytes.len() { Ok(()) } else { Err(Wrong::at(end)) };
                };
                let parent = *parent;
                let is_first = self.tape.entries.len() == parent as usize + 1;
                let is_object = self.tape.entries[parent as usize].kind == Kind::Object;
                at = space_end(self.bytes, at);
                match self.bytes.get(at) {
                    Some(b'}') if is_object => at = self.close(at),
                    Some(b']') if !is_object => at = self.close(at),
                    Some(b',') if !is_first => {
                        at = space_end(self.bytes, at + 1);
                        if is_object {
                            (key, at) = self.key::<S>(at)?;
                        }
                        continue 'value;
                    }
                    Some(_) if is_first => {
                        if is_object {
                            (key, at) = self.key::<S>(at)?;
                        }
                        continue 'value;
                    }
                    _ => return Err(Wrong::at(at)),
                }
            }
        }
    }

    /// Reads a key and its colon; the offset is where its value begins.
    #[inline]
    fn key<S: StringKernel>(&mut self, at: usize) -> Result<((Range, bool), usize), Wrong> {
        if self.bytes.get(at) != Some(&b'"') {
            return Err(Wrong::at(at));
        }
        let (range, escapes, end) = string::<S>(self.bytes, at + 1)?;
        let is_escaped = escapes != Escapes::None;
        let colon = space_end(self.bytes, end);
        if self.bytes.get(colon) != Some(&b':') {
            return Err(Wrong::at(colon));
        }
        Ok(((range, is_escaped), space_end(self.bytes, colon + 1)))
    }

    /// Reads a value; of a container only its bracket.
    #[inline]
    fn value<S: StringKernel>(
        &mut self,
        at: usize,
        (key, key_is_escaped): (Range, bool),
    ) -> Result<usize, Wrong> {
        let mut is_oddly_spelled = false;
        let (kind, value, end) = match self.bytes.get(at) {
            Some(b'"') => {
                let (range, escapes, end) = string::<S>(self.bytes, at + 1)?;
                if escapes == Escapes::Odd {
                    is_oddly_spelled = true;
                    self.tape.spelling.has_odd_text = true;
                }
                let is_plain = escapes == Escapes::None;
                (if is_plain { Kind::Text } else { Kind::EscapedText }, range, end)
            }
            Some(b'-' | b'0'..=b'9') => {
                let end = number_end(self.bytes, at)?;
                (Kind::Number, range(at, end), end)
            }
            Some(b'{') => return self.open(at, Kind::Object, key, key_is_escaped),
            Some(b'[') => return self.open(at, Kind::Array, key, key_is_escaped),
            Some(b't') => word(self.bytes, at, b"true", Kind::True)?,
            Some(b'f') => word(self.bytes, at, b"false", Kind::False)?,
            Some(b'n') => word(self.bytes, at, b"null", Kind::Null)?,
            _ => return Err(Wrong::at(at)),
        };
        let next = offset(self.tape.entries.len() + 1);
        self.tape.entries.push(Entry {
            key,
            value,
            next,
            kind,
            key_is_escaped,
            is_oddly_spelled,
            is_superseded: false,
        });
        Ok(end)
    }

    fn open(
        &mut self,
        at: usize,
        kind: Kind,
        key: Range,
        key_is_escaped: bool,
    ) -> Result<usize, Wrong> {
        if self.open.len() == self.depth_max {
            return Err(Wrong { at, is_depth: true });
        }
        self.open.push(offset(self.tape.entries.len()));
        self.tape.entries.push(Entry {
            key,
            value: range(at, at + 1),
            next: 0,
            kind,
            key_is_escaped,
            is_oddly_spelled: false,
            is_superseded: false,
        });
        Ok(at + 1)
    }

    /// Closes the innermost container at its bracket.
    fn close(&mut self, at: usize) -> usize {
        let parent = self.open.pop().expect("a container is open where its bracket closes");
        let next = offset(self.tape.entries.len());
        let entry = &mut self.tape.entries[parent as usize];
        entry.value.end = offset(at + 1);
        entry.next = next;
        at + 1
    }
}

fn range(start: usize, end: usize) -> Range {
    Range { start: offset(start), end: offset(end) }
}

/// How a string is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    None,
    /// Those that JSON demands, in their short forms.
    Needed,
    /// `\u` or `\/` too: the same text may have other spellings.
    Odd,
}

/// Reads a string from behind its quote: its inside, its escapes, where it ends.
#[inline]
fn string<S: StringKernel>(bytes: &[u8], start: usize) -> Result<(Range, Escapes, usize), Wrong> {
    let mut escapes = Escapes::None;
    let mut at = start;
    loop {
        at = S::plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok((range(start, at), escapes, at + 1)),
            Some(b'\\') => {
                let is_odd = matches!(bytes.get(at + 1), Some(b'u' | b'/'));
                if is_odd || escapes == Escapes::None {
                    escapes = if is_odd { Escapes::Odd } else { Escapes::Needed };
                }
                at = escape_end(bytes, at)?;
            }
            _ => return Err(Wrong::at(at)),
        }
    }
}

#[inline]
pub(crate) fn escape_end(bytes: &[u8], at: usize) -> Result<usize, Wrong> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            for i in at + 2..at + 6 {
                if !bytes.get(i).is_some_and(u8::is_ascii_hexdigit) {
                    return Err(Wrong::at(i));
                }
            }
            Ok(at + 6)
        }
        _ => Err(Wrong::at(at + 1)),
    }
}

#[inline]
pub(crate) fn number_end(bytes: &[u8], start: usize) -> Result<usize, Wrong> {
    let mut at = start;
    if bytes[at] == b'-' {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits_end(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = digits_end(bytes, at)?;
    }
    Ok(at)
}

#[inline]
fn digits_end(bytes: &[u8], start: usize) -> Result<usize, Wrong> {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == start { Err(Wrong::at(at)) } else { Ok(at) }
}

fn word(bytes: &[u8], at: usize, word: &[u8], kind: Kind) -> Result<(Kind, Range, usize), Wrong> {
    for (i, byte) in word.iter().enumerate() {
        if bytes.get(at + i) != Some(byte) {
            return Err(Wrong::at(at + i));
        }
    }
    Ok((kind, range(at, at + word.len()), at + word.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &[u8]) -> Result<Tape, Rejection> {
        let mut tape = Tape::default();
        Scanner::new(512, 1 << 20).scan(text, &mut tape).map(|()| tape)
    }

    #[test]
    fn entries_follow_the_record() {
        let tape = scan(br#" {"a":"x\n","b":[1,{"c":null}],"d":{}} "#).unwrap();
        let kinds: Vec<_> = tape.entries.iter().map(|e| (e.kind, e.next)).collect();
        assert_eq!(
            kinds,
            [
                (Kind::Object, 7),
                (Kind::EscapedText, 2),
                (Kind::Array, 6),
                (Kind::Number, 4),
                (Kind::Object, 6),
                (Kind::Null, 6),
                (Kind::Object, 7),
            ]
        );
        assert_eq!(tape.children(0).collect::<Vec<_>>(), [1, 2, 6]);
        assert_eq!(tape.children(2).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n)).into_bytes();
        let cases: [(&[u8], Rejection); 14] = [
            (b"", Rejection::Empty),
            (b" \r\n", Rejection::Empty),
            (b"[1]", Rejection::NotAnObject),
            (b"\"x\"", Rejection::NotAnObject),
            (b"[1", Rejection::NotJson { offset: 2 }),
            (b"{\"a\":01}", Rejection::NotJson { offset: 6 }),
            (b"{\"a\":1,}", Rejection::NotJson { offset: 7 }),
            (b"{,}", Rejection::NotJson { offset: 1 }),
            (b"{\"a\" 1}", Rejection::NotJson { offset: 5 }),
            (b"{} {}", Rejection::NotJson { offset: 3 }),
            (b"{\"a\":\"\t\"}", Rejection::NotJson { offset: 6 }),
            (b"{\"a\":\"\\x\"}", Rejection::NotJson { offset: 7 }),
            (b"\xef\xbb\xbf{}", Rejection::NotJson { offset: 0 }),
            (b"{\"a\":\"\xff\"}", Rejection::NotUtf8 { offset: 6 }),
        ];
        for (text, reason) in cases {
            assert_eq!(scan(text).unwrap_err(), reason, "{}", String::from_utf8_lossy(text));
        }
        assert!(scan(&deep(511)).is_ok());
        assert_eq!(scan(&deep(512)).unwrap_err(), Rejection::TooDeep);
        assert_eq!(scan(&deep(100_000)).unwrap_err(), Rejection::TooDeep);
        assert_eq!(scan(&vec![b' '; 2 << 20]).unwrap_err(), Rejection::TooLong);
    }
}
