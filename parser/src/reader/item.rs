//! One line of a selection: `field|modifier|…: values`, or a list of keywords.

use super::Reader;
use super::chain::Chain;
use super::transform;
use crate::diagnostic::{Code, Diagnostic};
use crate::modifier::Modifier;
use crate::predicate::Predicate;
use crate::rule::{DetectionItem, Value};
use crate::span::{Span, Spanned};
use crate::yaml::{Node, NodeKind};

/// Reads a key of a selection's map and its values.
pub(crate) fn field_item(
    reader: &mut Reader<'_>,
    key: &Node,
    values: &Node,
) -> Option<DetectionItem> {
    let text = key.key()?.to_owned();
    let (field, modifiers) = split_key(reader, key, &text);
    let nodes: &[Node] = match &values.kind {
        NodeKind::Sequence(items) => items,
        _ => std::slice::from_ref(values),
    };
    let span =
        if values.span.start >= key.span.start { key.span.to(values.span) } else { key.span };
    if nodes.is_empty() {
        let diagnostic = Diagnostic::error(Code::EmptyDetection, key.span)
            .message(format!("`{text}` has an empty list of values"))
            .help("give it a value; to ask for a missing field, write `null`");
        reader.report(diagnostic);
        return None;
    }
    if field.is_none() && !text.starts_with('|') {
        let diagnostic = Diagnostic::error(Code::TypeError, key.span)
            .message("the name of the field is empty")
            .help("keywords stand in a list under the selection, or under `'|all'`");
        reader.report(diagnostic);
        return None;
    }
    item(reader, field, modifiers?, nodes, key.span, span)
}

/// Reads keywords: values that are looked for in the whole event.
pub(crate) fn keywords(
    reader: &mut Reader<'_>,
    nodes: &[&Node],
    span: Span,
) -> Option<DetectionItem> {
    let nodes: Vec<Node> = nodes.iter().map(|node| (*node).clone()).collect();
    item(reader, None, Vec::new(), &nodes, span, span)
}

fn item(
    reader: &mut Reader<'_>,
    field: Option<Spanned<String>>,
    modifiers: Vec<Spanned<Modifier>>,
    nodes: &[Node],
    key: Span,
    span: Span,
) -> Option<DetectionItem> {
    let chain = Chain::read(reader, &modifiers, field.is_some(), key)?;
    let before = reader.diagnostics.len();
    let mut values = Vec::with_capacity(nodes.len());
    let mut tests = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Some(value) = transform::value(node) else {
            let diagnostic = Diagnostic::error(Code::TypeError, node.span)
                .message(format!("a value cannot be {}", node.describe()))
                .help("write a text, a number, or a flat list of them");
            reader.report(diagnostic);
            continue;
        };
        if value == Value::Null && (nodes.len() > 1 || field.is_none()) {
            report_null(reader, node, field.is_some());
            if field.is_none() {
                continue;
            }
        }
        tests.extend(transform::tests(reader, &chain, node, &value, field.is_some()));
        values.push(Spanned::new(value, node.span));
    }
    if chain.is_all && nodes.len() == 1 {
        let all = modifiers.iter().find(|modifier| modifier.node == Modifier::All);
        let diagnostic = Diagnostic::warning(Code::ModifierValue, all.map_or(key, |all| all.span))
            .message("`all` has a single value")
            .help("leave `all` out, or write a list of values");
        reader.report(diagnostic);
    }
    if reader.diagnostics[before..].iter().any(Diagnostic::is_blocking) {
        return None;
    }
    let predicate = Predicate { negated: chain.is_negated, all: chain.is_all, values: tests };
    Some(DetectionItem { field, modifiers, values, predicate, span })
}

/// `null` in a list is against the specification, but its meaning is clear where there is a field.
fn report_null(reader: &mut Reader<'_>, node: &Node, has_field: bool) {
    let diagnostic = Diagnostic::error(Code::NullInList, node.span)
        .message("`null` cannot stand in a list of values")
        .help("ask for `null` in a selection of its own");
    reader.report(if has_field { diagnostic.loadable() } else { diagnostic });
}

/// The field and the modifiers of a key; no modifiers if one of them is not known.
fn split_key(
    reader: &mut Reader<'_>,
    key: &Node,
    text: &str,
) -> (Option<Spanned<String>>, Option<Vec<Spanned<Modifier>>>) {
    let mut names = text.split('|');
    let name = names.next().unwrap_or_default();
    let place = reader.place(key, 0, name.len());
    let field = (!name.is_empty()).then(|| Spanned::new(name.to_owned(), place));
    let mut start = name.len();
    let mut modifiers = Some(Vec::new());
    for name in names {
        let span = reader.place(key, start + 1, start + 1 + name.len());
        start += 1 + name.len();
        match modifier(reader, name, span) {
            Some(modifier) => {
                if let Some(modifiers) = &mut modifiers {
                    modifiers.push(Spanned::new(modifier, span));
                }
            }
            None => modifiers = None,
        }
    }
    (field, modifiers)
}

fn modifier(reader: &mut Reader<'_>, name: &str, span: Span) -> Option<Modifier> {
    if let Some(modifier) = Modifier::from_name(name) {
        return Some(modifier);
    }
    if let Some(modifier) = Modifier::from_alias(name) {
        let diagnostic = Diagnostic::warning(Code::ModifierAlias, span)
            .message(format!("modifier `{name}` is not in the specification"))
            .help(format!("write `{}`, which all tools know", modifier.as_str()));
        reader.report(diagnostic);
        return Some(modifier);
    }
    let diagnostic = if name.is_empty() {
        Diagnostic::error(Code::UnknownModifier, span)
            .message("there is no modifier behind `|`")
            .help("take the `|` away, or name a modifier")
    } else {
        let diagnostic = Diagnostic::error(Code::UnknownModifier, span)
            .message(format!("unknown field modifier `{}`", super::header::shorten(name)));
        match Modifier::suggest(name) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        }
    };
    reader.report(diagnostic);
    None
}
