//! Joins: done for a record between reading and matching it, on the worker, without a lock.
//!
//! [`JoinPlan`] is what the settings come to for one plan: numbers of fields and columns. A [`Joiner`] has the
//! memory that a worker uses again, and remembers which rows were hit, for those detections that tell it.

use std::ops::ControlFlow;
use std::sync::Arc;

use sigmill_codegen::OverlayUse;
use sigmill_engine::{FieldId, Matcher, Overlay, Plan, Rejection, RuleId, ValueKind};
use sigmill_tables::{LookUpBuffer, Row, elements};

use super::levels::LevelEffect;
use super::settings::EnrichSettings;
use super::tables::Tables;
use crate::detection::write_text;

/// Of one record, so many values are looked up by one join at most.
const VALUES_MAX: usize = 64;

/// Joins, bound to a plan.
#[derive(Debug, Default)]
pub struct JoinPlan {
    settings: Arc<EnrichSettings>,
    joins: Vec<BoundJoin>,
    /// The fields of what changes levels, in order.
    levels: Vec<Option<FieldId>>,
}

#[derive(Debug)]
struct BoundJoin {
    at: usize,
    table: usize,
    used: OverlayUse,
    keys: Vec<FieldId>,
    is_composite: bool,
    takes_all: bool,
    lays: Vec<Lay>,
}

/// A column that becomes a field.
#[derive(Debug)]
struct Lay {
    column: usize,
    field: FieldId,
    name: String,
    default: Option<Vec<u8>>,
}

impl JoinPlan {
    /// Binds the joins of the settings; `uses` is what compiling said of them.
    pub fn new(
        settings: Arc<EnrichSettings>,
        columns: &[Vec<String>],
        plan: &Plan,
        uses: &[OverlayUse],
    ) -> Self {
        let mut joins = Vec::new();
        for (at, (join, used)) in settings.joins.iter().zip(uses).enumerate() {
            if *used == OverlayUse::None {
                continue;
            }
            let lays = columns[join.table].iter().enumerate().filter_map(|(column, name)| {
                let default = join.defaults.iter().find(|(known, _)| known == name);
                let default = default.map(|(_, token)| token.clone());
                let field_name = format!("{}{name}", join.prefix);
                Some(Lay { column, field: plan.field(&field_name)?, name: field_name, default })
            });
            joins.push(BoundJoin {
                at,
                table: join.table,
                used: *used,
                keys: join.fields.iter().filter_map(|name| plan.field(name)).collect(),
                is_composite: settings.tables[join.table].key.len() > 1,
                takes_all: join.takes_all,
                lays: lays.collect(),
            });
        }
        let levels = settings.levels.iter().map(|level| plan.field(&level.field)).collect();
        Self { settings, joins, levels }
    }

    fn has(&self, used: OverlayUse) -> bool {
        self.joins.iter().any(|join| join.used == used)
    }

    fn lay(
        &self,
        overlay: &mut Overlay<'_>,
        used: OverlayUse,
        tables: &Tables,
        scratch: &mut Scratch,
    ) {
        for (at, join) in self.joins.iter().enumerate().filter(|(_, join)| join.used == used) {
            scratch.join(overlay, at, join, tables);
        }
    }
}

/// A row that was hit.
#[derive(Debug)]
struct Hit {
    join: usize,
    /// Its key as the table stores it, in the joiner's memory.
    key: std::ops::Range<usize>,
}

/// Does the joins of one worker.
#[derive(Debug, Default)]
pub struct Joiner {
    plan: Arc<JoinPlan>,
    tables: Arc<Tables>,
    has_early: bool,
    scratch: Scratch,
}

/// The memory of a joiner.
#[derive(Debug, Default)]
struct Scratch {
    buf: LookUpBuffer,
    /// The values of a key, one after the other, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
    hits: Vec<Hit>,
    hit_keys: Vec<u8>,
    counts: JoinCounts,
}

/// What a joiner did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JoinCounts {
    /// Values looked up.
    pub look_ups: u64,
    /// Joins that hit a row.
    pub hits: u64,
}

impl Joiner {
    /// A joiner for a plan.
    pub fn new(plan: Arc<JoinPlan>, tables: Arc<Tables>) -> Self {
        let has_early = plan.has(OverlayUse::Matching);
        Self { plan, tables, has_early, ..Self::default() }
    }

    /// Goes on with other joins.
    pub fn set_plan(&mut self, plan: Arc<JoinPlan>) {
        self.has_early = plan.has(OverlayUse::Matching);
        self.plan = plan;
    }

    /// Goes on with other versions of the tables.
    pub fn set_tables(&mut self, tables: Arc<Tables>) {
        self.tables = tables;
    }

