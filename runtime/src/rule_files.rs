//! Rules from files and folders.
//!
//! In: paths as a user names them. Out: every rule that can be loaded, in a fixed order, and for each
//! file what the parser says about it. A folder is walked to the bottom; `.yml`, `.yaml` and `.json`
//! files in it are rule files, and names that begin with a dot are left alone. A file that is named
//! itself is read whatever it is called.
//!
//! Results do not depend on the order in which a file system lists its entries: each folder's files
//! are sorted by path. A file that is reached twice (named twice, or by a link) is read once.
//! Rules with the same id in different files are all kept: which of them is meant is for their author
//! to say, and [`RuleFiles::repeated_ids`] names them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use sigmill_codegen::RuleDocument;
use sigmill_parser::{
    Diagnostic, Document, ParseOptions, Rule, Span, check_references, parse_bytes_with,
};

/// A file that was read for rules, or could not be.
#[derive(Debug)]
#[non_exhaustive]
pub struct RuleFile {
    /// Its path, as reached from the path that the user gave.
    pub path: PathBuf,
    /// Its text; bytes that are not UTF-8 are replaced, so that an excerpt can be shown.
    pub text: String,
    /// What the parser found.
    pub diagnostics: Vec<Diagnostic>,
    /// Why it could not be read.
    pub unreadable: Option<io::Error>,
    /// How many rules it gave.
    pub rule_count: usize,
}

impl RuleFile {
    /// Something in the file does not load.
    pub fn is_failed(&self) -> bool {
        self.unreadable.is_some() || self.diagnostics.iter().any(Diagnostic::is_blocking)
    }
}

/// A rule and where it comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadedRule {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Index of its file in [`RuleFiles::files`].
    pub file: usize,
}

/// A correlation rule or a filter, and where it comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadedDocument {
    /// The document; not a [`Document::Rule`].
    pub document: Document,
    /// Index of its file in [`RuleFiles::files`].
    pub file: usize,
}

/// All files that the given paths lead to, and their rules.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RuleFiles {
    /// The files, in the order of reading.
    pub files: Vec<RuleFile>,
    /// The rules, in the order of their files and documents.
    pub rules: Vec<LoadedRule>,
    /// Correlation rules and filters, in the same order. What they name may stand in any of the files.
    pub others: Vec<LoadedDocument>,
    /// The names and ids of documents that are there and do not load.
    pub broken: Vec<String>,
}

/// An id that several rules have.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepeatedId {
    /// The id, as the first rule spells it.
    pub id: String,
    /// Where it stands: file and place, at least two.
    pub places: Vec<(usize, Span)>,
}

/// A path that was named and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read rules from `{}`", path.display())]
#[non_exhaustive]
pub struct RuleFilesError {
    /// The path.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Reads the rules of all paths.
///
/// # Errors
/// A path that was given does not exist or cannot be listed. What lies below it never stops the
/// others: a file that cannot be read is a [`RuleFile`] that says so.
pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<RuleFiles, RuleFilesError> {
    load_with(paths, &ParseOptions::default())
}

/// As [`load`], with options; a file is never the whole set.
///
/// # Errors
/// As for [`load`].
pub fn load_with<P: AsRef<Path>>(
    paths: &[P],
    options: &ParseOptions,
) -> Result<RuleFiles, RuleFilesError> {
    let mut options = options.clone();
    options.is_whole_set = false;
    let mut loaded = RuleFiles::default();
    let mut seen = HashSet::new();
    for path in paths {
        let path = path.as_ref();
        let mut found = Vec::new();
        collect(path, &mut found, &mut seen)
            .map_err(|source| RuleFilesError { path: path.to_path_buf(), source })?;
        found.sort();
        for file in found {
            loaded.read(file, &options);
        }
    }
    loaded.check_references();
    Ok(loaded)
}

impl RuleFiles {
    /// The rules alone, in order: what `sigmill_codegen::compile` takes.
    pub fn compile_list(&self) -> Vec<Arc<Rule>> {
        self.rules.iter().map(|loaded| Arc::clone(&loaded.rule)).collect()
    }

    /// Rules, and behind them the others: what `sigmill_codegen::compile_set` takes.
    pub fn document_list(&self) -> Vec<RuleDocument> {
        let rules = self.rules.iter().map(|one| RuleDocument::Rule(Arc::clone(&one.rule)));
        rules.chain(self.others.iter().map(|one| one.document.clone().into())).collect()
    }

