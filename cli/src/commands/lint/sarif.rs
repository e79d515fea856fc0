//! Findings as SARIF 2.1.0, which code hosts and editors read.
//!
//! One run; its rules are the codes that were found. Paths become relative references as they were given,
//! or file URLs if they are absolute.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use sigmill_parser::Position;

use crate::diagnostics::{Finding, codes, severity_word};

/// The log of one run.
pub(super) fn log(findings: &[Finding<'_>]) -> Value {
    let found = |code: &str| findings.iter().any(|finding| finding.code == code);
    let rules: Vec<(&str, &str)> = codes().filter(|(code, _)| found(code)).collect();
    let rule = |(code, class): &(&str, &str)| json!({"id": code, "name": pascal(class)});
    let result = |finding: &Finding<'_>| {
        let mut message = finding.message.clone();
        if let Some(help) = &finding.help {
            // Writing to a `String` does not fail.
            let _ = write!(message, "\nhelp: {help}");
        }
        let related: Vec<Value> = finding
            .related
            .iter()
            .enumerate()
            .map(|(id, related)| {
                let mut location = location(related.path, related.position, None);
                location["id"] = json!(id + 1);
                location["message"] = json!({"text": related.message});
                location
            })
            .collect();
        json!({
            "ruleId": finding.code,
            "ruleIndex": rules.iter().position(|(code, _)| *code == finding.code),
            "level": severity_word(finding.severity),
            "message": {"text": message},
            "locations": [location(finding.path, finding.position, Some(finding.end))],
            "relatedLocations": related,
        })
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "sigmill",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn location(path: &Path, start: Position, end: Option<Position>) -> Value {
    let mut region = json!({"startLine": start.line, "startColumn": start.column});
    if let Some(end) = end {
        region["endLine"] = json!(end.line);
        region["endColumn"] = json!(end.column);
    }
    json!({"physicalLocation": {"artifactLocation": {"uri": uri(path)}, "region": region}})
}

/// A path as a URI reference: what may not stand there is percent-encoded.
fn uri(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    let mut uri = if text.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// `bad_regex` as `BadRegex`, the form of names of SARIF's rules.
fn pascal(class: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars).collect::<String>()
    };
    class.split('_').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_have_sarif_forms() {
        assert_eq!(uri(Path::new("rules/a b.yml")), "rules/a%20b.yml");
        assert_eq!(uri(Path::new("/rules/ä.yml")), "file:///rules/%C3%A4.yml");
        assert_eq!(pascal("bad_regex"), "BadRegex");
    }
}
