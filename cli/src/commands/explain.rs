//! `sigmill rules explain`: what the compiler made of rules, and what it thinks that each costs.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sigmill_engine::PlanSize;

use crate::compiled::Compiled;
use crate::exit::{Exit, Failure};
use crate::pipelines::PipelineArgs;
use crate::stdio::put;
use sigmill_runtime::plan_report::{self, CoverAtom, FieldReport, RuleReport, Search};

/// So many fields and rules are listed without `--all`.
const LISTED_MAX: usize = 20;
/// So many atoms of a cover are listed without `--all`.
const COVER_LISTED_MAX: usize = 5;

/// What `sigmill rules explain` is asked.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A rule file, or a folder of rules; may be given several times.
    #[arg(long = "rules", required = true, value_name = "PATH")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    pipelines: PipelineArgs,
    /// Explain only rules with this id, or with this in their title, in full; may be given several times.
    #[arg(long = "rule", value_name = "ID|TITLE")]
    only: Vec<String>,
    /// List all fields, rules and covers, and not only the most expensive.
    #[arg(long)]
    all: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = ExplainFormat::Text)]
    format: ExplainFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExplainFormat {
    /// Tables.
    Text,
    /// An object.
    Json,
}

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let pipelines = args.pipelines.load()?;
    let compiled = Compiled::load(&args.rules, &pipelines)?;
    let mut rules = plan_report::rules(&compiled.plan);
    let is_asked_for = |rule: &RuleReport| {
        let title = compiled.titles[rule.source].to_lowercase();
        let id = compiled.ids[rule.source].as_deref().unwrap_or("");
        args.only
            .iter()
            .any(|only| id.eq_ignore_ascii_case(only) || title.contains(&only.to_lowercase()))
    };
    if !args.only.is_empty() {
        rules.retain(is_asked_for);
        if rules.is_empty() {
            let names = args.only.join(", ");
            return Err(Failure::Error(
                Exit::Rules,
                anyhow!("no rule has this id or title: {names}"),
            ));
        }
    }
    let fields = plan_report::fields(&compiled.plan);
    let text = match args.format {
        ExplainFormat::Json => format!("{:#}\n", json(&compiled, &fields, &rules)),
        ExplainFormat::Text if args.only.is_empty() => {
            let max = if args.all { usize::MAX } else { LISTED_MAX };
            summary(&compiled.plan.size())
                + &fields_table(&fields, max)
                + &always_table(&compiled, &rules)
                + &rules_table(&compiled, &mut rules, max)
        }
        ExplainFormat::Text => {
            let max = if args.all { usize::MAX } else { COVER_LISTED_MAX };
            rules.iter().map(|rule| rule_in_full(&compiled, rule, max)).collect()
        }
    };
    put(text.as_bytes())?;
    Ok(Exit::Fine)
}

fn summary(size: &PlanSize) -> String {
    format!(
        "{} rules over {} fields: {} distinct tests, of which {} are searched for in every record\n\
         (they wake rules); the others are done on demand, for rules that are awake.\n\
         Searches take {} kB. {} rules are decided on every record.\n",
        size.rules,
        size.fields,
        size.atoms,
        size.atoms_eager,
        size.matcher_bytes / 1000,
        size.rules_always
    )
}

/// Writing to a `String` does not fail, here and below.
fn fields_table(fields: &[FieldReport], max: usize) -> String {
    let mut text = "\nfields: tests, and how those are found that are searched for\n".to_owned();
    let _ = write!(text, "{:>7}{:>10}", "tests", "searched");
    for (_, name) in Search::ALL {
        let _ = write!(text, "{name:>10}");
    }
    text += "        kB  field\n";
    for field in fields.iter().take(max) {
        let _ = write!(text, "{:>7}{:>10}", field.atoms, field.atoms_eager);
        for count in field.searches {
            let _ = write!(text, "{count:>10}");
        }
        let _ = writeln!(
            text,
            "{:>10}  {}",
            field.matcher_bytes / 1000,
            if field.name.is_empty() {
                "(any value: keywords)".to_owned()
            } else {
                shown(&field.name)
            }
        );
    }
    more(&mut text, fields.len(), max, "fields");
    text += "whole, start, end: by hash; literal: by a search over the value's bytes; each: one by one\n";
    text
}

fn more(text: &mut String, count: usize, max: usize, noun: &str) {
    if count > max {
        let _ = writeln!(text, "… and {} more {noun} (--all)", count - max);
    }
}

