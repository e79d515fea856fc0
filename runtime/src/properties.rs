//! Reads Java properties text: the syntax of the settings files.
//!
//! In: the bytes of a file. Out: the entries in order, each with the line it starts on. The syntax is
//! `java.util.Properties`': `key=value`, `key: value` or `key value`; `#` and `!` begin a comment; an
//! odd number of backslashes at the end of a line joins the next one; `\t \n \r \f` and `\uXXXX` are
//! escapes, any other escaped character stands for itself. Bytes that are not UTF-8 are read as
//! ISO-8859-1, the encoding of older Java. A key that is given twice: the last one counts.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file, on this line (from 1).
    File {
        /// The file.
        path: PathBuf,
        /// The line the entry begins on.
        line: usize,
    },
    /// In an environment variable of this name.
    Environment(String),
    /// Given by the caller: an argument, a prompt, a test.
    Given(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Given(by) => f.write_str(by),
        }
    }
}

/// One setting as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Its value, unescaped, without white space in front.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

/// Settings as written: the last entry of each key, in the order of their places.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<Entry>,
}

impl fmt::Debug for Properties {
    /// Names alone: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.key)).finish()
    }
}

impl Properties {
    /// Reads the text of the file `path`.
    pub fn parse(bytes: &[u8], path: &Path) -> Self {
        let text = decode(bytes);
        let mut properties = Self::default();
        for (line, logical) in logical_lines(&text) {
            let (key, value) = split(&logical);
            properties.put(Entry {
                key,
                value,
                origin: Origin::File { path: path.to_owned(), line },
            });
        }
        properties
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parse(&std::fs::read(path)?, path))
    }

    /// Sets a key, in place of what was there.
    pub fn set(&mut self, key: &str, value: &str, by: &'static str) {
        let entry = Entry { key: key.into(), value: value.into(), origin: Origin::Given(by) };
        self.put(entry);
    }

    /// Takes a key away.
    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key);
    }

    /// Takes over the environment variables that are settings, in place of what was there: a name in lower
    /// case, where `_` stands for `.` (`data_topic`, `sasl_jaas_config`). Others are none of ours.
    pub fn take_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables.into_iter().filter(|(name, _)| is_setting_variable(name)) {
            let key = name.replace('_', ".");
            self.put(Entry { key, value, origin: Origin::Environment(name) });
        }
    }

    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    fn put(&mut self, entry: Entry) {
        self.entries.retain(|old| old.key != entry.key);
        self.entries.push(entry);
    }
}

/// Whether a variable is meant as a setting. Lower-case variables that are not are those of proxies.
fn is_setting_variable(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let mut words = name.split(['_', '.']);
    name.contains(['_', '.'])
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && words.all(is_word)
        && !name.ends_with("_proxy")
}

fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The lines that say something, with continuations joined, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    // A file may end its lines as Windows, Unix or old Macs do.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (at, line) in text.split('\n').enumerate() {
        let line = line.trim_start_matches(is_space);
        let (first, mut logical) = match open.take() {
            Some(begun) => begun,
            None if line.is_empty() || line.starts_with(['#', '!']) => continue,
            None => (at + 1, String::new()),
        };
        let slashes = line.len() - line.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            logical.push_str(&line[..line.len() - 1]);
            open = Some((first, logical));
        } else {
            logical.push_str(line);
            lines.push((first, logical));
        }
    }
    // A backslash at the very end continues with nothing.
    lines.extend(open.filter(|(_, logical)| !logical.is_empty()));
    lines
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0C')
}

fn split(logical: &str) -> (String, String) {
    let mut is_escaped = false;
    let mut end = logical.len();
    for (at, c) in logical.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '=' | ':' => {
                end = at;
                break;
            }
            c if is_space(c) => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    let rest = logical[end..].trim_start_matches(is_space);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_space);
    (unescape(&logical[..end]), unescape(rest))
}

