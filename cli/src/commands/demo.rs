//! `sigmill demo`: everything in one process, to see detections without any set-up.
//!
//! The runtime runs an embedded broker and the real processor; this command gives it the sample rules
//! and events, prints what comes out, and says how to connect.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use sigmill_runtime::demo::{self, DemoConfig, DemoNews};
use sigmill_runtime::metrics::Metric;
use sigmill_runtime::processor::Snapshot;
use sigmill_runtime::run_error::RunError;

use crate::demo_samples;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::process::{log_from, run_failure, stop_on_signals};
use crate::stdio::say;

/// Run rules, events and a broker in this process and print the detections.
#[derive(Debug, Args)]
#[command(
    after_help = "Detections go to stdout, one JSON object a line; all else goes to stderr. The \
                        broker listens on this machine only, and other commands can use it while the \
                        demo runs.\n\nExamples:\n  sigmill demo --seconds 20\n  sigmill demo --rate \
                        20000 --seconds 20 > detections.ndjson"
)]
pub(crate) struct DemoArgs {
    /// Stop after so many seconds; without it, run until Ctrl-C.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// How many sample events are sent a second.
    #[arg(long, value_name = "N", default_value_t = 100)]
    rate: u32,
    /// Number of the processor's workers.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

/// Runs the command.
pub(crate) fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    log_from("warn");
    let shutdown = stop_on_signals()?;
    let config = DemoConfig {
        rules: demo_samples::rules(),
        events: demo_samples::events().context("reading the sample events").or_exit(Exit::Usage)?,
        events_per_second: args.rate,
        worker_count: usize::from(args.threads),
        settings: Vec::new(),
    };
    let end = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut write_error = None;
    let result = demo::run(config, &shutdown, &mut |news| {
        match news {
            DemoNews::Ready { bootstrap_servers, snapshot } => greet(bootstrap_servers, &snapshot),
            DemoNews::Detection(detection) => {
                if let Err(error) = print(detection) {
                    write_error = Some(error);
                    shutdown.ask();
                }
            }
            DemoNews::Tick { snapshot, records_per_second } => tick(&snapshot, records_per_second),
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            shutdown.ask();
        }
    });
    if let Some(error) = write_error {
        return Err(Failure::output(error));
    }
    match result {
        Err(RunError::Stopped) => Ok(Exit::Fine),
        Err(error) => Err(run_failure(error)),
        Ok(snapshot) => {
            say(format_args!(
                "{} records, {} detections",
                snapshot.counts.get(Metric::Records),
                snapshot.counts.get(Metric::Detections)
            ));
            Ok(Exit::Fine)
        }
    }
}

fn print(detection: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(detection)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

fn greet(servers: &str, snapshot: &Snapshot) {
    let (data, output, rules) = (demo::DATA_TOPIC, demo::OUTPUT_TOPIC, demo::RULES_TOPIC);
    say(format_args!(
        "{} rules in force. The broker of this demo is {servers}; its topics are {data} (in), {output} \
         (out) and {rules}.\nTry from another terminal:\n  \
         sigmill rules list --bootstrap-server {servers} --topic {rules}\n  \
         sigmill rules load --bootstrap-server {servers} --topic {rules} --file RULE.yml\n  \
         sigmill rules delete --bootstrap-server {servers} --topic {rules} --title \"Psexec Execution\"",
        snapshot.rule_count,
    ));
}

fn tick(snapshot: &Snapshot, records_per_second: f64) {
    let latency = &snapshot.detection_latency;
    say(format_args!(
        "{records_per_second:.0} records/s, {} detections, {} rules; event to acknowledged detection: \
         p50 {:.1} ms, p99 {:.1} ms",
        snapshot.counts.get(Metric::Detections),
        snapshot.rule_count,
        milliseconds(latency.p50_us),
        milliseconds(latency.p99_us),
    ));
}

fn milliseconds(microseconds: u64) -> f64 {
    // Latencies are far below the 2⁵³ that a float holds exactly.
    microseconds as f64 / 1000.0
}
