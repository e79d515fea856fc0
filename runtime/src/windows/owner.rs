//! The owner's side: the windows of one partition of the matches topic.
//!
//! In: the records of the partition, in order. Out: detections. The state at an offset is a function of the
//! records before it, the clock has no part in it: how far time has come is the least of the data
//! partitions' times as the records tell them, without those that their readers say are idle. A partition
//! that nobody reads for a while, because its readers are down, is not idle: it holds time back.
//!
//! # Restoring
//! An owner that takes the partition over begins before the committed offset, at the place that was
//! committed with it, and takes the records up to the committed offset in without a word: time stands
//! still meanwhile, so that whatever its predecessor took in is taken in again; then time jumps to where it
//! was. The place is the last one before which all events are older than what any window's outcome
//! still depends on: twice the timespan and twice the time that events may be late, before the watermark.
//!
//! Windows that are decided when they close begin where the one before has ended, and so depend on
//! everything before. Their owner writes into its own partition, twice a timespan, which groups have one open
//! and since when; who restores goes on from the last such list that it finds. No place before it is given up
//! until the owner has read the next list back.
//!
//! # Soundness
//! A match is pushed as new without a look at its group if its position is beyond all those seen of its
//! source and version; otherwise its group's entries decide. A group has every entry that a match which is
//! not late could repeat.
//!
//! # Windows that feed windows
//! What a window finds for others goes out as matches to the owners of their groups. Time comes on for such
//! a window when it has for all that feed it, wherever they are owned: each owner tells how far it is, by
//! level, and what it has found up to there went out before. What was found belongs to the position of the
//! event that completed it, with a mark of its window and group, so that one event can complete two.

mod openings;
mod places;
mod saved;

use std::collections::HashMap;
use std::sync::Arc;

use sigmill_engine::window::{
    self, FeedCounters, GroupKey, Position, WindowConfig, WindowDetection, WindowMatch,
    WindowValue, Windows,
};

use self::openings::Listed;
use self::places::Places;
use super::match_batch::{BatchSource, Malformed, MatchBatch, Openings, SourceTime};
use super::rules::{Fnv, WindowRule, WindowRules};
use crate::commit::{Mark, Start};
use crate::metrics::{Counts, Metric};

/// The bits of a position's offset that are one; the others tell what windows found apart.
const OFFSET_BITS: u32 = 48;

/// A detection and what it is of.
pub(crate) struct Found {
    pub(crate) rule: Arc<WindowRule>,
    pub(crate) detection: WindowDetection,
}

/// What a record leads to.
#[derive(Default)]
pub(crate) struct Output {
    /// Detections to be sent.
    pub(crate) found: Vec<Found>,
    /// Matches for the owners of windows that others feed: by the number in the set's plan, of this
    /// owner's sources.
    pub(crate) chained: Vec<WindowMatch>,
    /// For the next owner of this partition.
    pub(crate) openings: Vec<Openings>,
}

/// How far something has come, as it was told last.
#[derive(Debug, Clone, Copy)]
struct Clock {
    time: i64,
    is_idle: bool,
}

impl Clock {
    /// Nothing was told yet: it may lag.
    const UNTOLD: Self = Self { time: i64::MIN, is_idle: false };
}

/// The time of the one that lags most, of those that are not idle.
fn least<'a>(clocks: impl Iterator<Item = &'a Clock>) -> i64 {
    let awake = clocks.filter(|clock| !clock.is_idle);
    awake.map(|clock| clock.time).min().unwrap_or(i64::MIN)
}

/// A data partition as the owner knows it.
#[derive(Debug)]
struct Source {
    topic: Arc<str>,
    partition: i32,
    /// `None`: nobody has told of it or its topic yet.
    clock: Option<Clock>,
}

#[derive(Debug)]
struct Live {
    rule: Arc<WindowRule>,
    windows: Windows,
    /// By source: the greatest offset seen.
    seen: HashMap<u32, u64>,
    /// The watermark at which its open windows were told last.
    told_at: i64,
}

