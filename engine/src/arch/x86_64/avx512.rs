//! AVX-512: sixty-four bytes a step, comparisons straight to bits.

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm256_cmpeq_epi8_mask,
    _mm256_loadu_si256, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask,
    _mm512_cmplt_epu8_mask, _mm512_i32gather_epi32, _mm512_loadu_si512, _mm512_movepi8_mask,
    _mm512_mullo_epi32, _mm512_or_si512, _mm512_permutexvar_epi8, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_shuffle_epi8, _mm512_sllv_epi32, _mm512_srl_epi32, _mm512_srli_epi16,
    _mm512_srli_epi32, _mm512_storeu_si512, _mm512_test_epi8_mask, _mm512_test_epi32_mask,
};

use crate::arch::escape::{BlockKernel, StringMasks, short_string_end, string_end};
use crate::arch::{
    CASE, FINGERPRINT, GramFilter, MIX, PREFETCH_DISTANCE, ReadKernel, StringEnd, Task, TeddyMasks,
    TeddyPass, scalar,
};
use crate::shape::{TOKEN_BYTES, Token};

/// The proof that this CPU has AVX-512 with byte instructions and short vectors, and AVX2's company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512 {
    /// It can look up any of sixty-four bytes at once, too.
    has_vbmi: bool,
}

impl Avx512 {
    /// `None` when this CPU lacks one of them.
    pub(crate) fn new() -> Option<Self> {
        let has_all = super::Avx2::new().is_some()
            && std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl");
        has_all.then(|| Self { has_vbmi: std::is_x86_feature_detected!("avx512vbmi") })
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
    pub(crate) fn teddy<const BANKS: usize>(
        self,
        masks: [&TeddyMasks; BANKS],
        text: &[u8],
        candidate: &mut impl FnMut(usize, usize, u8),
    ) -> TeddyPass {
        // SAFETY: `self` exists, so the CPU has AVX-512, and says itself whether it has VBMI.
        unsafe {
            match self.has_vbmi {
                true => teddy_by_six_bits(masks, text, candidate),
                false => teddy_by_nibbles(masks, text, candidate),
            }
        }
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
        // SAFETY: `self` exists, so the CPU has AVX-512.
        unsafe { grams(filter, stride, text, candidate) }
    }

    /// See [`Isa::is_ascii`](crate::arch::Isa::is_ascii).
    #[inline]
    pub(crate) fn is_ascii(self, text: &[u8]) -> bool {
        // SAFETY: `self` exists, so the CPU has AVX-512.
        unsafe { is_ascii(text) }
    }
}

/// The kernel's functions are to be called inside [`Avx512::run`], into which they are inlined.
impl ReadKernel for Avx512 {
    #[inline(always)]
    fn string_end(bytes: &[u8], start: usize) -> Option<StringEnd> {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn long(bytes: &[u8], start: usize) -> Option<StringEnd> {
            string_end::<Avx512>(bytes, start)
        }
        match short_string_end::<Self>(bytes, start) {
            Some(end) => Some(end),
            // SAFETY: callers are inside `Avx512::run`, which only a value of `Avx512` can reach.
            None => unsafe { long(bytes, start) },
        }
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

/// Says for sixty-four bytes at a place of the fingerprint which buckets they allow.
trait Buckets {
    /// # Safety
    /// The CPU has the instructions of the implementation.
    unsafe fn of(&self, place: usize, bytes: __m512i) -> __m512i;
}

/// By both nibbles of a byte.
struct Nibbles {
    low: [__m512i; FINGERPRINT],
    high: [__m512i; FINGERPRINT],
}

impl Buckets for Nibbles {
    #[inline(always)]
    unsafe fn of(&self, place: usize, bytes: __m512i) -> __m512i {
        // SAFETY: the caller has AVX-512 with byte instructions.
        unsafe {
            let nibble = _mm512_set1_epi8(15);
            let by_low = _mm512_shuffle_epi8(self.low[place], _mm512_and_si512(bytes, nibble));
            let shifted = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), nibble);
            _mm512_and_si512(by_low, _mm512_shuffle_epi8(self.high[place], shifted))
        }
    }
}

/// By the low six bits of a byte: a third of the instructions, and hardly more candidates.
struct SixBits([__m512i; FINGERPRINT]);

impl Buckets for SixBits {
    #[inline(always)]
    unsafe fn of(&self, place: usize, bytes: __m512i) -> __m512i {
        // SAFETY: the caller has AVX-512 with permutations of bytes, which look at six bits only.
        unsafe { _mm512_permutexvar_epi8(bytes, self.0[place]) }
    }
}

/// # Safety
/// The CPU has AVX-512 with byte instructions.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn teddy_by_nibbles<const BANKS: usize>(
    masks: [&TeddyMasks; BANKS],
    text: &[u8],
    candidate: &mut impl FnMut(usize, usize, u8),
) -> TeddyPass {
    let table = |nibbles: &[u8; 16]| {
        // SAFETY: sixteen bytes are read from an array of sixteen; no alignment is needed.
        _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(nibbles.as_ptr().cast::<__m128i>()) })
    };
    let banks = masks.map(|masks| Nibbles {
        low: masks.low.each_ref().map(table),
        high: masks.high.each_ref().map(table),
    });
    // SAFETY: the caller has what the nibbles need.
    unsafe { teddy(&banks, text, candidate) }
}

