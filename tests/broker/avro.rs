//! Avro in and out: records and detections in Confluent's wire format, with a schema registry over HTTP and TLS.

use std::sync::Arc;

use apache_avro::types::{Record, Value as Avro};
use apache_avro::{Schema, from_avro_datum, to_avro_datum};
use serde_json::{Value, json};
use sigmill_runtime::avro::registry::{Credentials, Registry, RegistryConfig, RegistryError};
use sigmill_runtime::avro::{Decoder, Refusal};
use sigmill_runtime::detection::AVRO_SCHEMA;
use sigmill_runtime::metrics::Metric;

use crate::bed::{self, Bed, until};
use crate::registry::{TestRegistry, certificate};
use crate::{on_both_brokers, rule};

const EVENT: &str = r#"{"type":"record","name":"Event","namespace":"test","fields":[
    {"name":"n","type":"long"},{"name":"user","type":["null","string"]},
    {"name":"tags","type":{"type":"array","items":"string"}}]}"#;

fn event(id: usize, n: i64, user: &str) -> Vec<u8> {
    let schema = Schema::parse_str(EVENT).unwrap();
    let mut record = Record::new(&schema).unwrap();
    record.put("n", n);
    record.put("user", Avro::Union(1, Box::new(Avro::String(user.into()))));
    record.put("tags", Avro::Array(vec![Avro::String("x".into()), Avro::String("y".into())]));
    wire(id, &to_avro_datum(&schema, record).unwrap())
}

fn wire(id: usize, body: &[u8]) -> Vec<u8> {
    let id = u32::try_from(id).unwrap();
    [&[0], &id.to_be_bytes()[..], body].concat()
}

/// A detection, by the schema that the registry has under its id.
fn detection(registry: &TestRegistry, record: &bed::Record) -> Value {
    let (head, mut body) = record.value.split_first_chunk::<5>().unwrap();
    assert_eq!(head[0], 0);
    let id = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let text = registry.state().schemas[id - 1].0.clone();
    let schema = Schema::parse_str(&text).unwrap();
    let value = from_avro_datum(&schema, &mut body, None).unwrap();
    assert!(body.is_empty());
    Value::try_from(value).unwrap()
}

on_both_brokers!(records_and_detections_are_avro);

