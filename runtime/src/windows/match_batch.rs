//! Matches on their way to the owner of their group: the records of the matches topic.
//!
//! A record carries the matches that a worker found for one partition since its last record there, and how
//! far time has come in each data partition that the worker reads; without matches it is a heartbeat. All
//! in one are cheaper by far than a record each: for the producer, the broker and whoever restores windows.
//!
//! ```text
//! head     "SM" 1
//!          rules topic: n × (partition, offset behind the last record that the plan was built from)
//!          topics:      n × (name, how many partitions it has, 0 if that is not known)
//!          sources:     n × (topic, partition, 0: only named, 1: no time yet, 2: a time; 4 more: idle; time)
//!          owners:      how many there are, n × (partition of this topic, n × time by level of windows)
//!          openings:    n × (version, settled, total, n × (group, begin)): see the owner
//!          versions:    n × 8 bytes
//! matches  n × (version, source, offset, time, parts, group, parts…)
//! ```
//! Numbers have seven bits a byte, the low ones first; offsets and times are differences to the match
//! before. Reading checks every length, and refuses what is not whole.

use std::sync::Arc;

use sigmill_engine::window::{Fixed, GroupKey, Position, WindowId, WindowMatch, WindowValue};

const MAGIC: &[u8] = b"SM\x01";

const PART_INPUTS: u64 = 1;
const PART_VALUES: u64 = 2;
const PART_CARRIED: u64 = 4;
const PART_CONTENT: u64 = 8;
/// A detection of another window.
const PART_CHAINED: u64 = 16;

const SOURCE_IDLE: u64 = 4;

/// More values, inputs or sources than anything has.
const LIST_MAX: u64 = 1 << 20;

/// Why a record of the matches topic cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record of matches, or one of a later version")]
pub(crate) struct Malformed;

/// A data partition, and how far time has come in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchSource<'a> {
    pub(crate) topic: &'a str,
    /// How many partitions the topic has; 0 if that is not known.
    pub(crate) partition_count: u32,
    pub(crate) partition: i32,
    pub(crate) time: SourceTime,
    /// Who reads it has had nothing from it for a while.
    pub(crate) is_idle: bool,
}

/// How far time has come in a data partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceTime {
    /// Who names the partition does not read it.
    Unknown,
    /// There was no record yet.
    None,
    /// So far.
    At(i64),
}

impl SourceTime {
    /// `i64::MIN` stands for none.
    pub(crate) fn of(time: i64) -> Self {
        if time == i64::MIN { Self::None } else { Self::At(time) }
    }
}

/// How far an owner of groups has come: all its detections up to there are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchOwner {
    /// Of the matches topic.
    pub(crate) partition: i32,
    /// By level of windows.
    pub(crate) times: Vec<i64>,
}

/// What every record says besides its matches.
#[derive(Debug, Default)]
pub(crate) struct BatchHead<'a> {
    /// What the plan was built from.
    pub(crate) rules: Vec<(i32, i64)>,
    pub(crate) sources: Vec<BatchSource<'a>>,
    /// How many partitions the matches topic has.
    pub(crate) owner_count: u32,
    pub(crate) owners: Vec<BatchOwner>,
}

/// Of a window that is decided when it closes: which groups have one open, and since when. Several may be
/// one list together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Openings {
    pub(crate) version: u64,
    /// What was settled then: all before is decided but for these groups.
    pub(crate) settled: i64,
    /// How many groups the whole list has.
    pub(crate) total: u64,
    /// The first event from then on begins the group's window.
    pub(crate) groups: Vec<(GroupKey, i64)>,
}

impl Openings {
    /// The same without groups.
    pub(crate) fn clone_head(&self) -> Self {
        let Self { version, settled, total, .. } = *self;
        Self { version, settled, total, groups: Vec::new() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.groups.iter().map(|(group, _)| group.as_bytes().len() + 12).sum::<usize>() + 24
    }
}

/// Gathers matches for one partition.
#[derive(Debug, Default)]
pub(crate) struct BatchWriter {
    versions: Vec<u64>,
    body: Vec<u8>,
    openings: Vec<Openings>,
    count: u64,
    last_offset: u64,
    last_time: i64,
}

impl BatchWriter {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.openings.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.openings.iter().map(Openings::bytes).sum::<usize>()
    }

    /// Adds windows that are open, for who comes after their owner.
    pub(crate) fn add_openings(&mut self, openings: Openings) {
        self.openings.push(openings);
    }

