//! `sigmill bench`: how fast these rules match these events on this machine, beside parsing them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use sigmill_runtime::match_files::Source;

use crate::benchmark::{self, BenchmarkConfig, FieldCost, Records, Report, field_costs};
use crate::compiled::Compiled;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::pipelines::PipelineArgs;
use crate::progress;
use crate::stdio::{counted, put, say};

/// So many rules and fields are listed.
const LISTED_MAX: usize = 10;

/// Measure matching on your own rules and events, beside parsing alone.
///
/// Everything is read into memory first. Passes of parsing alone (simd-json's tape), of matching with
/// nothing remembered (cold) and of matching again (warm) take turns; times are CPU time of the
/// measuring threads, figures are medians.
#[derive(Debug, Args)]
#[command(
    after_help = "The JSON object has the keys events, bytes, threads, seconds, gb_per_s_per_core, \
                  events_per_s_per_core, parse_only_gb_per_s, ratio_to_parse (warm), \
                  ratio_to_parse_cold, ns_p50, ns_p99, ns_p999 (of a record, warm, one in 64 \
                  timed), detections, rules, rules_active, compile_ms, rss_bytes (without the \
                  events).\n\nExit status: 0 measured; 2 no rule loads; 3 wrong usage or unreadable \
                  file.\n\nExample:\n  sigmill bench --rules rules/ --pipeline windows --events \
                  events.ndjson.zst --seconds 10"
)]
pub(crate) struct BenchArgs {
    /// A rule file, or a folder of rules; may be given several times.
    #[arg(long = "rules", required = true, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// NDJSON, plain or compressed by gzip or zstd; may be given several times; `-` is standard input.
    #[arg(long = "events", required = true, value_name = "FILE")]
    events: Vec<OsString>,
    #[command(flatten)]
    pipelines: PipelineArgs,
    /// Threads that match, each a share of the events.
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// How long to measure; five rounds are made in any case.
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = positive)]
    seconds: f64,
    /// Print a JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "that is no number".to_owned())?;
    let is_usable = seconds > 0.0 && seconds <= 86_400.0;
    if is_usable { Ok(seconds) } else { Err("it has to be more than 0, up to a day".to_owned()) }
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> Result<Exit, Failure> {
    let pipelines = args.pipelines.load()?;
    let sources: Vec<Source> = args.events.iter().map(|file| Source::from_argument(file)).collect();
    let compiled = Compiled::load(&args.rules, &pipelines)?;
    let records = Records::read(&sources).or_exit(Exit::Usage)?;
    if records.len() == 0 {
        return Err(Failure::Error(Exit::Usage, anyhow!("there are no events to measure with")));
    }
    if compiled.correlation_count > 0 {
        say(format_args!(
            "{} left out: only the matches that would feed them are measured",
            counted(compiled.correlation_count as u64, "correlation")
        ));
    }
    let Compiled { plan, titles, rule_count, active_count, load_time, compile_time, .. } = compiled;
    let plan = Arc::new(plan);
    let bar = progress::steps(100);
    let config = BenchmarkConfig {
        threads: args.threads.get(),
        time: Duration::from_secs_f64(args.seconds),
    };
    let report =
        benchmark::run(&plan, &records, config, |gone| bar.set_position((gone * 100.0) as u64))
            .or_exit(Exit::Usage)?;
    bar.finish_and_clear();
    if report.refused > 0 {
        say(format_args!("{} refused: no JSON objects", counted(report.refused, "event")));
    }
    let figures = Figures {
        records: &records,
        report: &report,
        threads: args.threads.get(),
        rule_count,
        active_count,
        load_time,
        compile_time,
    };
    let text = if args.json {
        format!("{:#}\n", figures.json())
    } else {
        let mut text = figures.table();
        let title = |rule: usize| {
            let source = plan.rules().get(rule).map_or(0, |rule| rule.source as usize);
            titles.get(source).map_or("", String::as_str)
        };
        text += &rules_table(&report, title);
        text += &fields_table(&field_costs(&plan, &records));
        text
    };
    put(text.as_bytes())?;
    Ok(Exit::Fine)
}

/// What is printed.
struct Figures<'a> {
    records: &'a Records,
    report: &'a Report,
    threads: usize,
    rule_count: usize,
    active_count: usize,
    load_time: Duration,
    compile_time: Duration,
}

