//! Each condition by itself, and how several are put together.

use super::{changed, documents, outcomes, rule, show_section, shown};
use crate::{Document, Outcome};

const SECTION: &str = "  s: {A: 'b*', N: 5, Z: ~}\n  condition: s\n";

/// Whether an item with these keys is applied to the rule: it marks the rule's fields.
fn is_applied(keys: &str) -> bool {
    let text = format!(
        "transformations:\n- {{id: first, type: set_state, key: k, val: 5}}\n\
                        - {{type: set_custom_attribute, attribute: own, value: 3}}\n\
                        - type: add_field\n  field: mark\n{keys}"
    );
    let rule = changed(&text, &rule(SECTION)).unwrap_or_else(|message| panic!("{keys}: {message}"));
    rule.fields.iter().any(|field| field.node == "mark")
}

#[test]
fn rules_are_told_apart() {
    for (condition, expected) in [
        ("type: logsource, product: windows", true),
        ("type: logsource, product: Windows, category: process_creation", true),
        ("type: logsource, product: windows, category: image_load", false),
        ("type: logsource, service: sysmon", false),
        ("type: logsource, service: [null]", true),
        ("type: logsource, product: [null]", false),
        ("type: logsource, product: [linux, windows, null]", true),
        ("type: contains_field, field: A", true),
        ("type: contains_field, field: a", false),
        ("type: contains_detection_item, field: A, value: 'b*'", true),
        ("type: contains_detection_item, field: A, value: b", false),
        ("type: contains_detection_item, field: N, value: 5", true),
        ("type: contains_detection_item, field: N, value: '5'", false),
        ("type: processing_item_applied, processing_item_id: first", true),
        ("type: processing_item_applied, processing_item_id: other", false),
        ("type: processing_state, key: k, val: 5", true),
        ("type: processing_state, key: k, val: 6, op: lt", true),
        ("type: processing_state, key: k, val: 5, op: ne", false),
        ("type: processing_state, key: k, val: x, op: ne", true),
        ("type: processing_state, key: other, val: 5, op: ne", false),
        ("type: is_sigma_rule", true),
        ("type: is_sigma_correlation_rule", false),
        ("type: tag, tag: attack.T1059", true),
        ("type: tag, tag: attack.t1", false),
        ("type: rule_attribute, attribute: level, value: medium, op: gte", true),
        ("type: rule_attribute, attribute: level, value: critical, op: gte", false),
        ("type: rule_attribute, attribute: status, value: stable, op: lt", true),
        ("type: rule_attribute, attribute: date, value: '2023-12-31', op: gt", true),
        ("type: rule_attribute, attribute: title, value: T", true),
        ("type: rule_attribute, attribute: title, value: T, op: ne", false),
        ("type: rule_attribute, attribute: tags, value: attack.t1059, op: in", true),
        ("type: rule_attribute, attribute: tags, value: attack.t1059, op: not_in", false),
        ("type: rule_attribute, attribute: tags, value: attack.t1059", false),
        ("type: rule_attribute, attribute: own, value: 2, op: gt", true),
        ("type: rule_attribute, attribute: missing, value: 2, op: ne", false),
    ] {
        let keys = format!("  rule_conditions: [{{{condition}}}]\n");
        assert_eq!(is_applied(&keys), expected, "{condition}");
        let negated = format!("{keys}  rule_cond_not: true\n");
        assert_eq!(is_applied(&negated), !expected, "not {condition}");
    }
}

#[test]
fn conditions_are_linked() {
    let yes = "{type: is_sigma_rule}";
    let no = "{type: is_sigma_correlation_rule}";
    for (keys, expected) in [
        (format!("  rule_conditions: [{yes}, {no}]\n"), false),
        (format!("  rule_conditions: [{yes}, {no}]\n  rule_cond_op: or\n"), true),
        (
            format!("  rule_conditions: [{no}, {no}]\n  rule_cond_op: or\n  rule_cond_not: yes\n"),
            true,
        ),
        (format!("  rule_conditions: {{a: {yes}, b: {no}}}\n"), false),
        (
            format!("  rule_conditions: {{a: {yes}, b: {no}}}\n  rule_cond_expr: a and not b\n"),
            true,
        ),
        (
            format!("  rule_conditions: {{a: {yes}, b: {no}}}\n  rule_cond_expr: not (a or b)\n"),
            false,
        ),
        ("  rule_conditions: []\n  rule_cond_not: true\n".to_owned(), true),
    ] {
        assert_eq!(is_applied(&keys), expected, "{keys}");
    }
}

/// Which items become `x`, with these conditions.
fn set(conditions: &str) -> String {
    shown(&format!("- type: set_value\n  value: x\n{conditions}"), SECTION)
}

