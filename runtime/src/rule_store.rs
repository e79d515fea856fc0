//! The rules of the rules topic: what is there, what is in force.
//!
//! In: the records of the topic, one after the other. Out: [`RuleSet`]s, each the rules that passed
//! the filters, compiled together. A record replaces all rules of its key, one without a value
//! removes them. A version that does not load or compile leaves the last good one of its key in
//! force, and is a [`RuleProblem`] until a better record comes. The values themselves are kept as they
//! came, for those who ask what is on the topic. Nothing here talks to Kafka.

mod loaded;
mod plans;
mod selection;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sigmill_codegen::{CompileOptions, Compiled, Compiler, OverlayUse, Overlays, RuleDocument};
use sigmill_engine::window::WindowPlan;
use sigmill_engine::{Plan, RuleId};
use sigmill_parser::{FieldMapping, Pipelines};
use tracing::info;

use crate::detection::{Format, RulePosition, version_hash};
use crate::extraction::Reads;
use crate::settings::streams::Shape;
use crate::settings::{RuleFilter, Settings};
pub use loaded::ActiveRule;
use loaded::{Finding, Loaded};
pub(crate) use plans::RuleStores;
pub use selection::Dropped;
use selection::{Known, Selection};

/// A record of the rules topic.
#[derive(Debug, Clone, Copy)]
pub struct RuleRecord<'a> {
    /// Its key: the title, by convention.
    pub key: Option<&'a [u8]>,
    /// The rule; none removes what the key had.
    pub value: Option<&'a [u8]>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// What is wrong with a record of the rules topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// The record's key.
    pub key: String,
    /// The rules topic.
    pub topic: String,
    /// The record's partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// What is wrong, each with line and column in the value where there is one.
    pub findings: Vec<String>,
    /// What becomes of the rule.
    pub outcome: Outcome,
}

/// What becomes of a rule with a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force all the same, but for what the findings say.
    Loaded,
    /// The last good version of the key stays in force.
    LastGoodKept,
    /// The key has no rule in force.
    NotLoaded,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, topic, partition, offset, .. } = self;
        let what = match self.outcome {
            Outcome::Loaded => "has a problem",
            Outcome::LastGoodKept => "does not load, its last good version stays in force",
            Outcome::NotLoaded => "does not load",
        };
        let findings = self.findings.join("; ");
        write!(
            f,
            "rule `{key}` {what} (topic {topic}, partition {partition}, offset {offset}): {findings}"
        )
    }
}

/// The rules in force: what the workers pick up between two batches.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// Rules, correlations and filters, sorted by title, bytewise, then key: first match means lowest
    /// index.
    pub rules: Vec<Arc<ActiveRule>>,
    /// How many rules and correlations are in force, without those that only feed others.
    pub active_count: usize,
    /// Rules whose log source no pipeline has a condition for, sorted.
    pub dropped: Vec<Dropped>,
    /// The compiled rules; its sources are indices into `rules`.
    pub plan: Arc<Plan>,
    /// What matches feed.
    pub windows: Arc<WindowPlan>,
    /// When each join is to be done.
    pub overlays: Vec<OverlayUse>,
    /// By rule: what its detections take from events, for this plan.
    pub reads: Vec<Reads>,
    /// The records of the rules topic: key → value, also of rules that are not in force.
    pub records: Arc<BTreeMap<String, Arc<[u8]>>>,
    /// Tells this set of rules from others, in every process alike.
    pub hash: String,
    /// How long its making took.
    pub build_time: Duration,
    /// Rises with every set; 0 is the empty set before the start.
    pub generation: u64,
    /// How far the rules topic was read: partition → the offset behind the last record.
    pub offsets: BTreeMap<i32, i64>,
    /// What does not load at the moment.
    pub problems: Vec<RuleProblem>,
    /// By rule: whether it makes detections by itself.
    pub is_active: Vec<bool>,
    /// The streams that it is for, by name; empty where all topics are alike.
    pub streams: Vec<String>,
    /// Tells its windows from those of another plan that has the same rules by another filter.
    pub salt: String,
    /// The same rules for other streams: number 1 and so on of the plans, while this is number 0. What is
    /// said of problems, dropped rules and the number of rules in force is said of all.
    pub others: Vec<Arc<RuleSet>>,
    /// How many rules the plans before have.
    pub rule_base: usize,
    /// How many windows the plans before have.
    pub window_base: usize,
}

