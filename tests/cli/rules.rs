//! `sigmill rules`, against an embedded broker.

use sigmill_runtime::embedded_broker::EmbeddedBroker;

use crate::sandbox::{RULE, Sandbox, rule};

/// A broker with an empty rules topic, and a sandbox whose properties file names both.
fn broker() -> (EmbeddedBroker, Sandbox) {
    let broker = EmbeddedBroker::start(1).unwrap();
    broker.create_topic("sigma-rules", 1).unwrap();
    let properties = format!(
        "bootstrap.servers={}\nsigma.rules.topic=sigma-rules\napplication.id=a\nnum.stream.threads=2\n",
        broker.bootstrap_servers()
    );
    (broker, Sandbox::with_rule().file("sigma.properties", properties))
}

#[test]
fn rules_are_loaded_listed_printed_and_deleted() {
    let (broker, sandbox) = broker();
    let sandbox = sandbox.file("more/b.yml", rule("Another", "b2").replace("level: high\n", ""));
    let connection =
        format!("--bootstrap-server {} --topic sigma-rules", broker.bootstrap_servers());

    let loaded =
        sandbox.run(&format!("rules load {connection} --file rules/mimikatz.yml --dir more"));
    assert_eq!((loaded.status, loaded.stdout.as_str()), (0, ""), "{}", loaded.stderr);
    assert!(loaded.stderr.contains("2 rules written, 0 failed"), "{}", loaded.stderr);

    let listed = sandbox.run(&format!("rules list {connection}"));
    let expected = "Another\tb2\t-\nMimikatz\t11111111-1111-4111-8111-111111111111\thigh\n";
    assert_eq!((listed.status, listed.stdout.as_str()), (0, expected), "{}", listed.stderr);

    let listed = sandbox.run(&format!("rules list --format json {connection}"));
    let list: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(list[1]["title"], "Mimikatz");
    assert_eq!(list[1]["level"], "high");
    assert_eq!(list[1]["loads"], true);
    assert!(list[1]["offset"].is_u64());

    let got = sandbox.run(&format!("rules get {connection} --title Mimikatz"));
    assert_eq!(got.status, 0);
    let document: serde_json::Value = serde_json::from_str(&got.stdout).unwrap();
    // Nothing of the document is lost on the way.
    assert_eq!(document["logsource"]["category"], "process_creation");
    assert_eq!(document["detection"]["selection"]["Image|endswith"], "\\mimikatz.exe");
    assert_eq!(document["status"], "test");

    let deleted =
        sandbox.run(&format!("rules delete {connection} --title Mimikatz --title Nobody"));
    assert_eq!(deleted.status, 2);
    assert!(deleted.stderr.contains("1 rule removed"), "{}", deleted.stderr);
    assert!(deleted.stderr.contains("`Nobody`"), "{}", deleted.stderr);
    assert_eq!(sandbox.run(&format!("rules list {connection}")).stdout, "Another\tb2\t-\n");
    let missing = sandbox.run(&format!("rules get {connection} --title Mimikatz"));
    assert_eq!((missing.status, missing.stdout.as_str()), (2, ""));
    let deleted = sandbox.run(&format!("rules delete {connection} --title Another"));
    assert_eq!(deleted.status, 0, "{}", deleted.stderr);
}

#[test]
fn a_bad_rule_is_left_out_and_makes_the_status_2() {
    let (_broker, sandbox) = broker();
    let sandbox = sandbox.file("rules/bad.yml", "title: [");
    let outcome = sandbox.run("rules load --command-config sigma.properties --dir rules");
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("1 rule written, 1 failed"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rules/bad.yml:1:"), "{}", outcome.stderr);
}

#[test]
fn of_two_rules_with_one_title_the_last_one_is_written_and_both_are_named() {
    let (_broker, sandbox) = broker();
    let sandbox = sandbox.file("rules/z.yml", RULE.replace("level: high", "level: low"));
    let outcome = sandbox.run("rules load --command-config sigma.properties --dir rules");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rules/z.yml: warning"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rules/mimikatz.yml"), "{}", outcome.stderr);
    let listed = sandbox.run("rules list --command-config sigma.properties");
    assert!(listed.stdout.ends_with("\tlow\n"), "{}", listed.stdout);
    assert_eq!(listed.stdout.lines().count(), 1);
}

