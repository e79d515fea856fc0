//! Each transformation by itself.

use super::{changed, pipeline, rule, show_section, shown};

/// `transformation` over a rule with one selection; the second text is what comes out.
fn check(cases: &[(&str, &str, &str)]) {
    for (transformation, selection, expected) in cases {
        let detection = format!("  sel:\n    {selection}\n  condition: sel\n");
        let shown = shown(&format!("- {{{transformation}}}\n"), &detection);
        assert_eq!(shown, *expected, "{transformation} over {selection}");
    }
}

#[test]
fn names_are_mapped() {
    let map = "type: field_name_mapping, mapping: {Image: process.executable, Many: [A, B], ~: message, Gone: []}";
    check(&[
        (map, "Image|endswith: x", "process.executable=*x"),
        (map, "Other: x", "Other=x"),
        (map, "Many: x", "[A=x | B=x]"),
        // What asks for nothing to be there has to hold for every target.
        (map, "Many: ~", "[A=null & B=null]"),
        (map, "Many|neq: x", "[A!=x & B!=x]"),
        (map, "Many|exists: false", "[A=exists:false & B=exists:false]"),
        (map, "Many|contains|all: [x, y]", "[A=*x*+*y* | B=*x*+*y*]"),
        (map, "Other|fieldref: Many", "Other=field:A/field:B"),
        (map, "Image|fieldref: Image", "process.executable=field:process.executable"),
        (map, "{Gone: x, Image: y}", "process.executable=y"),
        (map, "Gone: x", "the pipeline leaves nothing of the condition"),
        (map, "- word", "message=*word*"),
        ("type: field_name_prefix, prefix: e.", "Image: x", "e.Image=x"),
        ("type: field_name_prefix, prefix: e.", "- word", "keywords=*word*"),
        ("type: field_name_suffix, suffix: .k", "Image: x", "Image.k=x"),
        (
            "type: field_name_prefix_mapping, mapping: {win.: w., win.proc.: [p., q.]}",
            "{win.proc.x: 1, win.y: 2, z: 3}",
            "[[p.x=#1 | q.x=#1] & w.y=#2 & z=#3]",
        ),
        (
            "type: field_name_transform, transform_func: snake_case, mapping: {Image: exe}",
            "{Image: x, ParentImage: y}",
            "[exe=x & parent_image=y]",
        ),
        ("type: field_name_transform, transform_func: upper", "Image: x", "IMAGE=x"),
    ]);
}

#[test]
fn field_lists_and_old_aggregations_are_mapped_too() {
    let map = "transformations:\n- {type: field_name_mapping, mapping: {Image: [exe, other], User: user}}\n";
    let text =
        rule("  sel: {Image: x}\n  timeframe: 5m\n  condition: sel | count(Image) by User > 5\n");
    let changed = changed(map, &text).unwrap();
    let fields: Vec<&str> = changed.fields.iter().map(|field| field.node.as_str()).collect();
    assert_eq!(fields, ["exe", "other", "user"]);
    let aggregation = changed.detection.conditions[0].aggregation.as_ref().unwrap();
    assert_eq!(aggregation.field().unwrap().node, "exe");
    assert_eq!(aggregation.group_by[0].node, "user");
}

