//! Pairs the detections of both sides, and says why what finds no partner has none.
//!
//! In: detections of either side, in any order, and how far everybody is. Out: differences and a [`Report`]. A pair is
//! one rule and one event; equal events are told as often as they come. What was settled as a difference is
//! remembered for a while: a partner that comes late makes it one of another kind.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sigmill_codegen::RuleDocument;
use sigmill_engine::Matcher;
use sigmill_parser::{FieldMapping, Rule};

use super::Offsets;
use super::difference::{Difference, Side};
use super::event_digest::EventDigest;
use super::jvm_side::JvmDetection;
use super::report::{Kind, Report};
use super::sigmill_side::{OwnDetection, SigmillSide};
use crate::jvm_emulation::{JvmRule, Mended, STATE};
use crate::jvm_meaning;
use crate::rule_store::RuleSet;
use crate::settings::Settings;

/// So many detections of one side may wait; then the side is not read on.
const WAITING_MAX: usize = 50_000;
/// So many pairs are remembered, to know what is told again.
const PAIRED_MAX: usize = 100_000;
/// What was settled is remembered so many times as long as it waited at most.
const REMEMBERED: u32 = 5;

type Key = (String, EventDigest);

/// The detections of one side that wait for their partners, in the order they came.
struct Waiting<T> {
    by_key: HashMap<Key, VecDeque<u64>>,
    items: BTreeMap<u64, Item<T>>,
    next: u64,
    open: usize,
}

struct Item<T> {
    key: Key,
    since: Instant,
    detection: T,
    /// As what it was counted when nobody came.
    settled: Option<Kind>,
}

impl<T> Waiting<T> {
    fn new() -> Self {
        Self { by_key: HashMap::new(), items: BTreeMap::new(), next: 0, open: 0 }
    }

    fn push(&mut self, key: Key, detection: T) {
        self.by_key.entry(key.clone()).or_default().push_back(self.next);
        let item = Item { key, since: Instant::now(), detection, settled: None };
        self.items.insert(self.next, item);
        self.next += 1;
        self.open += 1;
    }

    fn pop(&mut self, key: &Key) -> Option<Item<T>> {
        let number = *self.by_key.get(key)?.front()?;
        self.remove(number)
    }

    fn remove(&mut self, number: u64) -> Option<Item<T>> {
        let item = self.items.remove(&number)?;
        if let Some(numbers) = self.by_key.get_mut(&item.key) {
            numbers.retain(|one| *one != number);
            if numbers.is_empty() {
                self.by_key.remove(&item.key);
            }
        }
        self.open -= usize::from(item.settled.is_none());
        Some(item)
    }

    /// Forgets what was settled long ago, and more of it where there is too much.
    fn forget(&mut self, age: Duration) {
        let too_many = self.items.len().saturating_sub(2 * WAITING_MAX);
        let settled = self.items.iter().filter(|(_, item)| item.settled.is_some());
        let old: Vec<u64> = settled
            .enumerate()
            .filter(|(at, (_, item))| *at < too_many || item.since.elapsed() > age)
            .map(|(_, (number, _))| *number)
            .collect();
        for number in old {
            self.remove(number);
        }
    }

    /// The numbers of those that are open and due.
    fn due(&self, is_due: impl Fn(&Item<T>) -> bool) -> Vec<u64> {
        let open = self.items.iter().filter(|(_, item)| item.settled.is_none() && is_due(item));
        open.map(|(number, _)| *number).collect()
    }
}

/// Which pairs there were lately.
#[derive(Default)]
struct Paired {
    keys: HashSet<Key>,
    order: VecDeque<Key>,
}

impl Paired {
    fn add(&mut self, key: Key) {
        if self.keys.insert(key.clone()) {
            self.order.push_back(key);
            if self.order.len() > PAIRED_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.keys.remove(&oldest);
            }
        }
    }
}

