//! SQL type names, as users write them in casts.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, IntervalUnit, TimeUnit};

use super::Pattern;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, with_metadata};

/// As [`parse_type`], for the columns of text files, where a type of dates or times may have a [`Pattern`] in quotes:
/// `timestamp('dd.MM.yyyy HH:mm')`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) also for a pattern that is none, or does not fit its type.
pub fn parse_cast(text: &str) -> Result<(Field, Option<Pattern>)> {
    let quoted = text.split_once("('").and_then(|(before, rest)| Some((before, rest.rsplit_once("')")?)));
    let Some((before, (pattern, after))) = quoted else { return Ok((parse_type(text)?, None)) };
    let field = parse_type(&format!("{before}{after}"))?;
    let pattern = Pattern::parse(pattern)?;
    if !pattern.handles(field.data_type()) {
        let message = format!("`{text}`: values of this type are not written so");
        return Err(Error::new(ErrorKind::Usage, message)
            .with_hint("a date has no time, a time no date, and a format with a zone is one of timestamptz"));
    }
    Ok((field, Some(pattern)))
}

/// The nullable, nameless field that a SQL type name stands for: `int`, `decimal(12,2)`, `timestamptz`, `uuid`, `json`.
///
/// Timestamps and times hold microseconds unless a precision of 0, 3, 6 or 9 is given; zoned ones are in UTC.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a name that is unknown or lacks its precision.
pub fn parse_type(text: &str) -> Result<Field> {
    let lower = text.to_ascii_lowercase();
    let (name, arguments) = split_arguments(&lower).ok_or_else(|| unknown(text))?;
    let plain = |data_type: DataType| Field::new("", data_type, true);
    if let Some(data_type) = bare(&name) {
        return if arguments.is_empty() { Ok(plain(data_type)) } else { Err(surplus(text)) };
    }
    match (name.as_str(), arguments.as_slice()) {
        ("decimal" | "numeric", [precision]) => decimal(*precision, 0).map(plain),
        ("decimal" | "numeric", [precision, scale]) => decimal(*precision, *scale).map(plain),
        ("decimal" | "numeric", []) => Err(Error::new(ErrorKind::Usage, "a decimal needs its precision and scale")
            .with_hint("write for example decimal(18,4): 18 digits, 4 of them after the point")),
        ("time" | "time without time zone", _) => {
            let unit = unit(&arguments, text)?;
            let small = matches!(unit, TimeUnit::Second | TimeUnit::Millisecond);
            Ok(plain(if small { DataType::Time32(unit) } else { DataType::Time64(unit) }))
        }
        ("timestamp" | "datetime" | "timestamp without time zone", _) => {
            Ok(plain(DataType::Timestamp(unit(&arguments, text)?, None)))
        }
        ("timestamptz" | "timestamp with time zone", _) => {
            Ok(plain(DataType::Timestamp(unit(&arguments, text)?, Some(Arc::from("UTC")))))
        }
        ("uuid", []) => Ok(with_metadata(plain(DataType::FixedSizeBinary(16)), EXTENSION, EXTENSION_UUID)),
        ("json" | "jsonb", []) => Ok(with_metadata(plain(DataType::Utf8), EXTENSION, EXTENSION_JSON)),
        ("varchar" | "char" | "character" | "character varying" | "uuid" | "json" | "jsonb", [_, ..]) => {
            Err(surplus(text))
        }
        _ => Err(unknown(text)),
    }
}

fn bare(name: &str) -> Option<DataType> {
    Some(match name {
        "tinyint" => DataType::Int8,
        "smallint" | "int2" => DataType::Int16,
        "int" | "integer" | "int4" => DataType::Int32,
        "bigint" | "int8" => DataType::Int64,
        "real" | "float4" => DataType::Float32,
        "double" | "double precision" | "float" | "float8" => DataType::Float64,
        "bool" | "boolean" => DataType::Boolean,
        "date" => DataType::Date32,
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "text" | "string" | "varchar" | "char" | "character" | "character varying" => DataType::Utf8,
        "bytea" | "blob" | "binary" | "varbinary" => DataType::Binary,
        _ => return None,
    })
}

