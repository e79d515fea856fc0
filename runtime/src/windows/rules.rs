//! The windows of a rule set by version.
//!
//! A version is made of the rule's hash, which covers all that shapes its meaning: windows live as long as
//! their version, whatever else changes. Every process that has the same rules finds the same versions.

use std::collections::HashMap;
use std::sync::Arc;

use sigmill_engine::window::{Window, WindowConfig, WindowId, WindowPlan, Windows};

use crate::detection::Format;
use crate::rule_store::{ActiveRule, RuleSet};
use crate::settings::Settings;

/// A window of a rule set.
#[derive(Debug)]
pub(crate) struct WindowRule {
    pub(crate) version: u64,
    /// In the plan of its set.
    pub(crate) id: WindowId,
    /// The plan of its set, and how many windows those before have.
    pub(crate) set: (Arc<WindowPlan>, u32),
    pub(crate) rule: Arc<ActiveRule>,
    pub(crate) window: Window,
    /// How far behind its partition's time an event may be.
    pub(crate) grace: i64,
    /// How long after an instant events may still come to it.
    pub(crate) hold: i64,
    /// It is decided when it closes.
    pub(crate) is_closing: bool,
    /// The window and what feeds it; it comes last.
    pub(crate) plan: Arc<WindowPlan>,
}

impl WindowRule {
    /// In its own plan.
    pub(crate) fn own_id(&self) -> WindowId {
        WindowId(self.plan.windows().len() as u32 - 1)
    }

    /// State without a group.
    pub(crate) fn begin(&self, config: &WindowConfig) -> Windows {
        Windows::new(Arc::clone(&self.plan), config.clone())
    }

    /// 0 if only rules feed it.
    pub(crate) fn level(&self) -> usize {
        self.plan.level(self.own_id()) as usize
    }
}

/// The windows of all plans of a rule set.
#[derive(Debug, Default)]
pub(crate) struct WindowRules {
    /// By window, through all plans.
    pub(crate) by_window: Vec<Arc<WindowRule>>,
    pub(crate) by_version: HashMap<u64, Arc<WindowRule>>,
    /// How far back the events lie that their state depends on, at most.
    pub(crate) span: i64,
    /// What the set was built from: rules topic partition → the offset behind the last record.
    pub(crate) offsets: Vec<(i32, i64)>,
    level_count: usize,
}

impl WindowRules {
    pub(crate) fn new(set: &RuleSet, config: &WindowConfig) -> Self {
        let mut rules = Self {
            offsets: set.offsets.iter().map(|(at, offset)| (*at, *offset)).collect(),
            ..Self::default()
        };
        set.sets().for_each(|set| rules.add(set, config));
        rules
    }

    fn add(&mut self, set: &RuleSet, config: &WindowConfig) {
        let (rules, plan) = (self, &set.windows);
        rules.level_count = rules.level_count.max(plan.level_count() as usize);
        for (at, window) in plan.windows().iter().enumerate() {
            let id = WindowId(at as u32);
            let rule = &set.rules[window.source as usize];
            let mut hash = Fnv::new();
            hash.text(&rule.key);
            hash.text(&rule.hash);
            hash.number(u64::from(window.condition_index));
            if !set.salt.is_empty() {
                hash.text(&set.salt);
            }
            let alone = Arc::new(plan.alone(id));
            let grace = config.grace_of(window);
            let last = WindowId(alone.windows().len() as u32 - 1);
            let empty = Windows::new(Arc::clone(&alone), config.clone());
            let (hold, is_closing) = (empty.hold_ms(last), empty.is_closing(last));
            // What is decided when it closes begins where another one has ended.
            let timespans = if is_closing { 4 } else { 2 };
            let span = window.timespan_ms.saturating_mul(timespans);
            let span = span.saturating_add(hold.saturating_mul(2));
            let (version, rule, window) = (hash.0, Arc::clone(rule), window.clone());
            let known = Arc::new(WindowRule {
                version,
                id,
                set: (Arc::clone(plan), set.window_base as u32),
                rule,
                window,
                grace,
                hold,
                is_closing,
                plan: alone,
            });
            rules.span = rules.span.max(span);
            rules.by_version.insert(version, Arc::clone(&known));
            rules.by_window.push(known);
        }
    }

    /// How many levels of windows there are.
    pub(crate) fn level_count(&self) -> usize {
        self.level_count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_window.is_empty()
    }

    /// Whether this set was built from all that another was built from.
    pub(crate) fn covers(&self, offsets: &[(i32, i64)]) -> bool {
        offsets == self.offsets
            || offsets.iter().all(|(partition, offset)| {
                *offset == 0
                    || self.offsets.iter().any(|(p, known)| p == partition && known >= offset)
            })
    }
}

/// The engine's limits, as the settings say.
pub(crate) fn config(settings: &Settings) -> WindowConfig {
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

/// A hash that is the same in every process and version of this one.
pub(crate) struct Fnv(pub(crate) u64);

impl Fnv {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }
}
