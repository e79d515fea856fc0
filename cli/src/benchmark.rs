//! Measures matching beside parsing, on a user's own rules and events.
//!
//! In: a plan and [`Records`]. Out: a [`Report`]. Each round has four passes over all records: parsing
//! alone, matching with a fresh matcher (*cold*: nothing is remembered), parsing alone, matching again
//! (*warm*). So whatever disturbs the machine disturbs both sides. Parsing alone is simd-json's tape
//! with reused buffers, and with the copy of each record that parsing in place needs. Times are CPU time
//! of the measuring threads; figures are medians over the rounds. In every pass the same number of
//! matches has to come out.

mod costs;
mod limit;
mod records;

use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use sigmill_engine::{Counters, Matcher, MatcherConfig, Plan};
use sigmill_runtime::process::{resident_bytes, thread_time};

pub(crate) use self::costs::{FieldCost, field_costs};
use self::limit::ParseOnly;
pub(crate) use self::records::Records;

/// Of so many records one is timed.
const SAMPLED_OF: usize = 64;
/// Fewer rounds make no median.
const ROUNDS_MIN: usize = 5;
/// A record that takes longer counts as this: ten seconds.
const NANOSECONDS_MAX: u64 = 10_000_000_000;

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BenchmarkConfig {
    /// Threads, each with a matcher of its own and a share of the records.
    pub(crate) threads: usize,
    /// How long to go on; at least [`ROUNDS_MIN`] rounds are made.
    pub(crate) time: Duration,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Report {
    /// Wall-clock time of all passes.
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
    /// CPU time of one pass over all records, over all threads: parsing alone.
    pub(crate) parse_only: Spread,
    /// Matching with nothing remembered.
    pub(crate) cold: Spread,
    /// Matching the second time.
    pub(crate) warm: Spread,
    /// Time of a record in warm passes, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// Matches of one pass.
    pub(crate) matches: u64,
    /// Records of one pass that are refused.
    pub(crate) refused: u64,
    /// By rule: how often its condition ran in one round.
    pub(crate) wake_counts: Vec<u64>,
    /// What one round's matchers did.
    pub(crate) counters: Counters,
    /// Memory of the process without the records, where the system tells.
    pub(crate) resident_bytes: Option<u64>,
}

/// The median of several times, and how far they lie apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    fn new(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |index: usize| seconds.get(index).copied().unwrap_or(f64::NAN);
        Self { median: at(seconds.len() / 2), min: at(0), max: at(seconds.len().wrapping_sub(1)) }
    }
}

/// The passes of a round, in their order.
const PASSES: usize = 4;

/// What a thread tells of one round.
#[derive(Debug, Default)]
struct Round {
    times: [Duration; PASSES],
    /// Matches of the cold and of the warm pass.
    matches: [u64; 2],
    refused: u64,
}

/// What a thread tells at the end.
struct Share {
    rounds: Vec<Round>,
    latencies: Histogram<u64>,
    wake_counts: Vec<u64>,
    counters: Counters,
}

