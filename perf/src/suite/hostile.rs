//! Records that somebody who means harm might send: how much slower a byte can be made.

use sigmill_engine::MatcherConfig;

use super::{Context, rate};
use crate::derived_events::hostile;
use crate::report::{Cell, Plot, Table};
use crate::sides::{State, engine, expected_matches};
use crate::turns::take;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "hostile",
        "Hostile records",
        "Cold passes with a fresh matcher. The factor is the time of a byte, as many times as in the \
         given events in the open setting, measured in turns.",
        &["open MB/s", "open × normal", "routed MB/s", "routed × normal"],
    );
    table.plot = Some(Plot::Bars(1));
    let normal = &context.events;
    let open = &context.settings[0];
    for (name, events) in hostile(&open.plan, context.made_bytes) {
        let side = |setting: &'_ super::Setting| expected_matches(&setting.plan, &events);
        let expected: Vec<u64> = context.settings.iter().map(side).collect();
        let config = MatcherConfig::default;
        let mut sides = vec![engine(&open.plan, config(), State::Cold, normal, open.expected)];
        for (setting, expected) in context.settings.iter().zip(expected) {
            sides.push(engine(&setting.plan, config(), State::Cold, &events, expected));
        }
        let samples = take(context.repeats, sides);
        let normal_rate = rate(normal, &samples[0]);
        let mut cells = Vec::new();
        for seconds in &samples[1..] {
            let own = rate(&events, seconds);
            cells.push(Cell::Sample(own.map(|gb| gb * 1e3)));
            cells.push(Cell::Sample(normal_rate.ratio(&own)));
        }
        table.row(name, 0.0, cells);
    }
    Ok(vec![table])
}
