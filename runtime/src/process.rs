//! What the operating system says of this process and of the calling thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time on processors of all threads, in user and system mode.
pub fn cpu_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// Time on a processor of the calling thread: other work on the machine does not count as ours.
pub fn thread_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Memory that is in use and not swapped out; none where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        assert!(cpu_time().as_secs_f64() > 0.0);
        #[cfg(target_os = "linux")]
        assert!(resident_bytes().unwrap() > 100_000);
    }
}
