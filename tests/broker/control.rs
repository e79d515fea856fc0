//! The port: health, metrics, and the paths of the JVM processor's page.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
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

pub(crate) fn json_of(address: SocketAddr, path: &str) -> Value {
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

    // Its own state comes back by the topic.
    eventually(|| json_of(address, "/processorStates")[0]["applicationId"] == bed.group());
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
    // Workers tell ten times a second.
    let mut samples = exposition(&metrics);
    let read = format!("sigmill_records_consumed_total{{topic=\"{}\"}}", bed.topic("data"));
    eventually(|| {
        samples = exposition(&get(address, "/metrics").1);
        samples.get("sigmill_event_latency_seconds_count") == Some(&1.0)
            && samples.contains_key("sigmill_worker_busy_ratio{worker=\"0\"}")
            && samples.get(&read) == Some(&1.0)
    });
    let lag =
        format!("sigmill_consumer_lag_records{{topic=\"{}\",partition=\"0\"}}", bed.topic("data"));
    for (name, value) in [
        ("sigmill_detections_produced_total", 1.0),
        ("sigmill_rules{state=\"loaded\"}", 1.0),
        ("sigmill_rules{state=\"rejected\"}", 0.0),
        ("sigmill_matches_total{rule_id=\"id-A\",level=\"high\"}", 1.0),
        ("sigmill_matches_total{rule_id=\"other\",level=\"\"}", 0.0),
        ("sigmill_events_evaluated_total", 1.0),
        ("sigmill_rules_woken_total", 1.0),
        ("sigmill_event_latency_seconds_bucket{le=\"+Inf\"}", 1.0),
        ("sigmill_record_match_duration_seconds_count", 1.0),
        ("sigmill_poll_latency_seconds_count", 1.0),
        (lag.as_str(), 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in {samples:#?}");
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "sigmill_worker_busy_seconds_total{worker=\"0\"}",
        "sigmill_plan_compile_duration_seconds",
    ] {
        assert!(samples.get(name).is_some_and(|value| *value > 0.0), "{name} in {samples:#?}");
    }
    assert!(samples.keys().any(|name| name.starts_with("sigmill_plan_info{hash=\"")));
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

/// Reads Prometheus' text format, strictly: sample → value.
fn exposition(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families: Vec<(&str, &str)> = Vec::new();
    let mut help = "";
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap().0;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, help, "its help comes first");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.iter().all(|(known, _)| *known != name), "{name} is there once");
            families.push((name, kind));
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            let name = sample.split('{').next().unwrap();
            let (family, kind) = families.last().unwrap();
            let suffixes: &[&str] =
                if *kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(
                suffixes.iter().any(|suffix| name == format!("{family}{suffix}")),
                "{line} stands with its family"
            );
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{line}");
            assert!(value >= 0.0, "{line}");
            assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} is there once");
        }
    }
    samples
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + crate::bed::DEADLINE;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "waited in vain");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

on_both_brokers!(the_interface_tells_what_the_processor_does);

