//! Fields of rows where they lie in the bytes that a server sent, and Arrow columns of them.
//!
//! Rows are walked once, to note where each field lies; then column after column is filled by a typed loop. Nothing is
//! trusted: what does not fit is a [`Fault`], which becomes an error where the column's name is known.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::error::ErrorKind;

pub mod sift;

/// Spans for which a thread keeps the room.
const SPANS_KEPT: usize = 1 << 20;

/// Spans of a line of the processor's cache.
const LINE: usize = 64 / size_of::<Span>();

/// Where the bytes of one field lie; a negative length is NULL.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Offset of its first byte.
    pub start: u32,
    /// How many there are.
    pub length: i32,
}

impl Span {
    /// No value.
    pub const NULL: Self = Self { start: 0, length: -1 };
}

/// Why a text is refused.
const NOT_UTF8: &str = "the text is not valid UTF-8, which the server did not check";

/// Rows, and where the fields of their columns lie.
#[derive(Debug)]
pub struct Indexed<'a> {
    bytes: &'a [u8],
    rows: usize,
    /// Column after column, each this far behind the one before.
    stride: usize,
    spans: Vec<Span>,
}

thread_local! {
    /// Room for the spans of the next rows: memory that was used is faster than new memory.
    static SPANS: Cell<Vec<Span>> = const { Cell::new(Vec::new()) };
}

impl<'a> Indexed<'a> {
    /// Room for `rows` rows of `columns` columns in `bytes`, which `fill` walks: it puts the span of each field, at
    /// `column * stride + row`, and gives none when the bytes are no such rows.
    pub fn new(
        bytes: &'a [u8],
        (rows, columns): (usize, usize),
        fill: impl FnOnce(&mut [Span], usize) -> Option<()>,
    ) -> Option<Self> {
        u32::try_from(bytes.len()).ok()?;
        // Columns that lie a power of two apart would share few lines of the cache.
        let stride = rows.next_multiple_of(LINE) + LINE;
        let wanted = stride.checked_mul(columns)?;
        let mut indexed = Self { bytes, rows, stride, spans: SPANS.take() };
        if indexed.spans.len() < wanted {
            indexed.spans.resize(wanted, Span::NULL);
        }
        fill(&mut indexed.spans, stride)?;
        Some(indexed)
    }

    /// The fields of the column at `position`.
    pub fn column(&self, position: usize) -> Fields<'_> {
        Fields::new(self.bytes, &self.spans[position * self.stride..][..self.rows])
    }
}

impl Drop for Indexed<'_> {
    fn drop(&mut self) {
        if self.spans.len() <= SPANS_KEPT {
            SPANS.set(std::mem::take(&mut self.spans));
        }
    }
}

/// The fields of one column, top to bottom.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// The bytes that they lie in.
    pub bytes: &'a [u8],
    /// Where each lies.
    pub spans: &'a [Span],
    nulls: usize,
}

impl<'a> Fields<'a> {
    /// The fields at `spans` of `bytes`.
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        let nulls = spans.iter().filter(|span| span.length < 0).count();
        Self { bytes, spans, nulls }
    }

    /// How many of them are NULL.
    pub fn null_count(&self) -> usize {
        self.nulls
    }

    /// The bytes at `span`; none for NULL, and where there are no such bytes.
    pub fn get(&self, span: Span) -> Option<&'a [u8]> {
        self.bytes.get(self.range(span)?)
    }

    /// Where those bytes lie.
    fn range(&self, span: Span) -> Option<Range<usize>> {
        let (start, length) = (span.start as usize, usize::try_from(span.length).ok()?);
        (start + length <= self.bytes.len()).then_some(start..start + length)
    }

    /// The bytes of each value; none for NULL.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> {
        self.spans.iter().map(move |span| self.get(*span))
    }

    /// Where the bytes of each value lie that is not NULL.
    pub fn ranges(self) -> impl Iterator<Item = Range<usize>> {
        self.spans.iter().filter_map(move |span| self.range(*span))
    }
}

/// What was wrong with which row of a column.
#[derive(Debug)]
pub struct Fault {
    /// From 0.
    pub row: usize,
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// A sentence.
    pub why: &'static str,
}

impl Fault {
    /// Bytes that are no value of the type.
    pub fn corrupt(row: usize) -> Self {
        Self { row, kind: ErrorKind::Corrupt, why: "the server sent a value whose length does not fit its type" }
    }

    /// A value that the Arrow type does not hold.
    pub fn value(row: usize, why: &'static str) -> Self {
        Self { row, kind: ErrorKind::Value, why }
    }
}

