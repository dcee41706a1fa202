//! Columns of moments as texts of a pattern.

use arrow::array::{Array, ArrowPrimitiveType, AsArray as _};
use arrow::datatypes::{
    DataType, Date32Type, Field, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::{DAY_NANOS, Pattern};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::print::{Column, Look};
use crate::formats::value::time::{NANOS, per_second};

/// The values of `field` in `array`, whose type the pattern handles.
///
/// # Errors
/// [`Value`](ErrorKind::Value) when there is one that the pattern has no place for.
pub(crate) fn column<'a>(array: &'a dyn Array, field: &Field, pattern: &'a Pattern) -> Result<Column<'a>> {
    columns(array, pattern).ok_or_else(|| {
        Error::new(ErrorKind::Value, "the date format has no place for all of a value")
            .with_hint("add digits of the second (S, %6f), or leave the date format out")
            .at("column", field.name())
    })
}

fn columns<'a>(array: &'a dyn Array, pattern: &'a Pattern) -> Option<Column<'a>> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match array.data_type() {
        DataType::Timestamp(Second, _) => stamps::<TimestampSecondType>(array, pattern, Second),
        DataType::Timestamp(Millisecond, _) => stamps::<TimestampMillisecondType>(array, pattern, Millisecond),
        DataType::Timestamp(Microsecond, _) => stamps::<TimestampMicrosecondType>(array, pattern, Microsecond),
        DataType::Timestamp(Nanosecond, _) => stamps::<TimestampNanosecondType>(array, pattern, Nanosecond),
        DataType::Time32(Second) => stamps::<Time32SecondType>(array, pattern, Second),
        DataType::Time32(_) => stamps::<Time32MillisecondType>(array, pattern, Millisecond),
        DataType::Time64(Nanosecond) => stamps::<Time64NanosecondType>(array, pattern, Nanosecond),
        DataType::Time64(_) => stamps::<Time64MicrosecondType>(array, pattern, Microsecond),
        _ => moments::<Date32Type>(array, pattern, |days| (i64::from(days), 0)),
    }
}

fn stamps<'a, T: ArrowPrimitiveType<Native: Into<i64>>>(
    array: &'a dyn Array,
    pattern: &'a Pattern,
    unit: TimeUnit,
) -> Option<Column<'a>> {
    let nanos_each = NANOS / per_second(unit);
    let per_day = DAY_NANOS as i64 / nanos_each;
    moments::<T>(array, pattern, move |value| {
        let value: i64 = value.into();
        (value.div_euclid(per_day), (value.rem_euclid(per_day) * nanos_each) as u64)
    })
}

/// `split` gives the day since 1970 and the nanoseconds of the day.
fn moments<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    pattern: &'a Pattern,
    split: impl Fn(T::Native) -> (i64, u64) + 'a,
) -> Option<Column<'a>> {
    let column = array.as_primitive::<T>();
    let values = column.values();
    let holds = |row: usize| {
        let (days, nanos) = split(values[row]);
        column.is_null(row) || pattern.holds(days, nanos)
    };
    if !(0..values.len()).all(holds) {
        return None;
    }
    let print = move |row: usize, out: &mut Vec<u8>| {
        let (days, nanos) = split(values[row]);
        pattern.print(days, nanos, out);
    };
    Some(Column { look: Look::Text, nulls: array.logical_nulls(), print: Box::new(print) })
}
