//! Timespans: a number and a unit, `90m`.

use std::time::Duration;

use super::Reader;
use super::header::shorten;
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Spanned;

/// Reads a timespan; a finding says what is wrong with it.
pub(crate) fn read(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Duration> {
    let duration = parse(&text.node);
    if duration.is_none() {
        let diagnostic = Diagnostic::error(Code::CorrelationTimespan, text.span)
            .message(format!("`{}` is no timespan", shorten(&text.node)))
            .help("write a number and one of `s`, `m`, `h`, `d`: 90 minutes are `90m`");
        reader.report(diagnostic);
    }
    duration
}

/// The duration of `90m`, at least a second, at most some ten thousand years.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count = number.parse::<u32>().ok().filter(|count| *count > 0)?;
    Some(Duration::from_secs(u64::from(count) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timespans_are_a_number_and_a_unit() {
        for (text, expected) in [
            ("10s", Some(10)),
            ("90m", Some(5_400)),
            ("1h", Some(3_600)),
            ("15d", Some(1_296_000)),
            ("2w", Some(1_209_600)),
            ("0s", None),
            ("5 fortnights", None),
            ("1.5h", None),
            ("-1m", None),
            ("m", None),
            ("", None),
            ("5ü", None),
            ("99999999999d", None),
        ] {
            assert_eq!(parse(text), expected.map(Duration::from_secs), "{text}");
        }
    }
}
