//! `windash`: every dash of a value as any of the five characters that stand for one.

use crate::predicate::{Part, Pattern, Regex};

/// The characters that Windows programs take for the dash of an option.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// So many dashes are written out; 5⁵ forms of a value are enough.
const DASHES_MAX: usize = 5;

/// Every form of the pattern, or nothing if they would be too many.
pub(crate) fn forms(pattern: &Pattern) -> Option<Vec<Pattern>> {
    let dashes: usize =
        pattern.parts.iter().map(|part| literal(part).matches(DASHES).count()).sum();
    if dashes > DASHES_MAX {
        return None;
    }
    let mut forms = vec![Vec::new()];
    for part in &pattern.parts {
        let mut rest = literal(part);
        if rest.is_empty() {
            forms.iter_mut().for_each(|form| form.push(part.clone()));
        }
        while !rest.is_empty() {
            let at = rest.find(DASHES).unwrap_or(rest.len());
            let plain = Part::Literal(rest[..at].to_owned());
            forms.iter_mut().for_each(|form| form.push(plain.clone()));
            let Some(dash) = rest[at..].chars().next() else { break };
            forms = forms.iter().flat_map(|form| DASHES.map(|dash| with(form, dash))).collect();
            rest = &rest[at + dash.len_utf8()..];
        }
    }
    Some(forms.into_iter().map(Pattern::new).collect())
}

/// The pattern with its dashes as a regular expression, for patterns with too many forms.
pub(crate) fn regex(pattern: &Pattern, is_cased: bool) -> Regex {
    let mut expression = r"\A".to_owned();
    for part in &pattern.parts {
        match part {
            Part::AnyChar => expression.push('.'),
            Part::AnyRun => expression.push_str(".*"),
            _ => {
                for c in literal(part).chars() {
                    if DASHES.contains(&c) {
                        expression.push_str("[-/\u{2013}\u{2014}\u{2015}]");
                    } else {
                        expression.push_str(&regex_syntax::escape(c.encode_utf8(&mut [0; 4])));
                    }
                }
            }
        }
    }
    expression.push_str(r"\z");
    Regex { pattern: expression, ignore_case: !is_cased, multi_line: false, dot_all: true }
}

fn literal(part: &Part) -> &str {
    match part {
        Part::Literal(text) => text,
        _ => "",
    }
}

fn with(form: &[Part], dash: char) -> Vec<Part> {
    let mut form = form.to_vec();
    form.push(Part::Literal(dash.to_string()));
    form
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escape::pattern;

    #[test]
    fn dashes_are_interchangeable() {
        let one = forms(&pattern("* -exec*")).unwrap();
        assert_eq!(one.len(), 5);
        for text in ["* -exec*", "* /exec*", "* –exec*", "* —exec*", "* ―exec*"] {
            assert!(one.contains(&pattern(text)), "{text}");
        }
        let two = forms(&pattern(" /a -b?c")).unwrap();
        assert_eq!(two.len(), 25);
        assert!(two.contains(&pattern(" -a –b?c")));
        assert_eq!(forms(&pattern("none")).unwrap(), [pattern("none")]);
        assert_eq!(forms(&pattern("*")).unwrap(), [pattern("*")]);
    }

    #[test]
    fn many_dashes_become_a_regular_expression() {
        let long = pattern("*-a-b-c-d-e-f.*");
        assert_eq!(forms(&long), None);
        let regex = regex(&long, false);
        assert!(regex.ignore_case && regex.dot_all);
        assert!(regex.pattern.starts_with(r"\A.*[-/–—―]a") && regex.pattern.ends_with(r"f\..*\z"));
    }
}
