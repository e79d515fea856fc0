//! CPU time of the calling thread or the whole process: the measure that other work on the machine disturbs least.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time that this thread has used so far.
pub(crate) fn now() -> Duration {
    of(ClockId::ThreadCPUTime)
}

/// CPU time that all threads of this process have used so far.
pub(crate) fn of_process() -> Duration {
    of(ClockId::ProcessCPUTime)
}

fn of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