impl RuleSet {
    /// The rule behind an id of the plan.
    pub fn rule(&self, id: RuleId) -> &ActiveRule {
        &self.rules[self.plan.rule(id).source as usize]
    }

    /// The sets of all plans, by number.
    pub fn sets(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.others.iter().map(|set| &**set))
    }

    /// The rule of a number that counts through all sets.
    pub fn rule_at(&self, at: usize) -> Option<&Arc<ActiveRule>> {
        self.sets().find_map(|set| set.rules.get(at.checked_sub(set.rule_base)?))
    }

    /// What the detections of that rule take from events.
    pub fn reads(&self, id: RuleId) -> &Reads {
        &self.reads[self.plan.rule(id).source as usize]
    }
}

/// What the store needs of the settings.
#[derive(Debug, Clone)]
pub struct RuleStoreConfig {
    /// The rules topic.
    pub topic: String,
    /// Which rules are in force.
    pub filter: RuleFilter,
    /// Whether regular expressions may need backtracking.
    pub allows_backtracking: bool,
    /// Names that rules use → names that events have.
    pub field_mapping: FieldMapping,
    /// What rewrites rules before they are compiled.
    pub pipelines: Pipelines,
    /// The text of the pipelines.
    pub pipelines_text: String,
    /// The shape of detections.
    pub format: Format,
    /// Where detections go by default.
    pub output_topic: String,
    /// Whether detections name their rule's author in a header.
    pub has_author_header: bool,
    /// What is joined to records.
    pub overlays: Overlays,
    /// Topics that a rule cannot name as its own, since the processor reads them.
    pub input_topics: Vec<String>,
    /// The streams that the rules are for, by name; empty where all topics are alike.
    pub streams: Vec<String>,
    /// Tells its windows from those of another filter.
    pub salt: String,
}

impl From<&Settings> for RuleStoreConfig {
    fn from(settings: &Settings) -> Self {
        Self::of(settings, 0)
    }
}

impl RuleStoreConfig {
    /// For the plan of that number.
    pub(crate) fn of(settings: &Settings, plan: usize) -> Self {
        let streams = &settings.streams;
        let Shape { filter, field_mapping, pipelines, pipelines_text, salt } =
            streams.shapes[plan].clone();
        let mut input_topics = settings.data_topics.clone();
        input_topics.push(settings.rules_topic.clone());
        input_topics.extend(settings.instances_topic.clone());
        input_topics.push(settings.matches_topic());
        input_topics.extend(settings.enrich.topics().map(str::to_owned));
        Self {
            topic: settings.rules_topic.clone(),
            filter,
            allows_backtracking: settings.allows_backtracking,
            field_mapping,
            pipelines,
            pipelines_text,
            format: settings.output_format,
            output_topic: settings.output_topic.clone(),
            has_author_header: settings.has_author_header,
            overlays: Overlays::default(),
            input_topics,
            streams: if streams.are_named() { streams.names(plan) } else { Vec::new() },
            salt,
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    /// The last version that compiled.
    good: Vec<Arc<Loaded>>,
    /// A version that was not compiled yet, or that names what is not there.
    next: Option<Vec<Arc<Loaded>>>,
    /// What is wrong with the latest record by itself.
    problem: Option<RuleProblem>,
    /// What is wrong with what is in force, among the others.
    set_problem: Option<RuleProblem>,
    /// The names of documents in the latest record that do not load.
    broken: Vec<String>,
}

/// The values on the topic, shared with the sets that were made of them.
type Records = BTreeMap<String, Arc<[u8]>>;

/// The state of the rules topic as far as it was read.
#[derive(Debug)]
pub struct RuleStore {
    config: RuleStoreConfig,
    entries: BTreeMap<String, Entry>,
    /// Knows what the rules of the last set come to.
    compiler: Compiler,
    records: Arc<Records>,
    /// The last set.
    active: Vec<Arc<ActiveRule>>,
    generation: u64,
    offsets: BTreeMap<i32, i64>,
}

impl RuleStore {
    /// An empty store.
    pub fn new(config: RuleStoreConfig) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            compiler: Compiler::default(),
            records: Arc::default(),
            active: Vec::new(),
            generation: 0,
            offsets: BTreeMap::new(),
        }
    }