/// The windows of a partition.
#[derive(Debug)]
pub(crate) struct Owner {
    config: WindowConfig,
    sources: Vec<Source>,
    /// By partition of the matches topic: how far it has come, by level.
    owners: HashMap<i32, Vec<Clock>>,
    /// Topic → partition → index into `sources`.
    index: HashMap<Arc<str>, HashMap<i32, u32>>,
    live: HashMap<u64, Live>,
    /// By level.
    watermarks: Vec<i64>,
    time_max: i64,
    places: Places,
    /// Records before it restore.
    restored_at: Option<i64>,
    restored_watermarks: Vec<i64>,
    /// What it finds in records before it was told by its predecessor: it goes on from a checkpoint.
    silent_until: Option<i64>,
    /// While restoring: matches for windows that are decided when they close.
    held: HashMap<(u64, GroupKey), Vec<WindowMatch>>,
    /// By version of such windows: which are open.
    listed: HashMap<u64, Listed>,
    /// What is committed of the watermarks above level 0.
    levels: Option<Arc<[i64]>>,
    /// The matches of a record, by version.
    decoded: Vec<Vec<WindowMatch>>,
    detections: Vec<WindowDetection>,
}

impl Owner {
    /// Nothing yet; what was committed says what is to be restored.
    pub(crate) fn new(config: WindowConfig, start: &Start) -> Self {
        Self {
            config,
            sources: Vec::new(),
            owners: HashMap::new(),
            index: HashMap::new(),
            live: HashMap::new(),
            watermarks: Vec::new(),
            time_max: start.mark.replay_time,
            places: Places::default(),
            restored_at: start.committed,
            restored_watermarks: [start.mark.time]
                .into_iter()
                .chain(start.mark.levels.iter().flat_map(|levels| levels.iter().copied()))
                .collect(),
            silent_until: None,
            held: HashMap::new(),
            listed: HashMap::new(),
            levels: None,
            decoded: Vec::new(),
            detections: Vec::new(),
        }
    }

    /// The state to commit with the offset behind the last record.
    pub(crate) fn mark(&mut self) -> Mark {
        let levels = self.watermarks.get(1..).unwrap_or_default();
        if levels.is_empty() {
            self.levels = None;
        } else if self.levels.as_deref() != Some(levels) {
            self.levels = Some(levels.into());
        }
        let place = self.places.first();
        Mark {
            time: self.watermark(0),
            replay: place.map(|place| place.offset),
            replay_time: place.map_or(i64::MIN, |place| place.time),
            levels: self.levels.clone(),
        }
    }

    /// How far time has come for windows of a level.
    pub(crate) fn watermark(&self, level: usize) -> i64 {
        self.watermarks.get(level).copied().unwrap_or(i64::MIN)
    }

    /// Whether its windows are as they were when its partition was given up.
    pub(crate) fn is_restored(&self) -> bool {
        self.restored_at.is_none()
    }

    /// Whether it has come to where its predecessor was, whatever it began from.
    pub(crate) fn is_at_work(&self) -> bool {
        self.is_restored() && self.silent_until.is_none()
    }

    /// The latest time told.
    pub(crate) fn time(&self) -> i64 {
        self.time_max
    }

    /// Where an event was read.
    pub(crate) fn source(&self, source: u32) -> (&str, i32) {
        self.sources
            .get(source as usize)
            .map_or(("", -1), |source| (&*source.topic, source.partition))
    }

    /// Windows of versions that are not in force any more end.
    pub(crate) fn take_rules(&mut self, rules: &WindowRules) {
        self.live.retain(|version, live| match rules.by_version.get(version) {
            Some(rule) => {
                live.rule = Arc::clone(rule);
                true
            }
            None => false,
        });
    }

