//! `/api/v1/rules`: each rule of the rules topic, and how it stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use sigmill_codegen::RuleDocument;
use sigmill_parser::Level;

use crate::account::{RuleName, RuleTold, name_of};
use crate::detection::RulePosition;
use crate::plan_report;
use crate::rule_store::{ActiveRule, Outcome, RuleProblem, RuleSet};
use crate::show::RuleTrouble;
use crate::view::View;

use super::super::Routes;
use super::super::http::{Request, Response};
use super::{error, number, whole};

/// Rules in an answer that asks for no number, and the most there may be.
const LISTED: usize = 500;
const LISTED_MAX: usize = 10_000;

/// How a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It does what it says.
    InForce,
    /// An older version is in force, since the latest does not load.
    Stale,
    /// It is in force but makes more detections than it may.
    Throttled,
    /// It is in force, but something else is wrong with it.
    Failing,
    /// It does not load.
    Failed,
    /// Filters or pipelines leave it out.
    LeftOut,
}

impl State {
    const ALL: [Self; 6] =
        [Self::InForce, Self::Stale, Self::Throttled, Self::Failing, Self::Failed, Self::LeftOut];

    fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in_force",
            Self::Stale => "stale",
            Self::Throttled => "throttled",
            Self::Failing => "failing",
            Self::Failed => "failed",
            Self::LeftOut => "left_out",
        }
    }
}

struct Entry {
    state: State,
    /// What a search looks at, in lower case.
    text: String,
    shown: Value,
}

/// Rules, filtered by `state` and `q`, from `offset` on, `limit` of them.
pub(super) fn list(routes: &Routes, request: &Request) -> Response {
    let numbers = number(request, "limit", LISTED, LISTED_MAX)
        .and_then(|limit| Ok((limit, number(request, "offset", 0, usize::MAX)?)));
    let (limit, offset) = match numbers {
        Ok(numbers) => numbers,
        Err(refusal) => return refusal,
    };
    let wanted = request.query("state");
    let state = wanted.and_then(|name| State::ALL.into_iter().find(|one| one.as_str() == name));
    if let (Some(wanted), None) = (wanted, state) {
        let known = State::ALL.map(State::as_str).join(", ");
        let message = format!("state = `{wanted}`: expected one of {known}");
        return error(400, "bad_parameter", &message);
    }
    let searched = request.query("q").unwrap_or_default().to_lowercase();
    let rules = routes.view.rules.load_full();
    let all = entries(&routes.view, &rules);
    let count = |state: State| all.iter().filter(|entry| entry.state == state).count();
    let counts: serde_json::Map<String, Value> = State::ALL
        .into_iter()
        .map(|state| (state.as_str().to_owned(), count(state).into()))
        .collect();
    let found: Vec<Value> = all
        .into_iter()
        .filter(|entry| state.is_none_or(|state| state == entry.state))
        .filter(|entry| searched.is_empty() || entry.text.contains(&searched))
        .map(|entry| entry.shown)
        .collect();
    let total = found.len();
    let page: Vec<Value> = found.into_iter().skip(offset).take(limit).collect();
    whole(&json!({
        "generation": rules.generation,
        "counts": counts,
        "total": total,
        "offset": offset,
        "rules": page,
    }))
}

/// The rules of an id or, if there are none, of a key of the rules topic.
pub(super) fn one(routes: &Routes, name: &str) -> Response {
    let rules = routes.view.rules.load_full();
    let all = entries(&routes.view, &rules);
    for field in ["id", "key"] {
        let is_meant = |entry: &&Entry| entry.shown[field].as_str() == Some(name);
        let found: Vec<&Value> = all.iter().filter(is_meant).map(|entry| &entry.shown).collect();
        if !found.is_empty() {
            return whole(&json!({"generation": rules.generation, "rules": found}));
        }
    }
    error(404, "unknown_rule", &format!("no rule has the id or the key `{name}`"))
}

/// What the compiler made of the rules of an id or a key.
pub(super) fn explain(routes: &Routes, name: &str) -> Response {
    let rules = routes.view.rules.load_full();
    let is_of = |rule: &ActiveRule, by_id: bool| match by_id {
        true => rule.document.id() == Some(name),
        false => rule.key == name,
    };
    let by_id = rules.sets().flat_map(|set| &set.rules).any(|rule| is_of(rule, true));
    let mut found: Vec<Value> = Vec::new();
    for set in rules.sets() {
        for report in plan_report::rules(&set.plan) {
            let Some(rule) = set.rules.get(report.source) else { continue };
            if is_of(rule, by_id) {
                let mut shown = report.to_json(rule.document.title(), rule.document.id());
                tell_streams(&mut shown, &set.streams);
                found.push(shown);
            }
        }
    }
    if found.is_empty() {
        let message = format!("no rule of the plan has the id or the key `{name}`");
        return error(404, "unknown_rule", &message);
    }
    whole(&json!({"generation": rules.generation, "plan_rules": found}))
}

/// What became of every rule, over all workers.
fn told(view: &View) -> HashMap<RuleName, RuleTold> {
    let mut all: HashMap<RuleName, RuleTold> = HashMap::new();
    for worker in &view.workers {
        for (name, told) in &worker.told.read().rules {
            all.entry(name.clone()).or_default().merge(*told);
        }
    }
    all
}

