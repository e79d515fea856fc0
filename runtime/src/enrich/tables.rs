//! The tables in force, all of them as one: what workers take between two batches.

use std::sync::Arc;

use super::files::{FileTable, LoadError, Loaded};
use super::settings::{EnrichSettings, TableSettings};

/// One version of every table.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// By number in the settings.
    pub(super) all: Vec<Arc<Loaded>>,
}

/// What is known of a table, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Rows.
    pub rows: usize,
    /// Memory.
    pub bytes: usize,
    /// Rows of the file that cannot be read.
    pub rows_bad: u64,
}

/// The tables and where they come from.
#[derive(Debug)]
pub struct TableSet {
    files: Vec<FileTable>,
    tables: Tables,
}

impl TableSet {
    /// Loads every table for the first time; what is to be said about each is given to `say`.
    ///
    /// # Errors
    /// One cannot be loaded.
    pub fn load(settings: &EnrichSettings, mut say: impl FnMut(String)) -> Result<Self, LoadError> {
        let mut files: Vec<FileTable> =
            settings.tables.iter().cloned().map(FileTable::new).collect();
        let mut all = Vec::new();
        for file in &mut files {
            if let Some(loaded) = file.load()? {
                say(describe(file.settings(), &loaded));
                all.push(Arc::new(loaded));
            }
        }
        Ok(Self { files, tables: Tables { all } })
    }

    /// Loads what has changed: whether anything has. Errors are given to `fail`, and leave the version before.
    pub fn refresh(&mut self, mut say: impl FnMut(String), mut fail: impl FnMut(String)) -> bool {
        let mut has_changed = false;
        for (file, known) in self.files.iter_mut().zip(&mut self.tables.all) {
            match file.load() {
                Ok(None) => {}
                // Who joins it knows its columns by number.
                Ok(Some(loaded)) if loaded.columns != known.columns => fail(format!(
                    "table `{}`: its columns have changed, which needs a restart; version {} stays",
                    file.settings().name,
                    known.version
                )),
                Ok(Some(loaded)) => {
                    say(describe(file.settings(), &loaded));
                    *known = Arc::new(loaded);
                    has_changed = true;
                }
                Err(error) => fail(format!("{error}; version {} stays", known.version)),
            }
        }
        has_changed
    }

    /// The versions in force.
    pub fn tables(&self) -> Tables {
        self.tables.clone()
    }
}

impl Tables {
    /// By table: the names of its columns.
    pub fn columns(&self) -> Vec<Vec<String>> {
        self.all.iter().map(|loaded| loaded.columns.clone()).collect()
    }

    /// What is known of each table.
    pub fn view(&self, settings: &EnrichSettings) -> Vec<TableView> {
        let named = self.all.iter().zip(&settings.tables);
        let view = |(loaded, settings): (&Arc<Loaded>, &TableSettings)| TableView {
            name: settings.name.clone(),
            version: loaded.version.to_string(),
            rows: loaded.table.len(),
            bytes: loaded.table.bytes(),
            rows_bad: loaded.counts.bad,
        };
        named.map(view).collect()
    }
}

fn describe(settings: &TableSettings, loaded: &Loaded) -> String {
    let Loaded { table, version, counts, .. } = loaded;
    let (name, rows) = (&settings.name, table.len());
    let mut text = format!("table `{name}`: {rows} rows, version {version}");
    if counts.passed_over > 0 {
        text += &format!(", {} passed over as no key for it", counts.passed_over);
    }
    if counts.bad > 0 {
        text += &format!(", {} cannot be read:", counts.bad);
        for bad in &counts.bad_first {
            text += &format!(" line {}: {};", bad.line, bad.message);
        }
        text.pop();
    }
    text
}
