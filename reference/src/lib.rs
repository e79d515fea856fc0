//! What a Sigma rule means: a plain interpreter of the tree over a parsed JSON event.
//!
//! In: a rule of `sigmill-parser` and an event. Out: for each of the rule's conditions, whether it
//! holds. No cleverness: every fast path of the engine is held to what is written here by property
//! tests (`codegen/tests/differential.rs`) and by the corpora.

#![forbid(unsafe_code)]

mod correlation;
mod filter;
mod json;
mod number;
mod path;
mod text;
mod time_part;

pub use correlation::{Detection, Emit, Outcome, Settings, correlate};
pub use filter::filtered_conditions;
pub use json::{DEPTH_MAX, Json};

use sigmill_parser::{
    Block, Comparison, DetectionItem, DetectionSection, Expr, FieldMapping, JsonPath, Part,
    Predicate, Quantifier, Relation, Rule, Test,
};

/// Whether each condition of `rule` holds for `event`.
pub fn conditions(rule: &Rule, event: &Json, mapping: &FieldMapping) -> Vec<bool> {
    detection_conditions(&rule.detection, event, mapping)
}

/// As [`conditions`], where fields are laid over the event: `laid` is the event with them inserted. Keywords
/// and paths look at the event alone.
pub fn conditions_laid(
    rule: &Rule,
    event: &Json,
    laid: &Json,
    mapping: &FieldMapping,
) -> Vec<bool> {
    let reading = Reading { detection: &rule.detection, event, laid, mapping };
    rule.detection.conditions.iter().map(|condition| reading.expr(&condition.expr)).collect()
}

/// Whether each condition of a detection section holds for `event`.
fn detection_conditions(
    detection: &DetectionSection,
    event: &Json,
    mapping: &FieldMapping,
) -> Vec<bool> {
    let reading = Reading { detection, event, laid: event, mapping };
    detection.conditions.iter().map(|condition| reading.expr(&condition.expr)).collect()
}

/// One detection section read over one event.
struct Reading<'a> {
    detection: &'a DetectionSection,
    event: &'a Json,
    /// The event with what is laid over it.
    laid: &'a Json,
    mapping: &'a FieldMapping,
}

impl Reading<'_> {
    fn expr(&self, expr: &Expr) -> bool {
        match expr {
            Expr::And(parts) => parts.iter().all(|part| self.expr(part)),
            Expr::Or(parts) => parts.iter().any(|part| self.expr(part)),
            Expr::Not(part) => !self.expr(part),
            Expr::Selection(index, _) => self.selection(*index),
            Expr::Of(quantifier, selections, _) => {
                let held = selections.iter().filter(|index| self.selection(**index)).count();
                match quantifier {
                    Quantifier::Any => held >= 1,
                    Quantifier::All => held == selections.len(),
                    Quantifier::AtLeast(n) => held >= *n as usize,
                }
            }
        }
    }

    fn selection(&self, index: usize) -> bool {
        self.block(&self.detection.selections[index].body)
    }

    fn block(&self, block: &Block) -> bool {
        match block {
            Block::AllOf(parts) => parts.iter().all(|part| self.block(part)),
            Block::AnyOf(parts) => parts.iter().any(|part| self.block(part)),
            Block::Item(item) => self.item(item),
        }
    }

    /// A field that the mapping sends to several names holds if one of them does.
    fn item(&self, item: &DetectionItem) -> bool {
        match &item.field {
            None => self.predicate(&item.predicate, Some(&keyword_values(self.event))),
            Some(field) => self
                .mapping
                .targets(&field.node)
                .iter()
                .any(|target| self.predicate(&item.predicate, self.look_up(target).as_deref())),
        }
    }

    fn look_up(&self, field: &str) -> Option<Vec<&Json>> {
        let is_path = JsonPath::parse(field).is_some();
        look_up(if is_path { self.event } else { self.laid }, field)
    }

    fn predicate(&self, predicate: &Predicate, field: Option<&[&Json]>) -> bool {
        let value = |tests: &Vec<Test>| tests.iter().any(|test| self.test(test, field));
        let held = match predicate.all {
            true => predicate.values.iter().all(value),
            false => predicate.values.iter().any(value),
        };
        held != predicate.negated
    }

    /// `field` is absent, or holds the elements found.
    fn test(&self, test: &Test, field: Option<&[&Json]>) -> bool {
        match test {
            Test::Exists(wanted) => field.is_some() == *wanted,
            Test::Null => field.is_none_or(|elements| elements.contains(&&Json::Null)),
            Test::FieldRef { field: other, relation, cased } => {
                let others: Vec<&Json> = self
                    .mapping
                    .targets(other)
                    .iter()
                    .filter_map(|target| self.look_up(target))
                    .flatten()
                    .collect();
                field.unwrap_or(&[]).iter().any(|element| {
                    others.iter().any(|other| relates(element, other, *relation, *cased))
                })
            }
            test => field.unwrap_or(&[]).iter().any(|element| element_test(test, element)),
        }
    }
}

