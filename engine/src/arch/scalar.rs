//! The plain twins of the vector kernels.

use super::StringKernel;

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
