//! Columns of databases that speak Arrow and mean other types by it. A value that one side has no place for is told by its row, and
//! never changed; rows with one are left out of a batch where the job says so.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Decimal256Array, FixedSizeBinaryArray, FixedSizeListArray, ListArray,
    MapArray, PrimitiveArray, RecordBatch, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal256Type, i256};
use arrow::error::ArrowError;

use crate::error::{Error, ErrorKind, Result};
use crate::reject::{Refusal, Refusals};

mod plain;
mod sift;

pub use plain::{decimal_digits, huge, integer, integer_of};
pub use sift::{Decoder, sift};

/// What does not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// A row with a value that does not fit, from 0; none where it is the column itself, whatever its rows hold.
    pub row: Option<usize>,
    /// Why, without the value.
    pub why: String,
}

/// A column, else what does not fit.
pub type Fit = Result<ArrayRef, Misfit>;

/// A batch as it is sent, else what does not fit and in which column.
pub type Sent = Result<RecordBatch, (Misfit, String)>;

impl Misfit {
    /// The value in `row` does not fit.
    pub fn of_value(row: usize, why: impl Into<String>) -> Self {
        Self { row: Some(row), why: why.into() }
    }

    /// The column is none that could.
    pub fn of_column(why: impl Into<String>) -> Self {
        Self { row: None, why: why.into() }
    }

    /// The error of `column`, which cannot be read; `before` rows came before it.
    pub fn unread(self, column: &str, before: u64) -> Error {
        match self.row {
            Some(row) => Error::new(ErrorKind::Value, self.why).at("column", column).at("row", before + row as u64 + 1),
            None => Error::new(ErrorKind::Schema, self.why).at("column", column),
        }
    }

    /// The error of a row that the target refuses for its value of `column`; of a column that is not as agreed where no row is named.
    fn refusal(self, column: &str) -> Error {
        if self.row.is_none() {
            return Error::new(ErrorKind::Internal, self.why).at("column", column);
        }
        let kind = if self.why.contains("NULL") { ErrorKind::Constraint } else { ErrorKind::Value };
        Error::new(kind, format!("the target refuses a row: {}", self.why)).at("column", column)
    }

    /// The same of elements, of which `row` gives the row that they are in.
    fn of_elements(self, row: impl FnOnce(usize) -> usize) -> Self {
        Self { row: self.row.map(row), ..self }
    }
}

/// `array`, if all its values are `fit`; `why` is said of another one, `odd` of a column that is no `T`.
pub fn kept<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    fit: impl Fn(T::Native) -> bool,
    why: &str,
    odd: impl Fn(&ArrayRef) -> Misfit,
) -> Fit {
    let typed: &PrimitiveArray<T> = array.as_primitive_opt::<T>().ok_or_else(|| odd(array))?;
    // Most batches are whole: that takes one pass without branches.
    if typed.values().iter().all(|value| fit(*value)) {
        return Ok(Arc::clone(array));
    }
    match (0..typed.len()).find(|row| typed.is_valid(*row) && !fit(typed.value(*row))) {
        None => Ok(Arc::clone(array)),
        Some(row) => Err(Misfit::of_value(row, why)),
    }
}

/// As [`kept`], of texts; `why` is said of the text: `is no address`.
pub fn kept_texts(array: &ArrayRef, fit: impl Fn(&str) -> bool, why: &str, odd: impl Fn(&ArrayRef) -> Misfit) -> Fit {
    let texts = array.as_string_opt::<i32>().ok_or_else(|| odd(array))?;
    match (0..texts.len()).find(|row| texts.is_valid(*row) && !fit(texts.value(*row))) {
        None => Ok(Arc::clone(array)),
        Some(row) => Err(Misfit::of_value(row, format!("the text {why}"))),
    }
}

/// Values of `N` bytes for the rows of `array`; `why` is said where `of` has none.
pub fn bytes<const N: usize>(array: &ArrayRef, why: &str, of: impl Fn(usize) -> Option<[u8; N]>) -> Fit {
    let mut bytes = vec![0; array.len() * N];
    for (row, place) in bytes.chunks_exact_mut(N).enumerate().filter(|(row, _)| array.is_valid(*row)) {
        place.copy_from_slice(&of(row).ok_or_else(|| Misfit::of_value(row, why))?);
    }
    let array = FixedSizeBinaryArray::try_new(N as i32, bytes.into(), array.nulls().cloned());
    Ok(Arc::new(array.expect("every value has as many bytes")))
}

