//! Columns of texts to typed arrays: one loop per type, nothing allocated per value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, GenericStringArray, LargeBinaryBuilder, NullArray,
    NullBufferBuilder, OffsetSizeTrait, PrimitiveArray, StringViewBuilder,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Date32Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use lexical_core::FromLexical;

use super::pattern::Pattern;
use super::time::Zone;
use super::{Dates, binary, boolean, interval, number, time};
use crate::schema;

/// A column of texts.
pub(crate) trait Texts {
    /// How many there are.
    fn rows(&self) -> usize;

    /// The text of a row; none is NULL. `scratch` may be used to hold it.
    fn text<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]>;
}

/// Which texts of a value are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'p> {
    /// Only what programs write: no leading zeros, plus signs or spaces, `true` and `false`. For columns whose type
    /// was inferred, so that `007` far behind the sample is not taken for 7.
    Plain,
    /// All texts of the type. For columns whose type was given.
    Any,
    /// Dates and times that are written so. It handles the type of the column.
    Pattern(&'p Pattern),
    /// All texts of the type, and of a number that has the value of an integer, as `12.0`.
    ByValue,
    /// All texts of the type, and these dates and timestamps.
    Also(&'p Dates),
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

/// What is done with a text that is no value: an error ends the parsing, else it becomes NULL.
type Refuse<'a> = dyn FnMut(Misfit) -> Result<(), Misfit> + 'a;

/// Parses all texts as values of `field`. The first misfit ends it.
pub(crate) fn parse_column(texts: &impl Texts, field: &Field, form: Form<'_>) -> Parsed {
    sift_column(texts, field, form, &mut Err)
}

/// Parses all texts as values of `field`. Each misfit of a row is given to `refuse`, in the order of the rows; what that lets
/// pass is NULL in the array.
pub(crate) fn sift_column(texts: &impl Texts, field: &Field, form: Form<'_>, refuse: &mut Refuse<'_>) -> Parsed {
    if let Form::Pattern(pattern) = form {
        let array = patterned(texts, field.data_type(), (pattern, form, refuse));
        return array.map(|array| with_type(&array, field.data_type()));
    }
    match field.data_type() {
        DataType::Null => nulls(texts, refuse),
        DataType::Boolean => booleans(texts, form, refuse),
        DataType::Int8 => integers::<Int8Type>(texts, (form, refuse)),
        DataType::Int16 => integers::<Int16Type>(texts, (form, refuse)),
        DataType::Int32 => integers::<Int32Type>(texts, (form, refuse)),
        DataType::Int64 => integers::<Int64Type>(texts, (form, refuse)),
        DataType::UInt8 => integers::<UInt8Type>(texts, (form, refuse)),
        DataType::UInt16 => integers::<UInt16Type>(texts, (form, refuse)),
        DataType::UInt32 => integers::<UInt32Type>(texts, (form, refuse)),
        DataType::UInt64 => integers::<UInt64Type>(texts, (form, refuse)),
        DataType::Float32 => floats::<Float32Type>(texts, (form, refuse)),
        DataType::Float64 => floats::<Float64Type>(texts, (form, refuse)),
        DataType::Decimal128(precision, scale) => {
            numbers::<Decimal128Type>(texts, (form, refuse), |text| number::decimal(text, *precision, *scale))
        }
        DataType::Decimal256(precision, scale) => {
            numbers::<Decimal256Type>(texts, (form, refuse), |text| number::decimal256(text, *precision, *scale))
        }
        DataType::Date32 => match form {
            Form::Also(dates) => {
                values::<Date32Type>(texts, (form, refuse), |text| time::date(text).or_else(|| dates.date(text)))
            }
            _ => values::<Date32Type>(texts, (form, refuse), time::date),
        },
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            values::<IntervalMonthDayNanoType>(texts, (form, refuse), interval::interval)
        }
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) | DataType::Timestamp(..) => {
            return clocks(texts, field.data_type(), (form, refuse));
        }
        DataType::Utf8 => return strings::<i32>(texts, refuse),
        DataType::LargeUtf8 => return strings::<i64>(texts, refuse),
        DataType::Utf8View => return views(texts, refuse),
        DataType::Binary => return bytes(texts, refuse),
        DataType::LargeBinary => return large_bytes(texts, refuse),
        DataType::FixedSizeBinary(16) if schema::is_uuid(field) => uuids(texts, form, refuse),
        DataType::FixedSizeBinary(width) => return fixed_bytes(texts, *width, refuse),
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

/// Which texts are taken, and what is done with others.
type Taken<'t, 'r> = (Form<'t>, &'t mut Refuse<'r>);

fn clocks(texts: &impl Texts, data_type: &DataType, (form, refuse): Taken<'_, '_>) -> Parsed {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let duration = |unit| move |text: &[u8]| time::duration(text, unit);
    let array = match data_type {
        DataType::Duration(Second) => values::<DurationSecondType>(texts, (form, refuse), duration(Second)),
        DataType::Duration(Millisecond) => {
            values::<DurationMillisecondType>(texts, (form, refuse), duration(Millisecond))
        }
        DataType::Duration(Microsecond) => {
            values::<DurationMicrosecondType>(texts, (form, refuse), duration(Microsecond))
        }
        DataType::Duration(Nanosecond) => values::<DurationNanosecondType>(texts, (form, refuse), duration(Nanosecond)),
        _ => match form {
            Form::Also(dates) => {
                let stamp = |text: &[u8], unit, zone| dates.timestamp(text, unit, zone);
                times(texts, data_type, (form, refuse), (time::time, stamp))
            }
            _ => times(texts, data_type, (form, refuse), (time::time, time::timestamp)),
        },
    };
    array.map(|array| with_type(&array, data_type))
}

/// Dates and times of a pattern.
fn patterned(
    texts: &impl Texts,
    data_type: &DataType,
    (pattern, form, refuse): (&Pattern, Form<'_>, &mut Refuse<'_>),
) -> Parsed {
    if *data_type == DataType::Date32 {
        return values::<Date32Type>(texts, (form, refuse), |text| pattern.date(text));
    }
    let time = |text: &[u8], unit| pattern.time(text, unit);
    let stamp = |text: &[u8], unit, zone| pattern.timestamp(text, unit, zone);
    times(texts, data_type, (form, refuse), (time, stamp))
}

/// Times of day, which `time` reads, and points in time, which `stamp` reads.
fn times(
    texts: &impl Texts,
    data_type: &DataType,
    taken: Taken<'_, '_>,
    (time, stamp): (impl Fn(&[u8], TimeUnit) -> Option<i64>, impl Fn(&[u8], TimeUnit, Zone) -> Option<i64>),
) -> Parsed {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let small = |text: &[u8], unit| time(text, unit).and_then(|value| i32::try_from(value).ok());
    match data_type {
        DataType::Time32(Second) => values::<Time32SecondType>(texts, taken, |text| small(text, Second)),
        DataType::Time32(Millisecond) => values::<Time32MillisecondType>(texts, taken, |text| small(text, Millisecond)),
        DataType::Time64(Microsecond) => values::<Time64MicrosecondType>(texts, taken, |text| time(text, Microsecond)),
        DataType::Time64(Nanosecond) => values::<Time64NanosecondType>(texts, taken, |text| time(text, Nanosecond)),
        DataType::Timestamp(unit, zone) => {
            let zone = if zone.is_some() { Zone::Zoned } else { Zone::Local };
            let stamp = |text: &[u8]| stamp(text, *unit, zone);
            match unit {
                Second => values::<TimestampSecondType>(texts, taken, stamp),
                Millisecond => values::<TimestampMillisecondType>(texts, taken, stamp),
                Microsecond => values::<TimestampMicrosecondType>(texts, taken, stamp),
                Nanosecond => values::<TimestampNanosecondType>(texts, taken, stamp),
            }
        }
        _ => Err(Misfit::Type),
    }
}

fn integers<T>(texts: &impl Texts, (form, refuse): Taken<'_, '_>) -> Parsed
where
    T: ArrowPrimitiveType,
    T::Native: FromLexical + TryFrom<i128>,
{
    let by_value = |text: &[u8]| {
        let value =
            if matches!(form, Form::ByValue) { number::decimal(text, DECIMAL128_MAX_PRECISION, 0) } else { None };
        value.and_then(|value| T::Native::try_from(value).ok())
    };
    numbers::<T>(texts, (form, refuse), |text| number::integer(text).or_else(|| by_value(text)))
}

fn numbers<T: ArrowPrimitiveType>(
    texts: &impl Texts,
    (form, refuse): Taken<'_, '_>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Parsed {
    let taken = (form, refuse);
    match form {
        Form::Plain => values::<T>(texts, taken, |text| if number::is_plain(text) { parse(text) } else { None }),
        _ => values::<T>(texts, taken, parse),
    }
}

/// Floats, which have a zero below zero that no other number has.
fn floats<T>(texts: &impl Texts, (form, refuse): Taken<'_, '_>) -> Parsed
where
    T: ArrowPrimitiveType,
    T::Native: number::Float,
{
    let plain = |text: &[u8]| if number::is_plain(text) || text == b"-0" { number::float(text) } else { None };
    match form {
        Form::Plain => values::<T>(texts, (form, refuse), plain),
        _ => values::<T>(texts, (form, refuse), number::float),
    }
}

fn values<T: ArrowPrimitiveType>(
    texts: &impl Texts,
    (form, refuse): Taken<'_, '_>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Parsed {
    let rows = texts.rows();
    let mut values = Vec::with_capacity(rows);
    let mut valid = NullBufferBuilder::new(rows);
    let mut scratch = Vec::new();
    for row in 0..rows {
        if let Some(text) = texts.text(row, &mut scratch) {
            if let Some(value) = parse(text).or_else(|| trimmed(text, form).and_then(&parse)) {
                values.push(value);
                valid.append_non_null();
                continue;
            }
            refuse(Misfit::Row(row))?;
        }
        values.push(T::Native::default());
        valid.append_null();
    }
    Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), valid.finish())))
}

/// The text without the spaces around it, where they may be dropped.
fn trimmed<'t>(text: &'t [u8], form: Form<'_>) -> Option<&'t [u8]> {
    let inner = text.trim_ascii();
    (!matches!(form, Form::Plain) && inner.len() < text.len()).then_some(inner)
}

fn booleans(texts: &impl Texts, form: Form<'_>, refuse: &mut Refuse<'_>) -> Parsed {
    let mut builder = BooleanBuilder::with_capacity(texts.rows());
    let mut scratch = Vec::new();
    for row in 0..texts.rows() {
        let text = texts.text(row, &mut scratch);
        let value = match (text, form) {
            (None, _) => None,
            (Some(b"true"), _) => Some(true),
            (Some(b"false"), _) => Some(false),
            (Some(_), Form::Plain) => None,
            (Some(text), _) => boolean(text.trim_ascii()),
        };
        if value.is_none() && text.is_some() {
            refuse(Misfit::Row(row))?;
        }
        builder.append_option(value);
    }
    Ok(Arc::new(builder.finish()))
}

fn nulls(texts: &impl Texts, refuse: &mut Refuse<'_>) -> Parsed {
    let mut scratch = Vec::new();
    for row in 0..texts.rows() {
        if texts.text(row, &mut scratch).is_some() {
            refuse(Misfit::Row(row))?;
        }
    }
    Ok(Arc::new(NullArray::new(texts.rows())))
}

/// Bytes that all texts have together, so that builders need not grow.
fn total(texts: &impl Texts) -> usize {
    let mut scratch = Vec::new();
    (0..texts.rows()).map(|row| texts.text(row, &mut scratch).map_or(0, <[u8]>::len)).sum()
}

/// The texts are copied together and validated at once.
fn strings<O: OffsetSizeTrait>(texts: &impl Texts, refuse: &mut Refuse<'_>) -> Parsed {
    let total = total(texts);
    if O::from_usize(total).is_none() {
        return Err(Misfit::Size);
    }
    if let Some(array) = joined::<O>(texts, total, |_| true) {
        return Ok(array);
    }
    let mut scratch = Vec::new();
    let mut good = vec![true; texts.rows()];
    for (row, good) in good.iter_mut().enumerate() {
        if let Some(Err(misfit)) = texts.text(row, &mut scratch).map(|text| utf8(text, row)) {
            refuse(misfit)?;
            *good = false;
        }
    }
    joined::<O>(texts, total, |row| good[row]).ok_or(Misfit::Size)
}

/// The texts of the rows that are `good`, NULL for others; none where they are not UTF-8.
fn joined<O: OffsetSizeTrait>(texts: &impl Texts, total: usize, good: impl Fn(usize) -> bool) -> Option<ArrayRef> {
    let rows = texts.rows();
    let mut values: Vec<u8> = Vec::with_capacity(total);
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut valid = NullBufferBuilder::new(rows);
    let mut scratch = Vec::new();
    offsets.push(O::default());
    for row in 0..rows {
        if let Some(text) = texts.text(row, &mut scratch).filter(|_| good(row)) {
            values.extend_from_slice(text);
            valid.append_non_null();
        } else {
            valid.append_null();
        }
        offsets.push(O::usize_as(values.len()));
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = GenericStringArray::try_new(offsets, Buffer::from_vec(values), valid.finish()).ok()?;
    Some(Arc::new(array))
}

fn views(texts: &impl Texts, refuse: &mut Refuse<'_>) -> Parsed {
    let mut builder = StringViewBuilder::with_capacity(texts.rows());
    let mut scratch = Vec::new();
    for row in 0..texts.rows() {
        match texts.text(row, &mut scratch).map(|text| utf8(text, row)) {
            Some(Ok(text)) => builder.append_value(text),
            Some(Err(misfit)) => {
                refuse(misfit)?;
                builder.append_null();
            }
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn utf8(text: &[u8], row: usize) -> Result<&str, Misfit> {
    simdutf8::compat::from_utf8(text).map_err(|error| Misfit::Encoding(row, error.valid_up_to()))
}

/// Calls `append` with the bytes of each `\x…`, or none for NULL. It answers whether they fit.
fn each_bytes(
    texts: &impl Texts,
    refuse: &mut Refuse<'_>,
    mut append: impl FnMut(Option<&[u8]>) -> bool,
) -> Result<(), Misfit> {
    let (mut scratch, mut value) = (Vec::new(), Vec::new());
    for row in 0..texts.rows() {
        if let Some(text) = texts.text(row, &mut scratch) {
            value.clear();
            if binary::hex(text, &mut value).is_some() && append(Some(&value)) {
                continue;
            }
            refuse(Misfit::Row(row))?;
        }
        append(None);
    }
    Ok(())
}

fn bytes(texts: &impl Texts, refuse: &mut Refuse<'_>) -> Parsed {
    let total = total(texts) / 2;
    if i32::try_from(total).is_err() {
        return Err(Misfit::Size);
    }
    let mut builder = BinaryBuilder::with_capacity(texts.rows(), total);
    each_bytes(texts, refuse, |value| {
        builder.append_option(value);
        true
    })?;
    Ok(Arc::new(builder.finish()))
}

fn large_bytes(texts: &impl Texts, refuse: &mut Refuse<'_>) -> Parsed {
    let mut builder = LargeBinaryBuilder::with_capacity(texts.rows(), total(texts) / 2);
    each_bytes(texts, refuse, |value| {
        builder.append_option(value);
        true
    })?;
    Ok(Arc::new(builder.finish()))
}

fn fixed_bytes(texts: &impl Texts, width: i32, refuse: &mut Refuse<'_>) -> Parsed {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.rows(), width);
    each_bytes(texts, refuse, |value| {
        if let Some(value) = value {
            return builder.append_value(value).is_ok();
        }
        builder.append_null();
        true
    })?;
    Ok(Arc::new(builder.finish()))
}

fn uuids(texts: &impl Texts, form: Form<'_>, refuse: &mut Refuse<'_>) -> Parsed {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.rows(), 16);
    let mut scratch = Vec::new();
    for row in 0..texts.rows() {
        if let Some(text) = texts.text(row, &mut scratch) {
            let parsed = binary::uuid(text).or_else(|| trimmed(text, form).and_then(binary::uuid));
            if parsed.is_some_and(|value| builder.append_value(value).is_ok()) {
                continue;
            }
            refuse(Misfit::Row(row))?;
        }
        builder.append_null();
    }
    Ok(Arc::new(builder.finish()))
}
