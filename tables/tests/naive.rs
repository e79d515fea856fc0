//! Every match kind, every way of making a version, against a plain model: a list of keys and rows that is
//! gone through from front to back.

#![allow(clippy::unwrap_used)] // A test may stop at once.

use std::net::IpAddr;
use std::ops::ControlFlow;

use proptest::prelude::*;
use sigmill_tables::{
    Duplicates, LookUpBuffer, MatchKind, PutError, Table, TableSpec, TableWriter, elements,
};

/// How special a hit is, if it is one: greater is more special.
type Meets = fn(key: &str, value: &str) -> Option<usize>;

fn equal(key: &str, value: &str) -> Option<usize> {
    (key == value).then_some(0)
}

fn equal_folded(key: &str, value: &str) -> Option<usize> {
    (key.to_lowercase() == value.to_lowercase()).then_some(0)
}

fn in_network(key: &str, value: &str) -> Option<usize> {
    let value = value.parse::<IpAddr>().ok()?;
    let (network, len) = match key.split_once('/') {
        Some((network, len)) => (network.parse::<IpAddr>().ok()?, len.parse::<usize>().ok()?),
        None => {
            let network = key.parse::<IpAddr>().ok()?;
            (network, if network.is_ipv4() { 32 } else { 128 })
        }
    };
    let bits = |address: IpAddr| -> Vec<bool> {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
    };
    let (network, value) = (bits(network), bits(value));
    (network.len() == value.len() && network[..len] == value[..len]).then_some(len)
}

fn is_parent(key: &str, value: &str) -> Option<usize> {
    let (key, value) = (key.to_lowercase(), value.to_lowercase());
    let value = value.strip_suffix('.').unwrap_or(&value);
    (value == key || value.ends_with(&format!(".{key}"))).then_some(key.len())
}

fn in_list(key: &str, value: &str) -> Option<usize> {
    // Earlier entries come first.
    value.split(',').rev().position(|entry| {
        let hex = entry.split_once('=').map_or(entry, |(_, hex)| hex);
        match key.contains('=') {
            true => entry.eq_ignore_ascii_case(key),
            false => hex.eq_ignore_ascii_case(key),
        }
    })
}

fn spec(kind: MatchKind) -> TableSpec {
    TableSpec { kind, key_parts: 1, columns: 2 }
}

/// The first column of the rows that are hit, in order.
fn hits(table: &Table, value: &str) -> Vec<String> {
    let mut found = Vec::new();
    table.look_up(&[value.as_bytes()], &mut LookUpBuffer::default(), |row| {
        let columns: Vec<&[u8]> = row.columns().collect();
        assert_eq!(columns[1], b"\"always\"");
        found.push(String::from_utf8(columns[0].to_vec()).unwrap());
        ControlFlow::Continue(())
    });
    found
}

/// What happens to a table: a row comes, goes, or a version is made.
#[derive(Debug, Clone)]
enum Change {
    Put(String),
    Delete(String),
    Commit,
}

fn changes(key: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        8 => key.clone().prop_map(Change::Put),
        2 => key.prop_map(Change::Delete),
        1 => Just(Change::Commit),
    ];
    prop::collection::vec(change, 1..120)
}

/// Runs the changes on both sides and compares what the values find, in every version.
fn check(
    kind: MatchKind,
    meets: Meets,
    same: fn(&str, &str) -> bool,
    changes: &[Change],
    values: &[String],
) -> usize {
    let mut writer = TableWriter::new(spec(kind), Duplicates::Last, usize::MAX);
    let mut model: Vec<(String, String)> = Vec::new();
    let mut versions: Vec<(Table, Vec<(String, String)>)> = Vec::new();
    for (number, change) in changes.iter().chain([&Change::Commit]).enumerate() {
        match change {
            Change::Put(key) => {
                // Some columns repeat, some do not.
                let column = if number % 3 == 0 { "\"often\"".into() } else { number.to_string() };
                writer.put(&[key], &[column.as_bytes(), b"\"always\""]).unwrap();
                model.retain(|(known, _)| !same(known, key));
                model.push((key.clone(), column));
            }
            Change::Delete(key) => {
                writer.delete(&[key]).unwrap();
                model.retain(|(known, _)| !same(known, key));
            }
            Change::Commit => versions.push((writer.commit().unwrap(), model.clone())),
        }
    }
    let mut count = 0;
    // Old versions stay what they were.
    for (table, model) in &versions {
        assert_eq!(table.len(), model.len());
        for value in values {
            let mut wanted: Vec<(usize, &String)> = model
                .iter()
                .filter_map(|(key, column)| Some((meets(key, value)?, column)))
                .collect();
            wanted.sort_by_key(|(special, _)| std::cmp::Reverse(*special));
            let wanted: Vec<&String> = wanted.into_iter().map(|(_, column)| column).collect();
            assert_eq!(hits(table, value).iter().collect::<Vec<_>>(), wanted, "{value}");
            count += wanted.len();
        }
    }
    count
}

