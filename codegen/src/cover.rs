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

/// The cover of a condition.
pub(crate) fn choose(tree: &Tree, builder: &PlanBuilder) -> Cover {
    match cover(tree, true, builder) {
        Some(candidate) => Cover::AnyOf(candidate.atoms),
        None => Cover::Always,
    }
}

/// The atoms of a cover.
pub(crate) fn atoms(cover: &Cover) -> impl Iterator<Item = AtomId> + '_ {
    let atoms: &[AtomId] = match cover {
        Cover::AnyOf(atoms) => atoms,
        Cover::Always => &[],
    };
    atoms.iter().copied()
}

struct Candidate {
    atoms: Vec<AtomId>,
    /// How often one of them holds, about, in a record.
    rate: f64,
}

/// A cover of the tree if `holds`, else of its negation.
fn cover(tree: &Tree, holds: bool, builder: &PlanBuilder) -> Option<Candidate> {
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

fn atom_cover(atom: AtomId, builder: &PlanBuilder) -> Option<Candidate> {
    let (field, test) = builder.test(atom);
    if matches!(test, Test::Null | Test::FieldRef { .. }) {
        return None;
    }
    let rate = frequency::rate(builder.field_name(field), test) + search_cost(field, test);
    Some(Candidate { atoms: vec![atom], rate })
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
        Test::Compare { .. } | Test::Cidr { .. } => 0.01,
        _ => 0.0,
    };
    // Keywords are searched in the whole record.
    if field == KEYWORDS { 10.0 * cost } else { cost }
}
