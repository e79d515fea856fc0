//! No rule can stop the others: a budget of detections per rule and second, and topics of rules that fail.
//!
//! In: each detection that a worker is about to make. Out: whether it goes out, is left out and counted, or
//! goes out as a *sample* that tells how many were left out before it. A rule that has spent a worker's
//! share of its budget is *throttled*: one sample a second, until it asks for no more than the share in a
//! whole second. A topic of a rule's own that takes no records is *broken*: for a while nothing is sent to
//! it. Workers write into [`RuleStates`] only when something changes, or once a second of a throttled rule.
//!
//! Exactly once, what an aborted transaction had told is told again: [`Budget::abort`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::{info, warn};

use crate::exposition::Exposition;
use crate::rule_store::ActiveRule;
use crate::show::{RuleTrouble, Show};

/// What a budget is counted over.
const SECOND: Duration = Duration::from_secs(1);
/// A broken topic is tried again after this time.
const BROKEN_FOR: Duration = Duration::from_secs(60);
/// Rules and topics that are remembered at most; rules come and go, and so do their keys.
const KNOWN_MAX: usize = 50_000;
/// Rules and topics that metrics and the status name at most.
const SHOWN_MAX: usize = 100;

/// What becomes of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spend {
    /// It goes out; so many were left out before it and were not told of yet.
    Send { suppressed: u64 },
    /// It is left out.
    Suppress,
}

#[derive(Debug)]
struct Spent {
    /// The key of the rule.
    key: String,
    /// The second that is counted.
    since: Instant,
    /// Detections in it, also those that were left out.
    asked: u64,
    is_throttled: bool,
    /// Left out and not told of.
    suppressed: u64,
    /// The same as far as it is committed.
    committed: u64,
}

/// A worker's share of the budgets.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Detections per rule and second; 0: as many as there are.
    share: u64,
    spent: HashMap<u64, Spent>,
    /// Topics that take nothing → when they are tried again.
    broken: HashMap<String, Instant>,
    looked_at: Instant,
    states: Arc<RuleStates>,
}

impl Drop for Budget {
    /// A worker that ends throttles nothing.
    fn drop(&mut self) {
        for spent in self.spent.values().filter(|spent| spent.is_throttled) {
            self.states.throttled(&spent.key, false, self.share);
        }
        self.broken.keys().for_each(|topic| self.states.broken(topic, None));
    }
}

impl Budget {
    /// Of a budget for all workers, this one's part; none is left without any.
    pub(crate) fn new(
        per_second: usize,
        workers: usize,
        now: Instant,
        states: &Arc<RuleStates>,
    ) -> Self {
        let share = per_second.div_ceil(workers.max(1)) as u64;
        Self {
            share,
            spent: HashMap::new(),
            broken: HashMap::new(),
            looked_at: now,
            states: Arc::clone(states),
        }
    }

    /// Whether there are limits at all.
    pub(crate) fn is_limited(&self) -> bool {
        self.share > 0
    }

    /// Spends one detection of a rule, known by that number.
    pub(crate) fn spend(&mut self, number: u64, key: &str, now: Instant) -> Spend {
        if !self.spent.contains_key(&number) && self.spent.len() >= KNOWN_MAX {
            // A count that was not told of yet stays.
            self.spent.retain(|_, spent| spent.is_throttled || spent.suppressed > 0);
        }
        let (share, states) = (self.share, &*self.states);
        let spent = self.spent.entry(number).or_insert_with(|| Spent {
            key: key.to_owned(),
            since: now,
            asked: 0,
            is_throttled: false,
            suppressed: 0,
            committed: 0,
        });
        let passed = now.saturating_duration_since(spent.since);
        let mut is_sample = false;
        if passed >= SECOND {
            let asked = if passed >= SECOND * 2 { 0 } else { spent.asked };
            (spent.since, spent.asked) = (now, 0);
            if spent.is_throttled && asked <= share {
                spent.is_throttled = false;
                states.throttled(key, false, share);
            }
            is_sample = spent.is_throttled;
        }
        spent.asked += 1;
        if !spent.is_throttled && spent.asked > share {
            spent.is_throttled = true;
            states.throttled(key, true, share);
        }
        if spent.is_throttled && !is_sample {
            spent.suppressed += 1;
            return Spend::Suppress;
        }
        let suppressed = std::mem::take(&mut spent.suppressed);
        if suppressed > 0 {
            states.suppressed(key, suppressed);
        }
        Spend::Send { suppressed }
    }

