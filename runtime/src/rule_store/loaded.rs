//! Documents of the rules topic: read once, and rendered as far as that does not depend on others.

use std::sync::Arc;

use sigmill_codegen::RuleDocument;
use sigmill_parser::{
    AggregationKind, AggregationRelation, KafkaBlock, Level, LineIndex, ParseOptions, Rule,
    parse_bytes_with,
};

use super::RuleStoreConfig;
use crate::detection::{Format, RulePosition, Template, shadowed_custom_fields, version_hash};
use crate::extraction::Extraction;
use crate::settings::{RuleFilter, is_topic_name, names_topic};

/// A document as it was read.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The key of its record.
    pub(super) key: String,
    pub(super) document: RuleDocument,
    pub(super) position: RulePosition,
    pub(super) output_topic: String,
    pub(super) template: Template,
    /// Of the document as it was written.
    pub(super) hash: String,
    pub(super) author: Option<String>,
    /// Whether it passes the filters by itself.
    pub(super) passes: bool,
}

/// A document in force, with all that the workers need for its detections.
#[derive(Debug)]
pub struct ActiveRule {
    /// The key of its record.
    pub key: String,
    /// The document as it runs: after the pipelines.
    pub document: RuleDocument,
    /// Where it was read.
    pub position: RulePosition,
    /// Where its detections go.
    pub output_topic: String,
    /// Its part of a detection.
    pub template: Template,
    /// Tells this version of the rule from others: it changes with the document, with those that it
    /// refers to, with the filters that are added to it, and with the pipelines.
    pub hash: String,
    /// What its detections take from events.
    pub extraction: Arc<Extraction>,
    /// What goes into the author's header.
    pub author: Option<String>,
    /// What it was made from.
    pub(super) loaded: Arc<Loaded>,
}

impl ActiveRule {
    /// Its title.
    pub fn title(&self) -> &str {
        self.document.title()
    }

    /// Its level.
    pub fn level(&self) -> Option<Level> {
        match &self.document {
            RuleDocument::Rule(rule) => rule.level.as_ref().map(|level| level.node),
            RuleDocument::Correlation(rule) => rule.level.as_ref().map(|level| level.node),
            RuleDocument::Filter(_) => None,
        }
    }

    /// The document as it was written, before the pipelines.
    pub fn written(&self) -> &RuleDocument {
        &self.loaded.document
    }

    /// What the number of an aggregation has to be, as `> 5`; none: it has none.
    pub fn threshold(&self) -> Option<String> {
        let RuleDocument::Rule(rule) = &self.document else { return None };
        let wanted = rule.detection.conditions.iter().find_map(|one| one.aggregation.as_ref());
        let AggregationKind::Number { relation, threshold, .. } = &wanted?.wanted else {
            return None;
        };
        let sign = match relation {
            AggregationRelation::Greater => ">",
            AggregationRelation::GreaterOrEqual => ">=",
            AggregationRelation::Less => "<",
            AggregationRelation::LessOrEqual => "<=",
            AggregationRelation::Equal => "==",
            AggregationRelation::NotEqual => "!=",
        };
        Some(format!("{sign} {}", threshold.text))
    }

    /// The names of its custom fields.
    pub fn custom_fields(&self) -> Vec<&str> {
        let fields = kafka(&self.document).map_or(&[][..], |kafka| &kafka.custom_fields);
        fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn new(
        loaded: &Arc<Loaded>,
        document: RuleDocument,
        hash: String,
        config: &RuleStoreConfig,
    ) -> Self {
        let shows_fields = config.format.shows_fields();
        let extraction = match &document {
            RuleDocument::Rule(rule) => Extraction::new(rule, &config.field_mapping, shows_fields),
            _ => Extraction::default(),
        };
        Self {
            key: loaded.key.clone(),
            document,
            position: loaded.position.clone(),
            output_topic: loaded.output_topic.clone(),
            template: loaded.template.clone(),
            hash,
            extraction: Arc::new(extraction),
            author: loaded.author.clone(),
            loaded: Arc::clone(loaded),
        }
    }
}

impl Loaded {
    pub(super) fn new(
        key: &str,
        document: RuleDocument,
        position: &RulePosition,
        config: &RuleStoreConfig,
        findings: &mut Vec<String>,
    ) -> Self {
        let kafka = kafka(&document);
        let output_topic = output_topic(kafka, config, findings);
        if matches!(config.format, Format::Confluent13 | Format::ConfluentHead) {
            for name in shadowed_custom_fields(kafka) {
                findings.push(format!("custom field `{name}` is left out: it is reserved"));
            }
        }
        let (template, author) = match &document {
            RuleDocument::Rule(rule) => {
                let has_levels = !config.overlays.wanted.is_empty();
                let make = if has_levels { Template::with_levels } else { Template::new };
                let template = make(config.format, rule, position, &output_topic);
                (template, rule.author.as_ref())
            }
            RuleDocument::Correlation(rule) => {
                let template =
                    Template::for_correlation(config.format, rule, position, &output_topic);
                (template, rule.author.as_ref())
            }
            RuleDocument::Filter(_) => (Template::empty(), None),
        };
        Self {
            key: key.to_owned(),
            template,
            hash: version_hash(&document.to_json()),
            author: author.map(|author| author.node.clone()).filter(|_| config.has_author_header),
            passes: passes(&config.filter, &document),
            output_topic,
            position: position.clone(),
            document,
        }
    }
}

fn kafka(document: &RuleDocument) -> Option<&KafkaBlock> {
    match document {
        RuleDocument::Rule(rule) => rule.kafka.as_ref(),
        RuleDocument::Correlation(rule) => rule.kafka.as_ref(),
        RuleDocument::Filter(_) => None,
    }
}

fn output_topic(
    kafka: Option<&KafkaBlock>,
    config: &RuleStoreConfig,
    findings: &mut Vec<String>,
) -> String {
    let default = || config.output_topic.clone();
    let own = kafka.and_then(|kafka| kafka.output_topic.as_ref());
    let Some(own) = own.map(|topic| topic.node.trim()).filter(|topic| !topic.is_empty()) else {
        return default();
    };
    let why = if is_internal(own) || names_topic(&config.input_topics, own) {
        "the processor reads it"
    } else if !is_topic_name(own) {
        "it is no topic name"
    } else {
        return own.to_owned();
    };
    let instead = &config.output_topic;
    findings.push(format!("outputTopic `{own}` is refused, {why}; detections go to `{instead}`"));
    default()
}

/// Topics in which brokers keep their own state.
fn is_internal(topic: &str) -> bool {
    ["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"]
        .contains(&topic)
}

/// What the parser says about a value.
pub(super) struct Finding {
    pub(super) text: String,
    pub(super) is_fatal: bool,
}

/// The documents in a value.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) documents: Vec<RuleDocument>,
    pub(super) findings: Vec<Finding>,
    /// The names of documents that are there and do not load.
    pub(super) broken: Vec<String>,
}

