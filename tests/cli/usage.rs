//! Help, version, and wrong usage.

use crate::sandbox::{RULE, Sandbox};

#[test]
fn every_command_has_help_with_an_example() {
    let sandbox = Sandbox::new();
    for command in [
        "",
        "demo",
        "match",
        "fields",
        "lint",
        "explain",
        "migrate",
        "run",
        "rules",
        "rules load",
        "rules list",
        "rules get",
        "rules delete",
        "rules explain",
        "bench",
    ] {
        let outcome = sandbox.run(&format!("{command} --help"));
        assert_eq!(outcome.status, 0, "{command}");
        assert!(outcome.stdout.contains("Example"), "{command}: {}", outcome.stdout);
        assert!(outcome.stderr.is_empty(), "{command}: {}", outcome.stderr);
    }
}

#[test]
fn version_is_that_of_the_package() {
    let outcome = Sandbox::new().run("--version");
    assert_eq!(outcome.stdout, format!("sigmill {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_status_3_and_says_why() {
    let sandbox = Sandbox::new().file("rule.yml", RULE);
    for (arguments, said) in [
        ("", "Usage"),
        ("no-such-command", "no-such-command"),
        ("match", "--rules"),
        ("match --rules rule.yml", "<FILE>"),
        ("match --rules rule.yml --threads 0 -", "--threads"),
        ("match --rules rule.yml --format xml -", "tsv"),
        ("match --rules rule.yml --no-such-flag -", "--no-such-flag"),
        ("run", "Missing required property bootstrap.servers"),
        ("demo --seconds soon", "--seconds"),
        ("demo --threads 0", "--threads"),
        ("rules load --topic t --bootstrap-server s", "--file"),
        ("lint", "<PATH>"),
        ("lint --format xml .", "json"),
        ("lint --fail-on never .", "warning"),
    ] {
        let outcome = sandbox.run(arguments);
        assert_eq!(outcome.status, 3, "{arguments}: {outcome:?}");
        assert!(outcome.stderr.contains(said), "{arguments}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty(), "{arguments}: {}", outcome.stdout);
    }
}
