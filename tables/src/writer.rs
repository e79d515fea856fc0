//! Makes versions of a table: the first one from all rows, each next one from what has changed.
//!
//! A change goes into a shard's small layer. When that has grown to a part of the large one both are put
//! together. So an update copies little, and the table never needs twice its memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;

use crate::layer::{Layer, LayerBuilder, hash_of};
use crate::table::{SHARDS, Shard, Table, TableSpec, shard_of};

/// The part of a shard's rows that its changes may reach …
const DELTA_SHARE: usize = 8;
/// … beyond so many.
const DELTA_MIN: usize = 32;

/// Slots come to a little more than five bytes a row.
const SLOT_BYTES: usize = 6;

/// Which row counts if several have one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// The one that came last.
    #[default]
    Last,
    /// The one that came first.
    First,
    /// All: each column has what any of them says, once.
    All,
}

/// Why a row is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// Its key is none.
    #[error("{0}")]
    Key(String),
    /// The table would be larger than it may be.
    #[error("the table needs more than {bytes_max} bytes")]
    Full {
        /// The limit.
        bytes_max: usize,
    },
}

type Columns = Vec<Box<[u8]>>;

/// Makes the versions of one table.
#[derive(Debug)]
pub struct TableWriter {
    current: Table,
    duplicates: Duplicates,
    bytes_max: usize,
    /// The first version, until it is taken.
    bulk: Option<Bulk>,
    /// What has changed since the last version: columns by stored key; none: it is gone.
    changes: BTreeMap<Box<[u8]>, Option<Columns>>,
    changes_bytes: usize,
    /// The memory of the last version.
    bytes: usize,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Bulk {
    shards: Vec<LayerBuilder>,
    bytes: usize,
}

impl TableWriter {
    /// A writer for a table of at most so many bytes. Until [`Self::commit`] is called the first time, rows
    /// are taken as those of the first version, fast; `duplicates` counts there.
    pub fn new(spec: TableSpec, duplicates: Duplicates, bytes_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| LayerBuilder::new(spec.columns)).collect();
        Self {
            current: Table::empty(spec),
            duplicates,
            bytes_max,
            bulk: Some(Bulk { shards, bytes: 0 }),
            changes: BTreeMap::new(),
            changes_bytes: 0,
            bytes: 0,
            key: Vec::new(),
        }
    }

    /// Takes a row in. Columns are JSON scalars, compact arrays of them, or empty.
    ///
    /// # Errors
    /// The key is none of the table's kind, or there is no room.
    pub fn put(&mut self, key: &[&str], columns: &[&[u8]]) -> Result<(), PutError> {
        self.store(key)?;
        let Self { current, bulk, changes, changes_bytes, bytes: held, key, bytes_max, .. } = self;
        let full = Err(PutError::Full { bytes_max: *bytes_max });
        if let Some(bulk) = bulk {
            let hash = hash_of(&current.hasher, key);
            let shard = &mut bulk.shards[shard_of(hash)];
            let before = shard.bytes();
            shard.push(&current.hasher, key, columns.iter().copied());
            bulk.bytes += shard.bytes() - before + SLOT_BYTES;
            if bulk.bytes > *bytes_max {
                return full;
            }
        } else {
            let bytes =
                key.len() + columns.iter().map(|column| column.len() + 2).sum::<usize>() + 8;
            // A row that takes the place of another needs no more room than that one, roughly.
            let is_new = current.find(key).is_none();
            if is_new && *held + *changes_bytes + bytes > *bytes_max {
                return full;
            }
            *changes_bytes += bytes;
            let columns = columns.iter().map(|column| (*column).into()).collect();
            changes.insert(key.as_slice().into(), Some(columns));
        }
        current.facts.add(current.spec.kind, key);
        Ok(())
    }

    /// Takes a row away.
    ///
    /// # Errors
    /// The key is none of the table's kind.
    pub fn delete(&mut self, key: &[&str]) -> Result<(), PutError> {
        self.store(key)?;
        match &mut self.bulk {
            Some(bulk) => {
                let hash = hash_of(&self.current.hasher, &self.key);
                bulk.shards[shard_of(hash)].push_gone(&self.key);
                bulk.bytes += self.key.len() + 2 + SLOT_BYTES;
            }
            None => {
                self.changes.insert(self.key.as_slice().into(), None);
            }
        }
        Ok(())
    }

    fn store(&mut self, key: &[&str]) -> Result<(), PutError> {
        self.key.clear();
        self.current.spec.kind.store(key, &mut self.key).map_err(PutError::Key)
    }

    /// Whether there is something that the last version does not have.
    pub fn has_changes(&self) -> bool {
        self.bulk.is_some() || !self.changes.is_empty()
    }

    /// The version with all that was said so far.
    ///
    /// # Errors
    /// There is no room.
    pub fn commit(&mut self) -> Result<Table, PutError> {
        let full = |_| PutError::Full { bytes_max: self.bytes_max };
        let table = &mut self.current;
        if let Some(bulk) = self.bulk.take() {
            for (shard, builder) in table.shards.iter_mut().zip(bulk.shards) {
                let layer = builder.finish(&table.hasher, self.duplicates, false).map_err(full)?;
                table.len += layer.len();
                *shard = Shard { base: Arc::new(layer), delta: Arc::default() };
            }
        }
        let mut by_shard: HashMap<usize, Vec<Change>> = HashMap::default();
        self.changes_bytes = 0;
        for (key, columns) in std::mem::take(&mut self.changes) {
            let shard = shard_of(hash_of(&table.hasher, &key));
            by_shard.entry(shard).or_default().push((key, columns));
        }
        for (at, changes) in by_shard {
            for (key, columns) in &changes {
                let was_there = table.find(key).is_some();
                table.len = table.len + usize::from(columns.is_some()) - usize::from(was_there);
            }
            table.shards[at] = changed(table, &table.shards[at], &changes).map_err(full)?;
        }
        self.bytes = table.bytes();
        Ok(table.clone())
    }
}

/// A stored key and its columns; none: the row is gone.
type Change = (Box<[u8]>, Option<Columns>);

/// A shard with changes.
fn changed(
    table: &Table,
    shard: &Shard,
    changes: &[Change],
) -> Result<Shard, crate::layer::TooLarge> {
    let (hasher, columns) = (&table.hasher, table.spec.columns);
    let copy = |layer: &Layer, into: &mut LayerBuilder| {
        for row in layer.iter() {
            match row.is_gone {
                true => into.push_gone(row.key()),
                false => into.push(hasher, row.key(), row.columns()),
            }
        }
    };
    let mut delta = LayerBuilder::new(columns);
    copy(&shard.delta, &mut delta);
    for (key, columns) in changes {
        match columns {
            Some(columns) => delta.push(hasher, key, columns.iter().map(|column| &**column)),
            None => delta.push_gone(key),
        }
    }
    let delta = delta.finish(hasher, Duplicates::Last, true)?;
    if delta.len() <= DELTA_MIN + shard.base.len() / DELTA_SHARE {
        return Ok(Shard { base: Arc::clone(&shard.base), delta: Arc::new(delta) });
    }
    let mut base = LayerBuilder::new(columns);
    copy(&shard.base, &mut base);
    copy(&delta, &mut base);
    let base = base.finish(hasher, Duplicates::Last, false)?;
    Ok(Shard { base: Arc::new(base), delta: Arc::default() })
}
