//! `sigmill lint`: what is wrong with rules, with the place of each finding.
//!
//! In: files and folders. Out: findings as lines (with excerpts on a terminal), as JSON, [`sarif`] or
//! [`junit`]. Findings are sorted by path, then by place. They come from each file alone (what is wrong,
//! and what is legal but suspicious), from all files together (ids, references), and from compiling all
//! documents as one set.

mod junit;
mod sarif;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use sigmill_codegen::{CompileError, CompileOptions, Compiled};
use sigmill_parser::{
    Block, Code, Diagnostic, Document, DocumentRef, LineIndex, Severity, Span, Spanned, Test,
};
use sigmill_runtime::rule_files::{self, RuleFiles};

use crate::diagnostics::{Finding, Related, code, codes};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::pipelines::{self, Applied, PipelineArgs};
use crate::rule_set;
use crate::stdio::{counted, put, say};

/// Check Sigma rules and say what is wrong, with file, line and column.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 clean, or nothing as bad as --fail-on; 1 warnings or notes \
                        under --fail-on; 2 errors; 3 a path cannot be read.\n\nExample:\n  \
                        sigmill lint --fail-on warning --exclude SM0110 rules/\n  \
                        sigmill lint --format sarif rules/ > sigmill.sarif"
)]
pub(crate) struct LintArgs {
    /// Rule files and folders; folders are searched for .yml, .yaml and .json to the bottom.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print the findings.
    #[arg(long, value_enum, default_value_t = LintFormat::Text)]
    format: LintFormat,
    /// The least severity that makes the exit status differ from 0.
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "SEVERITY")]
    fail_on: FailOn,
    /// Leave findings with this code (`SM0104`) or class (`bad_date`) out, as if there were none; may be
    /// given several times.
    #[arg(short = 'x', long = "exclude", value_name = "CODE", value_parser = code_of)]
    exclude: Vec<&'static str>,
    #[command(flatten)]
    pipelines: PipelineArgs,
    /// Take regular expressions with look-around, back references or possessive quantifiers, as `match` and
    /// `run` do where they are told to, and name the rules that have one.
    #[arg(long)]
    allow_backtracking_regex: bool,
}

