//! What delivery costs: `sigmill run` as a process of its own against a broker that is there already.
//!
//! | | question | how |
//! |---|---|---|
//! | exactly once | its throughput over that of at least once | the same topic, read from its start by a new group each time, in turns |
//! | windows | CPU per GB when an aggregation takes a share of the records, over that without | the same, with one rule more |
//! | recovery | how long after `kill -9` of one of two processes every partition is worked on again | offsets that are committed, asked for again and again |
//! | overhead | CPU time of all that is around matching | the process over a consumer that only reads and matching alone, by turns |
//! | latency | what matching adds between a record and its detection, at most of the load that can be borne | time sent in the record; the same through a relay |
//! | restoring | matches a second when windows are taken over | a start with so many matches to restore over one with none; once more from checkpoints |
//!
//! CPU time is the process's own, user and system, all its threads. A run counts only if every record was
//! worked on: the committed offsets have to come to the ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::input::{self, Events};
use crate::made_events;

mod latency;
mod overhead;
mod restoring;

const PARTITIONS: i32 = 4;
const REQUEST: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_secs(600);
const SESSION_MS: u64 = 6_000;

const MEASURES: &[&str] =
    &["exactly-once", "windows", "recovery", "overhead", "latency", "restoring"];

/// What is measured.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) bootstrap_servers: String,
    pub(crate) sigmill: PathBuf,
    pub(crate) rules: Vec<PathBuf>,
    pub(crate) events: Vec<PathBuf>,
    pub(crate) pipeline: String,
    pub(crate) bytes: usize,
    pub(crate) matches: usize,
    pub(crate) repeats: usize,
    /// How long latency is measured.
    pub(crate) seconds: u64,
    pub(crate) only: Vec<String>,
}

/// A broker, and names that nobody else has.
struct Bed<'a> {
    config: &'a Config,
    prefix: String,
    folder: PathBuf,
    next: u32,
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
struct Taken {
    wall: Duration,
    cpu: Duration,
}

/// A `sigmill run`; it ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// User and system time so far.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields = stat.rsplit_once(')').context("an odd stat file")?.1;
        let ticks = |at: usize| fields.split_whitespace().nth(at)?.parse::<u64>().ok();
        let ticks = ticks(11).zip(ticks(12)).context("an odd stat file")?;
        // A hundredth of a second on every Linux that there is.
        Ok(Duration::from_millis((ticks.0 + ticks.1) * 10))
    }
}

/// Runs what was asked for and prints it.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("sigmill-delivery-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut bed = Bed { config, prefix: format!("perf-{}", std::process::id()), folder, next: 0 };
    if let Some(unknown) = config.only.iter().find(|one| !MEASURES.contains(&one.as_str())) {
        anyhow::bail!("there is no measure `{unknown}`; there are {}", MEASURES.join(", "));
    }
    let is_asked = |name: &str| config.only.is_empty() || config.only.iter().any(|one| one == name);
    let texts = input::rule_texts(&config.rules)?;
    let rules = bed.topic("rules", 1, true)?;
    bed.load(&rules, texts.iter().map(String::as_str))?;
    if is_asked("exactly-once") || is_asked("windows") || is_asked("recovery") {
        let data = bed.topic("data", PARTITIONS, false)?;
        let bytes = bed.fill(&data, &bed.events(config.bytes)?)?;
        println!("{} rules, {:.0} MB of events", texts.len(), bytes as f64 / 1e6);
        if is_asked("exactly-once") {
            bed.exactly_once(&rules, &data, bytes)?;
        }
        if is_asked("windows") {
            bed.windows(&rules, &texts, &data, bytes)?;
        }
        if is_asked("recovery") {
            bed.recovery(&rules, &data)?;
        }
    }
    if is_asked("overhead") {
        bed.overhead(&rules, &texts)?;
    }
    if is_asked("latency") {
        bed.latency(&texts)?;
    }
    if is_asked("restoring") {
        bed.restoring()?;
    }
    fs::remove_dir_all(&bed.folder)?;
    Ok(())
}

