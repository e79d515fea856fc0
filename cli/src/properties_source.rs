//! Where the settings of a command come from.
//!
//! | | |
//! |---|---|
//! | named | the file of the argument |
//! | found | the first that exists of `$SIGMAPROPS` (a file, or a folder with `sigma.properties`) and `sigma.properties` in `~/.sigma`, `~/.config`, `~/.confluent`, `~/tmp` |
//! | container | environment variables, over whatever file there is |
//! | asked for | what is required and still missing, at a terminal |
//!
//! In a container the file may be missing altogether, as it is for the JVM processor, which reads nothing
//! but variables there.

use std::env;
use std::io::{self, BufRead, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use sigmill_runtime::properties::Properties;
use sigmill_runtime::settings::table::{KEYS, REQUIRED};

use crate::exit::{Exit, Failure, OrExit as _};
use crate::stdio::say;

/// The file's name, wherever it is looked for.
const FILE_NAME: &str = "sigma.properties";
/// Where it is looked for below the home folder, in this order.
const HOME_FOLDERS: [&str; 4] = [".sigma", ".config", ".confluent", "tmp"];
/// Files by which a process knows that it runs in a container.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// What to do about required settings that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Ask for them.
    Always,
    /// Ask for them if there is a terminal.
    AtTerminal,
    /// Leave them missing.
    Never,
}

/// The settings, from the named file or from where they are found.
///
/// # Errors
/// The file that is named cannot be read.
pub(crate) fn read(named: Option<&Path>) -> Result<Properties, Failure> {
    let mut properties = match named.map(Path::to_owned).or_else(found) {
        Some(path) => {
            say(format_args!("Using properties {}", path.display()));
            Properties::read(&path)
                .with_context(|| format!("cannot read `{}`", path.display()))
                .or_exit(Exit::Usage)?
        }
        None => Properties::default(),
    };
    if is_in_container() {
        // Values may be secrets: a name is all that is ever shown of a variable.
        properties.take_environment(env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }));
    }
    Ok(properties)
}

/// Asks for required settings that are missing. `key: <default> : ` is the JVM processor's prompt; an empty
/// line takes the default.
///
/// # Errors
/// The input ends in the middle.
pub(crate) fn ask(properties: &mut Properties, ask: Ask) -> Result<(), Failure> {
    let is_asking = match ask {
        Ask::Always => true,
        Ask::AtTerminal => io::stdin().is_terminal() && io::stderr().is_terminal(),
        Ask::Never => false,
    };
    if is_asking { ask_from(properties, &mut io::stdin().lock()) } else { Ok(()) }
}

fn ask_from(properties: &mut Properties, input: &mut impl BufRead) -> Result<(), Failure> {
    for key in KEYS.iter().filter(|key| key.default == REQUIRED) {
        let is_given =
            |name: &str| properties.get(name).is_some_and(|entry| !entry.value.trim().is_empty());
        if is_given(key.name) || (key.name == "bootstrap.servers" && is_given("bootstrap.server")) {
            continue;
        }
        let default = suggestion(key.name);
        let mut stderr = io::stderr().lock();
        // Where nobody can read the question, the answer still counts.
        let _ = write!(stderr, "{}: <{default}> : ", key.name).and_then(|()| stderr.flush());
        drop(stderr);
        let mut line = String::new();
        let count =
            input.read_line(&mut line).context("cannot read an answer").or_exit(Exit::Usage)?;
        if count == 0 {
            return Err(Failure::Error(
                Exit::Usage,
                anyhow!("the input ended before {} was given", key.name),
            ));
        }
        let answer = match line.trim() {
            "" => default,
            answer => answer,
        };
        properties.set(key.name, answer, "answer");
    }
    Ok(())
}

/// What a prompt offers.
fn suggestion(key: &str) -> &'static str {
    match key {
        "bootstrap.servers" => "localhost:9092",
        "application.id" => "SigmaStreams",
        "data.topic" => "dns",
        "output.topic" => "dns-detection",
        "sigma.rules.topic" => "sigma-rules",
        _ => "",
    }
}

fn found() -> Option<PathBuf> {
    let given = env::var_os("SIGMAPROPS").filter(|given| !given.is_empty()).map(PathBuf::from);
    let given = given.into_iter().flat_map(|given| [given.clone(), given.join(FILE_NAME)]);
    let home = env::home_dir().into_iter();
    let home = home.flat_map(|home| HOME_FOLDERS.map(|folder| home.join(folder).join(FILE_NAME)));
    let path = given.chain(home).find(|path| path.is_file())?;
    say(format_args!("Found {}. Using this for execution", path.display()));
    Some(path)
}

/// `SIGMILL_CONTAINER` says so where the marks of a container are missing or mislead.
pub(crate) fn is_in_container() -> bool {
    match env::var("SIGMILL_CONTAINER").as_deref() {
        Ok("true" | "1") => true,
        Ok("false" | "0") => false,
        _ => CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_fill_what_is_missing_and_an_empty_line_takes_the_default() {
        let mut properties = Properties::parse(
            b"bootstrap.server=b:1\ndata.topic=mine\noutput.topic=",
            Path::new("p"),
        );
        ask_from(&mut properties, &mut &b"my-app\n\n rules \n"[..]).unwrap();
        let value = |key: &str| properties.get(key).map(|entry| entry.value.as_str());
        assert_eq!(value("bootstrap.servers"), None);
        assert_eq!(value("application.id"), Some("my-app"));
        assert_eq!(value("data.topic"), Some("mine"));
        assert_eq!(value("output.topic"), Some("dns-detection"));
        assert_eq!(value("sigma.rules.topic"), Some("rules"));
        let mut nothing = Properties::default();
        assert!(ask_from(&mut nothing, &mut &b"b:1\n"[..]).is_err());
        assert!(
            KEYS.iter()
                .filter(|key| key.default == REQUIRED)
                .all(|key| !suggestion(key.name).is_empty())
        );
    }
}
