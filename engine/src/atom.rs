//! Atoms: every distinct predicate of a rule set once, whoever uses it.
//!
//! [`Test`] is the engine's own small language of predicates, what codegen compiles rules to.
//! [`Probe`] is the same made ready to run.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use memchr::memmem::Finder;
use regex_automata::meta;
use regex_automata::util::syntax;

use crate::backtracking::Backtracking;
use crate::decimal::Decimal;
use crate::field_index::FieldId;
use crate::text;
use crate::time_part::{self, TimePart};
use crate::value::ValueView;
use crate::wildcard::{Wildcard, WildcardPart};

/// A predicate of a plan: an index into its atoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AtomId(pub u32);

/// What is asked of a field. All but [`Test::Null`] are false on a missing field, and hold if they
/// hold for one of the field's elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// The whole text.
    Equals(Text),
    /// The text's beginning.
    StartsWith(Text),
    /// The text's end.
    EndsWith(Text),
    /// Anywhere in the text.
    Contains(Text),
    /// The whole text, with wildcards.
    Wildcard {
        /// The pattern's parts; literals folded unless `cased`.
        parts: Vec<WildcardPart>,
        /// Exact instead of folded.
        cased: bool,
    },
    /// This number by value, or a text of just this spelling.
    Number {
        /// The value.
        value: Decimal,
        /// The spelling, folded.
        text: Box<[u8]>,
    },
    /// A number, or a text that reads as one, in this order to the bound.
    Compare {
        /// The order.
        order: Order,
        /// What it is compared with.
        bound: Decimal,
    },
    /// This part of the date and time that the text or number says, in this relation to the bound.
    TimePart {
        /// The part.
        part: TimePart,
        /// The order; equal without one.
        order: Option<Order>,
        /// What it is compared with.
        bound: u32,
    },
    /// Found somewhere in the text.
    Regex(Pattern),
    /// Found somewhere in the text by backtracking, within bounds; flags stand in the expression.
    Backtracking(Box<str>),
    /// A text that is an address of the network.
    Cidr {
        /// The network's address.
        address: IpAddr,
        /// Its length in bits.
        prefix: u8,
    },
    /// The field is there, whatever its value.
    Exists,
    /// The field is missing, or an element is null.
    Null,
    /// An element is not null: it has a text, or is an object.
    Something,
    /// The text relates to an element of another field.
    FieldRef {
        /// The other field.
        other: FieldId,
        /// How.
        relation: Relation,
        /// Exact instead of folded.
        cased: bool,
    },
}

/// A text to compare with: folded unless `cased`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text {
    /// Its bytes, UTF-8.
    pub bytes: Box<[u8]>,
    /// Exact instead of folded.
    pub cased: bool,
}

impl Text {
    /// A text, folded here unless `cased`.
    pub fn new(text: &str, cased: bool) -> Self {
        let bytes = if cased { text.as_bytes().into() } else { text::folded(text).into() };
        Self { bytes, cased }
    }
}

/// A regular expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// In the syntax of regex-syntax.
    pub pattern: Box<str>,
    /// `i`
    pub ignore_case: bool,
    /// `m`
    pub multi_line: bool,
    /// `s`
    pub dot_all: bool,
    /// Folded texts of which one is in every text that matches, folded; empty if none is known.
    pub required: Vec<Box<[u8]>>,
}

/// An order of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds(self, found: Ordering) -> bool {
        match self {
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }
}

/// How the texts of two fields relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Relation {
    Equal,
    StartsWith,
    EndsWith,
    Contains,
}

/// Most bytes that one compiled regular expression may take.
pub const REGEX_BYTES_MAX: usize = 8 << 20;

/// A test made ready to run on one value. What takes time to make is shared by its copies.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    Equals(Text),
    StartsWith(Text),
    EndsWith(Text),
    Contains(Arc<Finder<'static>>, bool),
    Wildcard(Wildcard, bool),
    Number(Decimal, Box<[u8]>),
    Compare(Order, Decimal),
    TimePart(TimePart, Option<Order>, i64),
    Regex(Arc<meta::Regex>),
    Backtracking(Box<Backtracking>),
    Cidr(IpAddr, u8),
    /// Decided by the record's fields, not by one value.
    Field(FieldProbe),
}

/// A test of a field as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FieldProbe {
    Exists,
    Null,
    Something,
    FieldRef { other: FieldId, relation: Relation, cased: bool },
}

