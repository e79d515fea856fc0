//! What a scenario runs on: a broker, embedded or real, and the clients that drive it.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use sigmill_runtime::embedded_broker::EmbeddedBroker;
use sigmill_runtime::processor::{Processor, Snapshot};
use sigmill_runtime::properties::Properties;
use sigmill_runtime::settings::Settings;
use sigmill_runtime::settings::kafka::KafkaSettings;
use sigmill_runtime::shutdown::Shutdown;

use crate::kafka::{self, Kafka};

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const REQUEST: Duration = Duration::from_secs(20);

/// A broker.
pub(crate) enum Broker {
    Embedded(EmbeddedBroker),
    Real(Arc<Kafka>),
}

impl Broker {
    fn bootstrap_servers(&self) -> &str {
        match self {
            Self::Embedded(broker) => broker.bootstrap_servers(),
            Self::Real(kafka) => &kafka.bootstrap_servers,
        }
    }
}

/// A broker with the topics of one test, named for it alone.
pub(crate) struct Bed {
    pub(crate) broker: Broker,
    prefix: String,
}

/// A record as read from a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Record {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.value)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.value)))
    }
}

/// Panics on a delivery that fails: in these tests none may.
struct Strict;

impl ClientContext for Strict {}

impl ProducerContext for Strict {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            panic!("the test's own record to {} is refused: {error}", message.topic());
        }
    }
}

/// Sends a test's records.
pub(crate) struct Sender {
    producer: BaseProducer<Strict>,
}

impl Sender {
    pub(crate) fn send(&self, topic: &str, partition: i32, value: &[u8]) {
        self.put(topic, partition, None, Some(value), None);
    }

    /// As [`Self::send`], with a timestamp.
    pub(crate) fn send_at(&self, topic: &str, partition: i32, value: &[u8], timestamp: i64) {
        let record = BaseRecord::<str, [u8]>::to(topic).partition(partition).payload(value);
        self.producer.send(record.timestamp(timestamp)).map_err(|(error, _)| error).unwrap();
        self.producer.poll(Duration::ZERO);
    }

    pub(crate) fn put(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&str>,
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) {
        let mut record = BaseRecord::<str, [u8]>::to(topic).partition(partition);
        record.key = key;
        record.payload = value;
        record.headers = headers;
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.poll(Duration::ZERO);
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(DEADLINE).unwrap();
    }
}

impl Bed {
    pub(crate) fn embedded(broker_count: usize) -> Self {
        Self::on(Broker::Embedded(EmbeddedBroker::start(broker_count).unwrap()))
    }

    pub(crate) fn real() -> Option<Self> {
        kafka::shared().map(|kafka| Self::on(Broker::Real(kafka)))
    }

    /// A real broker that this test may restart.
    pub(crate) fn own_real() -> Option<(Self, Arc<Kafka>)> {
        let kafka = Arc::new(kafka::own()?);
        Some((Self::on(Broker::Real(Arc::clone(&kafka))), kafka))
    }

