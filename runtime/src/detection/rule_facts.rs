//! What detections tell of a rule, whatever kind of rule it is and whatever their format.

use sigmill_parser::{Correlation, KafkaBlock, Level, Logsource, Rule, Spanned};

use super::RulePosition;
use super::attack::Attack;

/// A rule, as far as detections show it.
#[derive(Debug, Clone)]
pub(crate) struct RuleFacts<'a> {
    pub(crate) title: &'a str,
    pub(crate) id: Option<&'a str>,
    pub(crate) level: Option<Level>,
    pub(crate) status: Option<&'a str>,
    pub(crate) description: Option<&'a str>,
    pub(crate) author: Option<&'a str>,
    pub(crate) references: Vec<&'a str>,
    pub(crate) tags: Vec<&'a str>,
    pub(crate) attack: Attack,
    pub(crate) logsource: Option<&'a Logsource>,
    /// Each name once: the last value counts.
    pub(crate) custom_fields: Vec<(&'a str, &'a str)>,
    /// Tells one version of a rule from another.
    pub(crate) hash: String,
    pub(crate) position: &'a RulePosition,
    /// Where its detections go; empty where there is no topic.
    pub(crate) output_topic: &'a str,
}

fn text(value: &Option<Spanned<String>>) -> Option<&str> {
    value.as_ref().map(|value| value.node.as_str())
}

fn texts(values: &[Spanned<String>]) -> Vec<&str> {
    values.iter().map(|value| value.node.as_str()).collect()
}

impl<'a> RuleFacts<'a> {
    pub(crate) fn of_rule(
        rule: &'a Rule,
        position: &'a RulePosition,
        output_topic: &'a str,
    ) -> Self {
        Self {
            title: &rule.title.node,
            id: text(&rule.id),
            level: rule.level.as_ref().map(|level| level.node),
            status: text(&rule.status),
            description: text(&rule.description),
            author: text(&rule.author),
            references: texts(&rule.references),
            tags: texts(&rule.tags),
            attack: Attack::of_tags(rule.tags.iter().map(|tag| tag.node.as_str())),
            logsource: rule.logsource.as_ref(),
            custom_fields: custom_fields(rule.kafka.as_ref()),
            hash: version_hash(&rule.to_json()),
            position,
            output_topic,
        }
    }

    pub(crate) fn of_correlation(
        rule: &'a Correlation,
        position: &'a RulePosition,
        output_topic: &'a str,
    ) -> Self {
        Self {
            title: &rule.title.node,
            id: text(&rule.id),
            level: rule.level.as_ref().map(|level| level.node),
            status: text(&rule.status),
            description: text(&rule.description),
            author: text(&rule.author),
            references: texts(&rule.references),
            tags: texts(&rule.tags),
            attack: Attack::of_tags(rule.tags.iter().map(|tag| tag.node.as_str())),
            logsource: None,
            custom_fields: custom_fields(rule.kafka.as_ref()),
            hash: version_hash(&rule.to_json()),
            position,
            output_topic,
        }
    }
}

fn custom_fields(kafka: Option<&KafkaBlock>) -> Vec<(&str, &str)> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    for (name, value) in kafka.iter().flat_map(|kafka| &kafka.custom_fields) {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => fields.push((name, value)),
        }
    }
    fields
}

/// Hash of a rule's whole document (FNV-1a, 128 bits, hexadecimal): the same in every process.
pub(crate) fn version_hash(document: &str) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash =
        document.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_fnv() {
        assert_eq!(version_hash(""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(version_hash("a"), "d228cb696f1a8caf78912b704e4a8964");
        assert_ne!(version_hash("{\"title\":\"a\"}"), version_hash("{\"title\":\"b\"}"));
    }
}
