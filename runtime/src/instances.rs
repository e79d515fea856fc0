//! The state of this processor on the instances topic, as the JVM processor tells its own.
//!
//! A record at every change of state and every few seconds; a tombstone at the end. The key is the
//! `application.id`. Settings are shown by an allow-list of names, so that no secret can be among them.
//! Fields that the JVM processor does not have come in addition: its readers pass over them.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Map, Value, json};
use tracing::{debug, warn};

use crate::calendar::Utc;
use crate::client::{self, ClientLog};
use crate::clock;
use crate::metrics::Metric;
use crate::rules_topic::WriteContext;
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::view::View;

/// How often the state is looked at for changes.
const LOOK: Duration = Duration::from_millis(100);
const FLUSH: Duration = Duration::from_secs(3);

/// States of Kafka Streams, whose names readers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Rebalancing,
    Running,
    PendingShutdown,
    Error,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rebalancing => "REBALANCING",
            Self::Running => "RUNNING",
            Self::PendingShutdown => "PENDING_SHUTDOWN",
            Self::Error => "ERROR",
        }
    }
}

/// The thread that tells the state.
pub(crate) struct Instances {
    thread: JoinHandle<()>,
}

impl Instances {
    /// Starts the thread; it ends with `shutdown`.
    ///
    /// # Errors
    /// The producer's settings are refused, or there is no thread.
    pub(crate) fn start(
        settings: &Arc<Settings>,
        topic: &str,
        view: View,
        shutdown: &Shutdown,
    ) -> Result<Self, RunError> {
        let mut config = client::producer_config(&settings.kafka);
        // What is old is of no use: the next record says it anew.
        config.set("message.timeout.ms", "10000");
        let context = WriteContext {
            log: ClientLog::new("instances producer"),
            deliveries: Mutex::default(),
        };
        let producer: BaseProducer<WriteContext> = config
            .create_with_context(context)
            .map_err(|error| RunError::Client { client: "instances producer", error })?;
        let mut teller = Teller {
            instance_id: format!("{}{}", settings.application_id, uuid()),
            host: host_name(),
            producer,
            topic: topic.to_owned(),
            settings: Arc::clone(settings),
            view,
        };
        let shutdown = shutdown.clone();
        let run = move || teller.run(&shutdown);
        let thread = thread::Builder::new().name("sigmill-instances".into()).spawn(run)?;
        Ok(Self { thread })
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            warn!("The thread of the instances topic ended by a panic.");
        }
    }
}

struct Teller {
    instance_id: String,
    host: String,
    producer: BaseProducer<WriteContext>,
    topic: String,
    settings: Arc<Settings>,
    view: View,
}

impl Teller {
    fn run(&mut self, shutdown: &Shutdown) {
        let mut told: Option<(Instant, State)> = None;
        while !shutdown.is_asked() {
            let state = self.state();
            let is_due = told.is_none_or(|(at, before)| {
                before != state || at.elapsed() >= self.settings.instances_interval
            });
            if is_due {
                self.tell(Some(&self.record(state)));
                told = Some((Instant::now(), state));
            }
            thread::sleep(LOOK);
            self.serve();
        }
        self.tell(Some(&self.record(State::PendingShutdown)));
        self.tell(None);
        if let Err(error) = self.producer.flush(FLUSH) {
            debug!(%error, "The instances topic did not take the end.");
        }
    }

    fn state(&self) -> State {
        let alive = self.view.workers.iter().filter(|worker| worker.is_alive());
        let mut partitions = alive.map(|worker| worker.partition_count.load(Ordering::Relaxed));
        match partitions.next() {
            None => State::Error,
            Some(first) if first + partitions.sum::<usize>() == 0 => State::Rebalancing,
            Some(_) => State::Running,
        }
    }

    fn tell(&self, record: Option<&str>) {
        let mut out = BaseRecord::to(&self.topic).key(&self.settings.application_id);
        out.payload = record;
        if let Err((error, _)) = self.producer.send(out) {
            debug!(%error, "The instances topic does not take the state.");
        }
    }

    fn serve(&self) {
        self.producer.poll(Duration::ZERO);
        let context = self.producer.context();
        let mut deliveries = context.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = deliveries.failure.take() {
            warn!(topic = self.topic, %error, "The state of this processor was not told.");
        }
    }

    fn record(&self, state: State) -> String {
        let snapshot = self.view.snapshot();
        let application_id = &self.settings.application_id;
        let threads = self.view.workers.iter().enumerate().map(|(at, worker)| {
            let name = format!("{}-StreamThread-{}", self.instance_id, at + 1);
            json!({
                "clientId": format!("{name}-consumer"),
                "threadState": if worker.is_alive() { "RUNNING" } else { "DEAD" },
                "numTasks": worker.partition_count.load(Ordering::Relaxed).to_string(),
                "threadName": name,
            })
        });
        let now = clock::now_ms();
        let properties: Map<String, Value> = self
            .settings
            .shown
            .iter()
            .map(|(name, value)| (name.replace('.', "_"), value.as_str().into()))
            .collect();
        json!({
            "applicationId": application_id,
            "kafkaStreamsState": state.as_str(),
            "numRules": snapshot.rule_count,
            "sampleTimestamp": now,
            "sampleTimestampHr": Utc(now).to_plain(),
            "threadMetadata": threads.collect::<Vec<Value>>(),
            "appHostName": self.host,
            "appProperties": properties,
            "applicationInstanceId": self.instance_id,
            "recordsProcessed": as_int(snapshot.counts.get(Metric::Records)),
            "numMatches": as_int(snapshot.counts.get(Metric::Detections)),
            "key": application_id,
            "processor": "sigmill",
            "version": env!("CARGO_PKG_VERSION"),
            "recordsTotal": snapshot.counts.get(Metric::Records),
            "detectionsTotal": snapshot.counts.get(Metric::Detections),
            "ruleProblems": snapshot.problems.len(),
        })
        .to_string()
    }
}

/// Readers have 32-bit numbers: a greater one begins again at 0, which is better than no record.
fn as_int(count: u64) -> u64 {
    count % (1 << 31)
}

/// A random UUID, version 4.
fn uuid() -> String {
    let random = || {
        // Its keys are random, which is all that is asked of an id.
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    };
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

fn host_name() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named = named.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    if named.trim().is_empty() { "unknown".to_owned() } else { named.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_differ() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(a.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&a.as_bytes()[19]), "{a}");
    }

    #[test]
    fn numbers_fit_into_32_bits() {
        assert_eq!(as_int(5), 5);
        assert_eq!(as_int(u64::from(u32::MAX)), i32::MAX as u64);
    }
}
