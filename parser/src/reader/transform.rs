//! Values under a chain of modifiers: the tests that they become.

use super::Reader;
use super::chain::{Chain, Kind};
use super::header::shorten;
use crate::backtracking;
use crate::cidr;
use crate::diagnostic::{Code, Diagnostic};
use crate::encode;
use crate::escape;
use crate::modifier::Modifier;
use crate::pipeline::placeholders;
use crate::predicate::{Comparison, Number, Part, Pattern, Regex, Relation, Test};
use crate::regex;
use crate::rule::Value;
use crate::time_part::TimePart;
use crate::windash;
use crate::yaml::{Node, Resolved};

/// So many alternatives may one value have.
pub(crate) const ALTERNATIVES_MAX: usize = 20_000;

/// Help for an expression that has no linear-time meaning.
const ONLY_BACKTRACKING: &str =
    "write it without, or allow the bounded backtracking search (see the settings)";

/// A scalar node as the value that its spelling makes of it.
pub(crate) fn value(node: &Node) -> Option<Value> {
    let scalar = node.as_scalar()?;
    Some(match scalar.resolve() {
        Resolved::Null => Value::Null,
        Resolved::Bool(value) => Value::Bool(value),
        Resolved::Number(number) => Value::Number(number),
        Resolved::Text => Value::Text(scalar.text.clone()),
    })
}

/// The tests of which one has to hold for the value, or nothing with a finding.
pub(crate) fn tests(
    reader: &mut Reader<'_>,
    chain: &Chain,
    node: &Node,
    value: &Value,
    has_field: bool,
) -> Option<Vec<Test>> {
    if let Some(kept) = placeholders::kept(reader.options, chain, value, has_field) {
        return Some(vec![kept]);
    }
    match chain.kind {
        Kind::Text if has_field && chain.is_plain => match value {
            Value::Null => Some(vec![Test::Null]),
            Value::Bool(value) => Some(vec![Test::Bool(*value)]),
            Value::Number(text) => Some(vec![Test::Number(Number { text: text.clone() })]),
            Value::Text(text) => {
                Some(vec![Test::Text { pattern: escape::pattern(text), cased: false }])
            }
        },
        Kind::Text => texts(reader, chain, node, value, has_field),
        Kind::Regex { ignore_case, multi_line, dot_all } => {
            let text = spelling(reader, node, value)?;
            let flags = Regex { pattern: String::new(), ignore_case, multi_line, dot_all };
            regexes(reader, chain, node, &text, &flags)
        }
        Kind::Cidr => networks(reader, chain, node, value),
        Kind::Compare(comparison) => {
            let number = number(reader, node, value)?;
            Some(vec![Test::Compare(comparison, number)])
        }
        Kind::Exists => exists(reader, node),
        Kind::FieldRef => field_ref(reader, chain, node, value),
        Kind::Time(part, comparison) => time(reader, node, value, part, comparison),
    }
}

/// The value as text: numbers and booleans in their spelling.
fn spelling(reader: &mut Reader<'_>, node: &Node, value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null => {
            reader.error(Code::ModifierValue, node.span, "`null` has no text to look for");
            None
        }
    }
}

fn texts(
    reader: &mut Reader<'_>,
    chain: &Chain,
    node: &Node,
    value: &Value,
    has_field: bool,
) -> Option<Vec<Test>> {
    let text = spelling(reader, node, value)?;
    let written = match value {
        Value::Text(_) if chain.has_placeholders => escape::pattern_with_placeholders(&text),
        Value::Text(_) => escape::pattern(&text),
        _ => Pattern::new([Part::Literal(text)]),
    };
    let mut patterns = fill(reader, node, written)?;
    let relation = match chain.relation {
        Relation::Equal if !has_field => Relation::Contains,
        relation => relation,
    };
    if chain.has_windash {
        let forms: Option<Vec<_>> = patterns.iter().map(windash::forms).collect();
        let count = forms.as_ref().map_or(0, |forms| forms.iter().map(Vec::len).sum());
        match forms {
            Some(forms) if count <= ALTERNATIVES_MAX => {
                patterns = forms.into_iter().flatten().collect();
            }
            _ if chain.base64.is_some() || chain.utf16.is_some() => {
                let message = "too many dashes to encode all their forms";
                reader.error(Code::LimitAlternatives, node.span, message);
                return None;
            }
            _ => {
                let test = |pattern: Pattern| {
                    Test::Regex(windash::regex(&surround(pattern, relation), chain.is_cased))
                };
                return Some(patterns.into_iter().map(test).collect());
            }
        }
    }
    if chain.base64.is_some() || chain.utf16.is_some() {
        patterns = encoded(reader, chain, node, &patterns)?;
    }
    let test = |pattern| Test::Text { pattern: surround(pattern, relation), cased: chain.is_cased };
    Some(patterns.into_iter().map(test).collect())
}

/// Puts runs of any characters where the relation leaves the text open.
pub(crate) fn surround(pattern: Pattern, relation: Relation) -> Pattern {
    let is_open = |relations: [Relation; 2]| relations.contains(&relation);
    let before = is_open([Relation::Contains, Relation::EndsWith]).then_some(Part::AnyRun);
    let after = is_open([Relation::Contains, Relation::StartsWith]).then_some(Part::AnyRun);
    Pattern::new(before.into_iter().chain(pattern.parts).chain(after))
}

