//! Rules for a command that matches: loaded, compiled, and what failed reported on standard error.
//!
//! In: `--rules` paths and a field-mapping file. Out: the plan, its windows and what it was made of. A rule
//! that does not load or compile is named with its place and counted; it never stops the others.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use sigmill_codegen::{CompileOptions, OverlayUse, Overlays, RuleDocument};
use sigmill_engine::Plan;
use sigmill_engine::window::WindowPlan;
use sigmill_parser::{Code, Document, FieldMapping, LineIndex, Pipelines, Severity, Span};
use sigmill_runtime::rule_files::{self, RuleFile, RuleFiles};

use crate::diagnostics::{Finding, code};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::pipelines;
use crate::stdio::{counted, say};

/// A compiled rule set.
#[derive(Debug)]
pub(crate) struct RuleSet {
    /// What the matchers run.
    pub(crate) plan: Arc<Plan>,
    /// What their matches feed.
    pub(crate) windows: Arc<WindowPlan>,
    /// The documents that the plan's `source` numbers count through.
    pub(crate) documents: Vec<PlacedDocument>,
    /// When each join is to be done.
    pub(crate) overlays: Vec<OverlayUse>,
    /// Detections may have other levels than their rules.
    pub(crate) has_levels: bool,
}

/// A document and where its title stands.
#[derive(Debug)]
pub(crate) struct PlacedDocument {
    pub(crate) document: RuleDocument,
    pub(crate) path: String,
    pub(crate) line: usize,
}

/// Loads and compiles. `time_field` is a field that the caller reads from events itself;
/// `allows_backtracking` takes regular expressions that have no linear-time meaning.
///
/// # Errors
/// A path cannot be read (usage); no rule is left, or one failed and `is_strict` (rules).
pub(crate) fn load(
    paths: &[PathBuf],
    field_mapping: FieldMapping,
    pipelines: &Pipelines,
    time_field: &str,
    is_strict: bool,
    allows_backtracking: bool,
    overlays: &Overlays,
) -> Result<RuleSet, Failure> {
    let mut options = pipelines::parse_options(pipelines);
    options.allows_backtracking = allows_backtracking;
    let mut loaded = rule_files::load_with(paths, &options).or_exit(Exit::Usage)?;
    let applied = pipelines::apply(pipelines, &mut loaded);
    let documents = loaded.document_list();
    let options = CompileOptions {
        field_mapping,
        absent: applied.absent(&loaded),
        overlays: overlays.clone(),
        ..CompileOptions::default()
    };
    let compiled = sigmill_codegen::compile_set(&documents, &options, &[time_field]);
    for file in &loaded.files {
        // What is legal but odd is for `lint` to say, except for errors that are forgiven here.
        for finding in loads_or_not(file) {
            // A correlation that names what is not there does not compile, which says it better.
            if finding.code != Code::CorrelationReference.as_str() {
                say(finding);
            }
        }
    }
    warnings(&loaded, &compiled.warnings).iter().for_each(say);
    let mut refused: Vec<Finding<'_>> = refusals(&loaded, &compiled.refused);
    let is_active = |at: &usize| !compiled.refused.iter().any(|refused| refused.index == *at);
    let active: Vec<&RuleDocument> =
        (0..documents.len()).filter(is_active).map(|at| &documents[at]).collect();
    let active_count =
        active.iter().filter(|document| matches!(document, RuleDocument::Rule(_))).count();
    refused.extend(applied.findings(&loaded));
    refused.iter().for_each(say);

    let failed_count = loaded.failed_count() + refused.len();
    let summary = format!(
        "{} loaded from {}, {} failed",
        kinds(&active),
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
    Ok(RuleSet {
        plan: Arc::new(compiled.plan),
        windows: Arc::new(compiled.windows),
        documents: placed(&loaded, documents),
        overlays: compiled.overlays,
        has_levels: !overlays.wanted.is_empty(),
    })
}

/// How many of what: rules always, the others if there are any.
fn kinds(documents: &[&RuleDocument]) -> String {
    let count = |is_meant: fn(&RuleDocument) -> bool| {
        documents.iter().filter(|document| is_meant(document)).count() as u64
    };
    let mut text = counted(count(|document| matches!(document, RuleDocument::Rule(_))), "rule");
    for (count, noun) in [
        (count(|document| matches!(document, RuleDocument::Correlation(_))), "correlation"),
        (count(|document| matches!(document, RuleDocument::Filter(_))), "filter"),
    ] {
        if count > 0 {
            text = format!("{text}, {}", counted(count, noun));
        }
    }
    text
}

/// The file of a document, by its index among all, and where its title stands.
pub(crate) fn place(loaded: &RuleFiles, index: usize) -> (&RuleFile, Span) {
    let (file, title) = match index.checked_sub(loaded.rules.len()) {
        None => (loaded.rules[index].file, &loaded.rules[index].rule.title),
        Some(other) => {
            let other = &loaded.others[other];
            match &other.document {
                Document::Correlation(correlation) => (other.file, &correlation.title),
                Document::Filter(filter) => (other.file, &filter.title),
                Document::Rule(rule) => (other.file, &rule.title),
                _ => return (&loaded.files[other.file], Span::default()),
            }
        }
    };
    (&loaded.files[file], title.span)
}

fn placed(loaded: &RuleFiles, documents: Vec<RuleDocument>) -> Vec<PlacedDocument> {
    let placed = |(index, document)| {
        let (file, span) = place(loaded, index);
        let line = LineIndex::new(&file.text).position(span.start).line;
        PlacedDocument { document, path: file.path.display().to_string(), line }
    };
    documents.into_iter().enumerate().map(placed).collect()
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

/// Findings on the documents that do not compile.
pub(crate) fn refusals<'a>(
    loaded: &'a RuleFiles,
    refused: &[sigmill_codegen::Refused],
) -> Vec<Finding<'a>> {
    let finding = |refused: &sigmill_codegen::Refused| {
        let (file, span) = place(loaded, refused.index);
        let message = refused.error.to_string();
        Finding::new(file, span, Severity::Error, code::NOT_COMPILED, message)
    };
    refused.iter().map(finding).collect()
}

/// Findings on what compiles and is odd.
pub(crate) fn warnings<'a>(
    loaded: &'a RuleFiles,
    warnings: &[sigmill_codegen::Warning],
) -> Vec<Finding<'a>> {
    let finding = |warning: &sigmill_codegen::Warning| {
        let (file, span) = place(loaded, warning.index);
        let message = warning.message.clone();
        Finding::new(file, span, Severity::Warning, code::WITHOUT_EFFECT, message)
    };
    warnings.iter().map(finding).collect()
}
