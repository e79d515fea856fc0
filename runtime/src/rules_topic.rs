//! The rules topic as a user edits it: load, list, get, delete.
//!
//! Rules are written with their title as key and the whole document as JSON, which the JVM processor
//! reads too. Reading goes over the whole compacted topic and keeps the last record of each key.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use sigmill_codegen::RuleDocument;
use sigmill_parser::Rule;

use crate::admin::{Admin, TopicSpec};
use crate::client::{self, ClientLog, LogContext};
use crate::run_error::RunError;
use crate::settings::kafka::KafkaSettings;
use crate::shutdown::Shutdown;

/// A rule as it stands in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRule {
    /// The record's key: the title, by convention.
    pub key: String,
    /// The rule, YAML or JSON.
    pub value: Vec<u8>,
    /// The record's partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// The record's timestamp in milliseconds.
    pub timestamp: Option<i64>,
}

/// A rule to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRule {
    /// The key: the title.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
}

impl NewRule {
    /// The record of a rule: its title, and the whole document as JSON, which the JVM processor reads too.
    pub fn of(rule: &Rule) -> Self {
        Self { key: rule.title.node.clone(), value: rule.to_json().into_bytes() }
    }

    /// The record of a rule, a correlation or a filter.
    pub fn of_document(document: &RuleDocument) -> Self {
        Self { key: document.title().to_owned(), value: document.to_json().into_bytes() }
    }
}

/// A connection to the rules topic.
pub struct RulesTopic {
    kafka: KafkaSettings,
    topic: String,
    timeout: Duration,
}

/// What the deliveries of one call came to.
#[derive(Default)]
pub(crate) struct Deliveries {
    acknowledged: usize,
    pub(crate) failure: Option<KafkaError>,
}

/// Gathers what becomes of a producer's records.
pub(crate) struct WriteContext {
    pub(crate) log: ClientLog,
    pub(crate) deliveries: Mutex<Deliveries>,
}

impl ClientContext for WriteContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.log.line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}

impl ProducerContext for WriteContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => deliveries.acknowledged += 1,
            Err((error, _)) => {
                deliveries.failure.get_or_insert_with(|| error.clone());
            }
        }
    }
}

impl RulesTopic {
    /// The topic of that name. Nothing is connected yet; no call takes much longer than `timeout`.
    pub fn new(kafka: KafkaSettings, topic: &str, timeout: Duration) -> Self {
        Self { kafka, topic: topic.to_owned(), timeout }
    }

    /// Writes rules, and makes the topic (compacted) if it is missing. Returns how many were
    /// acknowledged: all of them.
    ///
    /// # Errors
    /// No broker answers, or one refuses a rule; those before it are written.
    pub fn load(&self, rules: &[NewRule]) -> Result<usize, RunError> {
        let admin = Admin::new(&self.kafka, -1)?;
        let existing = admin.topics(self.timeout, &Shutdown::new())?;
        let spec = TopicSpec { name: self.topic.clone(), partition_count: 1, is_compacted: true };
        admin.create_missing(&existing, &[spec])?;
        self.write(rules.iter().map(|rule| (rule.key.as_str(), Some(rule.value.as_slice()))))
    }

    /// Removes the rules of these keys that are there; returns those that are not.
    ///
    /// # Errors
    /// No broker answers, or one refuses the removal.
    pub fn delete(&self, keys: &[String]) -> Result<Vec<String>, RunError> {
        let stored = self.read()?;
        let (found, missing): (Vec<&String>, Vec<&String>) =
            keys.iter().partition(|key| stored.contains_key(*key));
        self.write(found.into_iter().map(|key| (key.as_str(), None)))?;
        Ok(missing.into_iter().cloned().collect())
    }

    /// All rules, by key.
    ///
    /// # Errors
    /// No broker answers, or the topic is missing.
    pub fn list(&self) -> Result<Vec<StoredRule>, RunError> {
        Ok(self.read()?.into_values().collect())
    }

