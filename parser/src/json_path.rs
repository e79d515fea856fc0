//! Field names that are paths into a record: JSONPath as rules and mappings use it.
//!
//! In: a field name as a rule or a field-mapping file has it. Out: the steps to take, or why the path has
//! no meaning here. Read are keys (`$.a.b`, `$['a']['b.c']`, `$['a','b']`), elements (`[*]`, `[0]`, `[-1]`, `[0,2]`,
//! `[1:3]`), all members (`.*`), a search at any depth (`..a`), and filters (`[?(@.x == 'y' && !@.z)]`). Functions
//! and scripts are refused.
//!
//! A path of keys alone ([`JsonPath::keys`]) names one place; arrays on its way stand for their elements,
//! so that `[*]` behind a key says nothing new there. All others are walked step by step.

mod filter;

/// A path: what to do from the record on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    /// At least one.
    pub steps: Vec<PathStep>,
}

/// One step, from values to values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// The member of that key; of an array the members of its elements.
    Key(String),
    /// The members of these keys.
    Keys(Vec<String>),
    /// The elements of arrays; all else as it is.
    Elements,
    /// All members and elements.
    Wildcard,
    /// Elements by their number, from the end if negative.
    Indices(Vec<i64>),
    /// Elements from a number on up to another, both from the end if negative.
    Slice {
        /// The first.
        from: Option<i64>,
        /// The one behind the last.
        to: Option<i64>,
        /// Every so many, at least 1.
        stride: u64,
    },
    /// The values themselves and everything inside of them.
    Descend,
    /// Elements of arrays, and objects themselves, for which it holds.
    Filter(PathFilter),
}

/// What a filter asks of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathFilter {
    /// The path leads somewhere.
    Exists(Vec<PathStep>),
    /// A value that the path leads to relates so to a literal.
    Compare {
        /// From the value on.
        path: Vec<PathStep>,
        /// How.
        relation: PathRelation,
        /// The literal.
        literal: PathLiteral,
    },
    /// It does not hold.
    Not(Box<PathFilter>),
    /// All hold.
    All(Vec<PathFilter>),
    /// Any holds.
    Any(Vec<PathFilter>),
}

/// How a value relates to a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum PathRelation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A literal of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum PathLiteral {
    Text(String),
    /// As spelled.
    Number(String),
    Bool(bool),
    Null,
}

/// What stands in a key without quotes behind a backslash only. Before others, a backslash is itself.
const ESCAPED: [char; 5] = ['\\', '.', '[', '*', '('];

/// More steps, or parts of filters, than this are refused.
const PARTS_MAX: usize = 64;

impl JsonPath {
    /// Reads a field name. `None`: it is a plain name, which may hold dots and even begin with a dollar.
    ///
    /// # Errors
    /// It is a path, but not one of those that are read; the text says why.
    pub fn parse(name: &str) -> Option<Result<Self, String>> {
        let is_path = name.starts_with("$.") || name.starts_with("$[");
        is_path.then(|| read(&name[1..]).map_err(|why| format!("the path `{name}` {why}")))
    }

    /// The keys from the record inwards, if there is nothing else in the path, and none of them is empty.
    pub fn keys(&self) -> Option<Vec<&str>> {
        let mut keys = Vec::new();
        for step in &self.steps {
            match step {
                PathStep::Key(key) if !key.is_empty() => keys.push(key.as_str()),
                // Arrays stand for their elements anyway; the record itself is none.
                PathStep::Elements if !keys.is_empty() => {}
                _ => return None,
            }
        }
        Some(keys)
    }

    /// A path of keys with one dot between two, and a backslash before what would have a meaning in a key. It is
    /// read as this path again, and no other path is spelled like it.
    pub fn to_text(&self) -> Option<String> {
        let mut text = "$".to_owned();
        for key in self.keys()? {
            text.push('.');
            for c in key.chars() {
                if ESCAPED.contains(&c) {
                    text.push('\\');
                }
                text.push(c);
            }
        }
        Some(text)
    }
}

fn read(text: &str) -> Result<JsonPath, String> {
    let mut rest = text;
    let mut budget = PARTS_MAX;
    let steps = steps(&mut rest, false, &mut budget)?;
    match steps.iter().any(|step| !matches!(step, PathStep::Elements | PathStep::Descend)) {
        true => Ok(JsonPath { steps }),
        false => Err("names no key".into()),
    }
}

