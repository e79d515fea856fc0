//! `sigmill lint`: what is wrong with rules, with the place of each finding.
//!
//! In: files and folders. Out: findings as lines (with excerpts on a terminal) or as JSON. Findings
//! are sorted by path, then by place.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use sigmill_codegen::CompileOptions;
use sigmill_parser::{LineIndex, Severity};
use sigmill_runtime::rule_files::{self, RuleFiles};

use crate::diagnostics::{Finding, code};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::rule_set;
use crate::stdio::{counted, put, say};

/// Check Sigma rules and say what is wrong, with file, line and column.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 clean, or nothing as bad as --fail-on; 1 warnings or notes \
                        under --fail-on; 2 errors; 3 a path cannot be read.\n\nExample:\n  \
                        sigmill lint --fail-on warning rules/"
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LintFormat {
    /// One line a finding, with excerpts on a terminal.
    Text,
    /// An array of objects.
    Json,
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
    let findings = findings(&loaded);
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
    let compiled = sigmill_codegen::compile(&loaded.compile_list(), &CompileOptions::default());
    let mut findings: Vec<Finding<'_>> = loaded.files.iter().flat_map(Finding::of_file).collect();
    findings.extend(rule_set::refusals(loaded, &compiled.refused));
    findings.extend(repeated_ids(loaded));
    findings.sort_by(|a, b| (a.path, a.position, a.code).cmp(&(b.path, b.position, b.code)));
    findings
}

/// A warning at each further rule that has the id of an earlier one.
fn repeated_ids(loaded: &RuleFiles) -> Vec<Finding<'_>> {
    let mut findings = Vec::new();
    for repeated in loaded.repeated_ids() {
        let (first_file, first_span) = repeated.places[0];
        let first = &loaded.files[first_file];
        let place = LineIndex::new(&first.text).position(first_span.start);
        let (path, line, column) = (first.path.display(), place.line, place.column);
        for (file, span) in &repeated.places[1..] {
            let message =
                format!("the id `{}` is already used at {path}:{line}:{column}", repeated.id);
            let file = &loaded.files[*file];
            findings.push(Finding {
                help: Some("give each rule an id of its own, such as a new UUID".to_owned()),
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
