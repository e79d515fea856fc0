//! From raw JSON strings to comparable text: unescaping and simple case folding.

/// Appends the text that a valid JSON string (without its quotes) spells; a lone surrogate reads
/// as U+FFFD.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'\\', &raw[at..]) {
        out.extend_from_slice(&raw[at..at + offset]);
        at += offset + 2;
        match raw[at - 1] {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (c, end) = unicode_escape(raw, at);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                at = end;
            }
            plain => out.push(plain),
        }
    }
    out.extend_from_slice(&raw[at..]);
}

/// The character of an escape whose four digits begin at `at`, and where it ends.
pub(crate) fn unicode_escape(raw: &[u8], at: usize) -> (char, usize) {
    let unit = hex4(raw, at);
    if (0xd800..0xdc00).contains(&unit) && raw.get(at + 4..at + 6) == Some(b"\\u") {
        let low = hex4(raw, at + 6);
        if (0xdc00..0xe000).contains(&low) {
            let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return (char::from_u32(code).unwrap_or('\u{fffd}'), at + 10);
        }
    }
    (char::from_u32(unit).unwrap_or('\u{fffd}'), at + 4)
}

fn hex4(raw: &[u8], at: usize) -> u32 {
    raw[at..at + 4].iter().fold(0, |unit, b| unit * 16 + (*b as char).to_digit(16).unwrap_or(0))
}

/// Appends the simple case folding (Unicode's statuses C and S) of a UTF-8 text.
pub fn fold(text: &[u8], out: &mut Vec<u8>) {
    if text.is_ascii() {
        out.extend(text.iter().map(u8::to_ascii_lowercase));
    } else {
        fold_unicode(&String::from_utf8_lossy(text), out);
    }
}

fn fold_unicode(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c.to_ascii_lowercase() as u8),
            false => out.extend_from_slice(fold_char(c).encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The simple case folding of one character.
pub fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    unicode_case_mapping::case_folded(c).and_then(|code| char::from_u32(code.get())).unwrap_or(c)
}

/// The folded form of a text, by itself.
pub fn folded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    fold(text.as_bytes(), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_text_is_the_same_text() {
        let cases = [
            (r"plain", "plain"),
            (r"\u006dimi\u004B", "mimiK"),
            (r#"\/\\\"\b\f\n\r\t"#, "/\\\"\u{8}\u{c}\n\r\t"),
            (r"\ud83d\ude00x", "😀x"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ude00", "\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        ];
        for (raw, text) in cases {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text, "{raw}");
        }
    }

    #[test]
    fn folding_is_simple_and_full_range() {
        for (a, b) in [
            ("ABCz", "abcz"),
            ("MÜLLER", "müller"),
            ("ΑΣς", "ασσ"),
            ("\u{212a}ſ", "ks"),
            ("ß", "ß"),
        ] {
            assert_eq!(String::from_utf8(folded(a)).unwrap(), b);
        }
    }
}
