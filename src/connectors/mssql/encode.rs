//! Arrow columns as the values that the driver loads. What the server would round, cut or change without a word is refused here.

use std::borrow::Cow;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt8Array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
};
use tiberius::numeric::Numeric;
use tiberius::time::{Date, DateTime2, DateTimeOffset, Time};
use tiberius::{ColumnData, TokenRow};

use super::agree::Column;
use super::typemap::{EPOCH_FROM_ONE, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::time::per_second;

/// The last day that the server has, from 0001-01-01 on.
const LAST_DAY: i64 = 3_652_058;
/// Days from 0001-01-01 to 1753-01-01, 1900-01-01 and 2079-06-06.
const FIRST_OF_DATETIME: i64 = 639_905;
const FIRST_OF_SMALL: i64 = 693_595;
const LAST_OF_SMALL: i64 = 759_130;

/// Steps of 100 ns in a second and in a day.
const SECOND_STEPS: i64 = 10_000_000;
const DAY_STEPS: i64 = 86_400 * SECOND_STEPS;

/// Bytes of a text, in UTF-16, and of a value that the driver loads in bulk.
const BULK_BYTES: usize = 65_535;

const BEYOND: &str = "the day is beyond those that the column has";
const BETWEEN: &str = "the time lies between two steps that the column keeps";

/// The columns of a batch, ready to give values.
pub(super) struct Cells<'a> {
    columns: Vec<(Kind, Values<'a>)>,
    names: Vec<&'a str>,
}

/// One column. Times are numbers: they are counted in steps of their unit.
enum Values<'a> {
    Boolean(&'a BooleanArray),
    UInt8(&'a UInt8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Fixed(&'a FixedSizeBinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Counted(&'a dyn Array, Count),
}

/// How the numbers of a column of times are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Days,
    Clock(TimeUnit),
    Instant(TimeUnit),
}

/// How a row goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Bulk,
    /// By a statement of its own: the driver's bulk load takes no such long value.
    Alone,
}

impl<'a> Cells<'a> {
    /// Those of `batch`, whose columns go into `columns`, which hold `kinds`.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) for a column of another type than was agreed.
    pub(super) fn of(batch: &'a RecordBatch, (columns, kinds): (&'a [Column], &[Kind])) -> Result<Self> {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let values = |((array, kind), name): ((&'a ArrayRef, &Kind), &&str)| {
            let values = Values::of(array, *kind).ok_or_else(|| {
                Error::new(ErrorKind::Internal, "a column is not of the type that was agreed").at("column", name)
            })?;
            Ok((*kind, values))
        };
        let columns = batch.columns().iter().zip(kinds).zip(&names).map(values).collect::<Result<Vec<_>>>()?;
        Ok(Self { columns, names })
    }

    /// How the row goes in.
    pub(super) fn way(&self, row: usize) -> Way {
        if self.columns.iter().any(|(_, values)| values.is_long(row)) { Way::Alone } else { Way::Bulk }
    }

    /// The values of a row; `before` counts the rows of the same attempt that came before the batch.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) with column and row for a value that would be changed.
    pub(super) fn row(&self, row: usize, before: u64) -> Result<TokenRow<'a>> {
        let mut out = TokenRow::with_capacity(self.columns.len());
        for ((kind, values), name) in self.columns.iter().zip(&self.names) {
            let value = values.value(row, *kind).map_err(|why| {
                Error::new(ErrorKind::Value, why).at("column", name).at("row", before + row as u64 + 1)
            })?;
            out.push(value);
        }
        Ok(out)
    }

    /// The same as parameters of a statement. A decimal goes as its digits, which the server reads for its column.
    ///
    /// # Errors
    /// As [`Cells::row`].
    pub(super) fn parameters(&self, row: usize, before: u64) -> Result<Vec<ColumnData<'a>>> {
        let values = self.row(row, before)?;
        let printed = values.into_iter().map(|value| match value {
            ColumnData::Numeric(number) => ColumnData::String(number.map(|number| Cow::Owned(number.to_string()))),
            other => other,
        });
        Ok(printed.collect())
    }
}

