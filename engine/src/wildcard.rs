//! Texts with wildcards, matched in time linear in the text for a given pattern.
//!
//! The pattern is cut at its `*`s. The first and last segments are anchored; each one between is
//! taken at its leftmost place, which never loses a match, since a later place leaves less text for
//! the rest.

use memchr::memmem::Finder;

/// A part of a pattern, as codegen hands it over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WildcardPart {
    /// Just these bytes of UTF-8.
    Literal(Box<[u8]>),
    /// `?`: one character.
    AnyChar,
    /// `*`: any number of characters.
    AnyRun,
}

/// A pattern ready to match. Text and pattern are both folded, or both not.
#[derive(Debug, Clone)]
pub(crate) struct Wildcard {
    /// The segments between `*`s; just one if there is none.
    segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
struct Segment {
    /// Literal runs, and between two of them so many `?` as the number before the later one says.
    pieces: Vec<(usize, Box<[u8]>)>,
    /// `?`s at the end.
    tail_chars: usize,
    /// Set for a segment that is one literal: finds it.
    finder: Option<Finder<'static>>,
}

impl Wildcard {
    pub(crate) fn new(parts: &[WildcardPart]) -> Self {
        let segments =
            parts.split(|part| *part == WildcardPart::AnyRun).map(Segment::new).collect();
        Self { segments }
    }

    /// Whether the whole text matches.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        let (first, rest) = self.segments.split_first().expect("splitting yields a segment");
        let Some(mut at) = first.match_at(text, 0) else { return false };
        let Some((last, middle)) = rest.split_last() else { return at == text.len() };
        for segment in middle {
            match segment.find(text, at) {
                Some(end) => at = end,
                None => return false,
            }
        }
        last.match_end(text, at)
    }
}

impl Segment {
    fn new(parts: &[WildcardPart]) -> Self {
        let mut segment = Self { pieces: Vec::new(), tail_chars: 0, finder: None };
        for part in parts {
            match part {
                WildcardPart::Literal(bytes) => {
                    segment.pieces.push((segment.tail_chars, bytes.clone()));
                    segment.tail_chars = 0;
                }
                _ => segment.tail_chars += 1,
            }
        }
        if let ([(0, literal)], 0) = (segment.pieces.as_slice(), segment.tail_chars) {
            segment.finder = Some(Finder::new(literal).into_owned());
        }
        segment
    }

    /// Where a match that begins at `at` ends.
    fn match_at(&self, text: &[u8], mut at: usize) -> Option<usize> {
        for (chars, literal) in &self.pieces {
            at = skip_chars(text, at, *chars)?;
            if !text[at..].starts_with(literal) {
                return None;
            }
            at += literal.len();
        }
        skip_chars(text, at, self.tail_chars)
    }

    /// Where the leftmost match at or behind `from` ends.
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        if let Some(finder) = &self.finder {
            let at = finder.find(&text[from..])?;
            return Some(from + at + finder.needle().len());
        }
        let mut at = from;
        loop {
            if let Some(end) = self.match_at(text, at) {
                return Some(end);
            }
            at = skip_chars(text, at, 1)?;
        }
    }

    /// Whether a match that begins at or behind `from` ends with the text: found from the end.
    fn match_end(&self, text: &[u8], from: usize) -> bool {
        let mut end = text.len();
        let mut chars = self.tail_chars;
        for (before, literal) in self.pieces.iter().rev() {
            let Some(behind) = back_chars(text, end, chars) else { return false };
            if !text[..behind].ends_with(literal) {
                return false;
            }
            end = behind - literal.len();
            chars = *before;
        }
        back_chars(text, end, chars).is_some_and(|start| start >= from)
    }
}

/// The offset `chars` characters behind `at`, if there are so many.
fn skip_chars(text: &[u8], mut at: usize, chars: usize) -> Option<usize> {
    for _ in 0..chars {
        text.get(at)?;
        at += 1;
        while text.get(at).is_some_and(|b| b & 0xc0 == 0x80) {
            at += 1;
        }
    }
    Some(at)
}

/// The offset `chars` characters before `at`, if there are so many.
fn back_chars(text: &[u8], mut at: usize, chars: usize) -> Option<usize> {
    for _ in 0..chars {
        at = at.checked_sub(1)?;
        while text[at] & 0xc0 == 0x80 {
            at = at.checked_sub(1)?;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(pattern: &str) -> Vec<WildcardPart> {
        let mut parts = Vec::new();
        for c in pattern.chars() {
            match (c, parts.last_mut()) {
                ('*', Some(WildcardPart::AnyRun)) => {}
                ('*', _) => parts.push(WildcardPart::AnyRun),
                ('?', _) => parts.push(WildcardPart::AnyChar),
                (c, Some(WildcardPart::Literal(literal))) => {
                    let mut bytes = literal.to_vec();
                    bytes.extend(c.to_string().bytes());
                    *literal = bytes.into();
                }
                (c, _) => parts.push(WildcardPart::Literal(c.to_string().as_bytes().into())),
            }
        }
        parts
    }

    fn plain(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((&'*', p)), None) => plain(p, text),
            (Some((&'*', p)), Some((_, t))) => plain(p, text) || plain(pattern, t),
            (Some((&'?', p)), Some((_, t))) => plain(p, t),
            (Some((c, p)), Some((d, t))) => c == d && plain(p, t),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_trying_everything(pattern in "[abü*?]{0,8}", text in "[abü]{0,10}") {
            let wanted = plain(
                &pattern.chars().collect::<Vec<_>>(),
                &text.chars().collect::<Vec<_>>(),
            );
            prop_assert_eq!(Wildcard::new(&parts(&pattern)).is_match(text.as_bytes()), wanted);
        }
    }
}
