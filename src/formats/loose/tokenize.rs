//! Bytes to fields, as programs read them that take whatever comes: a quote opens a field only at its start, text behind the
//! closing one is left out, LF, CR LF and CR end a record, or one character that is named.

use std::ops::Range;

use super::options::Records as Length;

const DOUBLED: u32 = 1 << 31;

/// Pieces must be shorter: one bit of an offset is a flag.
pub(super) const LONGEST: usize = 1 << 30;

/// How fields are told apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) trim: bool,
    pub(super) keep_blank_lines: bool,
    /// What takes its meaning from the character behind it, within quotes and where there are none; without it quotes are doubled.
    pub(super) escape: Option<u8>,
    /// What ends a record, where it is not a line end.
    pub(super) line_end: Option<u8>,
    /// Lines that begin with it are no records.
    pub(super) comment: Option<u8>,
}

impl Marks {
    /// The escape of fields without quotes.
    pub(super) fn bare_escape(self) -> Option<u8> {
        self.escape.filter(|_| self.quote.is_none())
    }

    /// Whether `byte` ends a record.
    pub(super) fn ends(self, byte: u8) -> bool {
        self.line_end.map_or(matches!(byte, b'\n' | b'\r'), |end| byte == end)
    }

    /// The first delimiter, record end or escape in a field without quotes.
    pub(super) fn stop(self, bytes: &[u8]) -> Option<usize> {
        match (self.bare_escape(), self.line_end) {
            (None, None) => memchr::memchr3(self.delimiter, b'\n', b'\r', bytes),
            (None, Some(end)) => memchr::memchr2(self.delimiter, end, bytes),
            (Some(escape), _) => {
                bytes.iter().position(|byte| *byte == escape || *byte == self.delimiter || self.ends(*byte))
            }
        }
    }

    /// The first quote or escape within quotes.
    pub(super) fn stop_within(self, bytes: &[u8]) -> Option<usize> {
        let quote = self.quote.unwrap_or_default();
        match self.escape {
            None => memchr::memchr(quote, bytes),
            Some(escape) => memchr::memchr2(quote, escape, bytes),
        }
    }

    /// The first record end in a comment.
    pub(super) fn end_of_line(self, bytes: &[u8]) -> Option<usize> {
        match self.line_end {
            None => memchr::memchr2(b'\n', b'\r', bytes),
            Some(end) => memchr::memchr(end, bytes),
        }
    }

    /// The bytes of the record end at `at`.
    fn end_bytes(self, bytes: &[u8], at: usize) -> usize {
        if self.line_end.is_some() { 1 } else { line_end(bytes, at) }
    }

    /// The blanks that `bytes` begin with and that are no part of a field.
    pub(super) fn blanks(self, bytes: &[u8]) -> usize {
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t') && **byte != self.delimiter;
        if self.trim { bytes.iter().take_while(is_blank).count() } else { 0 }
    }

    /// The bytes of the line that `bytes` begin with, if it is no record.
    fn passed_over(self, bytes: &[u8]) -> Option<usize> {
        if !self.keep_blank_lines && bytes.first().is_some_and(|byte| self.ends(*byte)) {
            return Some(self.end_bytes(bytes, 0));
        }
        self.comment.filter(|comment| bytes.get(self.blanks(bytes)) == Some(comment))?;
        Some(self.end_of_line(bytes).map_or(bytes.len(), |end| end + self.end_bytes(bytes, end)))
    }
}

/// Where the text of a field stands, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    start: u32,
    /// End, and the flag.
    end: u32,
}

impl Field {
    /// A field that the record does not have.
    const ABSENT: Self = Self { start: u32::MAX, end: 0 };

    pub(super) fn is_absent(self) -> bool {
        self.start == u32::MAX
    }

    /// Whether it holds doubled quotes, or escapes.
    pub(super) fn is_doubled(self) -> bool {
        self.end & DOUBLED != 0
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..(self.end & !DOUBLED) as usize
    }

    fn new(range: Range<usize>, doubled: bool) -> Self {
        Self { start: range.start as u32, end: range.end as u32 | if doubled { DOUBLED } else { 0 } }
    }
}

/// Fields of records, row after row, of each as many as there are columns.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) fields: Vec<Field>,
    /// Where each record begins.
    pub(super) starts: Vec<usize>,
    /// Records that were left out.
    pub(super) bad: Vec<Bad>,
    /// Fields of the longest record.
    pub(super) widest: usize,
}

