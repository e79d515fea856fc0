//! Streams: data topics that have pipelines, a field mapping or a rule filter of their own.
//!
//! `data.topic` is the stream without a name. What a stream does not set it has from the settings without
//! `sigmill.stream.<alias>` in front. Streams with equal pipelines, mapping and filter share a
//! [`Shape`], and with it a plan: a topic leads to its stream, and the stream to the number of its plan.

use std::fmt::Write as _;

use sigmill_parser::{FieldMapping, Pipelines};

use super::{Problem, Reader, RuleFilter, names_topic};
use crate::pipeline_files::LoadedPipelines;
use crate::properties::Properties;

/// A setting of a stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamKey {
    /// What follows `sigmill.stream.<alias>.`.
    pub suffix: &'static str,
    /// What its value may be.
    pub expected: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

macro_rules! keys {
    ($($suffix:literal, $expected:literal, $meaning:literal;)*) => {
        /// Every setting of streams.
        pub const STREAM_KEYS: &[StreamKey] = &[
            $(StreamKey { suffix: $suffix, expected: $expected, meaning: $meaning },)*
        ];
    };
}

keys! {
    "topic", "topic names separated by commas; one that begins with `^` is a pattern",
        "The stream's topics; every stream has some, and no topic is in two streams.";
    "pipeline", "pipelines that come with Sigmill (windows, ecs, zeek) or readable files, separated by commas; or none",
        "In place of `sigmill.pipelines`.";
    "field.mapping.file", "a readable YAML file with a `fieldmappings` map, or none",
        "In place of `field.mapping.file`.";
    "rule.filter.product", "a text",
        "Only rules whose `logsource.product` is exactly this.";
    "rule.filter.service", "a text",
        "Only rules whose `logsource.service` is exactly this.";
    "rule.filter.category", "a text",
        "Only rules whose `logsource.category` is exactly this.";
    "rule.filter.title", "a text",
        "Only the rule of exactly this title (and those of `rule.filter.list`).";
    "rule.filter.list", "a readable file with one title a line",
        "Only rules of exactly these titles.";
    "rule.filter.level", "informational, low, medium, high or critical",
        "Only rules of this level or a higher one.";
    "rule.filter.tag", "a text",
        "Only rules that have this tag, or one below it, in any case.";
}

const PREFIX: &str = "sigmill.stream.";
/// The word for no pipelines, or no mapping, where there are some for the others.
const NONE: &str = "none";

/// Whether a setting is one of a stream.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The setting behind a name, if it is one of a stream.
pub(super) fn key_of(name: &str) -> Option<&'static StreamKey> {
    let (_, suffix) = name.strip_prefix(PREFIX)?.split_once('.')?;
    STREAM_KEYS.iter().find(|key| key.suffix == suffix)
}

/// What rules are made into: a plan for each.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Which rules are in force.
    pub filter: RuleFilter,
    /// Names that rules use → names that events have.
    pub field_mapping: FieldMapping,
    /// What rewrites rules before they are compiled.
    pub pipelines: Pipelines,
    /// The text of the pipelines.
    pub pipelines_text: String,
    /// Tells the filter from that of the settings without a stream; empty if it is that one.
    pub salt: String,
}

impl Shape {
    fn is_same(&self, other: &Self) -> bool {
        self.filter == other.filter
            && self.pipelines_text == other.pipelines_text
            && self.field_mapping.fields == other.field_mapping.fields
    }
}

/// Data topics that are worked on alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name; empty for `data.topic`.
    pub alias: String,
    /// Names, and patterns that begin with `^`.
    pub topics: Vec<String>,
    /// Its shape, and plan.
    pub plan: usize,
}

impl Stream {
    /// The setting that names its topics.
    pub fn setting(&self) -> String {
        match self.alias.as_str() {
            "" => "data.topic".to_owned(),
            alias => format!("{PREFIX}{alias}.topic"),
        }
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        if self.alias.is_empty() { "data.topic" } else { &self.alias }
    }
}

/// All streams.
#[derive(Debug, Clone)]
pub struct Streams {
    /// That of `data.topic` first, if there is one, then by name.
    pub all: Vec<Stream>,
    /// By number of the plan, each of a stream.
    pub shapes: Vec<Shape>,
}

impl Streams {
    /// Whether there are others than `data.topic`.
    pub fn are_named(&self) -> bool {
        self.all.iter().any(|stream| !stream.alias.is_empty())
    }

    /// The stream that a topic belongs to.
    pub fn of(&self, topic: &str) -> Option<&Stream> {
        self.all.iter().find(|stream| names_topic(&stream.topics, topic))
    }

    /// The names of the streams of a plan.
    pub fn names(&self, plan: usize) -> Vec<String> {
        let of_plan = self.all.iter().filter(|stream| stream.plan == plan);
        of_plan.map(|stream| stream.name().to_owned()).collect()
    }

