//! The windows of a compiled rule set: what each measures, when it holds, and what feeds it.

use std::collections::BTreeSet;

use super::fixed::Fixed;
use crate::field_index::FieldId;
use crate::plan::RuleId;

/// A window of a plan: an index into [`WindowPlan::windows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowId(pub u32);

/// The number that a window computes over its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Events.
    Events,
    /// Distinct values.
    DistinctValues,
    /// Inputs of which there is an entry.
    Inputs,
    /// The longest row of inputs, in their order, with an entry each at rising or equal times.
    InputsInOrder,
    /// The sum of the values.
    Sum,
    /// Their mean.
    Average,
    /// The value below which so many percent of them lie, interpolated between two.
    Percentile(Fixed),
    /// The least value.
    Min,
    /// The greatest value.
    Max,
}

impl Measure {
    /// Whether values are numbers.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Sum | Self::Average | Self::Percentile(_) | Self::Min | Self::Max)
    }

    /// Whether a value is needed at all.
    pub fn needs_value(self) -> bool {
        self.is_numeric() || self == Self::DistinctValues
    }
}

/// How a number has to relate to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Bound {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// When a window holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowCondition {
    /// Its number is within all bounds.
    Bounds(Vec<(Bound, Fixed)>),
    /// An expression over the inputs of which there is an entry.
    Expr(WindowExpr),
    /// The inputs of one of these rows have an entry each, at rising or equal times.
    InOrder(Vec<Vec<u16>>),
}

/// An expression over a window's inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowExpr {
    /// There is an entry of this input.
    Input(u16),
    /// The part does not hold.
    Not(Box<WindowExpr>),
    /// At least so many parts hold.
    AtLeast(u32, Vec<WindowExpr>),
}

impl WindowExpr {
    /// It does not hold with fewer inputs.
    fn inputs_needed(&self) -> usize {
        match self {
            Self::Input(_) => 1,
            Self::Not(_) => 0,
            Self::AtLeast(least, parts) => {
                let inputs: BTreeSet<u16> = parts.iter().filter_map(Self::input).collect();
                if inputs.len() == parts.len() {
                    return *least as usize;
                }
                // Parts may share inputs: so many as the cheapest of those that have to hold need.
                let mut needed: Vec<usize> = parts.iter().map(Self::inputs_needed).collect();
                needed.sort_unstable();
                let last = (*least as usize).checked_sub(1);
                last.and_then(|last| needed.get(last).copied()).unwrap_or(0)
            }
        }
    }

    fn input(&self) -> Option<u16> {
        match self {
            Self::Input(input) => Some(*input),
            Self::Not(_) | Self::AtLeast(..) => None,
        }
    }

    fn has_not(&self) -> bool {
        match self {
            Self::Input(_) => false,
            Self::Not(_) => true,
            Self::AtLeast(_, parts) => parts.iter().any(Self::has_not),
        }
    }
}

/// When a condition can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deciding {
    /// More events never falsify it.
    Rising,
    /// More events can falsify it.
    Falsifiable,
    /// It bounds from above only: decided once, when the window closes.
    Closing,
}

/// What feeds a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Records that a rule matches.
    Rule(RuleId),
    /// Detections of another window.
    Window(WindowId),
}

/// Where a value of a match is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldSource {
    /// The first of these fields that the record has.
    Record(Vec<FieldId>),
    /// A value of the feeding window's group.
    Group(u16),
    /// A field that the feeding window carries.
    Carried(u16),
}

/// A way into a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// From where.
    pub from: Source,
    /// As which of the window's inputs.
    pub input: u16,
    /// The values that make the group.
    pub group: Vec<FieldSource>,
    /// The values that are measured; more than one are one value together.
    pub values: Vec<FieldSource>,
    /// The values that windows fed by this one ask for.
    pub carried: Vec<FieldSource>,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Index of its rule in the list that was compiled.
    pub source: u32,
    /// Which of the rule's conditions it is.
    pub condition_index: u32,
    /// What it computes.
    pub measure: Measure,
    /// When it holds.
    pub condition: WindowCondition,
    /// W, in milliseconds.
    pub timespan_ms: i64,
    /// The names of the values that make a group.
    pub group_by: Vec<String>,
    /// How many inputs it has.
    pub inputs: u16,
    /// Whether its detections go out, or only feed other windows.
    pub is_emitting: bool,
    /// The ways into it. Windows that feed it stand before it.
    pub edges: Vec<Edge>,
}

impl Window {
    /// Fewer entries than this cannot make the condition hold, whatever they are. 0 where nothing is known.
    pub(crate) fn entries_needed(&self) -> usize {
        let is_count = matches!(
            self.measure,
            Measure::Events | Measure::DistinctValues | Measure::Inputs | Measure::InputsInOrder
        );
        let needed = |(bound, number): &(Bound, Fixed)| match bound {
            Bound::GreaterOrEqual | Bound::Equal => number.least_count(),
            Bound::Greater => number.least_count_above(),
            Bound::Less | Bound::LessOrEqual | Bound::NotEqual => 0,
        };
        match &self.condition {
            WindowCondition::Bounds(bounds) if is_count => {
                bounds.iter().map(needed).max().unwrap_or(0)
            }
            WindowCondition::Bounds(_) => 0,
            WindowCondition::Expr(expr) => expr.inputs_needed(),
            WindowCondition::InOrder(rows) => {
                let inputs = |row: &Vec<u16>| row.iter().collect::<BTreeSet<_>>().len();
                rows.iter().map(inputs).min().unwrap_or(0)
            }
        }
    }

