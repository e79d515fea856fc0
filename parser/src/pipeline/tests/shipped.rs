//! The pipelines that come with the library.

use super::{documents, rule, show_section};
use crate::{Document, Outcome, Pipeline, Pipelines};

fn under(name: &str, text: &str) -> String {
    let pipelines = Pipelines::new(Pipeline::shipped(name));
    let documents = documents(text);
    match &pipelines.apply(&[&documents[0]])[0] {
        Outcome::Active(Document::Rule(rule)) => show_section(&rule.detection),
        Outcome::Dropped => "dropped".to_owned(),
        other => format!("{other:?}"),
    }
}

fn with_source(source: &str, detection: &str) -> String {
    let text = rule(detection);
    text.replace("{product: windows, category: process_creation}", source)
}

#[test]
fn they_are_without_findings() {
    for name in Pipeline::shipped_names() {
        let parsed = Pipeline::parse(super::super::shipped::text(name).unwrap());
        assert!(parsed.diagnostics.is_empty(), "{name}: {:?}", parsed.diagnostics);
        assert!(Pipeline::shipped(name).unwrap().has_transformations());
    }
    assert!(Pipeline::shipped("other").is_none());
}

#[test]
fn the_reference_names_every_transformation_and_condition() {
    use crate::pipeline::{condition, transformation};
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/pipelines.md");
    let text = std::fs::read_to_string(path).unwrap();
    let conditions =
        [condition::RULE_CONDITIONS, condition::ITEM_CONDITIONS, condition::FIELD_CONDITIONS];
    for (name, _) in transformation::TRANSFORMATIONS.iter().chain(conditions.into_iter().flatten())
    {
        assert!(text.contains(&format!("`{name}`")), "`{name}` is not in the reference");
    }
}

#[test]
fn windows_routes_by_channel() {
    let sel = "  s: {F: x}\n  condition: s\n";
    for (source, expected) in [
        ("{product: windows, service: security}", "(Channel=Security and F=x)"),
        (
            "{product: windows, category: image_load}",
            "([Channel=Microsoft-Windows-Sysmon/Operational & EventID=#7] and F=x)",
        ),
        (
            "{category: image_load}",
            "([Channel=Microsoft-Windows-Sysmon/Operational & EventID=#7] and F=x)",
        ),
        ("{product: windows}", "(Channel=exists:true and F=x)"),
        ("{product: linux, category: process_creation}", "dropped"),
        ("{product: windows, service: unheard-of}", "dropped"),
        (
            "{product: windows, category: process_creation}",
            "(([Channel=Microsoft-Windows-Sysmon/Operational & EventID=#1] or \
             [Channel=Security & EventID=#4688]) and F=x)",
        ),
    ] {
        assert_eq!(under("windows", &with_source(source, sel)), expected, "{source}");
    }
}

#[test]
fn windows_knows_the_fields_of_the_security_log() {
    let text = rule("  s: {Image: x, IntegrityLevel: System}\n  condition: s\n");
    assert_eq!(
        under("windows", &text),
        "(([Channel=Microsoft-Windows-Sysmon/Operational & EventID=#1] and [Image=x & IntegrityLevel=System]) or \
         ([Channel=Security & EventID=#4688] and [NewProcessName=x & MandatoryLabel=S-1-16-16384]))"
    );
}

#[test]
fn windows_spells_values_as_the_security_log_does() {
    let text = with_source(
        "{product: windows, category: network_connection}",
        r"  s: {Image|startswith: 'C:\Windows\', Initiated: true}
  condition: s
",
    );
    assert!(
        under("windows", &text)
            .contains(r"[Application=\device\harddiskvolume*\Windows\* & Direction=%%14593]"),
        "{}",
        under("windows", &text)
    );
    let text = with_source(
        "{product: windows, category: registry_set}",
        r"  s: {TargetObject|startswith: 'HKLM\System\CurrentControlSet\Services'}
  condition: s
",
    );
    let shown = under("windows", &text);
    assert!(
        shown.contains(r"ObjectName=\REGISTRY\MACHINE\System\ControlSet*\Services*"),
        "{shown}"
    );
}

#[test]
fn ecs_renames_what_windows_routes() {
    let text = with_source(
        "{product: windows, category: image_load}",
        "  s: {ImageLoaded: x, RuleName: y, a.b: z}\n  condition: s\n",
    );
    assert_eq!(
        under("ecs", &text),
        "([winlog.channel=Microsoft-Windows-Sysmon/Operational & event.code=#7] and \
         [[file.path=x | dll.path=x | winlog.event_data.ImageLoaded=x] & winlog.event_data.RuleName=y & a.b=z])"
    );
}

#[test]
fn zeek_names_its_logs() {
    let zeek = with_source("{product: zeek, service: dns}", "  s: {query: x}\n  condition: s\n");
    assert_eq!(under("zeek", &zeek), "((_path=dns or event.dataset=zeek.dns) and query=x)");
    let proxy = with_source(
        "{category: proxy}",
        "  s: {cs-host: x, c-uri-extension: exe}\n  condition: s\n",
    );
    assert_eq!(
        under("zeek", &proxy),
        "((_path=http or event.dataset=zeek.http) and [host=x & uri=*.exe])"
    );
    assert_eq!(under("zeek", &rule("  s: {F: x}\n  condition: s\n")), "dropped");
}
