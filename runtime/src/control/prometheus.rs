//! What `/metrics` says: counters, gauges and histograms of the processor and of its parts.

use std::collections::{BTreeMap, HashMap, HashSet};

use sigmill_parser::Level;

use crate::exposition::Exposition;
use crate::latency::{Latencies, Stage};
use crate::metrics::{Counts, Metric, TOPIC_METRICS};
use crate::process;
use crate::rule_store::Outcome;
use crate::view::View;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Rules with a sample of their own: those with the most matches.
const RULES_MAX: usize = 1000;
/// Upper bounds for the time of one record, in seconds.
const RECORD_BOUNDS: &[f64] =
    &[5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 1e-1];
/// The same for what takes longer.
const BOUNDS: &[f64] = &[
    1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2.5e-1, 5e-1, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
];

/// What the processor did so far, and how it stands.
pub(super) fn text(view: &View, target: Option<f64>) -> String {
    let mut out = Exposition::default();
    let snapshot = view.snapshot();
    for metric in Metric::ALL.iter().filter(|metric| !is_by_name(**metric)) {
        let label = metric.label();
        out.counter(metric.name(), metric.help(), label.as_slice(), snapshot.counts.get(*metric));
    }
    for (name, help, value) in [
        ("sigmill_rules_generation", "Rises with every rule set.", snapshot.generation),
        ("sigmill_workers", "Workers that run.", snapshot.worker_count as u64),
        ("sigmill_partitions", "Partitions that they read.", snapshot.partition_count as u64),
    ] {
        out.gauge(name, help, &[], value);
    }
    by_topic(&mut out, view);
    by_worker(&mut out, view, target);
    by_rule(&mut out, view);
    process(&mut out);
    latencies(&mut out, &view.latencies());
    view.parts.iter().for_each(|part| part.metrics(&mut out));
    out.finish()
}

/// Counters that have a sample for each topic or rule.
fn is_by_name(metric: Metric) -> bool {
    TOPIC_METRICS.contains(&metric) || metric == Metric::Matches
}

fn by_topic(out: &mut Exposition, view: &View) {
    let mut topics: BTreeMap<String, Counts> = BTreeMap::new();
    let mut partitions = Vec::new();
    for worker in &view.workers {
        let told = worker.told.read();
        for (topic, counts) in &told.topics {
            topics.entry(topic.clone()).or_default().merge(counts);
        }
        partitions.extend(told.partitions.iter().cloned());
    }
    for metric in TOPIC_METRICS {
        for (topic, counts) in &topics {
            let mut labels = vec![("topic", topic.as_str())];
            labels.extend(metric.label());
            // A reason that there was none of is no sample.
            if metric.label().is_none() || counts.get(*metric) > 0 {
                let help = match metric.label() {
                    Some(_) => "Records that were not matched, by reason.",
                    None => metric.help(),
                };
                out.counter(metric.name(), help, &labels, counts.get(*metric));
            }
        }
    }
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    for one in &partitions {
        let number = one.partition.to_string();
        let labels = [("topic", one.topic.as_str()), ("partition", number.as_str())];
        if let Some(lag) = one.lag() {
            let help = "Records that are there and were not read.";
            let lag = u64::try_from(lag).unwrap_or(0);
            out.gauge("sigmill_consumer_lag_records", help, &labels, lag);
        }
        let help = "Whether reading is held back.";
        out.gauge("sigmill_partition_paused", help, &labels, one.is_paused);
    }
}

