//! Where a comparison begins, and how far everybody is.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use regex_automata::meta;

use super::{Offsets, REQUEST};
use crate::client::LogContext;
use crate::run_error::RunError;
use crate::settings::Settings;

/// How long the first records are waited for.
const FIRST_RECORDS: Duration = Duration::from_secs(15);

/// Where to read the data from: where this comparison stopped, else where the JVM processor is, else where a new group
/// begins.
pub(super) fn data_positions(
    settings: &Settings,
    data: &BaseConsumer<LogContext>,
    group: &BaseConsumer<LogContext>,
    existing: &[String],
) -> Result<Offsets, RunError> {
    let broker = |error| RunError::Broker {
        bootstrap_servers: settings.kafka.bootstrap_servers.clone(),
        error,
    };
    let mut positions = Offsets::new();
    for topic in topics(settings, existing)? {
        let metadata = data.fetch_metadata(Some(&topic), REQUEST).map_err(broker)?;
        let partitions = metadata.topics().iter().flat_map(|found| found.partitions());
        for partition in partitions {
            positions.insert((topic.clone(), partition.id()), 0);
        }
    }
    if positions.is_empty() {
        let topic = settings.data_topics.join(", ");
        return Err(RunError::Topic { topic, reason: "it does not exist".into() });
    }
    let own = committed(data, &positions).map_err(broker)?;
    let theirs = committed(group, &positions).map_err(broker)?;
    for (place, position) in &mut positions {
        let (low, high) = data.fetch_watermarks(&place.0, place.1, REQUEST).map_err(broker)?;
        let new = if settings.auto_offset_reset == "latest" { high } else { low };
        let known = own.get(place).or_else(|| theirs.get(place)).copied();
        *position = known.map_or(new, |known| known.clamp(low, high));
    }
    Ok(positions)
}

fn topics(settings: &Settings, existing: &[String]) -> Result<Vec<String>, RunError> {
    let mut found = Vec::new();
    for name in &settings.data_topics {
        if !name.starts_with('^') {
            found.push(name.clone());
            continue;
        }
        let refuse = |error: Box<meta::BuildError>| RunError::Topic {
            topic: name.clone(),
            reason: format!("its pattern is wrong: {error}"),
        };
        let pattern = meta::Regex::new(name).map_err(|error| refuse(Box::new(error)))?;
        found.extend(existing.iter().filter(|topic| pattern.is_match(topic.as_bytes())).cloned());
    }
    Ok(found)
}

/// The committed offsets of a consumer's group, where there are any.
pub(super) fn committed(
    consumer: &BaseConsumer<LogContext>,
    places: &Offsets,
) -> KafkaResult<Offsets> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in places.keys() {
        list.add_partition(topic, *partition);
    }
    let found = consumer.committed_offsets(list, REQUEST)?;
    let known = found.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => Some(((element.topic().to_owned(), element.partition()), offset)),
        _ => None,
    });
    Ok(known.collect())
}

/// The ends of partitions.
pub(super) fn ends(consumer: &BaseConsumer<LogContext>, places: &Offsets) -> KafkaResult<Offsets> {
    let mut ends = Offsets::new();
    for (topic, partition) in places.keys() {
        let (_, high) = consumer.fetch_watermarks(topic, *partition, REQUEST)?;
        ends.insert((topic.clone(), *partition), high);
    }
    Ok(ends)
}

/// The least timestamp of the records at the positions; none if there are no records yet.
pub(super) fn first_timestamp(
    data: &BaseConsumer<LogContext>,
    positions: &Offsets,
) -> Result<Option<i64>, RunError> {
    let fatal = |error: rdkafka::error::KafkaError| RunError::Fatal(error.to_string());
    let ends = ends(data, positions).map_err(fatal)?;
    let mut waited: HashSet<(String, i32)> = HashSet::new();
    let mut list = TopicPartitionList::new();
    for (place, position) in positions {
        if ends.get(place).is_some_and(|end| position < end) {
            waited.insert(place.clone());
            list.add_partition_offset(&place.0, place.1, Offset::Offset(*position))
                .map_err(fatal)?;
        }
    }
    if waited.is_empty() {
        return Ok(None);
    }
    data.assign(&list).map_err(fatal)?;
    let deadline = Instant::now() + FIRST_RECORDS;
    let mut first = None;
    while !waited.is_empty() && Instant::now() < deadline {
        let Some(Ok(message)) = data.poll(Duration::from_millis(50)) else { continue };
        if waited.remove(&(message.topic().to_owned(), message.partition()))
            && let Some(time) = message.timestamp().to_millis()
        {
            first = Some(first.map_or(time, |first: i64| first.min(time)));
        }
    }
    Ok(first)
}
