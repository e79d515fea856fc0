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

    /// Whether the finding keeps its document from being loaded.
    pub fn is_blocking(&self) -> bool {
        self.severity == Severity::Error && !self.is_loadable
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
    ($($(#[$doc:meta])* $name:ident = $code:literal, $class:literal;)*) => {
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

            /// The class in words, as stable as the code: `bad_regex`.
            pub fn class(self) -> &'static str {
                match self { $(Self::$name => $class,)* }
            }
        }
    };
}

codes! {
    /// The document is not YAML.
    YamlSyntax = "SM0001", "yaml_syntax";
    /// The text is not UTF-8, or holds a NUL character.
    Encoding = "SM0002", "encoding";
    /// The text holds no document.
    EmptyDocument = "SM0003", "empty_document";
    /// A mapping has the same key twice.
    DuplicateKey = "SM0004", "duplicate_key";
    /// Collections or conditions are nested too deeply.
    LimitDepth = "SM0005", "limit_depth";
    /// Aliases repeat too much of the document.
    LimitAlias = "SM0006", "limit_alias";
    /// The text holds too many values.
    LimitNodes = "SM0007", "limit_nodes";

    /// A mandatory attribute is missing.
    MissingField = "SM0101", "missing_field";
    /// A value has the wrong type: a map where a text is expected.
    TypeError = "SM0102", "type_error";
    /// A text is too long, or a value out of its range.
    ValueRange = "SM0103", "value_range";
    /// A date that is not `YYYY-MM-DD`, or not in the calendar.
    BadDate = "SM0104", "bad_date";
    /// A word that is not among those allowed.
    BadEnum = "SM0105", "bad_enum";
    /// An id that is not a UUID.
    BadId = "SM0106", "bad_id";
    /// A tag that is not `namespace.name`.
    BadTag = "SM0107", "bad_tag";
    /// `action` of a rule collection is not `global`, `reset` or `repeat`.
    BadAction = "SM0108", "bad_action";
    /// A tag of a fixed namespace with a value that does not exist.
    UnknownTag = "SM0109", "unknown_tag";
    /// A log source that no published rule uses.
    UnknownLogsource = "SM0110", "unknown_logsource";

    /// A selection that asks for nothing.
    EmptyDetection = "SM0201", "empty_detection";
    /// `null` in a list of values.
    NullInList = "SM0202", "null_in_list";
    /// A modifier that does not exist.
    UnknownModifier = "SM0203", "unknown_modifier";
    /// A modifier that cannot work on this value.
    ModifierValue = "SM0204", "modifier_value";
    /// Modifiers that cannot stand together, or not in this order.
    ModifierConflict = "SM0205", "modifier_conflict";
    /// A regular expression that cannot be read, or uses what has no linear-time meaning.
    BadRegex = "SM0206", "bad_regex";
    /// A regular expression that grows too large when compiled.
    LimitRegex = "SM0207", "limit_regex";
    /// A value that is not an IP network.
    BadCidr = "SM0208", "bad_cidr";
    /// A placeholder without a value.
    PlaceholderUnresolved = "SM0209", "placeholder_unresolved";
    /// A modifier under a name that other tools do not know.
    ModifierAlias = "SM0210", "modifier_alias";
    /// A value whose modifiers make too many alternatives of it.
    LimitAlternatives = "SM0211", "limit_alternatives";
    /// A wildcard without effect, or with another than it seems.
    Wildcard = "SM0213", "wildcard";

    /// A condition that cannot be read.
    ConditionSyntax = "SM0301", "condition_syntax";
    /// A condition names a selection that does not exist.
    ConditionUnknownIdentifier = "SM0302", "condition_unknown_identifier";
    /// A condition with an aggregation behind a pipe.
    ConditionObsolete = "SM0303", "condition_obsolete";
    /// A selection that no condition uses.
    UnreferencedSelection = "SM0304", "unreferenced_selection";
    /// A condition that never holds.
    NeverMatches = "SM0305", "never_matches";
    /// A condition that always holds.
    AlwaysMatches = "SM0306", "always_matches";

    /// A correlation of a type that does not exist.
    CorrelationType = "SM0401", "correlation_type";
    /// A correlation or filter names a rule that does not exist.
    CorrelationReference = "SM0402", "correlation_reference";
    /// A timespan that is not a number and a unit.
    CorrelationTimespan = "SM0403", "correlation_timespan";
    /// A correlation's condition that cannot be read.
    CorrelationCondition = "SM0404", "correlation_condition";
    /// Correlations that refer to each other in a circle.
    CorrelationCycle = "SM0405", "correlation_cycle";

    /// A transformation or condition of a pipeline whose type is missing or does not exist.
    PipelineType = "SM0501", "pipeline_type";
    /// An option of a pipeline that is missing, unknown, or has a value that it cannot have.
    PipelineOption = "SM0502", "pipeline_option";
    /// A part of a pipeline that only shapes query text.
    PipelineNoEffect = "SM0503", "pipeline_no_effect";
    /// A transformation that would reach beyond the pipeline.
    PipelineRefused = "SM0504", "pipeline_refused";
    /// A rule that a pipeline refuses.
    PipelineFailure = "SM0505", "pipeline_failure";
}
