//! How long single records take: one in 64 is timed by the wall clock.

use std::sync::Arc;
use std::time::Instant;

use hdrhistogram::Histogram;
use sigmill_engine::{Matcher, MatcherConfig};

use super::{Context, Setting};
use crate::report::{Cell, Table};

/// Of so many records one is timed.
const SAMPLED_OF: usize = 64;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "latency",
        "Time of a record",
        "Wall-clock time from the record's bytes to its matches, in microseconds; one record in 64 is \
         timed, all passes together. What else the machine does shows in the last columns.",
        &["p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "greatest µs", "timed"],
    );
    for setting in &context.settings {
        for (name, is_cold) in [("cold", true), ("warm", false)] {
            let times = times(context, setting, is_cold)?;
            let at = |quantile| Cell::Number(times.value_at_quantile(quantile) as f64 / 1e3);
            let greatest = Cell::Number(times.max() as f64 / 1e3);
            table.row(
                format!("{}, {name}", setting.name),
                0.0,
                vec![at(0.5), at(0.9), at(0.99), at(0.999), greatest, Cell::Count(times.len())],
            );
        }
    }
    Ok(vec![table])
}

fn times(context: &Context, setting: &Setting, is_cold: bool) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3)?;
    let fresh = || Matcher::new(Arc::clone(&setting.plan), MatcherConfig::default());
    let mut matcher = fresh();
    // The first pass of a warm matcher does not count.
    for pass in 0..context.repeats + usize::from(!is_cold) {
        if is_cold {
            matcher = fresh();
        }
        let mut matches = 0;
        for (at, record) in context.events.iter().enumerate() {
            let is_timed = at % SAMPLED_OF == SAMPLED_OF / 2 && (is_cold || pass > 0);
            let start = is_timed.then(Instant::now);
            matches += matcher.matches(record).map_or(0, |rules| rules.len() as u64);
            if let Some(start) = start {
                times.saturating_record(u64::try_from(start.elapsed().as_nanos())?.max(1));
            }
        }
        anyhow::ensure!(matches == setting.expected, "a pass found other matches");
    }
    Ok(times)
}
