//! Confluent Sigma's field-mapping files: a YAML map `fieldmappings` from a rule's field name to one
//! or several names in the events. A field with several targets means any of them.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::encoding;
use crate::json_path::{JsonPath, PathStep};
use crate::reader::{Reader, Weight, head};
use crate::span::Span;
use crate::yaml::{self, NodeKind};
use crate::{ParseOptions, Spanned};

/// Rule field → event fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldMapping {
    /// The entries. A target that begins with `$.` or `$[` is a path into nested objects. Others are names of
    /// keys: what is mapped to `a.b` is looked for under just that key, which stands here as a path of it.
    pub fields: BTreeMap<String, Vec<String>>,
}

impl FieldMapping {
    /// Reads a mapping file. Its other keys (`title`, `order`, `backends`, `logsources`) have no meaning
    /// here.
    ///
    /// # Errors
    /// The text is not YAML, or has no `fieldmappings` map of texts or lists of texts.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        encoding::check(text).map_err(|diagnostic| vec![diagnostic])?;
        let (documents, diagnostics) = yaml::load(text);
        let options = ParseOptions::default();
        let mut reader = Reader { source: text, options: &options, diagnostics };
        let mut fields = BTreeMap::new();
        match documents.first() {
            None if reader.diagnostics.is_empty() => {
                reader.error(Code::EmptyDocument, Span::default(), "the file holds no mapping");
            }
            None => {}
            Some(root) => match root.entry("fieldmappings") {
                None if root.as_mapping().is_some() => {
                    reader.missing("fieldmappings", root, head(root), Weight::Blocking);
                }
                None => {
                    let message = format!("a mapping file is a map, not {}", root.describe());
                    reader.error(Code::TypeError, root.span, message);
                }
                Some((_, entries)) if entries.is_null() => {}
                Some((key, entries)) => match entries.as_mapping() {
                    Some(entries) => fields = read_entries(&mut reader, entries),
                    None => {
                        let what = entries.describe();
                        let message = format!("`fieldmappings` has to be a map, not {what}");
                        reader.error(Code::TypeError, key.span, message);
                    }
                },
            },
        }
        if reader.diagnostics.is_empty() { Ok(Self { fields }) } else { Err(reader.diagnostics) }
    }

    /// The key that a target with dots named in the file, if it is not a path there.
    pub fn key(target: &str) -> Option<String> {
        let path = JsonPath::parse(target)?.ok()?;
        let is_own = path.to_text().as_deref() == Some(target);
        match path.steps.as_slice() {
            [PathStep::Key(key)] if is_own && key.contains('.') => Some(key.clone()),
            _ => None,
        }
    }

    /// The event fields of a rule's field: its targets, or the name itself.
    pub fn targets<'a>(&'a self, field: &'a str) -> Vec<&'a str> {
        match self.fields.get(field) {
            Some(targets) => targets.iter().map(String::as_str).collect(),
            None => vec![field],
        }
    }
}

fn read_entries(
    reader: &mut Reader<'_>,
    entries: &[(yaml::Node, yaml::Node)],
) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::new();
    for (key, node) in entries {
        let name = key.key().unwrap_or_default();
        let targets: Vec<Spanned<String>> = match &node.kind {
            NodeKind::Sequence(_) => reader.texts(name, node, Weight::Blocking),
            _ => reader.text(name, node, Weight::Blocking).into_iter().collect(),
        };
        if node.as_sequence().is_some_and(<[_]>::is_empty) {
            reader.error(Code::TypeError, node.span, format!("`{name}` has no target"));
        }
        fields.insert(name.to_owned(), targets.into_iter().map(|name| target(name.node)).collect());
    }
    fields
}

/// A name without dots stays; with dots it would be looked for in nested objects too.
fn target(name: String) -> String {
    match JsonPath::parse(&name) {
        None if name.contains('.') => {
            JsonPath { steps: vec![PathStep::Key(name.clone())] }.to_text().unwrap_or(name)
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_one_or_several() {
        let text =
            "title: x\nfieldmappings:\n  dst_ip: id.resp_h\n  port:\n    - dstport\n    - $.a.b\n";
        let mapping = FieldMapping::parse(text).unwrap();
        assert_eq!(mapping.targets("dst_ip"), [r"$.id\.resp_h"]);
        assert_eq!(FieldMapping::key(r"$.id\.resp_h").as_deref(), Some("id.resp_h"));
        for path in ["$.id.resp_h", "$['id.resp_h']", "id.resp_h", "$.id"] {
            assert_eq!(FieldMapping::key(path), None);
        }
        assert_eq!(mapping.targets("port"), ["dstport", "$.a.b"]);
        assert_eq!(mapping.targets("other"), ["other"]);
        assert_eq!(FieldMapping::parse("fieldmappings:\n"), Ok(FieldMapping::default()));
    }

    #[test]
    fn faults_have_their_code() {
        for (text, code) in [
            ("", Code::EmptyDocument),
            ("a: [", Code::YamlSyntax),
            ("- a\n", Code::TypeError),
            ("fieldmapping: {a: b}\n", Code::MissingField),
            ("fieldmappings: [a]\n", Code::TypeError),
            ("fieldmappings: {a: {b: c}}\n", Code::TypeError),
            ("fieldmappings: {a: []}\n", Code::TypeError),
            ("fieldmappings: {a: b, a: c}\n", Code::DuplicateKey),
            ("a: \0", Code::Encoding),
        ] {
            let diagnostics = FieldMapping::parse(text).unwrap_err();
            assert_eq!(diagnostics[0].code, code, "{text:?}");
        }
    }
}
