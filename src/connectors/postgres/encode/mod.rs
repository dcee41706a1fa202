//! Record batches to COPY data, encoded for the target's types: binary where every column has a binary form, else text.
//!
//! Each column is prepared once per batch as [`Cells`]; then all cells are measured, and written column by column into
//! blocks of whole rows that fit the processor's cache. Pure: bytes go out, nothing is sent from here.

mod cells;
mod check;
mod column;
mod infinite;
mod json;
mod list;
mod numeric;
mod text;
mod wire_text;

#[cfg(test)]
mod tests;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BinaryArray, BinaryBuilder, RecordBatch};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(super) use self::check::Check;
pub(super) use self::numeric::{Sign, groups as numeric_groups, put_i128 as put_decimal, put_text as put_numeric};
pub(super) use self::wire_text::{readable as wire_readable, texts as wire_texts};
pub(super) use super::typemap::{EPOCH_DAYS, EPOCH_MICROS};

use self::cells::Cells;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a block: a row more ends it. Small enough for the cache, large enough for the socket.
const BLOCK_BYTES: usize = 256 << 10;

/// The signature, the flags and the length of the (empty) header extension of binary COPY.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The field count that ends binary COPY.
const BINARY_TRAILER: &[u8] = &[0xff, 0xff];

/// How COPY data are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Format {
    /// Length and wire bytes per field.
    Binary,
    /// Tab-separated text, for tables with a column whose type has only a text form.
    Text,
}

/// How the server lays out the values of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Layout {
    /// One byte.
    Bool,
    /// `smallint`.
    Int2,
    /// `integer`.
    Int4,
    /// `bigint`.
    Int8,
    /// `oid`: unsigned 32 bits.
    Oid,
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// Groups of four decimal digits.
    Numeric,
    /// The text itself: text, varchar, char, name, json, xml, enums.
    Text,
    /// A version byte, then text.
    Jsonb,
    /// The bytes themselves.
    Bytea,
    /// Days since 2000.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Microseconds since 2000, with or without zone.
    Timestamp,
    /// Microseconds, days, months.
    Interval,
    /// 16 bytes.
    Uuid,
    /// Dimensions, then elements.
    Array {
        /// The element's type on the server.
        oid: u32,
        /// How an element is laid out.
        element: Box<Layout>,
    },
    /// No layout that is known here: values come as wire bytes of the same type, or as text.
    Other,
}

/// One column of the COPY.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Column {
    /// The name in the target.
    pub(super) name: String,
    /// How the target's type is laid out.
    pub(super) layout: Layout,
    /// Whether values come as wire bytes of the target's own type, or may be infinite dates or timestamps.
    pub(super) wire: bool,
    /// What the server would otherwise round or cut without a word.
    pub(super) check: Check,
}

/// Encodes the batches of one COPY.
#[derive(Debug)]
pub(super) struct Encoder {
    format: Format,
    columns: Vec<Column>,
}

/// Why a row cannot be sent.
#[derive(Debug)]
struct Refusal {
    row: usize,
    message: String,
}

impl Refusal {
    fn new(row: usize, message: impl Into<String>) -> Self {
        Self { row, message: message.into() }
    }
}

impl Encoder {
    /// An encoder of `columns`, in the order of the COPY's column list.
    pub(super) fn new(format: Format, columns: Vec<Column>) -> Self {
        Self { format, columns }
    }

