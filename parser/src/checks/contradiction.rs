//! Conditions that never hold, or always do.
//!
//! A condition is written as a tree over tests, each test one proposition whatever it asks. What must be
//! true for the tree to hold is followed from part to part (unit propagation, and cases one after the other
//! where they are few); if that ends in a test that has to hold and not to hold, the condition never does.
//!
//! # Soundness
//! Equal tests of one field are one proposition, so that what is found is certain. What follows from the
//! content of tests is hardly looked at, so that much is not found. `tests` below compares with trying all
//! assignments.

use std::collections::{HashMap, HashSet};

use crate::condition::{Expr, Quantifier};
use crate::diagnostic::{Code, Diagnostic};
use crate::predicate::Test;
use crate::rule::{Block, DetectionItem, DetectionSection};

/// So many alternatives are tried one by one.
const CASES_MAX: usize = 16;
/// So many times alternatives are tried inside alternatives.
const CASES_DEPTH_MAX: usize = 3;
/// So often the tree is gone through before what is known has to do.
const ROUNDS_MAX: usize = 8;
/// A condition with more tests, each counted wherever it stands, is not looked at.
const TESTS_MAX: usize = 50_000;
/// So much is copied for trying alternatives.
const COPIED_MAX: usize = 1 << 20;

/// Looks at each condition.
pub(super) fn check(detection: &DetectionSection, found: &mut Vec<Diagnostic>) {
    for condition in &detection.conditions {
        let mut tests = Tests::default();
        let tree = tests.expr(&condition.expr, detection);
        if tests.count > TESTS_MAX {
            continue;
        }
        let warning = |code, message: String, help: &str| {
            Diagnostic::warning(code, condition.text.span).message(message).help(help)
        };
        if tests.never(&tree, true) {
            let message = "the condition never holds: one part excludes another".to_owned();
            let help = "compare the selections that are joined by `and` with those behind `not`";
            found.push(warning(Code::NeverMatches, message, help));
        } else if tests.never(&tree, false) {
            let message = "the condition always holds, for every event".to_owned();
            let help = "look for a selection that is joined by `or` with its own negation";
            found.push(warning(Code::AlwaysMatches, message, help));
        } else if let Some((field, values)) = tests.two_values(&tree) {
            let [a, b] = values.map(|value| super::shorten(&value));
            let message = format!(
                "`{field}` has to be `{a}` and `{b}` at once, which only a list of values can be"
            );
            let help = "join the selections by `or`, or put both values into one list";
            found.push(warning(Code::NeverMatches, message, help));
        }
    }
}

/// A condition over tests, by their numbers.
#[derive(Debug, Clone)]
enum Tree {
    Test(usize),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    AtLeast(usize, Vec<Tree>),
}

/// What is known of each test.
type Known = Vec<Option<bool>>;

/// A test has to hold and not to hold.
#[derive(Debug)]
struct Contradiction;

/// The distinct tests of a condition.
#[derive(Default)]
struct Tests<'a> {
    numbers: HashMap<(Option<&'a str>, &'a Test), usize>,
    list: Vec<(Option<&'a str>, &'a Test)>,
    /// How many were met, the same ones included.
    count: usize,
}

/// What [`Test::Exists`] of `false` negates.
const THERE: Test = Test::Exists(true);

impl<'a> Tests<'a> {
    fn expr(&mut self, expr: &Expr, detection: &'a DetectionSection) -> Tree {
        let mut all =
            |parts: &[Expr]| parts.iter().map(|part| self.expr(part, detection)).collect();
        match expr {
            Expr::And(parts) => Tree::All(all(parts)),
            Expr::Or(parts) => Tree::Any(all(parts)),
            Expr::Not(part) => Tree::Not(Box::new(self.expr(part, detection))),
            Expr::Selection(index, _) => self.selection(*index, detection),
            Expr::Of(quantifier, indices, _) => {
                let parts = indices.iter().map(|index| self.selection(*index, detection)).collect();
                match quantifier {
                    Quantifier::Any => Tree::Any(parts),
                    Quantifier::All => Tree::All(parts),
                    Quantifier::AtLeast(count) => Tree::AtLeast(*count as usize, parts),
                }
            }
        }
    }

