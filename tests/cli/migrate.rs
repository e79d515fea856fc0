//! `sigmill migrate`: the report for who is about to switch.

use sigmill_runtime::embedded_broker::EmbeddedBroker;

use crate::sandbox::{RULE, Sandbox};

fn properties(servers: &str) -> String {
    format!(
        "bootstrap.server={servers}\napplication.id=dns-app\ndata.topic=dns\noutput.topic=out\n\
         sigma.rules.topic=sigma-rules\nnum.stream.threads=10\ncompression.type=snappy\n\
         state.dir=x\nsasl.password=geheim\n"
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
        "state.dir: ignored: there is no state directory",
        "Mimikatz (rules/a.yml)",
        "either [not] what is negated is never true there",
        "Of 2 rules, 1 mean the same",
        "`dns-app` stays the group of dns",
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
    let wrong = sandbox.file("sigma.properties", "num.stream.threads=many\n");
    assert_eq!(wrong.run("migrate --check sigma.properties").status, 3);
}
