//! Arrow values bound to statements, so that what SQLite stores is the same value.
//!
//! What SQLite would change is refused: NaN (it stores NULL), decimals that NUMERIC would round, text that a numeric
//! column would turn into another number. A negative zero becomes zero, which is equal to it.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray};
use arrow::array::{FixedSizeBinaryArray, GenericByteArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    BinaryType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType, Utf8Type,
};
use rusqlite::Statement;
use rusqlite::types::Null;

use super::error::failed;
use super::typemap::Affinity;
use super::value::{write_date, write_decimal, write_moment, write_time};
use crate::error::{Error, ErrorKind, Result};

/// The values of one column of a batch, ready to be bound.
pub(super) struct Encoder<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
    affinity: Affinity,
}

/// Room for the texts of values, kept from value to value.
#[derive(Default)]
pub(super) struct Scratch {
    text: String,
    digits: String,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a PrimitiveArray<Decimal128Type>),
    Decimal256(&'a PrimitiveArray<Decimal256Type>),
    Date(&'a PrimitiveArray<Date32Type>),
    /// Units of so many nanoseconds since midnight.
    Time {
        values: &'a [i64],
        unit_nanos: i64,
    },
    /// Units of so many nanoseconds since 1970.
    Moment {
        values: &'a [i64],
        unit_nanos: i64,
        zoned: bool,
    },
    Uuid(&'a FixedSizeBinaryArray),
    Text(&'a GenericByteArray<Utf8Type>),
    Blob(&'a GenericByteArray<BinaryType>),
}

impl<'a> Encoder<'a> {
    /// An encoder of `array`, whose type is one that [`Kind`](super::typemap::Kind) gives, for a column of `affinity`.
    pub(super) fn new(array: &'a ArrayRef, affinity: Affinity) -> Result<Self> {
        let values = match array.data_type() {
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int16 => Values::Int16(array.as_primitive()),
            DataType::Int32 => Values::Int32(array.as_primitive()),
            DataType::Int64 => Values::Int64(array.as_primitive()),
            DataType::Float32 => Values::Float32(array.as_primitive()),
            DataType::Float64 => Values::Float64(array.as_primitive()),
            DataType::Decimal128(..) => Values::Decimal128(array.as_primitive()),
            DataType::Decimal256(..) => Values::Decimal256(array.as_primitive()),
            DataType::Date32 => Values::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Nanosecond) => {
                Values::Time { values: array.as_primitive::<Time64NanosecondType>().values(), unit_nanos: 1 }
            }
            DataType::Time64(_) => {
                Values::Time { values: array.as_primitive::<Time64MicrosecondType>().values(), unit_nanos: 1_000 }
            }
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
                let values = array.as_primitive::<TimestampNanosecondType>().values();
                Values::Moment { values, unit_nanos: 1, zoned: zone.is_some() }
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let values = array.as_primitive::<TimestampMicrosecondType>().values();
                Values::Moment { values, unit_nanos: 1_000, zoned: zone.is_some() }
            }
            DataType::FixedSizeBinary(16) => Values::Uuid(array.as_fixed_size_binary()),
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::Binary => Values::Blob(array.as_binary()),
            other => {
                let message = format!("sqlite was given {other}, which was not agreed on");
                return Err(Error::new(ErrorKind::Internal, message));
            }
        };
        Ok(Self { values, nulls: array.nulls(), affinity })
    }

    /// Binds the value of `row` to parameter `index` of `statement`.
    pub(super) fn bind(
        &self,
        statement: &mut Statement<'_>,
        index: usize,
        row: usize,
        scratch: &mut Scratch,
    ) -> Result<()> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return statement.raw_bind_parameter(index, Null).map_err(failed);
        }
        let text = &mut scratch.text;
        text.clear();
        let bound = match &self.values {
            Values::Boolean(values) => statement.raw_bind_parameter(index, values.value(row)),
            Values::Int16(values) => statement.raw_bind_parameter(index, values.value(row)),
            Values::Int32(values) => statement.raw_bind_parameter(index, values.value(row)),
            Values::Int64(values) => statement.raw_bind_parameter(index, values.value(row)),
            Values::Float32(values) => statement.raw_bind_parameter(index, number(values.value(row).into())?),
            Values::Float64(values) => statement.raw_bind_parameter(index, number(values.value(row))?),
            Values::Decimal128(values) => {
                scratch.decimal(&values.value(row), values.scale());
                return self.bind_decimal(statement, index, scratch);
            }
            Values::Decimal256(values) => {
                scratch.decimal(&values.value(row), values.scale());
                return self.bind_decimal(statement, index, scratch);
            }
            Values::Date(values) => {
                within(write_date(text, values.value(row)))?;
                statement.raw_bind_parameter(index, text.as_str())
            }
            Values::Time { values, unit_nanos } => {
                let day = 86_400_000_000_000 / unit_nanos;
                within((0..day).contains(&values[row]))?;
                write_time(text, values[row] * unit_nanos);
                statement.raw_bind_parameter(index, text.as_str())
            }
            Values::Moment { values, unit_nanos, zoned } => {
                within(write_moment(text, values[row], *unit_nanos))?;
                text.push_str(if *zoned { "+00:00" } else { "" });
                statement.raw_bind_parameter(index, text.as_str())
            }
            Values::Uuid(values) => {
                let id = uuid::Uuid::from_slice(values.value(row)).unwrap_or_default();
                let mut letters = [0; uuid::fmt::Hyphenated::LENGTH];
                statement.raw_bind_parameter(index, &*id.hyphenated().encode_lower(&mut letters))
            }
            Values::Text(values) => {
                let value = values.value(row);
                if self.affinity.turns_text_into_numbers() && would_change(value, self.affinity) {
                    return Err(Error::new(ErrorKind::Value, "the column would turn this text into another number")
                        .with_hint("declare the column TEXT"));
                }
                statement.raw_bind_parameter(index, value)
            }
            Values::Blob(values) => statement.raw_bind_parameter(index, values.value(row)),
        };
        bound.map_err(failed)
    }

    /// As text where the column keeps text, else as the number that reads back as the same decimal.
    fn bind_decimal(&self, statement: &mut Statement<'_>, index: usize, scratch: &mut Scratch) -> Result<()> {
        let Scratch { text, digits: back } = scratch;
        if !self.affinity.turns_text_into_numbers() {
            return statement.raw_bind_parameter(index, text.as_str()).map_err(failed);
        }
        let plain = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text.as_str() };
        if let (true, Ok(whole)) = (self.affinity != Affinity::Real, plain.parse::<i64>()) {
            return statement.raw_bind_parameter(index, whole).map_err(failed);
        }
        let double: f64 = plain.parse().unwrap_or(f64::NAN);
        back.clear();
        // Writing to a string cannot fail.
        let _ = write!(back, "{double}");
        if back != plain {
            return Err(Error::new(ErrorKind::Value, "the decimal has more digits than a number of this column keeps")
                .with_hint("declare the column DECIMAL_TEXT(p,s) or TEXT, which keep every digit"));
        }
        statement.raw_bind_parameter(index, double).map_err(failed)
    }
}

