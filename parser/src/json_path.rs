//! Field names that are paths into nested objects: the part of JSONPath that rules and mappings use.
//!
//! In: a field name as a rule or a field-mapping file has it. Out: the keys to step through, or why the
//! path has no meaning here. `$.a.b`, `$['a']['b.c']` and `$.a[*].b` are read; arrays stand for their
//! elements, so that `[*]` behind a key says nothing new. An element by its number, a search at any depth
//! (`..`), a wildcard for a key and a filter are refused.

/// A path: the keys from the outermost object inwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    /// At least one.
    pub keys: Vec<String>,
}

impl JsonPath {
    /// Reads a field name. `None`: it is a plain name, which may hold dots and even begin with a dollar.
    ///
    /// # Errors
    /// It is a path, but not one of those that are read; the text says why.
    pub fn parse(name: &str) -> Option<Result<Self, String>> {
        let is_path = name.starts_with("$.") || name.starts_with("$[");
        is_path.then(|| read(&name[1..]).map_err(|why| format!("the path `{name}` {why}")))
    }

    /// The path with one dot between two keys: dots and backslashes inside of keys have a backslash.
    pub fn to_text(&self) -> String {
        let keys = self.keys.iter().map(|key| key.replace('\\', "\\\\").replace('.', "\\."));
        format!("$.{}", keys.collect::<Vec<_>>().join("."))
    }
}

fn read(mut rest: &str) -> Result<JsonPath, &'static str> {
    let mut keys = Vec::new();
    while !rest.is_empty() {
        if rest.starts_with("..") {
            return Err("searches at any depth, which no plan can do; name the keys one by one");
        } else if let Some(behind) = rest.strip_prefix('.') {
            let end = behind.find(['.', '[']).unwrap_or(behind.len());
            match &behind[..end] {
                "" => return Err("has an empty step"),
                "*" => return Err("has a wildcard for a key; name the keys"),
                key if key.ends_with(')') => return Err("calls a function"),
                key => keys.push(key.to_owned()),
            }
            rest = &behind[end..];
        } else if let Some(behind) = rest.strip_prefix("[*]") {
            if keys.is_empty() {
                return Err("takes the record for an array; it is an object");
            }
            rest = behind;
        } else if let Some(quote) = ["['", "[\""].into_iter().find(|begin| rest.starts_with(begin))
        {
            let (key, behind) = quoted(&rest[2..], &quote[1..])?;
            keys.push(key);
            rest = behind;
        } else if rest.starts_with("[?") {
            return Err("has a filter; a condition belongs into the rule");
        } else {
            return Err("asks for elements by number; `[*]` means any element");
        }
    }
    if keys.is_empty() { Err("names no key") } else { Ok(JsonPath { keys }) }
}

/// The key up to its closing quote and bracket, and what stands behind.
fn quoted<'a>(text: &'a str, quote: &str) -> Result<(String, &'a str), &'static str> {
    let mut key = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.extend(chars.next().map(|(_, next)| next)),
            c if quote.starts_with(c) => {
                let behind = text[at + 1..].strip_prefix(']');
                return behind
                    .map(|behind| (key, behind))
                    .ok_or("has a list of keys; a mapping may list several paths instead");
            }
            c => key.push(c),
        }
    }
    Err("has a quote that does not end")
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
        ] {
            assert_eq!(JsonPath::parse(name).unwrap().unwrap().keys, keys, "{name}");
        }
        let path = JsonPath::parse(r"$.a['b.c']['d\\e']").unwrap().unwrap();
        assert_eq!(path.to_text(), r"$.a.b\.c.d\\e");
        assert_eq!(JsonPath::parse("a.b"), None);
        assert_eq!(JsonPath::parse("$Path"), None);
    }

    #[test]
    fn what_has_no_meaning_says_so() {
        for (name, said) in [
            ("$..a", "any depth"),
            ("$.a..b", "any depth"),
            ("$.a.*", "wildcard"),
            ("$.a[0]", "by number"),
            ("$.a[1:2]", "by number"),
            ("$[*].a", "an object"),
            ("$.a[?(@.b==1)]", "filter"),
            ("$['a','b']", "list of keys"),
            ("$['a", "does not end"),
            ("$.", "empty step"),
            ("$.a.length()", "function"),
        ] {
            let why = JsonPath::parse(name).unwrap().unwrap_err();
            assert!(why.contains(said) && why.contains(name), "{name}: {why}");
        }
    }
}
