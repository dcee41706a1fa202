//! Bytes to fields: an index of offsets, nothing copied.
//!
//! Delimiters, quotes and line ends are found 64 bytes at a time; a state machine then walks over them alone. A quote
//! may only open a field, close it, or stand doubled within: anything else is a fault, not a guess. That is also what
//! makes counting quotes enough to find record ends (see [`super::scan`]), unless quotes are escaped.

use crate::formats::block;

use super::options::CsvOptions;

/// Pieces must be shorter: two bits of an offset are flags.
pub(super) const LONGEST: usize = 1 << 30;

const QUOTED: u32 = 1 << 31;
const DOUBLED: u32 = 1 << 30;

/// Where the text of a field stands, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    start: u32,
    /// End, and the flags.
    end: u32,
}

impl Field {
    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..(self.end & !(QUOTED | DOUBLED)) as usize]
    }

    pub(super) fn is_quoted(self) -> bool {
        self.end & QUOTED != 0
    }

    /// Whether it holds doubled quotes, or escapes.
    pub(super) fn is_doubled(self) -> bool {
        self.end & DOUBLED != 0
    }

    fn is_blank(self) -> bool {
        self.start == self.end
    }
}

/// What is wrong, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) kind: FaultKind,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// A quote within an unquoted field.
    BareQuote,
    /// Something other than a delimiter or a line end after the closing quote.
    AfterQuote,
    /// The bytes end within quotes, which opened at the offset.
    Unterminated,
    /// The record has another number of fields than it should.
    Width { found: usize, expected: usize },
}

/// How many fields a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// As many as the first one.
    First,
    /// So many.
    Exactly(usize),
}

/// What is done with a record that has a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Faulty {
    /// The first one ends it.
    Refused,
    /// It is left out, where its end is certain.
    LeftOut,
}

/// A record that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    /// Where it begins, and where its line end begins.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) fault: Fault,
}

/// Fields of records, row after row.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) fields: Vec<Field>,
    /// Fields of each record.
    pub(super) width: usize,
    /// Offset after the last record, its line end included (of CR LF perhaps only CR).
    pub(super) end: usize,
    /// Records that were left out.
    pub(super) bad: Vec<Bad>,
}

