//! Measures what matching costs beside what parsing costs, in one process and in turns.
//!
//! `sigmill-perf throughput --rules DIR --events FILE` loads both, then alternates passes of simd-json's
//! tape (with the copy of each record that its in-place parsing needs) and of the engine, and prints
//! thread CPU time, medians and their ratio. The number of detections is printed too, so that a
//! wrong engine cannot be fast unnoticed.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod cpu_time;
mod frequencies;
mod input;
mod throughput;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "sigmill-perf", about = "Measures Sigmill beside the limits of the machine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Throughput of one core beside simd-json's tape.
    Throughput {
        /// Rules: files or folders.
        #[arg(long, required = true)]
        rules: Vec<PathBuf>,
        /// Events: NDJSON, plain or .zst.
        #[arg(long, required = true)]
        events: Vec<PathBuf>,
        /// Passes of each side.
        #[arg(long, default_value_t = 5)]
        passes: usize,
        /// Do without the value memo.
        #[arg(long)]
        no_memo: bool,
        /// Use at most so many bytes of events.
        #[arg(long)]
        bytes: Option<usize>,
    },
    /// Prints how often the rules' atoms hold in sample events.
    Frequencies {
        /// Rules: files or folders.
        #[arg(long, required = true)]
        rules: Vec<PathBuf>,
        /// Events: NDJSON, plain or .zst.
        #[arg(long, required = true)]
        events: Vec<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Throughput { rules, events, passes, no_memo, bytes } => {
            let rules = input::rules(&rules)?;
            let events = input::events(&events, bytes)?;
            throughput::run(&rules, &events, passes, !no_memo);
        }
        Command::Frequencies { rules, events } => {
            frequencies::run(&input::rules(&rules)?, &input::events(&events, None)?);
        }
    }
    Ok(())
}
