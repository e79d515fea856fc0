//! `sigmill migrate`: the report for who is about to switch.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use sigmill_runtime::embedded_broker::EmbeddedBroker;

use crate::sandbox::{RULE, Sandbox};

fn properties(servers: &str) -> String {
    format!(
        "bootstrap.server={servers}\napplication.id=dns-app\ndata.topic=dns\noutput.topic=out\n\
         sigma.rules.topic=sigma-rules\nnum.stream.threads=10\ncompression.type=snappy\n\
         state.dir=x\ndefault.value.serde=y\nsasl.password=geheim\n"
    )
}

#[test]
fn settings_rules_and_group_are_reported() {
    let negated = RULE.replace("condition: selection", "condition: not selection");
    let sandbox = Sandbox::new()
        .file("sigma.properties", properties("b:1"))
        .file("rules/a.yml", negated)
        .file(
            "rules/same.yml",
            "title: Same\nlogsource: {product: x}\ndetection: {s: {a: 1}, condition: s}\n",
        );
    let outcome = sandbox.run("migrate --check sigma.properties --rules rules");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    for said in [
        "bootstrap.server: read as bootstrap.servers",
        "num.stream.threads: read as it is",
        "compression.type: passed on to the Kafka clients",
        "state.dir: read as it is",
        "default.value.serde: ignored: data.topic.format and output.topic.format say it",
        "Mimikatz (rules/a.yml)",
        "either [not] what is negated is never true there",
        "Of 2 rules, 1 mean the same",
        "`dns-app` stays the group of dns",
        "Its offsets are not known: no broker of `b:1` answers",
    ] {
        assert!(outcome.stdout.contains(said), "no `{said}` in: {}", outcome.stdout);
    }
    assert!(!outcome.stdout.contains("geheim"), "{}", outcome.stdout);
    let sandbox = sandbox.file("rules/bad.yml", "title: [");
    let outcome = sandbox.run("migrate --check sigma.properties --rules rules");
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("does not load: rules/bad.yml"), "{}", outcome.stdout);
}

#[test]
fn rules_are_read_from_the_topic_that_the_settings_name() {
    let broker = EmbeddedBroker::start(1).unwrap();
    broker.create_topic("sigma-rules", 1).unwrap();
    let sandbox =
        Sandbox::with_rule().file("sigma.properties", properties(broker.bootstrap_servers()));
    let sandbox =
        sandbox.file("c.properties", format!("bootstrap.servers={}\n", broker.bootstrap_servers()));
    assert_eq!(sandbox.run("rules load -c c.properties --dir rules").status, 0);
    let text = properties(broker.bootstrap_servers()).replace("sasl.password=geheim\n", "");
    let sandbox = sandbox.file("sigma.properties", text);
    let outcome = sandbox.run("migrate --check sigma.properties");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("Mimikatz (Mimikatz)"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("Its topics do not exist yet"), "{}", outcome.stdout);
    // As far as the group is committed.
    broker.create_topic("dns", 2).unwrap();
    let config = |group: &str| {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap_servers()).set("group.id", group);
        config
    };
    let producer: BaseProducer = config("dns-app").create().unwrap();
    for n in 0..5 {
        let record = BaseRecord::<str, str>::to("dns").partition(n % 2).payload("{}");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let consumer: BaseConsumer = config("dns-app").create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("dns", 0, Offset::Offset(1)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
    let outcome = sandbox.run("migrate --check sigma.properties");
    for said in [
        "dns, partition 0: goes on at 1, 2 behind the end",
        "dns, partition 1: nothing is committed; Sigmill begins at the first record (2 records)",
    ] {
        assert!(outcome.stdout.contains(said), "no `{said}` in: {}", outcome.stdout);
    }
    let wrong = sandbox.file("sigma.properties", "num.stream.threads=many\n");
    assert_eq!(wrong.run("migrate --check sigma.properties").status, 3);
}
