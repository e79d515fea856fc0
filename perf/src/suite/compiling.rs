//! How long rules take to become a plan, and a changed rule to take effect.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use sigmill_codegen::{CompileOptions, Compiler, RuleDocument, compile};
use sigmill_parser::Rule;

use super::Context;
use crate::clones::clones;
use crate::input::parse_rules;
use crate::report::{self, Table};
use crate::turns::{Side, take};

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new(
        "compiling",
        "From rules to a plan",
        "Wall-clock time in milliseconds, one thread: reading the texts to trees (pipelines included), \
         trees to a plan, and all that one changed rule costs when the others are parsed and compiled \
         already. The rule changes to another and back by turns.",
        &["parse ms", "compile ms", "change one rule ms", "rules"],
    );
    for setting in &context.settings {
        for (name, texts) in
            [("given", context.texts.clone()), ("more", clones(&context.texts, context.rules_max))]
        {
            let rules = parse_rules(&texts, &setting.pipelines);
            let changed_text = clones(&texts, texts.len() + 1).pop().unwrap_or_default();
            let documents: Vec<RuleDocument> =
                rules.iter().cloned().map(RuleDocument::Rule).collect();
            let compiler = RefCell::new(Compiler::default());
            compiler.borrow_mut().compile(&documents, &CompileOptions::default(), &[]);
            let is_changed = Cell::new(false);
            let sides: Vec<Side<'_>> = vec![
                wall(|| parse_rules(&texts, &setting.pipelines).len()),
                wall(|| compiled(&rules)),
                wall(|| {
                    let changed =
                        parse_rules(std::slice::from_ref(&changed_text), &setting.pipelines);
                    is_changed.set(!is_changed.get());
                    let mut rules = documents.clone();
                    if let (Some(rule), Some(changed), true) =
                        (rules.last_mut(), changed.into_iter().next(), is_changed.get())
                    {
                        *rule = RuleDocument::Rule(changed);
                    }
                    let mut compiler = compiler.borrow_mut();
                    compiler.compile(&rules, &CompileOptions::default(), &[]).plan.rules().len()
                }),
            ];
            let samples = take(context.repeats, sides);
            let mut cells: Vec<report::Cell> =
                samples.iter().map(|one| report::Cell::Sample(one.map(|s| s * 1e3))).collect();
            cells.push(report::Cell::Count(rules.len() as u64));
            table.row(format!("{}, {name}", setting.name), 0.0, cells);
        }
    }
    Ok(vec![table])
}

fn compiled(rules: &[Arc<Rule>]) -> usize {
    compile(rules, &CompileOptions::default()).plan.rules().len()
}

/// A side whose work has to give the same number each time.
fn wall<'a>(work: impl Fn() -> usize + 'a) -> Side<'a> {
    let mut expected = None;
    Box::new(move || {
        let start = Instant::now();
        let outcome = work();
        let time = start.elapsed();
        assert_eq!(*expected.get_or_insert(outcome), outcome);
        time
    })
}
