//! Parts of dates and times, by counting days one after the other.

use sigmill_parser::{Comparison, TimePart};

/// A day, and the hour and minute if they are known.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    time: Option<(i64, i64)>,
}

pub(crate) fn holds(
    part: TimePart,
    comparison: Option<Comparison>,
    number: u32,
    text: &str,
) -> bool {
    let Some(found) = moment(text).and_then(|moment| of(part, &moment)) else { return false };
    let number = i64::from(number);
    match comparison {
        None => found == number,
        Some(Comparison::Less) => found < number,
        Some(Comparison::LessOrEqual) => found <= number,
        Some(Comparison::Greater) => found > number,
        Some(Comparison::GreaterOrEqual) => found >= number,
    }
}

fn of(part: TimePart, moment: &Moment) -> Option<i64> {
    Some(match part {
        TimePart::Minute => moment.time?.1,
        TimePart::Hour => moment.time?.0,
        TimePart::Day => moment.day,
        TimePart::Week => week(moment),
        TimePart::Month => moment.month,
        TimePart::Year => moment.year,
    })
}

fn moment(text: &str) -> Option<Moment> {
    let chars: Vec<char> = text.chars().collect();
    let shape: String =
        chars.iter().map(|c| if c.is_ascii_digit() { '0' } else { *c }).take(16).collect();
    let number = |start: usize, end: usize| -> Option<i64> {
        chars[start..end].iter().collect::<String>().parse().ok()
    };
    if ["0000-00-00", "0000/00/00"].iter().any(|date| shape.starts_with(date)) {
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let is_digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
        if !(1..=12).contains(&month) || day < 1 || day > days(year, month) || is_digit(10) {
            return None;
        }
        let mut time = None;
        if [' ', 'T', 't'].iter().any(|sign| chars.get(10) == Some(sign)) && is_digit(11) {
            if shape.get(11..16) != Some("00:00") || is_digit(16) {
                return None;
            }
            let (hour, minute) = (number(11, 13)?, number(14, 16)?);
            if hour > 23 || minute > 59 {
                return None;
            }
            time = Some((hour, minute));
        }
        return Some(Moment { year, month, day, time });
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.len() > 20 {
        return None;
    }
    let number: i128 = whole.parse().ok()?;
    let power = |exponent: u32| 10i128.pow(exponent);
    let seconds = if number < power(8) || number >= power(20) {
        return None;
    } else if number < power(11) {
        number
    } else if number < power(14) {
        number / power(3)
    } else if number < power(17) {
        number / power(6)
    } else {
        number / power(9)
    } as i64;
    let mut left = seconds / 86_400;
    let (mut year, mut month) = (1970, 1);
    while left >= year_days(year) {
        left -= year_days(year);
        year += 1;
    }
    while left >= days(year, month) {
        left -= days(year, month);
        month += 1;
    }
    let minutes = seconds % 86_400 / 60;
    Some(Moment { year, month, day: left + 1, time: Some((minutes / 60, minutes % 60)) })
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 400 == 0 || (year % 4 == 0 && year % 100 != 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn year_days(year: i64) -> i64 {
    (1..=12).map(|month| days(year, month)).sum()
}

/// The week's number is that of its Thursday, counted from the first Thursday of the Thursday's year.
fn week(moment: &Moment) -> i64 {
    // The years from -400 on, which began on a Saturday as the year 2000 did. Monday is 0.
    let years: i64 = (-400..moment.year).map(year_days).sum();
    let months: i64 = (1..moment.month).map(|month| days(moment.year, month)).sum();
    let in_year = months + moment.day - 1;
    let weekday = (years + in_year + 5) % 7;
    let thursday = in_year - weekday + 3;
    if thursday < 0 {
        (thursday + year_days(moment.year - 1)) / 7 + 1
    } else if thursday >= year_days(moment.year) {
        1
    } else {
        thursday / 7 + 1
    }
}
