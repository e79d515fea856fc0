//! Restoring windows: matches a second from the log, and how long it takes from checkpoints.

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::{AGGREGATION, Bed, Process, REQUEST, SESSION_MS, WITHIN, send};

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

impl Bed<'_> {
    pub(super) fn restoring(&mut self) -> anyhow::Result<()> {
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
}
