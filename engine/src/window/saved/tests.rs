//! Windows that were saved and loaded go on as those do that never were; other bytes are refused or harmless.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::fixed::Fixed;
use super::super::plan::{
    Bound, Edge, FieldSource, Source, WindowCondition, WindowExpr, WindowId, WindowPlan,
};
use super::super::{Emit, WindowConfig, WindowDetection, WindowMatch, WindowValue, Windows};
use super::*;
use crate::RuleId;

const TIMESPAN: i64 = 100;

fn plan(measure: Measure, is_closing: bool, is_carrying: bool, threshold: u64) -> Arc<WindowPlan> {
    let edge = |input| Edge {
        from: Source::Rule(RuleId(0)),
        input,
        group: Vec::new(),
        values: Vec::new(),
        carried: if is_carrying { vec![FieldSource::Group(0)] } else { Vec::new() },
    };
    let condition = match (measure, is_closing) {
        (Measure::Inputs | Measure::InputsInOrder, _) => {
            WindowCondition::Expr(WindowExpr::AtLeast(2, (0..3).map(WindowExpr::Input).collect()))
        }
        (_, true) => {
            WindowCondition::Bounds(vec![(Bound::LessOrEqual, Fixed::from_count(threshold))])
        }
        (_, false) => {
            WindowCondition::Bounds(vec![(Bound::GreaterOrEqual, Fixed::from_count(threshold))])
        }
    };
    let window = Window {
        source: 0,
        condition_index: 0,
        measure,
        condition,
        timespan_ms: TIMESPAN,
        group_by: vec!["g".to_owned()],
        inputs: 3,
        is_emitting: true,
        edges: vec![edge(0), edge(1), edge(2)],
    };
    Arc::new(WindowPlan::new(vec![window], vec![false]))
}

#[derive(Debug, Clone)]
enum Step {
    Push { group: u8, later: i64, number: u8, is_again: bool },
    Advance,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => (0..5u8, -30..60i64, any::<u8>(), any::<bool>())
            .prop_map(|(group, later, number, is_again)| Step::Push { group, later, number, is_again }),
        1 => Just(Step::Advance),
    ]
}

fn measure() -> impl Strategy<Value = Measure> {
    prop_oneof![
        Just(Measure::Events),
        Just(Measure::DistinctValues),
        Just(Measure::Inputs),
        Just(Measure::InputsInOrder),
        Just(Measure::Sum),
        Just(Measure::Average),
        Just(Measure::Max),
    ]
}

#[derive(Debug, Clone)]
struct Case {
    measure: Measure,
    is_closing: bool,
    is_carrying: bool,
    threshold: u64,
    config: WindowConfig,
}

impl Case {
    fn plan(&self) -> Arc<WindowPlan> {
        plan(self.measure, self.is_closing, self.is_carrying, self.threshold)
    }

    fn begin(&self) -> Windows {
        Windows::new(self.plan(), self.config.clone())
    }

    fn load(&self, bytes: &[u8]) -> Result<Windows, Unsound> {
        Windows::load(self.plan(), self.config.clone(), bytes)
    }
}

fn case() -> impl Strategy<Value = Case> {
    let emit = prop_oneof![Just(Emit::Early), Just(Emit::Final), Just(Emit::Every)];
    let limits =
        (0..4usize, prop_oneof![Just(3usize), Just(200)], prop_oneof![Just(2usize), Just(9)]);
    (measure(), any::<bool>(), any::<bool>(), 1..6u64, emit, limits).prop_map(
        |(measure, is_closing, is_carrying, threshold, emit, (open, entries, groups))| Case {
            measure,
            is_closing,
            is_carrying,
            threshold,
            config: WindowConfig {
                emit,
                grace_ms: Some(20),
                open_groups_max: open,
                entries_per_group_max: entries,
                groups_per_window_max: groups,
                contents_per_group_max: 2,
                contents_bytes_max: 64,
                ..WindowConfig::default()
            },
        },
    )
}

/// Where a run of steps has come to.
#[derive(Debug, Clone, Copy, Default)]
struct At {
    time: i64,
    offset: u64,
}

