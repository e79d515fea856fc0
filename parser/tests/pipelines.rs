//! Pipelines over real rules: nothing changes under an empty one, and the shipped ones take them all.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // A test may stop at once, and says what it skips.

use std::path::{Path, PathBuf};

use sigmill_parser::{Document, Outcome, ParseOptions, Pipeline, Pipelines, parse_with};

/// The rules that the repository carries, and SigmaHQ's if they are there.
fn folders() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = vec![workspace.join("tests/data/rules"), workspace.join("config/demo/rules")];
    let corpus = match std::env::var_os("SIGMILL_CORPUS") {
        Some(path) => PathBuf::from(path),
        None => workspace.join("../shared/corpus"),
    };
    if corpus.join("rules").is_dir() {
        folders.push(corpus.join("rules"));
    } else {
        eprintln!("SKIPPED: no corpus at {} (set SIGMILL_CORPUS)", corpus.display());
    }
    folders
}

fn documents() -> Vec<Document> {
    let mut documents = Vec::new();
    let mut folders = folders();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yml") {
                let text = std::fs::read_to_string(path).unwrap();
                let mut options = ParseOptions::default();
                options.keeps_placeholders = true;
                documents.extend(parse_with(&text, &options).documents);
            }
        }
    }
    assert!(documents.len() > 10);
    documents
}

fn apply(pipelines: &Pipelines, documents: &[Document]) -> Vec<Outcome> {
    pipelines.apply(&documents.iter().collect::<Vec<_>>())
}

#[test]
fn an_empty_pipeline_changes_nothing() {
    let documents = documents();
    let empty = Pipeline::parse("name: empty\ntransformations: []\n").pipeline.unwrap();
    for pipelines in [Pipelines::default(), Pipelines::new([empty.clone(), empty])] {
        for (document, outcome) in documents.iter().zip(apply(&pipelines, &documents)) {
            match outcome {
                Outcome::Active(after) => {
                    assert_eq!(format!("{after:?}"), format!("{document:?}"));
                }
                // Only a placeholder without a value keeps a rule from being used.
                other => assert!(format!("{document:?}").contains("Expand"), "{other:?}"),
            }
        }
    }
}

#[test]
fn shipped_pipelines_refuse_no_rule() {
    let documents = documents();
    for name in Pipeline::shipped_names() {
        let pipelines = Pipelines::new(Pipeline::shipped(name));
        let outcomes = apply(&pipelines, &documents);
        let mut active_count = 0;
        for (document, outcome) in documents.iter().zip(outcomes) {
            match outcome {
                Outcome::Active(_) => active_count += 1,
                Outcome::Refused(diagnostic) => {
                    assert!(format!("{document:?}").contains("Expand"), "{name}: {diagnostic:?}");
                }
                _ => {}
            }
        }
        // The carried rules are for Windows.
        assert!(name == "zeek" || active_count > documents.len() / 2, "{name}: {active_count}");
    }
}