/// # Safety
/// The CPU has AVX-512 with byte instructions and permutations of bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn teddy_by_six_bits<const BANKS: usize>(
    masks: [&TeddyMasks; BANKS],
    text: &[u8],
    candidate: &mut impl FnMut(usize, usize, u8),
) -> TeddyPass {
    let table = |table: &[u8; 64]| {
        // SAFETY: sixty-four bytes are read from an array of sixty-four; no alignment is needed.
        unsafe { _mm512_loadu_si512(table.as_ptr().cast::<__m512i>()) }
    };
    let banks = masks.map(|masks| SixBits(masks.six.each_ref().map(table)));
    // SAFETY: the caller has what six bits need.
    unsafe { teddy(&banks, text, candidate) }
}

/// # Safety
/// The CPU has AVX-512 with byte instructions, and those of the buckets.
#[inline(always)]
unsafe fn teddy<B: Buckets, const BANKS: usize>(
    banks: &[B; BANKS],
    text: &[u8],
    candidate: &mut impl FnMut(usize, usize, u8),
) -> TeddyPass {
    let mut all = 0u64;
    let mut at = 0;
    // What is left in the end is shorter than a window: at most two steps over a padded copy.
    let mut tail = [0u8; 64 + WINDOW];
    let mut tail_at = 0;
    let mut is_tail = false;
    loop {
        let window: &[u8; WINDOW] = match text.get(at..).and_then(<[u8]>::first_chunk) {
            Some(window) if !is_tail => window,
            _ => {
                if !is_tail {
                    is_tail = true;
                    tail_at = at;
                    tail[..text.len() - at].copy_from_slice(&text[at..]);
                }
                match tail[at - tail_at..].first_chunk() {
                    Some(window) if at < text.len() => window,
                    _ => break,
                }
            }
        };
        // SAFETY: the caller has the instructions; every load reads sixty-four bytes of the window,
        // which has `FINGERPRINT - 1` more; the lanes are stored to sixty-four bytes.
        unsafe {
            let load =
                |place: usize| _mm512_loadu_si512(window.as_ptr().add(place).cast::<__m512i>());
            let windows: [__m512i; FINGERPRINT] = std::array::from_fn(load);
            super::prefetch_behind(text, at + PREFETCH_DISTANCE);
            all |= _mm512_movepi8_mask(windows[0]);
            for (bank, tables) in banks.iter().enumerate() {
                let mut buckets = tables.of(0, windows[0]);
                for (place, window) in windows.iter().enumerate().skip(1) {
                    buckets = _mm512_and_si512(buckets, tables.of(place, *window));
                }
                let mut set = _mm512_test_epi8_mask(buckets, buckets);
                if set != 0 {
                    let mut lanes = [0u8; 64];
                    _mm512_storeu_si512(lanes.as_mut_ptr().cast::<__m512i>(), buckets);
                    while set != 0 {
                        let lane = set.trailing_zeros() as usize;
                        candidate(bank, at + lane, lanes[lane]);
                        set &= set - 1;
                    }
                }
            }
        }
        at += 64;
    }
    TeddyPass { done: text.len(), is_ascii: all == 0 }
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

/// # Safety
/// The CPU has AVX-512 with byte instructions.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn is_ascii(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks::<64>();
    let mut all = _mm512_set1_epi8(0);
    for (number, block) in blocks.iter().enumerate() {
        super::prefetch_behind(text, number * 64 + PREFETCH_DISTANCE);
        // SAFETY: the block has sixty-four bytes; no alignment is needed.
        all = _mm512_or_si512(all, unsafe { _mm512_loadu_si512(block.as_ptr().cast::<__m512i>()) });
    }
    _mm512_movepi8_mask(all) == 0 && rest.is_ascii()
}