    /// Takes a record in. A problem is returned, and kept until a better record of its key comes.
    pub fn apply(&mut self, record: &RuleRecord<'_>) -> Option<RuleProblem> {
        self.offsets.insert(record.partition, record.offset + 1);
        let Some(value) = record.value else {
            match record.key {
                Some(key) => {
                    let key = String::from_utf8_lossy(key);
                    self.entries.remove(&*key);
                    Arc::make_mut(&mut self.records).remove(&*key);
                }
                None => return Some(self.problem(record, "", "neither key nor value".into())),
            }
            return None;
        };
        let reading = loaded::read(value, &self.config);
        let (documents, findings) = (reading.documents, reading.findings);
        let key = match record.key {
            Some(key) => String::from_utf8_lossy(key).into_owned(),
            None => documents.first().map_or(String::new(), |one| one.title().to_owned()),
        };
        Arc::make_mut(&mut self.records).insert(key.clone(), value.into());
        self.entries.entry(key.clone()).or_default().broken = reading.broken;
        let has_failed = documents.is_empty() || findings.iter().any(|finding| finding.is_fatal);
        if has_failed {
            return Some(self.fail(record, key, documents, &findings));
        }
        let mut findings: Vec<String> = findings.into_iter().map(|finding| finding.text).collect();
        let loaded = self.load(record, &key, documents, &mut findings);
        let entry = self.entries.entry(key.clone()).or_default();
        entry.next = Some(loaded);
        entry.problem = (!findings.is_empty()).then(|| RuleProblem {
            key,
            topic: self.config.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            findings,
            outcome: Outcome::Loaded,
        });
        entry.problem.clone()
    }

    /// A version that does not load: the last good one stays; without one, what does load is taken.
    fn fail(
        &mut self,
        record: &RuleRecord<'_>,
        key: String,
        documents: Vec<RuleDocument>,
        findings: &[Finding],
    ) -> RuleProblem {
        let mut texts: Vec<String> = findings.iter().map(|finding| finding.text.clone()).collect();
        if texts.is_empty() {
            texts.push("no rule in it".into());
        }
        let loaded = self.load(record, &key, documents, &mut texts);
        let mut problem = self.problem(record, &key, String::new());
        problem.findings = texts;
        let entry = self.entries.entry(key).or_default();
        let has_good = !entry.good.is_empty() || entry.next.as_ref().is_some_and(|n| !n.is_empty());
        problem.outcome = match has_good {
            true => Outcome::LastGoodKept,
            false => Outcome::NotLoaded,
        };
        if !has_good {
            entry.next = Some(loaded);
        }
        entry.problem = Some(problem.clone());
        problem
    }

    fn problem(&self, record: &RuleRecord<'_>, key: &str, finding: String) -> RuleProblem {
        RuleProblem {
            key: key.to_owned(),
            topic: self.config.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            findings: vec![finding],
            outcome: Outcome::NotLoaded,
        }
    }

    /// The documents of a record, rendered.
    fn load(
        &self,
        record: &RuleRecord<'_>,
        key: &str,
        documents: Vec<RuleDocument>,
        findings: &mut Vec<String>,
    ) -> Vec<Arc<Loaded>> {
        let position = RulePosition::Record {
            topic: self.config.topic.clone(),
            partition: record.partition,
            offset: record.offset,
        };
        documents
            .into_iter()
            .map(|document| {
                let loaded = Loaded::new(key, document, &position, &self.config, findings);
                if !loaded.passes {
                    info!(
                        "{} will not be loaded.  It does not match the filtered rules condition.",
                        loaded.document.title()
                    );
                }
                Arc::new(loaded)
            })
            .collect()
    }

