//! Step 6, window, for one process: correlations and aggregations over what all its workers match.
//!
//! One thread takes the workers' matches, puts each among those of its group and sends what that
//! completes. A window belongs to a version of its rule: it lives on when other rules change, and ends
//! with its version. Windows that feed each other live and end together. Time has come as far as the partition that lags most; one without news is left out.
//!
//! State is in memory and covers the partitions that this process reads. Processes that share an
//! `application.id` count each for itself, and a start begins with empty windows.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sigmill_engine::window::{
    Position, Window, WindowConfig, WindowDetection, WindowId, WindowMatch, WindowPlan, WindowSet,
};
use tracing::{info, warn};

use crate::detection::{Event, EventPosition, Extract, Format};
use crate::emit::Emitter;
use crate::latency::SharedLatencies;
use crate::metrics::{Metric, SharedCounts};
use crate::rate_limit::RateLimit;
use crate::rule_store::{ActiveRule, RuleSet};
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::window_feed::{Sources, WindowNews};

/// Matches that may wait for the stage before the workers wait for it.
const WAITING_MAX: usize = 16_384;
/// How long the stage waits for news while nothing is in flight.
const POLL_IDLE: Duration = Duration::from_millis(50);
const POLL_BUSY: Duration = Duration::from_millis(1);

/// Which window of which version of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct WindowKey {
    rule: String,
    hash: String,
    condition: u32,
}

/// Windows that feed each other, or one alone.
struct Live {
    /// By window of the chain.
    rules: Vec<Arc<ActiveRule>>,
    plan: Arc<WindowPlan>,
    set: WindowSet,
}

/// How far a partition has come, and since when.
struct SourceTime {
    time: i64,
    heard: Instant,
    offset_max: u64,
}

/// The stage's thread.
pub(crate) struct WindowStage {
    thread: JoinHandle<()>,
    /// What it counted.
    pub(crate) counts: Arc<SharedCounts>,
    /// What it measured.
    pub(crate) latencies: Arc<SharedLatencies>,
}

impl WindowStage {
    /// Starts the thread; it ends when no sender is left and what it sent is acknowledged.
    ///
    /// # Errors
    /// The producer's settings are refused, or there is no thread.
    pub(crate) fn start(
        settings: &Arc<Settings>,
        sources: &Arc<Sources>,
        shutdown: &Shutdown,
    ) -> Result<(Self, Sender<WindowNews>), RunError> {
        let (sender, news) = bounded(WAITING_MAX);
        let (counts, latencies) = (Arc::default(), Arc::default());
        let mut stage = Stage {
            emitter: Emitter::new(settings, settings.worker_count)?,
            settings: Arc::clone(settings),
            sources: Arc::clone(sources),
            shutdown: shutdown.clone(),
            config: config(settings),
            rules: Arc::default(),
            live: HashMap::new(),
            places: HashMap::new(),
            times: HashMap::new(),
            counts: Arc::clone(&counts),
            latencies: Arc::clone(&latencies),
            detections: Vec::new(),
            limit: RateLimit::new(Duration::from_secs(1)),
        };
        let run = move || stage.run(&news);
        let thread = thread::Builder::new().name("sigmill-windows".into()).spawn(run)?;
        Ok((Self { thread, counts, latencies }, sender))
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("The window stage ended by a panic.");
        }
    }
}

fn config(settings: &Settings) -> WindowConfig {
    let window = &settings.window;
    // A Confluent detection shows the latest record, others those that are kept.
    let is_confluent =
        matches!(settings.output_format, Format::Confluent13 | Format::ConfluentHead);
    let defaults = WindowConfig::default();
    WindowConfig {
        emit: window.emit,
        grace_ms: window.grace.map(|grace| i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)),
        groups_per_window_max: window.groups_max,
        contents_per_group_max: if is_confluent { 1 } else { defaults.contents_per_group_max },
        ..defaults
    }
}

