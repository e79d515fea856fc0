//! From tokens to a tree, by operator precedence and without recursion.

use std::collections::HashMap;

use super::aggregation::{self, Aggregation};
use super::lexer::{Token, TokenKind, tokens};
use super::{DEPTH_MAX, Expr, Quantifier};
use crate::diagnostic::{Code, Diagnostic};
use crate::reader::Reader;
use crate::reader::header::shorten;
use crate::span::{Span, Spanned};
use crate::suggest::nearest;
use crate::yaml::Node;

/// So many selections may a condition name in all, patterns counted with what they match.
const NAMED_MAX: usize = 100_000;

/// What a condition is read against.
pub(crate) struct Context<'a> {
    /// The names of the selections, in their order.
    pub(crate) names: &'a [&'a str],
    /// Whether the section has a `timeframe`, without which an aggregation cannot be evaluated.
    pub(crate) has_timeframe: bool,
}

/// What is wrong with a condition, and where in its text.
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn syntax(start: usize, end: usize, message: impl Into<String>) -> Self {
        Self { code: Code::ConditionSyntax, start, end, message: message.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The finding, at its place in the source.
    pub(crate) fn diagnostic(self, place: impl Fn(usize, usize) -> Span) -> Diagnostic {
        let span = place(self.start, self.end);
        let diagnostic = Diagnostic::error(self.code, span).message(self.message);
        match self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

/// Reads the condition that stands in `node`; findings go to the reader.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    text: &Spanned<String>,
    context: &Context<'_>,
) -> Option<(Expr, Option<Aggregation>)> {
    let text = text.node.as_str();
    let tokens = tokens(text);
    let (pipe, tokens) = match tokens.split_last() {
        Some((last, rest)) if last.kind == TokenKind::Pipe => (Some(*last), rest),
        _ => (None, tokens.as_slice()),
    };
    let place = |start: usize, end: usize| reader.place(node, start, end);
    let mut findings = Vec::new();
    let expr = expression(text, tokens, context.names, &place);
    let expr = expr.map_err(|fault| findings.push(fault.diagnostic(place))).ok();
    let mut aggregation = None;
    if let Some(pipe) = pipe {
        let span = place(pipe.start, text.len());
        let mut obsolete = Diagnostic::error(Code::ConditionObsolete, span)
            .message("aggregations behind a pipe are obsolete")
            .help("write a correlation rule (`correlation: type: event_count …`)");
        match aggregation::read(text, pipe.end, context.names, &place) {
            Ok(read) => {
                if !read.neighbours().is_empty() {
                    obsolete = obsolete.help(
                        "write a correlation rule (`type: temporal`) over a rule for each part",
                    );
                }
                aggregation = Some(read);
            }
            Err(fault) => findings.push(fault.diagnostic(place)),
        }
        if aggregation.is_some() && context.has_timeframe {
            obsolete = obsolete.loadable();
        }
        findings.push(obsolete);
    }
    findings.into_iter().for_each(|finding| reader.report(finding));
    Some((expr?, aggregation))
}

/// What waits for its right side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Open(usize),
    Not,
    And,
    Or,
}

/// The tree of the tokens.
pub(crate) fn expression(
    text: &str,
    tokens: &[Token],
    names: &[&str],
    place: &dyn Fn(usize, usize) -> Span,
) -> Result<Expr, Fault> {
    let mut pending: Vec<Pending> = Vec::new();
    let mut parts: Vec<Expr> = Vec::new();
    let indices: HashMap<&str, usize> =
        names.iter().enumerate().rev().map(|(at, name)| (*name, at)).collect();
    let names = Names { list: names, indices };
    let mut depth = 0;
    let mut named = 0;
    let mut is_operand_next = true;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let (start, end) = (token.start, token.end);
        at += 1;
        match (token.kind, is_operand_next) {
            (TokenKind::Not | TokenKind::Open, true) => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(too_deep(start, end));
                }
                let is_not = token.kind == TokenKind::Not;
                pending.push(if is_not { Pending::Not } else { Pending::Open(start) });
            }
            (TokenKind::Word, true) => {
                let (part, taken) = operand(text, &tokens[at - 1..], &names, place)?;
                at += taken - 1;
                named += if let Expr::Of(_, indices, _) = &part { indices.len() } else { 1 };
                if named > NAMED_MAX {
                    let message = format!("the condition names more than {NAMED_MAX} selections");
                    let fault = Fault::syntax(start, end, message);
                    return Err(Fault { code: Code::LimitNodes, ..fault });
                }
                parts.push(part);
                depth -= apply_not(&mut pending, &mut parts);
                is_operand_next = false;
            }
            (TokenKind::And | TokenKind::Or, false) => {
                let is_and = token.kind == TokenKind::And;
                // `and` binds more tightly: a pending `or` stays where an `and` comes.
                while matches!(pending.last(), Some(Pending::And))
                    || !is_and && matches!(pending.last(), Some(Pending::Or))
                {
                    join(pending.pop(), &mut parts);
                }
                pending.push(if is_and { Pending::And } else { Pending::Or });
                is_operand_next = true;
            }
            (TokenKind::Close, false) => {
                while matches!(pending.last(), Some(Pending::And | Pending::Or)) {
                    join(pending.pop(), &mut parts);
                }
                if !matches!(pending.pop(), Some(Pending::Open(_))) {
                    return Err(Fault::syntax(start, end, "`)` closes nothing"));
                }
                depth -= 1 + apply_not(&mut pending, &mut parts);
            }
            _ => return Err(out_of_place(text, *token, is_operand_next)),
        }
    }
    if is_operand_next {
        let fault = match tokens.last() {
            None => Fault::syntax(0, text.len(), "the condition is empty"),
            Some(last) => {
                let word = &text[last.start..last.end];
                Fault::syntax(
                    last.start,
                    last.end,
                    format!("a selection is missing after `{word}`"),
                )
            }
        };
        return Err(fault);
    }
    while let Some(operator) = pending.pop() {
        if let Pending::Open(start) = operator {
            return Err(Fault::syntax(start, start + 1, "`(` is never closed"));
        }
        join(Some(operator), &mut parts);
    }
    Ok(parts.pop().expect("an operand has been read, and every operator joins two of them"))
}