    pub(crate) fn deciding(&self) -> Deciding {
        let bounds = match &self.condition {
            WindowCondition::Expr(expr) if expr.has_not() => return Deciding::Falsifiable,
            WindowCondition::Expr(_) | WindowCondition::InOrder(_) => return Deciding::Rising,
            WindowCondition::Bounds(bounds) => bounds,
        };
        let is_lower = |bound: Bound| matches!(bound, Bound::Greater | Bound::GreaterOrEqual);
        let is_upper = |bound: Bound| matches!(bound, Bound::Less | Bound::LessOrEqual);
        // More events only lower a minimum.
        let is_falling = self.measure == Measure::Min;
        let rises = |bound: Bound| if is_falling { is_upper(bound) } else { is_lower(bound) };
        let falls = |bound: Bound| if is_falling { is_lower(bound) } else { is_upper(bound) };
        let is_rising = match self.measure {
            Measure::Average | Measure::Percentile(_) => false,
            // A group with negative numbers waits. What other windows detect may come so late that the
            // watermarks in between would show.
            Measure::Sum => self.edges.iter().all(|edge| matches!(edge.from, Source::Rule(_))),
            _ => true,
        };
        if bounds.iter().all(|(bound, _)| falls(*bound) || *bound == Bound::NotEqual) {
            Deciding::Closing
        } else if is_rising && bounds.iter().all(|(bound, _)| rises(*bound)) {
            Deciding::Rising
        } else {
            Deciding::Falsifiable
        }
    }
}

/// The windows of a rule set.
#[derive(Debug, Clone, Default)]
pub struct WindowPlan {
    windows: Vec<Window>,
    /// By window: 0 if only rules feed it, else one more than the highest window that does.
    levels: Vec<u32>,
    level_count: u32,
    /// By rule: windows and the edges that lead there.
    by_rule: Vec<Vec<(WindowId, u32)>>,
    /// By window: windows and the edges that lead there.
    by_window: Vec<Vec<(WindowId, u32)>>,
    /// By rule: whether its matches are detections.
    is_emitting: Vec<bool>,
}

impl WindowPlan {
    /// A plan of these windows, each behind those that feed it. `is_emitting` says for every rule
    /// whether its matches are detections, or only feed windows.
    pub fn new(windows: Vec<Window>, is_emitting: Vec<bool>) -> Self {
        let mut by_rule = vec![Vec::new(); is_emitting.len()];
        let mut by_window = vec![Vec::new(); windows.len()];
        let mut levels: Vec<u32> = Vec::new();
        for (at, window) in windows.iter().enumerate() {
            let id = WindowId(at as u32);
            let mut level = 0;
            for (edge_index, edge) in window.edges.iter().enumerate() {
                let place = (id, edge_index as u32);
                match edge.from {
                    Source::Rule(rule) => by_rule[rule.0 as usize].push(place),
                    Source::Window(from) => {
                        assert!(
                            (from.0 as usize) < at,
                            "a window stands behind those that feed it"
                        );
                        level = level.max(levels[from.0 as usize] + 1);
                        by_window[from.0 as usize].push(place);
                    }
                }
            }
            levels.push(level);
        }
        let level_count = levels.iter().max().map_or(0, |level| level + 1);
        Self { windows, levels, level_count, by_rule, by_window, is_emitting }
    }

    /// The windows, by [`WindowId`].
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// One window.
    pub fn window(&self, id: WindowId) -> &Window {
        &self.windows[id.0 as usize]
    }

    /// Whether there is no window.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// A plan of this window and of all that feed it, in which it comes last. Matches can be pushed to it;
    /// collecting them from records is for the whole plan, so all rules are one here.
    #[must_use]
    pub fn alone(&self, id: WindowId) -> Self {
        let mut is_wanted = vec![false; id.0 as usize + 1];
        is_wanted[id.0 as usize] = true;
        for at in (0..is_wanted.len()).rev() {
            if is_wanted[at] {
                for edge in &self.windows[at].edges {
                    if let Source::Window(from) = edge.from {
                        is_wanted[from.0 as usize] = true;
                    }
                }
            }
        }
        let mut places = vec![WindowId(0); is_wanted.len()];
        let mut windows = Vec::new();
        for at in (0..is_wanted.len()).filter(|at| is_wanted[*at]) {
            let mut window = self.windows[at].clone();
            for edge in &mut window.edges {
                edge.from = match edge.from {
                    Source::Rule(_) => Source::Rule(RuleId(0)),
                    Source::Window(from) => Source::Window(places[from.0 as usize]),
                };
            }
            places[at] = WindowId(windows.len() as u32);
            windows.push(window);
        }
        Self::new(windows, vec![false])
    }

    /// Whether matches of this rule are detections. Those of a rule that only feeds windows are not.
    pub fn is_emitting(&self, rule: RuleId) -> bool {
        self.is_emitting.get(rule.0 as usize).copied().unwrap_or(true)
    }

    /// Whether every rule's matches are detections.
    pub fn is_all_emitting(&self) -> bool {
        self.is_emitting.iter().all(|is_emitting| *is_emitting)
    }

    /// Whether a rule feeds a window.
    pub fn is_feeding(&self, rule: RuleId) -> bool {
        !self.edges_of_rule(rule).is_empty()
    }

    /// How many levels of windows there are: those of level 0 are fed by rules alone.
    pub fn level_count(&self) -> u32 {
        self.level_count
    }

    /// The level of a window.
    pub fn level(&self, id: WindowId) -> u32 {
        self.levels[id.0 as usize]
    }

    pub(crate) fn edges_of_rule(&self, rule: RuleId) -> &[(WindowId, u32)] {
        self.by_rule.get(rule.0 as usize).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn edges_of_window(&self, window: WindowId) -> &[(WindowId, u32)] {
        &self.by_window[window.0 as usize]
    }
}
