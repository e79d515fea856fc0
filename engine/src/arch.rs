//! Vector kernels, each beside its scalar twin. The only place of this crate with `unsafe`.
//!
//! Which kernel runs is chosen once, when a scanner or a search is made: the best that the CPU has.
//! Targets other than x86-64 take the scalar twins, as does `SIGMILL_ISA=scalar`.

pub(crate) mod scalar;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;

/// Finds where a JSON string stops being plain.
pub(crate) trait StringKernel {
    /// The first `"`, `\` or control character at or after `at`; the length if there is none.
    fn plain_end(bytes: &[u8], at: usize) -> usize;
}

/// Bytes of a literal that Teddy looks at.
pub(crate) const FINGERPRINT: usize = 4;

/// For each byte of a fingerprint, the buckets that its low and its high nibble allow.
#[derive(Debug, Clone, Default)]
pub(crate) struct TeddyMasks {
    pub(crate) low: [[u8; 16]; FINGERPRINT],
    pub(crate) high: [[u8; 16]; FINGERPRINT],
}

impl TeddyMasks {
    /// Lets `byte` at `place` into a bucket.
    pub(crate) fn add(&mut self, place: usize, byte: u8, bucket: usize) {
        self.low[place][usize::from(byte & 15)] |= 1 << bucket;
        self.high[place][usize::from(byte >> 4)] |= 1 << bucket;
    }

    /// Lets every byte at `place` into a bucket.
    pub(crate) fn add_all(&mut self, place: usize, bucket: usize) {
        for nibble in 0..16 {
            self.low[place][nibble] |= 1 << bucket;
            self.high[place][nibble] |= 1 << bucket;
        }
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
}

impl Isa {
    /// The best of this machine, unless `SIGMILL_ISA` says `scalar` or `sse2`.
    pub(crate) fn best() -> Self {
        let limit = std::env::var("SIGMILL_ISA").unwrap_or_default();
        let all = Self::all();
        match limit.as_str() {
            "scalar" => Self::Scalar,
            "sse2" => *all.get(1).unwrap_or(&Self::Scalar),
            _ => *all.last().unwrap_or(&Self::Scalar),
        }
    }

    /// All that this machine has, from plain to best.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let mut all = vec![Self::Scalar, Self::Sse2];
            all.extend(x86_64::Avx2::new().map(Self::Avx2));
            all
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Self::Scalar]
    }

    /// Calls `candidate` with each position whose next bytes some bucket allows, and those buckets.
    /// The positions from the returned one on have not been looked at.
    #[inline]
    pub(crate) fn teddy(
        self,
        masks: &TeddyMasks,
        text: &[u8],
        candidate: &mut impl FnMut(usize, u8),
    ) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.teddy(masks, text, candidate),
            _ => scalar::teddy(masks, text, candidate),
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

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
