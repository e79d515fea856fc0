//! `sigmill fields`: where the fields of rules and the fields of events do not meet.
//!
//! In: rules, pipelines, events. Out: the fields that rules name and no event has (the rules cannot do
//! what they say, or a pipeline is missing), and those that events have and no rule names.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use sigmill_parser::Document;
use sigmill_runtime::match_files::Source;
use sigmill_runtime::rule_files;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::field_census::FieldCensus;
use crate::pipelines::{self, PipelineArgs};
use crate::rule_set;
use crate::stdio::{counted, put, say};

/// Compare the fields that rules name with the fields that events have.
#[derive(Debug, Args)]
#[command(
    after_help = "A field of an event is a path with dots. Exit status: 0; 2 if no rule loads; 3 wrong \
                  usage or unreadable file.\n\nExample:\n  sigmill fields --rules rules/ --pipeline \
                  windows --events events.ndjson.zst"
)]
pub(crate) struct FieldsArgs {
    /// A rule file, or a folder of rules; may be given several times.
    #[arg(long = "rules", required = true, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// NDJSON events, plain or compressed by gzip or zstd; `-` is standard input. May be given several
    /// times.
    #[arg(long = "events", required = true, value_name = "FILE")]
    events: Vec<OsString>,
    #[command(flatten)]
    pipelines: PipelineArgs,
    /// How to print the fields.
    #[arg(long, value_enum, default_value_t = FieldsFormat::Text)]
    format: FieldsFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FieldsFormat {
    /// Two lists with counts.
    Text,
    /// An object.
    Json,
}

/// Runs the command.
pub(crate) fn run(args: &FieldsArgs) -> Result<Exit, Failure> {
    let pipelines = args.pipelines.load()?;
    let options = pipelines::parse_options(&pipelines);
    let mut loaded = rule_files::load_with(&args.rules, &options).or_exit(Exit::Usage)?;
    let applied = pipelines::apply(&pipelines, &mut loaded);
    for file in &loaded.files {
        rule_set::loads_or_not(file).iter().for_each(say);
    }
    applied.findings(&loaded).iter().for_each(say);
    if !pipelines.is_empty() {
        applied.report(loaded.rules.len());
    }
    let rule_count = loaded.rules.len();
    if rule_count == 0 {
        return Err(Failure::Error(Exit::Rules, anyhow::anyhow!("no rule loads")));
    }
    let mut census = FieldCensus::default();
    for rule in &loaded.rules {
        census.add_document(&Document::Rule(Box::new((*rule.rule).clone())));
    }
    loaded.others.iter().for_each(|other| census.add_document(&other.document));
    for file in &args.events {
        census.add_events(&Source::from_argument(file)).or_exit(Exit::Usage)?;
    }
    if census.refused_count > 0 {
        say(format_args!("{} no JSON objects: skipped", counted(census.refused_count, "line")));
    }
    let text = match args.format {
        FieldsFormat::Text => text(&census),
        FieldsFormat::Json => format!("{:#}\n", json(&census, rule_count)),
    };
    put(text.as_bytes())?;
    Ok(Exit::Fine)
}

fn text(census: &FieldCensus) -> String {
    let mut text = String::new();
    let mut list = |title: String, fields: &[(&str, u64)]| {
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{title}");
        for (field, count) in fields {
            let _ = writeln!(text, "{count:>9}  {}", shown(field));
        }
    };
    let unseen = census.unseen();
    let title = format!(
        "fields of rules that none of {} has: {} of {} (count: rules)",
        counted(census.event_count, "event"),
        unseen.len(),
        census.rule_fields.len()
    );
    list(title, &unseen);
    let unnamed = census.unnamed();
    let title = format!(
        "fields of events that no rule names: {} of {} (count: events)",
        unnamed.len(),
        census.event_field_count()
    );
    list(title, &unnamed);
    text
}

/// A key may hold anything, and a line must stay one.
fn shown(field: &str) -> String {
    field.replace(|c: char| c.is_control(), " ")
}

fn json(census: &FieldCensus, rule_count: usize) -> serde_json::Value {
    let rule_fields: Vec<_> = census
        .rule_fields
        .iter()
        .map(|(field, rules)| {
            json!({"field": field, "rules": rules, "events": census.events_with(field)})
        })
        .collect();
    let unseen: Vec<_> = census
        .unseen()
        .into_iter()
        .map(|(field, rules)| json!({"field": field, "rules": rules}))
        .collect();
    let unnamed: Vec<_> = census
        .unnamed()
        .into_iter()
        .map(|(field, events)| json!({"field": field, "events": events}))
        .collect();
    json!({
        "rules": rule_count,
        "events": census.event_count,
        "rule_fields": rule_fields,
        "rule_fields_unseen": unseen,
        "event_fields_unnamed": unnamed,
    })
}
