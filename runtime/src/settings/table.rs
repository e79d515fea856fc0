//! The settings that have a meaning of their own: one table, which the reader asks for defaults and
//! which `docs/reference/settings.md` repeats (a test compares them).

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in the properties file.
    pub name: &'static str,
    /// What its value may be, as said in errors: "expected …".
    pub expected: &'static str,
    /// The value when there is none; [`REQUIRED`] and [`UNSET`] are not values.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// The default of a setting that has to be given.
pub const REQUIRED: &str = "(required)";
/// The default of a setting that does nothing unless it is given.
pub const UNSET: &str = "(none)";

macro_rules! keys {
    ($($name:literal, $expected:literal, $default:expr, $meaning:literal;)*) => {
        /// Every setting of the table.
        pub const KEYS: &[Key] = &[
            $(Key { name: $name, expected: $expected, default: $default, meaning: $meaning },)*
        ];
    };
}

keys! {
    "bootstrap.servers", "a list of host:port, separated by commas", REQUIRED,
        "Brokers to ask first. `bootstrap.server` is read too, with a warning.";
    "application.id", "a name", REQUIRED,
        "The consumer group of the data topics; all processors of one application share it.";
    "data.topic", "topic names separated by commas; one that begins with `^` is a pattern", REQUIRED,
        "Where the records come from. With `sigmill.stream.<alias>.topic` it may be left out, and is one more stream if it is there.";
    "output.topic", "a topic name", REQUIRED,
        "Where detections go, unless the rule names its own `kafka.outputTopic`.";
    "sigma.rules.topic", "a topic name", REQUIRED,
        "The compacted topic of the rules: key = title, value = the rule as YAML or JSON, no value = removed.";
    "sigma.rule.filter.product", "a text", UNSET,
        "Only rules whose `logsource.product` is exactly this.";
    "sigma.rule.filter.service", "a text", UNSET,
        "Only rules whose `logsource.service` is exactly this.";
    "sigma.rule.filter.title", "a text", UNSET,
        "Only the rule of exactly this title (and those of `sigma.rule.filter.list`).";
    "sigma.rule.filter.list", "a readable file with one title a line", UNSET,
        "Only rules of exactly these titles.";
    "sigmill.rule.filter.category", "a text", UNSET,
        "Only rules whose `logsource.category` is exactly this.";
    "sigmill.rule.filter.level", "informational, low, medium, high or critical", UNSET,
        "Only rules of this level or a higher one.";
    "sigmill.rule.filter.tag", "a text", UNSET,
        "Only rules that have this tag, or one below it (`attack.execution`, `attack.t1059`), in any case.";
    "sigma.rule.first.match", "true or false", "false",
        "One detection a record at most: of the matching rules the one with the lowest title, bytewise.";
    "sigmill.regex.backtracking", "true or false", "false",
        "Take rules with look-around, back references or possessive quantifiers, searched by backtracking within bounds; a search that reaches one finds nothing.";
    "field.mapping.file", "a readable YAML file with a `fieldmappings` map", UNSET,
        "Names that rules use → names that the events have: a key of just that name, or a path (`$.a.b`).";
    "sigmill.pipelines", "pipelines that come with Sigmill (windows, ecs, zeek) or readable files, separated by commas", UNSET,
        "Processing pipelines: they rewrite the rules for the fields and log sources of the events.";
    "num.stream.threads", "a whole number from 1 to 1024", "1",
        "Workers: threads that each consume, match and produce on their own.";
    "auto.offset.reset", "earliest or latest", "earliest",
        "Where a group without committed offsets begins.";
    "commit.interval.ms", "milliseconds, from 1", "1000",
        "How often offsets are committed; only those whose detections are acknowledged.";
    "processing.guarantee", "at_least_once or exactly_once_v2", "at_least_once",
        "`exactly_once_v2`: detections, matches on their way to who counts them, and offsets are one transaction of a worker each commit interval, which is 100 ms if not given, and up to a second where commits take long.";
    "group.instance.id", "a name, one for each process", UNSET,
        "The process takes its partitions up again after a short absence (static membership), and its transactions are known by this name.";
    "max.poll.records", "a whole number from 1 to 100000", "1000",
        "Greatest number of records in a batch.";
    "replication.factor", "a whole number from 1, or -1 for the broker's default", "-1",
        "Replicas of the topics that are created at start.";
    "metadata.max.age.ms", "milliseconds, from 1", "300000",
        "How often topics are looked at anew: new partitions, new topics of a pattern.";
    "data.topic.format", "json or avro", "json",
        "The form of the records; Avro by Confluent's wire format and a schema registry.";
    "output.topic.format", "json or avro", "json",
        "The form of the detections; Avro in the shape of Confluent Sigma's head (`DetectionResultsAvro`).";
    "schema.registry", "addresses separated by commas, with http:// or https://", UNSET,
        "The schema registry, where something is Avro. `schema.registry.url` is read too.";
    "sigmill.output.format", "confluent-1.3, confluent-head, native, ocsf or ecs", "confluent-1.3",
        "The shape of a detection: as Confluent Sigma 1.3 wrote it, as its unreleased head does, Sigmill's own, an OCSF detection finding, an alert of the Elastic Common Schema.";
    "sigmill.output.author.header", "true or false", "true",
        "Every detection names the author of its rule in the header `sigmill-rule-author`, which the Detection Rule License asks for.";
    "sigma.app.topic", "a topic name", "sigma-app-instances",
        "The compacted topic on which the processor tells its state, as the JVM processor does.";
    "sigma.app.state.poll.sleep", "milliseconds, from 100", "5000",
        "How often it does.";
    "skip.app.registration", "any value", UNSET,
        "The state is not told.";
    "sigmill.window.emit", "early, final or every", "early",
        "When the detections of aggregations go out: at once and once a run, once the run is settled, or for every record at which they hold.";
    "sigmill.window.grace.ms", "milliseconds", UNSET,
        "How far a record may lag behind its partition's time and still count in a window; the lesser of the window and five minutes if not given.";
    "sigmill.window.idle.ms", "milliseconds, from 1", "60000",
        "A partition without records for this long holds no window open.";
    "sigmill.window.exchange", "topic or none", "topic",
        "Where groups are counted: by the owner of their partition of the topic `<application.id>-sigmill-matches`, or, where the data topic is partitioned by the values of `group-by`, by whoever reads their records.";
    "sigmill.window.rules.wait.ms", "milliseconds", "10000",
        "How long matches wait for the rules that they were found by, if their owner has not read these yet; then they go to the dead-letter topic.";
    "sigmill.window.purge.interval.ms", "milliseconds, from 100", "60000",
        "How often records of the matches topic that no window can need any more are deleted.";
    "state.dir", "a folder", UNSET,
        "Where checkpoints of windows are kept, so that a restart reads less of the matches topic; without it, all that open windows depend on is read again. Nothing is lost with it.";
    "sigmill.window.checkpoint.ms", "milliseconds, from 1", "60000",
        "How often a checkpoint is made of the windows of each partition of the matches topic, where there is a `state.dir`.";
    "sigmill.window.event.max.bytes", "bytes, from 1", "8192",
        "Longer records count in windows, but their detections do not show them.";
    "sigmill.window.groups.max", "a whole number from 1", "100000",
        "Groups that one aggregation keeps at most; the one that would end first makes room.";
    "sigmill.time.max.ahead.ms", "milliseconds, from 1", "300000",
        "A timestamp further ahead of the wall clock does not move the time of windows.";
    "sigmill.shadow.topic", "a topic name", UNSET,
        "Where `run --shadow` writes the differences from the JVM processor; `<output.topic>-differences` if not given.";
    "sigmill.shadow.group", "a name", UNSET,
        "The consumer group of `run --shadow`; `<application.id>-sigmill-shadow` if not given.";
    "sigmill.shadow.wait.ms", "milliseconds, from 1", "60000",
        "How long `run --shadow` waits for the other side's detection where the JVM processor's commits do not settle it.";
    "sigmill.admin.listen", "host:port, or off", "127.0.0.1:9464",
        "Where health, metrics, rules and instances are told over HTTP.";
    "sigmill.admin.token.file", "a file", UNSET,
        "Holds the token that writes need (and reads, unless the port is on loopback); made at the first start. `~/.sigmill/admin-token` if not given.";
    "sigmill.admin.open.reads", "true or false", "false",
        "Reads need no token either where the port is not on loopback.";
    "sigmill.admin.legacy.writes", "true or false", "false",
        "`POST /addSigmaRule` needs no token, as the JVM processor's page expects.";
    "sigmill.report.interval.ms", "milliseconds, or 0 for never", "30000",
        "How often the log says in one line what was done.";
    "sigmill.target.mb.per.core", "a number above 0", UNSET,
        "Megabytes (10⁶) of record values that a core shall get done in a second of work; the log, `/metrics` and `/api/v1/workers` say whether it does.";
    "sigmill.record.max.bytes", "bytes, from 1", "16777216",
        "Longer records are refused.";
    "sigmill.deadletter.topic", "a topic name", UNSET,
        "Where refused records go, and detections that can never be produced.";
    "sigmill.inflight.max.records", "a whole number from 1", "50000",
        "Detections of a worker that may wait for their acknowledgement before it pauses its partitions.";
    "sigmill.inflight.max.bytes", "bytes, from 1", "67108864",
        "The same in bytes.";
    "sigmill.rule.detections.per.second", "a whole number; 0: no limit", "0",
        "Detections of one rule and second of this process; each worker has its part (divided by `num.stream.threads`, upwards). Beyond it the rule is throttled: one detection a second goes out, with the header `sigmill.suppressed_count`.";
    "sigmill.rules.debounce.ms", "milliseconds", "100",
        "Rule changes this close together are compiled as one.";
    "sigmill.start.timeout.ms", "milliseconds, from 1", "30000",
        "How long the start waits for a broker that does not answer.";
    "sigmill.stop.timeout.ms", "milliseconds, from 1", "10000",
        "How long a stop waits for acknowledgements before it leaves (what is not acknowledged is not committed).";
}

/// The setting of that name.
///
/// # Panics
/// There is none: the name is a literal of this crate.
pub fn key(name: &str) -> &'static Key {
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) => key,
        None => panic!("the setting `{name}` is not in the table"),
    }
}

/// The table as the reference page shows it.
pub fn markdown() -> String {
    let mut out = String::from("| setting | value | default | meaning |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = match key.default {
            REQUIRED => "required".to_owned(),
            UNSET => "–".to_owned(),
            value => format!("`{value}`"),
        };
        out += &format!("| `{}` | {} | {default} | {} |\n", key.name, key.expected, key.meaning);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference_page;

    #[test]
    fn the_reference_page_shows_this_table() {
        reference_page::check("settings.md", "table", &markdown());
    }

    #[test]
    fn names_are_there_once() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }
}
