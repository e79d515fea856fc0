//! The attributes that rules, correlations and filters share: who, what, when, how bad.
//!
//! Everything here can be wrong without changing what a rule matches, so its findings do not keep a
//! document from being loaded; only a missing title does.

use super::{Reader, Weight, head};
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Level;
use crate::span::Spanned;
use crate::suggest::nearest;
use crate::yaml::Node;

const TITLE_MAX: usize = 256;
const DESCRIPTION_MAX: usize = 65_535;
const STATUSES: [&str; 5] = ["stable", "test", "experimental", "deprecated", "unsupported"];
const RELATIONS: [&str; 5] = ["derived", "obsolete", "merged", "renamed", "similar"];

/// The shared attributes.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) title: Option<Spanned<String>>,
    pub(crate) id: Option<Spanned<String>>,
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) status: Option<Spanned<String>>,
    pub(crate) level: Option<Spanned<Level>>,
    pub(crate) description: Option<Spanned<String>>,
    pub(crate) author: Option<Spanned<String>>,
    pub(crate) references: Vec<Spanned<String>>,
    pub(crate) tags: Vec<Spanned<String>>,
    pub(crate) fields: Vec<Spanned<String>>,
}

pub(crate) fn read(reader: &mut Reader<'_>, root: &Node) -> Header {
    let mut header = Header::default();
    for (key, node) in root.as_mapping().unwrap_or(&[]) {
        let Some(key) = key.key() else { continue };
        // An attribute without a value is as good as absent; `title` is looked at below.
        if node.is_null() {
            continue;
        }
        match key {
            "title" => {
                header.title = reader.text(key, node, Weight::Blocking);
                check_len(reader, key, header.title.as_ref(), TITLE_MAX);
            }
            "id" => {
                header.id = reader.text(key, node, Weight::Loadable);
                check_id(reader, header.id.as_ref());
            }
            "name" | "taxonomy" | "license" => {
                let text = reader.text(key, node, Weight::Loadable);
                check_len(reader, key, text.as_ref(), TITLE_MAX);
                if key == "name" {
                    header.name = text;
                }
            }
            "status" => {
                header.status = reader.text(key, node, Weight::Loadable);
                check_word(reader, key, header.status.as_ref(), &STATUSES);
            }
            "level" => header.level = level(reader, node),
            "description" => {
                header.description = reader.text(key, node, Weight::Loadable);
                check_len(reader, key, header.description.as_ref(), DESCRIPTION_MAX);
            }
            "author" => header.author = reader.text(key, node, Weight::Loadable),
            "references" => header.references = reader.texts(key, node, Weight::Loadable),
            "fields" => header.fields = reader.texts(key, node, Weight::Loadable),
            "falsepositives" | "scope" => {
                reader.texts(key, node, Weight::Loadable);
            }
            "tags" => {
                header.tags = reader.texts(key, node, Weight::Loadable);
                header.tags.iter().for_each(|tag| check_tag(reader, tag));
            }
            "date" | "modified" => check_date(reader, key, node),
            "related" => check_related(reader, node),
            _ => {}
        }
    }
    let has_title = root.get("title").is_some_and(|title| !title.is_null());
    if !has_title {
        reader.missing("title", root, head(root), Weight::Blocking);
    }
    header
}

fn check_len(reader: &mut Reader<'_>, key: &str, text: Option<&Spanned<String>>, max: usize) {
    let Some(text) = text else { return };
    let len = text.node.chars().count();
    if len > max {
        let message = format!("`{key}` has {len} characters, more than {max}");
        let diagnostic = Diagnostic::error(Code::ValueRange, text.span).message(message);
        reader.report(diagnostic.loadable());
    }
}

fn check_id(reader: &mut Reader<'_>, id: Option<&Spanned<String>>) {
    let Some(id) = id else { return };
    if !is_uuid(&id.node) {
        let diagnostic = Diagnostic::warning(Code::BadId, id.span)
            .message(format!("id `{}` is not a UUID", shorten(&id.node)))
            .help("give the rule a random UUID (version 4)");
        reader.report(diagnostic);
    }
}

