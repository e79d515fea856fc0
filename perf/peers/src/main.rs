//! Sigmill beside `rsigma-eval`: the same rules, the same events, in one process and in turns.
//!
//! Two comparisons. *Open*: each engine tries every rule on every event. *Routed*: Sigmill with its
//! `windows` pipeline, which finds an event's log source from its channel and number; the other by the
//! `product`, `service` and `category` that it expects to find in events, which [`tags`] puts in front of
//! them beforehand. The numbers of matches are printed: open they have to be the same, routed they differ a
//! little, since a tag has one value and some events are of two categories.
//!
//! Each engine is given what its own documents ask for: serde_json's value is what `rsigma-eval` reads, and
//! making it is part of its work, as scanning is of ours.

#![forbid(unsafe_code)]

mod tags;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use rsigma_eval::{Engine, JsonEvent, LogSourceExtractor};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::{Document, Outcome, ParseOptions, Pipeline, Pipelines, Rule};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Sigmill and rsigma-eval in turns.
#[derive(Parser)]
struct Arguments {
    /// Rules: files or folders.
    #[arg(long, required = true)]
    rules: Vec<PathBuf>,
    /// Events: NDJSON, plain or .zst.
    #[arg(long)]
    events: PathBuf,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Use at most so many bytes of events: the other engine takes a while.
    #[arg(long, default_value_t = 40_000_000)]
    bytes: usize,
    /// Write the results here too, as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut texts = Vec::new();
    for path in &arguments.rules {
        collect(path, &mut texts)?;
    }
    texts.sort();
    let texts: Vec<String> = texts.iter().map(std::fs::read_to_string).collect::<Result<_, _>>()?;
    let events = events(&arguments.events, arguments.bytes)?;
    let tagged: Vec<Vec<u8>> = events.iter().map(|event| tags::tagged(event)).collect();
    let bytes: usize = events.iter().map(Vec::len).sum();
    println!("{} rule files, {} events of {} MB", texts.len(), events.len(), bytes / 1_000_000);
    let windows = Pipeline::shipped("windows").context("the windows pipeline is shipped")?;
    let mut results = Vec::new();
    for (name, pipelines, is_routed) in
        [("open", Pipelines::default(), false), ("routed", Pipelines::new([windows]), true)]
    {
        let mut ours = ours(&texts, &pipelines);
        let theirs = theirs(&texts, is_routed)?;
        let their_events = if is_routed { &tagged } else { &events };
        // What each remembers is filled first.
        let our_matches = our_pass(&mut ours, &events).1;
        let their_matches = their_pass(&theirs, their_events).1;
        let (mut our_times, mut their_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..arguments.repeats {
            let their_time = their_pass(&theirs, their_events).0.as_secs_f64();
            let our_time = our_pass(&mut ours, &events).0.as_secs_f64();
            our_times.push(our_time);
            their_times.push(their_time);
            ratios.push(their_time / our_time);
        }
        let rate = |times: &[f64]| events.len() as f64 / median(times);
        println!(
            "{name}: Sigmill {:.0} events/s, {our_matches} matches; rsigma-eval {:.0} events/s, \
             {their_matches} matches; {:.1} times as fast ({:.1} to {:.1})",
            rate(&our_times),
            rate(&their_times),
            median(&ratios),
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        );
        results.push(json!({
            "setting": name,
            "sigmill_seconds": our_times, "sigmill_matches": our_matches,
            "rsigma_eval_seconds": their_times, "rsigma_eval_matches": their_matches,
            "ratios": ratios, "ratio_median": median(&ratios),
        }));
    }
    if let Some(out) = arguments.out {
        let report = json!({
            "events": events.len(), "bytes": bytes, "rule_files": texts.len(), "results": results,
        });
        std::fs::write(&out, format!("{report:#}\n"))
            .with_context(|| format!("writing {}", out.display()))?;
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.is_dir() {
        for entry in
            std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?
        {
            collect(&entry?.path(), files)?;
        }
    } else if path.extension().is_some_and(|extension| extension == "yml") {
        files.push(path.to_owned());
    }
    Ok(())
}

fn events(path: &Path, bytes_max: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    use std::io::BufRead;
    let file = std::fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let plain: Box<dyn std::io::Read> = if path.extension().is_some_and(|e| e == "zst") {
        let mut decoder = zstd::stream::Decoder::new(file)?;
        decoder.window_log_max(31)?;
        Box::new(decoder)
    } else {
        Box::new(file)
    };
    let mut bytes = 0;
    let mut events = Vec::new();
    for line in std::io::BufReader::new(plain).split(b'\n') {
        let line = line?;
        bytes += line.len();
        if bytes > bytes_max {
            break;
        }
        if !line.is_empty() {
            events.push(line);
        }
    }
    anyhow::ensure!(!events.is_empty(), "there are no events");
    Ok(events)
}

fn ours(texts: &[String], pipelines: &Pipelines) -> Matcher {
    let mut options = ParseOptions::default();
    options.is_whole_set = false;
    options.keeps_placeholders = !pipelines.is_empty();
    let parsed = texts.iter().map(|text| sigmill_parser::parse_with(text, &options).documents);
    let documents: Vec<Document> = parsed.flatten().collect();
    let rules: Vec<Arc<Rule>> = pipelines
        .apply(&documents.iter().collect::<Vec<_>>())
        .into_iter()
        .filter_map(|outcome| match outcome {
            Outcome::Active(Document::Rule(rule)) => Some(Arc::from(rule)),
            _ => None,
        })
        .collect();
    let plan = compile(&rules, &CompileOptions::default()).plan;
    Matcher::new(Arc::new(plan), MatcherConfig::default())
}

fn our_pass(matcher: &mut Matcher, events: &[Vec<u8>]) -> (Duration, usize) {
    let start = cpu_time();
    let matches = events.iter().map(|event| matcher.matches(event).map_or(0, <[_]>::len)).sum();
    (cpu_time() - start, matches)
}

fn theirs(texts: &[String], is_routed: bool) -> anyhow::Result<Engine> {
    let mut engine = Engine::new();
    let mut all = rsigma_parser::SigmaCollection::new();
    for text in texts {
        // A file that one of the engines cannot read is one that the other may still run.
        if let Ok(collection) = rsigma_parser::parse_sigma_yaml(text) {
            all.rules.extend(collection.rules);
        }
    }
    engine.add_collection(&all)?;
    if is_routed {
        engine.set_logsource_extractor(Some(LogSourceExtractor::new()));
    }
    Ok(engine)
}

fn their_pass(engine: &Engine, events: &[Vec<u8>]) -> (Duration, usize) {
    let start = cpu_time();
    let mut matches = 0;
    for event in events {
        if let Ok(value) = serde_json::from_slice::<Value>(event) {
            matches += engine.evaluate(&JsonEvent::borrow(&value)).len();
        }
    }
    (cpu_time() - start, matches)
}
