//! What the JVM processor makes of one event and one rule, and why that differs from what Sigmill makes of it.
//!
//! In: a rule as written, and an event. Out: whether the JVM processor tells of it, with each of its
//! peculiarities ([`Quirk`]) in place or mended. What is the least that has to be mended for Sigmill's answer is the
//! cause of a difference ([`JvmRule::causes`]). Plain and slow: only differences come here.
//!
//! Windows, and what one rule or event does to the next, are not modelled. `tests/compat` holds this to what is known
//! of the JVM processor case by case.

mod condition;
mod double;
mod json_path;
mod pattern;
mod selection;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::yaml::Node;
use sigmill_parser::{Document, FieldMapping, ParseOptions, Rule};

pub use double::java_text;

/// What the JVM processor does and the specification does not ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each has its text in the table")]
pub enum Quirk {
    Stops,
    GroupNames,
    Not,
    Of,
    ConditionList,
    LowerOr,
    Precedence,
    List,
    LastField,
    MappingList,
    FieldModifier,
    Modifier,
    Case,
    Characters,
    Escapes,
    Lines,
    Arrays,
    Numbers,
    Null,
    Object,
    MissingPath,
    Nested,
}

/// Every quirk, with its name in reports and what the JVM processor does. The order is that in which causes are tried.
pub const QUIRKS: [(Quirk, &str, &str); 22] = [
    (Quirk::Stops, "stops", "it stops there"),
    (
        Quirk::GroupNames,
        "groups-names",
        "a group `(?P<…>)`, or a name with `_`, makes it refuse the rule",
    ),
    (Quirk::Not, "not", "what is negated is never true there"),
    (Quirk::Of, "of", "`1 of` and `all of` are taken for selections; never true"),
    (Quirk::ConditionList, "condition-list", "a list of conditions never holds"),
    (Quirk::LowerOr, "lower-or", "only `OR` in capitals is an or; others are an and"),
    (
        Quirk::Precedence,
        "precedence",
        "parentheses mean nothing, and operators bind from the right",
    ),
    (Quirk::List, "list", "a list of maps is one selection, not an or"),
    (Quirk::LastField, "last-field", "of several fields in a selection the last one decides"),
    (Quirk::MappingList, "mapping-list", "of several names in the mapping only the first is used"),
    (Quirk::FieldModifier, "field-modifier", "a field named like a modifier gets that modifier"),
    (Quirk::Modifier, "modifier", "a modifier that it does not know is passed over"),
    (Quirk::Case, "case", "texts are compared with regard to case"),
    (
        Quirk::Characters,
        "characters",
        "characters such as `(` and `+` in a value have the meaning of an expression",
    ),
    (Quirk::Escapes, "escapes", "a backslash before `*` or `?` is a backslash"),
    (Quirk::Lines, "lines", "wildcards and `contains` do not go beyond a line end"),
    (Quirk::Arrays, "arrays", "of an array every element has to match"),
    (Quirk::Numbers, "numbers", "a fraction is the text of a Java double"),
    (Quirk::Null, "null", "a JSON null is the text `null`"),
    (Quirk::Object, "object", "an object is an empty text"),
    (
        Quirk::MissingPath,
        "missing-path",
        "a missing `$.` path ends the selection with what holds so far",
    ),
    (Quirk::Nested, "nested", "a name with dots is one key"),
];

/// A difference that one event and one rule do not explain.
pub const STATE: &str = "state";
/// A difference that no known quirk explains.
pub const OTHER: &str = "other";

/// What a cause means, for reports.
pub fn meaning(cause: &str) -> &'static str {
    match cause {
        STATE => {
            "not what it makes of the event alone: stopped, restarted, late, another version of the rule, or a \
             leading NOT in a rule read next to it"
        }
        OTHER => "no known difference explains it",
        cause => QUIRKS.iter().find(|(_, name, _)| *name == cause).map_or("", |(_, _, what)| what),
    }
}

/// Quirks that are mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended(u32);

impl Mended {
    /// All of them: as the specification has it.
    pub fn all() -> Self {
        QUIRKS.iter().fold(Self::default(), |mended, (quirk, ..)| mended.with(*quirk))
    }

    /// These and that one.
    #[must_use]
    pub fn with(self, quirk: Quirk) -> Self {
        Self(self.0 | 1 << quirk as u32)
    }

    /// These but that one.
    #[must_use]
    pub fn without(self, quirk: Quirk) -> Self {
        Self(self.0 & !(1 << quirk as u32))
    }

    /// Whether that one is.
    pub fn has(self, quirk: Quirk) -> bool {
        self.0 & 1 << quirk as u32 != 0
    }
}

/// The JVM processor has no answer: it stopped, or never took the rule.
struct NoAnswer;

/// A rule as the JVM processor reads it.
pub struct JvmRule {
    rule: Arc<Rule>,
    mapping: FieldMapping,
    selections: BTreeMap<String, Node>,
    conditions: Vec<String>,
    is_condition_list: bool,
    patterns: RefCell<HashMap<String, Option<fancy_regex::Regex>>>,
    /// Parts of the rule that only the engine knows how to read, by their text.
    parts: RefCell<HashMap<String, Option<Matcher>>>,
}

