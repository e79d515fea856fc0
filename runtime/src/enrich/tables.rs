//! The tables in force, all of them as one: what workers take between two batches.

use std::sync::Arc;

use sigmill_tables::Table;

use super::files::{FileTable, LoadError, Loaded};
use super::settings::{EnrichSettings, TableSettings, TableSource};
use super::topics::TopicTable;

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
    sources: Vec<Source>,
    tables: Tables,
}

#[derive(Debug)]
enum Source {
    File(FileTable),
    Topic(Box<TopicTable>),
}

impl TableSet {
    /// Loads every table of a file for the first time; what is to be said about each is given to `say`. Those of
    /// topics are empty.
    ///
    /// # Errors
    /// One cannot be loaded.
    pub fn load(settings: &EnrichSettings, mut say: impl FnMut(String)) -> Result<Self, LoadError> {
        let mut sources = Vec::new();
        let mut all = Vec::new();
        for table in settings.tables.iter().cloned() {
            match table.source {
                TableSource::File(_) => {
                    let mut file = FileTable::new(table);
                    if let Some(loaded) = file.load()? {
                        say(describe(file.settings(), &loaded));
                        all.push(Arc::new(loaded));
                    }
                    sources.push(Source::File(file));
                }
                TableSource::Topic(_) => {
                    let topic = TopicTable::new(table);
                    all.push(topic.nothing());
                    sources.push(Source::Topic(Box::new(topic)));
                }
            }
        }
        Ok(Self { sources, tables: Tables { all } })
    }

    /// Loads the files that have changed: whether any has. Errors are given to `fail`, and leave the version before.
    pub fn refresh(&mut self, mut say: impl FnMut(String), mut fail: impl FnMut(String)) -> bool {
        let mut has_changed = false;
        for (source, known) in self.sources.iter_mut().zip(&mut self.tables.all) {
            let Source::File(file) = source else { continue };
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

    /// The topics that are tables.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            Source::Topic(table) => match &table.settings().source {
                TableSource::Topic(topic) => Some(topic.as_str()),
                TableSource::File(_) => None,
            },
            Source::File(_) => None,
        })
    }

    /// Takes a record of a topic in; `fail` is told of each table whose row it cannot be.
    pub(crate) fn apply(
        &mut self,
        topic: &str,
        place: (i32, i64),
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        mut fail: impl FnMut(&str, String),
    ) {
        for source in &mut self.sources {
            let Source::Topic(table) = source else { continue };
            if matches!(&table.settings().source, TableSource::Topic(own) if own == topic)
                && let Err(why) = table.apply(place, key, value)
            {
                fail(&table.settings().name, why);
            }
        }
    }

    /// Makes versions of what topics have said: whether anything is new.
    pub(crate) fn commit_topics(
        &mut self,
        mut say: impl FnMut(String),
        mut fail: impl FnMut(String),
    ) -> bool {
        let mut has_changed = false;
        for (source, known) in self.sources.iter_mut().zip(&mut self.tables.all) {
            let Source::Topic(table) = source else { continue };
            if !table.has_changes() {
                continue;
            }
            match table.commit() {
                Ok(loaded) => {
                    say(describe(table.settings(), &loaded));
                    *known = Arc::new(loaded);
                    has_changed = true;
                }
                Err(error) => fail(format!("table `{}`: {error}", table.settings().name)),
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

    /// The version in force of a table, by its number in the settings.
    pub fn table(&self, at: usize) -> &Table {
        &self.all[at].table
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
