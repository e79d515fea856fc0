//! `sigmill-perf all`: every measurement of the suite, one section after the other.
//!
//! A section is a function from the [`Context`] to tables. What most of them compare is matching in two
//! settings: *open* (no pipeline: every rule is tried on every event) and *routed* (log sources are
//! enforced by a pipeline, as deployed).

mod compiling;
mod cores;
mod distinct_values;
mod enrichment;
mod hostile;
mod latency;
mod limits;
mod memory;
mod record_sizes;
mod rule_counts;
mod techniques;
mod throughput;
mod windows;

use std::path::PathBuf;
use std::sync::Arc;

use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::Plan;
use sigmill_parser::{Pipelines, Rule};

use crate::input::{self, Events};
use crate::report::Table;
use crate::sample::Sample;
use crate::sides::expected_matches;

/// What is measured with.
pub(crate) struct Context {
    /// The rules as they are written.
    pub(crate) texts: Vec<String>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) events: Events,
    /// Rounds in which each side has a turn.
    pub(crate) repeats: usize,
    /// Rules of the largest set in a comparison of sets.
    pub(crate) rules_max: usize,
    /// Bytes of events that are made for a question of their own.
    pub(crate) made_bytes: usize,
    /// Groups of windows.
    pub(crate) groups: usize,
    pub(crate) rule_paths: Vec<PathBuf>,
    pub(crate) event_paths: Vec<PathBuf>,
    pub(crate) pipeline: String,
}

/// Rules as they run under some pipelines.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) pipelines: Pipelines,
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) plan: Arc<Plan>,
    /// Matches in the events, however they are found.
    pub(crate) expected: u64,
}

impl Setting {
    fn new(name: &'static str, pipelines: Pipelines, texts: &[String], events: &Events) -> Self {
        let rules = input::parse_rules(texts, &pipelines);
        let plan = Arc::new(compile(&rules, &CompileOptions::default()).plan);
        let expected = expected_matches(&plan, events);
        Self { name, pipelines, rules, plan, expected }
    }
}

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) repeats: usize,
    pub(crate) rules_max: usize,
    pub(crate) made_bytes: usize,
    pub(crate) groups: usize,
}

impl Context {
    pub(crate) fn new(
        rule_paths: &[PathBuf],
        event_paths: &[PathBuf],
        pipeline: &str,
        bytes_max: Option<usize>,
        effort: Effort,
    ) -> anyhow::Result<Self> {
        let texts = input::rule_texts(rule_paths)?;
        let events = input::events(event_paths, bytes_max)?;
        let settings = vec![
            Setting::new("open", Pipelines::default(), &texts, &events),
            Setting::new("routed", input::pipelines(pipeline)?, &texts, &events),
        ];
        anyhow::ensure!(!settings[0].rules.is_empty(), "there are no rules");
        Ok(Self {
            texts,
            settings,
            events,
            repeats: effort.repeats,
            rules_max: effort.rules_max,
            made_bytes: effort.made_bytes,
            groups: effort.groups,
            rule_paths: rule_paths.to_vec(),
            event_paths: event_paths.to_vec(),
            pipeline: pipeline.to_owned(),
        })
    }
}

/// Seconds of passes over so many bytes as gigabytes a second.
fn rate(events: &Events, seconds: &Sample) -> Sample {
    let bytes = events.byte_count() as f64;
    seconds.map(|seconds| bytes / seconds / 1e9)
}

/// A measurement and the tables it makes.
type Section = fn(&Context) -> anyhow::Result<Vec<Table>>;

/// All, in the order of a report.
pub(crate) const SECTIONS: &[(&str, Section)] = &[
    ("throughput", throughput::run),
    ("limits", limits::run),
    ("techniques", techniques::run),
    ("rule-counts", rule_counts::run),
    ("record-sizes", record_sizes::run),
    ("distinct-values", distinct_values::run),
    ("hostile", hostile::run),
    ("latency", latency::run),
    ("cores", cores::run),
    ("compiling", compiling::run),
    ("memory", memory::run),
    ("windows", windows::run),
    ("enrichment", enrichment::run),
];

/// Measures in a process of its own; the text is a JSON object.
pub(crate) fn probe(
    what: &str,
    input: &crate::Input,
    pipelines: Pipelines,
    repeats: usize,
) -> anyhow::Result<String> {
    match what {
        "memory" => memory::probe(&input.rules, &input.events, &pipelines),
        "throughput" => {
            let texts = input::rule_texts(&input.rules)?;
            let events = input::events(&input.events, input.bytes)?;
            let setting = Setting::new("probe", pipelines, &texts, &events);
            Ok(techniques::probe(&setting, &events, repeats))
        }
        other => anyhow::bail!("there is nothing to probe called `{other}`"),
    }
}
