//! Several pipelines over a set of documents.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::run::{Failure, Kind, Run};
use super::work::Work;
use super::{Pipeline, UnmappedLogsource, apply, correlation, filters, placeholders};
use crate::Document;
use crate::correlation::{Correlation, Filter};
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::{DetectionSection, Logsource, Rule};
use crate::span::{Span, Spanned};
use crate::yaml::Node;

/// Pipelines in the order in which they are applied.
///
/// Rules are best read with [`ParseOptions::keeps_placeholders`](crate::ParseOptions), since a pipeline
/// may have the values of their placeholders.
#[derive(Debug, Clone, Default)]
pub struct Pipelines {
    pipelines: Vec<Pipeline>,
    /// The variables of all of them; a later pipeline overrides an earlier one.
    vars: BTreeMap<String, Vec<String>>,
    /// The variables of those that have nothing else: they are meant to be used as they are.
    plain_vars: BTreeMap<String, Vec<String>>,
    unmapped_logsource: Option<UnmappedLogsource>,
}

/// What becomes of a document under pipelines.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// It is used in this form.
    Active(Document),
    /// No pipeline gave its log source a condition, and such rules are to be left out.
    Dropped,
    /// A filter that is a part of the rules now, as which it was changed with them.
    Merged,
    /// It cannot be used: a pipeline refuses it, or a placeholder has no value. The place is one in
    /// the document's own text.
    Refused(Diagnostic),
}

impl Pipelines {
    /// Puts pipelines in order: by rising priority, then as given.
    pub fn new(pipelines: impl IntoIterator<Item = Pipeline>) -> Self {
        let mut pipelines: Vec<Pipeline> = pipelines.into_iter().collect();
        pipelines.sort_by_key(|pipeline| pipeline.priority);
        let (mut vars, mut plain_vars) = (BTreeMap::new(), BTreeMap::new());
        for pipeline in &pipelines {
            vars.extend(pipeline.vars.clone());
            if !pipeline.has_transformations() {
                plain_vars.extend(pipeline.vars.clone());
            }
        }
        let unmapped_logsource = pipelines.iter().rev().find_map(|one| one.unmapped_logsource);
        Self { pipelines, vars, plain_vars, unmapped_logsource }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pipelines.is_empty()
    }

    /// What becomes of a rule whose log source gets no condition. The last pipeline that says
    /// something decides; by default it runs everywhere.
    pub fn unmapped_logsource(&self) -> UnmappedLogsource {
        self.unmapped_logsource.unwrap_or(UnmappedLogsource::Keep)
    }

    /// What becomes of each document, in order. Correlations follow the log sources of the rules that
    /// they name, so the set should be whole.
    pub fn apply(&self, documents: &[&Document]) -> Vec<Outcome> {
        let filters = self.filters(documents);
        let rules = documents.iter().map(|document| match document {
            Document::Rule(rule) => Some(self.rule(rule, &filters)),
            Document::Filter(filter) => Some(self.filter(filter, documents)),
            Document::Correlation(_) => None,
        });
        let outcomes: Vec<Option<Outcome>> = rules.collect();
        let sources = LogsourcesByName::new(documents, &outcomes);
        let pairs = documents.iter().zip(outcomes);
        let outcome = |(document, outcome): (&&Document, Option<Outcome>)| match document {
            Document::Correlation(correlation) => {
                self.correlation(correlation, &sources.of(correlation))
            }
            // The other kinds have theirs.
            _ => outcome.unwrap_or(Outcome::Dropped),
        };
        pairs.map(outcome).collect()
    }

