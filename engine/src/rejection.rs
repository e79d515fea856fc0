//! Why a record is not matched at all.

/// Why a record was refused. Each has a counter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rejection {
    /// No bytes, or white space alone.
    Empty,
    /// JSON, but not an object.
    NotAnObject,
    /// Not JSON by RFC 8259 (a leading byte order mark included); the offset of the first wrong byte.
    NotJson {
        /// Offset in bytes.
        offset: u32,
    },
    /// Not UTF-8; the offset of the first wrong byte.
    NotUtf8 {
        /// Offset in bytes.
        offset: u32,
    },
    /// Nested deeper than [`MatcherConfig::depth_max`](crate::MatcherConfig).
    TooDeep,
    /// Longer than [`MatcherConfig::record_bytes_max`](crate::MatcherConfig).
    TooLong,
}

impl Rejection {
    /// A stable name for metrics and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAnObject => "not_an_object",
            Self::NotJson { .. } => "not_json",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::TooDeep => "too_deep",
            Self::TooLong => "too_long",
        }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("empty record"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::NotJson { offset } => write!(f, "not valid JSON at byte {offset}"),
            Self::NotUtf8 { offset } => write!(f, "not UTF-8 at byte {offset}"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::TooLong => f.write_str("longer than the limit"),
        }
    }
}

impl std::error::Error for Rejection {}
