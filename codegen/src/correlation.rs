//! From correlations and the older aggregations to windows.
//!
//! Each correlation, and each condition of a rule with an aggregation behind it, becomes one window. The
//! values that make its group are read from the records that its rules match. Where it is fed by another
//! window they are values of that window's group if it has one of the name, else they are read from the
//! event that completed the other window, which has to carry them.

use std::collections::HashMap;

use sigmill_engine::window::{
    Bound, Edge, FieldSource, Fixed, Measure, Source, Window, WindowCondition, WindowExpr,
    WindowId, WindowPlan,
};
use sigmill_engine::{FieldId, PlanBuilder, RuleId};
use sigmill_parser::{
    Aggregation, AggregationFunction, AggregationKind, AggregationRelation, Correlation,
    CorrelationCondition, CorrelationType, Expr, FieldMapping, Number, Quantifier, Rule, Spanned,
    Threshold,
};

use crate::CompileError;
use crate::rule_set::{References, RuleDocument};

/// Windows that feed windows that feed windows: so many at most.
const LEVELS_MAX: u32 = 16;
/// Rules that a correlation names at most.
const INPUTS_MAX: usize = 1_000;
/// Rows of rules of which one has to match in order: more an ordered condition cannot mean.
const ROWS_MAX: usize = 64;

/// The windows of a rule set while they are put together.
pub(crate) struct Windows<'a> {
    mapping: &'a FieldMapping,
    drafts: Vec<Draft>,
    /// By document: what its matches are.
    feeds: HashMap<usize, Vec<Source>>,
}

/// A window whose edges know names instead of places.
struct Draft {
    window: Window,
    level: u32,
    links: Vec<Link>,
    /// The names of the fields that windows fed by this one ask for.
    carried: Vec<String>,
}

struct Link {
    from: Source,
    input: u16,
    group: Vec<String>,
    values: Vec<String>,
}

impl<'a> Windows<'a> {
    pub(crate) fn new(mapping: &'a FieldMapping) -> Self {
        Self { mapping, drafts: Vec::new(), feeds: HashMap::new() }
    }

    /// A rule has compiled; `ids` are those of its conditions, and of what they name behind `near`. Says
    /// which of them are detections.
    pub(crate) fn add_rule(
        &mut self,
        (at, rule): (usize, &Rule),
        ids: &[RuleId],
        is_emitting: bool,
        builder: &mut PlanBuilder,
    ) -> Result<Vec<bool>, CompileError> {
        let mut drafts = Vec::new();
        let (own, mut near) = ids.split_at(rule.detection.conditions.len());
        let near_count = near.len();
        for (condition, id) in rule.detection.conditions.iter().zip(own) {
            let draft = condition.aggregation.as_ref().map(|aggregation| {
                let timeframe = rule.detection.timeframe.as_ref();
                let (neighbours, rest) = near.split_at(aggregation.neighbours().len());
                near = rest;
                aggregation_draft(aggregation, timeframe, (*id, neighbours))
            });
            drafts.push(draft.transpose()?);
        }
        for draft in drafts.iter().flatten() {
            self.intern(draft, builder)?;
        }
        let mut emits = Vec::new();
        for ((condition_index, draft), id) in drafts.into_iter().enumerate().zip(own) {
            emits.push(is_emitting && draft.is_none());
            let source = match draft {
                None => Source::Rule(*id),
                Some(mut draft) => {
                    draft.window.source = at as u32;
                    draft.window.condition_index = condition_index as u32;
                    draft.window.is_emitting = is_emitting;
                    self.drafts.push(draft);
                    Source::Window(WindowId(self.drafts.len() as u32 - 1))
                }
            };
            self.feeds.entry(at).or_default().push(source);
        }
        emits.extend(std::iter::repeat_n(false, near_count));
        Ok(emits)
    }

