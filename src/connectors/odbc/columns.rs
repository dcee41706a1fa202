//! What the columns of a statement are for us, and in which form their values are fetched.
//!
//! Decimals, dates, times and all that a driver may get wrong as a number are fetched as the texts that ODBC defines. Whole
//! numbers come in 64 bits and floats in 64: some drivers place values of fewer bits at wrong steps.

use std::num::NonZeroUsize;

use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow_odbc::odbc_api::buffers::BufferDesc;
use arrow_odbc::odbc_api::sys::SqlDataType;
use arrow_odbc::odbc_api::{ColumnDescription, DataType as Sql, ResultSetMetadata};

use super::config::Config;
use super::driver::Product;
use super::error::failed;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{EXTENSION, EXTENSION_UUID, with_metadata, with_native};

/// ODBC's type of UUIDs, and Db2's of large values of bytes.
const GUID: SqlDataType = SqlDataType(-11);
const DB2_BLOB: SqlDataType = SqlDataType(-98);
/// Bytes for a decimal, date or time. What is longer is no such value.
const PLAIN_BYTES: usize = 128;
/// Bytes that every text gets, whatever a driver says of its length.
const LEAST_BYTES: usize = 64;
/// A character takes up to as many bytes of UTF-8.
const CHARACTER_BYTES: usize = 4;
/// What PostgreSQL's driver says of texts whose length it does not know.
const UNKNOWN_LENGTH: usize = 255;

/// One column of a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) form: Form,
}

impl Column {
    /// One whose values are fetched as texts, of which none is long.
    pub(super) fn plain(field: Field) -> Self {
        Self { field, form: Form::Text(PLAIN_BYTES) }
    }
}

/// How values are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As text of at most as many bytes.
    Text(usize),
    /// As bytes, of which at most as many.
    Bytes(usize),
    Whole,
    Float,
    Bit,
}

impl Form {
    /// The buffer that is bound. It has room for one character or byte more than is read: a value that reaches into it is too long,
    /// also where a driver cuts between characters and says nothing.
    pub(super) fn buffer(self) -> BufferDesc {
        match self {
            Self::Text(most) => BufferDesc::Text { max_str_len: most + CHARACTER_BYTES },
            Self::Bytes(most) => BufferDesc::Binary { max_bytes: most + 1 },
            Self::Whole => BufferDesc::I64 { nullable: true },
            Self::Float => BufferDesc::F64 { nullable: true },
            Self::Bit => BufferDesc::Bit { nullable: true },
        }
    }
}

/// The columns of a prepared statement.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a statement that gives no rows.
pub(super) fn columns(
    statement: &mut impl ResultSetMetadata,
    product: Product,
    config: &Config,
) -> Result<Vec<Column>> {
    let told = |failure| failed(config, &failure);
    let count = u16::try_from(statement.num_result_cols().map_err(told)?).unwrap_or_default();
    if count == 0 {
        return Err(Error::new(ErrorKind::Usage, "the statement gives no rows").with_hint("use a SELECT"));
    }
    let mut columns = Vec::with_capacity(usize::from(count));
    for number in 1..=count {
        let mut told_column = ColumnDescription::default();
        statement.describe_col(number, &mut told_column).map_err(told)?;
        let name = told_column.name_to_string().map_err(|_| {
            Error::new(ErrorKind::Unsupported, "the name of a column is no UTF-8")
                .with_hint("set the driver's character set to UTF-8, or name the column with AS")
        })?;
        let is_number = matches!(told_column.data_type, Sql::SmallInt | Sql::Integer | Sql::BigInt | Sql::TinyInt);
        let is_unsigned = is_number && statement.column_is_unsigned(number).map_err(told)?;
        let (data_type, form) = of(product, told_column.data_type, is_unsigned, config.text_bytes);
        let field = Field::new(name, data_type, true);
        let is_uuid = matches!(told_column.data_type, Sql::Other { data_type: GUID, .. });
        let field = if is_uuid { with_metadata(field, EXTENSION, EXTENSION_UUID) } else { field };
        let is_padded = matches!(told_column.data_type, Sql::Char { .. } | Sql::WChar { .. });
        let field = if is_padded { with_native(field, "odbc:bpchar") } else { field };
        columns.push(Column { field, form });
    }
    Ok(columns)
}

