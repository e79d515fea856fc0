//! Rows of files: CSV, NDJSON, STIX 2.1 bundles, and the CSV of MISP and abuse.ch.
//!
//! In: a reader and what the table is to be. Out: its rows, put into a writer one by one. A row that cannot be
//! read is counted and named with its line, and never stops the others. The feeds of MISP, abuse.ch and
//! STIX hold indicators of all kinds: those that a table's key cannot be are passed over, and counted.

use std::io::BufRead;
use std::ops::Range;

use serde_json::Value;
use sigmill_tables::{MatchKind, PutError, Table, TableWriter, write_text};

use super::settings::TableSettings;

/// A row that is longer is not read.
const ROW_BYTES_MAX: usize = 1 << 20;
/// So many rows that cannot be read are named.
const NAMED_MAX: usize = 5;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// With a header (RFC 4180).
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// A STIX 2.1 bundle.
    Stix,
    /// MISP's CSV export of attributes.
    Misp,
    /// The CSV of abuse.ch: the header may be a comment.
    AbuseCh,
}

impl RowFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Ndjson, Self::Stix, Self::Misp, Self::AbuseCh];

    /// Its name in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Stix => "stix",
            Self::Misp => "misp",
            Self::AbuseCh => "abuse.ch",
        }
    }

    /// What the name of a file says.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// Whether indicators that the key cannot be are to be expected.
    fn is_mixed(self) -> bool {
        matches!(self, Self::Stix | Self::Misp | Self::AbuseCh)
    }
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowProblem {
    /// Its line, from 1; of a bundle its object.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows taken.
    pub rows: u64,
    /// Rows of a feed that this table cannot hold.
    pub passed_over: u64,
    /// Rows that cannot be read …
    pub bad: u64,
    /// … and the first of them.
    pub bad_first: Vec<RowProblem>,
}

/// Why nothing is taken of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It has not the form that it should have.
    #[error("{0}")]
    Form(String),
    /// It is too large.
    #[error("{0}; raise its max.bytes or take fewer columns")]
    Full(PutError),
}

/// The rows of a file as a table, and its columns as fields call them.
pub(super) struct ReadTable {
    pub(super) table: Table,
    pub(super) columns: Vec<String>,
    pub(super) counts: RowCounts,
}

/// Reads a file to its end.
pub(super) fn read(reader: impl BufRead, settings: &TableSettings) -> Result<ReadTable, ReadError> {
    match settings.format {
        RowFormat::Csv | RowFormat::Misp | RowFormat::AbuseCh => read_csv(reader, settings),
        RowFormat::Ndjson => read_ndjson(reader, settings),
        RowFormat::Stix => read_stix(reader, settings),
    }
}

/// Puts rows into a writer, and counts.
struct Sink<'s> {
    writer: TableWriter,
    settings: &'s TableSettings,
    counts: RowCounts,
}

impl<'s> Sink<'s> {
    fn new(settings: &'s TableSettings, columns: usize) -> Self {
        let spec = settings.spec(columns);
        let writer = TableWriter::new(spec, settings.duplicates, settings.bytes_max);
        Self { writer, settings, counts: RowCounts::default() }
    }

    fn bad(&mut self, line: u64, message: impl Into<String>) {
        self.counts.bad += 1;
        if self.counts.bad_first.len() < NAMED_MAX {
            self.counts.bad_first.push(RowProblem { line, message: message.into() });
        }
    }

    fn put(&mut self, line: u64, key: &[&str], columns: &[&[u8]]) -> Result<(), ReadError> {
        match self.writer.put(key, columns) {
            Ok(()) => self.counts.rows += 1,
            Err(PutError::Key(_)) if self.settings.format.is_mixed() => {
                self.counts.passed_over += 1;
            }
            Err(PutError::Key(message)) => self.bad(line, message),
            Err(full) => return Err(ReadError::Full(full)),
        }
        Ok(())
    }

    fn finish(mut self, columns: Vec<String>) -> Result<ReadTable, ReadError> {
        let table = self.writer.commit().map_err(ReadError::Full)?;
        Ok(ReadTable { table, columns, counts: self.counts })
    }
}

/// A record of CSV: its fields, unquoted, one after the other.
#[derive(Default)]
struct CsvRecord {
    raw: Vec<u8>,
    text: String,
    fields: Vec<Range<usize>>,
}

impl CsvRecord {
    fn field(&self, at: usize) -> &str {
        &self.text[self.fields[at].clone()]
    }

