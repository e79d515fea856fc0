//! Tables of compacted topics: the key of a record is the key of a row, its value a JSON object, no value takes
//! the row away.
//!
//! A record that cannot be read changes nothing: the row before stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sigmill_tables::{PutError, TableWriter};

use super::files::Loaded;
use super::rows::{self, RowCounts};
use super::settings::TableSettings;

/// A table of a topic.
#[derive(Debug)]
pub(crate) struct TopicTable {
    settings: TableSettings,
    writer: TableWriter,
    /// The offset behind the last record, by partition.
    offsets: BTreeMap<i32, i64>,
    counts: RowCounts,
}

impl TopicTable {
    pub(crate) fn new(settings: TableSettings) -> Self {
        let columns = rows::column_names(&settings).len();
        let spec = settings.spec(columns);
        let writer = TableWriter::new(spec, settings.duplicates, settings.bytes_max);
        Self { settings, writer, offsets: BTreeMap::new(), counts: RowCounts::default() }
    }

    /// Takes a record in; what is wrong with it, if anything.
    pub(crate) fn apply(
        &mut self,
        (partition, offset): (i32, i64),
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), String> {
        self.offsets.insert(partition, offset + 1);
        let result = self.put(key, value);
        match &result {
            Ok(()) => self.counts.rows += 1,
            Err(_) => self.counts.bad += 1,
        }
        result
    }

    fn put(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
        let key = key.ok_or("the record has no key")?;
        let key = std::str::from_utf8(key).map_err(|_| "the key is not UTF-8")?;
        let parts = match self.settings.key.as_slice() {
            [_] => vec![key.to_owned()],
            names => {
                let parts: Value = serde_json::from_str(key)
                    .map_err(|error| format!("the key is no JSON object: {error}"))?;
                let part = |name: &String| rows::key_text(rows::member(&parts, name)?);
                let parts: Option<Vec<String>> = names.iter().map(part).collect();
                parts.ok_or_else(|| format!("the key has no text `{}`", names.join("`, `")))?
            }
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let said = |error: PutError| error.to_string();
        let Some(value) = value else { return self.writer.delete(&parts).map_err(said) };
        let value: Value = match serde_json::from_slice(value) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) => return Err("the value is no object".to_owned()),
            Err(error) => return Err(format!("the value is no JSON: {error}")),
        };
        let columns = rows::columns_of(&value, &self.settings);
        let columns: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
        self.writer.put(&parts, &columns).map_err(said)
    }

    pub(crate) fn settings(&self) -> &TableSettings {
        &self.settings
    }

    pub(crate) fn has_changes(&self) -> bool {
        self.writer.has_changes()
    }

    /// The version with all that was read.
    pub(crate) fn commit(&mut self) -> Result<Loaded, PutError> {
        let offsets = self.offsets.iter();
        let offsets: Vec<String> = offsets.map(|(p, offset)| format!("{p}:{offset}")).collect();
        Ok(Loaded {
            table: self.writer.commit()?,
            columns: rows::column_names(&self.settings),
            version: offsets.join(",").into(),
            counts: self.counts.clone(),
        })
    }

    /// An empty version, until the topic is read.
    pub(crate) fn nothing(&self) -> Arc<Loaded> {
        let columns = rows::column_names(&self.settings);
        let table = sigmill_tables::Table::empty(self.settings.spec(columns.len()));
        let counts = RowCounts::default();
        Arc::new(Loaded { table, columns, version: "".into(), counts })
    }
}
