//! Levels by context: what a field of the record does to the level of its detections.

use sigmill_parser::Level;

/// What a value does to a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelChange {
    /// It raises or lowers it by so many steps.
    By(i8),
    /// It is this one.
    To(Level),
}

/// What the values of a field do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelMap {
    /// The field.
    pub field: String,
    /// By value, in lower case.
    pub changes: Vec<(String, LevelChange)>,
}

impl LevelMap {
    /// What a value does, if anything.
    pub fn change(&self, value: &[u8]) -> Option<LevelChange> {
        let value = String::from_utf8_lossy(value).to_lowercase();
        let found = self.changes.iter().find(|(known, _)| *known == value);
        found.map(|(_, change)| *change)
    }
}

impl LevelChange {
    /// The level that comes of it; without one of the rule, steps count from `informational`.
    pub fn of(self, level: Option<Level>) -> Level {
        let all = Level::ALL;
        match self {
            Self::To(level) => level,
            Self::By(steps) => {
                let at = level.and_then(|level| all.iter().position(|one| *one == level));
                let at = at.unwrap_or(0) as i64 + i64::from(steps);
                all[at.clamp(0, all.len() as i64 - 1) as usize]
            }
        }
    }
}

/// What the context of one record does to the level of whatever rule matches it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LevelEffect(pub(super) Vec<LevelChange>);

impl LevelEffect {
    /// The level that it makes of a rule's own; none: it stays.
    pub fn of(&self, own: Option<Level>) -> Option<Level> {
        let change = |level: Option<Level>, change: &LevelChange| Some(change.of(level));
        self.0.iter().fold(own, change).filter(|level| Some(*level) != own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_up_and_down_within_bounds() {
        let by = |steps| LevelChange::By(steps);
        assert_eq!(by(1).of(Some(Level::High)), Level::Critical);
        assert_eq!(by(2).of(Some(Level::High)), Level::Critical);
        assert_eq!(by(-9).of(Some(Level::High)), Level::Informational);
        assert_eq!(by(1).of(None), Level::Low);
        assert_eq!(LevelChange::To(Level::Medium).of(Some(Level::High)), Level::Medium);
    }
}
