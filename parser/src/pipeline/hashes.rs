//! `hashes_fields`: one item for each algorithm instead of a field that holds several hashes.

use super::items::PipelineItem;
use super::plain;
use super::run::{Failure, Run};
use super::tests_of::item_holds;
use super::transformation::HashesFields;
use super::work::{Change, Tree, Work, WorkItem};
use crate::predicate::{Part, Pattern, Predicate, Test};
use crate::rule::Value;
use crate::span::{Span, Spanned};

/// Length of a hash in hexadecimal → algorithm.
const LENGTHS: [(usize, &str); 4] = [(32, "MD5"), (40, "SHA1"), (64, "SHA256"), (128, "SHA512")];

/// Changes the hashes in a rule.
pub(super) fn apply(
    item: &PipelineItem,
    options: &HashesFields,
    run: &Run<'_>,
    work: &mut Work,
) -> Result<(), Failure> {
    work.change(item.id.as_ref(), |work| {
        let field = work.item.field.as_ref().map(|field| field.node.as_str());
        let is_named = field.is_some_and(|field| options.fields.iter().any(|one| one == field));
        if is_named && item_holds(item, run, work) {
            change(options, work)
        } else {
            Ok(Change::Keep)
        }
    })
}

fn change(options: &HashesFields, work: &WorkItem) -> Result<Change, Failure> {
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    for test in work.item.predicate.values.iter().flatten() {
        let Test::Text { pattern, .. } = test else { return Ok(Change::Keep) };
        let Some((algorithm, hash)) = hash(&plain::text(pattern), options) else { continue };
        let algorithm = if options.drops_algorithm { "" } else { algorithm.as_str() };
        let name = format!("{}{algorithm}", options.field_prefix);
        match fields.iter_mut().find(|(field, _)| *field == name) {
            Some((_, hashes)) => hashes.push(hash),
            None => fields.push((name, vec![hash])),
        }
    }
    if fields.is_empty() {
        let message = format!("no hash by one of {} is in it", options.algorithms.join(", "));
        let field = work.item.field.as_ref().map_or("", |field| &field.node);
        return Err(Failure::new(format!("`{field}` cannot be split: {message}")));
    }
    let Predicate { negated, all, .. } = work.item.predicate;
    let span = work.item.field.as_ref().map_or(Span::default(), |field| field.span);
    let trees = fields.into_iter().map(|(name, hashes)| {
        let mut item = work.item.clone();
        item.field = Some(Spanned::new(name, span));
        item.modifiers.clear();
        item.values =
            hashes.iter().map(|hash| Spanned::new(Value::Text(hash.clone()), span)).collect();
        let test = |hash: String| {
            let pattern = Pattern::new([Part::Literal(hash)]);
            vec![Test::Text { pattern, cased: false }]
        };
        let values = hashes.into_iter().map(test).collect();
        item.predicate = Predicate { negated, all, values };
        Tree::item(item, &work.applied)
    });
    let trees = trees.collect();
    // Not one of them: each is not.
    Ok(Change::Replace(if all != negated { Tree::AllOf(trees) } else { Tree::AnyOf(trees) }))
}

/// The algorithm and the hash in `*SHA1=5F…*`, `SHA1|5F…` or a hash alone.
fn hash(plain: &str, options: &HashesFields) -> Option<(String, String)> {
    let separator = if plain.contains('|') { '|' } else { '=' };
    let parts: Vec<&str> = plain.split(separator).collect();
    let (algorithm, hash) = match parts.as_slice() {
        [algorithm, hash] => {
            (algorithm.trim_start_matches('*').to_uppercase(), hash.trim_matches(['*', '?']))
        }
        [first, ..] => {
            let hash = first.trim_matches(['*', '?']);
            let found = LENGTHS.iter().find(|(length, _)| *length == hash.len());
            (found.map_or(String::new(), |(_, name)| (*name).to_owned()), hash)
        }
        [] => return None,
    };
    let is_known = options.algorithms.contains(&algorithm);
    is_known.then(|| (algorithm, hash.to_owned()))
}
