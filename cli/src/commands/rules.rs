//! `sigmill rules`: the rules topic, edited from the command line, and what rules compile to.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use sigmill_codegen::RuleDocument;
use sigmill_parser::ParseOptions;
use sigmill_runtime::jvm_rules;
use sigmill_runtime::properties::Properties;
use sigmill_runtime::rule_files;
use sigmill_runtime::rules_topic::{RulesTopic, StoredRule};
use sigmill_runtime::settings::kafka::KafkaSettings;
use sigmill_runtime::settings::table;

use crate::commands::explain::{self, ExplainArgs};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::process::{log_from, run_failure};
use crate::properties_source;
use crate::rule_records;
use crate::stdio::{counted, put, say};

/// The topic where none is given: the JVM processor's loader takes it too.
const RULES_TOPIC: &str = "sigma-rules";

/// Load, list, get and delete the rules of a rules topic; explain what rules compile to.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Example:\n  sigmill rules load --bootstrap-server localhost:9092 --topic \
                  sigma-rules --dir rules/"
)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Write rules to the topic; a rule replaces the one of the same title.
    #[command(
        after_help = "The topic is made (compacted) if it is missing. Rules that do not load \
                            are named and left out.\n\nExit status: 0 all are written; 2 some did \
                            not load; 3 wrong usage; 4 broker.\n\nExample:\n  sigmill rules load \
                            --bootstrap-server localhost:9092 --topic sigma-rules --dir rules/"
    )]
    Load {
        #[command(flatten)]
        connection: Connection,
        /// A rule file; may be given several times.
        #[arg(short, long = "file", value_name = "FILE", required_unless_present = "dirs")]
        files: Vec<PathBuf>,
        /// A folder of rules; may be given several times.
        #[arg(short, long = "dir", value_name = "DIR")]
        dirs: Vec<PathBuf>,
        /// Write nothing if a JVM processor on the same topic would stop at one of the rules. Without
        /// either flag this holds while such a processor tells its state on the instances topic.
        #[arg(long)]
        jvm_safe: bool,
        /// Write whatever a JVM processor would make of it.
        #[arg(long, conflicts_with = "jvm_safe")]
        no_jvm_safe: bool,
        /// Write rules with look-around, back references or possessive quantifiers too; they run where
        /// `sigmill.regex.backtracking` allows it.
        #[arg(long)]
        allow_backtracking_regex: bool,
        /// Write rules with placeholders too; they run where a pipeline of `sigmill.pipelines` has the
        /// values.
        #[arg(long)]
        allow_placeholders: bool,
    },
    /// List the rules on the topic, sorted by title.
    #[command(after_help = "Example:\n  sigmill rules list --bootstrap-server localhost:9092 \
                            --topic sigma-rules --format json")]
    List {
        #[command(flatten)]
        connection: Connection,
        /// How to print the list.
        #[arg(long, value_enum, default_value_t = ListFormat::Text)]
        format: ListFormat,
    },
    /// Print one rule as it stands on the topic.
    #[command(
        after_help = "Exit status: 2 if there is no such rule.\n\nExample:\n  sigmill rules \
                            get --bootstrap-server localhost:9092 --topic sigma-rules --title \
                            \"PsExec Execution\""
    )]
    Get {
        #[command(flatten)]
        connection: Connection,
        /// The rule's title (the record's key).
        #[arg(long)]
        title: String,
    },
    /// Remove rules from the topic.
    #[command(
        after_help = "Exit status: 2 if one of them is not there; the others are removed.\n\n\
                            Example:\n  sigmill rules delete --bootstrap-server localhost:9092 \
                            --topic sigma-rules --title \"PsExec Execution\""
    )]
    Delete {
        #[command(flatten)]
        connection: Connection,
        /// A rule's title (the record's key); may be given several times.
        #[arg(long = "title", value_name = "TITLE", required = true)]
        titles: Vec<String>,
    },
    /// Show what the compiler makes of rules: searches, what wakes each rule, what it costs.
    #[command(
        after_help = "Rules come from files, not from a topic.\n\nExamples:\n  sigmill rules \
                            explain --rules rules/ --pipeline windows\n  sigmill rules explain \
                            --rules rules/ --rule mimikatz"
    )]
    Explain(ExplainArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// Title, id and level, separated by tabs.
    Text,
    /// An array of objects.
    Json,
}

