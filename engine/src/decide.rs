//! Step 5, decide: a rule's condition as a short program over atoms.
//!
//! One accumulator, jumps instead of a stack: `a and (b or not c)` is
//! `test a; jump-if-false end; test b; jump-if-true end; test c; not`.

use crate::atom::AtomId;
use crate::field_index::FieldId;

/// Eager atoms of which it only matters whether one holds: an index into a plan's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

/// One instruction. Jumps go forward only, to an index of the same program or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// The accumulator becomes this.
    Set(bool),
    /// The accumulator becomes whether the atom holds.
    Test(AtomId),
    /// The accumulator becomes whether one of the group's atoms holds.
    TestGroup(GroupId),
    /// The accumulator turns.
    Not,
    /// Jumps if the accumulator is true.
    JumpIfTrue(u32),
    /// Jumps if the accumulator is false.
    JumpIfFalse(u32),
    /// If the field is missing the accumulator becomes false and we jump: what is skipped can only
    /// be false then.
    JumpIfAbsent(FieldId, u32),
    /// The count becomes zero.
    CountStart,
    /// The count grows if the accumulator is true.
    Count,
    /// The accumulator becomes whether the count is at least this.
    CountAtLeast(u32),
}

/// What a program may ask of a record.
pub(crate) trait Record {
    fn holds(&mut self, atom: AtomId) -> bool;
    fn group_holds(&self, group: GroupId) -> bool;
    fn has(&self, field: FieldId) -> bool;
}

/// Runs a program.
pub(crate) fn run(program: &[Op], record: &mut impl Record) -> bool {
    let mut holds = false;
    let mut count = 0u32;
    let mut at = 0;
    while let Some(op) = program.get(at) {
        at += 1;
        match *op {
            Op::Set(value) => holds = value,
            Op::Test(atom) => holds = record.holds(atom),
            Op::TestGroup(group) => holds = record.group_holds(group),
            Op::Not => holds = !holds,
            Op::JumpIfTrue(to) if holds => at = to as usize,
            Op::JumpIfFalse(to) if !holds => at = to as usize,
            Op::JumpIfAbsent(field, to) if !record.has(field) => {
                holds = false;
                at = to as usize;
            }
            Op::JumpIfTrue(_) | Op::JumpIfFalse(_) | Op::JumpIfAbsent(..) => {}
            Op::CountStart => count = 0,
            Op::Count => count += u32::from(holds),
            Op::CountAtLeast(wanted) => holds = count >= wanted,
        }
    }
    holds
}
