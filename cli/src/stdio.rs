//! Data goes to standard output, talk to standard error.

use std::fmt::Display;
use std::io::{self, Write};

use crate::exit::Failure;

/// Says a line to the user. Where standard error is closed, nobody hears it, and that is no error.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes data.
pub(crate) fn put(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(Failure::output)
}

/// `1 rule`, `2 rules`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
