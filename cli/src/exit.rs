//! What a command's exit status says, and errors that know theirs.

use std::io;
use std::process::ExitCode;

use crate::stdio;

/// The exit statuses, the same for all commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is well.
    Fine = 0,
    /// The command was asked to fail on what it found.
    Findings = 1,
    /// Rules are wrong.
    Rules = 2,
    /// Configuration or usage is wrong; a file cannot be read.
    Usage = 3,
    /// A broker or the network is at fault.
    Network = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read our output has closed it: nobody is there to be told.
    OutputClosed,
    /// An error and its exit status.
    Error(Exit, anyhow::Error),
}

impl Failure {
    /// Writing to standard output failed.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Error(Exit::Usage, anyhow::Error::new(error).context("cannot write to stdout"))
    }

    /// Tells the user, and gives the exit status.
    pub(crate) fn report(self) -> Exit {
        match self {
            Self::OutputClosed => Exit::Fine,
            Self::Error(exit, error) => {
                stdio::say(format_args!("error: {error:#}"));
                exit
            }
        }
    }
}

/// Gives an error its exit status.
pub(crate) trait OrExit<T> {
    /// The value, or a [`Failure`] that ends the process with `exit`.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::Error(exit, error.into()))
    }
}
