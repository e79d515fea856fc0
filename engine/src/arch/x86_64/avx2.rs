//! AVX2: thirty-two bytes a step.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi8, _mm256_i32gather_epi32,
    _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_movemask_ps,
    _mm256_mullo_epi32, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_sllv_epi32, _mm256_srl_epi32, _mm256_srli_epi16, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_sub_epi32,
};

use crate::arch::escape::{BlockKernel, StringMasks, short_string_end, string_end};
use crate::arch::{
    CASE, FINGERPRINT, GramFilter, MIX, PREFETCH_DISTANCE, ReadKernel, StringEnd, Task, TeddyMasks,
    TeddyPass, scalar,
};
use crate::shape::{TOKEN_BYTES, Token};

/// The proof that this CPU has AVX2 and the bit instructions that came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// `None` when this CPU lacks one of them.
    pub(crate) fn new() -> Option<Self> {
        let has_all = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("lzcnt")
            && std::is_x86_feature_detected!("popcnt");
        has_all.then_some(Self(()))
    }

    /// See [`Isa::run`](crate::arch::Isa::run).
    #[inline]
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn with_avx2<T: Task>(task: T) -> T::Output {
            task.run::<Avx2>()
        }
        // SAFETY: `self` exists, so the CPU has these features.
        unsafe { with_avx2(task) }
    }

    /// See [`Isa::teddy`](crate::arch::Isa::teddy).
    #[inline]
    pub(crate) fn teddy(
        self,
        masks: &TeddyMasks,
        text: &[u8],
        candidate: &mut impl FnMut(usize, u8),
    ) -> TeddyPass {
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe { teddy(masks, text, candidate) }
    }

    /// See [`Isa::grams`](crate::arch::Isa::grams); the positions from the returned one on have not been
    /// looked at.
    #[inline]
    pub(crate) fn grams(
        self,
        filter: &GramFilter,
        stride: usize,
        text: &[u8],
        candidate: &mut impl FnMut(usize),
    ) -> usize {
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe { grams(filter, stride, text, candidate) }
    }

    /// See [`Isa::is_ascii`](crate::arch::Isa::is_ascii).
    #[inline]
    pub(crate) fn is_ascii(self, text: &[u8]) -> bool {
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe { is_ascii(text) }
    }
}

/// The kernel's functions are to be called inside [`Avx2::run`], into which they are inlined.
impl ReadKernel for Avx2 {
    #[inline(always)]
    fn string_end(bytes: &[u8], start: usize) -> Option<StringEnd> {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn long(bytes: &[u8], start: usize) -> Option<StringEnd> {
            string_end::<Avx2>(bytes, start)
        }
        match short_string_end::<Self>(bytes, start) {
            Some(end) => Some(end),
            // SAFETY: callers are inside `Avx2::run`, which only a value of `Avx2` can reach.
            None => unsafe { long(bytes, start) },
        }
    }

    #[inline(always)]
    fn has_token(bytes: &[u8], at: usize, token: &Token) -> bool {
        match bytes.get(at..).and_then(<[u8]>::first_chunk::<TOKEN_BYTES>) {
            Some(window) => {
                // SAFETY: callers are inside `Avx2::run`; both arrays have thirty-two bytes.
                let same = unsafe {
                    let a = _mm256_loadu_si256(window.as_ptr().cast::<__m256i>());
                    let b = _mm256_loadu_si256(token.bytes.as_ptr().cast::<__m256i>());
                    _mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)) as u32
                };
                // All of the token's bytes, and it has some.
                token.len > 0 && (same | (u64::MAX << token.len) as u32) == u32::MAX
            }
            None => scalar::has_token(bytes, at, token),
        }
    }
}

impl BlockKernel for Avx2 {
    #[inline(always)]
    fn masks(block: &[u8; 64]) -> StringMasks {
        let mut masks = StringMasks { quotes: 0, slashes: 0, controls: 0 };
        for half in 0..2 {
            // SAFETY: the block has thirty-two bytes at each half; callers are inside `Avx2::run`,
            // which only a value of `Avx2` can reach.
            let (quotes, slashes, controls) = unsafe {
                let v = _mm256_loadu_si256(block.as_ptr().add(32 * half).cast::<__m256i>());
                let quotes = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'"' as i8));
                let slashes = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\\' as i8));
                let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
                (
                    _mm256_movemask_epi8(quotes) as u32,
                    _mm256_movemask_epi8(slashes) as u32,
                    _mm256_movemask_epi8(controls) as u32,
                )
            };
            masks.quotes |= u64::from(quotes) << (32 * half);
            masks.slashes |= u64::from(slashes) << (32 * half);
            masks.controls |= u64::from(controls) << (32 * half);
        }
        masks
    }
}