    /// The topics that rules in force, or about to be, name as their own.
    pub fn output_topics(&self) -> impl Iterator<Item = &str> {
        self.entries
            .values()
            .flat_map(|entry| entry.next.as_ref().unwrap_or(&entry.good))
            .filter(|rule| rule.passes)
            .map(|rule| rule.output_topic.as_str())
            .filter(|topic| *topic != self.config.output_topic)
    }

    /// Compiles what is there. Rules that do not compile fall back to the last good version of their
    /// key; such problems are returned besides being kept, and so are those that are new among the
    /// problems between documents.
    pub fn build(&mut self) -> (RuleSet, Vec<RuleProblem>) {
        let mut found = Vec::new();
        // New versions that name what is not there: they wait, if there is a version to go on with.
        let mut held: BTreeMap<String, RuleProblem> = BTreeMap::new();
        let known: Known = std::mem::take(&mut self.active)
            .into_iter()
            .map(|rule| ((Arc::as_ptr(&rule.loaded), rule.hash.clone()), rule))
            .collect();
        loop {
            let all = self.current(&held);
            let selection = selection::select(&all, &self.config, &known);
            let mut is_changed = false;
            for (rule, why) in &selection.refused {
                is_changed |= self.refuse(rule, why.clone(), &mut found);
            }
            if is_changed {
                continue;
            }
            let compiled = self.compile(&selection);
            let mut between = held.clone();
            for warning in &compiled.warnings {
                let rule = &selection.rules[warning.index].loaded;
                add(&mut between, self.between(rule, warning.message.clone(), Outcome::Loaded));
            }
            for refused in &compiled.refused {
                let rule = &selection.rules[refused.index].loaded;
                let why = refused.error.to_string();
                if !refused.error.is_of_the_set() {
                    is_changed |= self.refuse(rule, why, &mut found);
                } else if self.can_wait(&rule.key) && !held.contains_key(&rule.key) {
                    let problem = self.between(rule, why, Outcome::LastGoodKept);
                    held.insert(rule.key.clone(), problem);
                    is_changed = true;
                } else {
                    add(&mut between, self.between(rule, why, Outcome::NotLoaded));
                }
            }
            // Each round takes a version away, or out of this set, so the rounds end.
            if !is_changed {
                self.settle(&held, &mut between, &mut found);
                return (self.set(selection, compiled), found);
            }
        }
    }

    fn compile(&mut self, selection: &Selection) -> Compiled {
        let documents: Vec<RuleDocument> =
            selection.rules.iter().map(|rule| rule.document.clone()).collect();
        let mut absent = selection.absent.clone();
        for name in self.entries.values().flat_map(|entry| &entry.broken) {
            absent.insert(name.clone(), "has errors and does not load".to_owned());
        }
        let options = CompileOptions {
            field_mapping: self.config.field_mapping.clone(),
            silent: selection.silent.clone(),
            absent,
            overlays: self.config.overlays.clone(),
            ..CompileOptions::default()
        };
        self.compiler.compile(&documents, &options, &[])
    }

    /// What is in force from now on, and what is wrong among it; tells what was not wrong before.
    fn settle(
        &mut self,
        held: &BTreeMap<String, RuleProblem>,
        between: &mut BTreeMap<String, RuleProblem>,
        found: &mut Vec<RuleProblem>,
    ) {
        for (key, entry) in &mut self.entries {
            if !held.contains_key(key)
                && let Some(next) = entry.next.take()
            {
                entry.good = next;
            }
            let problem = between.remove(key);
            found.extend(problem.clone().filter(|_| problem != entry.set_problem));
            entry.set_problem = problem;
        }
    }

