//! What is a record: the engine accepts and refuses the same texts as others that hold to RFC 8259.
//!
//! Documents are generated, valid and with all the freedom that the grammar leaves, and then damaged:
//! bytes changed, put in, taken out, cut off. The exact oracle is serde_json's reading past a value,
//! behind a check of UTF-8: it holds to the grammar and has no limits of its own. Reading to a value
//! refuses a little more, and the test knows what:
//!
//! - nesting deeper than 128: our limit is [`MatcherConfig::depth_max`];
//! - numbers beyond a float, such as `1e999`: ours are decimals of any size;
//! - escapes of lone surrogates, such as `"\ud800"`: here they read as U+FFFD.
//!
//! `SIGMILL_PROPTEST_CASES` sets the number of cases (2,000 by default).

use std::sync::Arc;

use proptest::prelude::*;
use serde::de::IgnoredAny;
use sigmill_engine::{Matcher, MatcherConfig, Plan, Rejection};

fn cases() -> u32 {
    std::env::var("SIGMILL_PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

fn matcher(reader: bool) -> Matcher {
    let config = MatcherConfig { reader, ..MatcherConfig::default() };
    Matcher::new(Arc::new(Plan::default()), config)
}

/// Whether the grammar allows the text, and whether it is an object.
fn oracle(text: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(text).ok()?;
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Some(text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{'))
}

/// Deepest nesting, of a text that is valid.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !is_text => depth -= 1,
            _ => {}
        }
    }
    deepest
}

/// Holds the engine's verdict to the oracle's, by both ways of reading.
fn check(text: &[u8]) {
    let shown = String::from_utf8_lossy(text);
    for reader in [true, false] {
        let verdict = matcher(reader).matches(text).map(<[_]>::len);
        match oracle(text) {
            Some(true) => {
                let wanted = if depth(text) > 512 { Err(Rejection::TooDeep) } else { Ok(0) };
                assert_eq!(verdict, wanted, "{shown}");
            }
            Some(false) => assert!(
                matches!(verdict, Err(Rejection::NotAnObject | Rejection::TooDeep)),
                "{shown}: {verdict:?}"
            ),
            None => assert!(
                matches!(
                    verdict,
                    Err(Rejection::NotJson { .. }
                        | Rejection::NotUtf8 { .. }
                        | Rejection::Empty
                        | Rejection::TooDeep)
                ),
                "{shown}: {verdict:?}"
            ),
        }
    }
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-zA-Z0-9 .:_-]{0,40}",
        1 => prop::sample::select(vec![
            "\\\\", "\\\"", "\\/", "\\n", "\\u0041", "\\u00e9", "\\ud83d\\ude00", "\\ud800",
            "\\udc00\\ud800", "\\u0000", "é", "漢", "😀", "\u{7f}", "\u{2028}", "{", "}", "[", "]", ",", ":",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => text(),
        1 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        1 => prop::sample::select(vec!["null", "true", "false", "1e999", "-0", "0e0"])
            .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            2 => prop::collection::vec((text(), inner.clone()), 0..6).prop_flat_map(object),
            1 => (prop::collection::vec(inner, 0..5), space())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(","))),
        ]
    })
}

fn object(members: Vec<(String, String)>) -> impl Strategy<Value = String> {
    space().prop_map(move |space| {
        let member = |(key, value): &(String, String)| format!("{key}{space}:{space}{value}");
        let members: Vec<String> = members.iter().map(member).collect();
        format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
    })
}

fn record() -> impl Strategy<Value = String> {
    (space(), prop::collection::vec((text(), value()), 0..8).prop_flat_map(object), space())
        .prop_map(|(before, object, behind)| format!("{before}{object}{behind}"))
}

