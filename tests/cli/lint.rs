//! `sigmill lint`.

use crate::sandbox::{RULE, Sandbox, rule};

const NO_LOGSOURCE: &str = "\
title: No log source
detection:
  selection:
    EventID: 1
  condition: selection
";

#[test]
fn clean_rules_are_status_0_and_silent() {
    let outcome = Sandbox::with_rule().run("lint rules");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 rule in 1 file: 0 errors"), "{}", outcome.stderr);
}

#[test]
fn an_error_names_file_line_and_column_and_is_status_2() {
    let sandbox = Sandbox::with_rule().file("rules/bad.yml", RULE.replace("endswith", "endsswith"));
    let outcome = sandbox.run("lint rules");
    assert_eq!(outcome.status, 2);
    let first = outcome.stdout.lines().next().unwrap();
    assert!(first.starts_with("rules/bad.yml:10:"), "{first}");
    assert!(first.contains(": error[SM"), "{first}");
    assert!(first.contains("endsswith"), "{first}");
}

#[test]
fn yaml_that_cannot_be_read_is_an_error() {
    let sandbox = Sandbox::new().file("bad.yml", "title: [\n");
    let outcome = sandbox.run("lint bad.yml");
    assert_eq!(outcome.status, 2);
    assert!(outcome.stdout.starts_with("bad.yml:"), "{}", outcome.stdout);
}

#[test]
fn a_missing_log_source_is_an_error() {
    let outcome = Sandbox::new().file("rule.yml", NO_LOGSOURCE).run("lint rule.yml");
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(outcome.stdout.contains("logsource"), "{}", outcome.stdout);
}

#[test]
fn json_holds_the_same_findings() {
    let sandbox = Sandbox::new().file("rule.yml", NO_LOGSOURCE);
    let outcome = sandbox.run("lint --format json rule.yml");
    assert_eq!(outcome.status, 2);
    let findings: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let finding = &findings[0];
    assert_eq!(finding["file"], "rule.yml");
    assert_eq!(finding["severity"], "error");
    assert!(finding["line"].is_u64());
    assert!(finding["column"].is_u64());
    assert!(finding["code"].as_str().unwrap().starts_with("SM"));
    assert!(finding["message"].is_string());
    assert!(finding.as_object().unwrap().contains_key("help"));

    let clean = Sandbox::with_rule().run("lint --format json rules");
    assert_eq!((clean.status, clean.stdout.as_str()), (0, "[]\n"));
}

#[test]
fn a_repeated_id_is_a_warning_that_names_both_files() {
    let id = "22222222-2222-4222-8222-222222222222";
    let sandbox = Sandbox::new()
        .file("rules/a.yml", rule("First", id))
        .file("rules/b.yml", rule("Second", &id.to_uppercase()));
    let outcome = sandbox.run("lint rules");
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let first = outcome.stdout.lines().next().unwrap();
    assert!(first.starts_with("rules/b.yml:2:5: warning[SM0901]"), "{first}");
    assert!(first.ends_with("rules/a.yml:2:5"), "{first}");
    assert!(outcome.stdout.contains("\n  help: "), "{}", outcome.stdout);

    assert_eq!(sandbox.run("lint --fail-on warning rules").status, 1);
    assert_eq!(sandbox.run("lint --fail-on note rules").status, 1);
    assert_eq!(sandbox.run("lint --fail-on error rules").status, 0);
}

#[test]
fn a_missing_path_or_a_folder_without_rules_is_status_3() {
    let sandbox = Sandbox::with_rule().file("empty/readme.txt", "no rules");
    let missing = sandbox.run("lint rules no/such/path");
    assert_eq!(missing.status, 3);
    assert!(missing.stderr.contains("no/such/path"), "{}", missing.stderr);
    assert_eq!(sandbox.run("lint empty").status, 3);
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_read_is_an_error_among_the_others() {
    let sandbox = Sandbox::with_rule();
    std::os::unix::fs::symlink("nowhere", sandbox.path().join("rules/broken.yml")).unwrap();
    let outcome = sandbox.run("lint rules");
    assert_eq!(outcome.status, 2);
    assert!(outcome.stdout.starts_with("rules/broken.yml:1:1: error[SM0903]"), "{outcome:?}");
    assert!(outcome.stderr.contains("1 rule in 2 files"), "{}", outcome.stderr);
}
