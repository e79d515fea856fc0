//! What `sigmill match` prints for a line that matched, and for a window's detection: pairs of line and
//! rule id, or detections.
//!
//! In: the rule set and the sources. Out: text, a function of the line (or of the window's detection)
//! alone, so that it does not matter which thread writes it or when: a detection of a file carries the
//! event's own time and no other. A window's detection stands for the line that completed it.

use std::io::Write as _;

use clap::ValueEnum;
use sigmill_codegen::RuleDocument;
use sigmill_engine::{Plan, RuleId};
use sigmill_parser::KafkaBlock;
use sigmill_runtime::detection::{
    Event, EventPosition, Extract, Format, RulePosition, Template, WindowPart,
};
use sigmill_runtime::match_files::{DetectedWindow, MatchedLine, Source, event_time};

use crate::rule_set::{PlacedDocument, RuleSet};

/// The forms of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MatchFormat {
    /// Line number (from 0 over all input), tab, rule id (the title where a rule has none).
    Tsv,
    /// A detection a line, as the processor writes it in its native format.
    Json,
}

/// Renders matched lines.
pub(crate) struct MatchOutput<'a> {
    format: MatchFormat,
    time_field: &'a str,
    /// By source.
    source_names: Vec<String>,
    /// By document: id or title, which is also what a line's rules are sorted by.
    names: Vec<String>,
    /// By document; a filter has none.
    templates: Vec<Option<Template>>,
    plan: &'a Plan,
}

impl<'a> MatchOutput<'a> {
    pub(crate) fn new(
        format: MatchFormat,
        time_field: &'a str,
        sources: &[Source],
        rule_set: &'a RuleSet,
    ) -> Self {
        Self {
            format,
            time_field,
            source_names: sources.iter().map(Source::name).collect(),
            names: rule_set.documents.iter().map(|placed| name(&placed.document)).collect(),
            templates: rule_set
                .documents
                .iter()
                .map(|one| template(one, rule_set.has_levels))
                .collect(),
            plan: &rule_set.plan,
        }
    }

    fn document(&self, rule: RuleId) -> usize {
        self.plan.rule(rule).source as usize
    }

    /// Appends what is to be said about a line.
    pub(crate) fn write(&self, line: &MatchedLine<'_>, text: &mut Vec<u8>) {
        let name = |rule: &RuleId| self.names[self.document(*rule)].as_str();
        let mut rules = line.rules.to_vec();
        rules.sort_by_key(name);
        match self.format {
            MatchFormat::Tsv => {
                // Two rules of one id, or two conditions of one rule, are one pair.
                rules.dedup_by(|a, b| name(a) == name(b));
                for rule in &rules {
                    // Writing to a `Vec` does not fail.
                    let _ = writeln!(text, "{}\t{}", line.line, name(rule));
                }
            }
            MatchFormat::Json => {
                let event = Event {
                    bytes: line.record,
                    position: EventPosition::Line {
                        file: &self.source_names[line.source],
                        line: line.source_line,
                    },
                    timestamp: event_time(line.record, self.time_field),
                };
                let mut extract = Extract { joined: line.joined.to_vec(), ..Extract::default() };
                for rule in &rules {
                    if let Some(template) = &self.templates[self.document(*rule)] {
                        let own = template.level();
                        extract.level = line.level_effect.of(own).map(|level| (level, own));
                        template.write_replayed(text, &event, &extract);
                        text.push(b'\n');
                    }
                }
            }
        }
    }

    /// Appends what is to be said about a window's detection.
    pub(crate) fn write_window(&self, detected: &DetectedWindow<'_>, text: &mut Vec<u8>) {
        let document = detected.window.source as usize;
        match self.format {
            MatchFormat::Tsv => {
                // Writing to a `Vec` does not fail.
                let _ = writeln!(text, "{}\t{}", detected.line(), self.names[document]);
            }
            MatchFormat::Json => {
                let part = WindowPart {
                    detection: detected.detection,
                    window: detected.window,
                    sources: &self.source_names,
                };
                if let Some(template) = &self.templates[document] {
                    template.write_window(text, &part);
                    text.push(b'\n');
                }
            }
        }
    }
}

fn template(placed: &PlacedDocument, has_levels: bool) -> Option<Template> {
    let position = RulePosition::File { path: placed.path.clone(), line: placed.line };
    let topic = |kafka: &Option<KafkaBlock>| {
        let topic = kafka.as_ref().and_then(|kafka| kafka.output_topic.as_ref());
        topic.map_or_else(String::new, |topic| topic.node.clone())
    };
    match &placed.document {
        RuleDocument::Rule(rule) => {
            let make = if has_levels { Template::with_levels } else { Template::new };
            Some(make(Format::Native, rule, &position, &topic(&rule.kafka)))
        }
        RuleDocument::Correlation(rule) => {
            Some(Template::for_correlation(Format::Native, rule, &position, &topic(&rule.kafka)))
        }
        RuleDocument::Filter(_) => None,
    }
}

fn name(document: &RuleDocument) -> String {
    let name = document.id().unwrap_or(document.title());
    // A title may hold anything, and a line must stay a line of two columns.
    name.replace(|c: char| c.is_control(), " ")
}
