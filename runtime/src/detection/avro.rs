//! Detections as Confluent Sigma's unreleased head writes them in Avro, in Confluent's wire format.
//!
//! The schema's id is put into its four bytes when the detection is sent, since it may differ from topic to topic.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::Event;
use super::extract::Extract;
use super::json_text::write_compact;
use super::rule_facts::RuleFacts;
use crate::avro::registry::{Registry, RegistryError};
use crate::run_error::RunError;
use crate::shutdown::Shutdown;

/// The schema, spelled as the JVM processor registers it, so that both have one id.
pub const SCHEMA: &str = concat!(
    r#"{"type":"record","name":"DetectionResultsAvro","namespace":"io.confluent.sigmarules.models","fields":["#,
    r#"{"name":"timeStamp","type":"long"},"#,
    r#"{"name":"title","type":{"type":"string","avro.java.string":"String"}},"#,
    r#"{"name":"id","type":["null",{"type":"string","avro.java.string":"String"}]},"#,
    r#"{"name":"outputTopic","type":{"type":"string","avro.java.string":"String"}},"#,
    r#"{"name":"sourceData","type":{"type":"string","avro.java.string":"String"}},"#,
    r#"{"name":"customFields","type":["null",{"type":"map","#,
    r#""values":{"type":"string","avro.java.string":"String"},"#,
    r#""avro.java.string":"String","default":{}}],"default":null}]}"#
);

/// How long a registry that does not answer is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// The ids of the schema, by topic.
#[derive(Debug)]
pub struct OutputSchemas {
    registry: Arc<Registry>,
    /// For topics that have none of their own: ids go by content, so it is the right one as a rule.
    default: AtomicU32,
    by_topic: ArcSwap<HashMap<String, u32>>,
}

impl OutputSchemas {
    /// Nothing is known yet.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, default: AtomicU32::new(0), by_topic: ArcSwap::default() }
    }

    /// The registry that is asked.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Registers the schema for a topic, or finds it there. The first topic's id is that of all without one.
    ///
    /// # Errors
    /// The registry refuses it, or does not answer.
    pub fn register(&self, topic: &str) -> Result<(), RegistryError> {
        let id = self.registry.value_schema_id(topic, SCHEMA)?;
        // Nothing but a zero gives way.
        let _ = self.default.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed);
        self.by_topic.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(topic.to_owned(), id);
            known
        });
        Ok(())
    }

    /// The same, for as long as it takes the registry to answer.
    ///
    /// # Errors
    /// It refuses, does not answer within the time, or a stop was asked for.
    pub fn register_within(
        &self,
        topic: &str,
        timeout: Duration,
        shutdown: &Shutdown,
    ) -> Result<(), RunError> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.register(topic) {
                Ok(()) => return Ok(()),
                Err(RegistryError::Unavailable(_)) if shutdown.is_asked() => {
                    return Err(RunError::Stopped);
                }
                Err(RegistryError::Unavailable(_)) if Instant::now() < deadline => {
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(RunError::Schema { topic: topic.to_owned(), error }),
            }
        }
    }

    /// Puts the id for a topic into a detection.
    pub(crate) fn stamp(&self, topic: &str, detection: &mut [u8]) {
        let id = self.by_topic.load().get(topic).copied();
        let id = id.unwrap_or_else(|| self.default.load(Ordering::Relaxed));
        if let Some(place) = detection.get_mut(1..5) {
            place.copy_from_slice(&id.to_be_bytes());
        }
    }
}

/// A rule's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Avro {
    /// Between the wall clock and the source.
    head: Vec<u8>,
    custom_fields: Vec<(String, String)>,
}

impl Avro {
    pub(super) fn new(facts: &RuleFacts<'_>) -> Self {
        let mut head = Vec::new();
        text(&mut head, facts.title.as_bytes());
        match facts.id {
            None => long(&mut head, 0),
            Some(id) => {
                long(&mut head, 1);
                text(&mut head, id.as_bytes());
            }
        }
        text(&mut head, facts.output_topic.as_bytes());
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { head, custom_fields: facts.custom_fields.iter().map(owned).collect() }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, now: i64, event: &Event<'_>, extract: &Extract) {
        out.extend_from_slice(&[0; 5]);
        long(out, now);
        out.extend_from_slice(&self.head);
        let mut source = Vec::with_capacity(event.bytes.len());
        write_compact(&mut source, event.bytes);
        text(out, &source);
        let is_own = |name: &str| self.custom_fields.iter().any(|(own, _)| own == name);
        let captures = extract.captures.iter().filter(|(name, _)| !is_own(name));
        let captures = captures.filter_map(|(name, value)| Some((&**name, value.as_deref()?)));
        let own = self.custom_fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<(&str, &str)> = captures.chain(own).collect();
        if fields.is_empty() {
            return long(out, 0);
        }
        long(out, 1);
        long(out, fields.len() as i64);
        for (name, value) in fields {
            text(out, name.as_bytes());
            text(out, value.as_bytes());
        }
        long(out, 0);
    }
}

/// Zigzag, seven bits a byte, the lowest first.
fn long(out: &mut Vec<u8>, number: i64) {
    let mut bits = ((number << 1) ^ (number >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}
