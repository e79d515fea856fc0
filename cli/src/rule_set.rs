//! Rules for a command that matches: loaded, compiled, and what failed reported on standard error.
//!
//! In: `--rules` paths and a field-mapping file. Out: the plan and the rules it was made of. A rule
//! that does not load or compile is named with its place and counted; it never stops the others.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use sigmill_codegen::CompileOptions;
use sigmill_engine::Plan;
use sigmill_parser::{Document, FieldMapping, LineIndex, Pipelines, Rule, Severity};
use sigmill_runtime::rule_files::{self, LoadedDocument, LoadedRule, RuleFiles};

use crate::diagnostics::{Finding, code};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::pipelines;
use crate::stdio::{counted, say};

/// A compiled rule set.
#[derive(Debug)]
pub(crate) struct RuleSet {
    /// What the matchers run.
    pub(crate) plan: Arc<Plan>,
    /// The rules that the plan's `source` numbers count through.
    pub(crate) rules: Vec<PlacedRule>,
}

/// A rule and where its title stands.
#[derive(Debug)]
pub(crate) struct PlacedRule {
    pub(crate) rule: Arc<Rule>,
    pub(crate) path: String,
    pub(crate) line: usize,
}

/// Loads and compiles.
///
/// # Errors
/// A path cannot be read (usage); no rule is left, or one failed and `is_strict` (rules).
pub(crate) fn load(
    paths: &[PathBuf],
    field_mapping: FieldMapping,
    pipelines: &Pipelines,
    is_strict: bool,
) -> Result<RuleSet, Failure> {
    let options = pipelines::parse_options(pipelines);
    let mut loaded = rule_files::load_with(paths, &options).or_exit(Exit::Usage)?;
    let applied = pipelines::apply(pipelines, &mut loaded);
    let rules = loaded.compile_list();
    let compiled = sigmill_codegen::compile(&rules, &CompileOptions { field_mapping });
    for file in &loaded.files {
        // What is legal but odd is for `lint` to say, except for errors that are forgiven here.
        for finding in loads_or_not(file) {
            say(finding);
        }
    }
    let mut refused: Vec<Finding<'_>> = refusals(&loaded, &compiled.refused);
    let active_count = rules.len() - refused.len();
    refused.extend(not_run(&loaded));
    refused.extend(applied.findings(&loaded));
    refused.iter().for_each(say);

    let failed_count = loaded.failed_count() + refused.len();
    let summary = format!(
        "{} loaded from {}, {} failed",
        counted(active_count as u64, "rule"),
        counted(loaded.files.len() as u64, "file"),
        failed_count
    );
    if !pipelines.is_empty() {
        applied.report(active_count);
    }
    if active_count == 0 {
        return Err(Failure::Error(Exit::Rules, anyhow!("no rule loads: {summary}")));
    }
    say(&summary);
    if is_strict && failed_count > 0 {
        return Err(Failure::Error(Exit::Rules, anyhow!("--strict: {summary}")));
    }
    Ok(RuleSet { plan: Arc::new(compiled.plan), rules: placed(&loaded) })
}

fn placed(loaded: &RuleFiles) -> Vec<PlacedRule> {
    let place = |source: &LoadedRule| {
        let file = &loaded.files[source.file];
        let line = LineIndex::new(&file.text).position(source.rule.title.span.start).line;
        let path = file.path.display().to_string();
        PlacedRule { rule: Arc::clone(&source.rule), path, line }
    };
    loaded.rules.iter().map(place).collect()
}

/// Reads a field-mapping file.
///
/// # Errors
/// It cannot be read, or is not a field mapping (both usage).
pub(crate) fn load_field_mapping(path: Option<&PathBuf>) -> Result<FieldMapping, Failure> {
    let Some(path) = path else { return Ok(FieldMapping::default()) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the field mapping `{}`", path.display()))
        .or_exit(Exit::Usage)?;
    FieldMapping::parse(&text).map_err(|diagnostics| {
        let index = LineIndex::new(&text);
        let lines: Vec<String> = diagnostics
            .iter()
            .map(|found| {
                let place = index.position(found.span.start);
                format!("{}:{}:{}: {}", path.display(), place.line, place.column, found.message)
            })
            .collect();
        Failure::Error(Exit::Usage, anyhow!("the field mapping is wrong\n{}", lines.join("\n")))
    })
}

/// The findings that say why something does not load, and those that would be errors elsewhere.
pub(crate) fn loads_or_not(file: &rule_files::RuleFile) -> Vec<Finding<'_>> {
    let mut findings = Finding::of_file(file);
    let mut diagnostics = file.diagnostics.iter();
    // An unreadable file has its one finding and no diagnostics.
    findings.retain_mut(|finding| {
        let is_loadable = diagnostics.next().is_some_and(|found| found.is_loadable);
        let is_error = finding.severity == Severity::Error;
        if is_loadable {
            finding.severity = Severity::Warning;
        }
        is_error
    });
    findings
}

/// Findings on the documents that only `lint` knows what to do with.
pub(crate) fn not_run(loaded: &RuleFiles) -> Vec<Finding<'_>> {
    let finding = |other: &LoadedDocument| {
        let (title, kind) = match &other.document {
            Document::Correlation(correlation) => (&correlation.title, "a correlation rule"),
            Document::Filter(filter) => (&filter.title, "a filter"),
            // Documents of other kinds are not loaded.
            _ => return None,
        };
        let message = format!("`{}` is {kind}, which is not evaluated", title.node);
        let file = &loaded.files[other.file];
        Some(Finding::new(file, title.span, Severity::Error, code::NOT_RUN, message))
    };
    loaded.others.iter().filter_map(finding).collect()
}

/// Findings on the rules that do not compile.
pub(crate) fn refusals<'a>(
    loaded: &'a RuleFiles,
    refused: &[sigmill_codegen::Refused],
) -> Vec<Finding<'a>> {
    refused
        .iter()
        .map(|refused| {
            let source = &loaded.rules[refused.index];
            let message = refused.error.to_string();
            let span = source.rule.title.span;
            Finding::new(
                &loaded.files[source.file],
                span,
                Severity::Error,
                code::NOT_COMPILED,
                message,
            )
        })
        .collect()
}
