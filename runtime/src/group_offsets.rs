//! A consumer group as somebody finds it who is about to take it over: who is in it, and how far it is.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{self, ClientLog, LogContext};
use crate::run_error::RunError;
use crate::settings::Settings;

/// A partition of a data topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset that is there.
    pub begin: i64,
    /// The offset behind the last record.
    pub end: i64,
    /// Where the group goes on.
    pub committed: Option<i64>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffsets {
    /// How many members it has.
    pub members: usize,
    /// The group protocol of the members: `stream` for Kafka Streams.
    pub protocol: String,
    /// The partitions of the data topics, in order; topics that do not exist have none.
    pub partitions: Vec<PartitionOffsets>,
}

/// Looks at the group of the settings; nothing is joined or written. Takes about `timeout` at most.
///
/// # Errors
/// No broker answers.
pub fn look_at(settings: &Settings, timeout: Duration) -> Result<GroupOffsets, RunError> {
    let broker = |error: KafkaError| RunError::Broker {
        bootstrap_servers: settings.kafka.bootstrap_servers.clone(),
        error,
    };
    let consumer: BaseConsumer<LogContext> =
        client::reader_config(&settings.kafka, &settings.application_id)
            .create_with_context(LogContext(ClientLog::new("group")))
            .map_err(|error| RunError::Client { client: "group", error })?;
    let deadline = Instant::now() + timeout;
    let left =
        || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
    // The list of all topics: asking for one might make it.
    let metadata = consumer.fetch_metadata(None, left()).map_err(broker)?;
    let mut list = TopicPartitionList::new();
    for topic in metadata.topics() {
        if settings.data_topics.iter().any(|name| name == topic.name()) {
            for partition in topic.partitions() {
                list.add_partition(topic.name(), partition.id());
            }
        }
    }
    let mut partitions = Vec::new();
    if list.count() > 0 {
        let committed = consumer.committed_offsets(list, left()).map_err(broker)?;
        for element in committed.elements() {
            let (topic, partition) = (element.topic().to_owned(), element.partition());
            let (begin, end) =
                consumer.fetch_watermarks(&topic, partition, left()).map_err(broker)?;
            let committed = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            partitions.push(PartitionOffsets { topic, partition, begin, end, committed });
        }
    }
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    // Who may not ask is told of no member.
    let groups = consumer.client().fetch_group_list(Some(&settings.application_id), left()).ok();
    let group = groups.as_ref().and_then(|groups| groups.groups().first());
    Ok(GroupOffsets {
        members: group.map_or(0, |group| group.members().len()),
        protocol: group.map_or_else(String::new, |group| group.protocol().to_owned()),
        partitions,
    })
}
