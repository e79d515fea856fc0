//! Fields that are found by walking a record: paths with elements by number, wildcards, searches at any
//! depth, and filters. Step 3's other half: names and paths of keys go by [`crate::field_index`], on the fast way.
//!
//! In: the tape of a record. Out: the values at the end of the path. A step takes the set of values so
//! far to the next set, sorted and each value once, so that a path costs no more than its steps times the
//! record's entries, however deep it searches.

use std::cmp::Ordering;

use crate::decimal::Decimal;
use crate::tape::{Kind, Tape};
use crate::text;

/// One step, from values to values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// The members of these keys; of an array those of its elements.
    Keys(Vec<String>),
    /// The elements of arrays; all else as it is.
    Elements,
    /// All members and elements.
    Wildcard,
    /// Elements by their number, from the end if negative.
    Indices(Vec<i64>),
    /// Elements from a number on up to another, both from the end if negative.
    Slice {
        /// The first.
        from: Option<i64>,
        /// The one behind the last.
        to: Option<i64>,
        /// Every so many, at least 1.
        stride: u64,
    },
    /// The values themselves and everything inside of them.
    Descend,
    /// Elements of arrays, and objects themselves, for which it holds.
    Filter(PathFilter),
}

/// What a filter asks of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathFilter {
    /// The path leads somewhere.
    Exists(Vec<PathStep>),
    /// A value that the path leads to relates so to the literal.
    Compare {
        /// From the value on.
        path: Vec<PathStep>,
        /// The orders that are meant.
        orders: PathOrders,
        /// The literal.
        literal: PathLiteral,
    },
    /// It does not hold.
    Not(Box<PathFilter>),
    /// All hold.
    All(Vec<PathFilter>),
    /// Any holds.
    Any(Vec<PathFilter>),
}

/// Which outcomes of a comparison are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathOrders {
    /// The value is less.
    pub less: bool,
    /// They are equal.
    pub equal: bool,
    /// The value is greater.
    pub greater: bool,
    /// They cannot be compared: one is a text, the other is true.
    pub unlike: bool,
}

/// A literal of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathLiteral {
    /// A text, compared as it is.
    Text(String),
    /// A number, compared by value.
    Number(Decimal),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Walks paths; keeps its buffers.
#[derive(Debug, Default)]
pub(crate) struct PathWalk {
    from: Vec<u32>,
    to: Vec<u32>,
    key: Vec<u8>,
}

impl PathWalk {
    /// The entries to which a path leads from the record.
    pub(crate) fn run(&mut self, record: &[u8], tape: &Tape, steps: &[PathStep]) -> &[u32] {
        self.from.clear();
        self.from.push(0);
        let walk = Walk { record, tape };
        for step in steps {
            self.to.clear();
            for value in &self.from {
                walk.step(*value, step, &mut self.to, &mut self.key);
            }
            self.to.sort_unstable();
            self.to.dedup();
            std::mem::swap(&mut self.from, &mut self.to);
        }
        &self.from
    }
}

struct Walk<'a> {
    record: &'a [u8],
    tape: &'a Tape,
}

