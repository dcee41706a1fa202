//! Cells: the values of one column of one batch, ready to be measured and written.
//!
//! Two kinds are enough: values of one width, and slices of bytes. What is neither is first encoded into slices.

use std::ops::Range;

use arrow::array::{FixedSizeBinaryArray, GenericByteArray, GenericByteViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ByteArrayType, ByteViewType};

/// The length that stands for NULL in binary COPY.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Dispatched once per column and block; the loops inside are typed.
pub(super) trait Cells: Send + Sync {
    /// Bytes of every cell, when all have the same.
    fn width(&self) -> Option<usize>;

    /// Adds the bytes of each cell of `rows` to `sizes`, which begins at `rows.start`.
    fn measure(&self, rows: Range<usize>, sizes: &mut [usize]);

    /// Writes each cell of `rows` into `out` at its cursor, which moves behind it; `cursors` begins at `rows.start`.
    fn write(&self, rows: Range<usize>, out: &mut [u8], cursors: &mut [usize]);
}

/// Values of `N` bytes, with their length before them.
struct Fixed<F, const N: usize> {
    nulls: Option<NullBuffer>,
    value: F,
}

/// Cells of `N` bytes; `value` is called for rows that are not NULL.
pub(super) fn fixed<const N: usize, F>(nulls: Option<&NullBuffer>, value: F) -> Box<dyn Cells>
where
    F: Fn(usize) -> [u8; N] + Send + Sync + 'static,
{
    Box::new(Fixed { nulls: nulls.filter(|nulls| nulls.null_count() > 0).cloned(), value })
}

impl<F, const N: usize> Cells for Fixed<F, N>
where
    F: Fn(usize) -> [u8; N] + Send + Sync,
{
    fn width(&self) -> Option<usize> {
        self.nulls.is_none().then_some(4 + N)
    }

    fn measure(&self, rows: Range<usize>, sizes: &mut [usize]) {
        for (row, size) in rows.zip(sizes) {
            *size += if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) { 4 } else { 4 + N };
        }
    }

    fn write(&self, rows: Range<usize>, out: &mut [u8], cursors: &mut [usize]) {
        let length = (N as i32).to_be_bytes();
        let put = |row: usize, cursor: &mut usize, out: &mut [u8]| {
            let cell = &mut out[*cursor..*cursor + 4 + N];
            cell[..4].copy_from_slice(&length);
            cell[4..].copy_from_slice(&(self.value)(row));
            *cursor += 4 + N;
        };
        let Some(nulls) = &self.nulls else {
            for (row, cursor) in rows.zip(cursors) {
                put(row, cursor, out);
            }
            return;
        };
        for (row, cursor) in rows.zip(cursors) {
            if nulls.is_valid(row) {
                put(row, cursor, out);
            } else {
                out[*cursor..*cursor + 4].copy_from_slice(&NULL);
                *cursor += 4;
            }
        }
    }
}

/// Rows of bytes.
pub(super) trait Slices: Send + Sync {
    /// The bytes of `row`.
    fn slice(&self, row: usize) -> &[u8];
}

impl<T: ByteArrayType> Slices for GenericByteArray<T> {
    fn slice(&self, row: usize) -> &[u8] {
        self.value(row).as_ref()
    }
}

impl<T: ByteViewType + ?Sized> Slices for GenericByteViewArray<T> {
    fn slice(&self, row: usize) -> &[u8] {
        self.value(row).as_ref()
    }
}

impl Slices for FixedSizeBinaryArray {
    fn slice(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

/// Values that were encoded one after the other.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// All values.
    pub(super) bytes: Vec<u8>,
    /// Where each ends.
    pub(super) ends: Vec<usize>,
}

impl Encoded {
    /// Room for `rows` values of about `width` bytes.
    pub(super) fn with_capacity(rows: usize, width: usize) -> Self {
        Self { bytes: Vec::with_capacity(rows * width), ends: Vec::with_capacity(rows) }
    }

    /// Ends the value that was appended to `bytes`.
    pub(super) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

impl Slices for Encoded {
    fn slice(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

/// Slices with their length, and a prefix that counts into it, before them.
struct Variable<S> {
    nulls: Option<NullBuffer>,
    prefix: &'static [u8],
    values: S,
}

/// Cells of `values`, each after `prefix`.
pub(super) fn variable<S>(nulls: Option<&NullBuffer>, prefix: &'static [u8], values: S) -> Box<dyn Cells>
where
    S: Slices + 'static,
{
    Box::new(Variable { nulls: nulls.filter(|nulls| nulls.null_count() > 0).cloned(), prefix, values })
}

impl<S: Slices> Cells for Variable<S> {
    fn width(&self) -> Option<usize> {
        None
    }

    fn measure(&self, rows: Range<usize>, sizes: &mut [usize]) {
        for (row, size) in rows.zip(sizes) {
            *size += 4;
            if !self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                *size += self.prefix.len() + self.values.slice(row).len();
            }
        }
    }

    fn write(&self, rows: Range<usize>, out: &mut [u8], cursors: &mut [usize]) {
        for (row, cursor) in rows.zip(cursors) {
            let mut at = *cursor;
            let mut put = |bytes: &[u8]| {
                out[at..at + bytes.len()].copy_from_slice(bytes);
                at += bytes.len();
            };
            if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                put(&NULL);
            } else {
                let value = self.values.slice(row);
                put(&((self.prefix.len() + value.len()) as i32).to_be_bytes());
                put(self.prefix);
                put(value);
            }
            *cursor = at;
        }
    }
}

/// Cells that are nothing but their bytes: no length before them.
struct Bare(Encoded);

/// Cells that are written exactly as they are.
pub(super) fn bare(values: Encoded) -> Box<dyn Cells> {
    Box::new(Bare(values))
}

impl Cells for Bare {
    fn width(&self) -> Option<usize> {
        None
    }

    fn measure(&self, rows: Range<usize>, sizes: &mut [usize]) {
        for (row, size) in rows.zip(sizes) {
            *size += self.0.slice(row).len();
        }
    }

    fn write(&self, rows: Range<usize>, out: &mut [u8], cursors: &mut [usize]) {
        for (row, cursor) in rows.zip(cursors) {
            let value = self.0.slice(row);
            out[*cursor..*cursor + value.len()].copy_from_slice(value);
            *cursor += value.len();
        }
    }
}