fn records_and_detections_are_avro(bed: &Bed) {
    let registry = TestRegistry::start();
    let id = registry.state().add("data-value", EVENT, Value::Null);
    registry.state().authorization = Some("Basic dTpwOnc=".into()); // u:p:w
    bed.create_topic("data", 1, &[]);
    for topic in ["out", "own", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    let own = format!(
        "{}kafka: {{outputTopic: {}, customFields: {{site: a}}}}\n",
        rule("B", "tags", "y").replace("{tags: 'y'}", "{tags: 'y', user|re: '^(?<who>b.*)'}"),
        bed.topic("own")
    );
    for (key, text) in [("A", rule("A", "user", "ALICE")), ("B", own)] {
        sender.put(&bed.topic("rules"), 0, Some(key), Some(text.as_bytes()), None);
    }
    sender.flush();
    let processor = bed.start(&[
        ("data.topic.format", "avro"),
        ("output.topic.format", "AVRO"),
        ("schema.registry", &registry.url()),
        ("basic.auth.credentials.source", "USER_INFO"),
        ("basic.auth.user.info", "u:p:w"),
    ]);
    let data = bed.topic("data");
    let good = event(id, 1, "alice");
    sender.put(&data, 0, Some("k"), Some(&good), None);
    sender.send(&data, 0, &event(id, 2, "bob"));
    // Unknown, cut off, and no Avro at all.
    sender.send(&data, 0, &wire(999, &[2]));
    sender.send(&data, 0, &good[..8]);
    sender.send(&data, 0, br#"{"user":"alice"}"#);
    sender.put(&data, 0, None, None, None);
    sender.send(&data, 0, &event(id, 3, "alice"));
    sender.flush();
    let snapshot = until(&processor, |snapshot| {
        snapshot.counts.get(Metric::Records) == 7
            && snapshot.counts.get(Metric::Detections) == 3
            && snapshot.counts.get(Metric::DeadLetters) == 3
    });
    assert_eq!(snapshot.counts.get(Metric::RejectedAvro), 3);
    let told = bed.read_until(&["out"], |records| records.len() >= 2);
    let first = detection(&registry, &told[0]);
    assert_eq!(first["sourceData"], r#"{"n":1,"user":"alice","tags":["x","y"]}"#);
    assert_eq!((&first["title"], &first["id"]), (&"A".into(), &"id-A".into()));
    assert_eq!(
        (&first["outputTopic"], &first["customFields"]),
        (&bed.topic("out").into(), &Value::Null)
    );
    assert_eq!((told[0].key.as_deref(), told.len()), (Some("k"), 2));
    let told = bed.read_until(&["own"], |records| !records.is_empty());
    assert_eq!(detection(&registry, &told[0])["customFields"], json!({"who": "bob", "site": "a"}));
    let dead = bed.read_until(&["dead"], |records| records.len() >= 3);
    let reasons: Vec<&str> =
        dead.iter().map(|record| record.headers["sigmill.reason"].as_str()).collect();
    assert!(reasons[0].contains("999") && reasons[0].contains("40403"), "{reasons:?}");
    assert!(reasons[1].contains("ends too early"), "{reasons:?}");
    assert!(reasons[2].contains("does not begin with a schema id"), "{reasons:?}");
    assert_eq!(dead[2].value, br#"{"user":"alice"}"#);

    // A registry that is away holds records back, and loses none.
    let newer = EVENT.replace("\"tags\"", "\"labels\"");
    {
        let mut state = registry.state();
        for subject in ["out", "own"] {
            assert_eq!(state.subjects[&format!("{}-value", bed.topic(subject))].len(), 1);
        }
        let asked = state.requests.iter().filter(|one| **one == format!("GET /schemas/ids/{id}"));
        assert_eq!(asked.count(), 1, "{:?}", state.requests);
        state.is_down = true;
    }
    let newer_id = registry.state().add("data-value", &newer, Value::Null);
    sender.send(&data, 0, &event(newer_id, 4, "alice"));
    sender.flush();
    until(&processor, |snapshot| snapshot.counts.get(Metric::Pauses) >= 2);
    assert_eq!(bed.end("out", 0), 2);
    registry.state().is_down = false;
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 4);
    let told = bed.read_until(&["out"], |records| records.len() >= 3);
    let last = detection(&registry, &told[2]);
    assert_eq!(last["sourceData"], r#"{"n":4,"user":"alice","labels":["x","y"]}"#);
    assert!(processor.stop().is_clean);
}

fn client(registry: &TestRegistry) -> RegistryConfig {
    RegistryConfig { urls: vec![registry.url()], registers: true, ..RegistryConfig::default() }
}

#[test]
fn errors_of_the_registry_are_told_apart() {
    let registry = TestRegistry::start();
    let ask = Registry::new(&client(&registry)).unwrap();
    let unknown = ask.schema(7).unwrap_err();
    assert!(matches!(&unknown, RegistryError::NotFound(why) if why.contains("Schema 7 not found")));
    registry.state().is_closed = true;
    let refused = ask.value_schema_id("t", AVRO_SCHEMA).unwrap_err();
    assert!(matches!(&refused, RegistryError::Refused(why) if why.contains("incompatible")));
    // Where schemas may not be registered they are looked up.
    let reads = Registry::new(&RegistryConfig { registers: false, ..client(&registry) }).unwrap();
    let missing = reads.value_schema_id("t", AVRO_SCHEMA).unwrap_err();
    assert!(matches!(&missing, RegistryError::NotFound(why) if why.contains("40401")));
    let id = registry.state().add("a%2Fb-value", AVRO_SCHEMA, Value::Null);
    assert_eq!(reads.value_schema_id("a/b", AVRO_SCHEMA), Ok(u32::try_from(id).unwrap()));
    registry.state().authorization = Some("Bearer token".into());
    assert!(matches!(ask.schema(1), Err(RegistryError::Unavailable(_))));
    let credentials = Credentials::Bearer("token".into());
    let known = Registry::new(&RegistryConfig { credentials, ..client(&registry) }).unwrap();
    assert_eq!(known.schema(1).unwrap().schema, AVRO_SCHEMA);
    registry.state().is_down = true;
    assert!(matches!(known.schema(1), Err(RegistryError::Unavailable(_))));
    // Of several addresses one that answers is enough.
    let other = TestRegistry::start();
    other.state().add("s", EVENT, Value::Null);
    let urls = vec![registry.url(), "http://127.0.0.1:1/".into(), format!("{}/", other.url())];
    let either = Registry::new(&RegistryConfig { urls, ..client(&registry) }).unwrap();
    assert_eq!(either.schema(1).unwrap().schema, EVENT);
    let asked = registry.state().requests.len();
    assert_eq!(either.schema(1).unwrap().schema, EVENT);
    assert_eq!(registry.state().requests.len(), asked, "the one that answered is asked first");
}

#[test]
fn schemas_may_refer_to_others() {
    let registry = TestRegistry::start();
    let inner = r#"{"type":"record","name":"Host","namespace":"n","fields":[{"name":"name","type":"string"}]}"#;
    let outer = r#"{"type":"record","name":"E","namespace":"n","fields":[{"name":"host","type":"n.Host"}]}"#;
    registry.state().add("host", inner, Value::Null);
    let references = json!([{"name": "n.Host", "subject": "host", "version": 1}]);
    let id = registry.state().add("e-value", outer, references);
    let ask = Arc::new(Registry::new(&client(&registry)).unwrap());
    let mut decoder = Decoder::new(ask, 1000);
    let record = wire(id, b"\x06web");
    decoder.prepare(&record).unwrap();
    assert_eq!(decoder.to_json(&record).unwrap(), br#"{"host":{"name":"web"}}"#);
    let broken = registry.state().add("f-value", &outer.replace("n.E", "n.F"), Value::Null);
    assert_eq!(broken, id, "equal schemas have one id");
    let lost = registry.state().add("g-value", &outer.replace("\"E\"", "\"G\""), Value::Null);
    let record = wire(lost, b"\x06web");
    decoder.prepare(&record).unwrap();
    assert!(matches!(decoder.to_json(&record), Err(Refusal::Schema { .. })));
}

#[test]
fn a_registry_over_tls_is_trusted_by_its_certificate_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some((chain, key)) = certificate(folder.path()) else { return };
    let identity = native_tls::Identity::from_pkcs8(&chain, &key).unwrap();
    let acceptor = native_tls::TlsAcceptor::new(identity).unwrap();
    let registry = TestRegistry::start_with(Some(acceptor));
    registry.state().add("s", EVENT, Value::Null);
    let urls = vec![format!("https://localhost:{}", registry.address.port())];
    let config = RegistryConfig { urls, trusted: Some(chain), ..client(&registry) };
    let trusting = Registry::new(&config).unwrap();
    assert_eq!(trusting.schema(1).unwrap().schema, EVENT);
    let doubting = Registry::new(&RegistryConfig { trusted: None, ..config }).unwrap();
    let error = doubting.schema(1).unwrap_err();
    assert!(
        matches!(&error, RegistryError::Unavailable(why) if why.contains("certificate")),
        "{error}"
    );
}
