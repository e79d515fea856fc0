//! Records are joined with tables that change while they flow, also while a process is killed: exactly the
//! expected detections come out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use sigmill_runtime::metrics::Metric;
use sigmill_runtime::processor::Processor;
use sigmill_runtime::run_error::RunError;
use sigmill_runtime::shutdown::Shutdown;

use crate::bed::{Bed, DEADLINE, Sender, until};
use crate::{on_both_brokers, rule, title_and_number, titles_and_numbers};

fn put_row(bed: &Bed, sender: &Sender, key: &str, value: Option<&str>) {
    sender.put(&bed.topic("feed"), 0, Some(key), value.map(str::as_bytes), None);
}

/// Waits for another version of the tables.
fn until_version(processor: &Processor, before: u64) -> u64 {
    let versions = |snapshot: &sigmill_runtime::processor::Snapshot| {
        snapshot.counts.get(Metric::TableVersions)
    };
    versions(&until(processor, |snapshot| versions(snapshot) > before))
}

fn topics(bed: &Bed) {
    bed.create_topic("data", 2, &[]);
    bed.create_topic("out", 1, &[]);
    bed.create_topic("rules", 1, &[("cleanup.policy", "compact")]);
    bed.create_topic("feed", 1, &[("cleanup.policy", "compact")]);
    bed.create_topic("dead", 1, &[]);
}

fn put_rule(bed: &Bed, sender: &Sender, title: &str, field: &str, value: &str) {
    let text = rule(title, field, value);
    sender.put(&bed.topic("rules"), 0, Some(title), Some(text.as_bytes()), None);
}

/// Replaces a file as those who write feeds should.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

on_both_brokers!(tables_change_while_records_flow);

