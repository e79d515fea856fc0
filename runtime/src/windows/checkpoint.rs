//! Checkpoint files: what an owner knows at a place of its log, so that who takes over reads less of it.
//!
//! A file is a cache of the log and never needed. It is used if it is whole, of this release and this
//! configuration, not ahead of what is committed, and if the record that it says it was made at stands in the
//! log; otherwise a line in the log says why not, the file goes, and the windows are restored from the log alone.
//!
//! Two files of a partition take turns: the older one is still behind the committed offset when a process
//! is killed between a checkpoint and the commit after it. They are written by a thread of their own, under another name
//! first; what a worker does for one is to copy its windows into memory.
//!
//! ```text
//! "SC" 1, checksum of all that follows (4 bytes, CRC-32)
//! whose it is (a text), offset and checksum of the last record taken in
//! the owner: see `owner/saved.rs`
//! ```

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Sender, TrySendError, bounded};
use tracing::{info, warn};

use super::match_batch::{put_bytes, put_signed, take_bytes, take_signed};
use super::rules;
use crate::run_error::RunError;
use crate::settings::Settings;

const MAGIC: &[u8] = b"SC\x01";
/// Magic and checksum.
const PRELUDE_BYTES: usize = 7;
/// The head is within so many bytes: whose it is is a short text.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// A longer file is none of ours.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// The last record that was taken in when a checkpoint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Its offset.
    pub offset: i64,
    checksum: u32,
    is_second: bool,
}

