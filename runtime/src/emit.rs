//! Step 7, emit: detections go out, and acknowledgements come back.
//!
//! In: matches, and records to be put aside. Out: records in the output topics, and a [`Ledger`] that
//! knows which offsets are safe. Everything sent is in flight until a broker acknowledged it or it is
//! known that none ever will:
//!
//! | a delivery fails because of | what follows |
//! |---|---|
//! | the network, a broker, a time-out | it is sent again, for ever; nothing beyond it is committed |
//! | a rule's own topic (missing, forbidden) | it and for a minute what follows go to the default output topic, with a header |
//! | the default output topic (missing, forbidden) | it is sent again, for ever, with an error in the log |
//! | its size, in a batch with others | it is sent again alone: a broker refuses a batch as a whole |
//! | a rule's own topic (too small for it) | at least once: as above, but for this detection alone |
//! | the detection itself (too large) | it goes to the dead-letter topic if there is one; else it is counted, logged, and given up |
//! | the dead-letter topic, for whatever lasting reason | it is counted, logged, and given up |
//!
//! Exactly once, all that goes out between two commits is one transaction with their offsets
//! ([`crate::transaction`]): whatever fails, the transaction is aborted and its records are worked on again,
//! and what can never be delivered then goes where this table says.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use sigmill_engine::window::WindowMatch;
use tracing::error;

use crate::budget::{Budget, RuleStates, Spend};
use crate::client;
use crate::clock;
use crate::commit::{Flight, FlightId, FlightKind, Ledger, Slot};
use crate::delivery::{Cause, DeliveryContext, Outgoing, Report, cause, is_about_batch};
use crate::detection::{Event, Extract, OutputSchemas};
use crate::latency::{Latencies, Stage};
use crate::metrics::{Counts, Metric};
use crate::rate_limit::RateLimit;
use crate::recent::{Made, Offers};
use crate::rule_store::ActiveRule;
use crate::run_error::RunError;
use crate::settings::Settings;
use crate::transaction::{Identity, Remedy, Transaction};
use crate::windows::match_batch::Openings;
use crate::windows::outbox::{Origin, Outbox, Ready, Source};
use crate::windows::rules::Fnv;

/// Groups of open windows that are told in one piece.
const OPENINGS_MAX: usize = 2_000;
/// The header that names the topic a detection was meant for.
const HEADER_OUTPUT_TOPIC: &str = "sigmill.output.topic";
/// The header that says how many detections of the rule were left out before.
const HEADER_SUPPRESSED: &str = "sigmill.suppressed_count";
/// The header that names the author of the rule.
const HEADER_AUTHOR: &str = "sigmill-rule-author";
/// The header that says why something is in the dead-letter topic.
const HEADER_REASON: &str = "sigmill.reason";

/// A record of a data topic, as far as sending needs it.
pub struct SourceRecord<'a, M: Message> {
    /// The record.
    pub message: &'a M,
    /// Its partition in the ledger.
    pub slot: Slot,
}

/// Sends for one worker.
pub struct Emitter {
    pub(crate) producer: BaseProducer<DeliveryContext>,
    /// Exactly once: what goes out until the next commit.
    pub(crate) transaction: Option<Transaction>,
    /// Which offsets are safe to commit.
    pub ledger: Ledger,
    /// What the worker counted; the worker moves it on.
    pub counts: Counts,
    /// What the worker measured.
    pub latencies: Latencies,
    /// What rules may spend.
    pub(crate) budget: Budget,
    pub(crate) retries: VecDeque<Outgoing>,
    /// What was too large with others; each is sent when nothing else is in flight.
    pub(crate) alone: VecDeque<Outgoing>,
    /// What is being sent alone.
    alone_in_flight: Option<FlightId>,
    /// For people who watch.
    pub(crate) offers: Option<Offers>,
    buf: Vec<u8>,
    reports: Vec<Report>,
    output_topic: String,
    /// Where detections are Avro.
    output_schemas: Option<Arc<OutputSchemas>>,
    deadletter_topic: Option<String>,
    records_max: usize,
    bytes_max: usize,
    pub(crate) fatal: Option<String>,
    limit: RateLimit,
    /// Matches for windows, once there is a topic for them.
    pub(crate) outbox: Option<Outbox>,
    /// Batches of matches in flight: what is done when they are acknowledged.
    batches: HashMap<usize, (i32, Vec<FlightId>)>,
}

