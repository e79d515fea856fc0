//! Conditions: a chain of names from the right, or, mended, a tree.

use super::{NoAnswer, Quirk, Seen};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Name(String),
    /// `1 of …`, `all of …`.
    Of {
        needs_all: bool,
        count: usize,
        pattern: String,
    },
}

/// What links an identifier to those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    And,
    Or,
}

impl Seen<'_> {
    pub(super) fn condition(&self, text: &str) -> Result<bool, NoAnswer> {
        let tokens = self.tokens(text);
        if !self.mended.has(Quirk::Precedence) {
            return self.chain(&tokens);
        }
        self.any(&mut tokens.as_slice())
    }

    fn tokens(&self, text: &str) -> Vec<Token> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            if self.mended.has(Quirk::Of)
                && words.get(at).is_some_and(|of| of.eq_ignore_ascii_case("of"))
                && let Some(pattern) = words.get(at + 1)
            {
                let needs_all = word.eq_ignore_ascii_case("all");
                let count = word.parse().unwrap_or(1);
                tokens.push(Token::Of { needs_all, count, pattern: (*pattern).to_owned() });
                at += 2;
                continue;
            }
            tokens.push(match *word {
                "(" => Token::Open,
                ")" => Token::Close,
                word if word.eq_ignore_ascii_case("and") => Token::And,
                "OR" => Token::Or,
                word if word.eq_ignore_ascii_case("or") => match self.mended.has(Quirk::LowerOr) {
                    true => Token::Or,
                    false => Token::And,
                },
                word if word.eq_ignore_ascii_case("not") => Token::Not,
                word => Token::Name(word.to_owned()),
            });
        }
        tokens
    }

    /// Parentheses only separate words; two names without an operator are an or.
    fn chain(&self, tokens: &[Token]) -> Result<bool, NoAnswer> {
        let mut links: Vec<(Link, bool)> = Vec::new();
        let (mut link, mut is_negated) = (Link::Or, false);
        for token in tokens {
            match token {
                Token::Open | Token::Close => {}
                Token::And => link = Link::And,
                Token::Or => link = Link::Or,
                Token::Not => is_negated = true,
                name => {
                    let holds = self.negate(self.name(name)?, is_negated);
                    links.push((link, holds));
                    (link, is_negated) = (Link::Or, false);
                }
            }
        }
        let Some((mut link, mut holds)) = links.pop() else { return Ok(false) };
        while let Some((before, left)) = links.pop() {
            holds = match link {
                Link::And => left && holds,
                Link::Or => left || holds,
            };
            link = before;
        }
        Ok(holds)
    }

    fn negate(&self, holds: bool, is_negated: bool) -> bool {
        match (is_negated, self.mended.has(Quirk::Not)) {
            (false, _) => holds,
            (true, true) => !holds,
            (true, false) => false,
        }
    }

    fn any(&self, tokens: &mut &[Token]) -> Result<bool, NoAnswer> {
        let mut holds = self.all(tokens)?;
        while let [Token::Or, rest @ ..] = *tokens {
            *tokens = rest;
            holds |= self.all(tokens)?;
        }
        Ok(holds)
    }

    fn all(&self, tokens: &mut &[Token]) -> Result<bool, NoAnswer> {
        let mut holds = self.one(tokens)?;
        while let [Token::And, rest @ ..] = *tokens {
            *tokens = rest;
            holds &= self.one(tokens)?;
        }
        Ok(holds)
    }

    /// As deep as the rule's own condition, which the parser limits.
    fn one(&self, tokens: &mut &[Token]) -> Result<bool, NoAnswer> {
        let Some((first, rest)) = tokens.split_first() else { return Ok(false) };
        *tokens = rest;
        match first {
            Token::Not => {
                let inner = self.one(tokens)?;
                Ok(self.negate(inner, true))
            }
            Token::Open => {
                let inner = self.any(tokens)?;
                if let [Token::Close, rest @ ..] = *tokens {
                    *tokens = rest;
                }
                Ok(inner)
            }
            name => self.name(name),
        }
    }

    fn name(&self, token: &Token) -> Result<bool, NoAnswer> {
        match token {
            Token::Name(name) => match self.rule.selections.get(name) {
                Some(selection) => self.selection(selection),
                None => Ok(false),
            },
            Token::Of { needs_all, count, pattern } => {
                let is_meant = |name: &str| match pattern.strip_suffix('*') {
                    _ if pattern.eq_ignore_ascii_case("them") => !name.starts_with('_'),
                    Some(begin) if !begin.contains('*') => name.starts_with(begin),
                    _ => {
                        let mut rest = name;
                        pattern.split('*').all(|part| match rest.find(part) {
                            Some(at) => {
                                rest = &rest[at + part.len()..];
                                true
                            }
                            None => false,
                        })
                    }
                };
                let meant = self.rule.selections.iter().filter(|(name, _)| is_meant(name));
                let mut holding = Vec::new();
                for (_, selection) in meant {
                    holding.push(self.selection(selection)?);
                }
                let held = holding.iter().filter(|holds| **holds).count();
                Ok(if *needs_all { held == holding.len() && held > 0 } else { held >= *count })
            }
            _ => Ok(false),
        }
    }
}
