//! SQLite's values into Arrow builders, one builder per column, and the test whether a value fits a kind.
//!
//! SQLite hands out one value at a time, so there is one match per value; nothing is allocated for it.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
    Time64MicrosecondBuilder, Time64NanosecondBuilder, TimestampMicrosecondBuilder, TimestampNanosecondBuilder,
};
use arrow::datatypes::{Field, TimeUnit, i256};
use rusqlite::types::ValueRef;

use super::typemap::Kind;
use super::value::{Moment, parse_date, parse_decimal, parse_time, parse_uuid};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::parting;

/// Bytes that a value of fixed width and its NULL bit take, about.
const FIXED_BYTES: usize = 8;
/// Rows for which builders make room at first.
const FIRST_ROWS: usize = 1024;

/// The value is not of the column's kind.
#[derive(Debug)]
pub(super) struct Misfit;

/// The builder of one column.
pub(super) struct Decoder {
    kind: Kind,
    nullable: bool,
    builder: Builder,
    /// Where numbers become text.
    scratch: String,
}

enum Builder {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal128(Decimal128Builder),
    Decimal256(Decimal256Builder),
    Date(Date32Builder),
    TimeMicros(Time64MicrosecondBuilder),
    TimeNanos(Time64NanosecondBuilder),
    Micros(TimestampMicrosecondBuilder),
    Nanos(TimestampNanosecondBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Text(StringBuilder),
    Blob(BinaryBuilder),
}

impl Decoder {
    /// A decoder of `field`, one that [`Kind::field`] made.
    pub(super) fn new(field: &Field) -> Result<Self> {
        let unknown = || Error::new(ErrorKind::Internal, "sqlite was asked for a type that it did not offer");
        let kind = Kind::of(field).ok_or_else(|| unknown().at("column", field.name()))?;
        let builder = match kind {
            Kind::Boolean => Builder::Boolean(BooleanBuilder::with_capacity(FIRST_ROWS)),
            Kind::Int16 => Builder::Int16(Int16Builder::with_capacity(FIRST_ROWS)),
            Kind::Int32 => Builder::Int32(Int32Builder::with_capacity(FIRST_ROWS)),
            Kind::Int64 => Builder::Int64(Int64Builder::with_capacity(FIRST_ROWS)),
            Kind::Float32 => Builder::Float32(Float32Builder::with_capacity(FIRST_ROWS)),
            Kind::Float64 => Builder::Float64(Float64Builder::with_capacity(FIRST_ROWS)),
            Kind::Decimal { precision, scale } if precision <= 38 => Builder::Decimal128(
                Decimal128Builder::with_capacity(FIRST_ROWS).with_precision_and_scale(precision, scale)?,
            ),
            Kind::Decimal { precision, scale } => Builder::Decimal256(
                Decimal256Builder::with_capacity(FIRST_ROWS).with_precision_and_scale(precision, scale)?,
            ),
            Kind::Date => Builder::Date(Date32Builder::with_capacity(FIRST_ROWS)),
            Kind::Time(TimeUnit::Nanosecond) => Builder::TimeNanos(Time64NanosecondBuilder::with_capacity(FIRST_ROWS)),
            Kind::Time(_) => Builder::TimeMicros(Time64MicrosecondBuilder::with_capacity(FIRST_ROWS)),
            Kind::Timestamp { unit: TimeUnit::Nanosecond, .. } => Builder::Nanos(
                TimestampNanosecondBuilder::with_capacity(FIRST_ROWS).with_data_type(field.data_type().clone()),
            ),
            Kind::Timestamp { .. } => Builder::Micros(
                TimestampMicrosecondBuilder::with_capacity(FIRST_ROWS).with_data_type(field.data_type().clone()),
            ),
            Kind::Uuid => Builder::Uuid(FixedSizeBinaryBuilder::with_capacity(FIRST_ROWS, 16)),
            Kind::Json | Kind::Text | Kind::Mixed => Builder::Text(StringBuilder::with_capacity(FIRST_ROWS, 0)),
            Kind::Blob => Builder::Blob(BinaryBuilder::with_capacity(FIRST_ROWS, 0)),
        };
        Ok(Self { kind, nullable: field.is_nullable(), builder, scratch: String::new() })
    }

