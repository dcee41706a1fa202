//! One scalar column: a typed loop per type.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::{MutableBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use super::super::typemap::{EPOCH_DAYS, EPOCH_MICROS, Read};
use super::numeric;
use crate::formats::fields::{
    Fault, Fields, binary, boolean, fixed, primitive, primitive_array, strings, text, too_long, variable,
};

/// Microseconds of a day: 24:00, which PostgreSQL takes and Arrow does not.
const DAY_MICROS: i64 = 86_400_000_000;

const INFINITE: &str = "infinity has no place in an Arrow date or time";

/// Decodes a column of `read` into `data_type`, its Arrow form.
pub(super) fn scalar(read: Read, data_type: &DataType, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    Ok(match read {
        Read::Bool => boolean(fields)?,
        Read::Int2 => primitive::<Int16Type, 2>(fields, |bytes| Ok(i16::from_be_bytes(bytes)))?,
        Read::Int4 => primitive::<Int32Type, 4>(fields, |bytes| Ok(i32::from_be_bytes(bytes)))?,
        Read::Int8 => primitive::<Int64Type, 8>(fields, |bytes| Ok(i64::from_be_bytes(bytes)))?,
        Read::Oid => primitive::<Int64Type, 4>(fields, |bytes| Ok(i64::from(u32::from_be_bytes(bytes))))?,
        Read::Float4 => primitive::<Float32Type, 4>(fields, |bytes| Ok(f32::from_be_bytes(bytes)))?,
        Read::Float8 => primitive::<Float64Type, 8>(fields, |bytes| Ok(f64::from_be_bytes(bytes)))?,
        Read::Numeric => numeric::column(data_type, fields)?,
        Read::Text | Read::Json | Read::AsText | Read::Refused => text(fields)?,
        Read::Char => chars(fields)?,
        Read::Jsonb => jsonb(fields)?,
        Read::Bytea => binary(fields)?,
        Read::Date => primitive::<Date32Type, 4>(fields, date)?,
        Read::Time => primitive::<Time64MicrosecondType, 8>(fields, time)?,
        Read::Timestamp => primitive::<TimestampMicrosecondType, 8>(fields, timestamp)?,
        Read::TimestampTz => {
            let array = primitive_array::<TimestampMicrosecondType, 8>(fields, timestamp)?;
            Arc::new(array.with_timezone("UTC"))
        }
        Read::Interval => primitive::<IntervalMonthDayNanoType, 16>(fields, interval)?,
        Read::Uuid => fixed(fields)?,
    })
}

/// The text of a value that no Arrow form of its type holds; none where it has none that is known here.
pub(super) fn text_of(read: Read, value: &[u8]) -> Option<String> {
    let infinity = |greatest: bool, least: bool| match (greatest, least) {
        (true, _) => Some("infinity".to_owned()),
        (_, true) => Some("-infinity".to_owned()),
        _ => None,
    };
    match read {
        Read::Date => {
            let days = i32::from_be_bytes(value.try_into().ok()?);
            infinity(days == i32::MAX, days == i32::MIN)
        }
        Read::Timestamp | Read::TimestampTz => {
            let micros = i64::from_be_bytes(value.try_into().ok()?);
            infinity(micros == i64::MAX, micros == i64::MIN)
        }
        Read::Time => (i64::from_be_bytes(value.try_into().ok()?) == DAY_MICROS).then(|| "24:00:00".to_owned()),
        Read::Numeric => numeric::text_of(value),
        _ => None,
    }
}

fn date(bytes: [u8; 4]) -> Result<i32, &'static str> {
    match i32::from_be_bytes(bytes) {
        i32::MIN | i32::MAX => Err(INFINITE),
        days => days.checked_add(EPOCH_DAYS).ok_or("the date is beyond Arrow's range"),
    }
}

fn time(bytes: [u8; 8]) -> Result<i64, &'static str> {
    match i64::from_be_bytes(bytes) {
        micros @ 0..DAY_MICROS => Ok(micros),
        _ => Err("24:00 has no place in an Arrow time"),
    }
}

fn timestamp(bytes: [u8; 8]) -> Result<i64, &'static str> {
    match i64::from_be_bytes(bytes) {
        i64::MIN | i64::MAX => Err(INFINITE),
        micros => micros.checked_add(EPOCH_MICROS).ok_or("the timestamp is beyond Arrow's range"),
    }
}

fn interval(bytes: [u8; 16]) -> Result<IntervalMonthDayNano, &'static str> {
    let whole = u128::from_be_bytes(bytes);
    let (micros, days, months) = ((whole >> 64) as i64, (whole >> 32) as i32, whole as i32);
    if matches!((micros, days, months), (i64::MAX, i32::MAX, i32::MAX) | (i64::MIN, i32::MIN, i32::MIN)) {
        return Err(INFINITE);
    }
    let nanos = micros.checked_mul(1_000).ok_or("the interval is beyond Arrow's range of nanoseconds")?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

/// JSON after its version byte, which is 1.
fn jsonb(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let (offsets, values) = variable(fields, |bytes| bytes.strip_prefix(&[1]))?;
    strings(offsets, values, fields)
}

/// `"char"` as PostgreSQL writes it: nothing for 0, `\377` for a byte that is no ASCII.
fn chars(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let mut values = MutableBuffer::with_capacity(fields.spans.len());
    let mut offsets = Vec::with_capacity(fields.spans.len() + 1);
    offsets.push(0);
    for (row, field) in fields.iter().enumerate() {
        match field {
            None | Some([0]) => {}
            Some([byte]) if byte.is_ascii() => values.extend_from_slice(&[*byte]),
            Some([byte]) => {
                values.extend_from_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
            }
            Some(_) => return Err(Fault::corrupt(row)),
        }
        offsets.push(i32::try_from(values.len()).map_err(|_| too_long(row))?);
    }
    strings(OffsetBuffer::new(ScalarBuffer::from(offsets)), values.into(), fields)
}
