//! The options of each transformation.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::add_condition;
use super::options::{self, Options};
use super::read;
use super::replacement::Replacement;
use super::transformation::{
    Alternative, CaseMethod, ExtractFields, HashesFields, NameFunction, NameMap, PlaceholderNames,
    RegexMethod, ReplaceString, Transformation, ValueType,
};
use super::value_changes::test_of_value;
use crate::diagnostic::{Code, Diagnostic};
use crate::predicate::Test;
use crate::reader::Reader;
use crate::reader::header::shorten;
use crate::rule::Value;
use crate::yaml::{Node, NodeKind};

/// Reads the transformation of an item whose type is known.
pub(super) fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Transformation> {
    use Transformation as T;
    Some(match options.type_name {
        "field_name_mapping" => T::FieldNameMapping(name_map(reader, options)?),
        "field_name_prefix_mapping" => {
            let mapping = name_map(reader, options)?;
            // The longest prefix first: it is the most exact.
            let mut prefixes: Vec<(String, Vec<String>)> = mapping
                .into_iter()
                .filter_map(|(prefix, targets)| prefix.map(|prefix| (prefix, targets)))
                .collect();
            prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            T::FieldNamePrefixMapping(prefixes)
        }
        "field_name_transform" => T::FieldNameTransform {
            function: options.word(reader, "transform_func", &NAME_FUNCTIONS)?,
            mapping: match options.get("mapping") {
                Some(_) => name_map(reader, options)?,
                None => NameMap::new(),
            },
        },
        "field_name_suffix" => T::FieldNameSuffix(options.text(reader, "suffix")?),
        "field_name_prefix" => T::FieldNamePrefix(options.text(reader, "prefix")?),
        "drop_detection_item" => T::DropDetectionItem,
        "hashes_fields" => T::HashesFields(HashesFields {
            algorithms: options.texts(reader, "valid_hash_algos")?,
            field_prefix: options.text_if_any(reader, "field_prefix").unwrap_or_default(),
            drops_algorithm: options.switch(reader, "drop_algo_prefix"),
            fields: options
                .texts_if_any(reader, "field_to_parse")
                .unwrap_or_else(|| vec!["Hashes".to_owned(), "Hash".to_owned()]),
        }),
        "extract_fields" => T::ExtractFields(extract_fields(reader, options)?),
        "wildcard_placeholders" => T::WildcardPlaceholders(placeholder_names(reader, options)),
        "value_placeholders" => T::ValuePlaceholders(placeholder_names(reader, options)),
        "file_placeholders" => file_placeholders(reader, options)?,
        "query_expression_placeholders" => {
            let diagnostic = Diagnostic::warning(Code::PipelineNoEffect, options.type_node.span)
                .message("`query_expression_placeholders` has no effect here")
                .help("it makes query text; give the placeholders values in `vars`");
            reader.report(diagnostic);
            T::NoEffect
        }
        "http_placeholders" | "command_placeholders" => return refused(reader, options),
        "add_condition" => T::AddCondition(add_condition::read(reader, options)?),
        "change_logsource" => T::ChangeLogsource {
            category: options.text_if_any(reader, "category"),
            product: options.text_if_any(reader, "product"),
            service: options.text_if_any(reader, "service"),
        },
        "add_field" => T::AddField(options.texts(reader, "field")?),
        "remove_field" => T::RemoveField(options.texts(reader, "field")?),
        "set_field" => T::SetField(options.texts(reader, "fields")?),
        "replace_string" => T::ReplaceString(replace_string(reader, options)?),
        "map_string" => T::MapString(string_map(reader, options)?),
        "set_state" => {
            T::SetState { key: options.text(reader, "key")?, value: options.value(reader, "val")? }
        }
        "regex" => T::Regex(options.word(reader, "method", &REGEX_METHODS)?),
        "set_value" => T::SetValue(set_value(reader, options)?),
        "convert_type" => {
            options.required(reader, "target_type")?;
            let words = [("str", ValueType::Text), ("num", ValueType::Number)];
            T::ConvertType(options.word(reader, "target_type", &words)?)
        }
        "rule_failure" => T::RuleFailure(options.text(reader, "message")?),
        "detection_item_failure" => T::DetectionItemFailure(options.text(reader, "message")?),
        "strict_field_mapping_failure" => T::StrictFieldMappingFailure,
        "set_custom_attribute" => T::SetCustomAttribute {
            attribute: options.text(reader, "attribute")?,
            value: options.value(reader, "value")?,
        },
        "nest" => {
            let items = options.required(reader, "items")?;
            T::Nest(read::items(reader, "items", items))
        }
        "case" => T::Case(options.word(reader, "method", &CASE_METHODS)?),
        _ => T::Alternatives(alternatives(reader, options)?),
    })
}