pub(super) fn read(value: &[u8], config: &RuleStoreConfig) -> Reading {
    let mut options = ParseOptions::default();
    options.allows_backtracking = config.allows_backtracking;
    options.keeps_placeholders = !config.pipelines.is_empty();
    // What correlations and filters name may stand in other records.
    options.is_whole_set = false;
    let parsed = parse_bytes_with(value, &options);
    let text = String::from_utf8_lossy(value);
    let index = LineIndex::new(&text);
    let findings = parsed.diagnostics.iter().filter(|diagnostic| !diagnostic.is_loadable);
    let findings = findings.map(|diagnostic| {
        let at = index.position(diagnostic.span.start);
        let code = diagnostic.code.as_str();
        let text = format!("{}:{}: [{code}] {}", at.line, at.column, diagnostic.message);
        Finding { text, is_fatal: true }
    });
    Reading {
        findings: findings.collect(),
        documents: parsed.documents.into_iter().map(RuleDocument::from).collect(),
        broken: parsed.broken,
    }
}

/// Whether a document passes the filters by itself. Filters of rules are always there, and what asks for
/// a log source says nothing of correlations, which have none: they pass with one of their rules.
fn passes(filter: &RuleFilter, document: &RuleDocument) -> bool {
    let (level, tags) = match document {
        RuleDocument::Rule(rule) => {
            if !is_of_logsource(filter, rule) {
                return false;
            }
            (rule.level.as_ref(), &rule.tags)
        }
        RuleDocument::Correlation(rule) => (rule.level.as_ref(), &rule.tags),
        RuleDocument::Filter(_) => return true,
    };
    let has_tag = |wanted: &String| {
        tags.iter().any(|tag| {
            // The tag itself, or one that is more special: `attack.t1059.001` under `attack.t1059`.
            let tag = tag.node.to_lowercase();
            let rest = tag.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    filter.titles.as_ref().is_none_or(|titles| titles.contains(document.title()))
        && filter.level.is_none_or(|least| level.is_some_and(|level| level.node >= least))
        && filter.tag.as_ref().is_none_or(has_tag)
}

/// Whether a rule's log source is the one that is asked for.
fn is_of_logsource(filter: &RuleFilter, rule: &Rule) -> bool {
    let logsource = rule.logsource.as_ref();
    let product = logsource.and_then(|logsource| logsource.product.as_ref());
    let service = logsource.and_then(|logsource| logsource.service.as_ref());
    let category = logsource.and_then(|logsource| logsource.category.as_ref());
    let equals = |wanted: &Option<String>, found: Option<&String>| {
        wanted.is_none() || wanted.as_ref() == found
    };
    equals(&filter.product, product.map(|text| &text.node))
        && equals(&filter.service, service.map(|text| &text.node))
        && equals(&filter.category, category.map(|text| &text.node))
}

/// Whether a filter asks for a log source.
pub(super) fn asks_for_logsource(filter: &RuleFilter) -> bool {
    filter.product.is_some() || filter.service.is_some() || filter.category.is_some()
}

/// Whether a document, if it is a rule, has the log source that is asked for.
pub(super) fn is_rule_of_logsource(filter: &RuleFilter, document: &RuleDocument) -> bool {
    matches!(document, RuleDocument::Rule(rule) if is_of_logsource(filter, rule))
}
