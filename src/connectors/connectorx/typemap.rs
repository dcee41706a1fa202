//! What becomes of a native type: whether ConnectorX keeps its values, and what is done where it does not.
//!
//! What is not known to be kept is asked for as text, which the database writes with all its digits, and is parsed here where
//! its type is known, else stays text. `README.md` has these lists in words.

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::backend::Backend;
use super::catalog::Native;
use crate::error::{Error, ErrorKind};
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, with_metadata};

/// How a column is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As ConnectorX reads it.
    AsItIs,
    /// As the text that the database makes of it.
    Text,
    /// Not at all: ConnectorX may change its values, which are of this type, and they have no text.
    Refused(String),
}

/// Types of MySQL that are kept: those of the catalog, then those of ConnectorX.
#[rustfmt::skip]
const MYSQL: &[&str] = &[
    "bigint", "binary", "bit", "blob", "char", "date", "datetime", "double", "enum", "float", "inet4", "inet6",
    "int", "longblob", "longtext", "mediumblob", "mediumint", "mediumtext", "set", "smallint", "text", "time",
    "timestamp", "tinyblob", "tinyint", "tinytext", "uuid", "varbinary", "varchar", "year",
    "int24", "long", "longlong", "short", "tiny", "uint24", "ulong", "ulonglong", "ushort", "utiny",
];

#[rustfmt::skip]
const ORACLE: &[&str] = &[
    "binarydouble", "binaryfloat", "blob", "char", "clob", "date", "nchar", "numint", "nvarchar", "timestamp",
    "timestampnano", "timestamptz", "timestamptznano", "varchar",
];

#[rustfmt::skip]
const POSTGRES: &[&str] = &[
    "bool", "bpchar", "bytea", "date", "enum", "float4", "float8", "int2", "int4", "int8", "name", "oid", "range",
    "text", "timestamp", "timestamptz", "uint4", "uuid", "varchar",
];

/// Types whose values ConnectorX keeps, in the words of the catalog and its own. What it fails at without a change is among
/// them: that is an error.
fn kept(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::BigQuery => &["bool", "boolean", "date", "float", "float64", "int64", "integer", "string"],
        Backend::ClickHouse => &[
            "bool", "date", "date32", "datetime", "float32", "float64", "int8", "int16", "int32", "int64", "uint8",
            "uint16", "uint32", "uint64", "uuid",
        ],
        Backend::MySql => MYSQL,
        Backend::Oracle => ORACLE,
        Backend::Postgres => POSTGRES,
        Backend::Sqlite => &["int2", "int4", "int8", "real", "text", "blob"],
        Backend::Trino => &["boolean", "double", "integer", "smallint", "tinyint"],
    }
}

/// How the column `native` is read, and as what; none where that is as ConnectorX says.
pub(super) fn way(backend: Backend, native: &Native) -> (Way, Option<Field>) {
    let word = if backend == Backend::Sqlite { affinity(&native.word) } else { native.word.as_str() };
    let field = |data_type: DataType| Field::new(&native.name, data_type, true);
    if kept(backend).contains(&word) {
        let narrow = match (backend, word) {
            (Backend::Postgres, "int2") => Some(DataType::Int16),
            (Backend::Postgres, "int4") => Some(DataType::Int32),
            (Backend::Postgres, "float4") => Some(DataType::Float32),
            // The session's time zone is UTC.
            (Backend::MySql, "timestamp") => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            (Backend::Postgres, "uuid") => {
                let field = field(DataType::FixedSizeBinary(16));
                return (Way::AsItIs, Some(with_metadata(field, EXTENSION, EXTENSION_UUID)));
            }
            _ => None,
        };
        return (Way::AsItIs, narrow.map(field));
    }
    if backend == Backend::Sqlite || unwritten(backend, word) {
        let word = if word.is_empty() { "no declared type" } else { word };
        return (Way::Refused(word.to_owned()), Some(field(DataType::Binary)));
    }
    let decimal = matches!((backend, word), (Backend::Postgres, "numeric") | (Backend::MySql, "decimal"));
    let parsed = match native.digits {
        Some((precision @ 1..=38, scale)) if decimal && fits(precision, scale) => {
            field(DataType::Decimal128(precision, scale))
        }
        Some((precision @ 39..=76, scale)) if decimal && fits(precision, scale) => {
            field(DataType::Decimal256(precision, scale))
        }
        _ if matches!((backend, word), (Backend::Trino, "bigint")) => field(DataType::Int64),
        // ConnectorX reads 24:00 as 00:00.
        _ if matches!((backend, word), (Backend::Postgres, "time")) => field(DataType::Time64(TimeUnit::Microsecond)),
        _ if matches!(word, "json" | "jsonb") => with_metadata(field(DataType::Utf8), EXTENSION, EXTENSION_JSON),
        _ => field(DataType::Utf8),
    };
    (Way::Text, Some(parsed))
}

