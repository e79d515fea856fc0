//! Malformed rules: each has a finding of the right class on the right line, in little time.
//!
//! The files come with the optional corpus (`SIGMILL_CORPUS`, or `../shared/corpus` beside the workspace);
//! `codes.rs` has small ones of our own for every code.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // A test may stop at once, and says what it skips.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sigmill_parser::{LineIndex, Severity};

fn corpus() -> Option<PathBuf> {
    let path = match std::env::var_os("SIGMILL_CORPUS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
    };
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: no corpus at {} (set SIGMILL_CORPUS)", path.display());
    None
}

#[test]
fn invalid_rules_have_their_findings() {
    let Some(corpus) = corpus() else { return };
    let folder = corpus.join("invalid");
    let table = std::fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let mut faults = Vec::new();
    let mut count = 0;
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [file, class, line, force, note] = cells[..] else { panic!("{row}") };
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let start = Instant::now();
        let parsed = sigmill_parser::parse_bytes(&bytes);
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(2), "{file} took {elapsed:?}");
        let text = String::from_utf8_lossy(&bytes);
        let index = LineIndex::new(&text);
        let wanted: usize = line.parse().unwrap();
        // What is never closed is noticed later.
        let is_unclosed = note.contains("never closed");
        let has_line =
            |found: usize| wanted == 0 || found == wanted || is_unclosed && found > wanted;
        let has = parsed.diagnostics.iter().any(|diagnostic| {
            diagnostic.code.class() == class
                && has_line(index.position(diagnostic.span.start).line)
                && (force != "must" || diagnostic.severity == Severity::Error)
        });
        count += 1;
        if !has {
            let found: Vec<_> = parsed
                .diagnostics
                .iter()
                .map(|d| (d.code.class(), index.position(d.span.start).line, &d.message))
                .collect();
            faults.push(format!("{file}: {class} on line {line}, but {found:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 50);
}