fn the_interface_tells_what_the_processor_does(bed: &Bed) {
    let folder = tempfile::tempdir().unwrap();
    let target = ("sigmill.target.mb.per.core", "0.5");
    let processor = start(bed, &folder, &[target]);
    let address = processor.control_address().unwrap();
    let sender = bed.sender();
    let text = rule("A b", "user", "alice");
    sender.put(&bed.topic("rules"), 0, Some("A b"), Some(text.as_bytes()), None);
    sender.put(&bed.topic("rules"), 0, Some("Bad"), Some(b"title: ["), None);
    sender.flush();
    until(&processor, |snapshot| snapshot.rule_count == 1 && snapshot.problems.len() == 1);
    for n in 0..20 {
        let user = if n % 2 == 0 { "alice" } else { "bob" };
        let record = format!(r#"{{"n":{n},"user":"{user}"}}"#);
        sender.send(&bed.topic("data"), 0, record.as_bytes());
    }
    sender.flush();
    until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == 10);

    let rules = json_of(address, "/api/v1/rules");
    assert_eq!(rules["counts"]["in_force"], 1);
    assert_eq!(rules["counts"]["failed"], 1);
    assert_eq!(
        (rules["total"].as_u64(), rules["rules"][0]["key"].as_str()),
        (Some(2), Some("A b"))
    );
    assert_eq!(rules["rules"][1]["state"], "failed");
    assert_eq!(rules["rules"][1]["problem"]["offset"], 1);
    assert!(rules["rules"][1]["problem"]["findings"][0].as_str().unwrap().contains("1:8"));
    eventually(|| json_of(address, "/api/v1/rules/id-A%20b")["rules"][0]["matches"] == 10);
    assert_eq!(json_of(address, "/api/v1/rules?state=failed")["total"], 1);
    assert_eq!(json_of(address, "/api/v1/rules?q=a%20B&limit=0")["total"], 1);
    assert_eq!(json_of(address, "/api/v1/rules/Bad")["rules"][0]["state"], "failed");
    let explained = json_of(address, "/api/v1/rules/id-A%20b/explain");
    assert_eq!(explained["plan_rules"][0]["cover"][0]["text"], "alice");

    // A version that does not load leaves the one before in force.
    let broken = "title: A b\ndetection: {s: {a: x}, condition: other}\n";
    sender.put(&bed.topic("rules"), 0, Some("A b"), Some(broken.as_bytes()), None);
    sender.flush();
    eventually(|| json_of(address, "/api/v1/rules/id-A%20b")["rules"][0]["state"] == "stale");

    let status = json_of(address, "/api/v1/status");
    assert_eq!(status["application_id"], bed.group());
    assert_eq!((&status["is_ready"], &status["rules"]["in_force"]), (&json!(true), &json!(1)));
    assert_eq!(status["rules"]["hash"].as_str().unwrap().len(), 32);
    assert!(status["process"]["cpu_seconds"].as_f64().unwrap() > 0.0);

    eventually(|| {
        let told = json_of(address, "/api/v1/partitions");
        let one = &told["partitions"][0];
        assert!(told["partitions"].as_array().unwrap().len() <= 1, "{told}");
        one["topic"] == bed.topic("data")
            && one["position"] == 20
            && one["end"] == 20
            && one["lag"] == 0
            && one["committed"] == 20
            && one["is_paused"] == false
    });
    let workers = json_of(address, "/api/v1/workers");
    let worker = &workers["workers"][0];
    assert_eq!((&worker["records"], &worker["detections"]), (&json!(20), &json!(10)));
    assert_eq!(worker["latency"]["detection"]["count"], 10);
    assert!(worker["busy_seconds"].as_f64().unwrap() > 0.0);
    eventually(|| {
        json_of(address, "/api/v1/workers")["workers"][0]["rates"]["target_mb_per_core"] == 0.5
    });
    let latency = json_of(address, "/api/v1/latency?counts=true");
    let detection = &latency["stages"]["detection"];
    let pairs = detection["counts"].as_array().unwrap();
    assert_eq!(pairs.iter().map(|pair| pair[1].as_u64().unwrap()).sum::<u64>(), 10);
    assert!(latency["stages"]["record"]["count"].as_u64().unwrap() >= 1);

    // The command prints a row for each stage, and writes what HdrHistogram's plotter reads.
    let file = folder.path().join("detection.hgrm");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sigmill"));
    command.args(["latency", "--hgrm"]).arg(&file).arg(format!("http://{address}"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let row = printed.lines().find(|line| line.starts_with("detection ")).unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("10"), "{printed}");
    let written = std::fs::read_to_string(&file).unwrap();
    let rows: Vec<Vec<f64>> = written
        .lines()
        .skip(2)
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
        .collect();
    assert!(rows.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]), "{written}");
    assert_eq!(rows.last().unwrap()[1..], [1.0, 10.0], "{written}");
    assert!(written.contains("Total count    =           10]"), "{written}");

    // Every error is an object.
    for (method, path, status, code) in [
        ("GET", "/api/v1/none", 404, "not_found"),
        ("GET", "/api/v2/status", 404, "not_found"),
        ("POST", "/api/v1/status", 405, "method_not_allowed"),
        ("GET", "/api/v1/rules/none", 404, "unknown_rule"),
        ("GET", "/api/v1/rules/none/explain", 404, "unknown_rule"),
        ("GET", "/api/v1/rules?limit=x", 400, "bad_parameter"),
        ("GET", "/api/v1/rules?limit=10001", 400, "bad_parameter"),
        ("GET", "/api/v1/rules?state=x", 400, "bad_parameter"),
        ("GET", "/api/v1/latency?counts=x", 400, "bad_parameter"),
    ] {
        let (found, body) = ask(address, method, path, "", "");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((found, body["error"]["code"].as_str()), (status, Some(code)), "{path}: {body}");
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
    assert!(processor.stop().is_clean);
}

