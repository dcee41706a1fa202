//! Dates and times, by how the server counts them and how Arrow does.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, Int32Array, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use tiberius::ColumnData;
use tiberius::time::{Date, DateTime, DateTime2, SmallDateTime, Time};

use super::super::typemap::EPOCH_FROM_ONE;
use super::Fault;
use crate::formats::value::time::{DAY_SECONDS, per_second, print_date, print_time};

/// Days from 1900-01-01 to 1970-01-01.
const EPOCH_FROM_1900: i64 = 25_567;

/// What is told of a value that was refused; none of one that is too long.
pub(super) fn told(value: &ColumnData<'static>) -> Option<String> {
    let (moment, zone) = match value {
        ColumnData::DateTime2(moment) => ((*moment)?, ""),
        ColumnData::DateTimeOffset(moment) => ((*moment)?.datetime2(), "+00:00"),
        _ => return None,
    };
    let mut text = Vec::new();
    print_date(days(moment.date()), &mut text);
    text.push(b' ');
    print_time(of_day(moment.time(), TimeUnit::Nanosecond), TimeUnit::Nanosecond, &mut text);
    text.extend_from_slice(zone.as_bytes());
    String::from_utf8(text).ok()
}

/// A value of 32 bits that counts days or a time of day.
pub(super) fn short(data_type: &DataType, value: &ColumnData<'static>) -> Result<Option<i32>, Fault> {
    let counted = match (data_type, value) {
        (DataType::Date32, ColumnData::Date(value)) => value.map(days),
        (DataType::Time32(unit), ColumnData::Time(value)) => value.map(|time| of_day(time, *unit)),
        _ => return Err(Fault::OtherType),
    };
    counted.map(|count| i32::try_from(count).map_err(|_| Fault::OtherType)).transpose()
}

/// A value of 64 bits that counts a time of day, or from the beginning of 1970.
pub(super) fn long(data_type: &DataType, value: &ColumnData<'static>) -> Result<Option<i64>, Fault> {
    match (data_type, value) {
        (DataType::Time64(unit), ColumnData::Time(value)) => Ok(value.map(|time| of_day(time, *unit))),
        (DataType::Timestamp(TimeUnit::Second, None), ColumnData::SmallDateTime(value)) => Ok(value.map(minutes)),
        // As tiberius tells a NULL of a row that lists its NULLs.
        (DataType::Timestamp(TimeUnit::Second, None), ColumnData::DateTime(None)) => Ok(None),
        (DataType::Timestamp(TimeUnit::Millisecond, None), ColumnData::DateTime(value)) => Ok(value.map(millis)),
        (DataType::Timestamp(unit, None), ColumnData::DateTime2(value)) => {
            value.map(|value| instant(value, *unit)).transpose()
        }
        // Its clock shows UTC on the wire; the offset beside it is how it was once written.
        (DataType::Timestamp(unit, Some(_)), ColumnData::DateTimeOffset(value)) => {
            value.map(|value| instant(value.datetime2(), *unit)).transpose()
        }
        _ => Err(Fault::OtherType),
    }
}

fn days(date: Date) -> i64 {
    i64::from(date.days()) - EPOCH_FROM_ONE
}

fn minutes(value: SmallDateTime) -> i64 {
    (i64::from(value.days()) - EPOCH_FROM_1900) * DAY_SECONDS + i64::from(value.seconds_fragments()) * 60
}

/// The nearest millisecond, as the server itself prints a `datetime`.
fn millis(value: DateTime) -> i64 {
    let fraction = (i64::from(value.seconds_fragments()) * 10 + 1) / 3;
    (i64::from(value.days()) - EPOCH_FROM_1900) * DAY_SECONDS * 1000 + fraction
}

/// A time of day; `unit` is no coarser than its digits.
fn of_day(time: Time, unit: TimeUnit) -> i64 {
    let more = per_second(unit).ilog10().saturating_sub(u32::from(time.scale()));
    (time.increments() as i64).saturating_mul(10_i64.pow(more))
}

fn instant(value: DateTime2, unit: TimeUnit) -> Result<i64, Fault> {
    let day = DAY_SECONDS * per_second(unit);
    let whole = i128::from(days(value.date())) * i128::from(day) + i128::from(of_day(value.time(), unit));
    i64::try_from(whole).map_err(|_| Fault::Range)
}

pub(super) fn short_array(counted: &Int32Array, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Time32(TimeUnit::Second) => alike::<Int32Type, Time32SecondType>(counted, data_type),
        DataType::Time32(_) => alike::<Int32Type, Time32MillisecondType>(counted, data_type),
        _ => alike::<Int32Type, Date32Type>(counted, data_type),
    }
}

pub(super) fn long_array(counted: &Int64Array, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Time64(TimeUnit::Microsecond) => alike::<Int64Type, Time64MicrosecondType>(counted, data_type),
        DataType::Time64(_) => alike::<Int64Type, Time64NanosecondType>(counted, data_type),
        DataType::Timestamp(TimeUnit::Second, _) => alike::<Int64Type, TimestampSecondType>(counted, data_type),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            alike::<Int64Type, TimestampMillisecondType>(counted, data_type)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            alike::<Int64Type, TimestampMicrosecondType>(counted, data_type)
        }
        _ => alike::<Int64Type, TimestampNanosecondType>(counted, data_type),
    }
}

/// The same numbers as an array of `data_type`, which is one of `T`.
fn alike<N, T>(counted: &PrimitiveArray<N>, data_type: &DataType) -> ArrayRef
where
    N: ArrowPrimitiveType,
    T: ArrowPrimitiveType<Native = N::Native>,
{
    Arc::new(counted.reinterpret_cast::<T>().with_data_type(data_type.clone()))
}
