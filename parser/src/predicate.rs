//! What a detection item asks of an event, after its modifiers: the small language that the
//! reference interpreter gives a meaning to and that codegen compiles.

use ipnet::IpNet;

use crate::time_part::TimePart;

/// What an item asks: some or all of its values, or none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicate {
    /// `neq`: the rest holds for nothing in the field. True on a missing field.
    pub negated: bool,
    /// `all`: every value's alternatives, not just one's.
    pub all: bool,
    /// For each value, the tests of which one has to hold (`windash` and `base64offset` make several).
    pub values: Vec<Vec<Test>>,
}

/// So often may a search for [`Test::Backtracking`] go back and try another way.
pub const SEARCH_STEPS_MAX: usize = 50_000;
/// The longest text that is searched for [`Test::Backtracking`].
pub const SEARCH_BYTES_MAX: usize = 16 << 10;

/// One test of a field. Unless said otherwise it holds if it holds for one of the field's elements,
/// and is false on a missing field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// The element's text matches the whole pattern.
    Text {
        /// The pattern.
        pattern: Pattern,
        /// Exact, instead of by simple case folding.
        cased: bool,
    },
    /// The element is this number by value, or its text is the number as spelled.
    Number(Number),
    /// The element is this boolean, or its text in any case.
    Bool(bool),
    /// The field is missing, or an element is JSON `null`.
    Null,
    /// The field is there (or is not), whatever its value.
    Exists(bool),
    /// The element is a number, or a text that reads as one, in this relation.
    Compare(Comparison, Number),
    /// This part of the date and time that the element says is the number, or in this relation to it.
    ///
    /// The element is a text that begins with `YYYY-MM-DD` or `YYYY/MM/DD`, behind which `HH:MM` may
    /// stand; the part is what is written, whatever the time zone. Or it is a number of nine digits or
    /// more, counting seconds, milliseconds, microseconds or nanoseconds by its size, in UTC.
    TimePart {
        /// The part.
        part: TimePart,
        /// The relation; equal without one.
        comparison: Option<Comparison>,
        /// The number.
        number: u32,
    },
    /// The expression is found somewhere in the element's text.
    Regex(Regex),
    /// As before, for an expression with look-around, back references or the like, in the syntax of
    /// `fancy-regex` with its flags in it. A search that needs more than [`SEARCH_STEPS_MAX`] steps, or of
    /// a text of more than [`SEARCH_BYTES_MAX`] bytes, finds nothing.
    Backtracking(String),
    /// The element's text is an address inside the network.
    Cidr(IpNet),
    /// The element's text equals (or begins, ends with, contains) an element of another field.
    FieldRef {
        /// The other field.
        field: String,
        /// How the texts relate.
        relation: Relation,
        /// Exact, instead of by simple case folding.
        cased: bool,
    },
}

/// A text with wildcards, never two [`Part::AnyRun`] or two [`Part::Literal`] in a row, no empty literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pattern {
    /// The parts, in order; empty means the empty text.
    pub parts: Vec<Part>,
}

/// A part of a [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// Just this text.
    Literal(String),
    /// `?`: one character.
    AnyChar,
    /// `*`: any number of characters.
    AnyRun,
    /// `%name%` under `expand`: to be replaced before the rule can be loaded.
    Placeholder(String),
}

impl Pattern {
    /// A pattern of these parts, brought into its normal form.
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut normal: Vec<Part> = Vec::new();
        for part in parts {
            match (normal.last_mut(), part) {
                (_, Part::Literal(text)) if text.is_empty() => {}
                (Some(Part::Literal(last)), Part::Literal(text)) => last.push_str(&text),
                (Some(Part::AnyRun), Part::AnyRun) => {}
                (_, part) => normal.push(part),
            }
        }
        Self { parts: normal }
    }

    /// The text, if the pattern has no wildcard.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

/// A regular expression in the syntax of `regex-syntax`, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regex {
    /// The expression.
    pub pattern: String,
    /// `|i`
    pub ignore_case: bool,
    /// `|m`
    pub multi_line: bool,
    /// `|s`
    pub dot_all: bool,
}

/// An order of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `lt`
    Less,
    /// `lte`
    LessOrEqual,
    /// `gt`
    Greater,
    /// `gte`
    GreaterOrEqual,
}

/// How the texts of two fields relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `fieldref`
    Equal,
    /// `fieldref|startswith`
    StartsWith,
    /// `fieldref|endswith`
    EndsWith,
    /// `fieldref|contains`
    Contains,
}

/// A decimal number of any size, as spelled in JSON or YAML.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number {
    /// Its spelling: an optional sign, digits, an optional fraction and exponent.
    pub text: String,
}
