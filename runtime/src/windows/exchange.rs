//! The matches topic as the processor's workers share it: made when the first window rule comes, so that
//! a run without any knows nothing of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::admin::Admin;
use crate::run_error::RunError;
use crate::settings::Settings;

/// How long a broker may take to tell of a topic that it has just made.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
/// How soon a failure is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    Ready(usize),
    Failed(Instant),
}

/// The matches topic.
#[derive(Debug, Default)]
pub(crate) struct Exchange(Mutex<State>);

impl Exchange {
    /// How many partitions the topic has; `None`: it is not in use.
    pub(crate) fn partition_count(&self) -> Option<usize> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Ready(count) => Some(count),
            _ => None,
        }
    }

    /// Makes the topic if it is missing; how many partitions it has. `span_ms` says how much of it a
    /// restoration needs.
    ///
    /// # Errors
    /// It cannot be made or used, or loses what is needed.
    pub(crate) fn prepare(&self, settings: &Settings, span_ms: i64) -> Result<usize, RunError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Ready(count) = *state {
            return Ok(count);
        }
        let made = make(settings, span_ms);
        *state = made.as_ref().map_or_else(|_| State::Failed(Instant::now()), |n| State::Ready(*n));
        made
    }

    /// As [`Self::prepare`], for a processor that runs: a failure is logged, and tried again later.
    pub(crate) fn ready(&self, settings: &Settings, span_ms: i64) -> Option<usize> {
        {
            let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*state, State::Failed(at) if at.elapsed() < RETRY_PAUSE) {
                return None;
            }
        }
        let prepared = self.prepare(settings, span_ms);
        prepared
            .inspect_err(|error| error!(%error, "No window is counted until there is its topic."))
            .ok()
    }
}

/// Whether a topic that somebody made keeps what a restoration needs.
fn check(admin: &Admin, topic: &str, span_ms: i64) -> Result<(), RunError> {
    let refuse = |reason| Err(RunError::Topic { topic: topic.to_owned(), reason });
    // Brokers that do not tell are believed.
    let policy = admin.topic_setting(topic, "cleanup.policy");
    if policy.as_deref().is_some_and(|policy| policy.contains("compact")) {
        return refuse(
            "its cleanup.policy has to be `delete`: its records have no keys".to_owned(),
        );
    }
    let retention = admin.topic_setting(topic, "retention.ms");
    let retention = retention.and_then(|retention| retention.parse::<i64>().ok());
    match retention.filter(|retention| *retention >= 0) {
        Some(retention) if retention < span_ms => refuse(format!(
            "its retention.ms is {retention}, but windows need {span_ms} to be restored; set it to -1"
        )),
        Some(retention) => {
            warn!(topic, retention, "The topic of matches should have retention.ms=-1.");
            Ok(())
        }
        None => Ok(()),
    }
}

fn make(settings: &Settings, span_ms: i64) -> Result<usize, RunError> {
    let topic = settings.matches_topic();
    let admin = Admin::new(&settings.kafka, settings.replication_factor)?;
    let counts = admin.partition_counts()?;
    if let Some(count) = counts.get(&topic).filter(|count| **count > 0) {
        check(&admin, &topic, span_ms)?;
        return Ok(*count);
    }
    let is_data = |name: &&String| {
        settings.data_topics.iter().any(|data| data.starts_with('^') || data == *name)
            && !name.starts_with("__")
    };
    let wanted = counts.iter().filter(|(name, _)| is_data(name)).map(|(_, count)| *count).max();
    let wanted = wanted.unwrap_or(1).max(1);
    admin.create_log(&topic, wanted)?;
    info!(topic, partitions = wanted, "Created the topic of matches for windows.");
    let deadline = Instant::now() + VISIBLE_WITHIN;
    loop {
        // Another processor may have been faster, with another number.
        if let Some(count) = admin.partition_counts()?.get(&topic).filter(|count| **count > 0) {
            return Ok(*count);
        }
        if Instant::now() > deadline {
            let reason = "it was made, but the brokers do not tell of it".to_owned();
            return Err(RunError::Topic { topic, reason });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