    /// Adds a match of a version of a window; its source is an index into those that
    /// [`Self::finish`] is given.
    pub(crate) fn add(&mut self, version: u64, source: u32, fed: &WindowMatch) {
        let known = self.versions.iter().position(|known| *known == version);
        let version = known.unwrap_or_else(|| {
            self.versions.push(version);
            self.versions.len() - 1
        });
        let body = &mut self.body;
        put(body, version as u64);
        put(body, u64::from(source));
        put(body, zigzag(fed.position.offset.wrapping_sub(self.last_offset) as i64));
        put(body, zigzag(fed.time.wrapping_sub(self.last_time)));
        (self.last_offset, self.last_time) = (fed.position.offset, fed.time);
        let part = |is_there: bool, part: u64| if is_there { part } else { 0 };
        put(
            body,
            part(fed.inputs != [0], PART_INPUTS)
                | part(!fed.values.is_empty(), PART_VALUES)
                | part(fed.carried.is_some(), PART_CARRIED)
                | part(fed.content.is_some(), PART_CONTENT)
                | part(fed.is_chained, PART_CHAINED),
        );
        put_bytes(body, fed.group.as_bytes());
        if fed.inputs != [0] {
            put(body, fed.inputs.len() as u64);
            fed.inputs.iter().for_each(|input| put(body, u64::from(*input)));
        }
        if !fed.values.is_empty() {
            put(body, fed.values.len() as u64);
            for value in &fed.values {
                match value {
                    WindowValue::Number(number) => {
                        let number = ((number.0 << 1) ^ (number.0 >> 127)) as u128;
                        put(body, 0);
                        put(body, number as u64);
                        put(body, (number >> 64) as u64);
                    }
                    WindowValue::Text(text) => {
                        put(body, 1);
                        put_bytes(body, text.as_bytes());
                    }
                }
            }
        }
        if let Some(carried) = &fed.carried {
            put_bytes(body, carried.as_bytes());
        }
        if let Some(content) = &fed.content {
            put_bytes(body, content);
        }
        self.count += 1;
    }

    /// Writes the record and begins the next one.
    pub(crate) fn finish(&mut self, head: &BatchHead<'_>, out: &mut Vec<u8>) {
        let (rules, sources) = (&head.rules, &head.sources);
        out.extend_from_slice(MAGIC);
        put(out, rules.len() as u64);
        for (partition, offset) in rules {
            put(out, zigzag(i64::from(*partition)));
            put(out, zigzag(*offset));
        }
        let mut topics: Vec<(&str, u32)> = Vec::new();
        let mut places = Vec::with_capacity(sources.len());
        for source in sources {
            let known = topics.iter().position(|(topic, _)| *topic == source.topic);
            places.push(known.unwrap_or_else(|| {
                topics.push((source.topic, source.partition_count));
                topics.len() - 1
            }));
        }
        put(out, topics.len() as u64);
        for (topic, count) in topics {
            put_bytes(out, topic.as_bytes());
            put(out, u64::from(count));
        }
        put(out, sources.len() as u64);
        for (source, place) in sources.iter().zip(places) {
            put(out, place as u64);
            put(out, zigzag(i64::from(source.partition)));
            let idle = if source.is_idle { SOURCE_IDLE } else { 0 };
            match source.time {
                SourceTime::Unknown => put(out, 0),
                SourceTime::None => put(out, 1 | idle),
                SourceTime::At(time) => {
                    put(out, 2 | idle);
                    put(out, zigzag(time));
                }
            }
        }
        put(out, u64::from(head.owner_count));
        put(out, head.owners.len() as u64);
        for owner in &head.owners {
            put(out, zigzag(i64::from(owner.partition)));
            put(out, owner.times.len() as u64);
            owner.times.iter().for_each(|time| put(out, zigzag(*time)));
        }
        put(out, self.openings.len() as u64);
        for Openings { version, settled, total, groups } in self.openings.drain(..) {
            out.extend_from_slice(&version.to_le_bytes());
            put(out, zigzag(settled));
            put(out, total);
            put(out, groups.len() as u64);
            for (group, begin) in groups {
                put_bytes(out, group.as_bytes());
                put(out, zigzag(begin));
            }
        }
        put(out, self.versions.len() as u64);
        self.versions.iter().for_each(|version| out.extend_from_slice(&version.to_le_bytes()));
        put(out, self.count);
        out.extend_from_slice(&self.body);
        self.versions.clear();
        self.body.clear();
        (self.count, self.last_offset, self.last_time) = (0, 0, 0);
    }
}

/// A match as read: for which version, from which source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchMatch {
    /// An index into the batch's versions.
    pub(crate) version: usize,
    /// Its position's source is an index into the batch's sources.
    pub(crate) fed: WindowMatch,
}

/// A record as read.
#[derive(Debug)]
pub(crate) struct MatchBatch<'a> {
    pub(crate) head: BatchHead<'a>,
    pub(crate) openings: Vec<Openings>,
    pub(crate) versions: Vec<u64>,
    count: u64,
    body: &'a [u8],
}

