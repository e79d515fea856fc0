//! The texts and numbers that rules and records share.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

/// Texts over a small alphabet, so that they meet; long ones to reach every search.
pub(crate) fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abAB]{0,3}",
        2 => "[abAB]{4,9}",
        1 => prop::sample::select(vec![
            "K", "k", "\u{212a}", "ſ", "S", "s", "ß", "É", "é", "1", "10", "1.0", "01", "-1", "true",
            "FALSE", "null", "10.0.0.1", "10.0.1.9", "fe80::1", "2001:db8::7", "::ffff:10.0.0.1", "a\\b",
            "C:\\x\\ab.exe", "é😀b", "power  shell", "aPowerShellb", "xabababx", "\"q\"", "tab\tb",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a\nb", "b\r\nab", "-enc", "/enc", "a —b", "a*b", "a?",
        ]).prop_map(str::to_owned),
    ]
}

/// What only records hold: moments, and texts in Base64.
pub(crate) fn record_word() -> impl Strategy<Value = String> {
    prop_oneof![6 => word(), 1 => moment(), 1 => encoded()]
}

fn moment() -> impl Strategy<Value = String> {
    let date =
        (1..=12u32, 1..=31u32, prop::sample::select(vec![2019, 2020, 2021, 2023, 2024, 2026]));
    let time = prop::sample::select(vec![
        "",
        "T",
        "T00:00:00Z",
        " 23:59",
        "T12:05:09.123+02:00",
        "t7:00",
        "T24:00",
        "x",
        " 11:590",
        " at 9",
    ]);
    let number =
        (100_000_000u64..4_000_000_000, prop::sample::select(vec!["", "000", "999999", ".5"]));
    prop_oneof![
        6 => (date, prop::sample::select(vec!['-', '/']), time)
            .prop_map(|((m, d, y), s, time)| format!("{y}{s}{m:02}{s}{d:02}{time}")),
        1 => number.prop_map(|(n, unit)| format!("{n}{unit}")),
    ]
}

/// A number that a part of a moment may be.
pub(crate) fn part_number() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (1..=12u32).prop_map(|n| n.to_string()),
        1 => Just("0".to_owned()),
        1 => (13..=53u32).prop_map(|n| n.to_string()),
        2 => (2019..=2026u32).prop_map(|n| n.to_string()),
    ]
}

fn encoded() -> impl Strategy<Value = String> {
    let text = prop_oneof![3 => "[abAB/-]{1,6}", 1 => word()];
    (text, 0..4u8).prop_map(|(text, form)| {
        let units = || text.encode_utf16();
        let bytes: Vec<u8> = match form {
            0 => text.as_bytes().to_vec(),
            1 => units().flat_map(u16::to_le_bytes).collect(),
            2 => units().flat_map(u16::to_be_bytes).collect(),
            _ => [0xff, 0xfe].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect(),
        };
        STANDARD.encode(bytes)
    })
}

pub(crate) fn number() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "0",
        "1",
        "10",
        "-1",
        "1.0",
        "1.5",
        "10.00",
        "100",
        "1e1",
        "123456789012345678901",
        "-0",
    ])
    .prop_map(str::to_owned)
}

/// A text in double quotes, as YAML and JSON both read it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}
