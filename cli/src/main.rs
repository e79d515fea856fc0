//! The `sigmill` command: reads arguments, calls the command that they name, turns its outcome into an
//! exit status. What a command does is in [`commands`]; what it works with is in the other crates.

#![forbid(unsafe_code)]

mod benchmark;
mod commands;
mod compiled;
mod demo_samples;
mod diagnostics;
mod enrichment;
mod exit;
mod explanation;
mod field_census;
mod java_options;
mod match_output;
mod pipelines;
mod process;
mod progress;
mod properties_source;
mod rule_records;
mod rule_set;
mod stdio;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sigma rules over live streams and files.
#[derive(Debug, Parser)]
#[command(
    name = "sigmill",
    version,
    infer_long_args = true,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "Exit status: 0 fine, 1 findings, 2 rules wrong, 3 configuration or usage wrong, \
                  4 broker or network.\n\nExample:\n  sigmill demo --seconds 20"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(commands::demo::DemoArgs),
    Match(commands::match_events::MatchArgs),
    Explain(commands::explain_event::ExplainEventArgs),
    Fields(commands::fields::FieldsArgs),
    Latency(commands::latency::LatencyArgs),
    Lint(commands::lint::LintArgs),
    Migrate(commands::migrate::MigrateArgs),
    Run(commands::run::RunArgs),
    Rules(commands::rules::RulesArgs),
    Bench(commands::bench::BenchArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(java_options::respell(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no error. Nothing can be done if they cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine }.into();
        }
    };
    let outcome = match cli.command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Match(args) => commands::match_events::run(&args),
        Command::Explain(args) => commands::explain_event::run(&args),
        Command::Fields(args) => commands::fields::run(&args),
        Command::Latency(args) => commands::latency::run(&args),
        Command::Lint(args) => commands::lint::run(&args),
        Command::Migrate(args) => commands::migrate::run(&args),
        Command::Run(args) => commands::run::run(&args),
        Command::Rules(args) => commands::rules::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            if command.has_subcommands() {
                command.get_subcommands().for_each(check);
                return;
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "`{}` has no example", command.get_name());
        }
        let command = Cli::command();
        command.clone().debug_assert();
        check(&command);
    }
}
