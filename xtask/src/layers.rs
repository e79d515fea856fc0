//! Which crate may know which: the table of `docs/ARCHITECTURE.md`, held against the manifests.
//!
//! In: the text of a `Cargo.toml`. Out: complaints. Only `[dependencies]` counts: tests and benchmarks
//! may reach across layers.

/// A crate of the workspace and what it may know.
struct Layer {
    folder: &'static str,
    /// The crates of ours that it may depend on.
    ours: &'static [&'static str],
    /// Crates of others that would bring in what the layer must not know.
    never: &'static [&'static str],
}

/// What touches the world: files, networks, threads, clocks, terminals.
const WORLD: &[&str] = &[
    "anyhow",
    "arc-swap",
    "clap",
    "core_affinity",
    "crossbeam-channel",
    "indicatif",
    "rdkafka",
    "signal-hook",
    "tokio",
    "tracing",
    "tracing-subscriber",
];

const LAYERS: &[Layer] = &[
    Layer { folder: "parser", ours: &[], never: WORLD },
    Layer { folder: "reference", ours: &["sigmill-parser"], never: WORLD },
    Layer { folder: "engine", ours: &[], never: WORLD },
    Layer { folder: "engine", ours: &[], never: &["granit-parser", "serde_json", "regex-syntax"] },
    Layer { folder: "tables", ours: &[], never: WORLD },
    Layer { folder: "codegen", ours: &["sigmill-parser", "sigmill-engine"], never: WORLD },
    Layer {
        folder: "runtime",
        ours: &["sigmill-parser", "sigmill-engine", "sigmill-codegen", "sigmill-tables"],
        never: &["anyhow", "clap", "indicatif", "annotate-snippets"],
    },
    Layer {
        folder: "cli",
        ours: &["sigmill-parser", "sigmill-engine", "sigmill-codegen", "sigmill-runtime"],
        never: &["rdkafka", "regex-automata", "aho-corasick"],
    },
];

/// What is wrong with the manifest of the crate in `folder`.
pub(crate) fn complaints(folder: &str, manifest: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for layer in LAYERS.iter().filter(|layer| layer.folder == folder) {
        for dependency in dependencies(manifest) {
            let is_ours = dependency.starts_with("sigmill");
            if is_ours && !layer.ours.contains(&dependency) {
                complaints.push(format!("`{folder}` must not depend on `{dependency}`"));
            }
            if layer.never.contains(&dependency) {
                complaints.push(format!("`{folder}` must not know `{dependency}`"));
            }
        }
    }
    if !manifest.contains("[lints]\nworkspace = true") {
        complaints.push("the workspace's lints are not switched on".to_owned());
    }
    complaints
}

/// The names under `[dependencies]`, whatever they are renamed from or to.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_dependencies = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            is_dependencies = section == "dependencies";
            names.extend(section.strip_prefix("dependencies."));
        } else if is_dependencies && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or("");
            names.extend((!name.is_empty()).then_some(name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    #[test]
    fn arrows_go_one_way() {
        for (folder, dependency, is_fine) in [
            ("parser", "sigmill-engine.workspace = true", false),
            ("codegen", "sigmill-engine.workspace = true", true),
            ("engine", "serde_json = \"1\"", false),
            ("engine", "memchr = \"2\"", true),
            ("codegen", "sigmill-runtime = { path = \"../runtime\" }", false),
            ("parser", "tokio = \"1\"", false),
            ("runtime", "# clap would know the terminal", true),
            ("runtime", "clap.workspace = true", false),
        ] {
            let manifest = format!("{LINTS}[dependencies]\n{dependency}\n");
            let found = complaints(folder, &manifest);
            assert_eq!(found.is_empty(), is_fine, "{folder}: {dependency}: {found:?}");
        }
    }

    #[test]
    fn tables_count_and_tests_may_reach_across() {
        let table = format!("{LINTS}[dependencies.sigmill-engine]\npath = \"../engine\"\n");
        assert_eq!(complaints("parser", &table).len(), 1);
        let tests = format!("{LINTS}[dev-dependencies]\nsigmill-engine.workspace = true\n");
        assert!(complaints("parser", &tests).is_empty());
    }

    #[test]
    fn lints_must_be_on() {
        assert_eq!(complaints("parser", "[dependencies]\n").len(), 1);
    }
}
