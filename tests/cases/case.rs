//! One case: writes its rules and events, runs `sigmill match`, compares.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

/// A case as its file has it.
pub(crate) struct Case<'a> {
    value: &'a Value,
}

/// A detection of the output: title, line, group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    title: String,
    line: u64,
    group: Vec<(String, String)>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(value: &'a Value) -> Self {
        Self { value }
    }

    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().unwrap()
    }

    /// What differs from the expected answers.
    pub(crate) fn run(&self) -> Vec<String> {
        let rules = self.value.get("rules").or(self.value.get("rule")).and_then(Value::as_str);
        let events = self.value["events"].as_array().unwrap();
        let found = match self.run_match(rules.unwrap(), events) {
            Ok(found) => found,
            Err(stderr) => return vec![stderr],
        };
        match self.value["kind"].as_str() {
            Some("collection") => self.compare_titles(&found),
            Some("correlation") => self.compare_groups(&found),
            _ => self.compare_lines(&found),
        }
    }

    fn run_match(&self, rules: &str, events: &[Value]) -> Result<Vec<Found>, String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sigmill"));
        command.args(["match", "--format", "json", "--rules"]).arg(write("rules.yml", rules));
        if let Some(placeholders) = self.value.get("placeholders") {
            let pipeline = json!({
                "name": "placeholders",
                "vars": placeholders,
                "transformations": [{"type": "value_placeholders"}],
            });
            command.arg("--pipeline").arg(write("pipeline.yml", &pipeline.to_string()));
        }
        let arguments = self.value["arguments"].as_array().into_iter().flatten();
        command.args(arguments.map(|argument| argument.as_str().unwrap()));
        command.arg(write("events.ndjson", &lines.join("\n")));
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(stderr);
        }
        if let Some(said) = self.value["says"].as_str().filter(|said| !stderr.contains(*said)) {
            return Err(format!("`{said}` is not said:\n{stderr}"));
        }
        let text = String::from_utf8(output.stdout).unwrap();
        Ok(text.lines().map(|line| Found::new(&serde_json::from_str(line).unwrap())).collect())
    }

    /// `expected`: for each event whether the rule matches it.
    fn compare_lines(&self, found: &[Found]) -> Vec<String> {
        let expected = self.value["expected"].as_array().unwrap().iter().enumerate();
        expected
            .filter_map(|(at, expected)| {
                let is_found = found.iter().any(|found| found.line == at as u64);
                let is_expected = expected.as_bool().unwrap();
                (is_found != is_expected).then(|| {
                    let event = &self.value["events"][at];
                    format!("event {at} ({event}): {is_found} instead of {is_expected}")
                })
            })
            .collect()
    }

    /// `expected`: for each event the titles of the rules that match it.
    fn compare_titles(&self, found: &[Found]) -> Vec<String> {
        let expected = self.value["expected"].as_array().unwrap().iter().enumerate();
        expected
            .filter_map(|(at, expected)| {
                let titles = expected.as_array().unwrap().iter();
                let expected: BTreeSet<&str> =
                    titles.map(|title| title.as_str().unwrap()).collect();
                let of_event = found.iter().filter(|found| found.line == at as u64);
                let found: BTreeSet<&str> = of_event.map(|found| found.title.as_str()).collect();
                (found != expected)
                    .then(|| format!("event {at}: {found:?} instead of {expected:?}"))
            })
            .collect()
    }

    /// `expected`: for rule and group the events at which there must be, and may be, a detection. An
    /// entry without a group is a plain rule; one without events says never.
    fn compare_groups(&self, found: &[Found]) -> Vec<String> {
        let mut differences = Vec::new();
        let expected = self.value["expected"].as_array().unwrap();
        let lines = |expected: &Value, key: &str| -> BTreeSet<u64> {
            let lines = expected[key].as_array().into_iter().flatten();
            lines.map(|line| line.as_u64().unwrap()).collect()
        };
        for entry in expected {
            let group = sorted_group(&entry["group"]);
            for line in lines(entry, "must") {
                let title = entry["rule"].as_str().unwrap().to_owned();
                let wanted = Found { title, line, group: group.clone() };
                if !found.contains(&wanted) {
                    differences.push(format!("missing: {wanted:?}"));
                }
            }
        }
        let ignored = self.value["ignore_rules"].as_array().into_iter().flatten();
        let ignored: BTreeSet<&str> = ignored.map(|title| title.as_str().unwrap()).collect();
        for found in found {
            let mut of_rule =
                expected.iter().filter(|entry| entry["rule"] == found.title.as_str()).peekable();
            // Plain rules that the case does not speak of do not count.
            let is_asked = of_rule.peek().is_some() || !found.group.is_empty();
            let is_expected = of_rule.any(|entry| {
                sorted_group(&entry["group"]) == found.group
                    && (lines(entry, "must").contains(&found.line)
                        || lines(entry, "may").contains(&found.line))
            });
            if is_asked && !is_expected && !ignored.contains(found.title.as_str()) {
                differences.push(format!("unexpected: {found:?}"));
            }
        }
        differences
    }
}

fn sorted_group(group: &Value) -> Vec<(String, String)> {
    let values = group.as_object().into_iter().flatten();
    let mut values: Vec<(String, String)> =
        values.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    values.sort();
    values
}

impl Found {
    fn new(detection: &Value) -> Self {
        Self {
            title: detection["title"].as_str().unwrap().to_owned(),
            line: detection["source"]["line"].as_u64().unwrap(),
            group: sorted_group(&detection["correlation"]["group"]),
        }
    }
}
