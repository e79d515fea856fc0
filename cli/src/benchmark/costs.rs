//! What the fields of events make the matchers read.
//!
//! A value that was seen before is answered by the memo for little; one that was not is searched byte
//! by byte. So a field costs about what its new values are long, and what all its values are many.
//! Values are told apart by a hash, which is good enough for an estimate.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use sigmill_engine::{FieldId, Matcher, MatcherConfig, Plan, ValueKind};

use super::Records;

/// More records tell nothing new.
const RECORDS_MAX: usize = 20_000;

/// A field and what it costs, over some of the records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldCost {
    pub(crate) name: String,
    /// Atoms that are searched for in each value.
    pub(crate) atoms: usize,
    /// Values an event.
    pub(crate) values: f64,
    /// Bytes of values an event that are new to the memo.
    pub(crate) bytes_new: f64,
}

struct Seen {
    field: FieldId,
    cost: FieldCost,
    values: HashSet<u64>,
}

/// The fields that have atoms to search for, the most expensive first.
pub(crate) fn field_costs(plan: &Arc<Plan>, records: &Records) -> Vec<FieldCost> {
    let mut fields: Vec<Seen> = Vec::new();
    plan.dump_eager(|name, _| {
        if let Some(seen) = fields.iter_mut().find(|seen| seen.cost.name == name) {
            seen.cost.atoms += 1;
        } else if let Some(field) = plan.field(name) {
            let cost = FieldCost { name: name.to_owned(), atoms: 1, values: 0.0, bytes_new: 0.0 };
            fields.push(Seen { field, cost, values: HashSet::new() });
        }
    });
    let hasher = RandomState::new();
    let mut matcher = Matcher::new(Arc::clone(plan), MatcherConfig::default());
    let mut count = 0;
    for record in records.iter().take(RECORDS_MAX) {
        if matcher.matches(record).is_err() {
            continue;
        }
        count += 1;
        for seen in &mut fields {
            matcher.read_field(record, seen.field, |value| {
                if matches!(value.kind, ValueKind::Null | ValueKind::Object) {
                    return;
                }
                seen.cost.values += 1.0;
                if seen.values.insert(hasher.hash_one(value.text)) {
                    seen.cost.bytes_new += value.text.len() as f64;
                }
            });
        }
    }
    let mut costs: Vec<FieldCost> = fields.into_iter().map(|seen| seen.cost).collect();
    costs.retain(|cost| cost.values > 0.0);
    for cost in &mut costs {
        cost.values /= f64::from(count);
        cost.bytes_new /= f64::from(count);
    }
    costs.sort_by(|a, b| b.bytes_new.total_cmp(&a.bytes_new).then_with(|| a.name.cmp(&b.name)));
    costs
}
