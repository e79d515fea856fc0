//! The compiled rule set: plain data.

/// A rule of a plan: an index into [`Plan::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u32);

/// What the plan keeps of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRule {
    /// Index of the rule in the list that was compiled.
    pub source: u32,
    /// Which of the rule's conditions this is; each is a detection of its own.
    pub condition: u32,
}

/// A compiled rule set.
#[derive(Debug, Default)]
pub struct Plan {
    rules: Vec<PlanRule>,
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
}
