//! Which fields rules name, and which fields events have.
//!
//! In: rules as they run, and the lines of sources. Out: both sets with counts, and where they do not
//! meet. A field of an event is a path: nested keys are joined by dots, and elements of an array share
//! the array's path, as a rule's field is looked up.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader};

use serde_json::Value;
use sigmill_parser::{Block, Document, JsonPath, Rule, Test};
use sigmill_runtime::match_files::{MatchFilesError, Source};

/// The fields of rules and events.
#[derive(Debug, Default)]
pub(crate) struct FieldCensus {
    /// How many rules name a field.
    pub(crate) rule_fields: BTreeMap<String, u64>,
    /// How many events have a path, objects on the way included.
    paths: HashMap<String, u64>,
    /// The paths that lead to a value.
    leaves: BTreeSet<String>,
    /// Events read.
    pub(crate) event_count: u64,
    /// Lines that are no objects.
    pub(crate) refused_count: u64,
}

impl FieldCensus {
    /// Adds the fields that a document names.
    pub(crate) fn add_document(&mut self, document: &Document) {
        let mut fields = BTreeSet::new();
        match document {
            Document::Rule(rule) => add_rule(rule, &mut fields),
            Document::Correlation(correlation) => {
                let aliases: Vec<&str> =
                    correlation.aliases.iter().map(|alias| alias.name.node.as_str()).collect();
                let grouped = correlation.group_by.iter().map(|field| field.node.as_str());
                fields.extend(grouped.filter(|field| !aliases.contains(field)));
                let of_aliases = correlation.aliases.iter().flat_map(|alias| &alias.fields);
                fields.extend(of_aliases.map(|(_, field)| field.node.as_str()));
                if let sigmill_parser::CorrelationCondition::Threshold(threshold) =
                    &correlation.condition
                {
                    fields.extend(threshold.fields.iter().map(|field| field.node.as_str()));
                }
            }
            Document::Filter(filter) => {
                for selection in &filter.detection.selections {
                    add_block(&selection.body, &mut fields);
                }
            }
            // Documents of other kinds name none.
            _ => {}
        }
        for field in fields {
            *self.rule_fields.entry(field.to_owned()).or_default() += 1;
        }
    }

    /// Adds every line of a source.
    ///
    /// # Errors
    /// The source cannot be read to its end.
    pub(crate) fn add_events(&mut self, source: &Source) -> Result<(), MatchFilesError> {
        let failed = |error| MatchFilesError::Read { name: source.name(), source: error };
        let mut reader = BufReader::new(source.reader().map_err(failed)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if !line.trim_ascii().is_empty() {
                self.add_event(&line);
            }
            line.clear();
        }
        Ok(())
    }

    fn add_event(&mut self, line: &[u8]) {
        let Ok(event @ Value::Object(_)) = serde_json::from_slice(line) else {
            self.refused_count += 1;
            return;
        };
        self.event_count += 1;
        let mut found = BTreeMap::new();
        walk(&event, &mut String::new(), &mut found);
        for (path, is_leaf) in found {
            if is_leaf && !self.leaves.contains(&path) {
                self.leaves.insert(path.clone());
            }
            *self.paths.entry(path).or_default() += 1;
        }
    }

    /// How many events have a rule's field.
    pub(crate) fn events_with(&self, field: &str) -> u64 {
        self.paths.get(&*path(field)).copied().unwrap_or(0)
    }

    /// Number of fields that events have.
    pub(crate) fn event_field_count(&self) -> usize {
        self.leaves.len()
    }

    /// The fields of rules that no event has, by falling number of rules.
    pub(crate) fn unseen(&self) -> Vec<(&str, u64)> {
        let unseen = self.rule_fields.iter().filter(|(field, _)| self.events_with(field) == 0);
        by_count(unseen.map(|(field, count)| (field.as_str(), *count)))
    }

    /// The fields of events that no rule names, by falling number of events.
    pub(crate) fn unnamed(&self) -> Vec<(&str, u64)> {
        let named: BTreeSet<Cow<'_, str>> =
            self.rule_fields.keys().map(|field| path(field)).collect();
        let unnamed = self.leaves.iter().filter(|path| !named.contains(path.as_str()));
        by_count(unnamed.map(|path| (path.as_str(), self.events_with(path))))
    }
}

/// Where a rule's field is in an event, its keys joined by dots.
fn path(field: &str) -> Cow<'_, str> {
    let path = JsonPath::parse(field).and_then(Result::ok);
    path.and_then(|path| Some(path.keys()?.join("."))).map_or(field.into(), Cow::from)
}

fn by_count<'a>(fields: impl Iterator<Item = (&'a str, u64)>) -> Vec<(&'a str, u64)> {
    let mut fields: Vec<(&str, u64)> = fields.collect();
    fields.sort_by_key(|(field, count)| (std::cmp::Reverse(*count), *field));
    fields
}

fn add_rule<'a>(rule: &'a Rule, fields: &mut BTreeSet<&'a str>) {
    for selection in &rule.detection.selections {
        add_block(&selection.body, fields);
    }
    for aggregation in rule.detection.conditions.iter().filter_map(|one| one.aggregation.as_ref()) {
        fields.extend(aggregation.field().iter().map(|field| field.node.as_str()));
        fields.extend(aggregation.group_by.iter().map(|field| field.node.as_str()));
    }
}

fn add_block<'a>(block: &'a Block, fields: &mut BTreeSet<&'a str>) {
    match block {
        Block::AllOf(blocks) | Block::AnyOf(blocks) => {
            blocks.iter().for_each(|block| add_block(block, fields));
        }
        Block::Item(item) => {
            fields.extend(item.field.iter().map(|field| field.node.as_str()));
            for test in item.predicate.values.iter().flatten() {
                if let Test::FieldRef { field, .. } = test {
                    fields.insert(field);
                }
            }
        }
    }
}

/// Whether there is something besides objects.
fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(elements) => elements.is_empty() || elements.iter().any(is_leaf),
        _ => true,
    }
}

/// Notes every path of a value, and whether it leads to something that is no object.
fn walk(value: &Value, path: &mut String, found: &mut BTreeMap<String, bool>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let len = path.len();
                if len > 0 {
                    path.push('.');
                }
                path.push_str(key);
                *found.entry(path.clone()).or_default() |= is_leaf(value);
                walk(value, path, found);
                path.truncate(len);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| walk(element, path, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_arrays_walked() {
        let mut census = FieldCensus::default();
        census.add_event(br#"{"a":{"b":1,"c":[{"d":2},{"d":3}]},"e.f":null}"#);
        census.add_event(br#"{"a":{"b":1}}"#);
        census.add_event(b"[1]");
        for (field, count) in
            [("a", 2), ("a.b", 2), ("$.a.b", 2), ("a.c.d", 1), ("e.f", 1), ("d", 0)]
        {
            assert_eq!(census.events_with(field), count, "{field}");
        }
        assert_eq!((census.event_count, census.refused_count), (2, 1));
        // An object is no field that somebody could have forgotten.
        assert_eq!(census.unnamed(), [("a.b", 2), ("a.c.d", 1), ("e.f", 1)]);
    }
}