impl Scratch {
    /// Writes the decimal of the integer `value` at `scale` into the text.
    fn decimal(&mut self, value: &impl std::fmt::Display, scale: i8) {
        self.digits.clear();
        self.text.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.digits, "{value}");
        write_decimal(&mut self.text, &self.digits, scale);
    }
}

fn number(value: f64) -> Result<f64> {
    if value.is_nan() {
        return Err(Error::new(ErrorKind::Value, "SQLite has no NaN and would store NULL")
            .with_hint("replace it with --set, for example by NULL"));
    }
    Ok(value)
}

fn within(fits: bool) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::new(ErrorKind::Value, "the date or time is beyond what can be written")) }
}

/// Whether a column of a numeric `affinity` would store `text` as a number that no longer reads as this text.
fn would_change(text: &str, affinity: Affinity) -> bool {
    if !looks_numeric(text) {
        return false;
    }
    if affinity != Affinity::Real && text.parse::<i64>().is_ok_and(|value| value.to_string() == text) {
        return false;
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let same = text
        .parse::<f64>()
        .is_ok_and(|value| format!("{value:?}") == text && (affinity == Affinity::Real || value.fract() != 0.0));
    // Powers of ten are not always rounded as they should be: `2e262` becomes another number.
    !(same && digits <= 15 && !text.contains('e'))
}

/// SQLite's notion of a well-formed number: blanks around it, sign, digits with a point, exponent.
fn looks_numeric(text: &str) -> bool {
    let body = text.trim_matches(|letter: char| letter.is_ascii_whitespace() || letter == '\x0b').as_bytes();
    let body = body.strip_prefix(b"-").or_else(|| body.strip_prefix(b"+")).unwrap_or(body);
    let (whole, rest) = run_of_digits(body);
    let (fraction, rest) = rest.strip_prefix(b".").map_or((0, rest), run_of_digits);
    if whole + fraction == 0 {
        return false;
    }
    match rest {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let exponent = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
            matches!(run_of_digits(exponent), (1.., []))
        }
        _ => false,
    }
}

fn run_of_digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (count, &text[count..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What SQLite itself makes of `text` in a column of `declared`.
    fn stored(text: &str, declared: &str) -> String {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch(&format!("create table t (a {declared})")).unwrap();
        connection.execute("insert into t values (?1)", [text]).unwrap();
        connection
            .query_row("select a from t", [], |row| {
                Ok(match row.get_ref(0)? {
                    rusqlite::types::ValueRef::Integer(value) => value.to_string(),
                    rusqlite::types::ValueRef::Real(value) => format!("{value:?}"),
                    rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    _ => String::new(),
                })
            })
            .unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn text_that_passes_is_stored_as_it_is(text in "[-+ ]?[0-9]{0,20}[.]?[0-9]{0,4}(e[+-]?[0-9]{0,3})?[ x]?") {
            for (declared, affinity) in [("numeric", Affinity::Numeric), ("int", Affinity::Integer), ("real", Affinity::Real)] {
                if !would_change(&text, affinity) {
                    prop_assert_eq!(stored(&text, declared), text.clone());
                }
            }
        }
    }

    #[test]
    fn usual_texts_pass() {
        for text in ["abc", "2024-02-29", "12", "-5", "12.5", "", "1e", "{\"a\":1}", "12:30"] {
            assert!(!would_change(text, Affinity::Numeric), "{text}");
        }
        for text in ["007", "12.50", "1e3", " 1", "5.0", "+5", "99999999999999999999", ".5"] {
            assert!(would_change(text, Affinity::Numeric), "{text}");
        }
    }
}
