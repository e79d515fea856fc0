//! Windows in memory: how many matches a core counts, and what groups and entries take.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sigmill_codegen::{CompileOptions, RuleDocument, compile_set};
use sigmill_engine::window::{
    GroupKey, Position, WindowConfig, WindowId, WindowMatch, WindowPlan, Windows,
};
use sigmill_parser::parse;
use sigmill_runtime::process::{resident_bytes, thread_time};

use super::Context;
use crate::report::{Cell, Table};
use crate::sample::Sample;

/// Matches that are made, and counted, at a time.
const BATCH: usize = 4096;

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
         come mixed. CPU time of counting, by batches, without the making of the matches; memory \
         with the key of 17 bytes, as the windows count it and as the process grew: right for \
         the first row, as memory that was given back is taken again without growing.",
        &[
            "matches/s",
            "groups",
            "bytes a group, with its entries",
            "bytes the process grew by, a group",
        ],
    );
    let documents: Vec<RuleDocument> =
        parse(RULES).documents.into_iter().map(RuleDocument::from).collect();
    let plan = Arc::new(compile_set(&documents, &CompileOptions::default(), &[]).windows);
    anyhow::ensure!(!plan.is_empty(), "the correlation compiles to a window");
    for groups in [context.groups, context.groups.div_ceil(10)] {
        let mut rates = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..context.repeats.min(3) {
            let filled = fill(&plan, groups)?;
            rates.push((groups * ENTRIES) as f64 / filled.time.as_secs_f64());
            memory.push([filled.held, filled.grown].map(|bytes| bytes as f64 / groups as f64));
        }
        let [held, grown] = memory[0];
        let cells = vec![
            Cell::Sample(Sample::new(rates)),
            Cell::Count(groups as u64),
            Cell::Number(held),
            Cell::Number(grown),
        ];
        table.row(format!("{groups} groups"), groups as f64, cells);
    }
    Ok(vec![table])
}

struct Filled {
    /// CPU time of counting.
    time: Duration,
    /// Bytes that the windows hold.
    held: u64,
    /// Bytes that the process grew by.
    grown: u64,
}

fn fill(plan: &Arc<WindowPlan>, groups: usize) -> anyhow::Result<Filled> {
    let before = resident_bytes();
    let config = WindowConfig { groups_per_window_max: groups, ..WindowConfig::default() };
    let mut windows = Windows::new(Arc::clone(plan), config);
    let mut detections = Vec::new();
    let mut time = Duration::ZERO;
    let mut batch = Vec::with_capacity(BATCH);
    for first in (0..groups * ENTRIES).step_by(BATCH) {
        batch.clear();
        for at in first..(first + BATCH).min(groups * ENTRIES) {
            // A step that shares no factor with the number of groups visits all of them, mixed.
            let group = (at as u64).wrapping_mul(2_654_435_761) % groups as u64;
            let user = format!("user-{group:08}");
            batch.push(arrived(&user, at as i64 / 1000, at as u64));
        }
        let start = thread_time();
        windows.push_all(&batch, &mut detections);
        time += thread_time() - start;
    }
    anyhow::ensure!(detections.is_empty(), "no group has so many entries");
    let (held, counted) = (windows.group_count(), windows.counters().matches);
    anyhow::ensure!(counted == (groups * ENTRIES) as u64, "{counted} matches were counted");
    anyhow::ensure!(held * 100 > groups * 95, "{held} of {groups} groups are held");
    let after = resident_bytes();
    let (before, after) = before.zip(after).context("the system does not tell memory")?;
    let held = windows.held_bytes() as u64;
    Ok(Filled { time, held, grown: after.saturating_sub(before) })
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
