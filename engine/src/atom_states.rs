//! What is known of the atoms and rules of one record: which atoms hold, which rules are woken, which
//! keywords are to be verified.
//!
//! All tables are stamped with the record's epoch, so that a new record costs nothing to begin.

use crate::atom::AtomId;
use crate::decide::GroupId;
use crate::plan::RuleId;

/// Which atoms are known to hold, or not to, for the record at hand.
#[derive(Debug)]
pub(crate) struct AtomStates {
    epoch: u32,
    /// `epoch * 2 + holds`
    states: Vec<u32>,
    /// By group: the epoch in which one of its atoms held last.
    groups: Vec<u32>,
}

impl AtomStates {
    pub(crate) fn new(atoms: usize, groups: usize) -> Self {
        Self { epoch: 0, states: vec![0; atoms], groups: vec![0; groups] }
    }

    pub(crate) fn begin(&mut self) {
        self.epoch += 1;
        if self.epoch >= u32::MAX / 2 {
            self.states.fill(0);
            self.groups.fill(0);
            self.epoch = 1;
        }
    }

    pub(crate) fn set(&mut self, atom: AtomId, holds: bool) {
        self.states[atom.0 as usize] = self.epoch * 2 + u32::from(holds);
    }

    pub(crate) fn set_group(&mut self, group: GroupId) {
        self.groups[group.0 as usize] = self.epoch;
    }

    pub(crate) fn group_holds(&self, group: GroupId) -> bool {
        self.groups[group.0 as usize] == self.epoch
    }

    pub(crate) fn get(&self, atom: AtomId) -> Option<bool> {
        let state = self.states[atom.0 as usize];
        (state / 2 == self.epoch).then_some(state % 2 == 1)
    }
}

/// Step 5, first half: the rules worth deciding, each once.
#[derive(Debug)]
pub(crate) struct Woken {
    epoch: u32,
    seen: Vec<u32>,
    pub(crate) rules: Vec<RuleId>,
    /// By rule: how often it was woken since the plan is in force.
    pub(crate) counts: Vec<u64>,
}

impl Woken {
    pub(crate) fn new(rules: usize) -> Self {
        let (seen, counts) = (vec![0; rules], vec![0; rules]);
        Self { epoch: 0, seen, rules: Vec::new(), counts }
    }

    pub(crate) fn begin(&mut self) {
        self.rules.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.seen.fill(0);
            self.epoch = 1;
        }
    }

    pub(crate) fn wake(&mut self, rule: RuleId) {
        let seen = &mut self.seen[rule.0 as usize];
        if *seen != self.epoch {
            *seen = self.epoch;
            self.rules.push(rule);
        }
    }
}

/// The keyword atoms to verify, each once for each value.
#[derive(Debug)]
pub(crate) struct Candidates {
    epoch: u32,
    /// By atom: the record and the leaf it was last added for.
    last: Vec<(u32, u32)>,
    pub(crate) pairs: Vec<(AtomId, u32)>,
}

impl Candidates {
    pub(crate) fn new(atoms: usize) -> Self {
        Self { epoch: 0, last: vec![(0, 0); atoms], pairs: Vec::new() }
    }

    pub(crate) fn begin(&mut self) {
        self.pairs.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.last.fill((0, 0));
            self.epoch = 1;
        }
    }

    pub(crate) fn add(&mut self, atom: AtomId, leaf: u32) {
        let last = &mut self.last[atom.0 as usize];
        if *last != (self.epoch, leaf) {
            *last = (self.epoch, leaf);
            self.pairs.push((atom, leaf));
        }
    }
}
