//! Damaged and oversized texts: always an answer, never a panic, never long.

#![allow(clippy::unwrap_used)] // A test may stop at once.

use std::path::Path;
use std::time::{Duration, Instant};

use sigmill_parser::{Code, FieldMapping, check, parse, parse_bytes};

/// The carried rules and the examples of the codes.
fn texts() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("../tests/data/rules/sigmahq"), root.join("tests/data")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    paths.sort();
    assert!(paths.len() > 40);
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn damaged_texts_have_an_answer() {
    // Nothing to check but that it comes: a panic fails the test.
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let pieces: Vec<&[u8]> = vec![
        b"",
        b"|",
        b"\\",
        b"*",
        b"'",
        b"\"",
        b"(",
        b")",
        b"[",
        b"{",
        b":",
        b"\n",
        b" ",
        b"%",
        b"\xff",
        b"not ",
        b"&a ",
        b"*a",
        b"<<: ",
        b"---\n",
        b"\t",
        b"\xc3\xbc",
        b"0x",
        b"null",
        b"|re",
        b"|expand",
        b"|windash",
        b"action: global\n",
        b"correlation: {}\n",
    ];
    let mut answered = 0;
    for text in texts() {
        for _ in 0..120 {
            let mut damaged = text.clone();
            for _ in 0..=random(3) {
                let at = random(damaged.len() + 1);
                let end = (at + random(4)).min(damaged.len());
                damaged.splice(at..end, pieces[random(pieces.len())].iter().copied());
            }
            damaged.truncate(damaged.len() - random(2) * random(damaged.len() / 2 + 1));
            let parsed = parse_bytes(&damaged);
            check(&parsed.documents);
            answered +=
                usize::from(FieldMapping::parse(&String::from_utf8_lossy(&damaged)).is_err());
        }
    }
    assert!(answered > 0);
}

#[test]
fn oversized_texts_are_answered_soon() {
    let rule = |selections: &str, condition: &str| {
        format!(
            "title: t\nlogsource: {{category: c}}\ndetection:\n{selections}  condition: {condition}\n"
        )
    };
    let selections: String = (0..20_000).map(|at| format!("  s{at}: {{F: x}}\n")).collect();
    let keys: String = (0..100_000).map(|at| format!("k{at}: 1\n")).collect();
    let circle: String = (0..10_000)
        .map(|at| {
            format!(
                "title: t\nname: n{at}\ncorrelation: {{type: event_count, rules: [n{}], group-by: [U], \
                 timespan: 1m, condition: {{gte: 2}}}}\n---\n",
                (at + 1) % 10_000
            )
        })
        .collect();
    let pairs: String = (0..20_000).map(|at| format!("  s{at}: {{F: [x{at}, y{at}]}}\n")).collect();
    let values = format!("  s: {{F: [{}]}}\n", "'a*b', ".repeat(100_000));
    for (text, code) in [
        (rule(&selections, &vec!["1 of s*"; 20_000].join(" or ")), Some(Code::LimitNodes)),
        (rule(&selections, &vec!["s19999"; 90_000].join(" or ")), None),
        (
            rule(&selections, &vec!["x1"; 10_000].join(" or ")),
            Some(Code::ConditionUnknownIdentifier),
        ),
        (rule(&values, "s"), None),
        (rule(&values, &format!("{} and not s", vec!["not s"; 5_000].join(" and "))), None),
        (rule(&pairs, "all of s*"), None),
        (format!("{keys}{keys}"), Some(Code::DuplicateKey)),
        (circle, Some(Code::CorrelationCycle)),
        (rule("  s: {F|contains|windash: '- - - - - - - - - - - - -'}\n", "s"), None),
        (rule(&format!("  s: {{F|re: '{}'}}\n", "(a|".repeat(100_000)), "s"), Some(Code::BadRegex)),
        (
            rule(&format!("  s: {{F|{}: x}}\n", "all|".repeat(10_000)), "s"),
            Some(Code::UnknownModifier),
        ),
    ] {
        let start = Instant::now();
        let parsed = parse(&text);
        check(&parsed.documents);
        let elapsed = start.elapsed();
        let shown = &text[..80.min(text.len())];
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?} for {shown}");
        let codes: Vec<Code> = parsed.diagnostics.iter().map(|finding| finding.code).collect();
        match code {
            Some(code) => {
                assert!(codes.contains(&code), "{shown}: {:?}", &codes[..codes.len().min(3)]);
            }
            None => assert!(codes.is_empty(), "{shown}: {:?}", &codes[..codes.len().min(3)]),
        }
    }
}
