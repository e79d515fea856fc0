//! What the benchmarks measure with: the rules and events that the repository carries.
//!
//! Each file under `benches/` is a stage of a record's way. Each benchmark says in one sentence what it
//! shows and asserts what has to come out, so that a wrong engine cannot be fast. `cargo bench -p
//! sigmill-benches` measures, `cargo bench -p sigmill-benches -- --test` runs each once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sigmill_parser::{Document, Rule};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The events of `tests/data`, each a record.
///
/// # Panics
/// The repository is not whole.
pub fn events() -> Vec<Vec<u8>> {
    let path = root().join("tests/data/events/otrf_windows.ndjson.zst");
    let file = std::fs::File::open(&path).expect("the repository carries events");
    let text = zstd::decode_all(file).expect("they are compressed");
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Bytes of records.
pub fn byte_count(records: &[Vec<u8>]) -> u64 {
    records.iter().map(|record| record.len() as u64).sum()
}

/// The rules of `tests/data` and of `config/demo`.
///
/// # Panics
/// The repository is not whole.
pub fn rules() -> Vec<Arc<Rule>> {
    let mut files: Vec<PathBuf> = ["tests/data/rules/sigmahq", "config/demo/rules"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root().join(folder)).expect("rules are carried"))
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    let mut rules = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).expect("a rule file can be read");
        for document in sigmill_parser::parse_bytes(&bytes).documents {
            if let Document::Rule(rule) = document {
                rules.push(Arc::from(rule));
            }
        }
    }
    rules
}

/// Made-up literals of letters, `len` bytes long, all different and the same in each run.
pub fn literals(count: usize, len: usize) -> Vec<String> {
    let mut state = 1u64;
    let mut letter = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + ((state >> 33) % 26) as u8)
    };
    let mut made = std::collections::BTreeSet::new();
    while made.len() < count {
        made.insert((0..len).map(|_| letter()).collect::<String>());
    }
    made.into_iter().collect()
}

/// A command line as Windows events have them, and as JSON spells it.
pub const COMMAND_LINE: &str = r#"\"C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe\" -NoProfile -ExecutionPolicy Bypass -Command \"& {Get-ChildItem -Path C:\\Users\\Public\\Documents -Recurse | Where-Object { $_.Length -gt 1048576 } | Sort-Object -Property Length -Descending | Select-Object -First 25 FullName, Length | Export-Csv -NoTypeInformation -Path C:\\Temp\\report.csv}\""#;
