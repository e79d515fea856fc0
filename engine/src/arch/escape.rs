//! Escapes of a JSON string, sixty-four bytes at a time, by arithmetic on bits.
//!
//! Which characters are escaped follows from where runs of backslashes begin and how long they are;
//! the carry of a subtraction finds the ends of all runs at once, as simdjson does it (Langdale and
//! Lemire, 2019).

use super::StringEnd;

/// Which of sixty-four bytes are special in a string, one bit each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StringMasks {
    pub(crate) quotes: u64,
    pub(crate) slashes: u64,
    pub(crate) controls: u64,
}

/// A kernel that looks at sixty-four bytes at once. Its function has to be `#[inline(always)]`, as a
/// closure could not be: compiled by itself it would lack the kernel's instructions.
pub(crate) trait BlockKernel {
    fn masks(block: &[u8; 64]) -> StringMasks;
}

/// Where a string ends that is short and has no backslash, as most are; `None` says nothing.
#[inline(always)]
pub(crate) fn short_string_end<K: BlockKernel>(bytes: &[u8], start: usize) -> Option<StringEnd> {
    let masks = K::masks(bytes.get(start..)?.first_chunk()?);
    let first = (masks.quotes | masks.slashes | masks.controls).trailing_zeros();
    let is_quote = first < 64 && masks.quotes >> first & 1 == 1;
    is_quote.then_some(StringEnd {
        quote: start + first as usize,
        has_escapes: false,
        is_odd: false,
    })
}

/// Finds a string's end block by block (see [`ReadKernel::string_end`](super::ReadKernel::string_end)).
#[inline(always)]
pub(crate) fn string_end<K: BlockKernel>(bytes: &[u8], start: usize) -> Option<StringEnd> {
    let mut at = start;
    let mut escapes = EscapeState::default();
    loop {
        let rest = bytes.get(at..)?;
        let end = match rest.first_chunk() {
            Some(block) => escapes.next::<K>(block, bytes, at)?,
            None => {
                // Behind the last byte stand zeros, which are control characters: no string ends there.
                let mut block = [0u8; 64];
                block[..rest.len()].copy_from_slice(rest);
                escapes.next::<K>(&block, bytes, at)?
            }
        };
        if end.is_some() {
            return end;
        }
        at += 64;
    }
}

/// What one block says to the next.
#[derive(Debug, Default)]
struct EscapeState {
    /// 1 if the first character of the next block is escaped.
    carry: u64,
    has_escapes: bool,
    is_odd: bool,
}

const ODD_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;

impl EscapeState {
    /// The end of the string at a quote.
    #[inline(always)]
    fn end(&self, quote: usize) -> StringEnd {
        StringEnd { quote, has_escapes: self.has_escapes, is_odd: self.is_odd }
    }

    /// Takes a block in, which begins at `at` of `bytes`: as [`EscapeState::block`].
    #[inline(always)]
    fn next<K: BlockKernel>(
        &mut self,
        block: &[u8; 64],
        bytes: &[u8],
        at: usize,
    ) -> Option<Option<StringEnd>> {
        let masks = K::masks(block);
        if masks.slashes | self.carry != 0 {
            return self.block(block, masks, bytes, at);
        }
        let special = masks.quotes | masks.controls;
        if special == 0 {
            return Some(None);
        }
        let first = special.trailing_zeros();
        let is_quote = masks.quotes >> first & 1 == 1;
        is_quote.then_some(Some(self.end(at + first as usize)))
    }

    /// Takes a block with backslashes, which begins at `at` of `bytes`, in. The outer `None`: the
    /// string is wrong. The inner: it goes on.
    #[inline(always)]
    fn block(
        &mut self,
        block: &[u8; 64],
        masks: StringMasks,
        bytes: &[u8],
        at: usize,
    ) -> Option<Option<StringEnd>> {
        let StringMasks { quotes, slashes, controls } = masks;
        let starts = slashes & !self.carry;
        let codes = ((starts << 1) | ODD_BITS).wrapping_sub(starts) ^ ODD_BITS;
        let escaped = codes ^ (slashes | self.carry);
        let special = (quotes & !escaped) | controls;
        // Up to and with the string's end, or all.
        let inside = if special == 0 { u64::MAX } else { special ^ (special - 1) };
        let mut to_check = escaped & inside & !(quotes | slashes);
        self.has_escapes |= (slashes | self.carry) & inside != 0;
        while to_check != 0 {
            let place = to_check.trailing_zeros() as usize;
            to_check &= to_check - 1;
            match block[place] {
                b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'/' => self.is_odd = true,
                b'u' => {
                    self.is_odd = true;
                    let digits = bytes.get(at + place + 1..at + place + 5)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        self.carry = (codes & slashes) >> 63;
        if special == 0 {
            return Some(None);
        }
        let first = special.trailing_zeros();
        let is_quote = quotes >> first & 1 == 1;
        is_quote.then_some(Some(self.end(at + first as usize)))
    }
}
