//! Which texts a regular expression cannot match without.
//!
//! # Soundness
//! The result may be empty (nothing known) but never wrong: every text in which the expression is
//! found, folded, contains one of the literals. A character class counts as a literal only if all its
//! characters fold to the same one, which is what `(?i)` makes of a letter.
//! `tests/differential.rs` runs random expressions against the reference.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};
use sigmill_engine::{fold_char, folded};
use sigmill_parser::Regex;

/// Shorter literals are everywhere and not worth a search.
const LEN_MIN: usize = 3;
/// More alternatives than this are not worth a search.
const COUNT_MAX: usize = 64;
/// Longest literal made of a counted repetition.
const REPEAT_MAX: u32 = 16;

/// Folded texts of which one is in every match; empty if none is known.
pub(crate) fn required(regex: &Regex) -> Vec<Box<[u8]>> {
    let parsed = ParserBuilder::new()
        .case_insensitive(regex.ignore_case)
        .multi_line(regex.multi_line)
        .dot_matches_new_line(regex.dot_all)
        .build()
        .parse(&regex.pattern);
    let Ok(hir) = parsed else { return Vec::new() };
    let Some(mut literals) = literals(&hir, 0) else { return Vec::new() };
    literals.sort();
    literals.dedup();
    literals.into_iter().map(|literal| literal.into_bytes().into()).collect()
}

fn literals(hir: &Hir, depth: usize) -> Option<Vec<String>> {
    if depth > 64 {
        return None;
    }
    if let Some(text) = exact(hir, depth) {
        return (text.len() >= LEN_MIN).then(|| vec![text]);
    }
    match hir.kind() {
        HirKind::Capture(capture) => literals(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) if repetition.min >= 1 => {
            literals(&repetition.sub, depth + 1)
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(literals(part, depth + 1)?);
                if all.len() > COUNT_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => concat(parts, depth),
        _ => None,
    }
}

/// The best of a concatenation: runs of exact parts joined, or what one part requires.
fn concat(parts: &[Hir], depth: usize) -> Option<Vec<String>> {
    let mut best: Option<Vec<String>> = None;
    let mut consider = |found: Vec<String>| {
        let len = |set: &Vec<String>| set.iter().map(String::len).min().unwrap_or(0);
        let is_better = best.as_ref().is_none_or(|best| {
            (len(&found).min(8), std::cmp::Reverse(found.len()))
                > (len(best).min(8), std::cmp::Reverse(best.len()))
        });
        if is_better {
            best = Some(found);
        }
    };
    let mut run = String::new();
    for part in parts {
        match exact(part, depth + 1) {
            Some(text) => run.push_str(&text),
            None => {
                if run.len() >= LEN_MIN {
                    consider(vec![run.clone()]);
                }
                run.clear();
                if let Some(found) = literals(part, depth + 1) {
                    consider(found);
                }
            }
        }
    }
    if run.len() >= LEN_MIN {
        consider(vec![run]);
    }
    best
}

/// The folded text that this part matches, if it is just one.
fn exact(hir: &Hir, depth: usize) -> Option<String> {
    if depth > 64 {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(String::new()),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            String::from_utf8(folded(text)).ok()
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut chars = class.iter().flat_map(|range| range.start()..=range.end());
            let first = fold_char(chars.next()?);
            let is_one = class.ranges().len() <= 8 && chars.take(8).all(|c| fold_char(c) == first);
            let count: u32 =
                class.iter().map(|range| range.end() as u32 - range.start() as u32 + 1).sum();
            (is_one && count <= 8).then(|| first.to_string())
        }
        HirKind::Capture(capture) => exact(&capture.sub, depth + 1),
        HirKind::Repetition(repetition)
            if repetition.max == Some(repetition.min) && repetition.min <= REPEAT_MAX =>
        {
            Some(exact(&repetition.sub, depth + 1)?.repeat(repetition.min as usize))
        }
        HirKind::Concat(parts) => parts.iter().map(|part| exact(part, depth + 1)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_necessary() {
        let cases: [(&str, bool, &[&str]); 12] = [
            ("mimikatz", false, &["mimikatz"]),
            ("MimiKatz", true, &["mimikatz"]),
            (r"\\cmd\.exe$", false, &[r"\cmd.exe"]),
            (r"a.*longer.*bc", false, &["longer"]),
            (r"(foo|barbar)x", false, &["barbar", "foo"]),
            (r"(foo|b)x", false, &[]),
            (r"(abc)?def", false, &["def"]),
            (r"(abc)+", false, &["abc"]),
            (r"[a-z]{20,}", false, &[]),
            (r"x{5}", false, &["xxxxx"]),
            (r"(?i)power\s*shell", false, &["power"]),
            (r".{100}", false, &[]),
        ];
        for (pattern, ignore_case, wanted) in cases {
            let regex = Regex {
                pattern: pattern.to_owned(),
                ignore_case,
                multi_line: false,
                dot_all: false,
            };
            let got = required(&regex);
            let got: Vec<&str> = got.iter().map(|l| std::str::from_utf8(l).unwrap()).collect();
            assert_eq!(got, wanted, "{pattern}");
        }
    }
}
