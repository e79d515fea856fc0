//! The number of a window, kept while entries come and go at both ends.

use std::collections::{HashMap, VecDeque};

use super::entries::Entry;
use super::fixed::{Fixed, Reading};
use super::plan::{Bound, Measure, Window, WindowCondition, WindowExpr};

/// A hundred percent, in billionths of one percent.
const WHOLE: i128 = 100_000_000_000;

/// What is known of the entries in a span of time.
#[derive(Debug)]
pub(crate) enum Tally {
    Events(u64),
    /// By the number of a value: how many entries have it.
    Distinct(HashMap<u32, u32>),
    /// By input: how many entries it has.
    Inputs(Vec<u32>),
    /// By input: the times of its entries, rising.
    InOrder(Vec<VecDeque<i64>>),
    Sum {
        sum: i128,
        count: u64,
    },
    /// The values, rising.
    Sorted(Vec<i128>),
}

impl Tally {
    pub(crate) fn new(window: &Window) -> Self {
        let inputs = usize::from(window.inputs);
        match window.measure {
            Measure::Events => Self::Events(0),
            Measure::DistinctValues => Self::Distinct(HashMap::new()),
            Measure::Inputs => Self::Inputs(vec![0; inputs]),
            Measure::InputsInOrder => Self::InOrder(vec![VecDeque::new(); inputs]),
            Measure::Sum | Measure::Average => Self::Sum { sum: 0, count: 0 },
            Measure::Percentile(_) | Measure::Min | Measure::Max => Self::Sorted(Vec::new()),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Events(count) => *count = 0,
            Self::Distinct(counts) => counts.clear(),
            Self::Inputs(counts) => counts.fill(0),
            Self::InOrder(times) => times.iter_mut().for_each(VecDeque::clear),
            Self::Sum { sum, count } => (*sum, *count) = (0, 0),
            Self::Sorted(values) => values.clear(),
        }
    }

    pub(crate) fn add(&mut self, entry: &Entry) {
        match self {
            Self::Events(count) => *count += 1,
            Self::Distinct(counts) => *counts.entry(entry.payload as u32).or_default() += 1,
            Self::Inputs(counts) => counts[entry.payload as usize] += 1,
            Self::InOrder(times) => {
                let times = &mut times[entry.payload as usize];
                // At the ends in most cases.
                if times.back().is_none_or(|last| *last <= entry.time) {
                    times.push_back(entry.time);
                } else {
                    times.insert(times.partition_point(|time| *time < entry.time), entry.time);
                }
            }
            Self::Sum { sum, count } => {
                *sum += entry.payload;
                *count += 1;
            }
            Self::Sorted(values) => {
                values.insert(values.partition_point(|v| *v < entry.payload), entry.payload);
            }
        }
    }

    /// Takes out an entry that was put in.
    pub(crate) fn remove(&mut self, entry: &Entry) {
        match self {
            Self::Events(count) => *count -= 1,
            Self::Distinct(counts) => {
                let value = entry.payload as u32;
                if let Some(count) = counts.get_mut(&value) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&value);
                    }
                }
            }
            Self::Inputs(counts) => counts[entry.payload as usize] -= 1,
            Self::InOrder(times) => {
                let times = &mut times[entry.payload as usize];
                times.remove(times.partition_point(|time| *time < entry.time));
            }
            Self::Sum { sum, count } => {
                *sum -= entry.payload;
                *count -= 1;
            }
            Self::Sorted(values) => {
                values.remove(values.partition_point(|v| *v < entry.payload));
            }
        }
    }

    /// The number; nothing can be said about no values.
    pub(crate) fn reading(&self, measure: Measure) -> Option<Reading> {
        match self {
            Self::Events(count) => Some(Reading::whole(*count)),
            Self::Distinct(counts) => Some(Reading::whole(counts.len() as u64)),
            Self::Inputs(counts) => {
                let present = counts.iter().filter(|count| **count > 0).count();
                Some(Reading::whole(present as u64))
            }
            Self::InOrder(times) => Some(Reading::whole(longest_row(times))),
            Self::Sum { count: 0, .. } => None,
            Self::Sum { sum, count, .. } => {
                let is_mean = measure == Measure::Average;
                let denominator = if is_mean { i128::from(*count) } else { 1 };
                Some(Reading { numerator: *sum, denominator })
            }
            Self::Sorted(values) => sorted_reading(values, measure),
        }
    }

    /// Whether the condition holds, and the number if it does.
    pub(crate) fn holds(&self, window: &Window) -> Option<Reading> {
        let reading = self.reading(window.measure)?;
        let holds = match &window.condition {
            WindowCondition::Bounds(bounds) => {
                bounds.iter().all(|(bound, number)| within(reading, *bound, *number))
            }
            WindowCondition::Expr(expr) => self.expr(expr),
            WindowCondition::InOrder(rows) => match self {
                Self::InOrder(times) => rows.iter().any(|row| is_in_order(times, row)),
                _ => false,
            },
        };
        holds.then_some(reading)
    }

    fn expr(&self, expr: &WindowExpr) -> bool {
        match expr {
            WindowExpr::Input(input) => match self {
                Self::Inputs(counts) => counts[usize::from(*input)] > 0,
                _ => false,
            },
            WindowExpr::Not(part) => !self.expr(part),
            WindowExpr::AtLeast(least, parts) => {
                parts.iter().filter(|part| self.expr(part)).count() >= *least as usize
            }
        }
    }
}