impl Probe {
    /// Makes a test ready.
    pub(crate) fn new(test: &Test) -> Result<Self, String> {
        Ok(match test {
            Test::Equals(text) => Self::Equals(text.clone()),
            Test::StartsWith(text) => Self::StartsWith(text.clone()),
            Test::EndsWith(text) => Self::EndsWith(text.clone()),
            Test::Contains(text) => {
                Self::Contains(Arc::new(Finder::new(&text.bytes).into_owned()), text.cased)
            }
            Test::Wildcard { parts, cased } => Self::Wildcard(Wildcard::new(parts), *cased),
            Test::Number { value, text } => Self::Number(value.clone(), text.clone()),
            Test::Compare { order, bound } => Self::Compare(*order, bound.clone()),
            Test::TimePart { part, order, bound } => {
                Self::TimePart(*part, *order, i64::from(*bound))
            }
            Test::Regex(pattern) => Self::Regex(Arc::new(compile(pattern)?)),
            Test::Backtracking(expression) => {
                Self::Backtracking(Box::new(Backtracking::new(expression)?))
            }
            Test::Cidr { address, prefix } => Self::Cidr(*address, *prefix),
            Test::Exists => Self::Field(FieldProbe::Exists),
            Test::Null => Self::Field(FieldProbe::Null),
            Test::Something => Self::Field(FieldProbe::Something),
            Test::FieldRef { other, relation, cased } => {
                let (other, relation, cased) = (*other, *relation, *cased);
                Self::Field(FieldProbe::FieldRef { other, relation, cased })
            }
        })
    }

    /// Whether it holds for one value. Never asked of a [`Probe::Field`].
    pub(crate) fn holds(&self, value: &ValueView<'_>) -> bool {
        let text = |cased: bool| if cased { value.plain } else { value.folded };
        let with_text = |holds: bool| holds && value.has_text();
        match self {
            Self::Equals(wanted) => with_text(text(wanted.cased) == &*wanted.bytes),
            Self::StartsWith(wanted) => with_text(text(wanted.cased).starts_with(&wanted.bytes)),
            Self::EndsWith(wanted) => with_text(text(wanted.cased).ends_with(&wanted.bytes)),
            Self::Contains(finder, cased) => {
                value.has_text() && finder.find(text(*cased)).is_some()
            }
            Self::Wildcard(wildcard, cased) => value.has_text() && wildcard.is_match(text(*cased)),
            Self::Number(wanted, spelled) => match value.kind {
                crate::tape::Kind::Number => value.decimal().is_some_and(|n| n == *wanted),
                _ => value.is_text() && value.folded == &**spelled,
            },
            Self::Compare(order, bound) => {
                value.decimal().is_some_and(|number| order.holds(number.cmp(bound)))
            }
            Self::TimePart(part, order, bound) => value.moment().is_some_and(|text| {
                time_part::read(*part, text).is_some_and(|number| match order {
                    None => number == *bound,
                    Some(order) => order.holds(number.cmp(bound)),
                })
            }),
            Self::Regex(regex) => value.has_text() && regex.is_match(value.plain),
            Self::Backtracking(regex) => value.has_text() && regex.is_match(value.plain),
            Self::Cidr(network, prefix) => {
                value.is_text() && address(value.plain).is_some_and(|a| is_in(a, *network, *prefix))
            }
            Self::Field(_) => false,
        }
    }
}

fn compile(pattern: &Pattern) -> Result<meta::Regex, String> {
    let syntax = syntax::Config::new()
        .case_insensitive(pattern.ignore_case)
        .multi_line(pattern.multi_line)
        .dot_matches_new_line(pattern.dot_all);
    let config = meta::Config::new()
        .nfa_size_limit(Some(REGEX_BYTES_MAX))
        .onepass_size_limit(Some(1 << 16))
        .dfa_size_limit(Some(1 << 16))
        .hybrid_cache_capacity(1 << 20);
    meta::Regex::builder()
        .syntax(syntax)
        .configure(config)
        .build(&pattern.pattern)
        .map_err(|error| error.to_string())
}

fn address(text: &[u8]) -> Option<IpAddr> {
    // The longest spelling of an address has 45 characters.
    if text.len() > 45 {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn is_in(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            let differs = u32::from(a) ^ u32::from(n);
            differs.leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            let differs = u128::from(a) ^ u128::from(n);
            differs.leading_zeros() >= u32::from(prefix)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_their_networks() {
        let cases = [
            ("10.1.2.3", "10.0.0.0", 8, true),
            ("11.1.2.3", "10.0.0.0", 8, false),
            ("11.1.2.3", "0.0.0.0", 0, true),
            ("10.0.0.1", "10.0.0.1", 32, true),
            ("10.0.0.2", "10.0.0.1", 32, false),
            ("fe80::1", "fe80::", 10, true),
            ("::1", "fe80::", 10, false),
            ("::ffff:10.0.0.1", "10.0.0.0", 8, false),
        ];
        for (a, network, prefix, wanted) in cases {
            let a = address(a.as_bytes()).unwrap();
            assert_eq!(
                is_in(a, network.parse().unwrap(), prefix),
                wanted,
                "{a} {network}/{prefix}"
            );
        }
        assert_eq!(address(b"10.0.0.1 "), None);
        assert_eq!(address(b"010.0.0.1"), None);
    }
}
