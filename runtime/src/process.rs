//! What the operating system says of this process.

use rustix::time::ClockId;

use crate::account::clock;

/// Time on processors, of all threads, in user and system mode.
pub(crate) fn cpu_seconds() -> f64 {
    clock(ClockId::ProcessCPUTime).as_secs_f64()
}

/// Memory that is in use and not swapped out; none where the system does not tell.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_system_tells() {
        assert!(super::cpu_seconds() > 0.0);
        #[cfg(target_os = "linux")]
        assert!(super::resident_bytes().unwrap() > 100_000);
    }
}