    /// Appends `value` and says how many bytes it takes.
    pub(super) fn append(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit> {
        if value == ValueRef::Null {
            return self.append_null();
        }
        match &mut self.builder {
            Builder::Boolean(builder) => builder.append_value(boolean(value).ok_or(Misfit)?),
            Builder::Int16(builder) => builder.append_value(small(value).ok_or(Misfit)?),
            Builder::Int32(builder) => builder.append_value(small(value).ok_or(Misfit)?),
            Builder::Int64(builder) => builder.append_value(small(value).ok_or(Misfit)?),
            Builder::Float32(builder) => builder.append_value(single(value).ok_or(Misfit)?),
            Builder::Float64(builder) => builder.append_value(double(value).ok_or(Misfit)?),
            Builder::Decimal128(builder) => {
                let digits = decimal(value, self.kind, &mut self.scratch).and_then(i256::to_i128);
                builder.append_value(digits.ok_or(Misfit)?);
            }
            Builder::Decimal256(builder) => {
                builder.append_value(decimal(value, self.kind, &mut self.scratch).ok_or(Misfit)?);
            }
            Builder::Date(builder) => builder.append_value(text(value).and_then(parse_date).ok_or(Misfit)?),
            Builder::TimeMicros(builder) => builder.append_value(time(value, 1_000).ok_or(Misfit)?),
            Builder::TimeNanos(builder) => builder.append_value(time(value, 1).ok_or(Misfit)?),
            Builder::Micros(builder) => builder.append_value(moment(value, self.kind).ok_or(Misfit)?),
            Builder::Nanos(builder) => builder.append_value(moment(value, self.kind).ok_or(Misfit)?),
            Builder::Uuid(builder) => {
                builder.append_value(uuid(value).ok_or(Misfit)?).map_err(|_| Misfit)?;
            }
            Builder::Text(builder) => {
                let text = string(value, self.kind, &mut self.scratch).ok_or(Misfit)?;
                builder.append_value(text);
                return Ok(FIXED_BYTES + text.len());
            }
            Builder::Blob(builder) => {
                let ValueRef::Blob(bytes) = value else { return Err(Misfit) };
                builder.append_value(bytes);
                return Ok(FIXED_BYTES + bytes.len());
            }
        }
        Ok(FIXED_BYTES)
    }

    fn append_null(&mut self) -> Result<usize, Misfit> {
        if !self.nullable {
            return Err(Misfit);
        }
        self.append_nothing();
        Ok(FIXED_BYTES)
    }

    /// Appends NULL, whether or not the column may have it: in place of a value that was refused.
    pub(super) fn append_nothing(&mut self) {
        match &mut self.builder {
            Builder::Boolean(builder) => builder.append_null(),
            Builder::Int16(builder) => builder.append_null(),
            Builder::Int32(builder) => builder.append_null(),
            Builder::Int64(builder) => builder.append_null(),
            Builder::Float32(builder) => builder.append_null(),
            Builder::Float64(builder) => builder.append_null(),
            Builder::Decimal128(builder) => builder.append_null(),
            Builder::Decimal256(builder) => builder.append_null(),
            Builder::Date(builder) => builder.append_null(),
            Builder::TimeMicros(builder) => builder.append_null(),
            Builder::TimeNanos(builder) => builder.append_null(),
            Builder::Micros(builder) => builder.append_null(),
            Builder::Nanos(builder) => builder.append_null(),
            Builder::Uuid(builder) => builder.append_null(),
            Builder::Text(builder) => builder.append_null(),
            Builder::Blob(builder) => builder.append_null(),
        }
    }

    /// The values since the last call.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match &mut self.builder {
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Int16(builder) => Arc::new(builder.finish()),
            Builder::Int32(builder) => Arc::new(builder.finish()),
            Builder::Int64(builder) => Arc::new(builder.finish()),
            Builder::Float32(builder) => Arc::new(builder.finish()),
            Builder::Float64(builder) => Arc::new(builder.finish()),
            Builder::Decimal128(builder) => Arc::new(builder.finish()),
            Builder::Decimal256(builder) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::TimeMicros(builder) => Arc::new(builder.finish()),
            Builder::TimeNanos(builder) => Arc::new(builder.finish()),
            Builder::Micros(builder) => Arc::new(builder.finish()),
            Builder::Nanos(builder) => Arc::new(builder.finish()),
            Builder::Uuid(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Blob(builder) => Arc::new(builder.finish()),
        }
    }

