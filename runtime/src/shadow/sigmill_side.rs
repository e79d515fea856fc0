//! What Sigmill would tell: records through the engine and the windows, and nothing goes out.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::message::Message;
use serde_json::{Map, Value};
use sigmill_codegen::RuleDocument;
use sigmill_engine::window::{
    self, Emit, FeedCounters, Occurrence, Position, WindowConfig, WindowPlan, WindowSet,
};
use sigmill_engine::{Matcher, MatcherConfig, Plan, RuleId};
use tracing::debug;

use super::difference::Place;
use super::event_digest::EventDigest;
use crate::avro::Decoder;
use crate::avro::registry::RegistryError;
use crate::clock;
use crate::detection::{Event, EventPosition, Extract, Format, Template};
use crate::rule_store::{ActiveRule, RuleSet};
use crate::settings::Settings;

/// A detection that Sigmill would send.
pub(super) struct OwnDetection {
    pub(super) rule: Arc<ActiveRule>,
    pub(super) is_window: bool,
    pub(super) event: Arc<[u8]>,
    pub(super) digest: EventDigest,
    pub(super) place: Place,
    pub(super) timestamp: Option<i64>,
    /// As Confluent Sigma shows it, without the source.
    pub(super) shown: Map<String, Value>,
}

/// Matches records.
pub(super) struct SigmillSide {
    settings: Settings,
    rules: Arc<RuleSet>,
    matcher: Matcher,
    windows: WindowSet,
    avro: Option<Decoder>,
    /// By rule key and version: how its detections look.
    templates: HashMap<(String, String), Template>,
    /// Numbers of partitions.
    sources: HashMap<(String, i32), u32>,
    watermark: i64,
    extract: Extract,
}

fn matcher(plan: &Arc<Plan>, settings: &Settings) -> Matcher {
    let config =
        MatcherConfig { record_bytes_max: settings.record_bytes_max, ..MatcherConfig::default() };
    Matcher::new(Arc::clone(plan), config)
}

fn windows(plan: &Arc<WindowPlan>, settings: &Settings) -> WindowSet {
    let grace = settings.window.grace;
    let config = WindowConfig {
        // As the JVM processor does.
        emit: Emit::Every,
        grace_ms: grace.map(|grace| i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)),
        groups_per_window_max: settings.window.groups_max,
        contents_per_group_max: 1,
        ..WindowConfig::default()
    };
    WindowSet::new(Arc::clone(plan), &config, 1)
}

impl SigmillSide {
    pub(super) fn new(settings: &Settings) -> Self {
        let rules = Arc::<RuleSet>::default();
        Self {
            matcher: matcher(&rules.plan, settings),
            windows: windows(&rules.windows, settings),
            avro: settings
                .data_registry
                .as_ref()
                .map(|registry| Decoder::new(Arc::clone(registry), settings.record_bytes_max)),
            settings: settings.clone(),
            rules,
            templates: HashMap::new(),
            sources: HashMap::new(),
            watermark: i64::MIN,
            extract: Extract::default(),
        }
    }

    /// Takes a set on, if it is new. Windows begin anew with it.
    pub(super) fn take_rules(&mut self, rules: &Arc<RuleSet>) -> bool {
        if rules.generation == self.rules.generation {
            return false;
        }
        self.rules = Arc::clone(rules);
        self.matcher.set_plan(Arc::clone(&rules.plan));
        self.windows = windows(&rules.windows, &self.settings);
        self.templates.clear();
        true
    }