impl Emitter {
    /// With a producer of its own.
    ///
    /// # Errors
    /// The producer's settings are refused.
    pub(crate) fn new(
        settings: &Settings,
        worker: usize,
        rule_states: &Arc<RuleStates>,
    ) -> Result<Self, RunError> {
        let mut config = match settings.is_exactly_once {
            true => client::transactional_config(settings, worker),
            false => client::producer_config(&settings.kafka),
        };
        if config.get("message.max.bytes").is_none() {
            // A detection holds its record: the broker shall say what is too large, not the client.
            let bytes = settings.record_bytes_max.saturating_mul(2).saturating_add(1 << 20);
            config.set("message.max.bytes", bytes.clamp(1 << 20, 1_000_000_000).to_string());
        }
        let context = DeliveryContext::new(worker);
        let producer = config
            .create_with_context(context)
            .map_err(|error| RunError::Client { client: "producer", error })?;
        Ok(Self {
            producer,
            transaction: settings.is_exactly_once.then(Transaction::default),
            ledger: Ledger::new(),
            counts: Counts::default(),
            latencies: Latencies::default(),
            budget: Budget::new(
                settings.rule_detections_per_second,
                settings.worker_count,
                Instant::now(),
                rule_states,
            ),
            retries: VecDeque::new(),
            alone: VecDeque::new(),
            alone_in_flight: None,
            offers: None,
            buf: Vec::new(),
            reports: Vec::new(),
            output_topic: settings.output_topic.clone(),
            output_schemas: settings.output_schemas.clone(),
            deadletter_topic: settings.deadletter_topic.clone(),
            records_max: settings.in_flight_records_max,
            bytes_max: settings.in_flight_bytes_max,
            fatal: None,
            limit: RateLimit::new(Duration::from_secs(10)),
            outbox: None,
            batches: HashMap::new(),
        })
    }

    /// Whether another record may be worked on: not too much is in flight.
    pub fn is_ready(&self) -> bool {
        self.has_no_leftovers()
            && self.doubt().is_none()
            && self.ledger.in_flight_count() < self.records_max
            && self.ledger.in_flight_bytes() < self.bytes_max
    }

    /// Whether so much was acknowledged that a pause may end.
    pub fn is_relieved(&self) -> bool {
        self.has_no_leftovers()
            && self.ledger.in_flight_count() <= self.records_max / 2
            && self.ledger.in_flight_bytes() <= self.bytes_max / 2
    }

    fn has_no_leftovers(&self) -> bool {
        self.retries.is_empty() && self.alone.is_empty() && self.alone_in_flight.is_none()
    }

    /// Why the producer cannot go on.
    pub fn fatal(&self) -> Option<&str> {
        self.fatal.as_deref()
    }

    /// Sends the detection of `rule` for a record.
    pub fn send_detection<M: Message>(
        &mut self,
        record: &SourceRecord<'_, M>,
        rule: &ActiveRule,
        event: &Event<'_>,
        extract: &Extract,
    ) {
        let Some(suppressed) = self.spend(rule) else { return };
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        self.write(rule, &mut buf, event, extract);
        let headers = record.message.headers().map(|headers| forward(headers, 1));
        let headers = with_suppressed(with_author(headers, rule), suppressed);
        let id = self.begin(record, buf.len(), FlightKind::Detection);
        let key = record.message.key();
        self.send_of_rule(rule, key, &buf, event.timestamp, headers, id);
        self.buf = buf;
    }

    /// Sends the detection of a window; it belongs to the record that completed or settled it. The key is
    /// an empty text, as for the JVM processor.
    pub(crate) fn send_window_detection(
        &mut self,
        (slot, offset): (Slot, i64),
        rule: &ActiveRule,
        event: &Event<'_>,
        extract: &Extract,
    ) {
        let Some(suppressed) = self.spend(rule) else { return };
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        self.write(rule, &mut buf, event, extract);
        let timestamp = event.timestamp.unwrap_or(0);
        let id = self.ledger.sent(slot, offset, timestamp, buf.len(), FlightKind::Detection);
        let headers = with_suppressed(with_author(None, rule), suppressed);
        self.send_of_rule(rule, Some(b""), &buf, event.timestamp, headers, id);
        self.buf = buf;
    }

