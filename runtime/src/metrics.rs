//! What the processor counts: one enum, the counters of a worker, and their sum.
//!
//! A worker adds to integers of its own and moves them into shared ones between two batches; who
//! asks gets the sum. Nothing is locked and nothing is looked up by name.

use std::sync::atomic::{AtomicU64, Ordering};

use sigmill_engine::Rejection;

macro_rules! metrics {
    ($($name:ident, $export:literal $([$label:literal = $value:literal])?, $help:literal;)*) => {
        /// A counter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Metric { $(#[doc = $help] $name,)* }

        impl Metric {
            /// Every counter.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name of its exported family.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $export,)* }
            }

            /// What tells it from others of its family: a label and its value.
            pub fn label(self) -> Option<(&'static str, &'static str)> {
                match self { $(Self::$name => [$(($label, $value))?].first().copied(),)* }
            }

            /// What it counts.
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

metrics! {
    Batches, "sigmill_batches_total", "Batches worked on.";
    Records, "sigmill_records_consumed_total", "Records read from data topics.";
    RecordBytes, "sigmill_records_consumed_bytes_total", "Bytes of their values.";
    Tombstones, "sigmill_records_skipped_total"["reason" = "tombstone"], "Records without a value.";
    RejectedEmpty, "sigmill_records_skipped_total"["reason" = "empty"], "Records refused: empty.";
    RejectedNotAnObject, "sigmill_records_skipped_total"["reason" = "not_an_object"], "Records refused: JSON, but not an object.";
    RejectedNotJson, "sigmill_records_skipped_total"["reason" = "not_json"], "Records refused: not JSON.";
    RejectedNotUtf8, "sigmill_records_skipped_total"["reason" = "not_utf8"], "Records refused: not UTF-8.";
    RejectedTooDeep, "sigmill_records_skipped_total"["reason" = "too_deep"], "Records refused: nested too deep.";
    RejectedTooLong, "sigmill_records_skipped_total"["reason" = "too_long"], "Records refused: too long.";
    RejectedAvro, "sigmill_records_skipped_total"["reason" = "avro"], "Records refused: not of an Avro schema that the registry has.";
    RejectedOther, "sigmill_records_skipped_total"["reason" = "other"], "Records refused for another reason.";
    EventsEvaluated, "sigmill_events_evaluated_total", "Records that rules were decided on.";
    RulesWoken, "sigmill_rules_woken_total", "Rules whose condition was run on a record.";
    Matches, "sigmill_matches_total", "Rules that matched a record.";
    Detections, "sigmill_detections_produced_total", "Detections acknowledged by the brokers.";
    DetectionsRetried, "sigmill_detections_retried_total", "Detections sent again after a failure.";
    DetectionsRerouted, "sigmill_detections_rerouted_total", "Detections sent to the default output topic, their own being unusable.";
    DetectionsSuppressed, "sigmill_detections_suppressed_total", "Detections left out, their rule being beyond its budget.";
    DetectionsFailed, "sigmill_detections_failed_total", "Detections that can never be produced.";
    DeadLetters, "sigmill_deadletters_total", "Records acknowledged in the dead-letter topic.";
    DeadLettersFailed, "sigmill_deadletters_failed_total", "Records that cannot be produced to the dead-letter topic either.";
    Pauses, "sigmill_pauses_total", "Times a worker paused its partitions, waiting for acknowledgements.";
    Commits, "sigmill_commits_total", "Offset commits sent.";
    CommitFailures, "sigmill_commit_failures_total", "Offset commits that failed; they are sent again.";
    TransactionsCommitted, "sigmill_transactions_committed_total", "Transactions committed.";
    TransactionsAborted, "sigmill_transactions_aborted_total", "Transactions aborted; their work is done again.";
    Rebalances, "sigmill_rebalances_total", "Changes of a worker's partitions.";
    WorkerRestarts, "sigmill_worker_restarts_total", "Workers started again after a failure.";
    WindowMatches, "sigmill_window_matches_total", "Matches that aggregations counted.";
    WindowRecords, "sigmill_window_records_total", "Records of matches read by who counts them.";
    WindowRecordsRestored, "sigmill_window_records_restored_total", "Records read again to restore windows.";
    WindowRecordsPurged, "sigmill_window_records_purged_total", "Records of matches deleted since no window can need them.";
    WindowMatchesLate, "sigmill_window_matches_late_total", "Matches too late for their window.";
    WindowMatchesOutdated, "sigmill_window_matches_outdated_total", "Matches for a window whose rule changed meanwhile.";
    WindowMatchesRepeated, "sigmill_window_matches_repeated_total", "Matches that had been counted before.";
    WindowMatchesAhead, "sigmill_window_matches_ahead_total", "Matches whose time is too far ahead of the clock to count.";
    WindowMatchesMalformed, "sigmill_window_matches_malformed_total", "Matches, or records of them, that cannot be read.";
    WindowMatchesUnsent, "sigmill_window_matches_unsent_total", "Matches that were not counted since the matches topic cannot be used.";
    WindowMatchesWaiting, "sigmill_window_records_waited_total", "Records of matches that waited for rules that this processor had not read yet.";
    WindowMatchesUnruled, "sigmill_window_records_unruled_total", "Records of matches whose rules did not come in time.";
    WindowMatchesIncomplete, "sigmill_window_matches_incomplete_total", "Matches without a value of the group, or none to count.";
    WindowDetections, "sigmill_window_detections_total", "Detections of aggregations, before their acknowledgement.";
    WindowGroupsEvicted, "sigmill_windows_evicted_total"["reason" = "groups"], "Groups that made room for others.";
    WindowEntriesEvicted, "sigmill_windows_evicted_total"["reason" = "entries"], "Entries that made room for others in their group.";
    RegexSearchesGivenUp, "sigmill_regex_searches_given_up_total", "Searches for regular expressions that reached their bound, and so found nothing.";
    TableRecords, "sigmill_table_records_total", "Records read from the topics of tables.";
    TableRowsBad, "sigmill_table_rows_bad_total", "Rows of tables that did not load; what was there before stays.";
    TableVersions, "sigmill_table_versions_total", "Versions of tables put in force after the start.";
    JoinLookUps, "sigmill_join_look_ups_total", "Values looked up in tables.";
    JoinHits, "sigmill_join_hits_total", "Joins that found a row.";
    RuleRecords, "sigmill_rule_records_total", "Records read from the rules topic.";
    RuleProblems, "sigmill_rule_problems_total", "Rule records that did not load.";
    RuleSets, "sigmill_rule_sets_total", "Rule sets put in force.";
}

/// What is counted by data topic.
pub(crate) const TOPIC_METRICS: &[Metric] = &[
    Metric::Records,
    Metric::RecordBytes,
    Metric::Tombstones,
    Metric::RejectedEmpty,
    Metric::RejectedNotAnObject,
    Metric::RejectedNotJson,
    Metric::RejectedNotUtf8,
    Metric::RejectedTooDeep,
    Metric::RejectedTooLong,
    Metric::RejectedAvro,
    Metric::RejectedOther,
];

/// How many counters there are.
pub const METRIC_COUNT: usize = Metric::ALL.len();

impl From<Rejection> for Metric {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Empty => Self::RejectedEmpty,
            Rejection::NotAnObject => Self::RejectedNotAnObject,
            Rejection::NotJson { .. } => Self::RejectedNotJson,
            Rejection::NotUtf8 { .. } => Self::RejectedNotUtf8,
            Rejection::TooDeep => Self::RejectedTooDeep,
            Rejection::TooLong => Self::RejectedTooLong,
            _ => Self::RejectedOther,
        }
    }
}