/// Decimals without fraction as integers of 128 bits: sixteen bytes each, the lowest first.
pub fn huge_bytes(array: &ArrayRef, signed: bool, odd: impl Fn(&ArrayRef) -> Misfit) -> Fit {
    let values = array.as_primitive_opt::<Decimal256Type>().ok_or_else(|| odd(array))?;
    bytes::<16>(array, "the number has more than 128 bits", |row| {
        if signed {
            return values.value(row).to_i128().map(i128::to_le_bytes);
        }
        let (low, high) = values.value(row).to_parts();
        (high == 0).then(|| low.to_le_bytes())
    })
}

/// Integers of 128 bits, sixteen bytes each, the lowest first, as decimals of 39 digits.
pub fn huge_decimals(bytes: &FixedSizeBinaryArray, signed: bool) -> ArrayRef {
    let value = |row: usize| {
        let mut value = [0; 16];
        value.copy_from_slice(bytes.value(row));
        if signed {
            i256::from_i128(i128::from_le_bytes(value))
        } else {
            i256::from_parts(u128::from_le_bytes(value), 0)
        }
    };
    let values: Vec<i256> =
        (0..bytes.len()).map(|row| if bytes.is_null(row) { i256::ZERO } else { value(row) }).collect();
    let array = Decimal256Array::new(values.into(), bytes.nulls().cloned());
    Arc::new(array.with_precision_and_scale(39, 0).expect("39 digits are allowed"))
}

/// `array`, a list, struct or map, as the one that is `wanted`; `child` makes the inner column of that place, `odd` is said of
/// what is no such array.
pub fn nested(
    array: &ArrayRef,
    wanted: &DataType,
    child: impl Fn(usize, &ArrayRef) -> Fit,
    odd: impl Fn(&ArrayRef) -> Misfit,
) -> Fit {
    let odd = || odd(array);
    match wanted {
        DataType::List(field) => {
            let lists = array.as_list_opt::<i32>().ok_or_else(odd)?;
            let span = Span::of(lists.offsets());
            let values = span.of_values(0, lists.values(), &child)?;
            made(ListArray::try_new(Arc::clone(field), span.offsets, values, lists.nulls().cloned()), odd)
        }
        DataType::FixedSizeList(field, count) => {
            let lists = array.as_fixed_size_list_opt().ok_or_else(odd)?;
            let width = usize::try_from(*count).unwrap_or(1).max(1);
            let values = child(0, lists.values()).map_err(|misfit| misfit.of_elements(|element| element / width))?;
            made(FixedSizeListArray::try_new(Arc::clone(field), *count, values, lists.nulls().cloned()), odd)
        }
        DataType::Struct(fields) => {
            let structs = array.as_struct_opt().filter(|structs| structs.num_columns() == fields.len());
            let structs = structs.ok_or_else(odd)?;
            let columns = structs.columns().iter().enumerate().map(|(place, column)| child(place, column));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            made(StructArray::try_new(fields.clone(), columns, structs.nulls().cloned()), odd)
        }
        DataType::Map(field, _) => {
            let maps = array.as_map_opt().ok_or_else(odd)?;
            let span = Span::of(maps.offsets());
            let columns = vec![span.of_values(0, maps.keys(), &child)?, span.of_values(1, maps.values(), &child)?];
            let DataType::Struct(fields) = field.data_type() else { return Err(odd()) };
            let entries = StructArray::try_new(fields.clone(), columns, None).map_err(|_| odd())?;
            let nulls = maps.nulls().cloned();
            made(MapArray::try_new(Arc::clone(field), span.offsets, entries, nulls, false), odd)
        }
        _ => Err(odd()),
    }
}

/// Which elements the lists of a column have. A slice of lists shares the elements of all others, and they may not fit.
struct Span {
    first: usize,
    count: usize,
    /// The offsets, counted from the first of them on.
    offsets: OffsetBuffer<i32>,
}

impl Span {
    fn of(offsets: &OffsetBuffer<i32>) -> Self {
        let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
        let offsets = match first {
            0 => offsets.clone(),
            _ => OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect()),
        };
        Self { first: first as usize, count: (last - first) as usize, offsets }
    }

    /// The elements in `values`, as `child` makes them.
    fn of_values(&self, place: usize, values: &ArrayRef, child: impl Fn(usize, &ArrayRef) -> Fit) -> Fit {
        let values = values.slice(self.first, self.count);
        let row = |element: usize| {
            let is_before = |offset: &i32| usize::try_from(*offset).is_ok_and(|offset| offset <= element);
            self.offsets.partition_point(is_before).saturating_sub(1)
        };
        child(place, &values).map_err(|misfit| misfit.of_elements(row))
    }
}

