//! Rules as records of the rules topic: the title is the key, the whole document as JSON the value.

use std::collections::HashMap;

use sigmill_codegen::CompileOptions;
use sigmill_runtime::rule_files::RuleFiles;
use sigmill_runtime::rules_topic::NewRule;

use crate::diagnostics::Finding;
use crate::rule_set;
use crate::stdio::say;

/// The records of all rules that load and compile, and how many files or rules failed; each of those is
/// named on standard error. Of rules with the same title the last one counts, as it would on the topic.
pub(crate) fn records(loaded: &RuleFiles) -> (Vec<NewRule>, usize) {
    let compiled = sigmill_codegen::compile(&loaded.compile_list(), &CompileOptions::default());
    let mut refused: Vec<Finding<'_>> = rule_set::refusals(loaded, &compiled.refused);
    refused.extend(rule_set::not_run(loaded));
    loaded.files.iter().flat_map(rule_set::loads_or_not).for_each(say);
    refused.iter().for_each(say);

    let mut records: Vec<NewRule> = Vec::new();
    let mut by_title: HashMap<&str, (usize, usize)> = HashMap::new();
    for (index, source) in loaded.rules.iter().enumerate() {
        if compiled.refused.iter().any(|refused| refused.index == index) {
            continue;
        }
        let title = source.rule.title.node.as_str();
        if let Some((at, earlier)) = by_title.get_mut(title) {
            say(format_args!(
                "{}: warning: the title `{title}` is that of {} too, which it replaces: a title is \
                 the key of a rule",
                loaded.files[source.file].path.display(),
                loaded.files[*earlier].path.display(),
            ));
            records[*at] = NewRule::of(&source.rule);
            *earlier = source.file;
        } else {
            by_title.insert(title, (records.len(), source.file));
            records.push(NewRule::of(&source.rule));
        }
    }
    (records, loaded.failed_count() + refused.len())
}
