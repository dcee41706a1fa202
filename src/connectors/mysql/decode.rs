//! Rows of the binary protocol into Arrow columns: the fields of all rows are looked for first, then each column is filled.
//!
//! Pure: bytes in, a batch out. A row is a zero, a bitmap of NULLs from its third bit on, and the values that are not NULL.
//! Source: "Binary Protocol Resultset Row" in MySQL's description of the client/server protocol.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BinaryArray, PrimitiveArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, FieldRef, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use bytes::Bytes;
use mysql_common::constants::ColumnType;

use super::typemap::{Kind, TimeForm, WITH_SYSTEM, ZeroDates};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::fields::sift::{self, Decoder};
use crate::formats::fields::{self, Fault, Fields, Indexed, Span, nulls};
use crate::formats::value::binary::uuid;
use crate::formats::value::number::{decimal, decimal256};
use crate::formats::value::time::{days_from_civil, month_days};
use crate::reject::Rejects;
use crate::schema::record_batch;

const DAY_MICROS: i64 = 86_400_000_000;

/// Rows that came together.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    pub(super) bytes: Bytes,
    /// Start and length of the payload of each row in `bytes`.
    pub(super) rows: Vec<(u32, u32)>,
}

/// How the columns of a stream are decoded.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<Decoding>,
}

/// How one column is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decoding {
    pub(super) kind: Kind,
    pub(super) width: Width,
    /// What becomes of dates with zeros.
    pub(super) zeros: ZeroDates,
    pub(super) times: TimeForm,
}

/// How many bytes a value takes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Fixed(u8),
    /// One byte says how many follow.
    Temporal,
    /// A length of one to nine bytes comes first.
    Text,
}

impl Width {
    /// That of a column as the server announces it.
    pub(super) fn of(column_type: ColumnType) -> Self {
        use ColumnType as T;
        match column_type {
            T::MYSQL_TYPE_NULL => Self::Fixed(0),
            T::MYSQL_TYPE_TINY => Self::Fixed(1),
            T::MYSQL_TYPE_SHORT | T::MYSQL_TYPE_YEAR => Self::Fixed(2),
            T::MYSQL_TYPE_LONG | T::MYSQL_TYPE_INT24 | T::MYSQL_TYPE_FLOAT => Self::Fixed(4),
            T::MYSQL_TYPE_LONGLONG | T::MYSQL_TYPE_DOUBLE => Self::Fixed(8),
            T::MYSQL_TYPE_DATE
            | T::MYSQL_TYPE_NEWDATE
            | T::MYSQL_TYPE_DATETIME
            | T::MYSQL_TYPE_DATETIME2
            | T::MYSQL_TYPE_TIMESTAMP
            | T::MYSQL_TYPE_TIMESTAMP2
            | T::MYSQL_TYPE_TIME
            | T::MYSQL_TYPE_TIME2 => Self::Temporal,
            _ => Self::Text,
        }
    }
}

/// Decodes rows, before which `first_row` rows of the same stream came.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) for rows that do not parse; [`Value`](ErrorKind::Value) for values that the Arrow form does
/// not hold, with column and row.
pub(super) fn decode(layout: &Layout, frames: &Frames, first_row: u64) -> Result<RecordBatch> {
    if layout.columns.is_empty() {
        return record_batch(&layout.schema, Vec::new(), frames.rows.len());
    }
    let indexed = index(layout, frames, first_row)?;
    let mut arrays = Vec::with_capacity(layout.columns.len());
    for (position, column) in layout.columns.iter().enumerate() {
        let field = &layout.schema.fields()[position];
        let array = array(*column, field.data_type(), indexed.column(position));
        arrays.push(array.map_err(|fault| error(&fault, field, first_row))?);
    }
    record_batch(&layout.schema, arrays, frames.rows.len())
}

/// As [`decode`], but rows with values that the Arrow form does not hold come beside the others.
pub(super) fn sift(layout: &Layout, frames: &Frames, first_row: u64) -> Result<(RecordBatch, Option<Rejects>)> {
    if layout.columns.is_empty() {
        return Ok((decode(layout, frames, first_row)?, None));
    }
    let indexed = index(layout, frames, first_row)?;
    sift::sift(&layout.schema, (&indexed, frames.rows.len()), &Rows { layout, first_row })
}

/// Looks for the fields of rows of at least one column.
fn index<'a>(layout: &Layout, frames: &'a Frames, first_row: u64) -> Result<Indexed<'a>> {
    let widths: Vec<Width> = layout.columns.iter().map(|column| column.width).collect();
    let shape = (frames.rows.len(), widths.len());
    let indexed = Indexed::new(&frames.bytes, shape, |spans, stride| fill(frames, &widths, spans, stride));
    indexed.ok_or_else(|| {
        let error = Error::new(ErrorKind::Corrupt, "the server sent a row that does not parse");
        error.at("row", first_row + 1)
    })
}

