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
    assert!(outcome.stdout.contains("\n  rules/a.yml:2:5: "), "{}", outcome.stdout);
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

/// A file with a warning, one with two errors, and one that is clean.
fn mixed() -> Sandbox {
    Sandbox::with_rule()
        .file("rules/a <b>.yml", RULE.replace("process_creation", "process_create"))
        .file(
            "rules/bad.yml",
            RULE.replace("endswith", "endsswith").replace("11111111-1111", "33333333-1111")
                + "level: urgent\nstatus: nice\n",
        )
}

#[test]
fn all_errors_of_a_file_come_in_one_run() {
    let text = "title: T\nstatus: nice\nlevel: urgent\nlogsource: {category: dns}\ndetection:\n  \
                a: {F|contians: x}\n  b: {F|re: '('}\n  c: {F|cidr: x}\n  condition: a and d\n";
    let outcome = Sandbox::new().file("rule.yml", text).run("lint rule.yml");
    let lines: Vec<&str> =
        outcome.stdout.lines().filter_map(|line| line.strip_prefix("rule.yml:")).collect();
    let places: Vec<String> =
        lines.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(places, ["2", "3", "6", "7", "8", "9"], "{}", outcome.stdout);
}

#[test]
fn sarif_names_tool_rules_and_places() {
    let id = "22222222-2222-4222-8222-222222222222";
    let sandbox =
        mixed().file("rules/c.yml", rule("First", id)).file("rules/d.yml", rule("Second", id));
    let outcome = sandbox.run("lint --format sarif rules");
    assert_eq!(outcome.status, 2);
    let log: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "sigmill");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    let result = |code: &str| results.iter().find(|result| result["ruleId"] == code).unwrap();
    for result in results {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let region = &result["locations"][0]["physicalLocation"]["region"];
        let number = |name: &str| region[name].as_u64().unwrap();
        assert!(number("startLine") >= 1 && number("startColumn") >= 1, "{region}");
        assert!(
            (number("endLine"), number("endColumn"))
                >= (number("startLine"), number("startColumn")),
            "{region}"
        );
    }
    let unknown = result("SM0110");
    assert_eq!(unknown["level"], "warning");
    let place = &unknown["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "rules/a%20%3Cb%3E.yml");
    assert_eq!(place["region"]["startLine"], 7);
    let repeated = result("SM0901");
    let related = &repeated["relatedLocations"][0]["physicalLocation"];
    assert_eq!(related["artifactLocation"]["uri"], "rules/c.yml");
}

#[test]
fn junit_has_a_case_a_file() {
    let outcome = mixed().run("lint --format junit rules");
    assert_eq!(outcome.status, 2);
    let report = &outcome.stdout;
    assert!(
        report.contains("<testsuites name=\"sigmill lint\" tests=\"3\" failures=\"1\""),
        "{report}"
    );
    assert_eq!(report.matches("<testcase ").count(), 3, "{report}");
    assert_eq!(report.matches("<failure ").count(), 1, "{report}");
    assert!(report.contains("name=\"rules/a &lt;b&gt;.yml\""), "{report}");
    assert!(report.contains("<system-out>rules/a &lt;b&gt;.yml:7:"), "{report}");

    let outcome = mixed().run("lint --format junit --fail-on warning rules");
    assert_eq!(outcome.stdout.matches("<failure ").count(), 3, "{}", outcome.stdout);
}

#[test]
fn what_is_excluded_is_as_if_it_were_not_there() {
    let sandbox = mixed();
    let all = sandbox.run("lint rules");
    for code in ["SM0105", "SM0110", "SM0203", "SM0901"] {
        assert!(all.stdout.contains(code), "{}", all.stdout);
    }
    let some = sandbox.run("lint -x sm0110 --exclude bad_enum -x repeated_id rules");
    assert_eq!(some.status, 2);
    assert!(!some.stdout.contains("SM0110") && !some.stdout.contains("SM0105"), "{}", some.stdout);
    let none =
        sandbox.run("lint --fail-on note -x SM0110 -x SM0105 -x SM0203 -x SM0901 -x SM0004 rules");
    assert_eq!((none.status, none.stdout.as_str()), (0, ""));
    assert_eq!(sandbox.run("lint -x SM9999 rules").status, 3);
}

#[test]
fn what_is_suspicious_is_a_warning() {
    let id = "44444444-4444-4444-8444-444444444444";
    let text = rule("Suspicious", id)
        .replace("level: high", "level: high\ntags: [attack.t1086]")
        .replace("  condition: selection", "  unused:\n    Image: x\n  condition: not selection");
    let never = RULE.replace("condition: selection", "condition: selection and not selection");
    let sandbox = Sandbox::new().file("a.yml", text).file("b.yml", never);
    let outcome = sandbox.run("lint a.yml b.yml");
    assert_eq!(outcome.status, 0);
    let codes: Vec<&str> =
        outcome.stdout.lines().filter_map(|line| line.split(['[', ']']).nth(1)).collect();
    assert_eq!(codes, ["SM0109", "SM0304", "SM0906", "SM0305"], "{}", outcome.stdout);
    assert_eq!(sandbox.run("lint --fail-on warning a.yml").status, 1);
}

