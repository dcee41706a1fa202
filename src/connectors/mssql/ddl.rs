//! Types of new columns, and the statement that makes a table.

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::name::{Name, identifier};
use super::typemap::{DECIMAL_DIGITS, Kind, NVARCHAR_UNITS, PRODUCT, SqlType, VARBINARY_BYTES};
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{max_chars, possible};
use crate::schema::{self, native_of};
use crate::source::TableShape;
use crate::sql::ddl::{Column, create_table};
use crate::sql::dialect::MsSql;

/// Units of a text and bytes of a value that a primary key may hold, which has room for 900 bytes.
const KEY_UNITS: u32 = 450;
const KEY_BYTES: u32 = 900;

/// What would make `table` for the rows of `shape`, without a look at a server.
pub(super) fn of_shape(shape: &TableShape, table: &str) -> Result<Vec<String>> {
    let name = Name::typed(table)?;
    let fields = shape.schema.fields();
    let columns = fields
        .iter()
        .map(|field| {
            Ok((field.name().as_str(), new_type(field, shape.key.contains(field.name()))?, !field.is_nullable()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(vec![create(&name.quoted(), &columns, shape.whole_key())])
}

/// `CREATE TABLE` for `quoted`: name, type, and whether NULL is refused.
pub(super) fn create(quoted: &str, columns: &[(&str, SqlType, bool)], key: &[String]) -> String {
    let columns: Vec<Column<'_>> = columns
        .iter()
        .map(|(name, sql_type, not_null)| Column {
            name,
            native_type: &sql_type.name,
            not_null: *not_null || key.iter().any(|key| key == name),
        })
        .collect();
    create_table(&MsSql, quoted, &columns, key)
}

/// `CREATE TABLE` for a table in which rows wait: columns `c1`, `c2` and so on, all of which take NULL.
pub(super) fn create_stage(quoted: &str, kinds: &[Kind]) -> String {
    let columns: Vec<String> =
        kinds.iter().enumerate().map(|(place, kind)| format!("{} {} NULL", staged(place), kind.staged())).collect();
    format!("CREATE TABLE {quoted} ({})", columns.join(", "))
}

/// The column of a stage at `place`.
pub(super) fn staged(place: usize) -> String {
    identifier(&format!("c{}", place + 1))
}

/// The type of a new column for `field`.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a type that no column has.
pub(super) fn new_type(field: &Field, in_key: bool) -> Result<SqlType> {
    let declared = own_type(field).or_else(|| type_for(field, in_key)).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("SQL Server has no way to hold {}", field.data_type()))
            .with_hint("leave it out with --drop, or convert it with --cast or --set")
            .at("column", field.name())
    })?;
    SqlType::declared(&declared)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("a new column cannot be of type {declared}")))
}

/// The type of a column that comes from SQL Server itself.
fn own_type(field: &Field) -> Option<String> {
    let own = SqlType::declared(native_of(field, PRODUCT)?)?;
    let is_as_it_was = own.kind.arrow() == *field.data_type();
    // What the server alone fills is kept as what it is; large values of old types get the types of today.
    let name = match (own.kind, own.name.as_str()) {
        (Kind::RowVersion, _) => "binary(8)".to_owned(),
        (_, "text") => "varchar(max)".to_owned(),
        (_, "ntext") => "nvarchar(max)".to_owned(),
        (_, "image") => "varbinary(max)".to_owned(),
        _ => own.name.clone(),
    };
    is_as_it_was.then_some(name)
}

fn type_for(field: &Field, in_key: bool) -> Option<String> {
    let scale = |unit: TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 7,
    };
    let name = match field.data_type() {
        DataType::Boolean => "bit",
        DataType::UInt8 => "tinyint",
        DataType::Int8 | DataType::Int16 => "smallint",
        DataType::UInt16 | DataType::Int32 => "int",
        DataType::UInt32 | DataType::Int64 => "bigint",
        DataType::UInt64 => "decimal(20,0)",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "float",
        DataType::Date32 => "date",
        DataType::Date64 => "datetime2(3)",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let whole = *precision <= DECIMAL_DIGITS && *scale >= 0 && scale.unsigned_abs() <= *precision;
            return whole.then(|| format!("decimal({precision},{scale})"));
        }
        DataType::Time32(unit) | DataType::Time64(unit) => return Some(format!("time({})", scale(*unit))),
        DataType::Timestamp(unit, None) => return Some(format!("datetime2({})", scale(*unit))),
        DataType::Timestamp(unit, Some(_)) => return Some(format!("datetimeoffset({})", scale(*unit))),
        DataType::FixedSizeBinary(_) if schema::is_uuid(field) => "uniqueidentifier",
        DataType::FixedSizeBinary(width) if (1..=VARBINARY_BYTES as i32).contains(width) => {
            return Some(format!("binary({width})"));
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            return Some(if in_key { format!("varbinary({KEY_BYTES})") } else { "varbinary(max)".to_owned() });
        }
        // A Null column, lists and the like as the text that the engine makes of them.
        _ if possible(field, &Field::new(field.name(), DataType::Utf8, true)) => return Some(text_for(field, in_key)),
        _ => return None,
    };
    Some(name.to_owned())
}

