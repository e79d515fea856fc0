//! Random rules as text: every construct of the language, over a small alphabet so that values meet.

use proptest::prelude::*;

use super::texts::{self, number, quote, word};

/// The placeholders of all rules and their values.
pub(crate) const PLACEHOLDERS: &[(&str, &[&str])] = &[
    ("one", &["ab"]),
    ("two", &["a*", "B"]),
    ("three", &["b?a", "1", "xab"]),
    ("net", &["10.0.0.0/8"]),
];

/// Field names: flat, dotted (also ambiguous), paths, some that the mapping sends to others.
fn field() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "A", "B", "C", "a.b", "a.b.c", "a", "b.c", "$.a.b", "x y", "mapped", "walked",
    ])
    .prop_map(str::to_owned)
}

/// A rule's text value: plain or with wildcards and escapes.
fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => word().prop_map(|w| literal(&w)),
        2 => (word(), "[*?]{1,2}", word()).prop_map(|(a, w, b)| format!("{a}{w}{b}")),
        1 => (word(), word(), word()).prop_map(|(a, b, c)| format!("*{a}*{b}?{c}*")),
        1 => (word(), "[-/–]", word()).prop_map(|(a, dash, b)| format!("{a}{dash}{b}")),
    ]
}

fn literal(word: &str) -> String {
    word.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?")
}

fn placeholder() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["%one%", "%two%", "%three%"]);
    prop_oneof![
        3 => name().prop_map(str::to_owned),
        1 => ("[abAB*]{0,2}", name(), "[abAB?]{0,2}").prop_map(|(a, p, b)| format!("{a}{p}{b}")),
        1 => (name(), name()).prop_map(|(a, b)| format!("{a}{b}")),
    ]
}

fn regex() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a+b",
        "^ab",
        "ab$",
        "^[ab]{2,4}$",
        "(ab|ba)b",
        "abab",
        "(?i)power *shell",
        "a.b",
        ".{6,}",
        "\\\\x\\\\",
        "k",
        "[0-9]+\\.",
        "(aab|bba)+",
        "^$",
        "bab?a",
        "\\bab\\b",
        "a{3}",
        "é",
        "^b.*a$",
        "a\\nb",
        "a.+b",
        "^ba",
        "(?-i)AB",
        "[^ab]",
        "\\d{4}-\\d\\d",
    ])
    .prop_map(str::to_owned)
}

/// Expressions that need backtracking, one of which gives up on texts that the records hold.
fn beyond_linear() -> impl Strategy<Value = String> {
    of(vec![
        r"a(?=b)",
        r"^(?!a)",
        r"(?<=a)b",
        r"(?<!b)a$",
        r"(a|b)\1",
        r"(?<x>ab?)\k<x>",
        r"a++b",
        r"(?>a|ab)b",
        r"^(?:(a+)+)+\1x(?=c)",
    ])
}

/// Modifiers that keep a text a text, and what may stand with all of them.
fn text_modifiers() -> impl Strategy<Value = String> {
    let relation = prop::sample::select(vec!["", "|contains", "|startswith", "|endswith"]);
    let extra = prop::sample::select(vec![
        "",
        "",
        "",
        "|cased",
        "|neq",
        "|windash",
        "|windash|cased",
        "|cased|neq",
        "|windash|neq",
    ]);
    (relation, extra, any::<bool>()).prop_map(|(relation, extra, is_first)| match is_first {
        true => format!("{relation}{extra}"),
        false => format!("{extra}{relation}"),
    })
}

/// A chain that encodes its values.
fn encoded_modifiers() -> impl Strategy<Value = String> {
    let dash = prop::sample::select(vec!["", "", "", "|windash"]);
    let unicode = prop::sample::select(vec!["", "", "|wide", "|utf16le", "|utf16be", "|utf16"]);
    let base = prop::sample::select(vec![
        "|base64",
        "|base64|contains",
        "|base64offset|contains",
        "|base64offset|contains",
        "|base64offset|contains|cased",
        "|base64offset|contains|neq",
    ]);
    (dash, unicode, base).prop_map(|(dash, unicode, base)| format!("{dash}{unicode}{base}"))
}

fn list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| quote(value)).collect::<Vec<_>>().join(","))
}

fn of<T: Into<String> + Clone + std::fmt::Debug + 'static>(
    values: Vec<T>,
) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(Into::into)
}

