//! Draws bars and lines as SVG, in the plainest way that can be read in both light and dark.

use std::fmt::Write as _;

/// A line through points.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
/// Room for the names beside bars.
const NAMES: f64 = 250.0;
const BAR: f64 = 22.0;
const COLOURS: [&str; 6] = ["#3b6ea8", "#c2703d", "#4f8f5b", "#8b5aa8", "#a83b4f", "#6b6b6b"];
const STYLE: &str = "<style>text{font:13px sans-serif;fill:#444}.t{font-weight:bold}\
    .g{stroke:#999;stroke-opacity:.4}@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn open(height: f64, title: &str) -> String {
    let title = escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{title}\">\n{STYLE}\n<text class=\"t\" x=\"10\" y=\"20\">{title}</text>\n"
    )
}

/// One bar for each value, its name at its left. Writing to a `String` does not fail, here and below.
pub(crate) fn bars(title: &str, unit: &str, values: &[(String, f64)]) -> String {
    let height = 50.0 + BAR * values.len() as f64;
    let max = values.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = open(height, &format!("{title} ({unit})"));
    for (at, (name, value)) in values.iter().enumerate() {
        let y = 35.0 + BAR * at as f64;
        let len = (WIDTH - NAMES - 80.0) * (value / max).max(0.0);
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAMES:.0}\" y=\"{:.0}\" width=\"{len:.1}\" height=\"{:.0}\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
            NAMES - 8.0,
            y + 14.0,
            escaped(name),
            y + 2.0,
            BAR - 5.0,
            COLOURS[0],
            NAMES + len + 6.0,
            y + 14.0,
            crate::report::short(*value)
        );
    }
    svg + "</svg>\n"
}

/// Lines over a logarithmic axis from the left, from zero at the bottom.
pub(crate) fn lines(title: &str, lines: &[Line]) -> String {
    const HEIGHT: f64 = 320.0;
    const LEFT: f64 = 60.0;
    const RIGHT: f64 = 190.0;
    const TOP: f64 = 40.0;
    const BOTTOM: f64 = 35.0;
    let points = || lines.iter().flat_map(|line| &line.points);
    let x_min = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min).max(f64::MIN_POSITIVE);
    let x_max = points().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max).max(x_min);
    let y_max = points().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max);
    let span = (x_max / x_min).ln();
    let at_x = |x: f64| {
        let share = if span > 0.0 { (x.max(x_min) / x_min).ln() / span } else { 0.5 };
        LEFT + (WIDTH - LEFT - RIGHT) * share
    };
    let at_y = |y: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y / y_max);
    let mut svg = open(HEIGHT, title);
    for step in 0..=4 {
        let value = y_max * f64::from(step) / 4.0;
        let y = at_y(value);
        let _ = writeln!(
            svg,
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            crate::report::short(value)
        );
    }
    let mut labelled: Vec<f64> = points().map(|(x, _)| *x).collect();
    labelled.sort_by(f64::total_cmp);
    labelled.dedup();
    for x in labelled {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x}</text>",
            at_x(x),
            HEIGHT - BOTTOM + 20.0
        );
    }
    for (at, line) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let path: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            path.join(" ")
        );
        let y = TOP + 20.0 * at as f64;
        let x = WIDTH - RIGHT + 15.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{:.0}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{:.0}\">{}</text>",
            y - 10.0,
            x + 18.0,
            y,
            escaped(&line.name)
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_drawing() {
        let svg = bars("a < b", "x", &[("<&\">".to_owned(), 2.0), ("b".to_owned(), 1.0)]);
        assert!(svg.contains("&lt;&amp;&quot;&gt;"));
        assert_eq!(svg.matches("<rect").count(), 2);
    }

    #[test]
    fn a_single_point_can_be_drawn() {
        let line = Line { name: "n".to_owned(), points: vec![(1.0, 0.0)] };
        assert!(!lines("t", &[line]).contains("NaN"));
    }
}