    fn set(&mut self, selection: Selection, compiled: Compiled) -> RuleSet {
        self.generation += 1;
        self.active.clone_from(&selection.rules);
        let problems = self.entries.values().flat_map(|entry| {
            entry.problem.iter().chain(&entry.set_problem).cloned().collect::<Vec<_>>()
        });
        let is_active = |at: &usize| {
            !matches!(selection.rules[*at].document, RuleDocument::Filter(_))
                && !selection.silent.contains(at)
                && !compiled.refused.iter().any(|refused| refused.index == *at)
        };
        let mut dropped = selection.dropped;
        dropped.sort();
        let hashes: String = selection.rules.iter().map(|rule| rule.hash.as_str()).collect();
        let is_active: Vec<bool> = (0..selection.rules.len()).map(|at| is_active(&at)).collect();
        RuleSet {
            hash: version_hash(&hashes),
            build_time: Duration::ZERO,
            active_count: is_active.iter().filter(|is_active| **is_active).count(),
            is_active,
            streams: self.config.streams.clone(),
            salt: self.config.salt.clone(),
            others: Vec::new(),
            rule_base: 0,
            window_base: 0,
            dropped,
            reads: selection
                .rules
                .iter()
                .map(|rule| rule.extraction.reads(&compiled.plan))
                .collect(),
            problems: problems.collect(),
            rules: selection.rules,
            plan: Arc::new(compiled.plan),
            windows: Arc::new(compiled.windows),
            overlays: compiled.overlays,
            records: Arc::clone(&self.records),
            generation: self.generation,
            offsets: self.offsets.clone(),
        }
    }

    /// The latest versions; of those that are held, the ones before.
    fn current(&self, held: &BTreeMap<String, RuleProblem>) -> Vec<Arc<Loaded>> {
        let latest = |(key, entry): (&String, &Entry)| match &entry.next {
            Some(next) if !held.contains_key(key) => next.clone(),
            _ => entry.good.clone(),
        };
        let mut rules: Vec<_> = self.entries.iter().flat_map(latest).collect();
        rules.sort_by(|a, b| (a.document.title(), &a.key).cmp(&(b.document.title(), &b.key)));
        rules
    }

    /// Whether a key has both a new version and one to go on with.
    fn can_wait(&self, key: &str) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| entry.next.is_some() && !entry.good.is_empty())
    }

    /// A problem that a document has among others.
    fn between(&self, rule: &Loaded, finding: String, outcome: Outcome) -> RuleProblem {
        let (partition, offset) = match rule.position {
            RulePosition::Record { partition, offset, .. } => (partition, offset),
            RulePosition::File { .. } => (0, 0),
        };
        let (key, topic) = (rule.key.clone(), self.config.topic.clone());
        RuleProblem { key, topic, partition, offset, findings: vec![finding], outcome }
    }

    /// Takes a rule that does not compile out of its entry. Whether the set changed by that.
    fn refuse(&mut self, rule: &Arc<Loaded>, why: String, found: &mut Vec<RuleProblem>) -> bool {
        let mut problem = self.between(rule, why, Outcome::NotLoaded);
        let Some(entry) = self.entries.get_mut(&rule.key) else { return false };
        let has_good = !entry.good.is_empty();
        if has_good {
            problem.outcome = Outcome::LastGoodKept;
        }
        entry.problem = Some(problem.clone());
        found.push(problem);
        match &mut entry.next {
            // The whole version goes, if there is a good one to go back to.
            Some(_) if has_good => entry.next = None,
            Some(next) => next.retain(|other| !Arc::ptr_eq(other, rule)),
            // It compiled before: what changed is outside of it. It is not in the plan, and stays out.
            None => entry.good.retain(|other| !Arc::ptr_eq(other, rule)),
        }
        true
    }
}

/// One problem for each key: of several documents of a record, all findings.
fn add(problems: &mut BTreeMap<String, RuleProblem>, problem: RuleProblem) {
    match problems.get_mut(&problem.key) {
        Some(known) => {
            known.findings.extend(problem.findings);
            if problem.outcome == Outcome::NotLoaded {
                known.outcome = problem.outcome;
            }
        }
        None => {
            problems.insert(problem.key.clone(), problem);
        }
    }
}