fn within(reading: Reading, bound: Bound, number: Fixed) -> bool {
    let order = reading.cmp(number);
    match bound {
        Bound::Less => order.is_lt(),
        Bound::LessOrEqual => order.is_le(),
        Bound::Greater => order.is_gt(),
        Bound::GreaterOrEqual => order.is_ge(),
        Bound::Equal => order.is_eq(),
        Bound::NotEqual => order.is_ne(),
    }
}

/// The earliest of an input's times that is not before `from`.
fn earliest(times: &VecDeque<i64>, from: i64) -> Option<i64> {
    times.get(times.partition_point(|time| *time < from)).copied()
}

/// Whether these inputs have an entry each, at rising or equal times: taking the earliest each time
/// leaves the most room for the rest.
fn is_in_order(times: &[VecDeque<i64>], row: &[u16]) -> bool {
    let mut from = i64::MIN;
    row.iter().all(|input| match earliest(&times[usize::from(*input)], from) {
        Some(time) => {
            from = time;
            true
        }
        None => false,
    })
}

/// The length of the longest row of inputs with rising or equal times.
fn longest_row(times: &[VecDeque<i64>]) -> u64 {
    // By length: the earliest time at which a row of it can end.
    let mut ends = vec![i64::MIN];
    for input in times {
        let is_longest = |len: usize, ends: &[i64]| len + 1 == ends.len();
        for len in (0..ends.len()).rev() {
            let Some(end) = earliest(input, ends[len]) else { continue };
            if is_longest(len, &ends) {
                ends.push(end);
            } else {
                ends[len + 1] = ends[len + 1].min(end);
            }
        }
    }
    ends.len() as u64 - 1
}

fn sorted_reading(values: &[i128], measure: Measure) -> Option<Reading> {
    let (first, last) = (*values.first()?, *values.last()?);
    let Measure::Percentile(percent) = measure else {
        let numerator = if measure == Measure::Min { first } else { last };
        return Some(Reading { numerator, denominator: 1 });
    };
    // The place of the percentile among the values, in fractions of `WHOLE`.
    let place = percent.0 * (values.len() as i128 - 1);
    let (below, part) = ((place / WHOLE) as usize, place % WHOLE);
    let above = (below + 1).min(values.len() - 1);
    let numerator = values[below] * (WHOLE - part) + values[above] * part;
    Some(Reading { numerator, denominator: WHOLE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentile(percent: &str, values: &[i128]) -> String {
        let percent = Measure::Percentile(Fixed::parse(percent.as_bytes()).unwrap());
        let values: Vec<i128> = values.iter().map(|value| value * 1_000_000_000).collect();
        sorted_reading(&values, percent).map_or("none".to_owned(), |reading| reading.to_string())
    }

    #[test]
    fn percentiles_lie_between_two_values() {
        for (percent, values, expected) in [
            ("50", &[][..], "none"),
            ("50", &[7], "7"),
            ("50", &[10, 20], "15"),
            ("50", &[10, 20, 100], "20"),
            ("0", &[10, 20, 100], "10"),
            ("100", &[10, 20, 100], "100"),
            ("90", &[10, 10, 10, 10, 9000], "5404"),
            ("99.9", &[0, 1000], "999"),
        ] {
            assert_eq!(percentile(percent, values), expected, "{percent} of {values:?}");
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let largest = Fixed::parse(b"999999999999999999.999999999").unwrap();
        let reading =
            sorted_reading(&[-largest.0, largest.0], Measure::Percentile(Fixed::from_count(100)));
        assert!(reading.unwrap().cmp(largest).is_eq());
    }

    #[test]
    fn rows_take_the_earliest_times() {
        let times = |lists: &[&[i64]]| -> Vec<VecDeque<i64>> {
            lists.iter().map(|list| list.iter().copied().collect()).collect()
        };
        let row = times(&[&[5], &[1, 6], &[5]]);
        assert_eq!(longest_row(&row), 2);
        assert!(is_in_order(&row, &[0, 1]));
        assert!(is_in_order(&row, &[0, 2]), "equal times are in order");
        assert!(!is_in_order(&row, &[0, 1, 2]));
        assert_eq!(longest_row(&times(&[&[], &[]])), 0);
        assert_eq!(longest_row(&times(&[&[9], &[1], &[2], &[3]])), 3);
    }
}
