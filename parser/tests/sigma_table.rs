//! The table of constructs in `docs/SIGMA.md` names tests; each of them has to exist.

#![allow(clippy::unwrap_used)] // A test may stop at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every function of the crates and tests, and every case of the case files.
fn names(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            names(&path, found);
        } else if matches!(extension, Some("rs" | "json")) {
            let text = std::fs::read_to_string(&path).unwrap();
            let before = if extension == Some("rs") { "fn " } else { "\"name\": \"" };
            let word = |rest: &str| {
                rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
            };
            found.extend(text.split(before).skip(1).filter_map(word));
        }
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut known = BTreeSet::new();
    for folder in ["parser", "reference", "engine", "codegen", "tests"] {
        names(&root.join(folder), &mut known);
    }
    let text = std::fs::read_to_string(root.join("docs/SIGMA.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.contains("| support |"));
    let mut count = 0;
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test is named for: {row}");
        for test in tests {
            assert!(known.contains(test), "there is no test `{test}`, named for: {row}");
            count += 1;
        }
    }
    assert!(count > 70, "{count} tests");
}