    /// Takes a record of the matches topic in.
    ///
    /// # Errors
    /// It is not one; then nothing of it was taken in.
    pub(crate) fn take(
        &mut self,
        rules: &WindowRules,
        batch: &MatchBatch<'_>,
        offset: i64,
        counts: &mut Counts,
        out: &mut Output,
    ) -> Result<(), Malformed> {
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.iter_mut().for_each(Vec::clear);
        decoded.resize_with(batch.versions.len(), Vec::new);
        let read = batch.each(|one| decoded[one.version].push(one.fed));
        if let Err(error) = read {
            self.decoded = decoded;
            return Err(error);
        }
        self.begin_record(rules, offset);
        for piece in &batch.openings {
            let is_restoring = !self.is_restored();
            self.listed.entry(piece.version).or_default().take(piece, is_restoring);
        }
        let head = &batch.head;
        let sources: Vec<u32> = head.sources.iter().map(|source| self.source_of(source)).collect();
        for (version, matches) in batch.versions.iter().zip(&mut decoded) {
            for fed in matches.iter_mut() {
                fed.position.source = sources[fed.position.source as usize];
            }
            self.push_all(rules, *version, matches, counts, out);
        }
        self.decoded = decoded;
        for (source, known) in head.sources.iter().zip(sources) {
            let Some(clock) = &mut self.sources[known as usize].clock else { continue };
            match source.time {
                SourceTime::Unknown => continue,
                SourceTime::None => {}
                SourceTime::At(time) => {
                    clock.time = clock.time.max(time);
                    self.time_max = self.time_max.max(time);
                }
            }
            clock.is_idle = source.is_idle;
        }
        self.take_owners(rules, batch);
        if self.is_restored() {
            let clocks = self.sources.iter().filter_map(|source| source.clock.as_ref());
            let mut watermark = least(clocks);
            for level in 0..rules.level_count().max(1) {
                if level > 0 {
                    let below = self.owners.values().filter_map(|clocks| clocks.get(level - 1));
                    watermark = watermark.min(least(below));
                }
                self.advance(level, watermark, counts, out);
            }
        }
        self.forget_places(rules);
        Ok(())
    }

    fn take_owners(&mut self, rules: &WindowRules, batch: &MatchBatch<'_>) {
        let levels = rules.level_count().saturating_sub(1);
        if levels == 0 {
            return;
        }
        let count = i32::try_from(batch.head.owner_count).unwrap_or(i32::MAX);
        for partition in 0..count {
            // One that nobody has told of yet may lag.
            let clocks = self.owners.entry(partition).or_default();
            clocks.resize(levels, Clock::UNTOLD);
        }
        for told in &batch.head.owners {
            let Some(clocks) = self.owners.get_mut(&told.partition) else { continue };
            for (clock, time) in clocks.iter_mut().zip(&told.times) {
                clock.time = clock.time.max(*time);
            }
        }
    }