/// See the module.
pub(super) struct Judge {
    settings: Settings,
    rules: Arc<RuleSet>,
    matcher: Matcher,
    ours: Waiting<OwnDetection>,
    theirs: Waiting<JvmDetection>,
    paired: Paired,
    /// By place among the rules.
    models: HashMap<usize, JvmRule>,
    report: Report,
    differences: Vec<Difference>,
}

impl Judge {
    pub(super) fn new(settings: &Settings) -> Self {
        let rules = Arc::<RuleSet>::default();
        Self {
            matcher: SigmillSide::matcher(&rules, settings),
            settings: settings.clone(),
            rules,
            ours: Waiting::new(),
            theirs: Waiting::new(),
            paired: Paired::default(),
            models: HashMap::new(),
            report: Report::default(),
            differences: Vec::new(),
        }
    }

    pub(super) fn take_rules(&mut self, rules: &Arc<RuleSet>) {
        self.rules = Arc::clone(rules);
        self.matcher = SigmillSide::matcher(rules, &self.settings);
        self.models.clear();
    }

    pub(super) fn has_room_for_ours(&self) -> bool {
        self.ours.open < WAITING_MAX
    }

    pub(super) fn has_room_for_theirs(&self) -> bool {
        self.theirs.open < WAITING_MAX
    }

    pub(super) fn count_record(&mut self) {
        self.report.records += 1;
    }

    pub(super) fn count_unreadable(&mut self, count: u64) {
        self.report.unreadable = count;
    }

    pub(super) fn report(&self) -> Report {
        let open = (self.ours.open + self.theirs.open) as u64;
        Report { open, ..self.report.clone() }
    }

    pub(super) fn take_differences(&mut self) -> Vec<Difference> {
        std::mem::take(&mut self.differences)
    }

    /// The first record of each partition whose detection is open.
    pub(super) fn first_open(&self) -> Offsets {
        let mut first = Offsets::new();
        let open = self.ours.items.values().filter(|item| item.settled.is_none());
        for place in open.map(|item| &item.detection.place) {
            let known = first.entry((place.topic.clone(), place.partition)).or_insert(place.offset);
            *known = (*known).min(place.offset);
        }
        first
    }

    pub(super) fn told_by_us(&mut self, own: OwnDetection) {
        self.report.sigmill += 1;
        let key = (own.rule.title().to_owned(), own.digest);
        match self.theirs.pop(&key) {
            Some(theirs) => {
                if let Some(kind) = &theirs.settled {
                    self.report.take_back(kind);
                }
                self.pair(key, &own, &theirs.detection, false);
            }
            None => self.ours.push(key, own),
        }
    }

    pub(super) fn told_by_jvm(&mut self, theirs: JvmDetection) {
        self.report.jvm += 1;
        let key = (theirs.title.clone(), theirs.digest);
        match self.ours.pop(&key) {
            Some(own) => {
                if let Some(kind) = &own.settled {
                    self.report.take_back(kind);
                }
                self.pair(key, &own.detection, &theirs, own.settled.is_some());
            }
            None => self.theirs.push(key, theirs),
        }
    }

    /// Both told: do they tell the same?
    fn pair(&mut self, key: Key, own: &OwnDetection, theirs: &JvmDetection, is_late: bool) {
        self.paired.add(key);
        let mut causes = Vec::new();
        let mut details = Vec::new();
        if is_late {
            causes.push("late");
        }
        if theirs.place.topic != own.rule.output_topic {
            causes.push("topic");
            details.push(format!(
                "topic: {} there, {} here",
                theirs.place.topic, own.rule.output_topic
            ));
        }
        if !own.is_window {
            let (cause, differing) = differing_fields(own, theirs);
            causes.extend(cause);
            details.extend(differing);
        }
        if causes.is_empty() {
            self.report.agreed += 1;
            return;
        }
        let event = serde_json::from_slice(&own.event).unwrap_or_default();
        let difference = Difference {
            side: Side::Both,
            causes,
            detail: (!details.is_empty()).then(|| details.join("; ")),
            jvm: Some(theirs.place.clone()),
            ..self.of_ours(own, event)
        };
        self.tell(difference);
    }

