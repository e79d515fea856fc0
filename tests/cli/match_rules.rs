//! `sigmill match`: which rules are loaded, and what happens with those that are not.

use crate::sandbox::{HIT, MISS, RULE, Sandbox, hit_at, rule};

const EVENTS: &str = "events.ndjson";

#[test]
fn rules_come_from_folders_and_files_and_each_is_read_once() {
    let sandbox = Sandbox::with_rule()
        .file("more/deep/psexec.yaml", rule("PsExec", "a0").replace("mimikatz", "psexec"))
        .file("single.json", "{title: Any, id: z9, logsource: {product: windows}, detection: {sel: {EventID: 1}, condition: sel}}")
        .file(EVENTS, HIT);
    let outcome = sandbox.run(
        "match --rules rules --rules more --rules single.json --rules single.json events.ndjson",
    );
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(outcome.stdout, hit_at(0) + "0\tz9\n");
    assert!(outcome.stderr.contains("3 rules loaded from 3 files, 0 failed"), "{}", outcome.stderr);
}

#[test]
fn a_bad_rule_is_named_and_counted_and_stops_no_other() {
    let sandbox = Sandbox::with_rule()
        .file("rules/bad.yml", RULE.replace("condition: selection", "condition: selektion"))
        .file("rules/worse.yml", "title: [")
        .file(EVENTS, HIT);
    let outcome = sandbox.run("match --rules rules events.ndjson");
    assert_eq!((outcome.status, outcome.stdout), (0, hit_at(0)));
    assert!(outcome.stderr.contains("rules/bad.yml:11:"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rules/worse.yml:"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 rule loaded from 3 files, 2 failed"), "{}", outcome.stderr);
}

#[test]
fn strict_makes_a_bad_rule_status_2() {
    let sandbox = Sandbox::with_rule().file(EVENTS, HIT);
    assert_eq!(sandbox.run("match --strict --rules rules events.ndjson").status, 0);
    let sandbox = sandbox.file("rules/bad.yml", "title: [");
    let outcome = sandbox.run("match --strict --rules rules events.ndjson");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""));
    assert!(outcome.stderr.contains("--strict"), "{}", outcome.stderr);
}

#[test]
fn no_rule_at_all_is_status_2() {
    let sandbox =
        Sandbox::new().file("rules/bad.yml", "title: [").file("none/a.txt", "").file(EVENTS, HIT);
    for rules in ["rules", "none"] {
        let outcome = sandbox.run(&format!("match --rules {rules} events.ndjson"));
        assert_eq!(outcome.status, 2, "{outcome:?}");
        assert!(outcome.stderr.contains("no rule loads"), "{}", outcome.stderr);
    }
}

#[test]
fn a_missing_rules_path_is_status_3() {
    let outcome = Sandbox::with_rule().run("match --rules rules --rules no/such - ");
    assert_eq!(outcome.status, 3);
    assert!(outcome.stderr.contains("no/such"), "{}", outcome.stderr);
}

#[test]
fn a_rule_without_log_source_matches_with_a_warning() {
    let sandbox = Sandbox::new().file(
        "rule.yml",
        "title: No log source\nid: n1\ndetection:\n  sel:\n    EventID: 1\n  condition: sel\n",
    );
    let outcome = sandbox.run_with_stdin("match --strict --rules rule.yml -", MISS.as_bytes());
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "0\tn1\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rule.yml:1:"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("warning["), "{}", outcome.stderr);
}

#[test]
fn a_field_mapping_renames_the_fields_of_rules() {
    let sandbox = Sandbox::with_rule()
        .file("mapping.yml", "fieldmappings:\n  Image: process.executable\n")
        .file("wrong.yml", "fieldmappings: [");
    let event = br#"{"process":{"executable":"C:\\mimikatz.exe"}}"#;
    let plain = sandbox.run_with_stdin("match --rules rules -", event);
    assert_eq!((plain.status, plain.stdout.as_str()), (0, ""));
    let mapped = sandbox.run_with_stdin("match --field-mapping mapping.yml --rules rules -", event);
    assert_eq!((mapped.status, mapped.stdout), (0, hit_at(0)));
    for file in ["wrong.yml", "missing.yml"] {
        let outcome = sandbox.run(&format!("match --field-mapping {file} --rules rules -"));
        assert_eq!(outcome.status, 3, "{outcome:?}");
        assert!(outcome.stderr.contains(file), "{}", outcome.stderr);
    }
}

#[test]
fn a_correlation_is_named_and_counted_as_failed() {
    let sandbox = Sandbox::with_rule()
        .file(
            "rules/many.yml",
            "title: Many\nid: m1\ncorrelation:\n  type: event_count\n  \
             rules: [11111111-1111-4111-8111-111111111111]\n  group-by: [User]\n  \
             timespan: 5m\n  condition: {gte: 3}\n",
        )
        .file(EVENTS, HIT);
    let outcome = sandbox.run("match --rules rules events.ndjson");
    assert_eq!((outcome.status, outcome.stdout), (0, hit_at(0)), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rules/many.yml:1:8: error[SM0904]"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 rule loaded from 2 files, 1 failed"), "{}", outcome.stderr);
    assert_eq!(sandbox.run("match --strict --rules rules events.ndjson").status, 2);
    assert_eq!(sandbox.run("lint rules").status, 0);
}
