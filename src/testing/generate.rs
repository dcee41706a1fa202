//! Values that break things, per Arrow type: extremes, NaN, −0.0, empty next to NULL, four-byte characters.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    IntervalMonthDayNanoArray, ListArray, PrimitiveArray, RecordBatch, StringArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, DurationMicrosecondType, Field, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalUnit, Schema, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};
use chrono::NaiveDate;

use crate::error::{Error, ErrorKind, Result};
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, is_json, with_metadata};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What a target can hold of the special values of a type.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact about a target, none depends on another")]
pub struct Limits {
    /// NaN in binary fractions.
    pub nan: bool,
    /// ±Infinity in binary fractions.
    pub infinity: bool,
    /// −0.0 as another value than 0.0.
    pub negative_zero: bool,
    /// U+0000 in texts.
    pub nul: bool,
    /// First and last year of dates and timestamps.
    pub years: (i32, i32),
}

impl Default for Limits {
    /// Everything that Arrow can hold; years 1 to 9999.
    fn default() -> Self {
        Self { nan: true, infinity: true, negative_zero: true, nul: true, years: (1, 9999) }
    }
}

/// One nullable field of every type that a database or file is likely to keep, named after its type.
pub fn fields() -> Vec<Field> {
    let micro = TimeUnit::Microsecond;
    let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
    let plain = [
        ("bool", DataType::Boolean),
        ("int8", DataType::Int8),
        ("int16", DataType::Int16),
        ("int32", DataType::Int32),
        ("int64", DataType::Int64),
        ("uint8", DataType::UInt8),
        ("uint16", DataType::UInt16),
        ("uint32", DataType::UInt32),
        ("uint64", DataType::UInt64),
        ("float32", DataType::Float32),
        ("float64", DataType::Float64),
        ("decimal_5_2", DataType::Decimal128(5, 2)),
        ("decimal_18_4", DataType::Decimal128(18, 4)),
        ("decimal_38_0", DataType::Decimal128(38, 0)),
        ("decimal_38_38", DataType::Decimal128(38, 38)),
        ("decimal_76_0", DataType::Decimal256(76, 0)),
        ("decimal_76_38", DataType::Decimal256(76, 38)),
        ("text", DataType::Utf8),
        ("binary", DataType::Binary),
        ("date", DataType::Date32),
        ("time", DataType::Time64(micro)),
        ("timestamp", DataType::Timestamp(micro, None)),
        ("timestamptz", DataType::Timestamp(micro, Some("UTC".into()))),
        ("duration", DataType::Duration(micro)),
        ("interval", DataType::Interval(IntervalUnit::MonthDayNano)),
        ("int32_list", DataType::List(item(DataType::Int32))),
        ("text_list", DataType::List(item(DataType::Utf8))),
    ];
    let mut fields: Vec<Field> = plain.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    let uuid = Field::new("uuid", DataType::FixedSizeBinary(16), true);
    fields.push(with_metadata(uuid, EXTENSION, EXTENSION_UUID));
    fields.push(with_metadata(Field::new("json", DataType::Utf8, true), EXTENSION, EXTENSION_JSON));
    fields
}

/// Those of [`fields`] with the names `names`, in that order. A name that is none of them is left out.
pub fn fields_named(names: &[&str]) -> Vec<Field> {
    let all = fields();
    names.iter().filter_map(|name| all.iter().find(|field| field.name() == name).cloned()).collect()
}

/// Those of [`fields`] that have none of the names `names`.
pub fn fields_without(names: &[&str]) -> Vec<Field> {
    fields().into_iter().filter(|field| !names.contains(&field.name().as_str())).collect()
}

/// A table of hostile values: an `id` from 0, then `columns`. All values of all columns are in it, and NULLs
/// in places that differ from column to column.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a type that is not made here.
pub fn table(columns: &[Field], limits: &Limits) -> Result<RecordBatch> {
    let arrays = columns.iter().map(|field| hostile(field, limits)).collect::<Result<Vec<_>>>()?;
    let rows = arrays.iter().map(Array::len).max().unwrap_or(1) as u64;
    let mut spread: Vec<ArrayRef> = vec![Arc::new((0..rows as i64).collect::<PrimitiveArray<Int64Type>>())];
    for (shift, array) in arrays.iter().enumerate() {
        let at = |row: u64| (row + shift as u64) % array.len() as u64;
        spread.push(take(array, &(0..rows).map(at).collect::<UInt64Array>(), None)?);
    }
    let id = Field::new("id", DataType::Int64, false);
    let schema = Schema::new(std::iter::once(id).chain(columns.iter().cloned()).collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), spread)?)
}

