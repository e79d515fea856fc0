//! What delivery costs: `sigmill run` as a process of its own against a broker that is there already.
//!
//! | | question | how |
//! |---|---|---|
//! | exactly once | its throughput over that of at least once | the same topic, read from its start by a new group each time, in turns |
//! | windows | CPU per GB when an aggregation takes a share of the records, over that without | the same, with one rule more |
//! | recovery | how long after `kill -9` of one of two processes every partition is worked on again | offsets that are committed, asked for again and again |
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

use crate::input;
use crate::made_events;

const PARTITIONS: i32 = 4;
const REQUEST: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_secs(600);
const SESSION_MS: u64 = 6_000;

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

/// Records that move time, so that there is a heartbeat to commit.
struct Beat<'a> {
    producer: &'a BaseProducer,
    data: &'a str,
    time: i64,
}

impl Beat<'_> {
    fn send(&mut self) -> anyhow::Result<()> {
        self.time += 1;
        let record = BaseRecord::<(), _>::to(self.data).partition(0).payload(br#"{"n":1}"#);
        send(self.producer, record.timestamp(self.time))?;
        Ok(self.producer.flush(REQUEST)?)
    }
}

/// Runs what was asked for and prints it.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("sigmill-delivery-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut bed = Bed { config, prefix: format!("perf-{}", std::process::id()), folder, next: 0 };
    let is_asked = |name: &str| config.only.is_empty() || config.only.iter().any(|one| one == name);
    let texts = input::rule_texts(&config.rules)?;
    let rules = bed.topic("rules", 1, true)?;
    bed.load(&rules, texts.iter().map(String::as_str))?;
    if is_asked("exactly-once") || is_asked("windows") || is_asked("recovery") {
        let data = bed.topic("data", PARTITIONS, false)?;
        let bytes = bed.fill(&data)?;
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
        let name = format!("{}-{name}", self.prefix);
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        topic = match is_compacted {
            true => topic.set("cleanup.policy", "compact"),
            false => topic.set("retention.ms", "-1"),
        };
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

    /// The events, each with a number of ten and a group of a thousand; how many bytes.
    fn fill(&self, topic: &str) -> anyhow::Result<usize> {
        let events = input::events(&self.config.events, None)?;
        let mut made = Vec::new();
        made_events::write(&events, self.config.bytes, &mut made)?;
        let producer = self.producer()?;
        let mut bytes = 0;
        for (at, line) in made.split(|byte| *byte == b'\n').enumerate() {
            let Some(rest) = line.strip_prefix(b"{") else { continue };
            let mut event = format!(
                r#"{{"sigmill_any":1,"sigmill_part":{},"sigmill_group":"g{}","#,
                at % 10,
                at.wrapping_mul(7919) % 1000
            )
            .into_bytes();
            event.extend_from_slice(rest);
            bytes += event.len();
            let partition = (at % PARTITIONS as usize) as i32;
            send(&producer, BaseRecord::<(), _>::to(topic).partition(partition).payload(&event))?;
        }
        producer.flush(WITHIN)?;
        Ok(bytes)
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

    fn restoring(&mut self) -> anyhow::Result<()> {
        let rules = self.topic("rules-long", 1, true)?;
        let long = AGGREGATION.replace("timeframe: 1m", "timeframe: 24h");
        self.load(&rules, [long.as_str()].into_iter())?;
        let data = self.topic("data-long", 1, false)?;
        let producer = self.producer()?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let begin = now.as_millis() as i64 - 23 * 3_600_000;
        // Time only goes on: nothing is late.
        let mut time = begin;
        let mut empty = Duration::ZERO;
        let mut application = None;
        for (part, count) in [1, self.config.matches].into_iter().enumerate() {
            for n in 0..count {
                let event = format!(
                    r#"{{"sigmill_any":1,"sigmill_part":0,"sigmill_group":"g{}"}}"#,
                    n.wrapping_mul(7919) % 100_000
                );
                // Spread over most of the window.
                time = time.max(begin + (n as i64 * 20 * 3_600_000) / count as i64);
                let record = BaseRecord::<(), _>::to(&data).partition(0).payload(&event);
                send(&producer, record.timestamp(time))?;
            }
            producer.flush(WITHIN)?;
            let known = application.clone();
            let (mut process, name) = self.start(known.as_deref(), (&rules, &data), "")?;
            self.drain_or_done(&mut process, &name, &data)?;
            let topic = format!("{name}-sigmill-matches");
            self.drain_or_done(&mut process, &name, &topic)?;
            drop(process);
            application = Some(name.clone());
            // Until the group has forgotten it, nobody gets its partitions.
            std::thread::sleep(Duration::from_millis(SESSION_MS + 1_000));
            let mut beat = Beat { producer: &producer, data: &data, time };
            let (taken, cpu, process) =
                self.restore(&name, &rules, &mut beat, "commit.interval.ms=20\n")?;
            drop(process);
            if part == 0 {
                empty = taken;
                println!("a start with nothing to restore: {:.2} s", taken.as_secs_f64());
            } else {
                let restored = taken.saturating_sub(empty).as_secs_f64().max(0.001);
                println!(
                    "{count} matches restored in {restored:.2} s, {:.2} s of CPU: {:.2} million a second",
                    cpu.as_secs_f64(),
                    count as f64 / restored / 1e6
                );
                let state = self.folder.join("state");
                let changes = format!(
                    "commit.interval.ms=20\nstate.dir={}\nsigmill.window.checkpoint.ms=1000\n",
                    state.display()
                );
                let forgotten = Duration::from_millis(SESSION_MS + 1_000);
                std::thread::sleep(forgotten);
                let (_, _, process) = self.restore(&name, &rules, &mut beat, &changes)?;
                // Time for a checkpoint of every partition, and for a commit beyond it.
                let until = Instant::now() + Duration::from_secs(15);
                while Instant::now() < until {
                    beat.send()?;
                    std::thread::sleep(Duration::from_millis(20));
                }
                drop(process);
                std::thread::sleep(forgotten);
                let (taken, cpu, process) = self.restore(&name, &rules, &mut beat, &changes)?;
                drop(process);
                let restored = taken.saturating_sub(empty).as_secs_f64().max(0.001);
                println!(
                    "{count} matches restored from checkpoints in {restored:.2} s, {:.2} s of CPU",
                    cpu.as_secs_f64()
                );
            }
            time = beat.time;
        }
        Ok(())
    }

    /// Starts the application again, and waits until it has its windows: how long that took, and the CPU time.
    fn restore(
        &mut self,
        name: &str,
        rules: &str,
        beat: &mut Beat<'_>,
        changes: &str,
    ) -> anyhow::Result<(Duration, Duration, Process)> {
        let topic = format!("{name}-sigmill-matches");
        let sum = |progress: Vec<(i64, i64)>| progress.iter().map(|(at, _)| at).sum::<i64>();
        let before = sum(self.progress(name, &topic)?);
        let started = Instant::now();
        let (process, _) = self.start(Some(name), (rules, beat.data), changes)?;
        loop {
            beat.send()?;
            if sum(self.progress(name, &topic)?) > before {
                return Ok((started.elapsed(), process.cpu()?, process));
            }
            anyhow::ensure!(started.elapsed() < WITHIN, "windows are not restored in time");
        }
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
