//! From a record and the rules that matched it, or from a window's detection, to matches that feed
//! windows.
//!
//! A record counts once for each window and group, however many of the window's inputs it is. A field
//! with several values (an array) puts the record into the group of each; an absent or null one, an
//! object, or a text that is too long puts it into none.

use std::sync::Arc;

use super::detection::{Position, WindowDetection};
use super::fixed::Fixed;
use super::key::{GroupKey, VALUE_BYTES_MAX};
use super::plan::{Edge, FieldSource, Source, WindowId, WindowPlan};
use crate::matcher::{Matcher, ValueKind};
use crate::plan::RuleId;

/// The combinations of group values, and of measured values, that one record is taken for at most.
pub const COMBINATIONS_MAX: usize = 64;

/// A match that feeds a window: one event for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowMatch {
    /// The window.
    pub window: WindowId,
    /// The group.
    pub group: GroupKey,
    /// The event's time, in milliseconds.
    pub time: i64,
    /// Where the event was read.
    pub position: Position,
    /// How far time had come when it was read.
    pub watermark: i64,
    /// As which of the window's inputs it counts, rising; at least one.
    pub inputs: Vec<u16>,
    /// The values that are measured.
    pub values: Vec<WindowValue>,
    /// Fields for the windows that this window feeds.
    pub carried: Option<GroupKey>,
    /// The event's bytes, if they are to be kept.
    pub content: Option<Arc<[u8]>>,
    /// The event may have been pushed before.
    pub may_repeat: bool,
    /// It is a detection of another window.
    pub is_chained: bool,
}

/// A value that a window measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowValue {
    /// A number, to compute with.
    Number(Fixed),
    /// A text, or several fields' texts, to tell from others.
    Text(GroupKey),
}

/// The event that matches are made from.
#[derive(Debug, Clone)]
pub struct Occurrence {
    /// Its time, in milliseconds.
    pub time: i64,
    /// Where it was read.
    pub position: Position,
    /// How far time has come with it.
    pub watermark: i64,
    /// Its bytes, if they are to be kept.
    pub content: Option<Arc<[u8]>>,
    /// It may have been pushed before.
    pub may_repeat: bool,
}

/// Why matches of rules fed no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FeedCounters {
    /// A field of `group-by` had no value.
    pub without_group: u64,
    /// The measured field had no value, or none that is a number where one is needed.
    pub without_value: u64,
    /// Arrays made more combinations than are taken.
    pub combinations_dropped: u64,
}

impl FeedCounters {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.without_group += other.without_group;
        self.without_value += other.without_value;
        self.combinations_dropped += other.combinations_dropped;
    }
}

/// The matches that `rules`, which `matcher` has just found for `record`, are for the windows of `plan`,
/// by window.
pub fn collect(
    plan: &WindowPlan,
    matcher: &mut Matcher,
    record: &[u8],
    rules: &[RuleId],
    occurrence: &Occurrence,
    counters: &mut FeedCounters,
    out: &mut Vec<WindowMatch>,
) {
    let mut places: Vec<(WindowId, u32)> =
        rules.iter().flat_map(|rule| plan.edges_of_rule(*rule)).copied().collect();
    places.sort_unstable();
    let mut assembly = Assembly { plan, occurrence, is_chained: false, counters, out };
    assembly.all(&places, |source, values| {
        let FieldSource::Record(fields) = source else { return };
        for field in fields {
            matcher.read_field(record, *field, |value| {
                if !matches!(value.kind, ValueKind::Null | ValueKind::Object) {
                    values.push(value.text.to_vec());
                }
            });
            if !values.is_empty() {
                return;
            }
        }
    });
}

/// The matches that a detection is for the windows that its window feeds.
pub fn chain(
    plan: &WindowPlan,
    detection: &WindowDetection,
    counters: &mut FeedCounters,
    out: &mut Vec<WindowMatch>,
) {
    let mut contents = detection.contents.iter();
    let completing = contents.find(|(event, _)| event.position == detection.completed_by);
    let occurrence = Occurrence {
        time: detection.at,
        position: detection.completed_by,
        watermark: i64::MIN,
        content: completing.map(|(_, bytes)| Arc::clone(bytes)),
        may_repeat: false,
    };
    let mut places = plan.edges_of_window(detection.window).to_vec();
    places.sort_unstable();
    let mut assembly = Assembly { plan, occurrence: &occurrence, is_chained: true, counters, out };
    assembly.all(&places, |source, values| {
        let (key, at) = match source {
            FieldSource::Group(at) => (Some(&detection.group), at),
            FieldSource::Carried(at) => (detection.carried.as_ref(), at),
            FieldSource::Record(_) => return,
        };
        let value = key.and_then(|key| key.values().nth(usize::from(*at)).flatten());
        values.extend(value.map(<[u8]>::to_vec));
    });
}

