//! Results as they are kept: JSON with every measurement, Markdown to read, SVG to look at.
//!
//! A [`Table`] says in one sentence what it shows. The same tables make all three forms.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::sample::Sample;
use crate::svg;

/// What stands in a column of a row.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    /// Measured several times.
    Sample(Sample),
    /// Measured once, or computed.
    Number(f64),
    /// Counted.
    Count(u64),
}

impl Cell {
    fn value(&self) -> f64 {
        match self {
            Self::Sample(sample) => sample.median(),
            Self::Number(number) => *number,
            Self::Count(count) => *count as f64,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Sample(sample) => sample.json(),
            Self::Number(number) => json!(number),
            Self::Count(count) => json!(count),
        }
    }

    fn markdown(&self) -> String {
        match self {
            Self::Sample(sample) => {
                let [median, min, max] = [sample.median(), sample.min(), sample.max()].map(short);
                if min == max { median } else { format!("{median} ({min} to {max})") }
            }
            Self::Number(number) => short(*number),
            Self::Count(count) => count.to_string(),
        }
    }
}

/// Three digits that tell something.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.095 || size == 0.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

/// How a table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plot {
    /// A bar a row, of the column at this index.
    Bars(usize),
    /// A line through the columns at these indices, over the rows' `x`.
    Lines(&'static [usize]),
}

/// One thing measured.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Where it stands on the axis of a line plot.
    pub(crate) x: f64,
    pub(crate) cells: Vec<Cell>,
}

/// Several things measured together.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) id: &'static str,
    pub(crate) title: String,
    /// One sentence on what it shows.
    pub(crate) shows: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
    pub(crate) plot: Option<Plot>,
}

impl Table {
    pub(crate) fn new(
        id: &'static str,
        title: &str,
        shows: &str,
        columns: &[&'static str],
    ) -> Self {
        Self {
            id,
            title: title.to_owned(),
            shows: shows.to_owned(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            plot: None,
        }
    }

    pub(crate) fn row(&mut self, name: impl Into<String>, x: f64, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(Row { name: name.into(), x, cells });
    }

    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| {
            let mut object = Map::new();
            object.insert("name".to_owned(), json!(row.name));
            for (column, cell) in self.columns.iter().zip(&row.cells) {
                object.insert((*column).to_owned(), cell.json());
            }
            Value::Object(object)
        };
        json!({
            "id": self.id,
            "title": self.title,
            "shows": self.shows,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n| |", self.title, self.shows);
        for column in &self.columns {
            let _ = write!(text, " {column} |");
        }
        text += "\n|---|";
        text += &"---:|".repeat(self.columns.len());
        text.push('\n');
        for row in &self.rows {
            let _ = write!(text, "| {} |", row.name);
            for cell in &row.cells {
                let _ = write!(text, " {} |", cell.markdown());
            }
            text.push('\n');
        }
        if self.plot.is_some() {
            let _ = write!(text, "\n![{}]({}.svg)\n", self.title, self.id);
        }
        text.push('\n');
        text
    }

    fn svg(&self) -> Option<String> {
        Some(match self.plot? {
            Plot::Bars(column) => {
                let bars: Vec<(String, f64)> = self
                    .rows
                    .iter()
                    .map(|row| (row.name.clone(), row.cells[column].value()))
                    .collect();
                svg::bars(&self.title, self.columns[column], &bars)
            }
            Plot::Lines(columns) => {
                let lines: Vec<svg::Line> = columns
                    .iter()
                    .map(|column| svg::Line {
                        name: self.columns[*column].to_owned(),
                        points: self
                            .rows
                            .iter()
                            .map(|row| (row.x, row.cells[*column].value()))
                            .collect(),
                    })
                    .collect();
                svg::lines(&self.title, &lines)
            }
        })
    }
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    /// The machine, the rules, the events, the command.
    pub(crate) setting: Value,
    pub(crate) tables: Vec<Table>,
}

impl Report {
    /// Writes `results.json`, `README.md` and a plot for each table that has one.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let tables: Vec<Value> = self.tables.iter().map(Table::json).collect();
        let whole = json!({"setting": self.setting, "tables": tables});
        put("results.json", &format!("{whole:#}\n"))?;
        put("README.md", &self.markdown())?;
        for table in &self.tables {
            if let Some(svg) = table.svg() {
                put(&format!("{}.svg", table.id), &svg)?;
            }
        }
        Ok(())
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = "# A run of the performance suite\n\nMedians; in brackets the lowest and the \
                        highest of several passes. The sides of a comparison took turns.\nTimes are \
                        CPU time of the measuring thread where nothing else is said.\n\n"
            .to_owned();
        if let Value::Object(setting) = &self.setting {
            for (name, value) in setting {
                let value = match value {
                    Value::String(text) => text.clone(),
                    Value::Object(parts) => parts
                        .iter()
                        .map(|(name, value)| {
                            format!(
                                "{name} {}",
                                value.as_str().map_or(value.to_string(), str::to_owned)
                            )
                        })
                        .collect::<Vec<_>>()
                        .join("; "),
                    other => other.to_string(),
                };
                let _ = writeln!(text, "- {name}: {value}");
            }
        }
        text.push('\n');
        self.tables.iter().for_each(|table| text += &table.markdown());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_same_figures_in_all_forms() {
        let mut table = Table::new("t", "Title", "It shows.", &["GB/s", "count"]);
        let sample = Sample::new(vec![1.0, 2.0, 4.0]);
        table.row("a", 1.0, vec![Cell::Sample(sample), Cell::Count(7)]);
        table.plot = Some(Plot::Bars(0));
        assert!(table.markdown().contains("| a | 2.00 (1.00 to 4.00) | 7 |"));
        assert_eq!(table.json()["rows"][0]["GB/s"]["median"], 2.0);
        let folder = std::env::temp_dir().join(format!("sigmill-perf-{}", std::process::id()));
        Report { setting: json!({"a": "b"}), tables: vec![table] }.write(&folder).unwrap();
        let names = ["results.json", "README.md", "t.svg"];
        assert!(names.iter().all(|name| folder.join(name).is_file()));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in
            [(1234.5, "1234"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.0123"), (0.0, "0.00")]
        {
            assert_eq!(short(number), text);
        }
    }
}