/// Reads steps up to the end, or inside of a filter up to what is none.
fn steps(rest: &mut &str, in_filter: bool, budget: &mut usize) -> Result<Vec<PathStep>, String> {
    let mut steps = Vec::new();
    loop {
        let has_descended = matches!(steps.last(), Some(PathStep::Descend));
        let step = if let Some(behind) = rest.strip_prefix("..").filter(|_| !has_descended) {
            *rest = behind;
            spend(budget)?;
            steps.push(PathStep::Descend);
            match behind.starts_with('[') {
                true => continue,
                false => key(rest, in_filter)?,
            }
        } else if let Some(behind) = rest.strip_prefix('.') {
            *rest = behind;
            key(rest, in_filter)?
        } else if rest.starts_with('[') {
            brackets(rest, budget)?
        } else if has_descended {
            return Err("has an empty step".into());
        } else if rest.is_empty() || in_filter {
            return Ok(steps);
        } else {
            return Err("has neither a dot nor a bracket between two steps".into());
        };
        spend(budget)?;
        steps.push(step);
    }
}

fn spend(budget: &mut usize) -> Result<(), String> {
    *budget = budget.checked_sub(1).ok_or_else(|| format!("has more than {PARTS_MAX} parts"))?;
    Ok(())
}

/// A key without quotes.
fn key(rest: &mut &str, in_filter: bool) -> Result<PathStep, String> {
    let is_end = |c: char| match c {
        '.' | '[' => true,
        c => in_filter && (c.is_whitespace() || "=!<>&|)~".contains(c)),
    };
    let mut key = String::new();
    let mut calls = false;
    let mut end = rest.len();
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some((_, next))) if ESCAPED.contains(next) => {
                key.push(*next);
                chars.next();
            }
            (c, _) if is_end(c) => {
                end = at;
                break;
            }
            (c, _) => {
                calls |= c == '(';
                key.push(c);
            }
        }
    }
    let (spelled, behind) = rest.split_at(end);
    *rest = behind;
    match spelled {
        "" => Err("has an empty step".into()),
        "*" => Ok(PathStep::Wildcard),
        _ if calls => Err("calls a function".into()),
        _ => Ok(PathStep::Key(key)),
    }
}

fn brackets(rest: &mut &str, budget: &mut usize) -> Result<PathStep, String> {
    let inner = rest[1..].trim_start();
    if let Some(behind) = inner.strip_prefix('?') {
        let (filter, behind) = filter::read(behind.trim_start(), budget)?;
        *rest = closed(behind)?;
        return Ok(PathStep::Filter(filter));
    }
    if let Some(behind) = inner.strip_prefix('*') {
        *rest = closed(behind)?;
        return Ok(PathStep::Elements);
    }
    if inner.starts_with(['\'', '"']) {
        let mut keys = Vec::new();
        let mut inner = inner;
        loop {
            keys.push(quoted(&mut inner)?);
            spend(budget)?;
            let Some(behind) = inner.trim_start().strip_prefix(',') else { break };
            inner = behind.trim_start();
        }
        *rest = closed(inner)?;
        let last = keys.pop().unwrap_or_default();
        return Ok(match keys.is_empty() {
            true => PathStep::Key(last),
            false => PathStep::Keys(keys.into_iter().chain([last]).collect()),
        });
    }
    let Some((numbers, behind)) = inner.split_once(']') else {
        return Err("has a bracket that does not end".into());
    };
    *rest = behind;
    if numbers.trim_start().starts_with('(') {
        return Err("has a script".into());
    }
    match numbers.contains(':') {
        true => slice(numbers),
        false => {
            let indices = numbers.split(',').map(number).collect::<Result<Vec<i64>, _>>()?;
            (0..indices.len()).try_for_each(|_| spend(budget))?;
            Ok(PathStep::Indices(indices))
        }
    }
}

fn number(text: &str) -> Result<i64, String> {
    let why = || format!("has `{}` in brackets, which is neither a number nor a quoted key", text);
    text.trim().parse().map_err(|_| why())
}

fn slice(text: &str) -> Result<PathStep, String> {
    let mut parts = text.split(':').map(|part| match part.trim() {
        "" => Ok(None),
        part => number(part).map(Some),
    });
    let mut part = || parts.next().unwrap_or(Ok(None));
    let (from, to, stride) = (part()?, part()?, part()?.unwrap_or(1));
    match u64::try_from(stride) {
        Ok(stride) if stride > 0 && text.matches(':').count() <= 2 => {
            Ok(PathStep::Slice { from, to, stride })
        }
        _ => Err(format!("has the slice `{text}`; its step has to be 1 or more")),
    }
}

