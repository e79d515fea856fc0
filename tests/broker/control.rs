//! The port: health, metrics, and the paths of the JVM processor's page.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use sigmill_runtime::metrics::Metric;
use sigmill_runtime::processor::Processor;

use crate::bed::{Bed, until};
use crate::{on_both_brokers, rule};

/// Sends a request; status and body of the answer.
fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(address, "GET", path, "", "")
}

fn json_of(address: SocketAddr, path: &str) -> Value {
    let (status, body) = get(address, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn start(bed: &Bed, folder: &tempfile::TempDir, changes: &[(&str, &str)]) -> Processor {
    for topic in ["data", "out", "dead"] {
        bed.create_topic(topic, 1, &[]);
    }
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    bed.create_topic("apps", 1, &[("cleanup.policy", "compact")]);
    let token = folder.path().join("token").display().to_string();
    let apps = bed.topic("apps");
    let mut all = vec![
        ("sigmill.admin.listen", "127.0.0.1:0"),
        ("sigmill.admin.token.file", token.as_str()),
        ("skip.app.registration", ""),
        ("sigma.app.topic", apps.as_str()),
    ];
    all.extend(changes);
    bed.start(&all)
}

on_both_brokers!(the_old_paths_have_their_shapes_and_right_status_codes);

fn the_old_paths_have_their_shapes_and_right_status_codes(bed: &Bed) {
    let folder = tempfile::tempdir().unwrap();
    let sender = bed.sender();
    let processor = start(bed, &folder, &[]);
    let address = processor.control_address().unwrap();
    let text = rule("A b", "user", "alice");
    sender.put(&bed.topic("rules"), 0, Some("A b"), Some(text.as_bytes()), None);
    sender.put(&bed.topic("rules"), 0, Some("Bad"), Some(b"title: ["), None);
    sender.flush();
    until(&processor, |snapshot| snapshot.rule_count == 1 && snapshot.problems.len() == 1);

    assert_eq!(json_of(address, "/sigmaTitles"), json!(["A b", "Bad"]));
    let rules = json_of(address, "/sigmaRules");
    assert_eq!(rules.as_array().unwrap().len(), 1);
    assert_eq!(rules[0]["title"], "A b");
    assert_eq!(rules[0]["level"], "high");
    assert_eq!(rules[0]["detection"]["condition"], "selection");
    // What the page asks for is there, even if it is null.
    for name in ["description", "author", "references", "kafka"] {
        assert_eq!(rules[0].get(name), Some(&Value::Null), "{name}");
    }
    assert_eq!(json_of(address, "/sigmaRule/A%20b"), rules[0]);
    assert_eq!(get(address, "/sigmaRule/none").0, 404);
    assert_eq!(get(address, "/sigmaRule/Bad").0, 404);
    assert_eq!(get(address, "/").0, 404);

    // Writes need the token, and a rule that loads.
    let token = std::fs::read_to_string(folder.path().join("token")).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    let added = rule("Added", "user", "bob");
    let add = |headers: &str, body: &str| ask(address, "POST", "/addSigmaRule", headers, body);
    assert_eq!(add("", &added).0, 401);
    let (status, said) = add(&bearer, "title: T\ndetection: {s: {a: x}, condition: other}\n");
    assert_eq!(status, 400, "{said}");
    assert!(said.contains("other"), "{said}");
    assert_eq!(add(&bearer, "").0, 400);
    assert_eq!(get(address, "/addSigmaRule").0, 401);
    assert_eq!(ask(address, "GET", "/addSigmaRule", &bearer, "").0, 405);
    assert_eq!(add(&bearer, &added), (200, String::new()));
    until(&processor, |snapshot| snapshot.rule_count == 2);
    assert_eq!(json_of(address, "/sigmaTitles"), json!(["A b", "Added", "Bad"]));

    let states = json_of(address, "/processorStates");
    assert_eq!(states[0]["applicationId"], bed.group());
    assert_eq!(json_of(address, "/instanceIDs"), json!([bed.group()]));

    // While a JVM processor lives on the topic, what would stop it is refused.
    let keywords = "title: K\nlogsource: {product: test}\ndetection: {k: [error], condition: k}\n";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let jvm = json!({"applicationId": "jvm", "sampleTimestamp": now.as_millis() as u64});
    sender.put(&bed.topic("apps"), 0, Some("jvm"), Some(jvm.to_string().as_bytes()), None);
    sender.flush();
    let (status, said) = add(&bearer, keywords);
    assert_eq!(status, 409, "{said}");
    assert!(said.contains("list of keywords"), "{said}");
    assert!(processor.stop().is_clean);
}

#[test]
fn health_and_metrics_are_told() {
    let bed = Bed::embedded(1);
    let folder = tempfile::tempdir().unwrap();
    let processor = start(&bed, &folder, &[("sigmill.admin.legacy.writes", "true")]);
    let address = processor.control_address().unwrap();
    assert_eq!(get(address, "/healthz"), (200, "ok, workers: 1\n".to_owned()));
    let (status, said) = get(address, "/readyz");
    assert_eq!(status, 200, "{said}");
    assert_eq!(ask(address, "POST", "/healthz", "", "").0, 405);
    // The old page's way, without a token.
    let text = rule("A", "user", "alice");
    assert_eq!(ask(address, "POST", "/addSigmaRule", "", &text).0, 200);
    until(&processor, |snapshot| snapshot.rule_count == 1);
    let sender = bed.sender();
    sender.send(&bed.topic("data"), 0, br#"{"n":1,"user":"alice"}"#);
    sender.flush();
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 1);
    let (status, metrics) = get(address, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "sigmill_records_consumed_total 1",
        "sigmill_detections_produced_total 1",
        "sigmill_rules 1",
        "# TYPE sigmill_records_consumed_total counter",
        "sigmill_event_latency_seconds_count 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no `{line}` in {metrics}");
    }
    let foreign = TcpStream::connect(address).and_then(|mut stream| {
        stream.write_all(b"GET /sigmaTitles HTTP/1.1\r\nHost: evil.example\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    assert!(foreign.unwrap().starts_with("HTTP/1.1 403 "));
    assert!(processor.stop().is_clean);
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_fails_the_start() {
    let bed = Bed::embedded(1);
    for topic in ["data", "out", "dead", "rules"] {
        bed.create_topic(topic, 1, &[]);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = bed.settings(&[("sigmill.admin.listen", &address)]);
    let shutdown = sigmill_runtime::shutdown::Shutdown::new();
    let error = Processor::start(settings, shutdown).err().unwrap();
    assert!(error.to_string().contains(&address), "{error}");
}