/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn teddy(
    masks: &TeddyMasks,
    text: &[u8],
    candidate: &mut impl FnMut(usize, u8),
) -> TeddyPass {
    let table = |nibbles: &[u8; 16]| {
        // SAFETY: sixteen bytes are read from an array of sixteen; no alignment is needed.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(nibbles.as_ptr().cast::<__m128i>()) })
    };
    let low = masks.low.each_ref().map(table);
    let high = masks.high.each_ref().map(table);
    let nibble = _mm256_set1_epi8(15);
    let mut all = _mm256_setzero_si256();
    let mut step = |window: &[u8; WINDOW], at: usize| {
        let mut buckets = _mm256_set1_epi8(-1);
        for place in 0..FINGERPRINT {
            let bytes = &window[place..place + 32];
            // SAFETY: `bytes` has thirty-two readable bytes; no alignment is needed.
            let v = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) };
            if place == 0 {
                super::prefetch_behind(text, at + PREFETCH_DISTANCE);
                all = _mm256_or_si256(all, v);
            }
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
    };
    let mut at = 0;
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk) {
        step(window, at);
        at += 32;
    }
    // What is left is shorter than a window: at most two steps over a padded copy.
    let mut tail = [0u8; 32 + WINDOW];
    let rest = &text[at..];
    tail[..rest.len()].copy_from_slice(rest);
    for from in (0..rest.len()).step_by(32) {
        if let Some(window) = tail[from..].first_chunk() {
            step(window, at + from);
        }
    }
    let is_ascii = _mm256_movemask_epi8(all) == 0;
    TeddyPass { done: text.len(), is_ascii }
}

/// Bytes that one step of Teddy loads: the last load begins further on by all but one byte of the
/// fingerprint.
const WINDOW: usize = 31 + FINGERPRINT;

/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn grams(
    filter: &GramFilter,
    stride: usize,
    text: &[u8],
    candidate: &mut impl FnMut(usize),
) -> usize {
    let shift = _mm_cvtsi32_si128(filter.shift as i32);
    let mut at = 0;
    // The last load of a step begins three bytes further on.
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk::<35>) {
        for offset in (0..4).step_by(stride) {
            let bytes = &window[offset..offset + 32];
            // SAFETY: `bytes` has thirty-two readable bytes; no alignment is needed.
            let v = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) };
            let grams = _mm256_or_si256(v, _mm256_set1_epi32(CASE as i32));
            let hashes = _mm256_mullo_epi32(grams, _mm256_set1_epi32(MIX as i32));
            let bits = _mm256_srl_epi32(hashes, shift);
            // SAFETY: a hash has 32 bits; shifted it is less than the filter's bits, a thirty-second
            // of which is the number of its words.
            let words = unsafe {
                _mm256_i32gather_epi32::<4>(
                    filter.words.as_ptr().cast(),
                    _mm256_srli_epi32::<5>(bits),
                )
            };
            // The wanted bit becomes the uppermost.
            let places = _mm256_and_si256(bits, _mm256_set1_epi32(31));
            let up = _mm256_sllv_epi32(words, _mm256_sub_epi32(_mm256_set1_epi32(31), places));
            let mut set = _mm256_movemask_ps(_mm256_castsi256_ps(up)) as u32;
            while set != 0 {
                candidate(at + offset + 4 * set.trailing_zeros() as usize);
                set &= set - 1;
            }
        }
        at += 32;
    }
    at
}

/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn is_ascii(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks::<64>();
    let mut all = _mm256_setzero_si256();
    for (number, block) in blocks.iter().enumerate() {
        super::prefetch_behind(text, number * 64 + PREFETCH_DISTANCE);
        for half in block.as_chunks::<32>().0 {
            // SAFETY: the half has thirty-two bytes; no alignment is needed.
            all = _mm256_or_si256(all, unsafe {
                _mm256_loadu_si256(half.as_ptr().cast::<__m256i>())
            });
        }
    }
    _mm256_movemask_epi8(all) == 0 && rest.is_ascii()
}
