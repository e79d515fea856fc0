//! AVX-512: sixty-four bytes a step, comparisons straight to bits.

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm256_cmpeq_epi8_mask,
    _mm256_loadu_si256, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask,
    _mm512_cmplt_epu8_mask, _mm512_i32gather_epi32, _mm512_loadu_si512, _mm512_mullo_epi32,
    _mm512_or_si512, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_shuffle_epi8, _mm512_sllv_epi32,
    _mm512_srl_epi32, _mm512_srli_epi16, _mm512_srli_epi32, _mm512_storeu_si512,
    _mm512_test_epi8_mask, _mm512_test_epi32_mask,
};

use crate::arch::escape::{BlockKernel, StringMasks, string_end};
use crate::arch::{
    CASE, FINGERPRINT, GramFilter, MIX, ReadKernel, StringEnd, Task, TeddyMasks, scalar,
};
use crate::shape::{TOKEN_BYTES, Token};

/// The proof that this CPU has AVX-512 with byte instructions and short vectors, and AVX2's company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// `None` when this CPU lacks one of them.
    pub(crate) fn new() -> Option<Self> {
        let has_all = super::Avx2::new().is_some()
            && std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl");
        has_all.then_some(Self(()))
    }

    /// See [`Isa::run`](crate::arch::Isa::run).
    #[inline]
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn with_avx512<T: Task>(task: T) -> T::Output {
            task.run::<Avx512>()
        }
        // SAFETY: `self` exists, so the CPU has these features.
        unsafe { with_avx512(task) }
    }

    /// See [`Isa::teddy`](crate::arch::Isa::teddy).
    #[inline]
    pub(crate) fn teddy(
        self,
        masks: &TeddyMasks,
        text: &[u8],
        candidate: &mut impl FnMut(usize, u8),
    ) -> usize {
        // SAFETY: `self` exists, so the CPU has AVX-512.
        unsafe { teddy(masks, text, candidate) }
    }
}

/// See [`Isa::grams`](crate::arch::Isa::grams); the positions from the returned one on have not been
/// looked at.
impl Avx512 {
    #[inline]
    pub(crate) fn grams(
        self,
        filter: &GramFilter,
        stride: usize,
        text: &[u8],
        candidate: &mut impl FnMut(usize),
    ) -> usize {
        // SAFETY: `self` exists, so the CPU has AVX-512.
        unsafe { grams(filter, stride, text, candidate) }
    }
}

/// The kernel's functions are to be called inside [`Avx512::run`], into which they are inlined.
impl ReadKernel for Avx512 {
    #[inline(always)]
    fn string_end(bytes: &[u8], start: usize) -> Option<StringEnd> {
        string_end::<Self>(bytes, start)
    }

    #[inline(always)]
    fn has_token(bytes: &[u8], at: usize, token: &Token) -> bool {
        match bytes.get(at..).and_then(<[u8]>::first_chunk::<TOKEN_BYTES>) {
            Some(window) => {
                // SAFETY: callers are inside `Avx512::run`; both arrays have thirty-two bytes.
                let same = unsafe {
                    let a = _mm256_loadu_si256(window.as_ptr().cast::<__m256i>());
                    let b = _mm256_loadu_si256(token.bytes.as_ptr().cast::<__m256i>());
                    _mm256_cmpeq_epi8_mask(a, b)
                };
                // All of the token's bytes, and it has some.
                token.len > 0 && (same | (u64::MAX << token.len) as u32) == u32::MAX
            }
            None => scalar::has_token(bytes, at, token),
        }
    }
}

impl BlockKernel for Avx512 {
    #[inline(always)]
    fn masks(block: &[u8; 64]) -> StringMasks {
        // SAFETY: callers are inside `Avx512::run`, which only a value of `Avx512` can reach; the
        // block has sixty-four bytes.
        unsafe {
            let v = _mm512_loadu_si512(block.as_ptr().cast::<__m512i>());
            StringMasks {
                quotes: _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'"' as i8)),
                slashes: _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'\\' as i8)),
                controls: _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8(0x20)),
            }
        }
    }
}

