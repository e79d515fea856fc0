//! `--pipeline`, and `sigmill fields`.

use crate::sandbox::{HIT, RULE, Sandbox, hit_at, rule};

const SYSMON: &str =
    r#"{"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"Image":"C:\\mimikatz.exe"}"#;
const IMAGE_LOAD: &str =
    r#"{"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":7,"Image":"C:\\mimikatz.exe"}"#;
const SECURITY: &str =
    r#"{"Channel":"Security","EventID":4688,"NewProcessName":"C:\\mimikatz.exe"}"#;

fn lines(lines: &[&str]) -> String {
    lines.join("\n")
}

#[test]
fn log_sources_are_checked_under_a_shipped_pipeline() {
    let events = lines(&[HIT, SYSMON, IMAGE_LOAD, SECURITY]);
    let sandbox = Sandbox::with_rule().file("events.ndjson", &events);
    let everywhere = sandbox.run("match --rules rules events.ndjson");
    assert_eq!(everywhere.stdout, hit_at(0) + &hit_at(1) + &hit_at(2));
    let checked = sandbox.run("match --rules rules --pipeline windows events.ndjson");
    assert_eq!((checked.status, checked.stdout), (0, hit_at(1) + &hit_at(3)));
    assert!(checked.stderr.contains("1 rule active, 0 dropped"), "{}", checked.stderr);
    let ecs = r#"{"winlog":{"channel":"Security","event_data":{"NewProcessName":"C:\\mimikatz.exe"}},"event":{"code":"4688"}}"#;
    let outcome = sandbox.run_with_stdin("match --rules rules -p ecs -", ecs.as_bytes());
    assert_eq!(outcome.stdout, hit_at(0), "{}", outcome.stderr);
}

