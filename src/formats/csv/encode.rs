//! Columns to records of RFC 4180.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::options::CsvOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::patterned;
use crate::formats::value::print::{self, Look};
use crate::formats::{json, quote};
use crate::schema::NATIVE;

/// The header line.
pub(super) fn header(options: &CsvOptions, schema: &Schema) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    if !options.header || schema.fields().is_empty() {
        return Ok(out);
    }
    let style = Style::new(options);
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            out.push(options.delimiter);
        }
        let start = out.len();
        out.extend_from_slice(field.name().as_bytes());
        style.finish_text(&mut out, start).map_err(|error| error.at("column", field.name()))?;
    }
    options.line_end.put(&mut out);
    Ok(out)
}

/// Appends one line per row.
pub(super) fn encode(options: &CsvOptions, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let schema = batch.schema_ref();
    let style = Style::new(options);
    let hidden = options.comment.is_some() && options.null.bytes().next() == options.comment;
    let first = batch.columns().first().and_then(Array::logical_nulls);
    if hidden && first.is_some_and(|nulls| nulls.null_count() > 0) {
        return Err(Error::new(ErrorKind::Value, "a record that begins with the null text would be a comment")
            .with_hint("set another null text, or another comment")
            .at("column", schema.field(0).name()));
    }
    let columns: Vec<Column<'_>> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .enumerate()
        .map(|(place, (field, array))| {
            let form = options.forms.get(&place).filter(|form| form.handles(field.data_type()));
            match form.or_else(|| options.typing.pattern_of(field)) {
                Some(pattern) => patterned(array, field, pattern).map(Column::Text),
                None => column(array, field, options),
            }
        })
        .collect::<Result<_>>()?;
    out.reserve(batch.num_rows() * columns.len() * 8);
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(options.delimiter);
            }
            column.write(&style, row, out).map_err(|error| error.at("column", schema.field(index).name()))?;
        }
        options.line_end.put(out);
    }
    Ok(())
}

enum Column<'a> {
    /// Texts that need quotes only under unusual options.
    Simple(print::Column<'a>),
    Text(print::Column<'a>),
    /// Lists, structs and maps, as JSON.
    Nested(&'a dyn Array, json::Write<'a>),
}

fn column<'a>(array: &'a dyn Array, field: &Field, options: &CsvOptions) -> Result<Column<'a>> {
    Ok(match print::column(array, field) {
        Some(column) if options.short_decimals && is_decimal(field) => Column::Simple(without_zeros(column)),
        Some(column) if options.short_decimals && column.look == Look::Float => Column::Simple(plain_floats(column)),
        Some(column) if matches!(column.look, Look::Text | Look::Json) => Column::Text(column),
        Some(column) => Column::Simple(column),
        None => Column::Nested(array, json::writer(array, field)?),
    })
}

/// Whether values are decimals, or texts of such.
fn is_decimal(field: &Field) -> bool {
    let native = field.metadata().get(NATIVE).and_then(|native| native.split_once(':'));
    field.data_type().is_decimal()
        || field.data_type() == &DataType::Utf8 && native.is_some_and(|(_, name)| name.starts_with("numeric"))
}

/// The same without zeros at the end of what is behind the point.
fn without_zeros(column: print::Column<'_>) -> print::Column<'_> {
    let print::Column { look, nulls, print } = column;
    let short = move |row: usize, out: &mut Vec<u8>| {
        let start = out.len();
        print(row, out);
        if memchr::memchr(b'.', &out[start..]).is_none() {
            return;
        }
        let zeros = out.iter().rev().take_while(|byte| **byte == b'0').count();
        out.truncate(out.len() - zeros);
        if out.last() == Some(&b'.') {
            out.pop();
        }
    };
    print::Column { look, nulls, print: Box::new(short) }
}

/// The same without an exponent, and without a point where no fraction is behind it.
fn plain_floats(column: print::Column<'_>) -> print::Column<'_> {
    let print::Column { look, nulls, print } = column;
    let plain = move |row: usize, out: &mut Vec<u8>| {
        let start = out.len();
        print(row, out);
        let text = &out[start..];
        if text.ends_with(b".0") {
            out.truncate(out.len() - 2);
            if &out[start..] == b"-0" {
                out.remove(start);
            }
        } else if memchr::memchr(b'e', text).is_some()
            && let Some(value) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok())
        {
            out.truncate(start);
            out.extend_from_slice(value.to_string().as_bytes());
        }
    };
    print::Column { look, nulls, print: Box::new(plain) }
}

impl Column<'_> {
    #[inline]
    fn write(&self, style: &Style<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        match self {
            Column::Simple(column) | Column::Text(column) if column.is_null(row) => {
                out.extend_from_slice(style.null);
                Ok(())
            }
            Column::Simple(column) => {
                (column.print)(row, out);
                if style.unusual { style.finish_text(out, start) } else { Ok(()) }
            }
            Column::Text(column) => {
                (column.print)(row, out);
                style.finish_text(out, start)
            }
            Column::Nested(array, _) if array.is_null(row) => {
                out.extend_from_slice(style.null);
                Ok(())
            }
            Column::Nested(_, write) => {
                write(row, out)?;
                style.finish_text(out, start)
            }
        }
    }
}

struct Style<'a> {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    /// A field that begins with it would make its line a comment.
    comment: Option<u8>,
    trim: bool,
    null: &'a [u8],
    /// Whether numbers, times and hex may look like NULL or hold the delimiter or the quote.
    unusual: bool,
}

impl<'a> Style<'a> {
    fn new(options: &'a CsvOptions) -> Self {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-+:. \\".contains(&byte);
        let unusual = !options.null.is_empty()
            || [Some(options.delimiter), options.quote, options.comment].into_iter().flatten().any(inside);
        Self {
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            comment: options.comment,
            trim: options.trim,
            null: options.null.as_bytes(),
            unusual,
        }
    }

    /// Quotes the field that begins at `start` if it needs it.
    #[inline]
    fn finish_text(&self, out: &mut Vec<u8>, start: usize) -> Result<()> {
        if self.needs_quotes(&out[start..]) { self.add_quotes(out, start) } else { Ok(()) }
    }

    fn needs_quotes(&self, text: &[u8]) -> bool {
        // A line of `\.` ends the data for some versions of PostgreSQL.
        if text.is_empty() || text == self.null || text == b"\\." {
            return true;
        }
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if (self.comment.is_some() && text.first().copied() == self.comment)
            || (self.trim && (blank(text.first()) || blank(text.last())))
        {
            return true;
        }
        let quote = self.quote.unwrap_or(self.delimiter);
        // Without an early exit this is vectorised.
        let special = |byte: u8| byte == self.delimiter || byte == quote || byte == b'\n' || byte == b'\r';
        text.iter().fold(false, |found, byte| found | special(*byte))
    }

    #[cold]
    fn add_quotes(&self, out: &mut Vec<u8>, start: usize) -> Result<()> {
        let Some(quote) = self.quote else {
            if out[start..] == *b"\\." {
                return Ok(());
            }
            let message = "the text cannot be told from NULL or from several fields without quotes";
            return Err(
                Error::new(ErrorKind::Value, message).with_hint("set a quote, or another null text or delimiter")
            );
        };
        quote::put(out, start, quote, self.escape.unwrap_or(quote));
        Ok(())
    }
}
