//! The plain twins of the vector kernels.

use super::{FINGERPRINT, StringKernel, TeddyMasks};

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

/// See [`Isa::teddy`](super::Isa::teddy).
pub(crate) fn teddy(
    masks: &TeddyMasks,
    text: &[u8],
    candidate: &mut impl FnMut(usize, u8),
) -> usize {
    for (at, window) in text.windows(FINGERPRINT).enumerate() {
        let buckets = (0..FINGERPRINT).fold(u8::MAX, |buckets, place| {
            let byte = usize::from(window[place]);
            buckets & masks.low[place][byte & 15] & masks.high[place][byte >> 4]
        });
        if buckets != 0 {
            candidate(at, buckets);
        }
    }
    text.len().saturating_sub(FINGERPRINT - 1)
}
