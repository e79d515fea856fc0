//! How findings about rules are shown: as lines, as excerpts on a terminal, as JSON.
//!
//! In: a [`Diagnostic`] of the parser and the file it is about. Out: text. The positions are resolved
//! once, in [`Finding`], so that all forms agree on them.

use std::fmt::{self, Display};
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};
use sigmill_parser::{Code, Diagnostic, LineIndex, Position, Severity, Span};
use sigmill_runtime::rule_files::RuleFile;

/// Codes of what only shows when several files are looked at, or when rules are put to work. The parser
/// has those of a single text; the reference page lists both.
pub(crate) mod code {
    /// Two documents have the same id.
    pub(crate) const REPEATED_ID: &str = "SM0901";
    /// The rule is valid, but cannot be compiled.
    pub(crate) const NOT_COMPILED: &str = "SM0902";
    /// The file cannot be read.
    pub(crate) const UNREADABLE: &str = "SM0903";
    /// A part of the document has no effect.
    pub(crate) const WITHOUT_EFFECT: &str = "SM0905";
    /// Nothing that can be searched for has to hold for the rule: it is decided on every event.
    pub(crate) const ALWAYS_RUN: &str = "SM0906";
    /// A regular expression has to be searched for by backtracking.
    pub(crate) const BACKTRACKING: &str = "SM0907";

    /// Each with its class in words.
    pub(crate) const ALL: [(&str, &str); 6] = [
        (REPEATED_ID, "repeated_id"),
        (NOT_COMPILED, "not_compiled"),
        (UNREADABLE, "unreadable"),
        (WITHOUT_EFFECT, "without_effect"),
        (ALWAYS_RUN, "always_run"),
        (BACKTRACKING, "backtracking"),
    ];
}

/// Every code there is, with its class: those of the parser, then ours.
pub(crate) fn codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    Code::ALL.iter().map(|code| (code.as_str(), code.class())).chain(code::ALL)
}

/// A diagnostic, placed in its file.
#[derive(Debug, Clone)]
pub(crate) struct Finding<'a> {
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
    pub(crate) span: Span,
    pub(crate) position: Position,
    /// Behind its last character.
    pub(crate) end: Position,
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) related: Vec<Related<'a>>,
}

/// Another place that matters, maybe in another file.
#[derive(Debug, Clone)]
pub(crate) struct Related<'a> {
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
    pub(crate) span: Span,
    pub(crate) position: Position,
    pub(crate) message: String,
}

impl<'a> Related<'a> {
    /// A place in a file, and a word on it.
    pub(crate) fn new(file: &'a RuleFile, span: Span, message: String) -> Self {
        let position = LineIndex::new(&file.text).position(span.start);
        Self { path: &file.path, text: &file.text, span, position, message }
    }
}

impl<'a> Finding<'a> {
    /// A finding of our own at a place in a file.
    pub(crate) fn new(
        file: &'a RuleFile,
        span: Span,
        severity: Severity,
        code: &'static str,
        message: String,
    ) -> Self {
        let index = LineIndex::new(&file.text);
        Self {
            path: &file.path,
            text: &file.text,
            span,
            position: index.position(span.start),
            end: index.position(span.end),
            severity,
            code,
            message,
            help: None,
            related: Vec::new(),
        }
    }

    /// Everything there is to say about a file by itself.
    pub(crate) fn of_file(file: &'a RuleFile) -> Vec<Self> {
        if let Some(error) = &file.unreadable {
            let message = format!("the file cannot be read: {error}");
            let span = Span::default();
            return vec![Self::new(file, span, Severity::Error, code::UNREADABLE, message)];
        }
        Self::of_diagnostics(file, &file.diagnostics)
    }

    /// Diagnostics about a file, placed.
    pub(crate) fn of_diagnostics(file: &'a RuleFile, diagnostics: &[Diagnostic]) -> Vec<Self> {
        if diagnostics.is_empty() {
            return Vec::new();
        }
        // One index for all, since a broken file may have very many findings.
        let index = LineIndex::new(&file.text);
        let related = |(span, message): &(Span, String)| Related {
            path: &file.path,
            text: &file.text,
            span: *span,
            position: index.position(span.start),
            message: message.clone(),
        };
        let finding = |found: &Diagnostic| Self {
            path: &file.path,
            text: &file.text,
            span: found.span,
            position: index.position(found.span.start),
            end: index.position(found.span.end),
            severity: found.severity,
            code: found.code.as_str(),
            message: found.message.clone(),
            help: found.help.clone(),
            related: found.related.iter().map(related).collect(),
        };
        diagnostics.iter().map(finding).collect()
    }

