//! Fields to typed columns.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, SchemaRef};

use super::options::CsvOptions;
use super::tokenize::{self, Fault, FaultKind, Field, LONGEST, Records, Width};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::parse::{Form, Misfit, Texts, parse_column};
use crate::formats::value::type_name;
use crate::formats::{Layout, Piece};

/// Decodes the columns of `schema`.
pub(super) fn decode(
    options: &CsvOptions,
    piece: &Piece<'_>,
    layout: &Layout,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let records = records(options, piece, Width::Exactly(layout.columns.len()), usize::MAX)?;
    let places = layout.places();
    let column = |field: &FieldRef| {
        let index = *places
            .get(field.name().as_str())
            .ok_or_else(|| Error::new(ErrorKind::Schema, "the file has no such column").at("column", field.name()))?;
        decode_column(options, piece, &Column::new(options, piece, &records, index), field)
    };
    let columns: Vec<ArrayRef> = schema.fields().iter().map(column).collect::<Result<_>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(records.rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?)
}

/// The index of a piece's fields.
pub(super) fn records(options: &CsvOptions, piece: &Piece<'_>, width: Width, limit: usize) -> Result<Records> {
    if piece.bytes.len() >= LONGEST {
        let message = "a record, or a piece of records, is longer than 1 GiB";
        return Err(Error::new(ErrorKind::Resource, message).at("line", piece.first_line));
    }
    if width == Width::Exactly(0) && !piece.bytes.is_empty() {
        return Err(Error::new(ErrorKind::Corrupt, "there are records, but no columns").at("line", piece.first_line));
    }
    tokenize::tokenize(piece.bytes, options, width, limit).map_err(|fault| explain(fault, piece))
}

fn decode_column(options: &CsvOptions, piece: &Piece<'_>, column: &Column<'_>, field: &FieldRef) -> Result<ArrayRef> {
    let given = options.typing.all_strings || options.typing.cast(field.name()).is_some();
    let form = if given { Form::Any } else { Form::Plain };
    parse_column(column, field, form).map_err(|misfit| {
        let line = |row: usize| line(piece, column.fields[row * column.width].start());
        let name = field.name();
        match misfit {
            Misfit::Row(row) => Error::new(ErrorKind::Value, format!("the value is no {}", type_name(field)))
                .with_hint(format!("read the column as text with --cast {name}:text, or name its right type"))
                .at("column", name)
                .at("line", line(row)),
            Misfit::Encoding(row, byte) => {
                Error::new(ErrorKind::Value, format!("the text is not UTF-8 from its byte {} on", byte + 1))
                    .with_hint("convert the file to UTF-8, for example with iconv")
                    .at("column", name)
                    .at("line", line(row))
            }
            Misfit::Type => {
                let message = format!("CSV cannot be read as {}", type_name(field));
                Error::new(ErrorKind::Unsupported, message).at("column", name)
            }
            Misfit::Size => Error::new(ErrorKind::Resource, "the texts of one piece exceed 2 GiB").at("column", name),
        }
    })
}

/// The line of the byte at `offset`.
pub(super) fn line(piece: &Piece<'_>, offset: usize) -> u64 {
    let before = &piece.bytes[..offset.min(piece.bytes.len())];
    let returns = memchr::memchr_iter(b'\r', before).filter(|at| piece.bytes.get(at + 1) != Some(&b'\n')).count();
    piece.first_line + (memchr::memchr_iter(b'\n', before).count() + returns) as u64
}

fn explain(fault: Fault, piece: &Piece<'_>) -> Error {
    let quoting = "a quote stands around a whole field, and is doubled within; name another quote, or none, with the \
                   quote option if these files differ";
    let error = match fault.kind {
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
    };
    error.at("line", line(piece, fault.offset))
}

/// One column of a piece.
pub(super) struct Column<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
    width: usize,
    index: usize,
    null: &'a [u8],
    quote: u8,
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
        }
    }
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
        unescape(text, self.quote, scratch);
        Some(scratch)
    }
}

/// Text within quotes, with doubled quotes made single.
pub(super) fn unescape(text: &[u8], quote: u8, out: &mut Vec<u8>) {
    out.clear();
    let mut rest = text;
    while let Some(at) = memchr::memchr(quote, rest) {
        out.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}
