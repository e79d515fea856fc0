//! What a compiler does not check: layers, file names, module documents, stray paths.
//!
//! In: the working tree. Out: a line for each complaint, and whether there was none. Long files are
//! listed for their authors to look at; they are no failure.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layers;

/// Names that say nothing of what a file is about.
const EMPTY_NAMES: &[&str] = &[
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "misc.rs",
    "mod.rs",
    "types.rs",
    "util.rs",
    "utils.rs",
];

/// Folders that exist on somebody's machine only. Written apart, so that this file passes its own test.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// A file longer than this, tests aside, is listed.
const LINES_MAX: usize = 600;

/// Files whose text is ours to keep tidy.
const TEXT_EXTENSIONS: &[&str] = &["rs", "toml", "md", "sh", "yml", "properties"];

/// Checks the tree; true if nothing is wrong.
pub(crate) fn run(root: &Path) -> bool {
    println!("== tidy");
    let mut complaints = Vec::new();
    let mut files = Vec::new();
    walk(root, &mut files);
    for path in &files {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let is_ours = !name.starts_with("tests/data/") && !name.starts_with("config/demo/");
        let Ok(text) = fs::read_to_string(path) else { continue };
        if is_ours {
            complaints.extend(of_text(&name, &text));
        }
        if let Some(folder) = name.strip_suffix("/Cargo.toml") {
            complaints.extend(
                layers::complaints(folder, &text)
                    .into_iter()
                    .map(|found| format!("{name}: {found}")),
            );
        }
        let lines = line_count_without_tests(&text);
        if name.ends_with(".rs") && lines > LINES_MAX {
            println!("long: {name}: {lines} lines without tests");
        }
    }
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("tidy: {} files, {} complaints", files.len(), complaints.len());
    complaints.is_empty()
}

/// What is wrong with one file.
fn of_text(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Some(file_name) = name.ends_with(".rs").then(|| name.rsplit('/').next().unwrap_or(name))
    {
        if EMPTY_NAMES.contains(&file_name) {
            complaints.push(format!("{name}: name the file by the idea in it"));
        }
        if !text.starts_with("//!") {
            complaints.push(format!("{name}:1: begin with a module document (`//!`)"));
        }
    }
    for (at, line) in text.lines().enumerate() {
        if MACHINE_PATHS.iter().any(|path| line.contains(path)) {
            complaints.push(format!("{name}:{}: a path of somebody's machine", at + 1));
        }
    }
    complaints
}

fn line_count_without_tests(text: &str) -> usize {
    text.lines().position(|line| line == "#[cfg(test)]").unwrap_or_else(|| text.lines().count())
}

/// All text files, sorted; build outputs and hidden folders are left out.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_left_out = name.starts_with("target") || name.starts_with('.');
        if path.is_dir() && !path.is_symlink() && !is_left_out {
            walk(&path, files);
        } else if path
            .extension()
            .is_some_and(|found| TEXT_EXTENSIONS.iter().any(|known| found == *known))
        {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_idea_and_tells_it() {
        for (name, text, count) in [
            ("engine/src/scan.rs", "//! Scans.\n", 0),
            ("engine/src/scan.rs", "use std::fmt;\n", 1),
            ("engine/src/utils.rs", "//! Things.\n", 1),
            ("engine/src/scan/mod.rs", "//! Scans.\n", 1),
            ("README.md", "no module document here\n", 0),
            ("README.md", concat!("see /ho", "me/me/notes\n"), 1),
        ] {
            assert_eq!(of_text(name, text).len(), count, "{name}: {text}");
        }
    }

    #[test]
    fn tests_do_not_count_as_length() {
        assert_eq!(line_count_without_tests("//! A\nfn a() {}\n#[cfg(test)]\nmod tests {}\n"), 2);
        assert_eq!(line_count_without_tests("//! A\nfn a() {}\n"), 2);
    }

    #[test]
    fn this_tree_keeps_its_layers() {
        let root = crate::workspace_root();
        for folder in ["parser", "reference", "engine", "codegen", "runtime", "cli"] {
            let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
            assert_eq!(layers::complaints(folder, &manifest), Vec::<String>::new());
        }
    }
}
