//! The words and signs of a condition.

/// A word or sign, and its byte range in the condition's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    And,
    Or,
    Not,
    Open,
    Close,
    /// Everything behind it is an aggregation.
    Pipe,
    Word,
}

/// Splits a text into tokens. Every text has some; whether they make sense is for others to say.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let start = at;
        at += c.len_utf8();
        let kind = match c {
            c if c.is_whitespace() => continue,
            '(' => TokenKind::Open,
            ')' => TokenKind::Close,
            '|' => TokenKind::Pipe,
            _ => {
                let is_end = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '|');
                at = text[start..].find(is_end).map_or(text.len(), |len| start + len);
                word(&text[start..at])
            }
        };
        tokens.push(Token { kind, start, end: at });
        if kind == TokenKind::Pipe {
            break;
        }
    }
    tokens
}

fn word(text: &str) -> TokenKind {
    if text.eq_ignore_ascii_case("and") {
        TokenKind::And
    } else if text.eq_ignore_ascii_case("or") {
        TokenKind::Or
    } else if text.eq_ignore_ascii_case("not") {
        TokenKind::Not
    } else {
        TokenKind::Word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs_are_told_apart() {
        use TokenKind as T;
        for (text, expected) in [
            ("", vec![]),
            (
                "  a   and(b  or c )  ",
                vec![T::Word, T::And, T::Open, T::Word, T::Or, T::Word, T::Close],
            ),
            ("NOT notepad", vec![T::Not, T::Word]),
            ("a | count() > 5", vec![T::Word, T::Pipe]),
            ("1 of sel_*", vec![T::Word, T::Word, T::Word]),
        ] {
            let kinds: Vec<_> = tokens(text).iter().map(|token| token.kind).collect();
            assert_eq!(kinds, expected, "{text}");
        }
    }
}
