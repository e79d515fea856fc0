//! What tells one event from another, however it is written: the JVM processor writes numbers and blanks anew.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// A digest of an event; equal events have equal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct EventDigest(u64, u64);

impl EventDigest {
    pub(super) fn of(event: &Value) -> Self {
        // Two hashes, so that no two events of a day meet.
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            feed(event, &mut hasher);
            hasher.finish()
        };
        Self(half(1), half(2))
    }
}

fn feed(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0u8.hash(hasher),
        Value::Bool(value) => (1u8, value).hash(hasher),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => (2u8, whole).hash(hasher),
            (None, Some(double)) => (3u8, double.to_bits()).hash(hasher),
            (None, None) => (4u8, number.to_string()).hash(hasher),
        },
        Value::String(text) => (5u8, text).hash(hasher),
        Value::Array(elements) => {
            (6u8, elements.len()).hash(hasher);
            elements.iter().for_each(|element| feed(element, hasher));
        }
        Value::Object(members) => {
            (7u8, members.len()).hash(hasher);
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            for name in names {
                name.hash(hasher);
                feed(&members[name], hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_is_written_does_not_matter() {
        let of = |text: &str| EventDigest::of(&serde_json::from_str(text).unwrap());
        let one = of(r#"{"a": 1672686740.343989, "b": [1, "x"], "c": {"d": null, "e": true}}"#);
        let same = of(r#"{"c":{"e":true,"d":null},"b":[1,"\u0078"],"a":1.672686740343989E9}"#);
        assert_eq!(one, same);
        for other in [
            r#"{"a": 1672686740.343989, "b": [1, "x"], "c": {"d": null, "e": false}}"#,
            r#"{"a": 1672686740.343989, "b": ["x", 1], "c": {"d": null, "e": true}}"#,
            r#"{"a": 1672686740.343988, "b": [1, "x"], "c": {"d": null, "e": true}}"#,
            r#"{"a": 1672686740.343989, "b": [1, "x"], "c": {"d": null}}"#,
        ] {
            assert_ne!(one, of(other), "{other}");
        }
    }
}
