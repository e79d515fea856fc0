//! Plain values as the expressions that the JVM processor makes of them.

use super::{Mended, Quirk};

/// The expressions of which one has to match the whole text. Several modifiers are an or.
pub(super) fn expressions(value: &str, modifiers: &[&str], mended: Mended) -> Vec<String> {
    let dot = match mended.has(Quirk::Lines) {
        true => "(?s:.)",
        false => r"[^\n\r\x{85}\x{2028}\x{2029}]",
    };
    let case = if mended.has(Quirk::Case) { "(?i)" } else { "" };
    let body = body(value, dot, mended);
    let sides = modifiers.iter().filter_map(|modifier| match *modifier {
        "contains" => Some((true, true)),
        "startswith" | "beginswith" => Some((false, true)),
        "endswith" => Some((true, false)),
        _ => None,
    });
    let mut sides: Vec<(bool, bool)> = sides.collect();
    if sides.is_empty() {
        sides.push((false, false));
    }
    let any = |is_open: bool| if is_open { format!("{dot}*") } else { String::new() };
    sides
        .into_iter()
        .map(|(before, behind)| format!(r"{case}\A(?:{}{body}{})\z", any(before), any(behind)))
        .collect()
}

fn body(value: &str, dot: &str, mended: Mended) -> String {
    let mut out = String::new();
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if mended.has(Quirk::Escapes)
                && chars.peek().is_some_and(|next| matches!(next, '*' | '?' | '\\')) =>
            {
                out.extend(chars.next().into_iter().flat_map(|next| ['\\', next]));
            }
            '\\' => out.push_str(r"\\"),
            '.' => out.push_str(r"\."),
            '*' => {
                out.push_str(dot);
                out.push('*');
            }
            '?' => out.push_str(dot),
            '(' | ')' | '[' | ']' | '{' | '}' | '+' | '^' | '$' | '|'
                if mended.has(Quirk::Characters) =>
            {
                out.extend(['\\', c]);
            }
            c => out.push(c),
        }
    }
    out
}