fn unescape(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut utf16 = [0; 2];
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0C',
                Some('u') => match hex4(chars.as_str()) {
                    Some(unit) => {
                        // Units, not characters: a pair of escapes may spell one character.
                        units.push(unit);
                        chars = chars.as_str()[4..].chars();
                        continue;
                    }
                    None => 'u',
                },
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(c.encode_utf16(&mut utf16));
    }
    String::from_utf16_lossy(&units)
}

fn hex4(text: &str) -> Option<u16> {
    let digits = text.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &[(&str, &str, usize)]) {
        let properties = Properties::parse(text, Path::new("a.properties"));
        let found: Vec<_> = properties
            .iter()
            .map(|entry| match &entry.origin {
                Origin::File { line, .. } => (entry.key.as_str(), entry.value.as_str(), *line),
                _ => panic!("not from the file"),
            })
            .collect();
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn separators_and_spaces() {
        check(
            b"a=1\nb: 2\nc 3\n  d \t=  4 \ne\n",
            &[("a", "1", 1), ("b", "2", 2), ("c", "3", 3), ("d", "4 ", 4), ("e", "", 5)],
        );
        check(b"url=http://h:8081?a=b", &[("url", "http://h:8081?a=b", 1)]);
        check(b"a b\\:c = d", &[("a", "b:c = d", 1)]);
        check(b"a\\ b\\=c=d", &[("a b=c", "d", 1)]);
    }

    #[test]
    fn comments_and_blank_lines() {
        check(b"# c\n! c\n\n   # c\r\na=1 # no comment\r\n", &[("a", "1 # no comment", 5)]);
    }

    #[test]
    fn continuations() {
        check(
            b"a=1,\\\n   2,\\\n# 3\nb=4\\\\\nc=5\\\n",
            &[("a", "1,2,# 3", 1), ("b", "4\\", 4), ("c", "5", 5)],
        );
    }

    #[test]
    fn escapes() {
        check(b"a=\\t\\u00e4\\uD83D\\uDE00\\q\\u12", &[("a", "\t\u{e4}\u{1F600}qu12", 1)]);
        check(b"p=C:\\\\dir", &[("p", "C:\\dir", 1)]);
    }

    #[test]
    fn encodings() {
        check("a=ä".as_bytes(), &[("a", "ä", 1)]);
        check(b"a=\xE4", &[("a", "ä", 1)]);
        check(b"\xEF\xBB\xBFa=1", &[("a", "1", 1)]);
    }

    #[test]
    fn the_last_of_a_key_counts_and_values_are_not_shown() {
        check(b"a=1\nb=2\na=3", &[("b", "2", 2), ("a", "3", 3)]);
        let properties = Properties::parse(b"sasl.password=geheim", Path::new("x"));
        assert_eq!(format!("{properties:?}"), r#"["sasl.password"]"#);
    }

    #[test]
    fn the_environment_wins_and_is_read_by_name() {
        let mut properties = Properties::parse(b"data.topic=a\noutput.topic=b", Path::new("x"));
        let variables = [
            ("data_topic", "dns"),
            ("sigma_rule_filter_service", "cisco:asa"),
            ("enable.auto.commit", "true"),
            ("http_proxy", "p"),
            ("container", "docker"),
            ("KAFKA_HEAP_OPTS", "-Xmx1g"),
            ("_", "/bin/env"),
            ("a__b", "1"),
        ];
        properties.take_environment(variables.map(|(name, value)| (name.into(), value.into())));
        let found: Vec<_> =
            properties.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        let expected = [
            ("output.topic", "b"),
            ("data.topic", "dns"),
            ("sigma.rule.filter.service", "cisco:asa"),
            ("enable.auto.commit", "true"),
        ];
        assert_eq!(found, expected);
        let origin = properties.get("data.topic").unwrap().origin.to_string();
        assert_eq!(origin, "environment variable data_topic");
    }
}
