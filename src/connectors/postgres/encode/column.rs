//! One column of a batch into binary cells: by the target's layout and the array's Arrow type.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray as _, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt32Type,
};

use super::cells::{Cells, Encoded, fixed, variable};
use super::check::{self, Check};
use super::{Column, EPOCH_DAYS, EPOCH_MICROS, Layout, Refusal, infinite, list, numeric};

type Prepared = Result<Box<dyn Cells>, Refusal>;

/// Binary cells of `array` for `column`.
pub(super) fn prepare(column: &Column, array: &ArrayRef) -> Prepared {
    if !column.wire {
        return value(&column.layout, column.check, array);
    }
    let array = infinite::counted(array)?;
    match array.data_type() {
        DataType::Int32 => Ok(primitive::<Int32Type, _, 4>(&array, i32::to_be_bytes)),
        DataType::Int64 => {
            check::steps(array.as_primitive::<Int64Type>(), column.check)?;
            Ok(primitive::<Int64Type, _, 8>(&array, i64::to_be_bytes))
        }
        _ => {
            check::wires(&array, column.check)?;
            bytes(&array, &[])
        }
    }
}

/// Binary cells of `array` in `layout`.
pub(super) fn value(layout: &Layout, check: Check, array: &ArrayRef) -> Prepared {
    let nulls = array.nulls();
    match (layout, array.data_type()) {
        (_, DataType::Null) => Ok(fixed(Some(&NullBuffer::new_null(array.len())), |_| [])),
        (Layout::Bool, DataType::Boolean) => {
            let values = array.as_boolean().values().clone();
            Ok(fixed(nulls, move |row| [u8::from(values.value(row))]))
        }
        (Layout::Int2, DataType::Int16) => Ok(primitive::<Int16Type, _, 2>(array, i16::to_be_bytes)),
        (Layout::Int4, DataType::Int32) => Ok(primitive::<Int32Type, _, 4>(array, i32::to_be_bytes)),
        (Layout::Int8, DataType::Int64) => Ok(primitive::<Int64Type, _, 8>(array, i64::to_be_bytes)),
        (Layout::Oid, DataType::UInt32) => Ok(primitive::<UInt32Type, _, 4>(array, u32::to_be_bytes)),
        (Layout::Float4, DataType::Float32) => Ok(primitive::<Float32Type, _, 4>(array, f32::to_be_bytes)),
        (Layout::Float8, DataType::Float64) => Ok(primitive::<Float64Type, _, 8>(array, f64::to_be_bytes)),
        (Layout::Numeric, _) => number(check, array),
        (Layout::Text, _) => {
            texts(check, array)?;
            bytes(array, &[])
        }
        (Layout::Jsonb, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => bytes(array, &[1]),
        (Layout::Bytea, _) | (Layout::Uuid, DataType::FixedSizeBinary(16)) => bytes(array, &[]),
        (Layout::Uuid, _) => uuid_text(array),
        (Layout::Date, DataType::Date32) => date(array.as_primitive()),
        (Layout::Time, DataType::Time64(TimeUnit::Microsecond)) => {
            check::steps(array.as_primitive::<Time64MicrosecondType>(), check)?;
            Ok(primitive::<Time64MicrosecondType, _, 8>(array, i64::to_be_bytes))
        }
        (Layout::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, _)) => timestamp(array.as_primitive(), check),
        (Layout::Interval, DataType::Interval(IntervalUnit::MonthDayNano)) => interval(array.as_primitive(), check),
        (Layout::Array { oid, element }, DataType::List(_)) => list::prepare(*oid, element, check, array.as_list()),
        (_, other) => Err(unfit(other)),
    }
}

fn unfit(data_type: &DataType) -> Refusal {
    Refusal::new(0, format!("values of the Arrow type {data_type} cannot be encoded for this column"))
}

fn primitive<T, F, const N: usize>(array: &ArrayRef, to_bytes: F) -> Box<dyn Cells>
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native) -> [u8; N] + Send + Sync + 'static,
{
    let values = array.as_primitive::<T>().values().clone();
    fixed(array.nulls(), move |row| to_bytes(values[row]))
}

