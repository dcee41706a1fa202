//! Columns of texts to typed arrays: one loop per type, nothing allocated per value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, GenericStringArray, LargeBinaryBuilder, NullArray,
    NullBufferBuilder, OffsetSizeTrait, PrimitiveArray, StringViewBuilder,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::time::Zone;
use super::{binary, boolean, interval, number, time};
use crate::schema;

/// A column of texts.
pub(crate) trait Texts {
    /// How many there are.
    fn rows(&self) -> usize;

    /// The text of a row; none is NULL. `scratch` may be used to hold it.
    fn text<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]>;
}

/// Which texts of a value are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Only what programs write: no leading zeros, plus signs or spaces, `true` and `false`. For columns whose type
    /// was inferred, so that `007` far behind the sample is not taken for 7.
    Plain,
    /// All texts of the type. For columns whose type was given.
    Any,
}

/// Why a column could not be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The text of this row is no value of the type.
    Row(usize),
    /// The text of this row is not UTF-8, from this byte on.
    Encoding(usize, usize),
    /// No text is a value of this type.
    Type,
    /// The texts together are too long for the type.
    Size,
}

type Parsed = Result<ArrayRef, Misfit>;

/// Parses all texts as values of `field`.
pub(crate) fn parse_column(texts: &impl Texts, field: &Field, form: Form) -> Parsed {
    match field.data_type() {
        DataType::Null => nulls(texts),
        DataType::Boolean => booleans(texts, form),
        DataType::Int8 => numbers::<Int8Type>(texts, form, number::integer),
        DataType::Int16 => numbers::<Int16Type>(texts, form, number::integer),
        DataType::Int32 => numbers::<Int32Type>(texts, form, number::integer),
        DataType::Int64 => numbers::<Int64Type>(texts, form, number::integer),
        DataType::UInt8 => numbers::<UInt8Type>(texts, form, number::integer),
        DataType::UInt16 => numbers::<UInt16Type>(texts, form, number::integer),
        DataType::UInt32 => numbers::<UInt32Type>(texts, form, number::integer),
        DataType::UInt64 => numbers::<UInt64Type>(texts, form, number::integer),
        DataType::Float32 => numbers::<Float32Type>(texts, form, number::float),
        DataType::Float64 => numbers::<Float64Type>(texts, form, number::float),
        DataType::Decimal128(precision, scale) => {
            numbers::<Decimal128Type>(texts, form, |text| number::decimal(text, *precision, *scale))
        }
        DataType::Decimal256(precision, scale) => {
            numbers::<Decimal256Type>(texts, form, |text| number::decimal256(text, *precision, *scale))
        }
        DataType::Date32 => values::<Date32Type>(texts, form, time::date),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            values::<IntervalMonthDayNanoType>(texts, form, interval::interval)
        }
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) | DataType::Timestamp(..) => {
            return clocks(texts, field.data_type(), form);
        }
        DataType::Utf8 => return strings::<i32>(texts),
        DataType::LargeUtf8 => return strings::<i64>(texts),
        DataType::Utf8View => return views(texts),
        DataType::Binary => return bytes(texts),
        DataType::LargeBinary => return large_bytes(texts),
        DataType::FixedSizeBinary(16) if schema::is_uuid(field) => uuids(texts, form),
        DataType::FixedSizeBinary(width) => return fixed_bytes(texts, *width),
        _ => return Err(Misfit::Type),
    }
    // The arrays are made with the type's defaults; precision, scale and zone are set here.
    .map(|array| with_type(&array, field.data_type()))
}

fn with_type(array: &ArrayRef, data_type: &DataType) -> ArrayRef {
    if array.data_type() == data_type {
        return Arc::clone(array);
    }
    match array.to_data().into_builder().data_type(data_type.clone()).build() {
        Ok(data) => arrow::array::make_array(data),
        Err(_) => Arc::clone(array),
    }
}