    /// Whether the rule may make a detection; if so, how many it has to tell of that were left out.
    fn spend(&mut self, rule: &ActiveRule) -> Option<u64> {
        if !self.budget.is_limited() {
            return Some(0);
        }
        let number = rule_number(rule);
        match self.budget.spend(number, &rule.key, Instant::now()) {
            Spend::Send { suppressed } => Some(suppressed),
            Spend::Suppress => {
                self.counts.add(Metric::DetectionsSuppressed, 1);
                None
            }
        }
    }

    /// Takes a match for the owner of its group.
    pub(crate) fn add_match(
        &mut self,
        origin: Origin,
        source: Source,
        version: u64,
        fed: &WindowMatch,
    ) {
        let Some(outbox) = &mut self.outbox else {
            self.counts.add(Metric::WindowMatchesUnsent, 1);
            return;
        };
        if outbox.add(&mut self.ledger, origin, source, version, fed) {
            self.flush_matches(false);
        }
    }

    /// Takes what the next owner of a partition of matches has to know, in pieces that a record can hold.
    pub(crate) fn add_openings(&mut self, partition: i32, openings: &Openings) {
        let pieces = openings.groups.chunks(OPENINGS_MAX);
        let pieces: Vec<_> = if pieces.len() == 0 { vec![&[][..]] } else { pieces.collect() };
        for groups in pieces {
            let Some(outbox) = &mut self.outbox else { return };
            let piece = Openings { groups: groups.to_vec(), ..openings.clone_head() };
            if outbox.add_openings(partition, piece) {
                self.flush_matches(false);
            }
        }
    }

    /// Sends the matches that wait; with `is_heartbeat` also how far time has come.
    pub(crate) fn flush_matches(&mut self, is_heartbeat: bool) {
        let Some(outbox) = &mut self.outbox else { return };
        // Time must not overtake a match that is to be sent again.
        let is_heartbeat = is_heartbeat && self.retries.is_empty() && self.alone.is_empty();
        let ready = outbox.flush(&self.ledger, is_heartbeat);
        if ready.is_empty() {
            return;
        }
        let topic = outbox.topic.clone();
        for Ready { partition, bytes, pins } in ready {
            let id = self.ledger.sent_alone(bytes.len(), FlightKind::Matches);
            self.batches.insert(id.0, (partition, pins));
            self.send(&topic, None, &bytes, None, None, id);
        }
    }

    fn write(
        &mut self,
        rule: &ActiveRule,
        buf: &mut Vec<u8>,
        event: &Event<'_>,
        extract: &Extract,
    ) {
        rule.template.write(buf, clock::now_ms(), event, extract);
        if let Some(schemas) = &self.output_schemas {
            schemas.stamp(&rule.output_topic, buf);
        }
        if let Some(offers) = &mut self.offers {
            offers.offer(|| Made::new(rule, buf));
        }
    }

