//! The project's own tasks, so that continuous integration and a laptop agree on what they are.
//!
//! `cargo xtask check` (format and lints), `test`, `tidy` (what compilers do not check), `ci` (all).

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command-line tool talks by printing.

mod layers;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask check|test|tidy|ci";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = workspace_root();
    let is_fine = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => check(&root),
        ["test"] => test(&root),
        ["tidy"] => tidy::run(&root),
        ["ci"] => check(&root) && tidy::run(&root) && test(&root),
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

fn cargo(root: &Path, arguments: &[&str]) -> bool {
    println!("== cargo {}", arguments.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(cargo).args(arguments).current_dir(root).status() {
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
