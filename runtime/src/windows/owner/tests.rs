//! Whoever takes over goes on as its predecessor does.

use std::collections::VecDeque;

use sigmill_engine::window::{Emit, GroupKey, WindowId};

use super::super::match_batch::{BatchHead, BatchWriter};
use super::*;
use crate::properties::Properties;
use crate::rule_store::{RuleRecord, RuleSet, RuleStore, RuleStoreConfig};
use crate::settings::Settings;

const GRACE: i64 = 3_000;

fn rule_set(condition: &str) -> RuleSet {
    let mut properties = Properties::default();
    for (name, value) in [
        ("bootstrap.servers", "none:1"),
        ("application.id", "a"),
        ("data.topic", "d"),
        ("output.topic", "o"),
        ("sigma.rules.topic", "r"),
    ] {
        properties.set(name, value, "test");
    }
    let settings = Settings::from_properties(&properties).unwrap();
    let mut store = RuleStore::new(RuleStoreConfig::from(&settings));
    let text = format!(
        "title: G\nlogsource: {{product: test}}\ndetection:\n  s: {{op: w}}\n  timeframe: 10s\n  \
         condition: s | {condition}\n"
    );
    let value = Some(text.as_bytes());
    let record = RuleRecord { key: Some(b"G"), value, partition: 0, offset: 0 };
    assert_eq!(store.apply(&record), None);
    store.build().0
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n) as i64
    }
}

/// The records of a partition: those of two sources, each with its own pace, in turns.
fn records(random: &mut Random, version: u64) -> Vec<Vec<u8>> {
    let (mut times, mut offsets) = ([1_000_000i64; 2], [0u64; 2]);
    let mut records = Vec::new();
    for _ in 0..200 {
        let at = random.below(2) as usize;
        let mut writer = BatchWriter::default();
        for _ in 0..random.below(4) {
            // Sometimes long after the last, in order or not.
            let step = if random.below(12) == 0 { 30_000 } else { 1_500 };
            times[at] += random.below(step);
            let late = random.below(3).min(1) * random.below(GRACE as u64);
            let group = [b"a", b"b"][random.below(2) as usize];
            offsets[at] += 1;
            let fed = WindowMatch {
                window: WindowId(0),
                group: GroupKey::new([Some(&group[..])]),
                time: times[at] - late,
                position: Position { source: 0, offset: offsets[at] },
                watermark: 0,
                inputs: vec![0],
                values: Vec::new(),
                carried: None,
                content: None,
                may_repeat: false,
                is_chained: false,
            };
            writer.add(version, 0, &fed);
            if random.below(10) == 0 {
                // Once more, as after a crash of who sends them.
                writer.add(version, 0, &fed);
            }
        }
        // Sources do not run away from each other for ever.
        times[1 - at] = times[1 - at].max(times[at] - 20_000);
        let source = BatchSource {
            topic: "d",
            partition_count: 2,
            partition: at as i32,
            time: SourceTime::At(times[at]),
            is_idle: false,
        };
        let mut bytes = Vec::new();
        writer.finish(&head(source), &mut bytes);
        records.push(bytes);
    }
    records
}

