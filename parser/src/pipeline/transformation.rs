//! What a pipeline item does to a rule: the types of transformations and their options.

use std::collections::BTreeMap;

use regex_automata::meta::Regex;

use super::items::PipelineItem;
use super::replacement::Replacement;
use crate::predicate::Test;
use crate::rule::Value;
use crate::yaml::Node;

/// Field → fields; no field means keywords.
pub(crate) type NameMap = BTreeMap<Option<String>, Vec<String>>;

/// A transformation, by its name in the format.
#[derive(Debug, Clone)]
pub(crate) enum Transformation {
    FieldNameMapping(NameMap),
    FieldNamePrefixMapping(Vec<(String, Vec<String>)>),
    FieldNameTransform {
        mapping: NameMap,
        function: NameFunction,
    },
    FieldNameSuffix(String),
    FieldNamePrefix(String),
    DropDetectionItem,
    HashesFields(HashesFields),
    ExtractFields(ExtractFields),
    WildcardPlaceholders(PlaceholderNames),
    ValuePlaceholders(PlaceholderNames),
    FilePlaceholders {
        path: String,
        names: PlaceholderNames,
    },
    AddCondition(AddCondition),
    ChangeLogsource {
        category: Option<String>,
        product: Option<String>,
        service: Option<String>,
    },
    AddField(Vec<String>),
    RemoveField(Vec<String>),
    SetField(Vec<String>),
    ReplaceString(ReplaceString),
    MapString(BTreeMap<String, Vec<String>>),
    SetState {
        key: String,
        value: Value,
    },
    Regex(RegexMethod),
    SetValue(Test),
    ConvertType(ValueType),
    RuleFailure(String),
    DetectionItemFailure(String),
    StrictFieldMappingFailure,
    SetCustomAttribute {
        attribute: String,
        value: Value,
    },
    Nest(Vec<PipelineItem>),
    Case(CaseMethod),
    /// Ours: the rule once for each of these, of which one has to hold.
    Alternatives(Vec<Alternative>),
    /// Shapes query text; named in a warning when it was read.
    NoEffect,
}

/// One way in which a rule's events come.
#[derive(Debug, Clone)]
pub(crate) struct Alternative {
    /// Behind `@` in the names of selections that differ.
    pub(crate) name: String,
    pub(crate) items: Vec<PipelineItem>,
}

/// `hashes_fields`
#[derive(Debug, Clone)]
pub(crate) struct HashesFields {
    pub(crate) algorithms: Vec<String>,
    pub(crate) field_prefix: String,
    pub(crate) drops_algorithm: bool,
    pub(crate) fields: Vec<String>,
}

/// `extract_fields`
#[derive(Debug, Clone)]
pub(crate) struct ExtractFields {
    pub(crate) regex: Regex,
    pub(crate) field_prefix: Option<String>,
    pub(crate) preserves_unmatched: bool,
}

/// Which placeholders a transformation handles.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlaceholderNames {
    pub(crate) include: Option<Vec<String>>,
    pub(crate) exclude: Option<Vec<String>>,
}

impl PlaceholderNames {
    pub(crate) fn contains(&self, name: &str) -> bool {
        let holds = |list: &Vec<String>| list.iter().any(|entry| entry == name);
        self.include.as_ref().is_none_or(holds) && !self.exclude.as_ref().is_some_and(holds)
    }
}

/// `add_condition`
#[derive(Debug, Clone)]
pub(crate) struct AddCondition {
    /// The map of fields and values, read anew for each rule if it is a template.
    pub(crate) conditions: Node,
    /// Name of the selection.
    pub(crate) name: String,
    pub(crate) is_template: bool,
    pub(crate) is_negated: bool,
}

/// `replace_string`
#[derive(Debug, Clone)]
pub(crate) struct ReplaceString {
    pub(crate) regex: Regex,
    pub(crate) replacement: Replacement,
    pub(crate) skips_special: bool,
    pub(crate) interprets_special: bool,
}

/// `regex`: how letter case is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegexMethod {
    Plain,
    IgnoreCase,
}

/// `convert_type`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    Text,
    Number,
}

/// `case`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaseMethod {
    Lower,
    Upper,
    Snake,
}

/// `field_name_transform`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameFunction {
    Lower,
    Upper,
    Title,
    Snake,
}

/// Every type of transformation and its options.
pub(crate) const TRANSFORMATIONS: &[(&str, &[&str])] = &[
    ("field_name_mapping", &["mapping"]),
    ("field_name_prefix_mapping", &["mapping"]),
    ("field_name_transform", &["transform_func", "mapping", "apply_keyword"]),
    ("drop_detection_item", &[]),
    ("hashes_fields", &["valid_hash_algos", "field_prefix", "drop_algo_prefix", "field_to_parse"]),
    ("extract_fields", &["regex", "field_prefix", "preserve_unmatched"]),
    ("field_name_suffix", &["suffix"]),
    ("field_name_prefix", &["prefix"]),
    ("wildcard_placeholders", &["include", "exclude"]),
    ("value_placeholders", &["include", "exclude"]),
    ("query_expression_placeholders", &["include", "exclude", "expression", "mapping"]),
    (
        "file_placeholders",
        &[
            "include",
            "exclude",
            "path",
            "format",
            "filter",
            "csv_column",
            "csv_has_header",
            "jq_expression",
        ],
    ),
    ("http_placeholders", ANY_OPTION),
    ("command_placeholders", ANY_OPTION),
    ("add_condition", &["conditions", "name", "template", "negated"]),
    ("change_logsource", &["category", "product", "service"]),
    ("add_field", &["field"]),
    ("remove_field", &["field"]),
    ("set_field", &["fields"]),
    ("replace_string", &["regex", "replacement", "skip_special", "interpret_special"]),
    ("map_string", &["mapping"]),
    ("set_state", &["key", "val"]),
    ("regex", &["method"]),
    ("set_value", &["value", "force_type"]),
    ("convert_type", &["target_type"]),
    ("rule_failure", &["message"]),
    ("detection_item_failure", &["message"]),
    ("strict_field_mapping_failure", &[]),
    ("set_custom_attribute", &["attribute", "value"]),
    ("nest", &["items"]),
    ("case", &["method"]),
    ("alternatives", &["alternatives"]),
];

/// Of a transformation that is refused whatever its options.
pub(crate) const ANY_OPTION: &[&str] = &["*"];
