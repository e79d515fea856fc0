//! The rules of all streams: one store for each different combination of pipelines, mapping and filter.
//!
//! In: the records of the rules topic, which every store takes. Out: one [`RuleSet`] that has those of the
//! other combinations in it, so that whoever takes it has all plans of the same rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sigmill_codegen::Overlays;

use super::{Dropped, RuleProblem, RuleRecord, RuleSet, RuleStore, RuleStoreConfig};
use crate::detection::version_hash;
use crate::settings::Settings;

/// The stores of a processor.
#[derive(Debug)]
pub(crate) struct RuleStores {
    /// By number of the plan.
    stores: Vec<RuleStore>,
}

impl RuleStores {
    pub(crate) fn new(settings: &Settings, overlays: &Overlays) -> Self {
        let store = |plan: usize| {
            let config = RuleStoreConfig::of(settings, plan);
            RuleStore::new(RuleStoreConfig { overlays: overlays.clone(), ..config })
        };
        Self { stores: (0..settings.streams.shapes.len()).map(store).collect() }
    }

    /// Takes a record in. What is wrong with it is returned, once.
    pub(crate) fn apply(&mut self, record: &RuleRecord<'_>) -> Vec<RuleProblem> {
        let found = |store: &mut RuleStore| store.apply(record).into_iter().collect();
        let found: Vec<Vec<RuleProblem>> = self.stores.iter_mut().map(found).collect();
        self.merged(found)
    }

    /// The topics that rules in force, or about to be, name as their own.
    pub(crate) fn output_topics(&self) -> impl Iterator<Item = &str> {
        self.stores.iter().flat_map(RuleStore::output_topics)
    }

    /// Compiles what is there, for every combination.
    pub(crate) fn build(&mut self) -> (RuleSet, Vec<RuleProblem>) {
        let (sets, found): (Vec<_>, Vec<_>) = self.stores.iter_mut().map(RuleStore::build).unzip();
        let found = self.merged(found);
        let mut sets = sets.into_iter();
        let Some(mut first) = sets.next() else { return (RuleSet::default(), found) };
        let mut others: Vec<RuleSet> = sets.collect();
        if others.is_empty() {
            return (first, found);
        }
        let all = || std::iter::once(&first).chain(&others);
        let problems = all().map(|set| set.problems.clone()).collect();
        let problems = self.merged(problems);
        let active: BTreeSet<(&str, &str)> = all().flat_map(active).collect();
        let active_count = active.len();
        let titles: BTreeSet<&str> = active.iter().map(|(_, title)| *title).collect();
        let dropped: BTreeSet<&Dropped> = all()
            .flat_map(|set| &set.dropped)
            .filter(|dropped| !titles.contains(dropped.title.as_str()))
            .collect();
        let dropped: Vec<Dropped> = dropped.into_iter().cloned().collect();
        let hashes: String = all().map(|set| set.hash.as_str()).collect();
        first.problems = problems;
        first.active_count = active_count;
        first.dropped = dropped;
        first.hash = version_hash(&hashes);
        let (mut rule_base, mut window_base) = (first.rules.len(), first.windows.windows().len());
        for set in &mut others {
            (set.rule_base, set.window_base) = (rule_base, window_base);
            rule_base += set.rules.len();
            window_base += set.windows.windows().len();
        }
        first.others = others.into_iter().map(Arc::new).collect();
        (first, found)
    }

    /// The problems of the stores: one that all have is one, any other names the streams that have it.
    fn merged(&self, mut of_stores: Vec<Vec<RuleProblem>>) -> Vec<RuleProblem> {
        if of_stores.len() == 1 {
            return of_stores.remove(0);
        }
        let mut merged: Vec<(RuleProblem, Vec<usize>)> = Vec::new();
        for (plan, problems) in of_stores.into_iter().enumerate() {
            for problem in problems {
                match merged.iter_mut().find(|(known, _)| *known == problem) {
                    Some((_, plans)) => plans.push(plan),
                    None => merged.push((problem, vec![plan])),
                }
            }
        }
        let told = |(mut problem, plans): (RuleProblem, Vec<usize>)| {
            if plans.len() < self.stores.len() {
                let streams: Vec<String> = plans
                    .iter()
                    .flat_map(|plan| self.stores[*plan].config.streams.clone())
                    .collect();
                let streams = streams.join(", ");
                for finding in &mut problem.findings {
                    *finding = format!("for {streams}: {finding}");
                }
            }
            problem
        };
        // In the order of the keys, as those of one store.
        let mut by_key: BTreeMap<String, Vec<RuleProblem>> = BTreeMap::new();
        for problem in merged.into_iter().map(told) {
            by_key.entry(problem.key.clone()).or_default().push(problem);
        }
        by_key.into_values().flatten().collect()
    }
}

/// The rules that make detections: key and title.
fn active(set: &RuleSet) -> impl Iterator<Item = (&str, &str)> {
    let is_active = set.is_active.iter();
    let rules = set.rules.iter().zip(is_active).filter(|(_, is_active)| **is_active);
    rules.map(|(rule, _)| (rule.key.as_str(), rule.title()))
}