/// Where the rules topic is.
#[derive(Debug, Args)]
struct Connection {
    /// Brokers to ask first, `host:port` separated by commas.
    #[arg(long, visible_alias = "bootStrapServer", value_name = "SERVERS")]
    bootstrap_server: Option<String>,
    /// The rules topic.
    #[arg(long)]
    topic: Option<String>,
    /// A properties file with client settings, such as that of `sigmill run`: its
    /// `bootstrap.servers` and `sigma.rules.topic` count where the flags are not given. Where neither
    /// flags nor file name the broker, the file is looked for as `sigmill run` does.
    #[arg(short = 'c', long, visible_alias = "config", value_name = "FILE")]
    command_config: Option<PathBuf>,
    /// How long to wait for a broker, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 15_000)]
    timeout_ms: u64,
}

/// Runs the command.
pub(crate) fn run(args: &RulesArgs) -> Result<Exit, Failure> {
    log_from("error");
    match &args.command {
        RulesCommand::Load {
            connection,
            files,
            dirs,
            jvm_safe,
            no_jvm_safe,
            allow_backtracking_regex,
            allow_placeholders,
        } => {
            let safety = match (jvm_safe, no_jvm_safe) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            };
            let mut options = ParseOptions::default();
            options.allows_backtracking = *allow_backtracking_regex;
            options.keeps_placeholders = *allow_placeholders;
            load(connection, &[files.as_slice(), dirs].concat(), &options, safety)
        }
        RulesCommand::List { connection, format } => list(connection, *format),
        RulesCommand::Get { connection, title } => get(connection, title),
        RulesCommand::Delete { connection, titles } => delete(connection, titles),
        RulesCommand::Explain(args) => explain::run(args),
    }
}

/// `safety`: whether to spare a JVM processor; `None`: if one is alive.
fn load(
    connection: &Connection,
    paths: &[PathBuf],
    options: &ParseOptions,
    safety: Option<bool>,
) -> Result<Exit, Failure> {
    let place = connection.place()?;
    let loaded = rule_files::load_with(paths, options).or_exit(Exit::Usage)?;
    let rule_records::Records { documents, records, failed_count } = rule_records::records(&loaded);
    let faults: Vec<String> = match safety {
        Some(false) => Vec::new(),
        _ => documents.iter().flat_map(jvm_rules::faults_of).collect(),
    };
    let is_spared = !faults.is_empty()
        && safety.unwrap_or_else(|| {
            jvm_rules::is_jvm_alive_on(&place.kafka, &place.instances_topic, place.timeout)
        });
    if is_spared {
        faults.iter().for_each(say);
        return Err(Failure::Error(
            Exit::Rules,
            anyhow!(
                "nothing is written: a JVM processor on the topic would stop at the above, at its next \
                 start or at a record (--no-jvm-safe writes all the same)"
            ),
        ));
    }
    let written_count = place.rules_topic().load(&records).map_err(run_failure)?;
    say(format_args!("{} written, {failed_count} failed", counted(written_count as u64, "rule")));
    Ok(if failed_count > 0 || written_count == 0 { Exit::Rules } else { Exit::Fine })
}

fn list(connection: &Connection, format: ListFormat) -> Result<Exit, Failure> {
    let stored = connection.open()?.list().map_err(run_failure)?;
    let mut text = String::new();
    match format {
        ListFormat::Text => {
            for stored in &stored {
                let rule = rule_of(stored);
                let id = rule.as_ref().and_then(RuleDocument::id);
                let level = rule.as_ref().and_then(RuleDocument::level);
                let columns = [
                    stored.key.as_str(),
                    id.unwrap_or("-"),
                    level.map_or("-", |level| level.as_str()),
                ];
                let columns = columns.map(|column| column.replace(|c: char| c.is_control(), " "));
                text += &columns.join("\t");
                text += if rule.is_none() { "\tdoes not load\n" } else { "\n" };
            }
        }
        ListFormat::Json => {
            let objects: Vec<String> =
                stored.iter().map(|stored| to_json(stored).to_string()).collect();
            text = format!("[\n{}\n]\n", objects.join(",\n"));
        }
    }
    put(text.as_bytes())?;
    say(counted(stored.len() as u64, "rule"));
    Ok(Exit::Fine)
}

