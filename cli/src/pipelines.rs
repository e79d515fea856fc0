//! `--pipeline`: pipelines by name or from files, and what they make of loaded rules.
//!
//! In: the names as a user gives them, and rules. Out: the rules as they run. A rule that a pipeline
//! refuses is a finding; one whose log source got no condition is counted and listed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::Args;
use sigmill_parser::{
    Diagnostic, Document, FieldMapping, LineIndex, Logsource, Outcome, ParseOptions, Pipeline,
    Pipelines, Severity,
};
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
        let pipelines: Result<Vec<Pipeline>, Failure> =
            self.names.iter().map(|name| load(name)).collect();
        Ok(Pipelines::new(pipelines?))
    }
}

/// How rules are read for pipelines.
pub(crate) fn parse_options(pipelines: &Pipelines) -> ParseOptions {
    let mut options = ParseOptions::default();
    options.keeps_placeholders = !pipelines.is_empty();
    options
}

fn load(name: &str) -> Result<Pipeline, Failure> {
    if let Some(pipeline) = Pipeline::shipped(name) {
        return Ok(pipeline);
    }
    let names: Vec<&str> = Pipeline::shipped_names().collect();
    let reading = || format!("cannot read the pipeline `{name}`, nor is it {}", names.join(", "));
    let text = std::fs::read_to_string(name).with_context(reading).or_exit(Exit::Usage)?;
    // A field mapping of Confluent Sigma renames fields, and does nothing else.
    if text.lines().any(|line| line.starts_with("fieldmappings:")) {
        let mapping = FieldMapping::parse(&text);
        return mapping.map(|mapping| Pipeline::from(&mapping)).map_err(|found| {
            found.iter().for_each(|one| say_finding(name, &text, one));
            Failure::Error(Exit::Usage, anyhow!("the field mapping `{name}` is wrong"))
        });
    }
    let parsed = Pipeline::parse(&text);
    parsed.diagnostics.iter().for_each(|one| say_finding(name, &text, one));
    let Some(mut pipeline) = parsed.pipeline else {
        return Err(Failure::Error(Exit::Usage, anyhow!("the pipeline `{name}` is wrong")));
    };
    let folder = Path::new(name).parent().unwrap_or(Path::new("")).to_owned();
    let files: Vec<String> = pipeline.files().into_iter().map(str::to_owned).collect();
    for file in files {
        let path = folder.join(&file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}` of `{name}`", path.display()))
            .or_exit(Exit::Usage)?;
        pipeline.supply_file(&file, &text);
    }
    Ok(pipeline)
}

fn say_finding(path: &str, text: &str, found: &Diagnostic) {
    let place = LineIndex::new(text).position(found.span.start);
    let severity = crate::diagnostics::severity_word(found.severity);
    let code = found.code.as_str();
    say(format_args!(
        "{path}:{}:{}: {severity}[{code}]: {}",
        place.line, place.column, found.message
    ));
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
            None
        }
        _ => {
            if let Document::Rule(rule) = document {
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
    let Some(source) = source else { return "no log source".to_owned() };
    let parts = [
        ("product", &source.product),
        ("category", &source.category),
        ("service", &source.service),
    ];
    let parts = parts
        .iter()
        .filter_map(|(name, part)| part.as_ref().map(|part| format!("{name} {}", part.node)));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "an empty log source".to_owned() } else { parts.join(", ") }
}

impl Applied {
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