#[test]
fn correlations_and_filters_are_compiled_too() {
    let correlation = "title: Order\nid: 55555555-5555-4555-8555-555555555555\ncorrelation:\n  \
        type: temporal_ordered\n  rules: [one, two]\n  group-by: [User]\n  timespan: 5m\n  \
        condition: one and not two\n";
    let filter = "title: Filter\nlogsource: {product: linux, category: process_creation}\nfilter:\n  \
        rules: [one, three]\n  selection: {User: x}\n  condition: not selection\n";
    let named = |name: &str, id: &str| rule(name, id) + "name: " + name + "\n";
    let sandbox = Sandbox::new()
        .file("rules/1.yml", named("one", "66666666-6666-4666-8666-666666666666"))
        .file("rules/2.yml", named("two", "77777777-7777-4777-8777-777777777777"))
        .file("rules/order.yml", correlation)
        .file("rules/unless.yml", filter);
    let outcome = sandbox.run("lint rules");
    assert_eq!(outcome.status, 2, "{outcome:?}");
    let lines: Vec<&str> = outcome.stdout.lines().filter(|line| !line.starts_with("  ")).collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("rules/order.yml:1:8: error[SM0902]"), "{lines:#?}");
    let of_filter = |code: &str, name: &str| {
        lines[1..].iter().any(|line| line.contains(code) && line.contains(name))
    };
    assert!(of_filter("warning[SM0905]", "`one`"), "{lines:#?}");
    // There is no rule `three`: said once.
    assert!(of_filter("warning[SM0402]", "`three`"), "{lines:#?}");
}

/// The properties that SARIF 2.1.0 requires of an object, and the others that `lint` may write: the schema
/// allows no further ones than it knows.
fn check_sarif(value: &serde_json::Value, required: &[&str], others: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for name in required {
        assert!(object.contains_key(*name), "no `{name}`: {value}");
    }
    for name in object.keys() {
        assert!(required.contains(&name.as_str()) || others.contains(&name.as_str()), "`{name}`");
    }
}

fn check_sarif_location(location: &serde_json::Value) {
    check_sarif(location, &["physicalLocation"], &["id", "message"]);
    assert!(location.get("id").is_none_or(|id| id.as_i64().unwrap() >= -1));
    if let Some(message) = location.get("message") {
        check_sarif(message, &["text"], &[]);
    }
    let place = &location["physicalLocation"];
    check_sarif(place, &["artifactLocation", "region"], &[]);
    check_sarif(&place["artifactLocation"], &["uri"], &[]);
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-._~/:%".contains(c);
    assert!(!uri.is_empty() && uri.chars().all(is_legal), "{uri}");
    check_sarif(&place["region"], &["startLine"], &["startColumn", "endLine", "endColumn"]);
    let region = place["region"].as_object().unwrap();
    assert!(region.values().all(|number| number.as_i64().unwrap() >= 1), "{region:?}");
}

#[test]
fn sarif_has_the_required_properties_and_no_unknown_ones() {
    let id = "22222222-2222-4222-8222-222222222222";
    let sandbox = mixed()
        .file("rules/c.yml", rule("First", id))
        .file("rules/d.yml", rule("Second", id))
        .file("rules/ä%.yml", "title: [\n");
    for folder in ["rules", sandbox.path().join("rules").to_str().unwrap()] {
        let outcome = sandbox.run(&format!("lint --format sarif {folder}"));
        let log: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        check_sarif(&log, &["version", "runs"], &["$schema"]);
        assert_eq!(log["version"], "2.1.0");
        for run in log["runs"].as_array().unwrap() {
            check_sarif(run, &["tool", "results"], &["columnKind"]);
            assert!(
                ["utf16CodeUnits", "unicodeCodePoints"]
                    .map(Into::into)
                    .contains(&run["columnKind"])
            );
            check_sarif(&run["tool"], &["driver"], &[]);
            check_sarif(&run["tool"]["driver"], &["name"], &["version", "rules"]);
            let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
            let mut ids: Vec<&str> =
                rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), rules.len(), "rules are unique");
            rules.iter().for_each(|rule| check_sarif(rule, &["id"], &["name"]));
            for result in run["results"].as_array().unwrap() {
                let known = ["ruleId", "ruleIndex", "level", "locations", "relatedLocations"];
                check_sarif(result, &["message"], &known);
                check_sarif(&result["message"], &["text"], &[]);
                let levels = ["none", "note", "warning", "error"];
                assert!(levels.contains(&result["level"].as_str().unwrap()), "{result}");
                let index = result["ruleIndex"].as_u64().unwrap() as usize;
                assert!(index < rules.len());
                let places = ["locations", "relatedLocations"].map(|name| result[name].as_array());
                let places: Vec<_> = places.into_iter().flatten().flatten().collect();
                assert!(!places.is_empty());
                places.into_iter().for_each(check_sarif_location);
            }
        }
    }
}