/// The null mask of a column; none when nothing is NULL.
pub fn nulls(fields: Fields<'_>) -> Option<NullBuffer> {
    if fields.nulls == 0 {
        return None;
    }
    let valid = BooleanBuffer::collect_bool(fields.spans.len(), |row| fields.spans[row].length >= 0);
    Some(NullBuffer::new(valid))
}

/// The column of values that `read` makes of fields of `WIDTH` bytes.
pub fn primitive<T: ArrowPrimitiveType, const WIDTH: usize>(
    fields: Fields<'_>,
    read: impl Fn([u8; WIDTH]) -> Result<T::Native, &'static str>,
) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(primitive_array::<T, WIDTH>(fields, read)?))
}

/// As [`primitive`].
pub fn primitive_array<T: ArrowPrimitiveType, const WIDTH: usize>(
    fields: Fields<'_>,
    read: impl Fn([u8; WIDTH]) -> Result<T::Native, &'static str>,
) -> Result<PrimitiveArray<T>, Fault> {
    let mut values = Vec::with_capacity(fields.spans.len());
    for (row, field) in fields.iter().enumerate() {
        let value = match field {
            Some(bytes) => {
                let bytes = <[u8; WIDTH]>::try_from(bytes).map_err(|_| Fault::corrupt(row))?;
                read(bytes).map_err(|why| Fault::value(row, why))?
            }
            None => T::Native::default(),
        };
        values.push(value);
    }
    Ok(PrimitiveArray::new(ScalarBuffer::from(values), nulls(fields)))
}

/// Fields of one byte: false where it is 0.
pub fn boolean(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    if let Some(row) = fields.iter().position(|field| field.is_some_and(|bytes| bytes.len() != 1)) {
        return Err(Fault::corrupt(row));
    }
    let is_true = |row: usize| fields.get(fields.spans[row]).is_some_and(|bytes| bytes != [0]);
    let values = BooleanBuffer::collect_bool(fields.spans.len(), is_true);
    Ok(Arc::new(BooleanArray::new(values, nulls(fields))))
}

/// Fields of 16 bytes.
pub fn fixed(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let mut values = MutableBuffer::with_capacity(fields.spans.len() * 16);
    for (row, field) in fields.iter().enumerate() {
        let bytes = field.unwrap_or(&[0; 16]);
        if bytes.len() != 16 {
            return Err(Fault::corrupt(row));
        }
        values.extend_from_slice(bytes);
    }
    Ok(Arc::new(FixedSizeBinaryArray::new(16, values.into(), nulls(fields))))
}

/// Offsets and bytes of a column of variable length, each value cut by `part`.
pub fn variable<'a>(
    fields: Fields<'a>,
    part: impl Fn(&'a [u8]) -> Option<&'a [u8]>,
) -> Result<(OffsetBuffer<i32>, Buffer), Fault> {
    let total: usize = fields.spans.iter().filter_map(|span| usize::try_from(span.length).ok()).sum();
    let mut values = MutableBuffer::with_capacity(total);
    let mut offsets = Vec::with_capacity(fields.spans.len() + 1);
    offsets.push(0);
    for (row, field) in fields.iter().enumerate() {
        if let Some(bytes) = field {
            values.extend_from_slice(part(bytes).ok_or_else(|| Fault::corrupt(row))?);
        }
        offsets.push(i32::try_from(values.len()).map_err(|_| too_long(row))?);
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), values.into()))
}

/// The fault of offsets that outgrow 32 bits.
pub fn too_long(row: usize) -> Fault {
    Fault { row, kind: ErrorKind::Resource, why: "a batch holds more than 2 GiB in one column" }
}

/// Text, validated once for the whole column.
pub fn strings(offsets: OffsetBuffer<i32>, values: Buffer, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let bounds = offsets.clone();
    let text = values.clone();
    if let Ok(array) = StringArray::try_new(offsets, values, nulls(fields)) {
        return Ok(Arc::new(array));
    }
    let valid = |pair: &[i32]| simdutf8::basic::from_utf8(&text[pair[0] as usize..pair[1] as usize]).is_ok();
    let row = bounds.windows(2).position(|pair| !valid(pair)).unwrap_or(0);
    Err(Fault::value(row, NOT_UTF8))
}

/// The fields as text.
pub fn text(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let (offsets, values) = variable(fields, Some)?;
    strings(offsets, values, fields)
}

/// The fields as they are.
pub fn binary(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let (offsets, values) = variable(fields, Some)?;
    Ok(Arc::new(BinaryArray::new(offsets, values, nulls(fields))))
}
