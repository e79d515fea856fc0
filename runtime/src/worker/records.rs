//! One record: matched, sent, and fed to windows.

use std::time::Instant;

use rdkafka::message::{BorrowedMessage, Message};
use sigmill_engine::RuleId;
use tracing::warn;

use super::Worker;
use crate::account::Account;
use crate::avro::Decoder;
use crate::batch::BatchRecord;
use crate::commit::{Mark, Slot};
use crate::detection::{Event, EventPosition};
use crate::emit::{Emitter, SourceRecord};
use crate::metrics::{Counts, Metric};
use crate::rate_limit::RateLimit;
use crate::rule_store::RuleSet;
use crate::windows::feed::Times;
use crate::windows::match_batch::{BatchSource, SourceTime};
use crate::windows::outbox::{Origin, Source};

impl<'a> Worker<'a> {
    pub(super) fn work_on(&mut self, record: &BatchRecord<'a>) {
        if self.plans.are_several() && !record.is_matches {
            let plan = self.plans.of(record);
            self.turn_to(plan);
        }
        // Apart from the rest, which works on what it holds.
        let mut avro = self.avro.take();
        self.work_with(record, avro.as_deref_mut());
        self.avro = avro;
    }

    fn work_with(&mut self, record: &BatchRecord<'a>, avro: Option<&mut Decoder>) {
        let message = &record.message;
        let mut emitter = self.context.emitter();
        if record.is_matches {
            let record = (record.slot, message);
            self.shard.take(&mut emitter, &self.window_rules, record, &mut self.extract);
            return;
        }
        if self.context.has_own_windows && emitter.ledger.is_replay(record.slot, message.offset()) {
            self.restore(&emitter, record, avro);
            return;
        }
        let Some(slot) = emitter.ledger.begin(record.slot, message.offset()) else { return };
        let source = SourceRecord { message, slot };
        let account = &mut self.account;
        let mut count = |metric, n| account.count(slot, message.topic(), metric, n);
        count(Metric::Records, 1);
        match message.payload() {
            None => count(Metric::Tombstones, 1),
            Some(payload) => {
                count(Metric::RecordBytes, payload.len() as u64);
                let payload = match avro.map(|avro| avro.to_json(payload)) {
                    None => payload,
                    Some(Ok(json)) => json,
                    Some(Err(refusal)) => {
                        count(Metric::RejectedAvro, 1);
                        emitter.send_dead_letter(&source, &refusal.to_string());
                        say_refused(&mut self.limit, message, &refusal);
                        emitter.ledger.read(slot, message.offset());
                        return;
                    }
                };
                let sampled = self.account.sample();
                let matched = match &mut self.joining {
                    None => self.matcher.matches(payload),
                    Some(joining) => joining.joiner.matches(&mut self.matcher, payload),
                };
                let polled_at = self.poller.polled_at;
                Account::matched_since(&mut emitter.latencies, sampled, polled_at);
                match matched {
                    Ok(matches) => {
                        self.matches.clear();
                        self.matches.extend_from_slice(matches);
                        self.account.count_matches(&self.rules, &self.matches);
                        if !self.window_rules.is_empty() {
                            self.feed_windows(&mut emitter, slot, message, payload);
                        }
                        emitter.counts.add(Metric::Matches, self.matches.len() as u64);
                        // What only feeds windows is no detection, and first match leaves it alone.
                        let windows = &self.rules.windows;
                        self.matches.retain(|id| windows.is_emitting(*id));
                        if self.shared.settings.is_first_match {
                            keep_first(&mut self.matches, &self.rules);
                        }
                        if !self.matches.is_empty()
                            && let Some(joining) = &mut self.joining
                        {
                            joining.finish(&mut self.matcher, payload);
                        }
                        let event = Event {
                            bytes: payload,
                            position: EventPosition::Record {
                                topic: message.topic(),
                                partition: message.partition(),
                                offset: message.offset(),
                            },
                            timestamp: message.timestamp().to_millis(),
                        };
                        for id in &self.matches {
                            self.extract.clear();
                            let reads = self.rules.reads(*id);
                            if !reads.is_empty() {
                                reads.take(&mut self.matcher, payload, &mut self.extract);
                            }
                            let rule = self.rules.rule(*id);
                            if let Some(joining) = &self.joining {
                                joining.tell(rule, &mut self.extract);
                            }
                            emitter.send_detection(&source, rule, &event, &self.extract);
                        }
                    }
                    Err(rejection) => {
                        self.account.count(slot, message.topic(), rejection.into(), 1);
                        emitter.send_dead_letter(&source, rejection.as_str());
                        say_refused(&mut self.limit, message, &rejection);
                    }
                }
            }
        }
        emitter.ledger.read(slot, message.offset());
    }

