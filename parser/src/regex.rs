//! Values under `re`: PCRE as rules use it, checked and brought into the syntax of `regex-syntax`.
//!
//! The specification allows PCRE's regular part. What is spelled otherwise here and there is
//! rewritten (`[[]`, `\<`, `a{`); what has no linear-time meaning (look-around, back references,
//! possessive quantifiers) is refused with its place. Sizes are bounded before anything is compiled.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::diagnostic::Code;
use crate::predicate::Regex;

/// The greatest size of an expression, in states of a simple automaton, repetitions written out.
const SIZE_MAX: u64 = 200_000;

/// What is wrong with an expression, and where in its text.
#[derive(Debug)]
pub(crate) struct RegexFault {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether backtracking may give the expression a meaning.
    pub(crate) needs_backtracking: bool,
}

/// Checks an expression and returns it in the syntax of `regex-syntax`.
pub(crate) fn check(regex: &Regex) -> Result<Regex, RegexFault> {
    let rewritten = rewrite(&regex.pattern);
    let hir = ParserBuilder::new()
        .case_insensitive(regex.ignore_case)
        .multi_line(regex.multi_line)
        .dot_matches_new_line(regex.dot_all)
        .nest_limit(200)
        .build()
        .parse(&rewritten.text);
    if let Some(at) = rewritten.possessive {
        return Err(RegexFault {
            code: Code::BadRegex,
            message: "regular expression: possessive quantifiers are not supported".to_owned(),
            start: at.saturating_sub(1),
            end: at + 1,
            needs_backtracking: true,
        });
    }
    let hir = hir.map_err(|error| rewritten.fault(&error))?;
    if size(&hir) > SIZE_MAX {
        return Err(RegexFault {
            code: Code::LimitRegex,
            message: "the regular expression grows too large: its repetitions multiply".to_owned(),
            start: 0,
            end: regex.pattern.len(),
            needs_backtracking: false,
        });
    }
    Ok(Regex { pattern: rewritten.text, ..regex.clone() })
}

/// A rewritten expression and where its bytes come from.
struct Rewritten {
    text: String,
    /// Offsets in `text` behind which everything has moved by one more byte.
    inserted: Vec<usize>,
    source_len: usize,
    /// Where in the source the first possessive quantifier has its sign.
    possessive: Option<usize>,
}

impl Rewritten {
    fn source_offset(&self, offset: usize) -> usize {
        let before = self.inserted.iter().filter(|at| **at < offset).count();
        (offset - before).min(self.source_len)
    }

    fn fault(&self, error: &regex_syntax::Error) -> RegexFault {
        let (message, start, end, is_limit) = match error {
            regex_syntax::Error::Parse(error) => {
                let kind = error.kind();
                let is_limit = matches!(kind, regex_syntax::ast::ErrorKind::NestLimitExceeded(_));
                let span = error.span();
                (kind.to_string(), span.start.offset, span.end.offset, is_limit)
            }
            regex_syntax::Error::Translate(error) => {
                let span = error.span();
                (error.kind().to_string(), span.start.offset, span.end.offset, false)
            }
            other => (other.to_string(), 0, self.text.len(), false),
        };
        RegexFault {
            code: if is_limit { Code::LimitRegex } else { Code::BadRegex },
            message: format!("regular expression: {}", message.to_lowercase()),
            start: self.source_offset(start),
            // An operator without an operand has an empty place; show the operator.
            end: self.source_offset(end.max(start + 1)),
            needs_backtracking: matches!(error, regex_syntax::Error::Parse(error) if is_beyond(error.kind())),
        }
    }
}

/// What may be an expression of PCRE that has no linear-time meaning: look-around, back references, atomic
/// groups, conditions, further escapes.
fn is_beyond(kind: &regex_syntax::ast::ErrorKind) -> bool {
    use regex_syntax::ast::ErrorKind as K;
    matches!(
        kind,
        K::UnsupportedLookAround
            | K::UnsupportedBackreference
            | K::FlagUnrecognized
            | K::EscapeUnrecognized
    )
}

/// The expression for a backtracking search, with its flags in it, respelled as [`check`] does.
pub(crate) fn respelled(regex: &Regex) -> String {
    let flags = [(regex.ignore_case, 'i'), (regex.multi_line, 'm'), (regex.dot_all, 's')];
    let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect();
    let text = rewrite(&regex.pattern).text;
    if flags.is_empty() { text } else { format!("(?{flags}){text}") }
}

