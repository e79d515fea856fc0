//! Numbers that sums are made of: decimals with nine places, exactly.
//!
//! Sums, averages and percentiles must not depend on the order in which events come and go, so they
//! are integers of billionths. A number of an event is cut behind its ninth decimal place; one of 10¹⁸ or more
//! is none. So a sum of 2³² numbers fits.

use std::fmt;

/// Decimal places that are kept.
const PLACES: i64 = 9;
/// One.
const SCALE: i128 = 1_000_000_000;
/// Digits before the decimal point that are taken.
const WHOLE_DIGITS_MAX: i64 = 18;

/// A number in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed(pub i128);

impl Fixed {
    /// Reads an optional sign, digits, an optional fraction and exponent.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', rest) {
            Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
            Some(at) if at + 1 < mantissa.len() => (&mantissa[..at], &mantissa[at + 1..]),
            Some(_) => return None,
            None => (mantissa, &[][..]),
        };
        if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let digits = || whole.iter().chain(fraction).skip_while(|digit| **digit == b'0');
        let count = digits().count() as i64;
        if count == 0 {
            return Some(Self(0));
        }
        // The value is the digits times ten to the power of `shift`, in billionths.
        let shift = exponent - fraction.len() as i64 + PLACES;
        let kept = count + shift.min(0);
        if kept <= 0 {
            return Some(Self(0));
        }
        if count + shift > WHOLE_DIGITS_MAX + PLACES {
            return None;
        }
        let fold = |value: i128, digit: &u8| value * 10 + i128::from(digit - b'0');
        let value = digits().take(kept as usize).fold(0, fold);
        let value = value * 10i128.pow(shift.max(0) as u32);
        Some(Self(if negative { -value } else { value }))
    }

    /// A whole number.
    pub fn from_count(count: u64) -> Self {
        Self(i128::from(count) * SCALE)
    }

    /// The least count that is not below the number.
    pub(crate) fn least_count(self) -> usize {
        usize::try_from(-(-self.0).div_euclid(SCALE)).unwrap_or(0)
    }

    /// The least count that is above the number.
    pub(crate) fn least_count_above(self) -> usize {
        usize::try_from(self.0.div_euclid(SCALE) + 1).unwrap_or(0)
    }
}

/// The power of ten; far ones are as good as infinite.
fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first()? {
        (b'-', rest) => (-1, rest),
        (b'+', rest) => (1, rest),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |size: i64, digit: &u8| (size * 10 + i64::from(digit - b'0')).min(1 << 40);
    Some(sign * digits.iter().fold(0, add))
}

/// What a window's number is: an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// In billionths.
    pub(crate) numerator: i128,
    /// Positive.
    pub(crate) denominator: i128,
}

impl Reading {
    pub(crate) fn whole(count: u64) -> Self {
        Self { numerator: Fixed::from_count(count).0, denominator: 1 }
    }

    /// In billionths, cut behind the last.
    pub fn billionths(&self) -> i128 {
        self.numerator / self.denominator
    }

    pub(crate) fn cmp(&self, bound: Fixed) -> std::cmp::Ordering {
        self.numerator.cmp(&(bound.0 * self.denominator))
    }
}

/// With nine decimal places at most, cut behind the last.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.billionths();
        let sign = if value < 0 { "-" } else { "" };
        let (whole, fraction) = (value.abs() / SCALE, value.abs() % SCALE);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{}", format!("{fraction:09}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(text: &str) -> Option<i128> {
        Fixed::parse(text.as_bytes()).map(|fixed| fixed.0)
    }

    #[test]
    fn numbers_are_read_in_billionths() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("1", Some(SCALE)),
            ("007", Some(7 * SCALE)),
            ("-1.5", Some(-3 * SCALE / 2)),
            ("1.5e3", Some(1500 * SCALE)),
            ("1e-9", Some(1)),
            ("1.9999999999", Some(1_999_999_999)),
            ("1e-10", Some(0)),
            ("1e-99999999999999999999", Some(0)),
            ("999999999999999999", Some(999_999_999_999_999_999 * SCALE)),
            ("1000000000000000000", None),
            ("1e18", None),
            ("0e99999999999999999999", Some(0)),
            ("1e99999999999999999999", None),
            ("", None),
            ("-", None),
            ("1.", None),
            (".5", None),
            ("1e", None),
            ("x", None),
            (" 1", None),
        ] {
            assert_eq!(fixed(text), expected, "{text}");
        }
    }

    #[test]
    fn readings_are_exact_and_shown_short() {
        let third = Reading { numerator: 100 * SCALE, denominator: 3 };
        assert_eq!(third.to_string(), "33.333333333");
        assert!(third.cmp(Fixed::parse(b"33.333333333").unwrap()).is_gt());
        assert!(third.cmp(Fixed::parse(b"33.333333334").unwrap()).is_lt());
        assert_eq!(Reading::whole(12).to_string(), "12");
        assert_eq!(Reading { numerator: -SCALE / 2, denominator: 1 }.to_string(), "-0.5");
    }
}
