//! The launchers in `bin/`, and how `sigmill` itself finds its properties file and takes its arguments.
//!
//! A start ends early: the files lack settings, or name a broker that is not there.

use std::path::Path;
use std::process::{Command, Stdio};

use sigmill_runtime::embedded_broker::EmbeddedBroker;

use crate::sandbox::{Outcome, Sandbox};

/// Runs `bin/SCRIPT` with a home folder of its own, outside of a container.
fn launch(
    sandbox: &Sandbox,
    script: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Outcome {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("bin");
    let mut command = Command::new(bin.join(script));
    command.args(arguments).current_dir(sandbox.path()).stdin(Stdio::null());
    command.env("HOME", sandbox.path().join("home")).env("SIGMILL_CONTAINER", "false");
    command.env("SIGMILL", env!("CARGO_BIN_EXE_sigmill")).env_remove("SIGMAPROPS");
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    Outcome {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

const UNREACHABLE: &str = "bootstrap.servers=127.0.0.1:1\napplication.id=a\ndata.topic=data\n\
                           output.topic=out\nsigma.rules.topic=rules\nsigmill.start.timeout.ms=200\n";

#[test]
fn the_properties_file_is_looked_for_in_order() {
    let mut sandbox = Sandbox::new();
    let home = sandbox.path().join("home").display().to_string();
    // From the last place to the first: each new file wins over those before.
    for place in ["tmp", ".confluent", ".config", ".sigma"] {
        sandbox = sandbox.file(&format!("home/{place}/sigma.properties"), "");
        let outcome = launch(&sandbox, "confluent-sigma.sh", &[], &[]);
        let using = format!("Using properties {home}/{place}/sigma.properties\n");
        assert!(outcome.stderr.contains(&using), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("Script dir is "), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("Using this for execution"), "{}", outcome.stderr);
        assert_eq!(outcome.status, 3);
    }
    let sandbox = sandbox.file("env/sigma.properties", "").file("named.properties", UNREACHABLE);
    for value in ["env", "env/sigma.properties"] {
        let outcome = launch(&sandbox, "confluent-sigma.sh", &[], &[("SIGMAPROPS", value)]);
        let using = "Using properties env/sigma.properties\n";
        assert!(outcome.stderr.contains(using), "{value}: {}", outcome.stderr);
    }
    for arguments in [&["named.properties"][..], &["-c", "named.properties", "-h"]] {
        let outcome = launch(&sandbox, "confluent-sigma.sh", arguments, &[("SIGMAPROPS", "env")]);
        assert!(outcome.stderr.contains("127.0.0.1:1"), "{}", outcome.stderr);
        assert_eq!(outcome.status, 4);
    }
}

#[test]
fn what_is_missing_is_an_error_that_names_it() {
    let sandbox = Sandbox::new();
    let outcome = launch(&sandbox, "confluent-sigma.sh", &["missing.properties"], &[]);
    assert_eq!(outcome.status, 3);
    assert!(outcome.stderr.contains("missing.properties"), "{}", outcome.stderr);
    let outcome = launch(&sandbox, "confluent-sigma.sh", &[], &[]);
    assert_eq!(outcome.status, 3);
    for key in ["bootstrap.servers", "application.id", "data.topic", "output.topic"] {
        let said = format!("Missing required property {key}");
        assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
    }
    // Asked for, but the input is closed.
    let outcome = launch(&sandbox, "confluent-sigma.sh", &["-i"], &[]);
    assert_eq!(outcome.status, 3);
    assert!(outcome.stderr.contains("bootstrap.servers: <localhost:9092> : "), "{outcome:?}");
}

#[test]
fn answers_complete_the_settings() {
    let sandbox = Sandbox::new().file(
        "p.properties",
        "bootstrap.servers=127.0.0.1:1\nsigmill.start.timeout.ms=200\napplication.id=a\n",
    );
    let outcome = sandbox.run_with_stdin("run -interactive -config p.properties", b"\nout\n\n");
    assert_eq!(outcome.status, 4, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("data.topic: <dns> : "), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("application.id: "), "{}", outcome.stderr);
    let help = sandbox.run("run -h");
    assert_eq!(help.status, 0);
    assert!(help.stdout.contains("--headless"), "{}", help.stdout);
}

#[test]
fn in_a_container_variables_are_settings() {
    let sandbox = Sandbox::new().file("c.properties", UNREACHABLE);
    let settings = [
        ("SIGMILL_CONTAINER", "true"),
        ("bootstrap_servers", "127.0.0.1:2"),
        ("application_id", "a"),
        ("data_topic", "data"),
        ("output_topic", "out"),
        ("sigma_rules_topic", "rules"),
        ("sigmill_start_timeout_ms", "200"),
        ("ssl_key_password", "geheim"),
    ];
    for arguments in [&[][..], &["-c", "c.properties"]] {
        let outcome = launch(&sandbox, "confluent-sigma.sh", arguments, &settings);
        assert_eq!(outcome.status, 4, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("127.0.0.1:2"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("geheim"), "{}", outcome.stderr);
    }
    let outcome = launch(&sandbox, "confluent-sigma.sh", &[], &settings[..3]);
    assert_eq!(outcome.status, 3);
    assert!(outcome.stderr.contains("Missing required property data.topic"), "{}", outcome.stderr);
    let outcome = launch(&sandbox, "confluent-sigma.sh", &[], &settings[1..]);
    assert_eq!(outcome.status, 3, "outside of one they are not: {}", outcome.stderr);
}

#[test]
fn the_loaders_take_the_arguments_of_both_documentations() {
    let broker = EmbeddedBroker::start(1).unwrap();
    broker.create_topic("sigma-rules", 1).unwrap();
    broker.create_topic("other", 1).unwrap();
    let servers = broker.bootstrap_servers();
    let properties = format!("bootstrap.servers={servers}\nsigma.rules.topic=other\n");
    let sandbox = Sandbox::with_rule().file("s.properties", &properties);
    for (script, arguments) in [
        ("sigma-loader.sh", &["-f", "rules/mimikatz.yml", "-c", "s.properties"][..]),
        ("sigma-loader.sh", &["--config", "s.properties", "-dir", "rules"]),
        ("sigma-loader.sh", &["--conf", "s.properties", "-file", "rules/mimikatz.yml"]),
        (
            "sigma-rule-loader.sh",
            &["-bootStrapServer", servers, "-topic", "other", "-file", "rules/mimikatz.yml"],
        ),
        ("sigma-rule-loader.sh", &["-bootStrapServer", servers, "-dir", "rules"]),
    ] {
        let outcome = launch(&sandbox, script, arguments, &[]);
        assert_eq!(outcome.status, 0, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("1 rule written"), "{}", outcome.stderr);
    }
    let sandbox = sandbox.file("home/.config/sigma.properties", properties);
    let outcome = launch(&sandbox, "sigma-loader.sh", &["-d", "rules"], &[]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}

#[test]
fn wrong_arguments_of_the_loaders_are_no_success() {
    let sandbox = Sandbox::new().file("s.properties", "");
    assert_eq!(launch(&sandbox, "sigma-loader.sh", &[], &[]).status, 1);
    for arguments in [
        &["-c", "s.properties"][..],
        &["-f"],
        &["-x", "y"],
        &["-f", "r.yml"],
        &["-c", "s.properties", "-f", "r.yml"],
    ] {
        let outcome = launch(&sandbox, "sigma-loader.sh", arguments, &[]);
        assert_eq!(outcome.status, 3, "{arguments:?}: {}", outcome.stderr);
    }
}

#[test]
fn scripts_find_the_properties_file_by_sourcing() {
    let sandbox = Sandbox::new().file("home/.config/sigma.properties", "");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("bin");
    let output = Command::new("bash")
        .args(["-c", &format!(". {}/auto-configure.sh; echo $SIGMA_PROPS_DIR", script.display())])
        .env("HOME", sandbox.path().join("home"))
        .env_remove("SIGMAPROPS")
        .output()
        .unwrap();
    let folder = sandbox.path().join("home").join(".config");
    let expected = format!("{}/\n", folder.display());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