    /// The error for a value that [`Decoder::append`] refused. It names the storage class, never the value.
    pub(super) fn error(&self, value: ValueRef<'_>, column: &str) -> Error {
        let message = match value {
            ValueRef::Null => "the column is declared NOT NULL and holds NULL".to_owned(),
            value => format!("{} does not fit the column: {}", storage(value), self.kind.wants()),
        };
        let quoted = column.replace('"', "\"\"");
        // Bytes stay what they are when SQLite makes text of them.
        let is_bytes = match value {
            ValueRef::Text(text) => std::str::from_utf8(text).is_err(),
            value => matches!(value, ValueRef::Blob(_)),
        };
        let class = if is_bytes { "BLOB" } else { "TEXT" };
        Error::new(ErrorKind::Value, message)
            .with_hint(format!(
                "correct the row, or read the column as it is: --query 'SELECT CAST(\"{quoted}\" AS {class}) …'"
            ))
            .at("column", column)
    }
}

/// What is told of a `value` that was refused; none of NULL.
pub(super) fn told(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(text) => Some(parting::told(text)),
        ValueRef::Blob(bytes) => Some(parting::hex(bytes)),
        value => number(value, &mut String::new()).map(str::to_owned),
    }
}

/// Whether `value` can be read as `kind`. NULL always can.
pub(super) fn accepts(kind: Kind, value: ValueRef<'_>) -> bool {
    let mut scratch = String::new();
    match kind {
        _ if value == ValueRef::Null => true,
        Kind::Boolean => boolean(value).is_some(),
        Kind::Int16 => small::<i16>(value).is_some(),
        Kind::Int32 => small::<i32>(value).is_some(),
        Kind::Int64 => small::<i64>(value).is_some(),
        Kind::Float32 => single(value).is_some(),
        Kind::Float64 => double(value).is_some(),
        Kind::Decimal { .. } => decimal(value, kind, &mut scratch).is_some(),
        Kind::Date => text(value).and_then(parse_date).is_some(),
        Kind::Time(unit) => time(value, nanos(unit)).is_some(),
        Kind::Timestamp { .. } => moment(value, kind).is_some(),
        Kind::Uuid => uuid(value).is_some(),
        Kind::Json => string(value, kind, &mut scratch)
            .is_some_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()),
        Kind::Text | Kind::Mixed => string(value, kind, &mut scratch).is_some(),
        Kind::Blob => matches!(value, ValueRef::Blob(_)),
    }
}

fn storage(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "NULL",
        ValueRef::Integer(_) => "an INTEGER value",
        ValueRef::Real(_) => "a REAL value",
        ValueRef::Text(text) if std::str::from_utf8(text).is_err() => "a TEXT value that is not UTF-8",
        ValueRef::Text(_) => "a TEXT value",
        ValueRef::Blob(_) => "a BLOB value",
    }
}

fn boolean(value: ValueRef<'_>) -> Option<bool> {
    match value {
        ValueRef::Integer(0) => Some(false),
        ValueRef::Integer(1) => Some(true),
        _ => None,
    }
}

fn small<T: TryFrom<i64>>(value: ValueRef<'_>) -> Option<T> {
    let ValueRef::Integer(value) = value else { return None };
    T::try_from(value).ok()
}

/// A number that a double holds exactly.
fn double(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Real(value) => Some(value),
        ValueRef::Integer(value) => {
            let double = value as f64;
            (double as i128 == i128::from(value)).then_some(double)
        }
        _ => None,
    }
}

#[expect(clippy::float_cmp, reason = "the same bits are meant")]
fn single(value: ValueRef<'_>) -> Option<f32> {
    let double = double(value)?;
    let single = double as f32;
    (f64::from(single) == double).then_some(single)
}

fn decimal(value: ValueRef<'_>, kind: Kind, scratch: &mut String) -> Option<i256> {
    let Kind::Decimal { precision, scale } = kind else { return None };
    let text = match value {
        ValueRef::Text(text) => text,
        ValueRef::Real(value) if value.is_finite() => {
            scratch.clear();
            write!(scratch, "{value}").ok()?;
            scratch.as_bytes()
        }
        value => number(value, scratch)?.as_bytes(),
    };
    parse_decimal(text, precision, scale)
}

