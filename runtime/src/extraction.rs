//! What is taken from an event for a rule that matched it: named groups, and the fields the rule looks at.
//!
//! Nothing of this runs for records that match no rule. Expressions are compiled once, when their rule is
//! loaded; where a field's values stand is known once a plan is there ([`Reads`]). Groups come from this
//! event alone. Of several values of a field the first that an expression matches counts; of several
//! expressions with a group of the same name the last one that found it.

use std::sync::Arc;

use regex_automata::meta;
use regex_automata::util::syntax;
use sigmill_codegen::plan_fields;
use sigmill_engine::{
    FieldId, FieldText, KEYWORDS, Matcher, Plan, REGEX_BYTES_MAX, SEARCH_BYTES_MAX,
    SEARCH_STEPS_MAX, ValueKind,
};
use sigmill_parser::{Block, DetectionItem, FieldMapping, JsonPath, Regex, Rule, Test};

use crate::detection::{Extract, write_text};

/// A value that a detection shows is cut behind this many bytes: the whole stands in the event.
const SHOWN_BYTES_MAX: usize = 8 << 10;

/// What a rule wants of its events.
#[derive(Debug, Default)]
pub struct Extraction {
    captures: Vec<Capture>,
    /// The fields that the rule looks at: as plans name them, and as detections do.
    fields: Vec<(String, Arc<str>)>,
}

/// An expression with named groups.
#[derive(Debug)]
struct Capture {
    fields: Vec<String>,
    is_keyword: bool,
    expression: Expression,
    groups: Vec<(usize, Arc<str>)>,
}

#[derive(Debug)]
enum Expression {
    Linear(meta::Regex),
    /// With look-around and the like, within the engine's bounds.
    Backtracking(fancy_regex::Regex),
}

impl Extraction {
    /// What `rule` wants; its fields too if detections `show_fields`.
    pub fn new(rule: &Rule, mapping: &FieldMapping, show_fields: bool) -> Self {
        let mut extraction = Self::default();
        for selection in &rule.detection.selections {
            extraction.block(&selection.body, mapping, show_fields);
        }
        extraction
    }

    fn block(&mut self, block: &Block, mapping: &FieldMapping, show_fields: bool) {
        match block {
            Block::AllOf(parts) | Block::AnyOf(parts) => {
                parts.iter().for_each(|part| self.block(part, mapping, show_fields));
            }
            Block::Item(item) => self.item(item, mapping, show_fields),
        }
    }

    fn item(&mut self, item: &DetectionItem, mapping: &FieldMapping, show_fields: bool) {
        // Keywords have no field: their groups are looked for in every text and number.
        let field = item.field.as_ref().map(|field| field.node.as_str());
        let fields = field.map_or_else(Vec::new, |field| plan_fields(mapping, field));
        if show_fields {
            for name in &fields {
                if !self.fields.iter().any(|(known, _)| known == name) {
                    self.fields.push((name.clone(), shown(name)));
                }
            }
        }
        if item.predicate.negated {
            return;
        }
        for test in item.predicate.values.iter().flatten() {
            // One that does not compile is refused with its rule.
            let expression = match test {
                Test::Regex(regex) => compile(regex).map(Expression::Linear),
                Test::Backtracking(text) => {
                    compile_backtracking(text).map(Expression::Backtracking)
                }
                _ => None,
            };
            let Some(expression) = expression else { continue };
            let groups = expression.groups();
            if !groups.is_empty() {
                let is_keyword = field.is_none();
                self.captures.push(Capture {
                    fields: fields.clone(),
                    is_keyword,
                    expression,
                    groups,
                });
            }
        }
    }

    /// Where a plan has what is wanted.
    pub fn reads(self: &Arc<Self>, plan: &Plan) -> Reads {
        let ids = |fields: &[String]| -> Vec<FieldId> {
            fields.iter().filter_map(|name| plan.field(name)).collect()
        };
        Reads {
            captures: self
                .captures
                .iter()
                .map(|capture| match capture.is_keyword {
                    true => vec![KEYWORDS],
                    false => ids(&capture.fields),
                })
                .collect(),
            fields: self
                .fields
                .iter()
                .enumerate()
                .filter_map(|(at, (name, _))| Some((at, plan.field(name)?)))
                .collect(),
            extraction: Arc::clone(self),
        }
    }
}

/// The wishes of a rule and where its plan has them.
#[derive(Debug, Default)]
pub struct Reads {
    extraction: Arc<Extraction>,
    /// By capture.
    captures: Vec<Vec<FieldId>>,
    fields: Vec<(usize, FieldId)>,
}