impl<'a> Values<'a> {
    fn of(array: &'a ArrayRef, kind: Kind) -> Option<Self> {
        Some(match (array.data_type(), kind) {
            (DataType::Boolean, _) => Self::Boolean(array.as_boolean()),
            (DataType::UInt8, _) => Self::UInt8(array.as_primitive::<UInt8Type>()),
            (DataType::Int16, _) => Self::Int16(array.as_primitive::<Int16Type>()),
            (DataType::Int32, _) => Self::Int32(array.as_primitive::<Int32Type>()),
            (DataType::Int64, _) => Self::Int64(array.as_primitive::<Int64Type>()),
            (DataType::Float32, _) => Self::Float32(array.as_primitive::<Float32Type>()),
            (DataType::Float64, _) => Self::Float64(array.as_primitive::<Float64Type>()),
            (DataType::Decimal128(_, scale), _) => {
                Self::Decimal(array.as_primitive::<Decimal128Type>(), u8::try_from(*scale).ok()?)
            }
            (DataType::Utf8, _) => Self::Text(array.as_string::<i32>()),
            (DataType::Binary, _) => Self::Binary(array.as_binary::<i32>()),
            (DataType::FixedSizeBinary(16), Kind::Uuid) => Self::Uuid(array.as_fixed_size_binary()),
            (DataType::FixedSizeBinary(_), _) => Self::Fixed(array.as_fixed_size_binary()),
            (DataType::Date32, _) => Self::Counted(array, Count::Days),
            (DataType::Time32(unit) | DataType::Time64(unit), _) => Self::Counted(array, Count::Clock(*unit)),
            (DataType::Timestamp(unit, _), _) => Self::Counted(array, Count::Instant(*unit)),
            _ => return None,
        })
    }

    /// Whether the value is longer than the driver's bulk load takes.
    fn is_long(&self, row: usize) -> bool {
        match self {
            // A letter of up to three bytes is one unit of two: few texts have to be counted.
            Self::Text(array) if array.is_valid(row) => {
                let text = array.value(row);
                text.len() > BULK_BYTES / 2 && text.encode_utf16().count() > BULK_BYTES / 2
            }
            Self::Binary(array) => array.is_valid(row) && array.value(row).len() > BULK_BYTES,
            Self::Fixed(array) => array.is_valid(row) && array.value(row).len() > BULK_BYTES,
            _ => false,
        }
    }

    fn value(&self, row: usize, kind: Kind) -> Result<ColumnData<'a>, &'static str> {
        use ColumnData as D;
        Ok(match *self {
            Self::Boolean(array) => D::Bit(array.is_valid(row).then(|| array.value(row))),
            Self::UInt8(array) => D::U8(array.is_valid(row).then(|| array.value(row))),
            Self::Int16(array) => D::I16(array.is_valid(row).then(|| array.value(row))),
            Self::Int32(array) => D::I32(array.is_valid(row).then(|| array.value(row))),
            Self::Int64(array) => D::I64(array.is_valid(row).then(|| array.value(row))),
            Self::Float32(array) => {
                let value = array.is_valid(row).then(|| array.value(row));
                D::F32(finite(value, f32::is_finite)?)
            }
            Self::Float64(array) => {
                let value = array.is_valid(row).then(|| array.value(row));
                D::F64(finite(value, f64::is_finite)?)
            }
            Self::Decimal(array, scale) => {
                D::Numeric(array.is_valid(row).then(|| Numeric::new_with_scale(array.value(row), scale)))
            }
            Self::Text(array) => D::String(array.is_valid(row).then(|| Cow::Borrowed(array.value(row)))),
            Self::Binary(array) => D::Binary(array.is_valid(row).then(|| Cow::Borrowed(array.value(row)))),
            Self::Fixed(array) => D::Binary(array.is_valid(row).then(|| Cow::Borrowed(array.value(row)))),
            Self::Uuid(array) => {
                let uuid = array.is_valid(row).then(|| tiberius::Uuid::from_slice(array.value(row)));
                D::Guid(uuid.transpose().map_err(|_| "the value is no UUID")?)
            }
            Self::Counted(array, count) => counted(array, (count, kind), row)?,
        })
    }
}

fn finite<T: Copy>(value: Option<T>, is_finite: impl Fn(T) -> bool) -> Result<Option<T>, &'static str> {
    match value {
        Some(number) if !is_finite(number) => Err("SQL Server has no NaN and no infinities"),
        value => Ok(value),
    }
}