/// Measures; `progress` is called after each round with the share of the time that is gone.
///
/// # Errors
/// Two passes over the same records found different numbers of matches.
pub(crate) fn run(
    plan: &Arc<Plan>,
    records: &Records,
    config: BenchmarkConfig,
    progress: impl Fn(f64) + Sync,
) -> anyhow::Result<Report> {
    let start = Instant::now();
    let barrier = Barrier::new(config.threads);
    let is_last = Mutex::new(false);
    let resident = Mutex::new(None);
    let shares: Vec<Share> = thread::scope(|scope| {
        let measure = |thread: usize| {
            let (barrier, is_last, resident) = (&barrier, &is_last, &resident);
            let progress = &progress;
            let mut worker = Worker::new(plan, records, thread, config.threads);
            move || {
                loop {
                    worker.round(barrier);
                    if thread == 0 {
                        let gone = start.elapsed().as_secs_f64() / config.time.as_secs_f64();
                        progress(gone.min(1.0));
                        let is_enough = worker.rounds.len() >= ROUNDS_MIN && gone >= 1.0;
                        *lock(is_last) = is_enough;
                        if is_enough {
                            *lock(resident) = resident_bytes();
                        }
                    }
                    barrier.wait();
                    if *lock(is_last) {
                        return worker.finish();
                    }
                }
            }
        };
        let threads: Vec<_> =
            (0..config.threads).map(|thread| scope.spawn(measure(thread))).collect();
        threads.into_iter().map(|one| one.join().expect("a measuring thread ends")).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    let resident = *lock(&resident);
    let resident = resident.map(|bytes| bytes.saturating_sub(records.memory_bytes() as u64));
    report(&shares, seconds, resident)
}

/// A panic of another thread ends the measurement anyway.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One thread's side.
struct Worker<'a> {
    plan: &'a Arc<Plan>,
    records: &'a Records,
    thread: usize,
    threads: usize,
    matcher: Matcher,
    parse_only: ParseOnly,
    rounds: Vec<Round>,
    latencies: Histogram<u64>,
}

impl<'a> Worker<'a> {
    fn new(plan: &'a Arc<Plan>, records: &'a Records, thread: usize, threads: usize) -> Self {
        Self {
            plan,
            records,
            thread,
            threads,
            matcher: Matcher::new(Arc::clone(plan), MatcherConfig::default()),
            parse_only: ParseOnly::default(),
            rounds: Vec::new(),
            latencies: Histogram::new_with_bounds(1, NANOSECONDS_MAX, 3)
                .expect("the bounds are in order"),
        }
    }

    /// Four passes; all threads begin each together.
    fn round(&mut self, barrier: &Barrier) {
        let mut round = Round::default();
        self.matcher = Matcher::new(Arc::clone(self.plan), MatcherConfig::default());
        for pass in 0..PASSES {
            barrier.wait();
            let start = thread_time();
            if pass % 2 == 0 {
                self.parse_only.pass(self.records.share(self.thread, self.threads));
            } else {
                let (matches, refused) = self.match_pass(pass == PASSES - 1);
                round.matches[pass / 2] = matches;
                round.refused = refused;
            }
            round.times[pass] = thread_time() - start;
        }
        self.rounds.push(round);
    }

    /// Matches and refused records.
    fn match_pass(&mut self, is_sampled: bool) -> (u64, u64) {
        let (mut matches, mut refused) = (0, 0);
        let every = if is_sampled { SAMPLED_OF } else { usize::MAX };
        let mut until_sample = every;
        for record in self.records.share(self.thread, self.threads) {
            until_sample -= 1;
            let outcome = if until_sample == 0 {
                until_sample = every;
                let start = Instant::now();
                let outcome = self.matcher.matches(record);
                let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.latencies.saturating_record(nanoseconds.clamp(1, NANOSECONDS_MAX));
                outcome
            } else {
                self.matcher.matches(record)
            };
            match outcome {
                Ok(rules) => matches += rules.len() as u64,
                Err(_) => refused += 1,
            }
        }
        (matches, refused)
    }

    fn finish(self) -> Share {
        Share {
            rounds: self.rounds,
            latencies: self.latencies,
            wake_counts: self.matcher.wake_counts().to_vec(),
            counters: self.matcher.counters(),
        }
    }
}

fn report(shares: &[Share], seconds: f64, resident: Option<u64>) -> anyhow::Result<Report> {
    let rounds = shares.first().map_or(0, |share| share.rounds.len());
    let (mut parse_only, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new());
    let mut matches = Vec::new();
    for at in 0..rounds {
        let time = |pass: usize| -> f64 {
            shares.iter().map(|share| share.rounds[at].times[pass].as_secs_f64()).sum()
        };
        parse_only.extend([time(0), time(2)]);
        cold.push(time(1));
        warm.push(time(3));
        for pass in 0..2 {
            matches.push(shares.iter().map(|share| share.rounds[at].matches[pass]).sum::<u64>());
        }
    }
    let first = matches.first().copied().unwrap_or(0);
    if let Some(other) = matches.iter().find(|count| **count != first) {
        anyhow::bail!("two passes over the same records found {first} and {other} matches");
    }
    let mut latencies = Histogram::new_with_bounds(1, NANOSECONDS_MAX, 3)?;
    let mut counters = Counters::default();
    let mut wake_counts = vec![0; shares.first().map_or(0, |share| share.wake_counts.len())];
    for share in shares {
        latencies.add(&share.latencies)?;
        wake_counts.iter_mut().zip(&share.wake_counts).for_each(|(sum, count)| *sum += count);
        counters.add(&share.counters);
    }
    Ok(Report {
        seconds,
        rounds,
        parse_only: Spread::new(parse_only),
        cold: Spread::new(cold),
        warm: Spread::new(warm),
        latencies,
        matches: first,
        refused: shares.iter().filter_map(|share| Some(share.rounds.first()?.refused)).sum(),
        wake_counts,
        counters,
        resident_bytes: resident,
    })
}
