//! A part of a date and time, read from its text or from a number.
//!
//! The text begins with `YYYY-MM-DD` or `YYYY/MM/DD`; behind it there may be a blank or `T` and `HH:MM`.
//! What follows, such as seconds or a time zone, changes nothing: the part is what the text says. A number
//! of at least nine digits counts seconds, milliseconds, microseconds or nanoseconds since 1970, told apart
//! by their size, and is read in UTC.

/// A part of a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum TimePart {
    Minute,
    Hour,
    Day,
    /// Of ISO 8601: it begins on Monday, and the first has the year's first Thursday.
    Week,
    Month,
    Year,
}

/// A date, and the hour and minute if they are known.
#[derive(Clone, Copy)]
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    time: Option<(i64, i64)>,
}

/// The part of the moment that the text says, if it says one.
pub(crate) fn read(part: TimePart, text: &[u8]) -> Option<i64> {
    let moment = match text.get(4) {
        Some(b'-' | b'/') => of_text(text)?,
        _ => of_number(text)?,
    };
    Some(match part {
        TimePart::Minute => moment.time?.1,
        TimePart::Hour => moment.time?.0,
        TimePart::Day => moment.day,
        TimePart::Week => week(&moment),
        TimePart::Month => moment.month,
        TimePart::Year => moment.year,
    })
}

fn of_text(text: &[u8]) -> Option<Moment> {
    let separator = *text.get(4)?;
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?);
    let is_date = *text.get(7)? == separator
        && (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day);
    let rest = &text[10..];
    if !is_date || rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let has_time = matches!(rest, [b'T' | b't' | b' ', digit, ..] if digit.is_ascii_digit());
    let time = match has_time {
        true => Some(time(&rest[1..])?),
        false => None,
    };
    Some(Moment { year, month, day, time })
}

/// `HH:MM`, not followed by a further digit.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    let (hour, minute) = (digits(text, 0, 2)?, digits(text, 3, 2)?);
    let is_time = text[2] == b':' && hour < 24 && minute < 60;
    (is_time && !text.get(5).is_some_and(u8::is_ascii_digit)).then_some((hour, minute))
}

fn digits(text: &[u8], start: usize, len: usize) -> Option<i64> {
    text.get(start..start + len)?.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

fn of_number(text: &[u8]) -> Option<Moment> {
    let whole = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let fraction = &text[(whole + 1).min(text.len())..];
    let has_bare_point = whole + 1 == text.len();
    if has_bare_point || !fraction.iter().all(u8::is_ascii_digit) || whole > 20 {
        return None;
    }
    let number = text[..whole].iter().try_fold(0i128, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i128::from(byte - b'0'))
    })?;
    let unit: i128 = match number {
        100_000_000..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        100_000_000_000_000_000..100_000_000_000_000_000_000 => 1_000_000_000,
        _ => return None,
    };
    // Below 10¹¹ by the branches above.
    let seconds = (number / unit) as i64;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let mut day = days - days_before(year) + 1;
    let mut month = 1;
    while day > month_days(year, month) {
        day -= month_days(year, month);
        month += 1;
    }
    Some(Moment { year, month, day, time: Some((second / 3_600, second / 60 % 60)) })
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to the first of the year.
fn days_before(year: i64) -> i64 {
    let leap_years = |year: i64| {
        let before = year - 1;
        before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
    };
    365 * (year - 1970) + leap_years(year) - leap_years(1970)
}

fn week(moment: &Moment) -> i64 {
    let months: i64 = (1..moment.month).map(|month| month_days(moment.year, month)).sum();
    let day_of_year = months + moment.day;
    // 1970 began on a Thursday; Monday is 1.
    let weekday = (days_before(moment.year) + day_of_year - 1 + 3).rem_euclid(7) + 1;
    match (day_of_year - weekday + 10) / 7 {
        0 => weeks(moment.year - 1),
        week if week > weeks(moment.year) => 1,
        week => week,
    }
}

/// A year has 53 weeks if it begins on a Thursday, or on a Wednesday with a leap day to come.
fn weeks(year: i64) -> i64 {
    let first = (days_before(year) + 3).rem_euclid(7) + 1;
    52 + i64::from(first == 4 || (first == 3 && is_leap(year)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_from_texts_and_numbers() {
        use TimePart::{Day, Hour, Minute, Month, Week, Year};
        for (text, part, expected) in [
            ("2023-06-14T15:42:07Z", Minute, Some(42)),
            ("2023-06-14T15:42:07Z", Hour, Some(15)),
            ("2023-06-14 15:42", Hour, Some(15)),
            ("2023/06/14 15:42:07,5 +0200", Hour, Some(15)),
            ("2023-06-14t15:42:07+02:00", Hour, Some(15)),
            ("2023-06-14", Day, Some(14)),
            ("2023-06-14", Hour, None),
            ("2023-06-14T", Month, Some(6)),
            ("2023-06-14T42:00:00", Day, None),
            ("2023-06-14T15:421", Minute, None),
            ("2023-06-145", Day, None),
            ("2023-02-29", Day, None),
            ("2024-02-29", Day, Some(29)),
            ("2023-06/14", Day, None),
            ("12023-06-14", Year, None),
            ("2023-06-14T15:42:07Z", Week, Some(24)),
            ("2021-01-03", Week, Some(53)),
            ("2021-01-04", Week, Some(1)),
            ("2024-12-30", Week, Some(1)),
            ("2020-12-31", Week, Some(53)),
            ("2016-01-01", Week, Some(53)),
            ("2023-01-01", Week, Some(52)),
            ("0000-01-01", Week, Some(52)),
            ("1686757327", Minute, Some(42)),
            ("1686757327.9", Hour, Some(15)),
            ("1686757327000", Day, Some(14)),
            ("1686757327000000", Month, Some(6)),
            ("1686757327000000000", Year, Some(2023)),
            ("99999999", Year, None),
            ("100000000", Year, Some(1973)),
            ("99999999999", Year, Some(5138)),
            ("1686757327.", Year, None),
            ("-1686757327", Year, None),
            ("99999999999999999999", Year, Some(5138)),
            ("100000000000000000000", Year, None),
            ("", Year, None),
            ("word", Year, None),
        ] {
            assert_eq!(read(part, text.as_bytes()), expected, "{part:?} of {text}");
        }
    }
}
