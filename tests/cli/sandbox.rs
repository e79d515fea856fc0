//! A temporary folder with rules and events in it, and a way to run `sigmill` there.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder that goes away with the value.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// One rule file `rules/mimikatz.yml`, which matches [`HIT`] and not [`MISS`].
    pub(crate) fn with_rule() -> Self {
        Self::new().file("rules/mimikatz.yml", RULE)
    }

    /// Adds a file.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `sigmill` with arguments separated by blanks.
    pub(crate) fn run(&self, arguments: &str) -> Outcome {
        self.run_with_stdin(arguments, b"")
    }

    pub(crate) fn run_with_stdin(&self, arguments: &str, stdin: &[u8]) -> Outcome {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sigmill"))
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            // Settings are looked for in the home folder and, in a container, among the variables.
            .env("HOME", self.folder.path().join("home"))
            .env("SIGMILL_CONTAINER", "false")
            .env_remove("SIGMAPROPS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        // A process that does not read its input is no mistake of the test.
        let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Outcome {
            status: output.status.code().expect("not killed by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) const RULE: &str = "\
title: Mimikatz
id: 11111111-1111-4111-8111-111111111111
status: test
level: high
logsource:
  product: windows
  category: process_creation
detection:
  selection:
    Image|endswith: '\\mimikatz.exe'
  condition: selection
";

/// An event that [`RULE`] matches.
pub(crate) const HIT: &str = r#"{"EventID":1,"Image":"C:\\temp\\Mimikatz.exe"}"#;

/// An event that it does not match.
pub(crate) const MISS: &str = r#"{"EventID":1,"Image":"C:\\Windows\\explorer.exe"}"#;

/// What is printed for [`HIT`] on a line.
pub(crate) fn hit_at(line: u64) -> String {
    format!("{line}\t11111111-1111-4111-8111-111111111111\n")
}

/// [`RULE`] with another title and id.
pub(crate) fn rule(title: &str, id: &str) -> String {
    RULE.replace("title: Mimikatz", &format!("title: {title}"))
        .replace("11111111-1111-4111-8111-111111111111", id)
}