fn made<A: Array + 'static>(made: Result<A, ArrowError>, odd: impl Fn() -> Misfit) -> Fit {
    made.map(|made| Arc::new(made) as ArrayRef).map_err(|_| odd())
}

/// `batch` as `send` makes it, and the rows that do not fit, where such rows are left out. The attempt had `before` rows before
/// them.
///
/// # Errors
/// [`Value`](ErrorKind::Value) and [`Constraint`](ErrorKind::Constraint) for the first that does not fit, where none is left out.
pub fn fitting(
    batch: &RecordBatch,
    before: u64,
    refusals: Refusals,
    send: impl Fn(&RecordBatch) -> Sent,
) -> Result<(RecordBatch, Vec<Refusal>)> {
    match send(batch) {
        Ok(sent) => Ok((sent, Vec::new())),
        Err((misfit, column)) if refusals == Refusals::Fail || misfit.row.is_none() => {
            let row = misfit.row.map(|row| before + row as u64 + 1);
            let error = misfit.refusal(&column);
            Err(row.into_iter().fold(error, |error, row| error.at("row", row)))
        }
        Err(_) => {
            let mut sieve = Sieve { send, fit: vec![true; batch.num_rows()], refused: Vec::new() };
            sieve.judge(batch, 0);
            for refusal in &mut sieve.refused {
                refusal.row += before;
            }
            let fitting = filter_record_batch(batch, &BooleanArray::from(sieve.fit))?;
            let sent = (sieve.send)(&fitting).map_err(|(misfit, column)| misfit.refusal(&column))?;
            Ok((sent, sieve.refused))
        }
    }
}

/// What looks for rows that do not fit.
struct Sieve<F> {
    send: F,
    fit: Vec<bool>,
    refused: Vec<Refusal>,
}

impl<F: Fn(&RecordBatch) -> Sent> Sieve<F> {
    /// Finds all rows of `batch` that do not fit, by halves; `from` is the place of its first row.
    fn judge(&mut self, batch: &RecordBatch, from: usize) {
        let Err((misfit, column)) = (self.send)(batch) else { return };
        let count = batch.num_rows();
        if count <= 1 {
            self.fit[from] = false;
            self.refused.push(Refusal { row: from as u64, error: misfit.refusal(&column) });
            return;
        }
        let half = count / 2;
        self.judge(&batch.slice(0, half), from);
        self.judge(&batch.slice(half, count - half), from + half);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::Int64Type;

    use super::*;

    fn odd(_: &ArrayRef) -> Misfit {
        Misfit::of_column("odd")
    }

    fn small(array: &ArrayRef) -> Fit {
        kept::<Int64Type>(array, |value| value < 10, "it is large", odd)
    }

    #[test]
    fn rows_that_do_not_fit_are_found_by_halves() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(10), None, Some(3), Some(11)]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let send = |batch: &RecordBatch| match small(batch.column(0)) {
            Ok(_) => Ok(batch.clone()),
            Err(misfit) => Err((misfit, "n".to_owned())),
        };
        let (sent, refused) = fitting(&batch, 100, Refusals::LeftOut, send).unwrap();
        assert_eq!(refused.iter().map(|refusal| refusal.row).collect::<Vec<_>>(), [101, 104]);
        assert_eq!(sent.column(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(1), None, Some(3)]));
        let error = fitting(&batch, 100, Refusals::Fail, send).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Value, "the target refuses a row: it is large"));
        assert!(error.to_string().contains("row 102"), "{error}");
    }

    #[test]
    fn elements_are_told_by_the_row_of_their_list() {
        let lists = [Some(vec![Some(1)]), None, Some(vec![Some(2), Some(10)])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let within = |array: &ArrayRef| nested(array, lists.data_type(), |_, items| small(items), odd);
        assert_eq!(within(&lists).unwrap_err(), Misfit::of_value(2, "it is large"));
        let (before, after) = (lists.slice(0, 2), lists.slice(2, 1));
        assert_eq!(&within(&before).unwrap(), &before);
        assert_eq!(within(&after).unwrap_err().row, Some(0));
        let other = nested(&lists, &DataType::Int64, |_, items| small(items), odd);
        assert_eq!(other.unwrap_err(), odd(&lists));
    }
}
