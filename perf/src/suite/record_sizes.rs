//! How the ratio to parsing depends on the size of records.

use sigmill_engine::MatcherConfig;

use super::{Context, rate};
use crate::derived_events::network_records;
use crate::input::Events;
use crate::report::{Cell, Plot, Table};
use crate::sides::{State, engine, expected_matches, tape};
use crate::turns::take;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "record-sizes",
        "Size of records",
        "The given events by their size, and small records made of them in the manner of a network \
         monitor (connections and name look-ups). The ratio is to simd-json's tape over the same.",
        &[
            "bytes",
            "records",
            "tape GB/s",
            "open GB/s",
            "open ÷ tape",
            "routed GB/s",
            "routed ÷ tape",
        ],
    );
    table.plot = Some(Plot::Bars(4));
    let small = network_records(&context.events, (context.made_bytes / 300).max(100));
    let mut sets: Vec<(String, Events)> = vec![("made, about 300".to_owned(), small)];
    for (from, to) in [(0, 1_000), (1_000, 2_000), (2_000, 4_000), (4_000, usize::MAX)] {
        let is_in = |record: &&[u8]| (from..to).contains(&record.len());
        let events: Events = context.events.iter().filter(is_in).collect();
        if events.len() > 0 {
            let range = match to {
                usize::MAX => format!("given, from {from}"),
                to => format!("given, {from} to {to}"),
            };
            sets.push((range, events));
        }
    }
    for (name, events) in sets {
        let mut sides = vec![tape(&events)];
        for setting in &context.settings {
            let expected = expected_matches(&setting.plan, &events);
            let config = MatcherConfig::default();
            sides.push(engine(&setting.plan, config, State::Warm, &events, expected));
        }
        let samples = take(context.repeats, sides);
        table.row(
            name,
            0.0,
            vec![
                Cell::Number(events.byte_count() as f64 / events.len() as f64),
                Cell::Count(events.len() as u64),
                Cell::Sample(rate(&events, &samples[0])),
                Cell::Sample(rate(&events, &samples[1])),
                Cell::Sample(samples[0].ratio(&samples[1])),
                Cell::Sample(rate(&events, &samples[2])),
                Cell::Sample(samples[0].ratio(&samples[2])),
            ],
        );
    }
    Ok(vec![table])
}