fn closed(rest: &str) -> Result<&str, String> {
    rest.trim_start().strip_prefix(']').ok_or_else(|| "has a bracket that does not end".into())
}

/// A text in quotes; behind a backslash every character is itself.
fn quoted(rest: &mut &str) -> Result<String, String> {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => text.extend(chars.next().map(|(_, next)| next)),
            c if Some(c) == quote => {
                *rest = &rest[at + c.len_utf8()..];
                return Ok(text);
            }
            c => text.push(c),
        }
    }
    Err("has a quote that does not end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_keys() {
        for (name, keys) in [
            ("$.a", &["a"][..]),
            ("$.a.b-c.d", &["a", "b-c", "d"]),
            ("$['a']['b.c']", &["a", "b.c"]),
            ("$.a[\"b\"].c", &["a", "b", "c"]),
            ("$.a[*].b[*]", &["a", "b"]),
            (r"$['it\'s']", &["it's"]),
            (r"$.a\.b.c\[0\].\*.\(", &["a.b", "c[0\\]", "*", "("]),
            (r"$.a\b\\c", &[r"a\b\c"]),
            ("$['a.b[0]*(x)']", &["a.b[0]*(x)"]),
        ] {
            let path = JsonPath::parse(name).unwrap().unwrap();
            assert_eq!(path.keys().unwrap(), keys, "{name}");
            let again = JsonPath::parse(&path.to_text().unwrap()).unwrap().unwrap();
            assert_eq!(again.keys().unwrap(), keys, "{name}");
        }
        let nameless = JsonPath::parse("$['']['a']").unwrap().unwrap();
        assert_eq!((nameless.keys(), nameless.to_text()), (None, None));
        let path = JsonPath::parse(r"$.a['b.c']['d\\e']").unwrap().unwrap();
        assert_eq!(path.to_text().unwrap(), r"$.a.b\.c.d\\e");
        assert_eq!(JsonPath::parse("a.b"), None);
        assert_eq!(JsonPath::parse("$Path"), None);
    }

    #[test]
    fn other_paths_are_steps() {
        use PathStep::{Descend, Elements, Indices, Key, Keys, Slice, Wildcard};
        let key = |key: &str| Key(key.into());
        for (name, steps) in [
            ("$..a", vec![Descend, key("a")]),
            ("$.a..[0]", vec![key("a"), Descend, Indices(vec![0])]),
            ("$..*", vec![Descend, Wildcard]),
            ("$.a.*.b", vec![key("a"), Wildcard, key("b")]),
            ("$.a[-1, 2]", vec![key("a"), Indices(vec![-1, 2])]),
            ("$.a[1:]", vec![key("a"), Slice { from: Some(1), to: None, stride: 1 }]),
            ("$.a[:-1:2]", vec![key("a"), Slice { from: None, to: Some(-1), stride: 2 }]),
            ("$['a', \"b.c\"]", vec![Keys(vec!["a".into(), "b.c".into()])]),
            ("$[*].a", vec![Elements, key("a")]),
        ] {
            let path = JsonPath::parse(name).unwrap().unwrap();
            assert_eq!(path.steps, steps, "{name}");
            assert_eq!((path.keys(), path.to_text()), (None, None), "{name}");
        }
    }

    #[test]
    fn what_has_no_meaning_says_so() {
        for (name, said) in [
            ("$.a[b]", "neither a number"),
            ("$.a[(@.length-1)]", "a script"),
            ("$.a[1:2:0]", "1 or more"),
            ("$.a[1:2:3:4]", "1 or more"),
            ("$['a", "does not end"),
            ("$['a' 'b']", "does not end"),
            ("$.a[0", "does not end"),
            ("$.", "empty step"),
            ("$.a..", "empty step"),
            ("$.a...b", "empty step"),
            ("$[*]", "no key"),
            ("$.a[0]b", "neither a dot"),
            ("$.a.length()", "function"),
            ("$.a[99999999999999999999]", "neither a number"),
        ] {
            let why = JsonPath::parse(name).unwrap().unwrap_err();
            assert!(why.contains(said) && why.contains(name), "{name}: {why}");
        }
        let long = format!("${}", "..a".repeat(40));
        assert!(JsonPath::parse(&long).unwrap().unwrap_err().contains("more than 64"));
    }
}
