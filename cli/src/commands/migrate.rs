//! `sigmill migrate`: what becomes of an installation of the JVM processor when Sigmill takes over.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use sigmill_parser::{Document, FieldMapping, Rule};
use sigmill_runtime::group_offsets;
use sigmill_runtime::jvm_meaning::{Difference, differences};
use sigmill_runtime::properties::Properties;
use sigmill_runtime::rule_files;
use sigmill_runtime::rules_topic::RulesTopic;
use sigmill_runtime::settings::{Settings, table};

use crate::exit::{Exit, Failure, OrExit as _};
use crate::process::{log_from, run_failure};
use crate::properties_source;
use crate::stdio::{counted, put, say};

/// How long the group is asked for, in milliseconds: the rest of the report does not need a broker.
const GROUP_TIMEOUT_MS: u64 = 5000;

/// Report what a switch from the JVM processor changes: settings, rules, and the consumer group.
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is written and no group is joined. Rules come from --rules, or else from the \
                  rules topic that the settings name.\n\nExit status: 0 a switch can be made; 2 a rule \
                  does not load; 3 a setting is wrong; 4 no broker answers.\n\nExample:\n  sigmill \
                  migrate --check sigma.properties --rules rules/"
)]
pub(crate) struct MigrateArgs {
    /// The properties file of the JVM processor.
    #[arg(long, value_name = "FILE")]
    check: PathBuf,
    /// Rules, a file or a folder; may be given several times.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Another rules topic than that of the settings.
    #[arg(long, conflicts_with = "rules")]
    topic: Option<String>,
    /// How long to wait for a broker, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 15_000)]
    timeout_ms: u64,
}

/// Runs the command.
pub(crate) fn run(args: &MigrateArgs) -> Result<Exit, Failure> {
    log_from("error");
    let properties = properties_source::read(Some(&args.check))?;
    let mut report = String::from("Settings\n");
    let settings = Settings::from_properties(&properties);
    report += &settings_report(&properties, settings.as_ref().ok());
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            put(report.as_bytes())?;
            return Err(Failure::Error(Exit::Usage, error.into()));
        }
    };
    let (rules, failed) = if args.rules.is_empty() {
        let topic = args.topic.as_deref().unwrap_or(&settings.rules_topic);
        let timeout = Duration::from_millis(args.timeout_ms);
        from_topic(&RulesTopic::new(settings.kafka.clone(), topic, timeout))?
    } else {
        from_files(&args.rules)?
    };
    report += "\nRules\n";
    report += &rules_report(&rules, &failed, &settings.field_mapping);
    report += "\nConsumer group\n";
    report += &format!(
        "  `{}` stays the group of {}: stop every JVM processor of that application.id first, then \
         start Sigmill; it goes on at the offsets that are committed. The topics \
         {0}-*-repartition and {0}-*-changelog are of no further use.\n",
        settings.application_id,
        settings.data_topics.join(", "),
    );
    report +=
        &group_report(&settings, Duration::from_millis(args.timeout_ms.min(GROUP_TIMEOUT_MS)));
    put(report.as_bytes())?;
    say(format_args!("{}, {} that do not load", counted(rules.len() as u64, "rule"), failed.len()));
    Ok(if failed.is_empty() { Exit::Fine } else { Exit::Rules })
}

/// Who is in the group, and how far it is, if a broker says so.
fn group_report(settings: &Settings, timeout: Duration) -> String {
    let group = match group_offsets::look_at(settings, timeout) {
        Ok(group) => group,
        Err(error) => return format!("  Its offsets are not known: {error}\n"),
    };
    let mut report = match group.members {
        0 => "  It has no members now: nothing has to be stopped.\n".to_owned(),
        count => format!(
            "  It has {} now{}: they have to be stopped first.\n",
            counted(count as u64, "member"),
            if group.protocol == "stream" { " (Kafka Streams)" } else { "" },
        ),
    };
    if group.partitions.is_empty() {
        report += "  Its topics do not exist yet.\n";
    }
    for one in &group.partitions {
        let place = format!("{}, partition {}", one.topic, one.partition);
        report += &match one.committed {
            None => format!(
                "  {place}: nothing is committed; Sigmill begins at the {} record ({} records)\n",
                if settings.auto_offset_reset == "latest" { "next" } else { "first" },
                one.end - one.begin,
            ),
            Some(offset) if offset < one.begin => format!(
                "  {place}: committed {offset}, but the first record is {}; those between are gone\n",
                one.begin
            ),
            Some(offset) => {
                format!("  {place}: goes on at {offset}, {} behind the end\n", one.end - offset)
            }
        };
    }
    report
}

