//! The YAML library's events as trees of nodes, within bounds.
//!
//! The events are read with an explicit stack, so that no nesting can exhaust the thread's own; trees
//! are at most [`DEPTH_MAX`] deep, so that walking and dropping them is safe.

use std::collections::{HashMap, HashSet};

use granit_parser::{
    ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, StructureStyle, Tag,
};

use super::{ALIAS_NODES_MAX, DEPTH_MAX, NODES_MAX, Node, NodeKind, Scalar, Style};
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Span;

/// Reads every document of a text. Documents without content are left out; documents with an error are
/// left out and have a diagnostic. A leading byte-order mark is skipped.
pub fn load(text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    let options = granit_parser::options! {
        emit_comments: false,
        // One more than we allow, so that our own message comes first where it can.
        flow_nesting_limit: DEPTH_MAX + 1,
        block_nesting_limit: DEPTH_MAX + 1,
        // JSON has long keys without YAML's limit on them.
        simple_key_max_lookahead: 64 * 1024,
        block_scalar_eof_without_line_feed: true,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut loader = Loader { text, ..Loader::default() };
    loader.run(parser);
    (loader.documents, loader.diagnostics)
}

#[derive(Default)]
struct Loader<'a> {
    text: &'a str,
    documents: Vec<Node>,
    diagnostics: Vec<Diagnostic>,
    /// The collections that are open, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    node_count: usize,
    alias_node_count: usize,
    /// The first alias that stands inside an anchored node: where a chain of aliases begins.
    chain_start: Option<Span>,
}

struct Open {
    items: Vec<Node>,
    is_mapping: bool,
    is_flow: bool,
    start: usize,
    anchor: usize,
    /// How deep and how large the node is so far.
    depth: usize,
    size: usize,
}

struct Anchored {
    node: Node,
    depth: usize,
    size: usize,
}

/// The document cannot go on.
struct Broken(Diagnostic);