    /// Adds a correlation, behind all that it refers to.
    pub(crate) fn add_correlation(
        &mut self,
        (at, correlation): (usize, &Correlation),
        documents: &[RuleDocument],
        names: &References,
        builder: &mut PlanBuilder,
    ) -> Result<(), CompileError> {
        let refused = |reason: String| CompileError::Correlation { reason };
        if correlation.rules.len() > INPUTS_MAX {
            return Err(refused(format!("it names more than {INPUTS_MAX} rules")));
        }
        let mut links = Vec::new();
        let mut level = 0;
        for (input, reference) in correlation.rules.iter().enumerate() {
            let name = &reference.node;
            let found = names.find(name);
            if found.is_empty() {
                return Err(names.missing(name));
            }
            for inner in found {
                let Some(sources) = self.feeds.get(&inner) else {
                    return Err(CompileError::RefusedReference { name: name.clone() });
                };
                let resolved = |field: &Spanned<String>| {
                    alias_target(correlation, &field.node, name, &documents[inner])
                };
                for from in sources {
                    if let Source::Window(window) = from {
                        level = level.max(self.drafts[window.0 as usize].level + 1);
                    }
                    links.push(Link {
                        from: *from,
                        input: input as u16,
                        group: correlation.group_by.iter().map(resolved).collect(),
                        values: threshold_fields(correlation).iter().map(resolved).collect(),
                    });
                }
            }
        }
        if level >= LEVELS_MAX {
            return Err(refused(format!("it stands on more than {LEVELS_MAX} correlations")));
        }
        let (measure, condition) = measure(correlation)?;
        let draft = Draft {
            window: Window {
                source: at as u32,
                condition_index: 0,
                measure,
                condition,
                timespan_ms: millis(correlation.timespan.node),
                group_by: correlation.group_by.iter().map(|field| field.node.clone()).collect(),
                inputs: correlation.rules.len() as u16,
                is_emitting: names.is_emitting(at),
                edges: Vec::new(),
            },
            level,
            links,
            carried: Vec::new(),
        };
        self.intern(&draft, builder)?;
        self.drafts.push(draft);
        self.feeds.insert(at, vec![Source::Window(WindowId(self.drafts.len() as u32 - 1))]);
        Ok(())
    }

    /// Makes sure that every field that the window reads has a number.
    fn intern(&self, draft: &Draft, builder: &mut PlanBuilder) -> Result<(), CompileError> {
        for name in draft.links.iter().flat_map(|link| link.group.iter().chain(&link.values)) {
            for target in self.mapping.targets(name) {
                crate::field(builder, target)?;
            }
        }
        Ok(())
    }

    /// The windows with their edges. `is_emitting` says for every rule whether its matches are
    /// detections.
    pub(crate) fn build(mut self, is_emitting: Vec<bool>, builder: &mut PlanBuilder) -> WindowPlan {
        // A window knows what it has to carry when all that it feeds have their edges.
        for at in (0..self.drafts.len()).rev() {
            let links = std::mem::take(&mut self.drafts[at].links);
            let carried = self.drafts[at].carried.clone();
            let mut edges = Vec::new();
            for link in links {
                let mut sources = |names: &[String]| -> Vec<FieldSource> {
                    names.iter().map(|name| self.field_source(link.from, name, builder)).collect()
                };
                edges.push(Edge {
                    from: link.from,
                    input: link.input,
                    group: sources(&link.group),
                    values: sources(&link.values),
                    carried: sources(&carried),
                });
            }
            self.drafts[at].window.edges = edges;
        }
        WindowPlan::new(self.drafts.into_iter().map(|draft| draft.window).collect(), is_emitting)
    }

    fn field_source(&mut self, from: Source, name: &str, builder: &mut PlanBuilder) -> FieldSource {
        let Source::Window(window) = from else {
            let targets = self.mapping.targets(name);
            // Every name was interned when the window was drafted.
            let fields: Vec<FieldId> =
                targets.iter().filter_map(|target| crate::field(builder, target).ok()).collect();
            return FieldSource::Record(fields);
        };
        let draft = &mut self.drafts[window.0 as usize];
        if let Some(at) = draft.window.group_by.iter().position(|known| known == name) {
            return FieldSource::Group(at as u16);
        }
        let at = draft.carried.iter().position(|known| known == name).unwrap_or_else(|| {
            draft.carried.push(name.to_owned());
            draft.carried.len() - 1
        });
        FieldSource::Carried(at as u16)
    }
}

fn millis(timespan: std::time::Duration) -> i64 {
    i64::try_from(timespan.as_millis()).unwrap_or(i64::MAX)
}

/// What a name in `group-by` or `field` means in the events of a rule: the field that an alias gives it,
/// else itself.
fn alias_target(
    correlation: &Correlation,
    name: &str,
    reference: &str,
    document: &RuleDocument,
) -> String {
    let is_meant = |rule: &str| {
        rule == reference
            || document.name() == Some(rule)
            || document.id().is_some_and(|id| id.eq_ignore_ascii_case(rule))
    };
    let alias = correlation.aliases.iter().find(|alias| alias.name.node == name);
    let target = alias.and_then(|alias| alias.fields.iter().find(|(rule, _)| is_meant(&rule.node)));
    target.map_or(name, |(_, field)| &field.node).to_owned()
}

fn threshold_fields(correlation: &Correlation) -> &[Spanned<String>] {
    match &correlation.condition {
        CorrelationCondition::Threshold(threshold) if correlation.kind.node.needs_field() => {
            &threshold.fields
        }
        _ => &[],
    }
}