/// A letter beyond 16 bits takes two units: there is room for all that may come.
fn text_for(field: &Field, in_key: bool) -> String {
    let units = max_chars(field).and_then(|chars| u32::try_from(chars.saturating_mul(2)).ok());
    match units.filter(|units| (1..=NVARCHAR_UNITS).contains(units)) {
        Some(units) if in_key => format!("nvarchar({})", units.min(KEY_UNITS)),
        Some(units) => format!("nvarchar({units})"),
        None if in_key => format!("nvarchar({KEY_UNITS})"),
        None => "nvarchar(max)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Schema;

    use super::*;
    use crate::schema::{MAX_CHARS, with_metadata, with_native};

    fn type_of(field: &Field) -> Result<String> {
        new_type(field, false).map(|sql_type| sql_type.name)
    }

    #[test]
    fn new_columns_hold_what_comes() {
        let utc = Some("UTC".into());
        let cases = [
            (DataType::UInt8, "tinyint"),
            (DataType::Int8, "smallint"),
            (DataType::UInt64, "decimal(20,0)"),
            (DataType::Decimal128(38, 38), "decimal(38,38)"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "datetime2(6)"),
            (DataType::Timestamp(TimeUnit::Nanosecond, utc), "datetimeoffset(7)"),
            (DataType::Time64(TimeUnit::Nanosecond), "time(7)"),
            (DataType::Utf8View, "nvarchar(max)"),
            (DataType::FixedSizeBinary(16), "binary(16)"),
            (DataType::LargeBinary, "varbinary(max)"),
        ];
        for (data_type, expected) in cases {
            assert_eq!(type_of(&Field::new("a", data_type, true)).unwrap(), expected);
        }
        for data_type in [DataType::Decimal256(76, 0), DataType::Decimal128(5, -2)] {
            let error = type_of(&Field::new("a", data_type, true)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
        let short = with_metadata(Field::new("a", DataType::Utf8, true), MAX_CHARS, "10");
        assert_eq!(type_of(&short).unwrap(), "nvarchar(20)");
        assert_eq!(new_type(&Field::new("a", DataType::Utf8, true), true).unwrap().name, "nvarchar(450)");
    }

    #[test]
    fn columns_of_its_own_stay_what_they_were() {
        let own = |declared: &str| {
            let sql_type = SqlType::declared(declared).unwrap();
            type_of(&sql_type.arrow_field("a", true)).unwrap()
        };
        for declared in ["money", "smalldatetime", "datetime", "char(10)", "varchar(max)", "xml", "datetime2(7)"] {
            assert_eq!(own(declared), declared);
        }
        assert_eq!([own("rowversion"), own("text"), own("image")], ["binary(8)", "varchar(max)", "varbinary(max)"]);
        // It was cast since.
        let cast = with_native(Field::new("a", DataType::Int64, true), "mssql:money");
        assert_eq!(type_of(&cast).unwrap(), "bigint");
    }

    #[test]
    fn tables_and_stages_are_made() {
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("na]me", DataType::Utf8, true)];
        let shape = TableShape { key: vec!["id".to_owned()], ..TableShape::of(Arc::new(Schema::new(fields))) };
        assert_eq!(
            of_shape(&shape, "sales.t").unwrap(),
            ["CREATE TABLE [sales].[t] (\n  [id] bigint NOT NULL,\n  [na]]me] nvarchar(max),\n  PRIMARY KEY ([id])\n)"]
        );
        assert_eq!(
            create_stage("[s]", &[Kind::Int, Kind::Text(Some(5)), Kind::Time(0)]),
            "CREATE TABLE [s] ([c1] int NULL, [c2] nvarchar(max) NULL, [c3] time(7) NULL)"
        );
    }
}
