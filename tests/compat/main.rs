//! Rules, events, mappings and settings of Confluent Sigma's users: what becomes of each here.
//!
//! The material is not in the repository. It is used where it is: the folder that `SIGMILL_COMPAT` names,
//! or `../shared/compat` beside the workspace, with `confluent-sigma-cases.json` (rule, event, expected)
//! and `confluent-sigma-data/` (bundled configurations, rules, events, and sequences of events).

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking too.

mod bundled;
mod cases;
mod emulation;
mod sequences;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sigmill_codegen::CompileOptions;
use sigmill_parser::{Document, FieldMapping, Rule};

/// The folder of the material, if it is there.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("SIGMILL_COMPAT").map(PathBuf::from);
    let beside =
        || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("../shared/compat");
    let folder = named.clone().unwrap_or_else(beside);
    if named.is_none() && !folder.is_dir() {
        // Written past the test harness, which would swallow it.
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED: the material of Confluent Sigma is not there: {} ***\n",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rules of a text, as the rules topic would give them; none if it does not load.
fn rules(text: &str) -> Vec<Arc<Rule>> {
    let documents = sigmill_parser::parse(text).documents.into_iter();
    documents
        .filter_map(|document| match document {
            Document::Rule(rule) => Some(Arc::from(rule)),
            _ => None,
        })
        .collect()
}

fn options(mapping: Option<&str>) -> CompileOptions {
    let field_mapping = mapping.map_or_else(FieldMapping::default, |text| {
        FieldMapping::parse(text).unwrap_or_else(|found| panic!("{text}: {found:?}"))
    });
    CompileOptions { field_mapping, ..CompileOptions::default() }
}