/// The pattern with every combination of its placeholders' values.
fn fill(reader: &mut Reader<'_>, node: &Node, pattern: Pattern) -> Option<Vec<Pattern>> {
    let mut filled = vec![Vec::new()];
    for part in pattern.parts {
        let Part::Placeholder(name) = &part else {
            filled.iter_mut().for_each(|parts| parts.push(part.clone()));
            continue;
        };
        let values = placeholder(reader, node, name)?;
        if filled.len() * values.len() > ALTERNATIVES_MAX {
            let message = format!("placeholders make more than {ALTERNATIVES_MAX} values of this");
            reader.error(Code::LimitAlternatives, node.span, message);
            return None;
        }
        let forms: Vec<Pattern> = values.iter().map(|value| escape::pattern(value)).collect();
        let with = |parts: &Vec<Part>, form: &Pattern| {
            parts.iter().cloned().chain(form.parts.clone()).collect::<Vec<_>>()
        };
        filled = filled.iter().flat_map(|parts| forms.iter().map(|f| with(parts, f))).collect();
    }
    Some(filled.into_iter().map(Pattern::new).collect())
}

fn placeholder<'o>(reader: &mut Reader<'o>, node: &Node, name: &str) -> Option<&'o [String]> {
    let values = reader.options.placeholders.get(name);
    if values.is_none_or(Vec::is_empty) {
        let text = node.as_scalar().map_or("", |scalar| scalar.text.as_str());
        let start = text.find(&format!("%{name}%")).unwrap_or(0);
        let span = reader.place(node, start, start + name.len() + 2);
        let diagnostic = Diagnostic::error(Code::PlaceholderUnresolved, span)
            .message(format!("placeholder `%{name}%` has no value"))
            .help("give it values, or leave `expand` out to look for the text itself");
        reader.report(diagnostic);
        return None;
    }
    values.map(Vec::as_slice)
}

fn encoded(
    reader: &mut Reader<'_>,
    chain: &Chain,
    node: &Node,
    patterns: &[Pattern],
) -> Option<Vec<Pattern>> {
    let mut forms = Vec::new();
    for pattern in patterns {
        let Some(text) = pattern.as_literal() else {
            let diagnostic = Diagnostic::error(Code::ModifierValue, node.span)
                .message("a value with wildcards cannot be encoded")
                .help(r"take the wildcard out, or write `\*` or `\?` for the character itself");
            reader.report(diagnostic);
            return None;
        };
        let bytes = encode::bytes(text, chain.utf16);
        match chain.base64 {
            Some(Modifier::Base64) => forms.push(encode::base64(&bytes)),
            Some(_) => forms.extend(encode::base64_offsets(&bytes)),
            // Without Base64 the bytes themselves are looked for, as far as a text can hold them.
            None => match String::from_utf8(bytes) {
                Ok(text) => forms.push(text),
                Err(_) => {
                    let diagnostic = Diagnostic::error(Code::ModifierValue, node.span)
                        .message("no text can hold these UTF-16 bytes")
                        .help("add `base64` or `base64offset` behind the encoding");
                    reader.report(diagnostic);
                    return None;
                }
            },
        }
    }
    if forms.is_empty() {
        reader.error(Code::ModifierValue, node.span, "the value is too short to be found encoded");
        return None;
    }
    Some(forms.into_iter().map(|form| Pattern::new([Part::Literal(form)])).collect())
}

fn regexes(
    reader: &mut Reader<'_>,
    chain: &Chain,
    node: &Node,
    text: &str,
    flags: &Regex,
) -> Option<Vec<Test>> {
    let expressions = if chain.has_placeholders {
        fill_regex(reader, node, text)?
    } else {
        vec![text.to_owned()]
    };
    let is_as_written = expressions.first().is_some_and(|first| first == text);
    let mut tests = Vec::new();
    for pattern in expressions {
        let written = Regex { pattern, ..flags.clone() };
        match regex::check(&written) {
            Ok(regex) => tests.push(Test::Regex(regex)),
            Err(fault) => {
                let mut help = None;
                if fault.needs_backtracking && !reader.options.allows_backtracking {
                    help = Some(ONLY_BACKTRACKING.to_owned());
                } else if fault.needs_backtracking {
                    match backtracking::test(&written) {
                        Ok(test) => {
                            tests.push(test);
                            continue;
                        }
                        Err(why) => help = Some(format!("nor by backtracking: {why}")),
                    }
                }
                let span = if is_as_written {
                    reader.place(node, fault.start, fault.end)
                } else {
                    node.span
                };
                let diagnostic = Diagnostic::error(fault.code, span).message(fault.message);
                reader.report(match help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                });
                return None;
            }
        }
    }
    Some(tests)
}

