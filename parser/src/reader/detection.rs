//! The detection section: named selections and the conditions over them.

use super::Reader;
use super::Weight;
use super::item;
use super::timespan;
use crate::condition;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::{Block, Condition, DetectionSection, Selection};
use crate::span::Spanned;
use crate::yaml::{Node, NodeKind};

/// Reads the section under `key`, whose other entries (`reserved`) are no selections.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    key: &Node,
    section: &Node,
    reserved: &[&str],
) -> Option<DetectionSection> {
    let name = key.key().unwrap_or_default();
    let Some(entries) = section.as_mapping() else {
        let diagnostic = Diagnostic::error(Code::TypeError, key.span)
            .message(format!("`{name}` has to be a map, not {}", section.describe()))
            .help("name each selection: `selection:` and below it what to look for");
        reader.report(diagnostic);
        return None;
    };
    let is_reserved =
        |key: &str| matches!(key, "condition" | "timeframe") || reserved.contains(&key);
    let mut names = Vec::new();
    let mut selections = Vec::new();
    let mut timeframe = None;
    for (key, node) in entries {
        let Some(name) = key.key() else { continue };
        if name == "timeframe" {
            timeframe = reader.text(name, node, Weight::Loadable);
            if let Some(text) = &timeframe {
                timespan::read(reader, text);
            }
        }
        if is_reserved(name) {
            continue;
        }
        names.push(name);
        if let Some(body) = selection(reader, key, node) {
            let name = Spanned::new(name.to_owned(), key.span);
            selections.push(Selection { name, body });
        }
    }
    let Some((condition_key, condition_node)) = section.entry("condition") else {
        reader.missing("condition", section, key.span, Weight::Blocking);
        return None;
    };
    let conditions = conditions(reader, condition_key, condition_node, &names, timeframe.is_some());
    Some(DetectionSection { selections, conditions, timeframe })
}

fn conditions(
    reader: &mut Reader<'_>,
    key: &Node,
    node: &Node,
    names: &[&str],
    has_timeframe: bool,
) -> Vec<Condition> {
    let nodes: &[Node] = match &node.kind {
        NodeKind::Sequence(items) => items,
        _ => std::slice::from_ref(node),
    };
    if nodes.is_empty() {
        reader.error(Code::TypeError, node.span, "the list of conditions is empty");
    }
    let mut conditions = Vec::new();
    for node in nodes {
        match &node.kind {
            NodeKind::Scalar(_) if node.is_null() => {
                reader.error(Code::ConditionSyntax, key.span, "the condition is empty");
            }
            NodeKind::Scalar(scalar) => {
                let context = condition::Context { names, has_timeframe };
                let text = Spanned::new(scalar.text.clone(), node.span);
                if let Some((expr, aggregation)) = condition::read(reader, node, &text, &context) {
                    conditions.push(Condition { text, expr, aggregation });
                }
            }
            _ => {
                let message = format!("a condition has to be a text, not {}", node.describe());
                reader.error(Code::TypeError, node.span, message);
            }
        }
    }
    conditions
}

fn selection(reader: &mut Reader<'_>, key: &Node, node: &Node) -> Option<Block> {
    let is_empty = match &node.kind {
        NodeKind::Scalar(_) => node.is_null(),
        NodeKind::Sequence(items) => items.is_empty(),
        NodeKind::Mapping(entries) => entries.is_empty(),
    };
    if is_empty {
        report_empty(reader, key, key.key().unwrap_or_default());
        return None;
    }
    block(reader, node)
}

fn report_empty(reader: &mut Reader<'_>, node: &Node, name: &str) {
    let diagnostic = Diagnostic::error(Code::EmptyDetection, node.span)
        .message(format!("selection `{name}` is empty"))
        .help("a selection without a field or keyword would match every event");
    reader.report(diagnostic);
}

fn block(reader: &mut Reader<'_>, node: &Node) -> Option<Block> {
    match &node.kind {
        NodeKind::Scalar(_) => item::keywords(reader, &[node], node.span).map(Block::Item),
        NodeKind::Sequence(items) => list(reader, node, items),
        NodeKind::Mapping(entries) => {
            if entries.is_empty() {
                report_empty(reader, node, "{}");
                return None;
            }
            // All are read before any failure counts, so that each has its finding.
            let blocks: Vec<_> =
                entries.iter().map(|(key, values)| line(reader, key, values)).collect();
            blocks.into_iter().collect::<Option<Vec<_>>>().map(Block::AllOf)
        }
    }
}

/// A line of a map. The specification has no map under a field; users of the JVM processor may, which
/// takes the names inside for the fields.
fn line(reader: &mut Reader<'_>, key: &Node, values: &Node) -> Option<Block> {
    let inner = match &values.kind {
        NodeKind::Mapping(inner) if !inner.is_empty() => inner,
        _ => return item::field_item(reader, key, values).map(Block::Item),
    };
    let diagnostic = Diagnostic::error(Code::TypeError, values.span)
        .message(format!("a value cannot be {}", values.describe()))
        .help("write a text, a number, or a flat list of them; the names inside are read as the fields");
    // A map in a map in a map, or one that modifiers would apply to, nobody can have meant.
    let is_flat = inner.iter().all(|(_, values)| values.as_mapping().is_none());
    let has_modifiers = key.key().is_none_or(|key| key.contains('|'));
    if !is_flat || has_modifiers {
        reader.report(diagnostic);
        return None;
    }
    reader.report(diagnostic.loadable());
    block(reader, values)
}

/// A list: keywords together in one item, maps and further lists each for itself.
fn list(reader: &mut Reader<'_>, node: &Node, items: &[Node]) -> Option<Block> {
    if items.is_empty() {
        report_empty(reader, node, "[]");
        return None;
    }
    let keywords: Vec<&Node> = items.iter().filter(|item| item.as_scalar().is_some()).collect();
    let mut blocks = Vec::new();
    if !keywords.is_empty() {
        blocks.push(item::keywords(reader, &keywords, node.span).map(Block::Item));
    }
    for item in items.iter().filter(|item| item.as_scalar().is_none()) {
        blocks.push(block(reader, item));
    }
    let blocks: Vec<Block> = blocks.into_iter().collect::<Option<_>>()?;
    match blocks.as_slice() {
        [Block::Item(item)] if item.field.is_none() && keywords.len() == items.len() => {
            Some(Block::Item(item.clone()))
        }
        _ => Some(Block::AnyOf(blocks)),
    }
}
