//! Rule collections: documents that give parts to those behind them.
//!
//! `action: global` adds its content to every rule that follows, `action: reset` ends that, and
//! `action: repeat` is the rule before it with changes. All three are older than multi-document rules and
//! correlations, and still in use.

use crate::diagnostic::{Code, Diagnostic};
use crate::reader::Reader;
use crate::reader::header::shorten;
use crate::yaml::{Node, NodeKind};

/// The documents that remain when all actions are carried out.
pub(crate) fn flatten(reader: &mut Reader<'_>, nodes: Vec<Node>) -> Vec<Node> {
    let mut documents: Vec<Node> = Vec::new();
    let mut global: Option<Node> = None;
    for mut node in nodes {
        let Some(action) = take_action(&mut node) else {
            documents.push(over(global.as_ref(), node));
            continue;
        };
        match action.key() {
            Some("global") => global = Some(over(global.as_ref(), node)),
            Some("reset") => global = None,
            Some("repeat") => {
                let previous = documents.last().cloned();
                documents.push(over(previous.as_ref(), node));
            }
            _ => {
                let word = action.key().map_or(action.describe().to_owned(), shorten);
                let diagnostic = Diagnostic::error(Code::BadAction, action.span)
                    .message(format!("`{word}` is no action"))
                    .help("use `global`, `reset` or `repeat`");
                reader.report(diagnostic);
            }
        }
    }
    documents
}

/// Takes `action` out of a document that has one.
fn take_action(node: &mut Node) -> Option<Node> {
    let NodeKind::Mapping(entries) = &mut node.kind else { return None };
    let at = entries.iter().position(|(key, _)| key.key() == Some("action"))?;
    Some(entries.remove(at).1)
}

/// The document laid over another: maps are joined, everything else is replaced.
fn over(base: Option<&Node>, node: Node) -> Node {
    let (Some(base), NodeKind::Mapping(_)) = (base.and_then(Node::as_mapping), &node.kind) else {
        return node;
    };
    let Node { kind, span } = node;
    let mut joined = base.to_vec();
    if let NodeKind::Mapping(entries) = kind {
        for (key, value) in entries {
            match joined.iter_mut().find(|(present, _)| present.key() == key.key()) {
                Some((present, old)) => {
                    *old = over(Some(old), value);
                    *present = key;
                }
                None => joined.push((key, value)),
            }
        }
    }
    Node { kind: NodeKind::Mapping(joined), span }
}
