//! A condition as a tree over atoms, simplified as it is built.

use sigmill_engine::AtomId;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Const(bool),
    Atom(AtomId),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    AtLeast(u32, Vec<Tree>),
}

impl Tree {
    pub(crate) fn not(self) -> Self {
        match self {
            Self::Const(value) => Self::Const(!value),
            Self::Not(inner) => *inner,
            tree => Self::Not(Box::new(tree)),
        }
    }

    pub(crate) fn all(parts: impl IntoIterator<Item = Tree>) -> Self {
        Self::join(parts, true)
    }

    pub(crate) fn any(parts: impl IntoIterator<Item = Tree>) -> Self {
        Self::join(parts, false)
    }

    /// The same with other numbers for the atoms.
    pub(crate) fn with_atoms(&self, numbers: &[AtomId]) -> Self {
        let all = |parts: &[Tree]| parts.iter().map(|part| part.with_atoms(numbers)).collect();
        match self {
            Self::Const(value) => Self::Const(*value),
            Self::Atom(atom) => Self::Atom(numbers[atom.0 as usize]),
            Self::Not(inner) => Self::Not(Box::new(inner.with_atoms(numbers))),
            Self::All(parts) => Self::All(all(parts)),
            Self::Any(parts) => Self::Any(all(parts)),
            Self::AtLeast(n, parts) => Self::AtLeast(*n, all(parts)),
        }
    }

    /// Every atom in it, once.
    pub(crate) fn atoms(&self) -> Vec<AtomId> {
        let mut atoms = Vec::new();
        let mut open = vec![self];
        while let Some(tree) = open.pop() {
            match tree {
                Self::Const(_) => {}
                Self::Atom(atom) => atoms.push(*atom),
                Self::Not(inner) => open.push(inner),
                Self::All(parts) | Self::Any(parts) | Self::AtLeast(_, parts) => open.extend(parts),
            }
        }
        atoms.sort_unstable();
        atoms.dedup();
        atoms
    }

    /// A conjunction if `all`, else a disjunction: flat, without constants and repeated atoms.
    fn join(parts: impl IntoIterator<Item = Tree>, all: bool) -> Self {
        let mut flat: Vec<Tree> = Vec::new();
        for part in parts {
            match part {
                Self::Const(value) if value == all => {}
                Self::Const(value) => return Self::Const(value),
                Self::All(inner) if all => flat.extend(inner),
                Self::Any(inner) if !all => flat.extend(inner),
                part => flat.push(part),
            }
        }
        let mut seen = std::collections::HashSet::new();
        flat.retain(|part| match part {
            Self::Atom(atom) => seen.insert(*atom),
            _ => true,
        });
        match flat.len() {
            0 => Self::Const(all),
            1 => flat.swap_remove(0),
            _ if all => Self::All(flat),
            _ => Self::Any(flat),
        }
    }
}