    /// The rule of that key.
    ///
    /// # Errors
    /// No broker answers, or the topic is missing.
    pub fn get(&self, key: &str) -> Result<Option<StoredRule>, RunError> {
        Ok(self.read()?.remove(key))
    }

    fn unusable(&self, reason: String) -> RunError {
        RunError::Topic { topic: self.topic.clone(), reason }
    }

    fn write<'a>(
        &self,
        records: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<usize, RunError> {
        let mut config = client::producer_config(&self.kafka);
        config.set("message.timeout.ms", self.timeout.as_millis().max(1).to_string());
        let context =
            WriteContext { log: ClientLog::new("rules producer"), deliveries: Mutex::default() };
        let producer: BaseProducer<WriteContext> = config
            .create_with_context(context)
            .map_err(|error| RunError::Client { client: "rules producer", error })?;
        let mut sent = 0;
        for (key, value) in records {
            let mut record = BaseRecord::to(&self.topic).key(key);
            record.payload = value;
            while let Err((error, back)) = producer.send(record) {
                if error
                    != KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull)
                {
                    return Err(self.unusable(format!("rule `{key}` is refused: {error}")));
                }
                producer.poll(Duration::from_millis(10));
                record = back;
            }
            sent += 1;
        }
        // Longer than the messages' own time-out, which then names the reason.
        let flushed = producer.flush(self.timeout + Duration::from_secs(1));
        let deliveries = std::mem::take(
            &mut *producer.context().deliveries.lock().unwrap_or_else(PoisonError::into_inner),
        );
        if let Some(error) = deliveries.failure.or(flushed.err()) {
            let done = deliveries.acknowledged;
            return Err(self.unusable(format!("{done} of {sent} records are written: {error}")));
        }
        Ok(deliveries.acknowledged)
    }

    /// The last record of each key that has a value.
    fn read(&self) -> Result<BTreeMap<String, StoredRule>, RunError> {
        let consumer: BaseConsumer<LogContext> =
            client::reader_config(&self.kafka, "sigmill-rules")
                .create_with_context(LogContext(ClientLog::new("rules reader")))
                .map_err(|error| RunError::Client { client: "rules reader", error })?;
        let deadline = Instant::now() + self.timeout;
        // The list of all topics: asking for this one might make it.
        let metadata = consumer.fetch_metadata(None, self.timeout).map_err(|error| {
            RunError::Broker { bootstrap_servers: self.kafka.bootstrap_servers.clone(), error }
        })?;
        let found = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.topic)
            .ok_or_else(|| self.unusable("it does not exist".into()))?;
        let mut open = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for partition in found.partitions() {
            let id = partition.id();
            let (low, high) = consumer
                .fetch_watermarks(&self.topic, id, self.timeout)
                .map_err(|error| self.unusable(error.to_string()))?;
            if low < high {
                open.insert(id, high);
                list.add_partition_offset(&self.topic, id, Offset::Beginning)
                    .map_err(|error| self.unusable(error.to_string()))?;
            }
        }
        consumer.assign(&list).map_err(|error| self.unusable(error.to_string()))?;
        let mut rules = BTreeMap::new();
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(50)) {
                None => {}
                Some(Ok(message)) => {
                    take(&mut rules, &message);
                    if open.get(&message.partition()) == Some(&(message.offset() + 1)) {
                        open.remove(&message.partition());
                    }
                    continue;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) => tracing::debug!(%error, "The consumer reports an error."),
            }
            if Instant::now() > deadline {
                return Err(self.unusable(format!("not read within {:?}", self.timeout)));
            }
        }
        Ok(rules)
    }
}

fn take(rules: &mut BTreeMap<String, StoredRule>, message: &impl Message) {
    let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
    let Some(value) = message.payload() else {
        rules.remove(&key);
        return;
    };
    let rule = StoredRule {
        key: key.clone(),
        value: value.to_vec(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
    };
    rules.insert(key, rule);
}
