//! What a window adds to a detection of the native format: the group, its number, its events.

use sigmill_engine::window::{Fixed, Measure, Position, Window, WindowDetection};

use super::json_text::{name_of, put, write_text};
use super::{Event, EventPosition, Extract, Template, native};

/// What a window's detection shows, besides its rule.
#[derive(Debug, Clone, Copy)]
pub struct WindowPart<'a> {
    /// The detection.
    pub detection: &'a WindowDetection,
    /// Its window.
    pub window: &'a Window,
    /// By source: its name.
    pub sources: &'a [String],
}

impl Template {
    /// Writes the detection of a window over files behind what `out` holds, in the native format. Its
    /// timestamp is the time at which the condition began to hold.
    pub fn write_window(&self, out: &mut Vec<u8>, part: &WindowPart<'_>) {
        let detection = part.detection;
        out.extend_from_slice(self.native_head());
        name_of(out, "correlation");
        out.push(b'{');
        write_correlation(out, detection, part.window);
        out.push(b'}');
        let place = |position: Position| EventPosition::Line {
            file: part.sources.get(position.source as usize).map_or("", String::as_str),
            line: position.offset,
        };
        let completing = Event {
            bytes: b"",
            position: place(detection.completed_by),
            timestamp: Some(detection.at),
        };
        native::write_position(out, &completing);
        write_events(out, detection, &place);
        out.push(b'}');
    }
}

impl Extract {
    /// Takes what a window adds to the detection of a stream: `place` says where an event was read.
    pub fn take_window<'a>(
        &mut self,
        detection: &WindowDetection,
        window: &Window,
        place: &dyn Fn(Position) -> EventPosition<'a>,
    ) {
        self.correlation.clear();
        self.correlation.push(b'{');
        write_correlation(&mut self.correlation, detection, window);
        write_events(&mut self.correlation, detection, place);
        self.correlation.push(b'}');
    }
}

/// The events of a window, with their bytes as far as they were kept.
fn write_events<'a>(
    out: &mut Vec<u8>,
    detection: &WindowDetection,
    place: &dyn Fn(Position) -> EventPosition<'a>,
) {
    name_of(out, "events");
    out.push(b'[');
    for (at, event) in detection.events.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.push(b'{');
        let position = place(event.position);
        let known = Event { bytes: b"", position, timestamp: Some(event.time) };
        native::write_position(out, &known);
        if let Some((_, bytes)) = detection.contents.iter().find(|(known, _)| known == event) {
            native::write_event(out, &Event { bytes, ..known });
        }
        out.push(b'}');
    }
    out.push(b']');
}

/// The members that say what held: for which group, and with which number.
fn write_correlation(out: &mut Vec<u8>, detection: &WindowDetection, window: &Window) {
    name_of(out, "type");
    write_text(out, measure_name(window.measure));
    out.extend_from_slice(b",\"group\":{");
    for (at, (name, value)) in window.group_by.iter().zip(detection.group.values()).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        name_of(out, name);
        write_text(out, &String::from_utf8_lossy(value.unwrap_or_default()));
    }
    let number = if window.measure.is_numeric() { "value" } else { "count" };
    put(out, format_args!("}},\"{number}\":{}", detection.reading));
    put(
        out,
        format_args!(",\"window\":{{\"start\":{},\"end\":{}}}", detection.start, detection.end),
    );
    put(out, format_args!(",\"eventCount\":{}", detection.events_total));
    if detection.is_truncated {
        out.extend_from_slice(b",\"truncated\":true");
    }
}

/// Sigma's word where it has one.
fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::Events => "event_count",
        Measure::DistinctValues => "value_count",
        Measure::Inputs => "temporal",
        Measure::InputsInOrder => "temporal_ordered",
        Measure::Sum => "value_sum",
        Measure::Average => "value_avg",
        Measure::Percentile(percent) if percent == Fixed::from_count(50) => "value_median",
        Measure::Percentile(_) => "value_percentile",
        Measure::Min => "value_min",
        Measure::Max => "value_max",
    }
}
