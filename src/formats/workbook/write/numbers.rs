//! Columns whose cells are numbers, checked: what a number would change is refused.

use arrow::array::{Array, ArrowPrimitiveType, AsArray as _};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Field, Float32Type, Float64Type, Int64Type, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};

use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::number::{self, Number};
use crate::formats::value::print;
use crate::formats::workbook::WHOLE;
use crate::formats::workbook::serial::{self, DAY_MICROS};

/// Digits that every double keeps.
const DIGITS: usize = 15;

const DAY_MILLIS: i64 = DAY_MICROS / 1000;

/// How numbers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Date,
    Moment,
    Time,
    Duration,
}

/// The numbers of a column.
pub(super) struct Numbers {
    pub(super) look: Look,
    pub(super) values: Vec<f64>,
    pub(super) nulls: Option<NullBuffer>,
}

/// Why a value cannot be a number.
struct Refused {
    row: usize,
    why: &'static str,
}

const LONG_WHOLE: &str = "the number is beyond 9007199254740992, from where on a cell does not hold all whole numbers";
const LONG_DECIMAL: &str = "the number has more than the 15 digits that a cell holds";
const NO_NUMBER: &str = "the value is NaN or infinite, which a cell does not hold";
const NO_DAY: &str = "the date is not within 1900-03-01 and 9999-12-31, the days that a workbook has";
const NO_MOMENT: &str =
    "the moment is not within 1900-03-01 and 9999-12-31, or has parts of a millisecond, which a cell does not hold";
const LONG_TIME: &str = "the time has parts of a millisecond, which a cell does not hold";

/// The numbers of `array`; none for types that are no numbers in a sheet. `before` are the rows of earlier batches.
///
/// # Errors
/// [`Value`](ErrorKind::Value) for the first value that a cell would change.
pub(super) fn of(array: &dyn Array, field: &Field, before: u64) -> Result<Option<Numbers>> {
    let data_type = field.data_type();
    let look = match data_type {
        other if other.is_integer() || other.is_floating() || other.is_decimal() => Look::Plain,
        DataType::Date32 | DataType::Date64 => Look::Date,
        DataType::Timestamp(_, None) => Look::Moment,
        DataType::Time32(_) | DataType::Time64(_) => Look::Time,
        DataType::Duration(_) => Look::Duration,
        _ => return Ok(None),
    };
    let values = match look {
        Look::Plain if data_type.is_integer() => integers(array)?,
        Look::Plain if *data_type == DataType::Float64 => values::<Float64Type>(array, NO_NUMBER, finite),
        Look::Plain if *data_type == DataType::Float16 => {
            let wider = cast(array, &DataType::Float64)?;
            values::<Float64Type>(&wider, NO_NUMBER, finite)
        }
        Look::Plain => printed(array, field),
        _ => times(array, data_type)?,
    };
    let values = values.map_err(|Refused { row, why }| {
        Error::new(ErrorKind::Value, why).with_hint(remedy(look, field.name())).at("row", before + row as u64 + 1)
    })?;
    Ok(Some(Numbers { look, values, nulls: array.logical_nulls() }))
}

fn remedy(look: Look, name: &str) -> String {
    let text = format!("write the column as text with --cast {name}:text");
    match look {
        Look::Moment => format!("{text}, or shorten it with --set \"{name}=date_trunc('millisecond', {name})\""),
        _ => text,
    }
}

type Found = Result<Vec<f64>, Refused>;

/// Every value by `number`; what stands below a NULL is not looked at.
fn values<T: ArrowPrimitiveType>(
    array: &dyn Array,
    why: &'static str,
    number: impl Fn(T::Native) -> Option<f64>,
) -> Found {
    let array = array.as_primitive::<T>();
    let mut numbers = Vec::with_capacity(array.len());
    for (row, value) in array.values().iter().enumerate() {
        match number(*value) {
            Some(number) => numbers.push(number),
            None if array.is_null(row) => numbers.push(0.0),
            None => return Err(Refused { row, why }),
        }
    }
    Ok(numbers)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn integers(array: &dyn Array) -> Result<Found> {
    if *array.data_type() == DataType::UInt64 {
        let held = |value: u64| (value <= WHOLE as u64).then_some(value as f64);
        return Ok(values::<UInt64Type>(array, LONG_WHOLE, held));
    }
    let wide = cast(array, &DataType::Int64)?;
    let held = |value: i64| (value.unsigned_abs() <= WHOLE as u64).then_some(value as f64);
    Ok(values::<Int64Type>(&wide, LONG_WHOLE, held))
}

/// Decimals, and floats of single precision: the double with their digits.
fn printed(array: &dyn Array, field: &Field) -> Found {
    let why = if *field.data_type() == DataType::Float32 { NO_NUMBER } else { LONG_DECIMAL };
    let nan = |row: usize| {
        *field.data_type() == DataType::Float32 && !array.as_primitive::<Float32Type>().value(row).is_finite()
    };
    let mut numbers = vec![0.0; array.len()];
    let Some(column) = print::column(array, field) else { return Ok(numbers) };
    let mut text = Vec::new();
    for (row, number) in numbers.iter_mut().enumerate() {
        if column.is_null(row) {
            continue;
        }
        text.clear();
        (column.print)(row, &mut text);
        let short = Number::split(&text).is_some_and(|number| number.significant().count() <= DIGITS);
        match number::float::<f64>(&text).filter(|_| short && !nan(row)) {
            Some(value) => *number = value,
            None => return Err(Refused { row, why }),
        }
    }
    Ok(numbers)
}

fn times(array: &dyn Array, data_type: &DataType) -> Result<Found> {
    let day = |day: i64| serial::day(day).map(|day| day as f64);
    let moment = |micros: i64| {
        let day = serial::day(micros.div_euclid(DAY_MICROS))?;
        serial::exact(day * DAY_MICROS + micros.rem_euclid(DAY_MICROS))
    };
    let micros = |nanos: i64| (nanos % 1000 == 0).then_some(nanos / 1000);
    Ok(match data_type {
        DataType::Date32 => values::<Date32Type>(array, NO_DAY, |value| day(i64::from(value))),
        DataType::Date64 => {
            values::<Date64Type>(array, NO_DAY, |value| (value % DAY_MILLIS == 0).then(|| day(value / DAY_MILLIS))?)
        }
        DataType::Timestamp(TimeUnit::Second, None) => {
            values::<TimestampSecondType>(array, NO_MOMENT, |value| moment(value.checked_mul(1_000_000)?))
        }
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            values::<TimestampMillisecondType>(array, NO_MOMENT, |value| moment(value.checked_mul(1000)?))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            values::<TimestampMicrosecondType>(array, NO_MOMENT, moment)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            values::<TimestampNanosecondType>(array, NO_MOMENT, |value| moment(micros(value)?))
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            values::<DurationNanosecondType>(array, LONG_TIME, |value| serial::exact(micros(value)?))
        }
        DataType::Duration(TimeUnit::Second) => {
            values::<DurationSecondType>(array, LONG_TIME, |value| serial::exact(value.checked_mul(1_000_000)?))
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            values::<DurationMillisecondType>(array, LONG_TIME, |value| serial::exact(value.checked_mul(1000)?))
        }
        DataType::Duration(TimeUnit::Microsecond) => values::<DurationMicrosecondType>(array, LONG_TIME, serial::exact),
        _ => {
            let wide = cast(array, &DataType::Time64(TimeUnit::Nanosecond))?;
            values::<Time64NanosecondType>(&wide, LONG_TIME, |value| serial::exact(micros(value)?))
        }
    })
}
