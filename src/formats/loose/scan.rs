//! Record ends of loose text in consecutive buffers. Quotes within unquoted fields mean nothing, so the bytes are walked in order.

use super::tokenize::Marks;
use crate::error::Result;
use crate::formats::{RecordEnd, RecordScanner};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first character of a field.
    Start,
    Unquoted,
    Quoted,
    /// Behind a quote that closes the field or is the first of two.
    Behind,
}

/// Scans with, or without, quotes.
#[derive(Debug)]
pub(super) struct Scanner {
    marks: Marks,
    state: State,
    /// The last byte was a CR: a line end of its own unless an LF follows.
    pending: bool,
    /// Line ends since the record end reported last.
    lines: u64,
}

impl Scanner {
    pub(super) fn new(marks: Marks) -> Self {
        Self { marks, state: State::Start, pending: false, lines: 0 }
    }

    /// Goes on from `at` to the next change of state. The new place, and whether a record ended before it.
    fn step(&mut self, bytes: &[u8], at: usize) -> (usize, bool) {
        let rest = &bytes[at..];
        match self.state {
            State::Start => {
                let blank = |byte: &&u8| matches!(byte, b' ' | b'\t') && **byte != self.marks.delimiter;
                let skip = if self.marks.trim { rest.iter().take_while(blank).count() } else { 0 };
                let opens = rest.get(skip).is_some_and(|byte| Some(*byte) == self.marks.quote);
                if skip == rest.len() {
                    return (bytes.len(), false);
                }
                self.state = if opens { State::Quoted } else { State::Unquoted };
                (at + skip + usize::from(opens), false)
            }
            State::Unquoted => {
                let Some(found) = memchr::memchr3(self.marks.delimiter, b'\n', b'\r', rest) else {
                    return (bytes.len(), false);
                };
                self.state = State::Start;
                let end = at + found + 1;
                if rest[found] == self.marks.delimiter {
                    return (end, false);
                }
                self.lines += 1;
                if rest[found] == b'\n' {
                    return (end, true);
                }
                match bytes.get(end) {
                    Some(b'\n') => (end + 1, true),
                    Some(_) => (end, true),
                    None => {
                        // Told with the next buffer, or by the end of the file.
                        (self.pending, self.lines) = (true, self.lines - 1);
                        (end, false)
                    }
                }
            }
            State::Quoted => {
                let close = memchr::memchr(self.marks.quote.unwrap_or_default(), rest);
                let inner = &rest[..close.unwrap_or(rest.len())];
                self.lines += memchr::memchr_iter(b'\n', inner).count() as u64;
                self.state = if close.is_some() { State::Behind } else { State::Quoted };
                (at + inner.len() + usize::from(close.is_some()), false)
            }
            State::Behind => {
                let doubled = Some(rest[0]) == self.marks.quote;
                self.state = if doubled { State::Quoted } else { State::Unquoted };
                (at + usize::from(doubled), false)
            }
        }
    }
}

impl RecordScanner for Scanner {
    fn feed(&mut self, bytes: &[u8]) -> Option<RecordEnd> {
        let first = bytes.first()?;
        let mut last = None;
        let mut at = 0;
        if std::mem::take(&mut self.pending) {
            self.lines += 1;
            at = usize::from(*first == b'\n');
            last = Some(RecordEnd { offset: at, lines: self.lines });
        }
        while at < bytes.len() {
            let (next, ended) = self.step(bytes, at);
            at = next;
            if ended {
                last = Some(RecordEnd { offset: at, lines: self.lines });
            }
        }
        self.lines -= last.map_or(0, |end| end.lines);
        last
    }

    fn finish(&mut self) -> Result<()> {
        // Decoding the last piece sees quotes that are not closed.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokenize::{Width, tokenize};
    use super::*;
    use crate::formats::loose::options::Records;

    /// Wherever the bytes are cut, the pieces between record ends hold the records of the whole.
    #[test]
    fn cuts_change_no_record() {
        let text = b"  lead,\"a\nb\"\"c\" x\r\n\r\"d\"e,f\"g\rh,\ni, \"j\r\nk\"\n\nlast".as_slice();
        let marks = Marks { delimiter: b',', quote: Some(b'"'), trim: true, keep_blank_lines: false };
        let width = Width { kept: 2, length: Records::Ragged, whole: true };
        let count = |bytes: &[u8]| tokenize(bytes, marks, width, usize::MAX).starts.len();
        for size in 1..text.len() {
            let mut scanner = Scanner::new(marks);
            let (mut records, mut lines, mut from, mut known) = (0, 0, 0, 0);
            for buffer in text.chunks(size) {
                if let Some(end) = scanner.feed(buffer) {
                    records += count(&text[from..known + end.offset]);
                    from = known + end.offset;
                    lines += end.lines;
                }
                known += buffer.len();
            }
            records += count(&text[from..]);
            assert_eq!(records, count(text), "buffers of {size} bytes");
            assert_eq!(lines, 8, "buffers of {size} bytes");
        }
    }
}
