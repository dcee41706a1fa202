//! The types that files of each format have, for `etl types`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};

use super::columns::Forms;
use super::config::Config;
use crate::connector::NativeType;
use crate::error::Result;
use crate::formats::extension::Format;
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, with_metadata};
use crate::sink::{ColumnFate, ColumnPlan, SchemaPolicy};
use crate::source::TableShape;

/// Text files have the types that a column is taken for. Others have all types of Arrow that come back as they went.
pub(super) fn types(format: Format) -> Vec<NativeType> {
    let column = |data_type| Field::new(NativeType::COLUMN, data_type, true);
    let json = with_metadata(column(DataType::Utf8), EXTENSION, EXTENSION_JSON);
    if format.is_workbook() {
        let named = |(name, data_type)| NativeType::new(name, column(data_type), None);
        return in_cells().into_iter().map(named).collect();
    }
    if format.is_records() {
        let mut types: Vec<NativeType> =
            guessed().into_iter().map(|(name, data_type)| NativeType::new(name, column(data_type), None)).collect();
        if format == Format::Jsonl {
            types.push(NativeType::new("object or array", json, None));
        }
        return types;
    }
    let uuid = with_metadata(column(DataType::FixedSizeBinary(16)), EXTENSION, EXTENSION_UUID);
    let plain = arrow_types().into_iter().map(|data_type| (data_type.to_string(), column(data_type)));
    let named = [("UUID".to_owned(), uuid), ("JSON".to_owned(), json)];
    let is_held = |field: &Field| {
        let alone = TableShape::of(Arc::new(Schema::new(vec![field.clone()])));
        columns(&alone, format).is_ok_and(|plans| plans[0].fate == ColumnFate::Exact)
    };
    let held = plain.chain(named).filter(|(_, field)| is_held(field));
    held.map(|(name, field)| NativeType::new(name, field, None)).collect()
}

/// Where the columns of `shape` land in a new file of `format`.
pub(super) fn columns(shape: &TableShape, format: Format) -> Result<Vec<ColumnPlan>> {
    let config = Config::parse(&serde_json::json!({ "url": format!("new.{}", format.extension()) }))?;
    let records = format.is_records().then(|| config.records(format)).transpose()?;
    let forms = Forms { format, records, existing: None, policy: SchemaPolicy::Strict };
    Ok(forms.match_columns(&shape.schema)?.0)
}

/// What a column of text is taken for.
fn guessed() -> [(&'static str, DataType); 9] {
    [
        ("boolean", DataType::Boolean),
        ("whole number", DataType::Int64),
        ("decimal number", DataType::Decimal128(38, 10)),
        ("number with exponent", DataType::Float64),
        ("date", DataType::Date32),
        ("time", DataType::Time64(TimeUnit::Microsecond)),
        ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("timestamp with zone", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("text", DataType::Utf8),
    ]
}

/// What the cells of a column are taken for.
fn in_cells() -> [(&'static str, DataType); 8] {
    [
        ("boolean", DataType::Boolean),
        ("whole number", DataType::Int64),
        ("number", DataType::Float64),
        ("date", DataType::Date32),
        ("time", DataType::Time64(TimeUnit::Microsecond)),
        ("date with a time", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("duration", DataType::Duration(TimeUnit::Microsecond)),
        ("text", DataType::Utf8),
    ]
}

/// Types of Arrow, one of each family.
fn arrow_types() -> Vec<DataType> {
    use DataType as T;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let utc = || Some("UTC".into());
    let entries = Fields::from(vec![Field::new("keys", T::Utf8, false), Field::new("values", T::Int32, true)]);
    vec![
        T::Null,
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float16,
        T::Float32,
        T::Float64,
        T::Decimal128(18, 4),
        T::Decimal256(76, 20),
        T::Utf8,
        T::Binary,
        T::FixedSizeBinary(4),
        T::Date32,
        T::Date64,
        T::Time32(Second),
        T::Time32(Millisecond),
        T::Time64(Microsecond),
        T::Time64(Nanosecond),
        T::Timestamp(Second, None),
        T::Timestamp(Millisecond, None),
        T::Timestamp(Microsecond, None),
        T::Timestamp(Nanosecond, None),
        T::Timestamp(Microsecond, utc()),
        T::Timestamp(Nanosecond, utc()),
        T::Duration(Microsecond),
        T::Interval(IntervalUnit::MonthDayNano),
        T::List(item(T::Int32)),
        T::FixedSizeList(item(T::Int32), 3),
        T::Struct(vec![Field::new("a", T::Int32, true)].into()),
        T::Map(Arc::new(Field::new("entries", T::Struct(entries), false)), false),
    ]
}
