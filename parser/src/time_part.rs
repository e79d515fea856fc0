//! The time modifiers: a part of a date and time, as a regular expression over its text.
//!
//! The specification wants no conversion of formats or time zones, so the part is what the text says: in
//! ISO 8601, `2023-06-14T15:42:07Z`, each part but the week stands at a fixed place. The week would need
//! the calendar and is not supported.

use std::ops::RangeInclusive;

use crate::predicate::{Comparison, Regex};

/// A part of a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl TimePart {
    /// The word in a rule.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The numbers that the part can be.
    pub(crate) fn range(self) -> RangeInclusive<u32> {
        match self {
            Self::Minute => 0..=59,
            Self::Hour => 0..=23,
            Self::Day => 1..=31,
            Self::Week => 1..=53,
            Self::Month => 1..=12,
            Self::Year => 1900..=2199,
        }
    }

    /// The expression that finds dates of which this part is the number, or in the relation to it.
    pub(crate) fn regex(self, number: u32, comparison: Option<Comparison>) -> Option<Regex> {
        let holds = |value: &u32| match comparison {
            None => *value == number,
            Some(Comparison::Less) => *value < number,
            Some(Comparison::LessOrEqual) => *value <= number,
            Some(Comparison::Greater) => *value > number,
            Some(Comparison::GreaterOrEqual) => *value >= number,
        };
        let width = if self == Self::Year { 4 } else { 2 };
        let values: Vec<String> =
            self.range().filter(holds).map(|value| format!("{value:0width$}")).collect();
        // No number is below the least one: an expression that nothing matches.
        let wanted = if values.is_empty() {
            "[^\\s\\S]".to_owned()
        } else {
            format!("(?:{})", values.join("|"))
        };
        let hour = "(?:[01][0-9]|2[0-3])";
        let pattern = match self {
            Self::Year => format!("^{wanted}-[0-9]{{2}}-[0-9]{{2}}"),
            Self::Month => format!("^[0-9]{{4}}-{wanted}-[0-9]{{2}}"),
            Self::Day => format!("^[0-9]{{4}}-[0-9]{{2}}-{wanted}(?:[^0-9]|$)"),
            Self::Hour => format!("^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{wanted}:[0-9]{{2}}"),
            Self::Minute => {
                format!("^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{hour}:{wanted}(?:[^0-9]|$)")
            }
            Self::Week => return None,
        };
        Some(Regex { pattern, ignore_case: false, multi_line: false, dot_all: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_at_their_place() {
        let pattern = |part: TimePart, number, comparison| {
            part.regex(number, comparison).map(|regex| regex.pattern)
        };
        assert_eq!(
            pattern(TimePart::Hour, 8, None).as_deref(),
            Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:08):[0-9]{2}")
        );
        assert_eq!(
            pattern(TimePart::Month, 11, Some(Comparison::GreaterOrEqual)).as_deref(),
            Some("^[0-9]{4}-(?:11|12)-[0-9]{2}")
        );
        assert_eq!(
            pattern(TimePart::Year, 2023, None).as_deref(),
            Some("^(?:2023)-[0-9]{2}-[0-9]{2}")
        );
        assert_eq!(pattern(TimePart::Week, 24, None), None);
        for part in [TimePart::Minute, TimePart::Hour, TimePart::Day, TimePart::Year] {
            for comparison in [Comparison::Less, Comparison::Greater] {
                for number in [*part.range().start(), *part.range().end()] {
                    let regex = part.regex(number, Some(comparison)).unwrap();
                    assert!(crate::regex::check(&regex).is_ok(), "{regex:?}");
                }
            }
        }
    }
}
