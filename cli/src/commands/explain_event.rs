//! `sigmill explain`: why a rule matches an event, or does not.
//!
//! In: a rule file and one event. Out: for each condition of each rule its tree, with what held and by
//! which value, as text or JSON. Rules are prepared as `match` prepares them (pipelines, field mapping,
//! filters of the same file), and it is the engine that decides each part.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sigmill_codegen::{Explainer, Explanation, RuleDocument, filters_of};
use sigmill_runtime::match_files::Source;
use sigmill_runtime::rule_files;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::explanation::{self, ExplainedRule};
use crate::pipelines::{self, PipelineArgs};
use crate::rule_set;
use crate::stdio::{put, say};

/// So much of a file is read for one event: more is refused anyway.
const EVENT_BYTES_MAX: u64 = (16 << 20) + 1;

/// Say why a rule matches an event, or does not.
#[derive(Debug, Args)]
#[command(
    name = "explain",
    after_help = "The tree has a line for each part of the condition, beginning with `yes` or `no`. \
                  Correlations are decided over several events; explain the rules that they name.\n\n\
                  Exit status: 0 whether or not the rule matches; 1 with --fail-on-match if it does; 2 if \
                  no rule of the file loads; 3 wrong usage or unreadable file.\n\nExamples:\n  sigmill \
                  explain rules/psexec.yml events.ndjson:17\n  sigmill explain --format json \
                  rules/psexec.yml event.json\n  tail -1 events.ndjson | sigmill explain rules/psexec.yml -"
)]
pub(crate) struct ExplainEventArgs {
    /// A rule file; filters in it are applied.
    #[arg(value_name = "RULE")]
    rule: PathBuf,
    /// A file with one event, a line of an NDJSON file as `FILE:LINE` with the number that `match` prints
    /// (from 0), or `-` for standard input. Files may be compressed by gzip or zstd.
    #[arg(value_name = "EVENT")]
    event: String,
    #[command(flatten)]
    pipelines: PipelineArgs,
    /// A Confluent Sigma field-mapping file: names in rules to names in events.
    #[arg(long, value_name = "FILE")]
    field_mapping: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = ExplainEventFormat::Text)]
    format: ExplainEventFormat,
    /// Show all values of the rule, and not only those that hold.
    #[arg(long)]
    all: bool,
    /// Exit with 1 if the rule matches.
    #[arg(long)]
    fail_on_match: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExplainEventFormat {
    /// A tree.
    Text,
    /// An array of objects, one a rule.
    Json,
}

/// Runs the command.
pub(crate) fn run(args: &ExplainEventArgs) -> Result<Exit, Failure> {
    let pipelines = args.pipelines.load()?;
    let mapping = rule_set::load_field_mapping(args.field_mapping.as_ref())?;
    let event = event(&args.event)?;
    let options = pipelines::parse_options(&pipelines);
    let mut loaded =
        rule_files::load_with(std::slice::from_ref(&args.rule), &options).or_exit(Exit::Usage)?;
    let applied = pipelines::apply(&pipelines, &mut loaded);
    for file in &loaded.files {
        rule_set::loads_or_not(file).iter().for_each(say);
    }
    applied.findings(&loaded).iter().for_each(say);
    if !pipelines.is_empty() {
        applied.report(loaded.rules.len());
    }
    let documents = loaded.document_list();
    let mut explained = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let RuleDocument::Rule(rule) = document else { continue };
        let mut explainer = match Explainer::new(rule, &filters_of(&documents, index), &mapping) {
            Ok(explainer) => explainer,
            Err(error) => {
                say(format_args!("`{}` does not compile: {error}", rule.title.node));
                continue;
            }
        };
        let conditions = explainer
            .explain(&event)
            .map_err(|rejection| anyhow!("the event is refused: {rejection}"))
            .or_exit(Exit::Usage)?;
        let (title, id) = (document.title(), document.id());
        explained.push(ExplainedRule { title, id, conditions });
    }
    if explained.is_empty() {
        let path = args.rule.display();
        return Err(Failure::Error(Exit::Rules, anyhow!("no rule of `{path}` can be explained")));
    }
    match args.format {
        ExplainEventFormat::Text => {
            let text: String =
                explained.iter().map(|rule| explanation::text(rule, args.all)).collect();
            put(text.as_bytes())?;
        }
        ExplainEventFormat::Json => {
            let rules: Vec<Value> = explained.iter().map(explanation::json).collect();
            put(format!("{:#}\n", json!(rules)).as_bytes())?;
        }
    }
    let is_match = |rule: &ExplainedRule<'_>| {
        rule.conditions.iter().any(|condition: &Explanation| condition.holds)
    };
    let is_failed = args.fail_on_match && explained.iter().any(is_match);
    Ok(if is_failed { Exit::Findings } else { Exit::Fine })
}

/// The bytes of the event that the argument means.
fn event(argument: &str) -> Result<Vec<u8>, Failure> {
    let line = argument
        .rsplit_once(':')
        .and_then(|(path, line)| Some((path, line.parse::<usize>().ok()?)))
        .filter(|_| !Path::new(argument).exists());
    let path = line.map_or(argument, |(path, _)| path);
    let event = Source::from_argument(OsStr::new(path)).reader().and_then(|input| match line {
        Some((_, line)) => nth_line(input, line),
        None => whole(input),
    });
    event.with_context(|| format!("cannot read the event `{argument}`")).or_exit(Exit::Usage)
}

/// One event, without the line end behind it.
fn whole(input: impl Read) -> io::Result<Vec<u8>> {
    let mut event = Vec::new();
    input.take(EVENT_BYTES_MAX).read_to_end(&mut event)?;
    Ok(event.trim_ascii().to_vec())
}

/// A line, counted as `match` counts them: from 0, empty ones too.
fn nth_line(input: impl Read, line: usize) -> io::Result<Vec<u8>> {
    let event = BufReader::new(input).split(b'\n').nth(line).transpose()?;
    let event = event.ok_or_else(|| io::Error::other("there is no such line"))?;
    Ok(event.trim_ascii().to_vec())
}
