//! Typed settings of the processor, read from a properties file.
//!
//! In: [`Properties`]. Out: [`Settings`], or every problem at once, each naming its place, the
//! setting, the value and what is expected. What the table in [`table`] does not know goes to the
//! Kafka client ([`kafka`]) or earns a warning. A secret is never printed: values of client settings
//! appear in no message, and [`Settings`] shows none of them.

pub mod kafka;
mod registry;
pub mod streams;
pub mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex_automata::meta::Regex;
use sigmill_engine::window::Emit;
use sigmill_parser::{FieldMapping, JsonPath, Level};

use crate::avro::registry::Registry;
use crate::detection::{Format, OutputSchemas};
use crate::enrich::{self, EnrichSettings};
use crate::pipeline_files::{self, LoadedPipelines};
use crate::properties::{Entry, Properties};
use kafka::KafkaSettings;
use streams::{Shape, Streams};
use table::{REQUIRED, UNSET, key};

/// Which rules of the rules topic are in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFilter {
    /// `logsource.product` has to be exactly this.
    pub product: Option<String>,
    /// `logsource.service` has to be exactly this.
    pub service: Option<String>,
    /// The title has to be one of these.
    pub titles: Option<BTreeSet<String>>,
    /// `logsource.category` has to be exactly this.
    pub category: Option<String>,
    /// The level has to be this or a higher one.
    pub level: Option<Level>,
    /// One of the tags has to be this one or below it; in lower case.
    pub tag: Option<String>,
}

/// When and where the windows of aggregations give up, and when their detections go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSettings {
    /// When detections go out.
    pub emit: Emit,
    /// How far a record may lag behind; `None`: as each window's length says.
    pub grace: Option<Duration>,
    /// A partition without records for this long holds no window open.
    pub idle: Duration,
    /// Longer records are not shown.
    pub event_bytes_max: usize,
    /// Groups of one aggregation.
    pub groups_max: usize,
    /// How far ahead of the wall clock a timestamp may be.
    pub time_ahead_max: Duration,
    /// Where groups are counted.
    pub exchange: ExchangeMode,
    /// How long matches wait for rules that were not read yet.
    pub rules_wait: Duration,
    /// How often what nobody needs of the matches topic is deleted.
    pub purge_interval: Duration,
    /// Where checkpoints of windows are; `None`: there are none.
    pub state_folder: Option<PathBuf>,
    /// How often one is made of each partition.
    pub checkpoint_interval: Duration,
}

/// Where the groups of windows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeMode {
    /// By whoever owns their partition of the matches topic.
    Topic,
    /// By whoever reads their records: the data topic is partitioned by group.
    None,
}

/// Where a comparison with the JVM processor goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowSettings {
    /// The topic of the differences.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// How long a detection of one side waits for that of the other, where nothing settles it earlier.
    pub wait: Duration,
}

/// The port for health, metrics, rules and instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where it listens; `None`: nowhere.
    pub listen: Option<String>,
    /// The port was asked for: if it cannot be had, the start fails.
    pub is_listen_given: bool,
    /// The token's file, if it was named.
    pub token_file: Option<PathBuf>,
    /// Reads need no token anywhere.
    pub has_open_reads: bool,
    /// The old write needs no token.
    pub has_legacy_writes: bool,
}