/// The error of a column that is of the type `word` and not read.
pub(super) fn refused(backend: Backend, word: &str) -> Error {
    let hint = match backend {
        Backend::Sqlite => "'sqlite:' reads it, and --drop leaves it out",
        _ => "leave it out with --drop",
    };
    Error::new(ErrorKind::Unsupported, format!("ConnectorX may change values of {word}")).with_hint(hint)
}

fn fits(precision: u8, scale: i8) -> bool {
    scale >= 0 && scale.unsigned_abs() <= precision
}

/// Types that are not written as text without a loss: a geometry would lose its reference system.
fn unwritten(backend: Backend, word: &str) -> bool {
    const SHAPES: [&str; 9] = [
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    ];
    backend == Backend::MySql && (SHAPES.contains(&word) || word == "vector")
}

/// What ConnectorX makes of a type that is declared in SQLite as `word`, where all values of the column are of it. It guesses
/// others by the first row, and takes 2 for true, days for texts and texts for moments.
fn affinity(word: &str) -> &str {
    let has = |words: &[&str]| words.iter().any(|part| word.contains(part));
    match word {
        "boolean" | "bool" | "date" | "time" | "datetime" | "timestamp" => word,
        _ if has(&["int"]) => "int8",
        _ if has(&["char", "clob", "text"]) => "text",
        _ if has(&["real", "floa", "doub"]) => "real",
        _ if has(&["blob"]) => "blob",
        _ => word,
    }
}

/// The type in which a column comes that ConnectorX reads as `given`: one that all sinks know, with the same values.
pub(super) fn usual(given: &DataType) -> DataType {
    match given {
        DataType::LargeUtf8 => DataType::Utf8,
        DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{is_json, is_uuid};

    fn of(backend: Backend, word: &str, digits: Option<(u8, i8)>) -> (Way, Option<Field>) {
        way(backend, &Native { name: "c".to_owned(), word: word.to_owned(), digits })
    }

    #[test]
    fn what_connectorx_would_change_is_asked_for_as_text() {
        let text = DataType::Utf8;
        for (backend, word, digits, expected) in [
            (Backend::Postgres, "numeric", None, text.clone()),
            (Backend::Postgres, "numeric", Some((40, 20)), DataType::Decimal256(40, 20)),
            (Backend::Postgres, "numeric", Some((5, -2)), text.clone()),
            (Backend::Postgres, "interval", None, text.clone()),
            (Backend::Postgres, "_int4", None, text.clone()),
            (Backend::Postgres, "time", None, DataType::Time64(TimeUnit::Microsecond)),
            (Backend::MySql, "decimal", Some((10, 2)), DataType::Decimal128(10, 2)),
            (Backend::Oracle, "numdecimal", None, text.clone()),
            (Backend::Oracle, "numfloat", None, text.clone()),
            (Backend::BigQuery, "bignumeric", None, text.clone()),
            (Backend::ClickHouse, "decimal", None, text),
            (Backend::Trino, "bigint", None, DataType::Int64),
        ] {
            let (way, field) = of(backend, word, digits);
            assert_eq!((way, field.unwrap().data_type()), (Way::Text, &expected), "{backend:?} {word}");
        }
        assert!(is_json(&of(Backend::Postgres, "jsonb", None).1.unwrap()));
        assert!(is_uuid(&of(Backend::Postgres, "uuid", None).1.unwrap()));
    }

    #[test]
    fn what_it_keeps_is_read_as_it_is() {
        for (backend, word) in
            [(Backend::Postgres, "timestamptz"), (Backend::MySql, "ulonglong"), (Backend::Sqlite, "varchar(9)")]
        {
            assert_eq!(of(backend, word, None), (Way::AsItIs, None), "{word}");
        }
        let (_, field) = of(Backend::Postgres, "int2", Some((16, 0)));
        assert_eq!(field.unwrap().data_type(), &DataType::Int16);
    }

    #[test]
    fn what_has_no_text_is_refused_by_name() {
        for (backend, word, expected) in [
            (Backend::Sqlite, "boolean", "boolean"),
            (Backend::Sqlite, "decimal(10,2)", "decimal(10,2)"),
            (Backend::Sqlite, "", "no declared type"),
            (Backend::MySql, "geometry", "geometry"),
        ] {
            assert_eq!(of(backend, word, None).0, Way::Refused(expected.to_owned()), "{word}");
        }
    }
}
