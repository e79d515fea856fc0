//! Where lines come from: a file, plain or compressed, or standard input.
//!
//! In: an argument of the command line. Out: a reader of its plain bytes. Compression is told by the
//! first bytes and not by the name, so that it works on standard input too; no line of JSON begins
//! with one of those bytes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

/// The largest window a zstd frame may ask for, as a power of two: what `zstd --long=31` writes.
const ZSTD_WINDOW_LOG_MAX: u32 = 31;

/// One input of NDJSON lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// The source that an argument names: `-` is standard input.
    pub fn from_argument(argument: &OsStr) -> Self {
        if argument == "-" { Self::Stdin } else { Self::File(PathBuf::from(argument)) }
    }

    /// Its name in messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Bytes on disk, where that is known beforehand.
    ///
    /// # Errors
    /// The file does not exist, or is a folder.
    pub fn stored_bytes(&self) -> io::Result<Option<u64>> {
        let Self::File(path) = self else { return Ok(None) };
        let metadata = std::fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(metadata.is_file().then_some(metadata.len()))
    }

    /// Opens it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        self.open(&Arc::default())
    }

    /// Opens it. `stored_bytes_read` rises by what is taken from the disk, before decompression.
    pub(super) fn open(
        &self,
        stored_bytes_read: &Arc<AtomicU64>,
    ) -> io::Result<Box<dyn Read + Send>> {
        let stored_bytes_read = Arc::clone(stored_bytes_read);
        match self {
            Self::Stdin => plain(Counted { reader: io::stdin(), stored_bytes_read }),
            Self::File(path) => plain(Counted { reader: File::open(path)?, stored_bytes_read }),
        }
    }
}

/// Takes the compression off.
fn plain<R: Read + Send + 'static>(mut reader: R) -> io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut head)?;
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    // A zstd frame, or one of the skippable frames that may stand before it.
    let is_zstd = head == [0x28, 0xb5, 0x2f, 0xfd]
        || (head.len() == 4 && head[0] & 0xf0 == 0x50 && head[1..] == [0x2a, 0x4d, 0x18]);
    let whole = Cursor::new(head).chain(reader);
    if is_gzip {
        return Ok(Box::new(MultiGzDecoder::new(whole)));
    }
    if is_zstd {
        let mut decoder = zstd::stream::read::Decoder::new(whole)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(whole))
}

/// A reader that counts, for the progress bar.
struct Counted<R> {
    reader: R,
    stored_bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(buf)?;
        self.stored_bytes_read.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_all(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        plain(Cursor::new(bytes))?.read_to_end(&mut text)?;
        Ok(text)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let zstd = zstd::encode_all(&b"{}\n"[..], 1).unwrap();
        for (bytes, expected) in [
            (Vec::new(), &b""[..]),
            (b"{}".to_vec(), b"{}"),
            (b"{}\n".to_vec(), b"{}\n"),
            (gzip(b"{}\n"), b"{}\n"),
            ([gzip(b"{}\n"), gzip(b"[]\n")].concat(), b"{}\n[]\n"),
            (zstd.clone(), b"{}\n"),
            ([zstd.clone(), zstd.clone()].concat(), b"{}\n{}\n"),
            ([&[0x53, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9][..], &zstd].concat(), b"{}\n"),
        ] {
            assert_eq!(read_all(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn a_cut_off_file_is_an_error() {
        let zstd = zstd::encode_all(&b"{}\n{}\n"[..], 1).unwrap();
        assert!(read_all(zstd[..zstd.len() - 3].to_vec()).is_err());
        let gzip = gzip(b"{}\n{}\n");
        assert!(read_all(gzip[..gzip.len() - 9].to_vec()).is_err());
    }
}
