//! The compiled rule set, and how it is put together.
//!
//! Codegen interns fields and atoms in a [`PlanBuilder`] and adds rules as programs with covers; the
//! builder makes the shared matchers. A finished [`Plan`] never changes and is shared by all workers.

use crate::hash::HashMap;

use crate::atom::{AtomId, Probe, Test};
use crate::decide::{GroupId, Op};
use crate::field_index::{FieldId, FieldIndex, KEYWORDS};
use crate::field_matcher::FieldMatcher;
use crate::path::PathStep;
use crate::reuse::{PartField, PlanPart, Searches, SharedTest, Tests};
use crate::route::Routing;

/// A rule of a plan: an index into [`Plan::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u32);

/// What the plan keeps of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanRule {
    /// Index of the rule in the list that was compiled.
    pub source: u32,
    /// Which of the rule's conditions this is a part of; each condition is a detection of its own. What
    /// only feeds the window of a condition stands beside it.
    pub condition: u32,
}

/// When a rule has to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cover {
    /// On every record.
    Always,
    /// On a record for which one of these atoms holds: on no other can the rule hold. All of them
    /// can be found by values or presence ([`Test::Null`] and [`Test::FieldRef`] cannot).
    AnyOf(Vec<AtomId>),
}

#[derive(Debug)]
pub(crate) struct Atom {
    pub(crate) field: FieldId,
    pub(crate) test: SharedTest,
    /// It is in a cover: the matchers decide it, for every record.
    pub(crate) is_eager: bool,
}

/// Lists of `u32`s, one behind the other.
#[derive(Debug)]
pub(crate) struct Lists<T> {
    ends: Vec<u32>,
    items: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { ends: Vec::new(), items: Vec::new() }
    }
}

impl<T, L: IntoIterator<Item = T>> FromIterator<L> for Lists<T> {
    fn from_iter<I: IntoIterator<Item = L>>(lists: I) -> Self {
        let mut all = Self::default();
        lists.into_iter().for_each(|list| all.push(list));
        all
    }
}

impl<T> Lists<T> {
    pub(crate) fn push(&mut self, items: impl IntoIterator<Item = T>) {
        self.items.extend(items);
        self.ends.push(u32::try_from(self.items.len()).expect("lists hold less than 2^32 items"));
    }

    pub(crate) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> &[T] {
        let start = if at == 0 { 0 } else { self.ends[at as usize - 1] };
        &self.items[start as usize..self.ends[at as usize] as usize]
    }
}

/// What a field's matcher does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldWork {
    /// Some atoms hold whenever the field is there.
    pub(crate) fires_presence: bool,
    /// Some atoms may hold for its values.
    pub(crate) reads_values: bool,
}

impl FieldWork {
    fn of(matcher: Option<&FieldMatcher>) -> Self {
        Self {
            fires_presence: matcher.is_some_and(|matcher| !matcher.present.is_empty()),
            reads_values: matcher.is_some_and(FieldMatcher::reads_values),
        }
    }
}

/// A compiled rule set.
#[derive(Debug)]
pub struct Plan {
    pub(crate) fields: FieldIndex,
    pub(crate) atoms: Vec<Atom>,
    /// By atom: the matchers decide it, for every record.
    pub(crate) is_eager: Vec<bool>,
    pub(crate) probes: Vec<Probe>,
    /// By field; `None` where the field has no eager atom.
    pub(crate) matchers: Vec<Option<FieldMatcher>>,
    /// By field: what there is to do.
    pub(crate) work: Vec<FieldWork>,
    /// By atom: the rules to decide when it holds.
    pub(crate) wakes: Lists<RuleId>,
    /// By atom: the groups that hold when it does.
    pub(crate) groups_of: Lists<GroupId>,
    pub(crate) group_count: usize,
    /// Rules to decide on every record.
    pub(crate) always: Vec<RuleId>,
    /// By rule.
    pub(crate) programs: Lists<Op>,
    /// The eager atoms that look at every value of the record.
    pub(crate) keywords: Option<FieldMatcher>,
    /// Some atom, eager or not, looks at every value of the record.
    pub(crate) has_keywords: bool,
    pub(crate) routing: Routing,
    rules: Vec<PlanRule>,
}

impl Default for Plan {
    fn default() -> Self {
        PlanBuilder::default().build()
    }
}

impl Plan {
    /// The rules, by [`RuleId`].
    pub fn rules(&self) -> &[PlanRule] {
        &self.rules
    }

