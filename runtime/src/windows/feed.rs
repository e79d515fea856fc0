//! The source's side: which matches of a record count in which window.
//!
//! A record's time is its timestamp, as for the JVM processor. Each data partition has a time of its own,
//! the greatest timestamp read from it. A timestamp that runs ahead of the wall clock does not move it, so
//! that nobody can make all that follows late, and feeds no window, in which it would stay for as long.
//! What lies further behind than a window's grace is late for it: that is judged here, where every owner
//! of the partition judges alike.

use std::sync::Arc;

use sigmill_engine::window::{self, FeedCounters, Occurrence, Position, WindowMatch};
use sigmill_engine::{Matcher, RuleId};

use super::rules::WindowRules;
use crate::metrics::{Counts, Metric};
use crate::rule_store::RuleSet;
use crate::settings::WindowSettings;

/// A record's place in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// Its own; `None`: too far ahead to count.
    pub(crate) event: Option<i64>,
    /// Its partition's, with it.
    pub(crate) partition: i64,
}

/// What a worker prepares for windows.
pub(crate) struct WindowFeed {
    ahead_max: i64,
    event_bytes_max: usize,
    counters: FeedCounters,
    /// The matches of the last record.
    pub(crate) matches: Vec<WindowMatch>,
}

impl WindowFeed {
    pub(crate) fn new(settings: &WindowSettings) -> Self {
        Self {
            ahead_max: i64::try_from(settings.time_ahead_max.as_millis()).unwrap_or(i64::MAX),
            event_bytes_max: settings.event_bytes_max,
            counters: FeedCounters::default(),
            matches: Vec::new(),
        }
    }

    /// The times of a record in a partition whose time was `before`.
    pub(crate) fn times(&self, timestamp: Option<i64>, before: i64, now: i64) -> Times {
        let time = timestamp.filter(|time| *time > 0).unwrap_or(now);
        if time > now.saturating_add(self.ahead_max) {
            return Times { event: None, partition: before };
        }
        Times { event: Some(time), partition: before.max(time) }
    }

    /// Puts what a record is for windows into `matches`, each with the window's number through all plans.
    pub(crate) fn take(
        &mut self,
        (set, rules): (&RuleSet, &WindowRules),
        (matcher, record): (&mut Matcher, &[u8]),
        matched: &[RuleId],
        (times, offset): (Times, i64),
        counts: &mut Counts,
    ) {
        self.matches.clear();
        let plan = &set.windows;
        if !matched.iter().any(|rule| plan.is_feeding(*rule)) {
            return;
        }
        let Some(time) = times.event else {
            counts.add(Metric::WindowMatchesAhead, 1);
            return;
        };
        let is_shown = record.len() <= self.event_bytes_max;
        let occurrence = Occurrence {
            time,
            position: Position { source: 0, offset: u64::try_from(offset).unwrap_or(0) },
            watermark: times.partition,
            content: is_shown.then(|| Arc::from(record)),
            may_repeat: false,
        };
        let counters = &mut self.counters;
        window::collect(plan, matcher, record, matched, &occurrence, counters, &mut self.matches);
        let collected = self.matches.len();
        if set.window_base > 0 {
            self.matches.iter_mut().for_each(|fed| fed.window.0 += set.window_base as u32);
        }
        self.matches.retain(|fed| {
            let grace = rules.by_window[fed.window.0 as usize].grace;
            time >= times.partition.saturating_sub(grace)
        });
        counts.add(Metric::WindowMatchesLate, (collected - self.matches.len()) as u64);
        let counters = std::mem::take(&mut self.counters);
        let incomplete = counters.without_group + counters.without_value;
        counts.add(Metric::WindowMatchesIncomplete, incomplete);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sigmill_engine::window::Emit;

    use super::*;

    #[test]
    fn a_time_ahead_of_the_clock_moves_nothing() {
        let settings = WindowSettings {
            emit: Emit::Early,
            grace: None,
            idle: Duration::from_secs(60),
            event_bytes_max: 10,
            groups_max: 10,
            time_ahead_max: Duration::from_millis(100),
            exchange: crate::settings::ExchangeMode::Topic,
            rules_wait: Duration::from_secs(10),
            purge_interval: Duration::from_secs(60),
            state_folder: None,
            checkpoint_interval: Duration::from_secs(60),
        };
        let feed = WindowFeed::new(&settings);
        let times = |timestamp, before| feed.times(timestamp, before, 1000);
        assert_eq!(times(Some(900), 950), Times { event: Some(900), partition: 950 });
        assert_eq!(times(Some(1100), 950), Times { event: Some(1100), partition: 1100 });
        assert_eq!(times(Some(1101), 950), Times { event: None, partition: 950 });
        assert_eq!(times(None, i64::MIN), Times { event: Some(1000), partition: 1000 });
        assert_eq!(times(Some(0), 5), Times { event: Some(1000), partition: 1000 });
    }
}
