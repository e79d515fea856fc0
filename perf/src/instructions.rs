//! `sigmill-perf instructions`: fixed small workloads, for `cargo xtask instructions` to count.
//!
//! Everything is prepared first; only what [`counted`] does is counted. The rules and events are those
//! that the repository carries, so that the count is the same on every machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig, Plan};
use sigmill_parser::{Pipelines, Rule};

use crate::input::{self, Events};
use crate::sides::match_pass;

/// The names of the workloads.
pub(crate) const WORKLOADS: &[&str] = &["read", "open", "routed", "without_memo", "compile"];

/// Runs one workload; its matches, for people to see that it did something.
pub(crate) fn run(workload: &str) -> anyhow::Result<u64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let paths: Vec<PathBuf> =
        ["tests/data/rules/sigmahq", "config/demo/rules"].iter().map(|at| root.join(at)).collect();
    let pipelines = match workload {
        "routed" => input::pipelines("windows")?,
        _ => Pipelines::default(),
    };
    let events = input::events(&[root.join("tests/data/events/otrf_windows.ndjson.zst")], None)?;
    // More rules than are carried, or searching would hardly count.
    let texts = crate::clones::clones(&input::rule_texts(&paths)?, 1_000);
    let rules = match workload {
        "read" => Vec::new(),
        _ => input::parse_rules(&texts, &pipelines),
    };
    let plan = Arc::new(compile(&rules, &CompileOptions::default()).plan);
    let config = MatcherConfig { memo: workload != "without_memo", ..MatcherConfig::default() };
    let mut matcher = Matcher::new(Arc::clone(&plan), config);
    // The calibration of vector code and the first use of memory are no part of the work.
    let warm = match_pass(&mut matcher, &events).1;
    match workload {
        "compile" => Ok(counted_compile(&rules).rules().len() as u64),
        "read" | "open" | "routed" | "without_memo" => {
            let matches = counted_matches(&mut matcher, &events);
            anyhow::ensure!(matches == warm, "both passes find the same");
            Ok(matches)
        }
        other => {
            anyhow::bail!("there is no workload `{other}`; there are {}", WORKLOADS.join(", "))
        }
    }
}

/// Two names that `cargo xtask instructions` looks for: they must stay functions of their own.
#[inline(never)]
fn counted_matches(matcher: &mut Matcher, events: &Events) -> u64 {
    match_pass(matcher, events).1
}

#[inline(never)]
fn counted_compile(rules: &[Arc<Rule>]) -> Plan {
    compile(rules, &CompileOptions::default()).plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_do_their_work() {
        for workload in WORKLOADS {
            let is_idle = *workload == "read";
            assert_eq!(run(workload).unwrap() == 0, is_idle, "{workload}");
        }
        assert!(run("nothing").is_err());
    }
}
