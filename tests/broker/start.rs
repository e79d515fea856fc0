//! The start: topics that are missing, brokers that are away, a stop in the middle.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use sigmill_runtime::processor::Processor;
use sigmill_runtime::properties::Properties;
use sigmill_runtime::run_error::RunError;
use sigmill_runtime::settings::Settings;
use sigmill_runtime::shutdown::Shutdown;

use crate::bed::{Bed, Broker, until, wait};
use crate::rule;

#[test]
fn an_unreachable_broker_fails_the_start_in_time_and_by_name() {
    let mut properties = Properties::default();
    for (name, value) in [
        ("bootstrap.servers", "127.0.0.1:1"),
        ("application.id", "a"),
        ("data.topic", "data"),
        ("output.topic", "out"),
        ("sigma.rules.topic", "rules"),
        ("sigmill.start.timeout.ms", "500"),
    ] {
        properties.set(name, value, "test");
    }
    let settings = Settings::from_properties(&properties).unwrap();
    let error = Processor::start(settings.clone(), Shutdown::new()).err().unwrap();
    assert!(error.is_broker());
    let said = error.to_string();
    assert!(said.contains("no broker of `127.0.0.1:1` answers"), "{said}");
    assert!(said.contains("check bootstrap.servers"), "{said}");

    let shutdown = Shutdown::new();
    shutdown.ask();
    let error = Processor::start(settings, shutdown).err().unwrap();
    assert!(matches!(error, RunError::Stopped));
}

#[test]
fn missing_topics_are_made() {
    let Some(bed) = Bed::real() else { return };
    let processor = bed.start(&[("metadata.max.age.ms", "200")]);
    let rules = bed.topic("rules");
    let admin = bed.admin();
    let resource = [ResourceSpecifier::Topic(&rules)];
    let configs = wait(admin.describe_configs(&resource, &AdminOptions::new())).unwrap();
    let policy = configs[0].as_ref().unwrap().get("cleanup.policy").unwrap();
    assert_eq!(policy.value.as_deref(), Some("compact"));
    for topic in ["data", "out", "dead"] {
        assert_eq!(bed.end(topic, 1), 0, "the broker's default are two partitions");
    }

    // A partition that the rules topic gets later is read too.
    bed.create_partitions("rules", 2);
    let sender = bed.sender();
    let text = rule("A", "user", "alice");
    sender.put(&rules, 1, Some("A"), Some(text.as_bytes()), None);
    sender.flush();
    until(&processor, |snapshot| snapshot.rule_count == 1);
    assert!(processor.stop().is_clean);
}

#[test]
fn a_topic_that_cannot_be_made_is_named() {
    // The embedded broker has no admin interface, so it makes none.
    let bed = Bed::embedded(1);
    bed.create_topic("data", 1, &[]);
    let error = Processor::start(bed.settings(&[]), Shutdown::new()).err().unwrap();
    assert!(error.is_broker());
    let said = error.to_string();
    assert!(said.contains(&format!("topic `{}` is not usable", bed.topic("rules"))), "{said}");
}

#[test]
fn a_rules_topic_that_cannot_be_read_fails_the_start_in_time() {
    use rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as FORBIDDEN;
    let bed = Bed::embedded(1);
    for topic in ["data", "out", "dead", "rules"] {
        bed.create_topic(topic, 1, &[]);
    }
    let Broker::Embedded(broker) = &bed.broker else { unreachable!("asked for above") };
    broker.cluster().topic_error(&bed.topic("rules"), FORBIDDEN).unwrap();
    let settings = bed.settings(&[("sigmill.start.timeout.ms", "500")]);
    let error = Processor::start(settings, Shutdown::new()).err().unwrap();
    let said = error.to_string();
    assert!(said.contains(&format!("topic `{}` is not usable", bed.topic("rules"))), "{said}");
    assert!(said.contains("authorization failed"), "{said}");
}

#[test]
fn a_pattern_of_data_topics_finds_topics_that_come_later() {
    let Some(bed) = Bed::real() else { return };
    bed.create_topic("win-1", 1, &[]);
    let pattern = format!("^{}", bed.topic("win-.*"));
    let processor = bed.start(&[("data.topic", &pattern), ("metadata.max.age.ms", "200")]);
    let sender = bed.sender();
    let text = rule("A", "user", "alice");
    sender.put(&bed.topic("rules"), 0, Some("A"), Some(text.as_bytes()), None);
    sender.flush();
    until(&processor, |snapshot| snapshot.rule_count == 1);
    bed.create_topic("win-2", 1, &[]);
    for topic in ["win-1", "win-2"] {
        sender.send(&bed.topic(topic), 0, br#"{"n":1,"user":"alice"}"#);
    }
    sender.flush();
    bed.read_until(&["out"], |records| records.len() == 2);
    assert!(processor.stop().is_clean);
}

#[test]
fn the_demo_shows_detections_and_rates() {
    use sigmill_runtime::demo::{self, DemoConfig, DemoNews};
    use sigmill_runtime::rules_topic::NewRule;
    let shutdown = Shutdown::new();
    let config = DemoConfig {
        rules: vec![NewRule { key: "A".into(), value: rule("A", "user", "alice").into_bytes() }],
        events: vec![br#"{"user":"eve"}"#.to_vec(), br#"{"user":"alice"}"#.to_vec()],
        events_per_second: 200,
        worker_count: 1,
        settings: Vec::new(),
    };
    let begin = std::time::Instant::now();
    let (mut is_ready, mut detections, mut rate) = (false, 0, 0.0);
    let mut on_news = |news: DemoNews<'_>| {
        match news {
            DemoNews::Ready { bootstrap_servers, snapshot } => {
                assert!(bootstrap_servers.contains(':'));
                assert_eq!(snapshot.rule_count, 1);
                is_ready = true;
            }
            DemoNews::Detection(detection) => {
                let json: serde_json::Value = serde_json::from_slice(detection).unwrap();
                assert_eq!(json["title"], "A");
                detections += 1;
            }
            DemoNews::Tick { records_per_second, .. } => rate = records_per_second,
        }
        if detections > 10 && rate > 0.0 || begin.elapsed() > crate::bed::DEADLINE {
            shutdown.ask();
        }
    };
    let snapshot = demo::run(config, &shutdown, &mut on_news).unwrap();
    assert!(is_ready);
    assert!(detections > 10, "{snapshot:#?}");
    assert!(begin.elapsed() < crate::bed::DEADLINE + Duration::from_secs(5));
}
