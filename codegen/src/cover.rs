//! Picks for each rule the atoms of which one must hold if the rule holds.
//!
//! A conjunction is covered by any one of its parts, a disjunction only by all of them together; a
//! negation has no cover of its own. Among the covers possible the one that will hold most rarely is
//! taken, by a rough guess at how often each atom holds.
//!
//! # Soundness
//! A cover may wake a rule that does not match; it never misses one that does.
//! `tests/differential.rs` compares with deciding every rule by the reference.

use sigmill_engine::{AtomId, Cover, PlanBuilder, Test, WildcardPart};

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
    let rate = match test {
        Test::Null | Test::FieldRef { .. } => return None,
        Test::Equals(text) => equals_rate(&text.bytes, builder.field_name(field)),
        Test::Number { text, .. } => equals_rate(text, builder.field_name(field)),
        Test::StartsWith(text) => literal_rate(&text.bytes, 0.25),
        Test::EndsWith(text) => literal_rate(&text.bytes, 0.25),
        Test::Contains(text) => literal_rate(&text.bytes, 0.5),
        Test::Wildcard { parts, .. } => literal_rate(longest(parts), 0.5),
        Test::Compare { .. } => 0.3,
        Test::Regex(regex) if regex.required.is_empty() => 0.3,
        Test::Regex(regex) => regex.required.iter().map(|literal| literal_rate(literal, 0.5)).sum(),
        Test::Cidr { prefix, .. } => 0.2 / f64::from(*prefix + 1),
        Test::Exists => 0.3,
    };
    Some(Candidate { atoms: vec![atom], rate })
}

fn longest(parts: &[WildcardPart]) -> &[u8] {
    let literals = parts.iter().filter_map(|part| match part {
        WildcardPart::Literal(literal) => Some(&**literal),
        _ => None,
    });
    literals.max_by_key(|literal| literal.len()).unwrap_or(&[])
}

/// Fields with a handful of values, all of them common.
const COMMON_FIELDS: [&str; 12] = [
    "EventID",
    "EventCode",
    "event.code",
    "Channel",
    "Provider_Name",
    "eventSource",
    "eventName",
    "Initiated",
    "Signed",
    "LogonType",
    "type",
    "action",
];

fn equals_rate(text: &[u8], field: &str) -> f64 {
    if COMMON_FIELDS.contains(&field) {
        return if field.starts_with("Event") { 0.05 } else { 0.02 };
    }
    (0.02 * 0.8f64.powi(text.len().min(30) as i32)).max(1e-5)
}

/// Texts that are in many values though they are long.
const COMMON_TEXTS: [&str; 24] = [
    ".exe",
    ".dll",
    ".tmp",
    "\\windows\\",
    "c:\\windows\\",
    "\\system32\\",
    "\\syswow64\\",
    "c:\\windows\\system32\\",
    "c:\\windows\\syswow64\\",
    "c:\\program files",
    "c:\\program files\\",
    "c:\\program files (x86)\\",
    "c:\\users\\",
    "\\appdata\\local\\temp\\",
    "\\appdata\\",
    "\\svchost.exe",
    "\\powershell.exe",
    "\\cmd.exe",
    "\\explorer.exe",
    "\\lsass.exe",
    "\\services.exe",
    "hklm\\",
    "\\software\\microsoft\\windows\\currentversion\\",
    "nt authority\\system",
];

fn literal_rate(literal: &[u8], top: f64) -> f64 {
    if COMMON_TEXTS.iter().any(|common| common.as_bytes() == literal) {
        return 0.1;
    }
    (top * 0.65f64.powi(literal.len().min(30) as i32)).max(1e-5)
}