#[test]
fn flags_win_over_the_properties_file() {
    let (broker, sandbox) = broker();
    broker.create_topic("other", 1).unwrap();
    let sandbox =
        sandbox.file("wrong.properties", "bootstrap.servers=127.0.0.1:1\nsigma.rules.topic=x\n");
    let flags = format!("--bootstrap-server {} --topic other", broker.bootstrap_servers());
    let outcome =
        sandbox.run(&format!("rules load --command-config wrong.properties {flags} --dir rules"));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let listed = sandbox.run("rules list --command-config sigma.properties --topic other");
    assert_eq!(listed.stdout.lines().count(), 1, "{}", listed.stderr);
}

#[test]
fn an_unreachable_broker_or_a_missing_topic_is_status_4() {
    let (_broker, sandbox) = broker();
    let outcome =
        sandbox.run("rules list --bootstrap-server 127.0.0.1:1 --topic t --timeout-ms 300");
    assert_eq!(outcome.status, 4, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("127.0.0.1:1"), "{}", outcome.stderr);
    let outcome = sandbox.run("rules list --command-config sigma.properties --topic missing");
    assert_eq!(outcome.status, 4, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("`missing`"), "{}", outcome.stderr);
}

#[test]
fn wrong_settings_are_status_3() {
    let sandbox = Sandbox::with_rule().file("empty.properties", "").file(
        "bad.properties",
        "bootstrap.servers=a:1\nsigma.rules.topic=t\nsecurity.protocol=nonsense\n",
    );
    for arguments in [
        "rules",
        "rules load --bootstrap-server a:1 --topic t",
        "rules load --topic t --dir rules",
        "rules get --bootstrap-server a:1 --topic t",
        "rules list --command-config missing.properties",
        "rules list --command-config empty.properties",
        "rules list --command-config bad.properties",
        "rules load --bootstrap-server a:1 --topic t --file missing.yml",
    ] {
        let outcome = sandbox.run(arguments);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (3, ""), "{arguments}: {outcome:?}");
        assert!(!outcome.stderr.is_empty(), "{arguments}");
    }
}

#[test]
fn a_jvm_processor_is_spared_what_it_would_stop_at() {
    let (broker, sandbox) = broker();
    broker.create_topic("sigma-app-instances", 1).unwrap();
    let keywords = "title: K\nlogsource: {product: x}\ndetection: {k: [error], condition: k}\n";
    let sandbox = sandbox.file("rules/k.yml", keywords);
    let load = |flag: &str| {
        sandbox.run(&format!("rules load {flag} --command-config sigma.properties --dir rules"))
    };
    let listed = || sandbox.run("rules list --command-config sigma.properties").stdout;
    let refused = load("--jvm-safe");
    assert_eq!(refused.status, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("`K`: `k` is a list of keywords"), "{}", refused.stderr);
    assert_eq!(listed(), "", "nothing is written");
    assert_eq!(load("").status, 0, "no JVM processor is alive");
    assert_eq!(listed().lines().count(), 2);

    let producer: rdkafka::producer::BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()
        .unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let state = format!(r#"{{"applicationId":"jvm","sampleTimestamp":{}}}"#, now.as_millis());
    let record =
        rdkafka::producer::BaseRecord::to("sigma-app-instances").key("jvm").payload(&state);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    rdkafka::producer::Producer::flush(&producer, std::time::Duration::from_secs(30)).unwrap();
    let refused = load("");
    assert_eq!(refused.status, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("list of keywords"), "{}", refused.stderr);
    assert_eq!(load("--no-jvm-safe").status, 0);
}
