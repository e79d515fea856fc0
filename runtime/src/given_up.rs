//! Searches for regular expressions that reached their bound: how many since the last look, and whose.
//!
//! A plan counts them itself. The workers may be on the plan before for a batch, so that one is looked at
//! until the next look has passed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sigmill_codegen::RuleDocument;
use sigmill_parser::{Block, Rule, Test};

use crate::rule_store::RuleSet;

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    latest: Seen,
    before: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    rules: Arc<RuleSet>,
    /// By number of the plan, and expression.
    counts: HashMap<(usize, String), u64>,
}

/// New searches for one expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Searches {
    /// The rules that have it.
    pub(crate) title: String,
    /// The expression.
    pub(crate) expression: String,
    /// How many.
    pub(crate) count: u64,
}

impl GivenUp {
    /// What has come since the last look; `rules` are in force now.
    pub(crate) fn look(&mut self, rules: &Arc<RuleSet>) -> Vec<Searches> {
        let mut found = self.before.look();
        found.extend(self.latest.look());
        if self.latest.rules.generation == rules.generation {
            self.before = Seen::default();
        } else {
            let next = Seen { rules: Arc::clone(rules), counts: HashMap::new() };
            self.before = std::mem::replace(&mut self.latest, next);
            found.extend(self.latest.look());
        }
        found
    }
}

impl Seen {
    fn look(&mut self) -> Vec<Searches> {
        let mut found = Vec::new();
        let sets = self.rules.sets().enumerate();
        for (at, expression, count) in sets.flat_map(|(at, set)| {
            set.plan
                .searches_given_up()
                .into_iter()
                .map(move |(expression, count)| (at, expression, count))
        }) {
            let seen = self.counts.entry((at, expression.to_owned())).or_default();
            if count > *seen {
                found.push(Searches {
                    title: titles(&self.rules, expression),
                    expression: expression.to_owned(),
                    count: count - *seen,
                });
                *seen = count;
            }
        }
        found
    }
}

/// The titles of the rules with this expression.
fn titles(rules: &RuleSet, expression: &str) -> String {
    let has = |document: &RuleDocument| match document {
        RuleDocument::Rule(rule) => has_expression(rule, expression),
        RuleDocument::Filter(filter) => {
            filter.detection.selections.iter().any(|one| is_in(&one.body, expression))
        }
        RuleDocument::Correlation(_) => false,
    };
    let titles = rules.sets().flat_map(|set| &set.rules).filter(|rule| has(&rule.document));
    let titles: BTreeSet<&str> = titles.map(|rule| rule.title()).collect();
    titles.into_iter().collect::<Vec<_>>().join(", ")
}

fn has_expression(rule: &Rule, expression: &str) -> bool {
    rule.detection.selections.iter().any(|selection| is_in(&selection.body, expression))
}

fn is_in(block: &Block, expression: &str) -> bool {
    match block {
        Block::AllOf(parts) | Block::AnyOf(parts) => {
            parts.iter().any(|part| is_in(part, expression))
        }
        Block::Item(item) => item
            .predicate
            .values
            .iter()
            .flatten()
            .any(|test| matches!(test, Test::Backtracking(own) if own.as_str() == expression)),
    }
}
