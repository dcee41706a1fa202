//! What Avro can hold, and the schema of files that are written.
//!
//! What Avro has no word for stands in attributes, which its readers pass over: the names of columns that Avro does not
//! allow, the metadata of columns, zones of moments. Integers of 8, 16 and 32 bits and durations have the logical types
//! of Arrow's own Avro library; to other readers they are plain numbers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef, Schema, TimeUnit,
};
use serde_json::{Map, Value as Json, json};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::schema::{COMMENT, is_json, is_uuid};

/// Attribute of a field: the name of the column where Avro does not allow it.
pub(super) const NAME: &str = "etl.name";

/// Attribute of a field: the metadata of the column.
pub(super) const METADATA: &str = "etl.metadata";

/// Attribute of a moment: its zone where it is not UTC.
pub(super) const ZONE: &str = "etl.zone";

/// Logical type of texts that are JSON, which Avro does not know: others see texts.
pub(super) const JSON: &str = "json";

/// Name of the record of a row.
const ROW: &str = "row";

/// The type in which Avro holds values of `data_type`: the same, or one that holds them all. None where there is none.
///
/// Bare numbers of seconds or nanoseconds would be misread by others, so they become a unit that Avro has, or text; so do
/// intervals, since a `duration` of Avro is never negative and counts milliseconds.
pub fn held(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::UInt64 => T::Decimal128(20, 0),
        T::Float16 => T::Float32,
        T::Date64 => T::Timestamp(TimeUnit::Millisecond, None),
        T::Time32(TimeUnit::Second) => T::Time32(TimeUnit::Millisecond),
        T::Timestamp(TimeUnit::Second, zone) => T::Timestamp(TimeUnit::Millisecond, zone.clone()),
        T::Time64(TimeUnit::Nanosecond) | T::Interval(_) => T::Utf8,
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => decimal(*precision, *scale),
        T::FixedSizeBinary(0) => T::Binary,
        T::List(item) | T::FixedSizeList(item, _) => T::List(member(item)?),
        T::Struct(fields) => T::Struct(fields.iter().map(member).collect::<Option<_>>()?),
        T::Map(entries, sorted) => T::Map(held_entries(entries)?, *sorted),
        T::Null
        | T::Boolean
        | T::Int8
        | T::Int16
        | T::Int32
        | T::Int64
        | T::UInt8
        | T::UInt16
        | T::UInt32
        | T::Float32
        | T::Float64
        | T::Utf8
        | T::Binary
        | T::FixedSizeBinary(_)
        | T::Date32
        | T::Time32(_)
        | T::Time64(_)
        | T::Timestamp(..)
        | T::Duration(_) => data_type.clone(),
        _ => return None,
    })
}

fn member(field: &FieldRef) -> Option<FieldRef> {
    Some(Arc::new(Field::clone(field).with_data_type(held(field.data_type())?)))
}

/// Keys are texts in Avro.
fn held_entries(entries: &FieldRef) -> Option<FieldRef> {
    let DataType::Struct(fields) = entries.data_type() else { return None };
    let [key, value] = fields.as_ref() else { return None };
    let key = Arc::new(Field::clone(key).with_data_type(DataType::Utf8));
    let fields = DataType::Struct(vec![key, member(value)?].into());
    Some(Arc::new(Field::clone(entries).with_data_type(fields)))
}

/// Scales of Avro are not negative.
fn decimal(precision: u8, scale: i8) -> DataType {
    let digits = u32::from(precision) + u32::from(scale.min(0).unsigned_abs());
    match u8::try_from(digits) {
        Ok(digits) if digits <= DECIMAL128_MAX_PRECISION => DataType::Decimal128(digits, scale.max(0)),
        Ok(digits) if digits <= DECIMAL256_MAX_PRECISION => DataType::Decimal256(digits, scale.max(0)),
        _ => DataType::Utf8,
    }
}

/// The Avro schema of rows of `schema`, whose types are all [`held`].
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a type that is not.
pub(super) fn schema_of(schema: &Schema) -> Result<Json> {
    let mut names = Names(HashSet::new());
    record(&names.unused(ROW), schema.fields(), &mut names)
}

/// Names of types, each given once.
struct Names(HashSet<String>);

impl Names {
    fn unused(&mut self, wanted: &str) -> String {
        unused(wanted, &mut self.0)
    }
}

fn unused(wanted: &str, used: &mut HashSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 1;
    while !used.insert(name.clone()) {
        number += 1;
        name = format!("{wanted}_{number}");
    }
    name
}

