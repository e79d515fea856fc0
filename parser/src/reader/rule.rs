//! Detection rules.

use std::sync::Arc;

use super::{Reader, Weight, detection, head, header};
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::{KafkaBlock, Logsource, Rule};
use crate::span::Spanned;
use crate::yaml::{Node, Resolved};

/// Reads a rule; nothing if a part without which it has no meaning is missing.
pub(crate) fn read(reader: &mut Reader<'_>, root: &Arc<Node>) -> Option<Rule> {
    let header = header::read(reader, root);
    // Engines match without it; a pipeline that routes by log source cannot.
    let logsource = logsource(reader, root, Weight::Loadable);
    let detection = match root.entry("detection") {
        Some((key, section)) => detection::read(reader, key, section, &[]),
        None => {
            reader.missing("detection", root, head(root), Weight::Blocking);
            None
        }
    };
    let kafka = root.get("kafka").and_then(|node| kafka(reader, node));
    Some(Rule {
        title: header.title?,
        id: header.id,
        name: header.name,
        status: header.status,
        level: header.level,
        description: header.description,
        author: header.author,
        references: header.references,
        tags: header.tags,
        fields: header.fields,
        logsource,
        detection: detection?,
        kafka,
        document: Arc::clone(root),
    })
}

/// Reads `logsource`; `weight` is that of its absence.
pub(crate) fn logsource(reader: &mut Reader<'_>, root: &Node, weight: Weight) -> Option<Logsource> {
    let Some((key, node)) = root.entry("logsource").filter(|(_, node)| !node.is_null()) else {
        reader.missing("logsource", root, head(root), weight);
        return None;
    };
    if node.as_mapping().is_none() {
        let diagnostic = Diagnostic::error(Code::TypeError, node.span)
            .message(format!("`logsource` has to be a map, not {}", node.describe()))
            .help("write `category`, `product` or `service` below it");
        reader.report(diagnostic);
        return None;
    }
    let mut part = |name: &str| {
        let node = node.get(name).filter(|node| !node.is_null())?;
        reader.text(name, node, Weight::Blocking)
    };
    let (category, product, service) = (part("category"), part("product"), part("service"));
    Some(Logsource { category, product, service, span: key.span.to(node.span) })
}

pub(crate) fn kafka(reader: &mut Reader<'_>, node: &Node) -> Option<KafkaBlock> {
    if node.is_null() {
        return None;
    }
    if node.as_mapping().is_none() {
        let message = format!("`kafka` has to be a map, not {}", node.describe());
        reader.error(Code::TypeError, node.span, message);
        return None;
    }
    let topic = node.get("outputTopic").filter(|topic| !topic.is_null());
    let output_topic = topic.and_then(|topic| reader.text("outputTopic", topic, Weight::Blocking));
    let custom_fields =
        node.get("customFields").map_or_else(Vec::new, |fields| custom_fields(reader, fields));
    Some(KafkaBlock { output_topic, custom_fields })
}

/// Numbers and booleans become texts; `customFields` without content is empty.
fn custom_fields(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, String)> {
    if node.is_null() {
        return Vec::new();
    }
    let Some(entries) = node.as_mapping() else {
        let message = format!("`customFields` has to be a map, not {}", node.describe());
        reader.error(Code::TypeError, node.span, message);
        return Vec::new();
    };
    let mut fields = Vec::new();
    for (key, value) in entries {
        let name = key.key().unwrap_or_default();
        let text = reader.text(name, value, Weight::Blocking);
        fields.extend(text.map(|Spanned { node: text, .. }| {
            let text = match value.as_scalar().map(crate::yaml::Scalar::resolve) {
                Some(Resolved::Bool(value)) => value.to_string(),
                _ => text,
            };
            (name.to_owned(), text)
        }));
    }
    fields
}
