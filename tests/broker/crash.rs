//! The `sigmill run` process is killed in the middle of its work: what is committed has its detections
//! in the output topic, and the next process goes on without a loss.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bed::{Bed, DEADLINE};
use crate::{on_both_brokers, rule, titles_and_numbers};

const PARTITIONS: i32 = 2;
const RECORDS: i64 = 20_000;

/// Ends the process with the test, whatever happens.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(properties: &Path) -> Killed {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigmill"));
    let command = command.arg("run").arg(properties).stdin(Stdio::null());
    Killed(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

fn properties(bed: &Bed, folder: &Path) -> std::path::PathBuf {
    let path = folder.join("sigma.properties");
    let session = match bed.is_real() {
        true => "session.timeout.ms=6000\n",
        false => "session.timeout.ms=2500\nheartbeat.interval.ms=300\n",
    };
    let text = format!(
        "bootstrap.servers={}\napplication.id={}\ndata.topic={}\noutput.topic={}\n\
         sigma.rules.topic={}\ncommit.interval.ms=5\nlinger.ms=1\nmax.poll.records=50\n{session}",
        bed.kafka_settings().bootstrap_servers,
        bed.group(),
        bed.topic("data"),
        bed.topic("out"),
        bed.topic("rules"),
    );
    std::fs::write(&path, text).unwrap();
    path
}

on_both_brokers!(a_killed_process_loses_nothing);

fn a_killed_process_loses_nothing(bed: &Bed) {
    let folder = tempfile::tempdir().unwrap();
    bed.create_topic("data", PARTITIONS, &[]);
    bed.create_topic("out", 2, &[]);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    let sender = bed.sender();
    let text = rule("A", "user", "alice");
    sender.put(&bed.topic("rules"), 0, Some("A"), Some(text.as_bytes()), None);
    for n in 0..RECORDS {
        let event = format!(r#"{{"n":{n},"user":"alice"}}"#);
        sender.send(&bed.topic("data"), (n % i64::from(PARTITIONS)) as i32, event.as_bytes());
    }
    sender.flush();
    let properties = properties(bed, folder.path());

    let process = run(&properties);
    // As soon as something was committed, which is long before the end.
    let deadline = Instant::now() + DEADLINE;
    while (0..PARTITIONS).all(|partition| bed.committed("data", partition) <= Some(0)) {
        assert!(Instant::now() < deadline, "nothing is committed");
    }
    drop(process);
    let committed: BTreeMap<i32, i64> = (0..PARTITIONS)
        .filter_map(|partition| Some((partition, bed.committed("data", partition)?)))
        .collect();
    let covered: BTreeSet<i64> = (0..RECORDS)
        .filter(|n| {
            let partition = (n % i64::from(PARTITIONS)) as i32;
            committed.get(&partition).is_some_and(|next| n / i64::from(PARTITIONS) < *next)
        })
        .collect();
    assert!(!covered.is_empty());
    // They are there by now: the process that would have sent them is gone.
    let ends: i64 = (0..2).map(|partition| bed.end("out", partition)).sum();
    let records = bed.read_until(&["out"], |records| records.len() as i64 >= ends);
    let there: BTreeSet<i64> = titles_and_numbers(&records).into_iter().map(|(_, n)| n).collect();
    let missing: Vec<_> = covered.difference(&there).take(5).collect();
    assert!(missing.is_empty(), "committed without a detection: {missing:?} …");

    let mut process = run(&properties);
    let all: BTreeSet<i64> = (0..RECORDS).collect();
    let mut seen = BTreeSet::new();
    let mut counted = 0;
    bed.read_until(&["out"], |records| {
        seen.extend(records[counted..].iter().map(|record| crate::title_and_number(record).1));
        counted = records.len();
        seen == all
    });
    terminate(&mut process.0);
    if !bed.is_real() {
        // The embedded broker may still be getting rid of the killed member, and takes no commits then.
        return;
    }
    for partition in 0..PARTITIONS {
        assert_eq!(bed.committed("data", partition), Some(bed.end("data", partition)));
    }
}

/// Asks the process to stop as a service manager does, and holds it to a clean end.
fn terminate(process: &mut Child) {
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let stderr = process.stderr.take().unwrap();
    let deadline = Instant::now() + DEADLINE;
    let log: Vec<String> = BufReader::new(stderr).lines().map(Result::unwrap).collect();
    while process.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it does not stop: {log:#?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let status = process.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("ERROR")), "{log:#?}");
}
