//! What correlations and the older aggregations mean: detections over a whole sequence of events.
//!
//! In: documents, and all events with their times in the order of arrival. Out: every detection of every
//! correlation. After each event all is computed anew from all events of a group so far; the only things
//! remembered are what has been reported, and how far time had come.
//!
//! A *watermark* is the greatest time seen, as of the events that count for some correlation. An event
//! older than the watermark less the grace is late and counts for nothing. What lies further back than a
//! correlation's *hold* (its grace, or the hold of a correlation that feeds it, if that is longer) is
//! *settled*. [`meaning`] says when a condition holds and is due, [`network`] who feeds whom.

mod meaning;
mod network;

use std::collections::BTreeMap;

use sigmill_parser::{Document, FieldMapping};

use self::meaning::{Class, Measured};
use self::network::{Feed, Node, Way};
use crate::filter::filtered_neighbours;
use crate::{Json, filtered_conditions};

/// When detections go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// At once: whenever a run of instants at which the condition holds has not been reported.
    Early,
    /// When the instant is settled.
    Final,
    /// With each event after which the condition holds at an instant in its reach.
    Every,
}

/// How time is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// When detections go out.
    pub emit: Emit,
    /// In milliseconds; else the lesser of the timespan and five minutes.
    pub grace_ms: Option<i64>,
}

/// A detection of a correlation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Detection {
    /// Index of the document.
    pub document: usize,
    /// Which of its conditions.
    pub condition: usize,
    /// The values of `group-by`.
    pub group: Vec<String>,
    /// The instant for which it is.
    pub at: i64,
    /// The first millisecond looked at.
    pub start: i64,
    /// The last one.
    pub end: i64,
    /// The number, in billionths, cut.
    pub number: i128,
    /// The events in the window, by index, in rising order.
    pub events: Vec<usize>,
    /// The event that made the condition hold.
    pub completed_by: usize,
}

/// All that a sequence of events comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of correlations and aggregations, in the order of reporting.
    pub detections: Vec<Detection>,
    /// Events that came too late, once for each correlation and group.
    pub late: usize,
}

/// One thing that counts for a group.
#[derive(Debug, Clone)]
struct Arrival {
    time: i64,
    /// The event, or the event that completed a detection.
    event: usize,
    origin: Origin,
    inputs: Vec<usize>,
    texts: Vec<Vec<String>>,
    numbers: Vec<i128>,
}

/// What fields are read from.
#[derive(Debug, Clone)]
enum Origin {
    Event(usize),
    Detection { names: Vec<String>, group: Vec<String>, completing: Box<Origin> },
}

#[derive(Debug, Default)]
struct Group {
    arrivals: Vec<Arrival>,
    /// Instants that have been reported; with closing windows their ends.
    reported: Vec<i64>,
}

/// A detection on its way to the correlations that it feeds.
struct Waiting {
    from: usize,
    detection: Detection,
    completing: Origin,
}

struct Run<'a> {
    nodes: Vec<Node>,
    events: &'a [(Option<i64>, Json)],
    mapping: &'a FieldMapping,
    settings: Settings,
    groups: Vec<BTreeMap<Vec<String>, Group>>,
    /// By node: instants before it are settled.
    settled: Vec<i64>,
    watermark: i64,
    outcome: Outcome,
}

/// The detections of all correlations and aggregations among `documents` over `events`.
pub fn correlate(
    documents: &[Document],
    events: &[(Option<i64>, Json)],
    mapping: &FieldMapping,
    settings: Settings,
) -> Outcome {
    let nodes = network::nodes(documents, &settings);
    let count = nodes.len();
    let mut run = Run {
        nodes,
        events,
        mapping,
        settings,
        groups: (0..count).map(|_| BTreeMap::new()).collect(),
        settled: vec![i64::MIN; count],
        watermark: i64::MIN,
        outcome: Outcome::default(),
    };
    let mut latest = i64::MIN;
    for (event, (time, json)) in events.iter().enumerate() {
        let Some(time) = *time else { continue };
        latest = latest.max(time);
        let mut matched: Vec<Feed> = Vec::new();
        for (at, document) in documents.iter().enumerate() {
            let Document::Rule(rule) = document else { continue };
            let held = filtered_conditions(rule, documents, json, mapping);
            for (condition, holds) in held.into_iter().enumerate() {
                matched.extend(holds.then_some(Feed::Rule(at, condition)));
                let near = filtered_neighbours(rule, condition, documents, json, mapping);
                let parts = (0..near.len()).filter(|part| near[*part]);
                matched.extend(parts.map(|part| Feed::Neighbour(at, condition, part)));
            }
        }
        run.step(event, time, latest, &matched);
    }
    run.settle(i64::MAX);
    run.outcome
}