fn too_deep(start: usize, end: usize) -> Fault {
    let message = format!("brackets and `not` are nested more than {DEPTH_MAX} levels deep");
    Fault { code: Code::LimitDepth, ..Fault::syntax(start, end, message) }
}

fn out_of_place(text: &str, token: Token, is_operand_next: bool) -> Fault {
    let word = shorten(&text[token.start..token.end]);
    if token.kind == TokenKind::Close {
        return Fault::syntax(token.start, token.end, "nothing stands before this `)`");
    }
    let fault = if is_operand_next {
        Fault::syntax(token.start, token.end, format!("a selection is missing before `{word}`"))
    } else {
        let message = format!("`and` or `or` is missing before `{word}`");
        Fault::syntax(token.start, token.end, message)
    };
    match token.kind {
        TokenKind::Word => {
            strange(&word).map_or(fault, |strange| symbol(token.start, token.end, &word, strange))
        }
        _ => fault,
    }
}

/// Applies the `not`s before a finished operand, and says how many there were.
fn apply_not(pending: &mut Vec<Pending>, parts: &mut Vec<Expr>) -> usize {
    let mut count = 0;
    while pending.last() == Some(&Pending::Not) {
        pending.pop();
        count += 1;
        if let Some(part) = parts.pop() {
            parts.push(Expr::Not(Box::new(part)));
        }
    }
    count
}

/// Joins the last two parts, into the left one where it is of the same kind.
fn join(operator: Option<Pending>, parts: &mut Vec<Expr>) {
    let (Some(right), Some(left)) = (parts.pop(), parts.pop()) else { return };
    parts.push(match (operator, left) {
        (Some(Pending::And), Expr::And(mut all)) => {
            all.push(right);
            Expr::And(all)
        }
        (Some(Pending::And), left) => Expr::And(vec![left, right]),
        (_, Expr::Or(mut any)) => {
            any.push(right);
            Expr::Or(any)
        }
        (_, left) => Expr::Or(vec![left, right]),
    });
}

