//! Columns as DataX sees them: as text, as whole numbers, as floating point numbers.

use std::io::Write as _;

use arrow::array::{Array, ArrayRef, AsArray as _, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Field, Float32Type, Float64Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::time::{DAY_SECONDS, Zone, print_date, print_time, print_timestamp};
use crate::formats::value::{self, print};
use crate::schema::{DIGITS, is_whole};

/// The clock by which moments are read and shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// How far it is ahead of UTC.
    east_millis: i64,
}

impl Default for Clock {
    /// That of DataX as long as nobody sets it: GMT+8.
    fn default() -> Self {
        Self { east_millis: 8 * 3600 * 1000 }
    }
}

/// What of a moment its text shows.
#[derive(Clone, Copy)]
enum Shown {
    Date,
    Time,
    Both,
}

impl Clock {
    /// The clock of a zone such as `+08:00`.
    pub(super) fn of(zone: &str) -> Option<Self> {
        let (seconds, rest) = value::zone(zone.as_bytes())?;
        rest.is_empty().then_some(Self { east_millis: seconds * 1000 })
    }

    /// `array`, a column of `field`, as text. Numbers come without exponents, moments by the clock and without parts of a
    /// second.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for types that have none.
    pub(super) fn texts(self, array: &ArrayRef, field: &Field) -> Result<StringArray> {
        if let Some((millis, shown)) = self.moments(array) {
            let values = millis.values();
            return print::texts(millis.nulls().cloned(), millis.len(), |row, out| {
                let seconds = values[row].div_euclid(1000);
                match shown {
                    Shown::Date => print_date(seconds.div_euclid(DAY_SECONDS), out),
                    Shown::Time => print_time(seconds, TimeUnit::Second, out),
                    Shown::Both => print_timestamp(seconds, TimeUnit::Second, Zone::Local, out),
                }
                Ok(())
            });
        }
        match array.data_type() {
            DataType::Utf8 => Ok(array.as_string::<i32>().clone()),
            DataType::LargeUtf8 | DataType::Utf8View => Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                let bytes = cast(array, &DataType::LargeBinary)?;
                let bytes = bytes.as_binary::<i64>();
                print::texts(bytes.nulls().cloned(), bytes.len(), |row, out| {
                    out.extend_from_slice(String::from_utf8_lossy(bytes.value(row)).as_bytes());
                    Ok(())
                })
            }
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>();
                print::texts(values.nulls().cloned(), values.len(), |row, out| {
                    float(values.value(row).into(), values.value(row), out)
                })
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>();
                print::texts(values.nulls().cloned(), values.len(), |row, out| {
                    float(values.value(row), values.value(row), out)
                })
            }
            _ => {
                let column = print::column(array, field).ok_or_else(|| {
                    let message = format!("values of the type {} have no text for a transformer", array.data_type());
                    Error::new(ErrorKind::Unsupported, message)
                })?;
                print::texts(column.nulls.clone(), array.len(), |row, out| {
                    (column.print)(row, out);
                    Ok(())
                })
            }
        }
    }

    /// Integers, texts that are whole numbers and moments as whole numbers, moments as milliseconds since 1970 in UTC; NULL where 64
    /// bits do not hold one. None for other types.
    pub(super) fn longs(self, array: &ArrayRef, field: &Field) -> Result<Option<Int64Array>> {
        if let Some((millis, _)) = self.moments(array) {
            return Ok(Some(millis.unary(|millis| millis.saturating_sub(self.east_millis))));
        }
        if is_whole(field) {
            let texts = self.texts(array, field)?;
            return Ok(Some(texts.iter().map(|text| text.and_then(|text| text.parse::<i64>().ok())).collect()));
        }
        if !array.data_type().is_integer() {
            return Ok(None);
        }
        Ok(Some(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
    }

    /// Floating point numbers, decimals and texts that are numbers, by their text; none for other types.
    pub(super) fn doubles(self, array: &ArrayRef, field: &Field) -> Result<Option<Float64Array>> {
        match array.data_type() {
            DataType::Float64 => Ok(Some(array.as_primitive::<Float64Type>().clone())),
            kind if kind.is_floating() || kind.is_decimal() || field.metadata().contains_key(DIGITS) => {
                let texts = self.texts(array, field)?;
                Ok(Some(texts.iter().map(|text| text.and_then(|text| text.parse::<f64>().ok())).collect()))
            }
            _ => Ok(None),
        }
    }

    /// Milliseconds since 1970 on the clock, and what is shown of them; none for what is no moment.
    fn moments(self, array: &dyn Array) -> Option<(Int64Array, Shown)> {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        let day = DAY_SECONDS * 1000;
        let (millis, shown) = match array.data_type() {
            DataType::Date32 => (in_millis::<Date32Type>(array, |days| i64::from(days) * day), Shown::Date),
            DataType::Date64 => (in_millis::<Date64Type>(array, |millis| millis), Shown::Date),
            DataType::Time32(Second) => {
                (in_millis::<Time32SecondType>(array, |value| i64::from(value) * 1000), Shown::Time)
            }
            DataType::Time32(_) => (in_millis::<Time32MillisecondType>(array, i64::from), Shown::Time),
            DataType::Time64(Nanosecond) => {
                (in_millis::<Time64NanosecondType>(array, |value| value.div_euclid(1_000_000)), Shown::Time)
            }
            DataType::Time64(_) => {
                (in_millis::<Time64MicrosecondType>(array, |value| value.div_euclid(1000)), Shown::Time)
            }
            DataType::Timestamp(Second, _) => {
                (in_millis::<TimestampSecondType>(array, |value| value.saturating_mul(1000)), Shown::Both)
            }
            DataType::Timestamp(Millisecond, _) => {
                (in_millis::<TimestampMillisecondType>(array, |value| value), Shown::Both)
            }
            DataType::Timestamp(Microsecond, _) => {
                (in_millis::<TimestampMicrosecondType>(array, |value| value.div_euclid(1000)), Shown::Both)
            }
            DataType::Timestamp(Nanosecond, _) => {
                (in_millis::<TimestampNanosecondType>(array, |value| value.div_euclid(1_000_000)), Shown::Both)
            }
            _ => return None,
        };
        // What has a zone is held in UTC; all else is by the clock already.
        Some(match array.data_type() {
            DataType::Timestamp(_, Some(_)) => {
                (millis.unary(|millis: i64| millis.saturating_add(self.east_millis)), shown)
            }
            _ => (millis, shown),
        })
    }
}

/// The shortest digits that `shown` is told by; `value` is the same number.
fn float(value: f64, shown: impl std::fmt::Display + Copy, out: &mut Vec<u8>) -> Result<()> {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" as &[u8] } else { b"-Infinity" });
        return Ok(());
    }
    write!(out, "{shown}")?;
    Ok(())
}

fn in_millis<T: ArrowPrimitiveType>(array: &dyn Array, millis: impl Fn(T::Native) -> i64) -> Int64Array {
    array.as_primitive::<T>().unary(millis)
}