/// What the processor needs to know.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the setting of its name in the table")]
pub struct Settings {
    pub application_id: String,
    /// Those of all streams.
    pub data_topics: Vec<String>,
    /// Which data topics have which rules.
    pub streams: Streams,
    pub output_topic: String,
    pub rules_topic: String,
    /// Of the rules of topics that have none of their own.
    pub field_mapping: FieldMapping,
    pub is_first_match: bool,
    /// Whether regular expressions may need backtracking.
    pub allows_backtracking: bool,
    pub worker_count: usize,
    pub auto_offset_reset: String,
    pub commit_interval: Duration,
    /// The interval was asked for: it is not stretched where commits are slow.
    pub is_commit_interval_given: bool,
    /// Detections, matches and offsets are transactions.
    pub is_exactly_once: bool,
    /// Tells this process from others of the application.
    pub instance_id: String,
    /// The group knows the process by its instance id.
    pub is_static_member: bool,
    pub batch_records_max: usize,
    pub replication_factor: i32,
    pub metadata_age_max: Duration,
    /// Where records are Avro; nothing is connected before something is asked.
    pub data_registry: Option<Arc<Registry>>,
    /// Where detections are Avro.
    pub output_schemas: Option<Arc<OutputSchemas>>,
    pub output_format: Format,
    pub has_author_header: bool,
    /// Where the state is told; `None`: nowhere.
    pub instances_topic: Option<String>,
    pub instances_interval: Duration,
    pub window: WindowSettings,
    pub admin: AdminSettings,
    /// How often the log says what was done; zero: never.
    pub report_interval: Duration,
    /// Megabytes of record values that a core shall get done in a second.
    pub target_mb_per_core: Option<f64>,
    pub shadow: ShadowSettings,
    pub record_bytes_max: usize,
    pub deadletter_topic: Option<String>,
    pub in_flight_records_max: usize,
    pub in_flight_bytes_max: usize,
    /// Of one rule, over all workers; 0: no limit.
    pub rule_detections_per_second: usize,
    pub rules_debounce: Duration,
    pub start_timeout: Duration,
    pub stop_timeout: Duration,
    /// Tables, joins and levels.
    pub enrich: EnrichSettings,
    /// What the Kafka clients are given.
    pub kafka: KafkaSettings,
    /// What is written in the file and may be shown to anybody: by an allow-list of names.
    pub shown: Vec<(String, String)>,
    /// What is odd about the settings, one line each; nothing in them is secret.
    pub warnings: Vec<String>,
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting.
    pub key: String,
    /// The whole sentence, with the place.
    pub message: String,
}

impl Problem {
    /// A setting whose value is not what was expected.
    pub(crate) fn unlike(entry: &Entry, expected: &str, why: &str) -> Self {
        let Entry { key, value, origin } = entry;
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        let message = format!("{origin}: {key} = `{value}`: expected {expected}{why}");
        Self { key: key.clone(), message }
    }
}

/// The settings cannot be used; every problem, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let gap = if at == 0 { "" } else { "\n" };
            write!(f, "{gap}{}", problem.message)?;
        }
        Ok(())
    }
}

