//! Settings read from properties text: values, defaults, and what is said about wrong ones.

use std::path::Path;

use super::*;

const MINIMAL: &str = "bootstrap.servers=b:1\napplication.id=app\ndata.topic=data\n\
                       output.topic=out\nsigma.rules.topic=rules\n";

fn read(more: &str) -> Result<Settings, SettingsError> {
    let text = format!("{MINIMAL}{more}");
    Settings::from_properties(&Properties::parse(text.as_bytes(), Path::new("s.properties")))
}

#[track_caller]
fn fails(more: &str, expected: &str) {
    let message = read(more).unwrap_err().to_string();
    assert!(message.contains(expected), "`{message}` does not contain `{expected}`");
}

#[track_caller]
fn warns(more: &str, expected: &str) -> Settings {
    let settings = read(more).unwrap();
    assert!(
        settings.warnings.iter().any(|warning| warning.contains(expected)),
        "{:?} has no `{expected}`",
        settings.warnings
    );
    settings
}

#[test]
fn the_least_that_is_needed() {
    let settings = read("").unwrap();
    assert_eq!(settings.kafka.bootstrap_servers, "b:1");
    assert_eq!(settings.data_topics, ["data"]);
    assert_eq!(settings.worker_count, 1);
    assert_eq!(settings.auto_offset_reset, "earliest");
    assert_eq!(settings.output_format, Format::Confluent13);
    assert_eq!(settings.streams.shapes[0].filter, RuleFilter::default());
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
}

#[test]
fn every_missing_setting_is_named_at_once() {
    let error = Settings::from_properties(&Properties::default()).unwrap_err();
    let keys: Vec<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        ["bootstrap.servers", "application.id", "data.topic", "output.topic", "sigma.rules.topic"]
    );
    assert!(
        error.to_string().contains("Missing required property data.topic: expected topic names")
    );
}

#[test]
fn wrong_values_name_place_setting_value_and_what_is_expected() {
    fails(
        "num.stream.threads=many\n",
        "s.properties:6: num.stream.threads = `many`: expected a whole number from 1 to 1024",
    );
    fails("num.stream.threads=0\n", "expected a whole number from 1");
    fails("sigma.rule.first.match=yes\n", "`yes`: expected true or false");
    fails("auto.offset.reset=newest\n", "expected earliest or latest");
    fails(
        "sigmill.output.format=xml\n",
        "expected confluent-1.3, confluent-head, native, ocsf or ecs",
    );
    fails("data.topic.format=protobuf\n", "`protobuf`: expected json or avro");
    fails("data.topic.format=Avro\n", "Missing required property schema.registry");
    fails(
        "output.topic.format=avro\nschema.registry=http://a\nsigmill.output.format=ecs\n",
        "this shape is JSON",
    );
    fails("data.topic=a b\n", "`a b` is not a topic name");
    fails("output.topic=data\n", "data.topic names the same topic");
    fails("output.topic=rules\n", "sigma.rules.topic names the same topic");
    fails("sigma.rules.topic=data\n", "data.topic names the same topic");
    fails("replication.factor=0\n", "expected a whole number from 1");
    fails("field.mapping.file=/no/such/file\n", "field.mapping.file = `/no/such/file`: expected");
    fails("sigma.rule.filter.list=/no/such/file\n", "expected a readable file with one title");
    fails("linger.ms=soon\n", "s.properties:6: linger.ms: the Kafka client refuses this value");
}

#[test]
fn lists_patterns_and_filters() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("titles");
    std::fs::write(&list, "One\n\n Two \n").unwrap();
    let settings = read(&format!(
        "data.topic = a, ^win-.* ,b\nsigma.rule.filter.product=zeek\n\
         sigma.rule.filter.title=Zero\nsigma.rule.filter.list={}\nsigma.rule.first.match=TRUE\n",
        list.display()
    ))
    .unwrap();
    assert_eq!(settings.data_topics, ["a", "^win-.*", "b"]);
    assert_eq!(settings.streams.shapes[0].filter.product.as_deref(), Some("zeek"));
    let titles: Vec<_> =
        settings.streams.shapes[0].filter.titles.clone().unwrap().into_iter().collect();
    assert_eq!(titles, ["One", "Two", "Zero"]);
    assert!(settings.is_first_match);
}

#[test]
fn an_empty_value_is_not_set_and_said_so() {
    let settings = warns("sigma.rule.filter.product=\n", "sigma.rule.filter.product is empty");
    assert_eq!(settings.streams.shapes[0].filter.product, None);
}

#[test]
fn bootstrap_server_is_accepted() {
    let text = MINIMAL.replace("bootstrap.servers", "bootstrap.server");
    let properties = Properties::parse(text.as_bytes(), Path::new("s"));
    let settings = Settings::from_properties(&properties).unwrap();
    assert_eq!(settings.kafka.bootstrap_servers, "b:1");
    assert_eq!(settings.warnings, ["s:1: read bootstrap.server as bootstrap.servers"]);
}

#[test]
fn client_settings_are_passed_translated_or_warned_about() {
    let settings = read(
        "compression.type=snappy\nbatch.size=16384\nmax.request.size=2000000\n\
         buffer.memory=33554432\nconsumer.fetch.max.wait.ms=50\nproducer.linger.ms=7\n\
         security.protocol=SASL_SSL\nclient.dns.lookup=use_all_dns_ips\n",
    )
    .unwrap();
    let has = |list: &[(String, String)], name: &str, value: &str| {
        list.contains(&(name.to_owned(), value.to_owned()))
    };
    assert!(has(&settings.kafka.common, "compression.type", "snappy"));
    assert!(has(&settings.kafka.common, "message.max.bytes", "2000000"));
    assert!(has(&settings.kafka.common, "queue.buffering.max.kbytes", "32768"));
    assert!(has(&settings.kafka.consumer, "fetch.wait.max.ms", "50"));
    assert!(has(&settings.kafka.producer, "linger.ms", "7"));
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    warns(
        "default.value.serde=X\n",
        "default.value.serde is ignored: data.topic.format and output.topic.format say it",
    );
    warns("my.own.key=1\n", "s.properties:6: my.own.key is ignored: the Kafka client has no");
    warns("ssl.truststore.location=t.jks\n", "use ssl.ca.location");
    warns("admin.retries=3\n", "there is no such client");
}

#[test]
fn secrets_are_not_printed() {
    let jaas = "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
                username='me' password='geheim';\nsasl.mechanism=PLAIN\n\
                ssl.key.password=geheim\nunknown.password=geheim\n";
    let settings = read(jaas).unwrap();
    let pair = ("sasl.password".to_owned(), "geheim".to_owned());
    assert!(settings.kafka.common.contains(&pair));
    let shown = format!("{settings:?}");
    assert!(!shown.contains("geheim"), "{shown}");
    let error = read("sasl.mechanism=PLAIN\nlinger.ms=geheim\n").unwrap_err();
    assert!(!error.to_string().contains("geheim"));
}
