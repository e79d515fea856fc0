//! The items of a pipeline, one after the other over a rule.

use super::items::PipelineItem;
use super::run::{Failure, Run};
use super::tests_of::{item_holds, rule_holds};
use super::transformation::Transformation;
use super::work::{Change, Work};
use super::{
    add_condition, alternatives, extract, field_names, hashes, placeholders, value_changes,
};
use crate::rule::Logsource;
use crate::span::{Span, Spanned};

/// Applies every item whose conditions hold.
pub(super) fn items(
    items: &[PipelineItem],
    run: &mut Run<'_>,
    work: &mut Work,
) -> Result<(), Failure> {
    for item in items {
        if rule_holds(item, run, Some(work))? {
            apply(item, run, work)?;
            run.applied.extend(item.id.clone());
        }
    }
    Ok(())
}

fn apply(item: &PipelineItem, run: &mut Run<'_>, work: &mut Work) -> Result<(), Failure> {
    use Transformation as T;
    match &item.transformation {
        transformation if field_names::is_one(transformation) => {
            field_names::apply(item, run, work)?;
        }
        T::DropDetectionItem => work.change(None, |work| {
            Ok(if item_holds(item, run, work) { Change::Drop } else { Change::Keep })
        })?,
        T::DetectionItemFailure(message) => work.change(None, |work| {
            if item_holds(item, run, work) { Err(Failure::new(message)) } else { Ok(Change::Keep) }
        })?,
        T::HashesFields(options) => hashes::apply(item, options, run, work)?,
        T::ExtractFields(options) => extract::apply(item, options, run, work)?,
        T::WildcardPlaceholders(_) | T::ValuePlaceholders(_) | T::FilePlaceholders { .. } => {
            placeholders::apply(item, run, work)?;
        }
        T::AddCondition(options) => add_condition::apply(item, options, run, work)?,
        T::ChangeLogsource { category, product, service } => {
            let span = work.logsource.as_ref().map_or(Span::default(), |source| source.span);
            let part = |part: &Option<String>| part.clone().map(|part| Spanned::new(part, span));
            let (category, product, service) = (part(category), part(product), part(service));
            work.logsource = Some(Logsource { category, product, service, span });
        }
        T::AddField(fields) => work.fields.extend(fields.iter().map(|field| unplaced(field))),
        T::RemoveField(fields) => work.fields.retain(|field| !fields.contains(&field.node)),
        T::SetField(fields) => work.fields = fields.iter().map(|field| unplaced(field)).collect(),
        T::Nest(inner) => nested(item, inner, run, work)?,
        T::Alternatives(alternatives) => {
            let outer = enter(item, run);
            alternatives::apply(alternatives, run, work)?;
            run.is_for_logsource = outer;
        }
        T::StrictFieldMappingFailure => strict(run, work)?,
        transformation if leaves_rule(transformation, run)? => {}
        _ => value_changes::apply(item, run, work)?,
    }
    Ok(())
}

/// What changes nothing of the rule itself, or refuses it. Whether it was such a transformation.
pub(super) fn leaves_rule(
    transformation: &Transformation,
    run: &mut Run<'_>,
) -> Result<bool, Failure> {
    match transformation {
        Transformation::SetState { key, value } => {
            run.state.insert(key.clone(), value.clone());
        }
        Transformation::SetCustomAttribute { attribute, value } => {
            run.attributes.insert(attribute.clone(), value.clone());
        }
        Transformation::RuleFailure(message) => return Err(Failure::new(message)),
        Transformation::NoEffect => {}
        _ => return Ok(false),
    }
    Ok(true)
}

fn unplaced(field: &str) -> Spanned<String> {
    Spanned::new(field.to_owned(), Span::default())
}

/// What is inside an item for a log source is for it too. Returns what was before.
pub(super) fn enter(item: &PipelineItem, run: &mut Run<'_>) -> bool {
    let outer = run.is_for_logsource;
    run.is_for_logsource |= item.is_for_logsource();
    outer
}

fn nested(
    item: &PipelineItem,
    inner: &[PipelineItem],
    run: &mut Run<'_>,
    work: &mut Work,
) -> Result<(), Failure> {
    let outer = enter(item, run);
    items(inner, run, work)?;
    run.is_for_logsource = outer;
    Ok(())
}

/// Refuses a rule with a field that no mapping knows.
fn strict(run: &Run<'_>, work: &Work) -> Result<(), Failure> {
    let mut unmapped: Vec<String> = Vec::new();
    work.visit(|item| {
        if let Some(field) = &item.item.field
            && !run.mapped.contains(&field.node)
            && !unmapped.contains(&field.node)
        {
            unmapped.push(field.node.clone());
        }
    });
    if unmapped.is_empty() {
        return Ok(());
    }
    let fields: Vec<String> = unmapped.iter().map(|field| format!("`{field}`")).collect();
    let are = if fields.len() == 1 { "this field is" } else { "these fields are" };
    Err(Failure::new(format!("{are} not mapped: {}", fields.join(", "))))
}
