//! The spelling of options that scripts of the JVM processor use: long ones with a single dash.
//!
//! `-config FILE` means `--config FILE`, for the commands that stand in for its programs. Everything else
//! passes as it is.

use std::ffi::OsString;

/// Commands and their options that may have a single dash.
const SPELLINGS: [(&[&str], &[&str]); 2] = [
    (&["run"], &["config", "headless", "file", "dir", "help", "interactive"]),
    (&["rules", "load"], &["config", "file", "dir", "bootStrapServer", "topic", "help"]),
];

/// The arguments with such options in the spelling that clap reads.
pub(crate) fn respell(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_of = |command: &[&str]| {
        let mut given = arguments.iter().skip(1);
        command.iter().all(|word| given.next().is_some_and(|argument| argument == word))
    };
    let Some((command, options)) = SPELLINGS.iter().find(|(command, _)| is_of(command)) else {
        return arguments;
    };
    for argument in arguments.iter_mut().skip(1 + command.len()) {
        let Some(text) = argument.to_str() else { continue };
        let name = text.strip_prefix('-').filter(|name| !name.starts_with('-'));
        let name = name.map(|name| name.split('=').next().unwrap_or_default());
        if name.is_some_and(|name| options.contains(&name)) {
            *argument = format!("-{text}").into();
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_options_of_those_commands_change() {
        for (given, expected) in [
            ("s run -config a -headless", "s run --config a --headless"),
            ("s run -c a -h", "s run -c a -h"),
            ("s run -config=a --config b -cfile", "s run --config=a --config b -cfile"),
            (
                "s rules load -bootStrapServer b -file f",
                "s rules load --bootStrapServer b --file f",
            ),
            ("s rules list -topic t", "s rules list -topic t"),
            ("s match -file f", "s match -file f"),
            ("s", "s"),
        ] {
            let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert_eq!(respell(words(given)), words(expected), "{given}");
        }
    }
}
