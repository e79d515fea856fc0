//! Each quirk as the cause of a difference.

use super::*;
use serde_json::json;

fn rule(detection: &str) -> JvmRule {
    let text = format!("title: T\nlogsource: {{product: x}}\ndetection:\n{detection}\n");
    let mut options = ParseOptions::default();
    options.allows_backtracking = true;
    let parsed = sigmill_parser::parse_with(&text, &options);
    let Some(Document::Rule(rule)) = parsed.documents.into_iter().next() else {
        panic!("{text}: {:?}", parsed.diagnostics)
    };
    let mapping =
        FieldMapping::parse("fieldmappings: {m: [a, b], p: $.n.x, q: '$.l[*].x'}").unwrap();
    JvmRule::new(&Arc::new(*rule), &mapping)
}

/// Detection, event, the JVM processor's answer, what the cause of Sigmill's other answer is.
#[test]
fn each_quirk_is_the_cause_of_its_difference() {
    for (detection, event, jvm, cause) in [
        ("  s: {a: x}\n  t: {b: 1}\n  condition: s and not t", json!({"a": "x"}), false, "not"),
        ("  s: {a: x}\n  t: {b: 1}\n  condition: s or t", json!({"a": "x"}), false, "lower-or"),
        (
            "  s: {a: x}\n  t: {b: 1}\n  u: {c: 1}\n  condition: (s OR t) AND u",
            json!({"a": "x"}),
            true,
            "precedence",
        ),
        ("  s1: {a: x}\n  s2: {a: y}\n  condition: 1 of s*", json!({"a": "x"}), false, "of"),
        ("  s: {a: x}\n  condition: [s, s]", json!({"a": "x"}), false, "condition-list"),
        ("  s: {a: x, b: y}\n  condition: s", json!({"a": "z", "b": "y"}), true, "last-field"),
        ("  s: [{a: x}, {b: y}]\n  condition: s", json!({"a": "x", "b": "z"}), false, "list"),
        ("  s: {a: X}\n  condition: s", json!({"a": "x"}), false, "case"),
        ("  s: {a: 'x (y)'}\n  condition: s", json!({"a": "x (y)"}), false, "characters"),
        ("  s: {a: 'x\\*'}\n  condition: s", json!({"a": "x*"}), false, "escapes"),
        ("  s: {a|contains: x}\n  condition: s", json!({"a": "1\nx"}), false, "lines"),
        ("  s: {a|cidr: 10.0.0.0/8}\n  condition: s", json!({"a": "10.1.2.3"}), false, "modifier"),
        ("  s: {m: x}\n  condition: s", json!({"a": "y", "b": "x"}), false, "mapping-list"),
        ("  s: {a: x}\n  condition: s", json!({"a": ["x", "y"]}), false, "arrays"),
        ("  s: {q: x}\n  condition: s", json!({"l": [{"x": "x"}, {"x": "y"}]}), false, "arrays"),
        ("  s: {a: 'null'}\n  condition: s", json!({"a": null}), true, "null"),
        ("  s: {a: ''}\n  condition: s", json!({"a": {"b": 1}}), true, "object"),
        ("  s: {a: '10000000.5'}\n  condition: s", json!({"a": 10_000_000.5}), false, "numbers"),
        ("  s: {b: x, p: y}\n  condition: s", json!({"b": "x"}), true, "missing-path"),
        ("  s: {a: ['*', x]}\n  condition: s", json!({"a": null}), true, "null"),
        ("  s: {a.b: x}\n  condition: s", json!({"a": {"b": "x"}}), false, "nested"),
        ("  s: {a: 'x['}\n  condition: s", json!({"a": "x["}), false, "stops"),
        ("  s: [x]\n  condition: s", json!({"a": "x"}), false, "stops"),
        ("  s: {a: null}\n  condition: s", json!({"a": null}), false, "stops"),
        ("  s: {a|re: '(?P<n>x)'}\n  condition: s", json!({"a": "x"}), false, "groups-names"),
    ] {
        let rule = rule(detection);
        assert_eq!(rule.holds(&event, Mended::default()), jvm, "{detection}");
        assert_eq!(rule.holds(&event, Mended::all()), !jvm, "{detection}");
        assert_eq!(rule.causes(&event, jvm, !jvm), [cause], "{detection}");
        assert_eq!(rule.causes(&event, !jvm, jvm), [STATE], "{detection}");
        assert!(!meaning(cause).is_empty());
    }
}

#[test]
fn several_causes_are_named_together_and_no_more_than_needed() {
    let both = rule("  s: {a: X}\n  t: {b: 1}\n  condition: s and not t");
    assert_eq!(both.causes(&json!({"a": "x"}), false, true), ["not", "case"]);
    let plain = rule("  s: {a: x}\n  condition: s");
    assert_eq!(plain.causes(&json!({"a": "y"}), false, true), [OTHER]);
    assert_eq!(plain.causes(&json!({"a": "y"}), false, false), [""; 0]);
}

#[test]
fn the_table_has_every_quirk_at_its_place() {
    for (at, (quirk, name, _)) in QUIRKS.iter().enumerate() {
        assert_eq!(*quirk as usize, at, "{name}");
    }
}