    /// Number of files of which something does not load.
    pub fn failed_count(&self) -> usize {
        self.files.iter().filter(|file| file.is_failed()).count()
    }

    /// The ids that stand in more than one place, in the order of their first. Letter case does not
    /// make a UUID another one.
    pub fn repeated_ids(&self) -> Vec<RepeatedId> {
        let mut by_id: BTreeMap<String, RepeatedId> = BTreeMap::new();
        for loaded in &self.rules {
            let Some(id) = &loaded.rule.id else { continue };
            by_id
                .entry(id.node.to_lowercase())
                .or_insert_with(|| RepeatedId { id: id.node.clone(), places: Vec::new() })
                .places
                .push((loaded.file, id.span));
        }
        let mut repeated: Vec<RepeatedId> =
            by_id.into_values().filter(|repeated| repeated.places.len() > 1).collect();
        repeated.sort_by_key(|repeated| (repeated.places[0].0, repeated.places[0].1.start));
        repeated
    }

    /// Looks for what correlations and filters name, over all files, and adds what is wrong to the
    /// files' diagnostics. Correlations that refer to each other in a circle are dropped.
    fn check_references(&mut self) {
        if self.others.is_empty() {
            return;
        }
        let rules =
            self.rules.iter().map(|loaded| Document::Rule(Box::new((*loaded.rule).clone())));
        let rules: Vec<Document> = rules.collect();
        let others = self.others.iter().map(|loaded| &loaded.document);
        let all: Vec<&Document> = rules.iter().chain(others).collect();
        let broken: Vec<&str> = self.broken.iter().map(String::as_str).collect();
        let mut circular = HashSet::new();
        for (index, diagnostic) in check_references(&all, &broken) {
            let file = match index.checked_sub(rules.len()) {
                Some(other) => {
                    circular.extend(diagnostic.is_blocking().then_some(other));
                    self.others[other].file
                }
                None => self.rules[index].file,
            };
            let diagnostics = &mut self.files[file].diagnostics;
            diagnostics.push(diagnostic);
            diagnostics.sort_by_key(|found| found.span.start);
        }
        for at in &circular {
            let document = RuleDocument::from(self.others[*at].document.clone());
            let names = [document.id(), document.name()];
            self.broken.extend(names.into_iter().flatten().map(str::to_owned));
        }
        let mut index = 0..;
        self.others.retain(|_| index.next().is_some_and(|at| !circular.contains(&at)));
    }

    /// Why names mean nothing among the documents: for `sigmill_codegen::CompileOptions`.
    pub fn absent(&self) -> BTreeMap<String, String> {
        let why = || "has errors and does not load".to_owned();
        self.broken.iter().map(|name| (name.clone(), why())).collect()
    }

    fn read(&mut self, path: PathBuf, options: &ParseOptions) {
        let file = self.files.len();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.files.push(RuleFile {
                    path,
                    text: String::new(),
                    diagnostics: Vec::new(),
                    unreadable: Some(error),
                    rule_count: 0,
                });
                return;
            }
        };
        let parsed = parse_bytes_with(&bytes, options);
        let rule_count_before = self.rules.len();
        self.broken.extend(parsed.broken);
        for document in parsed.documents {
            match document {
                Document::Rule(rule) => self.rules.push(LoadedRule { rule: Arc::from(rule), file }),
                document => self.others.push(LoadedDocument { document, file }),
            }
        }
        self.files.push(RuleFile {
            path,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            diagnostics: parsed.diagnostics,
            unreadable: None,
            rule_count: self.rules.len() - rule_count_before,
        });
    }
}

/// Puts the rule files under `path` on the list. `seen` holds the real paths, which also ends the walk
/// of a folder that contains a link to itself.
fn collect(
    path: &Path,
    found: &mut Vec<PathBuf>,
    seen: &mut HashSet<PathBuf>,
) -> Result<(), io::Error> {
    let real = fs::canonicalize(path)?;
    if !seen.insert(real) {
        return Ok(());
    }
    if !fs::metadata(path)?.is_dir() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    // Sorted before walking, so that of two links to one file the same one is kept on every machine.
    let mut entries = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, io::Error>>()?;
    entries.sort();
    for entry in entries {
        let is_hidden =
            entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden || !(entry.is_dir() || is_rule_file_name(&entry)) {
            continue;
        }
        if collect(&entry, found, seen).is_err() {
            // A broken link, or a folder that may not be listed: reading it again gives the reason.
            found.push(entry);
        }
    }
    Ok(())
}

