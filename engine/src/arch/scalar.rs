//! The plain twins of the vector kernels.

use super::{FINGERPRINT, GramFilter, ReadKernel, StringEnd, StringKernel, TeddyMasks, TeddyPass};
use crate::scan::escape_end;
use crate::shape::Token;

pub(crate) struct Scalar;

impl StringKernel for Scalar {
    #[inline]
    fn plain_end(bytes: &[u8], at: usize) -> usize {
        bytes[at..]
            .iter()
            .position(|b| *b == b'"' || *b == b'\\' || *b < 0x20)
            .map_or(bytes.len(), |offset| at + offset)
    }
}

impl ReadKernel for Scalar {
    #[inline]
    fn string_end(bytes: &[u8], start: usize) -> Option<StringEnd> {
        by_plain_runs::<Self>(bytes, start)
    }

    #[inline]
    fn has_token(bytes: &[u8], at: usize, token: &Token) -> bool {
        has_token(bytes, at, token)
    }
}

/// See [`ReadKernel::string_end`]: from one special character to the next.
pub(crate) fn by_plain_runs<S: StringKernel>(bytes: &[u8], start: usize) -> Option<StringEnd> {
    let mut end = StringEnd { quote: start, has_escapes: false, is_odd: false };
    loop {
        end.quote = S::plain_end(bytes, end.quote);
        match bytes.get(end.quote)? {
            b'"' => return Some(end),
            b'\\' => {
                end.has_escapes = true;
                end.is_odd |= matches!(bytes.get(end.quote + 1), Some(b'u' | b'/'));
                end.quote = escape_end(bytes, end.quote).ok()?;
            }
            _ => return None,
        }
    }
}

/// See [`ReadKernel::has_token`].
pub(crate) fn has_token(bytes: &[u8], at: usize, token: &Token) -> bool {
    let token = &token.bytes[..usize::from(token.len)];
    !token.is_empty() && bytes[at..].starts_with(token)
}

/// See [`Isa::teddy`](super::Isa::teddy).
pub(crate) fn teddy(
    masks: &TeddyMasks,
    text: &[u8],
    candidate: &mut impl FnMut(usize, u8),
) -> TeddyPass {
    for (at, window) in text.windows(FINGERPRINT).enumerate() {
        let buckets = (0..FINGERPRINT).fold(u8::MAX, |buckets, place| {
            let byte = usize::from(window[place]);
            buckets & masks.low[place][byte & 15] & masks.high[place][byte >> 4]
        });
        if buckets != 0 {
            candidate(at, buckets);
        }
    }
    TeddyPass { done: text.len().saturating_sub(FINGERPRINT - 1), is_ascii: text.is_ascii() }
}

/// See [`Isa::grams`](super::Isa::grams); from position `from` on.
#[inline]
pub(crate) fn grams(
    filter: &GramFilter,
    stride: usize,
    text: &[u8],
    from: usize,
    candidate: &mut impl FnMut(usize),
) {
    let mut at = from;
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk) {
        if filter.lets_through(GramFilter::gram(*window)) {
            candidate(at);
        }
        at += stride;
    }
}
