//! The two sides of most comparisons: passes of the engine, and of parsing alone, over records.

use std::sync::Arc;
use std::time::Duration;

use sigmill_engine::{Matcher, MatcherConfig, Plan};
use sigmill_runtime::process::thread_time;

use crate::input::Events;
use crate::turns::Side;

/// What an engine side remembers when a pass begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: every pass has a fresh matcher.
    Cold,
    /// What passes before it left.
    Warm,
}

/// CPU time of one pass of `work` over all records.
pub(crate) fn timed<'a>(
    records: impl Iterator<Item = &'a [u8]>,
    mut work: impl FnMut(&[u8]),
) -> Duration {
    let start = thread_time();
    records.for_each(&mut work);
    thread_time() - start
}

/// Matches of one pass and its CPU time.
pub(crate) fn match_pass(matcher: &mut Matcher, events: &Events) -> (Duration, u64) {
    let mut matches = 0;
    let time = timed(events.iter(), |record| {
        matches += matcher.matches(record).map_or(0, |rules| rules.len() as u64);
    });
    (time, matches)
}

/// A side that matches, and checks in each pass that it finds `expected`.
pub(crate) fn engine<'a>(
    plan: &'a Arc<Plan>,
    config: MatcherConfig,
    state: State,
    events: &'a Events,
    expected: u64,
) -> Side<'a> {
    let mut matcher = Matcher::new(Arc::clone(plan), config.clone());
    if state == State::Warm {
        match_pass(&mut matcher, events);
    }
    Box::new(move || {
        if state == State::Cold {
            matcher = Matcher::new(Arc::clone(plan), config.clone());
        }
        let (time, matches) = match_pass(&mut matcher, events);
        assert_eq!(matches, expected, "every pass finds the same matches");
        time
    })
}

/// How many matches there are, found without the memo: what every other way has to find.
pub(crate) fn expected_matches(plan: &Arc<Plan>, events: &Events) -> u64 {
    let config = MatcherConfig { memo: false, reader: false, ..MatcherConfig::default() };
    match_pass(&mut Matcher::new(Arc::clone(plan), config), events).1
}

/// simd-json's tape with reused buffers; it parses in place, so each record is copied first.
pub(crate) fn tape(events: &Events) -> Side<'_> {
    let mut buffers = simd_json::Buffers::default();
    let mut copy = Vec::new();
    let mut kept = Some(simd_json::Tape::null().reset());
    Box::new(move || {
        timed(events.iter(), |record| {
            copy.clear();
            copy.extend_from_slice(record);
            let mut tape = kept.take().unwrap_or_else(|| simd_json::Tape::null().reset());
            let parsed = simd_json::fill_tape(&mut copy, &mut buffers, &mut tape);
            std::hint::black_box((parsed.is_ok(), tape.0.len()));
            kept = Some(tape.reset());
        })
    })
}
