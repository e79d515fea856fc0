//! Rules compiled for commands that look at the plan itself: `bench` and `rules explain`.
//!
//! In: paths and pipelines. Out: the plan with what it was made of, and how long its making took. What
//! does not load or compile is counted, not shown: `lint` is there for that.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use sigmill_codegen::{CompileOptions, RuleDocument};
use sigmill_engine::Plan;
use sigmill_parser::Pipelines;
use sigmill_runtime::rule_files;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::pipelines;
use crate::stdio::{counted, say};

/// A plan and what it was made of.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) plan: Plan,
    /// By document: what a rule is called.
    pub(crate) titles: Vec<String>,
    /// By document: the id, if it has one.
    pub(crate) ids: Vec<Option<String>>,
    /// Rules that were read, before pipelines dropped any.
    pub(crate) rule_count: usize,
    /// Rules in the plan.
    pub(crate) active_count: usize,
    /// Correlation rules, which feed on matches.
    pub(crate) correlation_count: usize,
    /// Reading and parsing, pipelines included.
    pub(crate) load_time: Duration,
    /// From parsed rules to the plan.
    pub(crate) compile_time: Duration,
}

impl Compiled {
    /// Reads, parses and compiles.
    ///
    /// # Errors
    /// A path cannot be read (usage); no rule is left (rules).
    pub(crate) fn load(paths: &[PathBuf], pipelines: &Pipelines) -> Result<Self, Failure> {
        let start = Instant::now();
        let options = pipelines::parse_options(pipelines);
        let mut loaded = rule_files::load_with(paths, &options).or_exit(Exit::Usage)?;
        let rule_count = loaded.rules.len();
        let applied = pipelines::apply(pipelines, &mut loaded);
        let documents = loaded.document_list();
        let load_time = start.elapsed();
        let start = Instant::now();
        let options =
            CompileOptions { absent: applied.absent(&loaded), ..CompileOptions::default() };
        let compiled = sigmill_codegen::compile_set(&documents, &options, &[]);
        let compile_time = start.elapsed();
        let is_refused = |at: &usize| compiled.refused.iter().any(|refused| refused.index == *at);
        let is_rule = |at: &usize| matches!(documents[*at], RuleDocument::Rule(_));
        let active_count = (0..documents.len()).filter(|at| is_rule(at) && !is_refused(at)).count();
        let is_correlation = |one: &&RuleDocument| matches!(one, RuleDocument::Correlation(_));
        let correlation_count = documents.iter().filter(is_correlation).count();
        let failed_count =
            loaded.failed_count() + compiled.refused.len() + applied.findings(&loaded).len();
        if !pipelines.is_empty() {
            applied.report(active_count);
        }
        if failed_count > 0 {
            say(format_args!("{failed_count} failed to load: `sigmill lint` says why"));
        }
        if active_count == 0 {
            return Err(Failure::Error(Exit::Rules, anyhow!("no rule loads")));
        }
        say(format_args!("{} of {} in the plan", active_count, counted(rule_count as u64, "rule")));
        Ok(Self {
            plan: compiled.plan,
            titles: documents.iter().map(|one| one.title().to_owned()).collect(),
            ids: documents.iter().map(|one| one.id().map(str::to_owned)).collect(),
            rule_count,
            active_count,
            correlation_count,
            load_time,
            compile_time,
        })
    }
}
