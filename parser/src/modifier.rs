//! The names of the field modifiers.

use crate::suggest::nearest;

macro_rules! modifiers {
    ($($variant:ident = $name:literal,)*) => {
        /// A field modifier of Sigma 2.1.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Modifier { $($variant,)* }

        impl Modifier {
            /// Every modifier.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in a rule.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

modifiers! {
    All = "all",
    StartsWith = "startswith",
    EndsWith = "endswith",
    Contains = "contains",
    Exists = "exists",
    Cased = "cased",
    Neq = "neq",
    Windash = "windash",
    Re = "re",
    IgnoreCase = "i",
    MultiLine = "m",
    DotAll = "s",
    Base64 = "base64",
    Base64Offset = "base64offset",
    Utf16Le = "utf16le",
    Utf16Be = "utf16be",
    Utf16 = "utf16",
    Wide = "wide",
    Lt = "lt",
    Lte = "lte",
    Gt = "gt",
    Gte = "gte",
    Cidr = "cidr",
    Expand = "expand",
    FieldRef = "fieldref",
    Minute = "minute",
    Hour = "hour",
    Day = "day",
    Week = "week",
    Month = "month",
    Year = "year",
}

/// Names that Confluent Sigma has for modifiers of the specification.
const ALIASES: [(&str, Modifier); 3] = [
    ("beginswith", Modifier::StartsWith),
    ("greater_than", Modifier::Gt),
    ("less_than", Modifier::Lt),
];

impl Modifier {
    /// The modifier of that name; names are written in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|modifier| modifier.as_str() == name)
    }

    /// The modifier that Confluent Sigma has under another name.
    pub(crate) fn from_alias(name: &str) -> Option<Self> {
        ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, modifier)| *modifier)
    }

    /// The name that a wrong one was probably meant to be.
    pub(crate) fn suggest(name: &str) -> Option<&'static str> {
        nearest(name, Self::ALL.iter().map(|modifier| modifier.as_str()))
    }
}