fn record(name: &str, fields: &[FieldRef], names: &mut Names) -> Result<Json> {
    // What Avro allows keeps its name, whatever stands before it.
    let mut used: HashSet<String> = fields
        .iter()
        .filter(|field| allowed(field.name()) == **field.name())
        .map(|field| field.name().clone())
        .collect();
    let member = |field: &FieldRef| {
        let mut name = allowed(field.name());
        if name != *field.name() {
            name = unused(&name, &mut used);
        }
        let of = type_of(field, &format!("{ROW}_{name}"), names).at("column", || field.name())?;
        let mut json = Map::new();
        if name != *field.name() {
            json.insert(NAME.to_owned(), field.name().as_str().into());
        }
        json.insert("name".to_owned(), name.into());
        json.insert("type".to_owned(), of);
        if field.is_nullable() {
            json.insert("default".to_owned(), Json::Null);
        }
        json.extend(field.metadata().get(COMMENT).map(|comment| ("doc".to_owned(), comment.as_str().into())));
        json.extend(attributes(field.metadata()).map(|metadata| (METADATA.to_owned(), metadata)));
        Ok(Json::Object(json))
    };
    let fields = fields.iter().map(member).collect::<Result<Vec<_>>>()?;
    Ok(json!({"type": "record", "name": name, "fields": fields}))
}

/// `metadata` in one order, so that all parts of a file have the same header.
fn attributes(metadata: &HashMap<String, String>) -> Option<Json> {
    let mut sorted: Vec<(&String, &String)> = metadata.iter().collect();
    sorted.sort();
    let object = sorted.into_iter().map(|(key, value)| (key.clone(), Json::from(value.as_str())));
    (!metadata.is_empty()).then(|| Json::Object(object.collect()))
}

/// A name that Avro allows: other characters by their number in hexadecimal digits, as Iceberg writes them.
fn allowed(name: &str) -> String {
    let mut allowed = String::with_capacity(name.len());
    for (index, letter) in name.chars().enumerate() {
        match letter {
            'a'..='z' | 'A'..='Z' | '_' => allowed.push(letter),
            '0'..='9' if index > 0 => allowed.push(letter),
            '0'..='9' => allowed.extend(['_', letter]),
            other => allowed.extend(["_x", &format!("{:X}", u32::from(other))]),
        }
    }
    if allowed.is_empty() { "_".to_owned() } else { allowed }
}

/// The type of `field` with its NULL; `name` is for types that need one.
fn type_of(field: &Field, name: &str, names: &mut Names) -> Result<Json> {
    let of = match field.data_type() {
        DataType::Struct(fields) => record(&names.unused(name), fields, names)?,
        DataType::List(item) => json!({"type": "array", "items": type_of(item, name, names)?}),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 && *fields[0].data_type() == DataType::Utf8 => {
                json!({"type": "map", "values": type_of(&fields[1], name, names)?})
            }
            _ => return Err(refused(field.data_type())),
        },
        DataType::Utf8 if is_json(field) => json!({"type": "string", "logicalType": JSON}),
        DataType::FixedSizeBinary(16) if is_uuid(field) => json!({"type": "string", "logicalType": "uuid"}),
        DataType::FixedSizeBinary(bytes @ 1..) => {
            json!({"type": "fixed", "name": names.unused(name), "size": bytes})
        }
        other => scalar(other)?,
    };
    let null = field.is_nullable() && !field.data_type().is_null();
    Ok(if null { json!(["null", of]) } else { of })
}

fn scalar(data_type: &DataType) -> Result<Json> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let logical = |of: &str, logical: &str| json!({"type": of, "logicalType": logical});
    Ok(match data_type {
        DataType::Null => json!("null"),
        DataType::Boolean => json!("boolean"),
        DataType::Int8 => logical("int", "arrow.int8"),
        DataType::Int16 => logical("int", "arrow.int16"),
        DataType::UInt8 => logical("int", "arrow.uint8"),
        DataType::UInt16 => logical("int", "arrow.uint16"),
        DataType::Int32 => json!("int"),
        DataType::UInt32 => logical("long", "arrow.uint32"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => logical("int", "date"),
        DataType::Time32(Millisecond) => logical("int", "time-millis"),
        DataType::Time64(Microsecond) => logical("long", "time-micros"),
        DataType::Timestamp(unit, zone) => {
            let name = match (unit, zone.is_some()) {
                (Millisecond, true) => "timestamp-millis",
                (Microsecond, true) => "timestamp-micros",
                (Nanosecond, true) => "timestamp-nanos",
                (Millisecond, false) => "local-timestamp-millis",
                (Microsecond, false) => "local-timestamp-micros",
                (Nanosecond, false) => "local-timestamp-nanos",
                (Second, _) => return Err(refused(data_type)),
            };
            match zone.as_deref().filter(|zone| *zone != "UTC") {
                Some(zone) => json!({"type": "long", "logicalType": name, ZONE: zone}),
                None => logical("long", name),
            }
        }
        DataType::Duration(unit) => {
            let name = match unit {
                Second => "arrow.duration-seconds",
                Millisecond => "arrow.duration-millis",
                Microsecond => "arrow.duration-micros",
                Nanosecond => "arrow.duration-nanos",
            };
            logical("long", name)
        }
        DataType::Decimal128(precision, scale @ 0..) | DataType::Decimal256(precision, scale @ 0..) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        other => return Err(refused(other)),
    })
}

fn refused(data_type: &DataType) -> Error {
    Error::new(ErrorKind::Unsupported, format!("Avro cannot hold a column of type {data_type}"))
        .with_hint("cast the column, or leave it out")
}
