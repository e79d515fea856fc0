//! Alternates passes of the engine and of simd-json's tape over the same records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig, Plan};
use sigmill_parser::Rule;
use sigmill_runtime::process::thread_time;

use crate::input::Events;

pub(crate) fn run(rules: &[Arc<Rule>], events: &Events, passes: usize, memo: bool) {
    let start = Instant::now();
    let compiled = compile(rules, &CompileOptions::default());
    println!("compile_ms\t{}", start.elapsed().as_millis());
    println!("rules\t{}\trefused\t{}", rules.len(), compiled.refused.len());
    println!("plan\t{:?}", compiled.plan.size());
    println!("events\t{}\tbytes\t{}", events.len(), events.byte_count());
    let plan = Arc::new(compiled.plan);
    let mut warm = matcher(&plan, memo);
    let (mut tape, mut cold, mut warm_times) = (Vec::new(), Vec::new(), Vec::new());
    engine_pass(&mut warm, events);
    for _ in 0..passes {
        tape.push(tape_pass(events));
        let mut fresh = matcher(&plan, memo);
        cold.push(engine_pass(&mut fresh, events).0);
        tape.push(tape_pass(events));
        warm_times.push(engine_pass(&mut warm, events).0);
    }
    let detections = engine_pass(&mut warm, events).1;
    let rate = |time: Duration| events.byte_count() as f64 / time.as_secs_f64() / 1e9;
    let (tape, cold, warm_time) = (median(tape), median(cold), median(warm_times));
    println!("detections\t{detections}");
    println!("tape\t{:.3} GB/s", rate(tape));
    for (name, time) in [("cold", cold), ("warm", warm_time)] {
        println!(
            "{name}\t{:.3} GB/s\t{:.0} events/s\tratio {:.3}",
            rate(time),
            events.len() as f64 / time.as_secs_f64(),
            tape.as_secs_f64() / time.as_secs_f64()
        );
    }
    let counters = warm.counters();
    let per_record = |n: u64| n as f64 / counters.records as f64;
    println!(
        "per record\tvalues {:.2}\tmisses {:.3}\tlazy {:.2}\twoken {:.2}\tmatches {:.3}",
        per_record(counters.values),
        per_record(counters.memo_misses),
        per_record(counters.atoms_lazy),
        per_record(counters.rules_woken),
        per_record(counters.matches),
    );
    print_most_woken(&warm, rules);
}

/// The rules whose conditions ran most often.
fn print_most_woken(matcher: &Matcher, rules: &[Arc<Rule>]) {
    let mut woken: Vec<_> = matcher.wake_counts().iter().zip(matcher.plan().rules()).collect();
    woken.sort_by_key(|(count, _)| std::cmp::Reverse(**count));
    for (count, rule) in woken.iter().take(30) {
        let share = **count as f64 / matcher.counters().records as f64;
        println!("woken\t{share:.3}\t{}", rules[rule.source as usize].title.node);
    }
}

fn matcher(plan: &Arc<Plan>, memo: bool) -> Matcher {
    Matcher::new(Arc::clone(plan), MatcherConfig { memo, ..MatcherConfig::default() })
}

fn engine_pass(matcher: &mut Matcher, events: &Events) -> (Duration, u64) {
    let start = thread_time();
    let mut detections = 0;
    for record in events.iter() {
        detections += matcher.matches(record).map_or(0, |rules| rules.len() as u64);
    }
    (thread_time() - start, detections)
}

fn tape_pass(events: &Events) -> Duration {
    let start = thread_time();
    let mut buffers = simd_json::Buffers::default();
    let mut copy = Vec::new();
    let mut tape = simd_json::Tape::null().reset();
    for record in events.iter() {
        copy.clear();
        copy.extend_from_slice(record);
        let mut filled = tape;
        let _ = simd_json::fill_tape(&mut copy, &mut buffers, &mut filled);
        std::hint::black_box(filled.0.len());
        tape = filled.reset();
    }
    thread_time() - start
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
