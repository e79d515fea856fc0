//! The obsolete part of a condition behind a pipe: `| count(field) by group > 5`, `| near a and b`.

use super::Expr;
use super::lexer::{Token, TokenKind, tokens};
use super::parse::{Fault, expression};
use crate::diagnostic::Code;
use crate::predicate::Number;
use crate::span::{Span, Spanned};
use crate::yaml::number;

/// An aggregation over the events of a rule within its `timeframe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregation {
    /// What is asked for.
    pub wanted: AggregationKind,
    /// The fields behind `by`: one computation for each combination of their values.
    pub group_by: Vec<Spanned<String>>,
    /// Where it stands.
    pub span: Span,
}

/// What an aggregation asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AggregationKind {
    /// A number that relates to a threshold.
    Number {
        /// What is computed.
        function: AggregationFunction,
        /// The field in brackets; `count()` has none and counts events.
        field: Option<Spanned<String>>,
        /// How the result has to relate to the threshold.
        relation: AggregationRelation,
        /// The threshold.
        threshold: Number,
    },
    /// `near`: other events beside one that the condition holds for. Never empty.
    Near(Vec<Neighbour>),
}

/// An event beside another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// What it is.
    pub expr: Expr,
    /// Whether there must not be one.
    pub is_absent: bool,
}

impl Aggregation {
    /// The field whose values are computed with.
    pub fn field(&self) -> Option<&Spanned<String>> {
        match &self.wanted {
            AggregationKind::Number { field, .. } => field.as_ref(),
            AggregationKind::Near(_) => None,
        }
    }

    pub(crate) fn field_mut(&mut self) -> Option<&mut Spanned<String>> {
        match &mut self.wanted {
            AggregationKind::Number { field, .. } => field.as_mut(),
            AggregationKind::Near(_) => None,
        }
    }

    /// What `near` names.
    pub fn neighbours(&self) -> &[Neighbour] {
        match &self.wanted {
            AggregationKind::Near(neighbours) => neighbours,
            AggregationKind::Number { .. } => &[],
        }
    }
}

/// What an aggregation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregationFunction {
    /// Events, or distinct values of the field.
    Count,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The mean of the values.
    Avg,
    /// The sum of the values.
    Sum,
}

/// How a result relates to its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregationRelation {
    /// `<`, `lt`
    Less,
    /// `<=`, `lte`
    LessOrEqual,
    /// `>`, `gt`
    Greater,
    /// `>=`, `gte`
    GreaterOrEqual,
    /// `=`, `==`, `eq`
    Equal,
    /// `!=`, `neq`
    NotEqual,
}

impl AggregationRelation {
    fn from_sign(sign: &str) -> Option<Self> {
        Some(match sign {
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "=" | "==" => Self::Equal,
            "!=" | "<>" => Self::NotEqual,
            _ => return None,
        })
    }
}

/// Reads what stands behind the pipe, from byte `start` of the text on. `names` are those of the
/// selections.
pub(crate) fn read(
    text: &str,
    start: usize,
    names: &[&str],
    place: &dyn Fn(usize, usize) -> Span,
) -> Result<Aggregation, Fault> {
    let words = words(text, start);
    let mut cursor = Cursor { text, words: &words, at: 0 };
    let function = match cursor.next().to_ascii_lowercase().as_str() {
        "count" => AggregationFunction::Count,
        "min" => AggregationFunction::Min,
        "max" => AggregationFunction::Max,
        "avg" => AggregationFunction::Avg,
        "sum" => AggregationFunction::Sum,
        "near" => return near(text, &words, names, place),
        _ => return Err(cursor.fault("`count`, `min`, `max`, `avg`, `sum` or `near`")),
    };
    if cursor.next() != "(" {
        return Err(cursor.fault("`(`"));
    }
    let mut field = None;
    if cursor.peek() != ")" {
        field = Some(cursor.name(place)?);
    } else if function != AggregationFunction::Count {
        cursor.next();
        return Err(cursor.fault("a field"));
    }
    if cursor.next() != ")" {
        return Err(cursor.fault("`)`"));
    }
    let group_by = cursor.group_by(place)?;
    let Some(relation) = AggregationRelation::from_sign(cursor.next()) else {
        return Err(cursor.fault("`>`, `>=`, `<`, `<=` or `==`"));
    };
    let Some(threshold) = number(cursor.next()).map(|text| Number { text }) else {
        return Err(cursor.fault("a number"));
    };
    cursor.end()?;
    let span = place(start, text.trim_end().len());
    let wanted = AggregationKind::Number { function, field, relation, threshold };
    Ok(Aggregation { wanted, group_by, span })
}

