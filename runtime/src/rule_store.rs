//! The rules of the rules topic: what is there, what is in force.
//!
//! In: the records of the topic, one after the other. Out: [`RuleSet`]s, each the rules that passed
//! the filters, compiled together. A record replaces all rules of its key, one without a value
//! removes them. A version that does not load or compile leaves the last good one of its key in
//! force, and is a [`RuleProblem`] until a better record comes. The values themselves are kept as they
//! came, for those who ask what is on the topic. Nothing here talks to Kafka.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::window::WindowPlan;
use sigmill_engine::{Plan, RuleId};
use sigmill_parser::{Document, FieldMapping, LineIndex, ParseOptions, Rule, parse_bytes_with};
use tracing::info;

use crate::detection::{Format, RulePosition, Template, shadowed_custom_fields, version_hash};
use crate::extraction::{Extraction, Reads};
use crate::settings::{RuleFilter, Settings, is_topic_name};

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

/// A rule in force, with all that the workers need for its detections.
#[derive(Debug)]
pub struct ActiveRule {
    /// The key of its record.
    pub key: String,
    /// The rule.
    pub rule: Arc<Rule>,
    /// Where it was read.
    pub position: RulePosition,
    /// Where its detections go.
    pub output_topic: String,
    /// Its part of a detection.
    pub template: Template,
    /// Tells this version of the rule from others.
    pub hash: String,
    /// What its detections take from events.
    pub extraction: Arc<Extraction>,
    /// What goes into the author's header.
    pub author: Option<String>,
}

/// The rules in force: what the workers pick up between two batches.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// Sorted by title, bytewise, then key: first match means lowest index.
    pub rules: Vec<Arc<ActiveRule>>,
    /// The compiled rules; its sources are indices into `rules`.
    pub plan: Arc<Plan>,
    /// What matches feed.
    pub windows: Arc<WindowPlan>,
    /// By rule: what its detections take from events, for this plan.
    pub reads: Vec<Reads>,
    /// The records of the rules topic: key → value, also of rules that are not in force.
    pub records: Arc<BTreeMap<String, Arc<[u8]>>>,
    /// Rises with every set; 0 is the empty set before the start.
    pub generation: u64,
    /// How far the rules topic was read: partition → the offset behind the last record.
    pub offsets: BTreeMap<i32, i64>,
    /// What does not load at the moment.
    pub problems: Vec<RuleProblem>,
}

