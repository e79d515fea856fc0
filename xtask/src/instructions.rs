//! How many instructions a fixed small workload takes: a guard that noise cannot fool.
//!
//! In: `perf/instructions.toml`, with a bound for each workload. Out: what valgrind's callgrind counts, and
//! whether it is within the bound. Seconds depend on the neighbours; instructions depend on the code alone.
//! Callgrind knows no AVX-512, so the AVX2 path is what runs. Where valgrind is missing the check is
//! skipped with a loud line, unless `SIGMILL_REQUIRE_VALGRIND` is set.
//!
//! A change that makes the engine slower fails here and either gets better or moves the bound in the
//! same commit, so that the price is seen. One that makes it much faster is asked to lower the bound.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cargo;

/// So much more than the bound, or less, is let through: a new compiler is not a regression.
const TOLERANCE: f64 = 0.05;

const BOUNDS: &str = "perf/instructions.toml";

/// Counts and compares; true if all is within bounds.
pub(crate) fn run(root: &Path) -> bool {
    println!("== instructions");
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: valgrind is not installed, so instructions are not counted");
        return std::env::var_os("SIGMILL_REQUIRE_VALGRIND").is_none();
    }
    let Ok(text) = fs::read_to_string(root.join(BOUNDS)) else {
        eprintln!("{BOUNDS} cannot be read");
        return false;
    };
    if !cargo(root, &["build", "--release", "-p", "sigmill-perf"]) {
        return false;
    }
    let mut is_fine = true;
    for (workload, bound) in bounds(&text) {
        let Some(counted) = count(root, &workload) else {
            eprintln!("{workload}: callgrind did not count");
            return false;
        };
        let change = counted / bound - 1.0;
        println!("{workload}: {counted:.1} million, bound {bound:.1}, {:+.1} %", change * 100.0);
        if change > TOLERANCE {
            eprintln!(
                "{workload} takes more instructions than {BOUNDS} allows: make it take fewer, or \
                 raise the bound in the commit that says why"
            );
            is_fine = false;
        } else if change < -TOLERANCE {
            println!("{workload} takes fewer than its bound: lower it in {BOUNDS}");
        }
    }
    is_fine
}

/// The `name = millions` lines.
fn bounds(text: &str) -> Vec<(String, f64)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    let pairs = lines.filter_map(|line| {
        let (name, bound) = line.split_once('=')?;
        Some((name.trim().to_owned(), bound.trim().replace('_', "").parse().ok()?))
    });
    pairs.collect()
}

/// Millions of instructions of a workload, without what its preparation takes.
fn count(root: &Path, workload: &str) -> Option<f64> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |folder| root.join(folder));
    let out = target.join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=sigmill_perf::instructions::counted*")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(target.join("release/sigmill-perf"))
        .args(["instructions", workload])
        .current_dir(root)
        .env("SIGMILL_ISA", "avx2")
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("{said}");
        return None;
    }
    let summary = fs::read_to_string(&out).ok()?;
    collected(&summary)
}

/// The sum in the file that callgrind writes.
fn collected(file: &str) -> Option<f64> {
    let line = file
        .lines()
        .find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")))?;
    let instructions: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(instructions / 1e6).filter(|millions| *millions > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_with_comments() {
        let text = "# what it is\nopen = 1_234.5 # why\n\nrouted=7\nnot a bound\n";
        assert_eq!(bounds(text), [("open".to_owned(), 1234.5), ("routed".to_owned(), 7.0)]);
    }

    #[test]
    fn the_sum_is_read() {
        assert_eq!(collected("events: Ir\nsummary: 2500000\n"), Some(2.5));
        assert_eq!(collected("totals: 0\n"), None);
        assert_eq!(collected("events: Ir\n"), None);
    }
}