/// The value of a column of dates or times.
fn counted(array: &dyn Array, (count, kind): (Count, Kind), row: usize) -> Result<ColumnData<'static>, &'static str> {
    use ColumnData as D;
    let number = array.is_valid(row).then(|| number(array, count, row));
    Ok(match (count, kind) {
        (Count::Days, _) => D::Date(number.map(date).transpose()?),
        (Count::Clock(unit), _) => D::Time(number.map(|number| steps(number, unit).map(clock)).transpose()?),
        (Count::Instant(unit), Kind::DateTimeOffset(_)) => {
            let value = number.map(|number| moment(number, unit)).transpose()?;
            D::DateTimeOffset(value.map(|value| DateTimeOffset::new(value, 0)))
        }
        (Count::Instant(unit), kind) => {
            let value = number.map(|number| {
                fits(number, unit, kind)?;
                moment(number, unit)
            });
            D::DateTime2(value.transpose()?)
        }
    })
}

/// The number that stands for a date or time.
fn number(array: &dyn Array, count: Count, row: usize) -> i64 {
    match count {
        Count::Days => i64::from(array.as_primitive::<Date32Type>().value(row)),
        Count::Clock(TimeUnit::Second) => i64::from(array.as_primitive::<Time32SecondType>().value(row)),
        Count::Clock(TimeUnit::Millisecond) => i64::from(array.as_primitive::<Time32MillisecondType>().value(row)),
        Count::Clock(TimeUnit::Microsecond) => array.as_primitive::<Time64MicrosecondType>().value(row),
        Count::Clock(TimeUnit::Nanosecond) => array.as_primitive::<Time64NanosecondType>().value(row),
        Count::Instant(TimeUnit::Second) => array.as_primitive::<TimestampSecondType>().value(row),
        Count::Instant(TimeUnit::Millisecond) => array.as_primitive::<TimestampMillisecondType>().value(row),
        Count::Instant(TimeUnit::Microsecond) => array.as_primitive::<TimestampMicrosecondType>().value(row),
        Count::Instant(TimeUnit::Nanosecond) => array.as_primitive::<TimestampNanosecondType>().value(row),
    }
}

fn date(days: i64) -> Result<Date, &'static str> {
    let day = days + EPOCH_FROM_ONE;
    if (0..=LAST_DAY).contains(&day) { Ok(Date::new(day as u32)) } else { Err(BEYOND) }
}

/// A time of day, in steps of 100 ns.
fn clock(steps: i64) -> Time {
    Time::new(steps.unsigned_abs(), 7)
}

/// `number` of `unit`, less than a day of them, in steps of 100 ns.
fn steps(number: i64, unit: TimeUnit) -> Result<i64, &'static str> {
    match unit {
        TimeUnit::Nanosecond if number % 100 != 0 => Err(BETWEEN),
        TimeUnit::Nanosecond => Ok(number / 100),
        unit => number.checked_mul(SECOND_STEPS / per_second(unit)).filter(|steps| *steps < DAY_STEPS).ok_or(BEYOND),
    }
}

/// Days since 1970 and what is left of the last one.
fn split(number: i64, unit: TimeUnit) -> (i64, i64) {
    let day = 86_400 * per_second(unit);
    (number.div_euclid(day), number.rem_euclid(day))
}

fn moment(number: i64, unit: TimeUnit) -> Result<DateTime2, &'static str> {
    let (days, rest) = split(number, unit);
    Ok(DateTime2::new(date(days)?, clock(steps(rest, unit)?)))
}

