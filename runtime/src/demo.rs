//! The demo: an embedded broker, sample rules, a stream of sample events, and the real processor.
//!
//! Nothing is faked but the broker: the rules go through the rules topic, the events through a data
//! topic, and the detections are read back from the output topic. Other commands may connect to the
//! broker, load rules and send events. Samples are parameters; the command line carries them.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{self, ClientLog, LogContext};
use crate::clock;
use crate::embedded_broker::EmbeddedBroker;
use crate::processor::{Processor, Snapshot};
use crate::properties::Properties;
use crate::rules_topic::{NewRule, RulesTopic};
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::settings::kafka::KafkaSettings;
use crate::shutdown::Shutdown;

/// The topic of the demo's events.
pub const DATA_TOPIC: &str = "events";
/// The topic of the demo's detections.
pub const OUTPUT_TOPIC: &str = "detections";
/// The topic of the demo's rules.
pub const RULES_TOPIC: &str = "sigma-rules";
/// The topic of records that the demo's processor refuses.
pub const DEADLETTER_TOPIC: &str = "deadletter";
const APPLICATION_ID: &str = "sigmill-demo";
/// The matches topic of that application.
const MATCHES_TOPIC: &str = "sigmill-demo-sigmill-matches";

/// The embedded broker keeps 5 MiB of a partition: several, filled evenly, keep enough.
const DATA_PARTITIONS: i32 = 8;
const OUTPUT_PARTITIONS: i32 = 4;
/// The feeder sends what is due this often.
const FEED_INTERVAL: Duration = Duration::from_millis(10);
const TICK: Duration = Duration::from_secs(1);

/// What the demo shows.
pub struct DemoConfig {
    /// The rules at its start.
    pub rules: Vec<NewRule>,
    /// The events, sent one after the other, again and again.
    pub events: Vec<Vec<u8>>,
    /// How many of them a second.
    pub events_per_second: u32,
    /// The processor's workers.
    pub worker_count: usize,
    /// More settings of the processor.
    pub settings: Vec<(String, String)>,
}

/// What the demo has to tell.
pub enum DemoNews<'a> {
    /// The processor runs.
    Ready {
        /// How to connect.
        bootstrap_servers: &'a str,
        /// What it has loaded.
        snapshot: Snapshot,
    },
    /// A detection came out.
    Detection(&'a [u8]),
    /// A second has passed.
    Tick {
        /// What the processor did so far.
        snapshot: Snapshot,
        /// Records a second since the last tick.
        records_per_second: f64,
    },
}

