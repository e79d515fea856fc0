//! `add_condition`: a selection that has to hold besides the rule's own condition.

use std::collections::BTreeSet;

use super::items::PipelineItem;
use super::options::Options;
use super::run::{Failure, Run};
use super::transformation::AddCondition;
use super::work::{Tree, Work};
use crate::ParseOptions;
use crate::condition::Expr;
use crate::diagnostic::{Code, Diagnostic};
use crate::reader::{Reader, item};
use crate::yaml::{Node, NodeKind};

/// The name of a selection whose item has neither `name` nor `id`.
const NAME: &str = "_pipeline";

/// Reads the options.
pub(super) fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<AddCondition> {
    let conditions = options.required(reader, "conditions")?;
    let is_empty = conditions.as_mapping().is_none_or(<[_]>::is_empty);
    if is_empty {
        reader.report(
            Diagnostic::error(Code::PipelineOption, conditions.span)
                .message(format!("`conditions` has to be a map, not {}", conditions.describe()))
                .help("write fields and their values, as in a selection of a rule"),
        );
        return None;
    }
    let is_template = options.switch(reader, "template");
    let has_variable = ["$category", "$product", "$service"];
    if !is_template {
        // Findings belong to the pipeline; for a template they may depend on the rule.
        tree(reader, conditions)?;
    }
    let named = options.text_if_any(reader, "name");
    let id = options.text_if_any(reader, "id").map(|id| format!("_{id}"));
    Some(AddCondition {
        conditions: conditions.clone(),
        name: named.or(id).unwrap_or_else(|| NAME.to_owned()),
        is_template: is_template && mentions(conditions, &has_variable),
        is_negated: options.switch(reader, "negated"),
    })
}

/// Adds the condition to a rule.
pub(super) fn apply(
    item: &PipelineItem,
    options: &AddCondition,
    run: &mut Run<'_>,
    work: &mut Work,
) -> Result<(), Failure> {
    let defaults = ParseOptions::default();
    let mut reader = Reader { source: "", options: &defaults, diagnostics: Vec::new() };
    let filled;
    let conditions = if options.is_template {
        filled = substituted(&options.conditions, work);
        &filled
    } else {
        &options.conditions
    };
    let Some(mut body) = tree(&mut reader, conditions) else {
        let message = reader.diagnostics.into_iter().map(|found| found.message).next();
        return Err(Failure::new(message.unwrap_or_else(|| "the condition is wrong".to_owned())));
    };
    // Places are those of the pipeline's text, which mean nothing in the rule's.
    let span = work.conditions.first().map(|condition| condition.text.span).unwrap_or_default();
    place(&mut body, span);
    if let Some(id) = &item.id {
        mark(&mut body, id);
    }
    let index = work.add_selection(&options.name, span, body);
    let selection = Expr::Selection(index, span);
    work.guards.push(match options.is_negated {
        true => Expr::Not(Box::new(selection)),
        false => selection,
    });
    let is_for_logsource = options.is_template || run.is_for_logsource || item.is_for_logsource();
    run.has_logsource_condition |= is_for_logsource;
    Ok(())
}

/// The map as the inside of a selection.
fn tree(reader: &mut Reader<'_>, conditions: &Node) -> Option<Tree> {
    let entries = conditions.as_mapping()?;
    let items: Vec<Option<Tree>> = entries
        .iter()
        .map(|(key, values)| {
            let item = item::field_item(reader, key, values)?;
            Some(Tree::item(item, &BTreeSet::new()))
        })
        .collect();
    let mut items: Vec<Tree> = items.into_iter().collect::<Option<_>>()?;
    Some(if items.len() == 1 { items.remove(0) } else { Tree::AllOf(items) })
}

fn mark(tree: &mut Tree, id: &std::sync::Arc<str>) {
    match tree {
        Tree::AllOf(trees) | Tree::AnyOf(trees) => trees.iter_mut().for_each(|tree| mark(tree, id)),
        Tree::Item(item) => {
            item.applied.insert(std::sync::Arc::clone(id));
        }
    }
}

/// Gives every item a place in the rule.
pub(super) fn place(tree: &mut Tree, span: crate::Span) {
    match tree {
        Tree::AllOf(trees) | Tree::AnyOf(trees) => {
            trees.iter_mut().for_each(|tree| place(tree, span));
        }
        Tree::Item(work) => {
            let item = &mut work.item;
            item.span = span;
            item.field.iter_mut().for_each(|field| field.span = span);
            item.modifiers.iter_mut().for_each(|modifier| modifier.span = span);
            item.values.iter_mut().for_each(|value| value.span = span);
        }
    }
}

/// Whether a text below the node holds one of these.
fn mentions(node: &Node, names: &[&str]) -> bool {
    match &node.kind {
        NodeKind::Scalar(scalar) => {
            let text = scalar.text.replace("${", "$");
            names.iter().any(|name| text.contains(name))
        }
        NodeKind::Sequence(nodes) => nodes.iter().any(|node| mentions(node, names)),
        NodeKind::Mapping(entries) => entries.iter().any(|(_, node)| mentions(node, names)),
    }
}

/// The values with the parts of the rule's log source in their places.
fn substituted(node: &Node, work: &Work) -> Node {
    let kind = match &node.kind {
        NodeKind::Scalar(scalar) => {
            let mut scalar = scalar.clone();
            let logsource = work.logsource.as_ref();
            let part = |part: Option<&crate::Spanned<String>>| {
                part.map_or_else(|| "None".to_owned(), |part| part.node.clone())
            };
            for (name, value) in [
                ("category", part(logsource.and_then(|source| source.category.as_ref()))),
                ("product", part(logsource.and_then(|source| source.product.as_ref()))),
                ("service", part(logsource.and_then(|source| source.service.as_ref()))),
            ] {
                scalar.text = scalar.text.replace(&format!("${{{name}}}"), &value);
                scalar.text = scalar.text.replace(&format!("${name}"), &value);
            }
            NodeKind::Scalar(scalar)
        }
        NodeKind::Sequence(nodes) => {
            NodeKind::Sequence(nodes.iter().map(|node| substituted(node, work)).collect())
        }
        NodeKind::Mapping(entries) => {
            let entry = |(key, node): &(Node, Node)| (key.clone(), substituted(node, work));
            NodeKind::Mapping(entries.iter().map(entry).collect())
        }
    };
    Node { kind, span: node.span }
}
