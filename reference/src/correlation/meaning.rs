//! When a condition holds, and when it is due.
//!
//! The times of a group's arrivals are its *instants*. With W the timespan, the condition holds at an
//! instant t if it is true of the arrivals in [t−W, t]. It is due at an instant at which it holds if it
//! did not hold at the instant before, or that lies more than W back. A condition that only bounds from
//! above is looked at once for each window [t, t+W] that an arrival opens, when it closes.

use sigmill_parser::{AggregationRelation, Expr, Quantifier};

use super::Arrival;
use super::network::{Feed, Measure, Node, Wanted};

/// A hundred percent, in billionths of one percent.
const WHOLE: i128 = 100_000_000_000;

/// When a condition can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// At once: more arrivals never falsify it.
    Rising,
    /// When no more arrivals can come.
    Final,
    /// When its window closes.
    Closing,
}

impl Class {
    pub(super) fn of(node: &Node) -> Self {
        use AggregationRelation::{Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let bounds = match &node.wanted {
            Wanted::Rules(expr) => {
                return if has_not(expr) { Self::Final } else { Self::Rising };
            }
            Wanted::Bounds(bounds) => bounds,
        };
        let is_min = node.measure == Measure::Min;
        // More arrivals raise the number, or can; a minimum they lower.
        let (rising, falling) = match is_min {
            false => ([Greater, GreaterOrEqual], [Less, LessOrEqual]),
            true => ([Less, LessOrEqual], [Greater, GreaterOrEqual]),
        };
        if bounds.iter().all(|(relation, _)| *relation == NotEqual || falling.contains(relation)) {
            return Self::Closing;
        }
        let only_rises = match node.measure {
            Measure::Average | Measure::Percentile(_) => false,
            Measure::Sum => node.ways.iter().all(|way| matches!(way.feed, Feed::Rule(..))),
            _ => true,
        };
        match only_rises && bounds.iter().all(|(relation, _)| rising.contains(relation)) {
            true => Self::Rising,
            false => Self::Final,
        }
    }
}

fn has_not(expr: &Expr) -> bool {
    match expr {
        Expr::Not(_) => true,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(has_not),
        Expr::Selection(..) | Expr::Of(..) => false,
    }
}

/// The arrivals of one group of a node.
pub(super) struct Measured<'a> {
    node: &'a Node,
    arrivals: &'a [Arrival],
}

impl<'a> Measured<'a> {
    pub(super) fn new(node: &'a Node, arrivals: &'a [Arrival]) -> Self {
        Self { node, arrivals }
    }

    pub(super) fn instants(&self) -> Vec<i64> {
        let mut instants: Vec<i64> = self.arrivals.iter().map(|arrival| arrival.time).collect();
        instants.sort_unstable();
        instants.dedup();
        instants
    }

    pub(super) fn window(&self, at: i64) -> (i64, i64) {
        (at - self.node.timespan, at)
    }

