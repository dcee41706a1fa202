//! Members to typed columns.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use serde::Deserialize;

use super::records::{Sink, line, walk};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::sift::{Misfits, Refused, part};
use crate::formats::value::parse::{Form, Misfit, Texts, parse_column, sift_column};
use crate::formats::value::type_name;
use crate::formats::{Layout, Piece, Typing};
use crate::reject::{REJECT, Rejects};
use crate::schema::{self, record_batch};

/// Decodes the columns of `schema`; `layout` names all keys there are.
pub(super) fn decode(typing: &Typing, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut members = Members::new(piece, layout, schema)?;
    walk(piece, &mut members)?;
    if let Some((row, _)) = members.unrepaired().next() {
        return Err(unrepaired().at("line", line(piece, members.offsets[row])));
    }
    let column = |(slot, field): (usize, &FieldRef)| {
        let column = Column { members: &members, slot, raw: schema::is_json(field) };
        let form = typing.form(field);
        let misfit = column.misfits(form, field.data_type()).next();
        let parsed = misfit.map_or(Ok(()), Err).and_then(|()| parse_column(&column, field, form));
        parsed.map_err(|misfit| match misfit {
            Misfit::Row(row) | Misfit::Encoding(row, _) => {
                describe_misfit(misfit, field).at("line", line(piece, members.offsets[row]))
            }
            Misfit::Type | Misfit::Size => describe_misfit(misfit, field),
        })
    };
    let columns: Vec<ArrayRef> = schema.fields().iter().enumerate().map(column).collect::<Result<_>>()?;
    record_batch(schema, columns, members.offsets.len())
}

/// Decodes the columns of `schema`, and gives the records that cannot be decoded beside them.
pub(super) fn sift(
    typing: &Typing,
    piece: &Piece<'_>,
    layout: &Layout,
    schema: &SchemaRef,
) -> Result<(RecordBatch, Option<Rejects>)> {
    let mut members = Members { refused: Some(Vec::new()), ..Members::new(piece, layout, schema)? };
    walk(piece, &mut members)?;
    let mut refused = members.refused.take().unwrap_or_default();
    let mut misfits = Misfits::default();
    let fields = schema.fields().iter().enumerate();
    let columns: Vec<Column<'_, '_>> =
        fields.map(|(slot, field)| Column { members: &members, slot, raw: schema::is_json(field) }).collect();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(schema.fields()) {
        let form = typing.form(field);
        let mut note = |misfit| misfits.note(column.slot, misfit);
        let kinds = column.misfits(form, field.data_type()).try_for_each(&mut note);
        let parsed = kinds.and_then(|()| sift_column(column, field, form, &mut note));
        arrays.push(parsed.map_err(|misfit| describe_misfit(misfit, field))?);
    }
    let of_row = |row, error| Refused { offset: members.offsets[row], row: Some(row), record: None, error };
    let of_misfit =
        |(row, slot, misfit): (usize, usize, Misfit)| of_row(row, describe_misfit(misfit, &schema.fields()[slot]));
    refused.extend(misfits.of_rows().into_iter().map(of_misfit));
    let still = |(row, record): (usize, &str)| Refused { record: Some(record.to_owned()), ..of_row(row, unrepaired()) };
    refused.extend(members.unrepaired().map(still));
    let all = record_batch(schema, arrays, members.offsets.len())?;
    part(&all, &columns, (refused, piece.first_line), |part| {
        memchr::memchr_iter(b'\n', &piece.bytes[part]).count() as u64
    })
}

/// The error for a record of a rejects file that is as it was refused, and would be a row of NULLs.
fn unrepaired() -> Error {
    Error::new(ErrorKind::Value, "the rejected record has no columns yet")
        .with_hint("write its values beside __reject, or leave the line out")
}

/// The text of the record that was no row of columns, in the reasons of a reject; programs that mend it may have set blanks.
fn record_of(reasons: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Reasons {
        record: Option<String>,
    }
    serde_json::from_str::<Reasons>(reasons).ok()?.record
}

/// The error for a key that stands twice in an object.
pub(super) fn twice(key: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "the object has this key twice").at("key", key)
}

/// Where a value stands; the default is no value.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