impl Reads {
    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.captures.is_empty() && self.fields.is_empty()
    }

    /// Takes what is wanted from the record that `matcher` matched last.
    pub fn take(&self, matcher: &mut Matcher, record: &[u8], extract: &mut Extract) {
        for (capture, fields) in self.extraction.captures.iter().zip(&self.captures) {
            let mut found = false;
            for field in fields {
                matcher.read_field(record, *field, |value| {
                    if !found && value.kind != ValueKind::Object && value.kind != ValueKind::Null {
                        found = capture.take(value.text, extract);
                    }
                });
            }
        }
        for (at, field) in &self.fields {
            let name = &self.extraction.fields[*at].1;
            show_field(matcher, record, name, *field, &mut extract.fields);
        }
    }
}

impl Expression {
    /// The named groups: number and name.
    fn groups(&self) -> Vec<(usize, Arc<str>)> {
        let named = |(at, name): (usize, Option<&str>)| Some((at, name?.into()));
        match self {
            Self::Linear(regex) => {
                let names = regex.group_info().pattern_names(regex_automata::PatternID::ZERO);
                names.enumerate().filter_map(named).collect()
            }
            Self::Backtracking(regex) => {
                regex.capture_names().enumerate().filter_map(named).collect()
            }
        }
    }

    /// The texts of groups, if the expression matches.
    fn captures(&self, text: &[u8], groups: &[(usize, Arc<str>)]) -> Option<Vec<Option<String>>> {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Linear(regex) => {
                let mut captures = regex.create_captures();
                regex.captures(text, &mut captures);
                captures.is_match().then(|| {
                    let span = |(group, _): &(usize, _)| captures.get_group(*group);
                    groups.iter().map(|group| Some(shown(&text[span(group)?.range()]))).collect()
                })
            }
            Self::Backtracking(regex) => {
                let text = std::str::from_utf8(text).ok()?;
                if text.len() > SEARCH_BYTES_MAX {
                    return None;
                }
                let captures = regex.captures(text).ok()??;
                let found = |(group, _): &(usize, _)| captures.get(*group);
                Some(groups.iter().map(|group| Some(found(group)?.as_str().to_owned())).collect())
            }
        }
    }
}

impl Capture {
    fn take(&self, text: &[u8], extract: &mut Extract) -> bool {
        let Some(values) = self.expression.captures(text, &self.groups) else { return false };
        for ((_, name), value) in self.groups.iter().zip(values) {
            match extract.captures.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value.or(known.take()),
                None => extract.captures.push((Arc::clone(name), value)),
            }
        }
        true
    }
}

/// A path of one key is that key.
fn shown(name: &str) -> Arc<str> {
    match JsonPath::parse(name).and_then(Result::ok).as_ref().and_then(JsonPath::keys).as_deref() {
        Some([key]) => (*key).into(),
        _ => name.into(),
    }
}

/// Writes a field and its values as a member of an object: an array if it has several.
pub(crate) fn show_field(
    matcher: &mut Matcher,
    record: &[u8],
    name: &str,
    field: FieldId,
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    if begin > 0 {
        out.push(b',');
    }
    write_text(out, name);
    out.push(b':');
    let values_at = out.len();
    let mut count = 0;
    matcher.read_field(record, field, |value| {
        if value.kind == ValueKind::Object {
            return;
        }
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        show_value(value, out);
    });
    match count {
        0 => out.truncate(begin),
        1 => {}
        _ => {
            out.insert(values_at, b'[');
            out.push(b']');
        }
    }
}

fn show_value(value: FieldText<'_>, out: &mut Vec<u8>) {
    match value.kind {
        ValueKind::Text => {
            let text = String::from_utf8_lossy(value.text);
            let mut end = text.len().min(SHOWN_BYTES_MAX);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            write_text(out, &text[..end]);
        }
        ValueKind::Null => out.extend_from_slice(b"null"),
        _ => out.extend_from_slice(value.text),
    }
}

fn compile(regex: &Regex) -> Option<meta::Regex> {
    let syntax = syntax::Config::new()
        .case_insensitive(regex.ignore_case)
        .multi_line(regex.multi_line)
        .dot_matches_new_line(regex.dot_all);
    let config = meta::Config::new().nfa_size_limit(Some(REGEX_BYTES_MAX));
    meta::Regex::builder().syntax(syntax).configure(config).build(&regex.pattern).ok()
}

