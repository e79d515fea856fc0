//! Avro records as JSON, once for each record, before anything else looks at them.
//!
//! In: a value in Confluent's wire format: a zero, the schema's id in four bytes, and the record's binary form. Out:
//! the bytes of one JSON object as Java's Avro library prints it: bytes as `{"bytes": …}`, fixed as a list of
//! numbers, enums and texts as texts, unions as their value; logical types as what they are stored in. Schemas are
//! fetched by their id once and compiled ([`schema`]); after that a record costs one pass ([`decode`]) into a buffer
//! that is used again.
//!
//! The Avro crate reads schemas, and is the oracle of the tests. Its reader of records is not used: it has no limit on
//! nesting, and an array of nulls that claims to be long makes it take memory at will.

mod decode;
pub mod registry;
mod schema;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use registry::{Registry, RegistryError};
use schema::Schema;

/// How long an id that the registry does not know is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// So many unknown ids are remembered.
const UNKNOWN_MAX: usize = 10_000;

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It does not begin with a zero and an id.
    NoSchemaId,
    /// The registry has no such schema, or not one that can be read.
    Schema {
        /// The id.
        id: u32,
        /// What is wrong.
        why: Arc<str>,
    },
    /// The bytes are not what the schema says.
    Record {
        /// The schema's id.
        id: u32,
        /// What is wrong.
        why: &'static str,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSchemaId => write!(f, "not Avro: it does not begin with a schema id"),
            Self::Schema { id, why } => write!(f, "the Avro schema {id} cannot be used: {why}"),
            Self::Record { id, why } => write!(f, "not of the Avro schema {id}: {why}"),
        }
    }
}

enum Known {
    Schema(Schema),
    Bad { why: Arc<str>, since: Instant },
}

/// Turns records into JSON; keeps schemas and its buffer.
pub struct Decoder {
    registry: Arc<Registry>,
    known: HashMap<u32, Known>,
    json: Vec<u8>,
    json_bytes_max: usize,
}

impl Decoder {
    /// Records whose JSON is longer than `json_bytes_max` are refused.
    pub fn new(registry: Arc<Registry>, json_bytes_max: usize) -> Self {
        Self { registry, known: HashMap::new(), json: Vec::new(), json_bytes_max }
    }

    /// Sees to it that the record's schema is known, which may take a request.
    ///
    /// # Errors
    /// The registry does not answer, or refuses to: the record has to wait.
    pub fn prepare(&mut self, record: &[u8]) -> Result<(), RegistryError> {
        let Some((id, _)) = split(record) else { return Ok(()) };
        match self.known.get(&id) {
            Some(Known::Schema(_)) => return Ok(()),
            Some(Known::Bad { since, .. }) if since.elapsed() < UNKNOWN_FOR => return Ok(()),
            _ => {}
        }
        let known = match self.registry.schema(id) {
            Ok(found) => match Schema::parse(&found.schema, &found.references) {
                Ok(schema) => Known::Schema(schema),
                Err(why) => bad(why),
            },
            Err(RegistryError::NotFound(why)) => bad(why),
            Err(error) => return Err(error),
        };
        if matches!(known, Known::Bad { .. }) && self.known.len() >= UNKNOWN_MAX {
            self.known.retain(|_, known| matches!(known, Known::Schema(_)));
        }
        self.known.insert(id, known);
        Ok(())
    }

    /// A record whose schema was prepared, as JSON.
    ///
    /// # Errors
    /// It is not what its schema says, or has none.
    pub fn to_json(&mut self, record: &[u8]) -> Result<&[u8], Refusal> {
        let (id, body) = split(record).ok_or(Refusal::NoSchemaId)?;
        match self.known.get(&id) {
            Some(Known::Schema(schema)) => {
                self.json.clear();
                decode::to_json(schema, body, &mut self.json, self.json_bytes_max)
                    .map_err(|why| Refusal::Record { id, why })?;
                Ok(&self.json)
            }
            Some(Known::Bad { why, .. }) => Err(Refusal::Schema { id, why: Arc::clone(why) }),
            None => Err(Refusal::Schema { id, why: "it was not asked for".into() }),
        }
    }
}

fn bad(why: String) -> Known {
    Known::Bad { why: why.into(), since: Instant::now() }
}

/// The schema's id and the record's own bytes.
fn split(record: &[u8]) -> Option<(u32, &[u8])> {
    let (header, body) = record.split_first_chunk::<5>()?;
    let [0, id @ ..] = header else { return None };
    Some((u32::from_be_bytes(*id), body))
}

#[cfg(test)]
mod tests;