/// `near a and not b by field`: what stands before `by` is read as a condition is.
fn near(
    text: &str,
    words: &[(usize, usize)],
    names: &[&str],
    place: &dyn Fn(usize, usize) -> Span,
) -> Result<Aggregation, Fault> {
    let (start, near_end) = words[0];
    let tokens: Vec<Token> = tokens(&text[near_end..])
        .into_iter()
        .map(|token| Token { start: token.start + near_end, end: token.end + near_end, ..token })
        .collect();
    let is_operand = |kind| matches!(kind, TokenKind::Word | TokenKind::Close);
    let is_by = |at: &usize| {
        let word = &text[tokens[*at].start..tokens[*at].end];
        is_operand(tokens[*at - 1].kind) && word.eq_ignore_ascii_case("by")
    };
    let by = (1..tokens.len()).find(is_by).unwrap_or(tokens.len());
    if by == 0 {
        let end = text.len();
        let message = "the aggregation ends where a selection should stand";
        return Err(Fault::syntax(near_end.min(end), end, message));
    }
    let expr = expression(text, &tokens[..by], names, place)?;
    let by_start = tokens.get(by).map_or(text.len(), |token| token.start);
    let at = words.partition_point(|(start, _)| *start < by_start);
    let mut cursor = Cursor { text, words, at };
    let group_by = cursor.group_by(place)?;
    cursor.end()?;
    let parts = match expr {
        Expr::And(parts) => parts,
        part => vec![part],
    };
    let neighbour = |part| match part {
        Expr::Not(part) => Neighbour { expr: *part, is_absent: true },
        expr => Neighbour { expr, is_absent: false },
    };
    let wanted = AggregationKind::Near(parts.into_iter().map(neighbour).collect());
    Ok(Aggregation { wanted, group_by, span: place(start, text.trim_end().len()) })
}

/// Names, brackets, commas and relation signs, as byte ranges.
fn words(text: &str, start: usize) -> Vec<(usize, usize)> {
    let is_sign = |c: char| matches!(c, '<' | '>' | '=' | '!');
    let is_single = |c: char| matches!(c, '(' | ')' | ',');
    let mut words = Vec::new();
    let mut at = start;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let end = |is_end: &dyn Fn(char) -> bool| rest.find(is_end).map_or(text.len(), |n| at + n);
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let end = if is_single(c) {
            at + 1
        } else if is_sign(c) {
            end(&|c| !is_sign(c))
        } else {
            end(&|c| c.is_whitespace() || is_sign(c) || is_single(c))
        };
        words.push((at, end));
        at = end;
    }
    words
}

