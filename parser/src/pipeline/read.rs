//! A pipeline's document as a [`Pipeline`].

use std::sync::Arc;

use super::items::PipelineItem;
use super::options::{self, Options};
use super::transformation::{ANY_OPTION, TRANSFORMATIONS};
use super::{Pipeline, UnmappedLogsource, read_conditions, read_transformation, shipped};
use crate::diagnostic::{Code, Diagnostic};
use crate::reader::header::shorten;
use crate::reader::transform;
use crate::reader::{Reader, Weight};
use crate::rule::Value;
use crate::suggest::nearest;
use crate::yaml::{Node, NodeKind, Resolved};

/// The keys of a pipeline.
const KEYS: [&str; 8] = [
    "name",
    "priority",
    "vars",
    "allowed_backends",
    "transformations",
    "postprocessing",
    "finalizers",
    "sigmill",
];

/// Reads a pipeline.
pub(super) fn pipeline(reader: &mut Reader<'_>, root: &Node) -> Option<Pipeline> {
    let Some(entries) = root.as_mapping() else {
        let message = format!("a pipeline has to be a map, not {}", root.describe());
        reader.error(Code::TypeError, root.span, message);
        return None;
    };
    let mut pipeline = Pipeline::default();
    for (key, node) in entries {
        let name = key.key().unwrap_or_default();
        if node.is_null() && KEYS.contains(&name) {
            continue;
        }
        match name {
            "name" => pipeline.name = reader.text(name, node, Weight::Blocking),
            "priority" => pipeline.priority = priority(reader, node),
            "vars" => vars(reader, node, &mut pipeline),
            "allowed_backends" => {
                pipeline.allowed_backends = options::texts(reader, name, node);
            }
            "transformations" => pipeline.items.extend(items(reader, name, node)),
            "postprocessing" | "finalizers" => without_effect(reader, name, key, node),
            "sigmill" => sigmill(reader, node, &mut pipeline),
            _ => unknown_key(reader, key),
        }
    }
    Some(pipeline)
}

fn unknown_key(reader: &mut Reader<'_>, key: &Node) {
    let name = key.key().unwrap_or_default();
    let diagnostic = Diagnostic::warning(Code::PipelineNoEffect, key.span)
        .message(format!("`{}` has no meaning in a pipeline", shorten(name)));
    reader.report(match nearest(name, KEYS) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic,
    });
}

fn priority(reader: &mut Reader<'_>, node: &Node) -> i64 {
    let number = match node.as_scalar().map(crate::yaml::Scalar::resolve) {
        Some(Resolved::Number(number)) => number.parse().ok(),
        _ => None,
    };
    if number.is_none() {
        let message = format!("`priority` has to be a whole number, not {}", node.describe());
        reader.error(Code::PipelineOption, node.span, message);
    }
    number.unwrap_or(0)
}

fn vars(reader: &mut Reader<'_>, node: &Node, pipeline: &mut Pipeline) {
    let Some(entries) = node.as_mapping() else {
        let message = format!("`vars` has to be a map, not {}", node.describe());
        reader.error(Code::TypeError, node.span, message);
        return;
    };
    for (key, node) in entries {
        let nodes: &[Node] = match &node.kind {
            NodeKind::Sequence(items) => items,
            _ => std::slice::from_ref(node),
        };
        let mut values = Vec::new();
        for node in nodes {
            match transform::value(node) {
                Some(Value::Text(text) | Value::Number(text)) => values.push(text),
                _ => {
                    let message = format!("a variable cannot be {}", node.describe());
                    reader.report(
                        Diagnostic::error(Code::PipelineOption, node.span)
                            .message(message)
                            .help("write a text, a number, or a list of them"),
                    );
                }
            }
        }
        pipeline.vars.insert(key.key().unwrap_or_default().to_owned(), values);
    }
}

/// Names what shapes query text.
fn without_effect(reader: &mut Reader<'_>, section: &str, key: &Node, node: &Node) {
    for item in node.as_sequence().unwrap_or(std::slice::from_ref(node)) {
        let kind = item.get("type").unwrap_or(key);
        let name = kind.key().unwrap_or(section);
        let diagnostic = Diagnostic::warning(Code::PipelineNoEffect, kind.span)
            .message(format!("`{}` in `{section}` has no effect here", shorten(name)))
            .help("it shapes query text, and an engine makes none");
        reader.report(diagnostic);
    }
}