fn tables_change_while_records_flow(bed: &Bed) {
    let folder = tempfile::tempdir().unwrap();
    let assets = folder.path().join("assets.csv");
    replace(&assets, "host,owner,criticality\nh1,ann,critical\nh2,bob,low\n");
    topics(bed);
    let sender = bed.sender();
    put_rule(bed, &sender, "Feed", "ti.feed", "one");
    put_rule(bed, &sender, "Owner", "asset.owner", "ann");
    // Compacted away, or not: the last one counts.
    put_row(bed, &sender, "10.0.0.0/8", Some(r#"{"feed":"two"}"#));
    put_row(bed, &sender, "10.0.0.0/8", Some(r#"{"feed":"one"}"#));
    put_row(bed, &sender, "10.9.9.9", Some(r#"{"feed":"other"}"#));
    // It is there before the rules are read, so nothing may be matched without it.
    let mut n = 0;
    let mut send = |ip: &str, host: &str| {
        n += 1;
        let event = format!(r#"{{"n":{n},"ip":"{ip}","host":"{host}"}}"#);
        sender.send(&bed.topic("data"), n % 2, event.as_bytes());
        sender.flush();
        i64::from(n)
    };
    let mut expected = vec![("Feed".to_owned(), send("10.1.1.1", "h2"))];
    send("10.9.9.9", "h2");
    let topic = bed.topic("feed");
    let processor = bed.start(&[
        ("sigmill.output.format", "native"),
        ("sigmill.table.ti.topic", &topic),
        ("sigmill.table.ti.match", "cidr"),
        ("sigmill.table.ti.columns", "feed"),
        ("sigmill.join.ti.table", "ti"),
        ("sigmill.join.ti.fields", "ip"),
        ("sigmill.table.asset.file", assets.to_str().unwrap()),
        ("sigmill.table.asset.key", "host"),
        ("sigmill.join.asset.table", "asset"),
        ("sigmill.join.asset.fields", "host"),
        ("sigmill.level.asset.field", "asset.criticality"),
        ("sigmill.level.asset.map", "critical:+1, low:-2"),
    ]);
    let mut version = 0;
    let until_seen = |count: usize| {
        bed.read_until(&["out"], |records| records.len() >= count);
    };
    expected.push(("Owner".to_owned(), send("192.0.2.1", "H1")));
    until_seen(expected.len());
    // A row goes; one that cannot be read leaves the one before.
    put_row(bed, &sender, "10.0.0.0/8", None);
    put_row(bed, &sender, "192.0.2.0/24", Some(r#"{"feed":"one"}"#));
    put_row(bed, &sender, "192.0.2.0/24", Some("nope"));
    put_row(bed, &sender, "not a network", Some("{}"));
    sender.flush();
    version = until_version(&processor, version);
    until(&processor, |snapshot| snapshot.counts.get(Metric::TableRowsBad) == 2);
    send("10.1.1.1", "h2");
    expected.push(("Feed".to_owned(), send("192.0.2.7", "h2")));
    until_seen(expected.len());
    // A file is swapped in whole; one that cannot be read leaves the version before.
    replace(&assets, "host,owner,criticality\nh2,ann,low\n");
    version = until_version(&processor, version);
    send("198.51.100.1", "h1");
    expected.push(("Owner".to_owned(), send("198.51.100.1", "h2")));
    until_seen(expected.len());
    replace(&assets, "other,columns\nh1,ann\n");
    put_row(bed, &sender, "203.0.113.1", Some(r#"{"feed":["one","two"]}"#));
    sender.flush();
    until_version(&processor, version);
    let both = send("203.0.113.1", "h2");
    expected.extend([("Feed".to_owned(), both), ("Owner".to_owned(), both)]);
    let records = bed.read_until(&["out"], |records| records.len() >= expected.len());
    let stopped = processor.stop();
    assert!(stopped.is_clean);
    assert!(stopped.snapshot.counts.get(Metric::JoinHits) >= 6);
    let of = |record: &crate::bed::Record| {
        let detection = record.json();
        let title = detection["title"].as_str().unwrap().to_owned();
        (title, detection["event"]["n"].as_i64().unwrap())
    };
    let mut found: Vec<_> = records.iter().map(of).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for record in &records {
        let detection = record.json();
        let joined = detection["joined"].as_array().unwrap();
        match detection["event"]["n"].as_i64().unwrap() {
            // By two joins, and with the level that the asset makes of the rule's.
            1 => {
                let by =
                    |at: usize| (&joined[at]["table"], &joined[at]["key"], &joined[at]["version"]);
                let of_asset = joined.iter().position(|one| one["table"] == "asset").unwrap();
                assert_eq!(by(of_asset).1, "h2");
                assert_eq!(by(1 - of_asset), (&"ti".into(), &"10.0.0.0/8".into(), &"0:3".into()));
                assert_eq!(
                    (&detection["level"], &detection["ruleLevel"]),
                    (&"low".into(), &"high".into())
                );
            }
            3 => assert_eq!(detection["level"], "critical"),
            _ => assert_eq!(detection["level"], "low"),
        }
    }
}

/// Ends the process with the test, whatever happens.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

on_both_brokers!(a_killed_process_joins_as_the_one_before);

fn a_killed_process_joins_as_the_one_before(bed: &Bed) {
    const RECORDS: i64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    topics(bed);
    let sender = bed.sender();
    put_rule(bed, &sender, "Feed", "ti.feed", "one");
    let domain = |n: i64| format!("d{n}.example");
    let row = Some(r#"{"feed":"one"}"#);
    for n in (0..RECORDS).step_by(4) {
        put_row(bed, &sender, &domain(n), row);
    }
    let send = |n: i64, of: i64| {
        let event = format!(r#"{{"n":{n},"query":"www.{}"}}"#, domain(of));
        sender.send(&bed.topic("data"), (n % 2) as i32, event.as_bytes());
    };
    (0..RECORDS).for_each(|n| send(n, n));
    sender.flush();
    let path = folder.path().join("sigma.properties");
    let session = match bed.is_real() {
        true => "session.timeout.ms=6000\n",
        false => "session.timeout.ms=2500\nheartbeat.interval.ms=300\n",
    };
    let text = format!(
        "bootstrap.servers={}\napplication.id={}\ndata.topic={}\noutput.topic={}\n\
         sigma.rules.topic={}\ncommit.interval.ms=5\nlinger.ms=1\nmax.poll.records=50\n\
         sigmill.admin.listen=off\nsigmill.table.ti.topic={}\nsigmill.table.ti.match=domain\n\
         sigmill.table.ti.columns=feed\nsigmill.join.ti.table=ti\nsigmill.join.ti.fields=query\n\
         {session}",
        bed.kafka_settings().bootstrap_servers,
        bed.group(),
        bed.topic("data"),
        bed.topic("out"),
        bed.topic("rules"),
        bed.topic("feed"),
    );
    std::fs::write(&path, text).unwrap();
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sigmill"));
        let command = command.arg("run").arg(&path).stdin(Stdio::null());
        Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let process = run();
    let deadline = Instant::now() + DEADLINE;
    let mut churn = 0;
    while (0..2).all(|partition| bed.committed("data", partition) <= Some(0)) {
        assert!(Instant::now() < deadline, "nothing is committed");
        // Rows that no record asks for come and go meanwhile, and those asked for come again.
        churn += 1;
        put_row(bed, &sender, &domain(-churn), row);
        put_row(bed, &sender, &domain(1 - churn), None);
        put_row(bed, &sender, &domain(4 * (churn % 1000)), row);
    }
    // The first row that was taken away is one that is asked for.
    put_row(bed, &sender, &domain(0), row);
    drop(process);
    sender.flush();
    let _process = run();
    let mut expected: BTreeSet<i64> = (0..RECORDS).step_by(4).collect();
    // Domain 0 was not there for a moment, so its record may have been decided either way.
    expected.remove(&0);
    let mut seen = BTreeSet::new();
    let mut counted = 0;
    let mut until_all = |expected: &BTreeSet<i64>| {
        bed.read_until(&["out"], |records| {
            if records.len() < counted {
                return false;
            }
            seen.extend(records[counted..].iter().map(|record| title_and_number(record).1));
            counted = records.len();
            expected.is_subset(&seen)
        });
        seen.remove(&0);
        seen.clone()
    };
    assert_eq!(until_all(&expected), expected);
    // One row goes, another comes, and a last one tells that they are in force.
    put_row(bed, &sender, &domain(4), None);
    put_row(bed, &sender, &domain(5), row);
    put_row(bed, &sender, &domain(RECORDS), row);
    sender.flush();
    let mut last = RECORDS;
    loop {
        send(last, RECORDS);
        sender.flush();
        let end = bed.end("out", 0);
        let records = bed.read_until(&["out"], |records| records.len() as i64 >= end);
        if titles_and_numbers(&records).iter().any(|(_, n)| *n >= RECORDS) {
            break;
        }
        last += 1;
        assert!(Instant::now() < deadline + DEADLINE, "the row does not come into force");
    }
    let first = last + 1;
    send(first, 4);
    send(first + 1, 5);
    send(first + 2, 8);
    send(first + 3, 8);
    sender.flush();
    expected.extend([first + 1, first + 2, first + 3]);
    let found: BTreeSet<i64> =
        until_all(&expected).into_iter().filter(|n| *n < RECORDS || *n >= first).collect();
    assert_eq!(found, expected);
}

on_both_brokers!(a_table_that_cannot_be_loaded_ends_the_start);

fn a_table_that_cannot_be_loaded_ends_the_start(bed: &Bed) {
    topics(bed);
    let start = |source: (&str, &str)| {
        let settings = bed.settings(&[
            source,
            ("sigmill.table.t.key", "k"),
            ("sigmill.table.t.columns", "a"),
            ("sigmill.join.j.table", "t"),
            ("sigmill.join.j.fields", "f"),
        ]);
        Processor::start(settings, Shutdown::new()).map(|_| ()).unwrap_err()
    };
    let error = start(("sigmill.table.t.file", "/no/such/file.csv"));
    assert!(matches!(error, RunError::Table(_)), "{error:?}");
    // The embedded broker makes what it is asked for.
    if !bed.is_real() {
        return;
    }
    let error = start(("sigmill.table.t.topic", "no-such-topic"));
    assert!(
        matches!(&error, RunError::Topic { topic, .. } if topic == "no-such-topic"),
        "{error:?}"
    );
}
