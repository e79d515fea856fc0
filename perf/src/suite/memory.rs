//! Memory of a process that does nothing but match: measured in one of its own, which reads the events
//! line by line and keeps none.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::Pipelines;
use sigmill_runtime::process::resident_bytes;

use super::Context;
use crate::input;
use crate::report::{Cell, Table};

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "memory",
        "Memory of a process with one worker",
        "Resident memory in MB: when the process starts, with the rules parsed, with the plan made and \
         the parsed rules gone, after all events. No events are kept.",
        &["at start", "parsed", "compiled", "after all events"],
    );
    for setting in &context.settings {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("probe").arg("memory");
        for path in &context.rule_paths {
            command.arg("--rules").arg(path);
        }
        for path in &context.event_paths {
            command.arg("--events").arg(path);
        }
        if setting.name == "routed" {
            command.arg("--pipeline").arg(&context.pipeline);
        }
        let output = command.output().context("starting a process of our own")?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let probed: Value = serde_json::from_slice(&output.stdout)?;
        let megabytes = |key: &str| Cell::Number(probed[key].as_f64().unwrap_or(f64::NAN) / 1e6);
        let cells = ["start", "parsed", "compiled", "matched"].map(megabytes).to_vec();
        table.row(setting.name, 0.0, cells);
    }
    Ok(vec![table])
}

/// What the process prints.
pub(crate) fn probe(
    rules: &[PathBuf],
    events: &[PathBuf],
    pipelines: &Pipelines,
) -> anyhow::Result<String> {
    let start = resident_bytes();
    let rules = input::parse_rules(&input::rule_texts(rules)?, pipelines);
    let parsed = resident_bytes();
    let plan = Arc::new(compile(&rules, &CompileOptions::default()).plan);
    drop(rules);
    let compiled = resident_bytes();
    let mut matcher = Matcher::new(plan, MatcherConfig::default());
    let mut matches = 0;
    for path in events {
        input::for_each_line(path, |record| {
            matches += matcher.matches(record).map_or(0, |rules| rules.len());
            true
        })?;
    }
    let matched = resident_bytes();
    let probed = json!({
        "start": start, "parsed": parsed, "compiled": compiled, "matched": matched,
        "matches": matches,
    });
    Ok(probed.to_string())
}
