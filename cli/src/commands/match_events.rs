//! `sigmill match`: which rules match which lines of files.
//!
//! In: rules and NDJSON, plain or compressed. Out: for each line that matches, its number and the
//! rules' ids, or the detections. The output is the same for any number of threads.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use sigmill_runtime::match_files::{
    MatchFilesConfig, MatchFilesError, Source, Summary, match_files,
};

use crate::exit::{Exit, Failure, OrExit as _};
use crate::match_output::{MatchFormat, MatchOutput};
use crate::pipelines::PipelineArgs;
use crate::progress;
use crate::rule_set;
use crate::stdio::{counted, say};

/// Match the events of files against rules.
#[derive(Debug, Args)]
#[command(
    name = "match",
    after_help = "Log sources are checked where a --pipeline gives them a condition; without one, \
                  every rule is tried on every event.\nRules that do \
                  not load are named on stderr and never stop the others.\n\nExit status: 0 whether \
                  or not something matched; 1 with --fail-on-match if something did; 2 if no rule \
                  loads, or any fails under --strict; 3 wrong usage or unreadable file.\n\n\
                  Examples:\n  sigmill match --rules rules/ events.ndjson.zst\n  sigmill match \
                  --rules rules/ --pipeline windows events.ndjson.zst\n  \
                  journalctl -o json | sigmill match --rules rules/ --format json -"
)]
pub(crate) struct MatchArgs {
    /// A rule file, or a folder of rules; may be given several times.
    #[arg(long = "rules", required = true, value_name = "PATH")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    pipelines: PipelineArgs,
    /// A Confluent Sigma field-mapping file: names in rules to names in events.
    #[arg(long, value_name = "FILE")]
    field_mapping: Option<PathBuf>,
    /// What to print: `line<TAB>rule id`, or a detection a line as the processor writes it.
    #[arg(long, value_enum, default_value_t = MatchFormat::Tsv)]
    format: MatchFormat,
    /// Number of matching threads [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// The field that holds an event's time.
    #[arg(long, default_value = "@timestamp", value_name = "NAME")]
    time_field: String,
    /// Exit with 1 if something matched.
    #[arg(long)]
    fail_on_match: bool,
    /// Exit with 2 if any rule fails to load.
    #[arg(long)]
    strict: bool,
    /// NDJSON files, plain or compressed by gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<OsString>,
}

/// Runs the command.
pub(crate) fn run(args: &MatchArgs) -> Result<Exit, Failure> {
    let sources: Vec<Source> = args.files.iter().map(|file| Source::from_argument(file)).collect();
    let bar = progress::bytes(stored_bytes(&sources)?);
    let field_mapping = rule_set::load_field_mapping(args.field_mapping.as_ref())?;
    let pipelines = args.pipelines.load()?;
    let rule_set = rule_set::load(&args.rules, field_mapping, &pipelines, args.strict)?;

    let mut config = MatchFilesConfig::default();
    config.threads = args.threads.unwrap_or(config.threads);
    let output = MatchOutput::new(args.format, &args.time_field, &sources, &rule_set);
    let mut stdout = io::stdout().lock();
    let result = match_files(
        &sources,
        &rule_set.plan,
        &config,
        |line, text| output.write(line, text),
        |block| {
            bar.set_position(block.stored_bytes_read);
            stdout.write_all(block.text)?;
            stdout.flush()
        },
    );
    bar.finish_and_clear();
    let summary = match result {
        Err(MatchFilesError::Write(error)) => return Err(Failure::output(error)),
        other => other.or_exit(Exit::Usage)?,
    };
    report(&summary, &sources);
    let is_failed = args.fail_on_match && summary.matches > 0;
    Ok(if is_failed { Exit::Findings } else { Exit::Fine })
}

/// Checks that every file is there before the work begins, and adds their sizes up.
fn stored_bytes(sources: &[Source]) -> Result<Option<u64>, Failure> {
    let mut total = Some(0);
    for source in sources {
        let bytes = source
            .stored_bytes()
            .map_err(|error| MatchFilesError::Read { name: source.name(), source: error })
            .or_exit(Exit::Usage)?;
        total = total.zip(bytes).map(|(total, bytes)| total + bytes);
    }
    Ok(total)
}

/// The summary on standard error.
fn report(summary: &Summary, sources: &[Source]) {
    say(format_args!(
        "{} of {} matched, {}",
        summary.lines_matched,
        counted(summary.lines, "line"),
        if summary.matches == 1 {
            "1 match".to_owned()
        } else {
            format!("{} matches", summary.matches)
        },
    ));
    if summary.lines_empty > 0 {
        say(format_args!("{} skipped", counted(summary.lines_empty, "empty line")));
    }
    if summary.refused.is_empty() {
        return;
    }
    let reasons: Vec<String> =
        summary.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    say(format_args!(
        "{} refused: {}",
        counted(summary.refused_count(), "line"),
        reasons.join(", ")
    ));
    for refused in &summary.refused_first {
        let name = sources[refused.source].name();
        say(format_args!("  {name}:{}: {}", refused.line, refused.rejection));
    }
    let unnamed = summary.refused_count() - summary.refused_first.len() as u64;
    if unnamed > 0 {
        say(format_args!("  and {unnamed} more"));
    }
}