impl RuleSet {
    /// The rule behind an id of the plan.
    pub fn rule(&self, id: RuleId) -> &ActiveRule {
        &self.rules[self.plan.rule(id).source as usize]
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
    /// The shape of detections.
    pub format: Format,
    /// Where detections go by default.
    pub output_topic: String,
    /// Whether detections name their rule's author in a header.
    pub has_author_header: bool,
    /// Topics that a rule cannot name as its own, since the processor reads them.
    pub input_topics: Vec<String>,
}

impl From<&Settings> for RuleStoreConfig {
    fn from(settings: &Settings) -> Self {
        let mut input_topics = settings.data_topics.clone();
        input_topics.push(settings.rules_topic.clone());
        input_topics.extend(settings.instances_topic.clone());
        Self {
            topic: settings.rules_topic.clone(),
            filter: settings.rule_filter.clone(),
            allows_backtracking: settings.allows_backtracking,
            field_mapping: settings.field_mapping.clone(),
            format: settings.output_format,
            output_topic: settings.output_topic.clone(),
            has_author_header: settings.has_author_header,
            input_topics,
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    /// The last version that compiled.
    good: Vec<Arc<ActiveRule>>,
    /// A version that was not compiled yet.
    next: Option<Vec<Arc<ActiveRule>>>,
    problem: Option<RuleProblem>,
}

/// The values on the topic, shared with the sets that were made of them.
type Records = BTreeMap<String, Arc<[u8]>>;

/// The state of the rules topic as far as it was read.
#[derive(Debug)]
pub struct RuleStore {
    config: RuleStoreConfig,
    entries: BTreeMap<String, Entry>,
    records: Arc<Records>,
    generation: u64,
    offsets: BTreeMap<i32, i64>,
}

impl RuleStore {
    /// An empty store.
    pub fn new(config: RuleStoreConfig) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            records: Arc::default(),
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
        let (rules, findings) = read(value, self.config.allows_backtracking);
        let key = match record.key {
            Some(key) => String::from_utf8_lossy(key).into_owned(),
            None => rules.first().map_or(String::new(), |rule| rule.title.node.clone()),
        };
        Arc::make_mut(&mut self.records).insert(key.clone(), value.into());
        let has_failed = rules.is_empty() || findings.iter().any(|finding| finding.is_fatal);
        if has_failed {
            return Some(self.fail(record, key, rules, &findings));
        }
        let mut findings: Vec<String> = findings.into_iter().map(|finding| finding.text).collect();
        let active = self.activate(record, &key, rules, &mut findings);
        let entry = self.entries.entry(key.clone()).or_default();
        entry.next = Some(active);
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
        rules: Vec<Arc<Rule>>,
        findings: &[Finding],
    ) -> RuleProblem {
        let mut texts: Vec<String> = findings.iter().map(|finding| finding.text.clone()).collect();
        if texts.is_empty() {
            texts.push("no rule in it".into());
        }
        let active = self.activate(record, &key, rules, &mut texts);
        let mut problem = self.problem(record, &key, String::new());
        problem.findings = texts;
        let entry = self.entries.entry(key).or_default();
        let has_good = !entry.good.is_empty() || entry.next.as_ref().is_some_and(|n| !n.is_empty());
        problem.outcome = match has_good {
            true => Outcome::LastGoodKept,
            false => Outcome::NotLoaded,
        };
        if !has_good {
            entry.next = Some(active);
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

    /// The rules that pass the filters, ready for the workers.
    fn activate(
        &self,
        record: &RuleRecord<'_>,
        key: &str,
        rules: Vec<Arc<Rule>>,
        findings: &mut Vec<String>,
    ) -> Vec<Arc<ActiveRule>> {
        let position = RulePosition::Record {
            topic: self.config.topic.clone(),
            partition: record.partition,
            offset: record.offset,
        };
        rules
            .into_iter()
            .filter(|rule| {
                let passes = passes(&self.config.filter, rule);
                if !passes {
                    info!(
                        "{} will not be loaded.  It does not match the filtered rules condition.",
                        rule.title.node
                    );
                }
                passes
            })
            .map(|rule| {
                let output_topic = self.output_topic(&rule, findings);
                let template = Template::new(self.config.format, &rule, &position, &output_topic);
                if self.config.format != Format::Native {
                    for name in shadowed_custom_fields(&rule) {
                        findings.push(format!("custom field `{name}` is left out: it is reserved"));
                    }
                }
                let mapping = &self.config.field_mapping;
                let shows_fields = self.config.format.shows_fields();
                let author = rule.author.as_ref().map(|author| author.node.clone());
                Arc::new(ActiveRule {
                    key: key.to_owned(),
                    template,
                    hash: version_hash(&rule.to_json()),
                    extraction: Arc::new(Extraction::new(&rule, mapping, shows_fields)),
                    author: author.filter(|_| self.config.has_author_header),
                    output_topic,
                    position: position.clone(),
                    rule,
                })
            })
            .collect()
    }

    fn output_topic(&self, rule: &Rule, findings: &mut Vec<String>) -> String {
        let own = rule.kafka.as_ref().and_then(|kafka| kafka.output_topic.as_ref());
        let default = || self.config.output_topic.clone();
        let Some(own) = own.map(|topic| topic.node.trim()).filter(|topic| !topic.is_empty()) else {
            return default();
        };
        let why = if self.config.input_topics.iter().any(|topic| topic == own) {
            "the processor reads it"
        } else if !is_topic_name(own) {
            "it is no topic name"
        } else {
            return own.to_owned();
        };
        let instead = &self.config.output_topic;
        findings
            .push(format!("outputTopic `{own}` is refused, {why}; detections go to `{instead}`"));
        default()
    }

    /// The topics that rules name as their own.
    pub fn output_topics(&self) -> impl Iterator<Item = &str> {
        self.entries
            .values()
            .flat_map(|entry| entry.next.as_ref().unwrap_or(&entry.good))
            .map(|rule| rule.output_topic.as_str())
            .filter(|topic| *topic != self.config.output_topic)
    }

    /// Compiles what is there. Rules that do not compile fall back to the last good version of their
    /// key; such problems are returned besides being kept.
    pub fn build(&mut self) -> (RuleSet, Vec<RuleProblem>) {
        let mut found = Vec::new();
        loop {
            let rules = self.current();
            let sources: Vec<Arc<Rule>> = rules.iter().map(|rule| Arc::clone(&rule.rule)).collect();
            let options = CompileOptions {
                field_mapping: self.config.field_mapping.clone(),
                ..CompileOptions::default()
            };
            let compiled = compile(&sources, &options);
            let mut is_changed = false;
            for refused in &compiled.refused {
                let rule = &rules[refused.index];
                is_changed |= self.refuse(rule, refused.error.to_string(), &mut found);
            }
            // Each round takes a version away for good, so the rounds end.
            if is_changed {
                continue;
            }
            for entry in self.entries.values_mut() {
                if let Some(next) = entry.next.take() {
                    entry.good = next;
                }
            }
            self.generation += 1;
            let problems =
                self.entries.values().filter_map(|entry| entry.problem.clone()).collect();
            let set = RuleSet {
                reads: rules.iter().map(|rule| rule.extraction.reads(&compiled.plan)).collect(),
                rules,
                plan: Arc::new(compiled.plan),
                windows: Arc::new(compiled.windows),
                records: Arc::clone(&self.records),
                generation: self.generation,
                offsets: self.offsets.clone(),
                problems,
            };
            return (set, found);
        }
    }

    fn current(&self) -> Vec<Arc<ActiveRule>> {
        let mut rules: Vec<_> = self
            .entries
            .values()
            .flat_map(|entry| entry.next.as_ref().unwrap_or(&entry.good))
            .cloned()
            .collect();
        rules.sort_by(|a, b| {
            let title = |rule: &Arc<ActiveRule>| rule.rule.title.node.clone();
            (title(a), &a.key).cmp(&(title(b), &b.key))
        });
        rules
    }

    /// Takes a rule that does not compile out of its entry. Whether the set changed by that.
    fn refuse(&mut self, rule: &ActiveRule, why: String, found: &mut Vec<RuleProblem>) -> bool {
        let topic = self.config.topic.clone();
        let Some(entry) = self.entries.get_mut(&rule.key) else { return false };
        let RulePosition::Record { partition, offset, .. } = rule.position else { return false };
        let has_good = !entry.good.is_empty();
        let problem = RuleProblem {
            key: rule.key.clone(),
            topic,
            partition,
            offset,
            findings: vec![why],
            outcome: if has_good { Outcome::LastGoodKept } else { Outcome::NotLoaded },
        };
        entry.problem = Some(problem.clone());
        found.push(problem);
        match &mut entry.next {
            // The whole version goes, if there is a good one to go back to.
            Some(_) if has_good => entry.next = None,
            Some(next) => next.retain(|other| !std::ptr::eq(&**other, rule)),
            // It compiled before: what changed is outside of it. It is not in the plan, and stays out.
            None => entry.good.retain(|other| !std::ptr::eq(&**other, rule)),
        }
        true
    }
}

struct Finding {
    text: String,
    is_fatal: bool,
}

/// The rules in a value, and what the parser says about it.
fn read(value: &[u8], allows_backtracking: bool) -> (Vec<Arc<Rule>>, Vec<Finding>) {
    let mut options = ParseOptions::default();
    options.allows_backtracking = allows_backtracking;
    let parsed = parse_bytes_with(value, &options);
    let text = String::from_utf8_lossy(value);
    let index = LineIndex::new(&text);
    let mut findings: Vec<Finding> = parsed
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let at = index.position(diagnostic.span.start);
            let code = diagnostic.code.as_str();
            Finding {
                text: format!("{}:{}: [{code}] {}", at.line, at.column, diagnostic.message),
                is_fatal: !diagnostic.is_loadable,
            }
        })
        .filter(|finding| finding.is_fatal)
        .collect();
    let mut rules = Vec::new();
    for document in parsed.documents {
        let kind = match document {
            Document::Rule(rule) => {
                rules.push(Arc::from(rule));
                continue;
            }
            Document::Correlation(_) => "correlation rule",
            Document::Filter(_) => "filter",
            _ => "document of this kind",
        };
        let text = format!("a {kind} is not run by this version");
        findings.push(Finding { text, is_fatal: false });
    }
    (rules, findings)
}

fn passes(filter: &RuleFilter, rule: &Rule) -> bool {
    let logsource = rule.logsource.as_ref();
    let product = logsource.and_then(|logsource| logsource.product.as_ref());
    let service = logsource.and_then(|logsource| logsource.service.as_ref());
    let equals = |wanted: &Option<String>, found: Option<&String>| {
        wanted.is_none() || wanted.as_ref() == found
    };
    equals(&filter.product, product.map(|text| &text.node))
        && equals(&filter.service, service.map(|text| &text.node))
        && filter.titles.as_ref().is_none_or(|titles| titles.contains(&rule.title.node))
        && equals(
            &filter.category,
            logsource.and_then(|logsource| logsource.category.as_ref()).map(|text| &text.node),
        )
        && filter
            .level
            .is_none_or(|least| rule.level.as_ref().is_some_and(|level| level.node >= least))
        && filter.tag.as_ref().is_none_or(|wanted| has_tag(rule, wanted))
}

/// Whether a rule has a tag, or one that is more special (`attack.t1059.001` under `attack.t1059`).
fn has_tag(rule: &Rule, wanted: &str) -> bool {
    rule.tags.iter().any(|tag| {
        let tag = tag.node.to_lowercase();
        let rest = tag.strip_prefix(wanted);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigmill_parser::Level;

    fn store(filter: RuleFilter) -> RuleStore {
        RuleStore::new(RuleStoreConfig {
            topic: "rules".into(),
            filter,
            allows_backtracking: false,
            field_mapping: FieldMapping::default(),
            format: Format::Confluent13,
            output_topic: "out".into(),
            has_author_header: true,
            input_topics: vec!["data".into(), "rules".into()],
        })
    }

    fn rule(title: &str, value: &str) -> String {
        format!(
            "title: {title}\nlevel: high\ntags: [attack.T1059.001]\n\
             logsource: {{product: zeek, service: dns}}\n\
             detection:\n  s: {{field: '{value}'}}\n  condition: s\n"
        )
    }

    fn put(store: &mut RuleStore, key: &str, value: &str) -> Option<RuleProblem> {
        store.apply(&RuleRecord {
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            partition: 2,
            offset: 7,
        })
    }

    fn titles(store: &mut RuleStore) -> Vec<String> {
        store.build().0.rules.iter().map(|rule| rule.rule.title.node.clone()).collect()
    }

    #[test]
    fn records_replace_and_tombstones_remove() {
        let mut store = store(RuleFilter::default());
        assert_eq!(put(&mut store, "b", &rule("B", "x")), None);
        assert_eq!(put(&mut store, "a", &rule("A", "x")), None);
        assert_eq!(titles(&mut store), ["A", "B"]);
        put(&mut store, "a", &rule("C", "x"));
        assert_eq!(titles(&mut store), ["B", "C"]);
        let tombstone = RuleRecord { key: Some(b"b"), value: None, partition: 0, offset: 9 };
        assert_eq!(store.apply(&tombstone), None);
        assert_eq!(titles(&mut store), ["C"]);
        let (set, _) = store.build();
        assert_eq!(set.generation, 4);
        let nothing = RuleRecord { key: None, value: None, partition: 0, offset: 9 };
        assert!(store.apply(&nothing).is_some());
    }

    #[test]
    fn a_value_may_hold_several_documents_and_be_without_a_key() {
        let mut store = store(RuleFilter::default());
        put(&mut store, "k", &format!("{}---\n{}", rule("A", "x"), rule("B", "x")));
        let json = r#"{"title":"J","id":null,"logsource":{"product":"zeek"},
                      "detection":{"s":{"f":"x"},"condition":"s"},"kafka":null}"#;
        let record =
            RuleRecord { key: None, value: Some(json.as_bytes()), partition: 0, offset: 0 };
        assert_eq!(store.apply(&record), None);
        assert_eq!(titles(&mut store), ["A", "B", "J"]);
        put(&mut store, "k", &rule("A", "y"));
        assert_eq!(titles(&mut store), ["A", "J"]);
    }

    #[test]
    fn a_bad_version_leaves_the_last_good_one() {
        let mut store = store(RuleFilter::default());
        for bad in ["title: [", "title: T\n", "- 1\n", "", "\u{1}", "just text"] {
            let problem = put(&mut store, "k", bad).expect(bad);
            assert_eq!(problem.outcome, Outcome::NotLoaded, "{bad}");
            assert!(!problem.findings.is_empty());
            assert!(problem.to_string().contains("topic rules, partition 2, offset 7"));
        }
        assert!(titles(&mut store).is_empty());
        put(&mut store, "k", &rule("K", "x"));
        assert_eq!(titles(&mut store), ["K"]);
        let problem = put(&mut store, "k", "title: T\n").unwrap();
        assert_eq!(problem.outcome, Outcome::LastGoodKept);
        assert_eq!(titles(&mut store), ["K"]);
        assert_eq!(store.build().0.problems, [problem]);
        put(&mut store, "k", &rule("L", "x"));
        assert_eq!(titles(&mut store), ["L"]);
        assert!(store.build().0.problems.is_empty());
    }

    #[test]
    fn a_bad_version_right_behind_a_good_one_leaves_the_good_one() {
        let mut store = store(RuleFilter::default());
        put(&mut store, "k", &rule("K", "x"));
        let problem = put(&mut store, "k", "title: T\n").unwrap();
        assert_eq!(problem.outcome, Outcome::LastGoodKept);
        assert_eq!(titles(&mut store), ["K"]);
    }

    #[test]
    fn documents_that_are_not_run_are_told() {
        let mut store = store(RuleFilter::default());
        let correlation = "title: C\ncorrelation:\n  type: event_count\n  rules: [a]\n  \
                           group-by: [user]\n  timespan: 1m\n  condition: {gte: 3}\n";
        let problem = put(&mut store, "c", correlation).unwrap();
        assert_eq!(problem.outcome, Outcome::NotLoaded);
        assert!(problem.to_string().contains("a correlation rule is not run"), "{problem}");
        let both =
            format!("{}---\n{correlation}", rule("A", "x").replace("title", "name: a\ntitle"));
        let problem = put(&mut store, "c", &both).unwrap();
        assert_eq!(problem.outcome, Outcome::Loaded, "{problem}");
        assert_eq!(titles(&mut store), ["A"]);
    }

    #[test]
    fn filters_decide_for_every_version() {
        let product = |name: &str| RuleFilter { product: Some(name.into()), ..Default::default() };
        let service = |name: &str| RuleFilter { service: Some(name.into()), ..Default::default() };
        let title = |name: &str| RuleFilter {
            titles: Some([name.to_owned()].into()),
            ..Default::default()
        };
        for (filter, expected) in [
            (product("zeek"), true),
            (product("Zeek"), false),
            (service("dns"), true),
            (service("http"), false),
            (title("A"), true),
            (title("a"), false),
            (RuleFilter { category: Some("dns".into()), ..Default::default() }, false),
            (RuleFilter { level: Some(Level::High), ..Default::default() }, true),
            (RuleFilter { level: Some(Level::Critical), ..Default::default() }, false),
            (RuleFilter { tag: Some("attack.t1059".into()), ..Default::default() }, true),
            (RuleFilter { tag: Some("attack.t10".into()), ..Default::default() }, false),
        ] {
            let mut store = store(filter.clone());
            assert_eq!(put(&mut store, "k", &rule("A", "x")), None);
            assert_eq!(!titles(&mut store).is_empty(), expected, "{filter:?}");
        }
        let mut store = store(title("A"));
        put(&mut store, "k", &rule("A", "x"));
        assert_eq!(titles(&mut store), ["A"]);
        put(&mut store, "k", &rule("B", "x"));
        assert!(titles(&mut store).is_empty(), "a version that no longer passes is not in force");
    }

    #[test]
    fn a_rule_may_name_its_topic_but_not_one_that_is_read() {
        let mut store = store(RuleFilter::default());
        let with = |topic: &str| format!("{}kafka: {{outputTopic: '{topic}'}}\n", rule("A", "x"));
        assert_eq!(put(&mut store, "a", &with("own")), None);
        assert_eq!(store.output_topics().collect::<Vec<_>>(), ["own"]);
        for refused in ["data", "rules", "no topic"] {
            let problem = put(&mut store, "a", &with(refused)).expect(refused);
            assert_eq!(problem.outcome, Outcome::Loaded);
            let (set, _) = store.build();
            assert_eq!(set.rules[0].output_topic, "out");
        }
    }
}