    fn tell(&mut self, difference: Difference) -> Kind {
        let kind = self.report.add(&difference);
        self.differences.push(difference);
        kind
    }

    fn of_ours(&self, own: &OwnDetection, event: Value) -> Difference {
        Difference {
            title: own.rule.title().to_owned(),
            id: own.shown.get("id").and_then(Value::as_str).map(str::to_owned),
            side: Side::Sigmill,
            causes: Vec::new(),
            detail: None,
            source: Some(own.place.clone()),
            jvm: None,
            timestamp: own.timestamp,
            event,
        }
    }

    /// Settles what has to be there by now. `passed`: when it was asked how far everybody is, and the offsets that the
    /// JVM processor had committed by then; both sides are read that far.
    pub(super) fn settle(&mut self, passed: Option<(Instant, &Offsets)>) {
        let wait = self.settings.shadow.wait;
        let has_committed = |item: &Item<OwnDetection>| {
            let place = &item.detection.place;
            passed.is_some_and(|(_, committed)| {
                let at = committed.get(&(place.topic.clone(), place.partition));
                at.is_some_and(|at| *at > place.offset)
            })
        };
        for number in self.ours.due(|item| has_committed(item) || item.since.elapsed() > wait) {
            let Some(item) = self.ours.items.get(&number) else { continue };
            let event: Value = serde_json::from_slice(&item.detection.event).unwrap_or_default();
            let mut difference = self.of_ours(&item.detection, event);
            let at =
                self.rules.rules.iter().position(|rule| Arc::ptr_eq(rule, &item.detection.rule));
            let is_window = item.detection.is_window;
            difference.causes = match at {
                Some(at) => self.why_only_us(at, is_window, &difference.event),
                // Of a version that is gone.
                None => vec![STATE],
            };
            let kind = self.tell(difference);
            self.mark_ours(number, kind);
        }
        let has_read = |item: &Item<JvmDetection>| passed.is_some_and(|(at, _)| item.since <= at);
        for number in self.theirs.due(|item| has_read(item) || item.since.elapsed() > wait) {
            let Some(item) = self.theirs.items.get(&number) else { continue };
            let theirs = &item.detection;
            let mut difference = Difference {
                title: theirs.title.clone(),
                id: theirs.id.clone(),
                side: Side::Jvm,
                causes: Vec::new(),
                detail: None,
                source: None,
                jvm: Some(theirs.place.clone()),
                timestamp: theirs.timestamp,
                event: theirs.event.clone(),
            };
            let key = item.key.clone();
            difference.causes = self.why_only_them(&key, &difference);
            let kind = self.tell(difference);
            if let Some(item) = self.theirs.items.get_mut(&number) {
                item.settled = Some(kind);
                self.theirs.open -= 1;
            }
        }
        self.ours.forget(wait * REMEMBERED);
        self.theirs.forget(wait * REMEMBERED);
    }

    fn mark_ours(&mut self, number: u64, kind: Kind) {
        if let Some(item) = self.ours.items.get_mut(&number) {
            item.settled = Some(kind);
            self.ours.open -= 1;
        }
    }

    fn rule(&self, at: usize) -> Option<&Arc<Rule>> {
        match self.rules.rules.get(at)?.written() {
            RuleDocument::Rule(rule) => Some(rule),
            _ => None,
        }
    }

    fn model(&mut self, at: usize) -> Option<&JvmRule> {
        let rule = Arc::clone(self.rule(at)?);
        let mapping = &self.settings.field_mapping;
        Some(self.models.entry(at).or_insert_with(|| JvmRule::new(&rule, mapping)))
    }

