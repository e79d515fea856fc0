//! The processor: topics, the reader of the rules topic, and the workers, from start to stop.
//!
//! ```text
//! start: a broker answers → topics exist → the rules are in → workers join the group
//! stop:  workers finish their batch, wait for acknowledgements, commit, leave → the reader ends
//! ```
//! A worker that fails is started again on a new thread; its records are read again from the last
//! committed offset.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use core_affinity::CoreId;
use tracing::{error, info, warn};

use crate::admin::{Admin, TopicSpec};
use crate::budget::RuleStates;
use crate::control::Control;
use crate::enrich::TableKeeper;
use crate::instances::Instances;
use crate::metrics::{Metric, SharedCounts};
use crate::report::Reporter;
use crate::rule_store::RuleSet;
use crate::rules_reader::{RulesReader, RulesReaderContext};
use crate::run_error::RunError;
use crate::settings::{ExchangeMode, Settings};
use crate::shutdown::Shutdown;
pub use crate::view::Snapshot;
use crate::view::{View, WorkerView};
use crate::windows::exchange::Exchange;
use crate::windows::purge::Purge;
use crate::windows::rules::{self, WindowRules};
use crate::worker::{self, WorkerShared};

/// The pause before a failed worker is started again, doubled each time.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How a stop went.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// What the processor did.
    pub snapshot: Snapshot,
    /// Every thread ended in time.
    pub is_clean: bool,
}

/// A processor that runs.
pub struct Processor {
    shutdown: Shutdown,
    stop_timeout: Duration,
    view: View,
    workers: Vec<JoinHandle<()>>,
    /// These are there until the stop.
    reader: Option<RulesReader>,
    keeper: Option<TableKeeper>,
    purge: Option<Purge>,
    instances: Option<Instances>,
    control: Option<Control>,
    reporter: Option<Reporter>,
}

impl Drop for Processor {
    /// The threads end by themselves some time later; [`Processor::stop`] waits for them.
    fn drop(&mut self) {
        self.shutdown.ask();
    }
}