struct Assembly<'a> {
    plan: &'a WindowPlan,
    occurrence: &'a Occurrence,
    is_chained: bool,
    counters: &'a mut FeedCounters,
    out: &'a mut Vec<WindowMatch>,
}

type Read<'a> = dyn FnMut(&FieldSource, &mut Vec<Vec<u8>>) + 'a;

impl Assembly<'_> {
    fn all(
        &mut self,
        places: &[(WindowId, u32)],
        mut read: impl FnMut(&FieldSource, &mut Vec<Vec<u8>>),
    ) {
        for places in places.chunk_by(|a, b| a.0 == b.0) {
            let first = self.out.len();
            for (window, edge) in places {
                self.edge(*window, *edge, first, &mut read);
            }
        }
    }

    /// Adds an edge's matches to those of the same window, which begin at `first`.
    fn edge(&mut self, id: WindowId, edge: u32, first: usize, read: &mut Read<'_>) {
        let window = self.plan.window(id);
        let edge: &Edge = &window.edges[edge as usize];
        debug_assert_eq!(self.is_chained, matches!(edge.from, Source::Window(_)));
        let groups = self.combinations(&edge.group, read);
        if groups.is_empty() {
            self.counters.without_group += 1;
            return;
        }
        let mut values = Vec::new();
        if window.measure.is_numeric() {
            let mut texts = Vec::new();
            edge.values.iter().for_each(|source| read(source, &mut texts));
            let numbers = texts.iter().filter_map(|text| Fixed::parse(text));
            values.extend(numbers.take(COMBINATIONS_MAX).map(WindowValue::Number));
        } else if window.measure.needs_value() {
            let texts = self.combinations(&edge.values, read);
            values.extend(texts.into_iter().map(WindowValue::Text));
        }
        if values.is_empty() && window.measure.needs_value() {
            self.counters.without_value += 1;
            return;
        }
        let carried = (!edge.carried.is_empty()).then(|| {
            let first_value = |source| {
                let mut found = Vec::new();
                read(source, &mut found);
                found.into_iter().next().filter(|value: &Vec<u8>| value.len() <= VALUE_BYTES_MAX)
            };
            let found: Vec<Option<Vec<u8>>> = edge.carried.iter().map(first_value).collect();
            GroupKey::new(found.iter().map(Option::as_deref))
        });
        for group in groups {
            let known = self.out[first..].iter_mut().find(|known| known.group == group);
            if let Some(known) = known {
                if let Err(place) = known.inputs.binary_search(&edge.input) {
                    known.inputs.insert(place, edge.input);
                }
                continue;
            }
            self.out.push(WindowMatch {
                window: id,
                group,
                time: self.occurrence.time,
                position: self.occurrence.position,
                watermark: self.occurrence.watermark,
                inputs: vec![edge.input],
                values: values.clone(),
                carried: carried.clone(),
                content: self.occurrence.content.clone(),
                may_repeat: self.occurrence.may_repeat,
                is_chained: self.is_chained,
            });
        }
    }

    /// One key for each combination of the sources' distinct values; none if one of them has none.
    fn combinations(&mut self, sources: &[FieldSource], read: &mut Read<'_>) -> Vec<GroupKey> {
        let mut combinations: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
        for source in sources {
            let mut values = Vec::new();
            read(source, &mut values);
            let mut distinct: Vec<Vec<u8>> = Vec::new();
            for value in values {
                if value.len() <= VALUE_BYTES_MAX && !distinct.contains(&value) {
                    distinct.push(value);
                }
            }
            let with = |value: &Vec<u8>, before: &Vec<Vec<u8>>| {
                let mut values = before.clone();
                values.push(value.clone());
                values
            };
            combinations = combinations
                .iter()
                .flat_map(|before| distinct.iter().map(move |value| with(value, before)))
                .collect();
            if combinations.len() > COMBINATIONS_MAX {
                self.counters.combinations_dropped +=
                    (combinations.len() - COMBINATIONS_MAX) as u64;
                combinations.truncate(COMBINATIONS_MAX);
            }
        }
        let key = |values: &Vec<Vec<u8>>| GroupKey::new(values.iter().map(|v| Some(v.as_slice())));
        combinations.iter().map(key).collect()
    }
}
