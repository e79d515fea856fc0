//! What `sigmill match` prints for a line that matched: pairs of line and rule id, or detections.
//!
//! In: the rule set and the sources. Out: text, a function of the line alone, so that it does not matter
//! which thread writes it or when: a detection of a file carries the event's own time and no other.

use std::io::Write as _;

use clap::ValueEnum;
use sigmill_engine::RuleId;
use sigmill_parser::Rule;
use sigmill_runtime::detection::{Event, EventPosition, Format, RulePosition, Template};
use sigmill_runtime::match_files::{MatchedLine, Source, event_time};

use crate::rule_set::RuleSet;

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
    /// By `RuleId`: id or title, which is also what a line's rules are sorted by.
    rule_names: Vec<String>,
    /// By `RuleId`.
    templates: Vec<Template>,
}

impl<'a> MatchOutput<'a> {
    pub(crate) fn new(
        format: MatchFormat,
        time_field: &'a str,
        sources: &[Source],
        rule_set: &RuleSet,
    ) -> Self {
        let rules = rule_set.plan.rules().iter();
        let sources_of_rules = rules.map(|rule| &rule_set.rules[rule.source as usize]);
        let template = |rule: &crate::rule_set::PlacedRule| {
            let position = RulePosition::File { path: rule.path.clone(), line: rule.line };
            let kafka = rule.rule.kafka.as_ref();
            let topic = kafka.and_then(|kafka| kafka.output_topic.as_ref());
            let topic = topic.map_or("", |topic| topic.node.as_str());
            Template::new(Format::Native, &rule.rule, &position, topic)
        };
        Self {
            format,
            time_field,
            source_names: sources.iter().map(Source::name).collect(),
            rule_names: sources_of_rules.clone().map(|rule| rule_name(&rule.rule)).collect(),
            templates: sources_of_rules.map(template).collect(),
        }
    }

    /// Appends what is to be said about a line.
    pub(crate) fn write(&self, line: &MatchedLine<'_>, text: &mut Vec<u8>) {
        let name = |rule: &RuleId| self.rule_names[rule.0 as usize].as_str();
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
                for rule in &rules {
                    self.templates[rule.0 as usize].write_replayed(text, &event);
                    text.push(b'\n');
                }
            }
        }
    }
}

fn rule_name(rule: &Rule) -> String {
    let name = rule.id.as_ref().unwrap_or(&rule.title);
    // A title may hold anything, and a line must stay a line of two columns.
    name.node.replace(|c: char| c.is_control(), " ")
}
