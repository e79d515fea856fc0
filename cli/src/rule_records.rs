//! Rules as records of the rules topic: the title is the key, the whole document as JSON the value.

use std::collections::HashMap;

use sigmill_codegen::{CompileError, CompileOptions, Refused, RuleDocument};
use sigmill_runtime::rule_files::RuleFiles;
use sigmill_runtime::rules_topic::NewRule;

use crate::diagnostics::Finding;
use crate::rule_set;
use crate::stdio::say;

/// What is to be written, and what of it a user has to know.
pub(crate) struct Records {
    /// The documents behind the records, in the same order.
    pub(crate) documents: Vec<RuleDocument>,
    /// The records.
    pub(crate) records: Vec<NewRule>,
    /// How many files or documents failed; each is named on standard error.
    pub(crate) failed_count: usize,
}

/// The records of all rules, correlations and filters that load and compile. Of documents with the same
/// title the last one counts, as it would on the topic. What a correlation names may be on the topic
/// already: that it is not in the files is a warning.
pub(crate) fn records(loaded: &RuleFiles) -> Records {
    let documents = loaded.document_list();
    let compiled = sigmill_codegen::compile_set(&documents, &CompileOptions::default(), &[]);
    let is_fatal = |refused: &&Refused| match refused.error {
        CompileError::Circle => true,
        // Only where the caller keeps them; the processor's pipelines have their values.
        CompileError::Placeholder { .. } => false,
        _ => !refused.error.is_of_the_set(),
    };
    let refused: Vec<Refused> = compiled.refused.iter().filter(is_fatal).cloned().collect();
    loaded.files.iter().flat_map(rule_set::loads_or_not).for_each(say);
    let findings: Vec<Finding<'_>> = rule_set::refusals(loaded, &refused);
    findings.iter().for_each(say);
    let failed_count = loaded.failed_count() + findings.len();

    let mut kept: Vec<(RuleDocument, NewRule)> = Vec::new();
    let mut by_title: HashMap<String, (usize, usize)> = HashMap::new();
    for (index, document) in documents.into_iter().enumerate() {
        if refused.iter().any(|refused| refused.index == index) {
            continue;
        }
        let (file, _) = rule_set::place(loaded, index);
        let record = NewRule::of_document(&document);
        if let Some((at, earlier)) = by_title.get_mut(&record.key) {
            let (earlier_file, _) = rule_set::place(loaded, *earlier);
            say(format_args!(
                "{}: warning: the title `{}` is that of {} too, which it replaces: a title is the key of \
                 a rule",
                file.path.display(),
                record.key,
                earlier_file.path.display(),
            ));
            kept[*at] = (document, record);
            *earlier = index;
        } else {
            by_title.insert(record.key.clone(), (kept.len(), index));
            kept.push((document, record));
        }
    }
    let (documents, records) = kept.into_iter().unzip();
    Records { documents, records, failed_count }
}