impl JvmRule {
    /// Reads a rule.
    pub fn new(rule: &Arc<Rule>, mapping: &FieldMapping) -> Self {
        let mut selections = BTreeMap::new();
        let mut conditions = Vec::new();
        let mut is_condition_list = false;
        let detection = rule.document.get("detection").and_then(Node::as_mapping);
        for (name, value) in detection.unwrap_or_default() {
            match name.key().unwrap_or_default() {
                "timeframe" | "fields" => {}
                "condition" => {
                    is_condition_list = value.as_sequence().is_some();
                    let all = value.as_sequence().unwrap_or(std::slice::from_ref(value));
                    let texts = all.iter().filter_map(Node::key);
                    // Windows are not modelled: what stands behind the pipe is left out.
                    conditions = texts
                        .map(|text| text.split('|').next().unwrap_or_default().to_owned())
                        .collect();
                }
                name => {
                    selections.insert(name.to_owned(), value.clone());
                }
            }
        }
        Self {
            rule: Arc::clone(rule),
            mapping: mapping.clone(),
            selections,
            conditions,
            is_condition_list,
            patterns: RefCell::default(),
            parts: RefCell::default(),
        }
    }

    /// Whether the JVM processor takes the event for one of the rule, if these quirks were mended.
    pub fn holds(&self, event: &Value, mended: Mended) -> bool {
        let seen = Seen { rule: self, event, mended };
        if !mended.has(Quirk::GroupNames) && self.has_refused_group() {
            return false;
        }
        if self.is_condition_list && !mended.has(Quirk::ConditionList) {
            return false;
        }
        self.conditions.iter().any(|condition| seen.condition(condition).unwrap_or(false))
    }

    /// Why the JVM processor's answer is not Sigmill's. Empty if they are the same.
    pub fn causes(&self, event: &Value, jvm: bool, sigmill: bool) -> Vec<&'static str> {
        if jvm == sigmill {
            return vec![];
        }
        if self.holds(event, Mended::default()) != jvm {
            return vec![STATE];
        }
        let is_enough = |mended: Mended| self.holds(event, mended) == sigmill;
        let single = QUIRKS.iter().find(|(quirk, ..)| is_enough(Mended::default().with(*quirk)));
        if let Some((_, name, _)) = single {
            return vec![*name];
        }
        if !is_enough(Mended::all()) {
            return vec![OTHER];
        }
        // What can be left as it is is left, so that no smaller part of the rest is enough.
        let mut needed = Mended::all();
        for (quirk, ..) in QUIRKS.iter().rev() {
            if is_enough(needed.without(*quirk)) {
                needed = needed.without(*quirk);
            }
        }
        QUIRKS.iter().filter(|(quirk, ..)| needed.has(*quirk)).map(|(_, name, _)| *name).collect()
    }

    /// Java's names of groups are letters and digits.
    fn has_refused_group(&self) -> bool {
        let is_refused = |text: &str| {
            text.contains("(?P<")
                || text.match_indices("(?<").any(|(at, _)| {
                    let name = text[at + 3..].split('>').next().unwrap_or_default();
                    !name.starts_with(['=', '!'])
                        && !name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                })
        };
        self.selections.values().any(|selection| has_expression(selection, &is_refused))
    }

    /// Whether Sigmill finds this part of a rule in the event: a selection's content, as JSON.
    fn engine_holds(&self, part: String, event: &Value) -> bool {
        let mut parts = self.parts.borrow_mut();
        let matcher = parts.entry(part).or_insert_with_key(|part| {
            let text = format!(
                r#"{{"title":"part","logsource":{{"product":"x"}},"detection":{{"part":{part},"condition":"part"}}}}"#
            );
            let mut options = ParseOptions::default();
    options.allows_backtracking = true;
            let document =
                sigmill_parser::parse_with(&text, &options).documents.into_iter().next()?;
            let Document::Rule(rule) = document else { return None };
            let options = CompileOptions {
                field_mapping: self.mapping.clone(),
                ..CompileOptions::default()
            };
            let compiled = compile(&[Arc::new(*rule)], &options);
            let config = MatcherConfig::default();
            compiled.refused.is_empty().then(|| Matcher::new(Arc::new(compiled.plan), config))
        });
        let event = event.to_string();
        matcher.as_mut().is_some_and(|matcher| {
            matcher.matches(event.as_bytes()).is_ok_and(|matches| !matches.is_empty())
        })
    }

    /// The rule.
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }
}

fn has_expression(node: &Node, is_wanted: &dyn Fn(&str) -> bool) -> bool {
    let in_map = node.as_mapping().unwrap_or_default().iter().any(|(name, value)| {
        let is_expression = name.key().is_some_and(|name| name.split('|').any(|part| part == "re"));
        let values = value.as_sequence().unwrap_or(std::slice::from_ref(value));
        is_expression && values.iter().filter_map(Node::key).any(is_wanted)
    });
    in_map
        || node.as_sequence().unwrap_or_default().iter().any(|item| has_expression(item, is_wanted))
}

/// A rule over an event, with some quirks mended.
struct Seen<'a> {
    rule: &'a JvmRule,
    event: &'a Value,
    mended: Mended,
}

#[cfg(test)]
mod tests;
