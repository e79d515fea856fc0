//! One version of a table, and how it is asked.
//!
//! # Soundness
//! What is known of all keys ([`KeyFacts`]) only grows with updates: it may send a look-up to where no
//! row is, and never keeps it from one.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::kind::{KeyFacts, MatchKind};
use crate::layer::{KeyHasher, Layer, Row, hash_of};

/// Shards of a table: the part that an update copies is one of so many.
pub(crate) const SHARDS: usize = 256;

/// What a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// How keys and values meet.
    pub kind: MatchKind,
    /// How many columns make a key; more than one only where it is exact.
    pub key_parts: usize,
    /// How many columns a row has beside.
    pub columns: usize,
}

/// One version of a table; copies share their rows.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) spec: TableSpec,
    pub(crate) hasher: KeyHasher,
    pub(crate) facts: KeyFacts,
    pub(crate) shards: Vec<Shard>,
    pub(crate) len: usize,
}

/// The rows whose hash begins with one byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shard {
    /// Most rows.
    pub(crate) base: Arc<Layer>,
    /// What has changed since that was made.
    pub(crate) delta: Arc<Layer>,
}

/// Memory for look-ups, to be used again.
#[derive(Debug, Default)]
pub struct LookUpBuffer(Vec<u8>);

impl Shard {
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<Row<'_>> {
        if self.delta.len() > 0
            && let Some(row) = self.delta.find(hash, key)
        {
            return (!row.is_gone).then_some(row);
        }
        self.base.find(hash, key)
    }
}

impl Table {
    /// A table without rows.
    pub fn empty(spec: TableSpec) -> Self {
        Self {
            spec,
            hasher: KeyHasher::default(),
            facts: KeyFacts::default(),
            shards: vec![Shard::default(); SHARDS],
            len: 0,
        }
    }

    /// What it is.
    pub fn spec(&self) -> &TableSpec {
        &self.spec
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory that it holds.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.base.bytes() + shard.delta.bytes()).sum()
    }

    /// Calls `each` with the rows whose key meets a value, most special first, until it breaks. A value has
    /// as many parts as the key; texts are as they are, without quotes and escapes.
    pub fn look_up<'t>(
        &'t self,
        value: &[&[u8]],
        buf: &mut LookUpBuffer,
        mut each: impl FnMut(Row<'t>) -> ControlFlow<()>,
    ) {
        if self.len == 0 || value.len() != self.spec.key_parts {
            return;
        }
        let _ =
            self.spec.kind.look_up(value, &self.facts, &mut buf.0, |key| match self.find(key) {
                Some(row) => each(row),
                None => ControlFlow::Continue(()),
            });
    }

    /// A stored key as people write it.
    pub fn show_key(&self, stored: &[u8]) -> String {
        self.spec.kind.show(self.spec.key_parts, stored)
    }

    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Option<Row<'_>> {
        let hash = hash_of(&self.hasher, key);
        self.shards[shard_of(hash)].find(hash, key)
    }
}

#[inline]
pub(crate) fn shard_of(hash: u64) -> usize {
    (hash >> 56) as usize
}
