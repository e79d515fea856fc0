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
use sigmill_parser::{Code, Diagnostic, Document, DocumentRef, LineIndex, Severity, Span};
use sigmill_runtime::rule_files::{self, RuleFiles};

use crate::diagnostics::{Finding, Related, code, codes};
use crate::exit::{Exit, Failure, OrExit as _};
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
    let loaded = rule_files::load(&args.paths).or_exit(Exit::Usage)?;
    if loaded.files.is_empty() {
        return Err(Failure::Error(
            Exit::Usage,
            anyhow!("no rule file (.yml, .yaml, .json) under the given paths"),
        ));
    }
    let mut findings = findings(&loaded);
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
    let count =
        |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    say(format_args!(
        "{} in {}: {}, {}, {}",
        counted(loaded.rules.len() as u64, "rule"),
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

/// All findings: of each file alone, of files together, of compiling.
fn findings(loaded: &RuleFiles) -> Vec<Finding<'_>> {
    let documents = loaded.document_list();
    let compiled = sigmill_codegen::compile_set(&documents, &CompileOptions::default(), &[]);
    let mut findings: Vec<Finding<'_>> = loaded.files.iter().flat_map(Finding::of_file).collect();
    let suspicious = suspicious(loaded);
    for (file, diagnostics) in &suspicious {
        findings.extend(Finding::of_diagnostics(&loaded.files[*file], diagnostics));
    }
    findings.extend(of_compiling(loaded, &compiled));
    findings.extend(always_run(loaded, &compiled, &suspicious));
    findings.extend(repeated_ids(loaded));
    findings.sort_by(|a, b| (a.path, a.position, a.code).cmp(&(b.path, b.position, b.code)));
    // What documents of a collection share is found in each of them.
    findings.dedup_by(|a, b| {
        (a.path, a.position, a.code, &a.message) == (b.path, b.position, b.code, &b.message)
    });
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
    let is_new = |error: &CompileError| !matches!(error, CompileError::UnknownReference { .. });
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
fn repeated_ids(loaded: &RuleFiles) -> Vec<Finding<'_>> {
    let rules = loaded.rules.iter().map(|one| (one.file, &one.rule.id));
    let others = loaded.others.iter().filter_map(|one| match &one.document {
        Document::Correlation(correlation) => Some((one.file, &correlation.id)),
        Document::Filter(filter) => Some((one.file, &filter.id)),
        _ => None,
    });
    let mut places: BTreeMap<String, Vec<(usize, Span, &str)>> = BTreeMap::new();
    for (file, id) in rules.chain(others) {
        // Letter case does not make a UUID another one.
        let Some(id) = id else { continue };
        places.entry(id.node.to_lowercase()).or_default().push((file, id.span, &id.node));
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