impl Figures<'_> {
    /// Gigabytes a second of one core that needs so long for all records.
    fn rate(&self, seconds: f64) -> f64 {
        self.records.byte_count() as f64 / seconds / 1e9
    }

    fn json(&self) -> serde_json::Value {
        let report = self.report;
        let nanoseconds = |quantile| report.latencies.value_at_quantile(quantile);
        json!({
            "events": self.records.len(),
            "bytes": self.records.byte_count(),
            "threads": self.threads,
            "seconds": report.seconds,
            "gb_per_s_per_core": self.rate(report.warm.median),
            "events_per_s_per_core": self.records.len() as f64 / report.warm.median,
            "parse_only_gb_per_s": self.rate(report.parse_only.median),
            "ratio_to_parse": report.parse_only.median / report.warm.median,
            "ratio_to_parse_cold": report.parse_only.median / report.cold.median,
            "ns_p50": nanoseconds(0.5),
            "ns_p99": nanoseconds(0.99),
            "ns_p999": nanoseconds(0.999),
            "detections": report.matches,
            "rules": self.rule_count,
            "rules_active": self.active_count,
            "compile_ms": self.compile_time.as_secs_f64() * 1e3,
            "rss_bytes": report.resident_bytes,
        })
    }

    fn table(&self) -> String {
        let report = self.report;
        let mut text = format!(
            "{} of {} MB, {} of {}, {}, {} of four passes in {:.1} s\n\n",
            counted(self.records.len() as u64, "event"),
            self.records.byte_count() / 1_000_000,
            self.active_count,
            counted(self.rule_count as u64, "rule"),
            counted(self.threads as u64, "thread"),
            counted(report.rounds as u64, "round"),
            report.seconds,
        );
        // Writing to a `String` does not fail.
        let _ = writeln!(
            text,
            "{:<24}{:>10}{:>13}{:>10}   of a core, medians (lowest to highest)",
            "", "GB/s", "events/s", "÷ parse"
        );
        let lines =
            [("parse only", report.parse_only), ("cold", report.cold), ("warm", report.warm)];
        for (name, spread) in lines {
            let _ = writeln!(
                text,
                "{name:<24}{:>10.3}{:>13.0}{:>10.2}   ({:.3} to {:.3})",
                self.rate(spread.median),
                self.records.len() as f64 / spread.median,
                report.parse_only.median / spread.median,
                self.rate(spread.max),
                self.rate(spread.min),
            );
        }
        let microseconds = |quantile| report.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let _ = writeln!(
            text,
            "\n{:<24}{:.1} µs, {:.1} µs, {:.1} µs",
            "a record, p50 p99 p99.9",
            microseconds(0.5),
            microseconds(0.99),
            microseconds(0.999),
        );
        let _ = writeln!(text, "{:<24}{}", "matches", report.matches);
        let _ = writeln!(
            text,
            "{:<24}{:.0} ms, and {:.0} ms to read and parse",
            "compile",
            self.compile_time.as_secs_f64() * 1e3,
            self.load_time.as_secs_f64() * 1e3
        );
        if let Some(bytes) = report.resident_bytes {
            let _ = writeln!(text, "{:<24}{} MB without the events", "memory", bytes / 1_000_000);
        }
        let counters = &report.counters;
        let an_event = |count: u64| count as f64 / counters.records.max(1) as f64;
        let _ = writeln!(
            text,
            "{:<24}{:.2} values looked up, {:.2} of them searched, {:.2} rules woken, {:.2} tests \
             on demand",
            "an event",
            an_event(counters.values),
            an_event(counters.memo_misses),
            an_event(counters.rules_woken),
            an_event(counters.atoms_lazy),
        );
        text
    }
}

/// The rules whose conditions ran most often: counted, and not timed.
fn rules_table<'a>(report: &Report, title: impl Fn(usize) -> &'a str) -> String {
    let mut woken: Vec<(usize, u64)> =
        report.wake_counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
    woken.sort_by_key(|(rule, count)| (std::cmp::Reverse(*count), *rule));
    let mut text =
        "\nthe rules that are decided most often (share of events, counted)\n".to_owned();
    for (rule, count) in woken.iter().take(LISTED_MAX) {
        let share = *count as f64 / report.counters.records.max(1) as f64;
        let _ = writeln!(text, "{:>9.2} %  {}", share * 100.0, shown(title(*rule)));
    }
    text
}

fn fields_table(costs: &[FieldCost]) -> String {
    let mut text = format!(
        "\nthe fields that cost most, estimated by the bytes that have to be searched\n{:>11}{:>11}{:>11}\n",
        "new bytes", "values", "searched"
    );
    for cost in costs.iter().take(LISTED_MAX) {
        let _ = writeln!(
            text,
            "{:>11.1}{:>11.2}{:>11}  {}",
            cost.bytes_new,
            cost.values,
            cost.atoms,
            shown(&cost.name)
        );
    }
    text += "(counted in the first 20,000 events: bytes of values not seen before and values, an event; tests \
             searched for in each. No time was taken for a field or a rule alone.)\n";
    text
}

/// A title may hold anything, and a line must stay one.
fn shown(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}
