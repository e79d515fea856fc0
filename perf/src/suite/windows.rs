//! Windows in memory: how many matches a core counts, and what groups and entries take.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sigmill_codegen::{CompileOptions, RuleDocument, compile_set};
use sigmill_engine::window::{
    GroupKey, Position, WindowConfig, WindowId, WindowMatch, WindowPlan, Windows,
};
use sigmill_parser::parse;

use super::Context;
use crate::cpu_time;
use crate::machine::resident_bytes;
use crate::report::{Cell, Table};
use crate::sample::Sample;

/// Entries of each group.
const ENTRIES: usize = 4;

const RULES: &str = "\
title: Logon
name: logon
logsource: {product: windows}
detection: {selection: {EventID: 4625}, condition: selection}
---
title: Many logons
correlation:
  type: event_count
  rules: [logon]
  group-by: [User]
  timespan: 1h
  condition: {gte: 1000}
";

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "windows",
        "Windows in memory",
        "An event count by user, never reached: each group gets 4 matches, and matches of all groups \
         come mixed. CPU time, with the making of each match; memory is what the process grew by.",
        &["matches/s", "groups", "bytes a group, with its entries"],
    );
    let documents: Vec<RuleDocument> =
        parse(RULES).documents.into_iter().map(RuleDocument::from).collect();
    let plan = Arc::new(compile_set(&documents, &CompileOptions::default(), &[]).windows);
    anyhow::ensure!(!plan.is_empty(), "the correlation compiles to a window");
    for groups in [context.groups.div_ceil(10), context.groups] {
        let mut rates = Vec::new();
        let mut bytes = Vec::new();
        for _ in 0..context.repeats.min(3) {
            let (time, grown) = fill(&plan, groups)?;
            rates.push((groups * ENTRIES) as f64 / time.as_secs_f64());
            bytes.push(grown as f64 / groups as f64);
        }
        // Memory that an earlier turn gave back is taken again without growing: the first turn tells.
        let most = bytes.iter().copied().fold(0.0, f64::max);
        let cells =
            vec![Cell::Sample(Sample::new(rates)), Cell::Count(groups as u64), Cell::Number(most)];
        table.row(format!("{groups} groups"), groups as f64, cells);
    }
    Ok(vec![table])
}

/// CPU time of counting, and how much the process grew.
fn fill(plan: &Arc<WindowPlan>, groups: usize) -> anyhow::Result<(Duration, u64)> {
    let before = resident_bytes();
    let config = WindowConfig { groups_per_window_max: groups, ..WindowConfig::default() };
    let mut windows = Windows::new(Arc::clone(plan), config);
    let mut detections = Vec::new();
    let start = cpu_time::now();
    for at in 0..groups * ENTRIES {
        // A step that shares no factor with the number of groups visits all of them, mixed.
        let group = (at as u64).wrapping_mul(2_654_435_761) % groups as u64;
        let user = format!("user-{group:08}");
        let time = at as i64 / 1000;
        windows.push(&arrived(&user, time, at as u64), &mut detections);
    }
    let time = cpu_time::now() - start;
    anyhow::ensure!(detections.is_empty(), "no group has so many entries");
    let (held, counted) = (windows.group_count(), windows.counters().matches);
    anyhow::ensure!(counted == (groups * ENTRIES) as u64, "{counted} matches were counted");
    anyhow::ensure!(held * 100 > groups * 95, "{held} of {groups} groups are held");
    let after = resident_bytes();
    let (before, after) = before.zip(after).context("the system does not tell memory")?;
    Ok((time, after.saturating_sub(before)))
}

fn arrived(user: &str, time: i64, offset: u64) -> WindowMatch {
    WindowMatch {
        window: WindowId(0),
        group: GroupKey::new([Some(user.as_bytes())]),
        time,
        position: Position { source: 0, offset },
        watermark: time,
        inputs: vec![0],
        values: Vec::new(),
        carried: None,
        content: None,
        may_repeat: false,
        is_chained: false,
    }
}
