//! Cutting one large file at record ends, in parallel and exactly.
//!
//! Whether a line end in the middle of a file ends a record depends on all quotes before it. So each chunk is scanned
//! alone under both assumptions ([`ChunkScan`]: it begins outside, or inside, a quoted field), and [`stitch`] then
//! walks over the few results in order, knowing for each chunk which assumption was true.

use super::block;

/// What one chunk of a file holds under both assumptions. Made by [`super::RecordFormat::scan_chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkScan {
    bytes: u64,
    /// First record end if the chunk begins outside, and inside, quotes.
    first_end: [Option<Mark>; 2],
    /// An odd number of quotes: it ends in the other state than it began.
    flips: bool,
    /// Line ends, without a carriage return in the last byte.
    lines: u64,
    starts_with_lf: bool,
    ends_with_cr: bool,
}

/// A record end within a chunk, and the line ends up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    offset: u64,
    lines: u64,
}

/// A place in a file where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordStart {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Its line, from 1.
    pub line: u64,
}

impl ChunkScan {
    /// Scans `bytes` for line feeds, each of which ends a record.
    pub(super) fn of_lines(bytes: &[u8]) -> Self {
        let first = memchr::memchr(b'\n', bytes).map(|at| Mark { offset: at as u64 + 1, lines: 1 });
        let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        Self {
            bytes: bytes.len() as u64,
            first_end: [first; 2],
            flips: false,
            lines,
            starts_with_lf: false,
            ends_with_cr: false,
        }
    }

    /// Scans `bytes` for line ends that are, and are not, between quotes.
    pub(super) fn new(bytes: &[u8], quote: Option<u8>) -> Self {
        let mut scan = Self {
            bytes: bytes.len() as u64,
            first_end: [None; 2],
            flips: false,
            lines: 0,
            starts_with_lf: bytes.first() == Some(&b'\n'),
            ends_with_cr: bytes.last() == Some(&b'\r'),
        };
        let mut state = block::Quotes::default();
        let mut offset = 0;
        for found in block::line_ends(bytes, quote) {
            let inside = state.advance(found.quotes);
            for (assumed, ends) in [found.ends & !inside, found.ends & inside].into_iter().enumerate() {
                if ends != 0 && scan.first_end[assumed].is_none() {
                    let bit = ends.trailing_zeros();
                    let lines = scan.lines + u64::from((found.ends & (u64::MAX >> (63 - bit))).count_ones());
                    scan.first_end[assumed] = Some(Mark { offset: offset + u64::from(bit) + 1, lines });
                }
            }
            scan.lines += u64::from(found.ends.count_ones());
            offset += block::SIZE as u64;
        }
        scan.flips = state.inside();
        scan
    }
}

/// The record starts that `chunks` hold: `first`, where the first chunk begins, and the first record end of every
/// other chunk that has one. Ascending; never the end of the last chunk. The chunks follow each other without a gap.
pub fn stitch(first: RecordStart, chunks: &[ChunkScan]) -> Vec<RecordStart> {
    let end = first.offset + chunks.iter().map(|chunk| chunk.bytes).sum::<u64>();
    let mut starts = vec![first];
    let mut at = first;
    let mut inside = false;
    let mut pending_cr = false;
    for (index, chunk) in chunks.iter().enumerate() {
        // A carriage return in the last byte of a chunk is a line end of its own unless a line feed follows.
        at.line += u64::from(pending_cr && chunk.bytes > 0 && !chunk.starts_with_lf);
        if let Some(mark) = chunk.first_end[usize::from(inside)].filter(|_| index > 0) {
            let start = RecordStart { offset: at.offset + mark.offset, line: at.line + mark.lines };
            if start.offset < end {
                starts.push(start);
            }
        }
        at.offset += chunk.bytes;
        at.line += chunk.lines;
        inside ^= chunk.flips;
        pending_cr = if chunk.bytes > 0 { chunk.ends_with_cr } else { pending_cr };
    }
    starts
}
