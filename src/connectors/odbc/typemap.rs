//! Types: as what a driver is given values that it keeps, and the columns that a new table gets for them.
//!
//! Kept from drivers is what they, or the writer of arrow-odbc, are known to change without a word: texts end at a NUL, NaN
//! becomes NULL, times of SQLite lose what is below a millisecond, years beyond four digits have no place.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, FieldRef, Float32Type, Float64Type, TimeUnit,
    TimestampMicrosecondType,
};
use memchr::memchr;

use super::columns::Column;
use super::config::Config;
use super::driver::Product;
use crate::error::{Error, ErrorKind, Result};
use crate::fate::plain;
use crate::schema::is_uuid;

/// Days and microseconds since 1970 of the years 1 to 9999.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
const MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// As what a new column gets the values of `field`, and the SQL type of that column.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where SQL has no column for them that most databases know.
pub(super) fn carrier(product: Product, config: &Config, field: &Field) -> Result<(Field, String)> {
    let (data_type, sql) = new_column(product, config, field).ok_or_else(|| {
        let message = format!("no portable column takes values of {}", plain(field.data_type()));
        Error::new(ErrorKind::Unsupported, message)
            .with_hint("convert it with --cast or --set, leave it out with --drop, or make the table yourself")
            .at("column", field.name())
    })?;
    // Drivers say of nullable columns that they are, and forget others.
    Ok((Field::new(field.name(), data_type, true), sql))
}

fn new_column(product: Product, config: &Config, field: &Field) -> Option<(DataType, String)> {
    use DataType as T;
    use Product as P;
    let is_sqlite = product == P::Sqlite;
    let fixed = |data_type: T, sql: &str| Some((data_type, sql.to_owned()));
    match plain(field.data_type()) {
        T::Boolean => match product {
            P::Postgres | P::MariaDb | P::MySql | P::Sqlite => fixed(T::Boolean, "BOOLEAN"),
            _ => fixed(T::Int16, "SMALLINT"),
        },
        T::Int8 | T::UInt8 | T::Int16 => fixed(T::Int16, "SMALLINT"),
        T::UInt16 | T::Int32 => fixed(T::Int32, "INTEGER"),
        // Oracle's driver takes no numbers of 64 bits.
        T::UInt32 | T::Int64 if product == P::Oracle => fixed(T::Decimal128(19, 0), "NUMBER(19)"),
        T::UInt32 | T::Int64 => fixed(T::Int64, "BIGINT"),
        T::UInt64 if is_sqlite => fixed(T::Utf8, "TEXT"),
        T::UInt64 => fixed(T::Decimal128(20, 0), "DECIMAL(20,0)"),
        T::Float16 | T::Float32 => fixed(T::Float32, if product == P::Oracle { "BINARY_FLOAT" } else { "REAL" }),
        T::Float64 => fixed(T::Float64, if product == P::Oracle { "BINARY_DOUBLE" } else { "DOUBLE PRECISION" }),
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) if is_sqlite => {
            fixed(T::Utf8, "TEXT")
        }
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => decimal(product, *precision, *scale),
        T::FixedSizeBinary(_) if is_uuid(field) => {
            let sql = if product == P::Postgres { "UUID".to_owned() } else { text_type(product, config) };
            Some((T::Utf8, sql))
        }
        T::Utf8 | T::LargeUtf8 | T::Utf8View => Some((T::Utf8, text_type(product, config))),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => {
            Some((T::Binary, binary_type(product, config)))
        }
        T::Date32 | T::Date64 => fixed(if is_sqlite { T::Utf8 } else { T::Date32 }, "DATE"),
        T::Timestamp(_, None) => {
            let data_type = if is_sqlite { T::Utf8 } else { T::Timestamp(TimeUnit::Microsecond, None) };
            fixed(
                data_type,
                match product {
                    P::MariaDb | P::MySql => "DATETIME(6)",
                    P::SqlServer => "DATETIME2(6)",
                    _ => "TIMESTAMP",
                },
            )
        }
        T::Time32(_) | T::Time64(_) => match product {
            P::Postgres | P::MariaDb | P::MySql => fixed(T::Time64(TimeUnit::Microsecond), "TIME(6)"),
            P::Sqlite => fixed(T::Utf8, "TEXT"),
            _ => None,
        },
        _ => None,
    }
}

