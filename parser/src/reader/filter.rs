//! Sigma filters.

use std::sync::Arc;

use super::{Reader, Weight, detection, header, rule};
use crate::correlation::{Filter, FilterRules};
use crate::diagnostic::Code;
use crate::yaml::{Node, NodeKind};

/// Reads the filter under `key`.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    root: &Arc<Node>,
    key: &Node,
    section: &Node,
) -> Option<Filter> {
    let header = header::read(reader, root);
    let logsource = rule::logsource(reader, root, Weight::Loadable);
    let rules = match section.entry("rules") {
        Some((rules_key, node)) => rules(reader, rules_key, node),
        None if section.as_mapping().is_some() => {
            reader.missing("rules", section, key.span, Weight::Blocking);
            None
        }
        None => None,
    };
    let detection = detection::read(reader, key, section, &["rules"]);
    Some(Filter {
        title: header.title?,
        id: header.id,
        name: header.name,
        description: header.description,
        logsource,
        rules: rules?,
        detection: detection?,
        document: Arc::clone(root),
    })
}

fn rules(reader: &mut Reader<'_>, key: &Node, node: &Node) -> Option<FilterRules> {
    match &node.kind {
        NodeKind::Scalar(scalar) if scalar.text.eq_ignore_ascii_case("any") => {
            return Some(FilterRules::Any);
        }
        NodeKind::Scalar(_) if !node.is_null() => {
            let name = reader.text("rules", node, Weight::Blocking)?;
            return Some(FilterRules::Named(vec![name]));
        }
        _ => {}
    }
    let names = reader.texts("rules", node, Weight::Blocking);
    if names.is_empty() {
        reader.error(Code::MissingField, key.span, "`rules` names no rule");
        return None;
    }
    Some(FilterRules::Named(names))
}
