//! Tags of the namespaces whose values the specification fixes; other namespaces are everybody's own.

use super::attack;
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Spanned;
use crate::suggest::nearest;

const DETECTION: [&str; 3] = ["dfir", "emerging-threats", "threat-hunting"];
const TLP: [&str; 5] = ["red", "amber", "amber-strict", "green", "clear"];

/// The warning about a tag, if its value does not exist.
pub(super) fn check(tag: &Spanned<String>) -> Option<Diagnostic> {
    let (namespace, name) = tag.node.split_once('.')?;
    // The reader has said so already.
    if name.is_empty() || tag.node.contains(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let form = |is_good: bool, example: &str| {
        let message = || format!("`{}` is not of the form `{example}`", super::shorten(&tag.node));
        (!is_good).then(|| (message(), None))
    };
    let word = |words: &[&'static str]| {
        let near = nearest(name, words.iter().copied())
            .map(|near| format!("did you mean `{namespace}.{near}`?"));
        let help = near.or_else(|| Some(format!("use one of {}", words.join(", "))));
        let message = || format!("`{namespace}` has no `{}`", super::shorten(name));
        (!words.contains(&name)).then(|| (message(), help))
    };
    let (message, help) = match namespace {
        "attack" => attack::complaint(name),
        "car" => form(is_digits(name, &[4, 2, 3], '-'), "car.2016-04-005"),
        "cve" => form(is_cve(name), "cve.2021-44228"),
        "detection" => word(&DETECTION),
        "stp" => form(is_stp(name), "stp.3k"),
        "tlp" => word(&TLP),
        _ => None,
    }?;
    let diagnostic = Diagnostic::warning(Code::UnknownTag, tag.span).message(message);
    Some(match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    })
}

/// Groups of so many digits each, with `between` between them.
fn is_digits(text: &str, lens: &[usize], between: char) -> bool {
    let groups: Vec<&str> = text.split(between).collect();
    groups.iter().map(|group| group.len()).eq(lens.iter().copied())
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_digit()))
}

/// A year and a number of four digits or more; rules separate them by a dash or a dot.
fn is_cve(text: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    text.split_once(['-', '.']).is_some_and(|(year, number)| {
        year.len() == 4 && number.len() >= 4 && is_number(year) && is_number(number)
    })
}

/// A digit from 1 to 5, and maybe a letter.
fn is_stp(text: &str) -> bool {
    matches!(text.as_bytes(), [b'1'..=b'5'] | [b'1'..=b'5', b'a' | b'u' | b'k'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    #[test]
    fn fixed_namespaces_have_fixed_values() {
        for (tag, is_good) in [
            ("attack.execution", true),
            ("attack.t1086", false),
            ("car.2016-04-005", true),
            ("car.2016-4-5", false),
            ("cve.2021-44228", true),
            ("cve.2021.44228", true),
            ("cve.44228", false),
            ("detection.threat-hunting", true),
            ("detection.hunting", false),
            ("stp.4", true),
            ("stp.3k", true),
            ("stp.6", false),
            ("tlp.amber-strict", true),
            ("tlp.white", false),
            ("acme.anything", true),
            ("no-namespace", true),
        ] {
            let found = check(&Spanned::new(tag.to_owned(), Span::default()));
            assert_eq!(found.is_none(), is_good, "{tag}: {found:?}");
        }
    }
}
