//! Why a rule matches an event, or does not: every part of its condition, and whether it holds.
//!
//! In: a rule with the filters that reach it, and records. Out: for each condition a tree of
//! [`Explanation`]s, down to the values of the rule and the values of the event that they match. Every part
//! is lowered as the whole is and becomes a rule of a plan of its own, so that it is the engine's matcher that
//! decides each of them. Which value of a field a test holds for is found by asking again of a record that
//! has no other value. `tests/explain.rs` holds the tree against the plan of the whole rule.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sigmill_engine::{
    Cover, FieldId, FieldText, KEYWORDS, Matcher, MatcherConfig, PlanBuilder, PlanRule, Rejection,
    RuleId, ValueKind,
};
use sigmill_parser::{
    Block, DetectionItem, Expr, FieldMapping, Filter, JsonPath, Quantifier, Rule, Test as RuleTest,
    Value,
};

use super::Lowering;
use crate::emit::AtomSet;
use crate::rule_set::{References, RuleDocument};
use crate::tree::Tree;
use crate::{CompileError, emit, filter};

/// A part of a condition, and whether it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What the part is.
    pub part: Part,
    /// Whether it holds.
    pub holds: bool,
    /// For a [`Part::Value`]: the values of the event for which it holds.
    pub matched: Vec<EventValue>,
    /// For a [`Part::Field`]: all values that the event has there; `None` if it has no such field.
    pub found: Option<Vec<EventValue>>,
    /// What it is made of.
    pub parts: Vec<Explanation>,
}

/// What a part of a condition is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// A condition of the rule, with the filters that were added to it: all parts have to hold.
    Condition {
        /// As written.
        text: String,
        /// Whether matches are counted behind a pipe, which one event cannot explain.
        has_aggregation: bool,
    },
    /// A filter: all parts, its conditions, have to hold.
    Filter {
        /// Its title.
        title: String,
    },
    /// `and`, or several keys of a map.
    All,
    /// `or`, or several maps of a list.
    Any,
    /// `not`: its one part must not hold.
    Not,
    /// `1 of`, `all of`.
    Of(Quantifier),
    /// A selection: its one part.
    Selection {
        /// Its name.
        name: String,
    },
    /// A field, or keywords, with modifiers. A field that is mapped to several holds if one of its
    /// parts, which are fields too, holds.
    Field {
        /// The name in the event; `None` for keywords.
        name: Option<String>,
        /// The modifiers as written.
        modifiers: Vec<&'static str>,
        /// All values have to hold, not just one.
        is_all: bool,
        /// It holds if its values do not.
        is_negated: bool,
    },
    /// A value of the rule.
    Value {
        /// As written.
        text: String,
    },
}

/// A value of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventValue {
    /// What it is.
    pub kind: ValueKind,
    /// Its text; empty for objects.
    pub text: String,
}

impl EventValue {
    fn of(value: FieldText<'_>) -> Self {
        Self { kind: value.kind, text: String::from_utf8_lossy(value.text).into_owned() }
    }
}

/// The filters among documents that reach the rule at `index`.
pub fn filters_of(documents: &[RuleDocument], index: usize) -> Vec<&Filter> {
    let names = References::new(documents, &crate::CompileOptions::default());
    let filters = documents.iter().filter_map(|document| match document {
        RuleDocument::Filter(filter) => Some(filter.as_ref()),
        _ => None,
    });
    filters
        .filter(|filter| filter::reach(filter, documents, &names).rules.contains(&index))
        .collect()
}

/// Explains one rule.
#[derive(Debug)]
pub struct Explainer {
    matcher: Matcher,
    conditions: Vec<Node>,
    /// The fields that values are looked for in, with the steps that lead to them.
    fields: BTreeMap<FieldId, Vec<String>>,
    /// Where single keywords are looked at.
    single: FieldId,
}

