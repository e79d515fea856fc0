//! Diagnostics as plain data: what is wrong, where, how bad, and what to do about it.
//!
//! Rendering (terminal, JSON, editors) happens outside this crate.

use crate::span::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Legal, but likely not meant.
    Warning,
    /// The specification forbids it.
    Error,
}

/// One finding about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// In lower case, without a full stop; quotes the offending text.
    pub message: String,
    /// Where.
    pub span: Span,
    /// Other places that matter, with a word on each.
    pub related: Vec<(Span, String)>,
    /// What to do.
    pub help: Option<String>,
    /// The rule is loaded all the same (a warning for `match` and `run`, whatever `lint` calls it).
    pub is_loadable: bool,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: Code, span: Span) -> Self {
        Self::new(code, Severity::Error, span)
    }

    /// A warning at `span`.
    pub fn warning(code: Code, span: Span) -> Self {
        Self { is_loadable: true, ..Self::new(code, Severity::Warning, span) }
    }

    fn new(code: Code, severity: Severity, span: Span) -> Self {
        Self {
            code,
            severity,
            message: String::new(),
            span,
            related: Vec::new(),
            help: None,
            is_loadable: false,
        }
    }

    /// Sets the message.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Sets the help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a related place.
    #[must_use]
    pub fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push((span, message.into()));
        self
    }

    /// The rule loads all the same.
    #[must_use]
    pub fn loadable(mut self) -> Self {
        self.is_loadable = true;
        self
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// The stable codes, listed in `docs/reference/diagnostics.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as printed.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

codes! {
    /// The document is not YAML.
    YamlSyntax = "SM0001",
}
