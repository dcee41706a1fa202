//! Binary COPY tuples into Arrow columns: index the fields of a chunk first, then fill column by column.
//!
//! Pure: bytes in, a batch out. The input comes from a server and is still not trusted: a length that does not fit is a
//! `Corrupt` error, a value that the Arrow type cannot hold a `Value` error with column and row, never a panic.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use bytes::Bytes;

use super::typemap::Read;
use crate::error::{Error, ErrorKind, Result};

mod column;
mod list;
mod numeric;
#[cfg(test)]
mod tests;

/// Whole tuples of a binary COPY, one after the other, without header and trailer.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) rows: usize,
    /// Rows of the same stream before this chunk.
    pub(super) first_row: u64,
}

/// How the columns of a stream are decoded.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) schema: SchemaRef,
    pub(super) kinds: Vec<Kind>,
}

/// How one column is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Into the Arrow form of a type.
    Scalar(Read),
    /// A one-dimensional array into a List.
    List(Read),
    /// The wire bytes as they are.
    Wire,
}

/// Where the bytes of one field lie in its chunk; a negative length is NULL.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: i32,
}

/// The fields of one column, top to bottom.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
    nulls: usize,
}

impl<'a> Fields<'a> {
    fn get(&self, span: Span) -> Option<&'a [u8]> {
        let length = usize::try_from(span.length).ok()?;
        // The index was made from these bytes, so the range is inside.
        self.bytes.get(span.start as usize..span.start as usize + length)
    }

    fn iter(self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> {
        self.spans.iter().map(move |span| self.get(*span))
    }
}

/// What was wrong with which row of a column; becomes an [`Error`] where the column's name is known.
#[derive(Debug)]
struct Fault {
    row: usize,
    kind: ErrorKind,
    why: &'static str,
}

impl Fault {
    fn corrupt(row: usize) -> Self {
        Self { row, kind: ErrorKind::Corrupt, why: "the server sent a value whose length does not fit its type" }
    }

    fn value(row: usize, why: &'static str) -> Self {
        Self { row, kind: ErrorKind::Value, why }
    }
}

/// Decodes one chunk.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) for tuples that do not parse; [`Value`](ErrorKind::Value) for values that the Arrow
/// form does not hold (infinity, 24:00, NaN in a decimal), with column and row.
pub(super) fn decode(layout: &Layout, chunk: &Chunk) -> Result<RecordBatch> {
    let columns = layout.kinds.len();
    let spans = index(&chunk.bytes, chunk.rows, columns).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "the server sent a row that does not parse as binary COPY")
            .at("row", chunk.first_row + 1)
    })?;
    let mut arrays = Vec::with_capacity(columns);
    for (position, kind) in layout.kinds.iter().enumerate() {
        let spans = &spans[position * chunk.rows..(position + 1) * chunk.rows];
        let nulls = spans.iter().filter(|span| span.length < 0).count();
        let field = &layout.schema.fields()[position];
        let array = array(*kind, field, Fields { bytes: &chunk.bytes, spans, nulls });
        arrays.push(array.map_err(|fault| error(&fault, field, chunk.first_row))?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(chunk.rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&layout.schema), arrays, &options)?)
}

fn error(fault: &Fault, field: &FieldRef, first_row: u64) -> Error {
    let error = Error::new(fault.kind, fault.why);
    let error = match fault.kind {
        ErrorKind::Value => error.with_hint(
            "leave the column out with --drop, turn it to text with --query, or write to PostgreSQL, which can hold it",
        ),
        _ => error,
    };
    error.at("column", field.name()).at("row", first_row + fault.row as u64 + 1)
}

/// The spans of all fields, column after column; none when the bytes are not `rows` tuples of `columns` fields.
fn index(bytes: &[u8], rows: usize, columns: usize) -> Option<Vec<Span>> {
    u32::try_from(bytes.len()).ok()?;
    let mut spans = vec![Span { start: 0, length: -1 }; rows.checked_mul(columns)?];
    let mut at = 0;
    for row in 0..rows {
        let count = i16::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
        if usize::try_from(count).ok()? != columns {
            return None;
        }
        at += 2;
        for column in 0..columns {
            let length = i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
            at += 4;
            spans[column * rows + row] = Span { start: at as u32, length };
            if let Ok(length) = usize::try_from(length) {
                at += length;
            } else if length != -1 {
                return None;
            }
        }
        if at > bytes.len() {
            return None;
        }
    }
    (at == bytes.len()).then_some(spans)
}

fn array(kind: Kind, field: &FieldRef, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    match (kind, field.data_type()) {
        (Kind::Scalar(read), data_type) => column::scalar(read, data_type, fields),
        (Kind::List(read), DataType::List(item)) => list::list(read, item, fields),
        (Kind::Wire, _) => column::binary(fields),
        (Kind::List(_), _) => Err(Fault { row: 0, kind: ErrorKind::Internal, why: "an array is not read into a list" }),
    }
}