/// The expression with every combination of its placeholders' values, taken literally but for wildcards.
fn fill_regex(reader: &mut Reader<'_>, node: &Node, text: &str) -> Option<Vec<String>> {
    let mut filled = vec![String::new()];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let name = escape::placeholder(rest);
        if let Some(name) = name {
            let values = placeholder(reader, node, name)?;
            if filled.len() * values.len() > ALTERNATIVES_MAX {
                let message = format!("placeholders make more than {ALTERNATIVES_MAX} values");
                reader.error(Code::LimitAlternatives, node.span, message);
                return None;
            }
            let forms: Vec<String> = values.iter().map(|value| as_regex(value)).collect();
            filled = filled
                .iter()
                .flat_map(|head| forms.iter().map(move |form| format!("{head}{form}")))
                .collect();
        } else {
            filled.iter_mut().for_each(|head| head.push(c));
        }
        rest = &rest[name.map_or(c.len_utf8(), |name| name.len() + 2)..];
    }
    Some(filled)
}

fn as_regex(value: &str) -> String {
    let part = |part: &Part| match part {
        Part::AnyRun => ".*".to_owned(),
        Part::AnyChar => ".".to_owned(),
        Part::Literal(text) | Part::Placeholder(text) => regex_syntax::escape(text),
    };
    escape::pattern(value).parts.iter().map(part).collect()
}

fn networks(
    reader: &mut Reader<'_>,
    chain: &Chain,
    node: &Node,
    value: &Value,
) -> Option<Vec<Test>> {
    let text = spelling(reader, node, value)?;
    let texts = if chain.has_placeholders {
        let patterns = fill(reader, node, escape::pattern_with_placeholders(&text))?;
        patterns.iter().map(|p| p.as_literal().unwrap_or("*").to_owned()).collect()
    } else {
        vec![text]
    };
    let mut tests = Vec::new();
    for text in texts {
        match cidr::network(&text) {
            Ok(network) => {
                if network.has_host_bits {
                    let diagnostic = Diagnostic::warning(Code::BadCidr, node.span)
                        .message(format!("`{text}` has bits behind its prefix"))
                        .help(format!("write `{}`", network.net));
                    reader.report(diagnostic);
                }
                tests.push(Test::Cidr(network.net));
            }
            Err(message) => {
                let diagnostic = Diagnostic::error(Code::BadCidr, node.span)
                    .message(message)
                    .help("write an address and a prefix, such as `10.0.0.0/8` or `fe80::/10`");
                reader.report(diagnostic);
                return None;
            }
        }
    }
    Some(tests)
}

/// A number; a quoted one is taken with a warning.
fn number(reader: &mut Reader<'_>, node: &Node, value: &Value) -> Option<Number> {
    let text = match value {
        Value::Number(text) => return Some(Number { text: text.clone() }),
        Value::Text(text) => text.as_str(),
        Value::Bool(_) | Value::Null => "",
    };
    if let Some(number) = crate::yaml::number(text) {
        let diagnostic = Diagnostic::warning(Code::ModifierValue, node.span)
            .message(format!("`{}` is compared as a number", shorten(text)))
            .help("write it without quotes");
        reader.report(diagnostic);
        return Some(Number { text: number });
    }
    let message = match value {
        Value::Text(text) => format!("`{}` is not a number", shorten(text)),
        _ => format!("{} is not a number", node.describe()),
    };
    reader.error(Code::ModifierValue, node.span, message);
    None
}

fn exists(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Test>> {
    let is_there = node.as_scalar().and_then(|scalar| scalar.as_switch());
    if is_there.is_none() {
        let diagnostic = Diagnostic::error(Code::ModifierValue, node.span)
            .message("`exists` wants `true` or `false`");
        reader.report(diagnostic);
    }
    is_there.map(|is_there| vec![Test::Exists(is_there)])
}

fn field_ref(
    reader: &mut Reader<'_>,
    chain: &Chain,
    node: &Node,
    value: &Value,
) -> Option<Vec<Test>> {
    let Value::Text(text) = value else {
        let message = format!("`fieldref` wants the name of a field, not {}", node.describe());
        reader.error(Code::ModifierValue, node.span, message);
        return None;
    };
    if text.is_empty() || text.contains(['*', '?']) {
        let diagnostic = Diagnostic::error(Code::ModifierValue, node.span)
            .message(format!("`{}` cannot be the name of a field", shorten(text)))
            .help("write the other field's name, without wildcards");
        reader.report(diagnostic);
        return None;
    }
    let test =
        Test::FieldRef { field: text.clone(), relation: chain.relation, cased: chain.is_cased };
    Some(vec![test])
}

fn time(
    reader: &mut Reader<'_>,
    node: &Node,
    value: &Value,
    part: TimePart,
    comparison: Option<Comparison>,
) -> Option<Vec<Test>> {
    let number = number(reader, node, value)?;
    let range = part.range();
    let written = number.text.parse::<u32>().ok().filter(|number| range.contains(number));
    let Some(written) = written else {
        let diagnostic = Diagnostic::error(Code::ModifierValue, node.span)
            .message(format!("{} is no {}", number.text, part.as_str()))
            .help(format!("write a number from {} to {}", range.start(), range.end()));
        reader.report(diagnostic);
        return None;
    };
    Some(vec![Test::TimePart { part, comparison, number: written }])
}
