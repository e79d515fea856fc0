//! The paths of the JVM processor's page, with its shapes and with status codes that mean something.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sigmill_codegen::CompileOptions;
use sigmill_parser::{Document, LineIndex, Rule, parse_bytes};
use tracing::info;

use crate::jvm_rules;
use crate::rules_topic::{NewRule, RulesTopic};
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::view::View;

use super::http::Response;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The eight attributes that the page knows; they are there even if they are null.
const ATTRIBUTES: [&str; 8] =
    ["title", "description", "id", "author", "references", "logsource", "detection", "kafka"];

/// The keys of the rules topic.
pub(super) fn titles(view: &View) -> Response {
    let records = &view.rules.load().records;
    Response::json(200, json!(records.keys().collect::<Vec<_>>()).to_string())
}

/// Every rule on the topic that can be read.
pub(super) fn rules(view: &View) -> Response {
    let records = &view.rules.load().records;
    let rules: Vec<Value> = records.values().filter_map(|value| as_json(value)).collect();
    Response::json(200, Value::from(rules).to_string())
}

/// One rule, as JSON.
pub(super) fn rule(view: &View, title: &str) -> Response {
    let rules = view.rules.load();
    match rules.records.get(title).and_then(|value| as_json(value)) {
        Some(rule) => Response::text(200, &rule.to_string()),
        None => Response::text(404, "there is no such rule\n"),
    }
}

/// A rule in the form of the JVM processor's page: the whole document, and nulls for what is missing.
fn as_json(value: &[u8]) -> Option<Value> {
    let rule = first_rule(value)?;
    let document: Map<String, Value> = serde_json::from_str(&rule.to_json()).ok()?;
    let mut out: Map<String, Value> =
        ATTRIBUTES.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    out.extend(document);
    Some(out.into())
}

fn first_rule(value: &[u8]) -> Option<Box<Rule>> {
    parse_bytes(value).documents.into_iter().find_map(|document| match document {
        Document::Rule(rule) => Some(rule),
        _ => None,
    })
}

/// Writes a rule to the rules topic, if it loads.
pub(super) fn add(settings: &Settings, body: &[u8]) -> Response {
    let parsed = parse_bytes(body);
    let text = String::from_utf8_lossy(body);
    let index = LineIndex::new(&text);
    let mut findings: Vec<String> = parsed
        .diagnostics
        .iter()
        .filter(|diagnostic| !diagnostic.is_loadable)
        .map(|diagnostic| {
            let at = index.position(diagnostic.span.start);
            let code = diagnostic.code.as_str();
            format!("{}:{}: [{code}] {}", at.line, at.column, diagnostic.message)
        })
        .collect();
    let mut rules: Vec<std::sync::Arc<Rule>> = Vec::new();
    for document in parsed.documents {
        match document {
            Document::Rule(rule) => rules.push(std::sync::Arc::from(rule)),
            _ => findings.push("only rules are taken here".to_owned()),
        }
    }
    if rules.is_empty() && findings.is_empty() {
        findings.push("there is no rule in it".to_owned());
    }
    let options = CompileOptions {
        field_mapping: settings.field_mapping.clone(),
        ..CompileOptions::default()
    };
    let refused = sigmill_codegen::compile(&rules, &options).refused;
    findings.extend(refused.iter().map(|refused| refused.error.to_string()));
    if !findings.is_empty() {
        return Response::text(400, &(findings.join("\n") + "\n"));
    }
    if jvm_rules::is_jvm_alive(settings, TIMEOUT) {
        let fatal: Vec<String> = rules.iter().flat_map(|rule| jvm_rules::faults(rule)).collect();
        if !fatal.is_empty() {
            let text = fatal.join("\n");
            return Response::text(409, &format!("a JVM processor would stop at this:\n{text}\n"));
        }
    }
    let records: Vec<NewRule> = rules.iter().map(|rule| NewRule::of(rule)).collect();
    let topic = RulesTopic::new(settings.kafka.clone(), &settings.rules_topic, TIMEOUT);
    match topic.load(&records) {
        Ok(count) => {
            info!(count, title = records[0].key, "A rule was written over HTTP.");
            Response::text(200, "")
        }
        Err(error) => Response::text(502, &format!("{error}\n")),
    }
}

/// The instances topic: its keys, or its states.
pub(super) fn instances(settings: &Settings, only_keys: bool) -> Response {
    let Some(name) = &settings.instances_topic else { return Response::json(200, "[]") };
    let topic = RulesTopic::new(settings.kafka.clone(), name, TIMEOUT);
    match topic.list() {
        Ok(records) => {
            let shown: Vec<Value> = records
                .iter()
                .filter_map(|record| match only_keys {
                    true => Some(record.key.as_str().into()),
                    false => serde_json::from_slice(&record.value).ok(),
                })
                .collect();
            Response::json(200, Value::from(shown).to_string())
        }
        // Nobody has told a state yet.
        Err(RunError::Topic { .. }) => Response::json(200, "[]"),
        Err(error) => Response::text(502, &format!("{error}\n")),
    }
}