fn compile_backtracking(expression: &str) -> Option<fancy_regex::Regex> {
    let mut builder = fancy_regex::RegexBuilder::new(expression);
    builder.backtrack_limit(SEARCH_STEPS_MAX).delegate_size_limit(REGEX_BYTES_MAX);
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigmill_codegen::CompileOptions;
    use sigmill_engine::MatcherConfig;
    use sigmill_parser::Document;

    fn extract(rule: &str, mapping: &str, event: &str) -> Extract {
        extract_with(rule, mapping, event, &sigmill_parser::ParseOptions::default())
    }

    fn extract_with(
        rule: &str,
        mapping: &str,
        event: &str,
        options: &sigmill_parser::ParseOptions,
    ) -> Extract {
        let parsed = sigmill_parser::parse_with(rule, options);
        let Some(Document::Rule(rule)) = parsed.documents.into_iter().next() else {
            panic!("{:?}", parsed.diagnostics)
        };
        let rule: Arc<Rule> = Arc::from(rule);
        let mapping = match mapping {
            "" => FieldMapping::default(),
            text => FieldMapping::parse(&format!("fieldmappings:\n{text}")).unwrap(),
        };
        let options =
            CompileOptions { field_mapping: mapping.clone(), ..CompileOptions::default() };
        let compiled = sigmill_codegen::compile(&[Arc::clone(&rule)], &options);
        assert!(compiled.refused.is_empty(), "{:?}", compiled.refused);
        let plan = Arc::new(compiled.plan);
        let reads = Arc::new(Extraction::new(&rule, &mapping, true)).reads(&plan);
        let mut matcher = Matcher::new(plan, MatcherConfig::default());
        assert_eq!(matcher.matches(event.as_bytes()).unwrap().len(), 1, "{event}");
        let mut extract = Extract::default();
        reads.take(&mut matcher, event.as_bytes(), &mut extract);
        extract
    }

    fn captures(extract: &Extract) -> Vec<(&str, Option<&str>)> {
        extract.captures.iter().map(|(name, value)| (&**name, value.as_deref())).collect()
    }

    #[test]
    fn groups_come_from_this_event_in_either_spelling() {
        let rule = "title: T\nlogsource: {product: x}\ndetection:\n  \
                    s: {event|re: '(?<act>\\w+) (?P<src_ip>[0-9.]+)(?: to (?<dest>\\S+))?'}\n  \
                    condition: s\n";
        let found = extract(rule, "", r#"{"event":"Deny 10.0.0.1 to b"}"#);
        let expected = [("act", Some("Deny")), ("src_ip", Some("10.0.0.1")), ("dest", Some("b"))];
        assert_eq!(captures(&found), expected);
        let found = extract(rule, "", r#"{"event":["x","Deny 10.0.0.2"]}"#);
        assert_eq!(captures(&found)[1..], [("src_ip", Some("10.0.0.2")), ("dest", None)]);
    }

    #[test]
    fn groups_of_keywords_are_looked_for_everywhere() {
        let rule = "title: T\nlogsource: {product: x}\ndetection:\n  \
                    k:\n    '|re': 'user=(?<user>\\w+)( from (?P<from>\\w+))?'\n  condition: k\n";
        let found = extract(rule, "", r#"{"n":1,"a":["x",{"b":"user=ann from here"}]}"#);
        assert_eq!(captures(&found), [("user", Some("ann")), ("from", Some("here"))]);
        let found = extract(rule, "", r#"{"user=bob":"user=\u0061nn"}"#);
        assert_eq!(captures(&found), [("user", Some("ann")), ("from", None)]);
    }

    #[test]
    fn the_last_expression_that_finds_a_group_counts() {
        let rule = "title: T\nlogsource: {product: x}\ndetection:\n  \
                    s:\n    - a|re: 'user=(?<user>\\w+)'\n    - b|re: 'for (?<user>\\w+)'\n  \
                    condition: s\n";
        let found = extract(rule, "", r#"{"a":"user=ann","b":"nothing"}"#);
        assert_eq!(captures(&found), [("user", Some("ann"))]);
        let found = extract(rule, "", r#"{"a":"user=ann","b":"for bob"}"#);
        assert_eq!(captures(&found), [("user", Some("bob"))]);
    }

    #[test]
    fn groups_of_expressions_that_backtrack_are_found() {
        let mut options = sigmill_parser::ParseOptions::default();
        options.allows_backtracking = true;
        let text = "title: T\nlogsource: {product: x}\ndetection:\n  \
                    s: {a|re: '(?<user>\\w+)(?=@)'}\n  condition: s\n";
        let found = extract_with(text, "", r#"{"a":"mail from ann@example.org"}"#, &options);
        assert_eq!(captures(&found), [("user", Some("ann"))]);
    }

    #[test]
    fn fields_are_shown_as_the_event_has_them() {
        let rule = "title: T\nlogsource: {product: x}\ndetection:\n  \
                    s: {id: 4624, port|re: '^(?<p>4)', Image|contains: a, other: null}\n  \
                    condition: s\n";
        let mapping = "  port: \"$.net['dst.port']\"\n  Image: [exe, process.exe]\n";
        let event = r#"{"id":4624,"net":{"dst.port":443},"process.exe":["b\n","a\"c"]}"#;
        let found = extract(rule, mapping, event);
        assert_eq!(captures(&found), [("p", Some("4"))]);
        let shown = format!("{{{}}}", String::from_utf8(found.fields).unwrap());
        let expected = r#"{"id":4624,"$.net.dst\\.port":443,"process.exe":["b\n","a\"c"]}"#;
        assert_eq!(shown, expected);
        serde_json::from_str::<serde_json::Value>(&shown).unwrap();
    }
}
