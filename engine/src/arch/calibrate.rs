//! Picks the fastest kernel by trying each on a made-up record, for well under a millisecond.

use super::{Isa, ReadKernel, Task, TeddyMasks};

/// Trials of each; the quickest counts, so that an interruption does not.
const TRIALS: usize = 15;
/// A wider kernel is taken unless another one is quicker by more than one part in so many: trials
/// of microseconds say no more.
const MARGIN: u64 = 8;

/// The fastest kernel of this machine.
#[cfg(target_arch = "x86_64")]
pub(crate) fn fastest() -> Isa {
    let record = sample();
    let time = |isa: &Isa| {
        let trial = || {
            let start = super::x86_64::time_stamp();
            std::hint::black_box(work(*isa, &record));
            super::x86_64::time_stamp().wrapping_sub(start)
        };
        (0..TRIALS).map(|_| trial()).min().unwrap_or(u64::MAX)
    };
    let times: Vec<(Isa, u64)> = Isa::all().into_iter().map(|isa| (isa, time(&isa))).collect();
    let quickest = times.iter().map(|(_, time)| *time).min().unwrap_or(0);
    let mut quick = times.iter().filter(|(_, time)| *time <= quickest + quickest / MARGIN);
    quick.next_back().map_or(Isa::Scalar, |(isa, _)| *isa)
}

/// The fastest kernel of this machine.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn fastest() -> Isa {
    Isa::Scalar
}

/// Strings as event logs have them: most are short, many are paths.
fn sample() -> Vec<u8> {
    let values = [
        r"C:\\Windows\\System32\\svchost.exe",
        "NT AUTHORITY\\\\SYSTEM",
        "4624",
        "0x1fffff",
        "{6796ad39-f3fd-5e85-0000-00104ab00c00}",
        r"C:\\Windows\\SYSTEM32\\ntdll.dll+9c524|C:\\Windows\\System32\\KERNELBASE.dll+2730e",
        "2020-04-02 10:58:45.123",
    ];
    let mut record = Vec::new();
    for value in values.iter().cycle().take(70) {
        record.push(b'"');
        record.extend_from_slice(value.as_bytes());
        record.extend_from_slice(b"\",");
    }
    record
}

/// What reading and searching do most: string ends, and Teddy.
fn work(isa: Isa, record: &[u8]) -> usize {
    let mut masks = TeddyMasks::default();
    for (place, byte) in b"mimi".iter().enumerate() {
        masks.add(place, *byte, 0);
    }
    let mut found = 0;
    isa.teddy(std::slice::from_ref(&masks), record, &mut |_, _, _| found += 1);
    found + isa.run(Ends(record))
}

struct Ends<'a>(&'a [u8]);

impl Task for Ends<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<K: ReadKernel>(self) -> usize {
        let mut at = 0;
        while at < self.0.len() {
            let Some(end) = K::string_end(self.0, at + 1) else { break };
            at = end.quote + 2;
        }
        at
    }
}