impl Records {
    pub(super) fn rows(&self) -> usize {
        self.fields.len().checked_div(self.width).unwrap_or(0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unquoted,
    Quoted,
    /// Behind a quote at this offset, that closes the field or is the first of two.
    Behind(usize),
    /// In a record that is left out, up to its line end.
    Spoiled,
    /// In a comment, up to its line end.
    Comment,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The field without the blanks around it.
#[cold]
fn trimmed(bytes: &[u8], start: usize, end: usize) -> Field {
    let text = &bytes[start..end];
    let before = text.iter().take_while(|byte| is_blank(**byte)).count();
    let behind = text[before..].iter().rev().take_while(|byte| is_blank(**byte)).count();
    Field { start: (start + before) as u32, end: (end - behind) as u32 }
}

struct Tokenizer {
    records: Records,
    width: Width,
    limit: usize,
    faulty: Faulty,
    state: State,
    /// What is wrong with the current record, where it is spoiled.
    fault: Option<Fault>,
    /// Where the current record starts.
    record: usize,
    /// Where the current field starts, with its quote.
    start: usize,
    doubled: bool,
    /// Where a quote or an escape stands that is text, as an escape is before it.
    escaped: Option<usize>,
    /// Index in `records.fields` of the first field of the current record.
    first: usize,
    /// Offset after a CR that ended a record.
    after_return: Option<usize>,
}

/// The first `limit` records of `bytes`, which begin at a record start. Blank lines are records only where there is one
/// column. The last record may lack its line end.
pub(super) fn tokenize(
    bytes: &[u8],
    options: &CsvOptions,
    (width, faulty): (Width, Faulty),
    limit: usize,
) -> Result<Records, Fault> {
    let mut tokenizer = Tokenizer {
        records: Records { fields: Vec::with_capacity(bytes.len() / 12), ..Records::default() },
        width,
        limit,
        faulty,
        state: State::Unquoted,
        fault: None,
        record: 0,
        start: 0,
        doubled: false,
        escaped: None,
        first: 0,
        after_return: None,
    };
    let quote = options.quote.unwrap_or(options.delimiter);
    for (index, block) in block::blocks(bytes).enumerate() {
        let mut mask = match options.escape {
            None => block::any(&block, [options.delimiter, quote, b'\n', b'\r']),
            Some(escape) => block::any(&block, [options.delimiter, quote, b'\n', b'\r', escape]),
        };
        while mask != 0 {
            let bit = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let at = index * block::SIZE + bit;
            tokenizer.see_comment(bytes, options);
            let enough = match tokenizer.step(at, bytes, options) {
                Ok(enough) => enough,
                Err(fault) => {
                    tokenizer.spoil(fault, &bytes[..at])?;
                    tokenizer.step(at, bytes, options)?
                }
            };
            if enough {
                return Ok(tokenizer.records);
            }
        }
    }
    tokenizer.see_comment(bytes, options);
    match tokenizer.finish(bytes, options) {
        Ok(()) => {}
        Err(fault) => {
            tokenizer.spoil(fault, bytes)?;
            tokenizer.leave_out(bytes.len());
        }
    }
    Ok(tokenizer.records)
}

impl Tokenizer {
    /// Passes over the line that begins here, if it is a comment.
    #[inline]
    fn see_comment(&mut self, bytes: &[u8], options: &CsvOptions) {
        let Some(comment) = options.comment else { return };
        let begins =
            self.state == State::Unquoted && self.start == self.record && self.records.fields.len() == self.first;
        if begins && bytes.get(self.record) == Some(&comment) {
            self.state = State::Comment;
        }
    }

    /// Takes the special byte at `at`; true when there are enough records.
    #[inline]
    fn step(&mut self, at: usize, bytes: &[u8], options: &CsvOptions) -> Result<bool, Fault> {
        let byte = bytes[at];
        let is_quote = Some(byte) == options.quote;
        let blank = |from: usize| options.trim && bytes[from..at].iter().all(|byte| is_blank(*byte));
        match self.state {
            State::Quoted => {
                let is_special = |byte: &u8| Some(*byte) == options.quote || Some(*byte) == options.escape;
                let is_text = self.escaped == Some(at);
                if is_quote && !is_text {
                    self.state = State::Behind(at);
                } else if Some(byte) == options.escape && !is_text && bytes.get(at + 1).is_some_and(is_special) {
                    (self.escaped, self.doubled) = (Some(at + 1), true);
                }
                return Ok(false);
            }
            // Outside of quotes it is as any other character.
            _ if Some(byte) == options.escape => return Ok(false),
            State::Behind(quote)
                if is_quote && options.escape.is_some() || at != quote + 1 && (is_quote || !blank(quote + 1)) =>
            {
                return Err(Fault { offset: quote, kind: FaultKind::AfterQuote });
            }
            State::Behind(_) if is_quote => {
                self.state = State::Quoted;
                self.doubled = true;
                return Ok(false);
            }
            State::Unquoted if is_quote => {
                if at != self.start && !blank(self.start) {
                    return Err(Fault { offset: at, kind: FaultKind::BareQuote });
                }
                self.start = at;
                self.state = State::Quoted;
                return Ok(false);
            }
            State::Spoiled => {
                if byte == b'\n' || byte == b'\r' {
                    self.leave_out(at);
                    self.after_return = (byte == b'\r').then_some(at + 1);
                } else if byte == options.delimiter {
                    self.start = at + 1;
                } else if is_quote && at == self.start {
                    // Line ends behind it may be text: nobody can say where the record ends.
                    return self.fault.map_or(Ok(false), Err);
                }
                return Ok(false);
            }
            State::Comment => {
                if byte == b'\n' || byte == b'\r' {
                    (self.state, self.start, self.record, self.records.end) = (State::Unquoted, at + 1, at + 1, at + 1);
                    self.after_return = (byte == b'\r').then_some(at + 1);
                }
                return Ok(false);
            }
            State::Behind(_) | State::Unquoted => {}
        }
        if byte == b'\n' && self.after_return == Some(at) {
            (self.start, self.record) = (at + 1, at + 1);
            return Ok(false);
        }
        self.end_field(at, bytes, options);
        if byte == options.delimiter {
            return Ok(false);
        }
        if byte == b'\r' {
            self.after_return = Some(at + 1);
        }
        self.end_record(at + 1)
    }

    #[inline]
    fn end_field(&mut self, at: usize, bytes: &[u8], options: &CsvOptions) {
        let field = match self.state {
            State::Behind(quote) => {
                let flags = if self.doubled { QUOTED | DOUBLED } else { QUOTED };
                Field { start: self.start as u32 + 1, end: quote as u32 | flags }
            }
            _ if options.trim => trimmed(bytes, self.start, at),
            _ => Field { start: self.start as u32, end: at as u32 },
        };
        self.records.fields.push(field);
        self.state = State::Unquoted;
        self.doubled = false;
        self.start = at + 1;
    }

    /// Ends a record, whose line end ends before `after`.
    #[inline]
    fn end_record(&mut self, after: usize) -> Result<bool, Fault> {
        let fields = &mut self.records.fields;
        let width = fields.len() - self.first;
        if self.width == Width::First {
            self.width = Width::Exactly(width);
            self.records.width = width;
        }
        let Width::Exactly(expected) = self.width else { return Ok(true) };
        if width == expected {
            self.records.width = expected;
            self.first = fields.len();
        } else if width == 1 && fields[self.first].is_blank() {
            fields.truncate(self.first);
        } else {
            return Err(Fault {
                offset: fields[self.first].start(),
                kind: FaultKind::Width { found: width, expected },
            });
        }
        self.records.end = after;
        self.record = after;
        Ok(self.records.rows() >= self.limit)
    }

    /// Leaves the current record, which has `fault` and is known up to the end of `bytes`, out, if that may be. Where it
    /// ends is certain only as long as no line end stands in it: who could say which quote of a longer one is too many?
    #[cold]
    fn spoil(&mut self, fault: Fault, bytes: &[u8]) -> Result<(), Fault> {
        let several_lines = memchr::memchr2(b'\n', b'\r', &bytes[self.record..]).is_some();
        let certain = matches!(fault.kind, FaultKind::Width { .. }) || !several_lines;
        if self.faulty == Faulty::Refused || !certain {
            return Err(fault);
        }
        (self.state, self.fault) = (State::Spoiled, Some(fault));
        Ok(())
    }

    /// Ends a record that is spoiled, whose line end is at `at`.
    #[cold]
    fn leave_out(&mut self, at: usize) {
        self.records.fields.truncate(self.first);
        let left_out = self.fault.take().map(|fault| Bad { start: self.record, end: at, fault });
        self.records.bad.extend(left_out);
        self.records.end = at + 1;
        (self.state, self.doubled, self.start, self.record) = (State::Unquoted, false, at + 1, at + 1);
    }

    fn finish(&mut self, bytes: &[u8], options: &CsvOptions) -> Result<(), Fault> {
        let end = bytes.len();
        match self.state {
            State::Comment => return Ok(()),
            State::Quoted => return Err(Fault { offset: self.start, kind: FaultKind::Unterminated }),
            State::Behind(quote)
                if quote + 1 != end && !(options.trim && bytes[quote + 1..].iter().all(|byte| is_blank(*byte))) =>
            {
                return Err(Fault { offset: quote, kind: FaultKind::AfterQuote });
            }
            State::Spoiled => return self.fault.map_or(Ok(()), Err),
            _ => {}
        }
        if self.start < end || self.records.fields.len() > self.first {
            self.end_field(end, bytes, options);
            self.end_record(end)?;
        }
        Ok(())
    }
}