/// Rows before which others of the same stream came.
struct Rows<'a> {
    layout: &'a Layout,
    first_row: u64,
}

impl Decoder for Rows<'_> {
    fn array(&self, position: usize, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
        array(self.layout.columns[position], self.layout.schema.field(position).data_type(), fields)
    }

    fn text(&self, position: usize, value: &[u8]) -> Option<String> {
        match self.layout.columns[position].kind {
            kind @ (Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_)) => Some(Moment::parse(value).ok()?.text(kind)),
            Kind::Time(digits) => {
                let micros = duration(value).ok()?;
                Some(format!("{}{}", if micros < 0 { "-" } else { "" }, clock(micros.abs(), digits)))
            }
            _ => String::from_utf8(value.to_vec()).ok(),
        }
    }

    fn error(&self, position: usize, fault: &Fault) -> Error {
        error(fault, &self.layout.schema.fields()[position], self.first_row)
    }
}

fn error(fault: &Fault, field: &FieldRef, first_row: u64) -> Error {
    let error = Error::new(fault.kind, fault.why);
    let error = match fault.why {
        ZERO => {
            error.with_hint("read such dates as NULL or as text with ?zeroDates=null or ?zeroDates=text in its URL")
        }
        BEYOND => error.with_hint("read such times as durations with ?time=duration in the URL"),
        _ => error,
    };
    error.at("column", field.name()).at("row", first_row + fault.row as u64 + 1)
}

/// Notes where all fields lie; none when the rows are no rows of these columns.
fn fill(frames: &Frames, widths: &[Width], spans: &mut [Span], stride: usize) -> Option<()> {
    let bitmap_bytes = (widths.len() + 9) / 8;
    for (row, (start, payload)) in frames.rows.iter().enumerate() {
        let start = *start as usize;
        let bytes = frames.bytes.get(start..start + *payload as usize)?;
        let bitmap = bytes.get(1..=bitmap_bytes)?;
        let mut at = 1 + bitmap_bytes;
        for (column, width) in widths.iter().enumerate() {
            let bit = column + 2;
            let span = &mut spans[column * stride + row];
            if bitmap[bit / 8] >> (bit % 8) & 1 == 1 {
                *span = Span::NULL;
                continue;
            }
            let value = match width {
                Width::Fixed(value) => usize::from(*value),
                Width::Temporal => {
                    at += 1;
                    usize::from(*bytes.get(at - 1)?)
                }
                Width::Text => {
                    let (value, rest) = length(bytes.get(at..)?)?;
                    at = bytes.len() - rest.len();
                    usize::try_from(value).ok()?
                }
            };
            *span = Span { start: (start + at) as u32, length: i32::try_from(value).ok()? };
            at = at.checked_add(value)?;
        }
        if at != bytes.len() {
            return None;
        }
    }
    Some(())
}

/// A number of one to nine bytes, and what follows it. A text begins with its length in this form.
pub(super) fn length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let width = match first {
        0..=0xfa => return Some((u64::from(*first), rest)),
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(width)?;
    let mut whole = [0; 8];
    whole[..width].copy_from_slice(number);
    Some((u64::from_le_bytes(whole), rest))
}

fn array(column: Decoding, data_type: &DataType, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let array = sent(column, data_type, fields)?;
    if array.data_type() == data_type || !array.data_type().is_integer() || !data_type.is_integer() {
        return Ok(array);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&array, data_type, &strict).map_err(|_| Fault::corrupt(0))
}

