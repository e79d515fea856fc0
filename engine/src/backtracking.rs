//! Regular expressions with look-around, back references and the like, on an engine that backtracks.
//!
//! Such a search has no linear bound, so it has one of steps, and one of the text's length since a step
//! may read the whole text. A search that reaches a bound finds nothing and is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use fancy_regex::{Regex, RegexBuilder};

/// So often may a search go back and try another way.
pub const SEARCH_STEPS_MAX: usize = 50_000;
/// Longer texts are not searched.
pub const SEARCH_BYTES_MAX: usize = 16 << 10;

/// An expression made ready.
#[derive(Debug)]
pub(crate) struct Backtracking {
    regex: Regex,
    /// Searches that reached a bound. Plans are shared between workers; this is written so rarely that
    /// they do not meet.
    given_up: AtomicU64,
}

/// A copy counts for itself.
impl Clone for Backtracking {
    fn clone(&self) -> Self {
        Self { regex: self.regex.clone(), given_up: AtomicU64::new(0) }
    }
}

impl Backtracking {
    pub(crate) fn new(expression: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(expression)
            .backtrack_limit(SEARCH_STEPS_MAX)
            .delegate_size_limit(crate::REGEX_BYTES_MAX)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { regex, given_up: AtomicU64::new(0) })
    }

    /// Whether it is found in the text, as far as the bounds let it look.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(text) else { return false };
        let found = match text.len() {
            ..=SEARCH_BYTES_MAX => self.regex.is_match(text).ok(),
            _ => None,
        };
        if found.is_none() {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
        found.unwrap_or(false)
    }

    /// How many searches reached a bound.
    pub(crate) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_bounded_and_counted() {
        // Versions of the engine that take a repeated group as atomic fail here.
        let regex = Backtracking::new(r"^(?:(a+)+)+\1b(?=c)").unwrap();
        assert!(regex.is_match(b"aaabc"));
        assert!(!regex.is_match(b"aaab"));
        assert_eq!(regex.given_up(), 0);
        assert!(!regex.is_match("a".repeat(40).as_bytes()));
        assert_eq!(regex.given_up(), 1);
        let long = format!("aabc{}", "x".repeat(SEARCH_BYTES_MAX));
        assert!(!regex.is_match(long.as_bytes()));
        assert_eq!(regex.given_up(), 2);
        assert!(Backtracking::new("(?=a").is_err());
    }
}