    /// Two streams that a topic belongs to both, as two patterns can have it.
    pub fn claims(&self, topic: &str) -> Option<(&Stream, &Stream)> {
        let mut claims = self.all.iter().filter(|stream| names_topic(&stream.topics, topic));
        Some((claims.next()?, claims.next()?))
    }
}

/// The names of the streams, sorted.
pub(super) fn aliases(properties: &Properties) -> Vec<String> {
    let mut aliases: Vec<String> = properties
        .iter()
        .filter_map(|entry| entry.key.strip_prefix(PREFIX)?.split_once('.'))
        .map(|(alias, _)| alias.to_owned())
        .filter(|alias| !alias.is_empty())
        .collect();
    aliases.sort_unstable();
    aliases.dedup();
    aliases
}

impl Reader<'_> {
    /// Reads all streams; `general` is what those have that set nothing else.
    pub(super) fn streams(&mut self, data_topics: &[String], general: &Shape) -> Streams {
        self.refuse_unknown_keys();
        let mut streams = Streams { all: Vec::new(), shapes: Vec::new() };
        let aliases = aliases(self.properties);
        if aliases.is_empty() || !data_topics.is_empty() {
            streams.shapes.push(general.clone());
            let topics = data_topics.to_vec();
            streams.all.push(Stream { alias: String::new(), topics, plan: 0 });
        }
        for alias in aliases {
            let topics = self.stream_topics(&alias);
            let shape = self.shape(&alias, general);
            let known = streams.shapes.iter().position(|known| known.is_same(&shape));
            let plan = known.unwrap_or_else(|| {
                streams.shapes.push(shape);
                streams.shapes.len() - 1
            });
            streams.all.push(Stream { alias, topics, plan });
        }
        self.refuse_double_claims(&streams);
        streams
    }

    fn refuse_unknown_keys(&mut self) {
        let properties = self.properties;
        for entry in properties.iter().filter(|entry| is_own(&entry.key)) {
            if key_of(&entry.key).is_none() || entry.key[PREFIX.len()..].starts_with('.') {
                let known: Vec<&str> = STREAM_KEYS.iter().map(|key| key.suffix).collect();
                self.problems.push(Problem {
                    key: entry.key.clone(),
                    message: format!(
                        "{}: {}: unknown setting of a stream: expected {PREFIX}<alias>. followed by one of {}",
                        entry.origin,
                        entry.key,
                        known.join(", ")
                    ),
                });
            }
        }
    }

    fn stream_topics(&mut self, alias: &str) -> Vec<String> {
        let name = format!("{PREFIX}{alias}.topic");
        if self.entry(&name).is_none() {
            self.problems.push(Problem {
                message: format!(
                    "Missing property {name}: expected {}. The stream `{alias}` has no topic.",
                    STREAM_KEYS[0].expected
                ),
                key: name,
            });
            return Vec::new();
        }
        self.topics(&name)
    }

    fn shape(&mut self, alias: &str, general: &Shape) -> Shape {
        let mut shape = general.clone();
        let name = |suffix: &str| format!("{PREFIX}{alias}.{suffix}");
        if let Some((_, value)) = self.entry(&name("pipeline")) {
            let loaded = match value.as_str() {
                NONE => LoadedPipelines::default(),
                _ => self.pipelines(&name("pipeline")),
            };
            (shape.pipelines, shape.pipelines_text) = (loaded.pipelines, loaded.text);
        }
        if let Some((_, value)) = self.entry(&name("field.mapping.file")) {
            shape.field_mapping = match value.as_str() {
                NONE => FieldMapping::default(),
                _ => self.field_mapping(&name("field.mapping.file")),
            };
        }
        let filter = RuleFilter {
            product: self.optional(&name("rule.filter.product")),
            service: self.optional(&name("rule.filter.service")),
            titles: self.titles(&name("rule.filter.title"), &name("rule.filter.list")),
            category: self.optional(&name("rule.filter.category")),
            level: self.level(&name("rule.filter.level")),
            tag: self.optional(&name("rule.filter.tag")).map(|tag| tag.to_lowercase()),
        };
        if filter != RuleFilter::default() {
            if filter != general.filter {
                shape.salt = format!("{filter:?}");
            }
            shape.filter = filter;
        }
        shape
    }

    /// A record has one plan.
    fn refuse_double_claims(&mut self, streams: &Streams) {
        for (at, stream) in streams.all.iter().enumerate() {
            for other in &streams.all[at + 1..] {
                let is_claimed = |topic: &&String, by: &Stream| {
                    by.topics.contains(*topic)
                        || !topic.starts_with('^') && names_topic(&by.topics, topic)
                };
                let claimed = other.topics.iter().find(|topic| is_claimed(topic, stream));
                let claimed =
                    claimed.or_else(|| stream.topics.iter().find(|topic| is_claimed(topic, other)));
                let Some(claimed) = claimed else { continue };
                if let Some(entry) = self.properties.get(&other.setting()).cloned() {
                    let first = stream.setting();
                    let why =
                        format!("`{claimed}` is a topic of {first} too; a topic is in one stream");
                    self.wrong(&entry, &why);
                }
            }
        }
    }
}