    /// One rule.
    pub fn rule(&self, id: RuleId) -> &PlanRule {
        &self.rules[id.0 as usize]
    }

    /// The id of a field that the plan knows: one that a rule names, or that the builder was asked for.
    pub fn field(&self, name: &str) -> Option<FieldId> {
        self.fields.find(name)
    }

    /// Sizes, for reports.
    pub fn size(&self) -> PlanSize {
        PlanSize {
            rules: self.rules.len(),
            rules_always: self.always.len(),
            fields: self.fields.len() - 1,
            atoms: self.atoms.len(),
            atoms_eager: self.atoms.iter().filter(|atom| atom.is_eager).count(),
            matcher_bytes: self.matchers.iter().flatten().map(FieldMatcher::bytes).sum::<usize>()
                + self.keywords.as_ref().map_or(0, FieldMatcher::bytes),
        }
    }

    /// The expressions of which searches have reached their bound, and how many have, since the plan was
    /// built.
    pub fn searches_given_up(&self) -> Vec<(&str, u64)> {
        let probes = self.atoms.iter().zip(&self.probes);
        let given_up = probes.filter_map(|(atom, probe)| match (atom.test.get(), probe) {
            (Test::Backtracking(expression), Probe::Backtracking(probe)) => {
                Some((&**expression, probe.given_up()))
            }
            _ => None,
        });
        given_up.filter(|(_, count)| *count > 0).collect()
    }

    /// Calls `each` with the field and test of every atom that is searched for in every record.
    pub fn dump_eager(&self, mut each: impl FnMut(&str, &Test)) {
        for atom in self.atoms.iter().filter(|atom| atom.is_eager) {
            each(self.fields.name(atom.field), atom.test.get());
        }
    }

    /// The rules that are decided on every record.
    pub fn always(&self) -> &[RuleId] {
        &self.always
    }
}

/// How large a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanSize {
    /// Rules; several conditions of one count each.
    pub rules: usize,
    /// Rules decided on every record.
    pub rules_always: usize,
    /// Fields that rules name.
    pub fields: usize,
    /// Distinct predicates.
    pub atoms: usize,
    /// Those that are searched for in every record.
    pub atoms_eager: usize,
    /// Memory of the shared matchers, about.
    pub matcher_bytes: usize,
}

/// Puts a plan together.
#[derive(Debug, Default)]
pub struct PlanBuilder {
    fields: FieldIndex,
    atoms: Vec<Atom>,
    probes: Vec<Probe>,
    ids: HashMap<(FieldId, SharedTest), AtomId>,
    tests: Tests,
    covers: Vec<Cover>,
    programs: Lists<Op>,
    rules: Vec<PlanRule>,
    promoted: Vec<AtomId>,
    groups: Vec<Vec<AtomId>>,
    group_ids: HashMap<Vec<AtomId>, GroupId>,
    guards: Vec<Vec<Op>>,
    routing_fields: Vec<FieldId>,
}

impl PlanBuilder {
    /// The id of a field; `None` if its name has too many steps.
    pub fn field(&mut self, name: &str) -> Option<FieldId> {
        self.fields.intern(name)
    }

    /// Whether somebody asked for a field of that name.
    pub fn has_field(&self, name: &str) -> bool {
        self.fields.find(name).is_some()
    }

    /// The id of a field that is found by walking a path, which makes every record go by the tape.
    pub fn field_walk(&mut self, name: &str, steps: Vec<PathStep>) -> Option<FieldId> {
        self.fields.intern_walk(name, steps)
    }

    /// The id of an atom, new or known.
    ///
    /// # Errors
    /// The regular expression does not compile within its limit; the text says why.
    pub fn atom(&mut self, field: FieldId, test: Test) -> Result<AtomId, String> {
        let test = SharedTest::new(test);
        if let Some(id) = self.ids.get(&(field, test.clone())) {
            return Ok(*id);
        }
        let (test, probe) = self.tests.make(test)?;
        Ok(self.add_atom(field, test, probe))
    }

    fn add_atom(&mut self, field: FieldId, test: SharedTest, probe: Probe) -> AtomId {
        let id = u32::try_from(self.atoms.len()).expect("memory ends before atoms have no number");
        self.probes.push(probe);
        self.atoms.push(Atom { field, test: test.clone(), is_eager: false });
        self.ids.insert((field, test), AtomId(id));
        AtomId(id)
    }

