//! Random records: nested, with repeated keys and values of every kind, their texts spelled in many ways.

use proptest::prelude::*;

use super::texts::{number, record_word};

/// A text as JSON, some characters spelled by escapes.
fn spelled(text: &str, choice: u64) -> String {
    let mut out = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        let escape = choice >> (i % 64) & 1 == 1;
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' if escape => out.push_str("\\/"),
            c if c < ' ' || escape => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
            c => out.push(c),
        }
    }
    out + "\""
}

pub(crate) fn spelled_word() -> impl Strategy<Value = String> {
    (record_word(), prop_oneof![2 => Just(0u64), 1 => any::<u64>()])
        .prop_map(|(text, choice)| spelled(&text, choice))
}

fn key() -> impl Strategy<Value = String> {
    let names =
        prop::sample::select(vec!["A", "B", "C", "a", "b", "c", "a.b", "b.c", "a.b.c", "x y", "z"]);
    (names, prop_oneof![5 => Just(0u64), 1 => any::<u64>()])
        .prop_map(|(name, choice)| spelled(name, choice))
}

fn object(value: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = String> + Clone {
    let key = key().boxed();
    prop::collection::vec((key, value), 0..6).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

pub(crate) fn record() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        6 => spelled_word(),
        2 => number(),
        1 => prop::sample::select(vec!["true", "false", "null", "1686757327", "1686757327000"])
            .prop_map(str::to_owned),
    ]
    .boxed();
    let value = scalar
        .prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|values| format!("[{}]", values.join(" , "))),
                object(inner),
            ]
        })
        .boxed();
    object(value)
}