    /// Once there are too many tests, the rest does not matter.
    fn selection(&mut self, index: usize, detection: &'a DetectionSection) -> Tree {
        match detection.selections.get(index) {
            Some(selection) if self.count <= TESTS_MAX => self.block(&selection.body),
            _ => Tree::Any(vec![]),
        }
    }

    fn block(&mut self, block: &'a Block) -> Tree {
        match block {
            Block::AllOf(parts) => Tree::All(parts.iter().map(|part| self.block(part)).collect()),
            Block::AnyOf(parts) => Tree::Any(parts.iter().map(|part| self.block(part)).collect()),
            Block::Item(item) => self.item(item),
        }
    }

    fn item(&mut self, item: &'a DetectionItem) -> Tree {
        let field = item.field.as_ref().map(|field| field.node.as_str());
        let predicate = &item.predicate;
        let mut values = Vec::with_capacity(predicate.values.len());
        for tests in &predicate.values {
            let tests: Vec<Tree> = tests.iter().map(|test| self.test(field, test)).collect();
            values.push(Tree::Any(tests));
        }
        let tree = if predicate.all { Tree::All(values) } else { Tree::Any(values) };
        if predicate.negated { Tree::Not(Box::new(tree)) } else { tree }
    }

    fn test(&mut self, field: Option<&'a str>, test: &'a Test) -> Tree {
        if *test == Test::Exists(false) {
            return Tree::Not(Box::new(self.test(field, &THERE)));
        }
        self.count += 1;
        let next = self.list.len();
        let number = *self.numbers.entry((field, test)).or_insert(next);
        if number == next {
            self.list.push((field, test));
        }
        Tree::Test(number)
    }

    /// Whether the tree can certainly not become `wanted`.
    fn never(&self, tree: &Tree, wanted: bool) -> bool {
        let known = vec![None; self.list.len()];
        self.settle(tree, wanted, known, CASES_DEPTH_MAX).is_err()
    }

    /// Everything that follows if the tree is `wanted`.
    fn settle(
        &self,
        tree: &Tree,
        wanted: bool,
        mut known: Known,
        depth: usize,
    ) -> Result<Known, Contradiction> {
        for _ in 0..ROUNDS_MAX {
            let before = known.iter().flatten().count();
            assume(tree, wanted, &mut known)?;
            self.presence(&known)?;
            if known.iter().flatten().count() == before {
                break;
            }
        }
        if depth == 0 {
            return Ok(known);
        }
        let alternatives = alternatives(tree, wanted);
        if alternatives.len() * known.len() > COPIED_MAX {
            return Ok(known);
        }
        for (parts, wanted) in alternatives {
            let is_open = |part: &&Tree| value(part, &known) != Some(!wanted);
            let open: Vec<&Tree> = parts.iter().filter(is_open).collect();
            let is_settled = open.iter().any(|part| value(part, &known) == Some(wanted));
            if is_settled || open.len() > CASES_MAX {
                continue;
            }
            let case = |part: &&Tree| self.settle(part, wanted, known.clone(), depth - 1);
            // The rest of the tree is not looked at again for each case but for what is known by now.
            if open.iter().all(|part| case(part).is_err()) {
                return Err(Contradiction);
            }
        }
        Ok(known)
    }

    /// A field that is not there holds no test but `null`.
    fn presence(&self, known: &Known) -> Result<(), Contradiction> {
        let is = |number: &usize, value| known[*number] == Some(value);
        let numbers = || 0..self.list.len();
        let absent = numbers().filter(|at| is(at, false) && self.list[*at].1 == &THERE);
        let absent: HashSet<_> = absent.map(|at| self.list[at].0).collect();
        let mut held = numbers().filter(|at| is(at, true) && self.list[*at].1 != &Test::Null);
        if !absent.is_empty() && held.any(|at| absent.contains(&self.list[at].0)) {
            return Err(Contradiction);
        }
        Ok(())
    }