fn get(connection: &Connection, title: &str) -> Result<Exit, Failure> {
    let Some(mut stored) = connection.open()?.get(title).map_err(run_failure)? else {
        return Err(no_such_rules(&[title.to_owned()]));
    };
    if stored.value.last() != Some(&b'\n') {
        stored.value.push(b'\n');
    }
    put(&stored.value)?;
    Ok(Exit::Fine)
}

fn delete(connection: &Connection, titles: &[String]) -> Result<Exit, Failure> {
    let missing = connection.open()?.delete(titles).map_err(run_failure)?;
    say(format_args!("{} removed", counted((titles.len() - missing.len()) as u64, "rule")));
    if missing.is_empty() { Ok(Exit::Fine) } else { Err(no_such_rules(&missing)) }
}

fn no_such_rules(titles: &[String]) -> Failure {
    let titles: Vec<String> = titles.iter().map(|title| format!("`{title}`")).collect();
    Failure::Error(
        Exit::Rules,
        anyhow!("no rule on the topic has the title {} (see `rules list`)", titles.join(", ")),
    )
}

/// The rule, correlation or filter that a record holds, if it loads; the first of several.
fn rule_of(stored: &StoredRule) -> Option<RuleDocument> {
    let mut options = ParseOptions::default();
    options.is_whole_set = false;
    // The processor that runs them may have pipelines, and a setting that allows backtracking.
    options.keeps_placeholders = true;
    options.allows_backtracking = true;
    let parsed = sigmill_parser::parse_bytes_with(&stored.value, &options);
    parsed.documents.into_iter().next().map(RuleDocument::from)
}

fn to_json(stored: &StoredRule) -> serde_json::Value {
    let rule = rule_of(stored);
    json!({
        "title": stored.key,
        "id": rule.as_ref().and_then(RuleDocument::id),
        "level": rule.as_ref().and_then(RuleDocument::level).map(|level| level.as_str()),
        "loads": rule.is_some(),
        "partition": stored.partition,
        "offset": stored.offset,
        "timestamp": stored.timestamp,
    })
}

/// A rules topic, and what else is known of its cluster.
struct Place {
    kafka: KafkaSettings,
    topic: String,
    instances_topic: String,
    timeout: Duration,
}

impl Place {
    fn rules_topic(&self) -> RulesTopic {
        RulesTopic::new(self.kafka.clone(), &self.topic, self.timeout)
    }
}

impl Connection {
    fn open(&self) -> Result<RulesTopic, Failure> {
        Ok(self.place()?.rules_topic())
    }

    fn place(&self) -> Result<Place, Failure> {
        let properties = match &self.command_config {
            None if self.bootstrap_server.is_some() => Properties::default(),
            named => properties_source::read(named.as_deref())?,
        };
        let written = |key: &str| {
            let value = properties.get(key)?.value.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let servers = self
            .bootstrap_server
            .clone()
            .or_else(|| written("bootstrap.servers"))
            .or_else(|| written("bootstrap.server"))
            .ok_or_else(|| {
                anyhow!(
                    "--bootstrap-server is not given, and bootstrap.servers is in no properties file"
                )
            })
            .or_exit(Exit::Usage)?;
        let topic = self
            .topic
            .clone()
            .or_else(|| written("sigma.rules.topic"))
            .unwrap_or_else(|| RULES_TOPIC.to_owned());
        let mut problems = Vec::new();
        // The processor's own settings mean nothing here, and what the client does not know is no
        // mistake in a file that others read too.
        let is_client =
            |key: &str| key != "bootstrap.server" && table::KEYS.iter().all(|own| own.name != key);
        let entries = properties.iter().filter(|entry| is_client(&entry.key));
        let kafka = KafkaSettings::translate(&servers, entries, &mut problems, &mut Vec::new());
        if let Some(problem) = problems.first() {
            return Err(Failure::Error(Exit::Usage, anyhow!("{}", problem.message)));
        }
        let instances_topic = written("sigma.app.topic")
            .unwrap_or_else(|| table::key("sigma.app.topic").default.to_owned());
        let timeout = Duration::from_millis(self.timeout_ms);
        Ok(Place { kafka, topic, instances_topic, timeout })
    }
}