/// A record that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) record: Range<usize>,
    pub(super) fault: Fault,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes end within quotes.
    Unterminated,
    /// It lacks fields that are wanted.
    Short { found: usize, wanted: usize },
    /// It has fields for which there is no column.
    Long { found: usize, most: usize },
}

/// How many fields records have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// Fields that are kept of each.
    pub(super) kept: usize,
    /// Whether records may be shorter.
    pub(super) length: Length,
    /// Whether what is behind the kept fields is wanted, too, so that there may be none.
    pub(super) whole: bool,
}

/// How a field ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Field,
    Record,
    Bytes,
}

/// One field: its text, how it ended, and where the next one begins.
struct Step {
    field: Field,
    end: End,
    next: usize,
    /// Where the record ends, without its line end.
    stop: usize,
    closed: bool,
}

/// The records of `bytes`, which begin at a record start. The last one may lack its line end.
pub(super) fn tokenize(bytes: &[u8], marks: Marks, width: Width, limit: usize) -> Records {
    let mut records = Records::default();
    let mut at = 0;
    while at < bytes.len() && records.starts.len() < limit {
        let (start, first) = (at, records.fields.len());
        if let Some(line) = marks.passed_over(&bytes[at..]) {
            at += line;
            continue;
        }
        let (mut found, mut fault) = (0, None);
        let stop = loop {
            let step = step(bytes, at, marks);
            if !step.closed {
                fault = Some(Fault::Unterminated);
            }
            if found < width.kept {
                records.fields.push(step.field);
            }
            found += 1;
            at = step.next;
            if step.end != End::Field {
                break step.stop;
            }
        };
        records.widest = records.widest.max(found);
        let fault = fault.or_else(|| width.fault(found));
        if let Some(fault) = fault {
            records.fields.truncate(first);
            records.bad.push(Bad { record: start..stop, fault });
            continue;
        }
        records.fields.resize(first + width.kept, Field::ABSENT);
        records.starts.push(start);
    }
    records
}

impl Width {
    fn fault(self, found: usize) -> Option<Fault> {
        if found < self.kept && self.length == Length::Even {
            return Some(Fault::Short { found, wanted: self.kept });
        }
        (found > self.kept && self.whole).then_some(Fault::Long { found, most: self.kept })
    }
}

/// The field that begins at `at`.
fn step(bytes: &[u8], at: usize, marks: Marks) -> Step {
    let start = at + marks.blanks(&bytes[at..]);
    if marks.quote.is_some() && bytes.get(start).copied() == marks.quote {
        return quoted(bytes, start + 1, marks);
    }
    let ((stop, end, next), escaped) = unquoted(bytes, start, marks);
    let text = if marks.trim { start..stop - trailing(&bytes[start..stop]) } else { start..stop };
    Step { field: Field::new(text, escaped), end, next, stop, closed: true }
}

fn quoted(bytes: &[u8], start: usize, marks: Marks) -> Step {
    let quote = marks.quote.unwrap_or_default();
    let (mut from, mut doubled) = (start, false);
    loop {
        let Some(at) = marks.stop_within(&bytes[from..]).map(|found| from + found) else {
            let end = bytes.len();
            let field = Field::new(start..end, doubled);
            return Step { field, end: End::Bytes, next: end, stop: end, closed: false };
        };
        let is_doubled = marks.escape.is_none() && bytes.get(at + 1) == Some(&quote);
        if bytes[at] != quote || is_doubled {
            doubled = true;
            from = (at + 2).min(bytes.len());
            continue;
        }
        let ((stop, end, next), _) = unquoted(bytes, at + 1, marks);
        return Step { field: Field::new(start..at, doubled), end, next, stop, closed: true };
    }
}

/// Where an unquoted stretch ends, how, and where the next field or record begins; whether it holds an escape.
fn unquoted(bytes: &[u8], from: usize, marks: Marks) -> ((usize, End, usize), bool) {
    let (mut from, mut escaped) = (from, false);
    let end = loop {
        match marks.stop(&bytes[from..]).map(|found| from + found) {
            None => break (bytes.len(), End::Bytes, bytes.len()),
            Some(at) if Some(bytes[at]) == marks.bare_escape() => {
                (from, escaped) = ((at + 2).min(bytes.len()), true);
            }
            Some(at) if bytes[at] == marks.delimiter => break (at, End::Field, at + 1),
            Some(at) => break (at, End::Record, at + marks.end_bytes(bytes, at)),
        }
    };
    (end, escaped)
}

/// The bytes of the line end at `at`.
pub(super) fn line_end(bytes: &[u8], at: usize) -> usize {
    if bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 }
}

