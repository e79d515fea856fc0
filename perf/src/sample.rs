//! A figure that was measured several times: its median, and how far the others lie from it.

use serde_json::{Value, json};

/// Several measurements of one thing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// In the order in which they were taken.
    pub(crate) values: Vec<f64>,
}

impl Sample {
    pub(crate) fn new(values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "a sample has at least one value");
        Self { values }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The same sample in another unit.
    pub(crate) fn map(&self, convert: impl Fn(f64) -> f64) -> Self {
        Self { values: self.values.iter().map(|value| convert(*value)).collect() }
    }

    /// How many times one side is the other, for measurements that were taken in turns: pair by pair,
    /// so that what disturbed both does not count.
    pub(crate) fn ratio(&self, to: &Self) -> Self {
        assert_eq!(self.values.len(), to.values.len(), "both sides took the same turns");
        Self { values: self.values.iter().zip(&to.values).map(|(a, b)| a / b).collect() }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "median": self.median(),
            "min": self.min(),
            "max": self.max(),
            "values": self.values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        for (values, median) in
            [(vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 9.0], 3.0)]
        {
            assert_eq!(Sample::new(values).median(), median);
        }
    }

    #[test]
    fn ratios_go_pair_by_pair() {
        let ratio = Sample::new(vec![1.0, 8.0]).ratio(&Sample::new(vec![2.0, 4.0]));
        assert_eq!((ratio.values.clone(), ratio.min(), ratio.max()), (vec![0.5, 2.0], 0.5, 2.0));
    }
}
