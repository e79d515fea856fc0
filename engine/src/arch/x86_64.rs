//! The kernels of x86-64.

mod avx2;
mod avx512;
mod sse2;

pub(crate) use avx2::Avx2;
pub(crate) use avx512::Avx512;
pub(crate) use sse2::Sse2;

/// The processor's time stamp: only differences mean something, and only roughly.
pub(crate) fn time_stamp() -> u64 {
    // SAFETY: every x86-64 has the instruction; it touches no memory.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Asks for the memory of something that will soon be read.
#[inline(always)]
pub(crate) fn prefetch<T>(what: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 has the instruction; it changes nothing that a program can see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(what).cast()) }
}

/// Asks for the memory at an offset of a text, or that far behind its start where it has ended.
#[inline(always)]
pub(crate) fn prefetch_behind(text: &[u8], offset: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction changes nothing that a program can see, and does nothing for an address
    // that cannot be read.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(text.as_ptr().wrapping_add(offset).cast()) }
}