impl Processor {
    /// Starts a processor; when this returns, the rules are loaded and the workers run. `shutdown`
    /// ends the start too.
    ///
    /// # Errors
    /// No broker answers within the start's time-out, a topic is not usable, a client refuses its
    /// settings, or a stop was asked for.
    pub fn start(settings: Settings, shutdown: Shutdown) -> Result<Self, RunError> {
        let settings = Arc::new(settings);
        for warning in &settings.warnings {
            warn!("{warning}");
        }
        let has_instances_topic = make_topics(&settings, &shutdown)?;
        if let Some(schemas) = &settings.output_schemas {
            let topic = &settings.output_topic;
            schemas.register_within(topic, settings.start_timeout, &shutdown)?;
        }
        let rules = Arc::new(ArcSwap::from_pointee(RuleSet::default()));
        let reader_counts = Arc::new(SharedCounts::default());
        let keeper = TableKeeper::start(&settings, &reader_counts, &shutdown)
            .inspect_err(|_| shutdown.ask())?;
        let enrichment = keeper.as_ref().map(|keeper| Arc::clone(&keeper.enrichment));
        let overlays = enrichment.as_ref().map(|one| one.settings.overlays(&one.columns));
        let reader = RulesReader::start(RulesReaderContext {
            settings: Arc::clone(&settings),
            rules: Arc::clone(&rules),
            counts: Arc::clone(&reader_counts),
            shutdown: shutdown.clone(),
            makes_topics: true,
            overlays: overlays.unwrap_or_default(),
        })?;
        if let Err(error) = reader.wait_ready(&shutdown) {
            shutdown.ask();
            reader.join();
            return Err(error);
        }
        let exchange = Arc::new(Exchange::default());
        if !rules.load().windows.is_empty() && settings.window.exchange == ExchangeMode::Topic {
            let known = WindowRules::new(&rules.load(), &rules::config(&settings));
            exchange.prepare(&settings, known.span).inspect_err(|_| shutdown.ask())?;
        }
        let purge = match settings.window.exchange {
            ExchangeMode::Topic => {
                let started = Purge::start(&settings, &exchange, &reader_counts, &shutdown);
                Some(started.inspect_err(|_| shutdown.ask())?)
            }
            ExchangeMode::None => None,
        };
        let rule_states = Arc::new(RuleStates::default());
        let mut view = View {
            rules: Arc::clone(&rules),
            workers: Vec::new(),
            other_counts: vec![reader_counts],
            recent: Arc::default(),
            rates: Arc::default(),
            parts: vec![rule_states.clone()],
        };
        let mut workers = Vec::with_capacity(settings.worker_count);
        for (index, core) in cores(settings.worker_count).into_iter().enumerate() {
            let worker = WorkerView {
                core: core.map(|core| core.id),
                rule_states: Arc::clone(&rule_states),
                recent: Arc::clone(&view.recent),
                ..WorkerView::default()
            };
            let shared = WorkerShared {
                settings: Arc::clone(&settings),
                rules: Arc::clone(&rules),
                view: worker.clone(),
                shutdown: shutdown.clone(),
                exchange: Arc::clone(&exchange),
                enrichment: enrichment.clone(),
            };
            view.workers.push(worker);
            workers.push(start_worker(index, core, shared).inspect_err(|_| shutdown.ask())?);
        }
        let reporter =
            Reporter::start(&settings, view.clone(), &shutdown).inspect_err(|_| shutdown.ask())?;
        let control =
            Control::start(&settings, view.clone(), &shutdown).inspect_err(|_| shutdown.ask())?;
        let instances = match &settings.instances_topic {
            Some(topic) if has_instances_topic => {
                let told = Instances::start(&settings, topic, view.clone(), &shutdown);
                Some(told.inspect_err(|_| shutdown.ask())?)
            }
            _ => None,
        };
        info!(
            application_id = settings.application_id,
            workers = workers.len(),
            rules = rules.load().active_count,
            "The processor runs."
        );
        let stop_timeout = settings.stop_timeout;
        Ok(Self {
            shutdown,
            stop_timeout,
            view,
            workers,
            reader: Some(reader),
            keeper,
            purge,
            instances,
            control,
            reporter: Some(reporter),
        })
    }

    /// What the processor did so far.
    pub fn snapshot(&self) -> Snapshot {
        self.view.snapshot()
    }

    /// Where health and metrics are told.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control.as_ref().map(|control| control.address)
    }

    /// Stops: what is in flight is waited for within the stop's time-out, and committed.
    pub fn stop(mut self) -> Stopped {
        self.shutdown.ask();
        let deadline = Instant::now() + self.stop_timeout;
        while self.is_busy() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let is_clean = !self.is_busy();
        let snapshot = self.snapshot();
        if is_clean {
            for worker in self.workers.drain(..) {
                // The supervisor catches its worker's panics.
                let _ = worker.join();
            }
            if let Some(reader) = self.reader.take() {
                reader.join();
            }
            if let Some(keeper) = self.keeper.take() {
                keeper.join();
            }
            if let Some(purge) = self.purge.take() {
                purge.join();
            }
            if let Some(instances) = self.instances.take() {
                instances.join();
            }
            if let Some(control) = self.control.take() {
                control.join();
            }
            if let Some(reporter) = self.reporter.take() {
                reporter.join();
            }
            info!("The processor has stopped.");
        } else {
            error!(
                timeout_ms = self.stop_timeout.as_millis(),
                "Not every thread ended in time; what is not acknowledged is not committed."
            );
        }
        Stopped { snapshot, is_clean }
    }

    fn is_busy(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| !reader.is_finished())
            || self.keeper.as_ref().is_some_and(|keeper| !keeper.is_finished())
            || self.workers.iter().any(|worker| !worker.is_finished())
            || self.purge.as_ref().is_some_and(|purge| !purge.is_finished())
            || self.instances.as_ref().is_some_and(|instances| !instances.is_finished())
            || self.reporter.as_ref().is_some_and(|reporter| !reporter.is_finished())
            || self.control.as_ref().is_some_and(|control| !control.is_finished())
    }
}