/// Our own section.
fn sigmill(reader: &mut Reader<'_>, node: &Node, pipeline: &mut Pipeline) {
    let options = Options { node, type_name: "sigmill", type_node: node };
    if node.as_mapping().is_none() {
        let message = format!("`sigmill` has to be a map, not {}", node.describe());
        reader.error(Code::TypeError, node.span, message);
        return;
    }
    options.check(reader, &["unmapped_logsource", "include"], &[]);
    if options.get("unmapped_logsource").is_some() {
        let words = [("drop", UnmappedLogsource::Drop), ("keep", UnmappedLogsource::Keep)];
        pipeline.unmapped_logsource = options.word(reader, "unmapped_logsource", &words);
    }
    if let Some(included) = options.get("include") {
        include(reader, included, pipeline);
    }
}

/// Puts the items of shipped pipelines before those of this one.
fn include(reader: &mut Reader<'_>, node: &Node, pipeline: &mut Pipeline) {
    let mut items = Vec::new();
    for name in options::texts(reader, "include", node) {
        match Pipeline::shipped(&name) {
            Some(included) => items.extend(included.items),
            None => {
                let message = format!("there is no pipeline `{}` to include", shorten(&name));
                let names: Vec<&str> = shipped::names().collect();
                let diagnostic =
                    Diagnostic::error(Code::PipelineOption, node.span).message(message);
                reader.report(diagnostic.help(format!("use one of {}", names.join(", "))));
            }
        }
    }
    items.append(&mut pipeline.items);
    pipeline.items = items;
}

/// Reads a list of items.
pub(super) fn items(reader: &mut Reader<'_>, name: &str, node: &Node) -> Vec<PipelineItem> {
    let Some(nodes) = node.as_sequence() else {
        let message = format!("`{name}` has to be a list, not {}", node.describe());
        reader.error(Code::TypeError, node.span, message);
        return Vec::new();
    };
    nodes.iter().filter_map(|node| item(reader, node)).collect()
}

/// The keys that every item may have.
const COMMON: [&str; 14] = [
    "id",
    "type",
    "rule_conditions",
    "rule_cond_op",
    "rule_cond_not",
    "rule_cond_expr",
    "detection_item_conditions",
    "detection_item_cond_op",
    "detection_item_cond_not",
    "detection_item_cond_expr",
    "field_name_conditions",
    "field_name_cond_op",
    "field_name_cond_not",
    "field_name_cond_expr",
];

fn item(reader: &mut Reader<'_>, node: &Node) -> Option<PipelineItem> {
    let (type_node, known) = type_of(reader, node, "transformation", TRANSFORMATIONS)?;
    let options = Options { node, type_name: type_node.key().unwrap_or_default(), type_node };
    if known != ANY_OPTION {
        options.check(reader, known, &COMMON);
    }
    let id = options.text_if_any(reader, "id").map(|id| Arc::from(id.as_str()));
    let rule_conditions = read_conditions::rule(reader, node);
    let item_conditions = read_conditions::item(reader, node);
    let field_conditions = read_conditions::field(reader, node);
    let transformation = read_transformation::read(reader, &options)?;
    Some(PipelineItem { id, transformation, rule_conditions, item_conditions, field_conditions })
}

/// The type that a map names, and the options that the type has.
pub(super) fn type_of<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    kind: &str,
    types: &'static [(&'static str, &'static [&'static str])],
) -> Option<(&'n Node, &'static [&'static str])> {
    if node.as_mapping().is_none() {
        let message = format!("a {kind} has to be a map, not {}", node.describe());
        reader.error(Code::TypeError, node.span, message);
        return None;
    }
    let Some(type_node) = node.get("type").filter(|node| node.key().is_some()) else {
        let place = crate::reader::head(node);
        reader.error(Code::PipelineType, place, format!("the {kind} has no `type`"));
        return None;
    };
    let name = type_node.key().unwrap_or_default();
    let found = types.iter().find(|(known, _)| *known == name);
    if found.is_none() {
        let message = format!("there is no {kind} of type `{}`", shorten(name));
        let diagnostic = Diagnostic::error(Code::PipelineType, type_node.span).message(message);
        reader.report(match nearest(name, types.iter().map(|(known, _)| *known)) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
    }
    found.map(|(_, options)| (type_node, *options))
}
