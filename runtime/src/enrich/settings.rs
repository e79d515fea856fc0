//! The settings of tables, joins and levels: names that a user chooses stand in the settings' names.
//!
//! In: properties. Out: [`EnrichSettings`], and every problem, each naming its place, as for all settings.

use sigmill_codegen::{OverlayFields, Overlays};
use sigmill_parser::Level;
use sigmill_tables::{Duplicates, MatchKind, TableSpec};
use std::path::PathBuf;

use super::levels::{LevelChange, LevelMap};
use super::rows::RowFormat;
use crate::properties::{Entry, Properties};
use crate::settings::{Problem, is_topic_name, parts};

/// A setting with a chosen name in its own.
#[derive(Debug, Clone, Copy)]
pub struct EnrichKey {
    /// Its name, with `<name>` where the chosen one stands.
    pub name: &'static str,
    /// What its value may be.
    pub expected: &'static str,
    /// The value when there is none; empty: none.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

macro_rules! keys {
    ($($name:literal, $expected:literal, $default:literal, $meaning:literal;)*) => {
        /// Every setting of tables, joins and levels.
        pub const ENRICH_KEYS: &[EnrichKey] = &[
            $(EnrichKey { name: $name, expected: $expected, default: $default, meaning: $meaning },)*
        ];
    };
}

keys! {
    "sigmill.table.<name>.file", "a readable file", "",
        "Where the rows come from; the file is watched, and swapped in whole when it has changed.";
    "sigmill.table.<name>.topic", "a topic name", "",
        "Instead of a file: a compacted topic. The key of a record is the key of a row (with several key columns: a JSON object), its value a JSON object, no value takes the row away. Read to its end before any record is matched.";
    "sigmill.table.<name>.format", "csv, ndjson, stix, misp or abuse.ch", "",
        "The form of the file; `.csv`, `.ndjson`, `.jsonl` and `.json` say theirs (CSV, NDJSON).";
    "sigmill.table.<name>.key", "names of columns, separated by commas", "",
        "The columns that make the key; several only where it is exact. `value` for MISP and STIX if not given.";
    "sigmill.table.<name>.columns", "names of columns, separated by commas; `column as name` calls one otherwise", "",
        "What is kept of a row. All columns of the header for CSV if not given; NDJSON: members, `a.b` for nested ones.";
    "sigmill.table.<name>.match", "exact, cidr, domain or hashes", "exact",
        "How values meet keys: the same text; an address in a network, the longest one first; a domain and its parents; a hash, or one in a list as `SHA256=…,MD5=…`.";
    "sigmill.table.<name>.cased", "true or false", "false",
        "Whether case counts where the match is exact.";
    "sigmill.table.<name>.prefix", "a text", "<name>.",
        "Stands before the names of the columns in the fields that are laid over records.";
    "sigmill.table.<name>.duplicates", "last, first or all", "last",
        "Of several rows with one key: the last, the first, or all, each column then having what any of them says.";
    "sigmill.table.<name>.max.bytes", "bytes, from 1", "1073741824",
        "The memory that the table may take. Of a larger file nothing is taken, and the last good version stays.";
    "sigmill.join.<name>.table", "the name of a table", "",
        "The table that is asked.";
    "sigmill.join.<name>.fields", "names of fields, separated by commas", "",
        "The record's fields that hold the key: as many as the key has columns, or, where it has one, several that are asked one after the other.";
    "sigmill.join.<name>.prefix", "a text", "",
        "Another prefix than the table's, for a second join with the same table.";
    "sigmill.join.<name>.several", "first or all", "first",
        "Of several rows that are hit (by the elements of an array, by several fields, networks or parents): the first, most special one, or all, each field then having several values.";
    "sigmill.join.<name>.default.<column>", "a text", "",
        "What the column says if no row is hit. Without it the field is absent then.";
    "sigmill.join.<name>.when", "rules or detections", "rules",
        "`rules`: the join is done if a rule in force looks at one of its fields. `detections`: it is also done for each record that matches, so that its detections show the fields.";
    "sigmill.joins", "names of joins, separated by commas", "",
        "The joins in their order; one may use a field that one before it lays. As they stand in the file if not given.";
    "sigmill.level.<name>.field", "the name of a field", "",
        "A field of the record, most often a joined one, that raises or lowers the level of detections.";
    "sigmill.level.<name>.map", "value:change separated by commas; a change is +1, -1, … or a level", "",
        "What its values do to the level of a detection; the rule's own is kept beside it.";
}

/// Whether a setting is one of these.
pub fn is_own(name: &str) -> bool {
    name == "sigmill.joins"
        || ["sigmill.table.", "sigmill.join.", "sigmill.level."].iter().any(|p| name.starts_with(p))
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableSource {
    /// A file.
    File(PathBuf),
    /// A compacted topic.
    Topic(String),
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the setting of its name")]
pub struct TableSettings {
    pub name: String,
    pub source: TableSource,
    pub format: RowFormat,
    pub key: Vec<String>,
    /// As the rows call them, and as fields do. None: all columns of the header.
    pub columns: Option<Vec<(String, String)>>,
    pub kind: MatchKind,
    pub prefix: String,
    pub duplicates: Duplicates,
    pub bytes_max: usize,
}

/// One join.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the setting of its name")]
pub struct JoinSettings {
    pub name: String,
    /// An index into the tables.
    pub table: usize,
    pub fields: Vec<String>,
    pub prefix: String,
    pub takes_all: bool,
    /// By column: a JSON text.
    pub defaults: Vec<(String, Vec<u8>)>,
    pub for_detections: bool,
}

/// Tables, joins and levels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrichSettings {
    /// The tables.
    pub tables: Vec<TableSettings>,
    /// The joins, in order.
    pub joins: Vec<JoinSettings>,
    /// What changes levels, in the order of the file.
    pub levels: Vec<LevelMap>,
}

impl EnrichSettings {
    /// Whether there is nothing to join.
    pub fn is_empty(&self) -> bool {
        self.joins.is_empty()
    }

    /// The topics that are tables.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().filter_map(|table| match &table.source {
            TableSource::Topic(topic) => Some(topic.as_str()),
            TableSource::File(_) => None,
        })
    }

    /// What joins read and lay, for who compiles rules. `columns` are those of the tables.
    pub fn overlays(&self, columns: &[Vec<String>]) -> Overlays {
        let lays = |join: &JoinSettings| -> Vec<String> {
            columns[join.table].iter().map(|name| format!("{}{name}", join.prefix)).collect()
        };
        let all = self
            .joins
            .iter()
            .map(|join| OverlayFields { reads: join.fields.clone(), lays: lays(join) });
        let shown = self.joins.iter().filter(|join| join.for_detections).flat_map(lays);
        let wanted = self.levels.iter().map(|level| level.field.clone()).chain(shown).collect();
        Overlays { all: all.collect(), wanted }
    }

    /// Reads the settings.
    pub fn read(properties: &Properties, problems: &mut Vec<Problem>) -> Self {
        let mut reader = Reader { properties, problems };
        let tables: Vec<TableSettings> =
            reader.names("sigmill.table.").iter().filter_map(|name| reader.table(name)).collect();
        let mut names = reader.names("sigmill.join.");
        if let Some((entry, listed)) = reader.get("sigmill.joins") {
            let listed = list(&listed);
            for name in listed.iter().filter(|name| !names.contains(name)) {
                reader.wrong(&entry, "names of joins", &format!("there is no join `{name}`"));
            }
            for name in names.iter().filter(|name| !listed.contains(name)) {
                reader.wrong(&entry, "names of joins", &format!("it leaves `{name}` out"));
            }
            names.retain(|name| listed.contains(name));
            names.sort_by_key(|name| listed.iter().position(|listed| listed == name));
        }
        let joins = names.iter().filter_map(|name| reader.join(name, &tables)).collect();
        let levels = reader.names("sigmill.level.");
        let levels = levels.iter().filter_map(|name| reader.level(name)).collect();
        Self { tables, joins, levels }
    }
}