fn decimal(product: Product, precision: u8, scale: i8) -> Option<(DataType, String)> {
    let (digits, scale) =
        if scale < 0 { (precision.checked_add(scale.unsigned_abs())?, 0) } else { (precision, scale) };
    let (most_digits, most_scale) = match product {
        Product::Postgres => (76, 76),
        Product::MariaDb => (65, 38),
        Product::MySql => (65, 30),
        Product::Db2 => (31, 31),
        _ => (38, 38),
    };
    let data_type = match digits {
        _ if digits > most_digits || scale > most_scale => return None,
        ..=38 => DataType::Decimal128(digits, scale),
        _ => DataType::Decimal256(digits, scale),
    };
    Some((data_type, format!("DECIMAL({digits},{scale})")))
}

fn text_type(product: Product, config: &Config) -> String {
    let own = match product {
        Product::Postgres | Product::Sqlite => "TEXT",
        Product::MariaDb | Product::MySql => "LONGTEXT",
        Product::Oracle => "VARCHAR2(4000)",
        _ => "VARCHAR(4000)",
    };
    config.text_type.clone().unwrap_or_else(|| own.to_owned())
}

fn binary_type(product: Product, config: &Config) -> String {
    let own = match product {
        Product::Postgres => "BYTEA",
        Product::MariaDb | Product::MySql => "LONGBLOB",
        Product::Sqlite | Product::Oracle => "BLOB",
        _ => "VARBINARY(4000)",
    };
    config.binary_type.clone().unwrap_or_else(|| own.to_owned())
}

/// As what `column`, one that is there, gets values.
pub(super) fn into_column(product: Product, column: &Column) -> Field {
    use DataType as T;
    let is_sqlite = product == Product::Sqlite;
    let data_type = match column.field.data_type() {
        T::UInt64 => T::Decimal128(20, 0),
        T::Int64 if product == Product::Oracle => T::Decimal128(19, 0),
        // Its driver would cut what is below a millisecond; as texts they are kept.
        T::Date32 | T::Timestamp(..) if is_sqlite => T::Utf8,
        T::Timestamp(..) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Time64(_) => T::Time64(TimeUnit::Microsecond),
        T::FixedSizeBinary(_) => T::Utf8,
        other => other.clone(),
    };
    Field::new(column.field.name(), data_type, true)
}

/// A value that the driver would change without a word: its row within `batch`, its column, and why.
pub(super) fn misfit(product: Product, batch: &RecordBatch) -> Option<(usize, FieldRef, &'static str)> {
    let (keeps_nan, keeps_nul) = (product == Product::Postgres, matches!(product, Product::MariaDb | Product::MySql));
    batch.columns().iter().zip(batch.schema_ref().fields()).find_map(|(array, field)| {
        let (row, why) = match array.data_type() {
            DataType::Float32 if !keeps_nan => {
                (first::<Float32Type>(array, |value| !value.is_finite())?, "NaN and infinity have no place in SQL")
            }
            DataType::Float64 if !keeps_nan => {
                (first::<Float64Type>(array, |value| !value.is_finite())?, "NaN and infinity have no place in SQL")
            }
            DataType::Utf8 if product == Product::Oracle => {
                (text(array, str::is_empty)?, "Oracle takes an empty text for NULL")
            }
            DataType::Utf8 if !keeps_nul => {
                (text(array, |value| memchr(0, value.as_bytes()).is_some())?, "the driver ends a text at a NUL")
            }
            DataType::Date32 => {
                (first::<Date32Type>(array, |value| !DAYS.contains(&value))?, "ODBC has the years 1 to 9999")
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                let row = first::<TimestampMicrosecondType>(array, |value| !MICROS.contains(&value))?;
                (row, "ODBC has the years 1 to 9999")
            }
            _ => return None,
        };
        Some((row, FieldRef::clone(field), why))
    })
}

