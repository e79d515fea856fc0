//! Random faults while a known stream flows: in the end the detections are those of the reference.
//!
//! Two applications read the same stream, each with several processes: one delivers at least once, one
//! exactly once. Meanwhile processes are killed, stopped, started and added, the broker is restarted, by
//! force or in order, and rules beside those that are looked at come, change and go. Then:
//!
//! | | simple detections | windows, `final` | windows, `early` |
//! |---|---|---|---|
//! | at least once | none is missing, none is invented | the same | the same by rule, group and run |
//! | exactly once | equal | equal | equal by rule, group and run |
//!
//! The seed is printed and decides the stream, the faults and their order: `SIGMILL_FAULT_SEED=N` runs it
//! again. `SIGMILL_FAULTS=100` is the long form.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use sigmill_parser::{Document, FieldMapping};
use sigmill_reference::{Emit, Json, Settings, correlate};

use crate::bed::{Bed, Record};
use crate::kafka::Kafka;

const PARTITIONS: i32 = 4;
const EVENTS_PER_SECOND: u64 = 150;
/// Events that share their users; those of others have other ones.
const SEGMENT: usize = 80;
const BASE: i64 = 1_700_000_000_000;
const GRACE_MS: i64 = 2_000;
/// Until all that is expected is there.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// How long what is one too many gets to show.
const QUIET: Duration = Duration::from_secs(5);

const RULES: [(&str, &str); 8] = [
    ("Plain", "title: Plain\nlogsource: {product: t}\ndetection:\n  s: {op: x}\n  condition: s\n"),
    (
        "Fail",
        "title: Fail\nname: fail\nlogsource: {product: t}\ndetection:\n  s: {op: f}\n  condition: s\n",
    ),
    (
        "Done",
        "title: Done\nname: done\nlogsource: {product: t}\ndetection:\n  s: {op: d}\n  condition: s\n",
    ),
    (
        "Count",
        "title: Count\ncorrelation:\n  type: event_count\n  rules: [fail]\n  group-by: [user]\n  \
         timespan: 2s\n  condition: {gte: 4}\n",
    ),
    (
        "Values",
        "title: Values\nlogsource: {product: t}\ndetection:\n  s: {op: v}\n  timeframe: 3s\n  \
         condition: s | count(port) by user >= 3\n",
    ),
    // Decided when its windows close, each opened by the first event behind the one before.
    (
        "Few",
        "title: Few\nlogsource: {product: t}\ndetection:\n  s: {op: d}\n  timeframe: 1s\n  \
         condition: s | count() by user < 3\n",
    ),
    (
        "Inner",
        "title: Inner\nname: inner\ncorrelation:\n  type: event_count\n  rules: [fail]\n  \
         group-by: [user]\n  timespan: 2s\n  condition: {gte: 3}\n",
    ),
    (
        "Chain",
        "title: Chain\ncorrelation:\n  type: temporal_ordered\n  rules: [inner, done]\n  \
         group-by: [user]\n  timespan: 4s\n",
    ),
];

/// A generator that needs no crate: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

/// The known stream.
struct Stream {
    random: Random,
    time: i64,
    /// Times and texts.
    events: Vec<(i64, String)>,
}