/// A part before it is known whether it holds.
#[derive(Debug)]
struct Node {
    part: Part,
    rule: RuleId,
    field: Option<FieldId>,
    /// The other fields that a value is compared with.
    others: Vec<FieldId>,
    nodes: Vec<Node>,
}

/// The name of [`Explainer::single`].
const SINGLE: &str = "value";

impl Explainer {
    /// An explainer of `rule` with `filters` added.
    ///
    /// # Errors
    /// The rule or a filter does not compile.
    pub fn new(
        rule: &Rule,
        filters: &[&Filter],
        mapping: &FieldMapping,
    ) -> Result<Self, CompileError> {
        let mut builder = PlanBuilder::default();
        let single = crate::field(&mut builder, SINGLE)?;
        let mut trees = Vec::new();
        let mut added = Vec::new();
        for filter in filters {
            let rule = filter::as_rule(filter);
            let mut nodes = Nodes::new(&rule, mapping, &mut builder, &mut trees);
            let mut parts = Vec::new();
            for condition in &rule.detection.conditions {
                parts.push(nodes.expr(&condition.expr)?);
            }
            let part = Part::Filter { title: filter.title.node.clone() };
            added.push(nodes.join(part, parts));
        }
        let mut conditions = Vec::new();
        let mut nodes = Nodes::new(rule, mapping, &mut builder, &mut trees);
        for condition in &rule.detection.conditions {
            let mut parts = vec![nodes.expr(&condition.expr)?];
            parts.extend(added.iter().map(Node::copy));
            let part = Part::Condition {
                text: condition.text.node.clone(),
                has_aggregation: condition.aggregation.is_some(),
            };
            conditions.push(nodes.join(part, parts));
        }
        for (at, tree) in trees.iter().enumerate() {
            let program = emit::program(tree, &AtomSet::default(), &mut builder);
            let rule = PlanRule { source: at as u32, condition: 0 };
            builder.rule(rule, &program, Cover::Always);
        }
        let mut fields = BTreeMap::new();
        let mut open: Vec<&Node> = conditions.iter().collect();
        while let Some(node) = open.pop() {
            open.extend(&node.nodes);
            for field in node.field.iter().chain(&node.others).filter(|field| **field != KEYWORDS) {
                fields.insert(*field, steps(builder.field_name(*field)));
            }
        }
        let matcher = Matcher::new(Arc::new(builder.build()), MatcherConfig::default());
        Ok(Self { matcher, conditions, fields, single })
    }

    /// Explains each condition of the rule for one record.
    ///
    /// # Errors
    /// The record is refused.
    pub fn explain(&mut self, record: &[u8]) -> Result<Vec<Explanation>, Rejection> {
        let held: HashSet<RuleId> = self.matcher.matches(record)?.iter().copied().collect();
        let mut found: HashMap<FieldId, Vec<EventValue>> = HashMap::new();
        for field in self.fields.keys() {
            let values = found.entry(*field).or_default();
            self.matcher.read_field(record, *field, |value| {
                values.push(EventValue::of(value));
            });
        }
        let mut event =
            Event { found, keywords: self.keywords(record), matcher: &mut self.matcher };
        let fields = &self.fields;
        Ok(self.conditions.iter().map(|node| event.explained(node, &held, fields)).collect())
    }

    /// The texts and numbers of a record, and for each the rules that hold where there is no other.
    fn keywords(&mut self, record: &[u8]) -> Vec<(EventValue, HashSet<RuleId>)> {
        let mut keywords = Vec::new();
        if !self.conditions.iter().any(Node::has_keywords) {
            return keywords;
        }
        for leaf in leaves(record) {
            let single = format!("{{\"{SINGLE}\":{leaf}}}");
            let Ok(held) = self.matcher.matches(single.as_bytes()) else { continue };
            let held = held.iter().copied().collect();
            let mut leaf = None;
            self.matcher.read_field(single.as_bytes(), self.single, |value| {
                leaf = Some(EventValue::of(value));
            });
            keywords.extend(leaf.map(|leaf| (leaf, held)));
        }
        keywords
    }
}