    /// Sends a refused record as it is to the dead-letter topic, if there is one.
    pub fn send_dead_letter<M: Message>(&mut self, record: &SourceRecord<'_, M>, reason: &str) {
        let Some(topic) = self.deadletter_topic.take() else { return };
        let message = record.message;
        let payload = message.payload().unwrap_or_default();
        let mut headers = match message.headers() {
            Some(headers) => forward(headers, 4),
            None => OwnedHeaders::new_with_capacity(4),
        };
        let partition = message.partition().to_string();
        let offset = message.offset().to_string();
        for (key, value) in [
            (HEADER_REASON, reason),
            ("sigmill.topic", message.topic()),
            ("sigmill.partition", partition.as_str()),
            ("sigmill.offset", offset.as_str()),
        ] {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let id = self.begin(record, payload.len(), FlightKind::DeadLetter);
        let timestamp = message.timestamp().to_millis();
        self.send(&topic, message.key(), payload, timestamp, Some(headers), id);
        self.deadletter_topic = Some(topic);
    }

    /// Sends a detection, or does with it what is known to be needed since it failed before.
    fn send_of_rule(
        &mut self,
        rule: &ActiveRule,
        key: Option<&[u8]>,
        payload: &[u8],
        timestamp: Option<i64>,
        headers: Option<OwnedHeaders>,
        id: FlightId,
    ) {
        let remedy = match &self.transaction {
            None => None,
            Some(transaction) => {
                self.ledger.set_rule(id, rule_number(rule));
                let known = if transaction.has_remedies() { self.identity(id) } else { None };
                known.and_then(|known| transaction.remedy(&known))
            }
        };
        let is_broken =
            rule.output_topic != self.output_topic && self.budget.is_broken(&rule.output_topic);
        let remedy = remedy.or(is_broken.then_some(Remedy::DefaultTopic));
        let Some(remedy) = remedy else {
            return self.send(&rule.output_topic, key, payload, timestamp, headers, id);
        };
        let outgoing = Outgoing {
            topic: rule.output_topic.clone(),
            key: key.map(<[u8]>::to_vec),
            payload: payload.to_vec(),
            timestamp,
            headers,
            id,
            due: Instant::now(),
        };
        match remedy {
            Remedy::Alone => self.alone.push_back(outgoing),
            Remedy::DefaultTopic => self.reroute(outgoing),
            Remedy::GiveUp(code) => self.give_up(code, outgoing),
        }
    }

    /// What something in flight is known by, whichever time it is sent.
    pub(crate) fn identity(&self, id: FlightId) -> Option<Identity> {
        let flight = self.ledger.flight(id)?;
        let (topic, partition) = self.ledger.partition_of(flight)?;
        let (offset, rule) = (flight.offset, flight.rule);
        Some(Identity { topic: topic.to_owned(), partition, offset, rule })
    }

    fn begin<M: Message>(
        &mut self,
        record: &SourceRecord<'_, M>,
        bytes: usize,
        kind: FlightKind,
    ) -> FlightId {
        let timestamp = record.message.timestamp().to_millis().unwrap_or(0);
        self.ledger.sent(record.slot, record.message.offset(), timestamp, bytes, kind)
    }

    fn send(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        payload: &[u8],
        timestamp: Option<i64>,
        headers: Option<OwnedHeaders>,
        id: FlightId,
    ) {
        if !self.begin_transaction() {
            // The transaction ends without it.
            self.drop_flight(id);
            return;
        }
        let mut record = BaseRecord::with_opaque_to(topic, id.0).payload(payload);
        record.key = key;
        record.partition = self.batches.get(&id.0).map(|(partition, _)| *partition);
        // A timestamp before 1970 is none.
        record.timestamp = timestamp.filter(|timestamp| *timestamp > 0);
        record.headers = headers;
        let Err((error, record)) = self.producer.send(record) else { return };
        let outgoing = Outgoing {
            topic: topic.to_owned(),
            key: key.map(<[u8]>::to_vec),
            payload: payload.to_vec(),
            timestamp,
            headers: record.headers,
            id,
            due: Instant::now(),
        };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => self.retries.push_back(outgoing),
            // A transaction that has failed takes nothing any more.
            Some(code) if self.transaction.is_some() => self.doubt_of(code, &outgoing, false),
            code => self.failed(code.unwrap_or(RDKafkaErrorCode::Unknown), outgoing),
        }
    }

    /// Serves the producer for up to `timeout`, takes in what was acknowledged, sends again what is
    /// due.
    pub fn poll(&mut self, timeout: Duration) {
        self.producer.poll(timeout);
        loop {
            self.producer.context().take(&mut self.reports);
            if self.reports.is_empty() {
                break;
            }
            let mut reports = std::mem::take(&mut self.reports);
            let now = clock::now_us();
            for report in reports.drain(..) {
                match report.failure {
                    None => self.delivered(report.id, now),
                    Some((code, outgoing)) => self.failed(code, outgoing),
                }
            }
            self.reports = reports;
            // One call serves one event; there may be more.
            self.producer.poll(Duration::ZERO);
        }
        self.budget.look(Instant::now());
        self.send_again();
    }

    fn delivered(&mut self, id: FlightId, now_us: i64) {
        self.alone_in_flight.take_if(|alone| *alone == id);
        let Some(Flight { kind, record_timestamp, .. }) = self.ledger.acknowledged(id) else {
            return;
        };
        match kind {
            FlightKind::Detection => {
                self.counts.add(Metric::Detections, 1);
                if record_timestamp > 0 {
                    let elapsed = now_us.saturating_sub(record_timestamp.saturating_mul(1000));
                    let elapsed = Duration::from_micros(u64::try_from(elapsed).unwrap_or(0));
                    self.latencies.record(Stage::Detection, elapsed);
                }
            }
            FlightKind::DeadLetter => self.counts.add(Metric::DeadLetters, 1),
            FlightKind::Matches => self.unpin(id),
            FlightKind::Pin => {}
        }
    }

    pub(crate) fn unpin(&mut self, id: FlightId) {
        let (_, pins) = self.batches.remove(&id.0).unwrap_or_default();
        for pin in pins {
            self.ledger.acknowledged(pin);
        }
    }

