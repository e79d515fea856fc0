//! Tables of files: read whole, watched, and swapped in when they have changed.
//!
//! A file that cannot be read any more leaves its last good version in force; that is said once, until it
//! can be read again. What tells that a file has changed is its time, its length and its number in the file system: a
//! file should be replaced by renaming, so that nobody reads half of one.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use sigmill_tables::Table;

use super::rows::{self, ReadError, RowCounts};
use super::settings::{TableSettings, TableSource};

/// A version of a table.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its rows.
    pub table: Table,
    /// Its columns, as fields call them behind the prefix.
    pub columns: Vec<String>,
    /// Tells this version from others: a hash of what was read.
    pub version: Arc<str>,
    /// What was read.
    pub counts: RowCounts,
}

/// Why a table cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("table `{table}`: `{}` {source}", path.display())]
pub struct LoadError {
    table: String,
    path: PathBuf,
    source: ReadError,
}

/// What tells whether a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    number: u64,
}

/// A table of a file.
#[derive(Debug)]
pub struct FileTable {
    settings: TableSettings,
    stamp: Option<Stamp>,
}

impl FileTable {
    /// The table of these settings, not read yet.
    pub fn new(settings: TableSettings) -> Self {
        Self { settings, stamp: None }
    }

    /// Reads the file if it has changed since it was read last.
    ///
    /// # Errors
    /// It cannot be read, or has not the form that it should have. It is tried again when it has changed.
    pub fn load(&mut self) -> Result<Option<Loaded>, LoadError> {
        let TableSource::File(path) = &self.settings.source else { return Ok(None) };
        let failed =
            |source| LoadError { table: self.settings.name.clone(), path: path.clone(), source };
        let stamp = match stamp(path) {
            Ok(stamp) => stamp,
            // It may be about to be replaced; the first time it has to be there.
            Err(_) if self.stamp.is_some() => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        if self.stamp == Some(stamp) {
            return Ok(None);
        }
        let file = File::open(path).map_err(|error| failed(error.into()))?;
        self.stamp = Some(stamp);
        let mut hash = DefaultHasher::new();
        let hashed = Hashed { reader: file, hash: &mut hash };
        let read = rows::read(BufReader::with_capacity(1 << 20, hashed), &self.settings);
        let read = read.map_err(failed)?;
        Ok(Some(Loaded {
            table: read.table,
            columns: read.columns,
            version: format!("{:016x}", hash.finish()).into(),
            counts: read.counts,
        }))
    }

    /// What it is.
    pub fn settings(&self) -> &TableSettings {
        &self.settings
    }
}

fn stamp(path: &PathBuf) -> std::io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Ok(Stamp { modified: metadata.modified().ok(), len: metadata.len(), number })
}

/// A reader that hashes what it reads.
struct Hashed<'h, R> {
    reader: R,
    hash: &'h mut DefaultHasher,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = self.reader.read(buf)?;
        self.hash.write(&buf[..len]);
        Ok(len)
    }
}
