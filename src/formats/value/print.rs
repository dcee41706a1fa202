//! Typed arrays to texts: a writer is prepared once per column and then called per row.

use arrow::array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayAccessor, AsArray as _, DictionaryArray, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Field, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use lexical_core::ToLexical;

use super::time::Zone;
use super::{binary, interval, number, time};
use crate::error::{Error, ErrorKind, Result};
use crate::schema;

/// Appends the text of one row that is not NULL.
pub(crate) type Print<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// What may be in the texts of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A number in digits, or `true` and `false`: JSON takes it as it is.
    Bare,
    /// A float: as `Bare`, but for NaN and infinities.
    Float,
    /// Letters, digits and `-+:. `.
    Plain,
    /// Bytes as `\x…`.
    Hex,
    /// Anything.
    Text,
    /// JSON, as it came.
    Json,
}

/// A column ready to be printed.
pub(crate) struct Column<'a> {
    pub(crate) look: Look,
    pub(crate) nulls: Option<NullBuffer>,
    pub(crate) print: Print<'a>,
}

impl<'a> Column<'a> {
    fn new(array: &dyn Array, look: Look, print: impl Fn(usize, &mut Vec<u8>) + 'a) -> Self {
        Self { look, nulls: array.logical_nulls(), print: Box::new(print) }
    }

    /// Whether a row is NULL.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// One text for each row that is not NULL.
pub(crate) fn texts(
    nulls: Option<NullBuffer>,
    rows: usize,
    mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<()>,
) -> Result<StringArray> {
    let mut text = Vec::with_capacity(rows * 8);
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0i32);
    for row in 0..rows {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            write(row, &mut text)?;
        }
        let too_long = |_| Error::new(ErrorKind::Resource, "the texts of a batch are longer than 2 GB");
        ends.push(i32::try_from(text.len()).map_err(too_long)?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    Ok(StringArray::try_new(offsets, Buffer::from_vec(text), nulls)?)
}

/// Prepares the values of `field` in `array`; none for nested types and those without a text form.
pub(crate) fn column<'a>(array: &'a dyn Array, field: &Field) -> Option<Column<'a>> {
    let look = if schema::is_json(field) { Look::Json } else { Look::Text };
    Some(match field.data_type() {
        DataType::Null => Column::new(array, Look::Bare, |_, _| {}),
        DataType::Boolean => {
            let values = array.as_boolean();
            let print = |row, out: &mut Vec<u8>| {
                out.extend_from_slice(if values.value(row) { b"true" as &[u8] } else { b"false" });
            };
            Column::new(array, Look::Bare, print)
        }
        DataType::Utf8 => text(array, look, array.as_string::<i32>()),
        DataType::LargeUtf8 => text(array, look, array.as_string::<i64>()),
        DataType::Utf8View => text(array, look, array.as_string_view()),
        DataType::Binary => hex(array, array.as_binary::<i32>()),
        DataType::LargeBinary => hex(array, array.as_binary::<i64>()),
        DataType::BinaryView => hex(array, array.as_binary_view()),
        DataType::FixedSizeBinary(16) if schema::is_uuid(field) => {
            let values = array.as_fixed_size_binary();
            let print = |row, out: &mut Vec<u8>| {
                let bytes = values.value(row).try_into().expect("the type is 16 bytes wide");
                binary::print_uuid(bytes, out);
            };
            Column::new(array, Look::Plain, print)
        }
        DataType::FixedSizeBinary(_) => hex(array, array.as_fixed_size_binary()),
        DataType::Dictionary(key, value) => {
            let value = Field::new("", value.as_ref().clone(), true).with_metadata(field.metadata().clone());
            return match key.as_ref() {
                DataType::Int8 => dictionary(array.as_dictionary::<Int8Type>(), &value),
                DataType::Int16 => dictionary(array.as_dictionary::<Int16Type>(), &value),
                DataType::Int32 => dictionary(array.as_dictionary::<Int32Type>(), &value),
                DataType::Int64 => dictionary(array.as_dictionary::<Int64Type>(), &value),
                DataType::UInt8 => dictionary(array.as_dictionary::<UInt8Type>(), &value),
                DataType::UInt16 => dictionary(array.as_dictionary::<UInt16Type>(), &value),
                DataType::UInt32 => dictionary(array.as_dictionary::<UInt32Type>(), &value),
                DataType::UInt64 => dictionary(array.as_dictionary::<UInt64Type>(), &value),
                _ => None,
            };
        }
        _ => return numbers(array).or_else(|| moments(array)),
    })
}

