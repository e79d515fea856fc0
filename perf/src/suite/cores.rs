//! What a second worker costs: workers share the plan and nothing else.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_runtime::process::thread_time;

use super::{Context, Setting};
use crate::report::{Cell, Plot, Table};
use crate::sample::Sample;

/// Records of a block; workers take blocks in turn.
const BLOCK: usize = 512;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut counts: Vec<usize> =
        (0..).map(|power| 1 << power).take_while(|n| *n <= cores).collect();
    if counts.last() != Some(&cores) {
        counts.push(cores);
    }
    let mut table = Table::new(
        "cores",
        "Number of workers",
        "Warm passes, each worker over its share of the events. The factor is CPU time for the same \
         events, as many times as one worker needs; wall-clock figures need a machine with nothing else \
         to do.",
        &["CPU s a GB", "× one worker", "GB/s by the wall clock"],
    );
    table.plot = Some(Plot::Lines(&[2]));
    let setting = &context.settings[1];
    let mut samples: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); counts.len()];
    for _ in 0..context.repeats {
        for (count, (cpu, wall)) in counts.iter().zip(&mut samples) {
            let (cpu_time, wall_time) = pass(context, setting, *count);
            cpu.push(cpu_time.as_secs_f64());
            wall.push(wall_time.as_secs_f64());
        }
    }
    let gigabytes = context.events.byte_count() as f64 / 1e9;
    let one = Sample::new(samples[0].0.clone());
    for (count, (cpu, wall)) in counts.iter().zip(samples) {
        let cpu = Sample::new(cpu);
        table.row(
            count.to_string(),
            *count as f64,
            vec![
                Cell::Sample(cpu.map(|seconds| seconds / gigabytes)),
                Cell::Sample(cpu.ratio(&one)),
                Cell::Sample(Sample::new(wall).map(|seconds| gigabytes / seconds)),
            ],
        );
    }
    Ok(vec![table])
}

/// CPU time of all workers, and wall-clock time, of a warm pass.
fn pass(context: &Context, setting: &Setting, workers: usize) -> (Duration, Duration) {
    let barrier = Barrier::new(workers);
    let results: Vec<(Duration, Duration, u64)> = thread::scope(|scope| {
        let work = |worker: usize| {
            let barrier = &barrier;
            move || {
                let mut matcher = Matcher::new(Arc::clone(&setting.plan), MatcherConfig::default());
                share(context, &mut matcher, worker, workers);
                barrier.wait();
                let (start, cpu_start) = (Instant::now(), thread_time());
                let matches = share(context, &mut matcher, worker, workers);
                (thread_time() - cpu_start, start.elapsed(), matches)
            }
        };
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        threads.into_iter().map(|one| one.join().expect("a worker ends")).collect()
    });
    let matches: u64 = results.iter().map(|(_, _, matches)| matches).sum();
    assert_eq!(matches, setting.expected, "workers together find the same matches");
    let cpu = results.iter().map(|(cpu, _, _)| *cpu).sum();
    let wall = results.iter().map(|(_, wall, _)| *wall).max().unwrap_or_default();
    (cpu, wall)
}

fn share(context: &Context, matcher: &mut Matcher, worker: usize, workers: usize) -> u64 {
    let events = &context.events;
    let mut matches = 0;
    for start in (worker * BLOCK..events.len()).step_by(workers * BLOCK) {
        for record in events.range(start, (start + BLOCK).min(events.len())) {
            matches += matcher.matches(record).map_or(0, |rules| rules.len() as u64);
        }
    }
    matches
}
