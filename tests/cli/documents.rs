//! What the documents tell a reader to type works, and the samples are what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

use sigmill_parser::FieldMapping;
use sigmill_runtime::embedded_broker::EmbeddedBroker;
use sigmill_runtime::properties::Properties;
use sigmill_runtime::settings::Settings;

use crate::sandbox::{HIT, MISS, Sandbox, rule};

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(workspace_root().join(name)).unwrap()
}

/// The lines of a document's `sh` blocks.
fn shell_lines(document: &str) -> Vec<String> {
    let mut is_shell = false;
    let mut lines = Vec::new();
    for line in document.lines() {
        match line {
            "```sh" => is_shell = true,
            "```" => is_shell = false,
            _ if is_shell => lines.push(line.to_owned()),
            _ => {}
        }
    }
    lines
}

/// Runs the lines one after the other, as a reader would, where the files and the broker that they name
/// are there.
#[cfg(unix)]
#[test]
fn the_commands_of_the_readme_work() {
    let lines = shell_lines(&read("README.md"));
    // These two are for a clone of the repository; the second is what runs this test.
    let setup: Vec<&String> = lines.iter().filter(|line| line.starts_with("cargo ")).collect();
    assert_eq!(setup.len(), 2, "{setup:?}");
    assert_eq!(setup[1], "cargo test --workspace");

    let broker = EmbeddedBroker::start(1).unwrap();
    broker.create_topic("sigma-rules", 1).unwrap();
    let events = format!("{MISS}\n{HIT}\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, events.as_bytes()).unwrap();
    let sandbox = Sandbox::new()
        .file("rules/psexec.yml", rule("PsExec Execution", "0d0cbb1e-6e4a-4a5f-9d0b-5c5a3f2b9f10"))
        .file("events.ndjson", &events)
        .file("events.ndjson.zst", zstd::encode_all(events.as_bytes(), 1).unwrap())
        .file("events.gz", gzip.finish().unwrap());
    let binary = Path::new(env!("CARGO_BIN_EXE_sigmill")).parent().unwrap().to_path_buf();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut run_count = 0;
    for line in lines.iter().filter(|line| !line.starts_with("cargo ")) {
        // One runs until it is stopped, the other asks one that runs; both are tested elsewhere.
        if line.starts_with("sigmill run ") || line.starts_with("sigmill latency ") {
            continue;
        }
        let line = line.replace("localhost:9092", broker.bootstrap_servers());
        let output = Command::new("sh")
            .args(["-ec", &line])
            .env("PATH", &path)
            .current_dir(sandbox.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}\n{stderr}");
        run_count += 1;
    }
    assert!(run_count >= 9, "{run_count} commands in the README");
}

#[test]
fn the_sample_properties_and_mapping_are_valid() {
    let path = workspace_root().join("config/sigma.properties");
    let settings = Settings::from_properties(&Properties::read(&path).unwrap()).unwrap();
    assert_eq!(settings.warnings, Vec::<String>::new());
    // What stands there as a comment is valid too.
    let mapping = workspace_root().join("config/field-mapping.yml");
    let all: String = read("config/sigma.properties")
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.contains('=') && !setting.starts_with(' ') => setting,
            _ => line,
        })
        .map(|line| line.replace("config/field-mapping.yml", &mapping.display().to_string()) + "\n")
        .collect();
    let settings = Settings::from_properties(&Properties::parse(all.as_bytes(), &path)).unwrap();
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert_eq!(settings.deadletter_topic.as_deref(), Some("events-refused"));

    let mapping = FieldMapping::parse(&read("config/field-mapping.yml")).unwrap();
    assert_eq!(mapping.targets("User"), ["$.user.name", "$.winlog.event_data.User"]);
}

#[test]
fn the_configurations_for_users_of_the_jvm_processor_are_valid() {
    let folder = workspace_root().join("config/confluent");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "properties") {
            let settings = Settings::from_properties(&Properties::read(&path).unwrap()).unwrap();
            assert_eq!(settings.warnings, Vec::<String>::new(), "{}", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 7);
    // The variables of each processor in the compose file are settings.
    let compose = read("config/confluent/docker-compose.yml");
    let processors: Vec<&str> = compose.split("image: sigmill").skip(1).collect();
    assert_eq!(processors.len(), 2);
    for processor in processors {
        let variables = processor.lines().filter(|line| line.starts_with("      "));
        let variables = variables
            .filter_map(|line| line.trim().split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
        let mut properties = Properties::default();
        properties.take_environment(variables);
        let settings = Settings::from_properties(&properties).unwrap();
        assert_eq!(settings.warnings, Vec::<String>::new());
    }
}

/// The kinds that `sigmill migrate` prints can be looked up.
#[test]
fn the_migration_page_names_every_kind_of_difference() {
    let page = read("docs/MIGRATION.md");
    let source = read("runtime/src/jvm_meaning.rs");
    let kinds: Vec<&str> = source
        .split("self.add(\"")
        .chain(source.split("found.add(\""))
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|kind| kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
        .collect();
    assert!(kinds.len() > 15, "{kinds:?}");
    for kind in kinds {
        assert!(page.contains(&format!("[{kind}]")), "docs/MIGRATION.md lacks [{kind}]");
    }
}

/// Names in a map have to lead somewhere.
#[test]
fn every_file_that_the_architecture_page_names_exists() {
    fn collect(folder: &Path, files: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else {
                files.push(path.display().to_string());
            }
        }
    }
    let mut files = Vec::new();
    let crates = ["parser", "reference", "engine", "codegen", "tables", "runtime", "cli", "xtask"];
    for folder in crates.into_iter().chain(["tests", "docs"]) {
        collect(&workspace_root().join(folder), &mut files);
    }
    let page = read("docs/ARCHITECTURE.md");
    let quoted = page.split('`').skip(1).step_by(2);
    let named: Vec<&str> =
        quoted.filter(|name| name.ends_with(".rs") || name.ends_with(".md")).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let end = format!("/{name}");
        assert!(files.iter().any(|file| file.ends_with(&end)), "there is no `{name}`");
    }
}