/// The modifiers and the value of a line.
fn line() -> BoxedStrategy<(String, String)> {
    let patterns = |least| prop::collection::vec(pattern(), least..4);
    let network =
        || of(vec!["10.0.0.0/8", "10.0.0.0/24", "fe80::/10", "0.0.0.0/0", "::/0", "2001:db8::/32"]);
    let scalar = prop_oneof![
        number(),
        of(vec!["null", "true", "false", "''", "'*'", "'*'"]),
        (number(), pattern()).prop_map(|(n, p)| format!("[{n}, true, {}]", quote(&p))),
    ];
    let all = of(vec!["|contains|all", "|all", "|startswith|all", "|all|windash|contains"]);
    let regexes = of(vec!["|re", "|re|i", "|re|s", "|re|m", "|re|i|m|s", "|re|neq"]);
    let compare = of(vec!["|lt", "|lte", "|gt", "|gte", "|gt|neq", "|lt|all"]);
    let field_refs = of(vec![
        "|fieldref",
        "|fieldref|startswith",
        "|endswith|fieldref",
        "|fieldref|contains",
        "|fieldref|neq",
        "|fieldref|cased",
        "|fieldref|contains|cased|neq",
    ]);
    let parts = of(vec!["|minute", "|hour", "|day", "|week", "|month", "|year"]);
    let relations = of(vec!["", "", "|neq", "|gt", "|lte", "|gte", "|lt"]);
    let expanded = of(vec!["|expand", "|contains|expand", "|expand|endswith|cased", "|expand|neq"]);
    let encoded_values = prop::collection::vec("[abAB/-]{1,4}".prop_map(|w| literal(&w)), 1..3);
    prop_oneof![
        6 => (text_modifiers(), patterns(1)).prop_map(|(m, t)| (m, list(&t))),
        2 => (encoded_modifiers(), encoded_values).prop_map(|(m, t)| (m, list(&t))),
        2 => (all, patterns(2)).prop_map(|(m, t)| (m, list(&t))),
        3 => scalar.prop_map(|v| (String::new(), v)),
        1 => number().prop_map(|v| ("|neq".into(), v)),
        2 => (regexes, regex()).prop_map(|(m, r)| (m, quote(&r))),
        1 => (of(vec!["|re", "|re|i", "|re|neq", "|re|m|s"]), beyond_linear())
            .prop_map(|(m, r)| (m, quote(&r))),
        1 => (regex(), regex()).prop_map(|(a, b)| ("|re|all".into(), list(&[a, b]))),
        1 => (compare, number()).prop_map(|(m, n)| (m, format!("[{n}, 3]"))),
        1 => any::<bool>().prop_map(|b| ("|exists".into(), b.to_string())),
        1 => (of(vec!["|cidr", "|cidr|neq"]), network()).prop_map(|(m, n)| (m, quote(&n))),
        1 => (field_refs, field()).prop_map(|(m, o)| (m, quote(&o))),
        1 => (expanded, placeholder()).prop_map(|(m, p)| (m, quote(&p))),
        1 => placeholder().prop_map(|p| ("|re|expand".into(), quote(&p.replace(['*', '?'], "")))),
        1 => Just(("|expand|base64offset|contains".into(), quote("%one%"))),
        1 => Just(("|cidr|expand".into(), quote("%net%"))),
        2 => (parts, relations, texts::part_number())
            .prop_map(|(part, relation, n)| (format!("{part}{relation}"), n)),
    ]
    .boxed()
}

/// One line of a map: key with modifiers, and its value.
fn item() -> impl Strategy<Value = String> {
    (field(), line())
        .prop_map(|(field, (m, value))| format!("{}: {value}", quote(&format!("{field}{m}"))))
}

/// Keywords: a list, or values under modifiers without a field.
fn keywords() -> impl Strategy<Value = String> {
    let filled = || pattern().prop_filter("not empty", |p| !p.is_empty());
    let several = move |least| prop::collection::vec(filled(), least..4).prop_map(|w| list(&w));
    let modifiers = of(vec![
        "|startswith",
        "|endswith",
        "|contains",
        "|cased",
        "|windash|contains",
        "|contains|neq",
    ]);
    prop_oneof![
        4 => several(1),
        3 => several(2).prop_map(|words| format!("{{'|all': {words}}}")),
        2 => (modifiers, several(1)).prop_map(|(m, words)| format!("{{'{m}': {words}}}")),
        1 => regex().prop_map(|r| format!("{{'|re': {}}}", quote(&r))),
        1 => number().prop_map(|n| format!("[{n}]")),
        1 => "[abAB]{2,4}".prop_map(|w| format!("{{'|base64offset|contains': {w}}}")),
        1 => placeholder().prop_map(|p| format!("{{'|expand': {}}}", quote(&p))),
    ]
}

/// A selection: a map, a list of maps, keywords.
fn selection() -> impl Strategy<Value = String> {
    let map = prop::collection::vec(item(), 1..3)
        .prop_map(|mut items| {
            items.sort();
            items.dedup_by_key(|item| item.split(": ").next().map(str::to_owned));
            format!("{{{}}}", items.join(", "))
        })
        .boxed();
    prop_oneof![
        5 => map.clone(),
        1 => prop::collection::vec(map.clone(), 1..3)
            .prop_map(|maps| format!("[{}]", maps.join(", "))),
        1 => (map, pattern()).prop_map(|(map, word)| format!("[{map}, {}]", quote(&format!("a{word}")))),
        2 => keywords(),
    ]
}

fn condition(selections: usize) -> impl Strategy<Value = String> {
    let name = (0..selections).prop_map(|i| format!("sel{i}"));
    let of = of(vec![
        "1 of sel*",
        "all of sel*",
        "1 of them",
        "all of them",
        "any of sel*",
        "2 of them",
        "2 of sel*",
        "3 of them",
        "all of sel0*",
    ]);
    let leaf = prop_oneof![4 => name, 1 => of];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} AND NOT {b}")),
            inner.prop_map(|a| format!("not {a}")),
        ]
    })
}

pub(crate) fn rule() -> impl Strategy<Value = String> {
    prop::collection::vec(selection(), 1..4)
        .prop_flat_map(|selections| {
            let conditions = prop_oneof![
                4 => prop::collection::vec(condition(selections.len()), 1),
                1 => prop::collection::vec(condition(selections.len()), 2..4),
            ];
            (Just(selections), conditions)
        })
        .prop_map(|(selections, conditions)| {
            let mut text =
                String::from("title: random\nlogsource:\n  category: test\ndetection:\n");
            for (i, selection) in selections.iter().enumerate() {
                text.push_str(&format!("  sel{i}: {selection}\n"));
            }
            match conditions.as_slice() {
                [condition] => text + &format!("  condition: {condition}\n"),
                conditions => text + &format!("  condition: {}\n", list(conditions)),
            }
        })
}