/// Runs the demo until a stop is asked for, and tells `on_news` on the calling thread.
///
/// # Errors
/// The broker or the processor does not start.
pub fn run(
    config: DemoConfig,
    shutdown: &Shutdown,
    on_news: &mut dyn FnMut(DemoNews<'_>),
) -> Result<Snapshot, RunError> {
    let broker = EmbeddedBroker::start(1)?;
    for (topic, partition_count) in [
        (DATA_TOPIC, DATA_PARTITIONS),
        (OUTPUT_TOPIC, OUTPUT_PARTITIONS),
        (RULES_TOPIC, 1),
        (DEADLETTER_TOPIC, 1),
        // The embedded broker makes none by itself.
        (MATCHES_TOPIC, DATA_PARTITIONS),
    ] {
        broker.create_topic(topic, partition_count).map_err(|error| RunError::Topic {
            topic: topic.to_owned(),
            reason: error.to_string(),
        })?;
    }
    let kafka = KafkaSettings::new(broker.bootstrap_servers());
    let rules_topic = RulesTopic::new(kafka.clone(), RULES_TOPIC, Duration::from_secs(10));
    rules_topic.load(&config.rules)?;
    let output = output_consumer(&kafka)?;
    let settings = settings(&broker, &config)?;
    // The feeder ends with the demo, however that ends.
    let feeding = Shutdown::new();
    thread::scope(|scope| {
        let feed = {
            let (kafka, feeding) = (kafka.clone(), feeding.clone());
            let (events, rate) = (Arc::new(config.events), config.events_per_second);
            move || feed(&kafka, &events, rate, &feeding)
        };
        thread::Builder::new().name("sigmill-feeder".into()).spawn_scoped(scope, feed)?;
        let result = watch(&broker, settings, &output, shutdown, on_news);
        feeding.ask();
        result
    })
}

fn watch(
    broker: &EmbeddedBroker,
    settings: Settings,
    output: &BaseConsumer<LogContext>,
    shutdown: &Shutdown,
    on_news: &mut dyn FnMut(DemoNews<'_>),
) -> Result<Snapshot, RunError> {
    let processor = Processor::start(settings, shutdown.clone())?;
    let bootstrap_servers = broker.bootstrap_servers();
    on_news(DemoNews::Ready { bootstrap_servers, snapshot: processor.snapshot() });
    let mut last = (Instant::now(), 0);
    while !shutdown.is_asked() {
        if let Some(Ok(message)) = output.poll(Duration::from_millis(50))
            && let Some(payload) = message.payload()
        {
            on_news(DemoNews::Detection(payload));
        }
        let elapsed = last.0.elapsed();
        if elapsed >= TICK {
            let snapshot = processor.snapshot();
            let records = snapshot.counts.get(crate::metrics::Metric::Records);
            let records_per_second = (records - last.1) as f64 / elapsed.as_secs_f64();
            last = (Instant::now(), records);
            on_news(DemoNews::Tick { snapshot, records_per_second });
        }
    }
    Ok(processor.stop().snapshot)
}

fn settings(broker: &EmbeddedBroker, config: &DemoConfig) -> Result<Settings, RunError> {
    let worker_count = config.worker_count.to_string();
    let mut properties = Properties::default();
    for (name, value) in [
        ("bootstrap.servers", broker.bootstrap_servers()),
        ("application.id", APPLICATION_ID),
        ("data.topic", DATA_TOPIC),
        ("output.topic", OUTPUT_TOPIC),
        ("sigma.rules.topic", RULES_TOPIC),
        ("sigmill.deadletter.topic", DEADLETTER_TOPIC),
        ("sigmill.output.format", "native"),
        ("num.stream.threads", &worker_count),
        ("linger.ms", "1"),
        ("skip.app.registration", "true"),
        ("sigmill.admin.listen", "off"),
        // The embedded broker answers a fetch that found nothing only after this time.
        ("fetch.wait.max.ms", "5"),
    ] {
        properties.set(name, value, "demo");
    }
    for (name, value) in &config.settings {
        properties.set(name, value, "demo");
    }
    Settings::from_properties(&properties).map_err(|error| RunError::Fatal(error.to_string()))
}

fn output_consumer(kafka: &KafkaSettings) -> Result<BaseConsumer<LogContext>, RunError> {
    let consumer: BaseConsumer<LogContext> = client::reader_config(kafka, "sigmill-demo-output")
        .create_with_context(LogContext(ClientLog::new("demo output")))
        .map_err(|error| RunError::Client { client: "demo output", error })?;
    let mut list = TopicPartitionList::new();
    for partition in 0..OUTPUT_PARTITIONS {
        list.add_partition_offset(OUTPUT_TOPIC, partition, Offset::Beginning)
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| RunError::Fatal(error.to_string()))?;
    }
    Ok(consumer)
}

/// Sends the events at a steady rate, each to the next partition.
fn feed(kafka: &KafkaSettings, events: &[Vec<u8>], per_second: u32, shutdown: &Shutdown) {
    let created = client::producer_config(kafka).create::<BaseProducer<DefaultProducerContext>>();
    let producer = match created {
        Ok(producer) if !events.is_empty() => producer,
        Ok(_) => return,
        Err(error) => {
            tracing::error!(%error, "The demo has no producer.");
            return;
        }
    };
    let begin = Instant::now();
    let mut sent: u64 = 0;
    let mut partitions = (0..DATA_PARTITIONS).cycle();
    while !shutdown.is_asked() {
        let due = (begin.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        while sent < due {
            let index = usize::try_from(sent % events.len() as u64).unwrap_or(0);
            let record = BaseRecord::<(), [u8]>::to(DATA_TOPIC)
                .payload(&events[index])
                .timestamp(clock::now_ms())
                .partition(partitions.next().unwrap_or(0));
            match producer.send(record) {
                Ok(()) => sent += 1,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                Err((error, _)) => {
                    tracing::warn!(%error, "The demo cannot send an event.");
                    break;
                }
            }
        }
        producer.poll(FEED_INTERVAL);
    }
    // What is still on its way is of no use any more; the broker goes next.
    let _ = producer.flush(Duration::from_secs(1));
}
