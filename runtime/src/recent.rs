//! The detections made lately, for people who watch: a ring that workers put into and readers follow.
//!
//! A worker never waits for it. It offers at most [`OFFERED_MAX`] detections a second, over a queue of its own
//! that is bounded; what does not fit is counted and left out. The reporter's thread moves what is in the
//! queues into the ring, which is bounded by number and by bytes. Every detection that was made has a number,
//! left out or not, so that a reader that finds a gap knows how many it does not see.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use sigmill_parser::Level;

use crate::clock;
use crate::rule_store::ActiveRule;

/// Detections that a worker offers within a second.
const OFFERED_MAX: u32 = 500;
/// Offers of a worker that were not taken yet.
const QUEUE_MAX: usize = 256;
/// Detections in the ring, and their bytes.
const KEPT_MAX: usize = 1000;
const KEPT_BYTES_MAX: usize = 8 << 20;
/// A longer detection is shown without its text.
const TEXT_MAX: usize = 64 << 10;

/// A detection as it was made; its acknowledgement may still be awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// Milliseconds since 1970.
    pub(crate) made_at: i64,
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) id: Option<String>,
    pub(crate) level: Option<&'static str>,
    pub(crate) output_topic: String,
    /// Its length, and its bytes unless that is too much.
    pub(crate) len: usize,
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Made {
    /// The detection of a rule, now.
    pub(crate) fn new(rule: &ActiveRule, bytes: &[u8]) -> Self {
        Self {
            made_at: clock::now_ms(),
            key: rule.key.clone(),
            title: rule.title().to_owned(),
            id: rule.document.id().map(str::to_owned),
            level: rule.level().map(Level::as_str),
            output_topic: rule.output_topic.clone(),
            len: bytes.len(),
            bytes: (bytes.len() <= TEXT_MAX).then(|| bytes.to_vec()),
        }
    }
}

#[derive(Debug)]
struct Offer {
    /// Detections of this worker that were left out before this one.
    left_out: u64,
    made: Made,
}

/// A worker's way into the ring.
#[derive(Debug)]
pub(crate) struct Offers {
    queue: Sender<Offer>,
    /// When the second began, and how many were offered in it.
    second: (Instant, u32),
    left_out: u64,
}

impl Offers {
    /// Offers a detection, if there is room; `make` copies it.
    pub(crate) fn offer(&mut self, make: impl FnOnce() -> Made) {
        if self.second.1 >= OFFERED_MAX {
            if self.second.0.elapsed() < Duration::from_secs(1) {
                self.left_out += 1;
                return;
            }
            self.second = (Instant::now(), 0);
        }
        if self.queue.is_full() {
            self.left_out += 1;
            return;
        }
        self.second.1 += 1;
        let offer = Offer { left_out: self.left_out, made: make() };
        self.left_out = match self.queue.try_send(offer) {
            Ok(()) => 0,
            Err(_) => self.left_out + 1,
        };
    }
}

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<(u64, Made)>,
    bytes: usize,
    /// The number of the next detection.
    next: u64,
}

/// The ring.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    ring: Mutex<Ring>,
    news: Condvar,
    queues: Mutex<Vec<Receiver<Offer>>>,
}

/// What a reader gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Each with its number.
    pub(crate) detections: Vec<(u64, Made)>,
    /// The number to go on from.
    pub(crate) next: u64,
}

impl Recent {
    /// A way in for a worker, which may come again after a failure.
    pub(crate) fn offers(&self) -> Offers {
        let (queue, receiver) = bounded(QUEUE_MAX);
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(receiver);
        Offers { queue, second: (Instant::now(), 0), left_out: 0 }
    }

    /// Moves what is in the queues into the ring.
    pub(crate) fn gather(&self) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_news = false;
        queues.retain(|queue| {
            // A worker cannot keep this thread here for ever.
            for _ in 0..QUEUE_MAX {
                match queue.try_recv() {
                    Ok(offer) => {
                        is_news = true;
                        self.keep(offer);
                    }
                    Err(error) => return error.is_empty(),
                }
            }
            true
        });
        if is_news {
            self.news.notify_all();
        }
    }

    fn keep(&self, Offer { left_out, made }: Offer) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let number = ring.next + left_out;
        ring.next = number + 1;
        ring.bytes += weight(&made);
        ring.kept.push_back((number, made));
        while ring.kept.len() > KEPT_MAX || ring.bytes > KEPT_BYTES_MAX {
            let Some((_, gone)) = ring.kept.pop_front() else { break };
            ring.bytes -= weight(&gone);
        }
    }

    /// The number of the next detection.
    pub(crate) fn next(&self) -> u64 {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).next
    }

    /// Those from a number on, at most so many, the oldest first; waits for the first one.
    pub(crate) fn read(&self, from: u64, max: usize, wait: Duration) -> Read {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |ring: &mut Ring| ring.next <= from;
        let waited = self.news.wait_timeout_while(ring, wait, is_old);
        let (ring, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let at = ring.kept.partition_point(|(number, _)| *number < from);
        let detections: Vec<_> = ring.kept.range(at..).take(max).cloned().collect();
        let next = detections.last().map_or(from, |(number, _)| number + 1);
        Read { detections, next }
    }
}

fn weight(made: &Made) -> usize {
    made.bytes.as_ref().map_or(0, Vec::len) + made.key.len() + made.title.len() + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(n: usize, len: usize) -> Made {
        Made {
            made_at: 0,
            key: n.to_string(),
            title: String::new(),
            id: None,
            level: None,
            output_topic: String::new(),
            len,
            bytes: Some(vec![0; len]),
        }
    }

    #[test]
    fn what_does_not_fit_is_a_gap_in_the_numbers() {
        let recent = Recent::default();
        let mut offers = recent.offers();
        for n in 0..QUEUE_MAX + 44 {
            offers.offer(|| made(n, 1));
        }
        recent.gather();
        offers.offer(|| made(999, 1));
        recent.gather();
        let read = recent.read(0, 1000, Duration::ZERO);
        assert_eq!(read.detections.len(), QUEUE_MAX + 1);
        let (number, last) = read.detections.last().unwrap();
        assert_eq!((*number, last.key.as_str()), ((QUEUE_MAX + 44) as u64, "999"));
        assert_eq!(read.next, number + 1);
        assert_eq!(
            recent.read(read.next, 10, Duration::ZERO),
            Read { next: read.next, ..Read::default() }
        );
    }

    #[test]
    fn a_worker_offers_so_many_a_second_and_the_ring_is_bounded() {
        let recent = Recent::default();
        let mut offers = recent.offers();
        let begin = Instant::now();
        for n in 0..3000 {
            offers.offer(|| made(n, 60_000));
            recent.gather();
        }
        let read = recent.read(0, 10_000, Duration::ZERO);
        assert!(read.detections.len() <= KEPT_BYTES_MAX / 60_000, "{}", read.detections.len());
        if begin.elapsed() < Duration::from_secs(1) {
            assert_eq!(recent.next(), u64::from(OFFERED_MAX));
        }
    }

    #[test]
    fn a_queue_whose_worker_is_gone_is_forgotten() {
        let recent = Recent::default();
        drop(recent.offers());
        recent.gather();
        assert!(recent.queues.lock().unwrap().is_empty());
    }
}
