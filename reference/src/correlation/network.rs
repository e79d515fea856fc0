//! Who feeds whom: correlations and aggregations as nodes, each behind those that feed it.

use sigmill_parser::{
    AggregationFunction, AggregationKind, AggregationRelation, Correlation, CorrelationCondition,
    CorrelationType, Document, Expr, Number, Rule, Span,
};

use super::meaning::Class;
use super::{Emit, Settings};

/// What a node hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// A condition of the rule in a document.
    Rule(usize, usize),
    /// A part that `near` names in a condition of the rule in a document.
    Neighbour(usize, usize, usize),
    /// Detections of another node.
    Node(usize),
}

/// A way into a node.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) feed: Feed,
    pub(super) input: usize,
    pub(super) group: Vec<String>,
    pub(super) values: Vec<String>,
}

/// What is computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Measure {
    Events,
    DistinctValues,
    Inputs,
    InputsInOrder,
    Sum,
    Average,
    /// In billionths of a percent.
    Percentile(i128),
    Min,
    Max,
}

/// When it is enough.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Bounds(Vec<(AggregationRelation, i128)>),
    Rules(Expr),
}

/// A correlation, or a condition with an aggregation.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) document: usize,
    pub(super) condition: usize,
    pub(super) measure: Measure,
    pub(super) wanted: Wanted,
    pub(super) timespan: i64,
    pub(super) group_by: Vec<String>,
    pub(super) input_count: usize,
    pub(super) ways: Vec<Way>,
    pub(super) class: Class,
    pub(super) grace: i64,
    pub(super) hold: i64,
}

impl Node {
    pub(super) fn is_numeric(&self) -> bool {
        use Measure::{DistinctValues, Events, Inputs, InputsInOrder};
        !matches!(self.measure, Events | DistinctValues | Inputs | InputsInOrder)
    }

    pub(super) fn needs_value(&self) -> bool {
        self.is_numeric() || self.measure == Measure::DistinctValues
    }
}

/// The nodes of all correlations and aggregations that can be told.
pub(super) fn nodes(documents: &[Document], settings: &Settings) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    // By document: what its matches are, once that is known.
    let mut feeds: Vec<Option<Vec<Feed>>> = vec![None; documents.len()];
    for (at, document) in documents.iter().enumerate() {
        let Document::Rule(rule) = document else { continue };
        let mut own = Vec::new();
        for condition in 0..rule.detection.conditions.len() {
            own.push(match aggregation(at, rule, condition) {
                None => Feed::Rule(at, condition),
                Some(node) => {
                    nodes.push(finished(node, &nodes, settings));
                    Feed::Node(nodes.len() - 1)
                }
            });
        }
        feeds[at] = Some(own);
    }
    loop {
        let ready = documents.iter().enumerate().find_map(|(at, document)| match document {
            Document::Correlation(correlation) if feeds[at].is_none() => {
                Some((at, correlation_node(at, correlation, documents, &feeds)?))
            }
            _ => None,
        });
        let Some((at, node)) = ready else { return nodes };
        nodes.push(finished(node, &nodes, settings));
        feeds[at] = Some(vec![Feed::Node(nodes.len() - 1)]);
    }
}

/// Classes and times follow from the rest.
fn finished(mut node: Node, nodes: &[Node], settings: &Settings) -> Node {
    node.class = Class::of(&node);
    // A negative number could falsify a sum that each event reports.
    let waits = match settings.emit {
        Emit::Early => false,
        Emit::Final => true,
        Emit::Every => node.measure == Measure::Sum,
    };
    if node.class == Class::Rising && waits {
        node.class = Class::Final;
    }
    node.grace = settings.grace_ms.unwrap_or(node.timespan.min(300_000));
    let holds = node.ways.iter().map(|way| match way.feed {
        Feed::Node(inner) => nodes[inner].hold,
        Feed::Rule(..) | Feed::Neighbour(..) => 0,
    });
    node.hold = holds.fold(node.grace, i64::max);
    node
}

fn number(number: &Number) -> i128 {
    crate::number::billionths(&number.text).expect("a number of usual size")
}

