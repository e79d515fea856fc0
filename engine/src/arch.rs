//! Vector kernels, each beside its scalar twin. The only place of this crate with `unsafe`.
//!
//! Which kernel runs is measured once, by a short trial ([`calibrate`]). Targets other than x86-64 take
//! the scalar twins.

use crate::shape::Token;

mod calibrate;
mod escape;
pub(crate) mod scalar;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;

/// Finds where a JSON string stops being plain.
pub(crate) trait StringKernel {
    /// The first `"`, `\` or control character at or after `at`; the length if there is none.
    fn plain_end(bytes: &[u8], at: usize) -> usize;
}

/// Where a JSON string ends, and how it is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StringEnd {
    /// The index of the closing quote.
    pub(crate) quote: usize,
    pub(crate) has_escapes: bool,
    /// It has `\\u` or `\\/`.
    pub(crate) is_odd: bool,
}

/// What reading a record by predicted keys needs.
pub(crate) trait ReadKernel {
    /// Where the string whose inside begins at `start` ends; `None` if it has a control character or
    /// a wrong escape, or no end.
    fn string_end(bytes: &[u8], start: usize) -> Option<StringEnd>;

    /// Whether the token stands at `at`. A token of length 0 stands nowhere.
    fn has_token(bytes: &[u8], at: usize, token: &Token) -> bool;
}

/// Work to be done with the kernel of an ISA. `run` has to be `#[inline(always)]`, as have the parts
/// of it that call the kernel: only then are they compiled for that ISA.
pub(crate) trait Task {
    type Output;

    fn run<K: ReadKernel>(self) -> Self::Output;
}

/// The kernel that every machine of this architecture has, for work that is not worth a choice.
#[cfg(target_arch = "x86_64")]
pub(crate) type Baseline = x86_64::Sse2;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) type Baseline = scalar::Scalar;

/// Asks for an element that will soon be read; one that does not exist is not asked for.
#[inline(always)]
pub(crate) fn prefetch<T>(of: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = of.get(at) {
        x86_64::prefetch(element);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (of, at);
}

/// How far the first pass over a record asks for memory ahead of what it looks at, in bytes: records
/// of a batch lie one behind the other, so what lies behind a record is likely the next one, and the
/// hardware alone looks less far.
#[cfg(target_arch = "x86_64")]
const PREFETCH_DISTANCE: usize = 1024;

/// Bytes of a literal that Teddy looks at.
pub(crate) const FINGERPRINT: usize = 4;

/// For each byte of a fingerprint, the buckets that its low and its high nibble allow, and those that
/// its low six bits do: a kernel takes what it can look up at once.
#[derive(Debug, Clone)]
pub(crate) struct TeddyMasks {
    pub(crate) low: [[u8; 16]; FINGERPRINT],
    pub(crate) high: [[u8; 16]; FINGERPRINT],
    pub(crate) six: [[u8; 64]; FINGERPRINT],
}

impl Default for TeddyMasks {
    fn default() -> Self {
        Self { low: Default::default(), high: Default::default(), six: [[0; 64]; FINGERPRINT] }
    }
}

/// What a pass of Teddy saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TeddyPass {
    /// The positions from here on have not been looked at.
    pub(crate) done: usize,
    /// Whether the whole text is ASCII.
    pub(crate) is_ascii: bool,
}

impl TeddyMasks {
    /// Lets `byte` at `place` into a bucket.
    pub(crate) fn add(&mut self, place: usize, byte: u8, bucket: usize) {
        self.low[place][usize::from(byte & 15)] |= 1 << bucket;
        self.high[place][usize::from(byte >> 4)] |= 1 << bucket;
        self.six[place][usize::from(byte & 63)] |= 1 << bucket;
    }

    /// Lets every byte at `place` into a bucket.
    pub(crate) fn add_all(&mut self, place: usize, bucket: usize) {
        for nibble in 0..16 {
            self.low[place][nibble] |= 1 << bucket;
            self.high[place][nibble] |= 1 << bucket;
        }
        self.six[place].iter_mut().for_each(|buckets| *buckets |= 1 << bucket);
    }
}

