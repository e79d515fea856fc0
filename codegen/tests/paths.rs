//! Fields that are JSONPaths, from the rule's text to the match: which values a path leads to.

use std::sync::Arc;

use sigmill_codegen::{CompileOptions, compile};
use sigmill_engine::{Matcher, MatcherConfig};
use sigmill_parser::{Document, FieldMapping};

const EVENT: &str = r#"{
    "store": {
        "book": [
            {"title": "one", "price": 8, "tags": ["x", "y"]},
            {"title": "two", "price": "12.5", "isbn": "0-1"},
            {"title": "three", "price": 22.99, "isbn": "0-2", "in": {"title": "deep"}}
        ],
        "bicycle": {"colour": "red", "price": 20, "pri\u0063e2": 5}
    },
    "dotted.key": {"a": "b"},
    "flat.key": "flat",
    "flat": {"key": "nested", "a.b": "inner", "a[0]": "odd", "*": "star", "": "nameless"},
    "": {"flat": "below"},
    "book": "first", "book": "last"
}"#;

/// Whether a field that is mapped to the path has the value.
fn has(path: &str, value: &str) -> bool {
    let text = format!(
        "title: T\nlogsource: {{product: x}}\ndetection: {{s: {{f: {value}}}, condition: s}}\n"
    );
    let Some(Document::Rule(rule)) = sigmill_parser::parse(&text).documents.into_iter().next()
    else {
        panic!("{text}")
    };
    let quoted = path.replace('\'', "''");
    let field_mapping = FieldMapping::parse(&format!("fieldmappings: {{f: '{quoted}'}}"))
        .expect("the mapping can be read");
    let options = CompileOptions { field_mapping, ..CompileOptions::default() };
    let compiled = compile(&[Arc::new(*rule)], &options);
    assert!(compiled.refused.is_empty(), "{path}: {:?}", compiled.refused);
    let mut matcher = Matcher::new(Arc::new(compiled.plan), MatcherConfig::default());
    !matcher.matches(EVENT.as_bytes()).expect("the event is JSON").is_empty()
}

#[test]
fn a_path_leads_to_these_values_and_no_others() {
    for (path, there, not_there) in [
        ("$.store.book[0].title", "one", "two"),
        ("$.store.book[-1].title", "three", "one"),
        ("$.store.book[0,2].title", "three", "two"),
        ("$.store.book[1:].title", "two", "one"),
        ("$.store.book[:2].title", "one", "three"),
        ("$.store.book[::2].title", "three", "two"),
        ("$.store.book[*].title", "two", "deep"),
        ("$.store.book[7].title", "null", "one"),
        ("$..title", "deep", "red"),
        ("$.store..title", "deep", "red"),
        ("$.store.*.colour", "red", "one"),
        ("$.store.*", "null", "red"),
        ("$.store.book[0].*", "y", "two"),
        ("$.store.book[0].tags[1]", "y", "x"),
        ("$.store.bicycle.price2", "5", "20"),
        ("$..price2", "5", "20"),
        ("$.store.bicycle['price','colour']", "red", "5"),
        ("$['dotted.key'].a", "b", "red"),
        ("$..['dotted.key'].a", "b", "red"),
        ("$['flat.key']", "flat", "nested"),
        (r"$.flat\.key", "flat", "nested"),
        // A name that is mapped to is a key.
        ("flat.key", "flat", "nested"),
        ("dotted.key", "null", "b"),
        ("$.flat.key", "nested", "flat"),
        ("$.flat['a.b']", "inner", "nested"),
        ("$.flat['a[0]']", "odd", "nested"),
        ("$.flat['*']", "star", "nested"),
        ("$.flat['']", "nameless", "nested"),
        ("$['']['flat']", "below", "nested"),
        ("$.store.book[?(@.isbn)].title", "two", "one"),
        ("$.store.book[?(!@.isbn)].title", "one", "two"),
        ("$.store.book[?(@.price < 10)].title", "one", "two"),
        ("$.store.book[?(@.price > 10)].title", "two", "one"),
        ("$.store.book[?(@.price == 12.50)].title", "two", "three"),
        ("$.store.book[?(@.title == 'two' || @.in.title == \"deep\")].isbn", "0-2", "x"),
        ("$.store.book[?(@.isbn != '0-1' && @.in)].title", "three", "two"),
        ("$..[?(@.colour == 'red')].price", "20", "8"),
        // The last of equal keys counts.
        ("$..book", "last", "first"),
    ] {
        if there != "null" {
            assert!(has(path, there), "{path} misses {there}");
        }
        assert!(!has(path, not_there), "{path} finds {not_there}");
    }
}