fn numbers(array: &dyn Array) -> Option<Column<'_>> {
    Some(match array.data_type() {
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => integers::<UInt64Type>(array),
        // Every half is a single, so the text parses back to the same half.
        DataType::Float16 => primitive::<Float16Type>(array, Look::Float, |value, out| {
            number::print_float(value.to_f32(), out);
        }),
        DataType::Float32 => primitive::<Float32Type>(array, Look::Float, number::print_float),
        DataType::Float64 => primitive::<Float64Type>(array, Look::Float, number::print_float),
        DataType::Decimal32(_, scale) => {
            let scale = *scale;
            primitive::<Decimal32Type>(array, Look::Bare, move |value, out| {
                number::print_decimal(value.into(), scale, out);
            })
        }
        DataType::Decimal64(_, scale) => {
            let scale = *scale;
            primitive::<Decimal64Type>(array, Look::Bare, move |value, out| {
                number::print_decimal(value.into(), scale, out);
            })
        }
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            primitive::<Decimal128Type>(array, Look::Bare, move |value, out| number::print_decimal(value, scale, out))
        }
        DataType::Decimal256(_, scale) => {
            let scale = *scale;
            primitive::<Decimal256Type>(array, Look::Bare, move |value, out| {
                number::print_decimal256(value, scale, out);
            })
        }
        _ => return None,
    })
}

fn moments(array: &dyn Array) -> Option<Column<'_>> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Some(match array.data_type() {
        DataType::Date32 => plain::<Date32Type>(array, |days, out| time::print_date(days.into(), out)),
        DataType::Date64 => plain::<Date64Type>(array, |value, out| {
            let day = time::DAY_SECONDS * 1000;
            if value % day == 0 {
                time::print_date(value / day, out);
            } else {
                time::print_timestamp(value, Millisecond, Zone::Local, out);
            }
        }),
        DataType::Time32(Second) => plain::<Time32SecondType>(array, |v, out| time::print_time(v.into(), Second, out)),
        DataType::Time32(_) => {
            plain::<Time32MillisecondType>(array, |v, out| time::print_time(v.into(), Millisecond, out))
        }
        DataType::Time64(Nanosecond) => {
            plain::<Time64NanosecondType>(array, |v, out| time::print_time(v, Nanosecond, out))
        }
        DataType::Time64(_) => plain::<Time64MicrosecondType>(array, |v, out| time::print_time(v, Microsecond, out)),
        DataType::Duration(unit) => {
            let unit = *unit;
            let print = move |value, out: &mut Vec<u8>| time::print_time(value, unit, out);
            match unit {
                Second => plain::<DurationSecondType>(array, print),
                Millisecond => plain::<DurationMillisecondType>(array, print),
                Microsecond => plain::<DurationMicrosecondType>(array, print),
                Nanosecond => plain::<DurationNanosecondType>(array, print),
            }
        }
        DataType::Timestamp(unit, zone) => {
            let unit = *unit;
            let zone = if zone.is_some() { Zone::Zoned } else { Zone::Local };
            let print = move |value, out: &mut Vec<u8>| time::print_timestamp(value, unit, zone, out);
            match unit {
                Second => plain::<TimestampSecondType>(array, print),
                Millisecond => plain::<TimestampMillisecondType>(array, print),
                Microsecond => plain::<TimestampMicrosecondType>(array, print),
                Nanosecond => plain::<TimestampNanosecondType>(array, print),
            }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            plain::<IntervalMonthDayNanoType>(array, interval::print_interval)
        }
        DataType::Interval(IntervalUnit::YearMonth) => plain::<IntervalYearMonthType>(array, |months, out| {
            interval::print_interval(IntervalMonthDayNano::new(months, 0, 0), out);
        }),
        DataType::Interval(IntervalUnit::DayTime) => plain::<IntervalDayTimeType>(array, |value, out| {
            let nanos = i64::from(value.milliseconds) * 1_000_000;
            interval::print_interval(IntervalMonthDayNano::new(0, value.days, nanos), out);
        }),
        _ => return None,
    })
}

fn integers<T: ArrowPrimitiveType<Native: ToLexical>>(array: &dyn Array) -> Column<'_> {
    primitive::<T>(array, Look::Bare, number::print_integer)
}

fn plain<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, print: impl Fn(T::Native, &mut Vec<u8>) + 'a) -> Column<'a> {
    primitive::<T>(array, Look::Plain, print)
}

fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    look: Look,
    print: impl Fn(T::Native, &mut Vec<u8>) + 'a,
) -> Column<'a> {
    let values = array.as_primitive::<T>().values();
    Column::new(array, look, move |row, out| print(values[row], out))
}

fn text<'a, A: ArrayAccessor<Item = &'a str> + 'a>(array: &'a dyn Array, look: Look, values: A) -> Column<'a> {
    Column::new(array, look, move |row, out| out.extend_from_slice(values.value(row).as_bytes()))
}

fn hex<'a, A: ArrayAccessor<Item = &'a [u8]> + 'a>(array: &'a dyn Array, values: A) -> Column<'a> {
    Column::new(array, Look::Hex, move |row, out| binary::print_hex(values.value(row), out))
}

fn dictionary<'a, K: ArrowDictionaryKeyType>(array: &'a DictionaryArray<K>, value: &Field) -> Option<Column<'a>> {
    let values = column(array.values().as_ref(), value)?;
    let print = move |row: usize, out: &mut Vec<u8>| {
        if let Some(key) = array.key(row) {
            (values.print)(key, out);
        }
    };
    let nulls = array.logical_nulls();
    Some(Column { look: values.look, nulls, print: Box::new(print) })
}