fn entries(view: &View, rules: &RuleSet) -> Vec<Entry> {
    let mut problems: BTreeMap<&str, &RuleProblem> = BTreeMap::new();
    for problem in &rules.problems {
        problems.entry(&problem.key).or_insert(problem);
    }
    let mut entries = Vec::with_capacity(rules.rules.len());
    let told = told(view);
    let mut seen = BTreeSet::new();
    // One version of a rule is told once, with all streams that have it.
    let mut streams: BTreeMap<(&str, &str, &str), (&ActiveRule, Vec<String>)> = BTreeMap::new();
    for (set, rule) in rules.sets().flat_map(|set| set.rules.iter().map(move |rule| (set, rule))) {
        let version = (rule.title(), rule.key.as_str(), rule.hash.as_str());
        let (_, names) = streams.entry(version).or_insert_with(|| (rule, Vec::new()));
        names.extend(set.streams.iter().cloned());
    }
    for (rule, streams) in streams.into_values() {
        seen.insert(rule.key.as_str());
        let problem = problems.get(rule.key.as_str()).copied();
        let counts = told.get(&name_of(rule)).copied().unwrap_or_default();
        let mut entry = active(view, rule, problem, counts);
        tell_streams(&mut entry.shown, &streams);
        entries.push(entry);
    }
    for key in rules.records.keys().filter(|key| !seen.contains(key.as_str())) {
        let problem = problems.get(key.as_str()).copied();
        entries.push(absent(rules, key, problem));
    }
    entries
}

/// Where there are streams, those that have the rule.
fn tell_streams(shown: &mut Value, streams: &[String]) {
    if !streams.is_empty() {
        shown["streams"] = streams.into();
    }
}

fn active(
    view: &View,
    rule: &ActiveRule,
    problem: Option<&RuleProblem>,
    counts: RuleTold,
) -> Entry {
    let trouble = view.parts.iter().find_map(|part| part.trouble(rule));
    let state = match (&trouble, problem) {
        (Some(RuleTrouble::Throttled { .. }), _) => State::Throttled,
        (Some(RuleTrouble::Failing(_)), _) => State::Failing,
        (None, Some(problem)) => match problem.outcome {
            Outcome::Loaded => State::InForce,
            Outcome::LastGoodKept => State::Stale,
            Outcome::NotLoaded => State::Failing,
        },
        (None, None) => State::InForce,
    };
    let (suppressed, reason) = match trouble {
        Some(RuleTrouble::Throttled { suppressed }) => (Some(suppressed), None),
        Some(RuleTrouble::Failing(reason)) => (None, Some(reason)),
        None => (None, None),
    };
    let position = match &rule.position {
        RulePosition::Record { topic, partition, offset } => {
            json!({"topic": topic, "partition": partition, "offset": offset})
        }
        RulePosition::File { .. } => Value::Null,
    };
    let shown = json!({
        "key": rule.key,
        "title": rule.title(),
        "id": rule.document.id(),
        "kind": kind(&rule.document),
        "level": rule.level().map(Level::as_str),
        "state": state.as_str(),
        "reason": reason,
        "suppressed_detections": suppressed,
        "matches": counts.matches,
        "matched_at_ms": (counts.matched_at > 0).then_some(counts.matched_at),
        "hash": rule.hash,
        "output_topic": rule.output_topic,
        "position": position,
        "problem": problem.map(shown_problem),
    });
    Entry { state, text: text(&rule.key, rule.title(), rule.document.id()), shown }
}

/// A key of the topic of which nothing is in force.
fn absent(rules: &RuleSet, key: &str, problem: Option<&RuleProblem>) -> Entry {
    let dropped = rules.dropped.iter().find(|dropped| dropped.title == key);
    let (state, reason) = match (problem, dropped) {
        (Some(_), _) => (State::Failed, None),
        (None, Some(dropped)) => {
            let reason = format!("no pipeline has a condition for {}", dropped.logsource);
            (State::LeftOut, Some(reason))
        }
        (None, None) => (State::LeftOut, Some("the rule filters leave it out".to_owned())),
    };
    let shown = json!({
        "key": key,
        "title": Value::Null,
        "id": Value::Null,
        "kind": Value::Null,
        "level": Value::Null,
        "state": state.as_str(),
        "reason": reason,
        "suppressed_detections": Value::Null,
        "matches": 0,
        "matched_at_ms": Value::Null,
        "hash": Value::Null,
        "output_topic": Value::Null,
        "position": Value::Null,
        "problem": problem.map(shown_problem),
    });
    Entry { state, text: text(key, "", None), shown }
}

fn text(key: &str, title: &str, id: Option<&str>) -> String {
    format!("{key}\n{title}\n{}", id.unwrap_or_default()).to_lowercase()
}

fn shown_problem(problem: &RuleProblem) -> Value {
    json!({
        "findings": problem.findings,
        "topic": problem.topic,
        "partition": problem.partition,
        "offset": problem.offset,
    })
}

fn kind(document: &RuleDocument) -> &'static str {
    match document {
        RuleDocument::Rule(_) => "rule",
        RuleDocument::Correlation(_) => "correlation",
        RuleDocument::Filter(_) => "filter",
    }
}
