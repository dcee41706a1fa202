//! Bytes to fields, as programs read them that take whatever comes: a quote opens a field only at its start, text behind the
//! closing one is left out, LF, CR LF and CR end a record.

use std::ops::Range;

use super::options::Records as Length;

const DOUBLED: u32 = 1 << 31;

/// Pieces must be shorter: one bit of an offset is a flag.
pub(super) const LONGEST: usize = 1 << 30;

/// How fields are told apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) trim: bool,
    pub(super) keep_blank_lines: bool,
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

    /// Whether it holds doubled quotes.
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

/// One field: its text, whether it holds doubled quotes, how it ended, and where the next one begins.
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
        if !marks.keep_blank_lines && matches!(bytes[at], b'\n' | b'\r') {
            at += line_end(bytes, at);
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
    let start = if marks.trim { at + blanks(&bytes[at..], marks.delimiter) } else { at };
    if marks.quote.is_some() && bytes.get(start).copied() == marks.quote {
        return quoted(bytes, start + 1, marks);
    }
    let (stop, end, next) = unquoted_end(bytes, start, marks.delimiter);
    let text = if marks.trim { start..stop - trailing(&bytes[start..stop]) } else { start..stop };
    Step { field: Field::new(text, false), end, next, stop, closed: true }
}

fn quoted(bytes: &[u8], start: usize, marks: Marks) -> Step {
    let quote = marks.quote.unwrap_or_default();
    let (mut from, mut doubled) = (start, false);
    loop {
        let Some(close) = memchr::memchr(quote, &bytes[from..]).map(|found| from + found) else {
            let end = bytes.len();
            let field = Field::new(start..end, doubled);
            return Step { field, end: End::Bytes, next: end, stop: end, closed: false };
        };
        if bytes.get(close + 1) == Some(&quote) {
            doubled = true;
            from = close + 2;
            continue;
        }
        let (stop, end, next) = unquoted_end(bytes, close + 1, marks.delimiter);
        return Step { field: Field::new(start..close, doubled), end, next, stop, closed: true };
    }
}

/// Where an unquoted stretch ends, how, and where the next field or record begins.
fn unquoted_end(bytes: &[u8], from: usize, delimiter: u8) -> (usize, End, usize) {
    match memchr::memchr3(delimiter, b'\n', b'\r', &bytes[from..]).map(|found| from + found) {
        None => (bytes.len(), End::Bytes, bytes.len()),
        Some(at) if bytes[at] == delimiter => (at, End::Field, at + 1),
        Some(at) => (at, End::Record, at + line_end(bytes, at)),
    }
}

/// The bytes of the line end at `at`.
pub(super) fn line_end(bytes: &[u8], at: usize) -> usize {
    if bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 }
}

fn blanks(bytes: &[u8], delimiter: u8) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t') && **byte != delimiter).count()
}

fn trailing(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks { delimiter: b',', quote: Some(b'"'), trim: true, keep_blank_lines: false };

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