    /// Sees once a second which rules are quiet again, and which topics may be tried.
    pub(crate) fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked_at) < SECOND {
            return;
        }
        self.looked_at = now;
        for spent in self.spent.values_mut().filter(|spent| spent.is_throttled) {
            if now.saturating_duration_since(spent.since) >= SECOND * 2 {
                spent.is_throttled = false;
                self.states.throttled(&spent.key, false, self.share);
            }
        }
        self.broken.retain(|topic, until| {
            let stays = now < *until;
            if !stays {
                self.states.broken(topic, None);
            }
            stays
        });
    }

    /// What was told is committed.
    pub(crate) fn commit(&mut self) {
        self.spent.values_mut().for_each(|spent| spent.committed = spent.suppressed);
    }

    /// What was told since the last commit was not told; what was left out since then comes again.
    pub(crate) fn abort(&mut self) {
        self.spent.values_mut().for_each(|spent| spent.suppressed = spent.committed);
    }

    /// A rule's own topic does not take records.
    pub(crate) fn break_topic(&mut self, topic: &str, why: &str, now: Instant) {
        if self.broken.len() < KNOWN_MAX && !self.broken.contains_key(topic) {
            self.broken.insert(topic.to_owned(), now + BROKEN_FOR);
            self.states.broken(topic, Some(why));
        }
    }

    /// Whether nothing should be sent to a topic now.
    pub(crate) fn is_broken(&self, topic: &str) -> bool {
        self.broken.contains_key(topic)
    }
}

#[derive(Debug, Default)]
struct Throttled {
    /// Workers that throttle the rule now.
    workers: usize,
    suppressed: u64,
}

#[derive(Debug, Default)]
struct Known {
    /// By key of the rules topic: what is or was throttled.
    rules: HashMap<String, Throttled>,
    /// By topic: how many workers send nothing to it, and why.
    topics: HashMap<String, (usize, String)>,
}

/// How rules stand, over all workers.
#[derive(Debug, Default)]
pub(crate) struct RuleStates(Mutex<Known>);

impl RuleStates {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttled(&self, rule: &str, is_throttled: bool, share: u64) {
        let mut known = self.known();
        if known.rules.len() >= KNOWN_MAX && !known.rules.contains_key(rule) {
            known.rules.retain(|_, state| state.workers > 0);
        }
        let state = known.rules.entry(rule.to_owned()).or_default();
        if is_throttled {
            state.workers += 1;
            if state.workers == 1 {
                warn!(
                    rule,
                    share, "A rule has spent its budget of detections: one a second goes out."
                );
            }
        } else {
            state.workers = state.workers.saturating_sub(1);
            if state.workers == 0 {
                let suppressed = state.suppressed;
                info!(rule, suppressed, "A rule is within its budget of detections again.");
            }
        }
    }

    fn suppressed(&self, rule: &str, count: u64) {
        if let Some(state) = self.known().rules.get_mut(rule) {
            state.suppressed += count;
        }
    }

    fn broken(&self, topic: &str, why: Option<&str>) {
        let mut known = self.known();
        match why {
            Some(why) => {
                let state = known.topics.entry(topic.to_owned()).or_default();
                *state = (state.0 + 1, why.to_owned());
            }
            None => {
                if let Some(state) = known.topics.get_mut(topic) {
                    state.0 = state.0.saturating_sub(1);
                    if state.0 == 0 {
                        known.topics.remove(topic);
                    }
                }
            }
        }
    }
}