impl TableSettings {
    /// What the table is, with so many columns.
    pub fn spec(&self, columns: usize) -> TableSpec {
        TableSpec { kind: self.kind, key_parts: self.key.len(), columns }
    }
}

/// The parts of a list.
fn list(text: &str) -> Vec<String> {
    parts(text).map(str::to_owned).collect()
}

struct Reader<'a> {
    properties: &'a Properties,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// The chosen names behind a prefix, in the order of the file; settings that mean nothing are wrong.
    fn names(&mut self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let entries: Vec<Entry> =
            self.properties.iter().filter(|entry| entry.key.starts_with(prefix)).cloned().collect();
        for entry in entries {
            let rest = &entry.key[prefix.len()..];
            let Some((name, what)) = rest.split_once('.').filter(|(name, _)| !name.is_empty())
            else {
                self.wrong(&entry, "a setting of a table, join or level", "it names none");
                continue;
            };
            let known = |key: &&EnrichKey| {
                let known = key.name.strip_prefix(prefix).and_then(|k| k.strip_prefix("<name>."));
                known.is_some_and(|known| match known.strip_suffix("<column>") {
                    Some(known) => what.starts_with(known) && what.len() > known.len(),
                    None => known == what,
                })
            };
            if ENRICH_KEYS.iter().find(known).is_none() {
                let all = ENRICH_KEYS.iter().filter_map(|key| key.name.strip_prefix(prefix));
                let all: Vec<&str> = all.filter_map(|key| key.strip_prefix("<name>.")).collect();
                self.wrong(
                    &entry,
                    &format!("one of {}", all.join(", ")),
                    "there is no such setting",
                );
                continue;
            }
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    fn get(&self, key: &str) -> Option<(Entry, String)> {
        let entry = self.properties.get(key)?;
        let value = entry.value.trim().to_owned();
        (!value.is_empty()).then(|| (entry.clone(), value))
    }

    fn wrong(&mut self, entry: &Entry, expected: &str, why: &str) {
        self.problems.push(Problem::unlike(entry, expected, why));
    }

    fn missing(&mut self, key: &str, expected: &str) {
        let message = format!("Missing required property {key}: expected {expected}.");
        self.problems.push(Problem { key: key.to_owned(), message });
    }

    /// One of some words; the first if there is none.
    fn word(&mut self, key: &str, words: &[&str]) -> usize {
        let Some((entry, value)) = self.get(key) else { return 0 };
        words.iter().position(|word| value.eq_ignore_ascii_case(word)).unwrap_or_else(|| {
            self.wrong(&entry, &words.join(", "), "it is none of these");
            0
        })
    }

    fn format(&mut self, file_entry: &Entry, file: &str, key: &str) -> Option<RowFormat> {
        let formats = RowFormat::ALL.map(RowFormat::as_str);
        if self.get(key).is_some() {
            return Some(RowFormat::ALL[self.word(key, &formats)]);
        }
        let format = RowFormat::of_name(file);
        if format.is_none() {
            let why = format!("its name says no format; set {key}");
            self.wrong(file_entry, "a readable file", &why);
        }
        format
    }

    fn table(&mut self, name: &str) -> Option<TableSettings> {
        let key = |what: &str| format!("sigmill.table.{name}.{what}");
        let (source, format) = match (self.get(&key("file")), self.get(&key("topic"))) {
            (Some((entry, file)), None) => {
                let format = self.format(&entry, &file, &key("format"))?;
                (TableSource::File(PathBuf::from(file)), format)
            }
            (None, Some((entry, topic))) => {
                if !is_topic_name(&topic) {
                    self.wrong(&entry, "a topic name", "it is none");
                    return None;
                }
                // Values are JSON, as lines of NDJSON are.
                (TableSource::Topic(topic), RowFormat::Ndjson)
            }
            (None, None) => {
                self.missing(&key("file"), "a readable file (or a topic)");
                return None;
            }
            (Some(_), Some((entry, _))) => {
                self.wrong(&entry, "a file or a topic", "there are both");
                return None;
            }
        };
        let is_topic = matches!(source, TableSource::Topic(_));
        let cased = self.word(&key("cased"), &["false", "true"]) == 1;
        let kind = match self.word(&key("match"), &["exact", "cidr", "domain", "hashes"]) {
            0 => MatchKind::Exact { folds: !cased },
            1 => MatchKind::Cidr,
            2 => MatchKind::Domain,
            _ => MatchKind::Hashes,
        };
        let key_columns = match self.get(&key("key")) {
            Some((entry, value)) => {
                let columns = list(&value);
                if columns.len() > 1 && !matches!(kind, MatchKind::Exact { .. }) {
                    let why = "several columns make an exact key only";
                    self.wrong(&entry, "names of columns", why);
                    return None;
                }
                columns
            }
            None if is_topic || matches!(format, RowFormat::Stix | RowFormat::Misp) => {
                vec!["value".to_owned()]
            }
            None => {
                self.missing(&key("key"), "names of columns");
                return None;
            }
        };
        let columns = self.get(&key("columns")).map(|(_, value)| {
            let named = |one: String| match one.split_once(" as ") {
                Some((column, name)) => (column.trim().to_owned(), name.trim().to_owned()),
                None => (one.clone(), one),
            };
            list(&value).into_iter().map(named).collect::<Vec<_>>()
        });
        let has_header = matches!(format, RowFormat::Csv | RowFormat::Misp | RowFormat::AbuseCh);
        if columns.is_none() && !has_header {
            self.missing(&key("columns"), "names of columns");
            return None;
        }
        let duplicates = match self.word(&key("duplicates"), &["last", "first", "all"]) {
            0 => Duplicates::Last,
            1 => Duplicates::First,
            _ => Duplicates::All,
        };
        let bytes_max = match self.get(&key("max.bytes")) {
            None => 1 << 30,
            Some((entry, value)) => match value.parse() {
                Ok(bytes) if bytes > 0 => bytes,
                _ => {
                    self.wrong(&entry, "bytes, from 1", "it is no such number");
                    return None;
                }
            },
        };
        let prefix = self.get(&key("prefix")).map_or(format!("{name}."), |(_, value)| value);
        Some(TableSettings {
            name: name.to_owned(),
            source,
            format,
            key: key_columns,
            columns,
            kind,
            prefix,
            duplicates,
            bytes_max,
        })
    }

    fn join(&mut self, name: &str, tables: &[TableSettings]) -> Option<JoinSettings> {
        let key = |what: &str| format!("sigmill.join.{name}.{what}");
        let Some((entry, table_name)) = self.get(&key("table")) else {
            self.missing(&key("table"), "the name of a table");
            return None;
        };
        let Some(at) = tables.iter().position(|table| table.name == table_name) else {
            self.wrong(&entry, "the name of a table", "there is no such table");
            return None;
        };
        let table = &tables[at];
        let Some((entry, fields)) = self.get(&key("fields")) else {
            self.missing(&key("fields"), "names of fields");
            return None;
        };
        let fields = list(&fields);
        if table.key.len() > 1 && fields.len() != table.key.len() {
            let why = format!("the key of `{table_name}` has {} columns", table.key.len());
            self.wrong(&entry, "as many fields as the key has columns", &why);
            return None;
        }
        let prefix = self.get(&key("prefix")).map_or(table.prefix.clone(), |(_, value)| value);
        let default_prefix = key("default.");
        let defaults = self.properties.iter().filter_map(|entry| {
            let column = entry.key.strip_prefix(&default_prefix)?;
            let mut token = Vec::new();
            sigmill_tables::write_text(&mut token, entry.value.trim());
            Some((column.to_owned(), token))
        });
        Some(JoinSettings {
            name: name.to_owned(),
            table: at,
            fields,
            prefix,
            defaults: defaults.collect(),
            takes_all: self.word(&key("several"), &["first", "all"]) == 1,
            for_detections: self.word(&key("when"), &["rules", "detections"]) == 1,
        })
    }

    fn level(&mut self, name: &str) -> Option<LevelMap> {
        let key = |what: &str| format!("sigmill.level.{name}.{what}");
        let Some((_, field)) = self.get(&key("field")) else {
            self.missing(&key("field"), "the name of a field");
            return None;
        };
        let Some((entry, map)) = self.get(&key("map")) else {
            self.missing(&key("map"), "value:change separated by commas");
            return None;
        };
        let mut changes = Vec::new();
        for one in list(&map) {
            let change = one.rsplit_once(':').and_then(|(value, change)| {
                let change = change.trim();
                let steps = change.starts_with(['+', '-']).then(|| change.parse().ok()).flatten();
                let level =
                    Level::ALL.into_iter().find(|l| l.as_str().eq_ignore_ascii_case(change));
                let change = steps.map(LevelChange::By).or(level.map(LevelChange::To))?;
                Some((value.trim().to_lowercase(), change))
            });
            match change {
                Some(change) => changes.push(change),
                None => {
                    let expected = "value:change; a change is +1, -1, … or a level";
                    self.wrong(&entry, expected, &format!("`{one}` is none"));
                    return None;
                }
            }
        }
        Some(LevelMap { field, changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference_page;

    /// The settings as the reference page shows them.
    fn markdown() -> String {
        let mut out = String::from("| setting | value | default | meaning |\n|---|---|---|---|\n");
        for EnrichKey { name, expected, default, meaning } in ENRICH_KEYS {
            let default =
                if default.is_empty() { "–".to_owned() } else { format!("`{default}`") };
            out += &format!("| `{name}` | {expected} | {default} | {meaning} |\n");
        }
        out
    }

    #[test]
    fn the_reference_page_shows_these_settings() {
        reference_page::check("settings.md", "enrichment", &markdown());
    }
}