/// Whether a column of an old type keeps the instant as it is.
fn fits(number: i64, unit: TimeUnit, kind: Kind) -> Result<(), &'static str> {
    let (days, rest) = split(number, unit);
    let day = days + EPOCH_FROM_ONE;
    let (first, last) = match kind {
        Kind::DateTime => (FIRST_OF_DATETIME, LAST_DAY),
        Kind::SmallDateTime => (FIRST_OF_SMALL, LAST_OF_SMALL),
        _ => return Ok(()),
    };
    if !(first..=last).contains(&day) {
        return Err(BEYOND);
    }
    let is_kept = if kind == Kind::SmallDateTime {
        rest % (60 * per_second(unit)) == 0
    } else {
        // The milliseconds that the server shows: every third of them is a step of 1/300 s, rounded.
        let step = per_second(unit) / 1000;
        step == 0 || rest % step == 0 && matches!(rest / step % 10, 0 | 3 | 7)
    };
    if is_kept { Ok(()) } else { Err(BETWEEN) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Time64NanosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray};
    use arrow::datatypes::{Field, Schema};

    use super::super::typemap::SqlType;
    use super::*;

    /// The value of the only row of `array` for a column that is declared so.
    fn value(array: ArrayRef, declared: &str) -> Result<ColumnData<'static>> {
        let schema = Arc::new(Schema::new(vec![Field::new("a", array.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(schema, vec![array]).unwrap();
        let column = Column { name: "a".to_owned(), declared: declared.to_owned(), collation: None, not_null: false };
        let kind = SqlType::declared(declared).unwrap().kind;
        let columns = [column];
        let cells = Cells::of(&batch, (&columns, &[kind]))?;
        let value = cells.row(0, 6)?.into_iter().next().unwrap();
        Ok(match value {
            ColumnData::String(text) => ColumnData::String(text.map(|text| Cow::Owned(text.into_owned()))),
            ColumnData::DateTime2(value) => ColumnData::DateTime2(value),
            ColumnData::Date(value) => ColumnData::Date(value),
            ColumnData::Time(value) => ColumnData::Time(value),
            ColumnData::F64(value) => ColumnData::F64(value),
            ColumnData::Guid(value) => ColumnData::Guid(value),
            other => panic!("{other:?}"),
        })
    }

    fn at(days: u32, increments: u64) -> ColumnData<'static> {
        ColumnData::DateTime2(Some(DateTime2::new(Date::new(days), Time::new(increments, 7))))
    }

    #[test]
    fn times_go_in_as_they_are() {
        let micros = |number: i64| Arc::new(TimestampMicrosecondArray::from(vec![number])) as ArrayRef;
        assert_eq!(value(micros(-1), "datetime2(7)").unwrap(), at(719_161, 863_999_999_990));
        let millis = |number: i64| Arc::new(TimestampMillisecondArray::from(vec![number])) as ArrayRef;
        assert_eq!(value(millis(7), "datetime").unwrap(), at(719_162, 70_000));
        assert_eq!(value(millis(5), "datetime").unwrap_err().message(), BETWEEN);
        // 1752-12-31 23:59:59.997
        assert_eq!(value(millis(-6_847_804_800_003), "datetime").unwrap_err().message(), BEYOND);
        assert!(value(millis(-6_847_804_800_000), "datetime").is_ok(), "1753-01-01");
        assert_eq!(value(millis(61_000), "smalldatetime").unwrap_err().message(), BETWEEN);
        let days = |day: i32| Arc::new(Date32Array::from(vec![day])) as ArrayRef;
        assert_eq!(value(days(-719_162), "date").unwrap(), ColumnData::Date(Some(Date::new(0))));
        let error = value(days(-719_163), "date").unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Value, BEYOND));
        let shown: Vec<String> = error.frames().iter().map(|frame| format!("{} {}", frame.what, frame.which)).collect();
        assert_eq!(shown, ["column a", "row 7"]);
        let nanos = |number: i64| Arc::new(Time64NanosecondArray::from(vec![number])) as ArrayRef;
        assert_eq!(value(nanos(200), "time(7)").unwrap(), ColumnData::Time(Some(Time::new(2, 7))));
        assert_eq!(value(nanos(150), "time(7)").unwrap_err().message(), BETWEEN);
    }

    #[test]
    fn what_the_server_has_not_is_refused() {
        let floats = |number: f64| Arc::new(Float64Array::from(vec![number])) as ArrayRef;
        assert_eq!(value(floats(-0.5), "float").unwrap(), ColumnData::F64(Some(-0.5)));
        assert!(value(floats(f64::NAN), "float").is_err());
        assert!(value(floats(f64::INFINITY), "float").is_err());
    }

    #[test]
    fn long_values_go_alone() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a".repeat(32_767)),
            Some("a".repeat(32_768)),
            // Three bytes each, and one unit.
            Some("雪".repeat(32_767)),
            Some("😀".repeat(16_384)),
            None,
        ]));
        let values = Values::of(&texts, Kind::Unicode(None)).unwrap();
        let long: Vec<bool> = (0..5).map(|row| values.is_long(row)).collect();
        assert_eq!(long, [false, true, false, true, false]);
    }
}
