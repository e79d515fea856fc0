//! CPU time of the calling thread: the measure that other work on the machine disturbs least.

use std::time::Duration;

/// CPU time that this thread has used so far.
pub(crate) fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes, and the clock exists on every Linux and macOS.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "the thread CPU clock is there");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
