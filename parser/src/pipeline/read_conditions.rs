//! The conditions of an item, of all three kinds.

use std::sync::Arc;

use super::condition::{
    Conditions, FIELD_CONDITIONS, FieldTest, ITEM_CONDITIONS, ItemTest, Linking, LogsourceTest,
    Names, RULE_CONDITIONS, Relation, RuleTest, StateTest,
};
use super::options::{self, Options};
use super::read::type_of;
use crate::condition;
use crate::diagnostic::Code;
use crate::reader::Reader;
use crate::span::Spanned;
use crate::yaml::{Node, NodeKind};

type Types = &'static [(&'static str, &'static [&'static str])];

/// `rule_conditions` and what links them.
pub(super) fn rule(reader: &mut Reader<'_>, item: &Node) -> Conditions<RuleTest> {
    conditions(reader, item, "rule", RULE_CONDITIONS, rule_test)
}

/// `detection_item_conditions` and what links them.
pub(super) fn item(reader: &mut Reader<'_>, item: &Node) -> Conditions<ItemTest> {
    conditions(reader, item, "detection_item", ITEM_CONDITIONS, item_test)
}

/// `field_name_conditions` and what links them.
pub(super) fn field(reader: &mut Reader<'_>, item: &Node) -> Conditions<FieldTest> {
    conditions(reader, item, "field_name", FIELD_CONDITIONS, field_test)
}

fn conditions<T>(
    reader: &mut Reader<'_>,
    item: &Node,
    kind: &str,
    types: Types,
    test: impl Fn(&mut Reader<'_>, &Options<'_>) -> Option<T>,
) -> Conditions<T> {
    let mut conditions = Conditions::default();
    let mut names: Vec<&str> = Vec::new();
    let Some((key, node)) = item.entry(&format!("{kind}_conditions")) else { return conditions };
    let nodes: Vec<&Node> = match &node.kind {
        NodeKind::Sequence(nodes) => nodes.iter().collect(),
        NodeKind::Mapping(entries) => {
            names = entries.iter().filter_map(|(name, _)| name.key()).collect();
            entries.iter().map(|(_, node)| node).collect()
        }
        NodeKind::Scalar(_) if node.is_null() => Vec::new(),
        NodeKind::Scalar(_) => {
            let message = format!("conditions have to be a list or a map, not {}", node.describe());
            reader.error(Code::TypeError, key.span, message);
            return conditions;
        }
    };
    for node in nodes {
        let Some((type_node, known)) = type_of(reader, node, "condition", types) else { continue };
        let type_name = type_node.key().unwrap_or_default();
        let options = Options { node, type_name, type_node };
        options.check(reader, known, &["type"]);
        conditions.tests.extend(test(reader, &options));
    }
    conditions.linking = linking(reader, item, kind, &names);
    let key = format!("{kind}_cond_not");
    let negation = item.get(&key).filter(|node| !node.is_null());
    conditions.is_negated = negation.is_some_and(|node| options::switch(reader, &key, node));
    conditions
}

fn linking(reader: &mut Reader<'_>, item: &Node, kind: &str, names: &[&str]) -> Linking {
    let (op, expr) = (format!("{kind}_cond_op"), format!("{kind}_cond_expr"));
    let Some((key, node)) = item.entry(&expr).filter(|(_, node)| !node.is_null()) else {
        let options = Options { node: item, type_name: kind, type_node: item };
        let words = [("and", Linking::All), ("or", Linking::Any)];
        let places = [("and", 0), ("or", 1)];
        let at = options.word(reader, &op, &places).unwrap_or(0);
        return words.into_iter().nth(at).map_or(Linking::All, |(_, linking)| linking);
    };
    if item.get(&op).is_some_and(|node| !node.is_null()) {
        let message = format!("`{expr}` and `{op}` cannot stand together");
        reader.error(Code::PipelineOption, key.span, message);
    }
    if names.is_empty() {
        let message = format!("`{expr}` needs `{kind}_conditions` that are a map of names");
        reader.error(Code::PipelineOption, key.span, message);
        return Linking::All;
    }
    let Some(text) = options::text(reader, &expr, node) else { return Linking::All };
    let context = condition::Context { names, has_timeframe: false };
    match condition::read(reader, node, &Spanned::new(text, node.span), &context) {
        Some((expr, _)) => Linking::Expr(expr),
        None => Linking::All,
    }
}

