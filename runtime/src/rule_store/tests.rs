//! Records in, rule sets out.

use super::*;
use sigmill_parser::{FieldMapping, Level};

fn store(filter: RuleFilter) -> RuleStore {
    RuleStore::new(RuleStoreConfig {
        topic: "rules".into(),
        filter,
        allows_backtracking: false,
        field_mapping: FieldMapping::default(),
        pipelines: Pipelines::default(),
        pipelines_text: String::new(),
        format: Format::Confluent13,
        output_topic: "out".into(),
        has_author_header: true,
        overlays: Overlays::default(),
        input_topics: vec!["data".into(), "rules".into()],
        streams: Vec::new(),
        salt: String::new(),
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
    store.build().0.rules.iter().map(|rule| rule.title().to_owned()).collect()
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
    let record = RuleRecord { key: None, value: Some(json.as_bytes()), partition: 0, offset: 0 };
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

fn named(title: &str, value: &str) -> String {
    format!("name: {}\n{}", title.to_lowercase(), rule(title, value))
}

fn correlation(title: &str, rules: &str) -> String {
    format!(
        "title: {title}\nname: {}\nlevel: high\ncorrelation:\n  type: event_count\n  \
         rules: [{rules}]\n  group-by: [user]\n  timespan: 1m\n  condition: {{gte: 3}}\n",
        title.to_lowercase()
    )
}

fn hash(set: &RuleSet, title: &str) -> String {
    set.rules.iter().find(|rule| rule.title() == title).expect(title).hash.clone()
}

#[test]
fn a_correlation_runs_once_its_rules_are_there() {
    let mut store = store(RuleFilter::default());
    assert_eq!(put(&mut store, "c", &correlation("C", "a, b")), None);
    put(&mut store, "a", &named("A", "x"));
    let (set, problems) = store.build();
    assert!(set.windows.is_empty());
    assert_eq!((set.active_count, problems.len()), (1, 1));
    assert_eq!(problems[0].outcome, Outcome::NotLoaded);
    assert!(problems[0].to_string().contains("no rule with the name or id `b`"), "{}", problems[0]);
    // What is known to be wrong is not told again, and stays in view.
    put(&mut store, "z", &rule("Z", "x"));
    let (set, problems) = store.build();
    assert_eq!((problems, set.problems.len()), (vec![], 1));

    put(&mut store, "b", "title: B\nname: b\n");
    let (_, problems) = store.build();
    assert!(problems[0].to_string().contains("`b`, which has errors"), "{}", problems[0]);

    put(&mut store, "b", &named("B", "y"));
    let (set, problems) = store.build();
    assert_eq!((problems, set.problems.len()), (vec![], 0));
    assert_eq!(set.windows.windows().len(), 1);
    assert_eq!(set.active_count, 4);
    // The rules that it names make no detections of their own.
    let title = |id: u32| set.rule(RuleId(id)).title().to_owned();
    let is_emitting = |id: u32| set.windows.is_emitting(RuleId(id));
    let emits: Vec<_> = (0..3).map(|id| (title(id), is_emitting(id))).collect();
    assert_eq!(emits, [("A".into(), false), ("B".into(), false), ("Z".into(), true)]);
    let source = set.windows.windows()[0].source as usize;
    assert_eq!(set.rules[source].title(), "C");
}

#[test]
fn a_version_changes_with_what_it_builds_on() {
    let mut store = store(RuleFilter::default());
    put(&mut store, "a", &named("A", "x"));
    put(&mut store, "b", &named("B", "x"));
    put(&mut store, "c", &correlation("C", "a"));
    put(&mut store, "d", &correlation("D", "c"));
    let (before, _) = store.build();
    put(&mut store, "z", &rule("Z", "x"));
    let (same, _) = store.build();
    for title in ["A", "B", "C", "D"] {
        assert_eq!(hash(&before, title), hash(&same, title));
    }
    put(&mut store, "a", &named("A", "y"));
    let (after, _) = store.build();
    for (title, is_same) in [("A", false), ("B", true), ("C", false), ("D", false)] {
        assert_eq!(hash(&same, title) == hash(&after, title), is_same, "{title}");
    }
    let filter = "title: F\nlogsource: {product: zeek}\n\
                  filter:\n  rules: [b]\n  s: {host: h}\n  condition: not s\n";
    assert_eq!(put(&mut store, "f", filter), None);
    let (filtered, problems) = store.build();
    assert_eq!(problems, []);
    assert_eq!(filtered.active_count, after.active_count);
    for (title, is_same) in [("A", true), ("B", false), ("C", true)] {
        assert_eq!(hash(&filtered, title) == hash(&after, title), is_same, "{title}");
    }
}

#[test]
fn filters_change_the_rules_that_they_name() {
    let mut store = store(RuleFilter::default());
    let filter = "title: F\nlogsource: {product: zeek}\n\
                  filter:\n  rules: [a, gone]\n  s: {host: h}\n  condition: not s\n";
    put(&mut store, "f", filter);
    put(&mut store, "a", &named("A", "x"));
    let (set, problems) = store.build();
    assert_eq!(problems[0].outcome, Outcome::Loaded);
    assert!(problems[0].to_string().contains("`gone`"), "{}", problems[0]);
    let mut matcher = sigmill_engine::Matcher::new(
        Arc::clone(&set.plan),
        sigmill_engine::MatcherConfig::default(),
    );
    let mut count = |event: &str| matcher.matches(event.as_bytes()).unwrap().len();
    assert_eq!(count(r#"{"field":"x","host":"g"}"#), 1);
    assert_eq!(count(r#"{"field":"x","host":"h"}"#), 0);
}

#[test]
fn a_new_version_that_names_nothing_waits_behind_the_one_before() {
    let mut store = store(RuleFilter::default());
    put(&mut store, "a", &named("A", "x"));
    put(&mut store, "c", &correlation("C", "a"));
    store.build();
    put(&mut store, "c", &correlation("C2", "later"));
    let (set, problems) = store.build();
    assert_eq!(problems[0].outcome, Outcome::LastGoodKept);
    assert_eq!(set.windows.windows().len(), 1);
    assert!(set.rules.iter().any(|rule| rule.title() == "C"));
    put(&mut store, "l", &named("Later", "x"));
    let (set, problems) = store.build();
    assert_eq!((problems, set.problems.len()), (vec![], 0));
    assert!(set.rules.iter().any(|rule| rule.title() == "C2"));
    // A circle takes only those in it out.
    put(&mut store, "c", &correlation("C2", "d"));
    put(&mut store, "d", &correlation("D", "c2"));
    let (set, problems) = store.build();
    assert!(!problems.is_empty());
    assert!(set.rules.iter().any(|rule| rule.title() == "A"));
}

#[test]
fn a_filtered_rule_that_a_correlation_names_is_there_and_silent() {
    let filter = RuleFilter { titles: Some(["C".to_owned()].into()), ..Default::default() };
    let mut store = store(filter);
    put(&mut store, "a", &named("A", "x"));
    put(&mut store, "b", &named("B", "x"));
    put(&mut store, "c", &correlation("C", "a").replace("  type", "  generate: true\n  type"));
    let (set, _) = store.build();
    let titles: Vec<&str> = set.rules.iter().map(|rule| rule.title()).collect();
    assert_eq!(titles, ["A", "C"]);
    assert_eq!(set.active_count, 1);
    assert!(!set.windows.is_emitting(RuleId(0)), "it does not pass, whatever `generate` says");

    for (product, expected) in [("zeek", 1), ("windows", 0)] {
        let filter = RuleFilter { product: Some(product.into()), ..Default::default() };
        let mut store = self::store(filter);
        put(&mut store, "a", &named("A", "x"));
        put(&mut store, "c", &correlation("C", "a"));
        assert_eq!(store.build().0.windows.windows().len(), expected, "{product}");
    }
}

#[test]
fn pipelines_rewrite_rules_and_leave_out_what_they_do_not_know() {
    let mut store = store(RuleFilter::default());
    store.config.pipelines = Pipelines::new(sigmill_parser::Pipeline::shipped("windows"));
    store.config.pipelines_text = "windows".into();
    put(&mut store, "a", &named("A", "x"));
    put(&mut store, "c", &correlation("C", "a"));
    put(
        &mut store,
        "p",
        "title: P\nlogsource: {product: windows, category: process_creation}\n\
                         detection:\n  s: {Image: x}\n  condition: s\n",
    );
    let (set, problems) = store.build();
    let titles: Vec<&str> = set.dropped.iter().map(|rule| rule.title.as_str()).collect();
    assert_eq!(titles, ["A"]);
    assert!(problems[0].to_string().contains("no pipeline has a condition"), "{}", problems[0]);
    assert_eq!(set.active_count, 1);
    let mut matcher = sigmill_engine::Matcher::new(
        Arc::clone(&set.plan),
        sigmill_engine::MatcherConfig::default(),
    );
    let mut count = |event: &str| matcher.matches(event.as_bytes()).unwrap().len();
    assert_eq!(count(r#"{"Image":"x"}"#), 0);
    let event = r#"{"Image":"x","Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1}"#;
    assert_eq!(count(event), 1);
}

#[test]
fn filters_decide_for_every_version() {
    let product = |name: &str| RuleFilter { product: Some(name.into()), ..Default::default() };
    let service = |name: &str| RuleFilter { service: Some(name.into()), ..Default::default() };
    let title =
        |name: &str| RuleFilter { titles: Some([name.to_owned()].into()), ..Default::default() };
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
