//! Matches the lines of files against a plan, on several threads, and gives the results in the order
//! of the lines.
//!
//! In: sources of NDJSON, a plan, a function that writes what is to be said about a line that matched.
//! Out: that text, block by block, and a [`Summary`]. One thread reads and decompresses, each worker
//! matches whole blocks with a matcher of its own, and the calling thread puts the results back in
//! order. The text is the same for any number of threads, since a block's text depends on nothing but
//! the block, and windows see the lines in their order ([`windows`]). A fixed set of buffers goes round between the threads, so that input of any length takes
//! the same memory and a slow reader of the output slows the input down.

mod block;
mod event_time;
mod source;
mod windows;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use sigmill_engine::window::{Position, WindowConfig};
use sigmill_engine::{Matcher, MatcherConfig, Plan, Rejection, RuleId};

use crate::enrich::{JoinPlan, Joiner, LevelEffect, Tables};

use self::block::{BlockReader, BlockSizes};
pub use self::event_time::{event_time, time_of_text};
pub use self::source::Source;
use self::windows::{BlockFeed, Feeder, Ordered};
pub use self::windows::{DetectedWindow, FileWindows, WindowSummary};

/// Limits and sizes.
#[derive(Debug, Clone)]
pub struct MatchFilesConfig {
    /// Number of workers.
    pub threads: NonZeroUsize,
    /// Limits of each worker's matcher.
    pub matcher: MatcherConfig,
    /// Bytes of whole lines that a worker takes at once.
    pub block_bytes: usize,
    /// How many refused lines are named in the summary; all are counted.
    pub refused_named_max: usize,
    /// What is joined to records, and the tables for it.
    pub joins: Option<(Arc<JoinPlan>, Arc<Tables>)>,
}

impl Default for MatchFilesConfig {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            matcher: MatcherConfig::default(),
            block_bytes: 1 << 20,
            refused_named_max: 5,
            joins: None,
        }
    }
}

/// A line that at least one rule matches.
#[derive(Debug)]
#[non_exhaustive]
pub struct MatchedLine<'a> {
    /// Its number, from 0 over all sources.
    pub line: u64,
    /// Index of its source.
    pub source: usize,
    /// Its number within the source, from 0.
    pub source_line: u64,
    /// Its bytes, without the line end.
    pub record: &'a [u8],
    /// The rules, in rising order.
    pub rules: &'a [RuleId],
    /// What was joined to it: the members of a JSON array.
    pub joined: &'a [u8],
    /// What its context does to levels.
    pub level_effect: &'a LevelEffect,
}

/// What is handed out for each block, in order.
#[derive(Debug)]
#[non_exhaustive]
pub struct BlockResult<'a> {
    /// What the rendering function wrote about the block's lines.
    pub text: &'a [u8],
    /// How many bytes of the sources, as they are stored, were read when the block was.
    pub stored_bytes_read: u64,
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedLine {
    /// Index of its source.
    pub source: usize,
    /// Its number within the source, from 1, as an editor shows it.
    pub line: u64,
    /// Why.
    pub rejection: Rejection,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Lines of all kinds.
    pub lines: u64,
    /// Bytes of plain text.
    pub bytes: u64,
    /// Lines that at least one rule matches.
    pub lines_matched: u64,
    /// Pairs of a line and a rule that matches it.
    pub matches: u64,
    /// Lines without anything but white space, which are skipped.
    pub lines_empty: u64,
    /// Lines that are not records, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// The first of them.
    pub refused_first: Vec<RefusedLine>,
    /// What windows did.
    pub windows: WindowSummary,
}

