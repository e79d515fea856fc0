//! Whether a tag of the namespace `attack` names something that ATT&CK has.

use super::attack_techniques::{HIGHEST, TECHNIQUES};
use crate::suggest::nearest;

/// The tactics of ATT&CK Enterprise, those that newer versions split included.
const TACTICS: [&str; 16] = [
    "collection",
    "command-and-control",
    "credential-access",
    "defense-evasion",
    "defense-impairment",
    "discovery",
    "execution",
    "exfiltration",
    "impact",
    "initial-access",
    "lateral-movement",
    "persistence",
    "privilege-escalation",
    "reconnaissance",
    "resource-development",
    "stealth",
];

/// Numbers so far behind the highest known may be newer than the list.
const NEWER: u16 = 100;
/// Sub-techniques so far behind the highest known may be.
const NEWER_SUB: u16 = 3;

/// What is wrong with the name behind `attack.`, and what to do.
pub(super) fn complaint(name: &str) -> Option<(String, Option<String>)> {
    if let Some(number) = name.strip_prefix('t').filter(|rest| begins_with_digit(rest)) {
        return technique(number);
    }
    for prefix in ["g", "s", "m", "a", "ds", "ta"] {
        if let Some(number) = name.strip_prefix(prefix).filter(|rest| begins_with_digit(rest)) {
            let is_good = number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
            let help = Some(format!("write `attack.{prefix}` and four digits"));
            return (!is_good)
                .then(|| (format!("`{}` is no number of ATT&CK", super::shorten(name)), help));
        }
    }
    if TACTICS.contains(&name) {
        return None;
    }
    let shown = super::shorten(name);
    let near = nearest(name, TACTICS).map(|near| format!("did you mean `attack.{near}`?"));
    Some((format!("no tactic `{shown}` in ATT&CK"), near))
}

fn begins_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn technique(text: &str) -> Option<(String, Option<String>)> {
    let (main, sub) = match text.split_once('.') {
        Some((main, sub)) => (main, Some(sub)),
        None => (text, None),
    };
    let number = |digits: &str, len: usize| {
        let is_good = digits.len() == len && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| is_good)
    };
    let form = "write `attack.t1059` or `attack.t1059.001`".to_owned();
    let malformed = || {
        Some((
            format!("`t{}` is no number of a technique", super::shorten(text)),
            Some(form.clone()),
        ))
    };
    let Some(main) = number(main, 4) else { return malformed() };
    let sub = match sub.map(|sub| number(sub, 3)) {
        Some(None) => return malformed(),
        Some(sub) => sub,
        None => None,
    };
    // Techniques of industrial control systems have numbers below 1000.
    if main < 1000 {
        return None;
    }
    let unknown = |what: &str| {
        Some((format!("no {what} T{text} in ATT&CK Enterprise"), Some(RETIRED.to_owned())))
    };
    match (TECHNIQUES.binary_search_by_key(&main, |row| row.0), sub) {
        (Err(_), _) if main > HIGHEST && main <= HIGHEST + NEWER => None,
        (Err(_), _) => unknown("technique"),
        (Ok(_), None) => None,
        (Ok(at), Some(sub)) => match TECHNIQUES[at].1 {
            0 => unknown("sub-technique"),
            last if sub == 0 || sub > last + NEWER_SUB => unknown("sub-technique"),
            _ => None,
        },
    }
}

const RETIRED: &str = "look it up: numbers of retired techniques have successors";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_is_silent() {
        for name in [
            "t1059",
            "t1059.001",
            "t1685.002",
            "t1700",
            "t0807",
            "g0016",
            "s0002",
            "ds0005",
            "m1047",
            "a0003",
            "ta0002",
            "execution",
            "defense-evasion",
            "stealth",
        ] {
            assert_eq!(complaint(name), None, "{name}");
        }
    }

    #[test]
    fn what_does_not_is_named() {
        for (name, expected) in [
            ("t1086", "technique T1086"),
            ("t9999", "technique T9999"),
            ("t1059.000", "sub-technique T1059.000"),
            ("t1059.099", "sub-technique T1059.099"),
            ("t1105.001", "sub-technique T1105.001"),
            ("t105", "`t105`"),
            ("t1059.1", "`t1059.1`"),
            ("t1059.001.002", "`t1059.001.002`"),
            ("g12", "`g12`"),
            ("defense_evasion", "tactic `defense_evasion`"),
            ("executoin", "tactic `executoin`"),
        ] {
            let (message, _) = complaint(name).unwrap();
            assert!(message.contains(expected), "{message}");
        }
        let (_, help) = complaint("defense_evasion").unwrap();
        assert_eq!(help.as_deref(), Some("did you mean `attack.defense-evasion`?"));
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(TECHNIQUES.is_sorted_by_key(|row| row.0));
        assert_eq!(TECHNIQUES[TECHNIQUES.len() - 1].0, HIGHEST);
    }
}