/// Selects three records in ten, in a thousand groups.
const AGGREGATION: &str = "title: Share\nlogsource: {category: sigmill_any}\n\
    detection:\n  s: {sigmill_part: [0, 1, 2]}\n  timeframe: 1m\n  \
    condition: s | count() by sigmill_group > 100000\n";

/// Commits that say how far the work has come.
const OFTEN: &str = "commit.interval.ms=50\n";

/// Gives the aggregation's log source a condition that every record meets.
const EVERYWHERE: &str = "name: everywhere\npriority: 5\ntransformations:\n- id: any\n  \
    type: add_condition\n  conditions: {sigmill_any: 1}\n  rule_conditions:\n  - type: logsource\n    \
    category: sigmill_any\n";

impl Bed<'_> {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.config.bootstrap_servers);
        config
    }

    fn topic(&self, name: &str, partitions: i32, is_compacted: bool) -> anyhow::Result<String> {
        let setting = match is_compacted {
            true => ("cleanup.policy", "compact"),
            false => ("retention.ms", "-1"),
        };
        self.topic_with(name, partitions, &[setting])
    }

    fn topic_with(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let name = format!("{}-{name}", self.prefix);
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let made = block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
        match made.into_iter().next() {
            Some(Err((_, code))) => anyhow::bail!("topic {name}: {code}"),
            _ => Ok(name),
        }
    }

    fn producer(&self) -> anyhow::Result<BaseProducer> {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "20");
        config.set("batch.size", "1000000").set("queue.buffering.max.kbytes", "262144");
        Ok(config.create()?)
    }

    fn load<'t>(&self, topic: &str, texts: impl Iterator<Item = &'t str>) -> anyhow::Result<()> {
        let producer = self.producer()?;
        for (at, text) in texts.enumerate() {
            let key = format!("rule {at}");
            send(&producer, BaseRecord::to(topic).key(&key).payload(text))?;
        }
        Ok(producer.flush(WITHIN)?)
    }

    /// The events, each with a number of ten and a group of a thousand: so many bytes, about.
    fn events(&self, bytes: usize) -> anyhow::Result<Events> {
        let events = input::events(&self.config.events, None)?;
        let mut made = Vec::new();
        made_events::write(&events, bytes, &mut made)?;
        let mut marked = Events::default();
        let mut event = Vec::new();
        for (at, line) in made.split(|byte| *byte == b'\n').enumerate() {
            let Some(rest) = line.strip_prefix(b"{") else { continue };
            let (part, group) = (at % 10, at.wrapping_mul(7919) % 1000);
            event.clear();
            event.extend_from_slice(
                format!(r#"{{"sigmill_any":1,"sigmill_part":{part},"sigmill_group":"g{group}","#)
                    .as_bytes(),
            );
            event.extend_from_slice(rest);
            marked.push(&event);
        }
        Ok(marked)
    }

    /// Writes events into a topic, evenly; how many bytes.
    fn fill(&self, topic: &str, events: &Events) -> anyhow::Result<usize> {
        let producer = self.producer()?;
        for (at, event) in events.iter().enumerate() {
            let partition = (at % PARTITIONS as usize) as i32;
            send(&producer, BaseRecord::<(), _>::to(topic).partition(partition).payload(event))?;
        }
        producer.flush(WITHIN)?;
        Ok(events.byte_count())
    }

    /// A process of a new application, or of the one named.
    fn start(
        &mut self,
        application: Option<&str>,
        (rules, data): (&str, &str),
        changes: &str,
    ) -> anyhow::Result<(Process, String)> {
        self.next += 1;
        let application = match application {
            Some(known) => known.to_owned(),
            None => {
                let name = format!("app{}", self.next);
                self.topic(&format!("{name}-out"), PARTITIONS, false)?;
                format!("{}-{name}", self.prefix)
            }
        };
        let everywhere = self.folder.join("everywhere.yml");
        fs::write(&everywhere, EVERYWHERE)?;
        let text = format!(
            "bootstrap.servers={}\napplication.id={application}\ndata.topic={data}\n\
             output.topic={application}-out\nsigma.rules.topic={rules}\n\
             sigmill.output.format=native\nsigmill.admin.listen=off\nskip.app.registration=true\n\
             session.timeout.ms={SESSION_MS}\nheartbeat.interval.ms=1000\nlinger.ms=5\n\
             sigmill.pipelines={},{}\nsigmill.start.timeout.ms=120000\n{changes}",
            self.config.bootstrap_servers,
            self.config.pipeline,
            everywhere.display(),
        );
        let path = self.folder.join(format!("{}.properties", self.next));
        fs::write(&path, text)?;
        let log = fs::File::create(path.with_extension("log"))?;
        let mut command = Command::new(&self.config.sigmill);
        command.arg("run").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", self.config.sigmill.display()))?;
        Ok((Process(child), application))
    }

    fn partitions(&self, topic: &str) -> anyhow::Result<i32> {
        let consumer: BaseConsumer = self.client().create()?;
        let metadata = consumer.fetch_metadata(Some(topic), REQUEST)?;
        Ok(metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32))
    }

    /// Per partition: what is committed and where it ends.
    fn progress(&self, application: &str, topic: &str) -> anyhow::Result<Vec<(i64, i64)>> {
        let mut config = self.client();
        config.set("group.id", application);
        let consumer: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, self.partitions(topic)? - 1);
        let committed = consumer.committed_offsets(list, REQUEST)?;
        let mut progress = Vec::new();
        for partition in committed.elements() {
            let (_, end) = consumer.fetch_watermarks(topic, partition.partition(), REQUEST)?;
            let at = match partition.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            progress.push((at, end));
        }
        Ok(progress)
    }

    /// Waits until all of a topic is done: what that took from the first commit on.
    fn drain(
        &self,
        process: &mut Process,
        application: &str,
        topic: &str,
    ) -> anyhow::Result<Taken> {
        let deadline = Instant::now() + WITHIN;
        let mut begun: Option<(Instant, Duration, i64)> = None;
        loop {
            if let Some(status) = process.0.try_wait()? {
                anyhow::bail!("the process ended with {status}; see {}", self.folder.display());
            }
            let progress = self.progress(application, topic)?;
            let done: i64 = progress.iter().map(|(at, _)| at).sum();
            let all: i64 = progress.iter().map(|(_, end)| end).sum();
            if let (None, true) = (begun, done > 0) {
                begun = Some((Instant::now(), process.cpu()?, done));
            }
            if progress.iter().all(|(at, end)| at == end) {
                let (begin, cpu, before) = begun.context("all was done before it began")?;
                anyhow::ensure!(before * 3 < all, "too few events to measure: give more --bytes");
                // What was done before the first look does not count.
                let share = all as f64 / (all - before).max(1) as f64;
                let spent = process.cpu()? - cpu;
                return Ok(Taken {
                    wall: begin.elapsed().mul_f64(share),
                    cpu: spent.mul_f64(share),
                });
            }
            anyhow::ensure!(Instant::now() < deadline, "not done in time: {progress:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn exactly_once(&mut self, rules: &str, data: &str, bytes: usize) -> anyhow::Result<()> {
        let sides = ["at_least_once", "exactly_once_v2"];
        let mut taken: [Vec<Taken>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..self.config.repeats {
            for (side, guarantee) in sides.iter().enumerate() {
                let changes = match side {
                    0 => format!("processing.guarantee={guarantee}\n{OFTEN}"),
                    _ => format!("processing.guarantee={guarantee}\n"),
                };
                let (mut process, application) = self.start(None, (rules, data), &changes)?;
                taken[side].push(self.drain(&mut process, &application, data)?);
            }
        }
        for (name, taken) in sides.iter().zip(&taken) {
            print_side(name, taken, bytes);
        }
        let (least, exactly) = (wall(&taken[0]), wall(&taken[1]));
        println!("exactly once ÷ at least once, MB/s: {:.2}", least / exactly);
        let (least, exactly) = (cpu(&taken[0]), cpu(&taken[1]));
        println!("exactly once ÷ at least once, MB per CPU second: {:.2}", least / exactly);
        Ok(())
    }

    fn windows(
        &mut self,
        rules: &str,
        texts: &[String],
        data: &str,
        bytes: usize,
    ) -> anyhow::Result<()> {
        let more = self.topic("rules-and-one", 1, true)?;
        self.load(&more, texts.iter().map(String::as_str).chain([AGGREGATION]))?;
        // Everywhere, whatever the pipeline says of log sources.
        let sides = [("without", rules), ("with", more.as_str())];
        let mut taken: [Vec<Taken>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..self.config.repeats {
            for (side, (_, rules)) in sides.iter().enumerate() {
                let (mut process, application) = self.start(None, (rules, data), OFTEN)?;
                taken[side].push(self.drain(&mut process, &application, data)?);
                if side == 1 {
                    let topic = format!("{application}-sigmill-matches");
                    let count: i64 =
                        self.progress(&application, &topic)?.iter().map(|(_, end)| end).sum();
                    anyhow::ensure!(count > 50, "the aggregation matched nothing");
                }
            }
        }
        for ((name, _), taken) in sides.iter().zip(&taken) {
            print_side(&format!("{name} an aggregation of 30 %"), taken, bytes);
        }
        let ratio = cpu(&taken[1]) / cpu(&taken[0]);
        println!("with ÷ without an aggregation, CPU per GB: {ratio:.2}");
        Ok(())
    }

    fn recovery(&mut self, rules: &str, data: &str) -> anyhow::Result<()> {
        for guarantee in ["at_least_once", "exactly_once_v2"] {
            let changes = format!("processing.guarantee={guarantee}\ncommit.interval.ms=100\n");
            let (mut first, application) = self.start(None, (rules, data), &changes)?;
            self.drain(&mut first, &application, data)?;
            let known = Some(application.as_str());
            let (_second, _) = self.start(known, (rules, data), &changes)?;
            // The second has its part when it commits: give the group time to settle.
            let producer = self.producer()?;
            let feed = || -> anyhow::Result<()> {
                for partition in 0..PARTITIONS {
                    let record = BaseRecord::<(), _>::to(data).partition(partition);
                    send(&producer, record.payload(br#"{"n":1}"#))?;
                }
                Ok(producer.flush(REQUEST)?)
            };
            let settled = Instant::now() + Duration::from_secs(15);
            while Instant::now() < settled {
                feed()?;
                std::thread::sleep(Duration::from_millis(50));
            }
            drop(first);
            let killed = Instant::now();
            feed()?;
            let ends: Vec<i64> =
                self.progress(&application, data)?.iter().map(|(_, end)| *end).collect();
            loop {
                feed()?;
                let progress = self.progress(&application, data)?;
                if progress.iter().zip(&ends).all(|((at, _), end)| at >= end) {
                    break;
                }
                anyhow::ensure!(killed.elapsed() < WITHIN, "the group does not recover");
            }
            let over = killed.elapsed().as_secs_f64() - SESSION_MS as f64 / 1e3;
            println!("{guarantee}: worked on again {over:+.2} s after the session's time-out");
        }
        Ok(())
    }

    fn drain_or_done(
        &self,
        process: &mut Process,
        application: &str,
        topic: &str,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + WITHIN;
        loop {
            anyhow::ensure!(process.0.try_wait()?.is_none(), "the process ended");
            let progress = self.progress(application, topic)?;
            if !progress.is_empty() && progress.iter().all(|(at, end)| at == end) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "not done in time: {progress:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn send<K, P>(producer: &BaseProducer, record: BaseRecord<'_, K, P>) -> anyhow::Result<()>
where
    K: rdkafka::message::ToBytes + ?Sized,
    P: rdkafka::message::ToBytes + ?Sized,
{
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

/// The median: other work on the machine only makes a run slower now and then.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn wall(taken: &[Taken]) -> f64 {
    median(taken.iter().map(|taken| taken.wall.as_secs_f64()).collect())
}

fn cpu(taken: &[Taken]) -> f64 {
    median(taken.iter().map(|taken| taken.cpu.as_secs_f64()).collect())
}

fn print_side(name: &str, taken: &[Taken], bytes: usize) {
    let megabytes = bytes as f64 / 1e6;
    println!(
        "{name}: {:.0} MB/s, {:.0} MB per CPU second (median of {})",
        megabytes / wall(taken),
        megabytes / cpu(taken),
        taken.len()
    );
}

/// Waits for an answer of the admin client, which has a thread of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// The binary beside this one.
pub(crate) fn default_sigmill() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(Path::new(".")).join("sigmill")
}
