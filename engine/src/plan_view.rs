//! What a plan chose, for people: read by `sigmill rules explain` and by nothing on the hot path.

use crate::atom::{AtomId, Test};
use crate::decide::Op;
use crate::field_index::{FieldId, KEYWORDS};
use crate::field_matcher::FieldMatcher;
use crate::plan::{Plan, RuleId};

/// A predicate of a plan and who needs it.
#[derive(Debug, Clone, Copy)]
pub struct AtomView<'a> {
    /// The atom.
    pub id: AtomId,
    /// The field it asks; [`KEYWORDS`] for any value of the record.
    pub field: FieldId,
    /// What it asks.
    pub test: &'a Test,
    /// It is searched for in every record, and not only when a rule asks.
    pub is_eager: bool,
    /// The rules that are decided when it holds.
    pub wakes: &'a [RuleId],
}

impl Plan {
    /// All fields that rules name; [`KEYWORDS`] is the first.
    pub fn fields(&self) -> impl Iterator<Item = FieldId> + use<> {
        (0..self.fields.len() as u32).map(FieldId)
    }

    /// The name of a field; empty for [`KEYWORDS`].
    pub fn field_name(&self, field: FieldId) -> &str {
        self.fields.name(field)
    }

    /// All predicates.
    pub fn atoms(&self) -> impl Iterator<Item = AtomView<'_>> {
        self.atoms.iter().enumerate().map(|(id, atom)| AtomView {
            id: AtomId(id as u32),
            field: atom.field,
            test: atom.test.get(),
            is_eager: atom.is_eager,
            wakes: self.wakes.get(id as u32),
        })
    }

    /// How many predicates each group has, by its id.
    pub fn group_sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.group_count];
        for atom in 0..self.atoms.len() as u32 {
            self.groups_of.get(atom).iter().for_each(|group| sizes[group.0 as usize] += 1);
        }
        sizes
    }

    /// The condition of a rule.
    pub fn program(&self, rule: RuleId) -> &[Op] {
        self.programs.get(rule.0)
    }

    /// Memory of the searches of a field, about; `None` if nothing is searched for in it.
    pub fn matcher_bytes(&self, field: FieldId) -> Option<usize> {
        let matcher = match field {
            KEYWORDS => self.keywords.as_ref(),
            field => self.matchers.get(field.0 as usize)?.as_ref(),
        };
        matcher.map(FieldMatcher::bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cover, PlanBuilder, PlanRule, Text};

    #[test]
    fn a_plan_tells_what_it_chose() {
        let mut builder = PlanBuilder::default();
        let field = builder.field("Image").unwrap();
        let searched = Test::EndsWith(Text::new("\\a.exe", false));
        let searched = builder.atom(field, searched).unwrap();
        let asked = builder.atom(field, Test::Contains(Text::new("b", false))).unwrap();
        let program = [Op::Test(searched), Op::JumpIfFalse(3), Op::Test(asked)];
        let rule = PlanRule { source: 0, condition: 0 };
        let rule = builder.rule(rule, &program, Cover::AnyOf(vec![searched]));
        let plan = builder.build();
        let eager: Vec<bool> = plan.atoms().map(|atom| atom.is_eager).collect();
        assert_eq!(eager, [true, false]);
        let wakes: Vec<&[RuleId]> = plan.atoms().map(|atom| atom.wakes).collect();
        assert_eq!(wakes, [&[rule][..], &[]]);
        assert_eq!(plan.program(rule), program);
        let names: Vec<&str> = plan.fields().map(|field| plan.field_name(field)).collect();
        assert_eq!(names, ["", "Image"]);
        assert!(plan.matcher_bytes(field).is_some_and(|bytes| bytes > 0));
        assert_eq!(plan.matcher_bytes(KEYWORDS), None);
    }
}