struct Members<'p> {
    bytes: &'p [u8],
    names: &'p [String],
    index: HashMap<&'p str, usize>,
    /// Per key, the column of the batch.
    slots: Vec<Option<usize>>,
    /// Per key, the number of the record in which it was last seen.
    seen: Vec<usize>,
    /// The key after the last one: most often the next.
    next: usize,
    width: usize,
    /// Row after row, one per column of the batch.
    spans: Vec<Span>,
    /// Where each record begins.
    offsets: Vec<usize>,
    /// Records that were begun.
    records: usize,
    /// Where the layout is that of a rejects file, its key for the reasons. They tell which rows were no rows of columns.
    reasons: Option<usize>,
    /// These rows, each with its record.
    shapeless: Vec<(usize, String)>,
    /// Records that are left out; without it the first one is an error.
    refused: Option<Vec<Refused>>,
}

impl<'p> Members<'p> {
    fn new(piece: &Piece<'p>, layout: &'p Layout, schema: &SchemaRef) -> Result<Self> {
        if u32::try_from(piece.bytes.len()).is_err() {
            let message = "a record, or a piece of records, is longer than 4 GiB";
            return Err(Error::new(ErrorKind::Resource, message).at("line", piece.first_line));
        }
        let (names, index) = (layout.columns.as_slice(), layout.places());
        if let Some(field) = schema.fields().iter().find(|field| !index.contains_key(field.name().as_str())) {
            return Err(Error::new(ErrorKind::Schema, "the file has no such column").at("column", field.name()));
        }
        let mut slots = vec![None; names.len()];
        for (slot, field) in schema.fields().iter().enumerate() {
            if let Some(place) = index.get(field.name().as_str()) {
                slots[*place] = Some(slot);
            }
        }
        let reasons = index.get(REJECT).copied();
        Ok(Self {
            bytes: piece.bytes,
            names,
            index,
            slots,
            seen: vec![0; names.len()],
            next: 0,
            width: schema.fields().len(),
            spans: Vec::new(),
            offsets: Vec::new(),
            records: 0,
            reasons,
            shapeless: Vec::new(),
            refused: None,
        })
    }

    /// Rows that were no rows of columns when they were rejected, and still have no value; each with its record.
    fn unrepaired(&self) -> impl Iterator<Item = (usize, &str)> + '_ {
        let blank = move |span: &Span| matches!(&self.bytes[span.start as usize..span.end as usize], b"" | b"null");
        let reasons = self.reasons.and_then(|reasons| self.slots[reasons]);
        let row = move |row: usize| {
            let spans = self.spans[row * self.width..(row + 1) * self.width].iter().enumerate();
            spans.filter(|(slot, _)| Some(*slot) != reasons).all(|(_, span)| blank(span))
        };
        let shapeless = self.shapeless.iter().map(|(at, record)| (*at, record.as_str()));
        shapeless.filter(move |(at, _)| self.width > 0 && row(*at))
    }
}

impl<'p> Sink<'p> for Members<'p> {
    fn begin(&mut self, offset: usize) -> bool {
        self.offsets.push(offset);
        self.records += 1;
        self.spans.resize(self.spans.len() + self.width, Span::default());
        self.next = 0;
        true
    }

    fn member(&mut self, key: &str, raw: &'p str) -> Result<()> {
        let expected = self.names.get(self.next).is_some_and(|name| name == key);
        let found = if expected { Some(self.next) } else { self.index.get(key).copied() };
        let Some(index) = found else {
            return Err(Error::new(ErrorKind::Schema, "no record of the sample has this key")
                .with_hint(format!("say what it is with --cast {key}:json, or another type"))
                .at("key", key));
        };
        self.next = index + 1;
        if self.seen[index] == self.records {
            return Err(twice(key));
        }
        self.seen[index] = self.records;
        if self.reasons == Some(index)
            && let Some(record) = record_of(raw)
        {
            self.shapeless.push((self.offsets.len() - 1, record));
        }
        if let Some(slot) = self.slots[index] {
            let start = raw.as_ptr().addr() - self.bytes.as_ptr().addr();
            let row = (self.offsets.len() - 1) * self.width;
            self.spans[row + slot] = Span { start: start as u32, end: (start + raw.len()) as u32 };
        }
        Ok(())
    }

    fn refuse(&mut self, record: &[u8], offset: usize, error: Error) -> Result<()> {
        let Some(refused) = &mut self.refused else { return Err(error) };
        self.offsets.pop();
        let row = self.offsets.len();
        self.spans.truncate(row * self.width);
        self.shapeless.retain(|(shapeless, _)| *shapeless < row);
        let record = Some(String::from_utf8_lossy(record.trim_ascii_end()).into_owned());
        refused.push(Refused { offset, row: None, record, error });
        Ok(())
    }
}

