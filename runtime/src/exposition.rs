//! Prometheus' text format: families of samples, each with its help and its type, once.
//!
//! Who has something to count writes samples in any order; those of a family come out together. Label
//! values and helps are escaped; names are ours and are checked in debug builds.

use std::fmt::Write as _;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Values by bucket.
    Histogram,
}

/// A sample's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Whole(u64),
    Float(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

/// Values counted by bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Buckets {
    /// Upper bound → how many values are not above it, in the order of the bounds.
    pub(crate) counts: Vec<(f64, u64)>,
    pub(crate) sum: f64,
    pub(crate) count: u64,
}

struct Family {
    name: String,
    kind: Kind,
    help: String,
    samples: String,
}

/// The page as it is written.
#[derive(Default)]
pub(crate) struct Exposition {
    families: Vec<Family>,
}

/// Names of labels and their values.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// A sample of something that only rises; its name ends with `_total`.
    pub(crate) fn counter(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        value: impl Into<Number>,
    ) {
        debug_assert!(name.ends_with("_total"), "{name}");
        let family = self.family(name, Kind::Counter, help);
        sample(family, "", labels, value.into());
    }

    /// A sample of something that rises and falls.
    pub(crate) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        value: impl Into<Number>,
    ) {
        let family = self.family(name, Kind::Gauge, help);
        sample(family, "", labels, value.into());
    }

    /// The samples of a histogram.
    pub(crate) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        buckets: &Buckets,
    ) {
        let family = self.family(name, Kind::Histogram, help);
        for (bound, count) in &buckets.counts {
            let bound = bound.to_string();
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            sample(family, "_bucket", &labels, Number::Whole(*count));
        }
        let mut all = labels.to_vec();
        all.push(("le", "+Inf"));
        sample(family, "_bucket", &all, Number::Whole(buckets.count));
        sample(family, "_sum", labels, Number::Float(buckets.sum));
        sample(family, "_count", labels, Number::Whole(buckets.count));
    }

    fn family(&mut self, name: &str, kind: Kind, help: &str) -> &mut Family {
        debug_assert!(is_name(name), "{name}");
        let at = self.families.iter().position(|family| family.name == name);
        let at = at.unwrap_or_else(|| {
            self.families.push(Family {
                name: name.to_owned(),
                kind,
                help: help.to_owned(),
                samples: String::new(),
            });
            self.families.len() - 1
        });
        debug_assert_eq!(self.families[at].kind, kind, "{name} has one type");
        &mut self.families[at]
    }

    /// The page.
    pub(crate) fn finish(self) -> String {
        let mut out = String::new();
        for Family { name, kind, help, samples } in self.families {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            // Writing to a text cannot fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
        }
        out
    }
}

fn sample(family: &mut Family, suffix: &str, labels: Labels<'_>, value: Number) {
    let out = &mut family.samples;
    out.push_str(&family.name);
    out.push_str(suffix);
    for (at, (name, value)) in labels.iter().enumerate() {
        debug_assert!(is_name(name), "{name}");
        out.push(if at == 0 { '{' } else { ',' });
        out.push_str(name);
        out.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                letter => out.push(letter),
            }
        }
        out.push('"');
    }
    if !labels.is_empty() {
        out.push('}');
    }
    let _ = match value {
        Number::Whole(value) => writeln!(out, " {value}"),
        Number::Float(value) if value.is_nan() => writeln!(out, " NaN"),
        Number::Float(value) if value.is_infinite() => {
            writeln!(out, " {}Inf", if value > 0.0 { '+' } else { '-' })
        }
        Number::Float(value) => writeln!(out, " {value}"),
    };
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_comes_out_in_one_piece_and_values_are_escaped() {
        let mut out = Exposition::default();
        out.counter("a_total", "Of a.\nSee c:\\x.", &[("topic", "x\"\\\ny")], 1_u64);
        out.gauge("b", "Of b.", &[], 0.5);
        out.counter("a_total", "Of a.", &[("topic", "z"), ("reason", "")], u64::MAX);
        out.gauge("b", "Of b.", &[("n", "ä")], f64::INFINITY);
        assert_eq!(
            out.finish(),
            "# HELP a_total Of a.\\nSee c:\\\\x.\n# TYPE a_total counter\n\
             a_total{topic=\"x\\\"\\\\\\ny\"} 1\n\
             a_total{topic=\"z\",reason=\"\"} 18446744073709551615\n\
             # HELP b Of b.\n# TYPE b gauge\nb 0.5\nb{n=\"ä\"} +Inf\n"
        );
    }

    #[test]
    fn a_histogram_has_all_its_samples() {
        let mut out = Exposition::default();
        let buckets = Buckets { counts: vec![(0.001, 1), (10.0, 3)], sum: 2.5, count: 4 };
        out.histogram("h_seconds", "Of h.", &[("worker", "0")], &buckets);
        assert_eq!(
            out.finish(),
            "# HELP h_seconds Of h.\n# TYPE h_seconds histogram\n\
             h_seconds_bucket{worker=\"0\",le=\"0.001\"} 1\n\
             h_seconds_bucket{worker=\"0\",le=\"10\"} 3\n\
             h_seconds_bucket{worker=\"0\",le=\"+Inf\"} 4\n\
             h_seconds_sum{worker=\"0\"} 2.5\nh_seconds_count{worker=\"0\"} 4\n"
        );
    }
}
