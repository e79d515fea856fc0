//! `sigmill match`: what is printed, in which order, and the exit status.

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::sandbox::{HIT, MISS, RULE, Sandbox, hit_at, rule};

#[test]
fn lines_are_sorted_by_line_and_then_by_rule_id() {
    let sandbox = Sandbox::new()
        .file("rules/1.yml", rule("One", "cc"))
        .file("rules/2.yml", rule("Two", "aa"))
        .file("rules/3.yml", rule("Three", "bb"));
    let outcome =
        sandbox.run_with_stdin("match --rules rules -", format!("{HIT}\n{HIT}\n").as_bytes());
    assert_eq!(outcome.stdout, "0\taa\n0\tbb\n0\tcc\n1\taa\n1\tbb\n1\tcc\n");
}

#[test]
fn a_rule_without_id_shows_its_title() {
    let without_id = RULE.replace("id: 11111111-1111-4111-8111-111111111111\n", "");
    let sandbox = Sandbox::new().file("rule.yml", without_id);
    let outcome = sandbox.run_with_stdin("match --rules rule.yml -", HIT.as_bytes());
    assert_eq!(outcome.stdout, "0\tMimikatz\n", "{}", outcome.stderr);
}

#[test]
fn a_pair_is_printed_once() {
    let two_conditions =
        RULE.replace("condition: selection", "condition:\n    - selection\n    - 1 of them");
    let sandbox = Sandbox::with_rule().file("rules/other.yml", two_conditions);
    let outcome = sandbox.run_with_stdin("match --rules rules -", HIT.as_bytes());
    assert_eq!(outcome.stdout, hit_at(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 of 1 line matched, 3 matches"), "{}", outcome.stderr);
}

#[test]
fn the_output_is_the_same_for_any_number_of_threads() {
    // Some megabytes, so that there are more blocks than threads.
    let mut text = String::new();
    for at in 0..60_000 {
        match at % 7 {
            0 => writeln!(text, "{HIT}"),
            1 if at % 5 == 0 => writeln!(text, "broken {at}"),
            _ => writeln!(text, "{{\"n\":{at},\"pad\":\"{}\"}}", "x".repeat(at % 200)),
        }
        .unwrap();
    }
    let sandbox = Sandbox::with_rule().file("a", &text).file("b", &text[..text.len() / 2]);
    let one = sandbox.run("match --threads 1 --rules rules a b");
    assert_eq!(one.status, 0);
    assert!(one.stdout.lines().count() > 10_000);
    assert!(one.stderr.contains("refused: not_json"), "{}", one.stderr);
    for threads in [2, 4, 16] {
        let many = sandbox.run(&format!("match --threads {threads} --rules rules a b"));
        assert_eq!(many.stdout, one.stdout, "{threads} threads");
        assert_eq!(many.stderr, one.stderr, "{threads} threads");
    }
}

#[test]
fn matches_are_no_failure_unless_asked() {
    let sandbox = Sandbox::with_rule();
    for (event, flag, status) in
        [(HIT, "", 0), (MISS, "", 0), (HIT, "--fail-on-match", 1), (MISS, "--fail-on-match", 0)]
    {
        let outcome =
            sandbox.run_with_stdin(&format!("match {flag} --rules rules -"), event.as_bytes());
        assert_eq!(outcome.status, status, "{flag} {event}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::with_rule().file("events", format!("{HIT}\n").repeat(200_000));
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigmill"))
        .args(["match", "--rules", "rules", "events"])
        .current_dir(sandbox.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut head = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut head).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn json_prints_detections_with_rule_event_and_place() {
    let with_topic =
        RULE.to_owned() + "kafka:\n  outputTopic: alerts\n  customFields:\n    site: a\n";
    let sandbox = Sandbox::new()
        .file("rules/a.yml", rule("Second", "bb").replace("level: high\n", ""))
        .file("rules/b.yml", with_topic.replace("11111111-1111-4111-8111-111111111111", "aa"))
        .file("first", format!("{MISS}\n"))
        .file("second", format!("{HIT}\n"));
    let outcome = sandbox.run("match --format json --rules rules first second");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let detections: Vec<serde_json::Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(detections.len(), 2);
    // Sorted by rule id, as in the other format.
    assert_eq!(detections[0]["id"], "aa");
    assert_eq!(detections[0]["title"], "Mimikatz");
    assert_eq!(detections[0]["level"], "high");
    assert_eq!(detections[0]["outputTopic"], "alerts");
    assert_eq!(detections[0]["customFields"]["site"], "a");
    let place = &detections[0]["rule"];
    assert_eq!((&place["file"], &place["line"]), (&"rules/b.yml".into(), &1.into()));
    assert_eq!(place["hash"].as_str().unwrap().len(), 32);
    assert_eq!(detections[0]["source"], serde_json::json!({"file": "second", "line": 0}));
    assert_eq!(detections[0]["event"]["Image"], "C:\\temp\\Mimikatz.exe");
    assert_eq!(detections[1]["title"], "Second");
    assert!(detections[1].get("outputTopic").is_none());
    // Nothing in it comes from the clock or the threads.
    let again = sandbox.run("match --threads 3 --format json --rules rules first second");
    assert_eq!(again.stdout, outcome.stdout);
}

#[test]
fn the_event_time_is_taken_from_the_named_field() {
    let sandbox = Sandbox::with_rule();
    let event = br#"{"Image":"\\mimikatz.exe","@timestamp":"1970-01-01T00:00:01Z","t":{"u":2}}"#;
    for (flag, timestamp) in
        [("", serde_json::json!(1000)), ("--time-field t.u", serde_json::json!(2000))]
    {
        let arguments = format!("match --format json {flag} --rules rules -");
        let outcome = sandbox.run_with_stdin(&arguments, event);
        let detection: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(detection["timestamp"], timestamp, "{flag}");
    }
    let outcome =
        sandbox.run_with_stdin("match --format json --time-field none --rules rules -", event);
    let detection: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(detection.get("timestamp").is_none(), "{detection}");
}
