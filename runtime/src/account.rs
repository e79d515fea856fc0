//! What a worker accounts for, and what others see of it: partitions, topics, rules, and how busy it is.
//!
//! The worker counts into fields of its own. Ten times a second it moves them into [`Told`], if nobody reads
//! that just now: it never waits. What is known by name is bounded by what the rule set and the assignment
//! hold; topics stay, since counters may not fall.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use sigmill_engine::{Counters, RuleId};

use crate::clock;
use crate::commit::Slot;
use crate::emit::Emitter;
use crate::latency::{Latencies, Stage};
use crate::metrics::{Counts, Metric};
use crate::process;
use crate::rule_store::{ActiveRule, RuleSet};
use crate::sys;
use crate::view::WorkerView;
use crate::worker::WorkerContext;

/// How often a worker tells.
const INTERVAL: Duration = Duration::from_millis(100);
/// One record in so many is timed.
const SAMPLED: usize = 64;

/// What others see of a worker.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) partitions: Vec<PartitionTold>,
    /// What was read, by topic.
    pub(crate) topics: BTreeMap<String, Counts>,
    /// By key and title.
    pub(crate) rules: HashMap<RuleName, RuleTold>,
    /// Matches of rules that are not in force any more.
    pub(crate) former_matches: u64,
    /// The rule set that it works with.
    pub(crate) generation: u64,
    /// The partitions are paused until enough is acknowledged.
    pub(crate) is_paused: bool,
    /// Time that it did not wait, and time of its thread on a processor.
    pub(crate) busy: Duration,
    pub(crate) cpu: Duration,
    /// Milliseconds since 1970; 0: it has not told yet.
    pub(crate) told_at: i64,
}

/// The key and the title of a rule.
pub(crate) type RuleName = (String, String);

/// What became of a rule in a worker.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct RuleTold {
    pub(crate) matches: u64,
    /// Milliseconds since 1970.
    pub(crate) matched_at: i64,
}

impl RuleTold {
    pub(crate) fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        self.matched_at = self.matched_at.max(other.matched_at);
    }
}

/// A partition that a worker reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PartitionTold {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) is_matches: bool,
    /// Behind the last record that was read.
    pub(crate) position: Option<i64>,
    pub(crate) committed: Option<i64>,
    /// Behind the last record that there is, as the broker said with the last fetch.
    pub(crate) end: Option<i64>,
    /// How far event time has come, if something asks for it.
    pub(crate) stream_time: Option<i64>,
    pub(crate) is_paused: bool,
}

impl PartitionTold {
    /// Records that are there and were not read.
    pub(crate) fn lag(&self) -> Option<i64> {
        let from = self.position.or(self.committed)?;
        self.end.map(|end| end.saturating_sub(from).max(0))
    }
}

/// The shared side.
#[derive(Debug, Default)]
pub(crate) struct SharedTold(Mutex<Told>);