    /// The filters that have to be changed with their rules: all, if anything is changed.
    fn filters<'d>(&self, documents: &[&'d Document]) -> Vec<&'d Filter> {
        if !self.pipelines.iter().any(Pipeline::has_transformations) {
            return Vec::new();
        }
        let filter = |document: &&'d Document| match document {
            Document::Filter(filter) => Some(filter.as_ref()),
            _ => None,
        };
        documents.iter().filter_map(filter).collect()
    }

    fn rule(&self, rule: &Rule, filters: &[&Filter]) -> Outcome {
        let mut work = Work::new(rule.logsource.as_ref(), &rule.fields, &rule.detection);
        for filter in filters.iter().filter(|filter| filters::reaches(filter, rule)) {
            filters::merge(filter, &mut work);
        }
        let (work, has_condition) = match self.section(&rule.document, work) {
            Ok(done) => done,
            Err(failure) => return Outcome::Refused(refused(failure, rule.title.span)),
        };
        if !has_condition && self.unmapped_logsource() == UnmappedLogsource::Drop {
            return Outcome::Dropped;
        }
        let (logsource, fields) = (work.logsource.clone(), work.fields.clone());
        match finished(work, rule.title.span) {
            Err(diagnostic) => Outcome::Refused(diagnostic),
            Ok(detection) => Outcome::Active(Document::Rule(Box::new(Rule {
                logsource,
                fields,
                detection,
                ..rule.clone()
            }))),
        }
    }

    /// A filter without a rule stays as it is, for whoever compiles it to name; only its placeholders
    /// are filled, as those of all filters are if there is nothing but variables.
    fn filter(&self, filter: &Filter, documents: &[&Document]) -> Outcome {
        let is_reached = |document: &&Document| match document {
            Document::Rule(rule) => filters::reaches(filter, rule),
            _ => false,
        };
        let has_transformations = self.pipelines.iter().any(Pipeline::has_transformations);
        if has_transformations && documents.iter().any(is_reached) {
            return Outcome::Merged;
        }
        let mut work = Work::new(filter.logsource.as_ref(), &[], &filter.detection);
        if let Err(failure) = placeholders::fill_from_vars(&self.vars, &mut work) {
            return Outcome::Refused(refused(failure, filter.title.span));
        }
        match finished(work, filter.title.span) {
            Err(diagnostic) => Outcome::Refused(diagnostic),
            Ok(detection) => {
                let filter = Filter { detection, ..filter.clone() };
                Outcome::Active(Document::Filter(Box::new(filter)))
            }
        }
    }

    /// Applies all pipelines; says also whether the log source got a condition.
    fn section(&self, document: &Node, mut work: Work) -> Result<(Work, bool), Failure> {
        let mut run = self.run(Kind::Rule, document, &[]);
        for pipeline in &self.pipelines {
            run.file_values = Some(&pipeline.file_values);
            apply::items(&pipeline.items, &mut run, &mut work)
                .map_err(|failure| named(pipeline, &failure))?;
        }
        placeholders::fill_from_vars(&self.plain_vars, &mut work)?;
        Ok((work, run.has_logsource_condition))
    }

    fn correlation(&self, correlation: &Correlation, logsources: &[Logsource]) -> Outcome {
        let mut changed = correlation.clone();
        let mut run = self.run(Kind::Correlation, &correlation.document, logsources);
        for pipeline in &self.pipelines {
            if let Err(failure) = correlation::items(&pipeline.items, &mut run, &mut changed) {
                let failure = named(pipeline, &failure);
                return Outcome::Refused(refused(failure, correlation.title.span));
            }
        }
        Outcome::Active(Document::Correlation(Box::new(changed)))
    }

    fn run<'a>(&'a self, kind: Kind, document: &'a Node, logsources: &'a [Logsource]) -> Run<'a> {
        Run {
            kind,
            document,
            vars: &self.vars,
            file_values: None,
            logsources,
            applied: BTreeSet::new(),
            applied_to_names: BTreeMap::new(),
            state: BTreeMap::new(),
            attributes: BTreeMap::new(),
            mapped: BTreeSet::new(),
            has_logsource_condition: false,
            is_for_logsource: false,
        }
    }
}

fn named(pipeline: &Pipeline, failure: &Failure) -> Failure {
    Failure::new(format!("pipeline `{}`: {}", pipeline.title(), failure.message))
}

fn refused(failure: Failure, span: Span) -> Diagnostic {
    Diagnostic::error(Code::PipelineFailure, span).message(failure.message)
}

/// The section that a rule ends up with, all placeholders filled.
fn finished(work: Work, span: Span) -> Result<DetectionSection, Diagnostic> {
    let section = work.into_section().map_err(|failure| refused(failure, span))?;
    match placeholders::unresolved(&section) {
        Some(diagnostic) => Err(diagnostic),
        None => Ok(section),
    }
}

/// The log sources of rules, before and after their pipelines, by id and name.
struct LogsourcesByName<'a> {
    sources: HashMap<&'a str, Vec<Logsource>>,
    correlations: HashMap<&'a str, &'a Correlation>,
}

impl<'a> LogsourcesByName<'a> {
    fn new(documents: &[&'a Document], outcomes: &[Option<Outcome>]) -> Self {
        let mut sources: HashMap<&str, Vec<Logsource>> = HashMap::new();
        let mut correlations = HashMap::new();
        for (document, outcome) in documents.iter().zip(outcomes) {
            match document {
                Document::Rule(rule) => {
                    let mut own: Vec<Logsource> = rule.logsource.iter().cloned().collect();
                    if let Some(Outcome::Active(Document::Rule(changed))) = outcome {
                        own.extend(changed.logsource.clone());
                    }
                    for name in names(&rule.id, &rule.name) {
                        sources.entry(name).or_default().extend(own.iter().cloned());
                    }
                }
                Document::Correlation(correlation) => {
                    for name in names(&correlation.id, &correlation.name) {
                        correlations.insert(name, correlation.as_ref());
                    }
                }
                Document::Filter(_) => {}
            }
        }
        Self { sources, correlations }
    }

    /// The log sources of all rules that a correlation builds on, through other correlations too.
    fn of(&self, correlation: &'a Correlation) -> Vec<Logsource> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![correlation];
        while let Some(correlation) = open.pop() {
            for name in correlation.rules.iter().map(|rule| rule.node.as_str()) {
                if seen.insert(name.to_owned()) {
                    found.extend(self.sources.get(name).into_iter().flatten().cloned());
                    open.extend(self.correlations.get(name));
                }
            }
        }
        found
    }
}

fn names<'a>(
    id: &'a Option<Spanned<String>>,
    name: &'a Option<Spanned<String>>,
) -> impl Iterator<Item = &'a str> {
    [id, name].into_iter().flatten().map(|name| name.node.as_str())
}
