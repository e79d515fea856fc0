//! The options of an item or a condition, read with findings that name the place.

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use crate::diagnostic::{Code, Diagnostic};
use crate::predicate::Regex as RuleRegex;
use crate::reader::header::shorten;
use crate::reader::transform;
use crate::reader::{Reader, Weight};
use crate::regex;
use crate::rule::Value;
use crate::suggest::nearest;
use crate::yaml::{Node, NodeKind};

/// The map of an item or a condition, and what its type is called.
pub(super) struct Options<'n> {
    pub(super) node: &'n Node,
    pub(super) type_name: &'n str,
    /// The place of the type, for what is missing.
    pub(super) type_node: &'n Node,
}

impl<'n> Options<'n> {
    /// Reports keys that are neither options of the type nor `common` to all.
    pub(super) fn check(&self, reader: &mut Reader<'_>, known: &[&str], common: &[&str]) {
        for (key, _) in self.node.as_mapping().unwrap_or(&[]) {
            let name = key.key().unwrap_or_default();
            if known.contains(&name) || common.contains(&name) {
                continue;
            }
            let message = format!("`{}` has no option `{}`", self.type_name, shorten(name));
            let diagnostic = Diagnostic::error(Code::PipelineOption, key.span).message(message);
            let near = nearest(name, known.iter().chain(common).copied());
            reader.report(match near {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic,
            });
        }
    }

    /// An option's node, if it is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.node.get(name).filter(|node| !node.is_null())
    }

    fn missing(&self, reader: &mut Reader<'_>, name: &str) {
        let message = format!("`{}` needs the option `{name}`", self.type_name);
        reader.error(Code::PipelineOption, self.type_node.span, message);
    }

    /// An option that has to be there.
    pub(super) fn required(&self, reader: &mut Reader<'_>, name: &str) -> Option<&'n Node> {
        let node = self.node.get(name);
        if node.is_none() {
            self.missing(reader, name);
        }
        node
    }

    /// A text that has to be there.
    pub(super) fn text(&self, reader: &mut Reader<'_>, name: &str) -> Option<String> {
        let node = self.required(reader, name)?;
        text(reader, name, node)
    }

    /// A text that may be there.
    pub(super) fn text_if_any(&self, reader: &mut Reader<'_>, name: &str) -> Option<String> {
        text(reader, name, self.get(name)?)
    }

    /// One text or a list of them, which has to be there.
    pub(super) fn texts(&self, reader: &mut Reader<'_>, name: &str) -> Option<Vec<String>> {
        let node = self.required(reader, name)?;
        Some(texts(reader, name, node))
    }

    /// A list of texts that may be there.
    pub(super) fn texts_if_any(&self, reader: &mut Reader<'_>, name: &str) -> Option<Vec<String>> {
        Some(texts(reader, name, self.get(name)?))
    }

    /// A switch, off if it is not there.
    pub(super) fn switch(&self, reader: &mut Reader<'_>, name: &str) -> bool {
        self.get(name).is_some_and(|node| switch(reader, name, node))
    }

    /// A value of any type, which has to be there.
    pub(super) fn value(&self, reader: &mut Reader<'_>, name: &str) -> Option<Value> {
        let node = self.required(reader, name)?;
        let value = transform::value(node);
        if value.is_none() {
            let message = format!("`{name}` cannot be {}", node.describe());
            reader.error(Code::PipelineOption, node.span, message);
        }
        value
    }

    /// One of several words; the first if the option is not there.
    pub(super) fn word<T: Copy>(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let Some(node) = self.get(name) else { return words.first().map(|(_, value)| *value) };
        let word = text(reader, name, node)?;
        let found = words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let help = match nearest(&word, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of {}", names.join(", ")),
            };
            let message = format!("`{name}` cannot be `{}`", shorten(&word));
            let diagnostic = Diagnostic::error(Code::PipelineOption, node.span).message(message);
            reader.report(diagnostic.help(help));
        }
        found
    }

    /// A regular expression, which has to be there.
    pub(super) fn regex(&self, reader: &mut Reader<'_>, name: &str) -> Option<Regex> {
        let node = self.required(reader, name)?;
        let pattern = text(reader, name, node)?;
        compile(reader, node, &pattern)
    }
}

/// A scalar's text.
pub(super) fn text(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<String> {
    reader.text(name, node, Weight::Blocking).map(|text| text.node)
}

/// One text or a list of them.
pub(super) fn texts(reader: &mut Reader<'_>, name: &str, node: &Node) -> Vec<String> {
    match &node.kind {
        NodeKind::Sequence(items) => {
            items.iter().filter_map(|item| text(reader, name, item)).collect()
        }
        _ => text(reader, name, node).into_iter().collect(),
    }
}

/// Whether something is on.
pub(super) fn switch(reader: &mut Reader<'_>, name: &str, node: &Node) -> bool {
    let switch = node.as_scalar().and_then(|scalar| scalar.as_switch());
    if switch.is_none() {
        let message = format!("`{name}` has to be a boolean, not {}", node.describe());
        reader.error(Code::PipelineOption, node.span, message);
    }
    switch.unwrap_or(false)
}

/// Compiles an expression that stands in a node. Python's flavour is read as rules' expressions are:
/// what has no linear-time meaning is refused.
pub(super) fn compile(reader: &mut Reader<'_>, node: &Node, pattern: &str) -> Option<Regex> {
    let written = RuleRegex {
        pattern: pattern.to_owned(),
        ignore_case: false,
        multi_line: false,
        dot_all: false,
    };
    let checked = match regex::check(&written) {
        Ok(checked) => checked,
        Err(fault) => {
            let span = reader.place(node, fault.start, fault.end);
            reader.error(fault.code, span, fault.message);
            return None;
        }
    };
    let built = Regex::builder().syntax(syntax::Config::new()).build(&checked.pattern);
    if built.is_err() {
        reader.error(Code::LimitRegex, node.span, "the regular expression grows too large");
    }
    built.ok()
}
