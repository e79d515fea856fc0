//! Processing pipelines by name or from files.
//!
//! In: what a user named. Out: the pipelines in their order, and what is odd about them. A name that comes
//! with Sigmill wins over a file of that name; a field-mapping file of Confluent Sigma is a pipeline that
//! renames fields. Files that a pipeline names are looked for beside it.

use std::fmt;
use std::path::{Path, PathBuf};

use sigmill_parser::{Diagnostic, FieldMapping, LineIndex, Pipeline, Pipelines, Severity};

/// Pipelines that were read.
#[derive(Debug, Clone, Default)]
pub struct LoadedPipelines {
    /// The pipelines.
    pub pipelines: Pipelines,
    /// What is odd about them, each with its place.
    pub findings: Vec<PipelineFinding>,
    /// All that was read: tells these pipelines from others.
    pub text: String,
}

/// What is said about a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineFinding {
    /// The file as the user named it.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// Its stable code.
    pub code: &'static str,
    /// What it is.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for PipelineFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, code, message, .. } = self;
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            _ => "note",
        };
        write!(f, "{path}:{line}:{column}: {severity}[{code}]: {message}")?;
        match &self.help {
            Some(help) => write!(f, " (help: {help})"),
            None => Ok(()),
        }
    }
}

/// A pipeline that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// Its file cannot be read.
    #[error("cannot read the pipeline `{name}`, nor is it {}", shipped())]
    Unreadable {
        /// What the user named.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that it names cannot be read.
    #[error("cannot read `{}` of `{name}`", path.display())]
    UnreadableValues {
        /// What the user named.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no pipeline.
    #[error("the pipeline `{name}` is wrong: {}", lines(findings))]
    Wrong {
        /// What the user named.
        name: String,
        /// What is wrong with it.
        findings: Vec<PipelineFinding>,
    },
}

fn shipped() -> String {
    Pipeline::shipped_names().collect::<Vec<_>>().join(", ")
}

fn lines(findings: &[PipelineFinding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads pipelines.
///
/// # Errors
/// The first that cannot be used.
pub fn load<S: AsRef<str>>(names: &[S]) -> Result<LoadedPipelines, PipelineError> {
    let mut loaded = LoadedPipelines::default();
    let mut pipelines = Vec::new();
    for name in names {
        pipelines.push(load_one(name.as_ref(), &mut loaded)?);
    }
    loaded.pipelines = Pipelines::new(pipelines);
    Ok(loaded)
}

fn load_one(name: &str, loaded: &mut LoadedPipelines) -> Result<Pipeline, PipelineError> {
    if let (Some(pipeline), Some(text)) = (Pipeline::shipped(name), Pipeline::shipped_text(name)) {
        loaded.text.push_str(text);
        return Ok(pipeline);
    }
    let text = std::fs::read_to_string(name)
        .map_err(|source| PipelineError::Unreadable { name: name.to_owned(), source })?;
    loaded.text.push_str(&text);
    // A field mapping of Confluent Sigma renames fields, and does nothing else.
    if text.lines().any(|line| line.starts_with("fieldmappings:")) {
        return FieldMapping::parse(&text).map(|mapping| Pipeline::from(&mapping)).map_err(
            |found| PipelineError::Wrong {
                name: name.to_owned(),
                findings: found.iter().map(|one| finding(name, &text, one)).collect(),
            },
        );
    }
    let parsed = Pipeline::parse(&text);
    let findings = parsed.diagnostics.iter().map(|one| finding(name, &text, one));
    let Some(mut pipeline) = parsed.pipeline else {
        let findings = findings.collect();
        return Err(PipelineError::Wrong { name: name.to_owned(), findings });
    };
    loaded.findings.extend(findings);
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    let files: Vec<String> = pipeline.files().into_iter().map(str::to_owned).collect();
    for file in files {
        let path = folder.join(&file);
        let text = std::fs::read_to_string(&path).map_err(|source| {
            PipelineError::UnreadableValues { name: name.to_owned(), path: path.clone(), source }
        })?;
        loaded.text.push_str(&text);
        pipeline.supply_file(&file, &text);
    }
    Ok(pipeline)
}

fn finding(path: &str, text: &str, found: &Diagnostic) -> PipelineFinding {
    let place = LineIndex::new(text).position(found.span.start);
    PipelineFinding {
        path: path.to_owned(),
        line: place.line,
        column: place.column,
        severity: found.severity,
        code: found.code.as_str(),
        message: found.message.clone(),
        help: found.help.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_files_and_field_mappings_are_pipelines() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        file("users.txt", "ann\nbob\n");
        let pipeline = file(
            "p.yml",
            "name: p\ntransformations:\n- {type: file_placeholders, path: users.txt}\n",
        );
        let mapping = file("m.yml", "fieldmappings:\n  a: b\n");
        let loaded = load(&["windows", &pipeline, &mapping]).unwrap();
        assert!(!loaded.pipelines.is_empty());
        assert!(loaded.text.contains("ann") && loaded.text.contains("fieldmappings"));

        let wrong = file("w.yml", "transformations: 1\n");
        let error = load(&[wrong.as_str()]).unwrap_err().to_string();
        assert!(error.contains("w.yml:1:"), "{error}");
        let error = load(&["nowhere"]).unwrap_err().to_string();
        assert!(error.contains("`nowhere`") && error.contains("windows"), "{error}");
        let lost = file("l.yml", "transformations:\n- {type: file_placeholders, path: no.txt}\n");
        let error = load(&[lost.as_str()]).unwrap_err().to_string();
        assert!(error.contains("no.txt"), "{error}");
    }
}