/// Counts: a worker's own, or a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts([u64; METRIC_COUNT]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; METRIC_COUNT])
    }
}

impl Counts {
    /// One count.
    pub fn get(&self, metric: Metric) -> u64 {
        self.0[metric as usize]
    }

    /// Adds to one.
    pub fn add(&mut self, metric: Metric, n: u64) {
        self.0[metric as usize] += n;
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (sum, n) in self.0.iter_mut().zip(other.0) {
            *sum += n;
        }
    }

    /// How many records were refused, for whatever reason.
    pub fn rejected(&self) -> u64 {
        use Metric::*;
        [
            RejectedEmpty,
            RejectedNotAnObject,
            RejectedNotJson,
            RejectedNotUtf8,
            RejectedTooDeep,
            RejectedTooLong,
            RejectedAvro,
            RejectedOther,
        ]
        .into_iter()
        .map(|metric| self.get(metric))
        .sum()
    }
}

/// Counts that one thread adds to and others read.
#[derive(Debug)]
pub struct SharedCounts([AtomicU64; METRIC_COUNT]);

impl Default for SharedCounts {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; METRIC_COUNT])
    }
}

impl SharedCounts {
    /// Moves what was counted since the last call from `local` here.
    pub fn take(&self, local: &mut Counts) {
        for (shared, n) in self.0.iter().zip(&mut local.0) {
            if *n > 0 {
                shared.fetch_add(*n, Ordering::Relaxed);
                *n = 0;
            }
        }
    }

    /// Adds to one.
    pub fn add(&self, metric: Metric, n: u64) {
        self.0[metric as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Counts {
        let mut counts = Counts::default();
        for (n, shared) in counts.0.iter_mut().zip(&self.0) {
            *n = shared.load(Ordering::Relaxed);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference_page;

    #[test]
    fn what_a_worker_counted_arrives_once() {
        let shared = SharedCounts::default();
        let mut local = Counts::default();
        local.add(Metric::Records, 3);
        shared.take(&mut local);
        shared.take(&mut local);
        shared.add(Metric::Records, 1);
        let mut sum = shared.read();
        assert_eq!(sum.get(Metric::Records), 4);
        sum.merge(&shared.read());
        assert_eq!(sum.get(Metric::Records), 8);
    }

    #[test]
    fn every_rejection_has_a_counter_of_its_own() {
        let mut counts = Counts::default();
        for rejection in [
            Rejection::Empty,
            Rejection::NotAnObject,
            Rejection::NotJson { offset: 0 },
            Rejection::NotUtf8 { offset: 0 },
            Rejection::TooDeep,
            Rejection::TooLong,
        ] {
            let metric = Metric::from(rejection);
            assert_eq!(counts.get(metric), 0);
            assert_eq!(metric.label(), Some(("reason", rejection.as_str())));
            counts.add(metric, 1);
        }
        assert_eq!(counts.rejected(), 6);
        assert_eq!(counts.get(Metric::RejectedOther), 0);
    }

    #[test]
    fn the_reference_page_shows_every_counter() {
        let mut table = String::from("| counter | counts |\n|---|---|\n");
        for metric in Metric::ALL {
            let label = metric.label().map(|(name, value)| format!("{{{name}=\"{value}\"}}"));
            let (name, label) = (metric.name(), label.unwrap_or_default());
            table += &format!("| `{name}{label}` | {} |\n", metric.help());
        }
        reference_page::check("metrics.md", "table", &table);
    }

    #[test]
    fn names_are_well_formed_and_there_once() {
        let mut names: Vec<_> =
            Metric::ALL.iter().map(|metric| (metric.name(), metric.label())).collect();
        let is_named = |name: &str| name.starts_with("sigmill_") && name.ends_with("_total");
        assert!(names.iter().all(|(name, _)| is_named(name)));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRIC_COUNT);
    }
}
