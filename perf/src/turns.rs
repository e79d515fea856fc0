//! Measures several sides in turns, so that a neighbour's noise falls on all of them.

use std::time::Duration;

use crate::sample::Sample;

/// Something to measure. A pass says itself how long the part that counts took.
pub(crate) type Side<'a> = Box<dyn FnMut() -> Duration + 'a>;

/// Seconds of each side, after `repeats` rounds in which each side had its turn.
pub(crate) fn take(repeats: usize, mut sides: Vec<Side<'_>>) -> Vec<Sample> {
    let mut seconds = vec![Vec::with_capacity(repeats); sides.len()];
    for _ in 0..repeats {
        for (side, seconds) in sides.iter_mut().zip(&mut seconds) {
            seconds.push(side().as_secs_f64());
        }
    }
    seconds.into_iter().map(Sample::new).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn sides_alternate() {
        let order = RefCell::new(Vec::new());
        let side = |name: &'static str, seconds: u64| -> Side<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Duration::from_secs(seconds)
            })
        };
        let samples = take(2, vec![side("a", 1), side("b", 3)]);
        assert_eq!(*order.borrow(), ["a", "b", "a", "b"]);
        assert_eq!(samples[1].values, [3.0, 3.0]);
    }
}