#[test]
fn detections_are_told_as_they_come_and_a_slow_reader_is_told_what_it_lost() {
    let bed = Bed::embedded(1);
    let folder = tempfile::tempdir().unwrap();
    let processor = start(&bed, &folder, &[]);
    let address = processor.control_address().unwrap();
    let sender = bed.sender();
    for (title, user) in [("A", "alice"), ("B", "bob")] {
        let text = rule(title, "user", user);
        sender.put(&bed.topic("rules"), 0, Some(title), Some(text.as_bytes()), None);
    }
    sender.flush();
    until(&processor, |snapshot| snapshot.rule_count == 2);
    let follow = |query: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        let path = format!("/api/v1/detections/stream{query}");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(crate::bed::DEADLINE)).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "HTTP/1.1 200 OK");
        lines.find(|line| line.starts_with(": the next is")).unwrap();
        lines
    };
    let mut quick = follow("?rule=id-B");
    let mut slow = follow("");
    // More than the ring, the queues and the connection hold.
    let padding = "x".repeat(50_000);
    let count = 480;
    for n in 0..count {
        let record = format!(r#"{{"n":{n},"user":"alice","padding":"{padding}"}}"#);
        sender.send(&bed.topic("data"), 0, record.as_bytes());
        // The embedded broker keeps five megabytes of a partition. Nobody waits for the reader.
        if n % 60 == 59 {
            sender.flush();
            until(&processor, |snapshot| snapshot.counts.get(Metric::Detections) == n + 1);
        }
    }
    sender.send(&bed.topic("data"), 0, br#"{"n":-1,"user":"bob"}"#);
    sender.flush();

    let of_bob = quick.find(|line| line.starts_with("data: {\"number\"")).unwrap();
    let of_bob: Value = serde_json::from_str(of_bob.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(of_bob["rule"], json!({"key": "B", "title": "B", "id": "id-B", "level": "high"}));
    assert_eq!(of_bob["number"], count, "each detection has a number, seen or not");
    assert_eq!(of_bob["detection"]["sourceData"]["n"], -1);

    let (mut seen, mut lost, mut event) = (0, 0, String::new());
    while seen + lost <= count {
        let line = slow.next().unwrap();
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut event);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data).unwrap();
            match event.as_str() {
                "lost" => lost += data["count"].as_u64().unwrap(),
                _ => seen += 1,
            }
        }
    }
    assert_eq!(seen + lost, count + 1);
    assert!(lost > 0 && seen > 1, "{seen} seen, {lost} lost");

    let listed = json_of(address, "/api/v1/detections?limit=1");
    assert_eq!(listed["detections"][0]["rule"]["key"], "B");
    assert_eq!(listed["next"], count + 1);
    let rest = json_of(address, "/api/v1/detections?from=0&level=low");
    let kept = json_of(address, "/api/v1/detections?limit=1000")["detections"]
        .as_array()
        .map_or(0, Vec::len) as u64;
    assert_eq!(
        (&rest["next"], rest["detections"].as_array().unwrap().len()),
        (&json!(count + 1), 0)
    );
    assert_eq!(rest["lost"], count + 1 - kept);
    let none = json_of(address, &format!("/api/v1/detections?from={}", count + 1));
    assert_eq!(none, json!({"next": count + 1, "lost": 0, "detections": []}));
    assert_eq!(get(address, "/api/v1/detections?from=x").0, 400);

    // So many follow at most; others are told so, and all else goes on.
    let followers: Vec<_> = (0..14).map(|_| follow("")).collect();
    assert_eq!(get(address, "/api/v1/detections/stream").0, 503);
    assert_eq!(get(address, "/healthz").0, 200);
    drop(followers);
    assert!(processor.stop().is_clean, "followers hold nothing up");
}

#[test]
fn who_may_not_ask_is_refused_and_too_much_is_too() {
    let bed = Bed::embedded(1);
    let folder = tempfile::tempdir().unwrap();
    let processor = start(&bed, &folder, &[("sigmill.admin.listen", "0.0.0.0:0")]);
    let port = processor.control_address().unwrap().port();
    let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let token = std::fs::read_to_string(folder.path().join("token")).unwrap();
    let bearer = |token: &str| format!("Authorization: Bearer {}\r\n", token.trim());
    let code = |(status, body): (u16, String)| {
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let path = "/api/v1/detections/stream";
    // Not on loopback: reads need the token.
    for headers in [String::new(), bearer("wrong"), bearer(&token[1..]), bearer("")] {
        let refused = code(ask(address, "GET", path, &headers, ""));
        assert_eq!(refused, (401, "unauthorized".to_owned()), "{headers}");
        assert_eq!(ask(address, "GET", "/metrics", &headers, "").0, 401);
    }
    assert_eq!(ask(address, "GET", "/api/v1/status", &bearer(&token), "").0, 200);
    assert_eq!(get(address, "/healthz").0, 200);
    let text = rule("A", "user", "alice");
    let foreign = format!("{}Origin: https://evil.example\r\n", bearer(&token));
    assert_eq!(ask(address, "POST", "/addSigmaRule", &foreign, &text).0, 403);

    // What is too long is not read to its end.
    let raw = |request: String| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let length = "Content-Length: 99999999";
    let answer = raw(format!("POST /addSigmaRule HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = raw(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(17 << 10)));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = raw("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned());
    assert!(answer.starts_with("HTTP/1.1 411 "), "{answer}");

    // Those that say nothing keep others out for a while, which is said; then all is as before.
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    eventually(|| raw(String::new()).starts_with("HTTP/1.1 503 "));
    drop(silent);
    eventually(|| {
        TcpStream::connect(address).is_ok_and(|mut stream| {
            let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n");
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            asked.is_ok() && answer.starts_with("HTTP/1.1 200 ")
        })
    });
    assert!(processor.stop().is_clean);
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