/// The values as they were sent.
fn sent(column: Decoding, data_type: &DataType, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    Ok(match column.kind {
        // In the form of text whatever the type.
        _ if *data_type == DataType::Utf8 && column.width == Width::Text => fields::text(fields)?,
        Kind::Int8 => fields::primitive::<Int8Type, 1>(fields, |bytes| Ok(i8::from_le_bytes(bytes)))?,
        Kind::Int16 | Kind::Year => fields::primitive::<Int16Type, 2>(fields, |bytes| Ok(i16::from_le_bytes(bytes)))?,
        Kind::Int32 => fields::primitive::<Int32Type, 4>(fields, |bytes| Ok(i32::from_le_bytes(bytes)))?,
        Kind::Int64 => fields::primitive::<Int64Type, 8>(fields, |bytes| Ok(i64::from_le_bytes(bytes)))?,
        Kind::UInt8 => fields::primitive::<UInt8Type, 1>(fields, |bytes| Ok(u8::from_le_bytes(bytes)))?,
        Kind::UInt16 => fields::primitive::<UInt16Type, 2>(fields, |bytes| Ok(u16::from_le_bytes(bytes)))?,
        Kind::UInt32 => fields::primitive::<UInt32Type, 4>(fields, |bytes| Ok(u32::from_le_bytes(bytes)))?,
        Kind::UInt64 => fields::primitive::<UInt64Type, 8>(fields, |bytes| Ok(u64::from_le_bytes(bytes)))?,
        Kind::Float => fields::primitive::<Float32Type, 4>(fields, |bytes| Ok(f32::from_le_bytes(bytes)))?,
        Kind::Double => fields::primitive::<Float64Type, 8>(fields, |bytes| Ok(f64::from_le_bytes(bytes)))?,
        Kind::Decimal(precision @ ..=38, scale) => {
            let array = values::<Decimal128Type>(fields, |text| found(decimal(text, precision, scale), UNFIT))?;
            Arc::new(array.with_precision_and_scale(precision, scale).map_err(|_| unfit())?)
        }
        Kind::Decimal(precision, scale) => {
            let array = values::<Decimal256Type>(fields, |text| found(decimal256(text, precision, scale), UNFIT))?;
            Arc::new(array.with_precision_and_scale(precision, scale).map_err(|_| unfit())?)
        }
        Kind::Bit(1) => fields::boolean(fields)?,
        Kind::Bit(_) => Arc::new(values::<UInt64Type>(fields, |bytes| found(number(bytes), UNFIT))?),
        Kind::Date => Arc::new(dated::<Date32Type>(fields, column.zeros, |at| Ok(at.days()? as i32))?),
        Kind::DateTime(_) => Arc::new(dated::<TimestampMicrosecondType>(fields, column.zeros, Moment::micros)?),
        Kind::Timestamp(_) => {
            let array = dated::<TimestampMicrosecondType>(fields, column.zeros, Moment::micros)?;
            Arc::new(array.with_timezone("UTC"))
        }
        Kind::Time(_) => match column.times {
            TimeForm::Time => Arc::new(values::<Time64MicrosecondType>(fields, |bytes| match duration(bytes)? {
                micros @ 0..DAY_MICROS => Ok(micros),
                _ => Err(BEYOND),
            })?),
            TimeForm::Duration => Arc::new(values::<DurationMicrosecondType>(fields, duration)?),
        },
        Kind::Text | Kind::Json => fields::text(fields)?,
        Kind::Binary => fields::binary(fields)?,
        Kind::Geometry => geometries(fields)?,
        Kind::Uuid => uuids(fields)?,
    })
}

const ZERO: &str = "a date with zeros in it has no place in Arrow";
const BEYOND: &str = "a negative time, or one of 24 hours or more, has no place in an Arrow time of day";
const UNFIT: &str = "the number does not fit the precision and scale of its column";
const CORRUPT: &str = "the server sent a value that is none of its type";

fn unfit() -> Fault {
    Fault { row: 0, kind: ErrorKind::Internal, why: "a decimal column has bounds that no decimal has" }
}

fn found<T>(value: Option<T>, otherwise: &'static str) -> Result<T, &'static str> {
    value.ok_or(otherwise)
}

/// The column of what `read` makes of each field.
fn values<T: ArrowPrimitiveType>(
    fields: Fields<'_>,
    read: impl Fn(&[u8]) -> Result<T::Native, &'static str>,
) -> Result<PrimitiveArray<T>, Fault> {
    let mut values = Vec::with_capacity(fields.spans.len());
    for (row, field) in fields.iter().enumerate() {
        values.push(match field {
            Some(bytes) => read(bytes).map_err(|why| Fault::value(row, why))?,
            None => T::Native::default(),
        });
    }
    Ok(PrimitiveArray::new(ScalarBuffer::from(values), nulls(fields)))
}

/// The column of what `read` makes of each moment; those with zeros are refused, or NULL.
fn dated<T: ArrowPrimitiveType>(
    fields: Fields<'_>,
    zeros: ZeroDates,
    read: impl Fn(&Moment) -> Result<T::Native, &'static str>,
) -> Result<PrimitiveArray<T>, Fault> {
    let mut values = Vec::with_capacity(fields.spans.len());
    let mut emptied = Vec::new();
    for (row, field) in fields.iter().enumerate() {
        let value = field.map(|bytes| Moment::parse(bytes).and_then(|moment| read(&moment)));
        values.push(match value {
            Some(Ok(value)) => value,
            Some(Err(ZERO)) if zeros == ZeroDates::Null => {
                emptied.push(row);
                T::Native::default()
            }
            Some(Err(why)) => return Err(Fault::value(row, why)),
            None => T::Native::default(),
        });
    }
    let mut valid = nulls(fields);
    if !emptied.is_empty() {
        let was = |row: usize| valid.as_ref().is_none_or(|valid| valid.is_valid(row));
        let stays = |row: usize| was(row) && emptied.binary_search(&row).is_err();
        valid = Some(NullBuffer::new(BooleanBuffer::collect_bool(fields.spans.len(), stays)));
    }
    Ok(PrimitiveArray::new(ScalarBuffer::from(values), valid))
}

/// A date and a time of day, as they come.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    micros: i64,
}

