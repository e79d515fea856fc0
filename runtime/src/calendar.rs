//! Dates of the proleptic Gregorian calendar, in UTC, for people and other programs to read.

use std::fmt;

const DAY_MS: i64 = 86_400_000;

/// A moment: milliseconds since 1970. Shown as RFC 3339 (`2023-06-21T03:55:49.750Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Utc(pub(crate) i64);

impl Utc {
    /// Year, month, day.
    fn date(self) -> (i64, i64, i64) {
        // Eras of 400 years that begin in March, so that the leap day is the last of its year.
        let days = self.0.div_euclid(DAY_MS) + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        (era * 400 + year + i64::from(month <= 2), month, day)
    }

    /// Hours, minutes, seconds, milliseconds.
    fn time(self) -> (i64, i64, i64, i64) {
        let ms = self.0.rem_euclid(DAY_MS);
        (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }

    /// `2023-06-21 03:55:49`.
    pub(crate) fn to_plain(self) -> String {
        let ((year, month, day), (hour, minute, second, _)) = (self.date(), self.time());
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second, ms)) = (self.date(), self.time());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_their_dates() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_687_319_749_050, "2023-06-21T03:55:49.050Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Utc(ms).to_string(), expected);
        }
        assert_eq!(Utc(1_687_319_749_050).to_plain(), "2023-06-21 03:55:49");
    }

    #[test]
    fn dates_are_those_that_event_times_are_read_from() {
        for ms in (-3_000_000_000_000_i64..9_000_000_000_000).step_by(86_399_999_137) {
            let read = crate::match_files::time_of_text(&Utc(ms).to_string());
            assert_eq!(read, Some(ms));
        }
    }
}