/// A record, and what was found in it.
struct Event<'a> {
    found: HashMap<FieldId, Vec<EventValue>>,
    keywords: Vec<(EventValue, HashSet<RuleId>)>,
    matcher: &'a mut Matcher,
}

impl Event<'_> {
    fn explained(
        &mut self,
        node: &Node,
        held: &HashSet<RuleId>,
        fields: &BTreeMap<FieldId, Vec<String>>,
    ) -> Explanation {
        let holds = held.contains(&node.rule);
        let is_value = matches!(node.part, Part::Value { .. });
        let matched = if is_value && holds { self.matched(node, fields) } else { Vec::new() };
        let found = match (&node.part, node.field) {
            (Part::Field { .. }, Some(field)) if field != KEYWORDS => {
                self.found.get(&field).filter(|values| !values.is_empty()).cloned()
            }
            _ => None,
        };
        let parts = node.nodes.iter().map(|part| self.explained(part, held, fields)).collect();
        Explanation { part: node.part.clone(), holds, matched, found, parts }
    }

    /// The values of the event for which a value of the rule holds.
    fn matched(&mut self, node: &Node, fields: &BTreeMap<FieldId, Vec<String>>) -> Vec<EventValue> {
        let Some(field) = node.field else { return Vec::new() };
        if field == KEYWORDS {
            let mut matched = Vec::new();
            for (value, rules) in &self.keywords {
                if rules.contains(&node.rule) && !matched.contains(value) {
                    matched.push(value.clone());
                }
            }
            return matched;
        }
        let values = self.found.get(&field).cloned().unwrap_or_default();
        let mut matched = Vec::new();
        for value in values {
            let mut single = Object::default();
            single.insert(&fields[&field], json(&value));
            for other in node.others.iter().filter(|other| **other != field) {
                let values = self.found.get(other).map_or(&[][..], Vec::as_slice);
                if !values.is_empty() {
                    let values: Vec<String> = values.iter().map(json).collect();
                    single.insert(&fields[other], format!("[{}]", values.join(",")));
                }
            }
            let is_held = self
                .matcher
                .matches(single.to_json().as_bytes())
                .is_ok_and(|rules| rules.contains(&node.rule));
            if is_held && !matched.contains(&value) {
                matched.push(value);
            }
        }
        matched
    }
}

impl Node {
    /// The same part at another place of the tree.
    fn copy(&self) -> Self {
        Self {
            part: self.part.clone(),
            rule: self.rule,
            field: self.field,
            others: self.others.clone(),
            nodes: self.nodes.iter().map(Self::copy).collect(),
        }
    }

    fn has_keywords(&self) -> bool {
        self.field == Some(KEYWORDS) || self.nodes.iter().any(Self::has_keywords)
    }
}

/// Makes nodes, and the trees of the plan behind them.
struct Nodes<'a> {
    lowering: Lowering<'a>,
    trees: &'a mut Vec<Tree>,
}

impl<'a> Nodes<'a> {
    fn new(
        rule: &'a Rule,
        mapping: &'a FieldMapping,
        builder: &'a mut PlanBuilder,
        trees: &'a mut Vec<Tree>,
    ) -> Self {
        Self { lowering: Lowering { rule, mapping, builder, selections: HashMap::new() }, trees }
    }

    fn node(&mut self, part: Part, tree: Tree, nodes: Vec<Node>) -> Node {
        let rule = RuleId(self.trees.len() as u32);
        self.trees.push(tree);
        Node { part, rule, field: None, others: Vec::new(), nodes }
    }

    /// All parts have to hold, and all are known.
    fn join(&mut self, part: Part, nodes: Vec<Node>) -> Node {
        let tree = Tree::all(nodes.iter().map(|node| self.trees[node.rule.0 as usize].clone()));
        self.node(part, tree, nodes)
    }

