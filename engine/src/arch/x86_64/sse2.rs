//! SSE2: sixteen bytes a step.

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
    _mm_set1_epi8,
};

use crate::arch::scalar::{self, Scalar};
use crate::arch::{ReadKernel, StringEnd, StringKernel};
use crate::shape::Token;

pub(crate) struct Sse2;

impl StringKernel for Sse2 {
    #[inline]
    fn plain_end(bytes: &[u8], mut at: usize) -> usize {
        while let Some(chunk) = bytes.get(at..at + 16) {
            // SAFETY: SSE2 is part of the x86-64 baseline; `chunk` has sixteen readable bytes and the
            // load has no alignment requirement.
            let special = unsafe {
                let v = _mm_loadu_si128(chunk.as_ptr().cast::<__m128i>());
                let quote = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'"' as i8));
                let slash = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\' as i8));
                let control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
                _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control))
            };
            if special != 0 {
                return at + special.trailing_zeros() as usize;
            }
            at += 16;
        }
        Scalar::plain_end(bytes, at)
    }
}

impl ReadKernel for Sse2 {
    #[inline]
    fn string_end(bytes: &[u8], start: usize) -> Option<StringEnd> {
        scalar::by_plain_runs::<Self>(bytes, start)
    }

    #[inline]
    fn has_token(bytes: &[u8], at: usize, token: &Token) -> bool {
        scalar::has_token(bytes, at, token)
    }
}
