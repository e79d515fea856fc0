//! Which offsets are safe to commit: at-least-once delivery as bookkeeping.
//!
//! In: what a worker reads, what it sends, and what the brokers acknowledge. Out: per partition the
//! offset behind the last record of which every detection, and every detection of all records before
//! it, is acknowledged. Pure data: no client, no clock, no thread.
//!
//! # Soundness
//! A committed offset is never beyond a record with an unacknowledged detection, so a crash repeats
//! detections and loses none. A partition that is taken away and given back starts anew under another
//! epoch: late acknowledgements of its former life change nothing. The tests hold both against a
//! model that remembers everything.

mod mark;

use std::collections::{HashMap, VecDeque};

pub use mark::Mark;

use crate::windows::checkpoint::Anchor;

/// A partition in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    index: u32,
    epoch: u32,
}

impl Slot {
    /// Its place: of one partition at a time.
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

/// Something sent and not yet acknowledged. Fits the opaque pointer of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightId(pub usize);

/// What is known of a thing in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight {
    slot: Slot,
    sequence: u64,
    /// The offset of the record it belongs to.
    pub offset: i64,
    /// Which rule's it is, where it is a detection.
    pub rule: u64,
    /// The timestamp of the record it belongs to, in milliseconds.
    pub record_timestamp: i64,
    /// Its size.
    pub bytes: usize,
    /// What was sent.
    pub kind: FlightKind,
}

/// What a flight carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlightKind {
    /// A detection.
    Detection,
    /// A record or a detection for the dead-letter topic.
    DeadLetter,
    /// Matches for windows, and how far time has come.
    Matches,
    /// A record of which matches wait to be sent together with others.
    Pin,
}

/// Where a partition's work begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// What was committed; records before it are only read to restore windows.
    pub committed: Option<i64>,
    /// The state there.
    pub mark: Mark,
    /// A checkpoint of the windows to go on from, which may yet turn out to be of no use.
    pub checkpoint: Option<Anchor>,
}

/// An offset that is safe to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Behind the last record that is done.
    pub offset: i64,
    /// The state there.
    pub mark: Mark,
}

/// A record with something in flight.
#[derive(Debug)]
struct Pending {
    offset: i64,
    outstanding: u32,
    /// The partition's state before it.
    mark: Mark,
}

#[derive(Debug)]
struct PartitionLedger {
    topic: String,
    partition: i32,
    epoch: u32,
    /// Behind the last record that was read and whose detections are all sent.
    position: Option<i64>,
    /// Records with something in flight, in the order of their offsets.
    pending: VecDeque<Pending>,
    /// The sequence number of `pending[0]`.
    first_sequence: u64,
    /// What the last commit said.
    committed: Option<i64>,
    start: Start,
    /// The first record that was begun.
    first: Option<i64>,
    /// The state at `position`.
    mark: Mark,
}

impl PartitionLedger {
    /// Lets go of records at the front that are read to their end and have nothing in flight.
    fn settle(&mut self) {
        while let Some(pending) = self.pending.front()
            && pending.outstanding == 0
            && self.position > Some(pending.offset)
        {
            self.pending.pop_front();
            self.first_sequence += 1;
        }
    }

    fn safe(&self) -> Option<(i64, Mark)> {
        match self.pending.front() {
            Some(pending) => Some((pending.offset, pending.mark.clone())),
            None => self.position.map(|position| (position, self.mark.clone())),
        }
    }
}