    fn expr(&mut self, expr: &Expr) -> Result<Node, CompileError> {
        let tree = self.lowering.expr(expr, 0)?;
        let (part, nodes) = match expr {
            Expr::And(parts) => (Part::All, self.exprs(parts)?),
            Expr::Or(parts) => (Part::Any, self.exprs(parts)?),
            Expr::Not(inner) => (Part::Not, vec![self.expr(inner)?]),
            Expr::Selection(index, _) => return self.selection(*index),
            Expr::Of(quantifier, indices, _) => {
                let nodes: Result<_, _> =
                    indices.iter().map(|index| self.selection(*index)).collect();
                (Part::Of(*quantifier), nodes?)
            }
        };
        Ok(self.node(part, tree, nodes))
    }

    fn exprs(&mut self, parts: &[Expr]) -> Result<Vec<Node>, CompileError> {
        parts.iter().map(|part| self.expr(part)).collect()
    }

    fn selection(&mut self, index: usize) -> Result<Node, CompileError> {
        let selection = &self.lowering.rule.detection.selections[index];
        let tree = self.lowering.selection(index)?;
        let nodes = vec![self.block(&selection.body)?];
        Ok(self.node(Part::Selection { name: selection.name.node.clone() }, tree, nodes))
    }

    fn block(&mut self, block: &Block) -> Result<Node, CompileError> {
        let (part, parts) = match block {
            Block::AllOf(parts) => (Part::All, parts),
            Block::AnyOf(parts) => (Part::Any, parts),
            Block::Item(item) => return self.item(item),
        };
        let tree = self.lowering.block(block, 0)?;
        let nodes: Result<_, _> = parts.iter().map(|part| self.block(part)).collect();
        Ok(self.node(part, tree, nodes?))
    }

    fn item(&mut self, item: &DetectionItem) -> Result<Node, CompileError> {
        let Some(field) = &item.field else { return self.field(item, None, KEYWORDS) };
        let mapping = self.lowering.mapping;
        let targets = mapping.targets(&field.node);
        let mut nodes = Vec::new();
        for target in targets {
            let id = self.lowering.field(target)?;
            nodes.push(self.field(item, Some(target), id)?);
        }
        if nodes.len() == 1 {
            return Ok(nodes.swap_remove(0));
        }
        let tree = self.lowering.item(item)?;
        Ok(self.node(Part::Any, tree, nodes))
    }

    fn field(
        &mut self,
        item: &DetectionItem,
        name: Option<&str>,
        field: FieldId,
    ) -> Result<Node, CompileError> {
        let predicate = &item.predicate;
        let mut nodes = Vec::new();
        for (at, tests) in predicate.values.iter().enumerate() {
            let trees: Result<Vec<_>, _> =
                tests.iter().map(|test| self.lowering.test(test, field)).collect();
            // Pipelines may have changed the tests alone.
            let written =
                item.values.get(at).filter(|_| item.values.len() == predicate.values.len());
            let text = written.map_or_else(|| format!("{tests:?}"), |value| spelled(&value.node));
            let mut node = self.node(Part::Value { text }, Tree::any(trees?), Vec::new());
            node.field = Some(field);
            node.others = self.others(tests)?;
            nodes.push(node);
        }
        let part = Part::Field {
            name: name.map(str::to_owned),
            modifiers: item.modifiers.iter().map(|modifier| modifier.node.as_str()).collect(),
            is_all: predicate.all,
            is_negated: predicate.negated,
        };
        let tree = self.lowering.predicate(predicate, field)?;
        let mut node = self.node(part, tree, nodes);
        node.field = Some(field);
        Ok(node)
    }

    /// The fields that tests compare with.
    fn others(&mut self, tests: &[RuleTest]) -> Result<Vec<FieldId>, CompileError> {
        let mut others = Vec::new();
        for test in tests {
            let RuleTest::FieldRef { field, .. } = test else { continue };
            for target in self.lowering.mapping.targets(field) {
                others.push(self.lowering.field(target)?);
            }
        }
        Ok(others)
    }
}

