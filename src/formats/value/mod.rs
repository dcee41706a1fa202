//! The text forms of values: what CSV, JSON and casts between text and types share.
//!
//! Parsing is exact: a text that is not a value of the type, or has more digits than the type holds, is none.
//! Printing gives the shortest text that parses back to the same value, in the forms that PostgreSQL reads.

mod dates;
mod pattern;
mod type_name;

pub(crate) mod binary;
pub(crate) mod interval;
pub(crate) mod number;
pub(crate) mod parse;
pub(crate) mod print;
pub(crate) mod size;
pub(crate) mod time;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use arrow::datatypes::{DataType, Field};

pub(crate) use dates::{Dates, TimesOfDay};
pub use pattern::Pattern;
pub(crate) use pattern::{column as patterned, zone};
pub use type_name::{parse_cast, parse_type};

use crate::schema;

/// `true` and `false`, and the other words that PostgreSQL takes for them.
pub(crate) fn boolean(text: &[u8]) -> Option<bool> {
    match text.to_ascii_lowercase().as_slice() {
        b"true" | b"t" | b"yes" | b"y" | b"on" | b"1" => Some(true),
        b"false" | b"f" | b"no" | b"n" | b"off" | b"0" => Some(false),
        _ => None,
    }
}

/// The SQL name of a type, for messages and hints.
pub(crate) fn type_name(field: &Field) -> Cow<'static, str> {
    let name = match field.data_type() {
        _ if schema::is_uuid(field) => "uuid",
        _ if schema::is_json(field) => "json",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "int",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double",
        DataType::Boolean => "boolean",
        DataType::Date32 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        DataType::Interval(_) => "interval",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            return format!("decimal({precision},{scale})").into();
        }
        other => return other.to_string().into(),
    };
    name.into()
}