    /// The object of `--format json`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "file": self.path.display().to_string(),
            "line": self.position.line,
            "column": self.position.column,
            "severity": severity_word(self.severity),
            "code": self.code,
            "message": self.message,
            "help": self.help,
            "related": self.related.iter().map(|related| json!({
                "file": related.path.display().to_string(),
                "line": related.position.line,
                "column": related.position.column,
                "message": related.message,
            })).collect::<Vec<_>>(),
        })
    }

    /// The first line of every form: `file:line:col: severity[code]: message`.
    fn headline(&self) -> String {
        let Position { line, column } = self.position;
        let (path, severity) = (self.path.display(), severity_word(self.severity));
        // A message quotes the file, which may hold anything, and a headline is one line.
        let message = self.message.replace(char::is_control, " ");
        format!("{path}:{line}:{column}: {severity}[{}]: {message}", self.code)
    }

    /// The headline, then the lines it is about with a mark below the place, in colour.
    pub(crate) fn excerpt(&self) -> String {
        let mut snippet = Snippet::source(self.text)
            .annotation(AnnotationKind::Primary.span(visible(self.text, self.span)));
        let is_elsewhere = |related: &&Related<'_>| related.path != self.path;
        for related in self.related.iter().filter(|related| !is_elsewhere(related)) {
            let context = AnnotationKind::Context.span(visible(self.text, related.span));
            snippet = snippet.annotation(context.label(related.message.as_str()));
        }
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut group = Group::with_level(level).element(snippet);
        for related in self.related.iter().filter(is_elsewhere) {
            let context = AnnotationKind::Context.span(visible(related.text, related.span));
            let snippet = Snippet::source(related.text).path(related.path.display().to_string());
            group = group.element(snippet.annotation(context.label(related.message.as_str())));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        format!("{}\n{}", self.headline(), Renderer::styled().render(&[group]))
    }
}

/// The part of a span that lies in a text, on character boundaries.
fn visible(text: &str, span: Span) -> std::ops::Range<usize> {
    let floor =
        |offset: usize| (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let start = floor(span.range().start).unwrap_or(0);
    start..floor(span.range().end).unwrap_or(0).max(start)
}

/// The plain form: `file:line:col: severity[code]: message`, then related places and help.
impl Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for related in &self.related {
            let Position { line, column } = related.position;
            write!(f, "\n  {}:{line}:{column}: {}", related.path.display(), related.message)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// The word of `--format json` and of the lines.
pub(crate) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigmill_runtime::rule_files;

    /// A file with an error in its second line.
    fn loaded() -> (tempfile::TempDir, rule_files::RuleFiles) {
        let folder = tempfile::tempdir().unwrap();
        let text = "title: Größe\ndetection: [\n";
        std::fs::write(folder.path().join("rule.yml"), text).unwrap();
        let loaded = rule_files::load(&[folder.path()]).unwrap();
        (folder, loaded)
    }

    #[test]
    fn an_excerpt_shows_the_line_and_the_help() {
        let (_folder, loaded) = loaded();
        let file = &loaded.files[0];
        let start = "title: ".len();
        let finding = Finding {
            help: Some("write it shorter".to_owned()),
            related: vec![Related::new(file, Span::new(0, 5), "the key".to_owned())],
            ..Finding::new(
                file,
                Span::new(start, start + "Größe".len()),
                Severity::Warning,
                code::REPEATED_ID,
                "the title is long".to_owned(),
            )
        };
        let excerpt = finding.excerpt();
        for part in ["SM0901", "the title is long", "Größe", "^^^^^", "write it shorter", "the key"]
        {
            assert!(excerpt.contains(part), "no {part} in:\n{excerpt}");
        }
    }

    #[test]
    fn the_reference_page_explains_our_codes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/diagnostics.md");
        let page = std::fs::read_to_string(path).unwrap();
        for (code, class) in code::ALL {
            assert!(page.contains(&format!("- {code} `{class}` (")), "{code} is not in {path}");
        }
    }

    #[test]
    fn spans_outside_the_text_or_inside_a_character_do_not_panic() {
        let (_folder, loaded) = loaded();
        let file = &loaded.files[0];
        for start in 0..file.text.len() + 5 {
            for end in [start, start + 1, usize::MAX] {
                let span = Span::new(start, end);
                let message = "x".to_owned();
                let finding = Finding::new(file, span, Severity::Note, "SM0000", message);
                assert!(finding.excerpt().contains("SM0000"));
                assert!(finding.to_string().contains(": note[SM0000]: x"));
            }
        }
    }
}
