//! Processing pipelines: rules rewritten for the fields and log sources of certain events.
//!
//! In: the text of a pipeline in pySigma's YAML format. Out: a [`Pipeline`], and with several of them as
//! [`Pipelines`] a function from documents to documents. A rule is rewritten as a whole before anything
//! compiles it, so nothing behind this module knows of pipelines.
//!
//! The way: `read` makes typed items of the text, `apply` runs them one after the other over a rule that
//! is taken apart into a [`work::Work`], `set` puts pipelines in order and says what becomes of each
//! document. Transformations change what the modifiers made of a value (the
//! [`Predicate`](crate::Predicate)), as pySigma's do: behind `contains`, a value has its wildcards.
//!
//! What only shapes query text has no effect here and is named in a warning. Nothing runs a command or
//! opens a connection; the text of a file that `file_placeholders` names comes from the caller.

mod add_condition;
mod alternatives;
mod apply;
mod condition;
mod correlation;
mod extract;
mod field_names;
mod filters;
mod hashes;
mod items;
mod options;
pub(crate) mod placeholders;
mod plain;
mod read;
mod read_conditions;
mod read_transformation;
mod replacement;
mod run;
mod set;
mod shipped;
mod tests_of;
mod transformation;
mod value_changes;
mod work;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use set::{Outcome, Pipelines};

use crate::ParseOptions;
use crate::diagnostic::{Code, Diagnostic};
use crate::encoding;
use crate::field_mapping::FieldMapping;
use crate::reader::Reader;
use crate::span::{Span, Spanned};
use crate::yaml;
use items::PipelineItem;

/// A processing pipeline.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    /// `name`.
    pub name: Option<Spanned<String>>,
    /// `priority`: pipelines with a lower one are applied first.
    pub priority: i64,
    /// `vars`: the values of placeholders.
    pub vars: BTreeMap<String, Vec<String>>,
    /// `allowed_backends`, which says nothing to an engine.
    pub allowed_backends: Vec<String>,
    /// `sigmill.unmapped_logsource`: what becomes of a rule whose log source got no condition.
    pub unmapped_logsource: Option<UnmappedLogsource>,
    /// `transformations`.
    pub(crate) items: Vec<PipelineItem>,
    /// The values in the files that the transformations name.
    pub(crate) file_values: BTreeMap<String, Vec<String>>,
}

/// What becomes of a rule whose log source no pipeline gave a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmappedLogsource {
    /// It runs on every event.
    Keep,
    /// It is left out.
    Drop,
}

/// What a pipeline's text holds.
#[derive(Debug, Default)]
pub struct ParsedPipeline {
    /// The pipeline, unless an error keeps it from being used.
    pub pipeline: Option<Pipeline>,
    /// All findings, in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
}

impl Pipeline {
    /// Reads a pipeline.
    ///
    /// ```
    /// let parsed = sigmill_parser::Pipeline::parse(
    ///     "name: mine\ntransformations:\n- {type: field_name_prefix, prefix: event.}\n",
    /// );
    /// assert!(parsed.pipeline.is_some_and(|pipeline| pipeline.has_transformations()));
    /// ```
    pub fn parse(text: &str) -> ParsedPipeline {
        if let Err(diagnostic) = encoding::check(text) {
            return ParsedPipeline { pipeline: None, diagnostics: vec![diagnostic] };
        }
        let (documents, diagnostics) = yaml::load(text);
        let options = ParseOptions::default();
        let mut reader = Reader { source: text, options: &options, diagnostics };
        let mut pipeline = None;
        match documents.first() {
            Some(root) => pipeline = read::pipeline(&mut reader, root),
            None if reader.diagnostics.is_empty() => {
                reader.error(Code::EmptyDocument, Span::default(), "the file holds no pipeline");
            }
            None => {}
        }
        let mut diagnostics = reader.diagnostics;
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        if diagnostics.iter().any(Diagnostic::is_blocking) {
            pipeline = None;
        }
        ParsedPipeline { pipeline, diagnostics }
    }

    /// The pipeline that comes with the library under this name.
    pub fn shipped(name: &str) -> Option<Self> {
        shipped::text(name).and_then(|text| Self::parse(text).pipeline)
    }

    /// The text of the pipeline that comes with the library under this name.
    pub fn shipped_text(name: &str) -> Option<&'static str> {
        shipped::text(name)
    }

    /// The names of the pipelines that come with the library.
    pub fn shipped_names() -> impl Iterator<Item = &'static str> {
        shipped::names()
    }

    /// Whether there is anything to apply, besides `vars`.
    pub fn has_transformations(&self) -> bool {
        !self.items.is_empty()
    }

    /// The files that `file_placeholders` name, relative to the pipeline's own folder.
    pub fn files(&self) -> Vec<&str> {
        let mut files = Vec::new();
        items::files(&self.items, &mut files);
        files
    }

    /// Gives the text of one of [`Pipeline::files`]: a value a line.
    pub fn supply_file(&mut self, path: &str, text: &str) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        self.file_values.insert(path.to_owned(), lines.map(str::to_owned).collect());
    }

    /// How the pipeline is called in messages.
    pub(crate) fn title(&self) -> &str {
        self.name.as_ref().map_or("without a name", |name| &name.node)
    }
}

impl From<&FieldMapping> for Pipeline {
    /// A field mapping of Confluent Sigma as a pipeline that renames fields.
    fn from(mapping: &FieldMapping) -> Self {
        let fields = mapping.fields.iter();
        let mapping =
            fields.map(|(field, targets)| (Some(field.clone()), targets.clone())).collect();
        let transformation = transformation::Transformation::FieldNameMapping(mapping);
        let name = Spanned::new("field mapping".to_owned(), Span::default());
        let id: Arc<str> = Arc::from("field_mapping");
        Self {
            name: Some(name),
            items: vec![PipelineItem::new(Some(id), transformation)],
            ..Self::default()
        }
    }
}
