//! Compares pairs of line and rule id with expected ones.
//!
//! In: tables of agreed pairs and of disputed ones. A disputed pair with a verdict counts as the
//! verdict says; without one it is nobody's mistake. Any other pair that is not agreed must not be found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

/// Line from 0, rule id in lower case.
pub(crate) type Pair = (u64, String);

/// What should be found.
pub(crate) struct Expected {
    required: BTreeSet<Pair>,
    /// Disputed without a verdict.
    undecided: BTreeSet<Pair>,
}

/// What was found and should not be, and the other way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Differences {
    extra: BTreeSet<Pair>,
    missing: BTreeSet<Pair>,
}

/// Reads `line<TAB>rule id`; further columns and a header are left out.
pub(crate) fn parse_pairs(text: &str) -> BTreeSet<Pair> {
    rows(text).map(|row| pair(&row)).collect()
}

fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with("line\t"))
        .map(|line| line.split('\t').collect())
}

fn pair(row: &[&str]) -> Pair {
    assert!(row.len() >= 2, "not `line<TAB>rule id`: {row:?}");
    (row[0].parse().unwrap(), row[1].trim().to_lowercase())
}

impl Expected {
    /// From the text of both tables; the disputed one ends each row with the verdict.
    pub(crate) fn new(agreed: &str, disputed: &str) -> Self {
        let mut required = parse_pairs(agreed);
        assert!(!required.is_empty(), "no pair is expected");
        let mut undecided = BTreeSet::new();
        for row in rows(disputed) {
            match *row.last().unwrap() {
                "match" => drop(required.insert(pair(&row))),
                "no_match" => {
                    assert!(!required.contains(&pair(&row)), "agreed and disputed: {row:?}");
                }
                "" => drop(undecided.insert(pair(&row))),
                other => panic!("unknown verdict `{other}`"),
            }
        }
        Self { required, undecided }
    }

    pub(crate) fn differences(&self, found: &BTreeSet<Pair>) -> Differences {
        let is_judged = |pair: &&Pair| !self.undecided.contains(*pair);
        Differences {
            extra: found.difference(&self.required).filter(is_judged).cloned().collect(),
            missing: self.required.difference(found).cloned().collect(),
        }
    }
}

impl Differences {
    pub(crate) fn is_empty(&self) -> bool {
        self.extra.is_empty() && self.missing.is_empty()
    }
}

impl Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, pairs) in [("extra", &self.extra), ("missing", &self.missing)] {
            writeln!(f, "{title}: {} pairs", pairs.len())?;
            let mut by_rule: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
            for (line, rule) in pairs {
                by_rule.entry(rule).or_default().push(*line);
            }
            for (rule, lines) in by_rule.iter().take(20) {
                let first = &lines[..lines.len().min(5)];
                writeln!(f, "  {rule}: {} lines, first {first:?}", lines.len())?;
            }
        }
        Ok(())
    }
}

#[test]
fn disputed_pairs_count_as_their_verdict_says() {
    let expected = Expected::new(
        "line\trule_id\n0\tA\n1\ta\n",
        "line\trule_id\tcause\tverdict\n2\ta\tx\tmatch\n3\ta\tx\tno_match\n4\ta\tx\t\n",
    );
    for (found, extra, missing) in [
        ("0\ta\n1\ta\n2\ta\n", 0, 0),
        ("0\ta\n1\ta\n2\ta\n4\ta\n", 0, 0),
        ("0\ta\n1\ta\n", 0, 1),
        ("0\ta\n1\ta\n2\ta\n3\ta\n", 1, 0),
        ("0\ta\n2\ta\n0\tb\n", 1, 1),
        ("", 0, 3),
    ] {
        let found = expected.differences(&parse_pairs(found));
        assert_eq!((found.extra.len(), found.missing.len()), (extra, missing), "{found}");
        assert_eq!(found.is_empty(), extra + missing == 0);
    }
}
