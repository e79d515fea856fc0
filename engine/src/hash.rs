//! The hash tables of plans: keyed by what rules say, looked up by what records say.
//!
//! foldhash is seeded per process and fast on short keys. Tables that are *filled* from records take
//! the standard library's keyed hasher instead, which nobody can aim at.

/// A table that plans fill and records only read.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::quality::RandomState>;
