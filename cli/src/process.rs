//! What a process that runs for long needs from its surroundings: log lines and the wish to stop.

use std::io::IsTerminal as _;
use std::thread;

use anyhow::Context as _;
use sigmill_runtime::run_error::RunError;
use sigmill_runtime::shutdown::Shutdown;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failure, OrExit as _};

/// Log lines go to standard error from this level on; `SIGMILL_LOG` says otherwise (`debug`,
/// `sigmill_runtime=trace`).
pub(crate) fn log_from(level: &str) {
    let filter = EnvFilter::try_from_env("SIGMILL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// A wish to stop that SIGINT and SIGTERM set. A second signal ends the process at once, for those who
/// will not wait.
pub(crate) fn stop_on_signals() -> Result<Shutdown, Failure> {
    let shutdown = Shutdown::new();
    let asked = shutdown.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .context("cannot listen for signals")
        .or_exit(Exit::Usage)?;
    thread::Builder::new()
        .name("sigmill-signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if asked.is_asked() {
                    std::process::exit(128 + signal);
                }
                asked.ask();
            }
        })
        .context("cannot start a thread")
        .or_exit(Exit::Usage)?;
    Ok(shutdown)
}

/// A broker's error is 4, anything else is a matter of settings.
pub(crate) fn run_failure(error: RunError) -> Failure {
    let exit = if error.is_broker() { Exit::Network } else { Exit::Usage };
    Failure::Error(exit, error.into())
}
