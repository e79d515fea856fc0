//! The project's own tasks, so that continuous integration and a laptop agree on what they are.
//!
//! `cargo xtask check` (format and lints), `test`, `tidy` (what compilers do not check), `isa` (tests of
//! meaning with each instruction set), `bench` (every benchmark once, so that none rots), `instructions`
//! (their number for a fixed workload), `ci` (all).

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command-line tool talks by printing.

mod instructions;
mod layers;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask check|test|tidy|isa|bench|instructions|ci";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = workspace_root();
    let is_fine = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => check(&root),
        ["test"] => test(&root),
        ["tidy"] => tidy::run(&root),
        ["isa"] => isa(&root),
        ["bench"] => bench(&root),
        ["instructions"] => instructions::run(&root),
        ["ci"] => {
            check(&root)
                && tidy::run(&root)
                && test(&root)
                && isa(&root)
                && bench(&root)
                && instructions::run(&root)
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(3);
        }
    };
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

fn check(root: &Path) -> bool {
    cargo(root, &["fmt", "--all", "--check"])
        && cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// The command that the README gives, and no other.
fn test(root: &Path) -> bool {
    cargo(root, &["test", "--workspace"])
}

/// The tests that hold the engine to the reference, with each kind of vector code that this machine has,
/// and not only that which it chooses by itself.
fn isa(root: &Path) -> bool {
    ["scalar", "sse2", "avx2", "avx512"].iter().all(|isa| {
        println!("== SIGMILL_ISA={isa}");
        let arguments = ["test", "-q", "-p", "sigmill-engine", "-p", "sigmill-codegen", "--tests"];
        cargo_with(root, &arguments, &[("SIGMILL_ISA", isa)])
    })
}

/// Each benchmark once, and the whole suite at its smallest, without optimisation: that they still run
/// and find what they should.
fn bench(root: &Path) -> bool {
    let data =
        ["--rules", "tests/data/rules", "--events", "tests/data/events/otrf_windows.ndjson.zst"];
    let suite =
        ["run", "-q", "-p", "sigmill-perf", "--", "all", "--tiny", "--out", "target/perf-tiny"];
    cargo(root, &["test", "-q", "-p", "sigmill-benches", "--benches"])
        && cargo(root, &[&suite[..], &data].concat())
}

fn cargo(root: &Path, arguments: &[&str]) -> bool {
    cargo_with(root, arguments, &[])
}

fn cargo_with(root: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> bool {
    println!("== cargo {}", arguments.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root).envs(variables.iter().copied());
    match command.status() {
        Ok(status) if status.success() => true,
        Ok(status) => {
            eprintln!("cargo {}: {status}", arguments.join(" "));
            false
        }
        Err(error) => {
            eprintln!("cannot start cargo: {error}");
            false
        }
    }
}
