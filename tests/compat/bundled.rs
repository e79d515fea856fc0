//! The files that come with the JVM processor, unchanged: settings, rules, mappings, and the events of its
//! demonstration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::Rule;
use sigmill_runtime::detection::{Event, EventPosition, Extract, Format, RulePosition, Template};
use sigmill_runtime::extraction::Extraction;
use sigmill_runtime::properties::Properties;
use sigmill_runtime::settings::Settings;

fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, extensions, found);
        } else if path.extension().is_some_and(|own| extensions.iter().any(|one| own == *one)) {
            found.push(path);
        }
    }
}

#[test]
fn every_rule_loads_and_compiles() {
    let Some(folder) = crate::folder() else { return };
    let data = folder.join("confluent-sigma-data");
    let mut paths = Vec::new();
    files(&data.join("sigma-streams/config/rules"), &["yml", "yaml"], &mut paths);
    assert!(paths.len() >= 75, "{} rules", paths.len());
    files(&data.join("demo/config/rules"), &["yml", "yaml"], &mut paths);
    files(&data.join("sigma-streams/test/benchmarks/rules"), &["yml", "yaml"], &mut paths);
    let mapping = crate::read(&data.join("sigma-streams/config/zeek-mapping.yml"));
    let options = crate::options(Some(&mapping));
    let mut wrong = Vec::new();
    for path in &paths {
        let text = crate::read(path);
        let rules = crate::rules(&text);
        let refused = sigmill_codegen::compile(&rules, &options).refused;
        if rules.len() != 1 || !refused.is_empty() {
            let found = sigmill_parser::parse(&text).diagnostics;
            wrong.push(format!("{}: {found:?} {refused:?}", path.display()));
        }
        // What goes to the rules topic as JSON is the same rule.
        for rule in &rules {
            let again = crate::rules(&rule.to_json());
            assert_eq!(again.len(), 1, "{}", path.display());
            assert_eq!(again[0].to_json(), rule.to_json(), "{}", path.display());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Templates for a container have a variable in their paths.
#[test]
fn every_settings_file_is_read() {
    let Some(folder) = crate::folder() else { return };
    let data = folder.join("confluent-sigma-data");
    for (name, is_complete) in [
        ("demo/config/sigma.properties", true),
        ("sigma-streams/config/sigma.properties", true),
        ("sigma-streams/config/ccloud.properties", true),
        ("sigma-streams/config/sigma-docker-demo.properties", true),
        ("sigma-streams/test/benchmarks/configs/1/benchmark.properties", false),
        ("sigma-streams-ui/src/main/resources/application.properties", false),
    ] {
        let mut properties = Properties::read(&data.join(name)).unwrap();
        let mapping = data.join("sigma-streams/config/zeek-mapping.yml");
        properties.set("field.mapping.file", mapping.to_str().unwrap(), "test");
        match Settings::from_properties(&properties) {
            Ok(settings) => {
                assert!(is_complete, "{name}");
                assert!(!settings.field_mapping.fields.is_empty());
                assert!(!settings.kafka.bootstrap_servers.is_empty());
            }
            // Only what is required and not in the file: nothing in it is refused.
            Err(error) => {
                let missing = |message: &str| message.starts_with("Missing required property ");
                assert!(!is_complete, "{name}: {error}");
                assert!(error.problems.iter().all(|problem| missing(&problem.message)), "{error}");
            }
        }
    }
}

fn lines(path: &Path) -> Vec<String> {
    crate::read(path).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn matching(rule: &Arc<Rule>, mapping: &str, lines: &[String]) -> (Matcher, Vec<usize>) {
    let compiled = sigmill_codegen::compile(&[Arc::clone(rule)], &crate::options(Some(mapping)));
    assert!(compiled.refused.is_empty(), "{:?}", compiled.refused);
    let mut matcher = Matcher::new(Arc::new(compiled.plan), MatcherConfig::default());
    let is_hit = |(at, line): (usize, &String)| {
        (!matcher.matches(line.as_bytes()).unwrap().is_empty()).then_some(at)
    };
    let hits = lines.iter().enumerate().filter_map(is_hit).collect();
    (matcher, hits)
}

#[test]
fn the_demonstration_finds_what_it_is_meant_to_find() {
    let Some(folder) = crate::folder() else { return };
    let demo = folder.join("confluent-sigma-data/demo");
    let mapping = crate::read(&demo.join("config/zeek.yml"));
    let rule = |name: &str| {
        let text = crate::read(&demo.join("config/rules").join(name));
        crate::rules(&text).remove(0)
    };
    let dns = lines(&demo.join("data/dns_demo.txt"));
    assert_eq!(dns.len(), 162);
    assert_eq!(matching(&rule("zeek_dns_exfiltration.yaml"), &mapping, &dns).1.len(), 0);
    assert_eq!(matching(&rule("zeek_dns_exfiltration_time.yaml"), &mapping, &dns).1.len(), 44);

    let splunk = lines(&demo.join("data/splunk-s2s-demo.txt"));
    let cisco = rule("regex_rule.yml");
    let (mut matcher, hits) = matching(&cisco, &mapping, &splunk);
    assert_eq!(hits.len(), 5);
    let field_mapping = crate::options(Some(&mapping)).field_mapping;
    let extraction = Arc::new(Extraction::new(&cisco, &field_mapping, false));
    let plan = Arc::clone(matcher.plan());
    let reads = extraction.reads(&plan);
    let position = RulePosition::File { path: String::new(), line: 1 };
    let template = Template::new(Format::Confluent13, &cisco, &position, "firewalls");
    for hit in hits {
        let bytes = splunk[hit].as_bytes();
        assert_eq!(matcher.matches(bytes).unwrap().len(), 1);
        let mut extract = Extract::default();
        reads.take(&mut matcher, bytes, &mut extract);
        let place = EventPosition::Record { topic: "splunk-s2s-events", partition: 0, offset: 0 };
        let event = Event { bytes, position: place, timestamp: None };
        let mut out = Vec::new();
        template.write(&mut out, 0, &event, &extract);
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let names: Vec<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
        for name in [
            "timestamp",
            "hostname",
            "messageID",
            "action",
            "protocol",
            "src",
            "srcport",
            "dest",
            "destport",
            "location",
            "sourcetype",
            "index",
        ] {
            assert!(told[name].is_string(), "no {name} in {names:?}");
        }
        assert_eq!(told["action"], "Deny");
        assert_eq!(told["location"], "edge");
        assert_eq!(told["outputTopic"], "firewalls");
        let source: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(told["sourceData"], source);
    }
}