impl Loader<'_> {
    fn run<'t>(&mut self, mut parser: Parser<'t, StrInput<'t>>) {
        while let Some(event) = parser.next_event() {
            let step = match event {
                Ok((event, span)) => {
                    let span = bytes(span, self.text.len());
                    self.step(event, span)
                }
                Err(error) => Err(Broken(self.describe(&error))),
            };
            let Err(Broken(diagnostic)) = step else { continue };
            let is_limit = matches!(diagnostic.code, Code::LimitAlias | Code::LimitNodes);
            self.diagnostics.push(diagnostic);
            self.begin_document();
            // A budget is for the whole text: what follows is not read.
            if is_limit || !matches!(parser.proceed_next_document(), Ok(true)) {
                break;
            }
        }
    }

    fn begin_document(&mut self) {
        self.open.clear();
        self.anchors.clear();
        self.root = None;
        self.chain_start = None;
    }

    fn step(&mut self, event: Event<'_>, span: Span) -> Result<(), Broken> {
        match event {
            Event::DocumentStart(..) => self.begin_document(),
            Event::DocumentEnd => {
                let root = self.root.take();
                self.documents.extend(root.filter(|node| !is_absent(node)));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let tag = tag.map(|tag| tag_name(&tag));
                // The library says `~` where nothing is written.
                let is_nothing = style == Style::Plain && span.start == span.end;
                let text = if is_nothing { String::new() } else { text.into_owned() };
                let scalar = Scalar { text, style, tag };
                self.count(1, span)?;
                self.complete(Node { kind: NodeKind::Scalar(scalar), span }, anchor, 0, 1)?;
            }
            Event::SequenceStart(style, anchor, _) => self.begin(false, style, span, anchor)?,
            Event::MappingStart(style, anchor, _) => self.begin(true, style, span, anchor)?,
            Event::SequenceEnd | Event::MappingEnd => self.end(span)?,
            Event::Alias(id) => self.alias(id, span)?,
            _ => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        is_mapping: bool,
        style: StructureStyle,
        span: Span,
        anchor: usize,
    ) -> Result<(), Broken> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Broken(too_deep(span)));
        }
        self.count(1, span)?;
        let start = span.start as usize;
        let is_flow = style == StructureStyle::Flow;
        let items = Vec::new();
        self.open.push(Open { items, is_mapping, is_flow, start, anchor, depth: 1, size: 1 });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Broken> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let last = open.items.last().map_or(0, |node| node.span.end as usize);
        // Block collections end where the next token begins; the last item is what a reader sees.
        let closing = self.text.get(span.range()).unwrap_or("");
        let end = match closing {
            "]" | "}" => span.end as usize,
            _ => last.max(open.start),
        };
        let place = Span::new(open.start, end);
        let kind = if open.is_mapping {
            NodeKind::Mapping(self.entries(open.items))
        } else {
            NodeKind::Sequence(open.items)
        };
        self.complete(Node { kind, span: place }, open.anchor, open.depth, open.size)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Broken> {
        if self.open.iter().any(|open| open.anchor != 0) {
            self.chain_start.get_or_insert(span);
        }
        let Some(&Anchored { depth, size, .. }) = self.anchors.get(&id) else {
            let message = "alias inside the node that it repeats";
            return Err(Broken(Diagnostic::error(Code::LimitAlias, span).message(message)));
        };
        if self.open.len() + depth > DEPTH_MAX {
            return Err(Broken(too_deep(span)));
        }
        self.alias_node_count += size;
        if self.alias_node_count > ALIAS_NODES_MAX {
            let start = self.chain_start.unwrap_or(span);
            let diagnostic = Diagnostic::error(Code::LimitAlias, start)
                .message(format!("aliases repeat more than {ALIAS_NODES_MAX} values"))
                .related(span, "the limit is reached here")
                .help("write the values out, or use fewer levels of aliases");
            return Err(Broken(diagnostic));
        }
        self.count(size, span)?;
        let node = self.anchors[&id].node.clone();
        self.complete(node, 0, depth, size)
    }

    /// Hands a finished node to the collection that it stands in.
    fn complete(
        &mut self,
        node: Node,
        anchor: usize,
        depth: usize,
        size: usize,
    ) -> Result<(), Broken> {
        if anchor != 0 {
            // The copy that is kept counts as well: memory stays in proportion to the budget.
            self.count(size, node.span)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), depth, size });
        }
        match self.open.last_mut() {
            Some(open) => {
                open.depth = open.depth.max(depth + 1);
                open.size += size;
                open.items.push(node);
            }
            None => self.root = Some(node),
        }
        Ok(())
    }

    /// Pairs keys and values, reports repeated keys, and carries out merges (`<<`).
    fn entries(&mut self, items: Vec<Node>) -> Vec<(Node, Node)> {
        let mut entries: Vec<(Node, Node)> = Vec::with_capacity(items.len() / 2);
        let mut merges = Vec::new();
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            let Some(scalar) = key.as_scalar() else {
                let message = format!("{} cannot be a key", key.describe());
                self.diagnostics
                    .push(Diagnostic::error(Code::TypeError, key.span).message(message));
                continue;
            };
            if scalar.text == "<<" && scalar.style == Style::Plain {
                merges.push(value);
            } else {
                entries.push((key, value));
            }
        }
        self.report_duplicates(&entries);
        for merge in merges {
            merge_into(&mut entries, merge);
        }
        entries
    }

    fn report_duplicates(&mut self, entries: &[(Node, Node)]) {
        let mut seen: HashMap<&str, Span> = HashMap::with_capacity(entries.len());
        for (key, _) in entries {
            let Some(name) = key.key() else { continue };
            let Some(first) = seen.insert(name, key.span) else { continue };
            self.diagnostics.push(
                Diagnostic::error(Code::DuplicateKey, key.span)
                    .message(format!("key `{name}` is there twice"))
                    .related(first, "first here")
                    .help("the values can stand in one list, or the keys in two maps"),
            );
        }
    }

    fn count(&mut self, size: usize, span: Span) -> Result<(), Broken> {
        self.node_count += size;
        if self.node_count <= NODES_MAX {
            return Ok(());
        }
        let message = format!("more than {NODES_MAX} values in one text");
        Err(Broken(Diagnostic::error(Code::LimitNodes, span).message(message)))
    }

    fn describe(&self, error: &ScanError) -> Diagnostic {
        let at = error.marker().byte_offset().unwrap_or(self.text.len()).min(self.text.len());
        let len = self
            .text
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .map_or(0, |c| if c == '\n' { 0 } else { c.len_utf8() });
        let span = Span::new(at, at + len);
        if *error.kind() == ErrorKind::RecursionLimitExceeded {
            return too_deep(span);
        }
        let diagnostic = Diagnostic::error(Code::YamlSyntax, span)
            .message(format!("not valid YAML: {}", error.info()));
        // Inside `[…` or `{…`, the cause is often that it was never closed.
        let flow = self.open.iter().rev().find(|open| open.is_flow && open.start != at);
        let diagnostic = match flow {
            Some(open) => diagnostic.related(
                Span::new(open.start, open.start + 1),
                "inside the list or map that is opened here",
            ),
            None => diagnostic,
        };
        match help(error.kind(), self.text.get(at..).unwrap_or("")) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

/// What to do about a syntax error, where rules tend to have it.
fn help(kind: &ErrorKind, rest: &str) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::UnknownAnchor | ErrorKind::MissingAnchorOrAliasName => {
            "a value that begins with `*` or `&` has to stand in single quotes"
        }
        ErrorKind::UnexpectedCharacter { .. } if rest.starts_with(['@', '`', '%']) => {
            "a value that begins with this character has to stand in single quotes"
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => {
            "use single quotes: backslashes are escapes inside double quotes"
        }
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation => "indent with blanks",
        ErrorKind::MappingValueNotAllowed => {
            "check the indentation, and put a value that holds `: ` in single quotes"
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::UnclosedFlowCollection { .. } => {
            "close what is opened here"
        }
        _ => return None,
    })
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(Code::LimitDepth, span)
        .message(format!("collections are nested more than {DEPTH_MAX} levels deep"))
}

