//! Real rules: every file of SigmaHQ is loaded, or refused with a reason that the specification backs.
//!
//! The corpus is optional: `SIGMILL_CORPUS`, or `../shared/corpus` beside the workspace. The small set
//! that the repository carries is always there.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // A test may stop at once, and says what it skips.

use std::path::{Path, PathBuf};

use sigmill_parser::{Code, Document, Parsed};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn corpus() -> Option<PathBuf> {
    let path = match std::env::var_os("SIGMILL_CORPUS") {
        Some(path) => PathBuf::from(path),
        None => workspace().join("../shared/corpus"),
    };
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: no corpus at {} (set SIGMILL_CORPUS)", path.display());
    None
}

/// Every rule file below a folder, in a fixed order.
fn rule_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What a parsed rule says, without the places.
fn meaning(parsed: &Parsed) -> Vec<String> {
    let meaning = |document: &Document| match document {
        Document::Rule(rule) => {
            let mut text = format!("{:?} {:?}", rule.title.node, rule.detection);
            // Places differ between a rule and its JSON form.
            while let Some(at) = text.find("Span {") {
                let end = text[at..].find('}').map_or(text.len(), |end| at + end + 1);
                text.replace_range(at..end, "");
            }
            text
        }
        other => panic!("{other:?}"),
    };
    parsed.documents.iter().map(meaning).collect()
}

#[test]
fn carried_rules_are_clean() {
    let files = rule_files(&workspace().join("tests/data/rules/sigmahq"));
    assert!(files.len() >= 20, "{}", files.len());
    for file in files {
        let parsed = sigmill_parser::parse_bytes(&std::fs::read(&file).unwrap());
        assert_eq!(parsed.documents.len(), 1, "{}", file.display());
        assert!(parsed.diagnostics.is_empty(), "{}: {:?}", file.display(), parsed.diagnostics);
        let found = sigmill_parser::check(&parsed.documents);
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
}

#[test]
fn sigmahq_loads() {
    let Some(corpus) = corpus() else { return };
    let files = rule_files(&corpus.join("rules/sigmahq"));
    let texts: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let start = std::time::Instant::now();
    let parsed: Vec<Parsed> = texts.iter().map(|t| sigmill_parser::parse_bytes(t)).collect();
    eprintln!("{} files parsed in {:?}", files.len(), start.elapsed());
    let mut refused = 0;
    for ((file, text), parsed) in files.iter().zip(&texts).zip(&parsed) {
        let text = std::str::from_utf8(text).unwrap();
        // A rule that needs placeholder values has to be refused without them.
        let has_placeholder = text.contains("|expand");
        let expected = usize::from(!has_placeholder);
        let shown = &parsed.diagnostics;
        assert_eq!(parsed.documents.len(), expected, "{}: {shown:?}", file.display());
        for diagnostic in &parsed.diagnostics {
            let is_reason = diagnostic.code == Code::PlaceholderUnresolved;
            assert!(is_reason || diagnostic.is_loadable, "{}: {diagnostic:?}", file.display());
            if !is_reason {
                eprintln!("{}: {}", file.display(), diagnostic.message);
            }
        }
        refused += usize::from(parsed.documents.is_empty());
    }
    let with_placeholders =
        texts.iter().filter(|text| text.windows(7).any(|part| part == b"|expand")).count();
    assert_eq!(refused, with_placeholders);
    assert!(files.len() > 3_000 && refused < 100, "{} {refused}", files.len());
}

/// Published rules do what their authors want: what is said about them has to be true, and is little.
#[test]
fn sigmahq_is_hardly_suspicious() {
    let Some(corpus) = corpus() else { return };
    let files = rule_files(&corpus.join("rules/sigmahq"));
    let mut found = Vec::new();
    for file in &files {
        let parsed = sigmill_parser::parse_bytes(&std::fs::read(file).unwrap());
        for diagnostic in sigmill_parser::check(&parsed.documents) {
            found.push((file.display().to_string(), diagnostic));
        }
    }
    // Wildcards that have no effect, each looked at.
    assert!(found.iter().all(|(_, one)| one.code == Code::Wildcard), "{found:#?}");
    assert!(found.len() < 30, "{found:#?}");
}

#[test]
fn rules_survive_their_json_form() {
    let mut files = rule_files(&workspace().join("tests/data/rules/sigmahq"));
    if let Some(corpus) = corpus() {
        files.extend(rule_files(&corpus.join("rules/sigmahq")));
    }
    for file in files {
        let parsed = sigmill_parser::parse_bytes(&std::fs::read(&file).unwrap());
        for document in &parsed.documents {
            let Document::Rule(rule) = document else { panic!("{document:?}") };
            let json = rule.to_json();
            let again = sigmill_parser::parse(&json);
            let shown = &again.diagnostics;
            assert_eq!(meaning(&again), meaning(&parsed), "{}: {shown:?}", file.display());
            let Document::Rule(copy) = &again.documents[0] else { panic!("a rule") };
            assert_eq!(copy.to_json(), json, "{}", file.display());
        }
    }
}
