//! Lets a repeated log line through once in a while and counts the others.

use std::time::{Duration, Instant};

/// One kind of log line.
#[derive(Debug, Clone)]
pub(crate) struct RateLimit {
    interval: Duration,
    last: Option<Instant>,
    suppressed: u64,
}

impl RateLimit {
    /// At most one line an interval.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, last: None, suppressed: 0 }
    }

    /// Whether to log at `now`; if so, how many lines were left out since the last one.
    pub(crate) fn allow(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < self.interval) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_interval_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut limit = RateLimit::new(Duration::from_secs(5));
        assert_eq!(limit.allow(start), Some(0));
        assert_eq!(limit.allow(start + Duration::from_secs(1)), None);
        assert_eq!(limit.allow(start + Duration::from_secs(4)), None);
        assert_eq!(limit.allow(start + Duration::from_secs(5)), Some(2));
        assert_eq!(limit.allow(start + Duration::from_secs(6)), None);
    }
}
