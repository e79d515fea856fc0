//! A worker's plans where topics have rules of their own: which plan a record is for, and what is kept of
//! those that are not at work.
//!
//! The worker's own fields are those of the plan at work; another plan's are swapped in when a record of
//! another one comes. Records come in runs of one partition, so that happens seldom. With one plan there is
//! nothing here.

use std::mem::swap;
use std::sync::Arc;

use rdkafka::message::Message;
use sigmill_engine::{Counters, Matcher};
use tracing::warn;

use super::joining::Joining;
use super::{Worker, WorkerShared, matcher_config};
use crate::batch::BatchRecord;
use crate::commit::Slot;
use crate::metrics::Counts;
use crate::rule_store::RuleSet;
use crate::settings::Settings;

/// What a worker has of each plan.
struct Part<'a> {
    rules: Arc<RuleSet>,
    matcher: Matcher,
    joining: Option<Joining<'a>>,
}

pub(super) struct Plans<'a> {
    settings: Arc<Settings>,
    /// By number; at the number of the plan at work stands what has no meaning. Empty where there is one.
    parts: Vec<Part<'a>>,
    at_work: usize,
    /// By place of the partition in the ledger.
    by_slot: Vec<Option<(Slot, usize)>>,
}

impl<'a> Plans<'a> {
    pub(super) fn new(shared: &'a WorkerShared) -> Self {
        let settings = Arc::clone(&shared.settings);
        let rules = Arc::<RuleSet>::default();
        let part = |_| Part {
            matcher: Matcher::new(Arc::clone(&rules.plan), matcher_config(&settings)),
            joining: shared.enrichment.as_deref().map(Joining::new),
            rules: Arc::clone(&rules),
        };
        let count = settings.streams.shapes.len();
        let parts = if count > 1 { (0..count).map(part).collect() } else { Vec::new() };
        Self { settings, parts, at_work: 0, by_slot: Vec::new() }
    }

    pub(super) fn are_several(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The plan of a record.
    pub(super) fn of(&mut self, record: &BatchRecord<'_>) -> usize {
        let slot = record.slot;
        match self.by_slot.get(slot.index()) {
            Some(Some((known, plan))) if *known == slot => *plan,
            _ => self.learn(slot, record.message.topic()),
        }
    }

    fn learn(&mut self, slot: Slot, topic: &str) -> usize {
        let streams = &self.settings.streams;
        if let Some((one, other)) = streams.claims(topic) {
            let (taken, left) = (one.setting(), other.setting());
            warn!(
                topic,
                taken, left, "A topic is met by two streams: it has the rules of the first."
            );
        }
        let plan = streams.of(topic).map_or(0, |stream| stream.plan);
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, None);
        }
        self.by_slot[slot.index()] = Some((slot, plan));
        plan
    }

    /// Takes the sets of the plans beside number 0, which is at work.
    pub(super) fn take_rules(&mut self, rules: &RuleSet) {
        debug_assert_eq!(self.at_work, 0);
        for (part, set) in self.parts.iter_mut().skip(1).zip(&rules.others) {
            part.matcher.set_plan(Arc::clone(&set.plan));
            if let Some(joining) = &mut part.joining {
                joining.take_rules(set);
            }
            part.rules = Arc::clone(set);
        }
    }

    pub(super) fn take_tables(&mut self) {
        self.parts.iter_mut().flat_map(|part| &mut part.joining).for_each(Joining::take_tables);
    }

    pub(super) fn count(&mut self, counts: &mut Counts) {
        self.parts.iter_mut().flat_map(|part| &mut part.joining).for_each(|one| one.count(counts));
    }

    /// What all matchers did.
    pub(super) fn counters(&self, at_work: &Matcher) -> Counters {
        let mut all = at_work.counters();
        self.parts.iter().for_each(|part| all.add(&part.matcher.counters()));
        all
    }
}

impl Worker<'_> {
    /// Puts the plan of that number to work.
    pub(super) fn turn_to(&mut self, plan: usize) {
        let former = self.plans.at_work;
        if plan != former {
            // What stands for the plan at work goes to the one before, and back again.
            self.swap_with(former);
            self.swap_with(plan);
            self.plans.at_work = plan;
        }
    }

    fn swap_with(&mut self, plan: usize) {
        let part = &mut self.plans.parts[plan];
        swap(&mut part.rules, &mut self.rules);
        swap(&mut part.matcher, &mut self.matcher);
        swap(&mut part.joining, &mut self.joining);
    }
}
