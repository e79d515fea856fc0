//! Cuts a stream of bytes into blocks of whole lines.
//!
//! In: a reader. Out: one buffer after the other, each ending at the end of a line (the last one
//! perhaps without a line end). A record's bytes are copied once, from the reader into the buffer that
//! the worker matches in; only the broken line behind a block's last line end moves to the next buffer.
//!
//! Memory is bounded whatever the input: of a line longer than a record may be, one byte more than
//! allowed is kept, which is enough for the matcher to refuse it by its length, and the rest is read
//! past.

use std::io::{self, Read};

use memchr::{memchr, memrchr};

/// How much is read at once, where a block is not asked to be smaller.
const READ_BYTES: usize = 128 << 10;

/// The sizes that shape blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockSizes {
    /// A block is handed out when it holds as much.
    pub(super) block_bytes: usize,
    /// The longest record.
    pub(super) record_bytes_max: usize,
    /// Hand out a block as soon as it holds a line: for a source that people or programs write slowly.
    pub(super) is_eager: bool,
}

/// Reads blocks.
pub(super) struct BlockReader<R> {
    reader: R,
    sizes: BlockSizes,
    /// What was read behind the last line end of the block before.
    tail: Vec<u8>,
    is_at_end: bool,
}

impl<R: Read> BlockReader<R> {
    pub(super) fn new(reader: R, sizes: BlockSizes) -> Self {
        Self { reader, sizes, tail: Vec::new(), is_at_end: false }
    }

    /// Replaces what is in `buf` by the next block; false at the end of the stream.
    pub(super) fn next_block(&mut self, buf: &mut Vec<u8>) -> io::Result<bool> {
        buf.clear();
        buf.append(&mut self.tail);
        // The tail holds no line end, except when it is what was read behind an overlong line.
        let mut line_end = memrchr(b'\n', buf);
        let mut searched = buf.len();
        loop {
            let is_enough = buf.len() >= self.sizes.block_bytes || self.sizes.is_eager;
            if self.is_at_end || (is_enough && line_end.is_some()) {
                break;
            }
            if line_end.is_none() && buf.len() > self.sizes.record_bytes_max {
                self.cut_overlong(buf)?;
                return Ok(true);
            }
            let want = self.sizes.block_bytes.saturating_sub(buf.len()).clamp(1, READ_BYTES);
            self.read_some(buf, want)?;
            if let Some(at) = memrchr(b'\n', &buf[searched..]) {
                line_end = Some(searched + at);
            }
            searched = buf.len();
        }
        if let (Some(at), false) = (line_end, self.is_at_end) {
            self.tail.extend_from_slice(&buf[at + 1..]);
            buf.truncate(at + 1);
        }
        Ok(!buf.is_empty())
    }

    /// Appends up to `want` bytes, or notes the end of the stream.
    fn read_some(&mut self, buf: &mut Vec<u8>, want: usize) -> io::Result<()> {
        let len_before = buf.len();
        buf.resize(len_before + want, 0);
        let result = loop {
            match self.reader.read(&mut buf[len_before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        buf.truncate(len_before + *result.as_ref().unwrap_or(&0));
        self.is_at_end = matches!(result, Ok(0));
        result.map(drop)
    }

    /// `buf` holds the head of one line that is too long: keeps as much as shows it, reads past the rest.
    fn cut_overlong(&mut self, buf: &mut Vec<u8>) -> io::Result<()> {
        buf.truncate(self.sizes.record_bytes_max.saturating_add(1));
        let mut rest = Vec::new();
        while !self.is_at_end {
            rest.clear();
            self.read_some(&mut rest, READ_BYTES)?;
            if let Some(at) = memchr(b'\n', &rest) {
                buf.push(b'\n');
                self.tail.extend_from_slice(&rest[at + 1..]);
                break;
            }
        }
        Ok(())
    }
}

/// The lines of a block, without their line ends (`\n` or `\r\n`).
pub(super) fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, behind) = match memchr(b'\n', rest) {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = behind;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

/// How many lines [`lines`] gives.
pub(super) fn line_count(block: &[u8]) -> u64 {
    let ended = memchr::memchr_iter(b'\n', block).count() as u64;
    ended + u64::from(block.last().is_some_and(|last| *last != b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of the given sizes, as a pipe may.
    struct Pieces<'a> {
        bytes: &'a [u8],
        piece: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.piece.min(buf.len()).min(self.bytes.len());
            buf[..len].copy_from_slice(&self.bytes[..len]);
            self.bytes = &self.bytes[len..];
            Ok(len)
        }
    }

    fn blocks(bytes: &[u8], piece: usize, sizes: BlockSizes) -> Vec<Vec<u8>> {
        let mut reader = BlockReader::new(Pieces { bytes, piece }, sizes);
        let mut all = Vec::new();
        let mut buf = Vec::new();
        while reader.next_block(&mut buf).unwrap() {
            all.push(buf.clone());
        }
        all
    }

    #[test]
    fn blocks_hold_whole_lines_whatever_the_sizes() {
        let text = b"one\ntwo\r\n\nfour, which is longer\nlast";
        for block_bytes in 1..text.len() + 2 {
            for piece in 1..text.len() + 2 {
                for is_eager in [false, true] {
                    let sizes = BlockSizes { block_bytes, record_bytes_max: 100, is_eager };
                    let blocks = blocks(text, piece, sizes);
                    assert_eq!(blocks.concat(), text, "block {block_bytes} piece {piece}");
                    let (last, others) = blocks.split_last().unwrap();
                    assert!(others.iter().all(|block| block.ends_with(b"\n")));
                    let found: Vec<&[u8]> = blocks.iter().flat_map(|block| lines(block)).collect();
                    let expected: [&[u8]; 5] =
                        [b"one", b"two", b"", b"four, which is longer", b"last"];
                    assert_eq!(found, expected);
                    assert_eq!(blocks.iter().map(|block| line_count(block)).sum::<u64>(), 5);
                    assert!(!last.is_empty());
                }
            }
        }
    }

    #[test]
    fn an_overlong_line_is_cut_and_the_next_ones_are_whole() {
        let text = [&b"a\n"[..], &[b'x'; 50], b"\nb\nc\n", &[b'y'; 50]].concat();
        for piece in 1..60 {
            for block_bytes in 1..20 {
                let sizes = BlockSizes { block_bytes, record_bytes_max: 8, is_eager: false };
                let blocks = blocks(&text, piece, sizes);
                let found: Vec<&[u8]> = blocks.iter().flat_map(|block| lines(block)).collect();
                assert_eq!(found.len(), 5, "piece {piece} block {block_bytes}: {found:?}");
                assert_eq!((found[0], found[2], found[3]), (&b"a"[..], &b"b"[..], &b"c"[..]));
                for (long, byte) in [(found[1], b'x'), (found[4], b'y')] {
                    assert!(long.len() > 8);
                    assert!(long.iter().all(|found| *found == byte));
                }
            }
        }
    }

    #[test]
    fn a_line_of_the_longest_length_is_kept_whole() {
        let text = b"12345678\n12345678";
        let sizes = BlockSizes { block_bytes: 4, record_bytes_max: 8, is_eager: false };
        assert_eq!(blocks(text, 3, sizes).concat(), text);
    }

    #[test]
    fn an_empty_stream_has_no_block() {
        let sizes = BlockSizes { block_bytes: 4, record_bytes_max: 8, is_eager: false };
        assert!(blocks(b"", 1, sizes).is_empty());
        assert_eq!(line_count(b""), 0);
    }
}
