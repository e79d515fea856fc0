//! Real rules over real events: `sigmill match` finds what independent engines and the specification say.
//!
//! A small corpus is carried in `tests/data`. A large one is used when it is there: the folder that
//! `SIGMILL_CORPUS` names, or `../shared/corpus` beside the workspace. Its layout: `rules/`,
//! `events/NAME.ndjson[.zst]`, `expected/NAME.tsv` and `expected/NAME.disputed.tsv`.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking too.

mod comparison;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use comparison::{Expected, parse_pairs};

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What `sigmill match` prints for the rules and events, with more threads than cores.
fn matches(rules: &Path, events: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sigmill"))
        .args(["match", "--threads", "3", "--rules"])
        .args([rules, events])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{}: {stderr}", events.display());
    String::from_utf8(output.stdout).unwrap()
}

fn check(rules: &Path, events: &Path, expected: &Path, disputed: &Path) {
    let read = |path: &Path| {
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let expected = Expected::new(&read(expected), &read(disputed));
    let differences = expected.differences(&parse_pairs(&matches(rules, events)));
    assert!(differences.is_empty(), "{}:\n{differences}", events.display());
}

#[test]
fn carried_rules_match_carried_events_as_expected() {
    let data = workspace_root().join("tests/data");
    let events = data.join("events");
    check(
        &data.join("rules/sigmahq"),
        &events.join("otrf_windows.ndjson.zst"),
        &events.join("otrf_windows.expected.tsv"),
        &events.join("otrf_windows.disputed.tsv"),
    );
}

#[test]
fn whole_corpus_matches_as_expected() {
    let named = std::env::var_os("SIGMILL_CORPUS").map(PathBuf::from);
    let corpus = named.clone().unwrap_or_else(|| workspace_root().join("../shared/corpus"));
    if named.is_none() && !corpus.is_dir() {
        // Written past the test harness, which would swallow it.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED whole_corpus_matches_as_expected: no corpus (set SIGMILL_CORPUS to its folder)"
        );
        return;
    }
    let mut names: Vec<String> = std::fs::read_dir(corpus.join("events"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".ndjson") || name.ends_with(".ndjson.zst"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{}: no events", corpus.display());
    for file in names {
        let name = file.split('.').next().unwrap();
        check(
            &corpus.join("rules"),
            &corpus.join("events").join(&file),
            &corpus.join("expected").join(format!("{name}.tsv")),
            &corpus.join("expected").join(format!("{name}.disputed.tsv")),
        );
    }
}