impl Run<'_> {
    fn step(&mut self, event: usize, time: i64, latest: i64, matched: &[Feed]) {
        let arrivals: Vec<Vec<(Vec<String>, Arrival)>> = (0..self.nodes.len())
            .map(|node| self.arrivals(node, matched, event, time, &Origin::Event(event)))
            .collect();
        // Time is taken notice of only with an event that counts.
        if arrivals.iter().all(Vec::is_empty) {
            return;
        }
        self.watermark = latest;
        self.settle(latest);
        let mut waiting = Vec::new();
        for (node, own) in arrivals.into_iter().enumerate() {
            for (group, arrival) in own {
                if time < self.watermark.saturating_sub(self.nodes[node].grace) {
                    self.outcome.late += 1;
                } else {
                    self.arrive(node, &group, arrival, &mut waiting);
                }
            }
            self.take_waiting(node, &mut waiting);
        }
    }

    /// Time has come to `watermark`.
    fn settle(&mut self, watermark: i64) {
        let mut waiting = Vec::new();
        for node in 0..self.nodes.len() {
            self.take_waiting(node, &mut waiting);
            let before = self.settled[node];
            let settled = watermark.saturating_sub(self.nodes[node].hold);
            if settled <= before {
                continue;
            }
            self.settled[node] = settled;
            let groups: Vec<Vec<String>> = self.groups[node].keys().cloned().collect();
            for group in groups {
                let own = &self.groups[node][&group];
                let measured = Measured::new(&self.nodes[node], &own.arrivals);
                let is_new = |span: &(i64, i64)| !own.reported.contains(&span.1);
                let spans: Vec<(i64, i64)> = match self.nodes[node].class {
                    Class::Closing => measured.closed(settled).into_iter().filter(is_new).collect(),
                    Class::Final => {
                        let due = measured.due(|at| at < settled && measured.holds(at));
                        due.into_iter().filter(is_new).collect()
                    }
                    // What a negative number kept undecided until now.
                    Class::Rising if measured.has_negative_since(before) => {
                        let is_over = !measured.has_negative_since(settled);
                        let is_decided = |at: i64| is_over || at < settled;
                        let due = measured.due(|at| is_decided(at) && measured.holds(at));
                        due.into_iter().filter(|span| span.1 >= before).filter(is_new).collect()
                    }
                    Class::Rising => Vec::new(),
                };
                for span in spans {
                    self.report(node, &group, span, None, &mut waiting);
                }
            }
        }
    }

    /// The windows that end in the first instant of a run that has not been reported.
    fn unreported(&self, node: usize, group: &[String]) -> Vec<(i64, i64)> {
        let own = &self.groups[node][group];
        let measured = Measured::new(&self.nodes[node], &own.arrivals);
        let settled = self.settled[node];
        let is_certain = |at| at < settled || !measured.has_negative_since(settled);
        let runs = measured.runs(|at| is_certain(at) && measured.holds(at));
        runs.into_iter()
            .filter(|(start, end)| !own.reported.iter().any(|at| (start..=end).contains(&at)))
            .map(|(start, _)| measured.window(start))
            .collect()
    }

    fn arrive(
        &mut self,
        node: usize,
        group: &[String],
        arrival: Arrival,
        waiting: &mut Vec<Waiting>,
    ) {
        let (time, completing) = (arrival.time, (arrival.event, arrival.origin.clone()));
        self.groups[node].entry(group.to_vec()).or_default().arrivals.push(arrival);
        if self.nodes[node].class != Class::Rising {
            return;
        }
        let spans = match self.settings.emit {
            Emit::Early => self.unreported(node, group),
            _ => {
                let own = &self.groups[node][group];
                let measured = Measured::new(&self.nodes[node], &own.arrivals);
                measured
                    .instants()
                    .into_iter()
                    .filter(|at| (time..=time + self.nodes[node].timespan).contains(at))
                    .find(|at| measured.holds(*at))
                    .map(|at| measured.window(at))
                    .into_iter()
                    .collect()
            }
        };
        for span in spans {
            self.report(node, group, span, Some(completing.clone()), waiting);
        }
    }

    fn report(
        &mut self,
        node: usize,
        group: &[String],
        span: (i64, i64),
        completing: Option<(usize, Origin)>,
        waiting: &mut Vec<Waiting>,
    ) {
        let own = self.groups[node].get_mut(group).expect("a group that arrivals made");
        let measured = Measured::new(&self.nodes[node], &own.arrivals);
        let Some(number) = measured.number_if_holding(span) else { return };
        let within = |arrival: &&Arrival| (span.0..=span.1).contains(&arrival.time);
        let last = own.arrivals.iter().filter(within).max_by_key(|a| (a.time, a.event));
        let (completed_by, origin) = completing.unwrap_or_else(|| {
            let last = last.expect("a window with an arrival");
            (last.event, last.origin.clone())
        });
        let mut events: Vec<usize> =
            own.arrivals.iter().filter(within).map(|arrival| arrival.event).collect();
        events.sort_unstable();
        events.dedup();
        own.reported.push(span.1);
        let detection = Detection {
            document: self.nodes[node].document,
            condition: self.nodes[node].condition,
            group: group.to_vec(),
            at: span.1,
            start: span.0,
            end: span.1,
            number,
            events,
            completed_by,
        };
        self.outcome.detections.push(detection.clone());
        waiting.push(Waiting { from: node, detection, completing: origin });
    }

    /// Lets the detections of other correlations that feed this one arrive.
    fn take_waiting(&mut self, node: usize, waiting: &mut Vec<Waiting>) {
        let mut due: Vec<(usize, Detection, Origin)> = Vec::new();
        for one in waiting.iter() {
            if self.nodes[node].ways.iter().any(|way| way.feed == Feed::Node(one.from)) {
                let origin = Origin::Detection {
                    names: self.nodes[one.from].group_by.clone(),
                    group: one.detection.group.clone(),
                    completing: Box::new(one.completing.clone()),
                };
                due.push((one.from, one.detection.clone(), origin));
            }
        }
        due.sort_by(|(_, a, _), (_, b, _)| {
            let rank = |d: &Detection| (d.at, d.document, d.condition, d.group.clone());
            rank(a).cmp(&rank(b))
        });
        for (from, detection, origin) in due {
            let (event, time) = (detection.completed_by, detection.at);
            let arrivals = self.arrivals(node, &[Feed::Node(from)], event, time, &origin);
            for (group, arrival) in arrivals {
                // An event out of order may split a run that was reported at a later instant, and its
                // first part is reported when that is long settled.
                if time < self.settled[node] {
                    self.outcome.late += 1;
                } else {
                    self.arrive(node, &group, arrival, waiting);
                }
            }
        }
    }

    /// What a match of `feeds` is for a node: an arrival for each group.
    fn arrivals(
        &self,
        node: usize,
        feeds: &[Feed],
        event: usize,
        time: i64,
        origin: &Origin,
    ) -> Vec<(Vec<String>, Arrival)> {
        let node = &self.nodes[node];
        let mut arrivals: Vec<(Vec<String>, Arrival)> = Vec::new();
        let ways = node.ways.iter().filter(|way| feeds.contains(&way.feed));
        for Way { input, group, values, .. } in ways {
            let (mut texts, mut numbers) = (Vec::new(), Vec::new());
            if node.is_numeric() {
                let all = values.iter().flat_map(|name| self.read(origin, name));
                numbers = all.filter_map(|text| crate::number::billionths(&text)).collect();
            } else if node.needs_value() {
                texts = self.combinations(origin, values);
            }
            if node.needs_value() && texts.is_empty() && numbers.is_empty() {
                continue;
            }
            for group in self.combinations(origin, group) {
                match arrivals.iter_mut().find(|(known, _)| *known == group) {
                    Some((_, known)) => {
                        known.inputs.push(*input);
                        known.inputs.sort_unstable();
                        known.inputs.dedup();
                    }
                    None => {
                        let (texts, numbers) = (texts.clone(), numbers.clone());
                        let (inputs, origin) = (vec![*input], origin.clone());
                        let arrival = Arrival { time, event, origin, inputs, texts, numbers };
                        arrivals.push((group, arrival));
                    }
                }
            }
        }
        arrivals
    }

    /// Every combination of the distinct values of these fields.
    fn combinations(&self, origin: &Origin, names: &[String]) -> Vec<Vec<String>> {
        let mut combinations = vec![Vec::new()];
        for name in names {
            let mut distinct: Vec<String> = Vec::new();
            for value in self.read(origin, name) {
                if !distinct.contains(&value) {
                    distinct.push(value);
                }
            }
            combinations = combinations
                .iter()
                .flat_map(|before: &Vec<String>| {
                    distinct
                        .iter()
                        .map(move |value| [before.as_slice(), std::slice::from_ref(value)].concat())
                })
                .collect();
        }
        combinations
    }

    /// The values of a field. A detection has those of its group; of others the event that completed it
    /// has one.
    fn read(&self, origin: &Origin, name: &str) -> Vec<String> {
        match origin {
            Origin::Event(event) => {
                let json = &self.events[*event].1;
                let targets = self.mapping.targets(name);
                let mut found = targets.iter().map(|target| {
                    let elements = crate::look_up(json, target).unwrap_or_default();
                    let texts = elements.into_iter().filter_map(crate::text_of);
                    texts.map(str::to_owned).collect::<Vec<_>>()
                });
                found.find(|texts| !texts.is_empty()).unwrap_or_default()
            }
            Origin::Detection { names, group, completing } => {
                match names.iter().position(|known| known == name) {
                    Some(at) => vec![group[at].clone()],
                    None => self.read(completing, name).into_iter().take(1).collect(),
                }
            }
        }
    }
}
