//! The time modifiers: the parts of a date and time that a rule can ask for.

use std::ops::RangeInclusive;

/// A part of a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimePart {
    /// `minute`
    Minute,
    /// `hour`
    Hour,
    /// `day`, of the month
    Day,
    /// `week`, of ISO 8601
    Week,
    /// `month`
    Month,
    /// `year`
    Year,
}

impl TimePart {
    /// The word in a rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The numbers that the part can be. A week has 53 where ISO 8601 wants it so.
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
}
