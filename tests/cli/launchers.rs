//! The launchers in `bin/`: which command they start with which arguments. The command itself is
//! replaced by `echo`.

use std::path::Path;
use std::process::Command;

use crate::sandbox::{Outcome, Sandbox};

/// Runs `bin/SCRIPT` with a home folder of its own.
fn launch(
    sandbox: &Sandbox,
    script: &str,
    arguments: &[&str],
    sigmaprops: Option<&str>,
) -> Outcome {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("bin");
    let mut command = Command::new(bin.join(script));
    command.args(arguments).current_dir(sandbox.path());
    command.env("HOME", sandbox.path().join("home")).env("SIGMILL", "/bin/echo");
    command.env_remove("SIGMAPROPS");
    if let Some(value) = sigmaprops {
        command.env("SIGMAPROPS", value);
    }
    let output = command.output().unwrap();
    Outcome {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_properties_file_is_looked_for_in_order() {
    let mut sandbox = Sandbox::new();
    let home = sandbox.path().join("home").display().to_string();
    // From the last place to the first: each new file wins over those before.
    for place in ["tmp", ".confluent", ".config", ".sigma"] {
        sandbox = sandbox.file(&format!("home/{place}/sigma.properties"), "");
        let outcome = launch(&sandbox, "confluent-sigma.sh", &[], None);
        assert_eq!(outcome.stdout, format!("run {home}/{place}/sigma.properties\n"));
        assert!(outcome.stderr.contains("Using properties"), "{}", outcome.stderr);
    }
    let sandbox = sandbox.file("env/sigma.properties", "").file("named.properties", "");
    for value in ["env", "env/sigma.properties"] {
        let outcome = launch(&sandbox, "confluent-sigma.sh", &[], Some(value));
        assert_eq!(outcome.stdout, "run env/sigma.properties\n", "{value}");
    }
    let outcome = launch(&sandbox, "confluent-sigma.sh", &["named.properties"], Some("env"));
    assert_eq!(outcome.stdout, "run named.properties\n");
}

#[test]
fn a_missing_properties_file_is_an_error() {
    let sandbox = Sandbox::new();
    for arguments in [&[][..], &["missing.properties"], &["-i"]] {
        let outcome = launch(&sandbox, "confluent-sigma.sh", arguments, None);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (3, ""), "{arguments:?}");
        assert!(outcome.stderr.contains("error: "), "{}", outcome.stderr);
    }
}

#[test]
fn the_loaders_take_the_arguments_of_both_documentations() {
    let sandbox = Sandbox::new().file("s.properties", "");
    for (script, arguments, expected) in [
        (
            "sigma-loader.sh",
            &["-f", "rule.yml", "-c", "s.properties"][..],
            "rules load --command-config s.properties --file rule.yml\n",
        ),
        (
            "sigma-loader.sh",
            &["--config", "s.properties", "-dir", "a folder"],
            "rules load --command-config s.properties --dir a folder\n",
        ),
        (
            "sigma-rule-loader.sh",
            &["-bootStrapServer", "b:9092", "-topic", "rules", "-file", "rule.yml"],
            "rules load --bootstrap-server b:9092 --topic rules --file rule.yml\n",
        ),
    ] {
        let outcome = launch(&sandbox, script, arguments, None);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (0, expected), "{}", outcome.stderr);
    }
}

#[test]
fn wrong_arguments_of_the_loaders_are_status_3() {
    let sandbox = Sandbox::new().file("s.properties", "");
    for arguments in [&[][..], &["-c", "s.properties"], &["-f"], &["-x", "y"], &["-h"]] {
        let outcome = launch(&sandbox, "sigma-loader.sh", arguments, None);
        assert_eq!(outcome.status, 3, "{arguments:?}");
        assert!(outcome.stderr.contains("usage: "), "{}", outcome.stderr);
    }
}