fn is_rule_file_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["yml", "yaml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(title: &str, id: &str) -> String {
        format!(
            "title: {title}\nid: {id}\nlogsource:\n  product: windows\ndetection:\n  \
             selection:\n    EventID: 1\n  condition: selection\n"
        )
    }

    fn names(loaded: &RuleFiles) -> Vec<String> {
        loaded
            .files
            .iter()
            .map(|file| file.path.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_folder_gives_its_rule_files_sorted_by_path() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/deep")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        for name in ["z.yml", "a/deep/m.YAML", "b.json", "readme.md", ".git/x.yml", ".y.yml"] {
            fs::write(folder.path().join(name), rule("t", "i")).unwrap();
        }
        let loaded = load(&[folder.path()]).unwrap();
        assert_eq!(names(&loaded), ["m.YAML", "b.json", "z.yml"]);
    }

    #[test]
    fn a_named_file_is_read_whatever_its_name_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rule.txt");
        fs::write(&file, rule("t", "i")).unwrap();
        let loaded = load(&[&file, &file]).unwrap();
        assert_eq!(names(&loaded), ["rule.txt"]);
        assert_eq!(loaded.rules.len(), 1);
        assert_eq!(loaded.files[0].rule_count, 1);
    }

    #[test]
    fn a_missing_path_is_an_error_that_names_it() {
        let error = load(&["/no/such/folder"]).unwrap_err();
        assert_eq!(error.to_string(), "cannot read rules from `/no/such/folder`");
    }

    #[cfg(unix)]
    #[test]
    fn links_neither_loop_nor_stop_the_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("good.yml"), rule("t", "i")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("broken.yml")).unwrap();
        let loaded = load(&[folder.path()]).unwrap();
        assert_eq!(names(&loaded), ["broken.yml", "good.yml"]);
        assert!(loaded.files[0].unreadable.is_some());
        assert_eq!(loaded.failed_count(), 1);
    }

    #[test]
    fn correlations_find_their_rules_in_other_files() {
        let correlation = |rule: &str| {
            format!(
                "title: Many\nid: m1\ncorrelation:\n  type: event_count\n  rules: [{rule}]\n  \
                 group-by: [User]\n  timespan: 5m\n  condition: {{gte: 3}}\n"
            )
        };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yml"), correlation("rule-1")).unwrap();
        fs::write(folder.path().join("b.yml"), rule("one", "rule-1")).unwrap();
        let loaded = load(&[folder.path()]).unwrap();
        let names_rule =
            |file: &RuleFile| file.diagnostics.iter().any(|found| found.message.contains("rule-"));
        assert!(!names_rule(&loaded.files[0]), "{:?}", loaded.files[0].diagnostics);
        assert_eq!((loaded.rules.len(), loaded.others.len()), (1, 1));
        assert_eq!(loaded.others[0].file, 0);

        fs::write(folder.path().join("a.yml"), correlation("rule-2")).unwrap();
        let loaded = load(&[folder.path()]).unwrap();
        assert!(names_rule(&loaded.files[0]), "{:?}", loaded.files[0].diagnostics);

        // In a circle, alone in its file.
        fs::write(folder.path().join("a.yml"), correlation("m1")).unwrap();
        let loaded = load(&[folder.path()]).unwrap();
        assert!(loaded.others.is_empty());
        assert!(loaded.files[0].is_failed());
    }

    #[test]
    fn one_bad_file_leaves_the_others_and_repeated_ids_are_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yml"), rule("one", "AA-1")).unwrap();
        fs::write(folder.path().join("b.yml"), "title: [").unwrap();
        fs::write(folder.path().join("c.yml"), rule("two", "aa-1")).unwrap();
        let loaded = load(&[folder.path()]).unwrap();
        assert_eq!(loaded.rules.len(), 2);
        assert_eq!(loaded.failed_count(), 1);
        let repeated = loaded.repeated_ids();
        assert_eq!(repeated.len(), 1);
        assert_eq!(repeated[0].id, "AA-1");
        let files: Vec<usize> = repeated[0].places.iter().map(|place| place.0).collect();
        assert_eq!(files, [0, 2]);
    }
}
