//! How throughput falls, and memory and compile time rise, with the number of rules.

use std::sync::Arc;
use std::time::Instant;

use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::MatcherConfig;

use super::{Context, rate};
use crate::clones::clones;
use crate::input::parse_rules;
use crate::report::{Cell, Plot, Table};
use crate::sides::{State, engine, expected_matches, tape};
use crate::turns::take;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let all = context.settings[0].rules.len();
    let mut counts = vec![100, 1_000, all, context.rules_max];
    counts.retain(|count| *count <= context.rules_max.max(all));
    counts.sort_unstable();
    counts.dedup();
    let mut tables = Vec::new();
    for setting in &context.settings {
        let mut table = Table::new(
            if setting.name == "open" { "rule-counts-open" } else { "rule-counts-routed" },
            &format!("Number of rules, {}", setting.name),
            "The first rules of the given set, all of it, and more rules made of them by changing \
             their literals.",
            &[
                "cold GB/s",
                "warm GB/s",
                "warm ÷ tape",
                "active",
                "matches",
                "compile ms",
                "matcher MB",
            ],
        );
        table.plot = Some(Plot::Lines(&[0, 1]));
        for count in &counts {
            let texts = spread(&clones(&context.texts, (*count).max(context.texts.len())), *count);
            let rules = parse_rules(&texts, &setting.pipelines);
            let start = Instant::now();
            let plan = Arc::new(compile(&rules, &CompileOptions::default()).plan);
            let compile_ms = start.elapsed().as_secs_f64() * 1e3;
            let events = &context.events;
            let expected = expected_matches(&plan, events);
            let side = |state| engine(&plan, MatcherConfig::default(), state, events, expected);
            let sides = vec![tape(events), side(State::Cold), side(State::Warm)];
            let samples = take(context.repeats, sides);
            table.row(
                count.to_string(),
                *count as f64,
                vec![
                    Cell::Sample(rate(events, &samples[1])),
                    Cell::Sample(rate(events, &samples[2])),
                    Cell::Sample(samples[0].ratio(&samples[2])),
                    Cell::Count(rules.len() as u64),
                    Cell::Count(expected),
                    Cell::Number(compile_ms),
                    Cell::Number(plan.size().matcher_bytes as f64 / 1e6),
                ],
            );
        }
        tables.push(table);
    }
    Ok(tables)
}

/// `count` of the texts; fewer than all are taken from everywhere among them.
fn spread(texts: &[String], count: usize) -> Vec<String> {
    (0..count).map(|at| texts[at * texts.len() / count].clone()).collect()
}