/// As what a column of the type `sql` is read, and how; `most` bytes of a value are read.
fn of(product: Product, sql: Sql, is_unsigned: bool, most: usize) -> (DataType, Form) {
    use DataType as T;
    let plain = |data_type| (data_type, Form::Text(PLAIN_BYTES));
    // SQLite's driver makes 0 or NULL of what is no number.
    let number = |data_type, form| (data_type, if product == Product::Sqlite { Form::Text(PLAIN_BYTES) } else { form });
    let whole = match (sql, is_unsigned) {
        (Sql::TinyInt | Sql::SmallInt, false) | (Sql::TinyInt, true) => Some(T::Int16),
        (Sql::Integer, false) | (Sql::SmallInt, true) => Some(T::Int32),
        (Sql::BigInt, false) | (Sql::Integer, true) => Some(T::Int64),
        _ => None,
    };
    match (sql, whole) {
        // Whatever it is declared as, it may have 64 bits there.
        (_, Some(_)) if product == Product::Sqlite => plain(T::Int64),
        (_, Some(data_type)) => (data_type, Form::Whole),
        (Sql::BigInt, None) => plain(T::UInt64),
        (Sql::Real, _) => number(T::Float32, Form::Float),
        (Sql::Float { .. } | Sql::Double, _) => number(T::Float64, Form::Float),
        (Sql::Numeric { precision, scale } | Sql::Decimal { precision, scale }, _) => match decimal(precision, scale) {
            Some(data_type) => plain(data_type),
            None => (T::Utf8, Form::Text(PLAIN_BYTES.min(most))),
        },
        // MariaDB's driver leaves the indicators of bits as they were.
        (Sql::Bit, _) if matches!(product, Product::MariaDb | Product::MySql) => (T::Boolean, Form::Bytes(1)),
        (Sql::Bit, _) => number(T::Boolean, Form::Bit),
        (Sql::Date, _) => plain(T::Date32),
        (Sql::Time { precision }, _) => plain(T::Time64(unit(precision))),
        (Sql::Timestamp { precision }, _) => plain(T::Timestamp(unit(precision), None)),
        (Sql::Other { data_type: GUID, .. }, _) => plain(T::FixedSizeBinary(16)),
        (Sql::Other { data_type: DB2_BLOB, .. }, _) if product == Product::Db2 => (T::Binary, Form::Bytes(most)),
        (Sql::Binary { length } | Sql::Varbinary { length }, _) => {
            let length = length.filter(|_| product != Product::Sqlite);
            (T::Binary, Form::Bytes(room(length.map(NonZeroUsize::get), most)))
        }
        (Sql::LongVarbinary { .. }, _) => (T::Binary, Form::Bytes(most)),
        (Sql::Char { length } | Sql::WChar { length } | Sql::Varchar { length } | Sql::WVarchar { length }, _) => {
            let length = length.map(NonZeroUsize::get).filter(|length| is_meant(product, *length));
            (T::Utf8, Form::Text(room(length.map(|length| length.saturating_mul(CHARACTER_BYTES)), most)))
        }
        _ => (T::Utf8, Form::Text(most)),
    }
}

/// Whether no value is longer than the length that the driver says.
fn is_meant(product: Product, length: usize) -> bool {
    match product {
        Product::Sqlite => false,
        Product::Postgres => length != UNKNOWN_LENGTH,
        _ => true,
    }
}

fn room(bytes: Option<usize>, most: usize) -> usize {
    bytes.map_or(most, |bytes| bytes.max(LEAST_BYTES).min(most))
}

/// Digits of a second as a unit: nanoseconds where microseconds would not do.
fn unit(digits: i16) -> TimeUnit {
    if digits > 6 { TimeUnit::Nanosecond } else { TimeUnit::Microsecond }
}

/// The decimal of `precision` digits, `scale` of them behind the point; none where Arrow has no such one.
fn decimal(precision: usize, scale: i16) -> Option<DataType> {
    let (digits, scale) = if scale < 0 {
        (precision + usize::from(scale.unsigned_abs()), 0)
    } else {
        (precision.max(usize::from(scale.unsigned_abs())), scale)
    };
    let (digits, scale) = (u8::try_from(digits).ok()?, i8::try_from(scale).ok()?);
    match digits {
        0 => None,
        1..=38 => Some(DataType::Decimal128(digits, scale)),
        39..=76 => Some(DataType::Decimal256(digits, scale)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(length: usize) -> Option<NonZeroUsize> {
        NonZeroUsize::new(length)
    }

    #[test]
    fn types_of_drivers_are_read_as_what_holds_them() {
        use DataType as T;
        use Product as P;
        let micro = TimeUnit::Microsecond;
        let text = |bytes| (T::Utf8, Form::Text(bytes));
        let plain = |data_type| (data_type, Form::Text(PLAIN_BYTES));
        let cases = [
            (P::Postgres, Sql::Integer, false, (T::Int32, Form::Whole)),
            (P::MariaDb, Sql::Integer, true, (T::Int64, Form::Whole)),
            (P::MariaDb, Sql::BigInt, true, plain(T::UInt64)),
            (P::Sqlite, Sql::Integer, false, plain(T::Int64)),
            // The precision of PostgreSQL's float8 is 17 decimal digits there.
            (P::Postgres, Sql::Float { precision: 17 }, false, (T::Float64, Form::Float)),
            (P::MariaDb, Sql::Real, false, (T::Float32, Form::Float)),
            (P::Postgres, Sql::Numeric { precision: 12, scale: 3 }, false, plain(T::Decimal128(12, 3))),
            (P::Oracle, Sql::Decimal { precision: 2, scale: 5 }, false, plain(T::Decimal128(5, 5))),
            (P::Oracle, Sql::Decimal { precision: 3, scale: -2 }, false, plain(T::Decimal128(5, 0))),
            (P::MariaDb, Sql::Decimal { precision: 60, scale: 10 }, false, plain(T::Decimal256(60, 10))),
            (P::Other, Sql::Decimal { precision: 0, scale: 0 }, false, text(PLAIN_BYTES)),
            (P::MariaDb, Sql::Varchar { length: length(100) }, false, text(400)),
            (P::MariaDb, Sql::Varchar { length: length(5) }, false, text(LEAST_BYTES)),
            (P::Postgres, Sql::Varchar { length: length(255) }, false, text(1000)),
            (P::Sqlite, Sql::Varchar { length: length(5) }, false, text(1000)),
            (P::Postgres, Sql::LongVarchar { length: length(8190) }, false, text(1000)),
            (P::Postgres, Sql::LongVarbinary { length: None }, false, (T::Binary, Form::Bytes(1000))),
            (P::Postgres, Sql::Timestamp { precision: 6 }, false, plain(T::Timestamp(micro, None))),
            (P::Db2, Sql::Timestamp { precision: 12 }, false, plain(T::Timestamp(TimeUnit::Nanosecond, None))),
        ];
        for (product, sql, is_unsigned, expected) in cases {
            assert_eq!(of(product, sql, is_unsigned, 1000), expected, "{product:?} {sql:?}");
        }
    }
}
