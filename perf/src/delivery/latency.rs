//! What matching adds to the time between a record and its detection, at four fifths of the greatest rate.
//!
//! Some of the records carry the time at which they were sent, and meet a rule. A consumer of the output
//! says when the detection can be read, and so when it was acknowledged at the latest. The base is the same
//! producer, topics and consumer with a relay between them that copies these records and matches nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset};

use super::overhead::assign;
use super::{Bed, OFTEN, PARTITIONS, REQUEST, Taken, send, wall};
use crate::input::Events;

/// Which rule says where the records are that carry their time.
const PROBE: &str = "title: Probe\nlogsource: {category: sigmill_any}\n\
    detection:\n  s: {sigmill_probe: 1}\n  condition: s\n";

/// How such a record begins.
const PROBE_HEAD: &[u8] = br#"{"sigmill_any":1,"sigmill_probe":1,"#;
const SENT: &[u8] = br#""sigmill_sent":"#;

/// One record of so many carries its time.
const PROBE_EVERY: u64 = 50;
const LOAD: f64 = 0.8;
/// Of events that are sent again and again.
const EVENT_BYTES: usize = 50_000_000;
const WARM_UP: Duration = Duration::from_secs(3);

impl Bed<'_> {
    pub(super) fn latency(&mut self, texts: &[String]) -> anyhow::Result<()> {
        let rules = self.topic("rules-and-probe", 1, true)?;
        self.load(&rules, texts.iter().map(String::as_str).chain([PROBE]))?;
        let events = self.events(self.config.bytes)?;
        let data = self.topic("data-rate", PARTITIONS, false)?;
        let bytes = self.fill(&data, &events)?;
        drop(events);
        let events = self.events(self.config.bytes.min(EVENT_BYTES))?;
        for guarantee in ["at_least_once", "exactly_once_v2"] {
            let changes = format!("processing.guarantee={guarantee}\nlinger.ms=1\n");
            let commits = if guarantee == "at_least_once" { OFTEN } else { "" };
            let mut taken: Vec<Taken> = Vec::new();
            for _ in 0..self.config.repeats {
                let changes = format!("{changes}{commits}");
                let (mut process, application) = self.start(None, (&rules, &data), &changes)?;
                taken.push(self.drain(&mut process, &application, &data)?);
            }
            let rate = bytes as f64 / wall(&taken) * LOAD;
            println!(
                "{guarantee}: at {:.0} MB/s, {:.0} % of the greatest rate",
                rate / 1e6,
                LOAD * 100.0
            );
            let base = self.relayed(&events, rate)?;
            print_latency("without matching", &base);
            let live = self.topic(&format!("live-{guarantee}"), PARTITIONS, false)?;
            let (process, application) = self.start(None, (&rules, &live), &changes)?;
            let with = self.paced(&events, rate, &live, &format!("{application}-out"))?;
            drop(process);
            print_latency(guarantee, &with);
            let added: Vec<String> = QUANTILES
                .iter()
                .map(|(name, at)| {
                    let of = |side: &Histogram<u64>| side.value_at_quantile(*at) as f64 / 1e3;
                    format!("{name} {:.2} ms", of(&with) - of(&base))
                })
                .collect();
            println!("{guarantee}, added by matching: {}", added.join(", "));
        }
        Ok(())
    }

    /// The same with a relay in the place of the processor.
    fn relayed(&mut self, events: &Events, rate: f64) -> anyhow::Result<Histogram<u64>> {
        self.next += 1;
        let data = self.topic(&format!("relay{}", self.next), PARTITIONS, false)?;
        let output = self.topic(&format!("relay{}-out", self.next), PARTITIONS, false)?;
        let consumer: BaseConsumer = self.consumer().create()?;
        assign(&consumer, &data, Offset::Beginning)?;
        let producer: BaseProducer =
            self.client().set("enable.idempotence", "true").set("linger.ms", "1").create()?;
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let relay = scope.spawn(|| -> anyhow::Result<()> {
                while !is_done.load(Ordering::Relaxed) {
                    let Some(message) = consumer.poll(Duration::from_millis(10)) else { continue };
                    let message = message?;
                    let Some(payload) = message.payload() else { continue };
                    if payload.starts_with(PROBE_HEAD) {
                        let record = BaseRecord::<(), _>::to(&output).payload(payload);
                        send(&producer, record.partition(message.partition()))?;
                    }
                }
                Ok(())
            });
            let taken = self.paced(events, rate, &data, &output);
            is_done.store(true, Ordering::Relaxed);
            let relayed = relay.join().map_err(|_| anyhow::anyhow!("the relay panicked"))?;
            relayed.and(taken)
        })
    }

    /// Sends events at a rate, and takes the times until what comes of them can be read.
    fn paced(
        &self,
        events: &Events,
        rate: f64,
        data: &str,
        output: &str,
    ) -> anyhow::Result<Histogram<u64>> {
        let consumer: BaseConsumer = self
            .consumer()
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        assign(&consumer, output, Offset::Beginning)?;
        let producer: BaseProducer =
            self.client().set("enable.idempotence", "true").set("linger.ms", "1").create()?;
        // It has its rules and its partitions as soon as a detection comes.
        let started = Instant::now();
        loop {
            for partition in 0..PARTITIONS {
                let probe = probe(b"{\"n\":1}", now_us());
                send(
                    &producer,
                    BaseRecord::<(), _>::to(data).partition(partition).payload(&probe),
                )?;
            }
            producer.flush(REQUEST)?;
            if consumer.poll(Duration::from_millis(200)).transpose()?.is_some() {
                break;
            }
            anyhow::ensure!(started.elapsed() < Duration::from_secs(120), "no detection comes");
        }
        let begin = Instant::now();
        let end = WARM_UP + Duration::from_secs(self.config.seconds);
        let counted_from = now_us() + WARM_UP.as_micros() as u64;
        let mut times = Histogram::<u64>::new(3)?;
        let sent = std::thread::scope(|scope| {
            let sender = scope.spawn(|| -> anyhow::Result<(u64, u64)> {
                let (mut bytes, mut count) = (0, 0);
                let mut all = events.iter().cycle();
                while begin.elapsed() < end {
                    let due = (begin.elapsed().as_secs_f64() * rate) as u64;
                    while bytes < due {
                        let event = all.next().context("there are no events")?;
                        let partition = (count % PARTITIONS as u64) as i32;
                        let record = BaseRecord::<(), _>::to(data).partition(partition);
                        if count % PROBE_EVERY == 0 {
                            send(&producer, record.payload(probe(event, now_us()).as_slice()))?;
                        } else {
                            send(&producer, record.payload(event))?;
                        }
                        bytes += event.len() as u64;
                        count += 1;
                    }
                    std::thread::sleep(Duration::from_micros(500));
                }
                producer.flush(REQUEST)?;
                Ok((bytes, count))
            });
            let mut is_over = false;
            loop {
                match consumer.poll(Duration::from_millis(500)).transpose()? {
                    Some(message) => {
                        let at = message.payload().and_then(sent_at);
                        if let Some(at) = at.filter(|at| *at >= counted_from) {
                            times.record(now_us().saturating_sub(at).max(1))?;
                        }
                    }
                    // Nothing for a while after all was sent.
                    None if is_over => break,
                    None => is_over = sender.is_finished(),
                }
            }
            sender.join().map_err(|_| anyhow::anyhow!("the producer panicked"))?
        })?;
        let reached = sent.0 as f64 / end.as_secs_f64();
        if reached < rate * 0.98 {
            println!("the producer came to {:.0} MB/s only", reached / 1e6);
        }
        let due = sent.1 / PROBE_EVERY * self.config.seconds / end.as_secs();
        anyhow::ensure!(
            times.len() as f64 > due as f64 * 0.95,
            "{} detections of about {due} came: the load is more than it bears",
            times.len()
        );
        Ok(times)
    }
}