struct Cursor<'a> {
    text: &'a str,
    words: &'a [(usize, usize)],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> &'a str {
        self.words.get(self.at).map_or("", |(start, end)| &self.text[*start..*end])
    }

    fn next(&mut self) -> &'a str {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn name(&mut self, place: &dyn Fn(usize, usize) -> Span) -> Result<Spanned<String>, Fault> {
        let word = self.next();
        if word.is_empty() || word.starts_with(['(', ')', ',', '<', '>', '=', '!']) {
            return Err(self.fault("a field"));
        }
        let (start, end) = self.words[self.at - 1];
        Ok(Spanned::new(word.to_owned(), place(start, end)))
    }

    /// `by` and its fields, if they stand here.
    fn group_by(
        &mut self,
        place: &dyn Fn(usize, usize) -> Span,
    ) -> Result<Vec<Spanned<String>>, Fault> {
        let mut group_by = Vec::new();
        if self.peek().eq_ignore_ascii_case("by") {
            self.next();
            group_by.push(self.name(place)?);
            while self.peek() == "," {
                self.next();
                group_by.push(self.name(place)?);
            }
        }
        Ok(group_by)
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_empty() {
            return Ok(());
        }
        self.next();
        Err(self.fault("nothing more"))
    }

    /// The last word read is not what it should be.
    fn fault(&self, wanted: &str) -> Fault {
        let end = self.text.len();
        let (start, end) = self.words.get(self.at - 1).copied().unwrap_or((end, end));
        let message = match &self.text[start..end] {
            "" => format!("the aggregation ends where {wanted} should stand"),
            word => format!("the aggregation has `{word}` where {wanted} should stand"),
        };
        Fault { code: Code::ConditionSyntax, ..Fault::syntax(start, end, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Aggregation, String> {
        let place = |start, end| Span::new(start, end);
        read(text, 0, &["a", "b", "c", "by"], &place).map_err(|fault| fault.message)
    }

    #[test]
    fn aggregations_have_their_parts() {
        for (text, expected) in [
            ("count() > 5", "Count None [] Greater 5"),
            ("count(user.name) by host >= 10", "Count Some(user.name) [host] GreaterOrEqual 10"),
            ("count() by a, b<3", "Count None [a,b] Less 3"),
            ("sum( bytes ) by src == 1.5", "Sum Some(bytes) [src] Equal 1.5"),
            ("MAX(x) != 0", "Max Some(x) [] NotEqual 0"),
        ] {
            let read = parsed(text).unwrap();
            let field = read.field().map(|field| &field.node);
            let groups: Vec<_> = read.group_by.iter().map(|group| group.node.as_str()).collect();
            let AggregationKind::Number { function, relation, threshold, .. } = &read.wanted else {
                panic!("{text}")
            };
            let shown = format!(
                "{function:?} {} [{}] {relation:?} {}",
                field.map_or("None".to_owned(), |field| format!("Some({field})")),
                groups.join(","),
                threshold.text
            );
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn near_names_what_stands_beside() {
        for (text, parts, groups) in [
            ("near a", "0", ""),
            ("near a and b", "0 1", ""),
            ("NEAR a AND NOT b by host.name , user", "0 !1", "host.name,user"),
            ("near (a or b) and not (b and c) by x", "(0|1) !(1&2)", "x"),
            ("near by and a by by", "3 0", "by"),
            ("near by by by", "3", "by"),
            ("near 1 of them", "of", ""),
        ] {
            let read = parsed(text).unwrap();
            let shown: Vec<String> = read
                .neighbours()
                .iter()
                .map(|one| format!("{}{}", if one.is_absent { "!" } else { "" }, shown(&one.expr)))
                .collect();
            assert_eq!(shown.join(" "), parts, "{text}");
            let fields: Vec<_> = read.group_by.iter().map(|group| group.node.as_str()).collect();
            assert_eq!(fields.join(","), groups, "{text}");
        }
    }

    fn shown(expr: &Expr) -> String {
        let all = |parts: &[Expr], sign: &str| {
            format!("({})", parts.iter().map(shown).collect::<Vec<_>>().join(sign))
        };
        match expr {
            Expr::And(parts) => all(parts, "&"),
            Expr::Or(parts) => all(parts, "|"),
            Expr::Not(part) => format!("!{}", shown(part)),
            Expr::Selection(index, _) => index.to_string(),
            Expr::Of(..) => "of".to_owned(),
        }
    }

    #[test]
    fn faults_name_what_should_stand_there() {
        for (text, part) in [
            ("", "`count`"),
            ("median(x) > 1", "`median`"),
            ("count > 5", "`(`"),
            ("count(a b) > 5", "`)`"),
            ("sum() > 5", "a field"),
            ("count() by > 5", "a field"),
            ("count()", "`>`"),
            ("count() > many", "a number"),
            ("count() > 5 and x", "nothing more"),
            ("near", "a selection"),
            ("near ", "a selection"),
            ("near d", "no selection `d`"),
            ("near a b", "missing before `b`"),
            ("near a by", "a field"),
            ("near a by x > 5", "nothing more"),
            ("near by x", "missing before `x`"),
        ] {
            let message = parsed(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
