//! The model of the JVM processor against what is known of it: its own answer with every quirk in place, the
//! specification's with all of them mended, and a cause for each difference.

use serde_json::Value;
use sigmill_parser::FieldMapping;
use sigmill_runtime::jvm_emulation::{JvmRule, Mended, OTHER, STATE};

/// Cases whose difference has another ground than one of the quirks.
const NOT_MODELLED: [&str; 0] = [];

#[test]
fn the_model_answers_as_the_jvm_processor_does() {
    let Some(folder) = crate::folder() else { return };
    let text = crate::read(&folder.join("confluent-sigma-cases.json"));
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (mut wrong, mut differing) = (Vec::new(), 0);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        // What Sigmill refuses to load has no model.
        let Some(rule) = crate::rules(case["rule"].as_str().unwrap()).pop() else { continue };
        let mapping = case["field_mapping"].as_str().map_or_else(FieldMapping::default, |text| {
            FieldMapping::parse(text).unwrap_or_else(|found| panic!("{text}: {found:?}"))
        });
        let rule = JvmRule::new(&rule, &mapping);
        let event = &case["event"];
        let jvm = case["expected_match"].as_bool().unwrap();
        let stated = case.get("spec_expected").unwrap_or(&case["expected_match"]);
        let ours = stated.as_bool().unwrap();
        if rule.holds(event, Mended::default()) != jvm {
            wrong.push(format!("{name}: the JVM processor's answer is {jvm}"));
        }
        if rule.holds(event, Mended::all()) != ours && !NOT_MODELLED.contains(&name) {
            wrong.push(format!("{name}: Sigmill's answer is {ours}"));
        }
        let causes = rule.causes(event, jvm, ours);
        differing += usize::from(!causes.is_empty());
        if causes.is_empty() != (jvm == ours)
            || causes.iter().any(|one| [STATE, OTHER].contains(one))
        {
            wrong.push(format!("{name}: {jvm}, {ours}: {causes:?}"));
        }
        if jvm != ours {
            println!("{name}: {causes:?}");
        }
    }
    assert!(differing >= 40, "{differing} cases differ");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
