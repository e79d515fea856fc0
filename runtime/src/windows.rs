//! Step 6, window: aggregations and correlations over what all workers of all machines match.
//!
//! ```text
//! worker of a data partition:     match ─► feed ─► outbox ─┐  matches topic, a partition for each group
//! worker that owns the group:     ┌────────────────────────┘
//!                                 └─► owner (a partition's windows) ─► detections
//! ```
//! [`feed`] makes matches of a record and judges which are late, by the time of its own partition.
//! [`outbox`] gathers them for the partition of their group; [`match_batch`] is how they travel.
//! [`owner`] counts: its state is a function of the records of its partition up to an offset, so whoever
//! takes the partition over reads a piece of it again and goes on, a shorter one where a [`checkpoint`] is at hand. [`purge`] forgets what nobody needs of the topic. [`shard`] has the owners of a worker, and sends what they find. [`rules`] says which versions of which
//! windows are in force. Where the data topic is partitioned by group, the exchange can be left out
//! (`sigmill.window.exchange=none`): an owner then counts what its own worker matches in that partition.

pub(crate) mod checkpoint;
pub(crate) mod exchange;
pub(crate) mod feed;
pub(crate) mod match_batch;
pub(crate) mod outbox;
pub(crate) mod owner;
pub(crate) mod purge;
pub(crate) mod rules;
pub(crate) mod shard;