impl Settings {
    /// Reads the settings; files they name are read too.
    ///
    /// # Errors
    /// A required setting is missing, or a value is not what is expected.
    pub fn from_properties(properties: &Properties) -> Result<Self, SettingsError> {
        let mut reader = Reader { properties, problems: Vec::new(), warnings: Vec::new() };
        let bootstrap = reader.bootstrap_servers();
        let application_id = reader.text("application.id");
        let has_streams = !streams::aliases(properties).is_empty();
        let own_topics = match has_streams && properties.get("data.topic").is_none() {
            true => Vec::new(),
            false => reader.topics("data.topic"),
        };
        let output_topic = reader.topic("output.topic");
        let rules_topic = reader.topic("sigma.rules.topic");
        let filter = RuleFilter {
            product: reader.optional("sigma.rule.filter.product"),
            service: reader.optional("sigma.rule.filter.service"),
            titles: reader.titles("sigma.rule.filter.title", "sigma.rule.filter.list"),
            category: reader.optional("sigmill.rule.filter.category"),
            level: reader.level("sigmill.rule.filter.level"),
            tag: reader.optional("sigmill.rule.filter.tag").map(|tag| tag.to_lowercase()),
        };
        let is_first_match = reader.boolean("sigma.rule.first.match");
        let allows_backtracking = reader.boolean("sigmill.regex.backtracking");
        let field_mapping = reader.field_mapping("field.mapping.file");
        let LoadedPipelines { pipelines, text: pipelines_text, .. } =
            reader.pipelines("sigmill.pipelines");
        let general =
            Shape { filter, field_mapping, pipelines, pipelines_text, salt: String::new() };
        let streams = reader.streams(&own_topics, &general);
        let data_topics: Vec<String> =
            streams.all.iter().flat_map(|stream| stream.topics.clone()).collect();
        reader.refuse_shared_topics(&streams, &output_topic, &rules_topic);
        let worker_count = reader.number("num.stream.threads", 1, 1024);
        let auto_offset_reset = reader.one_of("auto.offset.reset", &["earliest", "latest"]);
        let guarantee =
            reader.one_of("processing.guarantee", &["at_least_once", "exactly_once_v2"]);
        let is_exactly_once = guarantee == "exactly_once_v2";
        let commit_interval = match properties.get("commit.interval.ms") {
            // What is not committed is not seen.
            None if is_exactly_once => EXACTLY_ONCE_COMMIT_INTERVAL,
            _ => reader.milliseconds("commit.interval.ms", 1),
        };
        let instance_id = reader.optional("group.instance.id");
        let is_static_member = instance_id.is_some();
        let batch_records_max = reader.number("max.poll.records", 1, 100_000);
        let replication_factor = reader.replication_factor();
        let metadata_age_max = reader.milliseconds("metadata.max.age.ms", 1);
        let (data_registry, output_schemas) = reader.registry();
        let output_format = reader.output_format(output_schemas.is_some());
        let has_author_header = reader.boolean("sigmill.output.author.header");
        let instances_topic = reader.topic("sigma.app.topic");
        let is_registered = properties.get("skip.app.registration").is_none();
        let inputs = streams
            .all
            .iter()
            .flat_map(|stream| stream.topics.iter().map(|topic| (topic, stream.setting())));
        let outputs = [(&output_topic, "output.topic"), (&rules_topic, "sigma.rules.topic")];
        for (topic, name) in inputs.chain(outputs.map(|(topic, name)| (topic, name.to_owned()))) {
            if let (true, Some(entry)) =
                (is_registered && *topic == instances_topic, properties.get(&name))
            {
                reader.wrong(&entry.clone(), "sigma.app.topic names the same topic");
            }
        }
        let instances_topic = is_registered.then_some(instances_topic);
        let instances_interval = reader.milliseconds("sigma.app.state.poll.sleep", 100);
        let window = reader.window();
        let admin = reader.admin();
        let report_interval = reader.milliseconds("sigmill.report.interval.ms", 0);
        let target_mb_per_core = reader.target("sigmill.target.mb.per.core");
        let shadow = reader.shadow(&application_id, &output_topic);
        let record_bytes_max = reader.number("sigmill.record.max.bytes", 1, usize::MAX);
        let deadletter_topic = reader.optional("sigmill.deadletter.topic");
        if let (Some(topic), Some((entry, _))) =
            (&deadletter_topic, reader.entry("sigmill.deadletter.topic"))
            && (names_topic(&data_topics, topic) || *topic == rules_topic)
        {
            reader.wrong(&entry, "the processor reads this topic");
        }
        let in_flight_records_max = reader.number("sigmill.inflight.max.records", 1, usize::MAX);
        let in_flight_bytes_max = reader.number("sigmill.inflight.max.bytes", 1, usize::MAX);
        let rule_detections_per_second =
            reader.number("sigmill.rule.detections.per.second", 0, usize::MAX);
        let rules_debounce = reader.milliseconds("sigmill.rules.debounce.ms", 0);
        let start_timeout = reader.milliseconds("sigmill.start.timeout.ms", 1);
        let stop_timeout = reader.milliseconds("sigmill.stop.timeout.ms", 1);
        let enrich = EnrichSettings::read(properties, &mut reader.problems);
        let is_read = |name: &str| {
            is_own(name)
                || registry::is_own(name) && (data_registry.is_some() || output_schemas.is_some())
        };
        let rest = properties.iter().filter(|entry| !is_read(&entry.key));
        let kafka =
            KafkaSettings::translate(&bootstrap, rest, &mut reader.problems, &mut reader.warnings);
        if !reader.problems.is_empty() {
            return Err(SettingsError { problems: reader.problems });
        }
        Ok(Self {
            application_id,
            data_topics,
            streams,
            output_topic,
            rules_topic,
            field_mapping: general.field_mapping,
            is_first_match,
            allows_backtracking,
            worker_count,
            auto_offset_reset,
            commit_interval,
            is_commit_interval_given: properties.get("commit.interval.ms").is_some(),
            is_exactly_once,
            instance_id: instance_id.unwrap_or_else(unique_id),
            is_static_member,
            batch_records_max,
            replication_factor,
            metadata_age_max,
            data_registry,
            output_schemas,
            output_format,
            has_author_header,
            instances_topic,
            instances_interval,
            window,
            admin,
            report_interval,
            target_mb_per_core,
            shadow,
            record_bytes_max,
            deadletter_topic,
            in_flight_records_max,
            in_flight_bytes_max,
            rule_detections_per_second,
            rules_debounce,
            start_timeout,
            stop_timeout,
            enrich,
            kafka,
            shown: shown(properties),
            warnings: reader.warnings,
        })
    }

