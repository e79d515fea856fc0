//! Kafka clients as the processor needs them: their settings, and their log lines in ours.
//!
//! librdkafka repeats itself while a broker is away; each kind of line passes once in ten seconds and
//! says how many were left out.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, info, warn};

use crate::rate_limit::RateLimit;
use crate::settings::Settings;
use crate::settings::kafka::KafkaSettings;

const LOG_INTERVAL: Duration = Duration::from_secs(10);

fn base(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config.set("bootstrap.servers", &kafka.bootstrap_servers);
    config.set("client.id", "sigmill");
    let is_tls = kafka.common.iter().any(|(name, value)| {
        name == "security.protocol" && value.to_ascii_lowercase().ends_with("ssl")
    });
    if is_tls {
        // The built-in folder of the vendored OpenSSL is not this machine's.
        config.set("ssl.ca.location", "probe");
    }
    add(&mut config, &kafka.common);
    config
}

fn add(config: &mut ClientConfig, pairs: &[(String, String)]) {
    for (name, value) in pairs {
        config.set(name, value);
    }
}

/// For administration.
pub fn admin_config(kafka: &KafkaSettings) -> ClientConfig {
    base(kafka)
}

/// For producers: idempotent, and partitions as Java's producers choose them.
pub fn producer_config(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("partitioner", "murmur2_random");
    merge(&mut config, &base(kafka));
    add(&mut config, &kafka.producer);
    config.set("enable.idempotence", "true");
    config
}

/// For the producers of workers whose output is a transaction each commit interval.
pub fn transactional_config(settings: &Settings, worker: usize) -> ClientConfig {
    let mut config = ClientConfig::new();
    // A worker that is gone holds the readers of its transactions up for so long at most.
    let interval_ms = settings.commit_interval.as_millis();
    config.set("transaction.timeout.ms", (interval_ms * 2).max(10_000).to_string());
    merge(&mut config, &producer_config(&settings.kafka));
    let (application, instance) = (&settings.application_id, &settings.instance_id);
    config.set("transactional.id", format!("{application}-{instance}-{worker}"));
    config
}

/// For workers: their offsets are committed by hand.
pub fn consumer_config(settings: &Settings, worker: usize) -> ClientConfig {
    let mut config = ClientConfig::new();
    // A short wait at the queue's limits: the default of a second is a second without records.
    config.set("fetch.queue.backoff.ms", "10");
    config.set("queued.max.messages.kbytes", "32768");
    config.set("queued.min.messages", "20000");
    config.set("fetch.wait.max.ms", "100");
    config.set("check.crcs", "true");
    merge(&mut config, &base(&settings.kafka));
    add(&mut config, &settings.kafka.consumer);
    config.set("group.id", &settings.application_id);
    if settings.is_static_member {
        config.set("group.instance.id", format!("{}-{worker}", settings.instance_id));
    }
    if settings.is_exactly_once {
        config.set("isolation.level", "read_committed");
    }
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("auto.offset.reset", &settings.auto_offset_reset);
    config.set(
        "topic.metadata.refresh.interval.ms",
        settings.metadata_age_max.as_millis().to_string(),
    );
    config
}

/// For readers of a whole topic: they take part in no group and commit nothing.
pub fn reader_config(kafka: &KafkaSettings, group: &str) -> ClientConfig {
    let mut config = base(kafka);
    add(&mut config, &kafka.consumer);
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    config.set("auto.offset.reset", "earliest");
    config.set("enable.partition.eof", "true");
    config.set("fetch.wait.max.ms", "100");
    config
}

fn merge(config: &mut ClientConfig, other: &ClientConfig) {
    for (name, value) in other.config_map() {
        config.set(name, value);
    }
    config.set_log_level(other.log_level);
}

/// Brings a client's log lines into ours, the repeated ones at a limited rate.
pub struct ClientLog {
    client: String,
    limits: Mutex<HashMap<String, RateLimit>>,
}

impl ClientLog {
    /// For the client of that name, as it is shown in the log.
    pub fn new(client: impl Into<String>) -> Self {
        Self { client: client.into(), limits: Mutex::default() }
    }

    fn allow(&self, kind: &str) -> Option<u64> {
        let mut limits = self.limits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        limits
            .entry(kind.to_owned())
            .or_insert_with(|| RateLimit::new(LOG_INTERVAL))
            .allow(Instant::now())
    }

    /// One of librdkafka's log lines.
    pub fn line(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // Settings for the other kind of client are given to all of them on purpose.
        if facility == "CONFWARN" {
            return;
        }
        let client = self.client.as_str();
        let Some(left_out) = self.allow(facility) else { return };
        match level {
            RDKafkaLogLevel::Debug => debug!(client, facility, "{line}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => info!(client, facility, "{line}"),
            _ => warn!(client, facility, left_out, "{line}"),
        }
    }

    /// One of librdkafka's errors: the connection, mostly.
    pub fn error(&self, error: &KafkaError, reason: &str) {
        // The end of a partition is news for who reads it, not an error.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let client = self.client.as_str();
        let kind = error.rdkafka_error_code().map_or(String::new(), |code| format!("{code:?}"));
        if let Some(left_out) = self.allow(&kind) {
            warn!(client, %error, left_out, "Kafka client: {reason}");
        }
    }
}

/// The context of a client that has nothing to do but log.
pub struct LogContext(pub ClientLog);

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl ConsumerContext for LogContext {}