    /// A builder for a part of a plan. It takes tests that are made already from these.
    pub fn for_part(tests: Tests) -> Self {
        Self { tests, ..Self::default() }
    }

    /// The fields and atoms so far, to be added to other plans; and the tests.
    pub fn into_part(self) -> (PlanPart, Tests) {
        let fields = self
            .fields
            .named()
            .map(|(name, walk)| PartField { name: name.into(), walk: walk.map(Into::into) });
        let atoms = self.atoms.into_iter().zip(self.probes);
        let part = PlanPart {
            fields: fields.collect(),
            atoms: atoms.map(|(atom, probe)| (atom.field, atom.test, probe)).collect(),
        };
        (part, self.tests)
    }

    /// Adds the fields and atoms of a part. By what they were called there: what they are called here.
    pub fn add_part(&mut self, part: &PlanPart) -> (Vec<FieldId>, Vec<AtomId>) {
        let mut fields = vec![KEYWORDS];
        for PartField { name, walk } in &part.fields {
            let id = match walk {
                Some(steps) => self.fields.intern_walk(name, steps.to_vec()),
                None => self.fields.intern(name),
            };
            fields.push(id.expect("the part took the name"));
        }
        let atoms = part.atoms.iter().map(|(field, test, probe)| {
            let field = fields[field.0 as usize];
            let test = test.with_fields(&fields);
            match self.ids.get(&(field, test.clone())) {
                Some(id) => *id,
                None => self.add_atom(field, test, probe.with_fields(&fields)),
            }
        });
        let atoms = atoms.collect();
        (fields, atoms)
    }

    /// What an atom asks.
    pub fn test(&self, atom: AtomId) -> (FieldId, &Test) {
        let atom = &self.atoms[atom.0 as usize];
        (atom.field, atom.test.get())
    }

    /// All atoms so far.
    pub fn atom_ids(&self) -> impl Iterator<Item = AtomId> + use<> {
        (0..self.atoms.len() as u32).map(AtomId)
    }

    /// The name of a field.
    pub fn field_name(&self, field: FieldId) -> &str {
        self.fields.name(field)
    }

    /// Adds a rule.
    pub fn rule(&mut self, rule: PlanRule, program: &[Op], cover: Cover) -> RuleId {
        let id = RuleId(u32::try_from(self.rules.len()).expect("rules are fewer than atoms"));
        debug_assert!(program.iter().enumerate().all(|(at, op)| match op {
            Op::JumpIfTrue(to) | Op::JumpIfFalse(to) | Op::JumpIfAbsent(_, to) => {
                *to as usize > at && *to as usize <= program.len()
            }
            _ => true,
        }));
        self.rules.push(rule);
        self.programs.push(program.iter().copied());
        self.covers.push(cover);
        self.guards.push(Vec::new());
        id
    }

    /// The group of these atoms, new or known. They all have to be in a cover or promoted.
    pub fn group(&mut self, mut atoms: Vec<AtomId>) -> GroupId {
        atoms.sort_unstable();
        atoms.dedup();
        let next = GroupId(self.groups.len() as u32);
        let id = *self.group_ids.entry(atoms.clone()).or_insert(next);
        if id == next {
            self.groups.push(atoms);
        }
        id
    }

    /// Says what a rule asks of the routing fields alone: its condition implies this program, which
    /// asks for atoms of these fields only.
    pub fn guard(&mut self, rule: RuleId, program: Vec<Op>) {
        self.guards[rule.0 as usize] = program;
    }

    /// Sets the fields whose values tell what kind of record it is (see [`PlanBuilder::guard`]).
    pub fn route_by(&mut self, fields: Vec<FieldId>) {
        self.routing_fields = fields;
    }

    /// Has an atom searched for in every record though it is in no cover: worth it where a rule that
    /// wakes often would ask for it, since the memo then answers. The same atoms as a cover's.
    pub fn promote(&mut self, atom: AtomId) {
        self.promoted.push(atom);
    }

    /// Makes the matchers and finishes the plan.
    pub fn build(self) -> Plan {
        self.build_with(&mut Searches::default())
    }