/// The elements of a field: a key of just that name wins, else each dot may be a step into nested
/// objects; arrays stand for their elements. A path that begins with `$.` has steps only.
fn look_up<'a>(event: &'a Json, field: &str) -> Option<Vec<&'a Json>> {
    let mut found = Found { elements: Vec::new(), is_present: false };
    match JsonPath::parse(field) {
        Some(Ok(path)) => match path.keys() {
            Some(keys) => found.steps(event, &keys),
            None => path::ends(event, &path.steps).into_iter().for_each(|end| found.end(end)),
        },
        // Refused when the rule is compiled.
        Some(Err(_)) => {}
        None => found.name(event, field),
    }
    found.is_present.then_some(found.elements)
}

struct Found<'a> {
    elements: Vec<&'a Json>,
    is_present: bool,
}

impl<'a> Found<'a> {
    fn name(&mut self, value: &'a Json, name: &str) {
        if let Json::Array(elements) = value {
            elements.iter().for_each(|element| self.name(element, name));
        } else if let Some(value) = value.get(name) {
            self.end(value);
        } else {
            for (dot, _) in name.match_indices('.') {
                if let Some(inner) = value.get(&name[..dot]) {
                    self.name(inner, &name[dot + 1..]);
                }
            }
        }
    }

    fn steps(&mut self, value: &'a Json, path: &[&str]) {
        match (value, path) {
            (value, []) => self.end(value),
            (Json::Array(elements), path) => {
                elements.iter().for_each(|element| self.steps(element, path));
            }
            (value, [first, rest @ ..]) => {
                if let Some(inner) = value.get(first) {
                    self.steps(inner, rest);
                }
            }
        }
    }

    fn end(&mut self, value: &'a Json) {
        self.is_present = true;
        match value {
            Json::Array(elements) => elements.iter().for_each(|element| self.end(element)),
            value => self.elements.push(value),
        }
    }
}

/// What keywords look at: every text and number of the event, not its keys.
fn keyword_values(event: &Json) -> Vec<&Json> {
    match event {
        Json::Object(members) => members.iter().flat_map(|(_, v)| keyword_values(v)).collect(),
        Json::Array(elements) => elements.iter().flat_map(keyword_values).collect(),
        Json::Text(_) | Json::Number(_) => vec![event],
        Json::Null | Json::Bool(_) => vec![],
    }
}

/// The text of an element, as text tests see it.
fn text_of(element: &Json) -> Option<&str> {
    match element {
        Json::Text(text) | Json::Number(text) => Some(text),
        Json::Bool(true) => Some("true"),
        Json::Bool(false) => Some("false"),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

fn element_test(test: &Test, element: &Json) -> bool {
    match test {
        // `*` alone asks for something, whatever it is.
        Test::Text { pattern, .. } if pattern.parts == [Part::AnyRun] => *element != Json::Null,
        Test::Text { pattern, cased } => {
            text_of(element).is_some_and(|text| text::glob(pattern, text, *cased))
        }
        Test::Number(wanted) => match element {
            Json::Number(number) => number::parse(number) == number::parse(&wanted.text),
            Json::Text(text) => text::equal(text, &wanted.text, false),
            _ => false,
        },
        Test::Bool(wanted) => match element {
            Json::Bool(value) => value == wanted,
            Json::Text(text) => text.eq_ignore_ascii_case(if *wanted { "true" } else { "false" }),
            _ => false,
        },
        Test::Compare(comparison, bound) => {
            let (Json::Number(text) | Json::Text(text)) = element else { return false };
            match (number::parse(text), number::parse(&bound.text)) {
                (Some(number), Some(bound)) => match comparison {
                    Comparison::Less => number < bound,
                    Comparison::LessOrEqual => number <= bound,
                    Comparison::Greater => number > bound,
                    Comparison::GreaterOrEqual => number >= bound,
                },
                _ => false,
            }
        }
        Test::TimePart { part, comparison, number } => {
            let (Json::Number(text) | Json::Text(text)) = element else { return false };
            time_part::holds(*part, *comparison, *number, text)
        }
        Test::Regex(regex) => text_of(element).is_some_and(|text| text::search(regex, text)),
        Test::Backtracking(expression) => {
            text_of(element).is_some_and(|text| text::search_backtracking(expression, text))
        }
        Test::Cidr(network) => {
            let Json::Text(text) = element else { return false };
            text.parse().is_ok_and(|address: std::net::IpAddr| network.contains(&address))
        }
        Test::Null | Test::Exists(_) | Test::FieldRef { .. } => {
            unreachable!("tests of the whole field are decided before its elements")
        }
    }
}

fn relates(element: &Json, other: &Json, relation: Relation, cased: bool) -> bool {
    if let (Relation::Equal, Json::Number(a), Json::Number(b)) = (relation, element, other) {
        return number::parse(a) == number::parse(b);
    }
    match (text_of(element), text_of(other)) {
        (Some(a), Some(b)) => text::relates(a, b, relation, cased),
        _ => false,
    }
}