const NAME_FUNCTIONS: [(&str, NameFunction); 5] = [
    ("lower", NameFunction::Lower),
    ("upper", NameFunction::Upper),
    ("title", NameFunction::Title),
    ("snake_case", NameFunction::Snake),
    ("snake", NameFunction::Snake),
];

const REGEX_METHODS: [(&str, RegexMethod); 3] = [
    ("ignore_case_brackets", RegexMethod::IgnoreCase),
    ("ignore_case_flag", RegexMethod::IgnoreCase),
    ("plain", RegexMethod::Plain),
];

const CASE_METHODS: [(&str, CaseMethod); 3] =
    [("lower", CaseMethod::Lower), ("upper", CaseMethod::Upper), ("snake_case", CaseMethod::Snake)];

/// `mapping`: null as a key means keywords, null as a target leaves the field as it is.
fn name_map(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<NameMap> {
    let node = options.required(reader, "mapping")?;
    let Some(entries) = node.as_mapping() else {
        let message = format!("`mapping` has to be a map, not {}", node.describe());
        reader.error(Code::PipelineOption, node.span, message);
        return None;
    };
    let mut mapping = NameMap::new();
    for (key, node) in entries.iter().filter(|(_, node)| !node.is_null()) {
        let field = (!key.is_null()).then(|| key.key().unwrap_or_default().to_owned());
        let targets = options::texts(reader, key.key().unwrap_or_default(), node);
        mapping.insert(field, targets);
    }
    Some(mapping)
}

fn string_map(
    reader: &mut Reader<'_>,
    options: &Options<'_>,
) -> Option<BTreeMap<String, Vec<String>>> {
    let mapping = name_map(reader, options)?;
    Some(mapping.into_iter().filter_map(|(key, targets)| Some((key?, targets))).collect())
}

fn placeholder_names(reader: &mut Reader<'_>, options: &Options<'_>) -> PlaceholderNames {
    let names = PlaceholderNames {
        include: options.texts_if_any(reader, "include"),
        exclude: options.texts_if_any(reader, "exclude"),
    };
    if names.include.is_some() && names.exclude.is_some() {
        let message = "`include` and `exclude` cannot stand together";
        reader.error(Code::PipelineOption, options.type_node.span, message);
    }
    names
}

/// What would run a command or fetch a URL.
fn refused(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Transformation> {
    let what = match options.type_name {
        "http_placeholders" => "it would fetch a URL",
        _ => "it would run a command",
    };
    let diagnostic = Diagnostic::error(Code::PipelineRefused, options.type_node.span)
        .message(format!("`{}` is refused: {what}", options.type_name))
        .help("write the values into `vars`, or into a file for `file_placeholders`");
    reader.report(diagnostic);
    None
}

/// Only a plain list in a file below the pipeline's own folder.
fn file_placeholders(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Transformation> {
    let path = options.text(reader, "path")?;
    let node = options.get("path")?;
    let names = placeholder_names(reader, options);
    let is_below = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
    if !is_below || path.contains('\\') {
        let diagnostic = Diagnostic::error(Code::PipelineRefused, node.span)
            .message(format!("`{}` is not below the pipeline's own folder", shorten(&path)))
            .help("put the file beside the pipeline and write its name alone");
        reader.report(diagnostic);
        return None;
    }
    for option in ["format", "filter", "csv_column", "csv_has_header", "jq_expression"] {
        let Some(node) = options.get(option) else { continue };
        if option == "format" && node.key() == Some("plaintext") {
            continue;
        }
        let diagnostic = Diagnostic::error(Code::PipelineRefused, node.span)
            .message(format!("`{option}` is not supported: only plain text is read"))
            .help("make it a file with a value a line");
        reader.report(diagnostic);
        return None;
    }
    Some(Transformation::FilePlaceholders { path, names })
}

fn extract_fields(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<ExtractFields> {
    let regex = options.regex(reader, "regex")?;
    let has_names = regex.group_info().all_names().any(|(_, _, name)| name.is_some());
    if !has_names {
        let node = options.get("regex").unwrap_or(options.type_node);
        reader.report(
            Diagnostic::error(Code::PipelineOption, node.span)
                .message("the expression has no named group")
                .help("name what is to become a field: `(?P<name>…)`"),
        );
    }
    Some(ExtractFields {
        regex,
        field_prefix: options.text_if_any(reader, "field_prefix"),
        preserves_unmatched: options.switch(reader, "preserve_unmatched"),
    })
}

fn replace_string(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<ReplaceString> {
    let regex = options.regex(reader, "regex")?;
    let text = options.text(reader, "replacement")?;
    let replacement = match Replacement::parse(&text, &regex) {
        Ok(replacement) => replacement,
        Err(message) => {
            let node = options.get("replacement").unwrap_or(options.type_node);
            reader.error(Code::PipelineOption, node.span, message);
            return None;
        }
    };
    Some(ReplaceString {
        regex,
        replacement,
        skips_special: options.switch(reader, "skip_special"),
        interprets_special: options.switch(reader, "interpret_special"),
    })
}

fn set_value(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Test> {
    let value = options.value(reader, "value")?;
    let forced = match options.get("force_type") {
        None => None,
        Some(_) => {
            let words = [("str", ValueType::Text), ("num", ValueType::Number)];
            Some(options.word(reader, "force_type", &words)?)
        }
    };
    let value = match (forced, value) {
        (None, value) => value,
        (Some(ValueType::Text), Value::Text(text) | Value::Number(text)) => Value::Text(text),
        (Some(ValueType::Number), Value::Number(text)) => Value::Number(text),
        (Some(ValueType::Number), Value::Text(text)) if crate::yaml::number(&text).is_some() => {
            Value::Number(crate::yaml::number(&text).unwrap_or(text))
        }
        _ => {
            let node = options.get("value").unwrap_or(options.type_node);
            let message = "the value cannot have the type that `force_type` names";
            reader.error(Code::PipelineOption, node.span, message);
            return None;
        }
    };
    Some(test_of_value(&value))
}

/// A map of names to lists of items, in the order of preference.
fn alternatives(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Vec<Alternative>> {
    let node = options.required(reader, "alternatives")?;
    let NodeKind::Mapping(entries) = &node.kind else {
        let message = format!("`alternatives` has to be a map, not {}", node.describe());
        let diagnostic = Diagnostic::error(Code::PipelineOption, node.span).message(message);
        reader.report(diagnostic.help("name each alternative and write its items below it"));
        return None;
    };
    let read = |(key, node): &(Node, Node)| Alternative {
        name: key.key().unwrap_or_default().to_owned(),
        items: read::items(reader, key.key().unwrap_or_default(), node),
    };
    let alternatives: Vec<Alternative> = entries.iter().map(read).collect();
    if alternatives.is_empty() {
        reader.error(Code::PipelineOption, node.span, "`alternatives` names none");
    }
    Some(alternatives)
}
