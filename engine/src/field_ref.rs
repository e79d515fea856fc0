//! Compares the values of two fields: any element of one with any of the other.
//!
//! Arrays may be long, so pairs are not tried one by one: the other field's texts become one
//! automaton, and each of ours is read once. The cost is linear in the bytes of both.

use aho_corasick::{AhoCorasick, Anchored, Input, StartKind};
use std::collections::HashSet;

use crate::atom::Relation;
use crate::decimal::Decimal;
use crate::tape::Kind;
use crate::value::ValueView;

/// A value that has a text.
#[derive(Debug)]
pub(crate) struct Element {
    plain: Box<[u8]>,
    folded: Box<[u8]>,
    number: Option<Decimal>,
}

impl Element {
    pub(crate) fn new(view: &ValueView<'_>) -> Self {
        let number = if view.kind == Kind::Number { view.decimal() } else { None };
        Self { plain: view.plain.into(), folded: view.folded.into(), number }
    }

    fn text(&self, cased: bool) -> &[u8] {
        if cased { &self.plain } else { &self.folded }
    }
}

/// Whether an element of `own` relates to one of `others`. Two numbers are equal by value.
pub(crate) fn holds(own: &[Element], others: &[Element], relation: Relation, cased: bool) -> bool {
    if own.is_empty() || others.is_empty() {
        return false;
    }
    if let ([own], [other]) = (own, others) {
        return pair(own, other, relation, cased);
    }
    match relation {
        Relation::Equal => {
            let numbers: HashSet<&Decimal> =
                others.iter().filter_map(|o| o.number.as_ref()).collect();
            let all: HashSet<&[u8]> = others.iter().map(|o| o.text(cased)).collect();
            let texts: HashSet<&[u8]> =
                others.iter().filter(|o| o.number.is_none()).map(|o| o.text(cased)).collect();
            own.iter().any(|element| match &element.number {
                Some(number) => numbers.contains(number) || texts.contains(element.text(cased)),
                None => all.contains(element.text(cased)),
            })
        }
        Relation::StartsWith | Relation::Contains => {
            let needles: Vec<&[u8]> = others.iter().map(|o| o.text(cased)).collect();
            search(own.iter().map(|o| o.text(cased)), &needles, relation)
        }
        Relation::EndsWith => {
            let turn = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
            let needles: Vec<Vec<u8>> = others.iter().map(|o| turn(o.text(cased))).collect();
            let own: Vec<Vec<u8>> = own.iter().map(|o| turn(o.text(cased))).collect();
            search(own.iter().map(Vec::as_slice), &needles, Relation::StartsWith)
        }
    }
}

fn pair(own: &Element, other: &Element, relation: Relation, cased: bool) -> bool {
    let (a, b) = (own.text(cased), other.text(cased));
    match relation {
        Relation::Equal => match (&own.number, &other.number) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
        Relation::StartsWith => a.starts_with(b),
        Relation::EndsWith => a.ends_with(b),
        Relation::Contains => memchr::memmem::find(a, b).is_some(),
    }
}

fn search<'a, N: AsRef<[u8]>>(
    mut own: impl Iterator<Item = &'a [u8]>,
    needles: &[N],
    relation: Relation,
) -> bool {
    let automaton = AhoCorasick::builder()
        .start_kind(StartKind::Both)
        .kind(Some(aho_corasick::AhoCorasickKind::ContiguousNFA))
        .build(needles);
    let Ok(automaton) = automaton else { return false };
    let anchored = match relation {
        Relation::StartsWith => Anchored::Yes,
        _ => Anchored::No,
    };
    own.any(|text| {
        let input = Input::new(text).anchored(anchored).earliest(true);
        automaton.try_find(input).is_ok_and(|found| found.is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(text: &str, number: bool) -> Element {
        Element {
            plain: text.as_bytes().into(),
            folded: crate::text::folded(text).into(),
            number: if number { Decimal::parse(text.as_bytes()) } else { None },
        }
    }

    #[test]
    fn many_elements_give_what_pairs_give() {
        let texts = ["a", "AB", "abc", "1", "1.0", "", "xabx"];
        let elements = |mask: usize, number: bool| -> Vec<Element> {
            (0..texts.len())
                .filter(|i| mask >> i & 1 == 1)
                .map(|i| element(texts[i], number))
                .collect()
        };
        for (a, b) in (1..128).step_by(3).flat_map(|a| (1..128).step_by(5).map(move |b| (a, b))) {
            let relations =
                [Relation::Equal, Relation::StartsWith, Relation::EndsWith, Relation::Contains];
            for relation in relations {
                for (cased, number) in [(true, false), (false, true)] {
                    let (own, others) = (elements(a, number), elements(b, !cased));
                    let wanted = own
                        .iter()
                        .any(|own| others.iter().any(|other| pair(own, other, relation, cased)));
                    assert_eq!(
                        holds(&own, &others, relation, cased),
                        wanted,
                        "{a} {b} {relation:?}"
                    );
                }
            }
        }
    }
}