fn always_table(compiled: &Compiled, rules: &[RuleReport]) -> String {
    let mut text = String::new();
    let always: Vec<&RuleReport> = rules.iter().filter(|rule| rule.is_always).collect();
    if always.is_empty() {
        return text;
    }
    text += "\nrules decided on every record: they can hold although nothing that can be searched \
             for does\n";
    for rule in always {
        let _ = writeln!(
            text,
            "{:>7} tests, {} on demand  {}",
            rule.tests,
            rule.tests_lazy,
            shown(&compiled.titles[rule.source])
        );
    }
    text
}

fn rules_table(compiled: &Compiled, rules: &mut [RuleReport], max: usize) -> String {
    rules.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(a.id.cmp(&b.id)));
    let woken: Vec<&RuleReport> = rules.iter().filter(|rule| !rule.is_always).collect();
    let mut text = "\nother rules: how often each is decided, about, what wakes it, and its tests \
                    (on demand)\n"
        .to_owned();
    for rule in woken.iter().take(max) {
        let _ = writeln!(
            text,
            "{:>9.3} %  {:>5} of {:>5} on demand  {}",
            rule.rate * 100.0,
            rule.tests_lazy,
            rule.tests,
            shown(&compiled.titles[rule.source])
        );
        let commonest = rule.cover.iter().max_by(|a, b| a.rate.total_cmp(&b.rate));
        if let Some(atom) = commonest {
            let others = match rule.cover.len() {
                1 => String::new(),
                count => format!(" or one of {} others", count - 1),
            };
            let _ = writeln!(text, "             if {}{others}", atom_text(atom));
        }
    }
    more(&mut text, woken.len(), max, "rules");
    text
}

fn rule_in_full(compiled: &Compiled, rule: &RuleReport, max: usize) -> String {
    let mut text = shown(&compiled.titles[rule.source]);
    if let Some(id) = &compiled.ids[rule.source] {
        let _ = write!(text, " ({})", shown(id));
    }
    if rule.condition > 0 {
        let _ = write!(text, ", condition {}", rule.condition + 1);
    }
    text.push('\n');
    if rule.is_always {
        text += "  is decided on every record: nothing that can be searched for has to hold\n";
    } else {
        let _ = writeln!(
            text,
            "  is decided on {:.3} % of records, about, when one of {} holds:",
            rule.rate * 100.0,
            rule.cover.len()
        );
        let mut cover: Vec<&CoverAtom> = rule.cover.iter().collect();
        cover.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        for atom in cover.iter().take(max) {
            let _ = writeln!(text, "  {:>9.3} %  {}", atom.rate * 100.0, atom_text(atom));
        }
        more(&mut text, cover.len(), max, "tests");
    }
    let _ = writeln!(
        text,
        "  its condition has {} tests, {} of them done on demand",
        rule.tests, rule.tests_lazy
    );
    text
}

fn atom_text(atom: &CoverAtom) -> String {
    let field = if atom.field.is_empty() { "any value".to_owned() } else { shown(&atom.field) };
    format!("{field} {} {}", atom.kind, shown(&atom.text)).trim_end().to_owned()
}

/// A text of a rule may hold anything, and a line must stay one.
fn shown(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

fn json(compiled: &Compiled, fields: &[FieldReport], rules: &[RuleReport]) -> Value {
    let size = compiled.plan.size();
    let field = |field: &FieldReport| {
        let names = Search::ALL.iter().map(|(_, name)| (*name).to_owned());
        let searches: serde_json::Map<String, Value> =
            names.zip(field.searches.map(Value::from)).collect();
        json!({
            "field": field.name,
            "tests": field.atoms,
            "tests_searched": field.atoms_eager,
            "searches": searches,
            "matcher_bytes": field.matcher_bytes,
        })
    };
    let rule = |rule: &RuleReport| {
        rule.to_json(&compiled.titles[rule.source], compiled.ids[rule.source].as_deref())
    };
    json!({
        "rules": size.rules,
        "rules_always": size.rules_always,
        "tests": size.atoms,
        "tests_searched": size.atoms_eager,
        "matcher_bytes": size.matcher_bytes,
        "fields": fields.iter().map(field).collect::<Vec<_>>(),
        "plan_rules": rules.iter().map(rule).collect::<Vec<_>>(),
    })
}