fn aggregation(at: usize, rule: &Rule, condition: usize) -> Option<Node> {
    let aggregation = rule.detection.conditions[condition].aggregation.as_ref()?;
    let timeframe = rule.detection.timeframe.as_ref()?.node.clone();
    let (count, unit) = timeframe.split_at(timeframe.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 604_800,
    };
    let (measure, wanted) = match &aggregation.wanted {
        AggregationKind::Number { function, field, relation, threshold } => {
            let measure = match function {
                AggregationFunction::Count if field.is_none() => Measure::Events,
                AggregationFunction::Count => Measure::DistinctValues,
                AggregationFunction::Min => Measure::Min,
                AggregationFunction::Max => Measure::Max,
                AggregationFunction::Avg => Measure::Average,
                AggregationFunction::Sum => Measure::Sum,
            };
            (measure, Wanted::Bounds(vec![(*relation, number(threshold))]))
        }
        AggregationKind::Near(near) => {
            let mut parts = vec![Expr::Selection(0, Span::default())];
            for (neighbour, input) in near.iter().zip(1..) {
                let there = Expr::Selection(input, Span::default());
                parts.push(match neighbour.is_absent {
                    true => Expr::Not(Box::new(there)),
                    false => there,
                });
            }
            (Measure::Inputs, Wanted::Rules(Expr::And(parts)))
        }
    };
    let near = (0..aggregation.neighbours().len()).map(|part| Feed::Neighbour(at, condition, part));
    let feeds: Vec<Feed> = std::iter::once(Feed::Rule(at, condition)).chain(near).collect();
    let group_by: Vec<String> = aggregation.group_by.iter().map(|g| g.node.clone()).collect();
    Some(Node {
        document: at,
        condition,
        measure,
        wanted,
        timespan: count.parse::<i64>().ok()? * seconds * 1_000,
        group_by: group_by.clone(),
        input_count: feeds.len(),
        ways: feeds
            .into_iter()
            .enumerate()
            .map(|(input, feed)| Way {
                feed,
                input,
                group: group_by.clone(),
                values: aggregation.field().into_iter().map(|field| field.node.clone()).collect(),
            })
            .collect(),
        class: Class::Final,
        grace: 0,
        hold: 0,
    })
}

/// `None` while something that it refers to is not known yet.
fn correlation_node(
    at: usize,
    correlation: &Correlation,
    documents: &[Document],
    feeds: &[Option<Vec<Feed>>],
) -> Option<Node> {
    let threshold = match &correlation.condition {
        CorrelationCondition::Threshold(threshold) => Some(threshold),
        _ => None,
    };
    let mut ways = Vec::new();
    for (input, reference) in correlation.rules.iter().enumerate() {
        let is_meant = |document: &Document, name: &str| {
            let (own_id, own_name) = match document {
                Document::Rule(rule) => (&rule.id, &rule.name),
                Document::Correlation(inner) => (&inner.id, &inner.name),
                _ => return false,
            };
            own_id.as_ref().is_some_and(|id| id.node.eq_ignore_ascii_case(name))
                || own_name.as_ref().is_some_and(|own| own.node == name)
        };
        let mut is_found = false;
        for (inner, document) in documents.iter().enumerate() {
            if !is_meant(document, &reference.node) {
                continue;
            }
            is_found = true;
            let resolved = |name: &str| {
                let alias = correlation.aliases.iter().find(|alias| alias.name.node == name);
                let fields = alias.map_or(&[][..], |alias| &alias.fields);
                let field = fields.iter().find(|(rule, _)| {
                    rule.node == reference.node || is_meant(document, &rule.node)
                });
                field.map_or(name.to_owned(), |(_, field)| field.node.clone())
            };
            for feed in feeds[inner].as_ref()? {
                let values = threshold.map_or(&[][..], |threshold| &threshold.fields);
                ways.push(Way {
                    feed: *feed,
                    input,
                    group: correlation.group_by.iter().map(|g| resolved(&g.node)).collect(),
                    values: values.iter().map(|field| resolved(&field.node)).collect(),
                });
            }
        }
        if !is_found {
            return None;
        }
    }
    let input_count = correlation.rules.len();
    let percent = threshold.and_then(|threshold| threshold.percentile.as_ref());
    let half = 50 * 1_000_000_000;
    Some(Node {
        document: at,
        condition: 0,
        measure: match correlation.kind.node {
            CorrelationType::EventCount => Measure::Events,
            CorrelationType::ValueCount => Measure::DistinctValues,
            CorrelationType::Temporal => Measure::Inputs,
            CorrelationType::TemporalOrdered => Measure::InputsInOrder,
            CorrelationType::ValueSum => Measure::Sum,
            CorrelationType::ValueAvg => Measure::Average,
            CorrelationType::ValueMedian => Measure::Percentile(half),
            CorrelationType::ValuePercentile => Measure::Percentile(percent.map_or(half, number)),
        },
        wanted: match &correlation.condition {
            CorrelationCondition::AllRules => Wanted::Bounds(vec![(
                AggregationRelation::GreaterOrEqual,
                input_count as i128 * 1_000_000_000,
            )]),
            CorrelationCondition::Threshold(threshold) => {
                let bounds = threshold.bounds.iter();
                Wanted::Bounds(bounds.map(|(relation, bound)| (*relation, number(bound))).collect())
            }
            CorrelationCondition::Rules(expr) => Wanted::Rules(expr.clone()),
        },
        timespan: i64::try_from(correlation.timespan.node.as_millis()).ok()?,
        group_by: correlation.group_by.iter().map(|g| g.node.clone()).collect(),
        input_count,
        ways,
        class: Class::Final,
        grace: 0,
        hold: 0,
    })
}