    /// As [`Matcher::matches`], with what is joined.
    ///
    /// # Errors
    /// The record is refused.
    pub fn matches<'m>(
        &mut self,
        matcher: &'m mut Matcher,
        record: &[u8],
    ) -> Result<&'m [RuleId], Rejection> {
        self.scratch.hits.clear();
        self.scratch.hit_keys.clear();
        if !self.has_early {
            return matcher.matches(record);
        }
        let Self { plan, tables, scratch, .. } = self;
        matcher.matches_with(record, |overlay| {
            plan.lay(overlay, OverlayUse::Matching, tables, scratch);
        })
    }

    /// For a record that matches: what only its detections show is joined too.
    pub fn finish(&mut self, matcher: &mut Matcher, record: &[u8]) {
        if self.plan.has(OverlayUse::Matched) {
            let Self { plan, tables, scratch, .. } = self;
            matcher.lay_afterwards(record, |overlay| {
                plan.lay(overlay, OverlayUse::Matched, tables, scratch);
            });
        }
    }

    /// What was done since this was asked last.
    pub fn take_counts(&mut self) -> JoinCounts {
        std::mem::take(&mut self.scratch.counts)
    }

    /// The members of a JSON array: what was joined to the record that was matched last.
    pub fn write_joined(&self, matcher: &mut Matcher, record: &[u8], out: &mut Vec<u8>) {
        let hits = &self.scratch.hits;
        for (at, hit) in hits.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let join = &self.plan.joins[hit.join];
            let settings = &self.plan.settings;
            let loaded = &self.tables.all[join.table];
            let key = loaded.table.show_key(&self.scratch.hit_keys[hit.key.clone()]);
            let members = [
                ("join", settings.joins[join.at].name.as_str()),
                ("table", settings.tables[join.table].name.as_str()),
                ("version", &loaded.version),
                ("key", &key),
            ];
            for (at, (name, value)) in members.into_iter().enumerate() {
                out.push(if at == 0 { b'{' } else { b',' });
                write_text(out, name);
                out.push(b':');
                write_text(out, value);
            }
            // Of several rows the fields are told once.
            let is_last = hits.get(at + 1).is_none_or(|next| next.join != hit.join);
            if is_last {
                let mut fields = Vec::new();
                for lay in &join.lays {
                    let (name, field) = (&lay.name, lay.field);
                    crate::extraction::show_field(matcher, record, name, field, &mut fields);
                }
                out.extend_from_slice(b",\"fields\":{");
                out.extend_from_slice(&fields);
                out.push(b'}');
            }
            out.push(b'}');
        }
    }

    /// What the context of the record that was matched last does to levels.
    pub fn level_effect(&self, matcher: &mut Matcher, record: &[u8], effect: &mut LevelEffect) {
        effect.0.clear();
        for (map, field) in self.plan.settings.levels.iter().zip(&self.plan.levels) {
            let Some(field) = field else { continue };
            matcher.read_field(record, *field, |value| effect.0.extend(map.change(value.text)));
        }
    }
}

impl Scratch {
    fn join(&mut self, overlay: &mut Overlay<'_>, at: usize, join: &BoundJoin, tables: &Tables) {
        self.values.clear();
        self.ends.clear();
        let (values, ends) = (&mut self.values, &mut self.ends);
        for field in &join.keys {
            let before = ends.len();
            overlay.read(*field, |value| {
                let is_key = !matches!(value.kind, ValueKind::Null | ValueKind::Object);
                let is_taken = join.is_composite && ends.len() > before;
                if is_key && !is_taken && ends.len() < VALUES_MAX {
                    values.extend_from_slice(value.text);
                    ends.push(values.len());
                }
            });
        }
        let table = &tables.all[join.table].table;
        let mut rows: Rows<'_> = Rows::None;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let mut take = |row: Row<'_>| {
            let start = self.hit_keys.len();
            self.hit_keys.extend_from_slice(row.stored_key());
            self.hits.push(Hit { join: at, key: start..self.hit_keys.len() });
        };
        let values = &self.values;
        let parts = starts.zip(ends.iter()).map(|(start, end)| &values[start..*end]);
        let mut each = |row| {
            rows.push(row);
            take(row);
            if join.takes_all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        if join.is_composite {
            let parts: Vec<&[u8]> = parts.collect();
            self.counts.look_ups += 1;
            table.look_up(&parts, &mut self.buf, &mut each);
        } else {
            let mut is_done = false;
            for part in parts {
                self.counts.look_ups += 1;
                table.look_up(&[part], &mut self.buf, |row| {
                    let flow = each(row);
                    is_done = flow.is_break();
                    flow
                });
                if is_done {
                    break;
                }
            }
        }
        match rows {
            Rows::None => {
                for lay in &join.lays {
                    if let Some(default) = &lay.default {
                        overlay.lay(lay.field, std::iter::once(default.as_slice()));
                    }
                }
            }
            Rows::One(row) => {
                self.counts.hits += 1;
                let mut columns = row.columns().enumerate();
                for lay in &join.lays {
                    let column = columns.find(|(at, _)| *at == lay.column);
                    if let Some((_, column)) = column.filter(|(_, column)| !column.is_empty()) {
                        overlay.lay(lay.field, elements(column));
                    }
                }
            }
            Rows::Several(rows) => {
                self.counts.hits += 1;
                for lay in &join.lays {
                    let mut seen: Vec<&[u8]> = Vec::new();
                    let columns = rows.iter().filter_map(|row| row.columns().nth(lay.column));
                    for scalar in columns.flat_map(elements) {
                        if !seen.contains(&scalar) {
                            seen.push(scalar);
                        }
                    }
                    if !seen.is_empty() {
                        overlay.lay(lay.field, seen.iter().copied());
                    }
                }
            }
        }
    }
}

/// The rows that a join hit; one most often.
enum Rows<'t> {
    None,
    One(Row<'t>),
    Several(Vec<Row<'t>>),
}

impl<'t> Rows<'t> {
    fn push(&mut self, row: Row<'t>) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(row),
            Self::One(first) => Self::Several(vec![first, row]),
            Self::Several(mut rows) => {
                rows.push(row);
                Self::Several(rows)
            }
        };
    }
}
