//! Correlation rules.

use std::sync::Arc;

use super::{Reader, Weight, header, rule, timespan};
use crate::condition::{self, AggregationRelation};
use crate::correlation::{Alias, Correlation, CorrelationCondition, CorrelationType, Threshold};
use crate::diagnostic::{Code, Diagnostic};
use crate::predicate::Number;
use crate::span::Spanned;
use crate::suggest::nearest;
use crate::yaml::{Node, NodeKind, Resolved};

/// Reads the correlation under `key`.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    root: &Arc<Node>,
    key: &Node,
    section: &Node,
) -> Option<Correlation> {
    let header = header::read(reader, root);
    if section.as_mapping().is_none() {
        let message = format!("`correlation` has to be a map, not {}", section.describe());
        reader.error(Code::TypeError, key.span, message);
        return None;
    }
    let kind = kind(reader, key, section);
    let rules = rules(reader, key, section);
    let aliases = section.get("aliases").map_or_else(Vec::new, |node| aliases(reader, node));
    let group_by = match section.get("group-by") {
        Some(node) => reader.texts("group-by", node, Weight::Loadable),
        None => {
            reader.missing("group-by", section, key.span, Weight::Loadable);
            Vec::new()
        }
    };
    let timespan = match section.get("timespan") {
        Some(node) => reader.text("timespan", node, Weight::Blocking).and_then(|text| {
            let duration = timespan::read(reader, &text)?;
            Some(Spanned::new(duration, text.span))
        }),
        None => {
            reader.missing("timespan", section, key.span, Weight::Blocking);
            None
        }
    };
    let condition =
        kind.as_ref().and_then(|kind| condition(reader, key, section, kind.node, &rules));
    let generate = section.get("generate").is_some_and(|node| generate(reader, node));
    let kafka = root.get("kafka").and_then(|node| rule::kafka(reader, node));
    Some(Correlation {
        title: header.title?,
        id: header.id,
        name: header.name,
        status: header.status,
        level: header.level,
        description: header.description,
        author: header.author,
        references: header.references,
        tags: header.tags,
        kind: kind?,
        rules,
        aliases,
        group_by,
        timespan: timespan?,
        condition: condition?,
        generate,
        kafka,
        document: Arc::clone(root),
    })
}

fn kind(reader: &mut Reader<'_>, key: &Node, section: &Node) -> Option<Spanned<CorrelationType>> {
    let Some(node) = section.get("type") else {
        reader.missing("type", section, key.span, Weight::Blocking);
        return None;
    };
    let word = reader.text("type", node, Weight::Blocking)?;
    let kind = CorrelationType::ALL.into_iter().find(|kind| kind.as_str() == word.node);
    if kind.is_none() {
        let words = CorrelationType::ALL.map(CorrelationType::as_str);
        let help = match nearest(&word.node, words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}", words.join(", ")),
        };
        let message = format!("`{}` is no type of correlation", header::shorten(&word.node));
        reader.report(
            Diagnostic::error(Code::CorrelationType, word.span).message(message).help(help),
        );
    }
    kind.map(|kind| Spanned::new(kind, word.span))
}

fn rules(reader: &mut Reader<'_>, key: &Node, section: &Node) -> Vec<Spanned<String>> {
    let Some((rules_key, node)) = section.entry("rules") else {
        reader.missing("rules", section, key.span, Weight::Blocking);
        return Vec::new();
    };
    let rules = match &node.kind {
        // pySigma takes a single name as well.
        NodeKind::Scalar(_) if !node.is_null() => {
            reader.text("rules", node, Weight::Blocking).into_iter().collect()
        }
        _ => reader.texts("rules", node, Weight::Blocking),
    };
    if rules.is_empty() {
        reader.error(Code::MissingField, rules_key.span, "`rules` names no rule");
    }
    rules
}

fn aliases(reader: &mut Reader<'_>, node: &Node) -> Vec<Alias> {
    if node.is_null() {
        return Vec::new();
    }
    let Some(entries) = node.as_mapping() else {
        let message = format!("`aliases` has to be a map, not {}", node.describe());
        reader.error(Code::TypeError, node.span, message);
        return Vec::new();
    };
    let mut aliases = Vec::new();
    for (key, node) in entries {
        let name = Spanned::new(key.key().unwrap_or_default().to_owned(), key.span);
        let Some(entries) = node.as_mapping() else {
            let message = format!("an alias has to be a map, not {}", node.describe());
            let diagnostic = Diagnostic::error(Code::TypeError, key.span).message(message);
            reader.report(diagnostic.help("write the name of each rule and its field"));
            continue;
        };
        let mut fields = Vec::new();
        for (rule, field) in entries {
            let rule = Spanned::new(rule.key().unwrap_or_default().to_owned(), rule.span);
            let field = reader.text(&rule.node, field, Weight::Blocking);
            fields.extend(field.map(|field| (rule, field)));
        }
        aliases.push(Alias { name, fields });
    }
    aliases
}

