//! Transformations of field names: in detection items, field references, the `fields` list and old
//! aggregations.
//!
//! A field with several targets means the values of all of them together. So an item holds if it holds
//! for one target; but what asks for nothing to be there (`neq`, `null`, `exists: false`) has to hold
//! for every target. Where only one name can stand (grouping), the first target is taken.

use super::items::PipelineItem;
use super::run::{Failure, Run};
use super::tests_of::{item_holds, name_holds, own_name_holds};
use super::transformation::{NameFunction, NameMap, Transformation};
use super::work::{Change, Tree, Work, WorkItem};
use crate::predicate::{Part, Pattern, Predicate, Test};
use crate::span::{Span, Spanned};

/// Whether the transformation changes field names.
pub(super) fn is_one(transformation: &Transformation) -> bool {
    use Transformation as T;
    matches!(
        transformation,
        T::FieldNameMapping(_)
            | T::FieldNamePrefixMapping(_)
            | T::FieldNameTransform { .. }
            | T::FieldNameSuffix(_)
            | T::FieldNamePrefix(_)
    )
}

/// Changes the names in a rule.
pub(super) fn apply(
    item: &PipelineItem,
    run: &mut Run<'_>,
    work: &mut Work,
) -> Result<(), Failure> {
    let fields = std::mem::take(&mut work.fields);
    for field in fields {
        let targets = rename(item, run, &field.node);
        work.fields.extend(targets.into_iter().map(|target| Spanned::new(target, field.span)));
    }
    let mut mapped = Vec::new();
    let before = run.clone();
    work.change(item.id.as_ref(), |work| {
        if item_holds(item, &before, work) {
            change(item, &before, work, &mut mapped)
        } else {
            Ok(Change::Keep)
        }
    })?;
    for (field, targets) in &mapped {
        run.note_mapping(field.as_deref(), targets);
    }
    for aggregation in work.conditions.iter_mut().filter_map(|one| one.aggregation.as_mut()) {
        aggregation.group_by.iter_mut().for_each(|field| rename_one(item, run, field));
        aggregation.field_mut().into_iter().for_each(|field| rename_one(item, run, field));
    }
    Ok(())
}

/// Renames where one name can stand: the first target, if there is one.
pub(super) fn rename_one(item: &PipelineItem, run: &mut Run<'_>, field: &mut Spanned<String>) {
    if let Some(target) = rename(item, run, &field.node).into_iter().next() {
        field.node = target;
    }
}

/// The targets of a name outside of detection items.
fn rename(item: &PipelineItem, run: &mut Run<'_>, name: &str) -> Vec<String> {
    match targets(&item.transformation, Some(name)) {
        Some(targets) if name_holds(item, run, name) => {
            run.track(name, &targets, item.id.as_ref());
            run.note_mapping(Some(name), &targets);
            targets
        }
        _ => vec![name.to_owned()],
    }
}

/// The names that a field gets, if the transformation says anything of it.
fn targets(transformation: &Transformation, field: Option<&str>) -> Option<Vec<String>> {
    let look_up = |mapping: &NameMap| mapping.get(&field.map(str::to_owned)).cloned();
    match transformation {
        Transformation::FieldNameMapping(mapping) => look_up(mapping),
        Transformation::FieldNamePrefixMapping(prefixes) => {
            let field = field?;
            prefixes.iter().find_map(|(prefix, targets)| {
                let rest = field.strip_prefix(prefix.as_str())?;
                Some(targets.iter().map(|target| format!("{target}{rest}")).collect())
            })
        }
        Transformation::FieldNameTransform { mapping, function } => {
            look_up(mapping).or_else(|| Some(vec![changed(field?, *function)]))
        }
        Transformation::FieldNameSuffix(suffix) => Some(vec![format!("{}{suffix}", field?)]),
        Transformation::FieldNamePrefix(prefix) => Some(vec![format!("{prefix}{}", field?)]),
        _ => None,
    }
}