fn check_word(
    reader: &mut Reader<'_>,
    key: &str,
    word: Option<&Spanned<String>>,
    words: &[&'static str],
) {
    let Some(word) = word.filter(|word| !words.contains(&word.node.as_str())) else { return };
    reader.report(bad_word(key, word, words).loadable());
}

fn bad_word(key: &str, word: &Spanned<String>, words: &[&'static str]) -> Diagnostic {
    let help = match nearest(&word.node, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of {}", words.join(", ")),
    };
    Diagnostic::error(Code::BadEnum, word.span)
        .message(format!("`{}` is no {key}", shorten(&word.node)))
        .help(help)
}

fn level(reader: &mut Reader<'_>, node: &Node) -> Option<Spanned<Level>> {
    let word = reader.text("level", node, Weight::Loadable)?;
    let level = Level::ALL.into_iter().find(|level| level.as_str() == word.node);
    if level.is_none() {
        reader.report(bad_word("level", &word, &Level::ALL.map(Level::as_str)).loadable());
    }
    level.map(|level| Spanned::new(level, word.span))
}

fn check_date(reader: &mut Reader<'_>, key: &str, node: &Node) {
    let Some(date) = reader.text(key, node, Weight::Loadable) else { return };
    if !is_date(&date.node) {
        let diagnostic = Diagnostic::warning(Code::BadDate, date.span)
            .message(format!("`{}` is no date", shorten(&date.node)))
            .help("write it as YYYY-MM-DD");
        reader.report(diagnostic);
    }
}

fn check_tag(reader: &mut Reader<'_>, tag: &Spanned<String>) {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b);
    let is_good = tag.node.bytes().all(is_allowed)
        && tag
            .node
            .split_once('.')
            .is_some_and(|(space, name)| !space.is_empty() && !name.is_empty());
    if !is_good {
        let diagnostic = Diagnostic::warning(Code::BadTag, tag.span)
            .message(format!("tag `{}` is not of the form `namespace.name`", shorten(&tag.node)))
            .help("use lower-case letters, digits, `_`, `-`, and a dot behind the namespace");
        reader.report(diagnostic);
    }
}

fn check_related(reader: &mut Reader<'_>, node: &Node) {
    let Some(items) = node.as_sequence() else {
        let message = format!("`related` has to be a list, not {}", node.describe());
        reader.report(Diagnostic::error(Code::TypeError, node.span).message(message).loadable());
        return;
    };
    for item in items {
        let id = item.get("id").and_then(|id| reader.text("id", id, Weight::Loadable));
        let kind = item.get("type").and_then(|kind| reader.text("type", kind, Weight::Loadable));
        for (key, value) in [("id", &id), ("type", &kind)] {
            if value.is_none() && item.get(key).is_none() {
                reader.missing(key, item, item.span, Weight::Loadable);
            }
        }
        check_id(reader, id.as_ref());
        check_word(reader, "type", kind.as_ref(), &RELATIONS);
    }
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `YYYY-MM-DD`, a day that the calendar has.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_formed = parts.iter().map(|part| part.len()).eq([4, 2, 2])
        && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if !is_formed {
        return false;
    }
    let number = |at: usize| parts[at].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0), number(1), number(2));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// A text short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_ids_have_one_form() {
        for (text, expected) in [
            ("2023-06-14", true),
            ("2024-02-29", true),
            ("2023-02-29", false),
            ("2023-13-45", false),
            ("2023/06/14", false),
            ("yesterday", false),
            ("2023-6-14", false),
        ] {
            assert_eq!(is_date(text), expected, "{text}");
        }
        assert!(is_uuid("929a690e-bef0-4204-a928-ef5e620d6fcc"));
        assert!(!is_uuid("929a690e-bef0-4204-a928-ef5e620d6fc"));
        assert!(!is_uuid("929a690ebef04204a928ef5e620d6fcc"));
        assert!(!is_uuid("929a690e-bef0-4204-a928-ef5e620d6fcg"));
    }
}
