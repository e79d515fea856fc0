//! Findings as a JUnit report, which build servers read: a test case a file.
//!
//! A file fails by the findings that are bad enough for the command to fail; the others stand in its output.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use sigmill_parser::Severity;
use sigmill_runtime::rule_files::RuleFile;

use crate::diagnostics::{Finding, severity_word};

/// The report on all files; findings from `fail_on` on are failures.
pub(super) fn report(files: &[RuleFile], findings: &[Finding<'_>], fail_on: Severity) -> String {
    let mut cases = String::new();
    let mut failure_count = 0;
    let mut by_path: BTreeMap<&Path, Vec<&Finding<'_>>> = BTreeMap::new();
    for finding in findings {
        by_path.entry(finding.path).or_default().push(finding);
    }
    for file in files {
        let found = by_path.remove(file.path.as_path()).unwrap_or_default();
        let (failures, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|finding| finding.severity >= fail_on);
        failure_count += usize::from(!failures.is_empty());
        let name = escaped(&file.path.display().to_string());
        // Writing to a `String` does not fail, here and below.
        let _ = writeln!(
            cases,
            "    <testcase classname=\"sigmill.lint\" name=\"{name}\" file=\"{name}\">"
        );
        if let Some(first) = failures.first() {
            let (message, kind) = (escaped(&first.message), severity_word(first.severity));
            let text = escaped(&lines(&failures));
            let _ = writeln!(
                cases,
                "      <failure message=\"{message}\" type=\"{kind}\">{text}</failure>"
            );
        }
        if !others.is_empty() {
            let text = escaped(&lines(&others));
            let _ = writeln!(cases, "      <system-out>{text}</system-out>");
        }
        cases += "    </testcase>\n";
    }
    let counts = format!("tests=\"{}\" failures=\"{failure_count}\" errors=\"0\"", files.len());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"sigmill lint\" {counts}>\n  \
         <testsuite name=\"sigmill lint\" {counts} skipped=\"0\">\n{cases}  </testsuite>\n</testsuites>\n"
    )
}

fn lines(findings: &[&Finding<'_>]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Text as XML. What XML 1.0 cannot hold at all becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_xml() {
        assert_eq!(
            escaped("a<b> & \"c\"\n\u{1}\u{ffff}"),
            "a&lt;b&gt; &amp; &quot;c&quot;\n\u{fffd}\u{fffd}"
        );
    }
}