/// A bitmap of hashed grams (see [`crate::grams`]): four bytes of a text, with the case bit set.
#[derive(Debug, Clone)]
pub(crate) struct GramFilter {
    words: Box<[u32]>,
    shift: u32,
}

/// The case bit of ASCII letters, four times. Other bytes lose it too, on both sides.
const CASE: u32 = 0x2020_2020;
/// Multiplied with a gram it mixes the upper bits: two to the 32, by the golden ratio.
const MIX: u32 = 0x9e37_79b1;

impl GramFilter {
    /// A filter of `1 << bits` bits that lets these grams through; `bits` is from 5 to 32.
    pub(crate) fn new(bits: u32, grams: impl IntoIterator<Item = u32>) -> Self {
        let mut filter = Self { words: vec![0; 1 << (bits - 5)].into(), shift: 32 - bits };
        for gram in grams {
            let bit = Self::hash(gram) >> filter.shift;
            filter.words[bit as usize / 32] |= 1 << (bit % 32);
        }
        filter
    }

    /// The gram of four bytes.
    #[inline(always)]
    pub(crate) fn gram(bytes: [u8; 4]) -> u32 {
        u32::from_le_bytes(bytes) | CASE
    }

    #[inline(always)]
    pub(crate) fn hash(gram: u32) -> u32 {
        gram.wrapping_mul(MIX)
    }

    #[inline(always)]
    fn lets_through(&self, gram: u32) -> bool {
        let bit = Self::hash(gram) >> self.shift;
        self.words[bit as usize / 32] >> (bit % 32) & 1 == 1
    }

    /// Bytes of memory held.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * 4
    }
}

/// Which kernels run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    Scalar,
    /// What every x86-64 has.
    #[cfg(target_arch = "x86_64")]
    Sse2,
    #[cfg(target_arch = "x86_64")]
    Avx2(x86_64::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86_64::Avx512),
}

impl Isa {
    /// The best of this machine: measured once, since the widest vectors are not always the fastest.
    /// `SIGMILL_ISA` set to `scalar`, `sse2`, `avx2` or `avx512` decides instead, where the CPU has it.
    pub(crate) fn best() -> Self {
        static BEST: std::sync::OnceLock<Isa> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| {
            let wanted = std::env::var("SIGMILL_ISA").unwrap_or_default();
            let all = Self::all();
            all.iter().find(|isa| isa.name() == wanted).copied().unwrap_or_else(calibrate::fastest)
        })
    }

    /// Its name, as `SIGMILL_ISA` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => "sse2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }

    /// All that this machine has, from plain to best.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let mut all = vec![Self::Scalar, Self::Sse2];
            all.extend(x86_64::Avx2::new().map(Self::Avx2));
            all.extend(x86_64::Avx512::new().map(Self::Avx512));
            all
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Self::Scalar]
    }

    /// Does the task with this ISA's kernel.
    #[inline]
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Self::Scalar => task.run::<scalar::Scalar>(),
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => task.run::<x86_64::Sse2>(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.run(task),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) => avx512.run(task),
        }
    }

    /// Calls `candidate` with each position whose next bytes some bucket of a bank allows: the bank, the
    /// position, those buckets. A position may lie so near the end that the text lacks some of these
    /// bytes. There are one or two banks.
    #[inline]
    pub(crate) fn teddy(
        self,
        banks: &[TeddyMasks],
        text: &[u8],
        candidate: &mut impl FnMut(usize, usize, u8),
    ) -> TeddyPass {
        #[cfg(target_arch = "x86_64")]
        if let (Self::Avx512(avx512), [first, second]) = (self, banks) {
            return avx512.teddy([first, second], text, candidate);
        }
        let mut pass = TeddyPass { done: text.len(), is_ascii: true };
        for (bank, masks) in banks.iter().enumerate() {
            let candidate = &mut |at, buckets| candidate(bank, at, buckets);
            pass = match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx2(avx2) => avx2.teddy(masks, text, candidate),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512(avx512) => {
                    avx512.teddy([masks], text, &mut |_, at, buckets| candidate(at, buckets))
                }
                _ => scalar::teddy(masks, text, candidate),
            };
        }
        pass
    }

    /// Whether a text is ASCII; it may be the first who looks at it.
    #[inline]
    pub(crate) fn is_ascii(self, text: &[u8]) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.is_ascii(text),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) => avx512.is_ascii(text),
            _ => text.is_ascii(),
        }
    }

    /// Calls `candidate` with each position that is a multiple of the stride (1, 2 or 4) and whose gram
    /// the filter lets through, in any order.
    #[inline]
    pub(crate) fn grams(
        self,
        filter: &GramFilter,
        stride: usize,
        text: &[u8],
        candidate: &mut impl FnMut(usize),
    ) {
        let done = match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.grams(filter, stride, text, candidate),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) => avx512.grams(filter, stride, text, candidate),
            _ => 0,
        };
        scalar::grams(filter, stride, text, done, candidate);
    }
}