fn measure(correlation: &Correlation) -> Result<(Measure, WindowCondition), CompileError> {
    let kind = correlation.kind.node;
    let refused = |reason: &str| CompileError::Correlation { reason: reason.to_owned() };
    let count = correlation.rules.len() as u64;
    let measure = match kind {
        CorrelationType::EventCount => Measure::Events,
        CorrelationType::ValueCount => Measure::DistinctValues,
        CorrelationType::Temporal => Measure::Inputs,
        CorrelationType::TemporalOrdered => Measure::InputsInOrder,
        CorrelationType::ValueSum => Measure::Sum,
        CorrelationType::ValueAvg => Measure::Average,
        CorrelationType::ValueMedian => Measure::Percentile(Fixed::from_count(50)),
        CorrelationType::ValuePercentile => Measure::Percentile(percentile(correlation)?),
    };
    if measure.is_numeric() && threshold_fields(correlation).len() > 1 {
        return Err(refused("it computes over one field, and several are named"));
    }
    let condition = match &correlation.condition {
        CorrelationCondition::AllRules if kind.is_temporal() => {
            let all = Fixed::from_count(count);
            WindowCondition::Bounds(vec![(Bound::GreaterOrEqual, all)])
        }
        CorrelationCondition::AllRules => return Err(refused("it has no condition")),
        CorrelationCondition::Threshold(Threshold { bounds, .. }) => {
            let bounds: Result<Vec<_>, _> = bounds
                .iter()
                .map(|(relation, number)| Ok((bound(*relation), fixed(number)?)))
                .collect();
            WindowCondition::Bounds(bounds?)
        }
        CorrelationCondition::Rules(expr) if kind == CorrelationType::TemporalOrdered => {
            WindowCondition::InOrder(rows(expr)?)
        }
        CorrelationCondition::Rules(expr) => WindowCondition::Expr(expression(expr)),
    };
    Ok((measure, condition))
}

/// The median, unless `percentile` says otherwise.
fn percentile(correlation: &Correlation) -> Result<Fixed, CompileError> {
    match &correlation.condition {
        CorrelationCondition::Threshold(Threshold { percentile: Some(number), .. }) => {
            let percent = fixed(number)?;
            if percent < Fixed::from_count(0) || percent > Fixed::from_count(100) {
                let reason = "a percentile is from 0 to 100".to_owned();
                return Err(CompileError::Correlation { reason });
            }
            Ok(percent)
        }
        _ => Ok(Fixed::from_count(50)),
    }
}

fn bound(relation: AggregationRelation) -> Bound {
    match relation {
        AggregationRelation::Less => Bound::Less,
        AggregationRelation::LessOrEqual => Bound::LessOrEqual,
        AggregationRelation::Greater => Bound::Greater,
        AggregationRelation::GreaterOrEqual => Bound::GreaterOrEqual,
        AggregationRelation::Equal => Bound::Equal,
        AggregationRelation::NotEqual => Bound::NotEqual,
    }
}

fn fixed(number: &Number) -> Result<Fixed, CompileError> {
    Fixed::parse(number.text.as_bytes()).ok_or_else(|| CompileError::Correlation {
        reason: format!("`{}` is more than can be computed with", number.text),
    })
}

fn expression(expr: &Expr) -> WindowExpr {
    let parts = |parts: &[Expr]| parts.iter().map(expression).collect::<Vec<_>>();
    match expr {
        Expr::And(all) => WindowExpr::AtLeast(all.len() as u32, parts(all)),
        Expr::Or(any) => WindowExpr::AtLeast(1, parts(any)),
        Expr::Not(part) => WindowExpr::Not(Box::new(expression(part))),
        Expr::Selection(input, _) => WindowExpr::Input(*input as u16),
        Expr::Of(quantifier, inputs, _) => {
            let least = at_least(*quantifier, inputs.len());
            let inputs = inputs.iter().map(|input| WindowExpr::Input(*input as u16));
            WindowExpr::AtLeast(least as u32, inputs.collect())
        }
    }
}

fn at_least(quantifier: Quantifier, count: usize) -> usize {
    match quantifier {
        Quantifier::Any => 1,
        Quantifier::All => count,
        Quantifier::AtLeast(least) => least as usize,
    }
}

