//! What is committed beside an offset, in its metadata: what a later owner cannot know from the offset.
//!
//! Of a data topic's partition: the greatest event time before the offset, so that what is late is judged
//! alike by every owner. Of a partition of which windows are counted: the watermark, and from where a new
//! owner reads to have the windows as they were.

use std::fmt::Write as _;
use std::sync::Arc;

const PREFIX: &str = "sigmill1";

/// The state of a partition at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// How far time had come; `i64::MIN`: it had not begun.
    pub time: i64,
    /// The offset from which windows are restored; `None`: there is nothing to restore.
    pub replay: Option<i64>,
    /// How far time had come there, where the partition is a data topic's.
    pub replay_time: i64,
    /// How far time had come for windows that other windows feed, by their level from 1 on.
    pub levels: Option<Arc<[i64]>>,
}

impl Default for Mark {
    fn default() -> Self {
        Self { time: i64::MIN, replay: None, replay_time: i64::MIN, levels: None }
    }
}

impl Mark {
    /// As metadata of a commit; empty if there is nothing to say.
    pub fn to_metadata(&self) -> String {
        let mut text = String::new();
        if *self == Self::default() {
            return text;
        }
        text.push_str(PREFIX);
        let mut put = |name: char, value: Option<i64>| {
            if let Some(value) = value {
                let _ = write!(text, ";{name}={value}");
            }
        };
        put('t', Some(self.time).filter(|time| *time != i64::MIN));
        put('r', self.replay);
        put('u', Some(self.replay_time).filter(|time| *time != i64::MIN));
        for level in self.levels.iter().flat_map(|levels| levels.iter()) {
            put('l', Some(*level));
        }
        text
    }

    /// Reads metadata; that of other clients says nothing.
    pub fn from_metadata(text: &str) -> Self {
        let mut mark = Self::default();
        let mut parts = text.split(';');
        if parts.next() != Some(PREFIX) {
            return mark;
        }
        let mut levels = Vec::new();
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            match name {
                "t" => mark.time = value,
                "r" => mark.replay = Some(value),
                "u" => mark.replay_time = value,
                "l" => levels.push(value),
                // Of a later version.
                _ => {}
            }
        }
        mark.levels = (!levels.is_empty()).then(|| levels.into());
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_gives_the_mark_back() {
        for mark in [
            Mark::default(),
            Mark { time: 5, ..Mark::default() },
            Mark { time: -5, replay: Some(0), ..Mark::default() },
            Mark { replay: Some(7), replay_time: i64::MAX, ..Mark::default() },
            Mark { time: 9, levels: Some([i64::MIN, 7].into()), ..Mark::default() },
        ] {
            assert_eq!(Mark::from_metadata(&mark.to_metadata()), mark);
        }
        assert_eq!(Mark::default().to_metadata(), "");
    }

    #[test]
    fn metadata_of_others_says_nothing() {
        for text in ["", "AgAAAYx", "sigmill2;t=5", "t=5", "sigmill1;t=;r=x;q=1", "sigmill1"] {
            assert_eq!(Mark::from_metadata(text), Mark::default(), "{text}");
        }
    }
}