/// A worker's thread, and what others see of it.
fn start_worker(
    index: usize,
    core: Option<CoreId>,
    shared: WorkerShared,
) -> Result<JoinHandle<()>, RunError> {
    let is_alive = Arc::clone(&shared.view.is_alive);
    is_alive.store(true, Ordering::Relaxed);
    let run = move || {
        supervise(index, core, &shared);
        is_alive.store(false, Ordering::Relaxed);
    };
    Ok(thread::Builder::new().name(format!("sigmill-supervisor-{index}")).spawn(run)?)
}

/// Runs a worker, each time on a new thread: a pinned one would pin the clients of its successor.
fn supervise(index: usize, core: Option<CoreId>, shared: &WorkerShared) {
    let mut pause = RESTART_PAUSE;
    loop {
        let begin = Instant::now();
        let run = || catch_unwind(AssertUnwindSafe(|| worker::run(index, core, shared)));
        let ended = thread::scope(|scope| {
            let name = format!("sigmill-worker-{index}");
            thread::Builder::new().name(name).spawn_scoped(scope, run).map(|thread| thread.join())
        });
        match ended {
            Ok(Ok(Ok(Ok(())))) => return,
            Ok(Ok(Ok(Err(error)))) => {
                // With what is behind it: that a client refuses its settings says little.
                error!(
                    worker = index,
                    error = &error as &dyn std::error::Error,
                    "A worker failed."
                );
            }
            Err(error) => error!(worker = index, %error, "A worker has no thread."),
            _ => error!(worker = index, "A worker panicked."),
        }
        // One that ran for long failed for a new reason.
        if begin.elapsed() > RESTART_PAUSE_MAX {
            pause = RESTART_PAUSE;
        }
        let until = Instant::now() + pause;
        pause = (pause * 2).min(RESTART_PAUSE_MAX);
        while Instant::now() < until {
            if shared.shutdown.is_asked() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        shared.view.counts.add(Metric::WorkerRestarts, 1);
    }
}

/// Makes the topics that are missing. Whether there is one for instances: without it the processor only
/// tells less.
fn make_topics(settings: &Settings, shutdown: &Shutdown) -> Result<bool, RunError> {
    let admin = Admin::new(&settings.kafka, settings.replication_factor)?;
    let existing = admin.topics(settings.start_timeout, shutdown)?;
    for topic in &existing {
        if let Some((one, other)) = settings.streams.claims(topic) {
            return Err(RunError::TopicOfTwoStreams {
                topic: topic.clone(),
                settings: [one.setting(), other.setting()],
            });
        }
    }
    let compacted =
        |name: &String| TopicSpec { name: name.clone(), partition_count: 1, is_compacted: true };
    let plain =
        |name: &String| TopicSpec { name: name.clone(), partition_count: -1, is_compacted: false };
    let mut topics = vec![compacted(&settings.rules_topic)];
    topics.extend(settings.data_topics.iter().filter(|name| !name.starts_with('^')).map(plain));
    topics.push(plain(&settings.output_topic));
    topics.extend(settings.deadletter_topic.iter().map(plain));
    admin.create_missing(&existing, &topics)?;
    let has_instances_topic = settings.instances_topic.as_ref().is_some_and(|instances| {
        let made = admin.create_missing(&existing, &[compacted(instances)]);
        if let Err(error) = &made {
            warn!(%error, "The state of this processor is not told.");
        }
        made.is_ok()
    });
    if existing.contains(&settings.rules_topic) {
        // A broker that does not tell its settings takes its time, for which nobody should wait.
        let topic = settings.rules_topic.clone();
        let look = move || admin.warn_unless_compacted(&topic);
        thread::Builder::new().name("sigmill-policy".into()).spawn(look)?;
    }
    Ok(has_instances_topic)
}

/// A processor for each worker, if there are enough.
fn cores(worker_count: usize) -> Vec<Option<CoreId>> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if worker_count > cores.len() {
        warn!(
            workers = worker_count,
            processors = cores.len(),
            "More workers than processors: the workers are not pinned."
        );
        return vec![None; worker_count];
    }
    cores.into_iter().take(worker_count).map(Some).collect()
}
