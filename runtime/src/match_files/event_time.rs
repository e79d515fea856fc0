//! When an event happened, by what it says itself.
//!
//! In: a record's bytes and the name of its time field. Out: milliseconds since 1970, or nothing. The
//! field holds RFC 3339 text, or a number (in text or not) of seconds, milliseconds, microseconds or
//! nanoseconds, told apart by size: a year of today is about 10⁹ s, 10¹² ms, 10¹⁵ µs, 10¹⁸ ns.

use serde_json::Value;

/// The event's time in milliseconds.
///
/// The field is looked up as rules look up theirs: the exact key first, else dots walk into objects.
pub fn event_time(record: &[u8], field: &str) -> Option<i64> {
    let event: Value = serde_json::from_slice(record).ok()?;
    match lookup(&event, field)? {
        Value::String(text) => time_of_text(text),
        Value::Number(number) => by_magnitude(number.as_f64()?),
        _ => None,
    }
}

/// The time that a text, or the spelling of a number, says.
pub fn time_of_text(text: &str) -> Option<i64> {
    rfc3339(text).or_else(|| text.trim().parse().ok().and_then(by_magnitude))
}

fn lookup<'a>(event: &'a Value, field: &str) -> Option<&'a Value> {
    let object = event.as_object()?;
    if let Some(value) = object.get(field) {
        return Some(value);
    }
    let dots = field.match_indices('.').map(|(at, _)| at);
    let mut inner = dots.filter_map(|at| lookup(object.get(&field[..at])?, &field[at + 1..]));
    inner.next()
}

/// A number of seconds, milliseconds, microseconds or nanoseconds since 1970.
fn by_magnitude(number: f64) -> Option<i64> {
    let size = number.abs();
    let milliseconds = match size {
        _ if size < 1e11 => number * 1e3,
        _ if size < 1e14 => number,
        _ if size < 1e17 => number / 1e3,
        _ if size < 1e20 => number / 1e6,
        _ => return None,
    };
    // Below 10¹⁴ by the branches above, so it fits; NaN took the last branch.
    Some(milliseconds.floor() as i64)
}

/// `2020-02-29T23:59:59.123+01:00`; a blank or lower-case letters in the fixed places are accepted.
fn rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = bytes.get(range)?;
        part.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
        })
    };
    let fixed = |at: usize, any_of: &[u8]| bytes.get(at).filter(|byte| any_of.contains(byte));
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    fixed(4, b"-")?;
    fixed(7, b"-")?;
    fixed(10, b"Tt ")?;
    fixed(13, b":")?;
    fixed(16, b":")?;
    // 60 is a leap second.
    let is_valid = (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_valid {
        return None;
    }
    let mut at = 19;
    let mut fraction_ms = 0;
    if bytes.get(at) == Some(&b'.') {
        let len = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if len == 0 {
            return None;
        }
        for place in 0..3 {
            let digit = if place < len { digits(at + 1 + place..at + 2 + place)? } else { 0 };
            fraction_ms = fraction_ms * 10 + digit;
        }
        at += 1 + len;
    }
    let offset_minutes = match bytes.get(at)? {
        b'Z' | b'z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 => {
            fixed(at + 3, b":")?;
            let (hours, minutes) = (digits(at + 1..at + 3)?, digits(at + 4..at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let days = days_since_1970(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    Some(seconds * 1000 + fraction_ms)
}

fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Days of the years before, in the proleptic Gregorian calendar, counted from year 0.
    let before = |year: i64| {
        365 * year + (year + 3).div_euclid(4) - (year + 99).div_euclid(100)
            + (year + 399).div_euclid(400)
    };
    let months: i64 = (1..month).map(|earlier| month_days(year, earlier)).sum();
    before(year) - before(1970) + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_forms() {
        for (value, expected) in [
            (r#""1970-01-01T00:00:00Z""#, Some(0)),
            (r#""1969-12-31T23:59:59.5Z""#, Some(-500)),
            (r#""2000-03-01T00:00:00Z""#, Some(951_868_800_000)),
            (r#""2020-02-29T23:59:59.123456Z""#, Some(1_583_020_799_123)),
            (r#""2020-02-29 23:59:59.1z""#, Some(1_583_020_799_100)),
            (r#""2020-03-01T00:59:59+01:00""#, Some(1_583_020_799_000)),
            (r#""2020-02-29T22:29:59-01:30""#, Some(1_583_020_799_000)),
            ("1583020799", Some(1_583_020_799_000)),
            ("1583020799.25", Some(1_583_020_799_250)),
            ("1583020799123", Some(1_583_020_799_123)),
            (r#""1583020799123""#, Some(1_583_020_799_123)),
            ("1583020799123456", Some(1_583_020_799_123)),
            ("1583020799123456000", Some(1_583_020_799_123)),
            ("0", Some(0)),
            ("-1", Some(-1000)),
            (r#""2021-02-29T00:00:00Z""#, None),
            (r#""2020-13-01T00:00:00Z""#, None),
            (r#""2020-02-29T24:00:00Z""#, None),
            (r#""2020-02-29T23:59:59""#, None),
            (r#""2020-02-29T23:59:59.Z""#, None),
            (r#""2020-02-29T23:59:59Zx""#, None),
            (r#""2020-02-29T23:59:59+1:00""#, None),
            (r#""yesterday""#, None),
            (r#""""#, None),
            (r#""NaN""#, None),
            ("1e300", None),
            ("null", None),
            ("[1]", None),
        ] {
            let event = format!("{{\"@timestamp\":{value}}}");
            assert_eq!(event_time(event.as_bytes(), "@timestamp"), expected, "{value}");
        }
    }

    #[test]
    fn the_field_is_found_as_rules_find_theirs() {
        for (event, expected) in [
            (r#"{"a.b":1,"a":{"b":2}}"#, Some(1000)),
            (r#"{"a":{"b":2}}"#, Some(2000)),
            (r#"{"a":{"b":null}}"#, None),
            (r#"{"a":3}"#, None),
            ("{}", None),
            ("not json", None),
        ] {
            assert_eq!(event_time(event.as_bytes(), "a.b"), expected, "{event}");
        }
    }
}
