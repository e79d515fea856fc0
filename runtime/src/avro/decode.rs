//! One pass over a record's binary form, which writes JSON.
//!
//! Every value writes at least one byte, so that the limit on the output bounds the time too, whatever lengths the
//! record claims.

use super::schema::{Node, NodeId, Schema};
use crate::detection::write_text;

/// Deeper records are refused; so does the engine.
const DEPTH_MAX: usize = 128;

/// Writes the record as JSON behind what `out` holds.
///
/// # Errors
/// The bytes are not what the schema says, or a limit is reached.
pub(super) fn to_json(
    schema: &Schema,
    record: &[u8],
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), &'static str> {
    let mut pass = Pass { schema, rest: record, out, bytes_max };
    pass.value(schema.root, 0)
}

struct Pass<'a> {
    schema: &'a Schema,
    rest: &'a [u8],
    out: &'a mut Vec<u8>,
    bytes_max: usize,
}

type Done = Result<(), &'static str>;

impl<'a> Pass<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    /// Zigzag, seven bits a byte, the lowest first.
    fn long(&mut self) -> Result<i64, &'static str> {
        let mut bits = 0u64;
        for shift in (0..70).step_by(7) {
            let [byte] = *self.take(1)? else { return Err("it ends too early") };
            // Of the tenth byte one bit is left.
            if shift == 63 && byte > 1 {
                return Err("a number is too long");
            }
            bits |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        Err("a number is too long")
    }

    fn len(&mut self) -> Result<usize, &'static str> {
        usize::try_from(self.long()?).map_err(|_| "a length is negative")
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) -> Done {
        use std::io::Write as _;
        self.out.write_fmt(text).map_err(|_| "there is no memory")
    }

    fn value(&mut self, node: NodeId, depth: usize) -> Done {
        if self.out.len() > self.bytes_max {
            return Err("it is too long");
        }
        if depth > DEPTH_MAX {
            return Err("it is nested too deep");
        }
        let schema = self.schema;
        match &schema.nodes[node] {
            Node::Null => self.out.extend_from_slice(b"null"),
            Node::Boolean => match self.take(1)? {
                [0] => self.out.extend_from_slice(b"false"),
                [1] => self.out.extend_from_slice(b"true"),
                _ => return Err("a boolean is neither 0 nor 1"),
            },
            Node::Integer => {
                let number = self.long()?;
                self.put(format_args!("{number}"))?;
            }
            Node::Float => {
                let bytes = self.take(4)?.try_into().map_err(|_| "it ends too early")?;
                let number = f32::from_le_bytes(bytes);
                match number.is_finite() {
                    true => self.put(format_args!("{number:?}"))?,
                    false => self.not_finite(f64::from(number)),
                }
            }
            Node::Double => {
                let bytes = self.take(8)?.try_into().map_err(|_| "it ends too early")?;
                let number = f64::from_le_bytes(bytes);
                match number.is_finite() {
                    true => self.put(format_args!("{number:?}"))?,
                    false => self.not_finite(number),
                }
            }
            Node::Text => self.text()?,
            Node::Bytes => {
                let len = self.len()?;
                let bytes = self.take(len)?;
                self.out.extend_from_slice(b"{\"bytes\":\"");
                for byte in bytes {
                    match byte {
                        b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' => self.out.push(*byte),
                        _ => self.put(format_args!("\\u{byte:04x}"))?,
                    }
                }
                self.out.extend_from_slice(b"\"}");
            }
            Node::Fixed(size) => {
                let bytes = self.take(*size)?;
                self.out.push(b'[');
                for (at, byte) in bytes.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    self.put(format_args!("{comma}{}", i8::from_ne_bytes([*byte])))?;
                }
                self.out.push(b']');
            }
            Node::Enum(symbols) => {
                let at = self.len()?;
                let symbol = symbols.get(at).ok_or("an enum has no such symbol")?;
                self.out.extend_from_slice(symbol);
            }
            Node::Union(kinds) => {
                let at = self.len()?;
                let kind = *kinds.get(at).ok_or("a union has no such branch")?;
                self.value(kind, depth + 1)?;
            }
            Node::Record(fields) => {
                self.out.push(b'{');
                for (at, (key, kind)) in fields.iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.out.extend_from_slice(key);
                    self.value(*kind, depth + 1)?;
                }
                self.out.push(b'}');
            }
            Node::Array(items) => {
                self.out.push(b'[');
                self.blocks(|pass| pass.value(*items, depth + 1))?;
                self.out.push(b']');
            }
            Node::Map(values) => {
                self.out.push(b'{');
                self.blocks(|pass| {
                    pass.text()?;
                    pass.out.push(b':');
                    pass.value(*values, depth + 1)
                })?;
                self.out.push(b'}');
            }
        }
        Ok(())
    }

    /// JSON has no such numbers; Java prints their names in quotes.
    fn not_finite(&mut self, number: f64) {
        let name: &[u8] = match number {
            number if number.is_nan() => b"\"NaN\"",
            number if number > 0.0 => b"\"Infinity\"",
            _ => b"\"-Infinity\"",
        };
        self.out.extend_from_slice(name);
    }

    fn text(&mut self) -> Done {
        let len = self.len()?;
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| "a text is not UTF-8")?;
        write_text(self.out, text);
        Ok(())
    }

    /// Items in blocks, each with its count; a negative one is followed by the block's size.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Done) -> Done {
        let mut is_first = true;
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
                count = count.checked_neg().ok_or("a length is too large")?;
            }
            for _ in 0..count {
                if !is_first {
                    self.out.push(b',');
                }
                is_first = false;
                item(self)?;
            }
        }
    }
}
