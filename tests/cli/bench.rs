//! `sigmill bench`: what it prints, not how fast it is.

use crate::sandbox::{HIT, MISS, Sandbox, rule};

const KEYS: &[&str] = &[
    "events",
    "bytes",
    "threads",
    "seconds",
    "gb_per_s_per_core",
    "events_per_s_per_core",
    "parse_only_gb_per_s",
    "ratio_to_parse",
    "ratio_to_parse_cold",
    "ns_p50",
    "ns_p99",
    "ns_p999",
    "detections",
    "rules",
    "rules_active",
    "compile_ms",
    "rss_bytes",
];

/// 300 events, of which 100 match, one empty line and one line that is no record.
fn sandbox() -> Sandbox {
    let events = format!("{HIT}\n{MISS}\n{MISS}\n").repeat(100);
    Sandbox::with_rule().file("events.ndjson", format!("{events}\nnot JSON\n"))
}

fn json(sandbox: &Sandbox, arguments: &str) -> serde_json::Value {
    let outcome = sandbox.run(&format!("bench {arguments} --seconds 0.01 --json"));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn the_object_has_all_keys_and_counts_what_is_there() {
    let report = json(&sandbox(), "--rules rules --events events.ndjson");
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, KEYS);
    let bytes = 100 * (HIT.len() + 2 * MISS.len()) + "not JSON".len();
    for (key, count) in [
        ("events", 301),
        ("bytes", bytes),
        ("threads", 1),
        ("detections", 100),
        ("rules", 1),
        ("rules_active", 1),
    ] {
        assert_eq!(report[key], count, "{key}");
    }
    for key in KEYS {
        let is_told = report[key].as_f64().is_some_and(|number| number > 0.0);
        // Memory is told where the system has `/proc`.
        assert!(
            is_told || *key == "rss_bytes" && cfg!(not(target_os = "linux")),
            "{key}: {report}"
        );
    }
}

#[test]
fn threads_share_the_events() {
    let report = json(&sandbox(), "--rules rules --events events.ndjson --threads 3");
    assert_eq!((&report["threads"], &report["detections"]), (&3.into(), &100.into()));
}

#[test]
fn a_pipeline_drops_rules_and_checks_log_sources() {
    let sysmon = r#"{"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"Image":"\\mimikatz.exe"}"#;
    let linux = rule("Linux", "a0").replace("windows", "linux");
    let sandbox = Sandbox::with_rule()
        .file("rules/linux.yml", linux)
        .file("events.ndjson", format!("{HIT}\n{sysmon}\n"));
    let report = json(&sandbox, "--rules rules --events events.ndjson --pipeline windows");
    assert_eq!(
        (&report["rules"], &report["rules_active"], &report["detections"]),
        (&2.into(), &1.into(), &1.into())
    );
}

#[test]
fn the_table_names_the_most_expensive_rules_and_fields() {
    let outcome = sandbox().run("bench --rules rules --events events.ndjson --seconds 0.01");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    for shown in ["parse only", "cold", "warm", "p99.9", "33.33 %  Mimikatz", "1  Image"] {
        assert!(outcome.stdout.contains(shown), "{shown}: {}", outcome.stdout);
    }
    assert!(outcome.stderr.contains("1 event refused"), "{}", outcome.stderr);
}

#[test]
fn nothing_to_measure_is_an_error() {
    let sandbox = sandbox().file("empty.ndjson", "\n \n").file("bad/rule.yml", "title: x\n");
    for (arguments, status, said) in [
        ("--rules rules --events empty.ndjson", 3, "no events"),
        ("--rules rules --events missing.ndjson", 3, "missing.ndjson"),
        ("--rules bad --events events.ndjson", 2, "no rule loads"),
        ("--rules rules --events events.ndjson --seconds 0", 3, "more than 0"),
        ("--rules rules --events events.ndjson --threads 0", 3, "--threads"),
    ] {
        let outcome = sandbox.run(&format!("bench {arguments}"));
        assert_eq!(outcome.status, status, "{arguments}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{arguments}: {}", outcome.stderr);
    }
}
