//! A worker's joins: the tables it took before the batch, and what they say of the record at hand.

use std::sync::Arc;

use sigmill_engine::Matcher;

use crate::detection::Extract;
use crate::enrich::{Enrichment, JoinPlan, Joiner, LevelEffect, Tables};
use crate::metrics::{Counts, Metric};
use crate::rule_store::{ActiveRule, RuleSet};

pub(super) struct Joining<'a> {
    enrichment: &'a Enrichment,
    tables: Arc<Tables>,
    pub(super) joiner: Joiner,
    joined: Vec<u8>,
    level_effect: LevelEffect,
}

impl<'a> Joining<'a> {
    pub(super) fn new(enrichment: &'a Enrichment) -> Self {
        let tables = enrichment.tables.load_full();
        let joiner = Joiner::new(Arc::default(), Arc::clone(&tables));
        let (joined, level_effect) = Default::default();
        Self { enrichment, tables, joiner, joined, level_effect }
    }

    pub(super) fn take_rules(&mut self, rules: &RuleSet) {
        let Enrichment { settings, columns, .. } = self.enrichment;
        let plan = JoinPlan::new(Arc::clone(settings), columns, &rules.plan, &rules.overlays);
        self.joiner.set_plan(Arc::new(plan));
    }

    /// Takes the tables in force: a record sees one version of all of them.
    pub(super) fn take_tables(&mut self) {
        let tables = self.enrichment.tables.load();
        if !Arc::ptr_eq(&tables, &self.tables) {
            self.tables = Arc::clone(&tables);
            self.joiner.set_tables(Arc::clone(&tables));
        }
    }

    /// A record matches: joins what only detections show.
    pub(super) fn finish(&mut self, matcher: &mut Matcher, record: &[u8]) {
        self.joiner.finish(matcher, record);
        self.joined.clear();
        self.joiner.write_joined(matcher, record, &mut self.joined);
        self.joiner.level_effect(matcher, record, &mut self.level_effect);
    }

    /// What a detection says of it.
    pub(super) fn tell(&self, rule: &ActiveRule, extract: &mut Extract) {
        extract.joined.extend_from_slice(&self.joined);
        let own = rule.template.level();
        extract.level = self.level_effect.of(own).map(|level| (level, own));
    }

    pub(super) fn count(&mut self, counts: &mut Counts) {
        let done = self.joiner.take_counts();
        counts.add(Metric::JoinLookUps, done.look_ups);
        counts.add(Metric::JoinHits, done.hits);
    }
}
