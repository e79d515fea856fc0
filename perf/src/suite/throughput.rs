//! What matching costs beside what parsing costs: the first question of all.

use sigmill_engine::MatcherConfig;

use super::{Context, rate};
use crate::report::{Cell, Plot, Table};
use crate::sides::{State, engine, tape};
use crate::turns::take;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "throughput",
        "Throughput of one core",
        "All rules on all events, matches counted; *cold*: nothing is remembered, *warm*: the second \
         pass and later. The ratio is to simd-json's tape over the same records, copies included, \
         measured in turns.",
        &["GB/s", "events/s", "÷ tape", "matches"],
    );
    table.plot = Some(Plot::Bars(0));
    let events = &context.events;
    for setting in &context.settings {
        let no_memo = MatcherConfig { memo: false, ..MatcherConfig::default() };
        let side = |config, state| engine(&setting.plan, config, state, events, setting.expected);
        let samples = take(
            context.repeats,
            vec![
                tape(events),
                side(MatcherConfig::default(), State::Cold),
                side(MatcherConfig::default(), State::Warm),
                side(no_memo, State::Warm),
            ],
        );
        for (at, name) in [(0, "tape alone"), (1, "cold"), (2, "warm"), (3, "without memo")] {
            let seconds = &samples[at];
            let name = if at == 0 { name.to_owned() } else { format!("{}, {name}", setting.name) };
            if at == 0 && !table.rows.is_empty() {
                continue;
            }
            let count = events.len() as f64;
            table.row(
                name,
                at as f64,
                vec![
                    Cell::Sample(rate(events, seconds)),
                    Cell::Sample(seconds.map(|seconds| count / seconds)),
                    Cell::Sample(samples[0].ratio(seconds)),
                    Cell::Count(if at == 0 { 0 } else { setting.expected }),
                ],
            );
        }
    }
    Ok(vec![table])
}