/// A value of a rule, on a line.
fn spelled(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("'{text}'"),
        Value::Number(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Null => "null".to_owned(),
    }
}

/// The keys that lead to a field: those of a path, else the name as one key, which wins over nesting.
fn steps(name: &str) -> Vec<String> {
    match JsonPath::parse(name) {
        // What is found by walking has no one place.
        Some(Ok(path)) => path.keys().unwrap_or_default().into_iter().map(str::to_owned).collect(),
        _ => vec![name.to_owned()],
    }
}

/// An object with few members, in the order of their keys.
#[derive(Default)]
struct Object(BTreeMap<String, Member>);

enum Member {
    Json(String),
    Object(Object),
}

impl Object {
    /// Puts a value where the keys lead. Where another value is in the way, it stays.
    fn insert(&mut self, keys: &[String], json: String) {
        let [first, rest @ ..] = keys else { return };
        if rest.is_empty() {
            self.0.entry(first.clone()).or_insert(Member::Json(json));
            return;
        }
        let inner =
            self.0.entry(first.clone()).or_insert_with(|| Member::Object(Object::default()));
        if let Member::Object(object) = inner {
            object.insert(rest, json);
        }
    }

    fn to_json(&self) -> String {
        let member = |(key, member): (&String, &Member)| match member {
            Member::Json(json) => format!("{}:{json}", quoted(key)),
            Member::Object(object) => format!("{}:{}", quoted(key), object.to_json()),
        };
        format!("{{{}}}", self.0.iter().map(member).collect::<Vec<_>>().join(","))
    }
}

/// A value as JSON; of an object only that it is one.
fn json(value: &EventValue) -> String {
    match value.kind {
        ValueKind::Text => quoted(&value.text),
        ValueKind::Object => "{}".to_owned(),
        ValueKind::Null => "null".to_owned(),
        ValueKind::Number | ValueKind::Bool => value.text.clone(),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c < ' ' => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The texts and numbers of a record that the matcher has accepted, as they are spelled there. Of keys
/// that are repeated, each has its values.
fn leaves(record: &[u8]) -> Vec<String> {
    let mut leaves = Vec::new();
    let mut at = 0;
    while at < record.len() {
        let start = at;
        match record[at] {
            b'"' => {
                at += 1;
                while at < record.len() && record[at] != b'"' {
                    at += if record[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                let rest = record.get(at..).unwrap_or(&[]);
                let is_key = rest.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':');
                if !is_key {
                    let leaf = record.get(start..at).unwrap_or(&[]);
                    leaves.push(String::from_utf8_lossy(leaf).into_owned());
                }
            }
            b'-' | b'0'..=b'9' => {
                let is_number = |b: &&u8| b.is_ascii_digit() || b"+-.eE".contains(b);
                at += record[at..].iter().take_while(is_number).count();
                leaves.push(String::from_utf8_lossy(&record[start..at]).into_owned());
            }
            _ => at += 1,
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_values_as_spelled() {
        let record = br#"{"a" : "x\"y", "b":[1.5e3,{"c":"\u0041"},true,null],"d":-2}"#;
        assert_eq!(leaves(record), [r#""x\"y""#, "1.5e3", r#""\u0041""#, "-2"]);
    }

    #[test]
    fn an_object_nests_paths_and_keeps_names() {
        let mut object = Object::default();
        object.insert(&steps("$.a.b"), "1".to_owned());
        object.insert(&steps("$.a.c"), "2".to_owned());
        object.insert(&steps("a.\"b"), "3".to_owned());
        object.insert(&steps("$.a.b.c"), "4".to_owned());
        assert_eq!(object.to_json(), r#"{"a":{"b":1,"c":2},"a.\"b":3}"#);
    }
}