/// The code that a code or a class means.
fn code_of(word: &str) -> Result<&'static str, String> {
    codes()
        .find(|(code, class)| code.eq_ignore_ascii_case(word) || *class == word)
        .map(|(code, _)| code)
        .ok_or_else(|| "there is no such code".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LintFormat {
    /// One line a finding, with excerpts on a terminal.
    Text,
    /// An array of objects.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
    /// A JUnit report with a test case a file, for build servers.
    Junit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Errors alone.
    Error,
    /// Warnings too.
    Warning,
    /// Any finding.
    Note,
}

impl FailOn {
    fn severity(self) -> Severity {
        match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
            Self::Note => Severity::Note,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &LintArgs) -> Result<Exit, Failure> {
    let pipelines = args.pipelines.load()?;
    let mut options = pipelines::parse_options(&pipelines);
    options.allows_backtracking = args.allow_backtracking_regex;
    let mut loaded = rule_files::load_with(&args.paths, &options).or_exit(Exit::Usage)?;
    if loaded.files.is_empty() {
        return Err(Failure::Error(
            Exit::Usage,
            anyhow!("no rule file (.yml, .yaml, .json) under the given paths"),
        ));
    }
    let rule_count = loaded.rules.len() as u64;
    // What is said of documents as they are written, before the pipelines take some out.
    let suspicious = suspicious(&loaded);
    let ids = ids(&loaded);
    let applied = pipelines::apply(&pipelines, &mut loaded);
    let mut findings = findings(&loaded, &suspicious, &ids, &applied);
    findings.retain(|finding| !args.exclude.contains(&finding.code));
    match args.format {
        LintFormat::Text => {
            let is_terminal = io::stdout().is_terminal();
            let mut text = String::new();
            for finding in &findings {
                // Writing to a `String` does not fail.
                let _ = if is_terminal {
                    writeln!(text, "{}\n", finding.excerpt())
                } else {
                    writeln!(text, "{finding}")
                };
            }
            put(text.as_bytes())?;
        }
        LintFormat::Json => put(json_array(&findings).as_bytes())?,
        LintFormat::Sarif => put(format!("{:#}\n", sarif::log(&findings)).as_bytes())?,
        LintFormat::Junit => {
            let report = junit::report(&loaded.files, &findings, args.fail_on.severity());
            put(report.as_bytes())?;
        }
    }
    if !pipelines.is_empty() {
        applied.report(loaded.rules.len());
    }
    let count =
        |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    say(format_args!(
        "{} in {}: {}, {}, {}",
        counted(rule_count, "rule"),
        counted(loaded.files.len() as u64, "file"),
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
        counted(count(Severity::Note), "note"),
    ));
    Ok(match findings.iter().map(|finding| finding.severity).max() {
        Some(Severity::Error) => Exit::Rules,
        Some(worst) if worst >= args.fail_on.severity() => Exit::Findings,
        _ => Exit::Fine,
    })
}

/// An id and the file that it stands in.
type Id = (usize, Spanned<String>);

/// The ids of all documents.
fn ids(loaded: &RuleFiles) -> Vec<Id> {
    let rules = loaded.rules.iter().map(|one| (one.file, &one.rule.id));
    let others = loaded.others.iter().filter_map(|one| match &one.document {
        Document::Correlation(correlation) => Some((one.file, &correlation.id)),
        Document::Filter(filter) => Some((one.file, &filter.id)),
        _ => None,
    });
    rules.chain(others).filter_map(|(file, id)| Some((file, id.clone()?))).collect()
}

/// All findings: of each file alone, of files together, of compiling.
fn findings<'a>(
    loaded: &'a RuleFiles,
    suspicious: &BTreeMap<usize, Vec<Diagnostic>>,
    ids: &[Id],
    applied: &Applied,
) -> Vec<Finding<'a>> {
    let documents = loaded.document_list();
    let options = CompileOptions { absent: applied.absent(loaded), ..CompileOptions::default() };
    let compiled = sigmill_codegen::compile_set(&documents, &options, &[]);
    let mut findings: Vec<Finding<'_>> = loaded.files.iter().flat_map(Finding::of_file).collect();
    for (file, diagnostics) in suspicious {
        findings.extend(Finding::of_diagnostics(&loaded.files[*file], diagnostics));
    }
    findings.extend(applied.findings(loaded));
    findings.extend(of_compiling(loaded, &compiled));
    findings.extend(always_run(loaded, &compiled, suspicious));
    findings.extend(backtracking(loaded));
    findings.extend(repeated_ids(loaded, ids));
    findings.sort_by(|a, b| (a.path, a.position, a.code).cmp(&(b.path, b.position, b.code)));
    // What documents of a collection share is found in each of them.
    findings.dedup_by(|a, b| {
        (a.path, a.position, a.code, &a.message) == (b.path, b.position, b.code, &b.message)
    });
    findings
}

/// The expressions that have to be searched for by backtracking.
fn backtracking(loaded: &RuleFiles) -> Vec<Finding<'_>> {
    let rules = loaded.rules.iter().map(|one| (one.file, &one.rule.detection));
    let filters = loaded.others.iter().filter_map(|one| match &one.document {
        Document::Filter(filter) => Some((one.file, &filter.detection)),
        _ => None,
    });
    let mut findings = Vec::new();
    for (file, detection) in rules.chain(filters) {
        let mut open: Vec<&Block> = detection.selections.iter().map(|one| &one.body).collect();
        while let Some(block) = open.pop() {
            let item = match block {
                Block::AllOf(parts) | Block::AnyOf(parts) => {
                    open.extend(parts);
                    continue;
                }
                Block::Item(item) => item,
            };
            let tests = item.predicate.values.iter().flatten();
            let count = tests.filter(|test| matches!(test, Test::Backtracking(_))).count();
            if count > 0 {
                let file = &loaded.files[file];
                let message =
                    "the regular expression has no linear-time meaning: it is searched for by \
                               backtracking, within bounds"
                        .to_owned();
                let help = "a search that reaches a bound finds nothing, and is counted".to_owned();
                let finding =
                    Finding::new(file, item.span, Severity::Warning, code::BACKTRACKING, message);
                findings.push(Finding { help: Some(help), ..finding });
            }
        }
    }
    findings
}

/// By file: what is legal and likely not meant.
fn suspicious(loaded: &RuleFiles) -> BTreeMap<usize, Vec<Diagnostic>> {
    let mut documents: BTreeMap<usize, Vec<DocumentRef<'_>>> = BTreeMap::new();
    for one in &loaded.rules {
        documents.entry(one.file).or_default().push(DocumentRef::Rule(&one.rule));
    }
    for one in &loaded.others {
        documents.entry(one.file).or_default().push(DocumentRef::from(&one.document));
    }
    documents
        .into_iter()
        .map(|(file, documents)| (file, sigmill_parser::check(documents)))
        .collect()
}