    fn why_only_us(&mut self, at: usize, is_window: bool, event: &Value) -> Vec<&'static str> {
        let is_first_match = self.settings.is_first_match;
        let mapping = self.settings.field_mapping.clone();
        let Some(model) = self.model(at) else { return vec![STATE] };
        // The record matches here: the window apart, it has to match there.
        let causes = model.causes(event, false, true);
        if !is_window {
            return if causes == [STATE] && is_first_match { vec!["first-match"] } else { causes };
        }
        match model.holds(event, Mended::default()) {
            true => window_causes(model.rule(), &mapping).unwrap_or(vec!["repeats"]),
            false => causes,
        }
    }

    fn why_only_them(&mut self, key: &Key, difference: &Difference) -> Vec<&'static str> {
        let named = |rule: &Arc<crate::rule_store::ActiveRule>| {
            let id = match rule.written() {
                RuleDocument::Rule(rule) => rule.id.as_ref().map(|id| id.node.as_str()),
                _ => None,
            };
            rule.title() == difference.title && id == difference.id.as_deref()
        };
        let Some(at) = self.rules.rules.iter().position(named) else { return vec!["not-loaded"] };
        let Some(rule) = self.rule(at).cloned() else { return vec!["not-loaded"] };
        let is_window = rule.detection.conditions.iter().any(|one| one.aggregation.is_some());
        let event = difference.event.to_string();
        let is_ours = SigmillSide::rule_matches(&mut self.matcher, at as u32, event.as_bytes());
        let is_paired = self.paired.keys.contains(key);
        let is_first_match = self.settings.is_first_match;
        let mapping = self.settings.field_mapping.clone();
        if is_window && is_paired {
            return vec!["repeats"];
        }
        if is_window && is_ours {
            return window_causes(&rule, &mapping).unwrap_or(vec!["window"]);
        }
        if !is_ours {
            let Some(model) = self.model(at) else { return vec![STATE] };
            return model.causes(&difference.event, true, false);
        }
        vec![match (is_paired, is_first_match) {
            (true, _) => "again",
            (false, true) => "first-match",
            (false, false) => "not-read",
        }]
    }
}

/// What is known of how a rule's aggregation differs, besides that it is told again and again.
fn window_causes(rule: &Rule, mapping: &FieldMapping) -> Option<Vec<&'static str>> {
    let kinds = ["distinct", "function", "group-mapping", "groups"];
    let found = jvm_meaning::differences(rule, mapping);
    let causes: Vec<&'static str> =
        found.iter().map(|one| one.kind).filter(|kind| kinds.contains(kind)).collect();
    (!causes.is_empty()).then_some(causes)
}

/// The fields in which two detections differ, besides clock and source.
fn differing_fields(
    own: &OwnDetection,
    theirs: &JvmDetection,
) -> (Option<&'static str>, Option<String>) {
    const LEFT_OUT: [&str; 4] =
        ["timeStamp", "isAggregateCondition", "aggregateCondition", "outputTopic"];
    let names: HashSet<&String> = own.shown.keys().chain(theirs.shown.keys()).collect();
    let mut differing: Vec<&str> = names
        .into_iter()
        .filter(|name| !LEFT_OUT.contains(&name.as_str()))
        // Avro has a null where there is nothing.
        .filter(|name| {
            let of = |shown: &serde_json::Map<String, Value>| {
                shown.get(*name).filter(|value| !value.is_null()).cloned()
            };
            of(&own.shown) != of(&theirs.shown)
        })
        .map(String::as_str)
        .collect();
    if differing.is_empty() {
        return (None, None);
    }
    differing.sort_unstable();
    let custom = own.rule.custom_fields();
    let is_fixed = |name: &&str| custom.contains(name) || ["title", "id"].contains(name);
    let cause = if differing.iter().any(is_fixed) { "fields" } else { "captures" };
    (Some(cause), Some(format!("fields: {}", differing.join(", "))))
}