    /// Reads the next record: how many lines it has, or none at the end.
    fn read(&mut self, reader: &mut impl BufRead) -> Result<Option<u64>, ReadError> {
        self.raw.clear();
        let mut lines = 0;
        loop {
            let before = self.raw.len();
            // A limit, so that a file of one line takes no memory.
            let mut part = std::io::Read::take(&mut *reader, ROW_BYTES_MAX as u64);
            if part.read_until(b'\n', &mut self.raw)? == 0 {
                break;
            }
            lines += 1;
            let has_odd = self.raw.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
            let is_comment = self.raw.starts_with(b"#");
            if self.raw.len() - before >= ROW_BYTES_MAX || self.raw.len() > ROW_BYTES_MAX {
                return Err(ReadError::Form(format!(
                    "has a row of more than {ROW_BYTES_MAX} bytes; is a quote open?"
                )));
            }
            if !has_odd || is_comment {
                break;
            }
        }
        Ok((lines > 0).then_some(lines))
    }

    /// Takes the fields apart; what is wrong if that cannot be done.
    fn split(&mut self, from: usize) -> Result<(), String> {
        self.text.clear();
        self.fields.clear();
        let line = std::str::from_utf8(&self.raw[from..]).map_err(|_| "it is not UTF-8")?;
        let line = line.trim_end_matches(['\n', '\r']);
        let mut rest = Some(line);
        while let Some(text) = rest {
            let start = self.text.len();
            // Blanks before a quote mean nothing.
            rest = match text.trim_start_matches(' ').strip_prefix('"') {
                Some(quoted) => take_quoted(&mut self.text, quoted)?,
                None => {
                    let (field, behind) = match text.split_once(',') {
                        Some((field, behind)) => (field, Some(behind)),
                        None => (text, None),
                    };
                    self.text.push_str(field);
                    behind
                }
            };
            self.fields.push(start..self.text.len());
        }
        Ok(())
    }

    fn all(&self) -> Vec<String> {
        (0..self.fields.len()).map(|at| self.field(at).trim().to_owned()).collect()
    }
}

/// Takes a quoted field: what stands behind its comma.
fn take_quoted<'l>(out: &mut String, mut text: &'l str) -> Result<Option<&'l str>, String> {
    loop {
        let (part, behind) = text.split_once('"').ok_or("a quote is not closed")?;
        out.push_str(part);
        match behind.strip_prefix('"') {
            Some(behind) => {
                out.push('"');
                text = behind;
            }
            None => {
                let behind = behind.trim_start_matches(' ');
                return match behind.strip_prefix(',') {
                    Some(next) => Ok(Some(next)),
                    None if behind.is_empty() => Ok(None),
                    None => Err("there is text behind a closing quote".to_owned()),
                };
            }
        }
    }
}

fn read_csv(mut reader: impl BufRead, settings: &TableSettings) -> Result<ReadTable, ReadError> {
    let mut record = CsvRecord::default();
    let mut line = 0;
    let mut header: Option<Vec<String>> = None;
    let has_comments = settings.format == RowFormat::AbuseCh;
    let has_key = |names: &[String]| settings.key.iter().all(|key| names.contains(key));
    // The header: the first line, or the last comment that names the key.
    let is_row = loop {
        let Some(lines) = record.read(&mut reader)? else { break false };
        line += lines;
        let bom = if line == lines && record.raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let is_comment = has_comments && record.raw.starts_with(b"#");
        let blank = record.raw[bom..].iter().all(u8::is_ascii_whitespace);
        if is_comment {
            let skipped = record.raw.iter().take_while(|b| matches!(b, b'#' | b' ')).count();
            if record.split(skipped).is_ok() && has_key(&record.all()) {
                header = Some(record.all());
            }
        } else if blank {
        } else if header.is_some() {
            break true;
        } else {
            record.split(bom).map_err(|why| ReadError::Form(format!("line {line}: {why}")))?;
            header = Some(record.all());
            break false;
        }
    };
    let header = header.ok_or_else(|| ReadError::Form("has no header".to_owned()))?;
    let at = |name: &String| {
        header.iter().position(|known| known == name).ok_or_else(|| {
            let names = header.join(", ");
            ReadError::Form(format!("has no column `{name}`; its header is: {names}"))
        })
    };
    let keys = match settings.format {
        RowFormat::Misp => vec![at(&"value".to_owned())?],
        _ => settings.key.iter().map(at).collect::<Result<Vec<_>, _>>()?,
    };
    let misp_type = match settings.format {
        RowFormat::Misp => Some(at(&"type".to_owned())?),
        _ => None,
    };
    let to_ids = header.iter().position(|name| misp_type.is_some() && name == "to_ids");
    let (places, columns): (Vec<usize>, Vec<String>) = match &settings.columns {
        Some(columns) => {
            let named = columns.iter().map(|(column, name)| Ok((at(column)?, name.clone())));
            named.collect::<Result<Vec<_>, ReadError>>()?.into_iter().unzip()
        }
        None => {
            let all = header.iter().cloned().enumerate();
            all.filter(|(at, _)| !keys.contains(at)).unzip()
        }
    };
    let mut sink = Sink::new(settings, columns.len());
    let (mut tokens, mut ends) = (Vec::new(), Vec::new());
    let mut is_read = is_row;
    loop {
        if !std::mem::take(&mut is_read) {
            match record.read(&mut reader)? {
                Some(lines) => line += lines,
                None => break,
            }
        }
        if (has_comments && record.raw.starts_with(b"#"))
            || record.raw.iter().all(u8::is_ascii_whitespace)
        {
            continue;
        }
        if let Err(why) = record.split(0) {
            sink.bad(line, why);
            continue;
        }
        if record.fields.len() != header.len() {
            let (has, wants) = (record.fields.len(), header.len());
            sink.bad(line, format!("it has {has} fields, the header has {wants}"));
            continue;
        }
        tokens.clear();
        ends.clear();
        for at in &places {
            match record.field(*at) {
                "" => {}
                text => write_text(&mut tokens, text),
            }
            ends.push(tokens.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let row: Vec<&[u8]> = starts.zip(&ends).map(|(start, end)| &tokens[start..*end]).collect();
        if let Some(type_at) = misp_type {
            let is_meant = to_ids.is_none_or(|at| !matches!(record.field(at), "0" | "False"));
            match misp_key(record.field(type_at), record.field(keys[0]), settings.kind) {
                Some(key) if is_meant => sink.put(line, &[key], &row)?,
                _ => sink.counts.passed_over += 1,
            }
            continue;
        }
        let key: Vec<&str> = keys.iter().map(|at| record.field(*at)).collect();
        match (settings.format, settings.kind, key.as_slice()) {
            // `address:port`
            (RowFormat::AbuseCh, MatchKind::Cidr, [key]) => {
                sink.put(line, &[without_port(key)], &row)?;
            }
            _ => sink.put(line, &key, &row)?,
        }
    }
    sink.finish(columns)
}

fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            host
        }
        _ => text,
    }
}

