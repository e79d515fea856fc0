//! What the JVM processor tells: its detections, from the output topics of all rules.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Map, Value};
use tracing::debug;

use super::difference::Place;
use super::event_digest::EventDigest;
use super::{Offsets, REQUEST, start};
use crate::avro::Decoder;
use crate::client::LogContext;
use crate::rule_store::RuleSet;
use crate::run_error::RunError;
use crate::settings::Settings;

/// A detection of the JVM processor.
pub(super) struct JvmDetection {
    pub(super) title: String,
    pub(super) id: Option<String>,
    /// None: it is no detection.
    pub(super) event: Value,
    pub(super) digest: EventDigest,
    pub(super) place: Place,
    pub(super) timestamp: Option<i64>,
    /// All but the source; custom fields are members as in JSON, also if it was Avro.
    pub(super) shown: Map<String, Value>,
}

/// Its topics.
pub(super) struct JvmSide {
    consumer: BaseConsumer<LogContext>,
    output_topic: String,
    avro: Option<Decoder>,
    followed: HashSet<String>,
    pub(super) positions: Offsets,
    /// When the last record came.
    pub(super) heard: Instant,
    /// Records that are no detections.
    pub(super) unreadable: u64,
    since: Option<i64>,
}

impl JvmSide {
    pub(super) fn new(settings: &Settings, consumer: BaseConsumer<LogContext>) -> Self {
        let registry = settings.output_schemas.as_ref().map(|schemas| schemas.registry());
        Self {
            consumer,
            output_topic: settings.output_topic.clone(),
            avro: registry.map(|registry| {
                Decoder::new(Arc::clone(registry), settings.record_bytes_max.saturating_mul(2))
            }),
            followed: HashSet::new(),
            positions: Offsets::new(),
            heard: Instant::now(),
            unreadable: 0,
            since: None,
        }
    }

    /// Takes on the topics of new rules. The first call says from which time on detections count; none: from now on.
    pub(super) fn follow(&mut self, rules: &RuleSet, since: Option<i64>) -> Result<(), RunError> {
        self.since = self.since.or(since);
        let named = rules.rules.iter().map(|rule| rule.output_topic.clone());
        let new: HashSet<String> = named
            .chain([self.output_topic.clone()])
            .filter(|topic| !self.followed.contains(topic))
            .collect();
        for topic in new {
            let metadata = self.consumer.fetch_metadata(None, REQUEST);
            let metadata = metadata.map_err(|error| RunError::Fatal(error.to_string()))?;
            let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
                // It is made with its first rule, which the JVM processor may not have loaded yet.
                debug!(topic, "There is no such topic of the JVM processor yet.");
                continue;
            };
            let mut list = TopicPartitionList::new();
            for partition in found.partitions() {
                let offset = self.begin(&topic, partition.id())?;
                self.positions.insert((topic.clone(), partition.id()), offset);
                list.add_partition_offset(&topic, partition.id(), Offset::Offset(offset))
                    .map_err(|error| RunError::Fatal(error.to_string()))?;
            }
            self.consumer
                .incremental_assign(&list)
                .map_err(|error| RunError::Fatal(error.to_string()))?;
            self.followed.insert(topic);
        }
        Ok(())
    }

    /// A detection has its event's timestamp.
    fn begin(&self, topic: &str, partition: i32) -> Result<i64, RunError> {
        let fatal = |error: rdkafka::error::KafkaError| RunError::Fatal(error.to_string());
        let (_, high) = self.consumer.fetch_watermarks(topic, partition, REQUEST).map_err(fatal)?;
        let Some(since) = self.since else { return Ok(high) };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(since)).map_err(fatal)?;
        let found = self.consumer.offsets_for_times(list, REQUEST).map_err(fatal)?;
        Ok(match found.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => high,
        })
    }

    pub(super) fn ends(&self) -> KafkaResult<Offsets> {
        start::ends(&self.consumer, &self.positions)
    }

    /// The next detection that is there.
    pub(super) fn next(&mut self) -> Result<Option<JvmDetection>, RunError> {
        loop {
            let message = match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    debug!(%error, "The consumer of detections reports an error.");
                    return Ok(None);
                }
                None => return Ok(None),
            };
            self.heard = Instant::now();
            let place = Place {
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
            };
            let payload = message.payload().unwrap_or_default();
            if let Some(avro) = &mut self.avro
                && avro.prepare(payload).is_err()
            {
                let offset = Offset::Offset(place.offset);
                self.consumer
                    .seek(&place.topic, place.partition, offset, REQUEST)
                    .map_err(|error| RunError::Fatal(error.to_string()))?;
                return Ok(None);
            }
            self.positions.insert((place.topic.clone(), place.partition), place.offset + 1);
            let json = match &mut self.avro {
                Some(avro) => avro.to_json(payload).ok(),
                None => Some(payload),
            };
            let timestamp = message.timestamp().to_millis();
            match json.and_then(|json| read(json, place, timestamp)) {
                Some(detection) => return Ok(Some(detection)),
                None => self.unreadable += 1,
            }
        }
    }
}

/// Reads a detection of either form.
fn read(json: &[u8], place: Place, timestamp: Option<i64>) -> Option<JvmDetection> {
    let Ok(Value::Object(mut shown)) = serde_json::from_slice(json) else { return None };
    let event = match shown.shift_remove("sourceData")? {
        Value::String(text) => serde_json::from_str(&text).ok()?,
        event @ Value::Object(_) => event,
        _ => return None,
    };
    if let Some(Value::Object(custom)) = shown.shift_remove("customFields") {
        shown.extend(custom);
    }
    let title = shown.get("title")?.as_str()?.to_owned();
    let id = shown.get("id").and_then(Value::as_str).map(str::to_owned);
    Some(JvmDetection {
        title,
        id,
        digest: EventDigest::of(&event),
        event,
        place,
        timestamp,
        shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let place = || Place { topic: "out".into(), partition: 0, offset: 1 };
        let head = br#"{"timeStamp":1,"title":"T","id":"i","sourceData":"{\"a\":1.0}","x":"y"}"#;
        let head = read(head, place(), None).unwrap();
        let release =
            br#"{"timeStamp":2,"title":"T","sourceData":{"a":1.0},"customFields":{"x":"y"}}"#;
        let release = read(release, place(), None).unwrap();
        assert_eq!((head.digest, &head.event), (release.digest, &release.event));
        assert_eq!((head.id.as_deref(), release.id.as_deref()), (Some("i"), None));
        assert_eq!((&head.shown["x"], &release.shown["x"]), (&"y".into(), &"y".into()));
        for wrong in
            [&b"{}"[..], b"x", b"[]", br#"{"title":"T"}"#, br#"{"title":"T","sourceData":1}"#]
        {
            assert!(read(wrong, place(), None).is_none());
        }
    }
}