/// The bookkeeping of one worker.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Topic → partition → index into `partitions`.
    index: HashMap<String, HashMap<i32, u32>>,
    partitions: Vec<Option<PartitionLedger>>,
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
    epoch: u32,
    in_flight_count: usize,
    in_flight_bytes: usize,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a partition on of which nothing is known; one that is there already goes on as it is.
    pub fn assign(&mut self, topic: &str, partition: i32) {
        self.assign_at(topic, partition, Start::default());
    }

    /// As [`Self::assign`], with what was committed.
    pub fn assign_at(&mut self, topic: &str, partition: i32, start: Start) {
        if self.slot(topic, partition).is_some() {
            return;
        }
        self.epoch += 1;
        let entry = PartitionLedger {
            topic: topic.to_owned(),
            partition,
            epoch: self.epoch,
            position: None,
            pending: VecDeque::new(),
            first_sequence: 0,
            committed: None,
            mark: start.mark.clone(),
            first: None,
            start,
        };
        let index = match self.partitions.iter().position(Option::is_none) {
            Some(index) => index,
            None => {
                self.partitions.push(None);
                self.partitions.len() - 1
            }
        };
        self.partitions[index] = Some(entry);
        let index = u32::try_from(index).expect("a worker has fewer than 2^32 partitions");
        self.index.entry(topic.to_owned()).or_default().insert(partition, index);
    }

    /// Gives a partition up.
    pub fn revoke(&mut self, topic: &str, partition: i32) {
        let index = self.index.get_mut(topic).and_then(|partitions| partitions.remove(&partition));
        if let Some(index) = index {
            self.partitions[index as usize] = None;
        }
    }

    /// Where a partition stands in the ledger; `None` if it is not assigned.
    pub fn slot(&self, topic: &str, partition: i32) -> Option<Slot> {
        let index = *self.index.get(topic)?.get(&partition)?;
        let epoch = self.partitions[index as usize].as_ref()?.epoch;
        Some(Slot { index, epoch })
    }

    /// Where the work on a partition began; `None` if it was given up.
    pub fn start(&self, slot: Slot) -> Option<&Start> {
        self.get(slot).map(|partition| &partition.start)
    }

    /// Whether a record was done with before and is only read to restore windows.
    pub fn is_replay(&self, slot: Slot, offset: i64) -> bool {
        let committed = self.start(slot).and_then(|start| start.committed);
        committed.is_some_and(|committed| offset < committed)
    }

    /// Where to go back to when nothing was committed: the first record that was begun.
    pub fn first(&self, slot: Slot) -> Option<i64> {
        self.get(slot).and_then(|partition| partition.first)
    }

    /// Behind the last record that was read.
    pub fn position(&self, slot: Slot) -> Option<i64> {
        self.get(slot).and_then(|partition| partition.position)
    }

    /// What the last commit said.
    pub fn committed(&self, slot: Slot) -> Option<i64> {
        self.get(slot).and_then(|partition| partition.committed)
    }

    /// The state behind the last record that was read.
    pub fn mark(&self, slot: Slot) -> Option<&Mark> {
        self.get(slot).map(|partition| &partition.mark)
    }

    /// The state behind the record that is read next, once all it leads to is sent.
    pub fn set_mark(&mut self, slot: Slot, mark: Mark) {
        if let Some(partition) = self.at(slot) {
            partition.mark = mark;
        }
    }

    /// A partition's topic and number.
    pub fn name(&self, slot: Slot) -> Option<(&str, i32)> {
        self.get(slot).map(|partition| (partition.topic.as_str(), partition.partition))
    }

    /// All partitions.
    pub fn partitions(&self) -> impl Iterator<Item = (Slot, &str, i32)> {
        self.partitions.iter().enumerate().filter_map(|(index, partition)| {
            let partition = partition.as_ref()?;
            let index = u32::try_from(index).ok()?;
            let slot = Slot { index, epoch: partition.epoch };
            Some((slot, partition.topic.as_str(), partition.partition))
        })
    }

    fn get(&self, slot: Slot) -> Option<&PartitionLedger> {
        let partition = self.partitions.get(slot.index as usize)?.as_ref();
        partition.filter(|partition| partition.epoch == slot.epoch)
    }

    fn at(&mut self, slot: Slot) -> Option<&mut PartitionLedger> {
        self.partitions
            .get_mut(slot.index as usize)?
            .as_mut()
            .filter(|partition| partition.epoch == slot.epoch)
    }

    /// A record is about to be worked on. `None`: its partition was given up meanwhile. Offsets that
    /// go back (the topic was made anew, or the group was reset) begin the partition anew.
    pub fn begin(&mut self, slot: Slot, offset: i64) -> Option<Slot> {
        let entry = self.at(slot)?;
        let is_behind = entry.position.is_some_and(|position| offset < position)
            || entry.pending.back().is_some_and(|pending| offset < pending.offset);
        if !is_behind {
            entry.first.get_or_insert(offset);
            return Some(slot);
        }
        let (topic, partition) = (entry.topic.clone(), entry.partition);
        self.revoke(&topic, partition);
        self.assign(&topic, partition);
        self.slot(&topic, partition)
    }

    /// Something that belongs to the record at `offset` is on its way.
    pub fn sent(
        &mut self,
        slot: Slot,
        offset: i64,
        record_timestamp: i64,
        bytes: usize,
        kind: FlightKind,
    ) -> FlightId {
        let mut sequence = 0;
        if let Some(partition) = self.at(slot) {
            match partition.pending.back_mut() {
                Some(last) if last.offset == offset => last.outstanding += 1,
                last => {
                    assert!(
                        last.is_none_or(|last| last.offset < offset),
                        "the records of a partition come in the order of their offsets"
                    );
                    let mark = partition.mark.clone();
                    partition.pending.push_back(Pending { offset, outstanding: 1, mark });
                }
            }
            sequence = partition.first_sequence + partition.pending.len() as u64 - 1;
        }
        self.put(Flight { slot, sequence, offset, rule: 0, record_timestamp, bytes, kind })
    }

    /// Says which rule's detection is in flight.
    pub fn set_rule(&mut self, id: FlightId, rule: u64) {
        if let Some(Some(flight)) = self.flights.get_mut(id.0) {
            flight.rule = rule;
        }
    }

    /// The partition that something in flight belongs to.
    pub fn partition_of(&self, flight: &Flight) -> Option<(&str, i32)> {
        self.name(flight.slot)
    }

    /// Something that belongs to no record is on its way.
    pub fn sent_alone(&mut self, bytes: usize, kind: FlightKind) -> FlightId {
        // No partition has this epoch.
        let slot = Slot { index: u32::MAX, epoch: 0 };
        self.put(Flight {
            slot,
            sequence: 0,
            offset: -1,
            rule: 0,
            record_timestamp: 0,
            bytes,
            kind,
        })
    }

    fn put(&mut self, flight: Flight) -> FlightId {
        self.in_flight_count += 1;
        self.in_flight_bytes += flight.bytes;
        match self.free.pop() {
            Some(index) => {
                self.flights[index] = Some(flight);
                FlightId(index)
            }
            None => {
                self.flights.push(Some(flight));
                FlightId(self.flights.len() - 1)
            }
        }
    }

    /// The record at `offset` is done but for what is in flight.
    pub fn read(&mut self, slot: Slot, offset: i64) {
        if let Some(partition) = self.at(slot) {
            assert!(
                partition.position.is_none_or(|position| position <= offset),
                "the records of a partition come in the order of their offsets"
            );
            partition.position = Some(offset + 1);
            partition.settle();
        }
    }

    /// What is in flight under this id.
    pub fn flight(&self, id: FlightId) -> Option<&Flight> {
        self.flights.get(id.0)?.as_ref()
    }

    /// What is in flight goes on as something else.
    pub fn redirect(&mut self, id: FlightId, kind: FlightKind) {
        if let Some(Some(flight)) = self.flights.get_mut(id.0) {
            flight.kind = kind;
        }
    }

    /// The broker has it (or nobody will ever have it, and that was dealt with).
    pub fn acknowledged(&mut self, id: FlightId) -> Option<Flight> {
        let flight = self.flights.get_mut(id.0)?.take()?;
        self.free.push(id.0);
        self.in_flight_count -= 1;
        self.in_flight_bytes -= flight.bytes;
        if let Some(partition) = self.at(flight.slot) {
            let index = usize::try_from(flight.sequence - partition.first_sequence)
                .expect("pending records fit in memory");
            partition.pending[index].outstanding -= 1;
            partition.settle();
        }
        Some(flight)
    }

    /// How many things are in flight.
    pub fn in_flight_count(&self) -> usize {
        self.in_flight_count
    }

    /// Their bytes.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// How many things of a partition are in flight.
    pub fn partition_in_flight_count(&self, topic: &str, partition: i32) -> usize {
        let Some(slot) = self.slot(topic, partition) else { return 0 };
        self.partitions[slot.index as usize]
            .as_ref()
            .map_or(0, |entry| entry.pending.iter().map(|p| p.outstanding as usize).sum())
    }

    /// The offset a partition may be committed at.
    pub fn safe(&self, topic: &str, partition: i32) -> Option<i64> {
        let index = *self.index.get(topic)?.get(&partition)?;
        self.partitions[index as usize].as_ref()?.safe().map(|(offset, _)| offset)
    }

    /// Every partition whose safe offset is beyond the last one handed out here.
    pub fn take_commits(&mut self) -> Vec<Commit> {
        let mut commits = Vec::new();
        for entry in self.partitions.iter_mut().flatten() {
            let Some((offset, mark)) = entry.safe() else { continue };
            if entry.committed.is_none_or(|committed| committed < offset) {
                entry.committed = Some(offset);
                let (topic, partition) = (entry.topic.clone(), entry.partition);
                commits.push(Commit { topic, partition, offset, mark });
            }
        }
        commits
    }

    /// A commit failed: hand the offsets out again.
    pub fn forget_commits(&mut self) {
        for entry in self.partitions.iter_mut().flatten() {
            entry.committed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn send(ledger: &mut Ledger, offset: i64) -> FlightId {
        let slot = ledger.slot("t", 0).unwrap();
        ledger.sent(slot, offset, 0, 10, FlightKind::Detection)
    }

    fn read(ledger: &mut Ledger, offset: i64) {
        let slot = ledger.slot("t", 0).unwrap();
        ledger.read(slot, offset);
    }

    #[test]
    fn nothing_is_safe_before_something_was_read() {
        let mut ledger = Ledger::new();
        ledger.assign("t", 0);
        assert_eq!(ledger.safe("t", 0), None);
        assert!(ledger.take_commits().is_empty());
    }

    #[test]
    fn records_without_detections_are_safe_at_once() {
        let mut ledger = Ledger::new();
        ledger.assign("t", 0);
        read(&mut ledger, 7);
        read(&mut ledger, 9);
        let commits = ledger.take_commits();
        assert_eq!((commits.len(), commits[0].offset), (1, 10));
        assert!(ledger.take_commits().is_empty());
        ledger.forget_commits();
        assert_eq!(ledger.take_commits().len(), 1);
    }

    #[test]
    fn an_unacknowledged_detection_holds_all_later_records() {
        let mut ledger = Ledger::new();
        ledger.assign("t", 0);
        read(&mut ledger, 0);
        let first = send(&mut ledger, 1);
        read(&mut ledger, 1);
        let second = send(&mut ledger, 2);
        read(&mut ledger, 2);
        read(&mut ledger, 3);
        ledger.acknowledged(second).unwrap();
        assert_eq!(ledger.safe("t", 0), Some(1));
        ledger.acknowledged(first).unwrap();
        assert_eq!(ledger.safe("t", 0), Some(4));
        assert_eq!((ledger.in_flight_count(), ledger.in_flight_bytes()), (0, 0));
    }

    #[test]
    fn a_record_half_sent_is_not_safe() {
        let mut ledger = Ledger::new();
        ledger.assign("t", 0);
        let first = send(&mut ledger, 5);
        ledger.acknowledged(first).unwrap();
        assert_eq!(ledger.safe("t", 0), Some(5));
        let second = send(&mut ledger, 5);
        read(&mut ledger, 5);
        assert_eq!(ledger.safe("t", 0), Some(5));
        ledger.acknowledged(second).unwrap();
        assert_eq!(ledger.safe("t", 0), Some(6));
    }

    #[test]
    fn late_acknowledgements_of_a_former_assignment_change_nothing() {
        let mut ledger = Ledger::new();
        ledger.assign("t", 0);
        let late = send(&mut ledger, 5);
        let old = ledger.slot("t", 0).unwrap();
        ledger.revoke("t", 0);
        assert_eq!(ledger.slot("t", 0), None);
        ledger.assign("t", 0);
        let again = send(&mut ledger, 5);
        ledger.read(old, 8);
        read(&mut ledger, 5);
        assert!(ledger.acknowledged(late).is_some());
        assert!(ledger.acknowledged(late).is_none());
        assert_eq!(ledger.safe("t", 0), Some(5));
        ledger.acknowledged(again).unwrap();
        assert_eq!(ledger.safe("t", 0), Some(6));
    }

    #[test]
    fn offsets_that_go_back_begin_the_partition_anew() {
        let mut ledger = Ledger::new();
        ledger.assign("t", 0);
        let first = ledger.slot("t", 0).unwrap();
        assert_eq!(ledger.begin(first, 9), Some(first));
        let late = send(&mut ledger, 9);
        read(&mut ledger, 9);
        let second = ledger.begin(first, 2).unwrap();
        assert_ne!(first, second);
        assert_eq!(ledger.begin(first, 3), None);
        ledger.read(second, 2);
        ledger.acknowledged(late);
        assert_eq!(ledger.safe("t", 0), Some(3));
    }

    /// A generator that needs no crate: xorshift.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }
    }

    #[test]
    fn random_runs_agree_with_a_model_that_remembers_everything() {
        for seed in 1..=300 {
            let mut random = Random(seed * 0x9E37_79B9);
            let mut ledger = Ledger::new();
            // Partition → (next offset, offsets of records in order, outstanding flights by offset).
            let mut model: BTreeMap<i32, (i64, BTreeMap<i64, usize>)> = BTreeMap::new();
            let mut flights: Vec<(FlightId, i32, i64, u32)> = Vec::new();
            let mut lives: BTreeMap<i32, u32> = BTreeMap::new();
            let mut last_commit: BTreeMap<i32, i64> = BTreeMap::new();
            let mut reads: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
            for _ in 0..400 {
                let partition = random.below(3) as i32;
                match random.below(10) {
                    0 => {
                        ledger.revoke("t", partition);
                        ledger.assign("t", partition);
                        *lives.entry(partition).or_default() += 1;
                        model.insert(partition, (0, BTreeMap::new()));
                        last_commit.remove(&partition);
                        reads.remove(&partition);
                    }
                    1..=5 => {
                        let Some(slot) = ledger.slot("t", partition) else { continue };
                        let (next, open) = model.get_mut(&partition).unwrap();
                        let offset = *next + random.below(3) as i64;
                        for _ in 0..random.below(4) {
                            let id = ledger.sent(slot, offset, 0, 1, FlightKind::Detection);
                            *open.entry(offset).or_default() += 1;
                            flights.push((id, partition, offset, lives[&partition]));
                        }
                        ledger.set_mark(slot, Mark { time: offset, ..Mark::default() });
                        ledger.read(slot, offset);
                        reads.entry(partition).or_default().push(offset);
                        *next = offset + 1;
                    }
                    6..=8 if !flights.is_empty() => {
                        let at = random.below(flights.len() as u64) as usize;
                        let (id, partition, offset, life) = flights.swap_remove(at);
                        ledger.acknowledged(id).unwrap();
                        if lives[&partition] == life {
                            let (_, open) = model.get_mut(&partition).unwrap();
                            let left = open.get_mut(&offset).unwrap();
                            *left -= 1;
                            if *left == 0 {
                                open.remove(&offset);
                            }
                        }
                    }
                    _ => {
                        for Commit { partition, offset, mark, .. } in ledger.take_commits() {
                            // The state is that of the records before the offset, no other.
                            let before = reads[&partition].iter().rfind(|read| **read < offset);
                            assert_eq!(mark.time, before.copied().unwrap_or(i64::MIN));
                            let before = last_commit.insert(partition, offset);
                            assert!(before.is_none_or(|before| before < offset), "seed {seed}");
                        }
                    }
                }
                assert_eq!(ledger.in_flight_count(), flights.len(), "seed {seed}");
                for (partition, (next, open)) in &model {
                    let expected = match open.first_key_value() {
                        Some((offset, _)) => Some(*offset),
                        None => (*next > 0).then_some(*next),
                    };
                    assert_eq!(ledger.safe("t", *partition), expected, "seed {seed}");
                    let outstanding: usize = open.values().sum();
                    assert_eq!(ledger.partition_in_flight_count("t", *partition), outstanding);
                }
            }
        }
    }
}
