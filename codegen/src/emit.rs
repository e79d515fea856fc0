//! From a tree to a program: cheap parts first, and whole groups of tests skipped where their field
//! is missing.

use sigmill_engine::{AtomId, FieldId, KEYWORDS, Op, PlanBuilder, Test};

use crate::tree::Tree;

/// A set of atoms.
#[derive(Debug, Default)]
pub(crate) struct AtomSet(Vec<bool>);

impl AtomSet {
    pub(crate) fn insert(&mut self, atom: AtomId) {
        let at = atom.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, false);
        }
        self.0[at] = true;
    }

    fn contains(&self, atom: AtomId) -> bool {
        self.0.get(atom.0 as usize).copied().unwrap_or(false)
    }
}

/// The program of a condition.
pub(crate) fn program(tree: &Tree, eager: &AtomSet, builder: &mut PlanBuilder) -> Vec<Op> {
    let mut emitter = Emitter { eager, builder, ops: Vec::new() };
    emitter.tree(tree);
    emitter.ops
}

struct Emitter<'a> {
    eager: &'a AtomSet,
    builder: &'a mut PlanBuilder,
    ops: Vec<Op>,
}

impl Emitter<'_> {
    fn tree(&mut self, tree: &Tree) {
        match tree {
            Tree::Const(value) => self.ops.push(Op::Set(*value)),
            Tree::Atom(atom) => self.ops.push(Op::Test(*atom)),
            Tree::Not(inner) => {
                self.tree(inner);
                self.ops.push(Op::Not);
            }
            Tree::All(parts) => {
                let mut parts: Vec<&Tree> = parts.iter().collect();
                parts.sort_by_key(|part| self.cost(part));
                self.chain(&parts, Op::JumpIfFalse);
            }
            Tree::Any(parts) => self.any(parts),
            Tree::AtLeast(n, parts) => {
                self.ops.push(Op::CountStart);
                for part in parts {
                    self.tree(part);
                    self.ops.push(Op::Count);
                }
                self.ops.push(Op::CountAtLeast(*n));
            }
        }
    }

    /// The parts one after the other; each but the last may jump to the end.
    fn chain(&mut self, parts: &[&Tree], jump: fn(u32) -> Op) {
        let mut jumps = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            self.tree(part);
            if i + 1 < parts.len() {
                jumps.push(self.ops.len());
                self.ops.push(jump(0));
            }
        }
        self.land(&jumps, jump);
    }

    fn land(&mut self, jumps: &[usize], jump: fn(u32) -> Op) {
        let end = self.ops.len() as u32;
        for at in jumps {
            self.ops[*at] = jump(end);
        }
    }

    /// Atoms that are known anyway first, all at once, then the rest.
    fn any(&mut self, parts: &[Tree]) {
        let is_eager = |part: &&Tree| match part {
            Tree::Atom(atom) => self.eager.contains(*atom),
            _ => false,
        };
        let (known, parts): (Vec<&Tree>, Vec<&Tree>) = parts.iter().partition(is_eager);
        let known: Vec<AtomId> = known.into_iter().flat_map(Tree::atoms).collect();
        let mut jumps = Vec::new();
        match known.as_slice() {
            [] => {}
            [atom] => self.ops.push(Op::Test(*atom)),
            _ => {
                let group = self.builder.group(known.clone());
                self.ops.push(Op::TestGroup(group));
            }
        }
        if !known.is_empty() && !parts.is_empty() {
            jumps.push(self.ops.len());
            self.ops.push(Op::JumpIfTrue(0));
        }
        self.any_unknown(&parts, &mut jumps);
        self.land(&jumps, Op::JumpIfTrue);
    }

    /// Groups of lazy tests of one field, then the rest.
    fn any_unknown(&mut self, parts: &[&Tree], jumps: &mut Vec<usize>) {
        let mut groups: Vec<(Option<FieldId>, Vec<&Tree>)> = Vec::new();
        for part in parts {
            let field = self.guard(part);
            match groups.iter_mut().find(|(f, _)| *f == field && field.is_some()) {
                Some((_, group)) => group.push(part),
                None => groups.push((field, vec![part])),
            }
        }
        for (_, group) in &mut groups {
            group.sort_by_key(|part| self.cost(part));
        }
        groups.sort_by_key(|(_, group)| group.iter().map(|part| self.cost(part)).sum::<u32>());
        for (i, (field, group)) in groups.iter().enumerate() {
            match field {
                Some(field) if group.len() > 1 => {
                    let guard = self.ops.len();
                    self.ops.push(Op::JumpIfAbsent(*field, 0));
                    self.chain(group, Op::JumpIfTrue);
                    self.ops[guard] = Op::JumpIfAbsent(*field, self.ops.len() as u32);
                }
                _ => self.chain(group, Op::JumpIfTrue),
            }
            if i + 1 < groups.len() {
                jumps.push(self.ops.len());
                self.ops.push(Op::JumpIfTrue(0));
            }
        }
    }

    /// The field without which the part is false, if it is one lazy test.
    fn guard(&self, part: &Tree) -> Option<FieldId> {
        let Tree::Atom(atom) = part else { return None };
        let (field, test) = self.builder.test(*atom);
        let is_false_without = !matches!(test, Test::Null) && field != KEYWORDS;
        (is_false_without && !self.eager.contains(*atom)).then_some(field)
    }

    /// What it costs to ask, about.
    fn cost(&self, tree: &Tree) -> u32 {
        match tree {
            Tree::Const(_) => 0,
            Tree::Not(inner) => self.cost(inner),
            Tree::All(parts) | Tree::Any(parts) | Tree::AtLeast(_, parts) => {
                parts.iter().map(|part| self.cost(part)).fold(1, u32::saturating_add)
            }
            Tree::Atom(atom) if self.eager.contains(*atom) => 1,
            Tree::Atom(atom) => {
                let (field, test) = self.builder.test(*atom);
                let one = match test {
                    Test::Exists | Test::Null | Test::Something => 2,
                    Test::Equals(_) | Test::StartsWith(_) | Test::EndsWith(_) => 5,
                    Test::Number { .. } | Test::Compare { .. } | Test::TimePart { .. } => 8,
                    Test::Cidr { .. } => 15,
                    Test::Contains(_) => 30,
                    Test::Wildcard { .. } => 40,
                    Test::FieldRef { .. } => 60,
                    Test::Regex(_) => 200,
                    Test::Backtracking(_) => 2_000,
                };
                if field == KEYWORDS { one * 30 } else { one }
            }
        }
    }
}
