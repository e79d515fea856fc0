//! `sigmill run`: the processor, until it is asked to stop.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Args;
use sigmill_runtime::metrics::Metric;
use sigmill_runtime::processor::{Processor, Snapshot};
use sigmill_runtime::properties::Properties;
use sigmill_runtime::run_error::RunError;
use sigmill_runtime::settings::Settings;
use tracing::info;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::process::{log_from, run_failure, stop_on_signals};

/// How often the wish to stop is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often the log says what was done.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

/// Run the processor: match the records of Kafka topics against the rules of the rules topic.
#[derive(Debug, Args)]
#[command(
    after_help = "The file has the settings of Confluent Sigma, with their names. SIGINT and \
                        SIGTERM stop it cleanly. SIGMILL_LOG sets the log level (info).\n\n\
                        Exit status: 0 after a stop; 3 a setting is wrong; 4 no broker answers, a \
                        topic is not usable, or the stop was not clean.\n\nExample:\n  \
                        sigmill run config/sigma.properties"
)]
pub(crate) struct RunArgs {
    /// The properties file.
    #[arg(value_name = "FILE")]
    properties: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let properties = Properties::read(&args.properties)
        .with_context(|| format!("cannot read `{}`", args.properties.display()))
        .or_exit(Exit::Usage)?;
    let settings = Settings::from_properties(&properties).or_exit(Exit::Usage)?;
    log_from("info");
    let shutdown = stop_on_signals()?;
    let processor = match Processor::start(settings, shutdown.clone()) {
        Err(RunError::Stopped) => return Ok(Exit::Fine),
        started => started.map_err(run_failure)?,
    };
    let mut status_at = Instant::now() + STATUS_INTERVAL;
    while !shutdown.is_asked() {
        thread::sleep(POLL_INTERVAL);
        if Instant::now() >= status_at {
            log_status(&processor.snapshot(), "The processor runs.");
            status_at += STATUS_INTERVAL;
        }
    }
    let stopped = processor.stop();
    log_status(&stopped.snapshot, "The processor has done this.");
    if !stopped.is_clean {
        return Err(Failure::Error(
            Exit::Network,
            anyhow!("the stop was not clean: records may be read again at the next start"),
        ));
    }
    Ok(Exit::Fine)
}

fn log_status(snapshot: &Snapshot, sentence: &str) {
    info!(
        rules = snapshot.rule_count,
        rules_failed = snapshot.problems.len(),
        records = snapshot.counts.get(Metric::Records),
        refused = snapshot.counts.rejected(),
        detections = snapshot.counts.get(Metric::Detections),
        latency_us_p99 = snapshot.detection_latency.p99_us,
        "{sentence}"
    );
}
