//! Scalars: their text, how they were written, and the type that their spelling gives them.

/// A scalar as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, with YAML's quotes, escapes and line folds taken away.
    pub text: String,
    /// How it was written.
    pub style: Style,
    /// Its tag, if it has one: `tag:yaml.org,2002:str` for `!!str`.
    pub tag: Option<String>,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes; the only style whose spelling decides its type.
    Plain,
    /// `'…'`
    SingleQuoted,
    /// `"…"`
    DoubleQuoted,
    /// `|` or `>`
    Block,
}

/// The type of a scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A decimal number in JSON's spelling.
    Number(String),
    /// Everything else.
    Text,
}

impl Scalar {
    /// The type of the scalar.
    ///
    /// Quoted and block scalars are texts. A plain scalar is
    /// - null: empty, `~`, `null`, `Null`, `NULL`;
    /// - a boolean: `true`, `false` and their capitalised forms. YAML 1.1's `yes`, `no`, `on` and `off`
    ///   are *texts*, as in YAML 1.2, which the Sigma specification names: they are words that events
    ///   hold. Where only a boolean can be meant (`exists`, `generate`), [`Scalar::as_switch`] reads them;
    /// - a number: decimal integers and fractions, with exponent, and YAML 1.1's `0x1F`, `0777`, `0b101`,
    ///   `0o17` and `1_000`. A number keeps its spelling unless JSON has no such spelling: `0x1F` is
    ///   `31`, `0777` is `511`, `.5` is `0.5`, `+1` is `1`;
    /// - a text otherwise: dates, times (`1:30` is no sexagesimal number), addresses, `.inf`, `.nan`.
    pub fn resolve(&self) -> Resolved {
        match self.tag.as_deref().and_then(|tag| tag.strip_prefix("tag:yaml.org,2002:")) {
            Some("str" | "binary" | "timestamp") => return Resolved::Text,
            Some("null") => return Resolved::Null,
            Some("bool") => return self.as_switch().map_or(Resolved::Text, Resolved::Bool),
            Some("int" | "float") => {
                return number(&self.text).map_or(Resolved::Text, Resolved::Number);
            }
            _ => {}
        }
        if self.style != Style::Plain {
            return Resolved::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Resolved::Null,
            "true" | "True" | "TRUE" => Resolved::Bool(true),
            "false" | "False" | "FALSE" => Resolved::Bool(false),
            text => number(text).map_or(Resolved::Text, Resolved::Number),
        }
    }

    /// The scalar as a switch: any of YAML 1.1's words for true and false, quoted or not.
    pub fn as_switch(&self) -> Option<bool> {
        match self.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

/// The number that a plain text spells, in JSON's spelling.
pub(crate) fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let plain = without_separators(digits)?;
    let magnitude = based(&plain).or_else(|| decimal(&plain))?;
    let sign = if magnitude == "0" { "" } else { sign };
    Some(format!("{sign}{magnitude}"))
}

/// The digits without YAML 1.1's `_`, which may stand between digits only.
fn without_separators(digits: &str) -> Option<String> {
    if !digits.contains('_') {
        return Some(digits.to_owned());
    }
    let is_between = |at: usize| {
        let (before, after) = (digits[..at].chars().last(), digits[at + 1..].chars().next());
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_hexdigit() || c == '_');
        is_digit(before) && is_digit(after)
    };
    let all = digits.bytes().enumerate().filter(|(_, b)| *b == b'_').all(|(at, _)| is_between(at));
    all.then(|| digits.replace('_', ""))
}

/// Hexadecimal, octal and binary integers, in decimal.
fn based(digits: &str) -> Option<String> {
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] if digits.bytes().all(|b| b.is_ascii_digit()) => (8, &digits[1..]),
        _ => return None,
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    u128::from_str_radix(digits, base).ok().map(|value| value.to_string())
}

/// A decimal number: digits with an optional fraction and exponent.
fn decimal(digits: &str) -> Option<String> {
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction.unwrap_or("")) {
        return None;
    }
    if whole.is_empty() && fraction.is_none_or(str::is_empty) {
        return None;
    }
    // `08` and `00.5` are no numbers in YAML 1.1 or JSON.
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    let mut number = if whole.is_empty() { "0".to_owned() } else { whole.to_owned() };
    if let Some(fraction) = fraction.filter(|fraction| !fraction.is_empty()) {
        number.push('.');
        number.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if power.is_empty() || !is_digits(power) {
            return None;
        }
        number.push('e');
        number.push_str(exponent);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_type_of_their_spelling() {
        let number = |text: &str| Resolved::Number(text.to_owned());
        for (text, expected) in [
            ("", Resolved::Null),
            ("~", Resolved::Null),
            ("null", Resolved::Null),
            ("NULL", Resolved::Null),
            ("nUll", Resolved::Text),
            ("true", Resolved::Bool(true)),
            ("False", Resolved::Bool(false)),
            ("yes", Resolved::Text),
            ("off", Resolved::Text),
            ("0", number("0")),
            ("-0", number("0")),
            ("4624", number("4624")),
            ("-1", number("-1")),
            ("+12", number("12")),
            ("0x1F", number("31")),
            ("-0x10", number("-16")),
            ("0777", number("511")),
            ("0o17", number("15")),
            ("0b101", number("5")),
            ("08", Resolved::Text),
            ("007", number("7")),
            ("1_000", number("1000")),
            ("1_", Resolved::Text),
            ("_1", Resolved::Text),
            ("1.10", number("1.10")),
            (".5", number("0.5")),
            ("1.", number("1")),
            ("1e3", number("1e3")),
            ("1.5E-3", number("1.5e-3")),
            ("1e", Resolved::Text),
            (".", Resolved::Text),
            ("-", Resolved::Text),
            ("0x", Resolved::Text),
            ("0x+1", Resolved::Text),
            ("1.2.3", Resolved::Text),
            ("1:30", Resolved::Text),
            ("2023-01-01", Resolved::Text),
            (".inf", Resolved::Text),
            ("12345678901234567890123", number("12345678901234567890123")),
        ] {
            let scalar = Scalar { text: text.into(), style: Style::Plain, tag: None };
            assert_eq!(scalar.resolve(), expected, "{text}");
            let quoted = Scalar { style: Style::SingleQuoted, ..scalar };
            assert_eq!(quoted.resolve(), Resolved::Text, "quoted {text}");
        }
    }

    #[test]
    fn tags_decide_over_the_spelling() {
        let tagged = |text: &str, tag: &str| Scalar {
            text: text.into(),
            style: Style::Plain,
            tag: Some(format!("tag:yaml.org,2002:{tag}")),
        };
        assert_eq!(tagged("5", "str").resolve(), Resolved::Text);
        assert_eq!(tagged("yes", "bool").resolve(), Resolved::Bool(true));
        assert_eq!(tagged("5", "int").resolve(), Resolved::Number("5".into()));
    }

    #[test]
    fn switches_know_the_words_of_yaml_1_1() {
        for (text, expected) in
            [("Yes", Some(true)), ("off", Some(false)), ("true", Some(true)), ("1", None)]
        {
            let scalar = Scalar { text: text.into(), style: Style::Plain, tag: None };
            assert_eq!(scalar.as_switch(), expected, "{text}");
        }
    }
}
