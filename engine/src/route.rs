//! Which rules can hold at all for records of one kind, and so which fields have to be looked at.
//!
//! Most rules ask for one kind of event: a channel, an event number. A rule's guard is what its
//! condition says of such fields alone; a route is the values of these fields in a record. For each
//! route, met once and remembered, the guards are decided: the rules whose guard fails are dead, and
//! the fields that only dead rules look at are skipped, the keywords' pass over the record included. So
//! are the routing fields themselves: which of their atoms hold is known with the route.
//!
//! # Soundness
//! A condition implies its guard, so a dead rule cannot match, whatever its other atoms are. A field
//! is skipped only if no living rule has an eager atom on it: nobody asks for what was not searched. A
//! route is compared byte by byte. `codegen/tests/differential.rs` covers rules with guards.

use std::collections::HashMap;

use crate::atom::AtomId;
use crate::atom_states::{AtomStates, Woken};
use crate::decide::{self, GroupId, Op, Record};
use crate::field_index::{FieldId, KEYWORDS};
use crate::index::{END, RecordFields};
use crate::plan::{Lists, Plan, RuleId};

/// Routes remembered; with more the table starts anew.
const ROUTES_MAX: usize = 4096;
/// Longest route in bytes; records with longer ones are matched against all rules.
const ROUTE_BYTES_MAX: usize = 512;
/// Records after which the share of new routes is judged …
const JUDGED_AFTER: u32 = 4096;
/// … and, if more than one in so many was new, routing rests for …
const NEW_SHARE_MAX: u32 = 16;
/// … so many records.
const RESTS_FOR: u32 = 64 * JUDGED_AFTER;

/// The plan's half: guards, and what each rule looks at.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    /// The fields whose values make a route; none if routing is not worth it.
    pub(crate) fields: Vec<FieldId>,
    /// The guards, each once; the empty one is that of rules that may hold on any route.
    pub(crate) guards: Lists<Op>,
    /// By guard: the rules that have it.
    pub(crate) rules_of: Lists<RuleId>,
    /// By guard: the fields of these rules' eager atoms.
    pub(crate) fields_of: Lists<FieldId>,
    /// The eager atoms of the routing fields.
    pub(crate) atoms: Vec<AtomId>,
}

/// What is known of a route.
#[derive(Debug)]
pub(crate) struct Route {
    /// By field: some living rule has an eager atom on it.
    is_needed: Box<[bool]>,
    /// By rule, one bit each.
    alive: Box<[u64]>,
    /// The eager atoms of the routing fields that hold.
    holding: Box<[AtomId]>,
    /// Their groups.
    groups: Box<[GroupId]>,
    /// The living rules that they wake.
    woken: Box<[RuleId]>,
}

impl Route {
    /// Says what is known of the routing fields, as if they had been matched.
    #[inline]
    pub(crate) fn fire(&self, atoms: &mut AtomStates, woken: &mut Woken) {
        self.holding.iter().for_each(|atom| atoms.set(*atom, true));
        self.groups.iter().for_each(|group| atoms.set_group(*group));
        self.woken.iter().for_each(|rule| woken.wake(*rule));
    }

    #[inline]
    pub(crate) fn needs(&self, field: FieldId) -> bool {
        self.is_needed[field.0 as usize]
    }

    #[inline]
    pub(crate) fn is_alive(&self, rule: RuleId) -> bool {
        self.alive[rule.0 as usize / 64] >> (rule.0 % 64) & 1 == 1
    }
}

/// A worker's half: the routes met so far.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    ids: HashMap<Box<[u8]>, u32>,
    routes: Vec<Route>,
    key: Vec<u8>,
    asked: u32,
    new: u32,
    rest: u32,
}

/// What there is to say of a record's route.
pub(crate) enum Found {
    /// It is this one.
    Known(u32),
    /// It has to be added by [`Routes::add`].
    New,
    /// All rules are to be taken for living.
    None,
}

impl Routes {
    /// Finds the route of a record.
    pub(crate) fn find(&mut self, plan: &Plan, record: &[u8], fields: &RecordFields) -> Found {
        if plan.routing.fields.is_empty() {
            return Found::None;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return Found::None;
        }
        self.key.clear();
        for field in &plan.routing.fields {
            let mut at = fields.first(*field);
            while at != END {
                let value = &fields.values[at as usize];
                let raw = value.value.range.of(record);
                if self.key.len() + raw.len() > ROUTE_BYTES_MAX {
                    return Found::None;
                }
                self.key.push(value.value.kind as u8);
                self.key.extend_from_slice(&(raw.len() as u16).to_le_bytes());
                self.key.extend_from_slice(raw);
                at = value.next;
            }
            // Absent and empty are told apart.
            self.key.push(if fields.has(*field) { 0xfe } else { 0xff });
        }
        self.asked += 1;
        if self.asked == JUDGED_AFTER {
            self.rest = if self.new > JUDGED_AFTER / NEW_SHARE_MAX { RESTS_FOR } else { 0 };
            (self.asked, self.new) = (0, 0);
        }
        match self.ids.get(self.key.as_slice()) {
            Some(id) => Found::Known(*id),
            None => Found::New,
        }
    }

    /// Decides the guards for the record whose route was found to be new. Its routing fields have
    /// been matched.
    pub(crate) fn add(&mut self, plan: &Plan, record: &mut impl Record) -> u32 {
        self.new += 1;
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
            self.ids.clear();
        }
        let rules = plan.rules().len();
        let mut route = Route {
            is_needed: vec![false; plan.fields.len()].into(),
            alive: vec![0; rules.div_ceil(64)].into(),
            holding: Box::default(),
            groups: Box::default(),
            woken: Box::default(),
        };
        for id in 0..plan.routing.guards.len() {
            let guard = plan.routing.guards.get(id);
            if guard.is_empty() || decide::run(guard, record) {
                for rule in plan.routing.rules_of.get(id) {
                    route.alive[rule.0 as usize / 64] |= 1 << (rule.0 % 64);
                }
                for field in plan.routing.fields_of.get(id) {
                    route.is_needed[field.0 as usize] = true;
                }
            }
        }
        for field in &plan.routing.fields {
            route.is_needed[field.0 as usize] = false;
        }
        route.holding =
            plan.routing.atoms.iter().copied().filter(|atom| record.holds(*atom)).collect();
        route.groups = distinct(route.holding.iter().flat_map(|atom| plan.groups_of.get(atom.0)));
        let woken = route.holding.iter().flat_map(|atom| plan.wakes.get(atom.0));
        route.woken = distinct(woken.filter(|rule| route.is_alive(**rule)));
        let id = self.routes.len() as u32;
        self.routes.push(route);
        self.ids.insert(self.key.as_slice().into(), id);
        id
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> &Route {
        &self.routes[id as usize]
    }
}

impl Route {
    /// Whether keywords have to be looked for.
    pub(crate) fn needs_keywords(&self) -> bool {
        self.needs(KEYWORDS)
    }
}

fn distinct<'a, T: Copy + Ord + 'a>(ids: impl Iterator<Item = &'a T>) -> Box<[T]> {
    let mut ids: Vec<T> = ids.copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}