fn text() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(vec!["a", "A", "ab", "aB", "ä", "Ä", "k", "b c", "\"", "x\\y", "ß"])
        .prop_map(str::to_owned)
}

fn address() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        (0u8..3, 0u8..3, 0u8..4).prop_map(|(a, b, c)| format!("10.{a}.{b}.{}", c * 60)),
        (0u16..3, 0u16..3).prop_map(|(a, b)| format!("2001:db8:{a:x}::{b:x}")),
    ]
}

fn network() -> impl Strategy<Value = String> + Clone {
    (address(), 0u8..=32, any::<bool>()).prop_map(|(address, len, is_one)| match is_one {
        true => address,
        false if address.contains(':') => format!("{address}/{}", u32::from(len) * 4),
        false => format!("{address}/{len}"),
    })
}

fn domain() -> impl Strategy<Value = String> + Clone {
    let label = prop::sample::select(vec!["a", "B", "evil", "com", "ä"]);
    prop::collection::vec(label, 1..5).prop_map(|labels| labels.join("."))
}

fn hash() -> impl Strategy<Value = String> + Clone {
    let hex = prop::sample::select(vec!["aabb", "AABB", "0f", "ccDD"]);
    let name = prop::sample::select(vec!["", "MD5=", "md5=", "IMPHASH="]);
    (name, hex).prop_map(|(name, hex)| format!("{name}{hex}"))
}

fn values<S: Strategy<Value = String>>(value: S) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(value, 1..30)
}

fn same_network(a: &str, b: &str) -> bool {
    let parts = |key: &str| -> Option<(String, usize)> {
        let (address, len) = key.split_once('/').unwrap_or((key, ""));
        let max = if address.contains(':') { 128 } else { 32 };
        Some((address.to_owned(), if len.is_empty() { max } else { len.parse().ok()? }))
    };
    let (Some((a, a_len)), Some((b, b_len))) = (parts(a), parts(b)) else { return false };
    a_len == b_len && in_network(&format!("{a}/{a_len}"), &b).is_some()
}

