//! Rules and events from files, all in memory before anything is measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use sigmill_parser::{Document, Rule};

/// The rules of files and folders, in the order of their paths.
pub(crate) fn rules(paths: &[PathBuf]) -> anyhow::Result<Vec<Arc<Rule>>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    let mut rules = Vec::new();
    for file in files {
        let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        for document in sigmill_parser::parse_bytes(&bytes).documents {
            if let Document::Rule(rule) = document {
                rules.push(Arc::new(*rule));
            }
        }
    }
    Ok(rules)
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
pub(crate) struct Events {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Events {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|end| end + 1));
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the records, without line ends.
    pub(crate) fn byte_count(&self) -> usize {
        self.bytes.len() - self.ends.len()
    }
}

/// The records of NDJSON files.
pub(crate) fn events(paths: &[PathBuf], bytes_max: Option<usize>) -> anyhow::Result<Events> {
    let mut events = Events { bytes: Vec::new(), ends: Vec::new() };
    for path in paths {
        let raw = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let text = if path.extension().is_some_and(|e| e == "zst") {
            let mut decoder = zstd::stream::Decoder::new(&raw[..])?;
            decoder.window_log_max(31)?;
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut decoder, &mut text)?;
            text
        } else {
            raw
        };
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            if bytes_max.is_some_and(|max| events.bytes.len() + line.len() > max) {
                return Ok(events);
            }
            events.bytes.extend_from_slice(line);
            events.ends.push(events.bytes.len());
            events.bytes.push(b'\n');
        }
    }
    Ok(events)
}