    /// What comes before the first row.
    pub(super) fn header(format: Format) -> &'static [u8] {
        match format {
            Format::Binary => BINARY_HEADER,
            Format::Text => &[],
        }
    }

    /// What comes after the last row.
    pub(super) fn trailer(format: Format) -> &'static [u8] {
        match format {
            Format::Binary => BINARY_TRAILER,
            Format::Text => &[],
        }
    }

    /// The rows of `batch` in blocks of whole rows. `before` rows of the task came earlier.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) with column and row (from 1) for a value that the target cannot hold as it is.
    pub(super) fn encode(&self, batch: &RecordBatch, before: u64) -> Result<Vec<Bytes>> {
        if batch.num_columns() != self.columns.len() {
            let message = format!("a batch has {} columns, {} were agreed", batch.num_columns(), self.columns.len());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let last = self.columns.len().saturating_sub(1);
        let mut cells = Vec::with_capacity(self.columns.len());
        for (index, (column, array)) in self.columns.iter().zip(batch.columns()).enumerate() {
            let prepared = match self.format {
                Format::Binary => column::prepare(column, array),
                Format::Text => text::prepare(column, array, if index == last { b'\n' } else { b'\t' }),
            };
            cells.push(prepared.map_err(|refusal| {
                Error::new(ErrorKind::Value, refusal.message)
                    .at("column", &column.name)
                    .at("row", before + refusal.row as u64 + 1)
            })?);
        }
        let prefix = match self.format {
            Format::Binary => Some((self.columns.len() as u16).to_be_bytes()),
            Format::Text if self.columns.is_empty() => return Ok(vec![Bytes::from(vec![b'\n'; batch.num_rows()])]),
            Format::Text => None,
        };
        Ok(assemble(&cells, prefix, batch.num_rows()))
    }
}

/// The binary form of each value of `array`, without its length. What the server would round or cut is not looked at.
///
/// # Errors
/// [`Value`](ErrorKind::Value) with the column for a value that has no such form.
pub(super) fn wires(column: &Column, array: &ArrayRef) -> Result<BinaryArray> {
    let refused = |refusal: Refusal| Error::new(ErrorKind::Value, refusal.message).at("column", &column.name);
    if column.wire
        && let Some(wires) = infinite::wires(array).map_err(refused)?.as_binary_opt()
    {
        return Ok(wires.clone());
    }
    let cells = column::value(&column.layout, Check::None, array).map_err(refused)?;
    let mut values = BinaryBuilder::with_capacity(array.len(), 16 * array.len());
    for block in assemble(&[cells], None, array.len()) {
        let mut rest = &block[..];
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = i32::from_be_bytes(*length);
            let (value, after) = after.split_at(usize::try_from(length).unwrap_or(0));
            values.append_option((length >= 0).then_some(value));
            rest = after;
        }
    }
    Ok(values.finish())
}

/// Writes `rows` rows of `cells`, each after `prefix`, into blocks.
fn assemble(cells: &[Box<dyn Cells>], prefix: Option<[u8; 2]>, rows: usize) -> Vec<Bytes> {
    let prefix_bytes = prefix.map_or(0, |prefix| prefix.len());
    let fixed: usize = cells.iter().filter_map(|cells| cells.width()).sum();
    let mut sizes = vec![prefix_bytes + fixed; rows];
    for cells in cells.iter().filter(|cells| cells.width().is_none()) {
        cells.measure(0..rows, &mut sizes);
    }
    let mut blocks = Vec::new();
    let mut cursors = Vec::new();
    let mut start = 0;
    while start < rows {
        let (end, bytes) = block(&sizes, start);
        cursors.clear();
        let mut at = 0;
        let mut out = vec![0; bytes];
        for size in &sizes[start..end] {
            if let Some(prefix) = prefix {
                out[at..at + prefix_bytes].copy_from_slice(&prefix);
            }
            cursors.push(at + prefix_bytes);
            at += size;
        }
        for cells in cells {
            cells.write(start..end, &mut out, &mut cursors);
        }
        blocks.push(Bytes::from(out));
        start = end;
    }
    blocks
}

/// Where the block that begins at row `start` ends, and its bytes. At least one row.
fn block(sizes: &[usize], start: usize) -> (usize, usize) {
    let mut bytes = sizes[start];
    let mut end = start + 1;
    while end < sizes.len() && bytes + sizes[end] <= BLOCK_BYTES {
        bytes += sizes[end];
        end += 1;
    }
    (end, bytes)
}