/// What does not compile, and what has no effect, as far as reading has not said it.
fn of_compiling<'a>(loaded: &'a RuleFiles, compiled: &Compiled) -> Vec<Finding<'a>> {
    // References are checked when the files are read.
    let is_new = |error: &CompileError| match error {
        CompileError::UnknownReference { .. } => false,
        CompileError::AbsentReference { name, .. } => !loaded.broken.contains(name),
        _ => true,
    };
    let refused: Vec<_> =
        compiled.refused.iter().filter(|refused| is_new(&refused.error)).cloned().collect();
    let mut findings = rule_set::refusals(loaded, &refused);
    let said: HashSet<(&Path, &str)> = loaded
        .files
        .iter()
        .flat_map(|file| file.diagnostics.iter().map(|found| (file.path.as_path(), found)))
        .filter(|(_, found)| found.code == Code::CorrelationReference)
        .filter_map(|(path, found)| Some((path, quoted(&found.message)?)))
        .collect();
    let mut warnings = rule_set::warnings(loaded, &compiled.warnings);
    warnings.retain(|finding| {
        quoted(&finding.message).is_none_or(|name| !said.contains(&(finding.path, name)))
    });
    findings.extend(warnings);
    findings
}

/// The first name that a message quotes.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// Conditions that have to be decided on every event, unless it was said that they always or never hold.
fn always_run<'a>(
    loaded: &'a RuleFiles,
    compiled: &Compiled,
    suspicious: &BTreeMap<usize, Vec<Diagnostic>>,
) -> Vec<Finding<'a>> {
    let mut findings = Vec::new();
    for id in compiled.plan.always() {
        let rule = compiled.plan.rule(*id);
        // Rules stand first among the documents.
        let Some(one) = loaded.rules.get(rule.source as usize) else { continue };
        let Some(condition) = one.rule.detection.conditions.get(rule.condition as usize) else {
            continue;
        };
        let span = condition.text.span;
        let is_said = |found: &Diagnostic| {
            matches!(found.code, Code::AlwaysMatches | Code::NeverMatches) && found.span == span
        };
        if suspicious.get(&one.file).is_some_and(|found| found.iter().any(is_said)) {
            continue;
        }
        let message =
            "the rule is decided on every event: it can hold where nothing that it looks for is"
                .to_owned();
        findings.push(Finding {
            help: Some(
                "join what it excludes with a selection that has to hold, or give the log source a \
                 condition by a pipeline"
                    .to_owned(),
            ),
            ..Finding::new(&loaded.files[one.file], span, Severity::Warning, code::ALWAYS_RUN, message)
        });
    }
    findings
}

/// A warning at each further document that has the id of an earlier one.
fn repeated_ids<'a>(loaded: &'a RuleFiles, ids: &[Id]) -> Vec<Finding<'a>> {
    let mut places: BTreeMap<String, Vec<(usize, Span, &str)>> = BTreeMap::new();
    for (file, id) in ids {
        // Letter case does not make a UUID another one.
        places.entry(id.node.to_lowercase()).or_default().push((*file, id.span, &id.node));
    }
    let mut findings = Vec::new();
    for mut places in places.into_values() {
        places.sort_by_key(|(file, span, _)| (*file, span.start));
        // Documents of a collection may share an id that stands there once.
        places.dedup();
        let (first_file, first_span, id) = places[0];
        let first = &loaded.files[first_file];
        let place = LineIndex::new(&first.text).position(first_span.start);
        let (path, line, column) = (first.path.display(), place.line, place.column);
        for (file, span, _) in &places[1..] {
            let message = format!("the id `{id}` is already used at {path}:{line}:{column}");
            let file = &loaded.files[*file];
            findings.push(Finding {
                help: Some("give each rule an id of its own, such as a new UUID".to_owned()),
                related: vec![Related::new(first, first_span, "it stands here first".to_owned())],
                ..Finding::new(file, *span, Severity::Warning, code::REPEATED_ID, message)
            });
        }
    }
    findings
}

/// One object a line, so that the array can be read by eye and compared line by line.
fn json_array(findings: &[Finding<'_>]) -> String {
    let objects: Vec<String> = findings.iter().map(|found| found.to_json().to_string()).collect();
    if objects.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", objects.join(",\n")) }
}