#[cfg(test)]
mod read_tests {
    use super::*;
    use proptest::prelude::*;

    struct Find<'a>(&'a [u8], usize);

    impl Task for Find<'_> {
        type Output = Option<StringEnd>;

        #[inline(always)]
        fn run<K: ReadKernel>(self) -> Self::Output {
            K::string_end(self.0, self.1)
        }
    }

    proptest! {
        #[test]
        fn every_kernel_finds_the_same_end(
            parts in prop::collection::vec(prop_oneof![
                6 => "[a-zA-Z0-9 ]{0,40}",
                3 => Just("\\\\".to_owned()),
                1 => Just("\\\"".to_owned()),
                1 => Just("\\n".to_owned()),
                1 => Just("\\/".to_owned()),
                1 => Just("\\u12aF".to_owned()),
                1 => "[\u{1}\\\\\"é]",
            ], 0..12),
            start in 0usize..3,
        ) {
            let text = parts.concat() + "\",\"k\":1}";
            let find = |isa: Isa| isa.run(Find(text.as_bytes(), start));
            let ends: Vec<_> = Isa::all().into_iter().map(find).collect();
            for end in &ends {
                prop_assert_eq!(end, &ends[0], "{}", text);
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_sees_what_is_not_ascii() {
        for len in [0, 1, 31, 63, 64, 65, 130, 200] {
            for place in 0..=len {
                let mut text = vec![b'x'; len];
                if let Some(byte) = text.get_mut(place) {
                    *byte = 0x80;
                }
                for isa in Isa::all() {
                    assert_eq!(isa.is_ascii(&text), place == len, "{} {len}", isa.name());
                }
            }
        }
    }

    #[test]
    fn every_kernel_lets_the_same_grams_through() {
        let text: Vec<u8> = (0..700u32).map(|i| b'a' + (i * i % 17) as u8).collect();
        let grams: Vec<u32> = text
            .windows(4)
            .step_by(5)
            .map(|w| GramFilter::gram([w[0], w[1], w[2], w[3]]))
            .collect();
        for bits in [5, 10, 18, 32] {
            let filter = GramFilter::new(bits.min(20), grams.iter().copied());
            for stride in [1, 2, 4] {
                for len in (0..200).chain([699, 700]) {
                    let found = |isa: Isa| {
                        let mut found = Vec::new();
                        isa.grams(&filter, stride, &text[..len], &mut |at| found.push(at));
                        found.sort_unstable();
                        found
                    };
                    let wanted = found(Isa::Scalar);
                    assert!(len < 100 || !wanted.is_empty());
                    for isa in Isa::all() {
                        assert_eq!(found(isa), wanted, "{} {stride} {len}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn the_vector_kernel_agrees_with_its_twin_at_every_offset_and_length() {
        for special in [b'"', b'\\', 0u8, 0x1f, b'a', 0x20, 0x7f, 0x80, 0xff] {
            for len in 0..70 {
                for place in 0..=len {
                    let mut bytes = vec![b'x'; len];
                    if place < len {
                        bytes[place] = special;
                    }
                    for at in 0..=len {
                        assert_eq!(
                            x86_64::Sse2::plain_end(&bytes, at),
                            scalar::Scalar::plain_end(&bytes, at),
                            "{special} {len} {place} {at}"
                        );
                    }
                }
            }
        }
    }
}