/// Hostile values of the type of `field`, and at last a NULL where it may be one.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a type that is not made here.
pub fn hostile(field: &Field, limits: &Limits) -> Result<ArrayRef> {
    let values = values(field, limits)?;
    if !field.is_nullable() {
        return Ok(values);
    }
    let null = arrow::array::new_null_array(values.data_type(), 1);
    Ok(concat(&[&values, &null])?)
}

fn values(field: &Field, limits: &Limits) -> Result<ArrayRef> {
    Ok(match field.data_type() {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![true, false])),
        DataType::Int8 => primitive::<Int8Type>(&[i8::MIN, -1, 0, 1, i8::MAX]),
        DataType::Int16 => primitive::<Int16Type>(&[i16::MIN, -1, 0, 1, i16::MAX]),
        DataType::Int32 => primitive::<Int32Type>(&[i32::MIN, -1, 0, 1, i32::MAX]),
        DataType::Int64 => primitive::<Int64Type>(&[i64::MIN, -1, 0, (1 << 53) + 1, i64::MAX]),
        DataType::UInt8 => primitive::<UInt8Type>(&[0, 127, 128, u8::MAX]),
        DataType::UInt16 => primitive::<UInt16Type>(&[0, 32767, 32768, u16::MAX]),
        DataType::UInt32 => primitive::<UInt32Type>(&[0, 1 << 31, u32::MAX]),
        DataType::UInt64 => primitive::<UInt64Type>(&[0, 1 << 63, u64::MAX]),
        DataType::Float32 => {
            let values = doubles(limits, f64::from(f32::MAX), f64::from(f32::from_bits(1)));
            primitive::<Float32Type>(&values.iter().map(|value| *value as f32).collect::<Vec<_>>())
        }
        DataType::Float64 => primitive::<Float64Type>(&doubles(limits, f64::MAX, f64::from_bits(1))),
        DataType::Decimal128(precision, scale) => {
            let most = 10_i128.pow(u32::from(*precision)) - 1;
            let array = Decimal128Array::from(vec![most, -most, 0, 1, -1, most / 10 * 10, 10]);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Decimal256(precision, scale) => {
            let most = i256::from_i128(10).wrapping_pow(u32::from(*precision)) - i256::ONE;
            let array = Decimal256Array::from(vec![most, -most, i256::ZERO, i256::ONE, -i256::ONE]);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Utf8 if is_json(field) => Arc::new(StringArray::from(JSONS.to_vec())),
        DataType::Utf8 => Arc::new(texts(limits)),
        DataType::LargeUtf8 | DataType::Utf8View => cast(&texts(limits), field.data_type())?,
        DataType::Binary => Arc::new(BinaryArray::from(bytes())),
        DataType::LargeBinary | DataType::BinaryView => cast(&BinaryArray::from(bytes()), field.data_type())?,
        DataType::FixedSizeBinary(width) => {
            let patterns = [0_u8, 0xFF, 0x5C, 0x0A].map(|byte| vec![byte; *width as usize]);
            Arc::new(FixedSizeBinaryArray::try_from_iter(patterns.into_iter())?)
        }
        DataType::Date32 => primitive::<Date32Type>(&days(limits).map(|day| day as i32)),
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(&[0, 1, MICROS_PER_DAY / 2, MICROS_PER_DAY - 1])
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let array = PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(instants(limits));
            Arc::new(array.with_data_type(field.data_type().clone()))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            primitive::<DurationMicrosecondType>(&[0, 1, -1, MICROS_PER_DAY, -MICROS_PER_DAY * 10_000])
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => Arc::new(IntervalMonthDayNanoArray::from(vec![
            IntervalMonthDayNano::new(0, 0, 0),
            IntervalMonthDayNano::new(1, 30, 1_000),
            IntervalMonthDayNano::new(-14, 400, -3_600_000_000_000),
            IntervalMonthDayNano::new(1200, -1, 90_000_000_000_000),
        ])),
        DataType::List(item) => lists(item, limits)?,
        other => return Err(Error::new(ErrorKind::Unsupported, format!("no hostile values are made of {other}"))),
    })
}

fn primitive<T: ArrowPrimitiveType>(values: &[T::Native]) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values.iter().copied()))
}

