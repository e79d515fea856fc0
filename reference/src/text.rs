//! Texts compared: simple case folding, wildcards, regular expressions.

use std::cell::RefCell;
use std::collections::HashMap;

use regex_automata::meta;
use regex_automata::util::syntax;
use sigmill_parser::{Part, Pattern, Regex, Relation, SEARCH_BYTES_MAX, SEARCH_STEPS_MAX};

/// Simple case folding of one character (Unicode's statuses C and S).
fn fold(c: char) -> char {
    let folded = unicode_case_mapping::case_folded(c).map_or(c as u32, std::num::NonZero::get);
    char::from_u32(folded).unwrap_or(c)
}

fn chars(text: &str, cased: bool) -> Vec<char> {
    text.chars().map(|c| if cased { c } else { fold(c) }).collect()
}

pub(crate) fn equal(a: &str, b: &str, cased: bool) -> bool {
    chars(a, cased) == chars(b, cased)
}

pub(crate) fn relates(a: &str, b: &str, relation: Relation, cased: bool) -> bool {
    let (a, b) = (chars(a, cased), chars(b, cased));
    match relation {
        Relation::Equal => a == b,
        Relation::StartsWith => a.starts_with(&b),
        Relation::EndsWith => a.ends_with(&b),
        Relation::Contains => b.is_empty() || a.windows(b.len()).any(|window| window == b),
    }
}

/// Whether the whole text matches the pattern: `reach[i]` says that the parts so far can end at `i`.
pub(crate) fn glob(pattern: &Pattern, text: &str, cased: bool) -> bool {
    let text = chars(text, cased);
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    let step = |reach: &[bool], matches: &dyn Fn(char) -> bool| {
        let mut next = vec![false; reach.len()];
        for (at, c) in text.iter().enumerate() {
            next[at + 1] = reach[at] && matches(*c);
        }
        next
    };
    for part in &pattern.parts {
        match part {
            Part::Literal(literal) => {
                for wanted in chars(literal, cased) {
                    reach = step(&reach, &|c| c == wanted);
                }
            }
            Part::AnyChar => reach = step(&reach, &|_| true),
            Part::AnyRun => {
                let first = reach.iter().position(|r| *r).unwrap_or(reach.len());
                reach.iter_mut().skip(first).for_each(|r| *r = true);
            }
            Part::Placeholder(_) => return false,
        }
    }
    reach[text.len()]
}

/// Whether the expression is found somewhere in the text.
pub(crate) fn search(regex: &Regex, text: &str) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<Regex, Option<meta::Regex>>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        let entry = compiled.entry(regex.clone()).or_insert_with(|| {
            let syntax = syntax::Config::new()
                .case_insensitive(regex.ignore_case)
                .multi_line(regex.multi_line)
                .dot_matches_new_line(regex.dot_all);
            meta::Regex::builder().syntax(syntax).build(&regex.pattern).ok()
        });
        entry.as_ref().is_some_and(|regex| regex.is_match(text))
    })
}

/// Whether the expression is found somewhere in the text by backtracking within the bounds.
pub(crate) fn search_backtracking(expression: &str, text: &str) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Option<fancy_regex::Regex>>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        let entry = compiled.entry(expression.to_owned()).or_insert_with(|| {
            let mut builder = fancy_regex::RegexBuilder::new(expression);
            builder.backtrack_limit(SEARCH_STEPS_MAX).build().ok()
        });
        text.len() <= SEARCH_BYTES_MAX
            && entry.as_ref().is_some_and(|regex| regex.is_match(text).unwrap_or(false))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        let any = Part::AnyRun;
        let one = Part::AnyChar;
        let text = |t: &str| Part::Literal(t.to_owned());
        let p = Pattern::new([text("a"), any.clone(), text("B"), one.clone()]);
        assert!(glob(&p, "axxbc", false));
        assert!(glob(&p, "abbü", false));
        assert!(!glob(&p, "ab", false));
        assert!(!glob(&p, "axxbc", true));
        assert!(glob(&Pattern::default(), "", false));
        assert!(!glob(&Pattern::default(), "x", false));
        assert!(glob(&Pattern::new([text("ſK")]), "s\u{212a}", false));
    }
}
