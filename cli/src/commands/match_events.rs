//! `sigmill match`: which rules match which lines of files.
//!
//! In: rules and NDJSON, plain or compressed. Out: for each line that matches, its number and the
//! rules' ids, or the detections. The output is the same for any number of threads.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use sigmill_engine::window::{Emit, WindowConfig};
use sigmill_runtime::match_files::{
    FileWindows, MatchFilesConfig, MatchFilesError, Source, Summary, WindowSummary,
    match_files_with_windows,
};

use crate::enrichment::Enrichment;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::match_output::{MatchFormat, MatchOutput};
use crate::pipelines::PipelineArgs;
use crate::progress;
use crate::rule_set::{self, RuleSet};
use crate::stdio::{counted, say};

/// Longest event that a correlation's detection shows.
const CONTENT_BYTES_MAX: usize = 8 << 10;

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
    /// A properties file whose tables, joins and levels are used (sigmill.table.…, sigmill.join.…,
    /// sigmill.level.…); other settings in it mean nothing here.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// What to print: `line<TAB>rule id`, or a detection a line as the processor writes it.
    #[arg(long, value_enum, default_value_t = MatchFormat::Tsv)]
    format: MatchFormat,
    /// Number of matching threads [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// The field that holds an event's time.
    #[arg(long, default_value = "@timestamp", value_name = "NAME")]
    time_field: String,
    /// When correlations report: at once, when no event can change it any more, or with each event at
    /// which their condition holds. What more events could falsify always waits.
    #[arg(long, value_enum, default_value_t = WindowEmit::Early)]
    window_emit: WindowEmit,
    /// How far behind the newest event one may be and still count for a correlation: `90s`, `5m`, `1d`
    /// [default: its timespan, at most 5m].
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    window_grace: Option<i64>,
    /// Take regular expressions with look-around, back references or possessive quantifiers, searched by
    /// backtracking. A search that needs too many steps finds nothing, and is counted.
    #[arg(long)]
    allow_backtracking_regex: bool,
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
    let enrichment = Enrichment::load(args.settings.as_deref())?;
    let rule_set = rule_set::load(
        &args.rules,
        field_mapping,
        &pipelines,
        &args.time_field,
        args.strict,
        args.allow_backtracking_regex,
        &enrichment.overlays(),
    )?;
    let windows = file_windows(args, &rule_set);

    let mut config = MatchFilesConfig::default();
    config.threads = args.threads.unwrap_or(config.threads);
    config.joins = enrichment.joins(&rule_set);
    let output = MatchOutput::new(args.format, &args.time_field, &sources, &rule_set);
    let mut stdout = io::stdout().lock();
    let result = match_files_with_windows(
        &sources,
        &rule_set.plan,
        &windows,
        &config,
        |line, text| output.write(line, text),
        |detected, text| output.write_window(detected, text),
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
    report_given_up(&rule_set);
    if !rule_set.windows.is_empty() {
        report_windows(&summary.windows, &args.time_field);
    }
    let is_failed = args.fail_on_match && (summary.matches > 0 || summary.windows.detections > 0);
    Ok(if is_failed { Exit::Findings } else { Exit::Fine })
}

/// When correlations report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WindowEmit {
    Early,
    Final,
    Every,
}

fn file_windows(args: &MatchArgs, rule_set: &RuleSet) -> FileWindows {
    let emit = match args.window_emit {
        WindowEmit::Early => Emit::Early,
        WindowEmit::Final => Emit::Final,
        WindowEmit::Every => Emit::Every,
    };
    FileWindows {
        plan: Arc::clone(&rule_set.windows),
        config: WindowConfig { emit, grace_ms: args.window_grace, ..WindowConfig::default() },
        time_field: args.time_field.clone(),
        content_bytes_max: if args.format == MatchFormat::Json { CONTENT_BYTES_MAX } else { 0 },
    }
}

/// Reads a number and one of `s`, `m`, `h`, `d`.
fn milliseconds(text: &str) -> Result<i64, String> {
    let unit_ms: i64 = match text.as_bytes().last() {
        Some(b's') => 1_000,
        Some(b'm') => 60_000,
        Some(b'h') => 3_600_000,
        Some(b'd') => 86_400_000,
        _ => return Err("a time is a number and one of s, m, h, d".to_owned()),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| "that is no number".to_owned())?;
    Ok(i64::from(count) * unit_ms)
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

/// Which expressions were not searched for to the end, on standard error.
fn report_given_up(rule_set: &RuleSet) {
    for (expression, count) in rule_set.plan.searches_given_up() {
        let searches = if count == 1 { "1 search".to_owned() } else { format!("{count} searches") };
        say(format_args!("{searches} given up, taken as no match: `{expression}`"));
    }
}

/// What windows did, on standard error.
fn report_windows(summary: &WindowSummary, time_field: &str) {
    say(format_args!("{} by correlation", counted(summary.detections, "detection")));
    let (feeds, windows) = (&summary.feeds, &summary.windows);
    let without_time = format!("without a time in `{time_field}`: fed no correlation");
    for (count, noun, what) in [
        (summary.lines_without_time, "line", without_time.as_str()),
        (windows.matches_late, "event", "too late for a correlation (see --window-grace)"),
        (feeds.without_group, "event", "without a value to group by: fed no correlation"),
        (feeds.without_value, "event", "without a value to measure: fed no correlation"),
        (feeds.combinations_dropped, "combination", "of array elements left out"),
        (windows.groups_evicted, "group", "of a correlation forgotten: too many at once"),
        (windows.entries_evicted, "event", "of a correlation's group forgotten: too many at once"),
    ] {
        if count > 0 {
            say(format_args!("  {} {what}", counted(count, noun)));
        }
    }
}
