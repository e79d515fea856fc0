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
        .file("mapping.yml", "fieldmappings:\n  Image: $.process.executable\n")
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
fn a_correlation_reports_instead_of_the_rule_it_names() {
    let sandbox = Sandbox::with_rule()
        .file("rules/many.yml", MANY)
        .file("first.ndjson", hits(&[0, 1]))
        .file("second.ndjson", format!("{MISS}\n{}", hits(&[2, 3])));
    for threads in [1, 4] {
        let arguments =
            format!("match --threads {threads} --rules rules first.ndjson second.ndjson");
        let outcome = sandbox.run(&arguments);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "3\tm1\n"), "{}", outcome.stderr);
        let loaded = "1 rule, 1 correlation loaded from 2 files, 0 failed";
        assert!(outcome.stderr.contains(loaded), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("1 detection by correlation"), "{}", outcome.stderr);
    }
    let shown = sandbox.run("match --format json --rules rules first.ndjson second.ndjson");
    let detection: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(detection["correlation"]["count"], 3);
    assert_eq!(detection["correlation"]["group"]["User"], "ann");
    assert_eq!(detection["source"]["file"], "second.ndjson");
    assert_eq!(detection["source"]["line"], 1);
    assert_eq!(detection["events"].as_array().unwrap().len(), 3);
    assert_eq!(detection["events"][0]["source"]["file"], "first.ndjson");
    assert_eq!(detection["events"][0]["event"]["User"], "ann");
    assert_eq!(sandbox.run("match --fail-on-match --rules rules first.ndjson").status, 0);
    let both = "match --fail-on-match --rules rules first.ndjson second.ndjson";
    assert_eq!(sandbox.run(both).status, 1);
}

#[test]
fn a_correlation_of_a_missing_rule_fails_alone() {
    let sandbox = Sandbox::with_rule()
        .file("rules/many.yml", MANY.replace("11111111-1111-4111", "99999999-1111-4111"))
        .file(EVENTS, HIT);
    let outcome = sandbox.run("match --rules rules events.ndjson");
    assert_eq!((outcome.status, outcome.stdout), (0, hit_at(0)), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rules/many.yml:1:8: error[SM0902]"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 rule loaded from 2 files, 1 failed"), "{}", outcome.stderr);
    assert_eq!(sandbox.run("match --strict --rules rules events.ndjson").status, 2);
}

#[test]
fn a_wrong_grace_is_status_3() {
    let sandbox = Sandbox::with_rule().file(EVENTS, HIT);
    for grace in ["5", "m", "1.5h", "5x", "-1s"] {
        let outcome = sandbox.run(&format!("match --window-grace={grace} --rules rules {EVENTS}"));
        assert_eq!(outcome.status, 3, "{grace}: {}", outcome.stderr);
    }
}

/// Three events of a user within five minutes.
const MANY: &str = "title: Many\nid: m1\ncorrelation:\n  type: event_count\n  \
                    rules: [11111111-1111-4111-8111-111111111111]\n  group-by: [User]\n  \
                    timespan: 5m\n  condition: {gte: 3}\n";

/// Events that the rule matches, of one user, at these minutes.
fn hits(minutes: &[u32]) -> String {
    let hit = |minute: &u32| {
        let time = format!("\"@timestamp\":\"2025-03-10T08:{minute:02}:00Z\"");
        HIT.replacen('{', &format!("{{{time},\"User\":\"ann\","), 1) + "\n"
    };
    minutes.iter().map(hit).collect()
}

#[test]
fn regexes_beyond_the_linear_engine_need_a_flag_and_give_up_within_bounds() {
    let image = r"Image|endswith: '\mimikatz.exe'";
    let beyond = rule("Beyond", "b1").replace(image, r"Image|re: '^(?:(a+)+)+\1b(?=c)'");
    let long = format!("{{\"Image\":\"{}\"}}\n", "a".repeat(60));
    let sandbox = Sandbox::new()
        .file("rules/beyond.yml", beyond)
        .file(EVENTS, format!("{{\"Image\":\"aaabcd\"}}\n{long}"));
    let outcome = sandbox.run("match --rules rules events.ndjson");
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(outcome.stderr.contains("beyond.yml:10:"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("backreferences are not supported"), "{}", outcome.stderr);
    let outcome = sandbox.run("match --allow-backtracking-regex --rules rules events.ndjson");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "0\tb1\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 search given up"), "{}", outcome.stderr);
}