impl<'a> MatchBatch<'a> {
    /// Reads the head.
    ///
    /// # Errors
    /// The bytes are not such a record.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(Malformed)?;
        let from = &mut rest;
        let rules = list(from, |from| {
            Ok((i32::try_from(take_signed(from)?).map_err(|_| Malformed)?, take_signed(from)?))
        })?;
        let topics = list(from, |from| {
            let name = std::str::from_utf8(take_bytes(from)?).map_err(|_| Malformed)?;
            Ok((name, u32::try_from(take(from)?).map_err(|_| Malformed)?))
        })?;
        let sources = list(from, |from| {
            let topic = usize::try_from(take(from)?).map_err(|_| Malformed)?;
            let (topic, partition_count) = *topics.get(topic).ok_or(Malformed)?;
            let partition = i32::try_from(take_signed(from)?).map_err(|_| Malformed)?;
            let kind = take(from)?;
            let time = match kind & !SOURCE_IDLE {
                0 => SourceTime::Unknown,
                1 => SourceTime::None,
                2 => SourceTime::At(take_signed(from)?),
                _ => return Err(Malformed),
            };
            let is_idle = kind & SOURCE_IDLE != 0;
            Ok(BatchSource { topic, partition_count, partition, time, is_idle })
        })?;
        let owner_count = u32::try_from(take(from)?).map_err(|_| Malformed)?;
        let owners = list(from, |from| {
            let partition = i32::try_from(take_signed(from)?).map_err(|_| Malformed)?;
            Ok(BatchOwner { partition, times: list(from, take_signed)? })
        })?;
        let openings = list(from, |from| {
            Ok(Openings {
                version: take_version(from)?,
                settled: take_signed(from)?,
                total: take(from)?,
                groups: list(from, |from| Ok((key(from)?, take_signed(from)?)))?,
            })
        })?;
        let versions = list(from, take_version)?;
        let count = take(from)?;
        let head = BatchHead { rules, sources, owner_count, owners };
        Ok(Self { head, openings, versions, count, body: rest })
    }

    /// Reads the matches.
    ///
    /// # Errors
    /// The bytes are not such matches. `each` may have been called for some before.
    pub(crate) fn each(&self, mut each: impl FnMut(BatchMatch)) -> Result<(), Malformed> {
        let mut rest = self.body;
        let (mut offset, mut time) = (0u64, 0i64);
        for _ in 0..self.count {
            let from = &mut rest;
            let version = index(take(from)?, self.versions.len())?;
            let source = index(take(from)?, self.head.sources.len())?;
            offset = offset.wrapping_add(take_signed(from)? as u64);
            time = time.wrapping_add(take_signed(from)?);
            let parts = take(from)?;
            let group = key(from)?;
            let inputs = match parts & PART_INPUTS {
                0 => vec![0],
                _ => list(from, |from| u16::try_from(take(from)?).map_err(|_| Malformed))?,
            };
            let values = match parts & PART_VALUES {
                0 => Vec::new(),
                _ => list(from, value)?,
            };
            let carried = if parts & PART_CARRIED == 0 { None } else { Some(key(from)?) };
            let content = match parts & PART_CONTENT {
                0 => None,
                _ => Some(Arc::from(take_bytes(from)?)),
            };
            each(BatchMatch {
                version,
                fed: WindowMatch {
                    window: WindowId(0),
                    group,
                    time,
                    position: Position { source: source as u32, offset },
                    watermark: i64::MIN,
                    inputs,
                    values,
                    carried,
                    content,
                    may_repeat: false,
                    is_chained: parts & PART_CHAINED != 0,
                },
            });
        }
        if rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

fn index(value: u64, len: usize) -> Result<usize, Malformed> {
    usize::try_from(value).ok().filter(|value| *value < len).ok_or(Malformed)
}

fn key(from: &mut &[u8]) -> Result<GroupKey, Malformed> {
    GroupKey::from_bytes(take_bytes(from)?).ok_or(Malformed)
}

fn value(from: &mut &[u8]) -> Result<WindowValue, Malformed> {
    match take(from)? {
        0 => {
            let number = u128::from(take(from)?) | u128::from(take(from)?) << 64;
            let number = (number >> 1) as i128 ^ -((number & 1) as i128);
            Ok(WindowValue::Number(Fixed(number)))
        }
        1 => Ok(WindowValue::Text(key(from)?)),
        _ => Err(Malformed),
    }
}

pub(super) fn list<'a, T>(
    from: &mut &'a [u8],
    mut each: impl FnMut(&mut &'a [u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = take(from)?;
    // Each takes a byte at least.
    if count > LIST_MAX || count > from.len() as u64 {
        return Err(Malformed);
    }
    (0..count).map(|_| each(from)).collect()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number of either sign.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn take(from: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(Malformed)?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

fn take_version(from: &mut &[u8]) -> Result<u64, Malformed> {
    let (version, rest) = from.split_first_chunk::<8>().ok_or(Malformed)?;
    *from = rest;
    Ok(u64::from_le_bytes(*version))
}

pub(super) fn take_signed(from: &mut &[u8]) -> Result<i64, Malformed> {
    take(from).map(unzigzag)
}

pub(super) fn take_bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(take(from)?).map_err(|_| Malformed)?;
    let (bytes, rest) = from.split_at_checked(len).ok_or(Malformed)?;
    *from = rest;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches() -> Vec<(u64, WindowMatch)> {
        let plain = WindowMatch {
            window: WindowId(0),
            group: GroupKey::new([Some(&b"alice"[..])]),
            time: 1_700_000_000_000,
            position: Position { source: 1, offset: 77 },
            watermark: i64::MIN,
            inputs: vec![0],
            values: Vec::new(),
            carried: None,
            content: None,
            may_repeat: false,
            is_chained: false,
        };
        let full = WindowMatch {
            group: GroupKey::new([]),
            time: -5,
            position: Position { source: 0, offset: u64::MAX },
            inputs: vec![0, 3, 700],
            values: vec![
                WindowValue::Number(Fixed(i128::MIN / 4)),
                WindowValue::Number(Fixed(12_000_000_000)),
                WindowValue::Text(GroupKey::new([Some(&b"x"[..])])),
            ],
            carried: Some(GroupKey::new([None, Some(&b""[..])])),
            content: Some(Arc::from(&b"{\"a\":1}"[..])),
            is_chained: true,
            ..plain.clone()
        };
        vec![(9, plain.clone()), (u64::MAX, full), (9, plain)]
    }

    fn head() -> BatchHead<'static> {
        let source = |partition, time| BatchSource {
            topic: "data",
            partition_count: 2,
            partition,
            time,
            is_idle: partition == 1,
        };
        let other = BatchSource {
            topic: "other",
            partition_count: 0,
            partition: 0,
            time: SourceTime::Unknown,
            is_idle: false,
        };
        BatchHead {
            rules: vec![(0, 12), (3, 0)],
            sources: vec![
                source(0, SourceTime::At(i64::MAX / 4)),
                source(1, SourceTime::At(-1)),
                source(1, SourceTime::None),
                other,
            ],
            owner_count: 5,
            owners: vec![
                BatchOwner { partition: 4, times: vec![i64::MIN, 7] },
                BatchOwner { partition: 0, times: Vec::new() },
            ],
        }
    }

    fn openings() -> Openings {
        let groups = vec![(GroupKey::new([Some(&b"bob"[..])]), -3), (GroupKey::new([]), 5)];
        Openings { version: 9, settled: i64::MIN, total: 7, groups }
    }

    fn written() -> Vec<u8> {
        let mut writer = BatchWriter::default();
        matches().iter().for_each(|(v, fed)| writer.add(*v, fed.position.source, fed));
        writer.add_openings(openings());
        let mut bytes = Vec::new();
        writer.finish(&head(), &mut bytes);
        assert!(writer.is_empty());
        bytes
    }

    #[test]
    fn a_record_gives_its_matches_back() {
        let bytes = written();
        let batch = MatchBatch::read(&bytes).unwrap();
        assert_eq!(batch.head.rules, head().rules);
        assert_eq!(batch.head.sources, head().sources);
        assert_eq!((batch.head.owner_count, batch.head.owners), (5, head().owners));
        let batch = MatchBatch::read(&bytes).unwrap();
        assert_eq!(batch.openings, [openings()]);
        let mut read = Vec::new();
        batch.each(|one| read.push((batch.versions[one.version], one.fed))).unwrap();
        assert_eq!(read, matches());
    }

    #[test]
    fn a_heartbeat_has_no_matches() {
        let mut bytes = Vec::new();
        BatchWriter::default().finish(&head(), &mut bytes);
        let batch = MatchBatch::read(&bytes).unwrap();
        batch.each(|_| panic!("there is none")).unwrap();
        assert_eq!(batch.head.sources.len(), 4);
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_or_read_but_never_panics() {
        let bytes = written();
        let is_read =
            |bytes: &[u8]| MatchBatch::read(bytes).and_then(|batch| batch.each(drop)).is_ok();
        for len in 0..bytes.len() {
            assert!(!is_read(&bytes[..len]), "cut at {len}");
        }
        assert!(!is_read(&[&bytes[..], b"x"].concat()));
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                is_read(&changed);
            }
        }
    }
}