#[test]
fn values_are_changed() {
    let replace = "type: replace_string, regex: 'C:', replacement: '?:'";
    check(&[
        (replace, r"Image|startswith: C:\a\", r"Image=?:\a\*"),
        (replace, r"Image|contains|all: ['C:', 'D:']", r"Image=*?:*+*D:*"),
        (
            "type: replace_string, regex: '(\\d)$', replacement: 'x\\1'",
            "EventID: 12",
            "EventID=1x2",
        ),
        (
            "type: replace_string, regex: '.', replacement: '*', skip_special: true",
            "F: a?b",
            r"F=\*?\*",
        ),
        (
            "type: replace_string, regex: '.', replacement: '*', skip_special: true, interpret_special: true",
            "F: a?b",
            "F=*?*",
        ),
        ("type: map_string, mapping: {a: b, c: [d, e*]}", "F: [a, c, z]", "F=b,d/e*,z"),
        ("type: map_string, mapping: {a: b, c: [d, e*]}", "F|all: [a, c]", "F=b+d/e*"),
        ("type: set_value, value: x", "F: [1, b]", "F=x,x"),
        ("type: set_value, value: 5, force_type: str", "F: b", "F=5"),
        ("type: set_value, value: '5', force_type: num", "F: b", "F=#5"),
        ("type: set_value, value: ~", "F: b", "F=null"),
        ("type: convert_type, target_type: str", "F: [1, b, true, ~]", "F=1,b,true,null"),
        ("type: convert_type, target_type: num", "F: ['1', 2]", "F=#1,#2"),
        (
            "type: convert_type, target_type: num",
            "F: a*",
            "pipeline `without a name`: the value `a*` cannot become a number",
        ),
        ("type: case, method: upper", "F|contains: aB", "F=*AB*"),
        ("type: case", "F: aB", "F=ab"),
        ("type: case, method: snake_case", "F: someText", "F=some_text"),
        ("type: regex", "F: a.b*", r"F=/\A(?:a\.b.*)\z/i"),
        ("type: regex, method: plain", "F: a?", r"F=/\A(?:a.)\z/"),
        ("type: regex", "F: ['', 1]", "F=,#1"),
    ]);
}

#[test]
fn hashes_become_fields() {
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let hashes = "type: hashes_fields, valid_hash_algos: [MD5, SHA1], field_prefix: File";
    check(&[
        (
            hashes,
            "Hashes|contains: ['SHA1=AB', 'md5=CD', 'SHA1=EF']",
            "[FileSHA1=AB,EF | FileMD5=CD]",
        ),
        (hashes, &format!("Hashes: {md5}"), &format!("FileMD5={md5}")),
        (hashes, "Hashes|contains|all: ['SHA1=AB', 'MD5=CD']", "[FileSHA1=AB & FileMD5=CD]"),
        (hashes, "Other: MD5=AB", "Other=MD5=AB"),
        (
            hashes,
            "Hashes: IMPHASH=AB",
            "pipeline `without a name`: `Hashes` cannot be split: no hash by one of MD5, SHA1 is in it",
        ),
        (
            "type: hashes_fields, valid_hash_algos: [MD5], field_prefix: hash, drop_algo_prefix: true, field_to_parse: [H]",
            "H: MD5|AB",
            "hash=AB",
        ),
    ]);
}

#[test]
fn groups_become_fields() {
    let extract = "type: extract_fields, regex: '(?P<kind>\\w+):(?P<n>\\d+)?', field_prefix: reg";
    check(&[
        (extract, "F: 'Dword:01'", "[reg.kind=Dword & reg.n=01]"),
        (extract, "F: 'Dword:1'", "[reg.kind=Dword & reg.n=#1]"),
        (extract, "F: ['a:1', 'b:2']", "[[reg.kind=a & reg.n=#1] | [reg.kind=b & reg.n=#2]]"),
        (extract, "F: 'null:'", "reg.kind=null"),
        (extract, "F: ['a:1', '-']", "[reg.kind=a & reg.n=#1]"),
        (extract, "F: '-'", "F=-"),
        (
            "type: extract_fields, regex: '(?P<x>a)', preserve_unmatched: true",
            "F: [a, b]",
            "[x=a | F=b]",
        ),
    ]);
}

#[test]
fn conditions_are_added_at_the_top() {
    let sel = "  sel: {Image: x}\n  filter: {Image: y}\n  condition: sel and not filter\n";
    let add = "- {type: add_condition, conditions: {Channel: Security, EventID: [1, 2]}}\n";
    assert_eq!(shown(add, sel), "([Channel=Security & EventID=#1,#2] and Image=x and not Image=y)");
    let negated = "- {type: add_condition, conditions: {'A|contains': b}, negated: true}\n";
    assert_eq!(shown(negated, sel), "(not A=*b* and Image=x and not Image=y)");
    let template = "- {type: add_condition, conditions: {i: '$product-${category}-$service'}, template: true}\n";
    assert_eq!(
        shown(template, sel),
        "(i=windows-process_creation-None and Image=x and not Image=y)"
    );
    // Selections that come later are mapped like the rule's own, and `them` does not mean them.
    let both = "- {type: add_condition, conditions: {Image: z}}\n- {type: field_name_prefix, prefix: e.}\n";
    let them = "  sel: {Image: x}\n  condition: 1 of them\n";
    assert_eq!(shown(both, them), "(e.Image=z and Any of (e.Image=x))");
    let lists = "  a: {Image: x}\n  b: {Image: y}\n  condition: [a, b]\n";
    assert_eq!(
        shown(add, lists),
        "([Channel=Security & EventID=#1,#2] and Image=x) ; \
         ([Channel=Security & EventID=#1,#2] and Image=y)"
    );
}

#[test]
fn items_are_dropped() {
    let drop = "- {type: drop_detection_item, field_name_conditions: [{type: include_fields, fields: [B]}]}\n";
    for (detection, expected) in [
        ("  s: {A: 1, B: 2}\n  condition: s\n", "A=#1"),
        ("  s: [{A: 1}, {B: 2}]\n  condition: s\n", "A=#1"),
        ("  s: {A: 1}\n  f: {B: 2}\n  condition: s and not f\n", "A=#1"),
        (
            "  s: {A: 1}\n  f_x: {B: 2}\n  f_y: {C: 3}\n  condition: s and not 1 of f_*\n",
            "(A=#1 and not Any of (C=#3))",
        ),
        ("  s: {B: 2}\n  condition: s\n", "the pipeline leaves nothing of the condition"),
    ] {
        assert_eq!(shown(drop, detection), expected, "{detection}");
    }
}

#[test]
fn the_log_source_is_replaced() {
    let text = "transformations:\n- {type: change_logsource, product: windows, service: sysmon}\n\
                - {type: add_condition, conditions: {A: b}, rule_conditions: [{type: logsource, service: sysmon}]}\n";
    let rule = changed(text, &rule("  s: {C: d}\n  condition: s\n")).unwrap();
    let source = rule.logsource.as_ref().unwrap();
    assert!(source.category.is_none());
    assert_eq!(source.service.as_ref().unwrap().node, "sysmon");
    assert_eq!(show_section(&rule.detection), "(A=b and C=d)");
}

#[test]
fn the_field_list_is_changed() {
    for (transformation, expected) in [
        ("type: add_field, field: [x, y]", vec!["Image", "User", "x", "y"]),
        ("type: remove_field, field: User", vec!["Image"]),
        ("type: set_field, fields: [z]", vec!["z"]),
    ] {
        let text = format!("transformations:\n- {{{transformation}}}\n");
        let rule = changed(&text, &rule("  s: {C: d}\n  condition: s\n")).unwrap();
        let fields: Vec<&str> = rule.fields.iter().map(|field| field.node.as_str()).collect();
        assert_eq!(fields, expected, "{transformation}");
    }
}

#[test]
fn rules_are_refused_with_the_message() {
    let sel = "  s: {A: b}\n  condition: s\n";
    for (transformation, expected) in [
        ("type: rule_failure, message: no such data", "no such data"),
        (
            "type: detection_item_failure, message: no A, field_name_conditions: [{type: include_fields, fields: [A]}]",
            "no A",
        ),
        (
            "type: detection_item_failure, message: no B, field_name_conditions: [{type: include_fields, fields: [B]}]",
            "A=b",
        ),
        ("type: strict_field_mapping_failure", "this field is not mapped: `A`"),
    ] {
        let shown = shown(&format!("- {{{transformation}}}\n"), sel);
        assert_eq!(shown.trim_start_matches("pipeline `without a name`: "), expected);
    }
    let mapped =
        "- {type: field_name_mapping, mapping: {A: c}}\n- {type: strict_field_mapping_failure}\n";
    assert_eq!(shown(mapped, sel), "c=b");
    let identity =
        "- {type: field_name_mapping, mapping: {A: A}}\n- {type: strict_field_mapping_failure}\n";
    assert_eq!(shown(identity, sel), "A=b");
}

#[test]
fn pipelines_nest() {
    let nest = "- type: nest\n  rule_conditions: [{type: logsource, category: process_creation}]\n  items:\n  \
                - {id: inner, type: set_state, key: k, val: 5}\n  \
                - {type: field_name_prefix, prefix: e.}\n\
                - {type: field_name_suffix, suffix: .k, rule_conditions: [{type: processing_item_applied, processing_item_id: inner}]}\n";
    assert_eq!(shown(nest, "  s: {A: b}\n  condition: s\n"), "e.A.k=b");
}

#[test]
fn alternatives_are_joined() {
    let sel = "  s: {A: x, C: y}\n  f: {C: z}\n  condition: s and not f\n";
    let differ = "- type: alternatives\n  alternatives:\n    one:\n    - {type: add_condition, conditions: {L: 1}}\n    \
                  two:\n    - {type: field_name_mapping, mapping: {A: B}}\n    - {type: add_condition, conditions: {L: 2}}\n";
    assert_eq!(
        shown(differ, sel),
        "((L=#1 and [A=x & C=y] and not C=z) or (L=#2 and [B=x & C=y] and not C=z))"
    );
    // The same rule in both ways is there once.
    let same = "  s: {C: y}\n  condition: s\n";
    assert_eq!(shown(differ, same), "((L=#1 or L=#2) and C=y)");
    // What comes later is added to all of it.
    let more = format!("{differ}- {{type: add_condition, conditions: {{M: 3}}}}\n");
    assert_eq!(
        shown(&more, sel),
        "(M=#3 and ((L=#1 and [A=x & C=y] and not C=z) or (L=#2 and [B=x & C=y] and not C=z)))"
    );
    let refuses = "- type: alternatives\n  alternatives:\n    one:\n    - {type: rule_failure, message: no}\n    \
                   two:\n    - {type: add_condition, conditions: {L: 2}}\n";
    assert_eq!(shown(refuses, same), "(L=#2 and C=y)");
    let all = "- type: alternatives\n  alternatives:\n    one:\n    - {type: rule_failure, message: no}\n";
    assert_eq!(shown(all, same), "pipeline `without a name`: no");
}

#[test]
fn alternatives_multiply_within_bounds() {
    let one = "- type: alternatives\n  alternatives:\n    a:\n    - {type: field_name_suffix, suffix: a}\n    \
               b:\n    - {type: field_name_suffix, suffix: b}\n";
    let text = format!("transformations:\n{}", one.repeat(30));
    let refused = changed(&text, &rule("  s: {A: x}\n  condition: s\n")).unwrap_err();
    assert!(refused.contains("more than 4096 selections"), "{refused}");
}

#[test]
fn selections_of_alternatives_have_names_of_their_own() {
    let text = "transformations:\n- type: alternatives\n  alternatives:\n    one:\n    - {id: l, type: add_condition, conditions: {L: 1}}\n    \
                two:\n    - {type: field_name_mapping, mapping: {A: B}}\n    - {id: l, type: add_condition, conditions: {L: 2}}\n";
    let rule =
        changed(text, &rule("  s: {A: x}\n  f: {C: z}\n  condition: s and not f\n")).unwrap();
    let names: Vec<&str> =
        rule.detection.selections.iter().map(|one| one.name.node.as_str()).collect();
    assert_eq!(names, ["s", "f", "_l", "s@two", "_l@two"]);
}

#[test]
fn a_field_mapping_is_a_pipeline() {
    let mapping = crate::FieldMapping::parse("fieldmappings: {A: [B, $.c.d]}\n").unwrap();
    let pipelines = crate::Pipelines::new([crate::Pipeline::from(&mapping)]);
    let documents = super::documents(&rule("  s: {A: x}\n  condition: s\n"));
    let outcomes = pipelines.apply(&[&documents[0]]);
    let crate::Outcome::Active(crate::Document::Rule(rule)) = &outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(show_section(&rule.detection), "[B=x | $.c.d=x]");
}

#[test]
fn what_shapes_query_text_is_named_and_does_nothing() {
    let text = "name: q\ntransformations:\n- {type: query_expression_placeholders, expression: x}\n\
                postprocessing:\n- {type: embed, prefix: a}\n- {type: template}\nfinalizers:\n- {type: concat}\n";
    let parsed = crate::Pipeline::parse(text);
    let messages: Vec<&str> = parsed.diagnostics.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`query_expression_placeholders` has no effect here",
            "`embed` in `postprocessing` has no effect here",
            "`template` in `postprocessing` has no effect here",
            "`concat` in `finalizers` has no effect here",
        ]
    );
    assert!(parsed.diagnostics.iter().all(|one| one.is_loadable));
    assert!(pipeline(text).has_transformations());
}
