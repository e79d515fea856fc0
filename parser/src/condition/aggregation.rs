//! The obsolete part of a condition behind a pipe: `| count(field) by group > 5`, `| near a and b`.

use super::parse::Fault;
use crate::diagnostic::Code;
use crate::predicate::Number;
use crate::span::{Span, Spanned};
use crate::yaml::number;

/// An aggregation over the events of a rule within its `timeframe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregation {
    /// What is computed.
    pub function: AggregationFunction,
    /// The field in brackets; `count()` has none and counts events.
    pub field: Option<Spanned<String>>,
    /// The fields behind `by`: one computation for each combination of their values.
    pub group_by: Vec<Spanned<String>>,
    /// How the result has to relate to the threshold.
    pub relation: AggregationRelation,
    /// The threshold.
    pub threshold: Number,
    /// Where it stands.
    pub span: Span,
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

/// Reads what stands behind the pipe, from byte `start` of the text on. `near`, which the specification
/// never defined well enough to evaluate, is no fault of the text but gives nothing.
pub(crate) fn read(
    text: &str,
    start: usize,
    place: &dyn Fn(usize, usize) -> Span,
) -> Result<Option<Aggregation>, Fault> {
    let words = words(text, start);
    let mut cursor = Cursor { text, words: &words, at: 0 };
    let function = match cursor.next().to_ascii_lowercase().as_str() {
        "count" => AggregationFunction::Count,
        "min" => AggregationFunction::Min,
        "max" => AggregationFunction::Max,
        "avg" => AggregationFunction::Avg,
        "sum" => AggregationFunction::Sum,
        "near" => return Ok(None),
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
    let mut group_by = Vec::new();
    if cursor.peek().eq_ignore_ascii_case("by") {
        cursor.next();
        group_by.push(cursor.name(place)?);
        while cursor.peek() == "," {
            cursor.next();
            group_by.push(cursor.name(place)?);
        }
    }
    let Some(relation) = AggregationRelation::from_sign(cursor.next()) else {
        return Err(cursor.fault("`>`, `>=`, `<`, `<=` or `==`"));
    };
    let Some(threshold) = number(cursor.next()).map(|text| Number { text }) else {
        return Err(cursor.fault("a number"));
    };
    if !cursor.peek().is_empty() {
        cursor.next();
        return Err(cursor.fault("nothing more"));
    }
    let span = place(start, text.trim_end().len());
    Ok(Some(Aggregation { function, field, group_by, relation, threshold, span }))
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

    fn parsed(text: &str) -> Result<Option<Aggregation>, String> {
        read(text, 0, &|start, end| Span::new(start, end)).map_err(|fault| fault.message)
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
            let read = parsed(text).unwrap().unwrap();
            let field = read.field.as_ref().map(|field| &field.node);
            let groups: Vec<_> = read.group_by.iter().map(|group| group.node.as_str()).collect();
            let shown = format!(
                "{:?} {} [{}] {:?} {}",
                read.function,
                field.map_or("None".to_owned(), |field| format!("Some({field})")),
                groups.join(","),
                read.relation,
                read.threshold.text
            );
            assert_eq!(shown, expected, "{text}");
        }
        assert_eq!(parsed("near a and b"), Ok(None));
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
        ] {
            let message = parsed(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
