//! Members to typed columns.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};

use super::records::{Sink, line, walk};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::parse::{Form, Misfit, Texts, parse_column};
use crate::formats::value::type_name;
use crate::formats::{Layout, Piece, Typing};
use crate::schema;

/// Decodes the columns of `schema`; `layout` names all keys there are.
pub(super) fn decode(typing: &Typing, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<RecordBatch> {
    if u32::try_from(piece.bytes.len()).is_err() {
        let message = "a record, or a piece of records, is longer than 4 GiB";
        return Err(Error::new(ErrorKind::Resource, message).at("line", piece.first_line));
    }
    let places = layout.places();
    if let Some(field) = schema.fields().iter().find(|field| !places.contains_key(field.name().as_str())) {
        return Err(Error::new(ErrorKind::Schema, "the file has no such column").at("column", field.name()));
    }
    let mut members = Members::new(piece, (layout, places), schema);
    walk(piece, &mut members)?;
    let column = |(slot, field): (usize, &FieldRef)| decode_column(typing, piece, &members, slot, field);
    let columns: Vec<ArrayRef> = schema.fields().iter().enumerate().map(column).collect::<Result<_>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(members.offsets.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?)
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
}

impl<'p> Members<'p> {
    fn new(piece: &Piece<'p>, (layout, index): (&'p Layout, HashMap<&'p str, usize>), schema: &SchemaRef) -> Self {
        let names = layout.columns.as_slice();
        let mut slots = vec![None; names.len()];
        for (slot, field) in schema.fields().iter().enumerate() {
            if let Some(place) = index.get(field.name().as_str()) {
                slots[*place] = Some(slot);
            }
        }
        Self {
            bytes: piece.bytes,
            names,
            index,
            slots,
            seen: vec![0; names.len()],
            next: 0,
            width: schema.fields().len(),
            spans: Vec::new(),
            offsets: Vec::new(),
        }
    }
}

impl<'p> Sink<'p> for Members<'p> {
    fn begin(&mut self, offset: usize) -> bool {
        self.offsets.push(offset);
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
        if self.seen[index] == self.offsets.len() {
            return Err(twice(key));
        }
        self.seen[index] = self.offsets.len();
        if let Some(slot) = self.slots[index] {
            let start = raw.as_ptr().addr() - self.bytes.as_ptr().addr();
            let row = (self.offsets.len() - 1) * self.width;
            self.spans[row + slot] = Span { start: start as u32, end: (start + raw.len()) as u32 };
        }
        Ok(())
    }
}

fn decode_column(
    typing: &Typing,
    piece: &Piece<'_>,
    members: &Members<'_>,
    slot: usize,
    field: &FieldRef,
) -> Result<ArrayRef> {
    let given = typing.all_strings || typing.cast(field.name()).is_some();
    let form = if given { Form::Any } else { Form::Plain };
    let column = Column { members, slot, raw: schema::is_json(field) };
    let parsed = match form {
        Form::Plain => column.check(field.data_type()).map_or(Ok(()), |row| Err(Misfit::Row(row))),
        Form::Any => Ok(()),
    };
    parsed.and_then(|()| parse_column(&column, field, form)).map_err(|misfit| {
        let line = |row: usize| line(piece, members.offsets[row]);
        let name = field.name();
        match misfit {
            Misfit::Row(row) => Error::new(ErrorKind::Value, format!("the value is no {}", type_name(field)))
                .with_hint(format!("read the column as text with --cast {name}:text, or name its right type"))
                .at("column", name)
                .at("line", line(row)),
            Misfit::Encoding(row, _) => {
                let message = "the string has an escape that is half of a character";
                Error::new(ErrorKind::Value, message).at("column", name).at("line", line(row))
            }
            Misfit::Type => {
                let message = format!("JSON cannot be read as {}", type_name(field));
                Error::new(ErrorKind::Unsupported, message)
                    .with_hint(format!("read the column as JSON text with --cast {name}:json"))
                    .at("column", name)
            }
            Misfit::Size => Error::new(ErrorKind::Resource, "the texts of one piece exceed 2 GiB").at("column", name),
        }
    })
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

    /// The first row whose value is not of the JSON kind that the type is written as.
    fn check(&self, data_type: &DataType) -> Option<usize> {
        let number = |raw: &[u8]| matches!(raw, [b'-' | b'0'..=b'9', ..]);
        let fits = |raw: &[u8]| match data_type {
            _ if self.raw => true,
            DataType::Boolean => matches!(raw, b"true" | b"false"),
            DataType::Float32 | DataType::Float64 => number(raw) || is_special_float(raw),
            data_type if data_type.is_numeric() => number(raw),
            _ => raw.starts_with(b"\""),
        };
        (0..self.rows()).find(|row| self.raw(*row).is_some_and(|raw| !fits(raw)))
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
