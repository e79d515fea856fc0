//! `sigmill explain`.

use crate::sandbox::{HIT, MISS, RULE, Sandbox};

const DEEP: &str = "\
title: Deep
id: 99999999-9999-4999-8999-999999999999
logsource:
  category: process_creation
  product: windows
detection:
  selection:
    Image|endswith:
      - '\\a.exe'
      - '\\b.exe'
      - '\\c.exe'
    Users|contains: adm
  words:
    - needle
  filter_one:
    Parent: null
  condition: selection and words and not 1 of filter_*
";

const EVENT: &str =
    r#"{"Image":"C:\\x\\B.EXE","Users":["guest","admin"],"Text":"a Needle","Parent":"p"}"#;

#[test]
fn the_tree_says_what_held_and_why() {
    let sandbox = Sandbox::new().file("deep.yml", DEEP).file("event.json", EVENT);
    let outcome = sandbox.run("explain deep.yml event.json");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let expected = "\
Deep (99999999-9999-4999-8999-999999999999): matches
yes condition: selection and words and not 1 of filter_*
yes   all of
yes     selection selection
yes       all of
yes         Image|endswith: one of 3 values
yes           '\\b.exe'
                for 'C:\\x\\B.EXE'
              2 more do not hold
yes         Users|contains: 'adm'
              for 'admin'
yes     selection words
yes       keywords: 'needle'
            for 'a Needle'
yes     not
no        1 of these selections
no          selection filter_one
no            Parent: null
                the event has 'p'
";
    assert_eq!(outcome.stdout, expected);

    let all = sandbox.run("explain --all deep.yml event.json");
    assert!(all.stdout.contains("no            '\\a.exe'\n"), "{}", all.stdout);
}

#[test]
fn an_event_is_a_file_a_line_or_standard_input() {
    let sandbox = Sandbox::with_rule()
        .file("events.ndjson", format!("{MISS}\n{HIT}\n"))
        .file("events.zst", zstd::encode_all(format!("{MISS}\n{HIT}\n").as_bytes(), 1).unwrap());
    let first = sandbox.run("explain rules/mimikatz.yml events.ndjson:0");
    assert!(first.stdout.contains(": does not match\n"), "{first:?}");
    assert!(first.stdout.contains("the event has 'C:\\Windows\\explorer.exe'"), "{first:?}");
    let second = sandbox.run("explain --fail-on-match rules/mimikatz.yml events.ndjson:1");
    assert!(second.stdout.contains(": matches\n"), "{second:?}");
    assert_eq!((first.status, second.status), (0, 1));
    let stdin = sandbox.run_with_stdin("explain rules/mimikatz.yml -", HIT.as_bytes());
    assert_eq!(stdin.stdout, second.stdout);
    let compressed = sandbox.run("explain rules/mimikatz.yml events.zst:1");
    assert_eq!(compressed.stdout, second.stdout);
    let line = sandbox.run("match --rules rules events.ndjson").stdout;
    assert!(line.starts_with("1\t"), "explain counts lines as match does: {line}");
    let absent = sandbox.run_with_stdin("explain rules/mimikatz.yml -", b"{}");
    assert!(absent.stdout.contains("the event has no such field"), "{absent:?}");

    for event in ["events.ndjson:2", "none.ndjson:0", "none.json"] {
        let outcome = sandbox.run(&format!("explain rules/mimikatz.yml {event}"));
        assert_eq!(outcome.status, 3, "{outcome:?}");
        assert!(outcome.stderr.contains(event), "{outcome:?}");
    }
    let broken = sandbox.run_with_stdin("explain rules/mimikatz.yml -", b"{");
    assert_eq!(broken.status, 3, "{broken:?}");
}

#[test]
fn json_has_every_value() {
    let sandbox = Sandbox::new().file("deep.yml", DEEP).file("event.json", EVENT);
    let outcome = sandbox.run("explain --format json deep.yml event.json");
    let rules: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(rules[0]["matches"], true);
    let condition = &rules[0]["conditions"][0];
    assert_eq!(condition["holds"], true);
    let map = &condition["parts"][0]["parts"][0]["parts"][0];
    let image = &map["parts"][0];
    assert_eq!((image["field"].as_str(), image["holds"].as_bool()), (Some("Image"), Some(true)));
    assert_eq!(image["parts"].as_array().unwrap().len(), 3);
    assert_eq!(image["parts"][1]["matched"][0]["text"], "C:\\x\\B.EXE");
    assert_eq!(map["parts"][1]["event_values"].as_array().unwrap().len(), 2);
}

#[test]
fn rules_are_prepared_as_match_prepares_them() {
    let filter = "---\ntitle: Not mine\nlogsource: {product: windows}\nfilter:\n  rules: any\n  mine: {User: me}\n  \
                  condition: not mine\n";
    let sandbox = Sandbox::new()
        .file("rule.yml", RULE.to_owned() + filter)
        .file("mapping.yml", "fieldmappings:\n  Image: $.process.executable\n")
        .file("me.json", r#"{"process":{"executable":"C:\\mimikatz.exe"},"User":"me"}"#)
        .file("you.json", r#"{"process":{"executable":"C:\\mimikatz.exe"},"User":"you"}"#);
    for (event, is_match) in [("me", false), ("you", true)] {
        let arguments = format!("--field-mapping mapping.yml rule.yml {event}.json");
        let outcome = sandbox.run(&format!("explain {arguments}"));
        let expected = if is_match { ": matches\n" } else { ": does not match\n" };
        assert!(outcome.stdout.contains(expected), "{outcome:?}");
        assert!(outcome.stdout.contains("process.executable|endswith"), "{outcome:?}");
        assert!(outcome.stdout.contains("filter: Not mine"), "{outcome:?}");
    }
    // With a pipeline the log source is a condition too.
    let outcome = sandbox.run("explain --pipeline windows rule.yml you.json");
    assert!(outcome.stdout.contains("Channel"), "{outcome:?}");
}

#[test]
fn a_file_without_a_rule_is_status_2() {
    let sandbox = Sandbox::new().file("bad.yml", "title: [\n").file("event.json", HIT);
    let outcome = sandbox.run("explain bad.yml event.json");
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(outcome.stderr.contains("bad.yml:"), "{outcome:?}");
}
