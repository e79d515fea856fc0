//! `sigmill rules explain`: what the compiler chose.

use crate::sandbox::Sandbox;

/// A rule that a suffix wakes, one that negates all it has, one of keywords.
fn sandbox() -> Sandbox {
    let rule = |title: &str, id: &str, detection: &str| {
        format!(
            "title: {title}\nid: {id}\nlogsource:\n  product: windows\ndetection:\n{detection}\n"
        )
    };
    let dumped = "  selection:\n    Image|endswith: '\\procdump.exe'\n    CommandLine|contains: ma\n  \
                  condition: selection";
    let negated = "  selection:\n    User: SYSTEM\n  condition: not selection";
    let words = "  keywords:\n    - sekurlsa::logonpasswords\n  condition: keywords";
    Sandbox::new()
        .file("rules/a.yml", rule("Dumped", "aaaa", dumped))
        .file("rules/b.yml", rule("Negated", "bbbb", negated))
        .file("rules/c.yml", rule("Words", "cccc", words))
}

#[test]
fn the_text_tells_searches_covers_and_rules_that_always_run() {
    let outcome = sandbox().run("rules explain --rules rules");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    for shown in [
        "3 rules over",
        "1 rules are decided on every record",
        "  Image",
        "(any value: keywords)",
        "on demand  Negated",
        "if Image endswith \\procdump.exe",
        "if any value contains sekurlsa::logonpasswords",
    ] {
        assert!(outcome.stdout.contains(shown), "{shown}: {}", outcome.stdout);
    }
}

#[test]
fn one_rule_is_told_in_full() {
    for name in ["AAAA", "dump"] {
        let outcome = sandbox().run(&format!("rules explain --rules rules --rule {name}"));
        assert!(
            outcome.stdout.starts_with("Dumped (aaaa)\n  is decided on "),
            "{}",
            outcome.stdout
        );
        assert!(outcome.stdout.contains("has 2 tests, 1 of them"), "{}", outcome.stdout);
    }
    let outcome = sandbox().run("rules explain --rules rules --rule nobody");
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("nobody"), "{}", outcome.stderr);
}

#[test]
fn the_object_lists_every_rule_and_its_cover() {
    let outcome = sandbox().run("rules explain --rules rules --format json");
    let plan: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&plan["rules"], &plan["rules_always"]), (&3.into(), &1.into()));
    let rules = plan["plan_rules"].as_array().unwrap();
    let titles: Vec<&str> = rules.iter().map(|rule| rule["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Dumped", "Negated", "Words"]);
    assert_eq!(rules[0]["cover"][0]["text"], "\\procdump.exe");
    assert_eq!(rules[1]["is_always"], true);
    let image = plan["fields"].as_array().unwrap().iter().find(|field| field["field"] == "Image");
    assert_eq!(image.unwrap()["searches"]["end"], 1);
}
