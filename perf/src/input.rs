//! Rules and events from files, all in memory before anything is measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use sigmill_parser::{Document, Outcome, ParseOptions, Pipeline, Pipelines, Rule, parse_with};

/// The texts of rule files, in the order of their paths.
pub(crate) fn rule_texts(paths: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    let read = |file: PathBuf| {
        let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    files.into_iter().map(read).collect()
}

/// The rules of texts, as they run under pipelines.
pub(crate) fn parse_rules(texts: &[String], pipelines: &Pipelines) -> Vec<Arc<Rule>> {
    let mut options = ParseOptions::default();
    options.is_whole_set = false;
    options.keeps_placeholders = !pipelines.is_empty();
    let documents: Vec<Document> =
        texts.iter().flat_map(|text| parse_with(text, &options).documents).collect();
    let rules = |document| match document {
        Document::Rule(rule) => Some(Arc::from(rule)),
        _ => None,
    };
    if pipelines.is_empty() {
        return documents.into_iter().filter_map(rules).collect();
    }
    let outcomes = pipelines.apply(&documents.iter().collect::<Vec<_>>());
    let active = outcomes.into_iter().filter_map(|outcome| match outcome {
        Outcome::Active(document) => rules(document),
        _ => None,
    });
    active.collect()
}

/// The rules of files and folders.
pub(crate) fn rules(paths: &[PathBuf]) -> anyhow::Result<Vec<Arc<Rule>>> {
    Ok(parse_rules(&rule_texts(paths)?, &Pipelines::default()))
}

/// A pipeline that comes with Sigmill, or one in a file.
pub(crate) fn pipelines(name: &str) -> anyhow::Result<Pipelines> {
    if let Some(pipeline) = Pipeline::shipped(name) {
        return Ok(Pipelines::new([pipeline]));
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("reading {name}"))?;
    let pipeline = Pipeline::parse(&text).pipeline.context("the file is no pipeline")?;
    Ok(Pipelines::new([pipeline]))
}

/// Tells one rule set from another, in results: FNV-1a over the texts.
pub(crate) fn hash(texts: &[String]) -> String {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.is_dir() {
        for entry in
            std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?
        {
            collect(&entry?.path(), files)?;
        }
    } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Records, one behind the other in one buffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Events {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.range(0, self.ends.len())
    }

    /// The records from one to before another.
    pub(crate) fn range(&self, from: usize, to: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let start = |at: usize| if at == 0 { 0 } else { self.ends[at - 1] + 1 };
        (from..to).map(move |at| &self.bytes[start(at)..self.ends[at]])
    }

    pub(crate) fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        self.bytes.push(b'\n');
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the records, without line ends.
    pub(crate) fn byte_count(&self) -> usize {
        self.bytes.len() - self.ends.len()
    }

    /// All records with their line ends.
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> FromIterator<&'a [u8]> for Events {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(records: I) -> Self {
        let mut events = Self::default();
        records.into_iter().for_each(|record| events.push(record));
        events
    }
}

/// Calls `each` with every line of an NDJSON file, plain or compressed by zstd.
pub(crate) fn for_each_line(
    path: &Path,
    mut each: impl FnMut(&[u8]) -> bool,
) -> anyhow::Result<()> {
    use std::io::{BufRead, BufReader, Read};
    let file = std::fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let plain: Box<dyn Read> = if path.extension().is_some_and(|e| e == "zst") {
        let mut decoder = zstd::stream::Decoder::new(file)?;
        decoder.window_log_max(31)?;
        Box::new(decoder)
    } else {
        Box::new(file)
    };
    let mut reader = BufReader::with_capacity(1 << 20, plain);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let record = line.strip_suffix(b"\n").unwrap_or(&line);
        if !record.is_empty() && !each(record) {
            break;
        }
        line.clear();
    }
    Ok(())
}

/// The records of NDJSON files.
pub(crate) fn events(paths: &[PathBuf], bytes_max: Option<usize>) -> anyhow::Result<Events> {
    let mut events = Events::default();
    for path in paths {
        for_each_line(path, |line| {
            let is_room = bytes_max.is_none_or(|max| events.bytes.len() + line.len() <= max);
            if is_room {
                events.push(line);
            }
            is_room
        })?;
    }
    anyhow::ensure!(events.len() > 0, "there are no events");
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_their_lines() {
        let events: Events = [&b"{}"[..], b"{\"a\":1}"].into_iter().collect();
        assert_eq!(events.iter().collect::<Vec<_>>(), [&b"{}"[..], b"{\"a\":1}"]);
        assert_eq!(events.range(1, 2).collect::<Vec<_>>(), [b"{\"a\":1}"]);
        assert_eq!((events.len(), events.byte_count()), (2, 9));
        assert_eq!(events.text(), b"{}\n{\"a\":1}\n");
    }

    #[test]
    fn the_hash_tells_sets_apart() {
        let texts =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_ne!(hash(&texts(&["a", "b"])), hash(&texts(&["ab"])));
        assert_eq!(hash(&texts(&["a"])), hash(&texts(&["a"])));
    }
}