fn apply(windows: &mut Windows, case: &Case, at: &mut At, step: &Step) -> Vec<WindowDetection> {
    let mut out = Vec::new();
    match step {
        Step::Advance => windows.advance(0, at.time, &mut out),
        Step::Push { group, later, number, is_again } => {
            at.time += (*later).max(0);
            at.offset += u64::from(!is_again);
            let text = |byte: u8| GroupKey::new([Some(&[byte][..])]);
            let values = match case.measure {
                Measure::DistinctValues => vec![WindowValue::Text(text(number % 7))],
                Measure::Sum | Measure::Average | Measure::Max => {
                    vec![WindowValue::Number(Fixed(i128::from(*number as i8) * 1_000_000_000))]
                }
                _ => Vec::new(),
            };
            let arrived = WindowMatch {
                window: WindowId(0),
                group: text(*group),
                time: at.time + (*later).min(0),
                position: Position { source: u32::from(number % 2), offset: at.offset },
                watermark: i64::MIN,
                inputs: vec![u16::from(number % 3)],
                values,
                carried: case.is_carrying.then(|| text(number % 4)),
                content: (number % 3 > 0).then(|| Arc::from(&[*number; 9][..])),
                may_repeat: *is_again,
                is_chained: false,
            };
            windows.push(&arrived, &mut out);
        }
    }
    // Groups of equal times come in the order of their numbers, which may be others.
    out.sort_by_key(|found| (found.at, found.group.as_bytes().to_vec(), found.start));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn windows_go_on_after_they_were_saved_and_loaded(
        case in case(),
        steps in prop::collection::vec(step(), 1..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(steps.len());
        let (mut first, mut at) = (case.begin(), At::default());
        for step in &steps[..cut] {
            apply(&mut first, &case, &mut at, step);
        }
        let mut bytes = Vec::new();
        first.save(&mut bytes);
        let mut second = case.load(&bytes).unwrap();
        prop_assert_eq!(second.group_count(), first.group_count());
        let mut second_at = at;
        for step in &steps[cut..] {
            let expected = apply(&mut first, &case, &mut at, step);
            prop_assert_eq!(apply(&mut second, &case, &mut second_at, step), expected);
        }
    }

    #[test]
    fn other_bytes_are_refused_or_harmless(
        case in case(),
        steps in prop::collection::vec(step(), 1..60),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        len in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (mut windows, mut at) = (case.begin(), At::default());
        let (before, after) = steps.split_at(steps.len() / 2);
        for step in before {
            apply(&mut windows, &case, &mut at, step);
        }
        let mut bytes = Vec::new();
        windows.save(&mut bytes);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(len) = len {
            bytes.truncate(len.index(bytes.len()));
        }
        if let Ok(mut loaded) = case.load(&bytes) {
            for step in after {
                apply(&mut loaded, &case, &mut at, step);
            }
            loaded.advance(0, i64::MAX, &mut Vec::new());
        }
    }
}

#[test]
fn what_is_announced_takes_no_memory() {
    let case = Case {
        measure: Measure::Events,
        is_closing: false,
        is_carrying: false,
        threshold: 3,
        config: WindowConfig { groups_per_window_max: usize::MAX, ..WindowConfig::default() },
    };
    let mut bytes = MAGIC.to_vec();
    put(&mut bytes, 1);
    put(&mut bytes, zigzag(0));
    put(&mut bytes, u64::from(u32::MAX));
    assert_eq!(case.load(&bytes).err(), Some(Unsound));
}

#[test]
fn windows_of_another_plan_are_refused() {
    let case = |measure| Case {
        measure,
        is_closing: false,
        is_carrying: false,
        threshold: 3,
        config: WindowConfig::default(),
    };
    let (inputs, distinct) = (case(Measure::InputsInOrder), case(Measure::DistinctValues));
    let (mut windows, mut at) = (distinct.begin(), At::default());
    for number in 0..200 {
        let step = Step::Push { group: 1, later: 1, number, is_again: false };
        apply(&mut windows, &distinct, &mut at, &step);
    }
    let mut bytes = Vec::new();
    windows.save(&mut bytes);
    assert!(distinct.load(&bytes).is_ok());
    assert_eq!(inputs.load(&bytes).err(), Some(Unsound), "its inputs are fewer");
}