fn bytes(array: &ArrayRef, prefix: &'static [u8]) -> Prepared {
    let nulls = array.nulls();
    refuse_giants(array)?;
    Ok(match array.data_type() {
        DataType::Utf8 => variable(nulls, prefix, array.as_string::<i32>().clone()),
        DataType::LargeUtf8 => variable(nulls, prefix, array.as_string::<i64>().clone()),
        DataType::Utf8View => variable(nulls, prefix, array.as_string_view().clone()),
        DataType::Binary => variable(nulls, prefix, array.as_binary::<i32>().clone()),
        DataType::LargeBinary => variable(nulls, prefix, array.as_binary::<i64>().clone()),
        DataType::BinaryView => variable(nulls, prefix, array.as_binary_view().clone()),
        DataType::FixedSizeBinary(_) => variable(nulls, prefix, array.as_fixed_size_binary().clone()),
        other => return Err(unfit(other)),
    })
}

/// Refuses values whose length has no place before them in the COPY; the server takes no more than half of that.
fn refuse_giants(array: &ArrayRef) -> Result<(), Refusal> {
    const MOST: usize = 1 << 30;
    let why =
        |length: usize| (length > MOST).then(|| "the value is longer than the 1 GB that a field holds".to_owned());
    match array.data_type() {
        DataType::LargeUtf8 if array.as_string::<i64>().value_data().len() > MOST => {
            check::rows(array, |row| why(array.as_string::<i64>().value(row).len()))
        }
        DataType::LargeBinary if array.as_binary::<i64>().value_data().len() > MOST => {
            check::rows(array, |row| why(array.as_binary::<i64>().value(row).len()))
        }
        // The first four bytes of a view are its length.
        DataType::Utf8View => check::rows(array, |row| why(array.as_string_view().views()[row] as u32 as usize)),
        DataType::BinaryView => check::rows(array, |row| why(array.as_binary_view().views()[row] as u32 as usize)),
        _ => Ok(()),
    }
}

/// Calls `each` with the text of every row that is not NULL.
pub(super) fn each_text<F>(array: &ArrayRef, each: F) -> Result<(), Refusal>
where
    F: FnMut(usize, &str) -> Result<(), Refusal>,
{
    fn over<'a, F>(texts: impl Iterator<Item = Option<&'a str>>, mut each: F) -> Result<(), Refusal>
    where
        F: FnMut(usize, &str) -> Result<(), Refusal>,
    {
        for (row, text) in texts.enumerate() {
            if let Some(text) = text {
                each(row, text)?;
            }
        }
        Ok(())
    }
    match array.data_type() {
        DataType::Utf8 => over(array.as_string::<i32>().iter(), each),
        DataType::LargeUtf8 => over(array.as_string::<i64>().iter(), each),
        DataType::Utf8View => over(array.as_string_view().iter(), each),
        other => Err(unfit(other)),
    }
}

fn texts(check: Check, array: &ArrayRef) -> Result<(), Refusal> {
    let why = |text: &str| match check {
        Check::Characters(most) => check::characters(text, most),
        Check::Bytes(most) => check::bytes(text.len(), most),
        _ => None,
    };
    if check == Check::None {
        return Ok(());
    }
    each_text(array, |row, text| why(text).map_or(Ok(()), |message| Err(Refusal::new(row, message))))
}

fn uuid_text(array: &ArrayRef) -> Prepared {
    let mut values = vec![[0; 16]; array.len()];
    each_text(array, |row, text| match uuid::Uuid::try_parse(text.trim_ascii()) {
        Ok(uuid) => {
            values[row] = uuid.into_bytes();
            Ok(())
        }
        Err(_) => Err(Refusal::new(row, "the text is not a UUID")),
    })?;
    Ok(fixed(array.nulls(), move |row| values[row]))
}

