//! What each technique gives: each switched off in turn, all else as it is.

use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{MatcherConfig, Plan};

use super::{Context, Setting, rate};
use crate::report::{Cell, Plot, Table};
use crate::sample::Sample;
use crate::sides::{State, engine, tape};
use crate::turns::take;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "techniques",
        "What each technique gives",
        "Warm throughput with one technique switched off at a time; the ratio is to simd-json's tape in \
         the same turns. Rows with an instruction set are of a process of their own.",
        &["GB/s", "÷ tape"],
    );
    table.plot = Some(Plot::Bars(0));
    for setting in &context.settings {
        switched_off(context, setting, &mut table);
        for isa in instruction_sets() {
            let (gb_per_s, ratio) = with_isa(context, setting, isa)?;
            let name = format!("{}, {isa} code", setting.name);
            table.row(name, 0.0, vec![Cell::Number(gb_per_s), Cell::Number(ratio)]);
        }
    }
    Ok(vec![table])
}

/// Those of `SIGMILL_ISA` that this machine has.
fn instruction_sets() -> Vec<&'static str> {
    let mut sets = vec!["scalar"];
    #[cfg(target_arch = "x86_64")]
    {
        sets.push("sse2");
        sets.extend(is_x86_feature_detected!("avx2").then_some("avx2"));
        sets.extend(is_x86_feature_detected!("avx512bw").then_some("avx512"));
    }
    sets
}

fn switched_off(context: &Context, setting: &Setting, table: &mut Table) {
    let all = MatcherConfig::default;
    let no_routing = CompileOptions { routing_rules_min: usize::MAX, ..CompileOptions::default() };
    let unrouted: Arc<Plan> = Arc::new(compile(&setting.rules, &no_routing).plan);
    let variants: Vec<(&str, &Arc<Plan>, MatcherConfig)> = vec![
        ("everything on", &setting.plan, all()),
        ("no value memo", &setting.plan, MatcherConfig { memo: false, ..all() }),
        ("every record by the tape", &setting.plan, MatcherConfig { reader: false, ..all() }),
        ("no routing by guards", &unrouted, all()),
    ];
    let events = &context.events;
    let mut sides = vec![tape(events)];
    for (_, plan, config) in &variants {
        sides.push(engine(plan, config.clone(), State::Warm, events, setting.expected));
    }
    let samples = take(context.repeats, sides);
    for ((name, ..), seconds) in variants.iter().zip(&samples[1..]) {
        let cells =
            vec![Cell::Sample(rate(events, seconds)), Cell::Sample(samples[0].ratio(seconds))];
        table.row(format!("{}, {name}", setting.name), 0.0, cells);
    }
}

/// GB/s and ratio of a process that may only use some instructions.
fn with_isa(context: &Context, setting: &Setting, isa: &str) -> anyhow::Result<(f64, f64)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("probe").arg("throughput").env("SIGMILL_ISA", isa);
    for path in &context.rule_paths {
        command.arg("--rules").arg(path);
    }
    for path in &context.event_paths {
        command.arg("--events").arg(path);
    }
    command.arg("--bytes").arg(context.events.text().len().to_string());
    command.arg("--repeats").arg(context.repeats.to_string());
    if setting.name == "routed" {
        command.arg("--pipeline").arg(&context.pipeline);
    }
    let output = command.output().context("starting a process of our own")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let probed: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let number = |key: &str| probed[key].as_f64().with_context(|| format!("no {key} was probed"));
    let matches = probed["matches"].as_u64();
    anyhow::ensure!(matches == Some(setting.expected), "{isa} code finds other matches");
    Ok((number("gb_per_s")?, number("ratio")?))
}

/// What the process of [`with_isa`] prints.
pub(crate) fn probe(setting: &Setting, events: &crate::input::Events, repeats: usize) -> String {
    let config = MatcherConfig::default();
    let sides =
        vec![tape(events), engine(&setting.plan, config, State::Warm, events, setting.expected)];
    let samples: Vec<Sample> = take(repeats, sides);
    let probed = serde_json::json!({
        "gb_per_s": rate(events, &samples[1]).median(),
        "ratio": samples[0].ratio(&samples[1]).median(),
        "matches": setting.expected,
    });
    probed.to_string()
}
