//! Windows over files: what the workers prepare for each line, and what the lines come to in their order.
//!
//! Workers make a line's matches for windows ([`Feeder`]); the thread that writes puts them through the
//! windows in the order of the lines ([`Ordered`]), so that the output is the same for any number of
//! threads. All sources are one stream: time is the greatest event time of the lines so far, and it is
//! taken notice of at lines that feed a window and at the end, when every window is closed. An event
//! without a readable time feeds no window, and is counted.

use std::sync::Arc;

use sigmill_engine::window::{
    self, FeedCounters, Occurrence, Position, Window, WindowConfig, WindowCounters,
    WindowDetection, WindowMatch, WindowPlan, WindowSet,
};
use sigmill_engine::{FieldId, Matcher, Plan, RuleId, ValueKind};

use super::event_time::time_of_text;

/// Windows and what they need of a run over files.
#[derive(Debug, Clone)]
pub struct FileWindows {
    /// The windows of the plan.
    pub plan: Arc<WindowPlan>,
    /// Their limits and switches.
    pub config: WindowConfig,
    /// The field that holds an event's time; the plan has to know it.
    pub time_field: String,
    /// Longest event of which detections show the content, in bytes; 0 for none.
    pub content_bytes_max: usize,
}

/// What windows did in a run over files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WindowSummary {
    /// Detections that went out.
    pub detections: u64,
    /// Lines that would have fed a window, but have no time that can be read.
    pub lines_without_time: u64,
    /// Matches that fed no window for want of a value.
    pub feeds: FeedCounters,
    /// What the windows counted.
    pub windows: WindowCounters,
}

/// A detection of a window, with what it takes to show it.
#[derive(Debug)]
#[non_exhaustive]
pub struct DetectedWindow<'a> {
    /// The detection.
    pub detection: &'a WindowDetection,
    /// Its window.
    pub window: &'a Window,
    /// By source: the number of its first line over all sources.
    source_lines: &'a [u64],
}

impl DetectedWindow<'_> {
    /// The number of the line that completed it, from 0 over all sources.
    pub fn line(&self) -> u64 {
        let Position { source, offset } = self.detection.completed_by;
        self.source_lines.get(source as usize).copied().unwrap_or(0) + offset
    }
}

/// What a line feeds.
#[derive(Debug)]
pub(super) struct LineFeed {
    /// Where the text that was written for the lines up to this one ends.
    pub(super) text_end: usize,
    /// The greatest event time of the block's lines up to this one.
    pub(super) latest: i64,
    pub(super) matches: Vec<WindowMatch>,
}

/// A block's part.
#[derive(Debug, Default)]
pub(super) struct BlockFeed {
    pub(super) lines: Vec<LineFeed>,
    /// The greatest event time of all its lines.
    latest: Option<i64>,
    without_time: u64,
    counters: FeedCounters,
}

