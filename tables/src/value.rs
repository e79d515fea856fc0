//! Columns as they are kept: one JSON scalar, an array of scalars, or nothing where a row has none.

/// Appends a text as JSON spells it, with no more escapes than it has to have.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The scalars of a column: those of an array, or itself; none if it is empty.
pub fn elements(column: &[u8]) -> Elements<'_> {
    match column {
        [b'[', inner @ .., b']'] => Elements(inner),
        other => Elements(other),
    }
}

/// See [`elements`].
#[derive(Debug, Clone)]
pub struct Elements<'c>(&'c [u8]);

impl<'c> Iterator for Elements<'c> {
    type Item = &'c [u8];

    fn next(&mut self) -> Option<&'c [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (scalar, behind) = self.0.split_at(scalar_end(self.0));
        self.0 = behind.strip_prefix(b",").unwrap_or(behind);
        Some(scalar)
    }
}

fn scalar_end(bytes: &[u8]) -> usize {
    if bytes[0] != b'"' {
        return bytes.iter().position(|byte| *byte == b',').unwrap_or(bytes.len());
    }
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// One column that has the scalars of both, each once.
pub(crate) fn union(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut all: Vec<&[u8]> = elements(a).collect();
    for scalar in elements(b) {
        if !all.contains(&scalar) {
            all.push(scalar);
        }
    }
    match all.as_slice() {
        [] => Vec::new(),
        [one] => one.to_vec(),
        all => [b"[", all.join(&b','.to_owned()).as_slice(), b"]"].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_apart_and_together() {
        let parts = |column: &'static str| -> Vec<&str> {
            elements(column.as_bytes()).map(|one| std::str::from_utf8(one).unwrap()).collect()
        };
        assert_eq!(parts(""), [""; 0]);
        assert_eq!(parts("[]"), [""; 0]);
        assert_eq!(parts("12"), ["12"]);
        assert_eq!(parts(r#"["a,\"]",1,null,"\\"]"#), [r#""a,\"]""#, "1", "null", r#""\\""#]);
        assert_eq!(union(br#"["a",1]"#, br#"["b",1]"#), br#"["a",1,"b"]"#);
        assert_eq!(union(b"", b"true"), b"true");
        assert_eq!(union(b"1", b"1"), b"1");
        let mut text = Vec::new();
        write_text(&mut text, "a\"\\\n\u{1}\u{e4}");
        assert_eq!(text, "\"a\\\"\\\\\\n\\u0001\u{e4}\"".as_bytes());
    }
}