/// `decimal (12, 2)` → `decimal`, `[12, 2]`; `timestamp(3) with time zone` → `timestamp with time zone`, `[3]`.
fn split_arguments(lower: &str) -> Option<(String, Vec<i8>)> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((before, rest)) = lower.split_once('(') else { return Some((words(lower), Vec::new())) };
    let (inner, after) = rest.split_once(')')?;
    let arguments: Option<Vec<i8>> = inner.split(',').map(|argument| argument.trim().parse().ok()).collect();
    Some((words(&format!("{before} {after}")), arguments?))
}

fn decimal(precision: i8, scale: i8) -> Result<DataType> {
    let digits = precision.unsigned_abs();
    match digits {
        _ if precision < 1 || scale < 0 || scale > precision => {
            Err(Error::new(ErrorKind::Usage, "the scale of a decimal lies between 0 and its precision"))
        }
        _ if digits <= DECIMAL128_MAX_PRECISION => Ok(DataType::Decimal128(digits, scale)),
        _ if digits <= DECIMAL256_MAX_PRECISION => Ok(DataType::Decimal256(digits, scale)),
        _ => Err(Error::new(ErrorKind::Usage, "a decimal has at most 76 digits")),
    }
}

fn unit(arguments: &[i8], text: &str) -> Result<TimeUnit> {
    match arguments {
        [0] => Ok(TimeUnit::Second),
        [3] => Ok(TimeUnit::Millisecond),
        [] | [6] => Ok(TimeUnit::Microsecond),
        [9] => Ok(TimeUnit::Nanosecond),
        _ => Err(Error::new(ErrorKind::Usage, format!("`{text}`: the digits of a second are 0, 3, 6 or 9"))),
    }
}

fn unknown(text: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("`{text}` is not a type")).with_hint(
        "types are smallint, int, bigint, decimal(p,s), real, double, boolean, date, time, timestamp, timestamptz, \
         interval, text, bytea, uuid and json",
    )
}

fn surplus(text: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("`{text}`: this type takes no length or precision here"))
        .with_hint("lengths are not checked by a cast: use text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_types() {
        let cases = [
            ("INT", DataType::Int32),
            ("bigint", DataType::Int64),
            ("decimal(12, 2)", DataType::Decimal128(12, 2)),
            ("numeric(40)", DataType::Decimal256(40, 0)),
            ("double  precision", DataType::Float64),
            ("timestamp(3)", DataType::Timestamp(TimeUnit::Millisecond, None)),
            ("timestamp (9) with time zone", DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from("UTC")))),
            ("time(0)", DataType::Time32(TimeUnit::Second)),
            ("uuid", DataType::FixedSizeBinary(16)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_type(text).unwrap().data_type(), &expected, "{text}");
        }
        assert!(crate::schema::is_uuid(&parse_type("uuid").unwrap()));
        assert!(crate::schema::is_json(&parse_type("jsonb").unwrap()));
    }

    #[test]
    fn a_cast_of_a_text_may_have_a_date_format() {
        let (field, pattern) = parse_cast("timestamp('yyyy/MM/dd'T'HH:mm')").unwrap();
        assert_eq!(field.data_type(), &DataType::Timestamp(TimeUnit::Microsecond, None));
        assert_eq!(pattern, Some(Pattern::parse("yyyy/MM/dd'T'HH:mm").unwrap()));
        assert_eq!(parse_cast("DATE('%d.%m.%Y')").unwrap().0.data_type(), &DataType::Date32);
        assert_eq!(parse_cast("decimal(5,2)").unwrap(), (parse_type("decimal(5,2)").unwrap(), None));
        for text in ["int('yyyy-MM-dd')", "time('yyyy-MM-dd')", "timestamp('yyyy-MM-dd HH:mm Z')", "date('yyyy-QQ-dd')"]
        {
            assert_eq!(parse_cast(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in ["", "number", "decimal", "decimal(0,0)", "decimal(5,6)", "decimal(77,0)", "decimal(a)", "int(4)"] {
            assert_eq!(parse_type(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
        for text in ["varchar(10)", "timestamp(4)", "decimal(5,2", "uuid(1)", "decimal(-3,1)"] {
            assert_eq!(parse_type(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }
}