fn clocks(texts: &impl Texts, data_type: &DataType, form: Form) -> Parsed {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let time32 = |unit| move |text: &[u8]| time::time(text, unit).and_then(|value| i32::try_from(value).ok());
    let time64 = |unit| move |text: &[u8]| time::time(text, unit);
    let duration = |unit| move |text: &[u8]| time::duration(text, unit);
    let array = match data_type {
        DataType::Time32(Second) => values::<Time32SecondType>(texts, form, time32(Second)),
        DataType::Time32(Millisecond) => values::<Time32MillisecondType>(texts, form, time32(Millisecond)),
        DataType::Time64(Microsecond) => values::<Time64MicrosecondType>(texts, form, time64(Microsecond)),
        DataType::Time64(Nanosecond) => values::<Time64NanosecondType>(texts, form, time64(Nanosecond)),
        DataType::Duration(Second) => values::<DurationSecondType>(texts, form, duration(Second)),
        DataType::Duration(Millisecond) => values::<DurationMillisecondType>(texts, form, duration(Millisecond)),
        DataType::Duration(Microsecond) => values::<DurationMicrosecondType>(texts, form, duration(Microsecond)),
        DataType::Duration(Nanosecond) => values::<DurationNanosecondType>(texts, form, duration(Nanosecond)),
        DataType::Timestamp(unit, zone) => {
            let zone = if zone.is_some() { Zone::Zoned } else { Zone::Local };
            let stamp = |text: &[u8]| time::timestamp(text, *unit, zone);
            match unit {
                Second => values::<TimestampSecondType>(texts, form, stamp),
                Millisecond => values::<TimestampMillisecondType>(texts, form, stamp),
                Microsecond => values::<TimestampMicrosecondType>(texts, form, stamp),
                Nanosecond => values::<TimestampNanosecondType>(texts, form, stamp),
            }
        }
        _ => Err(Misfit::Type),
    };
    array.map(|array| with_type(&array, data_type))
}

fn numbers<T: ArrowPrimitiveType>(
    texts: &impl Texts,
    form: Form,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Parsed {
    match form {
        Form::Plain => values::<T>(texts, form, |text| if number::is_plain(text) { parse(text) } else { None }),
        Form::Any => values::<T>(texts, form, parse),
    }
}

fn values<T: ArrowPrimitiveType>(texts: &impl Texts, form: Form, parse: impl Fn(&[u8]) -> Option<T::Native>) -> Parsed {
    let rows = texts.rows();
    let mut values = Vec::with_capacity(rows);
    let mut valid = NullBufferBuilder::new(rows);
    let mut scratch = Vec::new();
    for row in 0..rows {
        if let Some(text) = texts.text(row, &mut scratch) {
            let value = parse(text).or_else(|| trimmed(text, form).and_then(&parse)).ok_or(Misfit::Row(row))?;
            values.push(value);
            valid.append_non_null();
        } else {
            values.push(T::Native::default());
            valid.append_null();
        }
    }
    Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), valid.finish())))
}

/// The text without the spaces around it, where they may be dropped.
fn trimmed(text: &[u8], form: Form) -> Option<&[u8]> {
    let inner = text.trim_ascii();
    (form == Form::Any && inner.len() < text.len()).then_some(inner)
}

fn booleans(texts: &impl Texts, form: Form) -> Parsed {
    let mut builder = BooleanBuilder::with_capacity(texts.rows());
    let mut scratch = Vec::new();
    for row in 0..texts.rows() {
        let value = match (texts.text(row, &mut scratch), form) {
            (None, _) => None,
            (Some(b"true"), _) => Some(true),
            (Some(b"false"), _) => Some(false),
            (Some(text), Form::Any) => Some(boolean(text.trim_ascii()).ok_or(Misfit::Row(row))?),
            (Some(_), Form::Plain) => return Err(Misfit::Row(row)),
        };
        builder.append_option(value);
    }
    Ok(Arc::new(builder.finish()))
}

fn nulls(texts: &impl Texts) -> Parsed {
    let mut scratch = Vec::new();
    match (0..texts.rows()).find(|row| texts.text(*row, &mut scratch).is_some()) {
        Some(row) => Err(Misfit::Row(row)),
        None => Ok(Arc::new(NullArray::new(texts.rows()))),
    }
}