struct Stage {
    settings: Arc<Settings>,
    sources: Arc<Sources>,
    shutdown: Shutdown,
    config: WindowConfig,
    emitter: Emitter,
    rules: Arc<RuleSet>,
    /// By the windows of the chain.
    live: HashMap<Vec<WindowKey>, Live>,
    /// Where each window stands: its chain, and as which of the chain.
    places: HashMap<WindowKey, (Vec<WindowKey>, WindowId)>,
    times: HashMap<u32, SourceTime>,
    counts: Arc<SharedCounts>,
    latencies: Arc<SharedLatencies>,
    detections: Vec<WindowDetection>,
    limit: RateLimit,
}

impl Stage {
    fn run(&mut self, news: &Receiver<WindowNews>) {
        loop {
            let wait = if self.emitter.in_flight_count() == 0 { POLL_IDLE } else { POLL_BUSY };
            match news.recv_timeout(wait) {
                Ok(WindowNews::Matches { rules, matches }) => {
                    self.take_rules(&rules);
                    matches.into_iter().for_each(|fed| self.push(&rules, fed));
                }
                Ok(WindowNews::Times(times)) => self.take_times(&times),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.serve();
            // At a stop nobody waits: what the workers still have to tell has to be heard.
            while !self.emitter.is_ready() && !self.shutdown.is_asked() {
                self.serve();
                thread::sleep(POLL_BUSY);
            }
        }
        let deadline = Instant::now() + self.settings.stop_timeout.mul_f32(0.3);
        while self.emitter.in_flight_count() > 0 && Instant::now() < deadline {
            self.emitter.poll(Duration::from_millis(5));
        }
        self.serve();
    }

    /// Keeps the windows of rules that are as they were, and begins those of new ones.
    fn take_rules(&mut self, rules: &Arc<RuleSet>) {
        if rules.generation <= self.rules.generation {
            return;
        }
        self.rules = Arc::clone(rules);
        self.places.clear();
        let mut live = HashMap::new();
        for chain in rules.windows.chains() {
            let keys: Vec<WindowKey> = chain.iter().map(|id| key(rules, *id)).collect();
            for (at, key) in keys.iter().enumerate() {
                self.places.insert(key.clone(), (keys.clone(), WindowId(at as u32)));
            }
            let own: Vec<Arc<ActiveRule>> = chain
                .iter()
                .map(|id| Arc::clone(&rules.rules[rules.windows.window(*id).source as usize]))
                .collect();
            let kept = self.live.remove(&keys).map(|live| Live { rules: own.clone(), ..live });
            live.insert(keys, kept.unwrap_or_else(|| self.begin(own, rules, &chain)));
        }
        self.live = live;
    }

    fn begin(&self, own: Vec<Arc<ActiveRule>>, rules: &RuleSet, chain: &[WindowId]) -> Live {
        own.iter().for_each(|rule| info!("New aggregate rule: {}", rule.title()));
        let plan = Arc::new(rules.windows.of_chain(chain));
        let set = WindowSet::new(Arc::clone(&plan), &self.config, 1);
        Live { rules: own, plan, set }
    }

    fn push(&mut self, rules: &RuleSet, mut fed: WindowMatch) {
        let source = self.source(fed.position.source, fed.watermark);
        fed.may_repeat = fed.position.offset <= source.offset_max;
        source.offset_max = source.offset_max.max(fed.position.offset);
        let watermark = self.watermark();
        let place = self.places.get(&key(rules, fed.window)).cloned();
        let live = place.and_then(|(chain, at)| Some((at, self.live.get_mut(&chain)?, chain)));
        let Some((at, live, chain)) = live else {
            // A worker matched it by rules that are no longer in force.
            self.counts.add(Metric::WindowMatchesOutdated, 1);
            return;
        };
        fed.window = at;
        let before = live.set.counters();
        live.set.push(watermark, &[fed], &mut self.detections);
        let after = live.set.counters();
        for (metric, was, is) in [
            (Metric::WindowMatches, before.matches, after.matches),
            (Metric::WindowMatchesLate, before.matches_late, after.matches_late),
            (Metric::WindowGroupsEvicted, before.groups_evicted, after.groups_evicted),
            (Metric::WindowEntriesEvicted, before.entries_evicted, after.entries_evicted),
        ] {
            self.counts.add(metric, is - was);
        }
        self.send_detections(&chain);
    }

    fn source(&mut self, source: u32, time: i64) -> &mut SourceTime {
        let now = Instant::now();
        let known =
            self.times.entry(source).or_insert(SourceTime { time, heard: now, offset_max: 0 });
        known.time = known.time.max(time);
        known.heard = now;
        known
    }

    fn take_times(&mut self, times: &[(u32, i64)]) {
        for (source, time) in times {
            self.source(*source, *time);
        }
        let watermark = self.watermark();
        let keys: Vec<Vec<WindowKey>> = self.live.keys().cloned().collect();
        for key in keys {
            if let Some(live) = self.live.get_mut(&key) {
                live.set.push(watermark, &[], &mut self.detections);
            }
            self.send_detections(&key);
        }
    }

    /// The time of the partition that lags most.
    fn watermark(&self) -> i64 {
        let idle = self.settings.window.idle;
        let awake = self.times.values().filter(|source| source.heard.elapsed() < idle);
        awake.map(|source| source.time).min().unwrap_or(i64::MIN)
    }

    fn send_detections(&mut self, chain: &[WindowKey]) {
        if self.detections.is_empty() {
            return;
        }
        let detections = std::mem::take(&mut self.detections);
        for detection in &detections {
            let Some(live) = self.live.get(chain) else { break };
            let window = live.plan.window(detection.window);
            if !window.is_emitting {
                continue;
            }
            let rule = &live.rules[detection.window.0 as usize];
            if self.limit.allow(Instant::now()).is_some() {
                info!("Found a match Title: {} ({})", rule.title(), detection.reading);
            }
            send(&mut self.emitter, &self.sources, (rule, window), detection);
            self.counts.add(Metric::WindowDetections, 1);
        }
        self.detections = detections;
        self.detections.clear();
    }

    fn serve(&mut self) {
        self.emitter.poll(Duration::ZERO);
        self.counts.take(&mut self.emitter.counts);
        self.latencies.take(&mut self.emitter.latencies);
        let Some(reason) = self.emitter.fatal() else { return };
        warn!(
            reason,
            lost = self.emitter.in_flight_count(),
            "The producer of windows cannot go on; a new one takes over."
        );
        match Emitter::new(&self.settings, self.settings.worker_count) {
            Ok(emitter) => self.emitter = emitter,
            Err(error) => {
                warn!(%error, "There is no new producer for windows yet.");
                thread::sleep(POLL_IDLE);
            }
        }
    }
}

fn key(rules: &RuleSet, id: WindowId) -> WindowKey {
    let window = rules.windows.window(id);
    let rule = &rules.rules[window.source as usize];
    WindowKey { rule: rule.key.clone(), hash: rule.hash.clone(), condition: window.condition_index }
}

fn send(
    emitter: &mut Emitter,
    sources: &Sources,
    (rule, window): (&ActiveRule, &Window),
    detection: &WindowDetection,
) {
    let mut topics: HashMap<u32, (Arc<str>, i32)> = HashMap::new();
    let events = detection.events.iter().map(|event| event.position.source);
    for source in events.chain([detection.completed_by.source]) {
        topics.entry(source).or_insert_with(|| sources.get(source).unwrap_or(("".into(), 0)));
    }
    let place = |position: Position| {
        let (topic, partition) = &topics[&position.source];
        let offset = i64::try_from(position.offset).unwrap_or(i64::MAX);
        EventPosition::Record { topic, partition: *partition, offset }
    };
    let mut extract = Extract::default();
    extract.take_window(detection, window, &place);
    let latest = detection.events.last().map_or(detection.at, |event| event.time);
    let event = Event {
        // The latest whose bytes were kept.
        bytes: detection.contents.last().map_or(&b"{}"[..], |(_, bytes)| bytes),
        position: place(detection.completed_by),
        timestamp: Some(latest),
    };
    emitter.send_window_detection(rule, &event, &extract);
}
