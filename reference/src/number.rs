//! Decimal numbers of any size, compared by value.

use std::cmp::Ordering;

/// Reads an optional sign, digits, an optional fraction and an optional exponent; leading zeros allowed.
/// The value is `digits × 10^exponent`, without zeros at either end of the digits.
pub(crate) fn parse(text: &str) -> Option<Decimal> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    if mantissa.ends_with('.') {
        return None;
    }
    let mut digits = format!("{whole}{fraction}");
    let mut exponent = exponent - fraction.len() as i128;
    while digits.ends_with('0') {
        digits.pop();
        exponent += 1;
    }
    let digits = digits.trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return Some(Decimal { negative: false, digits, exponent: 0 });
    }
    Some(Decimal { negative, digits, exponent })
}

/// An exponent of more than 18 digits is as good as infinite.
fn exponent(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    let size = if digits.len() > 18 { 10i128.pow(18) } else { digits.parse().unwrap_or(0) };
    Some(sign * size)
}

/// The number in billionths, cut behind the ninth decimal place; none for a number of 10¹⁸ or more.
pub(crate) fn billionths(text: &str) -> Option<i128> {
    let Decimal { negative, digits, exponent } = parse(text)?;
    let places = digits.len() as i128 + exponent + 9;
    if places > 27 && !digits.is_empty() {
        return None;
    }
    let kept: String =
        digits.chars().chain(std::iter::repeat('0')).take(places.max(0) as usize).collect();
    let size = if digits.is_empty() || kept.is_empty() { 0 } else { kept.parse().ok()? };
    Some(if negative { -size } else { size })
}

/// A number in its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    digits: String,
    exponent: i128,
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |d: &Self| if d.digits.is_empty() { 0 } else { 1 - 2 * i32::from(d.negative) };
        let magnitude = |d: &Self| d.digits.len() as i128 + d.exponent;
        sign(self).cmp(&sign(other)).then_with(|| {
            let size = magnitude(self)
                .cmp(&magnitude(other))
                .then_with(|| self.digits.as_bytes().cmp(other.digits.as_bytes()));
            if self.negative { size.reverse() } else { size }
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn equal_values_are_equal_and_order_is_numeric() {
        for (a, b) in [("100", "1e2"), ("0", "-0.00"), ("1.50", "15e-1"), ("007", "7")] {
            assert_eq!(parse(a), parse(b), "{a} {b}");
        }
        let rising =
            ["-1e30", "-10", "-9.5", "0", "1e-400", "0.5", "9", "10", "123456789012345678901"];
        for pair in rising.windows(2) {
            assert!(parse(pair[0]) < parse(pair[1]), "{pair:?}");
        }
        for bad in ["", "-", "1.", ".5", "1e", "0x1", " 1", "1 ", "abc"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