/// The line ends in a part of `bytes`.
pub(super) fn lines(bytes: &[u8], part: Range<usize>) -> u64 {
    let start = part.start;
    let lone = |at: &usize| bytes.get(start + at + 1) != Some(&b'\n');
    let part = &bytes[part];
    (memchr::memchr_iter(b'\n', part).count() + memchr::memchr_iter(b'\r', part).filter(lone).count()) as u64
}

fn trailing(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks {
        delimiter: b',',
        quote: Some(b'"'),
        trim: true,
        keep_blank_lines: false,
        escape: None,
        line_end: None,
        comment: None,
    };

    fn rows(text: &str, marks: Marks, width: Width) -> (Vec<Vec<String>>, Vec<Fault>) {
        let records = tokenize(text.as_bytes(), marks, width, usize::MAX);
        let text = |field: &Field| {
            let found = if field.is_absent() { "~".to_owned() } else { text[field.range()].to_owned() };
            if field.is_doubled() { found.replace("\"\"", "\"") } else { found }
        };
        let rows = records.fields.chunks(width.kept).map(|row| row.iter().map(text).collect()).collect();
        (rows, records.bad.iter().map(|bad| bad.fault).collect())
    }

    fn ragged(kept: usize) -> Width {
        Width { kept, length: Length::Ragged, whole: true }
    }

    #[test]
    fn fields_are_told_as_datax_tells_them() {
        // The lines of the golden job csv1, with what it wrote for them.
        for (line, fields) in [
            ("  lead,trail  ,\tmid\t", ["lead", "trail", "mid"]),
            (" \"  q lead\",\"q \"\"dq\"\" x\",\"multi\nline\"", ["  q lead", "q \"dq\" x", "multi\nline"]),
            ("a,,", ["a", "", ""]),
            ("\"\",\" \",null", ["", " ", "null"]),
            ("x\"y,\"abc\"def,\"ok\"", ["x\"y", "abc", "ok"]),
            ("short", ["short", "~", "~"]),
        ] {
            assert_eq!(rows(line, MARKS, ragged(3)), (vec![fields.map(str::to_owned).to_vec()], vec![]), "{line:?}");
        }
    }

    #[test]
    fn every_line_end_ends_a_record_and_blank_lines_are_none() {
        let text = "a\rb\r\n\nc\n";
        let one = |text: &str| vec![text.to_owned()];
        assert_eq!(rows(text, MARKS, ragged(1)).0, [one("a"), one("b"), one("c")]);
        let kept = Marks { keep_blank_lines: true, ..MARKS };
        assert_eq!(rows(text, kept, ragged(1)).0, [one("a"), one("b"), one(""), one("c")]);
    }

    /// What `\\` does: within quotes where there are quotes, else everywhere.
    #[test]
    fn an_escape_takes_the_meaning_of_what_is_behind_it() {
        let within = Marks { escape: Some(b'\\'), ..MARKS };
        let fields = |text: &str, marks: Marks| rows(text, marks, ragged(2)).0;
        let pair = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
        assert_eq!(fields(r#""a\",b\\",c"#, within), [pair(r#"a\",b\\"#, "c")]);
        assert_eq!(fields("a\\,b", within), [pair("a\\", "b")]);
        let bare = Marks { quote: None, ..within };
        assert_eq!(fields("a\\,\\\n\\\\,b\nc,d", bare), [pair("a\\,\\\n\\\\", "b"), pair("c", "d")]);
        assert_eq!(rows("\"a\\\"", within, ragged(1)).1, [Fault::Unterminated]);
    }

    #[test]
    fn one_character_may_end_records_and_comments_are_none() {
        let named = Marks { line_end: Some(b';'), comment: Some(b'#'), ..MARKS };
        let pair = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
        let text = " #a\nb,\"c\";1,2\n;;\"3;\",4;#end";
        assert_eq!(rows(text, named, ragged(2)).0, [pair("1", "2\n"), pair("3;", "4")]);
    }

    #[test]
    fn records_that_lack_a_field_or_a_quote_are_bad() {
        let even = Width { kept: 2, length: Length::Even, whole: false };
        let (good, bad) = rows("a\nb,c,d\n", MARKS, even);
        assert_eq!(
            (good, bad),
            (vec![vec!["b".to_owned(), "c".to_owned()]], vec![Fault::Short { found: 1, wanted: 2 }])
        );
        assert_eq!(rows("a,b,c\n", MARKS, ragged(2)).1, [Fault::Long { found: 3, most: 2 }]);
        assert_eq!(rows("a,\"b\n", MARKS, even).1, [Fault::Unterminated]);
    }
}
