//! Load, list, get and delete on the rules topic.

use std::time::Duration;

use sigmill_runtime::rules_topic::{NewRule, RulesTopic};
use sigmill_runtime::run_error::RunError;
use sigmill_runtime::settings::kafka::KafkaSettings;

use crate::bed::Bed;
use crate::{on_both_brokers, rule};

fn new_rule(title: &str, value: &str) -> NewRule {
    NewRule { key: title.to_owned(), value: rule(title, "user", value).into_bytes() }
}

on_both_brokers!(rules_are_loaded_listed_got_and_deleted);

fn rules_are_loaded_listed_got_and_deleted(bed: &Bed) {
    if !bed.is_real() {
        // A real broker is asked to make it.
        bed.create_topic("rules", 1, &[]);
    }
    let topic = RulesTopic::new(bed.kafka_settings(), &bed.topic("rules"), Duration::from_secs(30));
    let rules = [new_rule("A", "a"), new_rule("B", "b"), new_rule("Ü", "c")];
    assert_eq!(topic.load(&rules).unwrap(), 3);
    assert_eq!(topic.load(&[new_rule("A", "changed")]).unwrap(), 1);
    let listed = topic.list().unwrap();
    let keys: Vec<_> = listed.iter().map(|rule| rule.key.as_str()).collect();
    assert_eq!(keys, ["A", "B", "Ü"]);
    assert_eq!(listed[0].value, new_rule("A", "changed").value);
    assert_eq!((listed[0].partition, listed[0].offset), (0, 3));
    assert_eq!(topic.get("B").unwrap().unwrap().value, rules[1].value);
    assert_eq!(topic.get("C").unwrap(), None);
    let missing = topic.delete(&["A".to_owned(), "C".to_owned()]).unwrap();
    assert_eq!(missing, ["C"]);
    assert_eq!(topic.get("A").unwrap(), None);
    assert_eq!(topic.list().unwrap().len(), 2);
}

#[test]
fn a_topic_that_is_missing_is_named() {
    let bed = Bed::embedded(1);
    let topic = RulesTopic::new(bed.kafka_settings(), "nothing", Duration::from_secs(30));
    let error = topic.list().unwrap_err();
    assert!(error.is_broker());
    assert!(error.to_string().contains("topic `nothing` is not usable: it does not exist"));
}

#[test]
fn an_unreachable_broker_is_named() {
    let kafka = KafkaSettings::new("127.0.0.1:1");
    let topic = RulesTopic::new(kafka, "rules", Duration::from_millis(300));
    for result in [topic.list().map(drop), topic.load(&[]).map(drop)] {
        let error = result.unwrap_err();
        assert!(matches!(error, RunError::Broker { .. }), "{error}");
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    }
}