impl SharedTold {
    pub(crate) fn read(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's side.
#[derive(Debug)]
pub(crate) struct Account {
    due: Instant,
    /// Since when time is counted that was not told.
    since: Instant,
    waited: Duration,
    /// Topic of a partition, by its place in the ledger.
    by_slot: Vec<Option<(Slot, usize)>>,
    topics: Vec<(String, Counts)>,
    /// By index of the rule; those that are not 0.
    matches: Vec<u64>,
    matched: Vec<usize>,
    /// Of rules that were in force before.
    rules: HashMap<RuleName, RuleTold>,
    seen: Counters,
    /// Records until the next one is timed.
    until_sample: usize,
    batch_count: usize,
    pub(crate) is_paused: bool,
}

/// What is there to tell of.
pub(crate) struct Telling<'a> {
    pub(crate) view: &'a WorkerView,
    pub(crate) rules: &'a RuleSet,
    /// Of all its matchers.
    pub(crate) counters: Counters,
    pub(crate) consumer: &'a BaseConsumer<WorkerContext>,
    pub(crate) context: &'a WorkerContext,
    pub(crate) is_waiting: &'a dyn Fn(Slot) -> bool,
    /// Tell now, whatever the time.
    pub(crate) is_last: bool,
}

impl Account {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            due: now,
            since: now,
            waited: Duration::ZERO,
            by_slot: Vec::new(),
            topics: Vec::new(),
            matches: Vec::new(),
            matched: Vec::new(),
            rules: HashMap::new(),
            seen: Counters::default(),
            until_sample: 0,
            batch_count: 0,
            is_paused: false,
        }
    }

    /// A batch begins: which of its records are timed changes from batch to batch.
    pub(crate) fn begin_batch(&mut self, len: usize) {
        self.batch_count = self.batch_count.wrapping_add(1);
        self.until_sample = self.batch_count.wrapping_mul(37) % len.clamp(1, SAMPLED);
    }

    /// Whether the next record is timed: since when.
    pub(crate) fn sample(&mut self) -> Option<Instant> {
        if self.until_sample > 0 {
            self.until_sample -= 1;
            return None;
        }
        self.until_sample = SAMPLED - 1;
        Some(Instant::now())
    }

    /// A record that is timed has been matched.
    pub(crate) fn matched_since(
        latencies: &mut Latencies,
        sampled: Option<Instant>,
        polled_at: Instant,
    ) {
        if let Some(begin) = sampled {
            let now = Instant::now();
            latencies.record(Stage::Record, now.duration_since(begin));
            latencies.record(Stage::Polled, now.duration_since(polled_at));
        }
    }

    /// Time in which the worker had nothing to do, or could do nothing.
    pub(crate) fn wait(&mut self, waited: Duration) {
        self.waited += waited;
    }

    /// Counts something of a data topic.
    pub(crate) fn count(&mut self, slot: Slot, topic: &str, metric: Metric, n: u64) {
        let at = match self.by_slot.get(slot.index()) {
            Some(Some((known, at))) if *known == slot => *at,
            _ => self.learn(slot, topic),
        };
        self.topics[at].1.add(metric, n);
    }

    fn learn(&mut self, slot: Slot, topic: &str) -> usize {
        let known = self.topics.iter().position(|(known, _)| known == topic);
        let at = known.unwrap_or_else(|| {
            self.topics.push((topic.to_owned(), Counts::default()));
            self.topics.len() - 1
        });
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, None);
        }
        self.by_slot[slot.index()] = Some((slot, at));
        at
    }

    /// Counts a record's matches.
    pub(crate) fn count_matches(&mut self, rules: &RuleSet, matches: &[RuleId]) {
        let end = rules.rule_base + rules.rules.len();
        if self.matches.len() < end {
            self.matches.resize(end, 0);
        }
        for id in matches {
            let at = rules.rule_base + rules.plan.rule(*id).source as usize;
            if self.matches[at] == 0 {
                self.matched.push(at);
            }
            self.matches[at] += 1;
        }
    }

    /// Gives the counts of a rule set their names: before another one, and before they are told.
    pub(crate) fn settle(&mut self, rules: &RuleSet) {
        let now = if self.matched.is_empty() { 0 } else { clock::now_ms() };
        for at in self.matched.drain(..) {
            let matches = std::mem::take(&mut self.matches[at]);
            let Some(rule) = rules.rule_at(at) else { continue };
            let told = RuleTold { matches, matched_at: now };
            self.rules.entry(name_of(rule)).or_default().merge(told);
        }
    }

    /// Tells how the worker stands, if it is time to and nobody reads what was told before.
    pub(crate) fn tell(&mut self, emitter: &mut Emitter, telling: &Telling<'_>) {
        let now = Instant::now();
        if now < self.due && !telling.is_last {
            return;
        }
        self.due = now + INTERVAL;
        let Telling { view, rules, counters, .. } = telling;
        view.latencies.take(&mut emitter.latencies);
        let since = |all: u64, seen: u64| if all < seen { all } else { all - seen };
        let evaluated = since(counters.records, self.seen.records);
        emitter.counts.add(Metric::EventsEvaluated, evaluated);
        let woken = since(counters.rules_woken, self.seen.rules_woken);
        emitter.counts.add(Metric::RulesWoken, woken);
        self.seen = *counters;
        self.settle(rules);
        let mut told = match view.told.0.try_lock() {
            Ok(told) => told,
            // It will not come again.
            Err(_) if telling.is_last => view.told.read(),
            Err(_) => return,
        };
        for (topic, counts) in &mut self.topics {
            let all = match told.topics.get_mut(topic.as_str()) {
                Some(all) => all,
                None => told.topics.entry(topic.clone()).or_default(),
            };
            all.merge(counts);
            emitter.counts.merge(counts);
            *counts = Counts::default();
        }
        if told.generation != rules.generation {
            told.generation = rules.generation;
            forget_former(&mut told, rules);
        }
        for (name, counts) in self.rules.drain() {
            told.rules.entry(name).or_default().merge(counts);
        }
        told.is_paused = self.is_paused;
        told.busy += now.duration_since(self.since).saturating_sub(self.waited);
        (self.since, self.waited) = (now, Duration::ZERO);
        told.cpu = process::thread_time();
        told.told_at = clock::now_ms();
        told.partitions.clear();
        told.partitions.extend(self.partitions(emitter, telling));
    }

    fn partitions(&self, emitter: &Emitter, telling: &Telling<'_>) -> Vec<PartitionTold> {
        let ledger = &emitter.ledger;
        let partition = |(slot, topic, partition): (Slot, &str, i32)| {
            let time = ledger.mark(slot).map(|mark| mark.time);
            let start = ledger.start(slot).and_then(|start| start.committed);
            PartitionTold {
                topic: topic.to_owned(),
                partition,
                is_matches: telling.context.is_matches(topic),
                position: ledger.position(slot),
                committed: ledger.committed(slot).or(start),
                end: sys::known_end(telling.consumer.client(), topic, partition),
                stream_time: time.filter(|time| *time != i64::MIN),
                is_paused: self.is_paused || (telling.is_waiting)(slot),
            }
        };
        ledger.partitions().map(partition).collect()
    }
}