proptest! {
    #[test]
    fn exact(changes in changes(text()), values in values(text())) {
        check(MatchKind::Exact { folds: false }, equal, |a, b| a == b, &changes, &values);
    }

    #[test]
    fn exact_folded(changes in changes(text()), values in values(text())) {
        let same = |a: &str, b: &str| equal_folded(a, b).is_some();
        check(MatchKind::Exact { folds: true }, equal_folded, same, &changes, &values);
    }

    #[test]
    fn networks(changes in changes(network()), values in values(address())) {
        check(MatchKind::Cidr, in_network, same_network, &changes, &values);
    }

    #[test]
    fn domains(changes in changes(domain()), values in values(domain())) {
        let same = |a: &str, b: &str| equal_folded(a, b).is_some();
        check(MatchKind::Domain, is_parent, same, &changes, &values);
    }

    #[test]
    fn all_rows_of_a_key_come_together(keys in prop::collection::vec(text(), 1..40)) {
        let kind = MatchKind::Exact { folds: false };
        for duplicates in [Duplicates::First, Duplicates::Last, Duplicates::All] {
            let mut writer = TableWriter::new(spec(kind), duplicates, usize::MAX);
            for (at, key) in keys.iter().enumerate() {
                let column = (at % 5).to_string();
                writer.put(&[key], &[column.as_bytes(), b"\"always\""]).unwrap();
            }
            let table = writer.commit().unwrap();
            for key in &keys {
                let mut all: Vec<String> = Vec::new();
                for (at, _) in keys.iter().enumerate().filter(|(_, known)| *known == key) {
                    let column = (at % 5).to_string();
                    if !all.contains(&column) || duplicates == Duplicates::Last {
                        all.push(column);
                    }
                }
                let found = hits(&table, key);
                prop_assert_eq!(found.len(), 1);
                let found: Vec<String> = elements(found[0].as_bytes())
                    .map(|one| String::from_utf8(one.to_vec()).unwrap())
                    .collect();
                let wanted = match duplicates {
                    Duplicates::First => vec![all[0].clone()],
                    Duplicates::Last => vec![all.last().unwrap().clone()],
                    Duplicates::All => all,
                };
                prop_assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn lists_of_hashes(
        keys in prop::collection::vec(hash(), 1..6),
        values in values(prop::collection::vec(hash(), 1..4).prop_map(|list| list.join(","))),
    ) {
        let mut writer = TableWriter::new(spec(MatchKind::Hashes), Duplicates::Last, usize::MAX);
        for key in &keys {
            let column = key.to_lowercase();
            writer.put(&[key], &[column.as_bytes(), b"\"always\""]).unwrap();
        }
        let table = writer.commit().unwrap();
        for value in &values {
            let mut wanted: Vec<(usize, String)> = keys
                .iter()
                .filter_map(|key| Some((in_list(key, value)?, key.to_lowercase())))
                .collect();
            // Of one entry, the key with its name comes first.
            wanted.sort_by_key(|(at, key)| (std::cmp::Reverse(*at), !key.contains('=')));
            wanted.dedup();
            let mut found = hits(&table, value);
            let mut seen = Vec::new();
            // An entry that stands twice is found twice.
            found.retain(|one| { let is_new = !seen.contains(one); seen.push(one.clone()); is_new });
            let mut wanted: Vec<String> = wanted.into_iter().map(|(_, column)| column).collect();
            found.sort();
            wanted.sort();
            prop_assert_eq!(found, wanted, "{}", value);
        }
    }
}

#[test]
fn parts_of_a_key_are_kept_apart() {
    let kind = MatchKind::Exact { folds: true };
    let spec = TableSpec { kind, key_parts: 2, columns: 2 };
    let mut writer = TableWriter::new(spec, Duplicates::Last, usize::MAX);
    writer.put(&["a", "bc"], &[b"1", b"\"always\""]).unwrap();
    writer.put(&["ab", "c"], &[b"2", b"\"always\""]).unwrap();
    let table = writer.commit().unwrap();
    let find = |parts: &[&[u8]]| {
        let mut found = None;
        table.look_up(parts, &mut LookUpBuffer::default(), |row| {
            found = row.columns().next().map(<[u8]>::to_vec);
            ControlFlow::Break(())
        });
        found
    };
    assert_eq!(find(&[b"A", b"BC"]).as_deref(), Some(&b"1"[..]));
    assert_eq!(find(&[b"ab", b"c"]).as_deref(), Some(&b"2"[..]));
    assert_eq!(find(&[b"abc", b""]), None);
    assert_eq!(find(&[b"abc"]), None);
}

#[test]
fn keys_that_are_none_are_named() {
    let wrong = |kind, key: &str| {
        let mut writer = TableWriter::new(spec(kind), Duplicates::Last, usize::MAX);
        writer.put(&[key], &[b"1", b"\"always\""]).unwrap_err().to_string()
    };
    assert_eq!(wrong(MatchKind::Cidr, "10.0.0.0/33"), "`10.0.0.0/33` is no network");
    assert_eq!(wrong(MatchKind::Cidr, "x"), "`x` is no network");
    assert_eq!(wrong(MatchKind::Domain, "a..b"), "`a..b` is no domain");
    assert_eq!(wrong(MatchKind::Domain, "http://a/"), "`http://a/` is no domain");
    assert_eq!(wrong(MatchKind::Hashes, "xyz1"), "`xyz1` is no hash");
    assert_eq!(wrong(MatchKind::Exact { folds: true }, " "), "the key is empty");
}

#[test]
fn addresses_in_the_clothes_of_the_other_family_are_found() {
    let mut writer = TableWriter::new(spec(MatchKind::Cidr), Duplicates::Last, usize::MAX);
    for (key, column) in [("::ffff:10.0.0.0/104", b"1"), ("0.0.0.0/0", b"0")] {
        writer.put(&[key], &[column, b"\"always\""]).unwrap();
    }
    let table = writer.commit().unwrap();
    assert_eq!(hits(&table, "10.1.2.3"), ["1", "0"]);
    assert_eq!(hits(&table, "::ffff:10.1.2.3"), ["1", "0"]);
    assert_eq!(hits(&table, "2001:db8::1"), [""; 0]);
    assert_eq!(hits(&table, "10.1.2"), [""; 0]);
}

#[test]
fn a_table_does_not_grow_beyond_its_memory() {
    let kind = MatchKind::Exact { folds: false };
    let mut writer = TableWriter::new(spec(kind), Duplicates::Last, 10_000);
    let full = |writer: &mut TableWriter, from: u32| {
        let put = |n: u32| writer.put(&[&n.to_string()], &[b"\"some text\"", b"\"always\""]);
        (from..from + 10_000).map(put).find_map(Result::err)
    };
    let wanted = Some(PutError::Full { bytes_max: 10_000 });
    assert_eq!(full(&mut writer, 0), wanted);
    let mut writer = TableWriter::new(spec(kind), Duplicates::Last, 10_000);
    writer.put(&["0"], &[b"1", b"\"always\""]).unwrap();
    writer.commit().unwrap();
    assert_eq!(full(&mut writer, 1), wanted);
    let table = writer.commit().unwrap();
    assert!(table.len() > 50 && table.bytes() < 20_000, "{} {}", table.len(), table.bytes());
    // What is there may still change, and go.
    writer.put(&["0"], &[b"2", b"\"always\""]).unwrap();
    writer.delete(&["1"]).unwrap();
    let table = writer.commit().unwrap();
    assert_eq!((hits(&table, "0"), hits(&table, "1").len()), (vec!["2".to_owned()], 0));
}
