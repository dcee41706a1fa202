//! Fields to typed columns.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};

use super::options::CsvOptions;
use super::tokenize::{self, Fault, FaultKind, Faulty, Field, LONGEST, Records, Width};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::parse::{Misfit, Texts, parse_column};
use crate::formats::value::type_name;
use crate::formats::{Layout, Piece};
use crate::schema::record_batch;

/// Decodes the columns of `schema`.
pub(super) fn decode(
    options: &CsvOptions,
    piece: &Piece<'_>,
    layout: &Layout,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let width = Width::Exactly(layout.columns.len());
    let records = records(options, piece, (width, Faulty::Refused), usize::MAX)?;
    let columns = columns(options, piece, layout, schema, &records)?;
    let parsed = columns.iter().zip(schema.fields()).map(|(column, field)| {
        let form = options.typing.form(field);
        parse_column(column, field, form).map_err(|misfit| column.explain(misfit, piece, field))
    });
    record_batch(schema, parsed.collect::<Result<_>>()?, records.rows())
}

/// The index of a piece's fields.
pub(super) fn records(
    options: &CsvOptions,
    piece: &Piece<'_>,
    width: (Width, Faulty),
    limit: usize,
) -> Result<Records> {
    if piece.bytes.len() >= LONGEST {
        let message = "a record, or a piece of records, is longer than 1 GiB";
        return Err(Error::new(ErrorKind::Resource, message).at("line", piece.first_line));
    }
    if width.0 == Width::Exactly(0) && !piece.bytes.is_empty() {
        return Err(Error::new(ErrorKind::Corrupt, "there are records, but no columns").at("line", piece.first_line));
    }
    tokenize::tokenize(piece.bytes, options, width, limit).map_err(|fault| explain(fault, piece))
}

/// The columns of `schema` in the order of its fields.
pub(super) fn columns<'a>(
    options: &'a CsvOptions,
    piece: &Piece<'a>,
    layout: &Layout,
    schema: &SchemaRef,
    records: &'a Records,
) -> Result<Vec<Column<'a>>> {
    let places = layout.places();
    let column = |field: &FieldRef| {
        let index = *places
            .get(field.name().as_str())
            .ok_or_else(|| Error::new(ErrorKind::Schema, "the file has no such column").at("column", field.name()))?;
        Ok(Column::new(options, piece, records, index))
    };
    schema.fields().iter().map(column).collect()
}

/// The line of the byte at `offset`.
pub(super) fn line(piece: &Piece<'_>, offset: usize) -> u64 {
    piece.first_line + lines(piece, 0..offset.min(piece.bytes.len()))
}

/// The line ends in a part of `piece`.
pub(super) fn lines(piece: &Piece<'_>, part: Range<usize>) -> u64 {
    let (bytes, start) = (&piece.bytes[part.clone()], part.start);
    let lone = |at: &usize| piece.bytes.get(start + at + 1) != Some(&b'\n');
    (memchr::memchr_iter(b'\n', bytes).count() + memchr::memchr_iter(b'\r', bytes).filter(lone).count()) as u64
}

fn explain(fault: Fault, piece: &Piece<'_>) -> Error {
    describe(fault).at("line", line(piece, fault.offset))
}

/// What is said of a fault, but for its line.
pub(super) fn describe(fault: Fault) -> Error {
    let quoting = "a quote stands around a whole field, and is doubled within; name another quote, or none, with the \
                   quote option if these files differ";
    match fault.kind {
        FaultKind::BareQuote => {
            Error::new(ErrorKind::Corrupt, "a quote stands within an unquoted field").with_hint(quoting)
        }
        FaultKind::AfterQuote => {
            Error::new(ErrorKind::Corrupt, "text follows the closing quote of a field").with_hint(quoting)
        }
        FaultKind::Unterminated => {
            Error::new(ErrorKind::Corrupt, "a quote that opens a field here is never closed").with_hint(quoting)
        }
        FaultKind::Width { found, expected } => {
            let fields = |count| if count == 1 { "field" } else { "fields" };
            let message = format!("the record has {found} {}, expected {expected}", fields(found));
            Error::new(ErrorKind::Corrupt, message)
                .with_hint("check the delimiter, and that fields that hold it are quoted")
        }
    }
}

/// One column of a piece.
pub(super) struct Column<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
    width: usize,
    index: usize,
    null: &'a [u8],
    quote: u8,
    escape: Option<u8>,
}

impl<'a> Column<'a> {
    pub(super) fn new(options: &'a CsvOptions, piece: &Piece<'a>, records: &'a Records, index: usize) -> Self {
        Self {
            bytes: piece.bytes,
            fields: &records.fields,
            width: records.width,
            index,
            null: options.null.as_bytes(),
            quote: options.quote.unwrap_or(0),
            escape: options.escape,
        }
    }

    /// Where a row begins.
    pub(super) fn start(&self, row: usize) -> usize {
        self.fields[row * self.width].start()
    }

    /// What is said of a misfit.
    fn explain(&self, misfit: Misfit, piece: &Piece<'_>, field: &FieldRef) -> Error {
        let error = describe_misfit(misfit, field);
        match misfit {
            Misfit::Row(row) | Misfit::Encoding(row, _) => error.at("line", line(piece, self.start(row))),
            Misfit::Type | Misfit::Size => error,
        }
    }
}

/// What is said of a misfit, but for its line.
pub(super) fn describe_misfit(misfit: Misfit, field: &FieldRef) -> Error {
    let name = field.name();
    let error = match misfit {
        Misfit::Row(_) => Error::new(ErrorKind::Value, format!("the value is no {}", type_name(field)))
            .with_hint(format!("read the column as text with --cast {name}:text, or name its right type")),
        Misfit::Encoding(_, byte) => {
            Error::new(ErrorKind::Value, format!("the text is not UTF-8 from its byte {} on", byte + 1))
                .with_hint("name the encoding of the file with --encoding")
        }
        Misfit::Type => {
            let message = format!("CSV cannot be read as {}", type_name(field));
            Error::new(ErrorKind::Unsupported, message)
        }
        Misfit::Size => Error::new(ErrorKind::Resource, "the texts of one piece exceed 2 GiB"),
    };
    error.at("column", name)
}

impl Texts for Column<'_> {
    fn rows(&self) -> usize {
        self.fields.len().checked_div(self.width).unwrap_or(0)
    }

    #[inline]
    fn text<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let field = self.fields[row * self.width + self.index];
        let text = field.bytes(self.bytes);
        if !field.is_quoted() {
            return (text != self.null).then_some(text);
        }
        if !field.is_doubled() {
            return Some(text);
        }
        match self.escape {
            None => unescape(text, self.quote, scratch),
            Some(escape) => without_escapes(text, (escape, self.quote), scratch),
        }
        Some(scratch)
    }
}

/// Text within quotes, with doubled quotes made single.
pub(in super::super) fn unescape(text: &[u8], quote: u8, out: &mut Vec<u8>) {
    out.clear();
    let mut rest = text;
    while let Some(at) = memchr::memchr(quote, rest) {
        out.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Text within quotes, without the `escape` before quotes and before itself.
fn without_escapes(text: &[u8], (escape, quote): (u8, u8), out: &mut Vec<u8>) {
    out.clear();
    let mut rest = text;
    while let Some(at) = memchr::memchr(escape, rest) {
        let escaped = rest.get(at + 1).copied().filter(|next| *next == quote || *next == escape);
        out.extend_from_slice(&rest[..at]);
        out.push(escaped.unwrap_or(escape));
        rest = &rest[at + 1 + usize::from(escaped.is_some())..];
    }
    out.extend_from_slice(rest);
}