/// The part of a MISP attribute's value that a key of this kind can be.
fn misp_key<'v>(kind: &str, value: &'v str, wanted: MatchKind) -> Option<&'v str> {
    let (first, second) = value.split_once('|').unwrap_or((value, value));
    let kinds = kind.split_once('|').unwrap_or((kind, kind));
    let is_hash = |kind: &str| {
        ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "imphash"].contains(&kind)
    };
    let is_address = |kind: &str| matches!(kind, "ip-src" | "ip-dst" | "ip");
    let is_domain = |kind: &str| matches!(kind, "domain" | "hostname");
    let fits = |kind: &str| match wanted {
        MatchKind::Cidr => is_address(kind),
        MatchKind::Domain => is_domain(kind),
        MatchKind::Hashes => is_hash(kind),
        MatchKind::Exact { .. } => true,
    };
    match wanted {
        MatchKind::Exact { .. } => Some(value),
        _ if fits(kinds.0) => Some(first),
        _ if fits(kinds.1) => Some(second),
        _ => None,
    }
}

/// A member of an object: of just that name, or nested at dots.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    if let Some(found) = value.get(name) {
        return Some(found);
    }
    name.match_indices('.').find_map(|(dot, _)| member(value.get(&name[..dot])?, &name[dot + 1..]))
}

/// Appends a column: a scalar, or those of an array.
fn push_column(out: &mut Vec<u8>, value: &Value) {
    fn scalars<'v>(value: &'v Value, out: &mut Vec<&'v Value>) {
        match value {
            Value::Array(elements) => elements.iter().for_each(|one| scalars(one, out)),
            // Nobody can join an object.
            Value::Object(_) => {}
            scalar => out.push(scalar),
        }
    }
    fn push(out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::String(text) => write_text(out, text),
            other => out.extend_from_slice(other.to_string().as_bytes()),
        }
    }
    let mut found = Vec::new();
    scalars(value, &mut found);
    match (value, found.as_slice()) {
        (_, []) => {}
        (Value::Array(_), found) if found.len() > 1 => {
            out.push(b'[');
            for (at, one) in found.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push(out, one);
            }
            out.push(b']');
        }
        (_, found) => push(out, found[0]),
    }
}

pub(super) fn columns_of(value: &Value, settings: &TableSettings) -> Vec<Vec<u8>> {
    let named = settings.columns.iter().flatten();
    let column = |(name, _): &(String, String)| {
        let mut token = Vec::new();
        if let Some(value) = member(value, name) {
            push_column(&mut token, value);
        }
        token
    };
    named.map(column).collect()
}

pub(super) fn column_names(settings: &TableSettings) -> Vec<String> {
    settings.columns.iter().flatten().map(|(_, name)| name.clone()).collect()
}

