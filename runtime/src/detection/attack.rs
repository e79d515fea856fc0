//! MITRE ATT&CK in a rule's tags: `attack.t1059.001`, `attack.command-and-control`.

/// Tactics as Sigma's tags spell them, their numbers and their names.
const TACTICS: [(&str, &str, &str); 14] = [
    ("reconnaissance", "TA0043", "Reconnaissance"),
    ("resource-development", "TA0042", "Resource Development"),
    ("initial-access", "TA0001", "Initial Access"),
    ("execution", "TA0002", "Execution"),
    ("persistence", "TA0003", "Persistence"),
    ("privilege-escalation", "TA0004", "Privilege Escalation"),
    ("defense-evasion", "TA0005", "Defense Evasion"),
    ("credential-access", "TA0006", "Credential Access"),
    ("discovery", "TA0007", "Discovery"),
    ("lateral-movement", "TA0008", "Lateral Movement"),
    ("collection", "TA0009", "Collection"),
    ("command-and-control", "TA0011", "Command and Control"),
    ("exfiltration", "TA0010", "Exfiltration"),
    ("impact", "TA0040", "Impact"),
];

/// A tactic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tactic {
    /// `TA0002`
    pub(crate) id: &'static str,
    /// `Execution`
    pub(crate) name: &'static str,
}

/// What a rule's tags say of ATT&CK, each once, in the order of the tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attack {
    /// The tactics.
    pub(crate) tactics: Vec<Tactic>,
    /// Techniques and sub-techniques: `T1059`, `T1059.001`.
    pub(crate) techniques: Vec<String>,
}

impl Attack {
    /// Reads tags; those of other namespaces, and ATT&CK's groups and software, are passed over.
    pub(crate) fn of_tags<'a>(tags: impl Iterator<Item = &'a str>) -> Self {
        let mut attack = Self::default();
        for tag in tags {
            let lower = tag.to_ascii_lowercase().replace('_', "-");
            let Some(name) = lower.strip_prefix("attack.") else { continue };
            if let Some((_, id, name)) = TACTICS.iter().find(|(tag, ..)| *tag == name) {
                let tactic = Tactic { id, name };
                if !attack.tactics.contains(&tactic) {
                    attack.tactics.push(tactic);
                }
            } else if is_technique(name) && !attack.techniques.contains(&name.to_uppercase()) {
                attack.techniques.push(name.to_uppercase());
            }
        }
        attack
    }

    /// Whether the tags say anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.tactics.is_empty() && self.techniques.is_empty()
    }
}

/// `t1059` or `t1059.001`.
fn is_technique(name: &str) -> bool {
    let Some(number) = name.strip_prefix('t') else { return false };
    let (main, sub) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number(main) && is_number(sub)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_in_either_spelling() {
        let tags = [
            "attack.t1059.001",
            "attack.defense_evasion",
            "attack.defense-evasion",
            "attack.T1003",
            "attack.g0016",
            "attack.s0002",
            "attack.t",
            "cve.2021.44228",
        ];
        let attack = Attack::of_tags(tags.into_iter());
        assert_eq!(attack.techniques, ["T1059.001", "T1003"]);
        assert_eq!(attack.tactics, [Tactic { id: "TA0005", name: "Defense Evasion" }]);
        assert!(Attack::of_tags(["tlp.red"].into_iter()).is_empty());
    }
}
