//! How often the atoms of a rule set hold in sample events: the table that covers are chosen by.
//!
//! Every atom becomes a rule of its own; those that hold in more than one event of a few hundred are
//! printed, as `rate<TAB>field<TAB>kind<TAB>text`. Train on other events than those a benchmark reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use sigmill_codegen::{CompileOptions, atom_plan};
use sigmill_engine::bench_api::{bigram_class, bigram_table};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::Rule;

use crate::input::Events;

/// Rarer atoms are not listed.
const RATE_MIN: f64 = 0.002;

pub(crate) fn run(rules: &[Arc<Rule>], events: &Events) {
    let (plan, names) = atom_plan(rules, &CompileOptions::default());
    let mut matcher = Matcher::new(Arc::new(plan), MatcherConfig::default());
    let mut held = vec![0u64; names.len()];
    for record in events.iter() {
        if let Ok(rules) = matcher.matches(record) {
            rules.iter().for_each(|rule| held[rule.0 as usize] += 1);
        }
    }
    let mut table = BTreeMap::new();
    for (name, held) in names.iter().zip(held) {
        let rate = held as f64 / events.len() as f64;
        if rate >= RATE_MIN {
            table.insert(name, rate);
        }
    }
    for (name, rate) in table {
        println!("{rate:.4}\t{name}");
    }
}

/// Prints the table by which literals are looked for where they are rarest.
pub(crate) fn bigrams(events: &Events) {
    let mut counts = [[0u64; 64]; 64];
    for record in events.iter() {
        for pair in record.windows(2) {
            counts[bigram_class(pair[0])][bigram_class(pair[1])] += 1;
        }
    }
    print!("{}", bigram_table(&counts));
}