/// The table as the reference page shows it.
pub fn markdown() -> String {
    let mut out = String::from("| setting | value | meaning |\n|---|---|---|\n");
    for key in STREAM_KEYS {
        let StreamKey { suffix, expected, meaning } = key;
        // Writing to a string does not fail.
        let _ = writeln!(out, "| `{PREFIX}<alias>.{suffix}` | {expected} | {meaning} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, SettingsError};
    use super::*;
    use crate::reference_page;

    const BASE: &str =
        "bootstrap.servers=b\napplication.id=a\noutput.topic=o\nsigma.rules.topic=r\n";

    fn read(text: &str) -> Result<Settings, SettingsError> {
        let text = format!("{BASE}{text}");
        Settings::from_properties(&Properties::parse(text.as_bytes(), std::path::Path::new("p")))
    }

    #[test]
    fn the_reference_page_shows_this_table() {
        reference_page::check("settings.md", "streams", &markdown());
    }

    #[test]
    fn without_streams_the_data_topics_are_the_one() {
        let settings = read("data.topic=d,^e.*\nsigma.rule.filter.product=p\n").unwrap();
        let streams = &settings.streams;
        assert!(!streams.are_named());
        assert_eq!((streams.all.len(), streams.shapes.len()), (1, 1));
        assert_eq!(streams.shapes[0].filter.product.as_deref(), Some("p"));
        let error = read("").unwrap_err().to_string();
        assert!(error.contains("Missing required property data.topic"), "{error}");
    }

    #[test]
    fn equal_streams_share_a_plan_and_take_what_they_do_not_set() {
        let settings = read(
            "data.topic=d\nsigmill.pipelines=windows\nsigma.rule.filter.product=windows\n\
             sigmill.stream.a.topic=a1,^a2-.*\nsigmill.stream.a.pipeline=zeek\n\
             sigmill.stream.b.topic=b\nsigmill.stream.b.pipeline=zeek\n\
             sigmill.stream.c.topic=c\nsigmill.stream.c.pipeline=none\nsigmill.stream.c.rule.filter.level=high\n\
             sigmill.stream.same.topic=s\n",
        )
        .unwrap();
        let streams = &settings.streams;
        assert_eq!(settings.data_topics, ["d", "a1", "^a2-.*", "b", "c", "s"]);
        let plan = |topic: &str| streams.of(topic).map(|stream| stream.plan);
        assert_eq!(plan("d"), Some(0));
        assert_eq!((plan("a1"), plan("a2-x"), plan("b")), (Some(1), Some(1), Some(1)));
        assert_eq!((plan("c"), plan("s"), plan("x")), (Some(2), Some(0), None));
        assert_eq!(streams.names(1), ["a", "b"]);
        assert_eq!(streams.names(0), ["data.topic", "same"]);
        let filter = |plan: usize| &streams.shapes[plan].filter;
        assert_eq!(filter(1).product.as_deref(), Some("windows"));
        assert_eq!(filter(2).product, None, "a filter of its own replaces the other whole");
        assert!(streams.shapes[2].pipelines.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_setting() {
        let said = |text: &str| read(text).unwrap_err().to_string();
        let error = said("sigmill.stream.a.topics=x\nsigmill.stream.b.rule.filter.level=huge\n");
        for part in [
            "p:5: sigmill.stream.a.topics: unknown setting of a stream",
            "Missing property sigmill.stream.a.topic:",
            "p:6: sigmill.stream.b.rule.filter.level = `huge`: expected informational",
            "Missing property sigmill.stream.b.topic:",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = said("sigmill.stream.a.topic=x\nsigmill.stream.a.pipeline=nowhere.yml\n");
        assert!(error.contains("sigmill.stream.a.pipeline = `nowhere.yml`: expected"), "{error}");
        let error = said("sigmill.stream.a.topic=o\n");
        assert!(error.contains("output.topic = `o`"), "{error}");
    }

    #[test]
    fn a_topic_is_in_one_stream() {
        for (first, second) in [("x,y", "y"), ("x-1", "^x-.*"), ("^x-.*", "x-1"), ("^x", "^x")] {
            for (text, setting) in [
                (format!("data.topic={first}\n"), "data.topic"),
                (format!("sigmill.stream.a.topic={first}\n"), "sigmill.stream.a.topic"),
            ] {
                let error = read(&format!("{text}sigmill.stream.b.topic={second}\n")).unwrap_err();
                let error = error.to_string();
                assert!(error.contains("sigmill.stream.b.topic = "), "{error}");
                assert!(error.contains(&format!("is a topic of {setting} too")), "{error}");
            }
        }
        let settings = read("sigmill.stream.a.topic=^x.*\nsigmill.stream.b.topic=^.*y\n").unwrap();
        assert!(settings.streams.claims("xx").is_none());
        let (a, b) = settings.streams.claims("xy").unwrap();
        assert_eq!((a.name(), b.name()), ("a", "b"));
    }
}
