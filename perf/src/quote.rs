//! `sigmill-perf quote`: puts the tables of a run into a document, so that no figure is typed by hand.
//!
//! In a document, `<!-- run: ID -->` and `<!-- /run -->` mark where the table of that id goes; what stands
//! between them is replaced. Tables that the run does not have leave their blocks alone.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::report::short;

const BEGIN: &str = "<!-- run: ";
const END: &str = "<!-- /run -->";

/// Rewrites the document; how many tables were put in.
pub(crate) fn quote(run: &Path, document: &Path) -> anyhow::Result<usize> {
    let results = run.join("results.json");
    let text = std::fs::read_to_string(&results)
        .with_context(|| format!("reading {}", results.display()))?;
    let report: Value = serde_json::from_str(&text)?;
    let text = std::fs::read_to_string(document)
        .with_context(|| format!("reading {}", document.display()))?;
    let name = run.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (text, count) = replaced(&text, &report, &name)?;
    std::fs::write(document, text).with_context(|| format!("writing {}", document.display()))?;
    Ok(count)
}

fn replaced(document: &str, report: &Value, run: &str) -> anyhow::Result<(String, usize)> {
    let (mut out, mut rest, mut count) = (String::new(), document, 0);
    while let Some(begin) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(begin);
        let id_end = block.find(" -->").context("a mark is not closed")?;
        let id = &block[BEGIN.len()..id_end];
        let end = block.find(END).with_context(|| format!("the block `{id}` has no end"))?;
        out += before;
        let tables = report["tables"].as_array();
        let table = tables.into_iter().flatten().find(|table| table["id"] == id);
        match table {
            Some(table) => {
                let machine = &report["setting"]["machine"];
                let place = format!(
                    "Run [{run}](../perf/runs/{run}/README.md), commit {}.",
                    machine["commit"].as_str().unwrap_or("unknown")
                );
                let _ = write!(out, "{BEGIN}{id} -->\n{}\n{place}\n{END}", markdown(table));
                count += 1;
            }
            None => out += &block[..end + END.len()],
        }
        rest = &block[end + END.len()..];
    }
    Ok((out + rest, count))
}

fn markdown(table: &Value) -> String {
    let rows: Vec<&serde_json::Map<String, Value>> =
        table["rows"].as_array().into_iter().flatten().filter_map(Value::as_object).collect();
    let columns: Vec<&String> =
        rows.first().map_or_else(Vec::new, |row| row.keys().filter(|key| *key != "name").collect());
    let mut text = format!("{}\n\n| |", table["shows"].as_str().unwrap_or(""));
    for column in &columns {
        let _ = write!(text, " {column} |");
    }
    text += &format!("\n|---|{}\n", "---:|".repeat(columns.len()));
    for row in rows {
        let _ = write!(text, "| {} |", row["name"].as_str().unwrap_or(""));
        for column in &columns {
            let _ = write!(text, " {} |", cell(&row[*column]));
        }
        text.push('\n');
    }
    text
}

fn cell(value: &Value) -> String {
    if value.is_u64() {
        return value.to_string();
    }
    let number = |value: &Value| value.as_f64().map_or_else(|| "–".to_owned(), short);
    match value["median"].as_f64() {
        Some(median) => {
            let (min, max) = (number(&value["min"]), number(&value["max"]));
            if min == max { short(median) } else { format!("{} ({min} to {max})", short(median)) }
        }
        None => number(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_are_replaced_and_the_rest_stays() {
        let report = json!({
            "setting": {"machine": {"commit": "abc"}},
            "tables": [{"id": "t", "shows": "It shows.", "rows": [
                {"name": "a", "GB/s": {"median": 2.0, "min": 1.0, "max": 3.0}, "count": 7},
            ]}],
        });
        let document =
            "x\n<!-- run: t -->\nold\n<!-- /run -->\ny\n<!-- run: u -->\nkept\n<!-- /run -->\n";
        let (text, count) = replaced(document, &report, "r").unwrap();
        assert_eq!(count, 1);
        assert!(text.contains("| a | 2.00 (1.00 to 3.00) | 7 |"));
        assert!(text.starts_with("x\n<!-- run: t -->\nIt shows."));
        assert!(text.ends_with("y\n<!-- run: u -->\nkept\n<!-- /run -->\n"));
        assert!(!text.contains("old"));
        // Once more changes nothing.
        assert_eq!(replaced(&text, &report, "r").unwrap().0, text);
    }
}
