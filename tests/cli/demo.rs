//! `sigmill demo`: a newcomer sees detections.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::{Outcome, Sandbox};

#[test]
fn detections_come_as_json_lines_and_it_ends_when_told() {
    let outcome = Sandbox::new().run("demo --seconds 4 --rate 200");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.lines().count() > 20, "{}", outcome.stderr);
    for line in outcome.stdout.lines() {
        let detection: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(detection["title"].is_string(), "{line}");
        assert!(detection["event"].is_object(), "{line}");
    }
    for part in
        ["16 rules in force", "rules load --bootstrap-server 127.0.0.1:", "records/s", "p99"]
    {
        assert!(outcome.stderr.contains(part), "no `{part}` in: {}", outcome.stderr);
    }
}

#[test]
fn other_commands_can_use_its_broker() {
    let sandbox = Sandbox::with_rule();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigmill"))
        .args(["demo", "--seconds", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let list = lines.find(|line| line.contains("sigmill rules list")).unwrap();
    let connection = list.trim().strip_prefix("sigmill rules list ").unwrap();
    let run =
        |arguments: &str| -> Outcome { sandbox.run(&format!("rules {arguments} {connection}")) };
    assert_eq!(run("list").stdout.lines().count(), 16);
    let loaded = run("load --dir rules");
    assert_eq!(loaded.status, 0, "{}", loaded.stderr);
    // The processor takes it up: its status lines count one rule more.
    let deadline = Instant::now() + Duration::from_secs(20);
    let has_17 =
        lines.take_while(|_| Instant::now() < deadline).any(|line| line.contains("17 rules"));
    assert!(has_17);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigmill"))
        .args(["demo", "--seconds", "60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("\"title\""), "{first}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