/// Why matching stopped before the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MatchFilesError {
    /// A source cannot be opened, or read to its end.
    #[error("cannot read `{name}`")]
    Read {
        /// The source.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The results cannot be written.
    #[error("cannot write the results")]
    Write(#[source] io::Error),
}

/// Matches all lines of `sources` in order. `render` is called on the workers, `write` on this thread.
///
/// # Errors
/// A source cannot be read (what was read before has been matched and written), or `write` failed.
pub fn match_files<R, W>(
    sources: &[Source],
    plan: &Arc<Plan>,
    config: &MatchFilesConfig,
    render: R,
    write: W,
) -> Result<Summary, MatchFilesError>
where
    R: Fn(&MatchedLine<'_>, &mut Vec<u8>) + Sync,
    W: FnMut(BlockResult<'_>) -> io::Result<()>,
{
    let windows = FileWindows {
        plan: Arc::default(),
        config: WindowConfig::default(),
        time_field: String::new(),
        content_bytes_max: 0,
    };
    match_files_with_windows(sources, plan, &windows, config, render, |_, _| {}, write)
}

/// As [`match_files`], with windows. `render_window` is called on this thread, with what a window detects
/// and in the order of the lines at which it goes out.
///
/// # Errors
/// As for [`match_files`].
pub fn match_files_with_windows<R, D, W>(
    sources: &[Source],
    plan: &Arc<Plan>,
    windows: &FileWindows,
    config: &MatchFilesConfig,
    render: R,
    render_window: D,
    mut write: W,
) -> Result<Summary, MatchFilesError>
where
    R: Fn(&MatchedLine<'_>, &mut Vec<u8>) + Sync,
    D: FnMut(&DetectedWindow<'_>, &mut Vec<u8>),
    W: FnMut(BlockResult<'_>) -> io::Result<()>,
{
    // Two blocks a worker keep it busy; two more are being read and being written.
    let buffers = 2 * config.threads.get() + 2;
    let (free_sender, free) = bounded::<Buffers>(buffers);
    let (read_sender, read) = bounded::<ReadBlock>(buffers);
    let (done_sender, done) = unbounded::<DoneBlock>();
    for _ in 0..buffers {
        // The channel has room for all of them and its other end is held here.
        let _ = free_sender.send(Buffers::default());
    }
    thread::scope(|scope| {
        // The reader's ends go with it: that is how the workers learn that there is no more.
        let reader = scope.spawn(move || read_blocks(sources, config, &free, &read_sender));
        for _ in 0..config.threads.get() {
            let (read, done_sender) = (read.clone(), done_sender.clone());
            let matcher = Matcher::new(Arc::clone(plan), config.matcher.clone());
            let render = &render;
            let feeder = (!windows.plan.is_empty() || !windows.plan.is_all_emitting())
                .then(|| Feeder::new(windows, plan));
            scope.spawn(move || {
                match_blocks(matcher, feeder.as_ref(), config, render, &read, &done_sender);
            });
        }
        drop((read, done_sender));
        let ordered = Ordered::new(windows, render_window);
        let summary = write_in_order(&done, &free_sender, config, ordered, &mut write);
        // After a failed write both ends go, so that the reader and the workers stop too.
        drop((done, free_sender));
        let read_result = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let summary = summary.map_err(MatchFilesError::Write)?;
        read_result.map(|()| summary)
    })
}

/// The memory of a block, which goes round.
#[derive(Default)]
struct Buffers {
    lines: Vec<u8>,
    text: Vec<u8>,
}

/// A block on its way to a worker.
struct ReadBlock {
    buffers: Buffers,
    sequence: u64,
    stored_bytes_read: u64,
    source: usize,
    /// Number of the first line over all sources, from 0.
    line_first: u64,
    /// Number of the first line within the source, from 0.
    source_line_first: u64,
}

/// A block on its way back.
struct DoneBlock {
    buffers: Buffers,
    sequence: u64,
    stored_bytes_read: u64,
    source: usize,
    /// Number of the source's first line over all sources.
    source_line: u64,
    feed: BlockFeed,
    summary: Summary,
}

/// Fills free buffers with blocks of lines until the sources end or nobody takes the blocks.
fn read_blocks(
    sources: &[Source],
    config: &MatchFilesConfig,
    free: &Receiver<Buffers>,
    read: &Sender<ReadBlock>,
) -> Result<(), MatchFilesError> {
    let stored_bytes_read = Arc::new(AtomicU64::new(0));
    let mut sequence = 0;
    let mut line_first = 0;
    // Taken but not used yet: at the end of a source it waits for the next one's first block.
    let mut spare: Option<Buffers> = None;
    for (index, source) in sources.iter().enumerate() {
        let failed = |error| MatchFilesError::Read { name: source.name(), source: error };
        let sizes = BlockSizes {
            block_bytes: config.block_bytes,
            record_bytes_max: config.matcher.record_bytes_max,
            is_eager: *source == Source::Stdin,
        };
        let opened = source.open(&stored_bytes_read).map_err(failed)?;
        let mut reader = BlockReader::new(opened, sizes);
        let mut source_line_first = 0;
        // The other ends are gone only if writing failed or a worker panicked: nothing is left to do.
        while let Some(mut buffers) = spare.take().or_else(|| free.recv().ok()) {
            if !reader.next_block(&mut buffers.lines).map_err(failed)? {
                spare = Some(buffers);
                break;
            }
            let line_count = block::line_count(&buffers.lines);
            let block = ReadBlock {
                buffers,
                sequence,
                stored_bytes_read: stored_bytes_read.load(Ordering::Relaxed),
                source: index,
                line_first,
                source_line_first,
            };
            if read.send(block).is_err() {
                return Ok(());
            }
            sequence += 1;
            line_first += line_count;
            source_line_first += line_count;
        }
    }
    Ok(())
}

/// A worker: matches one block after the other.
fn match_blocks<R: Fn(&MatchedLine<'_>, &mut Vec<u8>)>(
    mut matcher: Matcher,
    feeder: Option<&Feeder<'_>>,
    config: &MatchFilesConfig,
    render: &R,
    read: &Receiver<ReadBlock>,
    done: &Sender<DoneBlock>,
) {
    let (mut matched, mut emitting): (Vec<RuleId>, Vec<RuleId>) = Default::default();
    let joins = config.joins.clone();
    let mut joiner = joins.map(|(plan, tables)| Joiner::new(plan, tables));
    let (mut joined, mut level_effect) = (Vec::new(), LevelEffect::default());
    for mut block in read {
        let mut summary = Summary::default();
        let mut feed = BlockFeed::default();
        block.buffers.text.clear();
        for (at, record) in (0..).zip(block::lines(&block.buffers.lines)) {
            summary.lines += 1;
            let found = match &mut joiner {
                None => matcher.matches(record),
                Some(joiner) => joiner.matches(&mut matcher, record),
            };
            match found {
                Ok([]) if feeder.is_none() => {}
                Ok(rules) => {
                    let source_line = block.source_line_first + at;
                    let text = &mut block.buffers.text;
                    matched.clear();
                    matched.extend_from_slice(rules);
                    emitting.clear();
                    emitting.extend(
                        matched
                            .iter()
                            .filter(|rule| feeder.is_none_or(|feeder| feeder.is_emitting(**rule))),
                    );
                    if !emitting.is_empty() {
                        summary.lines_matched += 1;
                        summary.matches += emitting.len() as u64;
                        if let Some(joiner) = &mut joiner {
                            joiner.finish(&mut matcher, record);
                            joined.clear();
                            joiner.write_joined(&mut matcher, record, &mut joined);
                            joiner.level_effect(&mut matcher, record, &mut level_effect);
                        }
                        let line = MatchedLine {
                            line: block.line_first + at,
                            source: block.source,
                            source_line,
                            record,
                            rules: &emitting,
                            joined: &joined,
                            level_effect: &level_effect,
                        };
                        render(&line, text);
                    }
                    if let Some(feeder) = feeder {
                        let position =
                            Position { source: block.source as u32, offset: source_line };
                        let place = (record, position);
                        feeder.feed(&mut feed, &mut matcher, place, &matched, text.len());
                    }
                }
                Err(Rejection::Empty) => summary.lines_empty += 1,
                Err(rejection) => {
                    *summary.refused.entry(rejection.as_str()).or_default() += 1;
                    if summary.refused_first.len() < config.refused_named_max {
                        let line = block.source_line_first + at + 1;
                        summary.refused_first.push(RefusedLine {
                            source: block.source,
                            line,
                            rejection,
                        });
                    }
                }
            }
        }
        summary.bytes = block.buffers.lines.len() as u64;
        let ReadBlock { buffers, sequence, stored_bytes_read, source, .. } = block;
        let source_line = block.line_first - block.source_line_first;
        let done_block =
            DoneBlock { buffers, sequence, stored_bytes_read, source, source_line, feed, summary };
        if done.send(done_block).is_err() {
            return;
        }
    }
}

/// Writes the blocks' text in the order of reading and gives their buffers back.
fn write_in_order(
    done: &Receiver<DoneBlock>,
    free: &Sender<Buffers>,
    config: &MatchFilesConfig,
    mut ordered: Ordered<'_, impl FnMut(&DetectedWindow<'_>, &mut Vec<u8>)>,
    write: &mut impl FnMut(BlockResult<'_>) -> io::Result<()>,
) -> io::Result<Summary> {
    let mut total = Summary::default();
    // Holds no more blocks than there are buffers.
    let mut waiting: BTreeMap<u64, DoneBlock> = BTreeMap::new();
    let mut sequence_next = 0;
    let mut stored_bytes_read = 0;
    for block in done {
        waiting.insert(block.sequence, block);
        while let Some(block) = waiting.remove(&sequence_next) {
            sequence_next += 1;
            stored_bytes_read = block.stored_bytes_read;
            let place = (block.source, block.source_line);
            let text = ordered.block(block.feed, place, &block.buffers.text);
            write(BlockResult { text, stored_bytes_read })?;
            total.add(block.summary, config.refused_named_max);
            // The reader may have come to its end and taken no more.
            let _ = free.send(block.buffers);
        }
    }
    let (text, windows) = ordered.close();
    total.windows = windows;
    if !text.is_empty() {
        write(BlockResult { text: &text, stored_bytes_read })?;
    }
    Ok(total)
}

impl Summary {
    /// All refused lines.
    pub fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    fn add(&mut self, block: Self, refused_named_max: usize) {
        self.lines += block.lines;
        self.bytes += block.bytes;
        self.lines_matched += block.lines_matched;
        self.matches += block.matches;
        self.lines_empty += block.lines_empty;
        for (reason, count) in block.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        self.refused_first.extend(block.refused_first);
        self.refused_first.truncate(refused_named_max);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sigmill_parser::Document;

    use super::*;

    const RULE: &str = "title: T\nlogsource: {product: p}\ndetection: {s: {a: 1}, condition: s}\n";

    fn plan() -> Arc<Plan> {
        let parsed = sigmill_parser::parse(RULE);
        let Some(Document::Rule(rule)) = parsed.documents.into_iter().next() else {
            panic!("{:?}", parsed.diagnostics)
        };
        let options = sigmill_codegen::CompileOptions::default();
        Arc::new(sigmill_codegen::compile(&[Arc::from(rule)], &options).plan)
    }

    /// Writes the texts as files; the folder lives as long as the first value.
    fn sources<T: AsRef<[u8]>>(texts: &[T]) -> (tempfile::TempDir, Vec<Source>) {
        let folder = tempfile::tempdir().unwrap();
        let sources = texts.iter().enumerate().map(|(at, text)| {
            let path = folder.path().join(at.to_string());
            std::fs::write(&path, text).unwrap();
            Source::File(path)
        });
        let sources = sources.collect();
        (folder, sources)
    }

    fn config(threads: usize) -> MatchFilesConfig {
        let threads = NonZeroUsize::new(threads).unwrap();
        MatchFilesConfig { threads, block_bytes: 16, ..MatchFilesConfig::default() }
    }

    /// The lines that match as `line:source:line in source`, and the summary.
    fn run(sources: &[Source], threads: usize) -> (String, Result<Summary, MatchFilesError>) {
        let mut text = Vec::new();
        let result = match_files(
            sources,
            &plan(),
            &config(threads),
            |line, text| {
                let place = format!("{}:{}:{} ", line.line, line.source, line.source_line);
                text.extend_from_slice(place.as_bytes());
            },
            |block| {
                text.extend_from_slice(block.text);
                Ok(())
            },
        );
        (String::from_utf8(text).unwrap(), result)
    }

    #[test]
    fn lines_are_numbered_over_all_sources_and_within_each() {
        let texts = ["{\"a\":1}\n\n{\"a\":2}\n{\"a\":1}", "", "[]\n{\"a\":1}\nx\n{\"a\":1}\n"];
        let (_folder, sources) = sources(&texts);
        for threads in [1, 2, 8] {
            let (text, result) = run(&sources, threads);
            assert_eq!(text, "0:0:0 3:0:3 5:2:1 7:2:3 ", "{threads} threads");
            let summary = result.unwrap();
            assert_eq!((summary.lines, summary.lines_matched, summary.matches), (8, 4, 4));
            assert_eq!((summary.lines_empty, summary.refused_count()), (1, 2));
            assert_eq!(summary.bytes, texts.concat().len() as u64);
            let first: Vec<(usize, u64)> =
                summary.refused_first.iter().map(|line| (line.source, line.line)).collect();
            assert_eq!(first, [(2, 1), (2, 3)]);
        }
    }

    #[test]
    fn many_sources_do_not_use_the_buffers_up() {
        let (_folder, sources) = sources(&vec!["{\"a\":1}\n"; 100]);
        let (_, result) = run(&sources, 1);
        assert_eq!(result.unwrap().matches, 100);
    }

    #[test]
    fn the_first_refused_lines_are_the_same_for_any_number_of_threads() {
        let (_folder, sources) = sources(&["x\n".repeat(1000)]);
        for threads in [1, 4] {
            let summary = run(&sources, threads).1.unwrap();
            let lines: Vec<u64> = summary.refused_first.iter().map(|line| line.line).collect();
            assert_eq!(lines, [1, 2, 3, 4, 5]);
            assert_eq!(summary.refused["not_json"], 1000);
        }
    }

    #[test]
    fn a_source_that_cannot_be_read_ends_the_run_after_what_was_read() {
        let (_folder, mut sources) = sources(&["{\"a\":1}\n".repeat(50)]);
        sources.push(Source::File(PathBuf::from("no/such/file")));
        let (text, result) = run(&sources, 2);
        assert_eq!(text.split_whitespace().count(), 50);
        assert_eq!(result.unwrap_err().to_string(), "cannot read `no/such/file`");
    }

    #[test]
    fn a_write_that_fails_ends_the_run() {
        let (_folder, sources) = sources(&["{\"a\":1}\n".repeat(10_000)]);
        let mut blocks_left = 3;
        let result = match_files(
            &sources,
            &plan(),
            &config(2),
            |_, text| text.push(b'x'),
            |_| {
                blocks_left -= 1;
                if blocks_left == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
            },
        );
        assert!(matches!(result, Err(MatchFilesError::Write(_))), "{result:?}");
        assert_eq!(blocks_left, 0);
    }
}