    fn failed(&mut self, code: RDKafkaErrorCode, outgoing: Outgoing) {
        let was_alone = self.alone_in_flight.take_if(|alone| *alone == outgoing.id).is_some();
        if self.transaction.is_some() {
            self.doubt_of(code, &outgoing, was_alone);
            return;
        }
        if is_about_batch(code) && !was_alone {
            // It may have been in a batch with others. Alone it shows whether it is the one.
            self.say(code, &outgoing.topic, "A batch was refused; sending its records one by one.");
            self.alone.push_back(outgoing);
            return;
        }
        let is_dead_letter = self
            .ledger
            .flight(outgoing.id)
            .is_some_and(|flight| flight.kind == FlightKind::DeadLetter);
        match cause(code) {
            Cause::Fatal => {
                self.fatal.get_or_insert_with(|| format!("{code} (topic {})", outgoing.topic));
                self.retries.push_back(outgoing);
            }
            Cause::Passing => {
                self.counts.add(Metric::DetectionsRetried, u64::from(!is_dead_letter));
                self.say(code, &outgoing.topic, "A delivery failed; it is sent again.");
                self.retries.push_back(outgoing);
            }
            Cause::Topic | Cause::Record if is_dead_letter => {
                self.say(
                    code,
                    &outgoing.topic,
                    "A dead letter is lost: its topic does not take it.",
                );
                self.counts.add(Metric::DeadLettersFailed, 1);
                self.ledger.acknowledged(outgoing.id);
            }
            Cause::Topic if self.batches.contains_key(&outgoing.id.0) => {
                self.say(code, &outgoing.topic, "The matches topic is not usable; trying again.");
                self.retries.push_back(outgoing);
            }
            Cause::Topic if outgoing.topic == self.output_topic => {
                self.say(code, &outgoing.topic, "The output topic is not usable; trying again.");
                self.counts.add(Metric::DetectionsRetried, 1);
                self.retries.push_back(outgoing);
            }
            Cause::Topic => {
                self.say(code, &outgoing.topic, "A rule's topic is not usable; using the default.");
                self.break_topic(code, &outgoing.topic);
                self.reroute(outgoing);
            }
            Cause::Record
                if outgoing.topic != self.output_topic
                    && !self.batches.contains_key(&outgoing.id.0) =>
            {
                self.say(code, &outgoing.topic, "A rule's topic refuses it; using the default.");
                self.reroute(outgoing);
            }
            Cause::Record => self.give_up(code, outgoing),
        }
    }

    fn break_topic(&mut self, code: RDKafkaErrorCode, topic: &str) {
        self.budget.break_topic(topic, &code.to_string(), Instant::now());
    }

    fn reroute(&mut self, mut outgoing: Outgoing) {
        self.counts.add(Metric::DetectionsRerouted, 1);
        let headers = outgoing.headers.take().unwrap_or_default();
        let header = Header { key: HEADER_OUTPUT_TOPIC, value: Some(outgoing.topic.as_str()) };
        outgoing.headers = Some(headers.insert(header));
        outgoing.topic.clone_from(&self.output_topic);
        outgoing.due = Instant::now();
        self.retries.push_back(outgoing);
    }