#[test]
fn detection_items_are_told_apart() {
    for (condition, expected) in [
        ("type: match_string, pattern: 'b'", "[A=x & N=#5 & Z=null]"),
        ("type: match_string, pattern: '\\*'", "[A=b* & N=#5 & Z=null]"),
        ("type: match_string, pattern: '.*\\*$', cond: all", "[A=x & N=#5 & Z=null]"),
        ("type: match_string, pattern: 'b', negate: true", "[A=b* & N=x & Z=x]"),
        ("type: match_value, value: 5", "[A=b* & N=x & Z=null]"),
        ("type: match_value, value: 'b*', cond: all", "[A=x & N=#5 & Z=null]"),
        ("type: contains_wildcard", "[A=x & N=#5 & Z=null]"),
        ("type: is_null", "[A=b* & N=#5 & Z=x]"),
        ("type: processing_state, key: k, val: 1", "[A=b* & N=#5 & Z=null]"),
        ("type: processing_item_applied, processing_item_id: i", "[A=b* & N=#5 & Z=null]"),
    ] {
        assert_eq!(
            set(&format!("  detection_item_conditions: [{{{condition}}}]\n")),
            expected,
            "{condition}"
        );
    }
    let several = "- {type: set_value, value: x, detection_item_conditions: [{type: match_value, value: 1, cond: all}]}\n";
    assert_eq!(shown(several, "  s: {A: [1, 2]}\n  condition: s\n"), "A=#1,#2");
    let applied = "- {id: i, type: set_value, value: x, detection_item_conditions: [{type: is_null}]}\n\
                   - {type: set_value, value: y, detection_item_conditions: [{type: processing_item_applied, processing_item_id: i}]}\n";
    assert_eq!(shown(applied, SECTION), "[A=b* & N=#5 & Z=y]");
}

#[test]
fn field_names_are_told_apart() {
    for (condition, expected) in [
        ("type: include_fields, fields: [A, N]", "[A=x & N=x & Z=null]"),
        ("type: include_fields, fields: A", "[A=x & N=#5 & Z=null]"),
        ("type: exclude_fields, fields: [A, N]", "[A=b* & N=#5 & Z=x]"),
        ("type: include_fields, fields: ['[AZ]'], mode: re", "[A=x & N=#5 & Z=x]"),
        ("type: exclude_fields, fields: ['[AZ]'], mode: re", "[A=b* & N=x & Z=null]"),
        ("type: processing_state, key: k, val: 1", "[A=b* & N=#5 & Z=null]"),
    ] {
        assert_eq!(
            set(&format!("  field_name_conditions: [{{{condition}}}]\n")),
            expected,
            "{condition}"
        );
    }
    let mapped = "- {id: map, type: field_name_mapping, mapping: {A: B}}\n\
                  - type: field_name_prefix\n  prefix: e.\n  field_name_conditions: [{type: processing_item_applied, processing_item_id: map}]\n  field_name_cond_not: true\n";
    assert_eq!(shown(mapped, SECTION), "[B=b* & e.N=#5 & e.Z=null]");
    // A reference to another field is a name of its own.
    let one = "- {type: field_name_prefix, prefix: e., field_name_conditions: [{type: include_fields, fields: [B]}]}\n";
    assert_eq!(shown(one, "  s: {A|fieldref: B}\n  condition: s\n"), "A=field:e.B");
}

#[test]
fn priorities_and_variables_go_over_all_pipelines() {
    let late = "priority: 20\nvars: {v: late}\ntransformations:\n- {type: field_name_suffix, suffix: .late}\n";
    let early = "priority: 10\nvars: {v: early}\ntransformations:\n- {type: field_name_suffix, suffix: .early}\n\
                 - {type: value_placeholders}\n- {id: e, type: set_state, key: k, val: 1}\n";
    let last = "priority: 30\ntransformations:\n- {type: field_name_suffix, suffix: .last, rule_conditions: \
                [{type: processing_state, key: k, val: 1}, {type: processing_item_applied, processing_item_id: e}]}\n";
    let documents = documents(&rule("  s: {A|expand: '%v%'}\n  condition: s\n"));
    let outcomes = outcomes(&[late, last, early], &documents);
    let Outcome::Active(Document::Rule(rule)) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(show_section(&rule.detection), "A.early.late.last=late");
}

