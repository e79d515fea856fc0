//! Nodes as JSON text.

use super::{Node, NodeKind, Resolved, Scalar};

/// The node as JSON text, without blanks; scalars have the type that their spelling gives them.
pub fn to_json(node: &Node) -> String {
    to_json_with(node, &|_| true)
}

/// As [`to_json`], but below the top-level keys for which `is_typed` is false, scalars whose JSON
/// spelling would differ from what was written stay texts: a title `0777` is not the number 511.
pub fn to_json_with(node: &Node, is_typed: &dyn Fn(&str) -> bool) -> String {
    let mut out = String::new();
    match &node.kind {
        NodeKind::Mapping(entries) => {
            write_entries(entries, &mut out, &|key| is_typed(key));
        }
        _ => write_node(node, true, &mut out),
    }
    out
}

fn write_node(node: &Node, is_typed: bool, out: &mut String) {
    match &node.kind {
        NodeKind::Scalar(scalar) => write_scalar(scalar, is_typed, out),
        NodeKind::Sequence(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_node(item, is_typed, out);
            }
            out.push(']');
        }
        NodeKind::Mapping(entries) => write_entries(entries, out, &|_| is_typed),
    }
}

fn write_entries(entries: &[(Node, Node)], out: &mut String, is_typed: &dyn Fn(&str) -> bool) {
    out.push('{');
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let name = key.key().unwrap_or_default();
        write_text(name, out);
        out.push(':');
        write_node(value, is_typed(name), out);
    }
    out.push('}');
}

fn write_scalar(scalar: &Scalar, is_typed: bool, out: &mut String) {
    let spelling = match scalar.resolve() {
        Resolved::Null => "null".to_owned(),
        Resolved::Bool(value) => value.to_string(),
        Resolved::Number(number) => number,
        Resolved::Text => return write_text(&scalar.text, out),
    };
    if is_typed || spelling == scalar.text || spelling == "null" {
        out.push_str(&spelling);
    } else {
        write_text(&scalar.text, out);
    }
}

/// Writes a text as a JSON string.
pub fn write_text(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Control characters, and those that YAML readers refuse or fold inside quotes.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use crate::yaml::load;

    #[test]
    fn documents_become_json() {
        for (yaml, json) in [
            ("a: 1\nb: [x, 'y', ~, true]\n", r#"{"a":1,"b":["x","y",null,true]}"#),
            ("a: 0x10\nb: '0x10'\nc: yes\n", r#"{"a":16,"b":"0x10","c":"yes"}"#),
            ("a: \"q\\\"\\\\\\t\\u0001\"\n", r#"{"a":"q\"\\\t\u0001"}"#),
            ("{title: x, a: {b: []}}", r#"{"title":"x","a":{"b":[]}}"#),
        ] {
            let (nodes, diagnostics) = load(yaml);
            assert!(diagnostics.is_empty(), "{diagnostics:?}");
            assert_eq!(nodes[0].to_json(), json);
            assert_eq!(load(json).0[0].to_json(), json);
        }
    }

    #[test]
    fn untyped_parts_keep_their_spelling() {
        let (nodes, _) = load("title: 0777\nyear: 2023\nd: {a: 0777}\n");
        let json = super::to_json_with(&nodes[0], &|key| key == "d");
        assert_eq!(json, r#"{"title":"0777","year":2023,"d":{"a":511}}"#);
    }
}