/// Respells what PCRE and `regex-syntax` read differently.
fn rewrite(pattern: &str) -> Rewritten {
    let mut out = Rewritten {
        text: String::with_capacity(pattern.len()),
        inserted: Vec::new(),
        source_len: pattern.len(),
        possessive: None,
    };
    let mut class = Bracket::Outside;
    // Whether the last thing was a quantifier, so that a further `+` makes it possessive.
    let mut is_quantified = false;
    let mut chars = pattern.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let rest = &pattern[at..];
        let was_quantified = std::mem::take(&mut is_quantified);
        match (class, c) {
            (_, '\\') => {
                let next = chars.next().map(|(_, next)| next);
                match next {
                    // Word edges in `regex-syntax`, plain characters in PCRE.
                    Some(plain @ ('<' | '>')) => {
                        out.text.push_str(if plain == '<' { "[<]" } else { "[>]" });
                        out.inserted.push(out.text.len() - 1);
                    }
                    Some(next) => {
                        out.text.extend(['\\', next]);
                        // `\p{L}`, `\x{41}`: the braces are no quantifier.
                        let has_braces = "pPxuU".contains(next) && rest[2..].starts_with('{');
                        while has_braces && let Some((_, c)) = chars.next() {
                            out.text.push(c);
                            if c == '}' {
                                break;
                            }
                        }
                    }
                    None => out.text.push('\\'),
                }
                class = class.inside();
                continue;
            }
            (Bracket::Outside, '[') => {
                out.text.push('[');
                if rest.starts_with("[^") {
                    chars.next();
                    out.text.push('^');
                }
                class = Bracket::Start;
                continue;
            }
            (Bracket::Outside, '{') if quantifier(rest).is_none() => out.escape('{'),
            (Bracket::Outside, '{') => {
                let len = quantifier(rest).unwrap_or(1);
                let text = &rest[..len];
                // `{,n}` is `{0,n}` in recent PCRE and in Python.
                out.text.push_str(text);
                for _ in 1..text.chars().count() {
                    chars.next();
                }
                is_quantified = true;
            }
            (Bracket::Outside, '+') if was_quantified => {
                out.possessive = out.possessive.or(Some(at));
                out.text.push(c);
            }
            (Bracket::Outside, '*' | '+' | '?') => {
                out.text.push(c);
                // `??`, `*?` and `+?` are lazy; nothing possessive can follow them.
                is_quantified = !was_quantified;
            }
            (Bracket::Outside, _) => out.text.push(c),
            (Bracket::Inside, ']') => {
                out.text.push(']');
                class = Bracket::Outside;
                continue;
            }
            (_, '[') if !rest.starts_with("[:") => out.escape('['),
            (_, '[') => {
                // A named class such as `[:alpha:]`, which is closed by `:]`.
                let len = rest.find(":]").map_or(1, |end| end + 2);
                out.text.push_str(&rest[..len]);
                for _ in 1..rest[..len].chars().count() {
                    chars.next();
                }
            }
            // Set operations in `regex-syntax`.
            (_, '&' | '~') => out.escape(c),
            (Bracket::Inside, '-') if rest.starts_with("--") => out.escape('-'),
            (_, _) => out.text.push(c),
        }
        class = class.inside();
    }
    out
}

impl Rewritten {
    /// Writes a character that is to be taken as itself.
    fn escape(&mut self, c: char) {
        self.inserted.push(self.text.len());
        self.text.push('\\');
        self.text.push(c);
    }
}

/// Where in a bracketed class the text is.
#[derive(Clone, Copy, PartialEq)]
enum Bracket {
    Outside,
    /// Just behind `[` or `[^`, where `]` is a plain character.
    Start,
    Inside,
}

impl Bracket {
    fn inside(self) -> Self {
        if self == Self::Start { Self::Inside } else { self }
    }
}

/// The length of `{n}`, `{n,}` or `{n,m}` at the start of the text.
fn quantifier(text: &str) -> Option<usize> {
    let end = text.find('}')?;
    let (min, max) = text[1..end].split_once(',').unwrap_or((&text[1..end], ""));
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    (!min.is_empty() && is_number(min) && is_number(max)).then_some(end + 1)
}

/// How many states a simple automaton of the expression would have.
fn size(hir: &Hir) -> u64 {
    // The nest limit of the parser bounds this recursion.
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) => 1 + class.ranges().len() as u64 / 8,
        HirKind::Class(Class::Bytes(class)) => 1 + class.ranges().len() as u64 / 8,
        HirKind::Capture(capture) => size(&capture.sub).saturating_add(2),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            size(&repetition.sub).saturating_add(1).saturating_mul(u64::from(times))
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(size).fold(1, u64::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(pattern: &str) -> Result<String, RegexFault> {
        let regex = Regex {
            pattern: pattern.into(),
            ignore_case: false,
            multi_line: false,
            dot_all: false,
        };
        check(&regex).map(|regex| regex.pattern)
    }

    #[test]
    fn expressions_are_respelled_where_pcre_differs() {
        for (pattern, expected) in [
            ("ab+c", "ab+c"),
            (r"C:\\Users\\x\.exe", r"C:\\Users\\x\.exe"),
            ("(?<n>a)(?P<m>b)", "(?<n>a)(?P<m>b)"),
            ("[^[]", r"[^\[]"),
            (r"\p{L}\x{41}", r"\p{L}\x{41}"),
            ("[]a]", "[]a]"),
            ("[a&&b]", r"[a\&\&b]"),
            ("[[:alpha:]_]", "[[:alpha:]_]"),
            ("a{b", r"a\{b"),
            ("{foo}", r"\{foo}"),
            ("a{2,3}", "a{2,3}"),
            (r"\<b\>", "[<]b[>]"),
            ("a+?b*?c??", "a+?b*?c??"),
        ] {
            assert_eq!(checked(pattern).unwrap(), expected, "{pattern}");
        }
    }

    #[test]
    fn faults_have_their_code_and_place() {
        for (pattern, code, part) in [
            ("(abc", Code::BadRegex, "("),
            ("[z-a]", Code::BadRegex, "z-a"),
            ("*abc", Code::BadRegex, "*"),
            ("x(?=a)", Code::BadRegex, "(?="),
            ("x(?<!a)b", Code::BadRegex, "(?<!"),
            (r"(a)\1", Code::BadRegex, r"\1"),
            ("a++b", Code::BadRegex, "++"),
            (r"[[]x(?!b)", Code::BadRegex, "(?!"),
            ("((((a{1,1000}){1,1000}){1,1000}){1,1000})", Code::LimitRegex, "((((a"),
        ] {
            let fault = checked(pattern).unwrap_err();
            assert_eq!(fault.code, code, "{pattern}");
            assert!(pattern[fault.start..fault.end].starts_with(part), "{pattern}: {fault:?}");
        }
        let nested = format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000));
        assert_eq!(checked(&nested).unwrap_err().code, Code::LimitRegex);
    }
}