    /// What a record's matches are for windows, and how far time comes with it.
    fn feed_windows(
        &mut self,
        emitter: &mut Emitter,
        slot: Slot,
        message: &BorrowedMessage<'_>,
        payload: &[u8],
    ) {
        let rules = &*self.window_rules;
        let before = emitter.ledger.mark(slot).map_or(i64::MIN, |mark| mark.time);
        let times = self.feed.times(message.timestamp().to_millis(), before, self.now);
        let record = (times, message.offset());
        let matcher = (&mut self.matcher, payload);
        let sets = (&*self.rules, rules);
        self.feed.take(sets, matcher, &self.matches, record, &mut emitter.counts);
        let mut mark = Mark { time: times.partition, ..Mark::default() };
        if self.context.has_own_windows {
            let place = (slot, message.offset());
            let (source, matches) = (source(message, times), &mut self.feed.matches);
            self.shard.take_own(emitter, rules, place, (source, matches), &mut self.extract);
            let own = self.shard.mark(slot);
            mark = Mark { replay: own.replay, replay_time: own.replay_time, ..mark };
        } else {
            let timestamp = times.event.unwrap_or(0);
            let origin = Origin { slot, offset: message.offset(), timestamp };
            for fed in self.feed.matches.drain(..) {
                let version = rules.by_window[fed.window.0 as usize].version;
                emitter.add_match(origin, Source::Own(slot), version, &fed);
            }
        }
        emitter.ledger.set_mark(slot, mark);
    }

    /// Takes a record that was done with before into the windows of its partition.
    fn restore(&mut self, emitter: &Emitter, record: &BatchRecord<'a>, avro: Option<&mut Decoder>) {
        let (slot, message) = (record.slot, &record.message);
        let Some(payload) = message.payload() else { return };
        let payload = match avro.map(|avro| avro.to_json(payload)) {
            None => payload,
            Some(Ok(json)) => json,
            // It was refused when it was done.
            Some(Err(_)) => return,
        };
        let found = match &mut self.joining {
            None => self.matcher.matches(payload),
            Some(joining) => joining.joiner.matches(&mut self.matcher, payload),
        };
        let Ok(matches) = found else { return };
        self.matches.clear();
        self.matches.extend_from_slice(matches);
        let Some(start) = emitter.ledger.start(slot) else { return };
        let before = self.shard.time(slot, start);
        let times = self.feed.times(message.timestamp().to_millis(), before, self.now);
        let sets = (&*self.rules, &*self.window_rules);
        let matcher = (&mut self.matcher, payload);
        // It was counted when it was done.
        let mut counts = Counts::default();
        self.feed.take(sets, matcher, &self.matches, (times, message.offset()), &mut counts);
        let place = (slot, message.offset());
        let fed = (source(message, times), &mut self.feed.matches);
        self.shard.restore_own(&self.window_rules, start, place, fed);
    }
}

/// A data partition as its windows see it.
fn source<'m>(message: &'m BorrowedMessage<'_>, times: Times) -> BatchSource<'m> {
    let time = SourceTime::of(times.partition);
    let (topic, partition) = (message.topic(), message.partition());
    BatchSource { topic, partition_count: 0, partition, time, is_idle: false }
}

/// First match means lowest title, which is the lowest index.
fn keep_first(matches: &mut Vec<RuleId>, rules: &RuleSet) {
    if let Some(first) = matches.iter().copied().min_by_key(|id| rules.plan.rule(*id).source) {
        matches.clear();
        matches.push(first);
    }
}

fn say_refused(
    limit: &mut RateLimit,
    message: &BorrowedMessage<'_>,
    rejection: &dyn std::fmt::Display,
) {
    if let Some(left_out) = limit.allow(Instant::now()) {
        warn!(
            topic = message.topic(),
            partition = message.partition(),
            offset = message.offset(),
            %rejection,
            left_out,
            "Refused a record."
        );
    }
}