/// A line for each setting; values are not shown, since some are secret.
fn settings_report(properties: &Properties, settings: Option<&Settings>) -> String {
    let warnings = settings.map_or(&[][..], |settings| &settings.warnings);
    let mut report = String::new();
    for entry in properties.iter() {
        let key = entry.key.as_str();
        let about = |warning: &&String| warning.contains(&format!(": {key} "));
        let is_own = table::KEYS.iter().any(|own| own.name == key);
        let becomes = match warnings.iter().find(about) {
            // Place, key and `is` go before what is said.
            Some(warning) => warning
                .split_once(&format!(": {key} is "))
                .map_or(warning.as_str(), |(_, said)| said),
            None if key == "bootstrap.server" => "read as bootstrap.servers",
            None if is_own => "read as it is",
            None if settings.is_none() => "not judged before the error below is mended",
            None => "passed on to the Kafka clients",
        };
        report += &format!("  {key}: {becomes}\n");
    }
    report
}

type Rules = Vec<(String, Box<Rule>)>;

/// The rules, and what does not load: place and reason.
fn from_topic(topic: &RulesTopic) -> Result<(Rules, Vec<String>), Failure> {
    let mut rules = Vec::new();
    let mut failed = Vec::new();
    for stored in topic.list().map_err(run_failure)? {
        let parsed = sigmill_parser::parse_bytes(&stored.value);
        let why = parsed.diagnostics.iter().find(|found| !found.is_loadable);
        if let Some(why) = why {
            failed.push(format!("`{}`: {}", stored.key, why.message));
        }
        rules.extend(rules_of(parsed.documents, &stored.key));
    }
    Ok((rules, failed))
}

fn from_files(paths: &[PathBuf]) -> Result<(Rules, Vec<String>), Failure> {
    let loaded = rule_files::load(paths).or_exit(Exit::Usage)?;
    if loaded.files.is_empty() {
        return Err(Failure::Error(Exit::Usage, anyhow!("there are no rule files")));
    }
    let failed = loaded.files.iter().filter(|file| file.is_failed()).map(|file| {
        let why = file.diagnostics.iter().find(|found| found.is_blocking());
        let why = why.map_or("it cannot be read", |found| found.message.as_str());
        format!("{}: {why}", file.path.display())
    });
    let rules = loaded.rules.iter().map(|one| {
        let place = loaded.files[one.file].path.display().to_string();
        (place, Box::new((*one.rule).clone()))
    });
    Ok((rules.collect(), failed.collect()))
}

fn rules_of(documents: Vec<Document>, place: &str) -> Rules {
    let rules = documents.into_iter().filter_map(|document| match document {
        Document::Rule(rule) => Some((place.to_owned(), rule)),
        _ => None,
    });
    rules.collect()
}

fn rules_report(rules: &Rules, failed: &[String], mapping: &FieldMapping) -> String {
    let mut report = String::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut same = 0;
    for (place, rule) in rules {
        let found: Vec<Difference> = differences(rule, mapping);
        if found.is_empty() {
            same += 1;
            continue;
        }
        report += &format!("  {} ({place})\n", rule.title.node);
        for one in &found {
            *counts.entry(one.kind).or_default() += 1;
            report += &format!("    {} [{}] {}\n", one.effect.as_str(), one.kind, one.message);
        }
    }
    for one in failed {
        report += &format!("  does not load: {one}\n");
    }
    report += &format!(
        "  Of {}, {same} mean the same to both processors. What changes, by kind:\n",
        counted(rules.len() as u64, "rule")
    );
    for (kind, count) in counts {
        report += &format!("    {kind}: {}\n", counted(count as u64, "rule"));
    }
    report += "  `more`, `fewer`, `either`: which way the number of detections can go.\n";
    report
}