/// Depth, name, attributes.
type XmlElement = (usize, String, Vec<(String, String)>);

/// The elements of a well-formed XML text.
fn xml_elements(text: &str) -> Vec<XmlElement> {
    let text = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let (mut open, mut elements): (Vec<String>, _) = (Vec::new(), Vec::new());
    for (at, part) in text.split('<').enumerate() {
        let Some((tag, content)) = part.split_once('>') else {
            assert!(at == 0 && part.trim().is_empty(), "no tag: {part}");
            continue;
        };
        assert!(!content.contains('>') && content.split('&').skip(1).all(|e| e.contains(';')));
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "it closes what is open");
            continue;
        }
        let is_empty = tag.ends_with('/');
        let (name, mut rest) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag, ""));
        let mut attributes = Vec::new();
        while let Some((key, after)) = rest.trim().split_once("=\"") {
            let (value, after) = after.split_once('"').expect("a value ends");
            attributes.push((key.to_owned(), value.to_owned()));
            rest = after;
        }
        elements.push((open.len(), name.to_owned(), attributes));
        if !is_empty {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    elements
}

#[test]
fn junit_has_the_elements_and_attributes_that_build_servers_know() {
    let sandbox = mixed().file("rules/ä%&.yml", "title: [\n");
    let outcome = sandbox.run("lint --format junit --fail-on error rules");
    let elements = xml_elements(&outcome.stdout);
    let mut counts = (0, 0);
    for (depth, name, attributes) in &elements {
        let (wanted_depth, required, others): (usize, &[&str], &[&str]) = match name.as_str() {
            "testsuites" => (0, &[], &["name", "tests", "failures", "errors"]),
            "testsuite" => (1, &["name", "tests", "failures", "errors"], &["skipped"]),
            "testcase" => (2, &["name", "classname"], &["file"]),
            "failure" => (3, &["message", "type"], &[]),
            "system-out" => (3, &[], &[]),
            other => panic!("an unknown element: {other}"),
        };
        assert_eq!(*depth, wanted_depth, "{name}");
        let names: Vec<&str> = attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert!(required.iter().all(|name| names.contains(name)), "{name}: {names:?}");
        assert!(names.iter().all(|name| required.contains(name) || others.contains(name)));
        counts.0 += usize::from(name == "testcase");
        counts.1 += usize::from(name == "failure");
    }
    let said = |name: &str| -> usize {
        let (_, _, attributes) = elements.iter().find(|(_, name, _)| name == "testsuite").unwrap();
        attributes.iter().find(|(known, _)| known == name).unwrap().1.parse().unwrap()
    };
    assert_eq!((said("tests"), said("failures")), counts);
    assert_eq!(counts, (4, 2));
}

#[test]
fn a_pipeline_shows_rules_as_they_run() {
    let other =
        RULE.replace("process_creation", "dns").replace("product: windows", "product: linux");
    let placeholder = rule("P", "66666666-6666-4666-8666-666666666666")
        .replace("    Image|endswith", "    User|expand: '%admins%'\n    Image|endswith");
    let vars = "name: v\nvars: {admins: [ann]}\n";
    let sandbox = Sandbox::with_rule()
        .file("o/other.yml", other.replace("11111111-1111", "77777777-1111"))
        .file("p/p.yml", placeholder)
        .file("vars.yml", vars)
        .file("refuse.yml", "transformations:\n- {type: rule_failure, message: not here}\n");
    let outcome = sandbox.run("lint --pipeline windows rules o");
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("1 rule active, 1 dropped"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("2 rules in 2 files"), "{}", outcome.stderr);
    let outcome = sandbox.run("lint --pipeline refuse.yml rules");
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(
        outcome.stdout.contains("SM0505") && outcome.stdout.contains("not here"),
        "{outcome:?}"
    );
    assert_eq!(sandbox.run("lint p").status, 2);
    assert_eq!(sandbox.run("lint --pipeline vars.yml p").status, 0);
    assert_eq!(sandbox.run("lint --pipeline nowhere.yml rules").status, 3);
}

#[test]
fn backtracking_is_allowed_on_request_and_named() {
    let text = RULE.replace("endswith: '\\mimikatz.exe'", "re: 'a(?=b)'");
    assert_ne!(text, RULE);
    let sandbox = Sandbox::new().file("r.yml", text);
    assert_eq!(sandbox.run("lint r.yml").status, 2);
    let outcome = sandbox.run("lint --allow-backtracking-regex r.yml");
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("warning[SM0907]"), "{}", outcome.stdout);
    assert_eq!(outcome.stdout.lines().filter(|line| line.contains("SM0907")).count(), 1);
}