fn rule_test(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<RuleTest> {
    Some(match options.type_name {
        "logsource" => RuleTest::Logsource(LogsourceTest {
            category: choice(reader, options, "category"),
            product: choice(reader, options, "product"),
            service: choice(reader, options, "service"),
        }),
        "contains_detection_item" => RuleTest::ContainsDetectionItem {
            field: options.text(reader, "field")?,
            value: options.value(reader, "value")?,
        },
        "contains_field" => RuleTest::ContainsField(options.text(reader, "field")?),
        "processing_item_applied" => RuleTest::ItemApplied(item_id(reader, options)?),
        "processing_state" => RuleTest::State(state(reader, options)?),
        "is_sigma_rule" => RuleTest::IsRule,
        "is_sigma_correlation_rule" => RuleTest::IsCorrelation,
        "rule_attribute" => RuleTest::Attribute {
            attribute: options.text(reader, "attribute")?,
            value: options.value(reader, "value")?,
            relation: options.word(reader, "op", &Relation::ALL)?,
        },
        _ => RuleTest::Tag(options.text(reader, "tag")?),
    })
}

fn item_test(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<ItemTest> {
    let is_all = options.word(reader, "cond", &[("any", false), ("all", true)]);
    Some(match options.type_name {
        "match_string" => ItemTest::MatchString {
            regex: options.regex(reader, "pattern")?,
            is_negated: options.switch(reader, "negate"),
            is_all: is_all?,
        },
        "match_value" => {
            ItemTest::MatchValue { value: options.value(reader, "value")?, is_all: is_all? }
        }
        "contains_wildcard" => ItemTest::ContainsWildcard { is_all: is_all? },
        "is_null" => ItemTest::IsNull { is_all: is_all? },
        "processing_item_applied" => ItemTest::ItemApplied(item_id(reader, options)?),
        _ => ItemTest::State(state(reader, options)?),
    })
}

fn field_test(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<FieldTest> {
    Some(match options.type_name {
        "include_fields" => FieldTest::Include(names(reader, options)?),
        "exclude_fields" => FieldTest::Exclude(names(reader, options)?),
        "processing_item_applied" => FieldTest::ItemApplied(item_id(reader, options)?),
        _ => FieldTest::State(state(reader, options)?),
    })
}

fn names(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Names> {
    let is_regex = options.word(reader, "mode", &[("plain", false), ("re", true)])?;
    if !is_regex {
        return options.texts(reader, "fields").map(Names::Plain);
    }
    let node = options.required(reader, "fields")?;
    let mut regexes = Vec::new();
    for node in node.as_sequence().unwrap_or(std::slice::from_ref(node)) {
        let pattern = options::text(reader, "fields", node)?;
        regexes.push(options::compile(reader, node, &pattern)?);
    }
    Some(Names::Regex(regexes))
}

fn item_id(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Arc<str>> {
    options.text(reader, "processing_item_id").map(|id| Arc::from(id.as_str()))
}

fn state(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<StateTest> {
    // A state is one value: nothing can be in it.
    let relations = &Relation::ALL[..6];
    Some(StateTest {
        key: options.text(reader, "key")?,
        value: options.value(reader, "val")?,
        relation: options.word(reader, "op", relations)?,
    })
}

/// The values of which one is wanted. A list may hold null: the rule does not give the part.
fn choice(reader: &mut Reader<'_>, options: &Options<'_>, name: &str) -> Vec<Option<String>> {
    let Some(node) = options.get(name) else { return Vec::new() };
    let nodes = node.as_sequence().unwrap_or(std::slice::from_ref(node));
    let mut choice = Vec::new();
    for node in nodes {
        if node.is_null() {
            choice.push(None);
        } else {
            choice.extend(options::text(reader, name, node).map(Some));
        }
    }
    choice
}