impl Walk<'_> {
    fn children(&self, value: u32) -> impl Iterator<Item = u32> {
        let entry = &self.tape.entries[value as usize];
        let is_container = matches!(entry.kind, Kind::Array | Kind::Object);
        let children = is_container.then(|| self.tape.children(value)).into_iter().flatten();
        children.filter(|child| !self.tape.entries[*child as usize].is_superseded)
    }

    fn kind(&self, value: u32) -> Kind {
        self.tape.entries[value as usize].kind
    }

    fn step(&self, value: u32, step: &PathStep, to: &mut Vec<u32>, buf: &mut Vec<u8>) {
        match (step, self.kind(value)) {
            (PathStep::Keys(keys), Kind::Object) => {
                let is_named = |child: &u32| {
                    let entry = &self.tape.entries[*child as usize];
                    let mut key = entry.key.of(self.record);
                    if entry.key_is_escaped {
                        buf.clear();
                        text::unescape(key, buf);
                        key = buf;
                    }
                    keys.iter().any(|named| named.as_bytes() == key)
                };
                to.extend(self.children(value).filter(is_named));
            }
            (PathStep::Keys(_), Kind::Array) => {
                self.children(value).for_each(|child| self.step(child, step, to, buf));
            }
            (PathStep::Elements, Kind::Array) | (PathStep::Wildcard, _) => {
                to.extend(self.children(value));
            }
            (PathStep::Elements, _) => to.push(value),
            (PathStep::Indices(indices), Kind::Array) => {
                let count = self.children(value).count() as i64;
                for index in indices {
                    let at = if *index < 0 { count.saturating_add(*index) } else { *index };
                    if let Ok(at) = usize::try_from(at) {
                        to.extend(self.children(value).nth(at));
                    }
                }
            }
            (PathStep::Slice { from, to: end, stride }, Kind::Array) => {
                let count = self.children(value).count() as i64;
                let place = |at: i64| {
                    (if at < 0 { count.saturating_add(at) } else { at }).clamp(0, count) as usize
                };
                let from = from.map_or(0, place);
                let end = end.map_or(count as usize, place);
                let stride = usize::try_from(*stride).unwrap_or(usize::MAX);
                let within = self.children(value).take(end).skip(from);
                to.extend(within.step_by(stride));
            }
            (PathStep::Descend, _) => self.descend(value, to),
            (PathStep::Filter(filter), Kind::Array) => {
                to.extend(self.children(value).filter(|child| self.holds(*child, filter)));
            }
            (PathStep::Filter(filter), Kind::Object) if self.holds(value, filter) => to.push(value),
            _ => {}
        }
    }

    /// What is inside a value that was descended into already is there.
    fn descend(&self, value: u32, to: &mut Vec<u32>) {
        if to.last().is_some_and(|last| *last >= value) {
            return;
        }
        let end = self.tape.entries[value as usize].next;
        let mut at = value;
        while at < end {
            let entry = &self.tape.entries[at as usize];
            if entry.is_superseded {
                at = entry.next;
            } else {
                to.push(at);
                at += 1;
            }
        }
    }

    fn holds(&self, value: u32, filter: &PathFilter) -> bool {
        match filter {
            PathFilter::Exists(path) => !self.ends(value, path).is_empty(),
            PathFilter::Compare { path, orders, literal } => {
                let is_meant = |end: &u32| orders.hold(self.order(*end, literal));
                self.ends(value, path).iter().any(is_meant)
            }
            PathFilter::Not(inner) => !self.holds(value, inner),
            PathFilter::All(parts) => parts.iter().all(|part| self.holds(value, part)),
            PathFilter::Any(parts) => parts.iter().any(|part| self.holds(value, part)),
        }
    }

    /// Where a path inside of a filter leads.
    fn ends(&self, value: u32, path: &[PathStep]) -> Vec<u32> {
        let mut ends = vec![value];
        let mut key = Vec::new();
        for step in path {
            let mut next = Vec::new();
            ends.iter().for_each(|value| self.step(*value, step, &mut next, &mut key));
            next.sort_unstable();
            next.dedup();
            ends = next;
        }
        ends
    }

    /// How a value stands to a literal. A text that is a number compares with numbers as one.
    fn order(&self, value: u32, literal: &PathLiteral) -> Option<Ordering> {
        let entry = &self.tape.entries[value as usize];
        let raw = entry.value.of(self.record);
        match (literal, entry.kind) {
            (PathLiteral::Text(literal), Kind::Text) => Some(raw.cmp(literal.as_bytes())),
            (PathLiteral::Text(literal), Kind::EscapedText) => {
                let mut plain = Vec::new();
                text::unescape(raw, &mut plain);
                Some(plain.as_slice().cmp(literal.as_bytes()))
            }
            (PathLiteral::Text(literal), Kind::Number) => {
                Some(Decimal::parse(raw)?.cmp(&Decimal::parse(literal.as_bytes())?))
            }
            (PathLiteral::Number(literal), Kind::Number | Kind::Text) => {
                Some(Decimal::parse(raw)?.cmp(literal))
            }
            (PathLiteral::Bool(literal), Kind::True) => Some(true.cmp(literal)),
            (PathLiteral::Bool(literal), Kind::False) => Some(false.cmp(literal)),
            (PathLiteral::Null, Kind::Null) => Some(Ordering::Equal),
            _ => None,
        }
    }
}

impl PathOrders {
    fn hold(self, order: Option<Ordering>) -> bool {
        match order {
            Some(Ordering::Less) => self.less,
            Some(Ordering::Equal) => self.equal,
            Some(Ordering::Greater) => self.greater,
            None => self.unlike,
        }
    }
}
