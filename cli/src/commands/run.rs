//! `sigmill run`: the processor, until it is asked to stop.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::{Args, CommandFactory as _};
use sigmill_runtime::metrics::Metric;
use sigmill_runtime::processor::{Processor, Snapshot};
use sigmill_runtime::run_error::RunError;
use sigmill_runtime::settings::Settings;
use sigmill_runtime::shadow::{Report, Shadow};
use sigmill_runtime::shutdown::Shutdown;
use tracing::info;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::pipelines::PipelineArgs;
use crate::process::{log_from, run_failure, stop_on_signals};
use crate::properties_source::{self, Ask};
use crate::stdio::put;

/// How often the wish to stop is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often the log says what was done.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);
/// How often the report of a comparison is written.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Run the processor: match the records of Kafka topics against the rules of the rules topic.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "The file has the settings of Confluent Sigma, with their names. Without one it is looked \
                  for: $SIGMAPROPS, then sigma.properties in ~/.sigma, ~/.config, ~/.confluent and ~/tmp. \
                  In a container environment variables are settings too, and win: data_topic is \
                  data.topic. At a terminal what is missing is asked for. SIGINT and SIGTERM stop the \
                  processor cleanly. SIGMILL_LOG sets the log level (info).\n\n\
                  Exit status: 0 after a stop; 3 a setting is wrong or missing; 4 no broker answers, a \
                  topic is not usable, or the stop was not clean.\n\nExample:\n  \
                  sigmill run config/sigma.properties"
)]
pub(crate) struct RunArgs {
    /// The properties file.
    #[arg(value_name = "FILE")]
    properties: Option<PathBuf>,
    /// The properties file, as the JVM processor's option.
    #[arg(short, long, value_name = "FILE", conflicts_with = "properties")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pipelines: PipelineArgs,
    /// Ask for nothing, even at a terminal. Alone, -h prints this help.
    #[arg(short = 'h', long)]
    headless: bool,
    /// Ask for what is missing, even without a terminal.
    #[arg(short, long, conflicts_with = "headless")]
    interactive: bool,
    /// Compare with a JVM processor that runs on the same settings: differences go to a topic, and a report is printed
    /// at the end. Nothing else is written, and no group is joined.
    #[arg(long)]
    shadow: bool,
    /// Write the report there every minute and at the end, rather than print it.
    #[arg(long, value_name = "FILE", requires = "shadow")]
    shadow_report: Option<PathBuf>,
    /// Accepted and ignored, as the JVM processor does.
    #[arg(short, long, value_name = "FILE", hide = true)]
    file: Option<PathBuf>,
    /// Accepted and ignored, as the JVM processor does.
    #[arg(short, long, value_name = "DIR", hide = true)]
    dir: Option<PathBuf>,
    /// Print help.
    #[arg(long, short = '?', action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Runs the command.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let named = args.config.as_deref().or(args.properties.as_deref());
    if args.headless && named.is_none() && !properties_source::is_in_container() {
        let mut command = crate::Cli::command();
        let help = command.find_subcommand_mut("run").map(|run| run.render_long_help());
        put(help.map(|help| help.to_string()).unwrap_or_default().as_bytes())?;
        return Ok(Exit::Fine);
    }
    let mut properties = properties_source::read(named)?;
    let ask = match () {
        () if args.interactive => Ask::Always,
        () if args.headless => Ask::Never,
        () => Ask::AtTerminal,
    };
    properties_source::ask(&mut properties, ask)?;
    // What is named here comes on top of the setting, and is written into it: one list, read in one place.
    if !args.pipelines.names().is_empty() {
        let mut names: Vec<String> = args.pipelines.names().to_vec();
        let written = properties.get("sigmill.pipelines").map(|entry| entry.value.clone());
        names.splice(0..0, written);
        properties.set("sigmill.pipelines", &names.join(","), "--pipeline");
    }
    let settings = Settings::from_properties(&properties).or_exit(Exit::Usage)?;
    log_from("info");
    info!("Starting SigmaStreamsApp (sigmill {})", env!("CARGO_PKG_VERSION"));
    let source = if properties_source::is_in_container() {
        "environment variables"
    } else {
        "properties file"
    };
    info!("Initialize SigmaStreamsApp from {source}");
    let shutdown = stop_on_signals()?;
    if args.shadow {
        return shadow(settings, &shutdown, args.shadow_report.as_deref());
    }
    let processor = match Processor::start(settings, shutdown.clone()) {
        Err(RunError::Stopped) => return Ok(Exit::Fine),
        started => started.map_err(run_failure)?,
    };
    let mut status_at = Instant::now() + STATUS_INTERVAL;
    while !shutdown.is_asked() {
        thread::sleep(POLL_INTERVAL);
        if Instant::now() >= status_at {
            // As the JVM processor says it.
            let snapshot = processor.snapshot();
            info!("Number of matches {}", snapshot.counts.get(Metric::Detections));
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

/// Runs beside a JVM processor until a stop is asked for.
fn shadow(settings: Settings, shutdown: &Shutdown, file: Option<&Path>) -> Result<Exit, Failure> {
    let shadow = match Shadow::start(settings, shutdown.clone()) {
        Err(RunError::Stopped) => return Ok(Exit::Fine),
        started => started.map_err(run_failure)?,
    };
    let write = |report: &Report| {
        let text = report.to_text();
        match file {
            None => put(text.as_bytes()),
            Some(file) => std::fs::write(file, text)
                .with_context(|| format!("writing the report to {}", file.display()))
                .or_exit(Exit::Usage),
        }
    };
    let mut report_at = Instant::now() + REPORT_INTERVAL;
    while !shutdown.is_asked() && !shadow.is_finished() {
        thread::sleep(POLL_INTERVAL);
        if Instant::now() >= report_at {
            let report = shadow.report();
            info!(
                records = report.records,
                jvm = report.jvm,
                sigmill = report.sigmill,
                agreed = report.agreed,
                differences = report.differences(),
                open = report.open,
                "The comparison runs."
            );
            if file.is_some() {
                write(&report)?;
            }
            report_at += REPORT_INTERVAL;
        }
    }
    let report = shadow.stop().map_err(run_failure)?;
    write(&report)?;
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