    /// What a record comes to. A record that is refused comes to nothing.
    ///
    /// # Errors
    /// Its schema is not known yet.
    pub(super) fn take(
        &mut self,
        message: &impl Message,
    ) -> Result<Vec<OwnDetection>, RegistryError> {
        let Some(payload) = message.payload() else { return Ok(vec![]) };
        let payload = match &mut self.avro {
            None => payload,
            Some(avro) => {
                avro.prepare(payload)?;
                match avro.to_json(payload) {
                    Ok(json) => json,
                    Err(refusal) => {
                        debug!(%refusal, "Refused a record.");
                        return Ok(vec![]);
                    }
                }
            }
        };
        let event: Arc<[u8]> = payload.into();
        let found = match self.matcher.matches(&event) {
            Ok(found) => found.to_vec(),
            Err(rejection) => {
                debug!(%rejection, "Refused a record.");
                return Ok(vec![]);
            }
        };
        let mut told = Vec::new();
        if found.is_empty() {
            return Ok(told);
        }
        let rules = Arc::clone(&self.rules);
        let mut simple: Vec<RuleId> =
            found.iter().copied().filter(|id| rules.windows.is_emitting(*id)).collect();
        if self.settings.is_first_match {
            simple.sort_by_key(|id| rules.plan.rule(*id).source);
            simple.truncate(1);
        }
        // Two conditions of one rule are one rule to the JVM processor.
        let mut sources: Vec<u32> = simple.iter().map(|id| rules.plan.rule(*id).source).collect();
        sources.dedup();
        for (at, source) in sources.iter().enumerate() {
            let id = simple[at.min(simple.len() - 1)];
            self.extract.clear();
            rules.reads(id).take(&mut self.matcher, &event, &mut self.extract);
            told.extend(self.detection(&rules.rules[*source as usize], false, &event, message));
        }
        for source in self.feed(&rules, &found, &event, message) {
            self.extract.clear();
            told.extend(self.detection(&rules.rules[source as usize], true, &event, message));
        }
        Ok(told)
    }

    /// The rules whose windows tell of this record.
    fn feed(
        &mut self,
        rules: &RuleSet,
        found: &[RuleId],
        event: &[u8],
        message: &impl Message,
    ) -> Vec<u32> {
        if rules.windows.is_empty() {
            return vec![];
        }
        let now = clock::now_ms();
        let time = message.timestamp().to_millis().filter(|time| *time > 0).unwrap_or(now);
        let next = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        let place = (message.topic().to_owned(), message.partition());
        let source = *self.sources.entry(place).or_insert(next);
        self.watermark = self.watermark.max(time.min(now));
        let occurrence = Occurrence {
            time,
            position: Position { source, offset: u64::try_from(message.offset()).unwrap_or(0) },
            watermark: self.watermark,
            content: None,
            may_repeat: false,
        };
        let mut fed = Vec::new();
        let mut counters = FeedCounters::default();
        window::collect(
            &rules.windows,
            &mut self.matcher,
            event,
            found,
            &occurrence,
            &mut counters,
            &mut fed,
        );
        let mut detections = Vec::new();
        self.windows.push(self.watermark, &fed, &mut detections);
        // Those that another record completed, behind time, are shown with it: there is none at hand.
        let of_this = detections.iter().filter(|one| one.completed_by == occurrence.position);
        let mut sources: Vec<u32> = of_this
            .map(|one| rules.windows.window(one.window))
            .filter(|window| window.is_emitting)
            .map(|window| window.source)
            .collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    fn detection(
        &mut self,
        rule: &Arc<ActiveRule>,
        is_window: bool,
        event: &Arc<[u8]>,
        message: &impl Message,
    ) -> Option<OwnDetection> {
        // The JVM processor knows no other documents.
        let RuleDocument::Rule(document) = &rule.document else { return None };
        let value: Value = serde_json::from_slice(event).ok()?;
        let key = (rule.key.clone(), rule.hash.clone());
        let template = self.templates.entry(key).or_insert_with(|| {
            Template::new(Format::Confluent13, document, &rule.position, &rule.output_topic)
        });
        let place = Place {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        };
        let position = EventPosition::Record {
            topic: &place.topic,
            partition: place.partition,
            offset: place.offset,
        };
        let shown = Event { bytes: b"{}", position, timestamp: None };
        let mut json = Vec::new();
        template.write(&mut json, 0, &shown, &self.extract);
        let mut shown: Map<String, Value> = serde_json::from_slice(&json).ok()?;
        shown.shift_remove("sourceData");
        Some(OwnDetection {
            rule: Arc::clone(rule),
            is_window,
            event: Arc::clone(event),
            digest: EventDigest::of(&value),
            place,
            timestamp: message.timestamp().to_millis(),
            shown,
        })
    }

    /// Whether a rule matches an event, whatever windows come to.
    pub(super) fn rule_matches(matcher: &mut Matcher, source: u32, event: &[u8]) -> bool {
        let plan = Arc::clone(matcher.plan());
        matcher
            .matches(event)
            .is_ok_and(|found| found.iter().any(|id| plan.rule(*id).source == source))
    }

    /// A matcher of its own for a set.
    pub(super) fn matcher(rules: &RuleSet, settings: &Settings) -> Matcher {
        matcher(&rules.plan, settings)
    }
}