    /// The topic of matches on their way to who counts their group.
    pub fn matches_topic(&self) -> String {
        format!("{}-sigmill-matches", self.application_id)
    }
}

/// A name that no other process has.
fn unique_id() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Each state is seeded from the system's randomness.
    format!("{:016x}", std::hash::RandomState::new().build_hasher().finish())
}

/// As Kafka Streams has it.
const EXACTLY_ONCE_COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// Client settings that hold no secret; all others are left out, and so is what Sigmill keeps in files.
const SHOWN_CLIENT_SETTINGS: &[&str] = &[
    "acks",
    "batch.size",
    "client.id",
    "compression.type",
    "fetch.min.bytes",
    "linger.ms",
    "sigma.max.rules",
];

fn shown(properties: &Properties) -> Vec<(String, String)> {
    let is_shown = |name: &str| {
        SHOWN_CLIENT_SETTINGS.contains(&name)
            || (is_own(name) && !["sigmill.admin.token.file", "schema.registry"].contains(&name))
    };
    let entries = properties.iter().filter(|entry| is_shown(&entry.key));
    entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect()
}

fn is_own(name: &str) -> bool {
    enrich::is_own(name)
        || streams::is_own(name)
        || name == "bootstrap.server"
        || table::KEYS.iter().any(|key| key.name == name)
}