/// The worker's side.
pub(super) struct Feeder<'a> {
    windows: &'a FileWindows,
    time_field: Option<FieldId>,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(windows: &'a FileWindows, plan: &Plan) -> Self {
        Self { windows, time_field: plan.field(&windows.time_field) }
    }

    /// Whether matches of a rule are detections.
    pub(super) fn is_emitting(&self, rule: RuleId) -> bool {
        self.windows.plan.is_emitting(rule)
    }

    /// Notes what the record that was matched last feeds. `text_len` is how much text the block has.
    pub(super) fn feed(
        &self,
        block: &mut BlockFeed,
        matcher: &mut Matcher,
        (record, position): (&[u8], Position),
        rules: &[RuleId],
        text_len: usize,
    ) {
        let time = self.time(matcher, record);
        if let Some(time) = time {
            block.latest = Some(block.latest.map_or(time, |latest| latest.max(time)));
        }
        let plan = &self.windows.plan;
        if !rules.iter().any(|rule| plan.is_feeding(*rule)) {
            return;
        }
        let (Some(time), Some(latest)) = (time, block.latest) else {
            block.without_time += 1;
            return;
        };
        let is_shown = record.len() <= self.windows.content_bytes_max;
        let occurrence = Occurrence {
            time,
            position,
            // Known only when the blocks are in their order.
            watermark: i64::MIN,
            content: is_shown.then(|| Arc::from(record)),
            may_repeat: false,
        };
        let mut matches = Vec::new();
        let counters = &mut block.counters;
        window::collect(plan, matcher, record, rules, &occurrence, counters, &mut matches);
        if !matches.is_empty() {
            block.lines.push(LineFeed { text_end: text_len, latest, matches });
        }
    }

    /// The event's time: the field's first value, if it is a text or a number that says one.
    fn time(&self, matcher: &mut Matcher, record: &[u8]) -> Option<i64> {
        let mut first: Option<Option<i64>> = None;
        matcher.read_field(record, self.time_field?, |value| {
            if first.is_none() {
                let is_readable = matches!(value.kind, ValueKind::Text | ValueKind::Number);
                let text = std::str::from_utf8(value.text).ok().filter(|_| is_readable);
                first = Some(text.and_then(time_of_text));
            }
        });
        first.flatten()
    }
}

/// The writer's side.
pub(super) struct Ordered<'a, D> {
    windows: &'a FileWindows,
    set: WindowSet,
    render: D,
    latest: i64,
    source_lines: Vec<u64>,
    merged: Vec<u8>,
    detections: Vec<WindowDetection>,
    summary: WindowSummary,
}

impl<'a, D: FnMut(&DetectedWindow<'_>, &mut Vec<u8>)> Ordered<'a, D> {
    pub(super) fn new(windows: &'a FileWindows, render: D) -> Self {
        let set = WindowSet::new(Arc::clone(&windows.plan), &windows.config, 1);
        Self {
            windows,
            set,
            render,
            latest: i64::MIN,
            source_lines: Vec::new(),
            merged: Vec::new(),
            detections: Vec::new(),
            summary: WindowSummary::default(),
        }
    }

    /// The block's text with what its lines complete, each behind the line that made it go out.
    /// `source_line` is the number of the source's first line over all sources.
    pub(super) fn block<'t>(
        &'t mut self,
        feed: BlockFeed,
        (source, source_line): (usize, u64),
        text: &'t [u8],
    ) -> &'t [u8] {
        if self.source_lines.len() <= source {
            self.source_lines.resize(source + 1, source_line);
        }
        let is_fed = !feed.lines.is_empty();
        self.merged.clear();
        let mut written = 0;
        for mut line in feed.lines {
            self.latest = self.latest.max(line.latest);
            line.matches.iter_mut().for_each(|fed| fed.watermark = self.latest);
            self.merged.extend_from_slice(&text[written..line.text_end]);
            written = line.text_end;
            self.set.push(self.latest, &line.matches, &mut self.detections);
            self.write_detections();
        }
        self.latest = self.latest.max(feed.latest.unwrap_or(i64::MIN));
        self.summary.lines_without_time += feed.without_time;
        self.summary.feeds.add(&feed.counters);
        if !is_fed {
            return text;
        }
        self.merged.extend_from_slice(&text[written..]);
        &self.merged
    }

    /// Closes every window: what is still to be written, and what was done.
    pub(super) fn close(mut self) -> (Vec<u8>, WindowSummary) {
        self.merged.clear();
        self.set.close(&mut self.detections);
        self.write_detections();
        self.summary.windows = self.set.counters();
        self.summary.feeds.add(&self.set.feed_counters());
        (self.merged, self.summary)
    }

    fn write_detections(&mut self) {
        for detection in self.detections.drain(..) {
            let window = self.windows.plan.window(detection.window);
            if !window.is_emitting {
                continue;
            }
            self.summary.detections += 1;
            let detected =
                DetectedWindow { detection: &detection, window, source_lines: &self.source_lines };
            (self.render)(&detected, &mut self.merged);
        }
    }
}
