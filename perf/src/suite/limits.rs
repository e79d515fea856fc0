//! What the machine and other parsers need for the same bytes: the ceiling of any engine.

use std::sync::Arc;

use memchr::memchr_iter;
use sigmill_engine::{MatcherConfig, Plan};

use super::{Context, rate};
use crate::input::Events;
use crate::report::{Cell, Plot, Table};
use crate::sides::{State, engine, tape, timed};
use crate::turns::{Side, take};

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "limits",
        "Limits: the same bytes with less work",
        "Each line does less than matching does. *Read alone* is the engine without any rule: it \
         still refuses what is not JSON.",
        &["GB/s"],
    );
    table.plot = Some(Plot::Bars(0));
    let events = &context.events;
    let no_rules = Arc::new(Plan::default());
    let routed = &context.settings[1];
    let sides: Vec<(&str, Side<'_>)> = vec![
        ("copy each record", copy(events)),
        ("find line ends", line_ends(events)),
        (
            "check UTF-8",
            per_record(events, |record| usize::from(std::str::from_utf8(record).is_ok())),
        ),
        ("simd-json, tape", tape(events)),
        (
            "sonic-rs, value",
            per_record(events, |record| {
                usize::from(sonic_rs::from_slice::<sonic_rs::Value>(record).is_ok())
            }),
        ),
        (
            "sonic-rs, lazy members",
            per_record(events, |record| {
                sonic_rs::to_object_iter(record).filter(|member| member.is_ok()).count()
            }),
        ),
        (
            "serde_json, value",
            per_record(events, |record| {
                usize::from(serde_json::from_slice::<serde_json::Value>(record).is_ok())
            }),
        ),
        (
            "Sigmill, read alone",
            engine(&no_rules, MatcherConfig::default(), State::Warm, events, 0),
        ),
        (
            "Sigmill, routed, warm",
            engine(&routed.plan, MatcherConfig::default(), State::Warm, events, routed.expected),
        ),
    ];
    let (names, sides): (Vec<_>, Vec<_>) = sides.into_iter().unzip();
    for (name, seconds) in names.into_iter().zip(take(context.repeats, sides)) {
        table.row(name, 0.0, vec![Cell::Sample(rate(events, &seconds))]);
    }
    Ok(vec![table])
}

fn copy(events: &Events) -> Side<'_> {
    let mut buffer = Vec::new();
    Box::new(move || {
        timed(events.iter(), |record| {
            buffer.clear();
            buffer.extend_from_slice(record);
            std::hint::black_box(&buffer);
        })
    })
}

fn line_ends(events: &Events) -> Side<'_> {
    Box::new(move || {
        timed(std::iter::once(events.text()), |text| {
            assert_eq!(memchr_iter(b'\n', text).count(), events.len());
        })
    })
}

/// A side that does `work` with each record, and checks that the sum of its results is always the same.
fn per_record<'a>(events: &'a Events, work: impl Fn(&[u8]) -> usize + 'a) -> Side<'a> {
    let mut expected = None;
    Box::new(move || {
        let mut sum = 0;
        let time = timed(events.iter(), |record| sum += work(record));
        assert_eq!(*expected.get_or_insert(sum), sum, "every pass has the same outcome");
        assert!(sum >= events.len(), "every record is accepted");
        time
    })
}
