//! AVX2: thirty-two bytes a step.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_storeu_si256,
};

use crate::arch::{FINGERPRINT, TeddyMasks};

/// The proof that this CPU has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// `None` when this CPU has no AVX2.
    pub(crate) fn new() -> Option<Self> {
        std::is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// See [`Isa::teddy`](crate::arch::Isa::teddy).
    #[inline]
    pub(crate) fn teddy(
        self,
        masks: &TeddyMasks,
        text: &[u8],
        candidate: &mut impl FnMut(usize, u8),
    ) -> usize {
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe { teddy(masks, text, candidate) }
    }
}

/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn teddy(masks: &TeddyMasks, text: &[u8], candidate: &mut impl FnMut(usize, u8)) -> usize {
    let table = |nibbles: &[u8; 16]| {
        // SAFETY: sixteen bytes are read from an array of sixteen; no alignment is needed.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(nibbles.as_ptr().cast::<__m128i>()) })
    };
    let low = masks.low.each_ref().map(table);
    let high = masks.high.each_ref().map(table);
    let nibble = _mm256_set1_epi8(15);
    let mut at = 0;
    // The last load begins further on by all but one byte of the fingerprint.
    while let Some(window) = text.get(at..at + 31 + FINGERPRINT) {
        let mut buckets = _mm256_set1_epi8(-1);
        for place in 0..FINGERPRINT {
            let bytes = &window[place..place + 32];
            // SAFETY: `bytes` has thirty-two readable bytes; no alignment is needed.
            let v = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) };
            let by_low = _mm256_shuffle_epi8(low[place], _mm256_and_si256(v, nibble));
            let shifted = _mm256_and_si256(_mm256_srli_epi16::<4>(v), nibble);
            let by_high = _mm256_shuffle_epi8(high[place], shifted);
            buckets = _mm256_and_si256(buckets, _mm256_and_si256(by_low, by_high));
        }
        let empty = _mm256_cmpeq_epi8(buckets, _mm256_setzero_si256());
        let mut set = !(_mm256_movemask_epi8(empty) as u32);
        if set != 0 {
            let mut lanes = [0u8; 32];
            // SAFETY: thirty-two bytes are written to an array of thirty-two.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), buckets) };
            while set != 0 {
                let lane = set.trailing_zeros() as usize;
                candidate(at + lane, lanes[lane]);
                set &= set - 1;
            }
        }
        at += 32;
    }
    at
}
