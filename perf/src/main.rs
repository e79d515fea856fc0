//! Measures the product: what matching costs beside what parsing costs, in one process and in turns.
//!
//! `sigmill-perf all` runs the whole [`suite`] and writes a folder with JSON, Markdown and plots;
//! `throughput` is a short look at one number; `frequencies` makes the table by which covers are chosen;
//! `make-events` and `clone-rules` make input for whoever has none. Every pass is checked for the matches
//! that another way finds, so that a wrong engine cannot be fast unnoticed.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command-line tool talks by printing.

mod clones;
mod delivery;
mod derived_events;
mod frequencies;
mod input;
mod instructions;
mod machine;
mod made_events;
mod quote;
mod report;
mod sample;
mod sides;
mod suite;
mod svg;
mod throughput;
mod turns;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde_json::json;
use sigmill_parser::Pipelines;

use crate::report::Report;
use crate::suite::{Context, Effort, SECTIONS};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "sigmill-perf", about = "Measures Sigmill beside the limits of the machine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Rules and events.
#[derive(Debug, Args)]
struct Input {
    /// Rules: files or folders.
    #[arg(long, required = true)]
    rules: Vec<PathBuf>,
    /// Events: NDJSON, plain or .zst.
    #[arg(long, required = true)]
    events: Vec<PathBuf>,
    /// Use at most so many bytes of events.
    #[arg(long)]
    bytes: Option<usize>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole suite and writes its results.
    All {
        #[command(flatten)]
        input: Input,
        /// The pipeline of the routed setting: a name or a file.
        #[arg(long, default_value = "windows")]
        pipeline: String,
        /// Folder of the results [default: perf/runs/DATE-MACHINE].
        #[arg(long)]
        out: Option<PathBuf>,
        /// Rounds in which each side has its turn.
        #[arg(long, default_value_t = 5)]
        repeats: usize,
        /// Rules of the largest set.
        #[arg(long, default_value_t = 20_000)]
        rules_max: usize,
        /// Run only these sections; may be given several times.
        #[arg(long)]
        only: Vec<String>,
        /// Do as little as possible: shows that everything runs, and measures nothing.
        #[arg(long)]
        tiny: bool,
    },
    /// Throughput of one core beside simd-json's tape.
    Throughput {
        #[command(flatten)]
        input: Input,
        /// Passes of each side.
        #[arg(long, default_value_t = 5)]
        passes: usize,
        /// Do without the value memo.
        #[arg(long)]
        no_memo: bool,
        /// A pipeline: a name or a file.
        #[arg(long)]
        pipeline: Option<String>,
    },
    /// Prints how often the rules' atoms hold in sample events.
    Frequencies {
        #[command(flatten)]
        input: Input,
    },
    /// Prints how often one character follows another in sample events.
    Bigrams {
        /// Events: NDJSON, plain or .zst.
        #[arg(long, required = true)]
        events: Vec<PathBuf>,
    },
    /// Writes many events made of a few.
    MakeEvents {
        /// Events to start from: NDJSON, plain or .zst.
        #[arg(long, required = true)]
        events: Vec<PathBuf>,
        /// How much to make.
        #[arg(long, default_value_t = 100_000_000)]
        bytes: usize,
        /// Where to; .zst is compressed.
        #[arg(long)]
        out: PathBuf,
    },
    /// Writes many rules made of given ones, by changing their literals.
    CloneRules {
        /// Rules: files or folders.
        #[arg(long, required = true)]
        rules: Vec<PathBuf>,
        /// How many rules to write.
        #[arg(long)]
        count: usize,
        /// Folder for them, a file each.
        #[arg(long)]
        out: PathBuf,
    },
    /// Puts the tables of a run into a document, between its marks.
    Quote {
        /// The run's folder.
        #[arg(long)]
        run: PathBuf,
        /// The document.
        #[arg(long)]
        document: PathBuf,
    },
    /// What delivery costs against a broker: exactly once, windows, overhead, latency and more.
    Delivery {
        #[command(flatten)]
        input: Input,
        /// Brokers that run; nothing else should use them meanwhile.
        #[arg(long)]
        bootstrap_server: String,
        /// The processor [default: `sigmill` beside this binary].
        #[arg(long)]
        sigmill: Option<PathBuf>,
        /// A pipeline: a name or a file.
        #[arg(long, default_value = "windows")]
        pipeline: String,
        /// Matches to restore.
        #[arg(long, default_value_t = 2_000_000)]
        matches: usize,
        /// Runs of each side.
        #[arg(long, default_value_t = 3)]
        repeats: usize,
        /// How many seconds latency is measured for.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Measure only this: exactly-once, windows, recovery, overhead, latency, restoring;
        /// may be given several times.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Runs a fixed small workload, for `cargo xtask instructions` to count.
    Instructions {
        /// Which one.
        workload: String,
    },
    /// Measures in a process of its own, for the suite.
    #[command(hide = true)]
    Probe {
        what: String,
        #[command(flatten)]
        input: Input,
        #[arg(long)]
        pipeline: Option<String>,
        #[arg(long, default_value_t = 1)]
        repeats: usize,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::All { input, pipeline, out, repeats, rules_max, only, tiny } => {
            let effort = if tiny {
                Effort { repeats: 1, rules_max: 200, made_bytes: 100_000, groups: 1_000 }
            } else {
                Effort { repeats, rules_max, made_bytes: 30_000_000, groups: 1_000_000 }
            };
            all(&input, &pipeline, out, &only, effort)
        }
        Command::Throughput { input, passes, no_memo, pipeline } => {
            let pipelines = optional_pipelines(pipeline.as_deref())?;
            let rules = input::parse_rules(&input::rule_texts(&input.rules)?, &pipelines);
            let events = input::events(&input.events, input.bytes)?;
            throughput::run(&rules, &events, passes, !no_memo);
            Ok(())
        }
        Command::Frequencies { input } => {
            let events = input::events(&input.events, input.bytes)?;
            frequencies::run(&input::rules(&input.rules)?, &events);
            Ok(())
        }
        Command::Bigrams { events } => {
            frequencies::bigrams(&input::events(&events, None)?);
            Ok(())
        }
        Command::MakeEvents { events, bytes, out } => {
            let events = input::events(&events, None)?;
            let file = std::fs::File::create(&out)
                .with_context(|| format!("writing {}", out.display()))?;
            let count = if out.extension().is_some_and(|e| e == "zst") {
                let mut encoder = zstd::stream::Encoder::new(file, 9)?;
                let count = made_events::write(&events, bytes, &mut encoder)?;
                encoder.finish()?;
                count
            } else {
                made_events::write(&events, bytes, &mut std::io::BufWriter::new(file))?
            };
            println!("{count} events in {}", out.display());
            Ok(())
        }
        Command::Delivery {
            input,
            bootstrap_server,
            sigmill,
            pipeline,
            matches,
            repeats,
            seconds,
            only,
        } => delivery::run(&delivery::Config {
            bootstrap_servers: bootstrap_server,
            sigmill: sigmill.unwrap_or_else(delivery::default_sigmill),
            rules: input.rules,
            events: input.events,
            pipeline,
            bytes: input.bytes.unwrap_or(500_000_000),
            matches,
            repeats: repeats.max(1),
            seconds: seconds.max(1),
            only,
        }),
        Command::Quote { run, document } => {
            println!("{} tables", quote::quote(&run, &document)?);
            Ok(())
        }
        Command::Instructions { workload } => {
            println!("{}", instructions::run(&workload)?);
            Ok(())
        }
        Command::CloneRules { rules, count, out } => clone_rules(&rules, count, &out),
        Command::Probe { what, input, pipeline, repeats } => {
            let pipelines = optional_pipelines(pipeline.as_deref())?;
            println!("{}", suite::probe(&what, &input, pipelines, repeats)?);
            Ok(())
        }
    }
}

fn optional_pipelines(name: Option<&str>) -> anyhow::Result<Pipelines> {
    name.map_or_else(|| Ok(Pipelines::default()), input::pipelines)
}

fn all(
    input: &Input,
    pipeline: &str,
    out: Option<PathBuf>,
    only: &[String],
    effort: Effort,
) -> anyhow::Result<()> {
    let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = only.iter().find(|one| !names.contains(&one.as_str())) {
        anyhow::bail!("there is no section `{unknown}`; there are {}", names.join(", "));
    }
    let machine = machine::describe();
    let folder = out.unwrap_or_else(|| Path::new("perf/runs").join(machine::run_name(&machine)));
    let context = Context::new(&input.rules, &input.events, pipeline, input.bytes, effort)?;
    let file_names = |paths: &[PathBuf]| {
        let name =
            |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        paths.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    };
    let setting = json!({
        "machine": machine,
        "rules": {
            "count": context.settings[0].rules.len(),
            "routed": context.settings[1].rules.len(),
            "hash": input::hash(&context.texts),
            "from": file_names(&input.rules),
        },
        "events": {
            "count": context.events.len(),
            "bytes": context.events.byte_count(),
            "from": file_names(&input.events),
        },
        "pipeline": pipeline,
        "repeats": effort.repeats,
    });
    let mut tables = Vec::new();
    for (name, section) in SECTIONS {
        if only.is_empty() || only.iter().any(|one| one == name) {
            eprintln!("{name} …");
            let made = section(&context).with_context(|| format!("in section {name}"))?;
            made.iter().for_each(|table| print!("{}", table.markdown()));
            tables.extend(made);
            // What was measured is kept even if a later section fails.
            let report = Report { setting: setting.clone(), tables: tables.clone() };
            report.write(&folder)?;
        }
    }
    println!("written to {}", folder.display());
    Ok(())
}

fn clone_rules(rules: &[PathBuf], count: usize, out: &Path) -> anyhow::Result<()> {
    let clones = clones::clones(&input::rule_texts(rules)?, count);
    for (at, text) in clones.iter().enumerate() {
        let folder = out.join(format!("{:03}", at / 1000));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("r{at:06}.yml")), text)?;
    }
    println!("{} rules in {}, hash {}", clones.len(), out.display(), input::hash(&clones));
    Ok(())
}
