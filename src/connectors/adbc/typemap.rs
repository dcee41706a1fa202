//! Types: what a driver's columns are for us, and as what a driver is given values that it keeps.
//!
//! A driver says its types in Arrow, so most pass as they are. Kept from it is what it is known to change without a word: the
//! SQLite driver writes NaN as NULL and drops time zones, the PostgreSQL driver wraps great unsigned numbers and cuts
//! nanoseconds. Of drivers that are not known nothing is kept.

use std::sync::Arc;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use serde_json::Value as Json;

use super::driver::Product;
use crate::error::{Error, ErrorKind, Result};
use crate::fate::plain;
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, is_json, is_uuid, with_metadata};

/// Name of the extension under which drivers pass what Arrow has no type for.
const OPAQUE: &str = "arrow.opaque";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
/// The PostgreSQL driver's note of a type's parameters.
const TYPMOD: &str = "POSTGRESQL:typmod";
const MOST_DIGITS: u8 = 76;

/// What a column of a driver is when it is read.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for what has no place in Arrow.
pub(super) fn read(column: &Field) -> Result<Field> {
    match refused(column) {
        Some(name) => Err(unread(&name).at("column", column.name())),
        None => Ok(normal_field(column).with_nullable(true)),
    }
}

/// `field` without what the driver notes for itself.
fn normal_field(field: &Field) -> Field {
    let normal = Field::new(field.name(), normal(field.data_type()), field.is_nullable());
    let known = |name: &&String| [EXTENSION_JSON, EXTENSION_UUID].contains(&name.as_str());
    match field.metadata().get(EXTENSION).filter(known) {
        Some(name) => with_metadata(normal, EXTENSION, name),
        None => normal,
    }
}