    fn on(broker: Broker) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // With RUST_LOG the log of a failing test can be read.
        let log = tracing_subscriber::fmt().with_test_writer();
        let _ = log.with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).try_init();
        let prefix = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        if let Broker::Embedded(broker) = &broker {
            // It takes no requests to make topics.
            broker.create_topic(&format!("{prefix}-sigmill-matches"), 4).unwrap();
        }
        Self { broker, prefix }
    }

    pub(crate) fn is_real(&self) -> bool {
        matches!(self.broker, Broker::Real(_))
    }

    /// The test's topic of that name.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The consumer group of the bed's processors.
    pub(crate) fn group(&self) -> &str {
        &self.prefix
    }

    /// Runs what stands in for the JVM processor, over this bed's topics and group, until it has seen so many records.
    pub(crate) fn imitate_jvm(&self, title: &str, text: &str, records: usize) -> ExitStatus {
        let Broker::Real(kafka) = &self.broker else { panic!("it wants a real Kafka") };
        let folder = tempfile::tempdir().unwrap();
        let count = records.to_string();
        let (data, out) = (self.topic("data"), self.topic("out"));
        let folder = folder.path().to_str().unwrap().to_owned();
        let mut command =
            kafka.imitation(&[&self.prefix, &data, &out, title, text, &count, &folder]);
        let output = command.output().unwrap();
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
        output.status
    }

    pub(crate) fn kafka_settings(&self) -> KafkaSettings {
        KafkaSettings::new(self.broker.bootstrap_servers())
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.bootstrap_servers());
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let name = self.topic(name);
        match &self.broker {
            Broker::Embedded(broker) => broker.create_topic(&name, partitions).unwrap(),
            Broker::Real(_) => {
                let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
                topic.config = config.to_vec();
                let made = wait(self.admin().create_topics([&topic], &AdminOptions::new()));
                made.unwrap().remove(0).unwrap();
            }
        }
    }

    pub(crate) fn delete_topic(&self, name: &str) {
        let name = self.topic(name);
        let deleted = wait(self.admin().delete_topics(&[&name], &AdminOptions::new()));
        deleted.unwrap().remove(0).unwrap();
    }

    pub(crate) fn create_partitions(&self, name: &str, count: usize) {
        let name = self.topic(name);
        let new = NewPartitions::new(&name, count);
        let made = wait(self.admin().create_partitions([&new], &AdminOptions::new()));
        made.unwrap().remove(0).unwrap();
    }

    pub(crate) fn sender(&self) -> Sender {
        let mut config = self.config();
        config.set("message.max.bytes", "30000000").set("linger.ms", "1");
        Sender { producer: config.create_with_context(Strict).unwrap() }
    }

    /// Settings for this bed's topics `data`, `out`, `rules`, with changes; an empty value takes one
    /// away.
    pub(crate) fn settings(&self, changes: &[(&str, &str)]) -> Settings {
        let mut properties = Properties::default();
        let topics = ["data", "out", "rules", "dead"].map(|name| self.topic(name));
        for (name, value) in [
            ("bootstrap.servers", self.broker.bootstrap_servers()),
            ("application.id", &self.prefix),
            ("data.topic", &topics[0]),
            ("output.topic", &topics[1]),
            ("sigma.rules.topic", &topics[2]),
            ("sigmill.deadletter.topic", &topics[3]),
            ("commit.interval.ms", "50"),
            ("linger.ms", "1"),
            ("sigmill.rules.debounce.ms", "20"),
            ("sigmill.stop.timeout.ms", "30000"),
            ("sigmill.admin.listen", "off"),
            ("skip.app.registration", "true"),
        ]
        .iter()
        .chain(changes)
        {
            match *value {
                "" => properties.remove(name),
                value => properties.set(name, value, "test"),
            }
        }
        if !self.is_real() {
            // The embedded broker lets a group wait for most of the session before it goes on.
            properties.set("session.timeout.ms", "2500", "test");
            properties.set("heartbeat.interval.ms", "300", "test");
        }
        Settings::from_properties(&properties).unwrap()
    }

    pub(crate) fn start(&self, changes: &[(&str, &str)]) -> Processor {
        Processor::start(self.settings(changes), Shutdown::new()).unwrap()
    }

    /// Reads topics from their start until `is_enough`.
    pub(crate) fn read_until(
        &self,
        names: &[&str],
        is_enough: impl FnMut(&[Record]) -> bool,
    ) -> Vec<Record> {
        self.read_until_or(names, DEADLINE, is_enough)
    }

    /// The same with another deadline.
    pub(crate) fn read_until_or(
        &self,
        names: &[&str],
        within: Duration,
        mut is_enough: impl FnMut(&[Record]) -> bool,
    ) -> Vec<Record> {
        let mut config = self.config();
        config.set("group.id", "test-reader").set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "earliest").set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        for name in names {
            let topic = self.topic(name);
            let metadata = consumer.fetch_metadata(Some(&topic), REQUEST).unwrap();
            for partition in metadata.topics()[0].partitions() {
                list.add_partition_offset(&topic, partition.id(), Offset::Beginning).unwrap();
            }
        }
        consumer.assign(&list).unwrap();
        let deadline = Instant::now() + within;
        let mut records = Vec::new();
        while !is_enough(&records) {
            if Instant::now() > deadline {
                let seen: Vec<_> = records
                    .iter()
                    .map(|record| {
                        String::from_utf8_lossy(&record.value).chars().take(200).collect()
                    })
                    .collect::<Vec<String>>();
                panic!("waited for {names:?} in vain; {} records: {seen:#?}", seen.len());
            }
            // Many at a time: `is_enough` may look at all of them.
            let mut wait = Duration::from_millis(20);
            for _ in 0..1000 {
                let Some(Ok(message)) = consumer.poll(wait) else { break };
                records.push(record(&message));
                wait = Duration::ZERO;
            }
        }
        records
    }

    /// The committed offset of a partition.
    pub(crate) fn committed(&self, name: &str, partition: i32) -> Option<i64> {
        let mut config = self.config();
        config.set("group.id", &self.prefix);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        let topic = self.topic(name);
        list.add_partition(&topic, partition);
        let deadline = Instant::now() + DEADLINE;
        let committed = loop {
            // A new coordinator has to be found first.
            match consumer.committed_offsets(list.clone(), REQUEST) {
                Ok(committed) => break committed,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        match committed.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// The offset of the first record that is left of a partition.
    pub(crate) fn begin(&self, name: &str, partition: i32) -> i64 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        consumer.fetch_watermarks(&self.topic(name), partition, REQUEST).unwrap().0
    }

    /// As [`Self::end`]; 0 if there is no such partition.
    pub(crate) fn end_or(&self, name: &str, partition: i32) -> i64 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let found = consumer.fetch_watermarks(&self.topic(name), partition, Duration::from_secs(2));
        found.map_or(0, |(_, end)| end)
    }

    /// How many partitions a topic has; 0 if there is none.
    pub(crate) fn partition_count(&self, name: &str) -> i32 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let metadata = consumer.fetch_metadata(Some(&self.topic(name)), REQUEST).unwrap();
        metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32)
    }

    /// The offset behind the last record of a partition.
    pub(crate) fn end(&self, name: &str, partition: i32) -> i64 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        consumer.fetch_watermarks(&self.topic(name), partition, REQUEST).unwrap().1
    }
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().map_or_else(BTreeMap::new, |headers| {
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or(b"-")).into();
        headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
        value: message.payload().unwrap_or_default().to_vec(),
        timestamp: message.timestamp().to_millis(),
        headers,
    }
}

/// Waits until a processor's snapshot is as wanted, and returns it.
#[track_caller]
pub(crate) fn until(processor: &Processor, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let snapshot = processor.snapshot();
        if is_so(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < deadline, "waited in vain: {snapshot:#?}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Puts a record into the rules topic.
pub(crate) fn put_rule(bed: &Bed, sender: &Sender, key: &str, value: Option<&str>) {
    sender.put(&bed.topic("rules"), 0, Some(key), value.map(str::as_bytes), None);
}

/// Waits until everything in the rules topic is in force.
pub(crate) fn until_in_force(bed: &Bed, sender: &Sender, processor: &Processor) {
    sender.flush();
    let end = bed.end("rules", 0);
    until(processor, |snapshot| snapshot.rule_offsets.get(&0) == Some(&end));
}

/// Waits for an answer of the admin client, which has a thread of its own.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