    /// A field that has to be two different values.
    fn two_values(&self, tree: &Tree) -> Option<(&'a str, [String; 2])> {
        let known = vec![None; self.list.len()];
        let known = self.settle(tree, true, known, 0).ok()?;
        let mut whole: HashMap<&str, String> = HashMap::new();
        for (number, (field, test)) in self.list.iter().enumerate() {
            let (Some(field), Some(true)) = (*field, known[number]) else { continue };
            let Some(text) = whole_value(test) else { continue };
            match whole.get(field) {
                Some(other) if other.to_lowercase() != text.to_lowercase() => {
                    return Some((field, [other.clone(), text]));
                }
                _ => whole.insert(field, text),
            };
        }
        None
    }
}

/// The one text that a test asks for; numbers only if they have no second spelling.
fn whole_value(test: &Test) -> Option<String> {
    match test {
        Test::Text { pattern, .. } => pattern.as_literal().map(str::to_owned),
        Test::Number(number) if number.text.bytes().all(|b| b.is_ascii_digit()) => {
            Some(number.text.clone())
        }
        Test::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Notes what has to hold for the tree to be `wanted`, as far as there is no choice.
fn assume(tree: &Tree, wanted: bool, known: &mut Known) -> Result<(), Contradiction> {
    match (tree, wanted) {
        (Tree::Test(number), _) => match known[*number].replace(wanted) {
            Some(before) if before != wanted => Err(Contradiction),
            _ => Ok(()),
        },
        (Tree::Not(inner), _) => assume(inner, !wanted, known),
        (Tree::All(parts), true) | (Tree::Any(parts), false) => {
            parts.iter().try_for_each(|part| assume(part, wanted, known))
        }
        (Tree::Any(parts), true) | (Tree::All(parts), false) => {
            let mut open = parts.iter().filter(|part| value(part, known) != Some(!wanted));
            match (open.next(), open.next()) {
                (None, _) => Err(Contradiction),
                (Some(only), None) => assume(only, wanted, known),
                _ => Ok(()),
            }
        }
        (Tree::AtLeast(..), _) if value(tree, known) == Some(!wanted) => Err(Contradiction),
        (Tree::AtLeast(..), _) => Ok(()),
    }
}

/// What the tree is, if what is known is enough to tell.
fn value(tree: &Tree, known: &Known) -> Option<bool> {
    // `decisive` decides alone; without it all have to be known.
    let join = |parts: &[Tree], decisive: bool| {
        let mut result = Some(!decisive);
        for part in parts {
            match value(part, known) {
                Some(value) if value == decisive => return Some(decisive),
                Some(_) => {}
                None => result = None,
            }
        }
        result
    };
    match tree {
        Tree::Test(number) => known[*number],
        Tree::Not(inner) => value(inner, known).map(|value| !value),
        Tree::All(parts) => join(parts, false),
        Tree::Any(parts) => join(parts, true),
        Tree::AtLeast(count, parts) => {
            let values = || parts.iter().map(|part| value(part, known));
            let held = values().filter(|value| *value == Some(true)).count();
            let open = values().filter(Option::is_none).count();
            match (held >= *count, held + open >= *count) {
                (true, _) => Some(true),
                (_, false) => Some(false),
                _ => None,
            }
        }
    }
}

/// The parts of the tree of which one has to be so, where the tree as a whole has to be `wanted`.
fn alternatives(tree: &Tree, wanted: bool) -> Vec<(&[Tree], bool)> {
    match (tree, wanted) {
        (Tree::Not(inner), _) => alternatives(inner, !wanted),
        (Tree::All(parts), true) | (Tree::Any(parts), false) => {
            parts.iter().flat_map(|part| alternatives(part, wanted)).collect()
        }
        (Tree::Any(parts), true) | (Tree::All(parts), false) => vec![(parts, wanted)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(detection: &str) -> Vec<(Code, String)> {
        let text = format!("title: T\nlogsource: {{category: c}}\ndetection:\n{detection}\n");
        let parsed = crate::parse(&text);
        let [crate::Document::Rule(rule)] = parsed.documents.as_slice() else {
            panic!("{:?}\n{text}", parsed.diagnostics)
        };
        let mut found = Vec::new();
        check(&rule.detection, &mut found);
        found.into_iter().map(|found| (found.code, found.message)).collect()
    }

    #[test]
    fn contradictions_are_found() {
        for detection in [
            "  a: {F: x}\n  condition: a and not a",
            "  a: {F: x, G: y}\n  b: {F: x}\n  condition: a and not b",
            "  a: {F: [x, y]}\n  b: {F: [x, y, z]}\n  condition: a and not 1 of b*",
            "  a: {F: x}\n  b: {F|neq: x}\n  condition: all of them",
            "  a: {F|contains: x}\n  b: {F|exists: false}\n  condition: a and b",
            "  a: {F: x}\n  b: {G: y}\n  condition: (a or b) and not a and not b",
            "  a: {F: x}\n  b: {G: y}\n  condition: (a and not a) or (b and not b)",
            "  a1: {F: x}\n  a2: {G: y}\n  condition: 2 of a* and not a1",
        ] {
            let found = codes(detection);
            assert!(matches!(found.as_slice(), [(Code::NeverMatches, _)]), "{detection} {found:?}");
        }
    }

    #[test]
    fn tautologies_are_found() {
        for detection in [
            "  a: {F: x}\n  condition: a or not a",
            "  a: {F: x}\n  b: {F|exists: false}\n  c: {F|exists: true}\n  condition: b or c or a",
        ] {
            let found = codes(detection);
            assert!(
                matches!(found.as_slice(), [(Code::AlwaysMatches, _)]),
                "{detection} {found:?}"
            );
        }
    }

    #[test]
    fn one_value_is_not_two() {
        let found = codes("  a: {EventID: 1}\n  b: {EventID: 2}\n  condition: a and b");
        assert!(found[0].1.contains("`EventID` has to be `1` and `2`"), "{found:?}");
        for detection in [
            "  a: {F: x}\n  b: {F: X}\n  condition: a and b",
            "  a: {F: x}\n  b: {F: y}\n  condition: a or b",
            "  a: {F: x}\n  b: {F|contains: y}\n  condition: a and b",
            "  a: {F: [x, y]}\n  b: {F: y}\n  condition: a and b",
            "  a: {F: x}\n  b: {F: y}\n  condition: a and not b",
            "  a: {F: null}\n  b: {F: ''}\n  condition: a or b",
            "  a: {F: null}\n  b: {F|exists: false}\n  condition: a and b",
        ] {
            assert_eq!(codes(detection), [], "{detection}");
        }
    }

    /// A tree over four tests, from a seed.
    fn tree(seed: &mut u64, depth: u32) -> Tree {
        let mut next = |count: u64| {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) % count
        };
        let kind = if depth == 0 { 0 } else { next(6) };
        let (test, count, bound) = (next(4) as usize, 1 + next(3), next(4) as usize);
        let mut parts = || (0..count).map(|_| tree(seed, depth - 1)).collect::<Vec<_>>();
        match kind {
            0 | 1 => Tree::Test(test),
            2 => Tree::Not(Box::new(parts().swap_remove(0))),
            3 => Tree::All(parts()),
            4 => Tree::Any(parts()),
            _ => Tree::AtLeast(bound, parts()),
        }
    }

    #[test]
    fn what_is_found_is_certain() {
        let test = Test::Null;
        let fields = ["A", "B", "C", "D"];
        let tests = Tests {
            numbers: HashMap::new(),
            list: fields.iter().map(|field| (Some(*field), &test)).collect(),
            count: 4,
        };
        let (mut found, mut missed) = (0, 0);
        for start in 0..20_000 {
            let mut seed = start;
            let tree = tree(&mut seed, 4);
            for wanted in [true, false] {
                let is_possible = (0..16).any(|bits: usize| {
                    let known = (0..4).map(|at| Some(bits >> at & 1 == 1)).collect();
                    value(&tree, &known) == Some(wanted)
                });
                let is_never = tests.never(&tree, wanted);
                assert!(!(is_never && is_possible), "{wanted} {tree:?}");
                found += u32::from(is_never);
                missed += u32::from(!is_never && !is_possible);
            }
        }
        assert!(found > 1_000 && missed < found / 4, "{found} found, {missed} missed");
    }
}