/// The shortest text that reads back as the same number.
fn number<'a>(value: ValueRef<'_>, scratch: &'a mut String) -> Option<&'a str> {
    scratch.clear();
    match value {
        ValueRef::Integer(value) => write!(scratch, "{value}").ok()?,
        ValueRef::Real(value) if value.is_finite() => write!(scratch, "{value:?}").ok()?,
        ValueRef::Real(value) => scratch.push_str(if value > 0.0 { "Inf" } else { "-Inf" }),
        _ => return None,
    }
    Some(scratch)
}

fn text(value: ValueRef<'_>) -> Option<&[u8]> {
    if let ValueRef::Text(text) = value { Some(text) } else { None }
}

fn string<'a>(value: ValueRef<'a>, kind: Kind, scratch: &'a mut String) -> Option<&'a str> {
    match (kind, value) {
        (_, ValueRef::Text(text)) => simdutf8::basic::from_utf8(text).ok(),
        (Kind::Mixed, ValueRef::Integer(_) | ValueRef::Real(_)) | (Kind::Json, ValueRef::Integer(_)) => {
            number(value, scratch)
        }
        _ => None,
    }
}

fn nanos(unit: TimeUnit) -> i64 {
    if unit == TimeUnit::Nanosecond { 1 } else { 1_000 }
}

fn time(value: ValueRef<'_>, unit_nanos: i64) -> Option<i64> {
    let time = text(value).and_then(parse_time)?;
    (time % unit_nanos == 0).then_some(time / unit_nanos)
}

/// A date alone is its midnight, but not an instant in UTC.
fn moment(value: ValueRef<'_>, kind: Kind) -> Option<i64> {
    let Kind::Timestamp { unit, zoned } = kind else { return None };
    let moment = text(value).and_then(Moment::parse)?;
    (moment.zoned == zoned).then(|| moment.in_units(nanos(unit))).flatten()
}

fn uuid(value: ValueRef<'_>) -> Option<[u8; 16]> {
    match value {
        ValueRef::Text(text) => parse_uuid(text),
        ValueRef::Blob(bytes) => bytes.try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_only_without_loss() {
        assert!(accepts(Kind::Float64, ValueRef::Integer(1 << 53)));
        assert!(!accepts(Kind::Float64, ValueRef::Integer((1 << 53) + 1)));
        assert!(!accepts(Kind::Float64, ValueRef::Integer(i64::MAX)));
        assert!(accepts(Kind::Float32, ValueRef::Real(0.5)));
        assert!(!accepts(Kind::Float32, ValueRef::Real(0.1)));
        assert!(!accepts(Kind::Int16, ValueRef::Integer(40_000)));
        assert!(!accepts(Kind::Int64, ValueRef::Real(1.0)));
        let money = Kind::Decimal { precision: 10, scale: 2 };
        assert!(accepts(money, ValueRef::Real(12.34)));
        assert!(accepts(money, ValueRef::Real(-1.0)));
        assert!(accepts(Kind::Decimal { precision: 20, scale: 2 }, ValueRef::Real(1e16)));
        assert!(!accepts(money, ValueRef::Real(0.1 + 0.2)));
        assert!(!accepts(money, ValueRef::Real(1e300)));
        assert!(!accepts(money, ValueRef::Real(f64::INFINITY)));
        assert!(!accepts(money, ValueRef::Text(b"12.345")));
    }

    #[test]
    fn text_is_validated() {
        assert!(!accepts(Kind::Text, ValueRef::Text(b"\xff")));
        assert!(!accepts(Kind::Text, ValueRef::Integer(1)));
        assert!(accepts(Kind::Mixed, ValueRef::Integer(1)));
        assert!(!accepts(Kind::Mixed, ValueRef::Blob(b"a")));
        assert!(accepts(Kind::Json, ValueRef::Integer(1)));
        assert!(!accepts(Kind::Json, ValueRef::Text(b"{")));
    }

    #[test]
    fn null_is_refused_where_none_is_declared() {
        let mut decoder = Decoder::new(&Kind::Int64.field("a", "INTEGER", false)).unwrap();
        assert!(decoder.append(ValueRef::Null).is_err());
        assert_eq!(decoder.append(ValueRef::Integer(5)).unwrap(), FIXED_BYTES);
        assert_eq!(decoder.finish().len(), 1);
    }
}
