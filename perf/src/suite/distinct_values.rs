//! What is left of the speed where no value repeats, so that nothing remembered helps.

use sigmill_engine::MatcherConfig;

use super::{Context, rate};
use crate::derived_events::{Place, distinct};
use crate::input::Events;
use crate::report::{Cell, Plot, Table};
use crate::sides::{State, engine, expected_matches, tape};
use crate::turns::take;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "distinct-values",
        "Values that never repeat",
        "The given events; and the same with a number of the event at the beginning, or at the end, of \
         every text. Cold passes. The ratio is to simd-json's tape over the same.",
        &["tape GB/s", "GB/s", "÷ tape", "matches"],
    );
    table.plot = Some(Plot::Bars(2));
    // Not more than is needed: each is a copy.
    let mut given = Events::default();
    for record in context.events.iter() {
        if given.byte_count() >= context.made_bytes {
            break;
        }
        given.push(record);
    }
    let sets = [
        ("as given", None),
        ("numbered at the end", Some(Place::Suffix)),
        ("numbered at the beginning", Some(Place::Prefix)),
    ];
    for (name, place) in sets {
        let made = place.map(|place| distinct(&given, place));
        let events = made.as_ref().unwrap_or(&given);
        for setting in &context.settings {
            let expected = expected_matches(&setting.plan, events);
            let config = MatcherConfig::default();
            let side = engine(&setting.plan, config, State::Cold, events, expected);
            let samples = take(context.repeats, vec![tape(events), side]);
            table.row(
                format!("{}, {name}", setting.name),
                0.0,
                vec![
                    Cell::Sample(rate(events, &samples[0])),
                    Cell::Sample(rate(events, &samples[1])),
                    Cell::Sample(samples[0].ratio(&samples[1])),
                    Cell::Count(expected),
                ],
            );
        }
    }
    Ok(vec![table])
}