impl Stream {
    /// The next event: its time, text and partition.
    fn next(&mut self) -> (i64, String, i32) {
        let n = self.events.len();
        self.time += self.random.below(120) as i64;
        // Some come a little late.
        let late = if self.random.below(8) == 0 { self.random.below(900) as i64 } else { 0 };
        let op = *self.random.pick(&["x", "f", "f", "f", "d", "v", "v", "v"]);
        let user = format!("u{}-{}", n / SEGMENT, self.random.below(3));
        let port = self.random.below(5);
        let text = format!(r#"{{"n":{n},"op":"{op}","user":"{user}","port":{port}}}"#);
        let partition = self.random.below(PARTITIONS as u64) as i32;
        self.events.push((self.time - late, text.clone()));
        (self.time - late, text, partition)
    }

    /// What the reference makes of it: by rule, group and instant.
    fn reference(&self, emit: Emit) -> BTreeSet<(String, String, i64)> {
        let documents: Vec<Document> =
            RULES.iter().flat_map(|(_, text)| sigmill_parser::parse(text).documents).collect();
        let settings = Settings { emit, grace_ms: Some(GRACE_MS) };
        let mut found = BTreeSet::new();
        // Users of a segment are in no other one.
        for segment in self.events.chunks(SEGMENT) {
            let mut events: Vec<(Option<i64>, Json)> = segment
                .iter()
                .map(|(time, text)| (Some(*time), Json::parse(text).unwrap()))
                .collect();
            events.sort_by_key(|(time, _)| *time);
            let last = segment.iter().map(|(time, _)| *time).max().unwrap();
            // Whatever is open closes.
            for (far, op) in [(1_000_000, "f"), (2_000_000, "v"), (3_000_000, "d")] {
                let text = format!(r#"{{"op":"{op}","user":"end","port":0}}"#);
                events.push((Some(last + far), Json::parse(&text).unwrap()));
            }
            let outcome = correlate(&documents, &events, &FieldMapping::default(), settings);
            assert_eq!(outcome.late, 0, "in order nothing is late");
            for detection in outcome.detections {
                let title = RULES[detection.document].0.to_owned();
                found.insert((title, detection.group.join(","), detection.at));
            }
        }
        found.retain(|(title, group, _)| title != "Inner" && group != "end");
        found
    }

    fn plain(&self) -> BTreeSet<(String, String, i64)> {
        let is_plain = |(_, (_, text)): &(usize, &(i64, String))| text.contains(r#""op":"x""#);
        let numbered = self.events.iter().enumerate().filter(is_plain);
        numbered.map(|(n, _)| ("Plain".to_owned(), String::new(), n as i64)).collect()
    }
}

/// A process.
struct Instance {
    properties: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Instance {
    fn start(&mut self) {
        if self.process.is_none() {
            let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_sigmill"));
            command.arg("run").arg(&self.properties).env("NO_COLOR", "1");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            self.process = Some(command.spawn().unwrap());
        }
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks for a stop, as a service manager does.
    fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let id = process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(30);
        while process.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = process.kill();
                panic!("a process does not stop; see {}", self.log.display());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// An application: processes that share a group.
struct App {
    name: String,
    out: String,
    is_exactly_once: bool,
    is_final: bool,
    instances: Vec<Instance>,
}

impl App {
    fn new(bed: &Bed, folder: &Path, is_exactly_once: bool, is_final: bool) -> Self {
        let name = bed.topic(if is_exactly_once { "exactly" } else { "least" });
        let out = format!("out-{}", if is_exactly_once { "exactly" } else { "least" });
        let instances = (0..3).map(|at| {
            // One of them is known to the group by name.
            let instance = if at == 0 { "group.instance.id=first\n" } else { "" };
            // Two of them keep checkpoints, each its own.
            let state = folder.join(format!("{name}-{at}"));
            let state = match at {
                0 => String::new(),
                _ => format!("state.dir={}\nsigmill.window.checkpoint.ms=300\n", state.display()),
            };
            let guarantee = if is_exactly_once { "exactly_once_v2" } else { "at_least_once" };
            let text = format!(
                "bootstrap.servers={}\napplication.id={name}\ndata.topic={}\noutput.topic={}\n\
                 sigma.rules.topic={}\nprocessing.guarantee={guarantee}\ncommit.interval.ms=200\n\
                 linger.ms=1\nsession.timeout.ms=6000\nheartbeat.interval.ms=1000\n\
                 num.stream.threads={}\nsigmill.output.format=native\n\
                 sigmill.window.emit={}\nsigmill.window.grace.ms={GRACE_MS}\n\
                 sigmill.admin.listen=off\nskip.app.registration=true\n\
                 sigmill.rules.debounce.ms=50\nmax.poll.records=200\n\
                 reconnect.backoff.max.ms=500\n{state}{instance}",
                bed.kafka_settings().bootstrap_servers,
                bed.topic("data"),
                bed.topic(&out),
                bed.topic("rules"),
                1 + at % 2,
                if is_final { "final" } else { "early" },
            );
            let properties = folder.join(format!("{name}-{at}.properties"));
            fs::write(&properties, text).unwrap();
            Instance { properties, log: folder.join(format!("{name}-{at}.log")), process: None }
        });
        let instances = instances.collect();
        Self { name, out, is_exactly_once, is_final, instances }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.instances.iter_mut().for_each(Instance::kill);
    }
}

fn producer(bed: &Bed) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bed.kafka_settings().bootstrap_servers);
    config.set("enable.idempotence", "true").set("linger.ms", "5");
    config.set("reconnect.backoff.max.ms", "500");
    config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    config.create().unwrap()
}

/// A rule beside those that are looked at: it comes, changes or goes.
fn change_rules(bed: &Bed, producer: &BaseProducer, random: &mut Random) -> String {
    let topic = bed.topic("rules");
    let key = format!("Noise {}", random.below(4));
    let text = match random.below(3) {
        0 => None,
        1 => Some(format!(
            "title: {key}\nlogsource: {{product: t}}\ndetection:\n  s: {{op: x{}}}\n  condition: s\n",
            random.below(9)
        )),
        _ => Some(format!(
            "title: {key}\nlogsource: {{product: t}}\ndetection:\n  s: {{op: v}}\n  timeframe: {}s\n  \
             condition: s | count() by user > {}\n",
            1 + random.below(5),
            2 + random.below(9)
        )),
    };
    let mut record = BaseRecord::<str, str>::to(&topic).key(&key).partition(0);
    record.payload = text.as_deref();
    producer.send(record).map_err(|(error, _)| error).unwrap();
    format!("{key} {}", if text.is_some() { "changes" } else { "goes" })
}

fn fault(
    bed: &Bed,
    kafka: &Kafka,
    producer: &BaseProducer,
    apps: &mut [App],
    random: &mut Random,
) -> String {
    let app = random.below(apps.len() as u64) as usize;
    let at = random.below(3) as usize;
    let name = format!("{}-{at}", apps[app].name);
    let instance = &mut apps[app].instances[at];
    match random.below(12) {
        0..=4 if instance.process.is_some() => {
            instance.kill();
            format!("kill -9 of {name}")
        }
        5..=6 if instance.process.is_some() => {
            instance.stop();
            format!("stop of {name}")
        }
        0..=6 => {
            instance.start();
            format!("start of {name}")
        }
        7 => {
            kafka.restart(true);
            "kill -9 of the broker".to_owned()
        }
        8 => {
            kafka.restart(false);
            "restart of the broker".to_owned()
        }
        _ => change_rules(bed, producer, random),
    }
}

#[test]
fn detections_are_those_of_the_reference_whatever_fails() {
    let Some((bed, kafka)) = Bed::own_real() else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let fault_count = number("SIGMILL_FAULTS").unwrap_or(7);
    let seed = number("SIGMILL_FAULT_SEED").unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.unwrap().as_micros() as u64
    });
    eprintln!("SIGMILL_FAULT_SEED={seed} SIGMILL_FAULTS={fault_count}");
    let mut random = Random(seed | 1);
    for _ in 0..10 {
        random.below(2);
    }
    let folder = tempfile::tempdir().unwrap();
    // The events are old, and shall stay.
    let kept = [("retention.ms", "-1")];
    bed.create_topic("data", PARTITIONS, &kept);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let is_final = random.below(2) == 0;
    let mut apps = [
        App::new(&bed, folder.path(), false, !is_final),
        App::new(&bed, folder.path(), true, is_final),
    ];
    for app in &apps {
        bed.create_topic(&app.out, 2, &kept);
    }
    let producer = producer(&bed);
    for (key, text) in RULES {
        let topic = bed.topic("rules");
        let record = BaseRecord::<str, str>::to(&topic).key(key).payload(text).partition(0);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    for app in &mut apps {
        app.instances[..2].iter_mut().for_each(Instance::start);
    }
    let mut stream = Stream { random: Random(seed ^ 0x5eed | 1), time: BASE, events: Vec::new() };
    let data = bed.topic("data");
    let begin = Instant::now();
    let mut next_fault = begin + Duration::from_secs(5);
    let mut faults = 0;
    let mut told = Vec::new();
    // A little more after the last fault.
    let mut end = None;
    while end.is_none_or(|end| Instant::now() < end) {
        let due = begin.elapsed().as_millis() as u64 * EVENTS_PER_SECOND / 1000;
        while (stream.events.len() as u64) < due {
            let (time, text, partition) = stream.next();
            let record = BaseRecord::<str, str>::to(&data).payload(&text).timestamp(time);
            let sent = producer.send(record.partition(partition));
            sent.map_err(|(error, _)| error).unwrap();
        }
        producer.poll(Duration::from_millis(5));
        if end.is_none() && Instant::now() > next_fault {
            let what = fault(&bed, &kafka, &producer, &mut apps, &mut random);
            told.push(format!("{:>7.1} s: {what}", begin.elapsed().as_secs_f64()));
            eprintln!("{}", told.last().unwrap());
            faults += 1;
            next_fault = Instant::now() + Duration::from_millis(500 + random.below(4_000));
            if faults == fault_count {
                end = Some(Instant::now() + Duration::from_secs(3));
            }
        }
    }
    for app in &mut apps {
        app.instances[..2].iter_mut().for_each(Instance::start);
    }
    // Time goes on everywhere, so that every window closes.
    for step in 1..4 {
        for partition in 0..PARTITIONS {
            let time = stream.time + step * 100_000;
            let record = BaseRecord::<str, str>::to(&data).payload(r#"{"op":"end"}"#);
            producer
                .send(record.partition(partition).timestamp(time))
                .map_err(|(error, _)| error)
                .unwrap();
        }
        producer.flush(Duration::from_secs(60)).unwrap();
        std::thread::park_timeout(Duration::from_millis(700));
    }
    eprintln!("{} events in {:?}", stream.events.len(), begin.elapsed());
    let failures: Vec<String> =
        apps.iter().filter_map(|app| compare(&bed, app, &stream).err()).collect();
    if !failures.is_empty() {
        let kept = folder.keep();
        panic!("{}\nlogs: {}\n{}", failures.join("\n"), kept.display(), told.join("\n"));
    }
}

/// What a detection says: rule, group and instant, or the event's number.
fn said(record: &Record) -> Option<(String, String, i64)> {
    let json = record.json();
    let title = json["title"].as_str().unwrap().to_owned();
    if title == "Plain" {
        return Some((title, String::new(), json["event"]["n"].as_i64().unwrap()));
    }
    if title.starts_with("Noise") {
        return None;
    }
    let correlation = &json["correlation"];
    let group = correlation["group"]["user"].as_str().unwrap().to_owned();
    Some((title, group, correlation["window"]["end"].as_i64().unwrap()))
}

fn compare(bed: &Bed, app: &App, stream: &Stream) -> Result<(), String> {
    let mut expected = stream.reference(Emit::Final);
    let instants = stream.reference(Emit::Every);
    if !app.is_final {
        // A chain hears of an early detection wherever in its run that lies.
        expected.retain(|(title, ..)| title != "Chain");
    }
    let windows = expected.len();
    let starts = expected.clone();
    expected.append(&mut stream.plain());
    // The run that an early detection lies in begins with the last instant that was due.
    let run = |(title, group, at): (String, String, i64)| {
        if app.is_final || title == "Plain" || title == "Few" {
            return Some((title, group, at));
        }
        if title == "Chain" {
            return None;
        }
        let from = (title.clone(), group.clone(), i64::MIN);
        let found = starts.range(from..=(title.clone(), group.clone(), at)).next_back();
        let is_instant = instants.contains(&(title.clone(), group.clone(), at));
        Some(match found {
            Some(found) if is_instant => found.clone(),
            _ => (title, group, -at),
        })
    };
    let deadline = Instant::now() + SETTLED_WITHIN;
    let mut quiet_since: Option<Instant> = None;
    let mut counted: BTreeMap<(String, String, i64), usize> = BTreeMap::new();
    let mut seen = 0;
    bed.read_until_or(&[&app.out], SETTLED_WITHIN * 2, |records| {
        for record in &records[seen..] {
            if let Some(found) = said(record).and_then(run) {
                *counted.entry(found).or_default() += 1;
            }
        }
        if records.len() > seen {
            quiet_since = None;
        }
        seen = records.len();
        let is_whole = expected.iter().all(|one| counted.contains_key(one));
        let since = *quiet_since.get_or_insert_with(Instant::now);
        (is_whole && since.elapsed() > QUIET) || Instant::now() > deadline
    });
    let missing: Vec<_> = expected.iter().filter(|one| !counted.contains_key(*one)).collect();
    let invented: Vec<_> = counted.keys().filter(|one| !expected.contains(*one)).collect();
    let is_once =
        |(title, ..): &(String, String, i64)| app.is_final || title == "Plain" || title == "Few";
    let repeated: Vec<_> =
        counted.iter().filter(|(one, count)| **count > 1 && is_once(one)).collect();
    eprintln!(
        "{}: {} of {windows} windows, {} detections expected, {} read, {} missing, {} invented, {} repeated",
        app.name,
        if app.is_final { "final" } else { "early" },
        expected.len(),
        counted.values().sum::<usize>(),
        missing.len(),
        invented.len(),
        repeated.len(),
    );
    let few = |list: &[String]| list.iter().take(10).cloned().collect::<Vec<_>>().join("\n  ");
    let mut wrong = String::new();
    for (what, list) in [
        ("missing", missing.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>()),
        ("invented", invented.iter().map(|one| format!("{one:?}")).collect()),
        (
            "repeated",
            repeated.iter().filter(|_| app.is_exactly_once).map(|one| format!("{one:?}")).collect(),
        ),
    ] {
        if !list.is_empty() {
            wrong += &format!("{}: {} {what}:\n  {}\n", app.name, list.len(), few(&list));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
