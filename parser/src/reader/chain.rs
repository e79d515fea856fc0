//! Chains of modifiers: which may stand together, and in which order.

use super::Reader;
use crate::diagnostic::{Code, Diagnostic};
use crate::modifier::Modifier;
use crate::predicate::{Comparison, Relation};
use crate::span::{Span, Spanned};
use crate::time_part::TimePart;

/// What a legal chain says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chain {
    pub(crate) is_negated: bool,
    pub(crate) is_all: bool,
    pub(crate) is_cased: bool,
    pub(crate) has_placeholders: bool,
    pub(crate) has_windash: bool,
    pub(crate) utf16: Option<Modifier>,
    pub(crate) base64: Option<Modifier>,
    /// `contains`, `startswith` or `endswith`; otherwise the whole value.
    pub(crate) relation: Relation,
    pub(crate) kind: Kind,
    /// Whether nothing but `all` and `neq` is said, so that values keep their types.
    pub(crate) is_plain: bool,
}

/// What the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Regex { ignore_case: bool, multi_line: bool, dot_all: bool },
    Cidr,
    Compare(Comparison),
    Exists,
    FieldRef,
    Time(TimePart, Option<Comparison>),
}

/// What a modifier does, as far as others care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// `all`, `neq`: say something about the values together.
    Logic,
    Cased,
    Relation,
    Placeholders,
    Windash,
    Utf16,
    Base64,
    Regex,
    RegexFlag,
    Cidr,
    Compare,
    Exists,
    FieldRef,
    Time,
}

fn role(modifier: Modifier) -> Role {
    use Modifier as M;
    match modifier {
        M::All | M::Neq => Role::Logic,
        M::Cased => Role::Cased,
        M::Contains | M::StartsWith | M::EndsWith => Role::Relation,
        M::Expand => Role::Placeholders,
        M::Windash => Role::Windash,
        M::Utf16 | M::Utf16Le | M::Utf16Be | M::Wide => Role::Utf16,
        M::Base64 | M::Base64Offset => Role::Base64,
        M::Re => Role::Regex,
        M::IgnoreCase | M::MultiLine | M::DotAll => Role::RegexFlag,
        M::Cidr => Role::Cidr,
        M::Lt | M::Lte | M::Gt | M::Gte => Role::Compare,
        M::Exists => Role::Exists,
        M::FieldRef => Role::FieldRef,
        M::Minute | M::Hour | M::Day | M::Week | M::Month | M::Year => Role::Time,
    }
}

/// Whether two modifiers may stand in one chain. Symmetric; the same one twice may not.
fn may_stand_together(a: Role, b: Role) -> bool {
    use Role as R;
    let one_way = |a: Role, b: Role| match a {
        R::Logic => b != R::Exists,
        R::RegexFlag => matches!(b, R::Regex | R::RegexFlag | R::Placeholders),
        R::Regex | R::Cidr => b == R::Placeholders,
        R::Compare => b == R::Time,
        R::FieldRef => matches!(b, R::Relation | R::Cased),
        R::Cased | R::Relation | R::Placeholders | R::Windash | R::Utf16 => {
            matches!(
                b,
                R::Cased | R::Relation | R::Placeholders | R::Windash | R::Utf16 | R::Base64
            ) && a != b
        }
        R::Exists | R::Time | R::Base64 => false,
    };
    one_way(a, b) || one_way(b, a)
}

/// The steps that change the text, in the order in which they have to stand. `contains` and its
/// brothers may stand anywhere unless an encoding follows them.
fn step(role: Role) -> Option<u8> {
    match role {
        Role::Placeholders => Some(0),
        Role::Windash => Some(1),
        Role::Utf16 => Some(2),
        Role::Base64 => Some(3),
        _ => None,
    }
}