impl Show for RuleStates {
    fn name(&self) -> &'static str {
        "rule_budgets"
    }

    fn section(&self) -> Value {
        let known = self.known();
        let throttled = known.rules.iter().filter(|(_, state)| state.workers > 0).take(SHOWN_MAX);
        let throttled: Vec<Value> = throttled
            .map(|(rule, state)| json!({"rule": rule, "suppressed": state.suppressed}))
            .collect();
        let broken = known.topics.iter().take(SHOWN_MAX);
        let broken: Vec<Value> =
            broken.map(|(topic, (_, why))| json!({"topic": topic, "error": why})).collect();
        json!({"throttled": throttled, "broken_topics": broken})
    }

    fn metrics(&self, out: &mut Exposition) {
        let known = self.known();
        let throttled = known.rules.values().filter(|state| state.workers > 0).count();
        out.gauge(
            "sigmill_rules_throttled",
            "Rules beyond their budget of detections.",
            &[],
            throttled,
        );
        out.gauge(
            "sigmill_rule_topics_broken",
            "Topics of rules that take no records; their detections go to the default topic.",
            &[],
            known.topics.len(),
        );
    }

    fn trouble(&self, rule: &ActiveRule) -> Option<RuleTrouble> {
        let known = self.known();
        if let Some((_, why)) = known.topics.get(&rule.output_topic) {
            let topic = &rule.output_topic;
            return Some(RuleTrouble::Failing(format!(
                "its topic `{topic}` takes no records ({why}); its detections go to the default topic"
            )));
        }
        let state = known.rules.get(&rule.key).filter(|state| state.workers > 0)?;
        Some(RuleTrouble::Throttled { suppressed: state.suppressed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Spend = Spend::Send { suppressed: 0 };

    #[test]
    fn beyond_the_share_one_a_second_goes_out_and_tells_of_the_others() {
        let (states, begin) = (Arc::<RuleStates>::default(), Instant::now());
        let mut budget = Budget::new(5, 2, begin, &states);
        let at = |ms| begin + Duration::from_millis(ms);
        let throttled = || states.known().rules["A"].workers;
        // Half of five, upwards.
        for _ in 0..3 {
            assert_eq!(budget.spend(1, "A", at(0)), SENT);
        }
        for _ in 0..7 {
            assert_eq!(budget.spend(1, "A", at(10)), Spend::Suppress);
        }
        assert_eq!(throttled(), 1);
        // Another rule has a budget of its own.
        assert_eq!(budget.spend(2, "B", at(10)), SENT);
        // In the next second a sample; the rest is left out even within the share.
        assert_eq!(budget.spend(1, "A", at(1000)), Spend::Send { suppressed: 7 });
        assert_eq!(budget.spend(1, "A", at(1001)), Spend::Suppress);
        // That was a second within the share.
        assert_eq!(budget.spend(1, "A", at(2000)), Spend::Send { suppressed: 1 });
        assert_eq!(throttled(), 0);
        assert_eq!(budget.spend(1, "A", at(2001)), SENT);
        assert_eq!(states.known().rules["A"].suppressed, 8);
        // One that is quiet is throttled no more.
        for _ in 0..4 {
            budget.spend(1, "A", at(2002));
        }
        assert_eq!(throttled(), 1);
        budget.look(at(4500));
        assert_eq!(throttled(), 0);
    }

    #[test]
    fn an_aborted_sample_is_told_again() {
        let (states, begin) = (Arc::<RuleStates>::default(), Instant::now());
        let mut budget = Budget::new(1, 1, begin, &states);
        assert_eq!(budget.spend(1, "A", begin), SENT);
        assert_eq!(budget.spend(1, "A", begin), Spend::Suppress);
        budget.commit();
        assert_eq!(budget.spend(1, "A", begin), Spend::Suppress);
        let next = begin + SECOND;
        assert_eq!(budget.spend(1, "A", next), Spend::Send { suppressed: 2 });
        budget.abort();
        // The second one is worked on again; only the committed one is still to be told of.
        assert_eq!(budget.spend(1, "A", next), Spend::Suppress);
        let later = next + SECOND * 2;
        assert_eq!(budget.spend(1, "A", later), Spend::Send { suppressed: 2 });
    }

    #[test]
    fn a_broken_topic_is_left_alone_and_tried_again() {
        let (states, begin) = (Arc::<RuleStates>::default(), Instant::now());
        let mut budget = Budget::new(0, 1, begin, &states);
        assert!(!budget.is_broken("own"));
        budget.break_topic("own", "forbidden", begin);
        assert!(budget.is_broken("own"));
        assert!(!budget.is_broken("other"));
        assert_eq!(states.section()["broken_topics"][0]["error"], "forbidden");
        budget.look(begin + BROKEN_FOR);
        assert!(!budget.is_broken("own"));
        assert_eq!(states.section()["broken_topics"], json!([]));
        // Several deliveries fail, and the worker ends.
        budget.break_topic("own", "forbidden", begin);
        budget.break_topic("own", "forbidden", begin);
        drop(budget);
        assert_eq!(states.section()["broken_topics"], json!([]));
    }
}