fn by_worker(out: &mut Exposition, view: &View, target: Option<f64>) {
    for (index, worker) in view.workers.iter().enumerate() {
        let number = index.to_string();
        let labels = [("worker", number.as_str())];
        let (busy, cpu) = {
            let told = worker.told.read();
            (told.busy.as_secs_f64(), told.cpu.as_secs_f64())
        };
        let help = "Time in which a worker did not wait.";
        out.counter("sigmill_worker_busy_seconds_total", help, &labels, busy);
        let help = "Time of a worker's thread on a processor; begins anew with a new thread.";
        out.counter("sigmill_worker_cpu_seconds_total", help, &labels, cpu);
        let Some(rates) = view.rates.worker(index) else { continue };
        let help = "Share of the last ten seconds in which a worker did not wait.";
        out.gauge("sigmill_worker_busy_ratio", help, &labels, rates.busy_ratio());
        if let Some(speed) = rates.mb_per_busy_second() {
            let help = "Bytes of record values that a worker got done in a second of work, lately.";
            out.gauge("sigmill_worker_bytes_per_busy_second", help, &labels, speed * 1e6);
        }
        if let Some(is_met) = rates.meets(target) {
            let help = "Whether a worker gets as much done as sigmill.target.mb.per.core says.";
            out.gauge("sigmill_worker_target_met", help, &labels, is_met);
        }
    }
    if let Some(target) = target {
        let help = "Bytes of record values that a core shall get done in a second.";
        out.gauge("sigmill_target_bytes_per_core", help, &[], target * 1e6);
    }
}

/// By the rule's id, or its key if it has none; of more rules than a page can hold, the rest as one.
fn by_rule(out: &mut Exposition, view: &View) {
    let rules = view.rules.load_full();
    let mut matches: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut others = 0;
    let mut known: HashMap<(&str, &str), (&str, &str)> = HashMap::new();
    for rule in rules.sets().flat_map(|set| &set.rules) {
        let id = rule.document.id().unwrap_or(&rule.key);
        let level = rule.level().map_or("", Level::as_str);
        known.insert((&rule.key, rule.title()), (id, level));
    }
    for worker in &view.workers {
        let told = worker.told.read();
        others += told.former_matches;
        for ((key, title), counts) in &told.rules {
            match known.get(&(key.as_str(), title.as_str())) {
                Some(name) => *matches.entry(*name).or_default() += counts.matches,
                None => others += counts.matches,
            }
        }
    }
    let mut sorted: Vec<_> = matches.into_iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    others += sorted.iter().skip(RULES_MAX).map(|(_, count)| count).sum::<u64>();
    sorted.truncate(RULES_MAX);
    for ((id, level), count) in sorted {
        let labels = [("rule_id", id), ("level", level)];
        out.counter(Metric::Matches.name(), Metric::Matches.help(), &labels, count);
    }
    let labels = [("rule_id", "other"), ("level", "")];
    out.counter(Metric::Matches.name(), Metric::Matches.help(), &labels, others);
    let rejected = rules.problems.iter().filter(|one| one.outcome != Outcome::Loaded).count();
    let keys: HashSet<&str> = rules
        .sets()
        .flat_map(|set| &set.rules)
        .map(|rule| rule.key.as_str())
        .chain(rules.problems.iter().map(|problem| problem.key.as_str()))
        .collect();
    let filtered = rules.records.keys().filter(|key| !keys.contains(key.as_str())).count();
    for (state, count) in
        [("loaded", rules.active_count), ("rejected", rejected), ("filtered", filtered)]
    {
        let help = "Rules of the rules topic, by what became of their latest version.";
        out.gauge("sigmill_rules", help, &[("state", state)], count);
    }
    let seconds = rules.build_time.as_secs_f64();
    let help = "How long the making of the rule set in force took.";
    out.gauge("sigmill_plan_compile_duration_seconds", help, &[], seconds);
    let help = "The rule set in force.";
    out.gauge("sigmill_plan_info", help, &[("hash", rules.hash.as_str())], 1_u64);
}

fn process(out: &mut Exposition) {
    let help = "Time on processors, in user and system mode.";
    out.counter("process_cpu_seconds_total", help, &[], process::cpu_time().as_secs_f64());
    if let Some(bytes) = process::resident_bytes() {
        out.gauge("process_resident_memory_bytes", "Resident memory.", &[], bytes);
    }
}

fn latencies(out: &mut Exposition, latencies: &Latencies) {
    for stage in Stage::ALL {
        let (name, bounds) = match stage {
            Stage::Record => ("sigmill_record_match_duration_seconds", RECORD_BOUNDS),
            Stage::Polled => ("sigmill_poll_latency_seconds", BOUNDS),
            Stage::Batch => ("sigmill_batch_duration_seconds", BOUNDS),
            Stage::Detection => ("sigmill_event_latency_seconds", BOUNDS),
        };
        out.histogram(name, stage.help(), &[], &latencies.buckets(stage, bounds));
    }
}