    /// A delivery of a transaction failed: nothing of it can be committed, and the next try may need a
    /// remedy.
    fn doubt_of(&mut self, code: RDKafkaErrorCode, outgoing: &Outgoing, was_alone: bool) {
        let cause = cause(code);
        let flight = self.ledger.flight(outgoing.id);
        let kind = flight.map_or(FlightKind::Matches, |flight| flight.kind);
        let is_purged =
            matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight);
        let remedy = match (kind, cause) {
            (FlightKind::Detection, Cause::Record) if is_about_batch(code) && !was_alone => {
                Some(Remedy::Alone)
            }
            (FlightKind::Detection, Cause::Record) => Some(Remedy::GiveUp(code)),
            (FlightKind::Detection, Cause::Topic) if outgoing.topic != self.output_topic => {
                Some(Remedy::DefaultTopic)
            }
            _ => None,
        };
        if remedy == Some(Remedy::DefaultTopic) {
            self.break_topic(code, &outgoing.topic);
        }
        let identity = self.identity(outgoing.id);
        if cause == Cause::Fatal {
            self.fatal.get_or_insert_with(|| format!("{code} (topic {})", outgoing.topic));
        } else if !is_purged {
            self.say(code, &outgoing.topic, "A delivery failed; its transaction is redone.");
        }
        if let Some(transaction) = &mut self.transaction {
            if let (Some(remedy), Some(identity)) = (remedy, identity) {
                transaction.learn(identity, remedy);
            }
            if !is_purged {
                transaction.doubt(format!("{code} (topic {})", outgoing.topic));
            }
        }
        self.drop_flight(outgoing.id);
    }

    /// Forgets what is in flight: its transaction does not hold.
    pub(crate) fn drop_flight(&mut self, id: FlightId) {
        self.alone_in_flight.take_if(|alone| *alone == id);
        self.unpin(id);
        self.ledger.acknowledged(id);
    }

    /// A detection that can never be produced.
    fn give_up(&mut self, code: RDKafkaErrorCode, mut outgoing: Outgoing) {
        // What is put aside is dealt with, and is for no partition any more.
        self.unpin(outgoing.id);
        self.counts.add(Metric::DetectionsFailed, 1);
        let Some(deadletter) = &self.deadletter_topic else {
            self.say(code, &outgoing.topic, "A detection is lost: it can never be produced.");
            self.ledger.acknowledged(outgoing.id);
            return;
        };
        let headers = outgoing.headers.take().unwrap_or_default();
        let reason = code.to_string();
        outgoing.headers = Some(
            headers
                .insert(Header { key: HEADER_REASON, value: Some(reason.as_str()) })
                .insert(Header { key: HEADER_OUTPUT_TOPIC, value: Some(outgoing.topic.as_str()) }),
        );
        outgoing.topic.clone_from(deadletter);
        outgoing.due = Instant::now();
        self.ledger.redirect(outgoing.id, FlightKind::DeadLetter);
        self.retries.push_back(outgoing);
    }

    fn say(&mut self, code: RDKafkaErrorCode, topic: &str, what: &str) {
        if let Some(left_out) = self.limit.allow(Instant::now()) {
            error!(topic, error = %code, left_out, "{what}");
        }
    }

    fn send_again(&mut self) {
        let now = Instant::now();
        // Each of those here now once: what fails again waits behind them.
        for _ in 0..self.retries.len() {
            let Some(outgoing) = self.retries.pop_front() else { break };
            if outgoing.due > now {
                self.retries.push_back(outgoing);
                continue;
            }
            self.send_owned(outgoing);
        }
        // All that is in flight waits here: nothing can share a batch with the next one.
        if self.retries.is_empty()
            && self.alone_in_flight.is_none()
            && self.ledger.in_flight_count() == self.alone.len()
            && let Some(outgoing) = self.alone.pop_front()
        {
            self.alone_in_flight = Some(outgoing.id);
            self.send_owned(outgoing);
        }
    }

    fn send_owned(&mut self, outgoing: Outgoing) {
        let Outgoing { topic, key, payload, timestamp, headers, id, .. } = outgoing;
        self.send(&topic, key.as_deref(), &payload, timestamp, headers, id);
    }

    /// How many things wait for an acknowledgement.
    pub fn in_flight_count(&self) -> usize {
        self.ledger.in_flight_count()
    }
}

/// Tells rules apart.
fn rule_number(rule: &ActiveRule) -> u64 {
    let mut hash = Fnv::new();
    hash.bytes(rule.key.as_bytes());
    hash.0
}

/// The headers with that of the rule's author.
fn with_author(headers: Option<OwnedHeaders>, rule: &ActiveRule) -> Option<OwnedHeaders> {
    let Some(author) = &rule.author else { return headers };
    let headers = headers.unwrap_or_else(|| OwnedHeaders::new_with_capacity(1));
    Some(headers.insert(Header { key: HEADER_AUTHOR, value: Some(author.as_str()) }))
}

/// The headers with the number of detections that were left out before, if there are any.
fn with_suppressed(headers: Option<OwnedHeaders>, suppressed: u64) -> Option<OwnedHeaders> {
    if suppressed == 0 {
        return headers;
    }
    let headers = headers.unwrap_or_else(|| OwnedHeaders::new_with_capacity(1));
    let count = suppressed.to_string();
    Some(headers.insert(Header { key: HEADER_SUPPRESSED, value: Some(count.as_str()) }))
}

/// The record's headers, with room for more.
fn forward(headers: &impl Headers, more: usize) -> OwnedHeaders {
    let mut owned = OwnedHeaders::new_with_capacity(headers.count() + more);
    for header in headers.iter() {
        owned = owned.insert(header);
    }
    owned
}
