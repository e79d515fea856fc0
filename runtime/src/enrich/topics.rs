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
    /// The writer has made a version: it holds each row once.
    is_compact: bool,
    /// The offset behind the last record, by partition.
    offsets: BTreeMap<i32, i64>,
    counts: RowCounts,
}

impl TopicTable {
    pub(crate) fn new(settings: TableSettings) -> Self {
        let columns = rows::column_names(&settings).len();
        let spec = settings.spec(columns);
        let writer = TableWriter::new(spec, settings.duplicates, settings.bytes_max);
        let offsets = BTreeMap::new();
        Self { settings, writer, is_compact: false, offsets, counts: RowCounts::default() }
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
        match self.writer.put(&parts, &columns) {
            // What was read so far may hold many versions of one row: of these the last one is left.
            Err(PutError::Full { .. }) if !self.is_compact => {
                self.is_compact = true;
                self.writer.commit().map_err(said)?;
                self.writer.put(&parts, &columns).map_err(said)
            }
            other => other.map_err(said),
        }
    }

    pub(crate) fn settings(&self) -> &TableSettings {
        &self.settings
    }

    pub(crate) fn has_changes(&self) -> bool {
        self.writer.has_changes()
    }

    /// The version with all that was read.
    pub(crate) fn commit(&mut self) -> Result<Loaded, PutError> {
        self.is_compact = true;
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

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::path::Path;

    use super::*;
    use crate::enrich::EnrichSettings;
    use crate::properties::Properties;

    fn table(more: &str) -> TopicTable {
        let text = format!("sigmill.table.t.topic=t\nsigmill.table.t.columns=a.b as a, c\n{more}");
        let mut problems = Vec::new();
        let properties = Properties::parse(text.as_bytes(), Path::new("s"));
        let settings = EnrichSettings::read(&properties, &mut problems);
        assert_eq!(problems, []);
        TopicTable::new(settings.tables[0].clone())
    }

    fn row(loaded: &Loaded, key: &[&str]) -> Option<Vec<String>> {
        let key: Vec<&[u8]> = key.iter().map(|part| part.as_bytes()).collect();
        let mut found = None;
        loaded.table.look_up(&key, &mut sigmill_tables::LookUpBuffer::default(), |row| {
            let text = |column: &[u8]| String::from_utf8(column.to_vec()).unwrap();
            found = Some(row.columns().map(text).collect());
            ControlFlow::Break(())
        });
        found
    }

    #[test]
    fn records_make_change_and_take_away_rows() {
        let mut table = table("");
        let mut apply = |offset, key: Option<&str>, value: Option<&str>| {
            table.apply((0, offset), key.map(str::as_bytes), value.map(str::as_bytes))
        };
        apply(0, Some("K"), Some(r#"{"a":{"b":"x"},"c":[1,"y",{"z":1}]}"#)).unwrap();
        apply(1, Some("gone"), Some(r#"{"c":true}"#)).unwrap();
        apply(2, Some("gone"), None).unwrap();
        let wrong = [
            (None, Some("{}"), "the record has no key"),
            (Some("k"), Some("[]"), "the value is no object"),
            (Some("k"), Some("x"), "the value is no JSON"),
            (Some(""), Some("{}"), "the key is empty"),
        ];
        for (key, value, why) in wrong {
            let error = apply(3, key, value).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
        let first = table.commit().unwrap();
        assert_eq!(&*first.version, "0:4");
        assert_eq!((first.counts.rows, first.counts.bad), (3, 4));
        assert_eq!(row(&first, &["k"]).unwrap(), [r#""x""#, r#"[1,"y"]"#]);
        assert_eq!(row(&first, &["gone"]), None);
        table.apply((1, 7), Some(b"k"), None).unwrap();
        let second = table.commit().unwrap();
        assert_eq!(&*second.version, "0:4,1:8");
        assert_eq!((row(&second, &["k"]), row(&first, &["k"]).is_some()), (None, true));
    }

    #[test]
    fn several_key_columns_are_an_object() {
        let mut table = table("sigmill.table.t.key=site, host\n");
        table.apply((0, 0), Some(br#"{"host":"h","site":1}"#), Some(br#"{"c":2}"#)).unwrap();
        let error = table.apply((0, 1), Some(br#"{"host":"h"}"#), Some(b"{}")).unwrap_err();
        assert_eq!(error, "the key has no text `site`, `host`");
        let loaded = table.commit().unwrap();
        assert_eq!(row(&loaded, &["1", "H"]).unwrap(), ["", "2"]);
    }

    #[test]
    fn many_versions_of_a_row_are_not_a_large_table() {
        let mut table = table("sigmill.table.t.max.bytes=2000\n");
        let mut refused = 0;
        for n in 0..1000 {
            let (key, value) = (format!("k{}", n % 10), format!(r#"{{"c":"value {n}"}}"#));
            refused += i32::from(
                table.apply((0, n), Some(key.as_bytes()), Some(value.as_bytes())).is_err(),
            );
        }
        let loaded = table.commit().unwrap();
        assert_eq!((refused, loaded.table.len()), (0, 10));
        assert_eq!(row(&loaded, &["k9"]).unwrap()[1], r#""value 999""#);
    }
}