fn head(source: BatchSource<'_>) -> BatchHead<'_> {
    BatchHead { sources: vec![source], ..BatchHead::default() }
}

/// What is told, and what is written for the next owner.
fn take(
    owner: &mut Owner,
    rules: &WindowRules,
    offset: i64,
    bytes: &[u8],
) -> (Vec<String>, Vec<Openings>) {
    let (mut counts, mut out) = (Counts::default(), Output::default());
    let batch = MatchBatch::read(bytes).unwrap();
    owner.take(rules, &batch, offset, &mut counts, &mut out).unwrap();
    assert_eq!(counts.get(Metric::WindowMatchesLate), 0, "that is judged at the source");
    let mut found: Vec<String> = out
        .found
        .iter()
        .map(|found| {
            let found = &found.detection;
            format!("{:?} {} {:?}", found.group, found.at, found.events)
        })
        .collect();
    found.sort();
    (found, out.openings)
}

/// At every cut a new owner goes on as the old one does, whether it reads the log or begins with a checkpoint.
fn check_take_over(condition: &str, emit: Emit) {
    let set = rule_set(condition);
    let config = WindowConfig { emit, grace_ms: Some(GRACE), ..WindowConfig::default() };
    let rules = WindowRules::new(&set, &config);
    let version = rules.by_window[0].version;
    let mut detections = 0;
    for seed in 1..=40 {
        let mut random = Random(seed * 0x9E37_79B9);
        let records = records(&mut random, version);
        let owner = || Owner::new(config.clone(), &Start::default());
        let mut first = owner();
        let mut successors: Vec<(i64, Owner)> = Vec::new();
        let mut restored_most = 0;
        let mut checkpoint: Option<(i64, Vec<u8>)> = None;
        let mut log: Vec<Vec<u8>> = Vec::new();
        let mut coming: VecDeque<Vec<u8>> = records.into();
        while let Some(bytes) = coming.pop_front() {
            let offset = log.len() as i64;
            let (expected, openings) = take(&mut first, &rules, offset, &bytes);
            detections += expected.len();
            for (cut, successor) in &mut successors {
                let (found, _) = take(successor, &rules, offset, &bytes);
                assert_eq!(found, expected, "seed {seed}: cut at {cut}, now at {offset}");
                assert_eq!(successor.watermarks, first.watermarks);
            }
            log.push(bytes);
            for openings in openings {
                let mut writer = BatchWriter::default();
                writer.add_openings(openings);
                let mut bytes = Vec::new();
                writer.finish(&BatchHead::default(), &mut bytes);
                // Others may come first.
                coming.insert(random.below(3).min(coming.len() as i64) as usize, bytes);
            }
            if random.below(15) == 0 {
                let mut bytes = Vec::new();
                first.save(&mut bytes);
                checkpoint = Some((offset + 1, bytes));
            }
            if random.below(20) == 0 {
                let cut = offset + 1;
                let mark = first.mark();
                let start = Start { committed: Some(cut), mark: mark.clone(), checkpoint: None };
                let mut successor = Owner::new(config.clone(), &start);
                let from = mark.replay.unwrap();
                restored_most = restored_most.max(cut - from);
                for at in from..cut {
                    let (told, _) = take(&mut successor, &rules, at, &log[at as usize]);
                    assert!(told.is_empty(), "who restores says nothing: {told:?}");
                }
                successors.push((cut, successor));
                let Some((kept_at, bytes)) = &checkpoint else { continue };
                let mut successor = Owner::load(config.clone(), &rules, &start, bytes).unwrap();
                for at in *kept_at..cut {
                    // Its predecessor told what it finds there.
                    take(&mut successor, &rules, at, &log[at as usize]);
                    assert!(!successor.is_at_work());
                }
                assert_eq!(successor.mark(), mark);
                successors.push((cut, successor));
            }
        }
        assert!(restored_most < 150, "most of the log can be forgotten, not {restored_most}");
    }
    assert!(detections > 200, "{detections} detections show little");
}

#[test]
fn who_takes_over_goes_on_early() {
    check_take_over("count() by host > 3", Emit::Early);
}

#[test]
fn who_takes_over_goes_on_finally() {
    check_take_over("count() by host > 3", Emit::Final);
}

#[test]
fn who_takes_over_goes_on_at_every_event() {
    check_take_over("count() by host > 3", Emit::Every);
}

#[test]
fn windows_that_are_decided_when_they_close_go_on_too() {
    check_take_over("count() by host < 3", Emit::Early);
}

#[test]
fn time_waits_for_every_partition_that_is_not_idle() {
    let set = rule_set("count() by host > 3");
    let config = WindowConfig::default();
    let rules = WindowRules::new(&set, &config);
    let mut owner = Owner::new(config, &Start::default());
    let mut offset = 0;
    let mut beat = |partition: i32, time: i64, is_idle: bool| {
        let time = SourceTime::of(time);
        let source = BatchSource { topic: "d", partition_count: 2, partition, time, is_idle };
        let mut bytes = Vec::new();
        BatchWriter::default().finish(&head(source), &mut bytes);
        let batch = MatchBatch::read(&bytes).unwrap();
        let (mut counts, mut out) = (Counts::default(), Output::default());
        offset += 1;
        owner.take(&rules, &batch, offset, &mut counts, &mut out).unwrap();
        owner.watermark(0)
    };
    assert_eq!(beat(0, 500, false), i64::MIN, "nobody has told of partition 1 yet");
    assert_eq!(beat(1, 400, false), 400);
    assert_eq!(beat(0, 900, false), 400);
    assert_eq!(beat(1, 600, false), 600);
    // However long that takes: whoever read partition 1 may be down.
    assert_eq!(beat(0, 100_000_000, false), 600);
    assert_eq!(beat(1, 600, true), 100_000_000, "partition 1 is idle");
    assert_eq!(beat(1, 700, false), 100_000_000, "time does not go back");
    assert_eq!(beat(0, 200_000_000, true), 100_000_000);
}

#[test]
fn matches_that_do_not_fit_their_window_are_counted_and_left_out() {
    let set = rule_set("count(port) by host > 3");
    let config = WindowConfig::default();
    let rules = WindowRules::new(&set, &config);
    let version = rules.by_window[0].version;
    let mut owner = Owner::new(config, &Start::default());
    let good = WindowMatch {
        window: WindowId(0),
        group: GroupKey::new([Some(&b"a"[..])]),
        time: 1,
        position: Position { source: 0, offset: 0 },
        watermark: 0,
        inputs: vec![0],
        values: vec![WindowValue::Text(GroupKey::new([Some(&b"1"[..])]))],
        carried: None,
        content: None,
        may_repeat: false,
        is_chained: false,
    };
    let bad = [
        (version, WindowMatch { group: GroupKey::new([]), ..good.clone() }),
        (version, WindowMatch { inputs: vec![7], ..good.clone() }),
        (version, WindowMatch { values: Vec::new(), ..good.clone() }),
        (
            version,
            WindowMatch {
                values: vec![WindowValue::Number(sigmill_engine::window::Fixed(1))],
                ..good.clone()
            },
        ),
        (version + 1, good.clone()),
    ];
    let mut writer = BatchWriter::default();
    bad.iter().for_each(|(version, fed)| writer.add(*version, 0, fed));
    writer.add(version, 0, &good);
    let source = BatchSource {
        topic: "d",
        partition_count: 1,
        partition: 0,
        time: SourceTime::At(1),
        is_idle: false,
    };
    let mut bytes = Vec::new();
    writer.finish(&head(source), &mut bytes);
    let batch = MatchBatch::read(&bytes).unwrap();
    let (mut counts, mut out) = (Counts::default(), Output::default());
    owner.take(&rules, &batch, 0, &mut counts, &mut out).unwrap();
    assert_eq!(counts.get(Metric::WindowMatchesMalformed), 4);
    assert_eq!(counts.get(Metric::WindowMatchesOutdated), 1);
    assert_eq!(counts.get(Metric::WindowMatches), 1);
}

#[test]
fn an_owner_that_is_not_whole_is_refused() {
    let set = rule_set("count() by host > 3");
    let config = WindowConfig::default();
    let rules = WindowRules::new(&set, &config);
    let mut random = Random(7);
    let mut owner = Owner::new(config.clone(), &Start::default());
    for (at, bytes) in records(&mut random, rules.by_window[0].version).iter().enumerate() {
        take(&mut owner, &rules, at as i64, bytes);
    }
    let mut bytes = Vec::new();
    owner.save(&mut bytes);
    let load = |bytes: &[u8]| Owner::load(config.clone(), &rules, &Start::default(), bytes);
    assert!(load(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert!(load(&bytes[..len]).is_err(), "cut at {len}");
    }
    // Whatever stands there, it ends well.
    for _ in 0..20_000 {
        let mut other = bytes.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(other.len() as u64) as usize;
            other[at] = random.below(256) as u8;
        }
        let _ = load(&other);
    }
    // A version that is not in force any more is left out.
    let other = rule_set("count() by host > 4");
    let other = WindowRules::new(&other, &config);
    let loaded = Owner::load(config.clone(), &other, &Start::default(), &bytes).unwrap();
    assert!(loaded.live.is_empty());
}
