//! Record ends of loose text in consecutive buffers. Quotes within unquoted fields mean nothing, so the bytes are walked in order;
//! records without any quote are passed over at once.

use super::tokenize::{self, Marks};
use crate::error::Result;
use crate::formats::{RecordEnd, RecordScanner};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first character of a record.
    Record,
    /// Before that of another field.
    Field,
    Comment,
    Unquoted,
    /// Behind an escape in a field without quotes.
    UnquotedEscape,
    Quoted,
    /// Behind an escape within quotes.
    QuotedEscape,
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
        Self { marks, state: State::Record, pending: false, lines: 0 }
    }

    /// Goes on from `at` to the next change of state. The new place, and whether a record ended before it.
    fn step(&mut self, bytes: &[u8], at: usize) -> (usize, bool) {
        let rest = &bytes[at..];
        match self.state {
            State::Record | State::Field => {
                if let Some(end) = self.pass_over(rest) {
                    return (at + end, true);
                }
                let skip = self.marks.blanks(rest);
                let Some(byte) = rest.get(skip).copied() else { return (bytes.len(), false) };
                let comment = self.marks.comment.filter(|_| self.state == State::Record);
                self.state = match Some(byte) {
                    first if first == comment => State::Comment,
                    first if first == self.marks.quote => State::Quoted,
                    _ => State::Unquoted,
                };
                (at + skip + usize::from(self.state == State::Quoted), false)
            }
            State::Comment | State::Unquoted => self.step_unquoted(bytes, at),
            State::Quoted => {
                let stop = self.marks.stop_within(rest);
                let inner = &rest[..stop.unwrap_or(rest.len())];
                self.lines += feeds(inner);
                self.state = match stop {
                    None => State::Quoted,
                    Some(stop) if Some(rest[stop]) == self.marks.quote => State::Behind,
                    Some(_) => State::QuotedEscape,
                };
                (at + inner.len() + usize::from(stop.is_some()), false)
            }
            State::UnquotedEscape | State::QuotedEscape => {
                self.lines += feeds(&rest[..1]);
                let is_quoted = self.state == State::QuotedEscape;
                self.state = if is_quoted { State::Quoted } else { State::Unquoted };
                (at + 1, false)
            }
            State::Behind => {
                let doubled = self.marks.escape.is_none() && Some(rest[0]) == self.marks.quote;
                self.state = if doubled { State::Quoted } else { State::Unquoted };
                (at + usize::from(doubled), false)
            }
        }
    }

    /// The end of the last of the records that `rest` begins with and that have no quote: each of their line ends ends one.
    fn pass_over(&mut self, rest: &[u8]) -> Option<usize> {
        let plain = self.marks.line_end.is_none() && self.marks.bare_escape().is_none();
        if self.state != State::Record || !plain {
            return None;
        }
        let quote = self.marks.quote.and_then(|quote| memchr::memchr(quote, rest));
        // An LF may follow on a CR in the last byte.
        let known = quote.unwrap_or(rest.len() - usize::from(rest.last() == Some(&b'\r')));
        let end = memchr::memrchr2(b'\n', b'\r', &rest[..known])? + 1;
        self.lines += tokenize::lines(rest, 0..end);
        Some(end)
    }

    /// The same in a comment, or a field without quotes.
    fn step_unquoted(&mut self, bytes: &[u8], at: usize) -> (usize, bool) {
        let rest = &bytes[at..];
        let is_comment = self.state == State::Comment;
        let stop = if is_comment { self.marks.end_of_line(rest) } else { self.marks.stop(rest) };
        if self.marks.line_end.is_some() {
            // Line feeds end nothing then.
            self.lines += feeds(&rest[..stop.map_or(rest.len(), |stop| stop + 1)]);
        }
        let Some(stop) = stop else { return (bytes.len(), false) };
        let end = at + stop + 1;
        if !is_comment && !self.marks.ends(rest[stop]) {
            let is_field = rest[stop] == self.marks.delimiter;
            self.state = if is_field { State::Field } else { State::UnquotedEscape };
            return (end, false);
        }
        self.state = State::Record;
        if self.marks.line_end.is_some() {
            return (end, true);
        }
        self.lines += 1;
        if rest[stop] == b'\n' {
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
}

/// The line feeds in `bytes`.
fn feeds(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
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

    /// Wherever the bytes are cut, the pieces between record ends hold the records of the whole, and `lines` line ends before its last
    /// record.
    fn check(text: &[u8], marks: Marks, lines: u64) {
        let width = Width { kept: 2, length: Records::Ragged, whole: true };
        let count = |bytes: &[u8]| tokenize(bytes, marks, width, usize::MAX).starts.len();
        for size in 1..text.len() {
            let mut scanner = Scanner::new(marks);
            let (mut records, mut ends, mut from, mut known) = (0, 0, 0, 0);
            for buffer in text.chunks(size) {
                if let Some(end) = scanner.feed(buffer) {
                    records += count(&text[from..known + end.offset]);
                    from = known + end.offset;
                    ends += end.lines;
                }
                known += buffer.len();
            }
            records += count(&text[from..]);
            assert_eq!(records, count(text), "buffers of {size} bytes");
            assert_eq!(ends, lines, "buffers of {size} bytes");
        }
    }

    const MARKS: Marks = Marks {
        delimiter: b',',
        quote: Some(b'"'),
        trim: true,
        keep_blank_lines: false,
        escape: None,
        line_end: None,
        comment: None,
    };

    #[test]
    fn cuts_change_no_record() {
        let text = b"  lead,\"a\nb\"\"c\" x\r\n\r\"d\"e,f\"g\rh,\ni, \"j\r\nk\"\n\nlast".as_slice();
        check(text, MARKS, 8);
        check(b"a,b\r\nc\rd\n\ne,\"f\n\"\r\r\nh,i\nj", MARKS, 8);
        check(b"a,\"\r\n\rb\r\r\nc\"\nd", Marks { quote: None, ..MARKS }, 5);
    }

    #[test]
    fn nor_do_they_with_escapes_comments_and_other_record_ends() {
        let escaped = Marks { escape: Some(b'\\'), comment: Some(b'#'), ..MARKS };
        check(b"#\"\n\"a\\\"\n,\\\\\",b\n # x\r\nc,d\ne", escaped, 5);
        check(b"a\\,b\\\nc,d\n\\\\,\\\\\ne", Marks { quote: None, ..escaped }, 3);
        check(b"a\n,\"b;\";#\n\";c,d;e", Marks { line_end: Some(b';'), ..escaped }, 2);
    }
}