    /// The same. What was searched for by an earlier plan in the same way is taken from there.
    pub fn build_with(mut self, searches: &mut Searches) -> Plan {
        let mut woken: Vec<Vec<RuleId>> = vec![Vec::new(); self.atoms.len()];
        let mut always = Vec::new();
        for (rule, cover) in self.covers.iter().enumerate() {
            let rule = RuleId(rule as u32);
            match cover {
                Cover::Always => always.push(rule),
                Cover::AnyOf(atoms) => {
                    for atom in atoms {
                        let is_findable =
                            !matches!(self.test(*atom).1, Test::Null | Test::FieldRef { .. });
                        assert!(is_findable, "a cover's atoms can be found by values or presence");
                        self.atoms[atom.0 as usize].is_eager = true;
                        if woken[atom.0 as usize].last() != Some(&rule) {
                            woken[atom.0 as usize].push(rule);
                        }
                    }
                }
            }
        }
        for atom in &self.promoted {
            self.atoms[atom.0 as usize].is_eager = true;
        }
        let mut groups_of: Vec<Vec<GroupId>> = vec![Vec::new(); self.atoms.len()];
        for (id, atoms) in self.groups.iter().enumerate() {
            for atom in atoms {
                assert!(self.atoms[atom.0 as usize].is_eager, "a group's atoms are eager");
                groups_of[atom.0 as usize].push(GroupId(id as u32));
            }
        }
        let routing = self.routing();
        let mut by_field: Vec<Vec<(AtomId, &Test)>> = vec![Vec::new(); self.fields.len()];
        for (id, atom) in self.atoms.iter().enumerate().filter(|(_, atom)| atom.is_eager) {
            by_field[atom.field.0 as usize].push((AtomId(id as u32), atom.test.get()));
        }
        let keywords = std::mem::take(&mut by_field[KEYWORDS.0 as usize]);
        let keywords =
            (!keywords.is_empty()).then(|| FieldMatcher::of_keywords(keywords, searches));
        let matchers: Vec<Option<FieldMatcher>> = by_field
            .into_iter()
            .map(|atoms| (!atoms.is_empty()).then(|| FieldMatcher::new(atoms, searches)))
            .collect();
        searches.forget_others();
        let wakes = woken.into_iter().collect();
        let has_keywords = self.atoms.iter().any(|atom| atom.field == KEYWORDS);
        Plan {
            is_eager: self.atoms.iter().map(|atom| atom.is_eager).collect(),
            fields: self.fields,
            atoms: self.atoms,
            probes: self.probes,
            work: matchers.iter().map(|matcher| FieldWork::of(matcher.as_ref())).collect(),
            matchers,
            wakes,
            groups_of: groups_of.into_iter().collect(),
            group_count: self.groups.len(),
            always,
            programs: self.programs,
            keywords,
            has_keywords,
            routing,
            rules: self.rules,
        }
    }

    fn routing(&mut self) -> Routing {
        let mut routing = Routing::default();
        if self.routing_fields.is_empty() {
            return routing;
        }
        routing.fields = std::mem::take(&mut self.routing_fields);
        let is_eager = |id: &AtomId| {
            let atom = &self.atoms[id.0 as usize];
            atom.is_eager && routing.fields.contains(&atom.field)
        };
        routing.atoms = self.atom_ids().filter(is_eager).collect();
        let mut rules_of: HashMap<Vec<Op>, Vec<RuleId>> = HashMap::default();
        for (rule, guard) in std::mem::take(&mut self.guards).into_iter().enumerate() {
            rules_of.entry(guard).or_default().push(RuleId(rule as u32));
        }
        let mut guards: Vec<(Vec<Op>, Vec<RuleId>)> = rules_of.into_iter().collect();
        guards.sort_unstable_by_key(|(_, rules)| rules[0]);
        for (guard, rules) in guards {
            let mut fields: Vec<FieldId> =
                rules.iter().flat_map(|rule| self.eager_fields(*rule)).collect();
            fields.sort_unstable();
            fields.dedup();
            routing.guards.push(guard);
            routing.rules_of.push(rules);
            routing.fields_of.push(fields);
        }
        routing
    }

    /// The fields of a rule's eager atoms.
    fn eager_fields(&self, rule: RuleId) -> impl Iterator<Item = FieldId> {
        let cover: &[AtomId] = match &self.covers[rule.0 as usize] {
            Cover::AnyOf(atoms) => atoms,
            Cover::Always => &[],
        };
        let program = self.programs.get(rule.0).iter().flat_map(|op| match op {
            Op::Test(atom) => std::slice::from_ref(atom),
            Op::TestGroup(group) => &self.groups[group.0 as usize],
            _ => &[],
        });
        let atoms = program.chain(cover).map(|atom| &self.atoms[atom.0 as usize]);
        atoms.filter(|atom| atom.is_eager).map(|atom| atom.field)
    }
}