impl Moment {
    /// 0, 4, 7 or 11 bytes: what is zero at the end is left out.
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if !matches!(bytes.len(), 0 | 4 | 7 | 11) {
            return Err(CORRUPT);
        }
        let mut whole = [0; 11];
        whole[..bytes.len()].copy_from_slice(bytes);
        let [y0, y1, month, day, hour, minute, second, m0, m1, m2, m3] = whole;
        let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        Ok(Self {
            year: u16::from_le_bytes([y0, y1]).into(),
            month: month.into(),
            day: day.into(),
            micros: seconds * 1_000_000 + i64::from(u32::from_le_bytes([m0, m1, m2, m3])),
        })
    }

    /// Days since 1970. The calendar is checked: a server may have taken 31 February.
    fn days(&self) -> Result<i64, &'static str> {
        let Self { year, month, day, .. } = *self;
        if month == 0 || day == 0 {
            return Err(ZERO);
        }
        if month > 12 || day > month_days(year, month) {
            return Err("the date is not in the calendar");
        }
        Ok(days_from_civil(year, month, day))
    }

    /// It as the server writes it.
    fn text(&self, kind: Kind) -> String {
        let Self { year, month, day, micros } = *self;
        let date = format!("{year:04}-{month:02}-{day:02}");
        match kind {
            Kind::DateTime(digits) | Kind::Timestamp(digits) => format!("{date} {}", clock(micros, digits)),
            _ => date,
        }
    }

    /// Microseconds since 1970.
    fn micros(&self) -> Result<i64, &'static str> {
        Ok(self.days()? * DAY_MICROS + self.micros)
    }
}

/// Microseconds as hours, minutes, seconds and so many digits behind them.
fn clock(micros: i64, digits: u8) -> String {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if digits == 0 {
        return clock;
    }
    let fraction = format!("{micros:06}");
    format!("{clock}.{}", &fraction[..usize::from(digits.min(6))])
}

/// Microseconds of a time: a sign, days, hours, minutes, seconds and microseconds in 0, 8 or 12 bytes.
fn duration(bytes: &[u8]) -> Result<i64, &'static str> {
    if !matches!(bytes.len(), 0 | 8 | 12) {
        return Err(CORRUPT);
    }
    let mut whole = [0; 12];
    whole[..bytes.len()].copy_from_slice(bytes);
    let [negative, d0, d1, d2, d3, hour, minute, second, m0, m1, m2, m3] = whole;
    let days = i64::from(u32::from_le_bytes([d0, d1, d2, d3]));
    let seconds = days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let micros = seconds * 1_000_000 + i64::from(u32::from_le_bytes([m0, m1, m2, m3]));
    Ok(if negative == 0 { micros } else { -micros })
}

/// Bits as a number: the first byte counts most.
fn number(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Texts as UUIDs.
fn uuids(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let mut values = Vec::with_capacity(fields.spans.len() * 16);
    for (row, field) in fields.iter().enumerate() {
        match field {
            Some(text) => values.extend(uuid(text).ok_or_else(|| Fault::corrupt(row))?),
            None => values.extend([0; 16]),
        }
    }
    Ok(Arc::new(arrow::array::FixedSizeBinaryArray::new(16, values.into(), nulls(fields))))
}

/// Geometries as WKB. The server puts the number of the reference system before it: one that is not 0 goes into the WKB, in
/// the form that `PostGIS` has for it.
fn geometries(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let mut values = Vec::new();
    let mut offsets = Vec::with_capacity(fields.spans.len() + 1);
    offsets.push(0);
    for (row, field) in fields.iter().enumerate() {
        if let Some(bytes) = field {
            let parts = bytes.split_first_chunk::<4>().and_then(|(system, wkb)| Some((system, wkb, wkb.get(..5)?)));
            let (system, wkb, head) = parts.ok_or_else(|| Fault::corrupt(row))?;
            if *system == [0; 4] {
                values.extend_from_slice(wkb);
            } else {
                let [order, kind @ ..] = head else { return Err(Fault::corrupt(row)) };
                let kind = <[u8; 4]>::try_from(kind).map_err(|_| Fault::corrupt(row))?;
                // The server writes its own with the least byte first.
                if *order != 1 {
                    return Err(Fault::corrupt(row));
                }
                values.push(1);
                values.extend((u32::from_le_bytes(kind) | WITH_SYSTEM).to_le_bytes());
                values.extend_from_slice(system);
                values.extend_from_slice(&wkb[5..]);
            }
        }
        offsets.push(i32::try_from(values.len()).map_err(|_| fields::too_long(row))?);
    }
    Ok(Arc::new(BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), values.into(), nulls(fields))))
}

#[cfg(test)]
mod tests;