/// The names of the selections, in their order and by name.
struct Names<'a> {
    list: &'a [&'a str],
    indices: HashMap<&'a str, usize>,
}

/// The operand at the start of the tokens, and how many tokens it takes.
fn operand(
    text: &str,
    tokens: &[Token],
    names: &Names<'_>,
    place: &dyn Fn(usize, usize) -> Span,
) -> Result<(Expr, usize), Fault> {
    let word = |at: usize| {
        let token = tokens.get(at).filter(|token| token.kind == TokenKind::Word)?;
        Some((&text[token.start..token.end], token))
    };
    let Some((first, token)) = word(0) else {
        return Err(Fault::syntax(0, text.len(), "the condition is empty"));
    };
    let is_of = word(1).is_some_and(|(text, _)| text.eq_ignore_ascii_case("of"));
    let (start, end) = (token.start, token.end);
    if !is_of {
        return match names.indices.get(first) {
            Some(index) => Ok((Expr::Selection(*index, place(start, end)), 1)),
            None => Err(unknown(first, start, end, names.list)),
        };
    }
    let quantifier = quantifier(first, start, end)?;
    let of_end = tokens[1].end;
    let Some((pattern, target)) = word(2) else {
        let message = "the selections are missing after `of`";
        return Err(Fault::syntax(start, of_end, message)
            .help("write `them`, or a pattern such as `selection_*`"));
    };
    let (from, to) = (target.start, target.end);
    let names = names.list;
    let indices: Vec<usize> = if pattern.eq_ignore_ascii_case("them") {
        (0..names.len()).filter(|at| !names[*at].starts_with('_')).collect()
    } else {
        (0..names.len()).filter(|at| matches_pattern(pattern, names[*at])).collect()
    };
    if indices.is_empty() {
        return Err(unknown(pattern, from, to, names));
    }
    Ok((Expr::Of(quantifier, indices, place(start, to)), 3))
}

fn quantifier(word: &str, start: usize, end: usize) -> Result<Quantifier, Fault> {
    if word.eq_ignore_ascii_case("all") {
        return Ok(Quantifier::All);
    }
    if word.eq_ignore_ascii_case("any") {
        return Ok(Quantifier::Any);
    }
    match word.parse::<u32>() {
        Ok(1) => Ok(Quantifier::Any),
        Ok(count) if count > 1 => Ok(Quantifier::AtLeast(count)),
        _ => {
            let message = format!("`{}` is no number of selections", shorten(word));
            Err(Fault::syntax(start, end, message).help("write `1`, `any`, `all`, or a number"))
        }
    }
}

fn unknown(name: &str, start: usize, end: usize, names: &[&str]) -> Fault {
    if let Some(strange) = strange(name) {
        return symbol(start, end, name, strange);
    }
    let is_pattern = name.contains('*');
    let message = if is_pattern {
        format!("no selection is named like `{}`", shorten(name))
    } else {
        format!("there is no selection `{}`", shorten(name))
    };
    let stem = name.trim_matches('*');
    let help = match nearest(stem, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "the detection section has no selections".to_owned(),
        None => {
            let shown: Vec<_> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
            format!("there is {}", shown.join(", "))
        }
    };
    Fault { code: Code::ConditionUnknownIdentifier, ..Fault::syntax(start, end, message) }
        .help(help)
}

/// A character that no name has.
fn strange(name: &str) -> Option<char> {
    name.chars().find(|c| !(c.is_alphanumeric() || "_-.*?:/$@".contains(*c)))
}

fn symbol(start: usize, end: usize, word: &str, strange: char) -> Fault {
    let message = format!("`{}` does not belong into a condition", shorten(word));
    let help = match strange {
        '&' => "write `and`",
        '!' => "write `not`",
        _ => "use the names of selections, `and`, `or`, `not` and brackets",
    };
    Fault::syntax(start, end, message).help(help)
}