    fn within(&self, span: (i64, i64)) -> Vec<&'a Arrival> {
        self.arrivals.iter().filter(|arrival| (span.0..=span.1).contains(&arrival.time)).collect()
    }

    /// Whether the condition holds at an instant.
    pub(super) fn holds(&self, at: i64) -> bool {
        self.number_if_holding(self.window(at)).is_some()
    }

    /// Whether the window of an instant that is not settled can hold a negative number, which could
    /// falsify a sum.
    pub(super) fn has_negative_since(&self, settled: i64) -> bool {
        let first = settled.saturating_sub(self.node.timespan);
        let mut recent = self.arrivals.iter().filter(|arrival| arrival.time >= first);
        let has_negative = |arrival: &Arrival| arrival.numbers.iter().any(|number| *number < 0);
        self.node.measure == Measure::Sum && recent.any(has_negative)
    }

    /// The runs of neighbouring instants, none more than W after the one before, for which `holds` says
    /// yes: first and last instant of each.
    pub(super) fn runs(&self, holds: impl Fn(i64) -> bool) -> Vec<(i64, i64)> {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        let mut before: Option<(i64, bool)> = None;
        for at in self.instants() {
            let is_holding = holds(at);
            let goes_on = before.is_some_and(|(t, held)| held && at - t <= self.node.timespan);
            match runs.last_mut() {
                Some(run) if is_holding && goes_on => run.1 = at,
                _ if is_holding => runs.push((at, at)),
                _ => {}
            }
            before = Some((at, is_holding));
        }
        runs
    }

    /// The windows that end in an instant at which it is due.
    pub(super) fn due(&self, holds: impl Fn(i64) -> bool) -> Vec<(i64, i64)> {
        self.runs(holds).into_iter().map(|(start, _)| self.window(start)).collect()
    }

    /// The windows that arrivals open, as far as they have closed before `settled`.
    pub(super) fn closed(&self, settled: i64) -> Vec<(i64, i64)> {
        let mut windows: Vec<(i64, i64)> = Vec::new();
        for at in self.instants() {
            if windows.last().is_none_or(|(_, end)| at > *end) {
                windows.push((at, at + self.node.timespan));
            }
        }
        windows.retain(|(_, end)| *end < settled);
        windows
    }

    /// The number of a window in billionths, cut, if the condition holds for it.
    pub(super) fn number_if_holding(&self, span: (i64, i64)) -> Option<i128> {
        let arrivals = self.within(span);
        let (numerator, denominator) = self.number(&arrivals)?;
        let holds = match &self.node.wanted {
            Wanted::Bounds(bounds) => bounds.iter().all(|(relation, bound)| {
                let order = numerator.cmp(&(bound * denominator));
                match relation {
                    AggregationRelation::Less => order.is_lt(),
                    AggregationRelation::LessOrEqual => order.is_le(),
                    AggregationRelation::Greater => order.is_gt(),
                    AggregationRelation::GreaterOrEqual => order.is_ge(),
                    AggregationRelation::Equal => order.is_eq(),
                    AggregationRelation::NotEqual => order.is_ne(),
                }
            }),
            Wanted::Rules(expr) if self.node.measure == Measure::InputsInOrder => {
                let rows = rows(self.node.input_count);
                rows.iter().any(|row| {
                    is_true(expr, &|input| row.contains(&input))
                        && in_order(row, &arrivals, i64::MIN)
                })
            }
            Wanted::Rules(expr) => {
                is_true(expr, &|input| arrivals.iter().any(|a| a.inputs.contains(&input)))
            }
        };
        holds.then_some(numerator / denominator)
    }

    fn number(&self, arrivals: &[&Arrival]) -> Option<(i128, i128)> {
        let whole = |count: usize| Some((count as i128 * 1_000_000_000, 1));
        let mut numbers: Vec<i128> = arrivals.iter().flat_map(|a| a.numbers.clone()).collect();
        numbers.sort_unstable();
        let sum: i128 = numbers.iter().sum();
        let count = numbers.len() as i128;
        match self.node.measure {
            Measure::Events => whole(arrivals.len()),
            Measure::DistinctValues => {
                let mut texts: Vec<_> = arrivals.iter().flat_map(|a| &a.texts).collect();
                texts.sort();
                texts.dedup();
                whole(texts.len())
            }
            Measure::Inputs => {
                let mut inputs: Vec<_> = arrivals.iter().flat_map(|a| &a.inputs).collect();
                inputs.sort();
                inputs.dedup();
                whole(inputs.len())
            }
            Measure::InputsInOrder => {
                let rows = rows(self.node.input_count);
                let rows = rows.iter().filter(|row| in_order(row, arrivals, i64::MIN));
                whole(rows.map(Vec::len).max().unwrap_or(0))
            }
            _ if numbers.is_empty() => None,
            Measure::Sum => Some((sum, 1)),
            Measure::Average => Some((sum, count)),
            Measure::Min => Some((*numbers.first()?, 1)),
            Measure::Max => Some((*numbers.last()?, 1)),
            Measure::Percentile(percent) => {
                let place = percent * (count - 1);
                let below = (place / WHOLE) as usize;
                let above = (below + 1).min(numbers.len() - 1);
                let part = place % WHOLE;
                Some((numbers[below] * (WHOLE - part) + numbers[above] * part, WHOLE))
            }
        }
    }
}

/// Every selection of inputs, each in order.
fn rows(count: usize) -> Vec<Vec<usize>> {
    (0..1usize << count)
        .map(|bits| (0..count).filter(|input| bits >> input & 1 == 1).collect())
        .collect()
}

/// Whether there is an arrival for each input of the row, none earlier than the one before.
fn in_order(row: &[usize], arrivals: &[&Arrival], from: i64) -> bool {
    let Some((first, rest)) = row.split_first() else { return true };
    let fitting = arrivals.iter().filter(|a| a.inputs.contains(first) && a.time >= from);
    fitting.map(|arrival| arrival.time).any(|time| in_order(rest, arrivals, time))
}

fn is_true(expr: &Expr, has: &dyn Fn(usize) -> bool) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(|part| is_true(part, has)),
        Expr::Or(parts) => parts.iter().any(|part| is_true(part, has)),
        Expr::Not(part) => !is_true(part, has),
        Expr::Selection(input, _) => has(*input),
        Expr::Of(quantifier, inputs, _) => {
            let count = inputs.iter().filter(|input| has(**input)).count();
            match quantifier {
                Quantifier::Any => count >= 1,
                Quantifier::All => count == inputs.len(),
                Quantifier::AtLeast(least) => count >= *least as usize,
            }
        }
    }
}
