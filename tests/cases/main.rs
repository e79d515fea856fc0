//! Cases with known answers, run through `sigmill match`: what a rule, a collection or a correlation makes
//! of a few events.
//!
//! A case file is a JSON list; `tests/data/cases/README.md` says what a case is. The project's own cases
//! always run. Those of a corpus run where there is one: the folder `cases` in `SIGMILL_CORPUS`, by
//! default in `../shared/corpus` beside the repository.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // A test may stop at once, and says what it skips.

mod case;

use std::path::{Path, PathBuf};

use case::Case;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Runs every case of a folder's files; gives how many there were and what went wrong.
fn run_folder(folder: &Path) -> (usize, Vec<String>) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut count = 0;
    let mut differences = Vec::new();
    for file in files {
        let cases: Vec<serde_json::Value> =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for value in &cases {
            let case = Case::new(value);
            count += 1;
            let found = case.run();
            let file = file.file_name().unwrap().to_string_lossy();
            let place = format!("{file}: {}", case.name());
            differences
                .extend(found.into_iter().map(|difference| format!("{place}: {difference}")));
        }
    }
    (count, differences)
}

#[test]
fn own_cases_have_their_answers() {
    let (count, differences) = run_folder(&workspace().join("tests/data/cases"));
    assert!(count >= 25, "{count} cases");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn corpus_cases_have_their_answers() {
    let corpus = std::env::var_os("SIGMILL_CORPUS").map(PathBuf::from);
    let folder = corpus.unwrap_or_else(|| workspace().join("../shared/corpus")).join("cases");
    if !folder.is_dir() {
        eprintln!("SKIPPED: there are no corpus cases in `{}`", folder.display());
        return;
    }
    let (count, differences) = run_folder(&folder);
    assert!(count > 0, "`{}` holds no case", folder.display());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
