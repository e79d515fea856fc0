//! JSON, written piece by piece behind what a buffer holds.

use std::io::Write as _;

pub use sigmill_tables::write_text;

/// Writes formatted text as it is.
pub(crate) fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes all bytes");
}

/// Writes a further member with a text.
pub(crate) fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    name_of(out, name);
    write_text(out, value);
}

/// Writes a further member with a text, if there is one.
pub(crate) fn field_if(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        field(out, name, value);
    }
}

/// Writes a further member with a list of texts, if there are any.
pub(crate) fn list_if<S: AsRef<str>>(out: &mut Vec<u8>, name: &str, values: &[S]) {
    if !values.is_empty() {
        name_of(out, name);
        list(out, values);
    }
}

/// Writes a list of texts.
pub(crate) fn list<S: AsRef<str>>(out: &mut Vec<u8>, values: &[S]) {
    out.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(out, value.as_ref());
    }
    out.push(b']');
}

/// Writes a further member's name; a comma goes before it, unless it is the first.
pub(crate) fn name_of(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), None | Some(b'{' | b',')) {
        out.push(b',');
    }
    write_text(out, name);
    out.push(b':');
}

/// Writes valid JSON, without the white space between its tokens, as a JSON string.
pub(crate) fn write_compact_as_text(out: &mut Vec<u8>, json: &[u8]) {
    out.push(b'"');
    let mut is_in_text = false;
    let mut is_escaped = false;
    for byte in json {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' if !is_in_text => continue,
            b'"' | b'\\' => out.push(b'\\'),
            _ => {}
        }
        out.push(*byte);
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_in_text = !is_in_text,
            _ => {}
        }
    }
    out.push(b'"');
}

/// Writes a JSON value without the white space between its tokens.
pub(crate) fn write_compact(out: &mut Vec<u8>, json: &[u8]) {
    let mut is_in_text = false;
    let mut is_escaped = false;
    for byte in json {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' if !is_in_text => continue,
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_in_text = !is_in_text,
            _ => {}
        }
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let mut out = Vec::new();
        write_text(&mut out, "a\"\\\n\r\t\u{1}ä");
        assert_eq!(String::from_utf8(out).unwrap(), r#""a\"\\\n\r\t\u0001ä""#);
    }

    #[test]
    fn commas_stand_between_members() {
        let mut out = b"{".to_vec();
        field_if(&mut out, "a", None);
        field(&mut out, "b", "{");
        list_if::<&str>(&mut out, "c", &[]);
        list_if(&mut out, "d", &["x", "y"]);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"b":"{","d":["x","y"]"#);
    }
}
