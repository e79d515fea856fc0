//! What the runtime adds to matching: CPU time per GB of the process end to end over that of a consumer
//! that only reads the topic and that of matching the same records in memory, together.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig, Plan};
use sigmill_runtime::process;

use super::{Bed, OFTEN, PARTITIONS, REQUEST, WITHIN, median};
use crate::derived_events;
use crate::input::{self, Events};

impl Bed<'_> {
    /// Over records of the events, and over small ones.
    pub(super) fn overhead(&mut self, rules: &str, texts: &[String]) -> anyhow::Result<()> {
        let pipelines = input::pipelines(&self.config.pipeline)?;
        let parsed = input::parse_rules(texts, &pipelines);
        let plan = Arc::new(compile(&parsed, &CompileOptions::default()).plan);
        let bytes = self.config.bytes;
        let given = self.events(bytes)?;
        self.overhead_over("given", rules, &plan, &given)?;
        drop(given);
        let from = input::events(&self.config.events, None)?;
        let small = derived_events::network_records(&from, bytes / 300);
        drop(from);
        self.overhead_over("small", rules, &plan, &small)
    }

    fn overhead_over(
        &mut self,
        name: &str,
        rules: &str,
        plan: &Arc<Plan>,
        events: &Events,
    ) -> anyhow::Result<()> {
        let data = self.topic(&format!("data-{name}"), PARTITIONS, false)?;
        let gigabytes = self.fill(&data, events)? as f64 / 1e9;
        let mut matcher = Matcher::new(Arc::clone(plan), MatcherConfig::default());
        match_all(&mut matcher, events);
        let (mut run, mut read, mut matched) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.config.repeats {
            let (mut process, application) = self.start(None, (rules, &data), OFTEN)?;
            let taken = self.drain(&mut process, &application, &data)?;
            drop(process);
            run.push(taken.cpu.as_secs_f64() / gigabytes);
            read.push(self.read_only(&data, events.len())? / gigabytes);
            let before = process::thread_time();
            match_all(&mut matcher, events);
            matched.push((process::thread_time() - before).as_secs_f64() / gigabytes);
        }
        let ratios = run.iter().zip(&read).zip(&matched).map(|((run, read), m)| run / (read + m));
        let ratio = median(ratios.collect());
        let (run, read, matched) = (median(run), median(read), median(matched));
        println!(
            "{name} records of {} bytes: {run:.2} CPU seconds per GB; only reading {read:.2}, matching {matched:.2} \
             (medians of {})",
            events.byte_count() / events.len().max(1),
            self.config.repeats
        );
        println!("end to end ÷ (only reading + matching), {name} records: {ratio:.2}");
        Ok(())
    }

    /// Settings of a consumer as the processor has it, for one that belongs to no group.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("group.id", format!("{}-reader", self.prefix));
        config.set("enable.auto.commit", "false").set("check.crcs", "true");
        config.set("queued.max.messages.kbytes", "32768").set("queued.min.messages", "20000");
        config.set("fetch.queue.backoff.ms", "10").set("fetch.wait.max.ms", "100");
        config
    }

    /// CPU seconds of reading a whole topic, all threads of the client included. Nothing else runs here.
    fn read_only(&self, topic: &str, count: usize) -> anyhow::Result<f64> {
        let before = process::cpu_time();
        let consumer: BaseConsumer = self.consumer().create()?;
        assign(&consumer, topic, Offset::Beginning)?;
        let started = Instant::now();
        let (mut seen, mut bytes) = (0, 0);
        while seen < count {
            anyhow::ensure!(started.elapsed() < WITHIN, "{seen} of {count} records are read");
            match consumer.poll(REQUEST) {
                Some(Ok(message)) => {
                    seen += 1;
                    bytes += message.payload_len();
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => return Err(error).context("reading"),
            }
        }
        std::hint::black_box(bytes);
        drop(consumer);
        Ok((process::cpu_time() - before).as_secs_f64())
    }
}

/// Reads all partitions from there on.
pub(super) fn assign(consumer: &BaseConsumer, topic: &str, from: Offset) -> anyhow::Result<()> {
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, from)?;
    }
    Ok(consumer.assign(&list)?)
}

fn match_all(matcher: &mut Matcher, events: &Events) {
    let mut count = 0;
    for record in events.iter() {
        count += matcher.matches(record).map_or(0, |rules| rules.len());
    }
    std::hint::black_box(count);
}
