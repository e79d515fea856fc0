//! What the compiler chose for a rule set: by field its searches, by rule what wakes it.
//!
//! In: a plan. Out: plain data for `sigmill rules explain` to print and for the port to show. Costs are estimates: how often an
//! atom holds is what the compiler itself assumes when it chooses.

use serde_json::{Value, json};
use sigmill_engine::{AtomView, FieldId, KEYWORDS, Op, Plan, RuleId, Test};

/// How an atom is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Whole texts and numbers, by a hash.
    Whole,
    /// Prefixes, by a hash of the text's beginning.
    Start,
    /// Suffixes, by a hash of the text's end.
    End,
    /// Literals anywhere, by a search over the value's bytes.
    Literal,
    /// The field is there.
    Presence,
    /// Asked of every value by itself.
    Each,
}

impl Search {
    /// All, in the order of the columns.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Whole, "whole"),
        (Self::Start, "start"),
        (Self::End, "end"),
        (Self::Literal, "literal"),
        (Self::Presence, "presence"),
        (Self::Each, "each"),
    ];

    fn of(field: FieldId, test: &Test) -> Self {
        let in_text = |search| if field == KEYWORDS { Self::Literal } else { search };
        match test {
            Test::Equals(_) | Test::Number { .. } => in_text(Self::Whole),
            Test::StartsWith(_) => in_text(Self::Start),
            Test::EndsWith(_) => in_text(Self::End),
            Test::Contains(_) | Test::Wildcard { .. } => Self::Literal,
            Test::Regex(regex) if !regex.required.is_empty() => Self::Literal,
            Test::Exists => Self::Presence,
            _ => Self::Each,
        }
    }
}

/// A field and its searches.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FieldReport {
    /// Empty for keywords.
    pub name: String,
    pub atoms: usize,
    pub atoms_eager: usize,
    /// Eager atoms by [`Search`].
    pub searches: [usize; Search::ALL.len()],
    pub matcher_bytes: usize,
}

/// An atom of a rule's cover.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CoverAtom {
    pub field: String,
    pub kind: &'static str,
    pub text: String,
    /// The share of records in which it holds, as the compiler assumes.
    pub rate: f64,
}

/// A rule and what wakes it.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RuleReport {
    pub id: RuleId,
    /// Index of its document.
    pub source: usize,
    /// Which of the rule's conditions it is.
    pub condition: u32,
    /// Nothing has to hold if it holds: it is decided on every record.
    pub is_always: bool,
    /// One of these has to hold.
    pub cover: Vec<CoverAtom>,
    /// How often it is woken, about: a share of records.
    pub rate: f64,
    /// Tests of its condition that are done on demand, and all of its tests.
    pub tests_lazy: usize,
    pub tests: usize,
}

impl RuleReport {
    /// As an object; the title and the id are those of its document.
    pub fn to_json(&self, title: &str, id: Option<&str>) -> Value {
        let atom = |atom: &CoverAtom| {
            json!({
                "field": atom.field,
                "kind": atom.kind,
                "text": atom.text,
                "rate": atom.rate,
            })
        };
        json!({
            "title": title,
            "id": id,
            "condition": self.condition,
            "is_always": self.is_always,
            "rate": self.rate,
            "tests": self.tests,
            "tests_on_demand": self.tests_lazy,
            "cover": self.cover.iter().map(atom).collect::<Vec<_>>(),
        })
    }
}

/// The fields that rules name, those with the most eager atoms first.
pub fn fields(plan: &Plan) -> Vec<FieldReport> {
    let mut fields: Vec<FieldReport> = plan
        .fields()
        .map(|field| FieldReport {
            name: plan.field_name(field).to_owned(),
            atoms: 0,
            atoms_eager: 0,
            searches: [0; Search::ALL.len()],
            matcher_bytes: plan.matcher_bytes(field).unwrap_or(0),
        })
        .collect();
    for atom in plan.atoms() {
        let report = &mut fields[atom.field.0 as usize];
        report.atoms += 1;
        if atom.is_eager {
            report.atoms_eager += 1;
            report.searches[Search::of(atom.field, atom.test) as usize] += 1;
        }
    }
    fields.retain(|field| field.atoms > 0);
    fields.sort_by(|a, b| b.atoms_eager.cmp(&a.atoms_eager).then_with(|| a.name.cmp(&b.name)));
    fields
}

/// The rules in the order of the plan.
pub fn rules(plan: &Plan) -> Vec<RuleReport> {
    let atoms: Vec<AtomView<'_>> = plan.atoms().collect();
    let mut reports: Vec<RuleReport> = plan
        .rules()
        .iter()
        .enumerate()
        .map(|(id, rule)| RuleReport {
            id: RuleId(id as u32),
            source: rule.source as usize,
            condition: rule.condition,
            is_always: false,
            cover: Vec::new(),
            rate: 0.0,
            tests_lazy: 0,
            tests: 0,
        })
        .collect();
    for atom in &atoms {
        for rule in atom.wakes {
            let found = cover_atom(plan, atom);
            let report = &mut reports[rule.0 as usize];
            report.rate += found.rate;
            report.cover.push(found);
        }
    }
    for rule in plan.always() {
        reports[rule.0 as usize].is_always = true;
        reports[rule.0 as usize].rate = 1.0;
    }
    let group_sizes = plan.group_sizes();
    for report in &mut reports {
        report.rate = report.rate.min(1.0);
        for op in plan.program(report.id) {
            match op {
                Op::Test(atom) => {
                    report.tests += 1;
                    report.tests_lazy += usize::from(!atoms[atom.0 as usize].is_eager);
                }
                // Groups are of atoms that are searched for.
                Op::TestGroup(group) => report.tests += group_sizes[group.0 as usize],
                _ => {}
            }
        }
    }
    reports
}

fn cover_atom(plan: &Plan, atom: &AtomView<'_>) -> CoverAtom {
    let field = plan.field_name(atom.field);
    let (kind, text) = spelled(atom.test);
    CoverAtom {
        field: field.to_owned(),
        kind,
        text,
        rate: sigmill_codegen::atom_rate(field, atom.test),
    }
}

/// A test in the words of a rule.
fn spelled(test: &Test) -> (&'static str, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match test {
        Test::Equals(wanted) => ("equals", text(&wanted.bytes)),
        Test::StartsWith(wanted) => ("startswith", text(&wanted.bytes)),
        Test::EndsWith(wanted) => ("endswith", text(&wanted.bytes)),
        Test::Contains(wanted) => ("contains", text(&wanted.bytes)),
        Test::Wildcard { parts, .. } => {
            let part = |part: &sigmill_engine::WildcardPart| match part {
                sigmill_engine::WildcardPart::Literal(literal) => text(literal),
                sigmill_engine::WildcardPart::AnyChar => "?".to_owned(),
                sigmill_engine::WildcardPart::AnyRun => "*".to_owned(),
            };
            ("like", parts.iter().map(part).collect())
        }
        Test::Number { text: spelled, .. } => ("equals", text(spelled)),
        Test::Compare { order, bound } => ("compare", format!("{order:?} {bound:?}")),
        Test::Regex(regex) => ("re", regex.pattern.to_string()),
        Test::Cidr { address, prefix } => ("cidr", format!("{address}/{prefix}")),
        Test::Exists => ("exists", String::new()),
        Test::Null => ("null", String::new()),
        Test::Something => ("like", "*".to_owned()),
        Test::FieldRef { .. } => ("fieldref", String::new()),
        #[allow(unreachable_patterns, reason = "a test of another kind is shown as it is")]
        other => ("test", format!("{other:?}")),
    }
}