#[derive(Debug, Clone)]
enum Damage {
    Change(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    CutOff(usize),
    Repeat(usize, usize),
}

fn byte() -> impl Strategy<Value = u8> {
    let structural =
        b"{}[]\",:\\/+-.0123456789eEtfnu \t\n\r\0\x1f\x7f\x80\xbf\xc3\xed\xff".to_vec();
    prop_oneof![3 => prop::sample::select(structural), 1 => any::<u8>()]
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>;
    prop_oneof![
        (at(), byte()).prop_map(|(at, byte)| Damage::Change(at, byte)),
        (at(), byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        at().prop_map(Damage::Remove),
        at().prop_map(Damage::CutOff),
        (at(), 0..9usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
    ]
}

fn damaged(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match *damage {
            Damage::Change(at, byte) => bytes[at % len] = byte,
            Damage::Insert(at, byte) => bytes.insert(at % (len + 1), byte),
            Damage::Remove(at) => drop(bytes.remove(at % len)),
            Damage::CutOff(at) => bytes.truncate(at % len),
            Damage::Repeat(at, piece) => {
                let at = at % len;
                let piece = bytes[at..(at + piece).min(len)].to_vec();
                drop(bytes.splice(at..at, piece));
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_the_grammar_makes_is_accepted(record in record()) {
        prop_assert_eq!(oracle(record.as_bytes()), Some(true));
        check(record.as_bytes());
    }

    #[test]
    fn damaged_records_have_the_oracles_verdict(
        record in record(),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        check(&damaged(&record, &damages));
    }

    #[test]
    fn any_bytes_have_the_oracles_verdict(bytes in prop::collection::vec(byte(), 0..40)) {
        check(&bytes);
        check(&[b"{\"a\":", &bytes[..], b"}"].concat());
    }

    /// Those that build a value refuse nothing but what is listed above.
    #[test]
    fn value_builders_refuse_only_what_is_known(record in record()) {
        let is_known = |error: &str| {
            ["number out of range", "lone leading surrogate", "unexpected end of hex escape"]
                .iter()
                .any(|known| error.contains(known))
        };
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&record) {
            prop_assert!(is_known(&error.to_string()), "{error} in {record}");
        }
    }
}

/// By hand: each place of the grammar where parsers are known to be lenient or too strict.
#[test]
fn corners_of_the_grammar() {
    let accepted = [
        "{}",
        " {\t} \r\n",
        "{\"\":0}",
        "{\"a\":-0}",
        "{\"a\":1e999}",
        "{\"a\":0.0e-0}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\uDFFF\\u0000\"}",
        "{\"a\":\"\u{7f}\u{fffe}\"}",
        "{\"a\":[[],{}]}",
    ];
    let refused = [
        "",
        " ",
        "{",
        "}",
        "{}}",
        "{} {}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":5.}",
        "{\"a\":1e}",
        "{\"a\":0x1}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":tru}",
        "{\"a\":True}",
        "{\"a\":nul}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\u00g0\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\\"}",
        "{\"a\":\"",
        "\u{feff}{}",
        "{/**/}",
        "{\"a\":1}//",
        "{\"a\":\"\u{0}\"}",
        "[",
        "{\"a\":[}",
        "{\"a\":{]}",
        "{\"a\":1]",
        "{\u{a0}}",
        "{\"a\":1\u{b}}",
    ];
    for text in accepted {
        assert_eq!(oracle(text.as_bytes()), Some(true), "{text}");
        check(text.as_bytes());
    }
    for text in refused {
        assert_eq!(oracle(text.as_bytes()), None, "{text}");
        check(text.as_bytes());
    }
    for text in ["[]", "1", "\"{}\"", "null", " [1,{\"a\":2}] "] {
        assert_eq!(oracle(text.as_bytes()), Some(false), "{text}");
        check(text.as_bytes());
    }
    for bytes in [
        &b"{\"a\":\"\xff\"}"[..],
        b"{\"a\":\"\xc3\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"\xc0\xaf\":1}",
        b"{\"a\":\"\xf4\x90\x80\x80\"}",
        b"\xef\xbb\xbf{}",
        b"{}\x80",
    ] {
        assert_eq!(oracle(bytes), None, "{bytes:?}");
        check(bytes);
    }
}

#[test]
fn nesting_is_bounded_by_the_limit_alone() {
    for (levels, is_accepted) in [(128, true), (129, true), (511, true), (512, true), (513, false)]
    {
        let inner = levels - 1;
        for text in [
            format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)),
            format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner)),
        ] {
            assert_eq!(depth(text.as_bytes()), levels);
            check(text.as_bytes());
            assert_eq!(matcher(true).matches(text.as_bytes()).is_ok(), is_accepted, "{levels}");
        }
    }
    // serde_json gives up at 128.
    let deep = format!("{}1{}", "{\"a\":".repeat(129), "}".repeat(129));
    assert!(serde_json::from_str::<serde_json::Value>(&deep).is_err());
    assert!(matcher(true).matches(deep.as_bytes()).is_ok());
    // Ten thousand levels cost neither a stack nor much time.
    let hostile = "{\"a\":".repeat(10_000);
    assert_eq!(matcher(true).matches(hostile.as_bytes()).map(<[_]>::len), Err(Rejection::TooDeep));
}
