//! Log sources that no published rule uses: a misspelt one matches in no pipeline.

use super::logsource_table::LOGSOURCES;
use crate::Logsource;
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Spanned;
use crate::suggest::nearest;

/// The part of a log source that is not known, if there is one.
pub(super) fn check(logsource: &Logsource) -> Option<Diagnostic> {
    let part = |part: &Option<Spanned<String>>| part.as_ref().map(|part| part.node.to_lowercase());
    let product = part(&logsource.product);
    if let (Some(product), Some(written)) = (&product, &logsource.product)
        && !LOGSOURCES.iter().any(|row| row.0 == product)
    {
        let products = LOGSOURCES.iter().map(|row| row.0).filter(|name| !name.is_empty());
        return Some(unknown("product", written, None, products));
    }
    let parts = [
        ("category", &logsource.category, categories as fn(&Row) -> &'static [&'static str]),
        ("service", &logsource.service, services),
    ];
    for (key, written, names) in parts {
        let (Some(written), Some(wanted)) = (written, part(written)) else { continue };
        let product = product.as_deref();
        // Categories without a product are everybody's; without a product, one may mean any.
        let is_open = |row: &&Row| {
            product.is_none_or(|product| row.0 == product)
                || (row.0.is_empty() && key == "category")
        };
        let known = || LOGSOURCES.iter().filter(is_open).flat_map(names).copied();
        if !known().any(|name| name == wanted) {
            return Some(unknown(key, written, product, known()));
        }
    }
    None
}

type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

fn categories(row: &Row) -> &'static [&'static str] {
    row.1
}

fn services(row: &Row) -> &'static [&'static str] {
    row.2
}

fn unknown(
    key: &str,
    written: &Spanned<String>,
    product: Option<&str>,
    known: impl IntoIterator<Item = &'static str>,
) -> Diagnostic {
    let name = super::shorten(&written.node);
    let product = product.map_or_else(String::new, |product| format!(" of product `{product}`"));
    let diagnostic = Diagnostic::warning(Code::UnknownLogsource, written.span)
        .message(format!("`{name}` is no {key}{product} that published rules use"));
    match nearest(&written.node, known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("a log source of your own needs a pipeline of your own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    /// The message about a log source given as product, category, service.
    fn message(parts: [&str; 3]) -> Option<String> {
        let [product, category, service] = parts
            .map(|part| (!part.is_empty()).then(|| Spanned::new(part.to_owned(), Span::default())));
        let span = Span::default();
        check(&Logsource { category, product, service, span }).map(|found| found.message)
    }

    #[test]
    fn known_log_sources_are_silent() {
        for parts in [
            ["windows", "process_creation", ""],
            ["windows", "", "security"],
            ["windows", "", ""],
            ["linux", "", ""],
            ["", "process_creation", ""],
            ["", "webserver", ""],
            ["django", "webserver", ""],
            ["", "", "apache"],
            ["", "", "sshd"],
            ["kubernetes", "application", "audit"],
            ["Windows", "Process_Creation", ""],
        ] {
            assert_eq!(message(parts), None, "{parts:?}");
        }
    }

    #[test]
    fn unknown_ones_are_named() {
        for (parts, expected) in [
            (["windos", "process_creation", ""], "`windos` is no product"),
            (
                ["windows", "process_create", ""],
                "`process_create` is no category of product `windows`",
            ),
            (["linux", "", "security"], "`security` is no service of product `linux`"),
            (["", "proces_creation", ""], "`proces_creation` is no category that"),
        ] {
            let found = message(parts).unwrap();
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(LOGSOURCES.is_sorted_by_key(|row| row.0));
    }
}