#[test]
fn dropped_rules_are_counted_and_listed() {
    let linux = rule("Linux", "a0").replace("windows", "linux");
    let sandbox = Sandbox::with_rule().file("rules/linux.yml", &linux).file("e.ndjson", SYSMON);
    let outcome = sandbox.run("match --rules rules --pipeline windows --strict e.ndjson");
    assert_eq!((outcome.status, outcome.stdout), (0, hit_at(0)), "{}", outcome.stderr);
    for said in [
        "1 rule active, 1 dropped because",
        "dropped: Linux (product linux, category process_creation)",
    ] {
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
    // All dropped: nothing to run.
    let none = sandbox.run("match --rules rules/linux.yml --pipeline windows e.ndjson");
    assert_eq!(none.status, 2, "{}", none.stderr);
    // A pipeline without a word on it keeps them.
    let sandbox =
        sandbox.file("p.yml", "name: p\nsigmill: {unmapped_logsource: keep}\npriority: 99\n");
    let kept = sandbox.run("match --rules rules -p windows -p p.yml e.ndjson");
    assert_eq!(kept.stdout, hit_at(0) + "0\ta0\n".trim_start_matches('\n'), "{}", kept.stderr);
}

#[test]
fn pipelines_come_from_files_by_priority() {
    let sandbox = Sandbox::with_rule()
        .file(
            "late.yml",
            "priority: 2\ntransformations: [{type: field_name_suffix, suffix: .late}]\n",
        )
        .file(
            "early.yml",
            "priority: 1\ntransformations: [{type: field_name_suffix, suffix: .early}]\n",
        )
        .file("mapping.yml", "title: m\nfieldmappings: {Image: exe}\n");
    let event = br#"{"Image.early.late":"\\mimikatz.exe","exe":"x"}"#;
    let outcome = sandbox.run_with_stdin("match --rules rules -p late.yml -p early.yml -", event);
    assert_eq!(outcome.stdout, hit_at(0), "{}", outcome.stderr);
    let event = br#"{"exe":"\\mimikatz.exe"}"#;
    let outcome = sandbox.run_with_stdin("match --rules rules -p mapping.yml -", event);
    assert_eq!(outcome.stdout, hit_at(0), "{}", outcome.stderr);
}

#[test]
fn placeholders_get_their_values_from_vars_and_files() {
    let expand = RULE.replace("Image|endswith: '\\mimikatz.exe'", "User|expand: '%admins%'");
    let sandbox = Sandbox::new()
        .file("rules/expand.yml", &expand)
        .file("vars.yml", "vars: {admins: [root, 'adm_*']}\n")
        .file("p/files.yml", "transformations: [{type: file_placeholders, path: admins.txt}]\n")
        .file("p/admins.txt", "root\nadm_*\n");
    let event = br#"{"User":"ADM_x"}"#;
    assert_eq!(sandbox.run_with_stdin("match --rules rules -", event).status, 2);
    for pipeline in ["vars.yml", "p/files.yml"] {
        let arguments = format!("match --rules rules --pipeline {pipeline} -");
        let outcome = sandbox.run_with_stdin(&arguments, event);
        assert_eq!((outcome.status, outcome.stdout), (0, hit_at(0)), "{}", outcome.stderr);
    }
    let outcome = sandbox.run_with_stdin("match --rules rules --pipeline windows -", event);
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("rules/expand.yml:10:"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("SM0209"), "{}", outcome.stderr);
}

#[test]
fn a_refused_rule_is_named_and_stops_no_other() {
    let sandbox = Sandbox::with_rule().file("rules/other.yml", rule("Other", "a0")).file(
        "p.yml",
        "name: p\ntransformations:\n- type: rule_failure\n  message: not here\n  rule_conditions: [{type: rule_attribute, attribute: id, value: a0}]\n",
    );
    let outcome = sandbox.run_with_stdin("match --rules rules -p p.yml -", HIT.as_bytes());
    assert_eq!((outcome.status, outcome.stdout), (0, hit_at(0)));
    for said in ["rules/other.yml:1:", "SM0505", "pipeline `p`: not here", "1 failed"] {
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
    let strict = sandbox.run_with_stdin("match --strict --rules rules -p p.yml -", HIT.as_bytes());
    assert_eq!(strict.status, 2);
}

#[test]
fn a_wrong_pipeline_is_status_3_with_its_place() {
    let sandbox = Sandbox::with_rule()
        .file("type.yml", "transformations:\n- type: field_name_maping\n")
        .file("command.yml", "transformations:\n- {type: command_placeholders, command: [id]}\n")
        .file("list.yml", "transformations:\n- {type: file_placeholders, path: missing.txt}\n")
        .file("mapping.yml", "fieldmappings: [a]\n");
    for (pipeline, said) in [
        ("type.yml", "type.yml:2:9: error[SM0501]"),
        ("type.yml", "did you mean `field_name_mapping`?"),
        ("command.yml", "error[SM0504]: `command_placeholders` is refused"),
        ("list.yml", "missing.txt"),
        ("mapping.yml", "mapping.yml"),
        ("missing.yml", "nor is it windows, ecs, zeek"),
    ] {
        let outcome = sandbox.run(&format!("match --rules rules --pipeline {pipeline} -"));
        assert_eq!(outcome.status, 3, "{pipeline}: {outcome:?}");
        assert!(outcome.stderr.contains(said), "{pipeline}: {}", outcome.stderr);
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let sandbox = Sandbox::with_rule().file("p.yml", "finalizers:\n- type: concat\n");
    let outcome = sandbox.run_with_stdin("match --rules rules -p p.yml -", HIT.as_bytes());
    assert_eq!((outcome.status, outcome.stdout), (0, hit_at(0)));
    assert!(outcome.stderr.contains("p.yml:2:9: warning[SM0503]: `concat`"), "{}", outcome.stderr);
}

#[test]
fn fields_of_rules_and_events_are_compared() {
    let more = rule("Other", "a0").replace("Image|endswith", "Hashes|contains");
    let sandbox = Sandbox::with_rule()
        .file("rules/other.yml", &more)
        .file("e.ndjson", lines(&[SYSMON, r#"{"a":{"b":[{"c":1}]},"Image":"x"}"#, "[]"]));
    let outcome = sandbox.run("fields --rules rules --events e.ndjson");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(
        outcome.stdout,
        "fields of rules that none of 2 events has: 1 of 2 (count: rules)\n        1  Hashes\n\
         fields of events that no rule names: 3 of 4 (count: events)\n        1  Channel\n        1  EventID\n        \
         1  a.b.c\n"
    );
    assert!(outcome.stderr.contains("1 line no JSON objects"), "{}", outcome.stderr);
    let json =
        sandbox.run("fields --rules rules --events e.ndjson --pipeline windows --format json");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json["rules"].as_u64(), json["events"].as_u64()), (Some(2), Some(2)));
    assert_eq!(
        json["rule_fields_unseen"],
        serde_json::json!([{"field": "Hashes", "rules": 1}, {"field": "NewProcessName", "rules": 1}])
    );
    assert_eq!(json["event_fields_unnamed"], serde_json::json!([{"field": "a.b.c", "events": 1}]));
    for (arguments, status) in [
        ("--rules rules --events no.ndjson", 3),
        ("--rules e.ndjson --events e.ndjson", 2),
        ("--rules rules", 3),
    ] {
        assert_eq!(sandbox.run(&format!("fields {arguments}")).status, status, "{arguments}");
    }
}