fn generate(reader: &mut Reader<'_>, node: &Node) -> bool {
    let switch = node.as_scalar().and_then(|scalar| scalar.as_switch());
    if switch.is_none() {
        let message = format!("`generate` has to be a boolean, not {}", node.describe());
        reader.error(Code::TypeError, node.span, message);
    }
    switch.unwrap_or(false)
}

fn condition(
    reader: &mut Reader<'_>,
    key: &Node,
    section: &Node,
    kind: CorrelationType,
    rules: &[Spanned<String>],
) -> Option<CorrelationCondition> {
    let Some((condition_key, node)) = section.entry("condition") else {
        if kind.is_temporal() {
            return Some(CorrelationCondition::AllRules);
        }
        reader.missing("condition", section, key.span, Weight::Blocking);
        return None;
    };
    match &node.kind {
        NodeKind::Mapping(entries) => {
            let threshold = threshold(reader, condition_key, entries)?;
            if kind.needs_field() && threshold.fields.is_empty() {
                let diagnostic = Diagnostic::error(Code::MissingField, condition_key.span)
                    .message(format!("`field` is missing, whose values `{}` needs", kind.as_str()));
                reader.report(diagnostic.help("name it beside the bound: `field: User`"));
                return None;
            }
            Some(CorrelationCondition::Threshold(threshold))
        }
        NodeKind::Scalar(scalar) if kind.is_temporal() && !node.is_null() => {
            let names: Vec<&str> = rules.iter().map(|rule| rule.node.as_str()).collect();
            let context = condition::Context { names: &names, has_timeframe: false };
            let text = Spanned::new(scalar.text.clone(), node.span);
            let (expr, _) = condition::read(reader, node, &text, &context)?;
            Some(CorrelationCondition::Rules(expr))
        }
        _ => {
            let message = format!("the condition has to be a map, not {}", node.describe());
            let diagnostic =
                Diagnostic::error(Code::CorrelationCondition, condition_key.span).message(message);
            reader.report(diagnostic.help("write a bound below it: `gte: 10`"));
            None
        }
    }
}

fn threshold(reader: &mut Reader<'_>, key: &Node, entries: &[(Node, Node)]) -> Option<Threshold> {
    let mut threshold = Threshold { fields: Vec::new(), percentile: None, bounds: Vec::new() };
    let mut is_good = true;
    for (key, node) in entries {
        let name = key.key().unwrap_or_default();
        if name == "field" {
            threshold.fields = match &node.kind {
                NodeKind::Sequence(_) => reader.texts("field", node, Weight::Blocking),
                _ => reader.text("field", node, Weight::Blocking).into_iter().collect(),
            };
            continue;
        }
        let Some(target) = relation(name) else {
            let diagnostic = Diagnostic::error(Code::CorrelationCondition, key.span)
                .message(format!("`{}` is no bound", header::shorten(name)))
                .help("use `gt`, `gte`, `lt`, `lte`, `eq` or `neq`, and `field`");
            reader.report(diagnostic);
            is_good = false;
            continue;
        };
        let number = match node.as_scalar().map(crate::yaml::Scalar::resolve) {
            Some(Resolved::Number(text)) => Number { text },
            _ => {
                let message = format!("`{name}` has to be a number, not {}", node.describe());
                reader.error(Code::CorrelationCondition, node.span, message);
                is_good = false;
                continue;
            }
        };
        match target {
            Target::Bound(relation) => threshold.bounds.push((relation, number)),
            Target::Percentile => threshold.percentile = Some(number),
        }
    }
    let percentile = threshold.percentile.as_ref().and_then(|n| n.text.parse::<f64>().ok());
    if percentile.is_some_and(|percentile| !(0.0..=100.0).contains(&percentile)) {
        reader.error(Code::CorrelationCondition, key.span, "a percentile is from 0 to 100");
        is_good = false;
    }
    if is_good && threshold.bounds.is_empty() {
        let diagnostic = Diagnostic::error(Code::CorrelationCondition, key.span)
            .message("the condition has no bound")
            .help("write one below it: `gte: 10`");
        reader.report(diagnostic);
        is_good = false;
    }
    is_good.then_some(threshold)
}

enum Target {
    Bound(AggregationRelation),
    Percentile,
}

fn relation(name: &str) -> Option<Target> {
    Some(Target::Bound(match name {
        "lt" => AggregationRelation::Less,
        "lte" => AggregationRelation::LessOrEqual,
        "gt" => AggregationRelation::Greater,
        "gte" => AggregationRelation::GreaterOrEqual,
        "eq" => AggregationRelation::Equal,
        "neq" => AggregationRelation::NotEqual,
        "percentile" => return Some(Target::Percentile),
        _ => return None,
    }))
}
