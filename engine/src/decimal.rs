//! Decimal numbers of any size, exactly: equal values have equal representations.
//!
//! Most numbers of events are small integers; these never allocate.

use std::cmp::Ordering;

/// A decimal number in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal(Form);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Form {
    /// An integer of at most [`SMALL_DIGITS`] digits.
    Small(i64),
    /// `digits × 10^exponent`, without zeros at either end of the digits.
    Large { negative: bool, digits: Box<[u8]>, exponent: i64 },
}

/// So many decimal digits fit an `i64`.
const SMALL_DIGITS: i64 = 18;

/// Exponents beyond this are as good as infinite; sums of a few of them still fit.
const EXPONENT_MAX: i64 = 1 << 60;

impl Decimal {
    /// Reads an optional sign, digits, an optional fraction and exponent. Leading zeros are allowed,
    /// white space is not.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        if !rest.is_empty() && rest.len() <= SMALL_DIGITS as usize {
            // The common case: digits alone.
            let mut value = 0i64;
            if rest.iter().all(|b| {
                value = value * 10 + i64::from(b.wrapping_sub(b'0'));
                b.is_ascii_digit()
            }) {
                return Some(Self(Form::Small(if negative { -value } else { value })));
            }
        }
        Self::parse_long(negative, rest)
    }

    fn parse_long(negative: bool, text: &[u8]) -> Option<Self> {
        let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', text) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
            Some(at) if at + 1 < mantissa.len() => (&mantissa[..at], &mantissa[at + 1..]),
            Some(_) => return None,
            None => (mantissa, &[][..]),
        };
        if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let digits = || whole.iter().chain(fraction);
        let leading = digits().take_while(|b| **b == b'0').count();
        let total = whole.len() + fraction.len();
        if leading == total {
            return Some(Self(Form::Small(0)));
        }
        let trailing = digits().rev().take_while(|b| **b == b'0').count();
        let exponent =
            (exponent + trailing as i64 - fraction.len() as i64).clamp(-EXPONENT_MAX, EXPONENT_MAX);
        let digits = digits().skip(leading).take(total - leading - trailing).copied();
        let len = (total - leading - trailing) as i64;
        if exponent >= 0 && len + exponent <= SMALL_DIGITS {
            let value = digits.fold(0i64, |value, b| value * 10 + i64::from(b - b'0'));
            let value = value * 10i64.pow(exponent as u32);
            return Some(Self(Form::Small(if negative { -value } else { value })));
        }
        Some(Self(Form::Large { negative, digits: digits.collect(), exponent }))
    }

    /// Sign, and for all but zero the power of ten above the first digit.
    fn magnitude(&self) -> (i32, i64) {
        match &self.0 {
            Form::Small(0) => (0, 0),
            Form::Small(value) => {
                (value.signum() as i32, i64::from(value.unsigned_abs().ilog10()) + 1)
            }
            Form::Large { negative, digits, exponent } => {
                (if *negative { -1 } else { 1 }, digits.len() as i64 + exponent)
            }
        }
    }

    fn with_digits<R>(&self, then: impl FnOnce(&[u8]) -> R) -> R {
        match &self.0 {
            Form::Small(value) => {
                let text = value.unsigned_abs().to_string();
                then(text.trim_end_matches('0').as_bytes())
            }
            Form::Large { digits, .. } => then(digits),
        }
    }
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first()? {
        (b'-', rest) => (-1, rest),
        (b'+', rest) => (1, rest),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits
        .iter()
        .fold(0i64, |size, b| (size * 10 + i64::from(b - b'0')).min(EXPONENT_MAX / 16));
    Some(sign * size)
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Form::Small(a), Form::Small(b)) = (&self.0, &other.0) {
            return a.cmp(b);
        }
        let ((sign, power), (other_sign, other_power)) = (self.magnitude(), other.magnitude());
        sign.cmp(&other_sign).then_with(|| {
            let size = power
                .cmp(&other_power)
                .then_with(|| self.with_digits(|a| other.with_digits(|b| a.cmp(b))));
            if sign < 0 { size.reverse() } else { size }
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
    use super::*;

    fn decimal(text: &str) -> Option<Decimal> {
        Decimal::parse(text.as_bytes())
    }

    #[test]
    fn equal_values_are_equal() {
        let same = [
            ("100", "1e2"),
            ("0", "-0.00"),
            ("0", "0e99999999999999999999"),
            ("1.50", "15e-1"),
            ("007", "7"),
            ("1000000000000000000000", "1e21"),
            ("123456789012345678.0", "123456789012345678"),
            ("-12.0", "-12"),
        ];
        for (a, b) in same {
            assert_eq!(decimal(a), decimal(b), "{a} {b}");
            assert!(decimal(a).is_some(), "{a}");
        }
    }

    #[test]
    fn the_order_is_numeric() {
        let rising = [
            "-1e99999999999999999999",
            "-1e30",
            "-10.5",
            "-10",
            "-9.5",
            "0",
            "1e-400",
            "0.5",
            "9",
            "9.000000000000000000001",
            "10",
            "999999999999999999",
            "1000000000000000000",
            "123456789012345678901",
            "1e30",
            "1e99999999999999999999",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(decimal(a).cmp(&decimal(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in
            ["", "-", "+", "1.", ".5", "1e", "1e+", "0x1", " 1", "1 ", "abc", "1.2.3", "1e2e3"]
        {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }
}