/// Rules that are not in force any more are not told of; that they matched is.
fn forget_former(told: &mut Told, rules: &RuleSet) {
    let known: std::collections::HashSet<(&str, &str)> = rules
        .sets()
        .flat_map(|set| &set.rules)
        .map(|rule| (rule.key.as_str(), rule.title()))
        .collect();
    let mut former = 0;
    told.rules.retain(|(key, title), counts| {
        let is_known = known.contains(&(key.as_str(), title.as_str()));
        former += if is_known { 0 } else { counts.matches };
        is_known
    });
    told.former_matches += former;
}

/// What a rule is counted by.
pub(crate) fn name_of(rule: &ActiveRule) -> RuleName {
    (rule.key.clone(), rule.title().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_of_each_small_batch_is_timed_and_one_in_many_of_a_large_one() {
        let mut account = Account::new();
        for len in [1, 2, 10, 63, 64, 1000, 6400] {
            for _ in 0..3 {
                account.begin_batch(len);
                let count = (0..len).filter(|_| account.sample().is_some()).count();
                let (least, most) = (len / SAMPLED, len / SAMPLED + 1);
                assert!((least.max(1)..=most).contains(&count), "{count} of {len}");
            }
        }
    }

    #[test]
    fn lag_is_what_was_not_read() {
        let told = |position, committed, end| {
            PartitionTold { position, committed, end, ..PartitionTold::default() }.lag()
        };
        assert_eq!(told(Some(5), Some(2), Some(9)), Some(4));
        assert_eq!(told(None, Some(2), Some(9)), Some(7));
        assert_eq!(told(Some(10), None, Some(9)), Some(0));
        assert_eq!((told(None, None, Some(9)), told(Some(1), None, None)), (None, None));
    }
}