/// The text of a key.
pub(super) fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn read_ndjson(mut reader: impl BufRead, settings: &TableSettings) -> Result<ReadTable, ReadError> {
    let columns = column_names(settings);
    let mut sink = Sink::new(settings, columns.len());
    let mut raw = Vec::new();
    let mut line = 0;
    loop {
        raw.clear();
        let mut part = std::io::Read::take(&mut reader, ROW_BYTES_MAX as u64);
        if part.read_until(b'\n', &mut raw)? == 0 {
            break;
        }
        line += 1;
        if raw.len() >= ROW_BYTES_MAX {
            let why = format!("line {line} has more than {ROW_BYTES_MAX} bytes");
            return Err(ReadError::Form(why));
        }
        let text = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&raw);
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let value: Value = match serde_json::from_slice(text) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) => {
                sink.bad(line, "it is no object");
                continue;
            }
            Err(error) => {
                sink.bad(line, format!("it is no JSON: {error}"));
                continue;
            }
        };
        let keys: Option<Vec<String>> =
            settings.key.iter().map(|name| key_text(member(&value, name)?)).collect();
        let Some(keys) = keys else {
            sink.bad(line, format!("it has no text `{}`", settings.key.join("`, `")));
            continue;
        };
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let row = columns_of(&value, settings);
        let row: Vec<&[u8]> = row.iter().map(Vec::as_slice).collect();
        sink.put(line, &keys, &row)?;
    }
    sink.finish(columns)
}

fn read_stix(reader: impl BufRead, settings: &TableSettings) -> Result<ReadTable, ReadError> {
    let columns = column_names(settings);
    let mut sink = Sink::new(settings, columns.len());
    let bundle: Value = serde_json::from_reader(reader)
        .map_err(|error| ReadError::Form(format!("is no JSON: {error}")))?;
    let Some(Value::Array(objects)) = bundle.get("objects") else {
        return Err(ReadError::Form("is no STIX bundle: it has no `objects`".to_owned()));
    };
    for (line, object) in (1..).zip(objects) {
        if object.get("type").and_then(Value::as_str) != Some("indicator")
            || object.get("revoked") == Some(&Value::Bool(true))
        {
            sink.counts.passed_over += 1;
            continue;
        }
        let Some(pattern) = object.get("pattern").and_then(Value::as_str) else {
            sink.bad(line, "the indicator has no pattern");
            continue;
        };
        if object.get("pattern_type").and_then(Value::as_str).is_some_and(|kind| kind != "stix") {
            sink.counts.passed_over += 1;
            continue;
        }
        let values = match stix_values(pattern) {
            Ok(values) => values,
            Err(why) => {
                sink.bad(line, why);
                continue;
            }
        };
        let row = columns_of(object, settings);
        let row: Vec<&[u8]> = row.iter().map(Vec::as_slice).collect();
        for (path, value) in &values {
            let fits = match settings.kind {
                MatchKind::Cidr => path.starts_with("ipv4-addr:") || path.starts_with("ipv6-addr:"),
                MatchKind::Domain => path.starts_with("domain-name:"),
                MatchKind::Hashes => path.starts_with("file:hashes"),
                MatchKind::Exact { .. } => true,
            };
            match fits {
                true => sink.put(line, &[value], &row)?,
                false => sink.counts.passed_over += 1,
            }
        }
    }
    sink.finish(columns)
}

/// The comparisons of a STIX pattern that is nothing but alternatives of equal values.
fn stix_values(pattern: &str) -> Result<Vec<(String, String)>, String> {
    let shown: String = pattern.chars().take(120).collect();
    let odd = |what: &str| format!("{what}, which no table can hold: {shown}");
    let mut values = Vec::new();
    let mut rest = pattern.trim();
    loop {
        rest = rest.trim_start_matches(['[', '(', ' ']);
        let Some((path, behind)) = rest.split_once('=') else {
            return Err(odd("the pattern has no `=`"));
        };
        let path = path.trim();
        if path.contains([' ', '!', '<', '>']) || !path.contains(':') {
            return Err(odd("the pattern has another comparison than `=`"));
        }
        let behind = behind.trim_start().strip_prefix('\'').ok_or_else(|| odd("no text"))?;
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let end = loop {
            match chars.next() {
                Some((_, '\\')) => value.extend(chars.next().map(|(_, c)| c)),
                Some((at, '\'')) => break at,
                Some((_, c)) => value.push(c),
                None => return Err(odd("a quote is open")),
            }
        };
        values.push((path.to_owned(), value));
        rest = behind[end + 1..].trim_start_matches([']', ')', ' ']);
        if rest.is_empty() {
            return Ok(values);
        }
        rest = rest.strip_prefix("OR").ok_or_else(|| odd("the pattern joins by more than OR"))?;
    }
}