fn date(array: &PrimitiveArray<Date32Type>) -> Prepared {
    let values = array.values().clone();
    // The smallest number would read as -infinity on the server.
    check::rows(array, |row| {
        let fits = values[row].checked_sub(EPOCH_DAYS).is_some_and(|days| days != i32::MIN);
        (!fits).then(|| "the date is before the earliest that the server knows".to_owned())
    })?;
    Ok(fixed(array.nulls(), move |row| values[row].wrapping_sub(EPOCH_DAYS).to_be_bytes()))
}

fn timestamp(array: &PrimitiveArray<TimestampMicrosecondType>, check: Check) -> Prepared {
    let values = array.values().clone();
    check::rows(array, |row| {
        let fits = values[row].checked_sub(EPOCH_MICROS).is_some_and(|micros| micros != i64::MIN);
        (!fits).then(|| "the time is before the earliest that the server knows".to_owned())
    })?;
    check::steps(array, check)?;
    Ok(fixed(array.nulls(), move |row| values[row].wrapping_sub(EPOCH_MICROS).to_be_bytes()))
}

fn interval(array: &PrimitiveArray<IntervalMonthDayNanoType>, check: Check) -> Prepared {
    let values = array.values().clone();
    check::rows(array, |row| {
        let value = values[row];
        if value.nanoseconds % 1000 != 0 {
            return Some("the interval is finer than a microsecond".to_owned());
        }
        check::interval(check, (value.months, value.days, value.nanoseconds / 1000))
    })?;
    Ok(fixed(array.nulls(), move |row| {
        let value = values[row];
        let mut cell = [0; 16];
        cell[..8].copy_from_slice(&(value.nanoseconds / 1000).to_be_bytes());
        cell[8..12].copy_from_slice(&value.days.to_be_bytes());
        cell[12..].copy_from_slice(&value.months.to_be_bytes());
        cell
    }))
}

/// Any number that Arrow holds, or text, as numeric.
fn number(check: Check, array: &ArrayRef) -> Prepared {
    let mut out = Encoded::with_capacity(array.len(), 16);
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<Decimal128Type>().values().clone();
            each_number(array, &mut out, |row, out| numeric::put_i128(values[row], *scale, out));
        }
        DataType::Decimal256(_, scale) => {
            let values = array.as_primitive::<Decimal256Type>().values().clone();
            each_number(array, &mut out, |row, out| numeric::put_i256(values[row], *scale, out));
        }
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>().values().clone();
            each_number(array, &mut out, |row, out| numeric::put_i128(values[row].into(), 0, out));
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values().clone();
            let mut text = String::new();
            each_number(array, &mut out, |row, out| put_float(values[row], &mut text, out));
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values().clone();
            let mut text = String::new();
            each_number(array, &mut out, |row, out| put_float(values[row], &mut text, out));
        }
        _ => number_text(array, &mut out)?,
    }
    if check != Check::None {
        check::rows(array, |row| check::wire(check, super::cells::Slices::slice(&out, row)))?;
    }
    Ok(variable(array.nulls(), &[], out))
}

/// The shortest digits that read back as the same float; `text` is scratch.
fn put_float(value: impl std::fmt::LowerExp, text: &mut String, out: &mut Vec<u8>) {
    text.clear();
    let put = write!(text, "{value:e}").is_ok() && numeric::put_text(text, out);
    debug_assert!(put, "every float is a number that the server knows");
}

fn each_number(array: &ArrayRef, out: &mut Encoded, mut put: impl FnMut(usize, &mut Vec<u8>)) {
    for row in 0..array.len() {
        if array.is_valid(row) {
            put(row, &mut out.bytes);
        }
        out.end();
    }
}

fn number_text(array: &ArrayRef, out: &mut Encoded) -> Result<(), Refusal> {
    each_text(array, |row, text| {
        out.ends.resize(row, out.bytes.len());
        if !numeric::put_text(text, &mut out.bytes) {
            return Err(Refusal::new(row, "the text is not a number that the server knows"));
        }
        out.end();
        Ok(())
    })?;
    out.ends.resize(array.len(), out.bytes.len());
    Ok(())
}
