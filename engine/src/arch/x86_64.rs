//! The kernels of x86-64.

mod avx2;
mod sse2;

pub(crate) use avx2::Avx2;
pub(crate) use sse2::Sse2;