impl Anchor {
    /// Whether this is the record.
    pub(crate) fn is(&self, offset: i64, payload: &[u8]) -> bool {
        self.offset == offset && self.checksum == checksum(payload)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

struct Job {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// The checkpoint files of a worker.
pub(crate) struct Checkpoints {
    folder: PathBuf,
    /// Of whom a file has to be.
    identity: String,
    writer: Sender<Job>,
    turn: AtomicU64,
}

impl Checkpoints {
    /// If there is a folder for state. Its thread is to be begun before the worker's is pinned.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn new(settings: &Settings) -> Result<Option<Self>, RunError> {
        let Some(state) = &settings.window.state_folder else { return Ok(None) };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = settings.matches_topic().replace(|c| !is_plain(c), "_");
        let folder = state.join(name);
        fs::create_dir_all(&folder).map_err(|error| {
            RunError::Fatal(format!("state.dir: cannot make {}: {error}", folder.display()))
        })?;
        let (writer, jobs) = bounded::<Job>(1);
        let write_all = move || {
            for job in jobs {
                if let Err(error) = write(&job) {
                    warn!(%error, path = %job.path.display(), "Cannot write a checkpoint.");
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoints".to_owned());
        thread.spawn(write_all).map_err(|error| {
            RunError::Fatal(format!("cannot begin the thread that writes checkpoints: {error}"))
        })?;
        let identity = format!(
            "{} {} {:?}",
            env!("CARGO_PKG_VERSION"),
            settings.matches_topic(),
            rules::config(settings)
        );
        Ok(Some(Self { folder, identity, writer, turn: AtomicU64::new(0) }))
    }

    fn path(&self, partition: i32, is_second: bool) -> PathBuf {
        let turn = if is_second { 'b' } else { 'a' };
        self.folder.join(format!("windows-{partition}-{turn}.checkpoint"))
    }

    fn whose(&self, partition: i32) -> String {
        format!("{} {partition}", self.identity)
    }

    /// The checkpoint of a partition that spares the most of the log between two offsets.
    pub(crate) fn find(&self, partition: i32, replay: i64, committed: i64) -> Option<Anchor> {
        let found = [false, true].into_iter().filter_map(|is_second| {
            let path = self.path(partition, is_second);
            match self.head(&path, partition, is_second) {
                Ok(anchor) => anchor,
                Err(reason) => {
                    ignore(&path, &reason);
                    None
                }
            }
        });
        found.filter(|it| it.offset >= replay && it.offset < committed).max_by_key(|it| it.offset)
    }

    fn head(&self, path: &Path, partition: i32, second: bool) -> Result<Option<Anchor>, String> {
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| error.to_string())?,
        };
        let mut head = Vec::new();
        file.take(HEAD_BYTES_MAX).read_to_end(&mut head).map_err(|error| error.to_string())?;
        let (anchor, _) = self.take_head(&head, partition, second)?;
        Ok(Some(anchor))
    }

    fn take_head<'a>(
        &self,
        bytes: &'a [u8],
        partition: i32,
        is_second: bool,
    ) -> Result<(Anchor, &'a [u8]), String> {
        let unlike = |_| "it is not a checkpoint".to_owned();
        let rest = bytes.strip_prefix(MAGIC).ok_or("it is not a checkpoint of this version")?;
        let mut rest = rest.get(4..).ok_or("it is cut off")?;
        let whose = take_bytes(&mut rest).map_err(unlike)?;
        if whose != self.whose(partition).as_bytes() {
            return Err("it is of another release, configuration or partition".to_owned());
        }
        let offset = take_signed(&mut rest).map_err(unlike)?;
        let checksum = take_signed(&mut rest).map_err(unlike)?;
        let checksum = u32::try_from(checksum).map_err(|_| "it is not a checkpoint")?;
        Ok((Anchor { offset, checksum, is_second }, rest))
    }

    /// What the owner knew, of a checkpoint that was found.
    pub(crate) fn read(&self, partition: i32, anchor: &Anchor) -> Option<Vec<u8>> {
        let path = self.path(partition, anchor.is_second);
        match self.read_whole(&path, partition, anchor) {
            Ok(bytes) => Some(bytes),
            Err(reason) => {
                ignore(&path, &reason);
                None
            }
        }
    }

    fn read_whole(&self, path: &Path, partition: i32, anchor: &Anchor) -> Result<Vec<u8>, String> {
        let len = fs::metadata(path).map_err(|error| error.to_string())?.len();
        if len > FILE_BYTES_MAX {
            return Err(format!("it has {len} bytes"));
        }
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let (found, owner) = self.take_head(&bytes, partition, anchor.is_second)?;
        let (prelude, rest) = bytes.split_at(PRELUDE_BYTES);
        if prelude[MAGIC.len()..] != checksum(rest).to_le_bytes() {
            return Err("its checksum is wrong".to_owned());
        }
        if found != *anchor {
            return Err("it was written anew meanwhile".to_owned());
        }
        Ok(owner.to_vec())
    }

    /// A checkpoint could not be used.
    pub(crate) fn give_up(&self, partition: i32, anchor: &Anchor, reason: &str) {
        ignore(&self.path(partition, anchor.is_second), reason);
    }

    /// Has a checkpoint written: of an owner that `save` writes, at a record. False: another is being written.
    pub(crate) fn write(
        &self,
        partition: i32,
        (offset, payload): (i64, &[u8]),
        save: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        if self.writer.is_full() {
            return false;
        }
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        put_bytes(&mut bytes, self.whose(partition).as_bytes());
        put_signed(&mut bytes, offset);
        put_signed(&mut bytes, i64::from(checksum(payload)));
        save(&mut bytes);
        let is_second = self.is_second_older(partition);
        let job = Job { path: self.path(partition, is_second), bytes };
        !matches!(self.writer.try_send(job), Err(TrySendError::Full(_)))
    }

    /// Which of the two files is to be written over.
    fn is_second_older(&self, partition: i32) -> bool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let written = |is_second| {
            let path = self.path(partition, is_second);
            fs::metadata(path).and_then(|found| found.modified()).ok()
        };
        match (written(false), written(true)) {
            (first, second) if first == second => turn % 2 == 1,
            (first, second) => second < first,
        }
    }
}

fn ignore(path: &Path, reason: &str) {
    info!(path = %path.display(), reason, "A checkpoint is not used; the log has all of it.");
    let _ = fs::remove_file(path);
}

fn write(job: &Job) -> std::io::Result<()> {
    let sum = checksum(&job.bytes[PRELUDE_BYTES..]).to_le_bytes();
    let name = job.path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = job.path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = |path: &Path| {
        let mut file = File::create(path)?;
        file.write_all(MAGIC)?;
        file.write_all(&sum)?;
        file.write_all(&job.bytes[PRELUDE_BYTES..])?;
        file.sync_all()
    };
    let written = write(&unfinished).and_then(|()| fs::rename(&unfinished, &job.path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::properties::Properties;

    fn checkpoints(folder: &Path, changes: &[(&str, &str)]) -> Checkpoints {
        let mut properties = Properties::default();
        let folder = folder.display().to_string();
        let settings = [
            ("bootstrap.servers", "none:1"),
            ("application.id", "a/.."),
            ("data.topic", "d"),
            ("output.topic", "o"),
            ("sigma.rules.topic", "r"),
            ("state.dir", &folder),
        ];
        for (name, value) in settings.iter().chain(changes) {
            properties.set(name, value, "test");
        }
        let settings = Settings::from_properties(&properties).unwrap();
        Checkpoints::new(&settings).unwrap().unwrap()
    }

    fn write(checkpoints: &Checkpoints, offset: i64, owner: &[u8]) {
        let save = |out: &mut Vec<u8>| out.extend_from_slice(owner);
        let count = files(checkpoints).len();
        assert!(checkpoints.write(3, (offset, b"record"), save));
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_there = || {
            let found = checkpoints.find(3, 0, i64::MAX);
            found.is_some_and(|found| found.offset == offset)
        };
        while !is_there() || files(checkpoints).len() < (count + 1).min(2) {
            assert!(Instant::now() < deadline, "nothing is written");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn files(checkpoints: &Checkpoints) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&checkpoints.folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|it| it == "checkpoint"));
        files
    }

    #[test]
    fn the_latest_that_is_not_ahead_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = checkpoints(folder.path(), &[]);
        assert_eq!(checkpoints.find(3, 0, i64::MAX), None);
        write(&checkpoints, 10, b"first");
        write(&checkpoints, 20, b"second");
        let at = |replay, committed| checkpoints.find(3, replay, committed).map(|it| it.offset);
        assert_eq!(at(0, 21), Some(20));
        assert_eq!(at(0, 20), Some(10), "the record after the last that is done is not committed");
        assert_eq!(at(0, 10), None);
        assert_eq!(at(21, 100), None, "the log itself is shorter");
        let found = checkpoints.find(3, 0, 21).unwrap();
        assert!(found.is(20, b"record") && !found.is(20, b"other") && !found.is(19, b"record"));
        assert_eq!(checkpoints.read(3, &found).as_deref(), Some(&b"second"[..]));
        // The older one makes room.
        std::thread::sleep(Duration::from_millis(20));
        write(&checkpoints, 30, b"third");
        assert_eq!((at(0, 31), at(0, 30)), (Some(30), Some(20)));
        let inside = files(&checkpoints).iter().all(|file| file.starts_with(folder.path()));
        assert!(inside, "an application's name leads nowhere else");
    }

    #[test]
    fn what_is_foreign_or_broken_is_ignored_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let first = checkpoints(folder.path(), &[]);
        write(&first, 10, b"an owner");
        let path = files(&first).pop().unwrap();
        let bytes = fs::read(&path).unwrap();
        let anchor = first.find(3, 0, 11).unwrap();
        // The head is whole, the rest is not.
        for broken in [&bytes[..bytes.len() - 1], &[&bytes[..bytes.len() - 1], b"?"].concat()] {
            fs::write(&path, broken).unwrap();
            assert_eq!(first.find(3, 0, 11), Some(anchor));
            assert_eq!(first.read(3, &anchor), None);
            assert!(files(&first).is_empty());
        }
        for foreign in [&b""[..], b"SC", b"SC\x01", b"SC\x01\0\0\0\0", b"SC\x02 something else"] {
            fs::write(&path, foreign).unwrap();
            assert_eq!(first.find(3, 0, 11), None);
            assert!(files(&first).is_empty(), "{foreign:?}");
        }
        fs::write(&path, &bytes).unwrap();
        let other = checkpoints(folder.path(), &[("sigmill.window.emit", "final")]);
        assert_eq!(other.find(3, 0, 11), None, "its windows are others");
        assert!(files(&first).is_empty());
    }
}