#[test]
fn unmapped_log_sources_are_kept_unless_told() {
    let add = "- {type: add_condition, conditions: {C: d}, rule_conditions: [{type: logsource, category: image_load}]}\n";
    let one = |head: &str, tail: &str| {
        let text = format!("{head}transformations:\n{tail}");
        let outcomes = outcomes(&[&text], &documents(&rule("  s: {A: b}\n  condition: s\n")));
        matches!(outcomes[0], Outcome::Dropped)
    };
    let drop = "sigmill: {unmapped_logsource: drop}\n";
    assert!(one(drop, add));
    assert!(!one("", add));
    assert!(!one("sigmill: {unmapped_logsource: keep}\n", add));
    assert!(!one(drop, &add.replace("image_load", "process_creation")));
    // A condition that every rule gets says nothing of the log source; one made of it does.
    assert!(one(drop, "- {type: add_condition, conditions: {index: windows}}\n"));
    assert!(!one(drop, "- {type: add_condition, conditions: {index: $product}, template: true}\n"));
    let nested = "- type: nest\n  rule_conditions: [{type: logsource, product: windows}]\n  \
                  items: [{type: add_condition, conditions: {C: d}}]\n";
    assert!(!one(drop, nested));
    // The last pipeline that says something decides.
    let keep = "priority: 5\nsigmill: {unmapped_logsource: keep}\ntransformations: []\n";
    let text = format!("{drop}priority: 1\ntransformations:\n{add}");
    let documents = documents(&rule("  s: {A: b}\n  condition: s\n"));
    assert!(matches!(outcomes(&[keep, &text], &documents)[0], Outcome::Active(_)));
}

#[test]
fn correlations_are_mapped() {
    let text = format!(
        "{}---\ntitle: C\nname: c\ncorrelation:\n  type: value_count\n  rules: [11111111-1111-4111-8111-111111111111]\n  \
         aliases: {{who: {{11111111-1111-4111-8111-111111111111: User}}}}\n  group-by: [who, Image]\n  timespan: 5m\n  \
         condition: {{field: User, gte: 3}}\n---\ntitle: D\ncorrelation: {{type: temporal, rules: [c], group-by: [Image], timespan: 1h}}\n",
        rule("  s: {A: b}\n  condition: s\n")
    );
    let pipeline = "sigmill: {unmapped_logsource: drop}\ntransformations:\n- type: field_name_mapping\n  \
                    mapping: {User: [user, account], Image: exe, who: wrong}\n  \
                    rule_conditions: [{type: logsource, product: windows}]\n\
                    - {type: change_logsource, service: later}\n\
                    - {type: field_name_suffix, suffix: .x, rule_conditions: [{type: logsource, service: later}]}\n\
                    - {type: add_condition, conditions: {C: d}, rule_conditions: [{type: logsource, service: later}]}\n";
    let outcomes = outcomes(&[pipeline], &documents(&text));
    let Outcome::Active(Document::Correlation(correlation)) = &outcomes[1] else {
        panic!("{outcomes:?}")
    };
    let group: Vec<&str> = correlation.group_by.iter().map(|one| one.node.as_str()).collect();
    assert_eq!(group, ["who", "exe.x"]);
    assert_eq!(correlation.aliases[0].fields[0].1.node, "user.x");
    let crate::CorrelationCondition::Threshold(threshold) = &correlation.condition else {
        panic!("{correlation:?}")
    };
    assert_eq!(threshold.fields[0].node, "user.x");
    // Through another correlation.
    let Outcome::Active(Document::Correlation(chained)) = &outcomes[2] else { panic!() };
    assert_eq!(chained.group_by[0].node, "exe.x");
}

#[test]
fn filters_are_changed_with_their_rules() {
    let filter = "---\ntitle: F\nlogsource: {product: windows}\nfilter:\n  rules: NAMES\n  s: {A: ok}\n  condition: not s\n";
    let text = |names: &str| {
        format!("{}{}", rule("  s: {A: x}\n  condition: s\n"), filter.replace("NAMES", names))
    };
    let alternatives = "transformations:\n- type: alternatives\n  alternatives:\n    one:\n    - {type: add_condition, conditions: {L: 1}}\n    \
                        two:\n    - {type: field_name_mapping, mapping: {A: B}}\n    - {type: add_condition, conditions: {L: 2}}\n";
    for names in ["any", "[11111111-1111-4111-8111-111111111111]"] {
        let outcomes = outcomes(&[alternatives], &documents(&text(names)));
        let Outcome::Active(Document::Rule(rule)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(
            show_section(&rule.detection),
            "((L=#1 and A=x and not A=ok) or (L=#2 and B=x and not B=ok))"
        );
        assert!(matches!(outcomes[1], Outcome::Merged));
    }
    // A filter of another rule is left for whoever says that there is none.
    let other = outcomes(&[alternatives], &documents(&text("[other]")));
    assert!(matches!(other[1], Outcome::Active(Document::Filter(_))), "{other:?}");
    // Where nothing is changed, nothing is joined.
    let vars = outcomes(&["vars: {a: b}\n"], &documents(&text("any")));
    assert!(matches!(vars[1], Outcome::Active(Document::Filter(_))), "{vars:?}");
}