/// The same type in one form: instants in UTC, as they are the same whatever zone they are shown in.
pub(super) fn normal(data_type: &DataType) -> DataType {
    use DataType as T;
    let inner = |field: &FieldRef| Arc::new(normal_field(field));
    match data_type {
        T::Timestamp(unit, Some(_)) => T::Timestamp(*unit, Some("UTC".into())),
        T::List(item) => T::List(inner(item)),
        T::LargeList(item) => T::LargeList(inner(item)),
        T::FixedSizeList(item, width) => T::FixedSizeList(inner(item), *width),
        T::Map(entries, sorted) => T::Map(inner(entries), *sorted),
        T::Struct(fields) => T::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

/// What the type of `field`, or of what is in it, is called; none where it has a place in Arrow.
pub(super) fn refused(field: &Field) -> Option<String> {
    match field.data_type() {
        // Its own wire bytes would mean nothing elsewhere.
        DataType::Binary | DataType::LargeBinary if is_opaque(field) => Some(opaque_name(field)),
        DataType::Union(..) | DataType::ListView(_) | DataType::LargeListView(_) => Some(field.data_type().to_string()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => refused(item),
        DataType::Struct(fields) => fields.iter().find_map(|field| refused(field)),
        _ => None,
    }
}

/// The error of a column of the type `name`.
pub(super) fn unread(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("values of the type {name} are not copied"))
        .with_hint("leave the column out with --drop, or cast it in a --query")
}

/// Whether DuckDB's driver changes values of the type `declared`, in DuckDB's words: it wraps numbers of 128 bits without a sign and
/// intervals of more than 292 years of hours, drops the zone of a time, and gives bits as bytes of its own. A label or name that is
/// one of these words is taken for one.
pub(super) fn changes_in_duckdb(declared: &str) -> bool {
    let mut words = declared.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_changed = |word: &str| matches!(word, "BIT" | "HUGEINT" | "INTERVAL" | "UHUGEINT");
    // Of a column of whole numbers each is looked at.
    declared != "HUGEINT" && (declared.contains("TIME WITH TIME ZONE") || words.any(is_changed))
}

fn is_opaque(field: &Field) -> bool {
    field.metadata().get(EXTENSION).is_some_and(|name| name == OPAQUE)
}

fn holds_opaque(field: &Field) -> bool {
    let inner: &[FieldRef] = match field.data_type() {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => std::slice::from_ref(item),
        DataType::Struct(fields) => &fields[..],
        _ => &[],
    };
    inner.iter().any(|field| is_opaque(field) || holds_opaque(field))
}

/// What the product calls the type: `inet`.
fn opaque_name(field: &Field) -> String {
    let noted = field.metadata().get(EXTENSION_METADATA).and_then(|text| serde_json::from_str::<Json>(text).ok());
    let name = noted.as_ref().and_then(|noted| noted.get("type_name")).and_then(Json::as_str);
    name.unwrap_or("that has no name in Arrow").to_owned()
}

/// The first moment of PostgreSQL, 4714-11-24 BC, in microseconds since 1970. Its driver gives less for one after 294247-01-10, which it
/// wraps.
pub(super) const FIRST_MICRO: i64 = -210_866_803_200_000_000;

/// The numbers that the driver gives for `-infinity` and `infinity` of a date or timestamp; none where the type or the database has no
/// infinity, or nothing is known. They are beyond all other values of the database.
pub(super) fn infinity(product: Product, data_type: &DataType) -> Option<[i64; 2]> {
    /// From 1970 to 2000.
    const DAYS: i32 = 10_957;
    const MICROS: i64 = 946_684_800_000_000;
    match (product, data_type) {
        (Product::DuckDb, DataType::Date32) => Some([-i32::MAX, i32::MAX].map(i64::from)),
        (Product::DuckDb, DataType::Timestamp(..)) => Some([-i64::MAX, i64::MAX]),
        // The server counts from 2000 on and has its ends for infinity; the driver adds without a look at them.
        (Product::Postgresql, DataType::Date32) => Some([i32::MIN, i32::MAX].map(|end| end.wrapping_add(DAYS).into())),
        (Product::Postgresql, DataType::Timestamp(..)) => {
            Some([i64::MIN, i64::MAX].map(|end| end.wrapping_add(MICROS)))
        }
        _ => None,
    }
}

/// As what a new column gets the values of `field`.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where the driver has no column for them.
pub(super) fn carrier(product: Product, field: &Field) -> Result<Field> {
    use DataType as T;
    let data_type = plain(field.data_type());
    let refused = || {
        Error::new(ErrorKind::Unsupported, format!("the driver makes no column for values of {data_type}"))
            .with_hint("leave it out with --drop, or convert it with --cast or --set")
            .at("column", field.name())
    };
    let to = match product {
        Product::Sqlite => match data_type {
            T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 => T::Int64,
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => T::Int64,
            T::Float16 | T::Float32 | T::Float64 => T::Float64,
            T::Binary | T::LargeBinary | T::BinaryView => T::Binary,
            T::FixedSizeBinary(_) if !is_uuid(field) => T::Binary,
            _ => T::Utf8,
        },
        Product::Postgresql => in_postgresql(data_type).ok_or_else(refused)?,
        Product::DuckDb => match data_type {
            T::Float16 => T::Float32,
            T::Decimal256(..) | T::Union(..) => return Err(refused()),
            other => other.clone(),
        },
        _ => data_type.clone(),
    };
    let carried = Field::new(field.name(), to, field.is_nullable());
    let keeps = product != Product::Sqlite && (is_uuid(field) || is_json(field));
    Ok(match field.metadata().get(EXTENSION).filter(|_| keeps) {
        Some(name) => with_metadata(carried, EXTENSION, name),
        None => carried,
    })
}

fn in_postgresql(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    let micro = TimeUnit::Microsecond;
    Some(match data_type {
        T::Int8 | T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 => T::Int64,
        T::UInt64 => T::Decimal128(20, 0),
        T::Float16 => T::Float32,
        T::Date64 => T::Date32,
        T::Time32(_) | T::Time64(_) => T::Time64(micro),
        T::Timestamp(_, zone) => T::Timestamp(micro, zone.as_ref().map(|_| "UTC".into())),
        T::Duration(_) => T::Duration(micro),
        T::Interval(_) => T::Interval(IntervalUnit::MonthDayNano),
        T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::LargeBinary | T::BinaryView => T::Binary,
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => T::Decimal128(*precision, *scale),
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) => {
            let inner = in_postgresql(plain(item.data_type())).filter(|inner| !inner.is_nested())?;
            T::List(Arc::new(Field::new_list_field(inner, true)))
        }
        T::Boolean | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Utf8 | T::Binary => {
            data_type.clone()
        }
        T::FixedSizeBinary(_) | T::Date32 | T::Decimal128(..) | T::Decimal256(..) => data_type.clone(),
        _ => return None,
    })
}

/// As what `column`, one that is there, gets the values of `from`; `declared` is its type where the driver alone cannot tell.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where the driver does not write such columns.
pub(super) fn into_column(product: Product, from: &Field, column: &Field, declared: Option<&str>) -> Result<Field> {
    let refused = |what: String| {
        Err(Error::new(ErrorKind::Unsupported, format!("the driver does not write {what}"))
            .with_hint("leave it out with --drop, convert it with --cast, or use the connector of the database")
            .at("column", column.name()))
    };
    let named = |data_type: DataType| Field::new(column.name(), data_type, true);
    if product == Product::Sqlite {
        let carried = carrier(product, from)?.with_name(column.name());
        return match in_sqlite(declared.unwrap_or_default(), carried.data_type()) {
            Some(data_type) => Ok(named(data_type)),
            None => {
                refused(format!("values of {} into a column of the type {}", from.data_type(), declared.unwrap_or("?")))
            }
        };
    }
    if is_opaque(column) {
        return match numeric(product, from, column) {
            Some(data_type) => Ok(named(data_type)),
            None => refused(format!("columns of the type {}", opaque_name(column))),
        };
    }
    if holds_opaque(column) {
        return refused(format!("columns of the type {}", column.data_type()));
    }
    let field = read(column)?;
    // A type of a few words, such as an ENUM, takes these as text.
    let words = plain(field.data_type()).clone();
    Ok(if words == *field.data_type() { field } else { named(words) })
}

/// What of the type of `carried` SQLite keeps as it is in a column declared as `declared`, by its rules of affinity.
fn in_sqlite(declared: &str, carried: &DataType) -> Option<DataType> {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if has(&["INT"]) {
        return Some(DataType::Int64);
    }
    if has(&["CHAR", "CLOB", "TEXT"]) {
        return Some(DataType::Utf8);
    }
    if declared.is_empty() || has(&["BLOB"]) {
        return Some(carried.clone());
    }
    if has(&["REAL", "FLOA", "DOUB"]) {
        return Some(DataType::Float64);
    }
    // It would turn text into numbers.
    matches!(carried, DataType::Int64 | DataType::Float64).then(|| carried.clone())
}

/// As what a `numeric` of PostgreSQL takes values, which the driver reads as text.
fn numeric(product: Product, from: &Field, column: &Field) -> Option<DataType> {
    if product != Product::Postgresql || opaque_name(column) != "numeric" {
        return None;
    }
    let typmod: i32 = column.metadata().get(TYPMOD)?.parse().ok()?;
    if typmod < 4 {
        // It takes any number: those that come as they come.
        return match in_postgresql(plain(from.data_type()))? {
            DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(DataType::Decimal128(20, 0)),
            decimal @ (DataType::Decimal128(..) | DataType::Decimal256(..)) => Some(decimal),
            _ => None,
        };
    }
    let precision = u8::try_from((typmod - 4) >> 16).ok().filter(|digits| *digits <= MOST_DIGITS)?;
    // A scale has eleven bits, the first of which is its sign.
    let scale = i8::try_from((((typmod - 4) & 0x7ff) ^ 1024) - 1024).ok().filter(|scale| *scale <= precision as i8)?;
    Some(if precision <= 38 { DataType::Decimal128(precision, scale) } else { DataType::Decimal256(precision, scale) })
}

/// A value that the driver would change without a word: its row within `batch`, its column, and why.
pub(super) fn misfit(product: Product, batch: &RecordBatch) -> Option<(usize, FieldRef, &'static str)> {
    batch.columns().iter().zip(batch.schema_ref().fields()).find_map(|(array, field)| {
        let (row, why) = match (product, array.data_type()) {
            (Product::Sqlite, DataType::Float64) => {
                let is_nan = |value: Option<f64>| value.is_some_and(f64::is_nan);
                (array.as_primitive::<Float64Type>().iter().position(is_nan)?, "SQLite keeps no NaN")
            }
            (Product::Postgresql | Product::DuckDb, DataType::Interval(IntervalUnit::MonthDayNano)) => {
                let odd =
                    |value: Option<IntervalMonthDayNano>| value.is_some_and(|value| value.nanoseconds % 1000 != 0);
                let row = array.as_primitive::<IntervalMonthDayNanoType>().iter().position(odd)?;
                (row, "an interval of the target keeps no parts of a microsecond")
            }
            _ => return None,
        };
        Some((row, Arc::clone(field), why))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{Float64Array, IntervalMonthDayNanoArray};
    use arrow::datatypes::Schema;

    use super::*;

    fn field(data_type: DataType) -> Field {
        Field::new("v", data_type, true)
    }

    fn opaque(storage: DataType, name: &str, typmod: Option<i32>) -> Field {
        let mut metadata = HashMap::from([
            (EXTENSION.to_owned(), OPAQUE.to_owned()),
            (EXTENSION_METADATA.to_owned(), format!("{{\"type_name\": \"{name}\", \"vendor_name\": \"PostgreSQL\"}}")),
        ]);
        metadata.extend(typmod.map(|typmod| (TYPMOD.to_owned(), typmod.to_string())));
        field(storage).with_metadata(metadata)
    }

    #[test]
    fn what_has_no_place_in_arrow_is_refused_by_name() {
        let error = read(&opaque(DataType::Binary, "inet", None)).unwrap_err();
        assert_eq!(error.to_string(), "column v: values of the type inet are not copied");
        assert_eq!(read(&opaque(DataType::Utf8, "numeric", None)).unwrap(), field(DataType::Utf8));
        let list = DataType::List(Arc::new(opaque(DataType::Binary, "inet", None)));
        assert!(read(&field(list)).is_err());
        let berlin = DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()));
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(*read(&field(berlin)).unwrap().data_type(), utc);
    }

    #[test]
    fn values_go_as_what_the_driver_keeps() {
        let nano = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let cases = [
            (Product::Sqlite, DataType::UInt64, DataType::Int64),
            (Product::Sqlite, DataType::Date32, DataType::Utf8),
            (Product::Sqlite, DataType::Decimal128(5, 2), DataType::Utf8),
            (Product::Postgresql, DataType::UInt64, DataType::Decimal128(20, 0)),
            (Product::Postgresql, nano.clone(), DataType::Timestamp(TimeUnit::Microsecond, None)),
            (Product::Snowflake, nano.clone(), nano),
        ];
        for (product, from, to) in cases {
            assert_eq!(*carrier(product, &field(from)).unwrap().data_type(), to, "{product:?}");
        }
        assert!(carrier(Product::DuckDb, &field(DataType::Decimal256(60, 2))).is_err());
        let json = with_metadata(field(DataType::Utf8), EXTENSION, EXTENSION_JSON);
        assert_eq!(carrier(Product::Postgresql, &json).unwrap(), json);
    }

    #[test]
    fn a_numeric_takes_decimals_of_its_own_size() {
        let into = |typmod, from| {
            let column = opaque(DataType::Utf8, "numeric", Some(typmod));
            into_column(Product::Postgresql, &field(from), &column, None).map(|field| field.data_type().clone())
        };
        assert_eq!(into(655_366, DataType::Utf8).unwrap(), DataType::Decimal128(10, 2));
        assert_eq!(into(-1, DataType::Decimal128(7, 3)).unwrap(), DataType::Decimal128(7, 3));
        assert!(into(-1, DataType::Float64).is_err());
        let jsonb = with_metadata(field(DataType::Utf8), EXTENSION, EXTENSION_JSON);
        assert_eq!(into_column(Product::Postgresql, &field(DataType::Utf8), &jsonb, None).unwrap(), jsonb);
    }

    #[test]
    fn sqlite_columns_take_what_they_keep() {
        let into = |declared, from| {
            let column = field(DataType::Int64);
            into_column(Product::Sqlite, &field(from), &column, Some(declared)).map(|field| field.data_type().clone())
        };
        assert_eq!(into("VARCHAR(5)", DataType::Int32).unwrap(), DataType::Utf8);
        assert_eq!(into("", DataType::Boolean).unwrap(), DataType::Int64);
        assert_eq!(into("DECIMAL(9,2)", DataType::Int16).unwrap(), DataType::Int64);
        assert!(into("DECIMAL(9,2)", DataType::Utf8).is_err());
    }

    #[test]
    fn values_that_would_change_are_found() {
        let batch = |field: Field, array: arrow::array::ArrayRef| {
            RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap()
        };
        let floats =
            batch(field(DataType::Float64), Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)])));
        assert_eq!(misfit(Product::Sqlite, &floats).unwrap().0, 2);
        assert!(misfit(Product::Postgresql, &floats).is_none());
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        let values = IntervalMonthDayNanoArray::from(vec![
            IntervalMonthDayNano::new(0, 0, 1000),
            IntervalMonthDayNano::new(0, 0, 1),
        ]);
        assert_eq!(misfit(Product::DuckDb, &batch(field(interval), Arc::new(values))).unwrap().0, 1);
    }
}