    /// Takes in what its own worker matched in a record of a data partition, and how far time has come.
    pub(crate) fn take_own(
        &mut self,
        rules: &WindowRules,
        (source, offset): (BatchSource<'_>, i64),
        matches: &mut Vec<WindowMatch>,
        counts: &mut Counts,
        out: &mut Output,
    ) {
        self.begin_record(rules, offset);
        let known = self.source_of(&source);
        matches.iter_mut().for_each(|fed| fed.position.source = known);
        let time = match source.time {
            SourceTime::At(time) => time,
            _ => i64::MIN,
        };
        self.time_max = self.time_max.max(time);
        // Every window is counted here: what one finds goes on to those above it at once.
        for level in 0..rules.level_count() {
            matches.append(&mut out.chained);
            let rule = |fed: &WindowMatch| &rules.by_window[fed.window.0 as usize];
            let mut due: Vec<WindowMatch> =
                matches.extract_if(.., |fed| rule(fed).level() == level).collect();
            while let Some(last) = due.last() {
                // Those of a window stand together, and windows do not see each other's.
                let window = last.window;
                let first = due.iter().rposition(|fed| fed.window != window).map_or(0, |at| at + 1);
                let version = rules.by_window[window.0 as usize].version;
                self.push_all(rules, version, &mut due.split_off(first), counts, out);
            }
            if self.is_restored() {
                self.advance(level, time, counts, out);
            }
        }
        matches.clear();
        out.chained.clear();
        self.forget_places(rules);
    }

    fn begin_record(&mut self, rules: &WindowRules, offset: i64) {
        if self.silent_until.is_some_and(|at| offset >= at) {
            self.silent_until = None;
            // What it wrote for its successor in silence was not written.
            self.live.values_mut().for_each(|live| live.told_at = i64::MIN);
        }
        if self.restored_at.is_some_and(|at| offset >= at) {
            self.restored_at = None;
            let (mut counts, mut out) = (Counts::default(), Output::default());
            let watermarks = std::mem::take(&mut self.restored_watermarks);
            self.open_held(rules, &watermarks);
            for (level, watermark) in watermarks.into_iter().enumerate() {
                // What that settles was told before.
                self.advance(level, watermark, &mut counts, &mut out);
            }
        }
        self.places.note(offset, self.time_max, rules.span);
    }

    /// Places before which everything is too old are of use but for the last of them.
    fn forget_places(&mut self, rules: &WindowRules) {
        // The highest level lags most.
        let mut watermark = self.watermark(rules.level_count().saturating_sub(1));
        for live in self.live.values().filter(|live| live.rule.is_closing) {
            // Who restores needs a list of what is open.
            let listed = self.listed.get(&live.rule.version).and_then(|l| l.whole.as_ref());
            let settled = listed.map_or(i64::MIN, |list| list.settled);
            watermark = watermark.min(settled.saturating_add(live.rule.hold));
        }
        let horizon = watermark.saturating_sub(rules.span);
        self.places.forget_before(horizon);
    }

    fn source_of(&mut self, source: &BatchSource<'_>) -> u32 {
        let known = self.index.get(source.topic).map_or(0, HashMap::len);
        if known < source.partition_count as usize {
            for partition in 0..i32::try_from(source.partition_count).unwrap_or(0) {
                // Those that nobody has told of yet may lag.
                self.source_index(source.topic, partition, true);
            }
        }
        let is_told = source.time != SourceTime::Unknown && source.partition >= 0;
        self.source_index(source.topic, source.partition, is_told)
    }

    fn source_index(&mut self, topic: &str, partition: i32, is_told: bool) -> u32 {
        let clock = is_told.then_some(Clock::UNTOLD);
        if let Some(known) = self.index.get(topic).and_then(|known| known.get(&partition)) {
            let source = &mut self.sources[*known as usize];
            source.clock = source.clock.or(clock);
            return *known;
        }
        let known = self.index.get_key_value(topic).map(|(topic, _)| Arc::clone(topic));
        let topic = known.unwrap_or_else(|| topic.into());
        let place = self.sources.len() as u32;
        self.index.entry(Arc::clone(&topic)).or_default().insert(partition, place);
        self.sources.push(Source { topic, partition, clock });
        place
    }

    /// Takes matches of a version in, and empties the list.
    fn push_all(
        &mut self,
        rules: &WindowRules,
        version: u64,
        matches: &mut Vec<WindowMatch>,
        counts: &mut Counts,
        out: &mut Output,
    ) {
        let is_restoring = !self.is_restored();
        let counted = |count: usize| if is_restoring { 0 } else { count as u64 };
        let Some(rule) = rules.by_version.get(&version) else {
            counts.add(Metric::WindowMatchesOutdated, counted(matches.len()));
            matches.clear();
            return;
        };
        let all = matches.len();
        matches.retain(|fed| is_fit(rule, fed));
        counts.add(Metric::WindowMatchesMalformed, counted(all - matches.len()));
        if is_restoring && rule.is_closing {
            for fed in matches.drain(..) {
                self.held.entry((version, fed.group.clone())).or_default().push(fed);
            }
            return;
        }
        if matches.is_empty() {
            return;
        }
        let live = self.live.entry(version).or_insert_with(|| Live {
            rule: Arc::clone(rule),
            windows: rule.begin(&self.config),
            seen: HashMap::new(),
            told_at: i64::MIN,
        });
        let watermark = self.watermarks.get(rule.level()).copied().unwrap_or(i64::MIN);
        for of_source in matches.chunk_by_mut(|a, b| a.position.source == b.position.source) {
            let first = of_source[0].position;
            let seen = live.seen.entry(first.source).or_insert(first.offset);
            for fed in of_source {
                // The first one of a source is new to it, but not to the groups of a former life of the source.
                fed.may_repeat = fed.position.offset <= *seen;
                *seen = fed.position.offset.max(*seen);
                fed.window = rule.own_id();
                fed.watermark = watermark;
            }
        }
        let before = live.windows.counters();
        live.windows.push_all(matches, &mut self.detections);
        matches.clear();
        if is_restoring {
            self.detections.clear();
            return;
        }
        let after = live.windows.counters();
        for (metric, was, is) in [
            (Metric::WindowMatches, before.matches, after.matches),
            (Metric::WindowMatchesLate, before.matches_late, after.matches_late),
            (Metric::WindowMatchesRepeated, before.matches_repeated, after.matches_repeated),
            (Metric::WindowGroupsEvicted, before.groups_evicted, after.groups_evicted),
            (Metric::WindowEntriesEvicted, before.entries_evicted, after.entries_evicted),
        ] {
            counts.add(metric, is - was);
        }
        take_found(&live.rule, &mut self.detections, counts, out);
    }

    fn advance(&mut self, level: usize, watermark: i64, counts: &mut Counts, out: &mut Output) {
        if self.watermarks.len() <= level {
            self.watermarks.resize(level + 1, i64::MIN);
        }
        if watermark <= self.watermarks[level] {
            return;
        }
        self.watermarks[level] = watermark;
        for live in self.live.values_mut().filter(|live| live.rule.level() == level) {
            live.windows.advance(level as u32, watermark, &mut self.detections);
            take_found(&live.rule, &mut self.detections, counts, out);
            let timespan = live.rule.window.timespan_ms;
            if live.rule.is_closing && watermark.saturating_sub(live.told_at) >= timespan / 2 {
                live.told_at = watermark;
                let mut groups = Vec::new();
                live.windows.openings(live.rule.own_id(), |group, begin| {
                    groups.extend(GroupKey::from_bytes(group).map(|group| (group, begin)));
                });
                out.openings.push(Openings {
                    version: live.rule.version,
                    settled: watermark.saturating_sub(live.rule.hold),
                    total: groups.len() as u64,
                    groups,
                });
            }
        }
    }
}

/// Whether the owner's version of the window can take the match: who wrote it may err.
fn is_fit(rule: &WindowRule, fed: &WindowMatch) -> bool {
    let window = &rule.window;
    let is_value = |value: &WindowValue| {
        matches!(value, WindowValue::Number(_)) == window.measure.is_numeric()
    };
    fed.group.values().count() == window.group_by.len()
        && !fed.inputs.is_empty()
        && fed.inputs.iter().all(|input| *input < window.inputs)
        && fed.values.is_empty() != window.measure.needs_value()
        && fed.values.iter().all(is_value)
}

fn take_found(
    rule: &Arc<WindowRule>,
    detections: &mut Vec<WindowDetection>,
    counts: &mut Counts,
    out: &mut Output,
) {
    for mut detection in detections.drain(..) {
        detection.window = rule.id;
        let before = out.chained.len();
        let mut counters = FeedCounters::default();
        let (plan, base) = &rule.set;
        window::chain(plan, &detection, &mut counters, &mut out.chained);
        for fed in &mut out.chained[before..] {
            fed.window.0 += base;
            let mut hash = Fnv::new();
            hash.number(rule.version);
            hash.bytes(detection.group.as_bytes());
            let offset = fed.position.offset & ((1 << OFFSET_BITS) - 1);
            // Never that of an event itself.
            fed.position.offset = offset | (hash.0 >> OFFSET_BITS | 1) << OFFSET_BITS;
        }
        let incomplete = counters.without_group + counters.without_value;
        counts.add(Metric::WindowMatchesIncomplete, incomplete);
        if rule.window.is_emitting {
            counts.add(Metric::WindowDetections, 1);
            out.found.push(Found { rule: Arc::clone(rule), detection });
        }
    }
}

/// A position as it is shown.
pub(crate) fn place(owner: &Owner, position: Position) -> (&str, i32, i64) {
    let (topic, partition) = owner.source(position.source);
    let offset = position.offset & ((1 << OFFSET_BITS) - 1);
    (topic, partition, offset as i64)
}

#[cfg(test)]
mod tests;