fn changed(field: &str, function: NameFunction) -> String {
    match function {
        NameFunction::Lower => field.to_lowercase(),
        NameFunction::Upper => field.to_uppercase(),
        NameFunction::Title => {
            let mut begins = true;
            let title = |c: char| {
                let at_start = std::mem::replace(&mut begins, !c.is_alphanumeric());
                if at_start { c.to_uppercase().to_string() } else { c.to_lowercase().to_string() }
            };
            field.chars().map(title).collect()
        }
        NameFunction::Snake => snake(field),
    }
}

/// `ParentImage` → `parent_image`: a `_` before each capital but the first character.
pub(super) fn snake(text: &str) -> String {
    let mut snake = String::new();
    for (at, c) in text.char_indices() {
        if at > 0 && c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// A field before the change, and its targets.
type Mapped = (Option<String>, Vec<String>);

fn change(
    item: &PipelineItem,
    run: &Run<'_>,
    work: &mut WorkItem,
    mapped: &mut Vec<Mapped>,
) -> Result<Change, Failure> {
    let has_renamed = rename_references(item, run, &mut work.item.predicate, mapped);
    let field = work.item.field.as_ref().map(|field| field.node.clone());
    let targets = targets(&item.transformation, field.as_deref());
    let Some(targets) = targets.filter(|_| own_name_holds(item, run, work)) else {
        return Ok(if has_renamed { Change::Changed } else { Change::Keep });
    };
    mapped.push((field.clone(), targets.clone()));
    if field.is_none() {
        surround(&mut work.item.predicate);
    }
    let span = work.item.field.as_ref().map_or(Span::default(), |field| field.span);
    let mut items = targets.into_iter().map(|target| {
        let mut copy = work.item.clone();
        copy.field = Some(Spanned::new(target, span));
        copy
    });
    Ok(match items.len() {
        0 => Change::Drop,
        1 => {
            work.item = items.next().unwrap_or_else(|| work.item.clone());
            Change::Changed
        }
        _ => {
            let trees = items.map(|item| Tree::item(item, &work.applied)).collect();
            Change::Replace(spread(&work.item.predicate, trees))
        }
    })
}

/// Several targets: one of them, or all of them if the predicate asks for nothing to be there.
fn spread(predicate: &Predicate, trees: Vec<Tree>) -> Tree {
    let is_absent = |test: &Test| matches!(test, Test::Null | Test::Exists(false));
    let mut tests = predicate.values.iter().flatten().peekable();
    if predicate.negated || tests.peek().is_some() && tests.all(is_absent) {
        return Tree::AllOf(trees);
    }
    Tree::AnyOf(trees)
}

/// Keywords that become the values of a field are still looked for inside it.
fn surround(predicate: &mut Predicate) {
    for test in predicate.values.iter_mut().flatten() {
        if let Test::Text { pattern, .. } = test {
            let parts = std::mem::take(&mut pattern.parts);
            *pattern = Pattern::new([Part::AnyRun].into_iter().chain(parts).chain([Part::AnyRun]));
        }
    }
}

/// Renames the other fields of `fieldref`; several targets become alternatives.
fn rename_references(
    item: &PipelineItem,
    run: &Run<'_>,
    predicate: &mut Predicate,
    mapped: &mut Vec<Mapped>,
) -> bool {
    let mut has_renamed = false;
    for tests in &mut predicate.values {
        let mut renamed = Vec::with_capacity(tests.len());
        for test in std::mem::take(tests) {
            let Test::FieldRef { field, relation, cased } = &test else {
                renamed.push(test);
                continue;
            };
            match targets(&item.transformation, Some(field)) {
                Some(targets) if name_holds(item, run, field) && !targets.is_empty() => {
                    has_renamed = true;
                    mapped.push((Some(field.clone()), targets.clone()));
                    let (relation, cased) = (*relation, *cased);
                    let reference = |field| Test::FieldRef { field, relation, cased };
                    renamed.extend(targets.into_iter().map(reference));
                }
                _ => renamed.push(test),
            }
        }
        *tests = renamed;
    }
    has_renamed
}
