//! What a comparison came to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::difference::{Difference, Side};
use crate::jvm_emulation;

/// More rows are counted under one name: titles come from outside.
const ROWS_MAX: usize = 10_000;

/// A kind of difference: rule, who told, why.
pub(super) type Kind = (String, Side, String);

/// What was read, what agreed, what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Records of the data topics.
    pub records: u64,
    /// Detections that Sigmill would have told.
    pub sigmill: u64,
    /// Detections of the JVM processor.
    pub jvm: u64,
    /// Detections that both told.
    pub agreed: u64,
    /// Records of its topics that are no detections.
    pub unreadable: u64,
    /// Detections that are not settled yet.
    pub open: u64,
    /// By kind: how many, and where the first one is.
    pub(super) rows: BTreeMap<Kind, (u64, String)>,
}

impl Report {
    /// How many differences there are.
    pub fn differences(&self) -> u64 {
        self.rows.values().map(|(count, _)| count).sum()
    }

    /// How many there are of a rule, told by one side, for a cause.
    pub fn count(&self, title: &str, side: Side, cause: &str) -> u64 {
        let kind = (title.to_owned(), side, cause.to_owned());
        self.rows.get(&kind).map_or(0, |(count, _)| *count)
    }

    pub(super) fn add(&mut self, difference: &Difference) -> Kind {
        let mut kind = (difference.title.clone(), difference.side, difference.cause());
        if self.rows.len() >= ROWS_MAX && !self.rows.contains_key(&kind) {
            kind.0 = "(other rules)".into();
        }
        let place = difference.source.as_ref().or(difference.jvm.as_ref());
        let first = place.map_or(String::new(), |place| {
            format!("{}-{}@{}", place.topic, place.partition, place.offset)
        });
        self.rows.entry(kind.clone()).or_insert((0, first)).0 += 1;
        kind
    }

    /// A difference turned out to be none.
    pub(super) fn take_back(&mut self, kind: &Kind) {
        if let Some((count, _)) = self.rows.get_mut(kind) {
            *count -= 1;
            if *count == 0 {
                self.rows.remove(kind);
            }
        }
    }

    /// The report as text.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "Records: {}. Detections: {} by the JVM processor, {} by Sigmill, {} the same. Differences: {}. Not \
             settled: {}.\n",
            self.records,
            self.jvm,
            self.sigmill,
            self.agreed,
            self.differences(),
            self.open
        );
        if self.unreadable > 0 {
            let _ = writeln!(
                text,
                "Records of its topics that are no detections: {}.",
                self.unreadable
            );
        }
        if self.rows.is_empty() {
            return text;
        }
        text += "\nDifferences, by rule and cause (count, told by, cause, first record):\n";
        let mut last = "";
        for ((title, side, cause), (count, first)) in &self.rows {
            if title != last {
                let _ = writeln!(text, "  {title}");
                last = title;
            }
            let _ = writeln!(text, "    {count:>8}  {:<8} {cause:<24} {first}", side.as_str());
        }
        text += "\nCauses:\n";
        let mut causes: Vec<&str> =
            self.rows.keys().flat_map(|(_, _, cause)| cause.split('+')).collect();
        causes.sort_unstable();
        causes.dedup();
        for cause in causes {
            let _ = writeln!(text, "  {cause}: {}", meaning(cause));
        }
        text
    }
}

/// What a cause means.
pub(super) fn meaning(cause: &str) -> &'static str {
    match cause {
        "repeats" => {
            "each further event above the bound, and each window, is told again; its cache merges some"
        }
        "window" => "the windows differ: late events, merged updates, counts lost at a restart",
        "distinct" => "it counts events with an equal value, not distinct values",
        "function" => "every function counts events",
        "group-mapping" => "the group's field is not mapped",
        "groups" => "several fields to group by are taken for one",
        "late" => "it told after it had committed the record",
        "again" => "it told of an event more than once: it reads records again after a restart",
        "not-read" => "it is of a record from before the comparison began",
        "not-loaded" => "Sigmill does not load the rule, or has none of that title",
        "first-match" => {
            "which of several rules is first: the lowest title here, the order of a hash there"
        }
        "captures" => "a captured group comes from an earlier event or another thread",
        "fields" => "the detections have different fields",
        "topic" => "the detections are on different topics",
        cause => jvm_emulation::meaning(cause),
    }
}
