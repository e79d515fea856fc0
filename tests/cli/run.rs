//! `sigmill run`: how it starts and ends. What it does in between is tested in `tests/broker`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use sigmill_runtime::embedded_broker::EmbeddedBroker;

use crate::sandbox::Sandbox;

fn properties(servers: &str) -> String {
    format!(
        "bootstrap.servers={servers}\napplication.id=a\ndata.topic=data\noutput.topic=out\n\
         sigma.rules.topic=rules\nsigmill.start.timeout.ms=500\n"
    )
}

#[test]
fn wrong_settings_are_status_3_and_all_are_named() {
    let wrong = properties("127.0.0.1:1")
        .replace("application.id=a\n", "num.stream.threads=many\n")
        .replace("output.topic=out\n", "");
    let sandbox = Sandbox::new().file("wrong.properties", wrong);
    let outcome = sandbox.run("run wrong.properties");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (3, ""));
    for name in ["application.id", "output.topic", "num.stream.threads", "wrong.properties:2"] {
        assert!(outcome.stderr.contains(name), "no {name} in: {}", outcome.stderr);
    }
    let missing = sandbox.run("run missing.properties");
    assert_eq!(missing.status, 3);
    assert!(missing.stderr.contains("missing.properties"), "{}", missing.stderr);
}

#[test]
fn an_unreachable_broker_is_status_4() {
    let sandbox = Sandbox::new().file("p.properties", properties("127.0.0.1:1"));
    let outcome = sandbox.run("run p.properties");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (4, ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("127.0.0.1:1"), "{}", outcome.stderr);
}

#[cfg(unix)]
#[test]
fn sigterm_and_sigint_stop_it_with_status_0() {
    let broker = EmbeddedBroker::start(1).unwrap();
    for topic in ["data", "out", "rules"] {
        broker.create_topic(topic, 1).unwrap();
    }
    let text = properties(broker.bootstrap_servers()).replace("=500", "=30000");
    let sandbox = Sandbox::new().file("p.properties", text);
    for signal in ["-TERM", "-INT"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sigmill"))
            .args(["run", "p.properties"])
            .current_dir(sandbox.path())
            .env("HOME", sandbox.path())
            .env("SIGMILL_CONTAINER", "false")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let mut lines = stderr.lines().map_while(Result::ok);
        for line in lines.by_ref() {
            said += &(line + "\n");
            if said.contains("The processor runs.") {
                break;
            }
        }
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        said.extend(lines.map(|line| line + "\n"));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}: {said}");
        assert!(said.contains("The processor has stopped."), "{said}");
    }
}