/// The event with what meets the rule, and the time.
fn probe(event: &[u8], now_us: u64) -> Vec<u8> {
    let mut probe = PROBE_HEAD.to_vec();
    probe.extend_from_slice(SENT);
    probe.extend_from_slice(format!("{now_us},").as_bytes());
    let rest = event.strip_prefix(br#"{"sigmill_any":1,"#);
    probe.extend_from_slice(rest.unwrap_or_else(|| event.get(1..).unwrap_or_default()));
    probe
}

/// When the record was sent that is told about.
fn sent_at(payload: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(payload, SENT)? + SENT.len();
    let digits = payload.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

const QUANTILES: &[(&str, f64)] = &[("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

fn print_latency(name: &str, times: &Histogram<u64>) {
    let all = QUANTILES
        .iter()
        .map(|(name, at)| format!("{name} {:.2} ms", times.value_at_quantile(*at) as f64 / 1e3));
    let all = all.collect::<Vec<_>>().join(", ");
    println!("{name}: {all} ({} records)", times.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_an_event_that_tells_its_time() {
        for event in [&br#"{"sigmill_any":1,"a":"b"}"#[..], br#"{"a":"b"}"#] {
            let probe = probe(event, 1_764_000_000_123_456);
            assert!(probe.starts_with(PROBE_HEAD));
            assert_eq!(sent_at(&probe), Some(1_764_000_000_123_456));
            let read: serde_json::Value = serde_json::from_slice(&probe).unwrap();
            assert_eq!((read["a"].as_str(), read["sigmill_any"].as_u64()), (Some("b"), Some(1)));
        }
        assert_eq!(sent_at(br#"{"a":1}"#), None);
    }
}
