//! Windows that go on from a checkpoint after `kill -9`: as they would from the log, and with less of it read.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use crate::bed::{Bed, DEADLINE};
use crate::on_both_brokers;

/// Some time in the past, so that no clock has a say.
const BASE: i64 = 1_700_000_000_000;

const RULE: &str = "title: G\nlogsource: {product: test}\ndetection:\n  s: {op: w}\n  \
                    timeframe: 1h\n  condition: s | count() by host >= 5\n";

/// A process and the lines of its log.
struct Process {
    child: Child,
    log: mpsc::Receiver<String>,
}

impl Process {
    fn start(properties: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sigmill"));
        let command = command.arg("run").arg(properties).env("NO_COLOR", "1");
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, log }
    }

    /// Kills it as `kill -9` does: what it said.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log.iter().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Scene<'a> {
    bed: &'a Bed,
    folder: tempfile::TempDir,
    properties: std::path::PathBuf,
}

impl<'a> Scene<'a> {
    fn new(bed: &'a Bed, guarantee: &str) -> Self {
        let kept = [("retention.ms", "-1")];
        for (topic, partitions) in [("data", 1), ("out", 1), ("dead", 1)] {
            bed.create_topic(topic, partitions, &kept);
        }
        bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
        let sender = bed.sender();
        sender.put(&bed.topic("rules"), 0, Some("G"), Some(RULE.as_bytes()), None);
        sender.flush();
        let folder = tempfile::tempdir().unwrap();
        let session = match bed.is_real() {
            true => "session.timeout.ms=6000\n",
            false => "session.timeout.ms=2500\nheartbeat.interval.ms=300\n",
        };
        let text = format!(
            "bootstrap.servers={}\napplication.id={}\ndata.topic={}\noutput.topic={}\n\
             sigma.rules.topic={}\ncommit.interval.ms=20\nlinger.ms=1\nsigmill.output.format=native\n\
             sigmill.admin.listen=off\nskip.app.registration=true\nstate.dir={}\n\
             sigmill.window.checkpoint.ms=20\nprocessing.guarantee={guarantee}\n{session}",
            bed.kafka_settings().bootstrap_servers,
            bed.group(),
            bed.topic("data"),
            bed.topic("out"),
            bed.topic("rules"),
            folder.path().display(),
        );
        let properties = folder.path().join("sigma.properties");
        std::fs::write(&properties, text).unwrap();
        Self { bed, folder, properties }
    }

    /// Two hosts, so that one event of each is a pair.
    fn send(&self, numbers: std::ops::Range<i64>) {
        let sender = self.bed.sender();
        for n in numbers {
            let event = format!(r#"{{"op":"w","host":"{}","n":{n}}}"#, ["a", "b"][n as usize % 2]);
            sender.send_at(&self.bed.topic("data"), 0, event.as_bytes(), BASE + n);
        }
        sender.flush();
    }

    /// Waits until there is a checkpoint of every partition, and all of them are behind what is committed.
    fn wait_for_checkpoints(&self) {
        let deadline = Instant::now() + DEADLINE;
        let mut time = BASE + 1_000;
        let mut wanted: Option<Vec<i64>> = None;
        loop {
            assert!(Instant::now() < deadline, "there are {:?}", self.checkpoints());
            // Something that moves time, so that there are heartbeats.
            time += 1;
            let sender = self.bed.sender();
            sender.send_at(&self.bed.topic("data"), 0, br#"{"op":"-"}"#, time);
            sender.flush();
            let count = self.bed.partition_count("sigmill-matches");
            let is_kept = |at: i32| {
                let name = format!("windows-{at}-");
                let names = self.checkpoints();
                names
                    .iter()
                    .any(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name))
            };
            if count == 0 || !(0..count).all(is_kept) {
                continue;
            }
            let end = |at| self.bed.end("sigmill-matches", at);
            let wanted = wanted.get_or_insert_with(|| (0..count).map(end).collect());
            let committed = |at| self.bed.committed("sigmill-matches", at).unwrap_or(0);
            if (0..count).zip(wanted).all(|(at, end)| committed(at) > *end) {
                return;
            }
        }
    }

    fn checkpoints(&self) -> Vec<std::path::PathBuf> {
        let folders = std::fs::read_dir(self.folder.path()).unwrap().map(|it| it.unwrap().path());
        let folders = folders.filter(|path| path.is_dir());
        let files = folders.flat_map(|path| std::fs::read_dir(path).unwrap());
        let files = files.map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|it| it == "checkpoint")).collect()
    }

    /// What is told in the end, by host, of five events of each of which the process saw four before.
    fn finish(&self) -> Vec<String> {
        let process = Process::start(&self.properties);
        self.send(8..10);
        let records = self.bed.read_until(&["out"], |records| records.len() >= 2);
        let mut told: Vec<Vec<i64>> = records
            .iter()
            .map(|record| {
                let json = record.json();
                let events = json["correlation"]["events"].as_array().unwrap().clone();
                events.iter().map(|event| event["event"]["n"].as_i64().unwrap()).collect()
            })
            .collect();
        told.sort();
        told.dedup();
        assert_eq!(told, [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]);
        process.kill()
    }
}

fn check(bed: &Bed, guarantee: &str) {
    let scene = Scene::new(bed, guarantee);
    let process = Process::start(&scene.properties);
    scene.send(0..8);
    scene.wait_for_checkpoints();
    process.kill();
    let log = scene.finish();
    let is_used = |line: &String| line.contains("Windows go on from a checkpoint");
    assert!(log.iter().any(is_used), "{log:#?}");
}

on_both_brokers!(a_killed_process_goes_on_from_its_checkpoint);

fn a_killed_process_goes_on_from_its_checkpoint(bed: &Bed) {
    check(bed, "at_least_once");
}

#[test]
fn a_killed_process_goes_on_from_its_checkpoint_exactly_once() {
    if let Some(bed) = Bed::real() {
        check(&bed, "exactly_once_v2");
    }
}

on_both_brokers!(broken_checkpoints_are_ignored);

fn broken_checkpoints_are_ignored(bed: &Bed) {
    let scene = Scene::new(bed, "at_least_once");
    let process = Process::start(&scene.properties);
    scene.send(0..8);
    scene.wait_for_checkpoints();
    process.kill();
    for path in scene.checkpoints() {
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let log = scene.finish();
    assert!(log.iter().any(|line| line.contains("A checkpoint is not used")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("its checksum is wrong")), "{log:#?}");
}
