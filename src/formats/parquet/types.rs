//! What Parquet can hold, and its JSON and UUID types under Arrow's extension names.

use std::sync::Arc;

use ::parquet::arrow::ArrowSchemaConverter;
use ::parquet::basic::{LogicalType, Repetition, Type as Physical};
use ::parquet::schema::types::{SchemaDescriptor, Type};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, Schema, SchemaRef, TimeUnit};

use super::damage;
use crate::error::Result;
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, is_json, is_uuid, with_metadata};

/// How Parquet holds an Arrow type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// As it is.
    Exact,
    /// In a wider type.
    Widened(DataType),
    /// Only as text.
    Text,
}

/// How Parquet holds values of `data_type`.
///
/// Seconds become milliseconds: Parquet knows no seconds, and other readers would see bare integers.
pub fn fit(data_type: &DataType) -> Fit {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            Fit::Widened(DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
        }
        DataType::Time32(TimeUnit::Second) => Fit::Widened(DataType::Time32(TimeUnit::Millisecond)),
        data_type if held(data_type) => Fit::Exact,
        _ => Fit::Text,
    }
}

fn held(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(IntervalUnit::MonthDayNano) | DataType::Union(..) | DataType::RunEndEncoded(..) => false,
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|field| held(field.data_type())),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => held(item.data_type()),
        DataType::Dictionary(_, value) => held(value),
        _ => true,
    }
}

/// `schema` with the extension names that Parquet's JSON and UUID columns mean.
pub(super) fn with_extensions(schema: &SchemaRef, parquet: &SchemaDescriptor) -> SchemaRef {
    let extended = |(field, column): (&FieldRef, &Arc<Type>)| {
        if !column.is_primitive() || field.metadata().contains_key(EXTENSION) {
            return Arc::clone(field);
        }
        let name = match (column.get_basic_info().logical_type_ref(), field.data_type()) {
            (Some(LogicalType::Json), DataType::Utf8) => EXTENSION_JSON,
            (Some(LogicalType::Uuid), DataType::FixedSizeBinary(16)) => EXTENSION_UUID,
            _ => return Arc::clone(field),
        };
        Arc::new(with_metadata(Field::clone(field), EXTENSION, name))
    };
    let fields: Vec<FieldRef> = schema.fields().iter().zip(parquet.root_schema().get_fields()).map(extended).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The Parquet schema of `schema`, with the JSON and UUID types of its top-level columns.
pub(super) fn parquet_schema(schema: &Schema) -> Result<SchemaDescriptor> {
    let plain = ArrowSchemaConverter::new().convert(schema).map_err(damage)?;
    let typed = |(field, column): (&FieldRef, &Arc<Type>)| {
        let (physical, logical, length) = if is_uuid(field) {
            (Physical::FIXED_LEN_BYTE_ARRAY, LogicalType::Uuid, 16)
        } else if is_json(field) && *field.data_type() == DataType::Utf8 {
            (Physical::BYTE_ARRAY, LogicalType::Json, -1)
        } else {
            return Ok(Arc::clone(column));
        };
        let repetition = if field.is_nullable() { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        Type::primitive_type_builder(field.name(), physical)
            .with_logical_type(Some(logical))
            .with_length(length)
            .with_repetition(repetition)
            .build()
            .map(Arc::new)
            .map_err(damage)
    };
    let root = plain.root_schema();
    let columns = schema.fields().iter().zip(root.get_fields()).map(typed).collect::<Result<Vec<_>>>()?;
    let root = Type::group_type_builder(root.name()).with_fields(columns).build().map_err(damage)?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}