impl Chain {
    /// The chain that these modifiers make, or findings on why they make none.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        modifiers: &[Spanned<Modifier>],
        has_field: bool,
        key: Span,
    ) -> Option<Self> {
        for (at, second) in modifiers.iter().enumerate() {
            for first in &modifiers[..at] {
                if let Some(message) = conflict(first.node, second.node) {
                    let diagnostic = Diagnostic::error(Code::ModifierConflict, second.span)
                        .message(message)
                        .related(first.span, "stands before it");
                    reader.report(diagnostic);
                    return None;
                }
            }
        }
        let chain = Self::of(&modifiers.iter().map(|m| m.node).collect::<Vec<_>>());
        if let Some(flag) = modifiers.iter().find(|m| role(m.node) == Role::RegexFlag)
            && !matches!(chain.kind, Kind::Regex { .. })
        {
            let message = format!("modifier `{}` needs `re` before it", flag.node.as_str());
            let diagnostic = Diagnostic::error(Code::ModifierConflict, flag.span).message(message);
            reader.report(diagnostic.help(format!("write `|re|{}`", flag.node.as_str())));
            return None;
        }
        if !has_field && matches!(chain.kind, Kind::Exists | Kind::FieldRef | Kind::Time(..)) {
            reader.error(Code::ModifierConflict, key, "this modifier needs a field before it");
            return None;
        }
        Some(chain)
    }

    pub(crate) fn of(modifiers: &[Modifier]) -> Self {
        let has = |modifier: Modifier| modifiers.contains(&modifier);
        let find = |wanted: Role| modifiers.iter().copied().find(|m| role(*m) == wanted);
        let comparison = find(Role::Compare).map(|modifier| match modifier {
            Modifier::Lt => Comparison::Less,
            Modifier::Lte => Comparison::LessOrEqual,
            Modifier::Gt => Comparison::Greater,
            _ => Comparison::GreaterOrEqual,
        });
        let time = find(Role::Time).map(|modifier| match modifier {
            Modifier::Minute => TimePart::Minute,
            Modifier::Hour => TimePart::Hour,
            Modifier::Day => TimePart::Day,
            Modifier::Week => TimePart::Week,
            Modifier::Month => TimePart::Month,
            _ => TimePart::Year,
        });
        let kind = if let Some(part) = time {
            Kind::Time(part, comparison)
        } else if let Some(comparison) = comparison {
            Kind::Compare(comparison)
        } else if has(Modifier::Re) {
            Kind::Regex {
                ignore_case: has(Modifier::IgnoreCase),
                multi_line: has(Modifier::MultiLine),
                dot_all: has(Modifier::DotAll),
            }
        } else if has(Modifier::Cidr) {
            Kind::Cidr
        } else if has(Modifier::Exists) {
            Kind::Exists
        } else if has(Modifier::FieldRef) {
            Kind::FieldRef
        } else {
            Kind::Text
        };
        Self {
            is_negated: has(Modifier::Neq),
            is_all: has(Modifier::All),
            is_cased: has(Modifier::Cased),
            has_placeholders: has(Modifier::Expand),
            has_windash: has(Modifier::Windash),
            utf16: find(Role::Utf16),
            base64: find(Role::Base64),
            relation: match find(Role::Relation) {
                Some(Modifier::StartsWith) => Relation::StartsWith,
                Some(Modifier::EndsWith) => Relation::EndsWith,
                Some(_) => Relation::Contains,
                None => Relation::Equal,
            },
            kind,
            is_plain: modifiers.iter().all(|m| role(*m) == Role::Logic),
        }
    }
}

/// Why two modifiers cannot follow each other, if they cannot.
fn conflict(first: Modifier, second: Modifier) -> Option<String> {
    let (a, b) = (role(first), role(second));
    let names = (first.as_str(), second.as_str());
    if first == second {
        return Some(format!("modifier `{}` is there twice", names.0));
    }
    if a != b && !may_stand_together(a, b) || a == b && !may_repeat(a) {
        return Some(format!("modifiers `{}` and `{}` cannot stand together", names.0, names.1));
    }
    let is_late = match (step(a), step(b)) {
        (Some(a), Some(b)) => a > b,
        // The encodings take the value as it is written, without wildcards around it.
        (None, Some(2 | 3)) => a == Role::Relation,
        _ => a == Role::RegexFlag && b == Role::Regex,
    };
    is_late.then(|| format!("modifier `{}` has to stand before `{}`", names.1, names.0))
}

/// Whether two different modifiers of one role may stand together.
fn may_repeat(role: Role) -> bool {
    matches!(role, Role::Logic | Role::RegexFlag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each modifier gets on with all before it.
    fn is_legal(chain: &str) -> bool {
        let modifiers: Vec<_> =
            chain.split('|').map(|name| Modifier::from_name(name).unwrap()).collect();
        modifiers.iter().enumerate().all(|(at, second)| {
            modifiers[..at].iter().all(|first| conflict(*first, *second).is_none())
        })
    }

    #[test]
    fn chains_in_use_are_legal() {
        for chain in [
            "contains|all",
            "all|contains",
            "contains|windash",
            "contains|all|windash",
            "windash|contains",
            "base64offset|contains",
            "wide|base64offset|contains",
            "utf16|base64",
            "windash|wide|base64",
            "expand|wide|base64",
            "contains|expand",
            "expand|contains|cased",
            "contains|cased|neq",
            "re|i|m|s",
            "re|all",
            "re|i|all",
            "re|neq",
            "re|expand",
            "cidr|neq",
            "cidr|expand",
            "fieldref|startswith",
            "contains|fieldref",
            "fieldref|neq",
            "neq|fieldref|cased",
            "gt|neq",
            "gte|all",
            "hour|gte",
            "hour|neq",
        ] {
            assert!(is_legal(chain), "{chain}");
        }
    }

    #[test]
    fn other_chains_are_not() {
        for chain in [
            "contains|re",
            "re|contains",
            "contains|gt",
            "gt|lt",
            "contains|base64",
            "contains|startswith",
            "contains|contains",
            "base64|base64offset",
            "base64|wide",
            "wide|utf16",
            "base64|windash",
            "wide|expand",
            "cidr|contains",
            "cidr|re",
            "exists|all",
            "exists|neq",
            "exists|contains",
            "fieldref|re",
            "fieldref|windash",
            "i|re",
            "re|cased",
            "hour|minute",
            "hour|contains",
            "cased|gt",
        ] {
            assert!(!is_legal(chain), "{chain}");
        }
    }
}
