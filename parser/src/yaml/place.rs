//! The place of a part of a scalar in the source text.

use super::{Scalar, Style};
use crate::span::Span;

/// Where the bytes `start..end` of a scalar's text stand in the source, given the scalar's own span.
///
/// Quotes, escapes and line folds make the two texts differ. They are walked side by side, white space
/// against white space; where that fails (escapes in double quotes), the whole scalar is the answer.
pub(crate) fn place_in_scalar(
    scalar: &Scalar,
    span: Span,
    source: &str,
    start: usize,
    end: usize,
) -> Span {
    let Some(raw) = source.get(span.range()) else { return span };
    // The span of a block scalar begins with its first line, behind `|` or `>`.
    let skipped = match scalar.style {
        Style::Plain | Style::Block => 0,
        Style::SingleQuoted | Style::DoubleQuoted => 1,
    };
    let Some(body) = raw.get(skipped..) else { return span };
    match walk(&scalar.text, body, scalar.style, start, end) {
        Some((from, to)) => {
            let base = span.start as usize + skipped;
            Span::new(base + from, base + to)
        }
        None => span,
    }
}

/// The offsets in `raw` that belong to `start` and `end` in `text`.
fn walk(text: &str, raw: &str, style: Style, start: usize, end: usize) -> Option<(usize, usize)> {
    if raw.starts_with(text) {
        return Some((start, end));
    }
    let (mut at, mut from) = (0, None);
    let mut chars = text.char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        if c.is_whitespace() {
            // A run of white space, its line folds and its indentation.
            if offset >= start {
                from = from.or(Some(at));
            }
            while chars.peek().is_some_and(|(_, next)| next.is_whitespace()) {
                chars.next();
            }
            at += blank_len(raw.get(at..)?);
        } else {
            at += blank_len(raw.get(at..)?);
            if offset >= start {
                from = from.or(Some(at));
            }
            if !raw[at..].starts_with(c) {
                return None;
            }
            at += c.len_utf8();
            if style == Style::SingleQuoted && c == '\'' {
                at += 1;
            }
        }
        let next = chars.peek().map_or(text.len(), |(next, _)| *next);
        if next >= end
            && let Some(from) = from
        {
            return Some((from, at));
        }
    }
    Some((from.unwrap_or(at), at))
}

fn blank_len(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

#[cfg(test)]
mod tests {
    use crate::yaml::{load, place_in_scalar};

    #[test]
    fn parts_are_found_under_quotes_and_folds() {
        for (yaml, part) in [
            ("k: sel and bad", "bad"),
            ("k: 'sel and bad'", "bad"),
            ("k: 'it''s bad'", "bad"),
            ("k: \"sel and bad\"", "bad"),
            ("k: sel\n   and\n   bad or x", "bad"),
            ("k: |\n   sel\n   and bad\n   or x\n", "bad"),
            ("k: >-\n   sel\n   and\n   bad\n", "bad"),
        ] {
            let (nodes, _) = load(yaml);
            let node = nodes[0].get("k").unwrap();
            let scalar = node.as_scalar().unwrap();
            let start = scalar.text.find(part).unwrap();
            let span = place_in_scalar(scalar, node.span, yaml, start, start + part.len());
            assert_eq!(&yaml[span.range()], part, "{yaml:?}");
        }
    }

    #[test]
    fn the_whole_scalar_stands_in_where_escapes_are_in_the_way() {
        let yaml = r#"k: "a\x20bad""#;
        let (nodes, _) = load(yaml);
        let node = nodes[0].get("k").unwrap();
        let span = place_in_scalar(node.as_scalar().unwrap(), node.span, yaml, 2, 5);
        assert_eq!(span, node.span);
    }
}