/// Reads single settings and gathers what is wrong.
struct Reader<'a> {
    properties: &'a Properties,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// The value that is written: without the white space at its end, which nobody means.
    fn entry(&mut self, name: &str) -> Option<(Entry, String)> {
        let entry = self.properties.get(name)?;
        let value = entry.value.trim().to_owned();
        if value.is_empty() {
            self.warnings.push(format!("{}: {name} is empty; read as not set", entry.origin));
            return None;
        }
        Some((entry.clone(), value))
    }

    fn wrong(&mut self, entry: &Entry, why: &str) {
        let stream_key = streams::key_of(&entry.key);
        let expected = stream_key.map_or_else(|| key(&entry.key).expected, |key| key.expected);
        self.problems.push(Problem::unlike(entry, expected, why));
    }

    fn missing(&mut self, name: &str) {
        let key = key(name);
        self.problems.push(Problem {
            key: name.to_owned(),
            message: format!(
                "Missing required property {name}: expected {}. {}",
                key.expected, key.meaning
            ),
        });
    }

    /// A text that is required or has a default.
    fn text(&mut self, name: &str) -> String {
        match self.entry(name) {
            Some((_, value)) => value,
            None if key(name).default == REQUIRED => {
                self.missing(name);
                String::new()
            }
            None => key(name).default.to_owned(),
        }
    }

    fn optional(&mut self, name: &str) -> Option<String> {
        debug_assert!(streams::is_own(name) || key(name).default == UNSET);
        self.entry(name).map(|(_, value)| value)
    }

    fn bootstrap_servers(&mut self) -> String {
        if let Some((_, value)) = self.entry("bootstrap.servers") {
            return value;
        }
        if let Some(entry) = self.properties.get("bootstrap.server") {
            self.warnings
                .push(format!("{}: read bootstrap.server as bootstrap.servers", entry.origin));
            return entry.value.trim().to_owned();
        }
        self.missing("bootstrap.servers");
        String::new()
    }

    fn topic(&mut self, name: &str) -> String {
        let topic = self.text(name);
        if let (Some(entry), false) = (self.properties.get(name), topic.is_empty())
            && !is_topic_name(&topic)
        {
            let entry = entry.clone();
            self.wrong(&entry, "letters, digits, `.`, `_` and `-`, 249 at most");
        }
        topic
    }

    fn topics(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name);
        let topics: Vec<String> = parts(&text).map(str::to_owned).collect();
        let odd = topics.iter().find(|topic| !topic.starts_with('^') && !is_topic_name(topic));
        if let (Some(odd), Some(entry)) = (odd, self.properties.get(name)) {
            let (odd, entry) = (odd.clone(), entry.clone());
            self.wrong(&entry, &format!("`{odd}` is not a topic name"));
        }
        for pattern in topics.iter().filter(|topic| topic.starts_with('^')) {
            // It also has to be told which topics must not be written to.
            if let (Err(error), Some(entry)) = (Regex::new(pattern), self.properties.get(name)) {
                let entry = entry.clone();
                self.wrong(&entry, &format!("`{pattern}` is not a regular expression: {error}"));
            }
        }
        topics
    }

    /// A processor that reads what it writes would feed on itself.
    fn refuse_shared_topics(&mut self, streams: &Streams, output: &str, rules: &str) {
        let shared = |topic: &str, name: &'static str| match name {
            _ if topic.is_empty() => None,
            "output.topic" if topic == rules => Some("sigma.rules.topic".to_owned()),
            _ => streams.of(topic).map(streams::Stream::setting),
        };
        for (topic, name) in [(output, "output.topic"), (rules, "sigma.rules.topic")] {
            if let (Some(other), Some(entry)) = (shared(topic, name), self.properties.get(name)) {
                let entry = entry.clone();
                self.wrong(&entry, &format!("{other} names the same topic"));
            }
        }
    }

    fn titles(&mut self, title: &str, list: &str) -> Option<BTreeSet<String>> {
        let mut titles = BTreeSet::new();
        titles.extend(self.optional(title));
        if let Some((entry, path)) = self.entry(list) {
            match std::fs::read_to_string(&path) {
                Ok(text) => titles.extend(
                    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned),
                ),
                Err(error) => {
                    self.wrong(&entry, &error.to_string());
                    return None;
                }
            }
            // An empty list would let every rule through, which nobody asks for with a list.
            if titles.is_empty() {
                self.wrong(&entry, "the file has no title");
            }
        }
        (!titles.is_empty()).then_some(titles)
    }

    fn field_mapping(&mut self, name: &str) -> FieldMapping {
        let Some((entry, path)) = self.entry(name) else {
            return FieldMapping::default();
        };
        let path = PathBuf::from(path);
        let why = match std::fs::read_to_string(&path) {
            Ok(text) => match FieldMapping::parse(&text) {
                Ok(mapping) => {
                    self.warn_of_paths(&entry, &mapping);
                    return mapping;
                }
                Err(diagnostics) => {
                    let index = sigmill_parser::LineIndex::new(&text);
                    let say = |diagnostic: &sigmill_parser::Diagnostic| {
                        let at = index.position(diagnostic.span.start);
                        format!("{}:{}: {}", at.line, at.column, diagnostic.message)
                    };
                    diagnostics.iter().map(say).collect::<Vec<_>>().join("; ")
                }
            },
            Err(error) => error.to_string(),
        };
        self.wrong(&entry, &why);
        FieldMapping::default()
    }

    fn pipelines(&mut self, name: &str) -> LoadedPipelines {
        let Some((entry, names)) = self.entry(name) else {
            return LoadedPipelines::default();
        };
        match pipeline_files::load(&parts(&names).collect::<Vec<_>>()) {
            Ok(loaded) => {
                self.warnings.extend(loaded.findings.iter().map(ToString::to_string));
                loaded
            }
            Err(error) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                self.wrong(&entry, &format!("{error}{cause}"));
                LoadedPipelines::default()
            }
        }
    }

    /// For records and for detections, where they are Avro.
    fn registry(&mut self) -> (Option<Arc<Registry>>, Option<Arc<OutputSchemas>>) {
        let is_avro = |reader: &mut Self, name| reader.one_of(name, &["json", "avro"]) == "avro";
        let data = is_avro(self, "data.topic.format");
        let output = is_avro(self, "output.topic.format");
        if !data && !output {
            if let Some((entry, _)) = self.entry("schema.registry") {
                self.warnings.push(format!(
                    "{}: schema.registry is ignored: records and detections are JSON",
                    entry.origin
                ));
            }
            return (None, None);
        }
        let found = registry::read(self.properties, &mut self.problems, &mut self.warnings);
        let Some(registry) = found.map(Arc::new) else { return (None, None) };
        let schemas = output.then(|| Arc::new(OutputSchemas::new(Arc::clone(&registry))));
        (data.then_some(registry), schemas)
    }

    /// Avro has one shape, that of the JVM processor's head.
    fn output_format(&mut self, is_avro: bool) -> Format {
        let name = self.one_of("sigmill.output.format", &Format::ALL.map(Format::as_str));
        let format = Format::ALL.into_iter().find(|candidate| candidate.as_str() == name);
        let format = format.unwrap_or_default();
        if !is_avro {
            return format;
        }
        if let (true, Some((entry, _))) = (
            !matches!(format, Format::Confluent13 | Format::ConfluentHead),
            self.entry("sigmill.output.format"),
        ) {
            self.wrong(&entry, "this shape is JSON, but output.topic.format is avro");
        }
        Format::ConfluentAvro
    }

    /// Only the rules that need such a field are refused: others go on.
    fn warn_of_paths(&mut self, entry: &Entry, mapping: &FieldMapping) {
        for (field, targets) in &mapping.fields {
            for why in targets.iter().filter_map(|target| JsonPath::parse(target)?.err()) {
                self.warnings.push(format!(
                    "{}: {}: `{field}`: {why}; rules with this field are refused",
                    entry.origin, entry.value
                ));
            }
        }
    }

    fn level(&mut self, name: &str) -> Option<Level> {
        let (entry, value) = self.entry(name)?;
        let is_meant = |level: &Level| level.as_str() == value.to_ascii_lowercase();
        let level = Level::ALL.into_iter().find(is_meant);
        if level.is_none() {
            self.wrong(&entry, "");
        }
        level
    }

    fn window(&mut self) -> WindowSettings {
        let emit = match self.one_of("sigmill.window.emit", &["early", "final", "every"]).as_str() {
            "final" => Emit::Final,
            "every" => Emit::Every,
            _ => Emit::Early,
        };
        let is_grace_given = self.properties.get("sigmill.window.grace.ms").is_some();
        WindowSettings {
            emit,
            grace: is_grace_given.then(|| self.milliseconds("sigmill.window.grace.ms", 0)),
            idle: self.milliseconds("sigmill.window.idle.ms", 1),
            event_bytes_max: self.number("sigmill.window.event.max.bytes", 1, usize::MAX),
            groups_max: self.number("sigmill.window.groups.max", 1, usize::MAX),
            time_ahead_max: self.milliseconds("sigmill.time.max.ahead.ms", 1),
            exchange: match self.one_of("sigmill.window.exchange", &["topic", "none"]).as_str() {
                "none" => ExchangeMode::None,
                _ => ExchangeMode::Topic,
            },
            rules_wait: self.milliseconds("sigmill.window.rules.wait.ms", 0),
            purge_interval: self.milliseconds("sigmill.window.purge.interval.ms", 100),
            state_folder: self.optional("state.dir").map(PathBuf::from),
            checkpoint_interval: self.milliseconds("sigmill.window.checkpoint.ms", 1),
        }
    }

    fn shadow(&mut self, application_id: &str, output_topic: &str) -> ShadowSettings {
        let group = self.optional("sigmill.shadow.group");
        let group = group.unwrap_or_else(|| format!("{application_id}-sigmill-shadow"));
        if group == application_id
            && let Some((entry, _)) = self.entry("sigmill.shadow.group")
        {
            self.wrong(&entry, "it is that of the JVM processor");
        }
        let topic = match self.optional("sigmill.shadow.topic") {
            Some(topic) => {
                if !is_topic_name(&topic)
                    && let Some((entry, _)) = self.entry("sigmill.shadow.topic")
                {
                    self.wrong(&entry, "it is no topic name");
                }
                topic
            }
            None => format!("{output_topic}-differences"),
        };
        ShadowSettings { topic, group, wait: self.milliseconds("sigmill.shadow.wait.ms", 1) }
    }

    fn admin(&mut self) -> AdminSettings {
        let listen = self.text("sigmill.admin.listen");
        let given = self.properties.get("sigmill.admin.listen").cloned();
        let is_off = listen.eq_ignore_ascii_case("off");
        let is_address = listen
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if let (Some(entry), false, false) = (&given, is_off, is_address) {
            self.wrong(&entry.clone(), "");
        }
        AdminSettings {
            listen: (!is_off).then_some(listen),
            is_listen_given: given.is_some(),
            token_file: self.optional("sigmill.admin.token.file").map(PathBuf::from),
            has_open_reads: self.boolean("sigmill.admin.open.reads"),
            has_legacy_writes: self.boolean("sigmill.admin.legacy.writes"),
        }
    }

    /// A number above 0, if there is one.
    fn target(&mut self, name: &str) -> Option<f64> {
        let (entry, value) = self.entry(name)?;
        let number = value.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
        if number.is_none() {
            self.wrong(&entry, "");
        }
        number
    }

    fn boolean(&mut self, name: &str) -> bool {
        self.one_of(name, &["true", "false"]) == "true"
    }

    /// One of some words, in any case.
    fn one_of(&mut self, name: &str, words: &[&str]) -> String {
        let Some((entry, value)) = self.entry(name) else { return key(name).default.to_owned() };
        let value = value.to_ascii_lowercase();
        if !words.contains(&value.as_str()) {
            self.wrong(&entry, "");
        }
        value
    }

    fn number(&mut self, name: &str, min: usize, max: usize) -> usize {
        let Some((entry, value)) = self.entry(name) else {
            return key(name).default.parse().expect("defaults of numbers are numbers");
        };
        match value.parse::<usize>() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                self.wrong(&entry, "");
                min
            }
        }
    }

    fn milliseconds(&mut self, name: &str, min: usize) -> Duration {
        Duration::from_millis(self.number(name, min, u32::MAX as usize) as u64)
    }

    fn replication_factor(&mut self) -> i32 {
        let Some((entry, value)) = self.entry("replication.factor") else { return -1 };
        match value.parse::<i16>() {
            Ok(number) if number == -1 || number > 0 => i32::from(number),
            _ => {
                self.wrong(&entry, "");
                -1
            }
        }
    }
}

/// The parts of a list.
pub(crate) fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Whether a topic is one of those, which are names, and patterns that begin with `^`.
pub(crate) fn names_topic(topics: &[String], topic: &str) -> bool {
    topics.iter().any(|one| match one.starts_with('^') {
        true => Regex::new(one).is_ok_and(|pattern| pattern.is_match(topic)),
        false => one == topic,
    })
}

/// Kafka's own rule for topic names.
pub(crate) fn is_topic_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty()
        && name.len() <= 249
        && name != "."
        && name != ".."
        && name.bytes().all(is_legal)
}

#[cfg(test)]
mod tests;
