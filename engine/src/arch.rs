//! Vector kernels, each beside its scalar twin. The only place of this crate with `unsafe`.
//!
//! A kernel finds the end of a run of plain string bytes. SSE2 belongs to every x86-64, so nothing
//! is detected at run time yet; other targets take the scalar twin, as does `SIGMILL_ISA=scalar`.

pub(crate) mod scalar;
#[cfg(target_arch = "x86_64")]
pub(crate) mod sse2;

/// Finds where a JSON string stops being plain.
pub(crate) trait StringKernel {
    /// The first `"`, `\` or control character at or after `at`; the length if there is none.
    fn plain_end(bytes: &[u8], at: usize) -> usize;
}

/// Which kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Sse2,
}

impl Isa {
    /// The best kernel of this machine.
    pub(crate) fn best() -> Self {
        if std::env::var_os("SIGMILL_ISA").is_some_and(|isa| isa == "scalar") {
            return Self::Scalar;
        }
        #[cfg(target_arch = "x86_64")]
        return Self::Sse2;
        #[cfg(not(target_arch = "x86_64"))]
        Self::Scalar
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
                            sse2::Sse2::plain_end(&bytes, at),
                            scalar::Scalar::plain_end(&bytes, at),
                            "{special} {len} {place} {at}"
                        );
                    }
                }
            }
        }
    }
}