fn first<T: ArrowPrimitiveType>(array: &dyn Array, is_odd: impl Fn(T::Native) -> bool) -> Option<usize> {
    array.as_primitive::<T>().iter().position(|value| value.is_some_and(&is_odd))
}

fn text(array: &dyn Array, is_odd: impl Fn(&str) -> bool) -> Option<usize> {
    array.as_string::<i32>().iter().position(|value| value.is_some_and(&is_odd))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Float64Array, StringArray};
    use serde_json::json;

    use super::*;

    fn new(product: Product, data_type: DataType) -> Result<(DataType, String)> {
        let config = Config::parse(&json!({"url": "odbc:SHOP?binaryType=BLOB(1M)"})).unwrap();
        let made = carrier(product, &config, &Field::new("v", data_type, false))?;
        Ok((made.0.data_type().clone(), made.1))
    }

    #[test]
    fn values_go_as_what_the_driver_keeps() {
        use DataType as T;
        use Product as P;
        let (nano, micro) = (T::Timestamp(TimeUnit::Nanosecond, None), T::Timestamp(TimeUnit::Microsecond, None));
        let cases = [
            (P::Other, T::Boolean, T::Int16, "SMALLINT"),
            (P::Postgres, T::Boolean, T::Boolean, "BOOLEAN"),
            (P::Postgres, T::UInt64, T::Decimal128(20, 0), "DECIMAL(20,0)"),
            (P::Oracle, T::Int64, T::Decimal128(19, 0), "NUMBER(19)"),
            (P::MariaDb, nano.clone(), micro.clone(), "DATETIME(6)"),
            (P::Db2, nano, micro.clone(), "TIMESTAMP"),
            (P::Sqlite, micro, T::Utf8, "TIMESTAMP"),
            (P::MariaDb, T::Decimal256(60, 2), T::Decimal256(60, 2), "DECIMAL(60,2)"),
            (P::Other, T::Decimal128(5, -2), T::Decimal128(7, 0), "DECIMAL(7,0)"),
            (P::Other, T::LargeUtf8, T::Utf8, "VARCHAR(4000)"),
            (P::Db2, T::FixedSizeBinary(3), T::Binary, "BLOB(1M)"),
        ];
        for (product, from, to, sql) in cases {
            assert_eq!(new(product, from.clone()).unwrap(), (to, sql.to_owned()), "{product:?} {from}");
        }
    }

    #[test]
    fn what_is_not_portable_is_refused_by_name() {
        use DataType as T;
        let zoned = T::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for data_type in [zoned, T::Time64(TimeUnit::Microsecond), T::Decimal256(60, 2), T::Duration(TimeUnit::Second)]
        {
            let error = new(Product::Other, data_type.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let text = error.to_string();
            assert!(text.contains("column v") && text.contains(&data_type.to_string()), "{text}");
        }
    }

    #[test]
    fn what_would_change_is_found() {
        let batch = |array: ArrayRef| RecordBatch::try_from_iter([("v", array)]).unwrap();
        let nan = batch(Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)])));
        assert_eq!(misfit(Product::Sqlite, &nan).map(|found| found.0), Some(2));
        assert_eq!(misfit(Product::Postgres, &nan), None);
        let nul = batch(Arc::new(StringArray::from(vec![Some(""), Some("a\0b")])));
        assert_eq!(misfit(Product::Postgres, &nul).map(|found| found.0), Some(1));
        assert_eq!(misfit(Product::Oracle, &nul).map(|found| found.0), Some(0));
        assert_eq!(misfit(Product::MariaDb, &nul), None);
        let days = batch(Arc::new(Date32Array::from(vec![-719_162, 2_932_896, -719_163])));
        assert_eq!(misfit(Product::Postgres, &days).map(|found| found.0), Some(2));
    }
}