/// What is said of a misfit, but for its line.
fn describe_misfit(misfit: Misfit, field: &FieldRef) -> Error {
    let name = field.name();
    let error = match misfit {
        Misfit::Row(_) => Error::new(ErrorKind::Value, format!("the value is no {}", type_name(field)))
            .with_hint(format!("read the column as text with --cast {name}:text, or name its right type")),
        Misfit::Encoding(..) => Error::new(ErrorKind::Value, "the string has an escape that is half of a character"),
        Misfit::Type => Error::new(ErrorKind::Unsupported, format!("JSON cannot be read as {}", type_name(field)))
            .with_hint(format!("read the column as JSON text with --cast {name}:json")),
        Misfit::Size => Error::new(ErrorKind::Resource, "the texts of one piece exceed 2 GiB"),
    };
    error.at("column", name)
}

/// Whether a value is a string that names a float which JSON has no number for.
pub(super) fn is_special_float(raw: &[u8]) -> bool {
    matches!(raw, b"\"NaN\"" | b"\"inf\"" | b"\"-inf\"" | b"\"Infinity\"" | b"\"-Infinity\"")
}

/// One column of a piece.
struct Column<'m, 'p> {
    members: &'m Members<'p>,
    slot: usize,
    /// JSON is wanted as it stands, strings with their quotes.
    raw: bool,
}

impl Column<'_, '_> {
    fn raw(&self, row: usize) -> Option<&[u8]> {
        let Span { start, end } = self.members.spans[row * self.members.width + self.slot];
        let raw = &self.members.bytes[start as usize..end as usize];
        (!raw.is_empty() && raw != b"null").then_some(raw)
    }

    /// The rows whose value is not of the JSON kind that the type is written as, where that counts.
    fn misfits<'a>(&'a self, form: Form<'_>, data_type: &'a DataType) -> impl Iterator<Item = Misfit> + 'a {
        let number = |raw: &[u8]| matches!(raw, [b'-' | b'0'..=b'9', ..]);
        let fits = move |raw: &[u8]| match data_type {
            _ if self.raw => true,
            DataType::Boolean => matches!(raw, b"true" | b"false"),
            DataType::Float32 | DataType::Float64 => number(raw) || is_special_float(raw),
            data_type if data_type.is_numeric() => number(raw),
            _ => raw.starts_with(b"\""),
        };
        let counts = matches!(form, Form::Plain) && self.members.reasons.is_none();
        let rows = if counts { 0..self.rows() } else { 0..0 };
        rows.filter(move |row| self.raw(*row).is_some_and(|raw| !fits(raw))).map(Misfit::Row)
    }
}

impl Texts for Column<'_, '_> {
    fn rows(&self) -> usize {
        self.members.offsets.len()
    }

    #[inline]
    fn text<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let raw = self.raw(row)?;
        match raw {
            [b'"', inner @ .., b'"'] if !self.raw => match memchr::memchr(b'\\', inner) {
                None => Some(inner),
                Some(first) => {
                    unescape(inner, first, scratch);
                    Some(scratch)
                }
            },
            raw => Some(raw),
        }
    }
}

/// The text of a string, of which `first` is the first backslash. Its escapes are known to be well formed; one half of
/// a surrogate pair becomes bytes that are not UTF-8, and so an error.
fn unescape(inner: &[u8], first: usize, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&inner[..first]);
    let mut rest = &inner[first..];
    while let [b'\\', escape, after @ ..] = rest {
        rest = after;
        match escape {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => {
                let (unit, after) = unit(rest);
                rest = after;
                let pair = match rest {
                    [b'\\', b'u', low @ ..] if (0xd800..0xdc00).contains(&unit) => Some(self::unit(low)),
                    _ => None,
                };
                let code = match pair {
                    Some((low, after)) if (0xdc00..0xe000).contains(&low) => {
                        rest = after;
                        0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => unit,
                };
                match char::from_u32(code) {
                    Some(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => out.push(0xff),
                }
            }
            byte => out.push(*byte),
        }
        let next = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..next]);
        rest = &rest[next..];
    }
}

/// The number of four hexadecimal digits, and what follows.
fn unit(text: &[u8]) -> (u32, &[u8]) {
    let (digits, rest) = text.split_at(text.len().min(4));
    (digits.iter().fold(0, |sum, digit| sum * 16 + char::from(*digit).to_digit(16).unwrap_or(0)), rest)
}
