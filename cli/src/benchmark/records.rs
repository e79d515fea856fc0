//! Records in memory, so that nothing is read while something is measured.

use std::io::Read as _;

use sigmill_runtime::match_files::{MatchFilesError, Source};

/// Records of about so many bytes go to one thread before the next gets some.
const BLOCK_BYTES: usize = 1 << 20;

/// Records, one behind the other in one buffer.
#[derive(Debug)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    /// Where each begins and ends.
    ranges: Vec<(usize, usize)>,
    /// Where each block of records begins, in `ranges`.
    blocks: Vec<usize>,
}

impl Records {
    /// Reads all lines that hold more than white space.
    ///
    /// # Errors
    /// A source cannot be read to its end.
    pub(crate) fn read(sources: &[Source]) -> Result<Self, MatchFilesError> {
        let mut bytes = Vec::new();
        for source in sources {
            let failed = |error| MatchFilesError::Read { name: source.name(), source: error };
            let mut reader = source.reader().map_err(failed)?;
            reader.read_to_end(&mut bytes).map_err(failed)?;
            if bytes.last().is_some_and(|last| *last != b'\n') {
                bytes.push(b'\n');
            }
        }
        Ok(Self::new(bytes))
    }

    fn new(bytes: Vec<u8>) -> Self {
        let (mut ranges, mut blocks) = (Vec::new(), vec![0]);
        let (mut start, mut block_start) = (0, 0);
        for line in bytes.split(|byte| *byte == b'\n') {
            let end = start + line.len();
            if !line.trim_ascii().is_empty() {
                if end - block_start > BLOCK_BYTES && blocks.last() != Some(&ranges.len()) {
                    blocks.push(ranges.len());
                    block_start = start;
                }
                ranges.push((start, end));
            }
            start = end + 1;
        }
        Self { bytes, ranges, blocks }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Bytes of them, without line ends.
    pub(crate) fn byte_count(&self) -> usize {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    /// Memory that they take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.ranges.len() * size_of::<(usize, usize)>()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.share(0, 1)
    }

    /// The records of one of several threads: every so-many-th block.
    pub(super) fn share(&self, thread: usize, threads: usize) -> impl Iterator<Item = &[u8]> {
        let blocks = (thread..self.blocks.len()).step_by(threads);
        let records = blocks.flat_map(|block| {
            let end = self.blocks.get(block + 1).copied().unwrap_or(self.ranges.len());
            &self.ranges[self.blocks[block]..end]
        });
        records.map(|(start, end)| &self.bytes[*start..*end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_all_records_each_once() {
        let lines: Vec<String> =
            (0..50).map(|n| format!("{{\"n\":\"{}\"}}", n.to_string().repeat(50_000))).collect();
        let records = Records::new(format!("\n{}\n \n", lines.join("\n")).into_bytes());
        assert_eq!(records.len(), 50);
        assert_eq!(records.byte_count(), lines.iter().map(String::len).sum::<usize>());
        assert!(records.iter().eq(lines.iter().map(String::as_bytes)));
        let mut shared: Vec<&[u8]> = (0..3).flat_map(|thread| records.share(thread, 3)).collect();
        assert_ne!(shared, records.iter().collect::<Vec<_>>());
        shared.sort_unstable();
        let mut all: Vec<&[u8]> = records.iter().collect();
        all.sort_unstable();
        assert_eq!(shared, all);
    }

    #[test]
    fn no_records_are_no_shares() {
        let records = Records::new(Vec::new());
        assert_eq!((records.len(), records.share(1, 2).count(), records.iter().count()), (0, 0, 0));
    }
}