/// Bytes that all texts have together, so that builders need not grow.
fn total(texts: &impl Texts) -> usize {
    let mut scratch = Vec::new();
    (0..texts.rows()).map(|row| texts.text(row, &mut scratch).map_or(0, <[u8]>::len)).sum()
}

/// The texts are copied together and validated at once.
fn strings<O: OffsetSizeTrait>(texts: &impl Texts) -> Parsed {
    let (rows, total) = (texts.rows(), total(texts));
    if O::from_usize(total).is_none() {
        return Err(Misfit::Size);
    }
    let mut values: Vec<u8> = Vec::with_capacity(total);
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut valid = NullBufferBuilder::new(rows);
    let mut scratch = Vec::new();
    offsets.push(O::default());
    for row in 0..rows {
        if let Some(text) = texts.text(row, &mut scratch) {
            values.extend_from_slice(text);
            valid.append_non_null();
        } else {
            valid.append_null();
        }
        offsets.push(O::usize_as(values.len()));
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    match GenericStringArray::try_new(offsets, Buffer::from_vec(values), valid.finish()) {
        Ok(array) => Ok(Arc::new(array)),
        Err(_) => Err(bad_encoding(texts)),
    }
}

fn bad_encoding(texts: &impl Texts) -> Misfit {
    let mut scratch = Vec::new();
    let find = |row| texts.text(row, &mut scratch).and_then(|text| utf8(text, row).err());
    (0..texts.rows()).find_map(find).unwrap_or(Misfit::Size)
}

fn views(texts: &impl Texts) -> Parsed {
    let mut builder = StringViewBuilder::with_capacity(texts.rows());
    let mut scratch = Vec::new();
    for row in 0..texts.rows() {
        match texts.text(row, &mut scratch) {
            Some(text) => builder.append_value(utf8(text, row)?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn utf8(text: &[u8], row: usize) -> Result<&str, Misfit> {
    simdutf8::compat::from_utf8(text).map_err(|error| Misfit::Encoding(row, error.valid_up_to()))
}

/// Calls `append` with the bytes of each `\x…`, or none for NULL.
fn each_bytes(texts: &impl Texts, mut append: impl FnMut(Option<&[u8]>) -> bool) -> Result<(), Misfit> {
    let (mut scratch, mut value) = (Vec::new(), Vec::new());
    for row in 0..texts.rows() {
        let fits = if let Some(text) = texts.text(row, &mut scratch) {
            value.clear();
            binary::hex(text, &mut value).ok_or(Misfit::Row(row))?;
            append(Some(&value))
        } else {
            append(None)
        };
        if !fits {
            return Err(Misfit::Row(row));
        }
    }
    Ok(())
}

fn bytes(texts: &impl Texts) -> Parsed {
    let total = total(texts) / 2;
    if i32::try_from(total).is_err() {
        return Err(Misfit::Size);
    }
    let mut builder = BinaryBuilder::with_capacity(texts.rows(), total);
    each_bytes(texts, |value| {
        builder.append_option(value);
        true
    })?;
    Ok(Arc::new(builder.finish()))
}

fn large_bytes(texts: &impl Texts) -> Parsed {
    let mut builder = LargeBinaryBuilder::with_capacity(texts.rows(), total(texts) / 2);
    each_bytes(texts, |value| {
        builder.append_option(value);
        true
    })?;
    Ok(Arc::new(builder.finish()))
}

fn fixed_bytes(texts: &impl Texts, width: i32) -> Parsed {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.rows(), width);
    each_bytes(texts, |value| {
        if let Some(value) = value {
            return builder.append_value(value).is_ok();
        }
        builder.append_null();
        true
    })?;
    Ok(Arc::new(builder.finish()))
}

fn uuids(texts: &impl Texts, form: Form) -> Parsed {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.rows(), 16);
    let mut scratch = Vec::new();
    for row in 0..texts.rows() {
        if let Some(text) = texts.text(row, &mut scratch) {
            let parsed = binary::uuid(text).or_else(|| trimmed(text, form).and_then(binary::uuid));
            builder.append_value(parsed.ok_or(Misfit::Row(row))?).map_err(|_| Misfit::Row(row))?;
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}
