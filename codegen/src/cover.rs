//! Picks for each rule the atoms of which one must hold if the rule holds.
//!
//! A conjunction is covered by any one of its parts, a disjunction only by all of them together; a
//! negation has no cover of its own. Among the covers possible the one that will hold most rarely is
//! taken, by what [`frequency`] knows of each atom.
//!
//! # Soundness
//! A cover may wake a rule that does not match; it never misses one that does.
//! `tests/differential.rs` compares with deciding every rule by the reference.

use sigmill_engine::{AtomId, Cover, FieldId, KEYWORDS, PlanBuilder, Test};

use crate::frequency;
use crate::tree::Tree;

/// The cover of a condition, and how often it wakes.
pub(crate) fn choose(tree: &Tree, builder: &mut PlanBuilder) -> Chosen {
    Chosen(cover(tree, true, builder))
}

/// A rule's cover; `None` if it has to be decided on every record.
#[derive(Debug)]
pub(crate) struct Chosen(Option<Candidate>);

/// A rule that wakes for more than one record of so many has its atoms promoted.
const OFTEN: f64 = 0.005;

impl Chosen {
    pub(crate) fn atoms(&self) -> impl Iterator<Item = AtomId> + '_ {
        self.0.iter().flat_map(|candidate| candidate.atoms.iter().copied())
    }

    /// The same with other numbers for the atoms.
    pub(crate) fn with_atoms(&self, numbers: &[AtomId]) -> Self {
        Self(self.0.as_ref().map(|candidate| {
            let atoms = candidate.atoms.iter().map(|atom| numbers[atom.0 as usize]);
            let mut atoms: Vec<AtomId> = atoms.collect();
            atoms.sort_unstable();
            Candidate { atoms, rate: candidate.rate }
        }))
    }

    pub(crate) fn wakes_often(&self) -> bool {
        self.0.as_ref().is_none_or(|candidate| candidate.rate > OFTEN)
    }

    pub(crate) fn into_cover(self) -> Cover {
        match self.0 {
            Some(candidate) => Cover::AnyOf(candidate.atoms),
            None => Cover::Always,
        }
    }
}

#[derive(Debug)]
struct Candidate {
    atoms: Vec<AtomId>,
    /// How often one of them holds, about, in a record.
    rate: f64,
}

/// The atoms of a condition that a search finds at little cost.
pub(crate) fn worth_promoting(tree: &Tree, builder: &PlanBuilder) -> Vec<AtomId> {
    let mut atoms = tree.atoms();
    atoms.retain(|atom| {
        let (field, test) = builder.test(*atom);
        let is_cheap = match test {
            Test::Contains(text) => text.bytes.len() > 3,
            Test::Equals(_) | Test::StartsWith(_) | Test::EndsWith(_) | Test::Number { .. } => true,
            Test::Wildcard { .. } => true,
            Test::Regex(regex) => !regex.required.is_empty(),
            _ => false,
        };
        is_cheap && field != KEYWORDS
    });
    atoms
}

/// A cover of the tree if `holds`, else of its negation.
fn cover(tree: &Tree, holds: bool, builder: &mut PlanBuilder) -> Option<Candidate> {
    match (tree, holds) {
        (Tree::Const(value), holds) => {
            (*value != holds).then(|| Candidate { atoms: Vec::new(), rate: 0.0 })
        }
        (Tree::Atom(atom), true) => atom_cover(*atom, builder),
        (Tree::Atom(_), false) => None,
        (Tree::Not(inner), holds) => cover(inner, !holds, builder),
        (Tree::All(parts), true) | (Tree::Any(parts), false) => parts
            .iter()
            .filter_map(|part| cover(part, holds, builder))
            .min_by(|a, b| a.rate.total_cmp(&b.rate)),
        (Tree::Any(parts), true) | (Tree::All(parts), false) => {
            let covers: Option<Vec<_>> =
                parts.iter().map(|part| cover(part, holds, builder)).collect();
            Some(union(covers?))
        }
        (Tree::AtLeast(n, parts), true) => {
            // Of n parts that hold, one is among any all-but-(n-1).
            let mut covers: Vec<_> =
                parts.iter().filter_map(|part| cover(part, true, builder)).collect();
            let wanted = parts.len() + 1 - *n as usize;
            covers.sort_by(|a, b| a.rate.total_cmp(&b.rate));
            (covers.len() >= wanted).then(|| {
                covers.truncate(wanted);
                union(covers)
            })
        }
        (Tree::AtLeast(..), false) => None,
    }
}

fn union(covers: Vec<Candidate>) -> Candidate {
    let rate = covers.iter().map(|cover| cover.rate).sum();
    let mut atoms: Vec<AtomId> = covers.into_iter().flat_map(|cover| cover.atoms).collect();
    atoms.sort_unstable();
    atoms.dedup();
    Candidate { atoms, rate }
}

fn atom_cover(atom: AtomId, builder: &mut PlanBuilder) -> Option<Candidate> {
    let (field, test) = builder.test(atom);
    match test {
        Test::Null => return None,
        Test::Something => return presence(&[field], builder),
        // Both fields have to be there.
        Test::FieldRef { other, .. } => {
            let fields = [field, *other];
            return presence(&fields, builder);
        }
        _ => {}
    }
    let rate = frequency::rate(builder.field_name(field), test) + search_cost(field, test);
    Some(Candidate { atoms: vec![atom], rate })
}

/// That the one of the fields is there that fewer records have.
fn presence(fields: &[FieldId], builder: &mut PlanBuilder) -> Option<Candidate> {
    let mut covers = Vec::new();
    for field in fields {
        covers.extend(atom_cover(builder.atom(*field, Test::Exists).ok()?, builder));
    }
    covers.into_iter().min_by(|a, b| a.rate.total_cmp(&b.rate))
}

/// What it costs to search for the atom in every record, in the currency of waking a rule: little,
/// but for short literals and for what no literal can find.
fn search_cost(field: FieldId, test: &Test) -> f64 {
    let short = |len: usize| match len {
        0..=2 => 0.02,
        3 => 0.01,
        4..=6 => 0.001,
        _ => 0.0,
    };
    let cost = match test {
        Test::Contains(text) => short(text.bytes.len()),
        Test::Regex(regex) if regex.required.is_empty() => 0.1,
        Test::Backtracking(_) => 1.0,
        Test::Compare { .. } | Test::TimePart { .. } | Test::Cidr { .. } => 0.01,
        _ => 0.0,
    };
    // Keywords are searched in the whole record.
    if field == KEYWORDS { 10.0 * cost } else { cost }
}
