//! Parsing alone: what every engine that parses JSON would have to spend at least.

use simd_json::{Buffers, Tape};

/// simd-json's tape, with all buffers reused.
pub(super) struct ParseOnly {
    buffers: Buffers,
    copy: Vec<u8>,
    /// Empty between records; `None` only while one is parsed.
    tape: Option<Tape<'static>>,
}

impl Default for ParseOnly {
    fn default() -> Self {
        Self { buffers: Buffers::default(), copy: Vec::new(), tape: Some(Tape::null().reset()) }
    }
}

impl ParseOnly {
    /// Parses all records. A record that is refused costs what it costs to find out.
    pub(super) fn pass<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) {
        for record in records {
            // It parses in place, so the record has to be copied.
            self.copy.clear();
            self.copy.extend_from_slice(record);
            let mut tape = self.tape.take().unwrap_or_else(|| Tape::null().reset());
            let parsed = simd_json::fill_tape(&mut self.copy, &mut self.buffers, &mut tape);
            std::hint::black_box((parsed.is_ok(), tape.0.len()));
            self.tape = Some(tape.reset());
        }
    }
}
