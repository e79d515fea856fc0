//! Windows that are decided when they close, over a take-over: which are open, and since when.

use std::collections::HashMap;

use sigmill_engine::window::{GroupKey, WindowMatch};

use super::{Openings, Output, Owner};
use crate::metrics::Counts;
use crate::windows::rules::{WindowRule, WindowRules};

/// The last list of open windows of a version, and the one that is coming in.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) whole: Option<List>,
    pub(super) coming: Option<List>,
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) settled: i64,
    pub(super) missing: u64,
    /// Empty where nobody restores.
    pub(super) groups: HashMap<GroupKey, i64>,
}

impl Listed {
    pub(super) fn take(&mut self, piece: &Openings, is_restoring: bool) {
        if self.coming.as_ref().is_none_or(|coming| coming.settled != piece.settled) {
            let (settled, missing) = (piece.settled, piece.total);
            self.coming = Some(List { settled, missing, groups: HashMap::new() });
        }
        let Some(coming) = &mut self.coming else { return };
        coming.missing = coming.missing.saturating_sub(piece.groups.len() as u64);
        if is_restoring {
            coming.groups.extend(piece.groups.iter().cloned());
        }
        if coming.missing == 0 {
            self.whole = self.coming.take();
        }
    }
}

impl Owner {
    /// Ends the restoration of windows that are decided when they close: finds those that are open, and
    /// gives them their matches.
    pub(super) fn open_held(&mut self, rules: &WindowRules, watermarks: &[i64]) {
        let (mut counts, mut out) = (Counts::default(), Output::default());
        for (key, mut matches) in std::mem::take(&mut self.held) {
            let Some(rule) = rules.by_version.get(&key.0) else { continue };
            matches.sort_by_key(|fed| fed.time);
            let watermark = watermarks.get(rule.level()).copied().unwrap_or(i64::MIN);
            let settled = watermark.saturating_sub(rule.hold);
            let list = self.listed.get(&key.0).and_then(|listed| listed.whole.as_ref());
            let told = list.map(|list| list.groups.get(&key.1).copied().unwrap_or(list.settled));
            let begin = open_since(rule, &matches, told, settled);
            matches.retain(|fed| begin.is_some_and(|begin| fed.time >= begin));
            self.push_all(rules, key.0, &mut matches, &mut counts, &mut out);
        }
        for list in self.listed.values_mut().filter_map(|listed| listed.whole.as_mut()) {
            list.groups = HashMap::new();
        }
    }
}

/// Since when a window is open that is decided when it closes, of a group with these events, by time;
/// what lies before `settled` is decided.
fn open_since(
    rule: &WindowRule,
    matches: &[WindowMatch],
    told: Option<i64>,
    settled: i64,
) -> Option<i64> {
    let timespan = rule.window.timespan_ms;
    let from = |time: i64| matches.iter().map(|fed| fed.time).find(|known| *known >= time);
    // Without a list it begins with the log.
    let mut begin = from(told.unwrap_or(i64::MIN))?;
    loop {
        let end = begin.saturating_add(timespan);
        if end >= settled {
            return Some(begin);
        }
        begin = from(end + 1)?;
    }
}