/// Bytes that one step of Teddy loads: the last load begins further on by all but one byte of the
/// fingerprint.
const WINDOW: usize = 63 + FINGERPRINT;

/// # Safety
/// The CPU has AVX-512 with byte instructions.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn teddy(masks: &TeddyMasks, text: &[u8], candidate: &mut impl FnMut(usize, u8)) -> usize {
    let table = |nibbles: &[u8; 16]| {
        // SAFETY: sixteen bytes are read from an array of sixteen; no alignment is needed.
        _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(nibbles.as_ptr().cast::<__m128i>()) })
    };
    let low = masks.low.each_ref().map(table);
    let high = masks.high.each_ref().map(table);
    let nibble = _mm512_set1_epi8(15);
    let mut step = |window: &[u8; WINDOW], at: usize| {
        let mut buckets = _mm512_set1_epi8(-1);
        for place in 0..FINGERPRINT {
            let bytes = &window[place..place + 64];
            // SAFETY: `bytes` has sixty-four readable bytes; no alignment is needed.
            let v = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast::<__m512i>()) };
            let by_low = _mm512_shuffle_epi8(low[place], _mm512_and_si512(v, nibble));
            let shifted = _mm512_and_si512(_mm512_srli_epi16::<4>(v), nibble);
            let by_high = _mm512_shuffle_epi8(high[place], shifted);
            buckets = _mm512_and_si512(buckets, _mm512_and_si512(by_low, by_high));
        }
        let mut set = _mm512_test_epi8_mask(buckets, buckets);
        if set != 0 {
            let mut lanes = [0u8; 64];
            // SAFETY: sixty-four bytes are written to an array of sixty-four.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast::<__m512i>(), buckets) };
            while set != 0 {
                let lane = set.trailing_zeros() as usize;
                candidate(at + lane, lanes[lane]);
                set &= set - 1;
            }
        }
    };
    let mut at = 0;
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk) {
        step(window, at);
        at += 64;
    }
    // What is left is shorter than a window: at most two steps over a padded copy.
    let mut tail = [0u8; 64 + WINDOW];
    let rest = &text[at..];
    tail[..rest.len()].copy_from_slice(rest);
    for from in (0..rest.len()).step_by(64) {
        if let Some(window) = tail[from..].first_chunk() {
            step(window, at + from);
        }
    }
    text.len()
}

/// # Safety
/// The CPU has AVX-512 with byte instructions.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn grams(
    filter: &GramFilter,
    stride: usize,
    text: &[u8],
    candidate: &mut impl FnMut(usize),
) -> usize {
    let shift = _mm_cvtsi32_si128(filter.shift as i32);
    let mut at = 0;
    // The last load of a step begins three bytes further on.
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk::<67>) {
        for offset in (0..4).step_by(stride) {
            let bytes = &window[offset..offset + 64];
            // SAFETY: `bytes` has sixty-four readable bytes; no alignment is needed.
            let v = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast::<__m512i>()) };
            let grams = _mm512_or_si512(v, _mm512_set1_epi32(CASE as i32));
            let hashes = _mm512_mullo_epi32(grams, _mm512_set1_epi32(MIX as i32));
            let bits = _mm512_srl_epi32(hashes, shift);
            // SAFETY: a hash has 32 bits; shifted it is less than the filter's bits, a thirty-second
            // of which is the number of its words.
            let words = unsafe {
                _mm512_i32gather_epi32::<4>(
                    _mm512_srli_epi32::<5>(bits),
                    filter.words.as_ptr().cast(),
                )
            };
            let places = _mm512_and_si512(bits, _mm512_set1_epi32(31));
            let wanted = _mm512_sllv_epi32(_mm512_set1_epi32(1), places);
            let mut set = _mm512_test_epi32_mask(words, wanted);
            while set != 0 {
                candidate(at + offset + 4 * set.trailing_zeros() as usize);
                set &= set - 1;
            }
        }
        at += 64;
    }
    at
}