/// The smallest sets of rules that make an expression true, each in the order of `rules`.
fn rows(expr: &Expr) -> Result<Vec<Vec<u16>>, CompileError> {
    let refused = |reason: String| CompileError::Correlation { reason };
    let rows = match expr {
        Expr::And(parts) => {
            let mut rows = vec![Vec::new()];
            for part in parts {
                let part = self::rows(part)?;
                rows = rows
                    .iter()
                    .flat_map(|row: &Vec<u16>| part.iter().map(move |more| joined(row, more)))
                    .collect();
                rows = smallest(rows);
                if rows.len() > ROWS_MAX {
                    break;
                }
            }
            rows
        }
        Expr::Or(parts) => {
            let mut rows = Vec::new();
            for part in parts {
                rows.extend(self::rows(part)?);
            }
            smallest(rows)
        }
        Expr::Not(_) => {
            let reason = "which of its rules come in order cannot be said with `not`".to_owned();
            return Err(refused(reason));
        }
        Expr::Selection(input, _) => vec![vec![*input as u16]],
        Expr::Of(quantifier, inputs, _) => {
            let mut rows: Vec<Vec<u16>> = vec![Vec::new()];
            for _ in 0..at_least(*quantifier, inputs.len()) {
                rows = rows
                    .iter()
                    .flat_map(|row| {
                        let behind = row.last().copied();
                        let inputs = inputs.iter().map(|input| *input as u16);
                        inputs
                            .filter(move |input| behind.is_none_or(|behind| behind < *input))
                            .map(|input| joined(row, &[input]))
                    })
                    .collect();
                if rows.len() > ROWS_MAX * INPUTS_MAX {
                    break;
                }
            }
            rows
        }
    };
    if rows.len() > ROWS_MAX {
        return Err(refused(format!("its condition has more than {ROWS_MAX} ways to be true")));
    }
    Ok(rows)
}

fn joined(row: &[u16], more: &[u16]) -> Vec<u16> {
    let mut joined = [row, more].concat();
    joined.sort_unstable();
    joined.dedup();
    joined
}

fn smallest(mut rows: Vec<Vec<u16>>) -> Vec<Vec<u16>> {
    rows.sort_by_key(Vec::len);
    let mut kept: Vec<Vec<u16>> = Vec::new();
    for row in rows {
        if !kept.iter().any(|known| known.iter().all(|input| row.contains(input))) {
            kept.push(row);
        }
        if kept.len() > ROWS_MAX {
            break;
        }
    }
    kept
}

fn aggregation_draft(
    aggregation: &Aggregation,
    timeframe: Option<&Spanned<String>>,
    (rule, neighbours): (RuleId, &[RuleId]),
) -> Result<Draft, CompileError> {
    let refused = |reason: String| CompileError::Correlation { reason };
    let Some(timeframe) = timeframe else {
        return Err(refused("the aggregation has no `timeframe`".to_owned()));
    };
    let timespan_ms = timeframe_ms(&timeframe.node)
        .ok_or_else(|| refused(format!("`{}` is no timeframe", timeframe.node)))?;
    let (measure, condition) = match &aggregation.wanted {
        AggregationKind::Number { function, field, relation, threshold } => {
            let measure = match (function, field) {
                (AggregationFunction::Count, None) => Measure::Events,
                (AggregationFunction::Count, Some(_)) => Measure::DistinctValues,
                (AggregationFunction::Min, _) => Measure::Min,
                (AggregationFunction::Max, _) => Measure::Max,
                (AggregationFunction::Avg, _) => Measure::Average,
                (AggregationFunction::Sum, _) => Measure::Sum,
            };
            let bounds = vec![(bound(*relation), fixed(threshold)?)];
            (measure, WindowCondition::Bounds(bounds))
        }
        AggregationKind::Near(near) if near.len() >= INPUTS_MAX => {
            return Err(refused(format!("`near` names more than {INPUTS_MAX} parts")));
        }
        AggregationKind::Near(near) => {
            let mut parts = vec![WindowExpr::Input(0)];
            parts.extend(near.iter().zip(1..).map(|(neighbour, input)| {
                let there = WindowExpr::Input(input);
                if neighbour.is_absent { WindowExpr::Not(Box::new(there)) } else { there }
            }));
            let all = WindowExpr::AtLeast(parts.len() as u32, parts);
            (Measure::Inputs, WindowCondition::Expr(all))
        }
    };
    let names = |fields: &[Spanned<String>]| -> Vec<String> {
        fields.iter().map(|field| field.node.clone()).collect()
    };
    let group_by = names(&aggregation.group_by);
    let inputs = std::iter::once(&rule).chain(neighbours);
    let links = inputs.zip(0..).map(|(rule, input)| Link {
        from: Source::Rule(*rule),
        input,
        group: group_by.clone(),
        values: aggregation.field().into_iter().map(|field| field.node.clone()).collect(),
    });
    let links: Vec<Link> = links.collect();
    Ok(Draft {
        window: Window {
            source: 0,
            condition_index: 0,
            measure,
            condition,
            timespan_ms,
            group_by,
            inputs: links.len() as u16,
            is_emitting: true,
            edges: Vec::new(),
        },
        level: 0,
        links,
        carried: Vec::new(),
    })
}

/// A timeframe is a number and a unit; `M` is a month of 30 days, as Confluent Sigma has it.
fn timeframe_ms(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        "M" => 2_592_000,
        _ => return None,
    };
    let is_digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let count = number.parse::<u32>().ok().filter(|count| is_digits && *count > 0)?;
    Some(i64::from(count) * seconds * 1_000)
}