/// Whether a name matches a pattern in which `*` stands for any characters.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = tail.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["a", "b", "sel_x_main", "sel_y_main", "_hidden"];

    fn parsed(text: &str) -> Result<Expr, Fault> {
        expression(text, &tokens(text), &NAMES, &|start, end| Span::new(start, end))
    }

    /// A tree with every bracket written.
    fn shown(expr: &Expr) -> String {
        let joined = |parts: &[Expr], word: &str| {
            format!("({})", parts.iter().map(shown).collect::<Vec<_>>().join(word))
        };
        match expr {
            Expr::And(parts) => joined(parts, " & "),
            Expr::Or(parts) => joined(parts, " | "),
            Expr::Not(part) => format!("!{}", shown(part)),
            Expr::Selection(index, _) => NAMES[*index].to_owned(),
            Expr::Of(quantifier, indices, _) => format!("{quantifier:?}{indices:?}"),
        }
    }

    #[test]
    fn operators_bind_as_the_specification_says() {
        for (text, expected) in [
            ("a", "a"),
            ("a and b", "(a & b)"),
            ("a or b and a", "(a | (b & a))"),
            ("a and b or a", "((a & b) | a)"),
            ("(a or b) and a", "((a | b) & a)"),
            ("not a and b", "(!a & b)"),
            ("not (a or b)", "!(a | b)"),
            ("not not a", "!!a"),
            ("a and not (not b)", "(a & !!b)"),
            ("a and b and a", "(a & b & a)"),
            ("a AND b OR NOT a", "((a & b) | !a)"),
            ("  a   and(b  or a )  ", "(a & (b | a))"),
            ("a and b or a and not b", "((a & b) | (a & !b))"),
            ("1 of sel_*", "Any[2, 3]"),
            ("any of sel_*", "Any[2, 3]"),
            ("all of sel_*_main", "All[2, 3]"),
            ("All Of *_main", "All[2, 3]"),
            ("2 of them", "AtLeast(2)[0, 1, 2, 3]"),
            ("1 of _*", "Any[4]"),
            ("not 1 of sel* and a", "(!Any[2, 3] & a)"),
        ] {
            let expr = parsed(text).map_err(|fault| fault.message).unwrap();
            assert_eq!(shown(&expr), expected, "{text}");
        }
    }

    #[test]
    fn faults_have_their_code_and_place() {
        use Code::{ConditionSyntax as Syntax, ConditionUnknownIdentifier as Unknown};
        for (text, code, part) in [
            ("", Syntax, ""),
            ("a and", Syntax, "and"),
            ("or a", Syntax, "or"),
            ("a b", Syntax, "b"),
            ("(a or b", Syntax, "("),
            ("a or b)", Syntax, ")"),
            ("a and ()", Syntax, ")"),
            ("not", Syntax, "not"),
            ("1 of", Syntax, "1 of"),
            ("0 of them", Syntax, "0"),
            ("x of them", Syntax, "x"),
            ("a && b", Syntax, "&&"),
            ("!a", Syntax, "!a"),
            ("a and c", Unknown, "c"),
            ("1", Unknown, "1"),
            ("1 of nothing_*", Unknown, "nothing_*"),
        ] {
            let fault = parsed(text).err().unwrap();
            assert_eq!((fault.code, &text[fault.start..fault.end]), (code, part), "{text}");
        }
    }

    #[test]
    fn a_near_name_is_suggested() {
        let fault = parsed("a and sel_x_mian").err().unwrap();
        assert_eq!(fault.help.as_deref(), Some("did you mean `sel_x_main`?"));
    }

    #[test]
    fn depth_is_bounded_and_length_is_not() {
        for text in [
            format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000)),
            format!("{}a", "not ".repeat(50_000)),
        ] {
            assert_eq!(parsed(&text).err().unwrap().code, Code::LimitDepth);
        }
        let long = vec!["a and (b or not a)"; 20_000].join(" or ");
        assert!(parsed(&long).is_ok());
        let nested = format!("{}a{}", "(".repeat(90), ")".repeat(90));
        assert!(parsed(&nested).is_ok());
    }

    #[test]
    fn patterns_match_at_any_place() {
        for (pattern, name, expected) in [
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "acb", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("*b*", "abc", true),
            ("abc", "abc", true),
            ("ab", "abc", false),
            ("a*b*b", "ab", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
    }
}
