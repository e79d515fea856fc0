//! `--pipeline`: pipelines by name or from files, and what they make of loaded rules.
//!
//! In: the names as a user gives them, and rules. Out: the rules as they run. A rule that a pipeline
//! refuses is a finding; one whose log source got no condition is counted and listed.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::Args;
use sigmill_codegen::RuleDocument;
use sigmill_parser::{Diagnostic, Document, Logsource, Outcome, ParseOptions, Pipelines, Severity};
use sigmill_runtime::pipeline_files::{self, PipelineError, PipelineFinding};
use sigmill_runtime::rule_files::RuleFiles;

use crate::diagnostics::Finding;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::stdio::{counted, say};

/// So many dropped rules are named one by one; of more, their log sources are.
const DROPPED_NAMED_MAX: usize = 20;

/// The pipelines of a command.
#[derive(Debug, Args)]
pub(crate) struct PipelineArgs {
    /// A processing pipeline: a file, or the name of one that comes with Sigmill (windows, ecs, zeek).
    /// May be given several times; they are applied by their priority.
    #[arg(long = "pipeline", short = 'p', value_name = "NAME|FILE")]
    names: Vec<String>,
}

impl PipelineArgs {
    /// Reads them.
    ///
    /// # Errors
    /// A file cannot be read, or is no pipeline (both usage).
    pub(crate) fn load(&self) -> Result<Pipelines, Failure> {
        match pipeline_files::load(&self.names) {
            Ok(loaded) => {
                loaded.findings.iter().for_each(say_finding);
                Ok(loaded.pipelines)
            }
            Err(PipelineError::Wrong { name, findings }) => {
                findings.iter().for_each(say_finding);
                Err(Failure::Error(Exit::Usage, anyhow!("the pipeline `{name}` is wrong")))
            }
            Err(error) => Err(error).or_exit(Exit::Usage),
        }
    }

    /// The names, for a setting.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

/// How rules are read for pipelines.
pub(crate) fn parse_options(pipelines: &Pipelines) -> ParseOptions {
    let mut options = ParseOptions::default();
    options.keeps_placeholders = !pipelines.is_empty();
    options
}

fn say_finding(found: &PipelineFinding) {
    let PipelineFinding { path, line, column, code, message, .. } = found;
    let severity = crate::diagnostics::severity_word(found.severity);
    say(format_args!("{path}:{line}:{column}: {severity}[{code}]: {message}"));
    if let Some(help) = &found.help {
        say(format_args!("  help: {help}"));
    }
}

/// What pipelines did to the rules of files, besides changing them.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Rules without a condition for their log source: title and log source.
    dropped: Vec<(String, String)>,
    /// Rules that cannot be used: file and finding.
    refused: Vec<(usize, Diagnostic)>,
    /// Names and ids of both → what became of them.
    absent: BTreeMap<String, String>,
}

/// Applies pipelines to all documents of rule files, in their place. What cannot be used is taken out.
pub(crate) fn apply(pipelines: &Pipelines, loaded: &mut RuleFiles) -> Applied {
    let mut applied = Applied::default();
    if pipelines.is_empty() {
        return applied;
    }
    let rules: Vec<Document> =
        loaded.rules.iter().map(|one| Document::Rule(Box::new((*one.rule).clone()))).collect();
    let others = loaded.others.iter().map(|one| &one.document);
    let all: Vec<&Document> = rules.iter().chain(others).collect();
    let mut outcomes = pipelines.apply(&all).into_iter();
    let mut outcome = |file: usize, document: &Document| match outcomes.next() {
        Some(Outcome::Active(document)) => Some(document),
        Some(Outcome::Refused(diagnostic)) => {
            applied.refused.push((file, diagnostic));
            applied.leave_out(document, "is refused by a pipeline");
            None
        }
        _ => {
            if let Document::Rule(rule) = document {
                let why = "is left out, as no pipeline has a condition for its log source";
                applied.leave_out(document, why);
                let source = log_source(rule.logsource.as_ref());
                applied.dropped.push((rule.title.node.clone(), source));
            }
            None
        }
    };
    let mut documents = rules.iter();
    loaded.rules.retain_mut(|one| {
        let changed = documents.next().and_then(|document| outcome(one.file, document));
        match changed {
            Some(Document::Rule(rule)) => one.rule = rule.into(),
            _ => return false,
        }
        true
    });
    loaded.others.retain_mut(|one| match outcome(one.file, &one.document) {
        Some(document) => {
            one.document = document;
            true
        }
        None => false,
    });
    applied
}

fn log_source(source: Option<&Logsource>) -> String {
    source.map_or_else(|| "no log source".to_owned(), Logsource::describe)
}

impl Applied {
    fn leave_out(&mut self, document: &Document, why: &str) {
        let document = RuleDocument::from(document.clone());
        for name in [document.id(), document.name()].into_iter().flatten() {
            self.absent.insert(name.to_owned(), why.to_owned());
        }
    }

    /// Why rules that are named elsewhere are not there.
    pub(crate) fn absent(&self, loaded: &RuleFiles) -> BTreeMap<String, String> {
        let mut absent = loaded.absent();
        absent.extend(self.absent.clone());
        absent
    }

    /// The rules that a pipeline refuses.
    pub(crate) fn findings<'a>(&self, loaded: &'a RuleFiles) -> Vec<Finding<'a>> {
        let finding = |(file, found): &(usize, Diagnostic)| {
            let file = &loaded.files[*file];
            let mut finding = Finding::new(
                file,
                found.span,
                Severity::Error,
                found.code.as_str(),
                found.message.clone(),
            );
            finding.help.clone_from(&found.help);
            finding
        };
        self.refused.iter().map(finding).collect()
    }

    /// Says how many rules are left, and which were dropped.
    pub(crate) fn report(&self, active_count: usize) {
        say(format_args!(
            "{} active, {} dropped because no pipeline has a condition for their log source",
            counted(active_count as u64, "rule"),
            self.dropped.len()
        ));
        if self.dropped.len() <= DROPPED_NAMED_MAX {
            for (title, source) in &self.dropped {
                say(format_args!("  dropped: {title} ({source})"));
            }
            return;
        }
        let mut sources: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, source) in &self.dropped {
            *sources.entry(source).or_default() += 1;
        }
        for (source, count) in sources {
            say(format_args!("  dropped: {} ({source})", counted(count, "rule")));
        }
    }
}
