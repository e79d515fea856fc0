//! What tables cost: throughput with two joins per record, the time of a look-up, and the load and memory of a large
//! table.
//!
//! Both joins hit on each record: one by a field with few values, one by a field with many, in tables that are mostly
//! rows that no record asks for. Two rules look at a joined field each and never match, so the matches stay as they are.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde_json::Value;
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_runtime::enrich::{EnrichSettings, JoinPlan, Joiner, TableSet, Tables};
use sigmill_runtime::process::resident_bytes;
use sigmill_runtime::properties::Properties;
use sigmill_tables::LookUpBuffer;

use super::{Context, rate};
use crate::input::parse_rules;
use crate::report::{Cell, Table};
use crate::sides::timed;
use crate::turns::{Side, take};

/// Look-ups that are timed one by one.
const LOOK_UPS: u64 = 1_000_000;
/// The fields that the joins ask by.
const FIELDS: [&str; 2] = ["Hostname", "@timestamp"];

const RULES: &str = "title: Joined A\nlogsource: {category: joined}\nlevel: low\n\
    detection: {s: {a.owner: nobody}, condition: s}\n---\n\
    title: Joined B\nlogsource: {category: joined}\nlevel: low\n\
    detection: {s: {b.feed: nobody}, condition: s}\n";

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let folder = std::env::temp_dir().join(format!("sigmill-perf-tables-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let tables = measure(context, &folder);
    std::fs::remove_dir_all(&folder)?;
    tables
}

fn measure(context: &Context, folder: &Path) -> anyhow::Result<Vec<Table>> {
    // First: the memory of what comes before would hide that of a table.
    let load = load_large(context, folder)?;
    Ok(vec![with_joins(context, folder)?, load])
}

/// Settings as a user writes them.
fn settings(text: &str) -> anyhow::Result<EnrichSettings> {
    let mut problems = Vec::new();
    let properties = Properties::parse(text.as_bytes(), Path::new("perf"));
    let settings = EnrichSettings::read(&properties, &mut problems);
    anyhow::ensure!(problems.is_empty(), "{problems:?}");
    Ok(settings)
}

fn load(settings: &EnrichSettings) -> anyhow::Result<Tables> {
    Ok(TableSet::load(settings, |_| ())?.tables())
}

/// Tables of so many rows, among them all values of the events.
fn with_joins(context: &Context, folder: &Path) -> anyhow::Result<Table> {
    let rows = context.groups;
    let mut text = String::new();
    for (name, field, column) in [("a", FIELDS[0], "owner"), ("b", FIELDS[1], "feed")] {
        let path = folder.join(format!("{name}.csv"));
        let mut csv = format!("key,{column},note\n");
        for record in context.events.iter() {
            let record: Value = serde_json::from_slice(record)?;
            if let Some(value) = record.get(field).and_then(Value::as_str) {
                writeln!(csv, "\"{}\",known,seen", value.replace('"', "\"\""))?;
            }
        }
        for n in 0..rows {
            writeln!(csv, "host-{n:08}.corp.example,owner {},row {n}", n % 1000)?;
        }
        std::fs::write(&path, csv)?;
        writeln!(
            text,
            "sigmill.table.{name}.file={}\nsigmill.table.{name}.key=key\n\
             sigmill.join.{name}.table={name}\nsigmill.join.{name}.fields={field}",
            path.display()
        )?;
    }
    let settings = Arc::new(settings(&text)?);
    let tables = Arc::new(load(&settings)?);
    let mut table = Table::new(
        "joins",
        "Two joins per record",
        &format!(
            "Matching with two joins that hit, against tables of {rows} rows beside those hit, by `{}` and `{}`; the \
             same rules without.",
            FIELDS[0], FIELDS[1]
        ),
        &["without GB/s", "joined GB/s", "joined ÷ without", "hits per record"],
    );
    for setting in &context.settings {
        let mut texts = context.texts.clone();
        let mut all = parse_rules(&texts, &setting.pipelines);
        // Without the pipelines: they may leave out what has no log source of theirs.
        texts = vec![RULES.to_owned()];
        all.extend(parse_rules(&texts, &sigmill_parser::Pipelines::default()));
        let columns = tables.columns();
        let overlays = settings.overlays(&columns);
        let options = CompileOptions { overlays, ..CompileOptions::default() };
        let compiled = compile(&all, &options);
        let plan = Arc::new(compiled.plan);
        let joins = JoinPlan::new(Arc::clone(&settings), &columns, &plan, &compiled.overlays);
        let events = &context.events;
        let mut bare = Matcher::new(Arc::clone(&plan), MatcherConfig::default());
        let mut joined = Matcher::new(Arc::clone(&plan), MatcherConfig::default());
        let mut joiner = Joiner::new(Arc::new(joins), Arc::clone(&tables));
        let expected = setting.expected;
        let mut bare_pass = move || {
            let mut matches = 0;
            let time = timed(events.iter(), |record| {
                matches += bare.matches(record).map_or(0, |rules| rules.len() as u64);
            });
            assert_eq!(matches, expected, "the rules that look at tables match nothing");
            time
        };
        let mut hits = 0;
        let mut joined_pass = || {
            let mut matches = 0;
            let time = timed(events.iter(), |record| {
                let found = joiner.matches(&mut joined, record);
                matches += found.map_or(0, |rules| rules.len() as u64);
            });
            assert_eq!(matches, expected, "what is joined changes no other rule");
            hits = joiner.take_counts().hits;
            time
        };
        bare_pass();
        joined_pass();
        let sides: Vec<Side<'_>> = vec![Box::new(bare_pass), Box::new(joined_pass)];
        let samples = take(context.repeats, sides);
        let count = events.iter().count() as f64;
        assert!(hits as f64 > 1.5 * count, "{hits} hits of {count} records");
        table.row(
            setting.name,
            0.0,
            vec![
                Cell::Sample(rate(events, &samples[0])),
                Cell::Sample(rate(events, &samples[1])),
                Cell::Sample(samples[0].ratio(&samples[1])),
                Cell::Number(hits as f64 / count),
            ],
        );
    }
    Ok(table)
}

/// Ten times as many indicators, as a feed has them.
fn load_large(context: &Context, folder: &Path) -> anyhow::Result<Table> {
    let rows = 10 * context.groups;
    let mut table = Table::new(
        "tables",
        "Large tables",
        &format!(
            "A CSV of {rows} indicators with three columns: time to load it, resident memory that came with it, memory \
             that the table says it holds, and the time of single look-ups of which half hit, a clock's reading \
             included."
        ),
        &["load s", "resident MB", "table MB", "p50 ns", "p99 ns", "p99.9 ns"],
    );
    for kind in ["exact", "cidr", "domain", "hashes"] {
        let path = folder.join("large.csv");
        let mut csv = std::io::BufWriter::new(std::fs::File::create(&path)?);
        {
            use std::io::Write as _;
            writeln!(csv, "key,feed,threat,first_seen")?;
            for n in 0..rows as u64 {
                let (feed, threat) = (n % 7, n % 113);
                let key = key(kind, mixed(n));
                writeln!(csv, "{key},feed {feed},threat {threat},2026-01-{:02} 12:00", n % 28 + 1)?;
            }
            csv.flush()?;
        }
        drop(csv);
        let before = resident_bytes().unwrap_or(0);
        let settings = settings(&format!(
            "sigmill.table.t.file={}\nsigmill.table.t.key=key\nsigmill.table.t.match={kind}\n",
            path.display()
        ))?;
        let start = Instant::now();
        let loaded = load(&settings)?;
        let seconds = start.elapsed().as_secs_f64();
        let resident = resident_bytes().unwrap_or(0).saturating_sub(before);
        let view = &loaded.view(&settings)[0];
        let mut histogram = Histogram::<u64>::new(3)?;
        let (mut buf, mut hits) = (LookUpBuffer::default(), 0);
        let large = loaded.table(0);
        for n in 0..LOOK_UPS.min(100 * rows as u64) {
            // Every other one is not there.
            let at = if n % 2 == 0 { mixed(n) % rows as u64 } else { rows as u64 + n };
            let value = match kind {
                "domain" => format!("www.{}", key(kind, mixed(at))),
                "hashes" => format!("SHA1=00,SHA256={}", key(kind, mixed(at))),
                _ => key(kind, mixed(at)),
            };
            let start = Instant::now();
            large.look_up(&[value.as_bytes()], &mut buf, |_| {
                hits += 1;
                ControlFlow::Break(())
            });
            histogram.record(start.elapsed().as_nanos() as u64)?;
        }
        anyhow::ensure!(hits * 3 > LOOK_UPS.min(100 * rows as u64), "{kind}: {hits} hits");
        let nanos = |share: f64| Cell::Count(histogram.value_at_quantile(share));
        table.row(
            kind,
            0.0,
            vec![
                Cell::Number(seconds),
                Cell::Number(resident as f64 / 1e6),
                Cell::Number(view.bytes as f64 / 1e6),
                nanos(0.5),
                nanos(0.99),
                nanos(0.999),
            ],
        );
    }
    Ok(table)
}

/// A number that looks like none other.
fn mixed(n: u64) -> u64 {
    let n = (n ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (n ^ n >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

fn key(kind: &str, n: u64) -> String {
    match kind {
        "cidr" => {
            let [a, b, c, d, ..] = n.to_le_bytes();
            // Most are single addresses, as feeds are.
            match n % 64 {
                0 => format!("{a}.{b}.{c}.0/24"),
                1 => format!("{a}.{b}.{}.0/20", c & 0xf0),
                _ => format!("{a}.{b}.{c}.{d}"),
            }
        }
        "domain" => format!("d{n:016x}.example"),
        "hashes" => format!("{n:016x}{:016x}{n:016x}{:016x}", !n, n ^ 7),
        _ => format!("host-{n:016x}"),
    }
}
