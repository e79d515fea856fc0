//! Topics: which there are, and making those that are missing.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{self, ClientLog, LogContext};
use crate::run_error::RunError;
use crate::settings::kafka::KafkaSettings;
use crate::shutdown::Shutdown;

/// How long one request may take before it is asked again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A topic that has to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it gets; -1: the broker's default.
    pub partition_count: i32,
    /// It keeps the last record of each key.
    pub is_compacted: bool,
}

/// Talks to the brokers about topics.
pub struct Admin {
    client: AdminClient<LogContext>,
    bootstrap_servers: String,
    replication_factor: i32,
}

impl Admin {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// The client's settings contradict each other.
    pub fn new(kafka: &KafkaSettings, replication_factor: i32) -> Result<Self, RunError> {
        let context = LogContext(ClientLog::new("admin"));
        let client = client::admin_config(kafka)
            .create_with_context(context)
            .map_err(|error| RunError::Client { client: "admin", error })?;
        let bootstrap_servers = kafka.bootstrap_servers.clone();
        Ok(Self { client, bootstrap_servers, replication_factor })
    }

    /// The names of all topics, as soon as a broker answers.
    ///
    /// # Errors
    /// None answers within `timeout`, or a stop was asked for.
    pub fn topics(&self, timeout: Duration, shutdown: &Shutdown) -> Result<Vec<String>, RunError> {
        let deadline = Instant::now() + timeout;
        loop {
            if shutdown.is_asked() {
                return Err(RunError::Stopped);
            }
            // Short requests: a stop should not have to wait for a broker that is away.
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client.inner().fetch_metadata(None, left.min(Duration::from_secs(1))) {
                Ok(metadata) => {
                    return Ok(metadata.topics().iter().map(|t| t.name().to_owned()).collect());
                }
                Err(error) if left.is_zero() => {
                    return Err(RunError::Broker {
                        bootstrap_servers: self.bootstrap_servers.clone(),
                        error,
                    });
                }
                Err(error) => tracing::debug!(%error, "No broker answers yet."),
            }
        }
    }

    /// How many partitions the topics have.
    ///
    /// # Errors
    /// No broker answers.
    pub fn partition_counts(&self) -> Result<BTreeMap<String, usize>, RunError> {
        let metadata = self.client.inner().fetch_metadata(None, REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| RunError::Broker {
            bootstrap_servers: self.bootstrap_servers.clone(),
            error,
        })?;
        let topics = metadata.topics().iter();
        Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
    }

    /// Makes a topic from which nothing vanishes by itself. One that exists all the same is no error.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create_log(&self, name: &str, partition_count: usize) -> Result<(), RunError> {
        let partition_count = i32::try_from(partition_count).unwrap_or(i32::MAX);
        let spec = TopicSpec { name: name.to_owned(), partition_count, is_compacted: false };
        let replication = match self.replication_factor {
            -1 => self.replicas_wanted(),
            given => given,
        };
        let new = NewTopic::new(name, partition_count, TopicReplication::Fixed(replication))
            .set("cleanup.policy", "delete")
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("message.timestamp.type", "CreateTime");
        self.make(&spec, &new)
    }

    /// Deletes the records before these offsets.
    ///
    /// # Errors
    /// The brokers refuse.
    pub(crate) fn delete_records(&self, before: &TopicPartitionList) -> Result<(), String> {
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT));
        let deleted = block_on(self.client.delete_records(before, &options));
        let deleted = deleted.map_err(|error| error.to_string())?;
        let refused = deleted.elements().into_iter().find_map(|partition| partition.error().err());
        refused.map_or(Ok(()), |error| Err(error.to_string()))
    }

    /// A setting of a topic; `None` if the brokers do not tell.
    pub(crate) fn topic_setting(&self, topic: &str, name: &str) -> Option<String> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let resources = [ResourceSpecifier::Topic(topic)];
        let configs = block_on(self.client.describe_configs(&resources, &options)).ok()?;
        let config = configs.into_iter().next()?.ok()?;
        config.get(name)?.value.clone()
    }

    /// Makes the topics that are not in `existing`. One that exists all the same is no error.
    ///
    /// # Errors
    /// The first topic that cannot be made.
    pub fn create_missing(
        &self,
        existing: &[String],
        topics: &[TopicSpec],
    ) -> Result<(), RunError> {
        let missing: Vec<&TopicSpec> =
            topics.iter().filter(|topic| !existing.contains(&topic.name)).collect();
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(|topic| topic.name.as_str()).collect();
            // In the words of the JVM processor's log, which people look for.
            tracing::info!("creating topics [{}]", names.join(", "));
        }
        for topic in missing {
            self.create(topic)?;
            tracing::info!(topic = topic.name, "Created the topic.");
        }
        Ok(())
    }

    /// Compacted topics hold what cannot be read again elsewhere: three replicas, as far as there are
    /// brokers, unless something else is asked for.
    fn replication(&self, topic: &TopicSpec) -> i32 {
        if !topic.is_compacted || self.replication_factor != -1 {
            return self.replication_factor;
        }
        self.replicas_wanted()
    }

    fn replicas_wanted(&self) -> i32 {
        let metadata = self.client.inner().fetch_metadata(None, REQUEST_TIMEOUT);
        metadata.map_or(-1, |metadata| metadata.brokers().len().clamp(1, 3) as i32)
    }

    /// Warns if a topic loses its rules by and by: a JVM processor refuses to start on it.
    pub fn warn_unless_compacted(&self, topic: &str) {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let resources = [ResourceSpecifier::Topic(topic)];
        // Who may not ask, or a broker that does not tell, is not warned.
        let Ok(configs) = block_on(self.client.describe_configs(&resources, &options)) else {
            return;
        };
        let config = configs.into_iter().next().and_then(Result::ok);
        let policy = config.and_then(|config| config.get("cleanup.policy")?.value.clone());
        if let Some(policy) = policy.filter(|policy| policy != "compact") {
            tracing::warn!(
                topic,
                policy,
                "The cleanup.policy of the rules topic is not `compact`: rules may vanish from it."
            );
        }
    }

    fn create(&self, topic: &TopicSpec) -> Result<(), RunError> {
        let replication = TopicReplication::Fixed(self.replication(topic));
        let mut new = NewTopic::new(&topic.name, topic.partition_count, replication);
        if topic.is_compacted {
            new = new.set("cleanup.policy", "compact");
        }
        self.make(topic, &new)
    }

    fn make(&self, topic: &TopicSpec, new: &NewTopic<'_>) -> Result<(), RunError> {
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT));
        let refuse = |reason: String| RunError::Topic { topic: topic.name.clone(), reason };
        match block_on(self.client.create_topics([new], &options)) {
            Err(error) => Err(refuse(error.to_string())),
            Ok(results) => match results.into_iter().next() {
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) => Ok(()),
                Some(Err((_, code))) => Err(refuse(code.to_string())),
                None => Err(refuse("the broker's answer names no topic".into())),
            },
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer on this thread: the admin client has a thread of its own that wakes it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
