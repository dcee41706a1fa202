//! Binary COPY tuples into Arrow columns: index the fields of a chunk first, then fill column by column.
//!
//! Pure: bytes in, a batch out. The input comes from a server and is still not trusted: a length that does not fit is a
//! `Corrupt` error, a value that the Arrow type cannot hold a `Value` error with column and row, never a panic.

use arrow::array::{Array as _, ArrayRef, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use bytes::Bytes;

use super::typemap::Read;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::fields::sift::{self, Decoder};
use crate::formats::fields::{Fault, Fields, Indexed, Span, binary};
use crate::reject::Rejects;
use crate::schema::record_batch;

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

impl Chunk {
    /// Looks for the fields of `columns` columns.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub(super) fn index(&self, columns: usize) -> Result<Indexed<'_>> {
        let indexed = Indexed::new(&self.bytes, (self.rows, columns), |spans, stride| {
            fill(&self.bytes, (self.rows, columns), spans, stride)
        });
        if let Some(indexed) = indexed {
            return Ok(indexed);
        }
        let error = Error::new(ErrorKind::Corrupt, "the server sent a row that does not parse as binary COPY");
        Err(error.at("row", self.first_row + 1))
    }
}

/// Notes where all fields lie; none when the bytes are not `rows` tuples of `columns` fields.
fn fill(bytes: &[u8], (rows, columns): (usize, usize), spans: &mut [Span], stride: usize) -> Option<()> {
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
            spans[column * stride + row] = Span { start: at as u32, length };
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
    (at == bytes.len()).then_some(())
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

/// Decodes one chunk.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) for tuples that do not parse; [`Value`](ErrorKind::Value) for values that the Arrow
/// form does not hold (infinity, 24:00, NaN in a decimal), with column and row.
pub(super) fn decode(layout: &Layout, chunk: &Chunk) -> Result<RecordBatch> {
    let columns = layout.kinds.len();
    let indexed = chunk.index(columns)?;
    let mut arrays = Vec::with_capacity(columns);
    for (position, kind) in layout.kinds.iter().enumerate() {
        let field = &layout.schema.fields()[position];
        let array = array(*kind, field, indexed.column(position));
        arrays.push(array.map_err(|fault| error(&fault, field, chunk.first_row))?);
    }
    record_batch(&layout.schema, arrays, chunk.rows)
}

/// As [`decode`], but rows with values that the Arrow form does not hold come beside the others.
pub(super) fn sift(layout: &Layout, chunk: &Chunk) -> Result<(RecordBatch, Option<Rejects>)> {
    let indexed = chunk.index(layout.kinds.len())?;
    let decoder = Rows { layout, first_row: chunk.first_row };
    sift::sift(&layout.schema, (&indexed, chunk.rows), &decoder)
}

/// Rows before which others of the same stream came.
struct Rows<'a> {
    layout: &'a Layout,
    first_row: u64,
}

impl Decoder for Rows<'_> {
    fn array(&self, position: usize, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
        array(self.layout.kinds[position], &self.layout.schema.fields()[position], fields)
    }

    fn text(&self, position: usize, value: &[u8]) -> Option<String> {
        let Kind::Scalar(read) = self.layout.kinds[position] else { return None };
        column::text_of(read, value)
    }

    fn error(&self, position: usize, fault: &Fault) -> Error {
        error(fault, &self.layout.schema.fields()[position], self.first_row)
    }
}

/// `fields`, which are numerics, as decimals of `data_type`; none where one has no place among them.
pub(super) fn decimals(data_type: &DataType, fields: Fields<'_>) -> Option<ArrayRef> {
    numeric::column(data_type, fields).ok()
}

/// Appends the text of the numeric `wire`, as the server writes it. `false` where it is damaged.
pub(super) fn numeric_text(wire: &[u8], out: &mut Vec<u8>) -> bool {
    numeric::put_text(wire, out).is_some()
}

/// What `wires` are in the Arrow form of `field`; none where one has no place in it.
pub(super) fn of_wire(kind: Kind, field: &FieldRef, wires: &BinaryArray) -> Option<ArrayRef> {
    let span = |(row, ends): (usize, &[i32])| {
        let length = if wires.is_null(row) { -1 } else { ends[1] - ends[0] };
        Span { start: ends[0] as u32, length }
    };
    let spans: Vec<Span> = wires.value_offsets().windows(2).enumerate().map(span).collect();
    array(kind, field, Fields::new(wires.value_data(), &spans)).ok()
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

fn array(kind: Kind, field: &FieldRef, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    match (kind, field.data_type()) {
        (Kind::Scalar(read), data_type) => column::scalar(read, data_type, fields),
        (Kind::List(read), DataType::List(item)) => list::list(read, item, fields),
        (Kind::Wire, _) => binary(fields),
        (Kind::List(_), _) => Err(Fault { row: 0, kind: ErrorKind::Internal, why: "an array is not read into a list" }),
    }
}