/// Nothing at all between two `---`.
fn is_absent(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Scalar(scalar)
        if scalar.text.is_empty() && scalar.style == Style::Plain && scalar.tag.is_none())
}

fn merge_into(entries: &mut Vec<(Node, Node)>, merge: Node) {
    let sources = match merge.kind {
        NodeKind::Mapping(merged) => vec![merged],
        NodeKind::Sequence(items) => items
            .into_iter()
            .filter_map(|item| match item.kind {
                NodeKind::Mapping(merged) => Some(merged),
                _ => None,
            })
            .collect(),
        NodeKind::Scalar(_) => Vec::new(),
    };
    let key_of = |entry: &(Node, Node)| entry.0.key().unwrap_or_default().to_owned();
    let mut present: HashSet<String> = entries.iter().map(key_of).collect();
    for entry in sources.into_iter().flatten() {
        if present.insert(key_of(&entry)) {
            entries.push(entry);
        }
    }
}

fn tag_name(tag: &Tag) -> String {
    let (handle, suffix) = tag.parts();
    format!("{handle}{suffix}")
}

fn bytes(span: granit_parser::Span, len: usize) -> Span {
    span.byte_range().map_or(Span::new(len, len), |range| Span::new(range.start, range.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<Code> {
        load(text).1.iter().map(|diagnostic| diagnostic.code).collect()
    }

    #[test]
    fn spans_are_what_a_reader_sees() {
        let text = "a: 'x'\nb:\n  - 1\n  - {c: d}\n";
        let (nodes, _) = load(text);
        let source = |node: &Node| &text[node.span.range()];
        assert_eq!(source(nodes[0].get("a").unwrap()), "'x'");
        assert_eq!(source(nodes[0].get("b").unwrap()), "- 1\n  - {c: d}");
        assert_eq!(source(&nodes[0].get("b").unwrap().as_sequence().unwrap()[1]), "{c: d}");
    }

    #[test]
    fn a_broken_document_does_not_stop_the_next() {
        let (nodes, diagnostics) = load("a: [1\n---\nb: 2\n---\nc: 'x\n---\nd: 1\n");
        assert_eq!(nodes.len(), 1 + usize::from(nodes.len() > 1));
        assert!(nodes[0].get("b").is_some());
        assert!(diagnostics.iter().all(|diagnostic| diagnostic.code == Code::YamlSyntax));
    }

    #[test]
    fn empty_documents_are_left_out() {
        assert_eq!(load("---\n---\na: 1\n---\n# nothing\n").0.len(), 1);
        assert_eq!(load("").0.len(), 0);
        assert_eq!(load("\u{feff}a: 1").0.len(), 1);
    }

    #[test]
    fn repeated_keys_are_errors() {
        assert_eq!(codes("a: 1\nb: 2\na: 3\n"), [Code::DuplicateKey]);
        assert_eq!(codes(r#"{"a": 1, "a": 2}"#), [Code::DuplicateKey]);
        assert_eq!(codes("[a]: 1\n"), [Code::TypeError]);
    }

    #[test]
    fn aliases_repeat_and_merges_fill_in() {
        let (nodes, diagnostics) = load("a: &x {k: 1, l: 2}\nb: *x\nc: {<<: *x, k: 3}\n");
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(
            nodes[0].to_json(),
            r#"{"a":{"k":1,"l":2},"b":{"k":1,"l":2},"c":{"k":3,"l":2}}"#
        );
    }

    #[test]
    fn hostile_texts_are_refused_in_bounded_work() {
        let deep = |open: &str, close: &str| {
            format!("a: {}1{}", open.repeat(20_000), close.repeat(20_000))
        };
        assert_eq!(codes(&deep("[", "]")), [Code::LimitDepth]);
        assert_eq!(codes(&deep("{a: ", "}")), [Code::LimitDepth]);
        let block: String = (0..2_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert_eq!(codes(&block), [Code::LimitDepth]);
        assert_eq!(codes(&"- ".repeat(20_000)), [Code::LimitDepth]);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..30 {
            let list = format!("*a{},", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert_eq!(codes(&bomb), [Code::LimitAlias]);
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for level in 1..200 {
            chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert_eq!(codes(&chain), [Code::LimitDepth]);
        assert_eq!(codes("a: &a [*a]"), [Code::LimitAlias]);
    }

    #[test]
    fn json_is_read_by_the_same_path() {
        let text = "{\n\t\"a\": \"\\/x\\ud83d\\ude00\",\n\t\"b\": [1, 2.5, null],\n\t\"c\":true\n}";
        let (nodes, diagnostics) = load(text);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(nodes[0].to_json(), "{\"a\":\"/x😀\",\"b\":[1,2.5,null],\"c\":true}");
        let loose = "{title: Simple Http,id: 1,\"detection\":{\"a\":[{\"u\":\"*x*\"}],\"condition\":\"a\"}}";
        let (nodes, diagnostics) = load(loose);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(nodes[0].get("title").unwrap().key(), Some("Simple Http"));
    }
}
