//! Record ends in consecutive buffers.
//!
//! A line end ends a record when an even number of quotes stands before it. That holds for every file that the tokenizer
//! takes; in a file that it does not take, the piece with the first misplaced quote is still cut rightly, and refused.

use super::options::CsvOptions;
use crate::error::Result;
use crate::formats::block::{self, Quotes};
use crate::formats::{RecordEnd, RecordScanner};

/// The scanner for files of `options`.
pub(super) fn of(options: &CsvOptions) -> Box<dyn RecordScanner> {
    if options.comment.is_none() && options.escape.is_none() {
        return Box::new(Scanner::new(options.quote));
    }
    let CsvOptions { comment, quote, escape, .. } = *options;
    Box::new(Bytewise { comment, quote, escape, place: Place::Start, pending: false, lines: 0 })
}

/// Scans byte by byte: quotes in comments do not count, nor do those behind an escape.
#[derive(Debug)]
struct Bytewise {
    comment: Option<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    place: Place,
    /// As in [`Scanner`].
    pending: bool,
    lines: u64,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a line that is outside of quotes.
    Start,
    Record,
    Quotes,
    /// Behind an escape within quotes.
    Escaped,
    Comment,
}

impl RecordScanner for Bytewise {
    fn feed(&mut self, bytes: &[u8]) -> Option<RecordEnd> {
        let mut last = None;
        let mut lines = self.lines;
        for (at, byte) in bytes.iter().enumerate() {
            if self.pending && *byte != b'\n' {
                // The carriage return before was a line end of its own.
                lines += 1;
                if self.place != Place::Quotes {
                    self.place = Place::Start;
                    last = Some(RecordEnd { offset: at, lines });
                }
            }
            self.pending = *byte == b'\r';
            match (self.place, *byte) {
                (Place::Quotes, byte) if Some(byte) == self.quote => self.place = Place::Record,
                (Place::Quotes, byte) if Some(byte) == self.escape => self.place = Place::Escaped,
                (Place::Quotes, b'\n') => lines += 1,
                (Place::Escaped, byte) => {
                    lines += u64::from(byte == b'\n');
                    self.place = Place::Quotes;
                }
                (_, b'\n') => {
                    lines += 1;
                    self.place = Place::Start;
                    last = Some(RecordEnd { offset: at + 1, lines });
                }
                (Place::Quotes | Place::Comment, _) | (_, b'\r') => {}
                (Place::Start, byte) if Some(byte) == self.comment => self.place = Place::Comment,
                (_, byte) if Some(byte) == self.quote => self.place = Place::Quotes,
                _ => self.place = Place::Record,
            }
        }
        self.lines = lines - last.map_or(0, |end| end.lines);
        last
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Scans with, or without, quotes.
#[derive(Debug)]
pub(super) struct Scanner {
    quote: Option<u8>,
    quotes: Quotes,
    /// The last byte was a CR: a line end of its own unless an LF follows.
    pending: bool,
    /// Line ends since the record end reported last.
    lines: u64,
}

impl Scanner {
    pub(super) fn new(quote: Option<u8>) -> Self {
        Self { quote, quotes: Quotes::default(), pending: false, lines: 0 }
    }
}

impl RecordScanner for Scanner {
    fn feed(&mut self, bytes: &[u8]) -> Option<RecordEnd> {
        let first = bytes.first()?;
        let mut last = None;
        let mut lines = self.lines;
        if self.pending && *first != b'\n' {
            lines += 1;
            last = (!self.quotes.inside()).then_some(RecordEnd { offset: 0, lines });
        }
        for (index, found) in block::line_ends(bytes, self.quote).enumerate() {
            let inside = self.quotes.advance(found.quotes);
            let ends = found.ends & !inside;
            if ends != 0 {
                let bit = 63 - ends.leading_zeros() as usize;
                let up_to = found.ends & (u64::MAX >> (63 - bit));
                let lines = lines + u64::from(up_to.count_ones());
                last = Some(RecordEnd { offset: index * block::SIZE + bit + 1, lines });
            }
            lines += u64::from(found.ends.count_ones());
        }
        self.pending = bytes.last() == Some(&b'\r');
        self.lines = lines - last.map_or(0, |end| end.lines);
        last
    }

    fn finish(&mut self) -> Result<()> {
        // Decoding the last piece sees quotes that are not closed, and knows where they were opened.
        Ok(())
    }
}