fn doubles(limits: &Limits, most: f64, least: f64) -> Vec<f64> {
    let mut values = vec![0.0, 1.0, -1.5, most, -most, least, 0.1];
    if limits.nan {
        values.push(f64::NAN);
    }
    if limits.infinity {
        values.extend([f64::INFINITY, f64::NEG_INFINITY]);
    }
    if limits.negative_zero {
        values.push(-0.0);
    }
    values
}

const JSONS: [&str; 7] = [
    "{}",
    "[]",
    "null",
    r#""""#,
    r#"{"a": [1, 2.50, null, true], "é": "\"quoted\", comma\nline"}"#,
    "12345678901234567890123456789",
    r#"{"emoji": "😀"}"#,
];

fn texts(limits: &Limits) -> StringArray {
    let long = "long ".repeat(4000);
    let mut values = vec![
        "",
        " ",
        "NULL",
        "null",
        "\\N",
        "\\",
        "\\\\.",
        "\\x00",
        "a,b;c\td|e",
        "\"",
        "\"quoted\"",
        "'",
        "it''s",
        "line\nbreak",
        "carriage\r\nreturn",
        "\r",
        " both ends ",
        "trailing\t",
        "0123",
        "+1",
        "1e5",
        "true",
        "NaN",
        "2024-02-30",
        "é",
        "e\u{301}",
        "ÄÖÜß",
        "中文字",
        "😀👩\u{200D}👩",
        "\u{10FFFF}",
        "\u{FEFF}mark",
        "\u{202E}turned",
        "\u{1}\u{7F}",
        "{\"a\": 1}",
        "<a href=\"x\">&amp;</a>",
        "%s%n${HOME}`id`",
        "-- '; drop table t;",
        &long,
    ];
    if limits.nul {
        values.push("nul\0inside");
    }
    StringArray::from(values)
}

fn bytes() -> Vec<&'static [u8]> {
    const ALL: [u8; 256] = {
        let mut all = [0; 256];
        let mut at = 0;
        while at < 256 {
            all[at] = at as u8;
            at += 1;
        }
        all
    };
    vec![b"", b"\0", b"\xFF", b"\\x41", b"\r\n\t\"',\\", b"PGCOPY\n\xFF\r\n\0", &ALL, b"text"]
}

/// Days since 1970: ends of the years, of the calendar's reform, leap days.
fn days(limits: &Limits) -> [i64; 8] {
    let day = |year, month, day| {
        let date = NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
        date.signed_duration_since(NaiveDate::default()).num_days()
    };
    let (first, last) = limits.years;
    [
        0,
        -1,
        day(first, 1, 1),
        day(last, 12, 31),
        day(first.max(1582), 10, 15),
        day(1900, 2, 28),
        day(2000, 2, 29),
        day(2038, 1, 19),
    ]
}

fn instants(limits: &Limits) -> impl Iterator<Item = i64> {
    let last = days(limits)[3] * MICROS_PER_DAY + MICROS_PER_DAY - 1;
    days(limits).into_iter().map(|day| day * MICROS_PER_DAY).chain([-1, 1, last])
}

/// A list of all values, an empty one, one of a NULL, one of a single value.
fn lists(item: &Arc<Field>, limits: &Limits) -> Result<ArrayRef> {
    let values = hostile(&item.as_ref().clone().with_nullable(true), limits)?;
    let (null, first) = (values.slice(values.len() - 1, 1), values.slice(0, 1));
    let offsets = OffsetBuffer::from_lengths([values.len(), 0, 1, 1]);
    let values = concat(&[&values, &null, &first])?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, None)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_values_and_nulls() {
        let fields = fields();
        let table = table(&fields, &Limits::default()).unwrap();
        assert_eq!(table.num_columns(), fields.len() + 1);
        for (field, array) in fields.iter().zip(&table.columns()[1..]) {
            assert_eq!(field.data_type(), array.data_type());
            assert!(array.null_count() > 0 && array.null_count() < array.len(), "{}", field.name());
        }
    }

    #[test]
    fn limits_leave_values_out() {
        let field = Field::new("f", DataType::Float64, false);
        let none = Limits { nan: false, infinity: false, negative_zero: false, ..Limits::default() };
        let tame = hostile(&field, &none).unwrap();
        assert_eq!(tame.len() + 4, hostile(&field, &Limits::default()).unwrap().len());
    }
}
