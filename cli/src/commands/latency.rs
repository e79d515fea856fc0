//! `sigmill latency`: the latency histograms of a processor that runs, by its admin port.
//!
//! In: `/api/v1/latency` with the counts of all values. Out: a table of percentiles, and on request a file in
//! the form of HdrHistogram's percentile output (`.hgrm`), which its plotter reads. Values are milliseconds.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::Value;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::stdio::put;

const PATIENCE: Duration = Duration::from_secs(10);
/// A longer answer is none of ours.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0];
/// As HdrHistogram's own output has it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Print the latency percentiles of a processor that runs.
#[derive(Debug, Args)]
#[command(
    after_help = "Stages: record, matching one record; poll, from the poll that brought a record to its \
                        matches; batch, matching and sending a batch; detection, from a record's timestamp to \
                        the acknowledgement of its detection.\n\nExample:\n  sigmill latency --hgrm \
                        detection.hgrm http://127.0.0.1:9464"
)]
pub(crate) struct LatencyArgs {
    /// Where the admin port of the processor is.
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:9464")]
    url: String,
    /// Holds the token, where reads need it.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Write the percentiles of one stage there, in the form of HdrHistogram.
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
    /// The stage of that file.
    #[arg(long, default_value = "detection", value_parser = ["record", "poll", "batch", "detection"])]
    stage: String,
}

/// A stage and its values.
struct Stage {
    name: String,
    unit_ns: u64,
    values: Histogram<u64>,
}

/// Runs the command.
pub(crate) fn run(args: &LatencyArgs) -> Result<Exit, Failure> {
    let token = match &args.token_file {
        None => None,
        Some(path) => {
            let read = std::fs::read_to_string(path);
            let token = read.with_context(|| format!("reading {}", path.display()));
            Some(token.or_exit(Exit::Usage)?.trim().to_owned())
        }
    };
    let host = host(&args.url).or_exit(Exit::Usage)?;
    let answer = ask(host, token.as_deref()).with_context(|| format!("asking {}", args.url));
    let stages = answer.and_then(|answer| stages(&answer)).or_exit(Exit::Network)?;
    if let Some(path) = &args.hgrm {
        let stage = stages.iter().find(|stage| stage.name == args.stage);
        let stage = stage.ok_or_else(|| anyhow!("the processor has no stage `{}`", args.stage));
        std::fs::write(path, hgrm(stage.or_exit(Exit::Network)?))
            .with_context(|| format!("writing {}", path.display()))
            .or_exit(Exit::Usage)?;
    }
    put(table(&stages).as_bytes())?;
    Ok(Exit::Fine)
}

fn host(url: &str) -> anyhow::Result<&str> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("`{url}`: expected http://HOST:PORT");
    };
    let host = rest.trim_end_matches('/');
    let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if host.contains(['/', '?', '#', '@']) || !matches!(port, Some(Ok(_))) {
        bail!("`{url}`: expected http://HOST:PORT");
    }
    Ok(host)
}

fn ask(host: &str, token: Option<&str>) -> anyhow::Result<Value> {
    let address = host.to_socket_addrs()?.next().ok_or_else(|| anyhow!("no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    write!(stream, "GET /api/v1/latency?counts=true HTTP/1.1\r\nHost: {host}\r\n{token}\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| anyhow!("no HTTP answer"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    let body: Value = serde_json::from_str(body).map_err(|_| {
        anyhow!("status {status}, and no JSON: is it the admin port of a processor?")
    })?;
    match (status, body["error"]["message"].as_str()) {
        ("200", _) => Ok(body),
        (status, message) => bail!("status {status}: {}", message.unwrap_or("no reason given")),
    }
}

fn stages(answer: &Value) -> anyhow::Result<Vec<Stage>> {
    let stages = answer["stages"].as_object().ok_or_else(|| anyhow!("no stages in the answer"))?;
    stages
        .iter()
        .map(|(name, told)| {
            let mut values = Histogram::<u64>::new(3)?;
            for pair in told["counts"].as_array().into_iter().flatten() {
                let (Some(value), Some(count)) = (pair[0].as_u64(), pair[1].as_u64()) else {
                    bail!("stage `{name}`: a count is no pair of numbers");
                };
                values.record_n(value, count)?;
            }
            let unit_ns = told["unit_ns"].as_u64().unwrap_or(1000);
            Ok(Stage { name: name.clone(), unit_ns, values })
        })
        .collect()
}

impl Stage {
    fn ms(&self, value: f64) -> f64 {
        value * self.unit_ns as f64 / 1e6
    }
}

fn table(stages: &[Stage]) -> String {
    let mut text = format!("{:<10} {:>12} {:>12}", "ms", "values", "mean");
    for percentile in PERCENTILES {
        let _ = write!(text, " {:>11}", format!("p{percentile}"));
    }
    text.push('\n');
    for stage in stages {
        let mean = stage.ms(stage.values.mean());
        let _ = write!(text, "{:<10} {:>12} {:>12.4}", stage.name, stage.values.len(), mean);
        for percentile in PERCENTILES {
            let value = stage.values.value_at_percentile(percentile);
            let _ = write!(text, " {:>11.4}", stage.ms(value as f64));
        }
        text.push('\n');
    }
    text
}

/// The percentile output of HdrHistogram.
fn hgrm(stage: &Stage) -> String {
    let values = &stage.values;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for step in values.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        let value = stage.ms(step.value_iterated_to() as f64);
        let quantile = step.quantile_iterated_to();
        let count = values.count_between(0, step.value_iterated_to());
        let _ = write!(text, "{value:>12.3} {quantile:>14.12} {count:>10}");
        let _ = match quantile < 1.0 {
            true => writeln!(text, " {:>14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(text),
        };
    }
    let _ = write!(
        text,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n#[Max     = {:>12.3}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
        stage.ms(values.mean()),
        stage.ms(values.stdev()),
        stage.ms(values.max() as f64),
        values.len(),
        values.buckets(),
        2048,
    );
    text
}
